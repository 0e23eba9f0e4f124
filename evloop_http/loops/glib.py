"""A reactor in a GLib main loop: that of GTK, GStreamer, or a `GLib.MainLoop`.

    guest = loops.glib.attach(server.reactor)
    main = GLib.MainLoop()
    ...                                             # in a callback: guest.stop(server, 5, main.quit)
    main.run()

It knows the reactor, and GLib as PyGObject shows it. The reactor lives in the default main context.

GLib serves the sources of the highest priority that are ready, and no others. GTK draws at a low priority, so a
server at the usual one would keep it from drawing while requests arrive without a pause. Hence the default: that of
GTK's drawing, so that the two take turns.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..net.reactor import Reactor
from .guest import Guest, Undo, milliseconds

try:
    from gi.repository import GLib
except ImportError as error:
    raise ImportError("evloop_http.loops.glib needs PyGObject (on Debian: python3-gi; on PyPI: PyGObject)") from error

#: GDK_PRIORITY_REDRAW
DRAWING = GLib.PRIORITY_HIGH_IDLE + 20


class GLibGuest(Guest):
    """A reactor in GLib's default main context. `attach` makes one."""

    def __init__(self, reactor: Reactor, priority: int) -> None:
        self._priority = priority
        super().__init__(reactor)

    def _watch(self, descriptor: int) -> Undo:
        source = GLib.unix_fd_add_full(self._priority, descriptor, GLib.IOCondition.IN, self._on_readable)
        return partial(GLib.source_remove, source)

    def _on_readable(self, *of_glib: Any) -> bool:
        self._on_ready()
        return True  # to be called again

    def _call_later(self, seconds: float) -> Undo:
        source = GLib.timeout_add(milliseconds(seconds), self._on_timeout, priority=self._priority)
        return partial(GLib.source_remove, source)

    def _on_timeout(self) -> bool:
        self._on_due()
        return False  # it was for once


def attach(reactor: Reactor, priority: int = DRAWING) -> Guest:
    """Let a reactor live in the default main context, until `detach` of what is returned.

    Args:
        priority: of its sources, for GLib: the lower the number, the sooner. `GLib.PRIORITY_DEFAULT` where nothing
            is drawn and other sources may be busy without a pause.

    Raises:
        RuntimeError: the reactor is closed or has a host already.
    """
    return GLibGuest(reactor, priority)
