"""How another thread, or a signal, ends the sleep of a loop.

`select` sleeps until a descriptor is ready, so waking it takes a descriptor: a pair of sockets,
one end in the selector, one byte written to the other. The byte is written only when none is
under way: a thread that schedules a thousand calls writes once.

A signal that arrives just before `select` begins to sleep would be noticed only when it ends.
`signal.set_wakeup_fd` closes that gap: the interpreter writes the signal's number to our pair
from the handler in C. There is one such descriptor in a process, so the one we found is put back.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Waker:
    """A pair of sockets that makes `fileno()` readable when somebody calls `wake`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._pending = False

    def fileno(self) -> int:
        return self._reader.fileno()

    def write_fileno(self) -> int:
        """The end that bytes are written to, for `signal.set_wakeup_fd`."""
        return self._writer.fileno()

    def wake(self) -> None:
        """Make the reader readable. From any thread; costs nothing while a wake is under way."""
        if not self._pending:
            self._pending = True
            try:
                self._writer.send(b"\0")
            except OSError:
                pass  # full: it is readable already; closed: nobody sleeps any more

    def drain(self) -> None:
        """Take the bytes out; whoever wakes from now on writes again."""
        try:
            while len(self._reader.recv(4096)) == 4096:
                pass
        except OSError:
            pass
        finally:
            # Even when Ctrl-C comes just here: or nobody would ever write again.
            self._pending = False

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


_TAKEN = object()


def _refuse_other_threads() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals can be handled only in the main thread; elsewhere call stop() instead")


class Signals:
    """Callbacks for signals, run by the loop; everything found is put back by `close`."""

    def __init__(self, waker: Waker, schedule: Callable[..., Any]) -> None:
        self._waker = waker
        self._schedule = schedule
        self._found: dict[int, Any] = {}
        self._callbacks: dict[int, Callable[[], Any]] = {}
        self._found_wakeup = -1

    def on(self, number: int, callback: Callable[[], Any],
           at_once: Callable[[int], Any] | None = None) -> Callable[[], Any] | None:
        """Have the loop call `callback` when the signal comes. Return the callback that it takes the place of.

        Args:
            at_once: called with the number of the signal in the handler itself: even if the loop does not answer, and
                in the middle of anything that it does.

        Raises:
            RuntimeError: not in the main thread, the only one that may set handlers.
        """
        _refuse_other_threads()

        def handler(number: int, frame: FrameType | None) -> None:
            self._schedule(callback)
            if at_once is not None:
                at_once(number)

        found = signal.signal(number, handler)
        if not self._found:
            self._found_wakeup = signal.set_wakeup_fd(self._waker.write_fileno(), warn_on_full_buffer=False)
        self._found.setdefault(number, found)
        before = self._callbacks.get(number)
        self._callbacks[number] = callback
        return before

    def off(self, number: int) -> None:
        """Put back what was there before `on`.

        Raises:
            RuntimeError: not in the main thread.
        """
        if number in self._found:
            _refuse_other_threads()
            found = self._found.pop(number, _TAKEN)
            if found is _TAKEN:  # by a signal that came just here, and whose handler has done the same
                return
            del self._callbacks[number]
            # None: a handler that was not set from Python, and cannot be put back from there.
            signal.signal(number, signal.SIG_DFL if found is None else found)
            if not self._found:
                self._put_wakeup_back()

    def _put_wakeup_back(self) -> None:
        current = signal.set_wakeup_fd(-1)
        # Somebody has set another since: that one stays. Its owner has closed the one we found: none is set.
        wanted = self._found_wakeup if current == self._waker.write_fileno() else current
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(wanted)

    def close(self) -> None:
        """Put everything back."""
        for number in list(self._found):
            self.off(number)
