"""A reactor in the main loop of a Tk program.

    guest = loops.tk.attach(root, server.reactor)
    root.protocol("WM_DELETE_WINDOW", lambda: guest.stop(server, 5, root.destroy))
    root.mainloop()

It knows the reactor, and of Tk what a widget has: tkinter is imported by whoever made the window.

Tk draws only when nothing else is ready, and under load the reactor always is: so what waits for an idle moment has its
turn after each of ours. Tk counts in whole milliseconds. On Windows it cannot watch descriptors, and the reactor looks
for work a hundred times a second.

A handler may open a dialog, which runs the main loop until the user has answered. The server waits for that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..net.reactor import Reactor
from .guest import Guest, Undo, milliseconds

if TYPE_CHECKING:
    import tkinter

#: `tkinter.READABLE`
_READABLE = 2


class TkGuest(Guest):
    """A reactor in a Tk main loop. `attach` makes one."""

    def __init__(self, reactor: Reactor, root: tkinter.Misc) -> None:
        self._root = root
        super().__init__(reactor)
        root.bind("<Destroy>", self._on_destroy, add="+")

    def _on_destroy(self, event: tkinter.Event[Any]) -> None:
        if event.widget is self._root:  # a window is told of its children's ends too
            self.detach()

    def _watch(self, descriptor: int) -> Undo:
        tk: Any = self._root.tk
        if not hasattr(tk, "createfilehandler"):
            raise NotImplementedError
        tk.createfilehandler(descriptor, _READABLE, self._on_readable)
        return partial(tk.deletefilehandler, descriptor)

    def _on_readable(self, descriptor: int, mask: int) -> None:
        self._on_ready()
        if self.attached:
            self._root.update_idletasks()

    def _call_later(self, seconds: float) -> Undo:
        # Never 0: Tk would serve that before it draws, again and again.
        return partial(self._root.after_cancel, self._root.after(max(1, milliseconds(seconds)), self._on_due))


def attach(root: tkinter.Misc, reactor: Reactor) -> Guest:
    """Let a reactor live in the main loop of `root`, until that is destroyed, or until `detach` of what is returned.

    Raises:
        RuntimeError: the reactor is closed or has a host already.
    """
    return TkGuest(reactor, root)
