"""A reactor in a Qt event loop, by PySide6, or by PyQt6 if the program has imported that.

    app = QApplication([])
    guest = loops.qt.attach(server.reactor)
    ...                                             # in a slot: guest.stop(server, 5, app.quit)
    app.exec()

It knows the reactor and QtCore. Notifier and timer belong to the thread that attaches, which is that of the
application. The timer is precise: Qt's others may ring early or late by 5 %, and early would be a turn for nothing.

Do not use PySide6 6.12.0 with Python 3.11: each call into it takes a reference to None away, whoever makes it, until
the interpreter ends with "deallocating None".
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..net.reactor import Reactor
from .guest import Guest, Undo, milliseconds

if TYPE_CHECKING:
    from PySide6.QtCore import QCoreApplication, QSocketNotifier, Qt, QTimer
elif "PyQt6.QtCore" in sys.modules:
    from PyQt6.QtCore import QCoreApplication, QSocketNotifier, Qt, QTimer
else:
    try:
        from PySide6.QtCore import QCoreApplication, QSocketNotifier, Qt, QTimer
    except ImportError as error:
        raise ImportError("evloop_http.loops.qt needs PySide6 (or import PyQt6 first): "
                          "python3 -m pip install PySide6-Essentials") from error


class QtGuest(Guest):
    """A reactor in a Qt event loop. `attach` makes one."""

    def __init__(self, reactor: Reactor) -> None:
        if QCoreApplication.instance() is None:
            raise RuntimeError("there is no Qt application yet: make a QApplication or QCoreApplication, then attach")
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_due)
        super().__init__(reactor)

    def _watch(self, descriptor: int) -> Undo:
        notifier = QSocketNotifier(descriptor, QSocketNotifier.Type.Read)
        notifier.activated.connect(self._on_activated)

        def forget() -> None:
            notifier.setEnabled(False)
            notifier.deleteLater()  # not now: this may be its own signal

        return forget

    def _on_activated(self, *of_qt: object) -> None:
        self._on_ready()

    def _call_later(self, seconds: float) -> Undo:
        self._timer.start(milliseconds(seconds))
        return self._timer.stop


def attach(reactor: Reactor) -> Guest:
    """Let a reactor live in the event loop of the Qt application, until `detach` of what is returned.

    Raises:
        RuntimeError: there is no application yet; or the reactor is closed or has a host already.
    """
    return QtGuest(reactor)
