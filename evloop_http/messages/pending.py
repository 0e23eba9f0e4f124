"""An answer that comes later, of the loop's own thread or of a worker: no lock and no condition.

A `concurrent.futures.Future` pays for threads that sleep until it is done. Between a server and those who answer for
it nobody sleeps: one side will call `settle`, the other has a callback. `Pending` is that and no more. Where it does
what a `Future` does, the method has the same name, so that code which takes either need not tell them apart.

    pending = Pending()
    ask_somebody(lambda row: pending.settle(Response(row)))
    return pending

*Whose is it?* It was made for one request, and is cancelled when the client of that request leaves. A handler that
shares one outcome among several requests shares a `Future`, which nobody cancels (see `futures`).

*The race.* The work may be done before anybody has said that they wait, in another thread, at any moment:

    who settles:  1. write the outcome     2. look who waits, and call them
    who waits:    1. write who waits       2. look for an outcome, and be called

Whatever the order, the one whose second step comes last sees what the other wrote. Both may see it: so a callback
is *taken* out of the list before it is called, which is one atomic step of a list, and only one of them gets it.

This module is not imported with the package `messages`: a parser alone needs nothing of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

T = TypeVar("T")

logger = logging.getLogger("evloop_http.messages")


class Pending(Generic[T]):
    """What one request waits for. It is settled once: with a result, with an exception, or by being cancelled.

    Args:
        on_cancel: called once, in the thread that cancels, if nobody wants the outcome any more.
    """

    __slots__ = ("__weakref__", "_callbacks", "_cancelled", "_done", "_error", "_on_cancel", "_result", "_right")

    def __init__(self, on_cancel: Callable[[], object] | None = None) -> None:
        self._on_cancel = on_cancel
        self._callbacks: list[Callable[[Any], object]] = []
        self._right = [None]  # to settle: whoever takes it out
        self._done = self._cancelled = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        state = "cancelled" if self._cancelled else "settled" if self._done else "open"
        return f"<{type(self).__name__} {state}>"

    # For whoever answers

    def settle(self, result: T) -> bool:
        """Answer. Return False if that was done before, or nobody wants an answer; then it is closed, if it can be.

        From any thread. What waits is called before this returns.
        """
        if self._settle(result, None):
            return True
        close = getattr(result, "close", None)  # a response may hold an open file
        if close is not None:
            close()
        return False

    def fail(self, error: BaseException) -> bool:
        """Have whoever waits meet an exception. Return False if it was settled before."""
        return self._settle(None, error)

    def _settle(self, result: T | None, error: BaseException | None) -> bool:
        try:
            self._right.pop()
        except IndexError:
            return False
        self._result = result
        self._error = error
        self._on_cancel = None
        self._done = True  # then look who waits
        if self._callbacks:
            self._call_back()
        return True

    # For whoever waits

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Have `callback` called with this, once: at once if it is settled, else in the thread that settles it."""
        self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def _call_back(self) -> None:
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.pop()
            except IndexError:  # another thread was quicker
                return
            try:
                callback(self)
            except Exception:  # it is not the settler's fault
                logger.exception("what waits for an answer failed")

    def cancel(self) -> bool:
        """Say that nobody wants the outcome any more. Return whether there will be none."""
        on_cancel = self._on_cancel
        try:
            self._right.pop()
        except IndexError:
            return self._cancelled
        self._on_cancel = None
        self._cancelled = self._done = True
        if on_cancel is not None:
            try:
                on_cancel()
            except Exception:  # it is not the fault of whoever leaves, and who waits is called all the same
                logger.exception("what was to be called when nobody waits for an answer failed")
        self._call_back()
        return True

    def done(self) -> bool:
        """Return whether it is settled or cancelled."""
        return self._done

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._cancelled

    def running(self) -> bool:
        """Return whether a thread is at work on it that nothing can interrupt."""
        return False

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that it failed with, or None; otherwise as `result`."""
        self._wait(timeout)
        if self._cancelled:
            raise CancelledError
        return self._error

    def result(self, timeout: float | None = None) -> T:
        """Return the result, and wait for it: in a thread other than the one that settles it, or that waits forever.

        Args:
            timeout: seconds, or None for as long as it takes.

        Raises:
            TimeoutError: it is not there after so long.
            concurrent.futures.CancelledError: it was cancelled.
            BaseException: the one that it failed with.
        """
        self._wait(timeout)
        if self._cancelled:
            raise CancelledError
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # the exception keeps this frame
        return self._result  # type: ignore[return-value]

    def _wait(self, timeout: float | None) -> None:
        if self._done:
            return
        settled = threading.Event()
        self.add_done_callback(lambda pending: settled.set())
        if not settled.wait(timeout):
            raise TimeoutError

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in a coroutine of asyncio. To cancel the coroutine is to cancel this."""
        if not self._done:
            from .awaiting import Change
            change = Change()
            self.add_done_callback(lambda pending: change())
            try:
                while not self._done:
                    yield from change.wait().__await__()
            except BaseException:
                self.cancel()
                raise
        if self._cancelled:
            from asyncio import CancelledError as Cancelled
            raise Cancelled
        return self.result()


def together(pendings: Iterable[Pending[Any] | None]) -> Pending[None] | None:
    """Return what is settled when all of them are, and fails with the first failure among them; None if none is one.

    To cancel it is to cancel all of them.
    """
    waited = [pending for pending in pendings if pending is not None]
    if len(waited) <= 1:
        return waited[0] if waited else None
    left = set(waited)
    errors: list[BaseException] = []

    def note(pending: Pending[Any]) -> None:
        left.discard(pending)
        if not pending.cancelled() and (error := pending.exception()) is not None:
            errors.append(error)
        if not left and errors:
            whole.fail(errors[0])
        elif not left:
            whole.settle(None)

    def cancel() -> None:
        for pending in list(left):
            pending.cancel()

    whole: Pending[None] = Pending(cancel)
    for pending in waited:
        pending.add_done_callback(note)
    return whole
