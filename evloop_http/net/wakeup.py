"""How another thread, or a signal, ends the sleep of a loop.

`select` sleeps until a descriptor is ready, so waking it takes a descriptor: a pair of sockets,
one end in the selector, one byte written to the other. The byte is written only when none is
under way: a thread that schedules a thousand calls writes once.

A signal that arrives just before `select` begins to sleep would be noticed only when it ends.
`signal.set_wakeup_fd` closes that gap: the interpreter writes the signal's number to our pair
from the handler in C.

There is one such descriptor in a process, and asyncio wants it too: its handlers in Python do nothing, and it calls
back for the numbers that it reads. So those who set the descriptor form a chain. Whoever sets it passes on what it
reads to the descriptor that it found, and puts that one back at the end. One that was set after ours, by somebody who
passes nothing on, stays: our own handlers are called by the interpreter all the same, and wake the loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar


class Waker:
    """A pair of sockets that makes `fileno()` readable when somebody calls `wake`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._pending = False
        #: called with the bytes that are taken out: zeros from `wake`, and the numbers of signals
        self.pass_on: Callable[[bytes], object] | None = None

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
            while True:
                data = self._reader.recv(4096)
                if self.pass_on is not None:
                    self.pass_on(data)
                if len(data) < 4096:
                    break
        except OSError:
            pass
        finally:
            # Even when Ctrl-C comes just here: or nobody would ever write again.
            self._pending = False

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _Descriptor:
    """One that belongs to somebody else, who may close it: then its number may soon be another file's."""

    def __init__(self, number: int) -> None:
        self.number = number
        #: whether its owner wants it back when we are through
        self.is_wanted = True
        self._file = self._file_behind()

    def _file_behind(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self.number)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def is_open(self) -> bool:
        """Return whether the number still means the file that it meant."""
        return self._file is not None and self._file == self._file_behind()


_TAKEN = object()


def _refuse_other_threads() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals can be handled only in the main thread; elsewhere call stop() instead")


class Signals:
    """Callbacks for signals, run by the loop; everything found is put back by `close`."""

    #: Those that have callbacks now. The descriptor is one for the whole process, so they have to know of each other:
    #: one that leaves the chain must be in nobody's way, or two might pass a signal to and fro for ever.
    _chain: ClassVar[weakref.WeakSet[Signals]] = weakref.WeakSet()

    def __init__(self, waker: Waker, schedule: Callable[..., Any]) -> None:
        self._waker = waker
        self._schedule = schedule
        self._found: dict[int, Any] = {}
        self._callbacks: dict[int, Callable[[], Any]] = {}
        self._found_wakeup: _Descriptor | None = None

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
        self._take_wakeup()
        self._found.setdefault(number, found)
        before = self._callbacks.get(number)
        self._callbacks[number] = callback
        return before

    def _take_wakeup(self) -> None:
        ours = self._waker.write_fileno()
        current = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if current == -1:
            if self._found_wakeup is not None:  # somebody has cleared it since, for all who have set it before
                self._found_wakeup.is_wanted = False
        elif current != ours:
            if self in self._chain:  # somebody has set it after us
                with contextlib.suppress(ValueError, OSError):
                    signal.set_wakeup_fd(current)
            else:
                self._pass_on_to(_Descriptor(current))
        self._chain.add(self)

    def retake(self) -> None:
        """Have signals wake the loop again after somebody has set the descriptor, and then none.

        asyncio does that when the last of its handlers is removed.

        Raises:
            ValueError: not in the main thread.
        """
        if self._found:
            self._take_wakeup()

    def _pass_on_to(self, found: _Descriptor | None) -> None:
        self._found_wakeup = found
        self._waker.pass_on = None if found is None else self._pass_on

    def _pass_on(self, data: bytes) -> None:
        numbers, found = data.replace(b"\0", b""), self._found_wakeup
        if numbers and found is not None and found.is_open():
            with contextlib.suppress(OSError):  # full: its owner is awake
                os.write(found.number, numbers)

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
        ours, found = self._waker.write_fileno(), self._found_wakeup
        self._chain.discard(self)
        self._pass_on_to(None)
        for other in self._chain:
            if other._found_wakeup is not None and other._found_wakeup.number == ours:
                other._pass_on_to(found)
        current = signal.set_wakeup_fd(-1)
        if current == ours:
            current = found.number if found is not None and found.is_wanted and found.is_open() else -1
        # Otherwise somebody has set another since: that one stays. It may be closed: then none is set.
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(current)

    def close(self) -> None:
        """Put everything back."""
        for number in list(self._found):
            self.off(number)
