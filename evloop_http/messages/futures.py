"""Whose future is it? Who waits for one, and what happens when they stop waiting.

A handler may return a future that it shares: ten requests wait for one query, and one of their clients leaves.
To cancel the future would fail the other nine. So a future that comes from an application is never cancelled;
whoever waited for it stops waiting, and that is all. A `Pending` was made for one request, by a pool of threads for
instance, and is cancelled with it.

*A `concurrent.futures.Future` keeps every callback until it is done.* A shared one may be pending for hours while
clients come and leave, so those who may leave do not register with the future itself. They stand in a list
beside it, from which they can be removed, and the future has one callback for the whole list.

This module is not imported with the package `messages`: a parser alone needs no futures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

from .pending import Pending

logger = logging.getLogger("evloop_http.messages")

#: What is not there yet, and says so when it is.
Late: TypeAlias = "Future[Any] | Pending[Any]"
#: The same, for `isinstance`.
LATE = (Pending, Future)
#: Called with what is done, in the thread that ended it.
Callback = Callable[[Any], object]


class _Waiting:
    """Those who wait for one future, and what is to be done with its outcome if all of them have left by then."""

    __slots__ = ("_callbacks", "otherwise")

    def __init__(self) -> None:
        # By owner. Each step below is a single operation of a dict, so none needs a lock.
        self._callbacks: dict[object, Callback] = {}
        self.otherwise: Callback | None = None

    def add(self, owner: object, callback: Callback) -> None:
        self._callbacks[owner] = callback
        self.otherwise = None

    def remove(self, owner: object, otherwise: Callback) -> bool:
        """Return False if the owner has been called, or is being called."""
        self.otherwise = otherwise  # first: `call` may come at any moment
        if self._callbacks.pop(owner, None) is None:
            self.otherwise = None
            return False
        return True

    def call(self, future: Future[Any]) -> None:
        """Call everybody, each once."""
        callbacks = [self._callbacks.pop(owner, None) for owner in list(self._callbacks)]
        otherwise, self.otherwise = self.otherwise, None
        if otherwise is not None and not any(callbacks):
            callbacks.append(otherwise)
        for callback in callbacks:
            try:
                if callback is not None:
                    callback(future)
            except Exception:  # the others are called all the same
                logger.exception("what waits for a future failed")


def wait_for(future: Late, owner: object, callback: Callback) -> None:
    """Have `callback` called when the future is done: at once if it is, else in the thread that ends it.

    Args:
        owner: who waits, by identity and once at a time; the key for `give_up`.
    """
    if isinstance(future, Pending):
        future.add_done_callback(callback)
        return
    waiting: _Waiting | None = future.__dict__.get("_evloop_http_waiting")
    if waiting is None:
        waiting = future.__dict__.setdefault("_evloop_http_waiting", _Waiting())
        waiting.add(owner, callback)
        future.add_done_callback(waiting.call)
        return
    waiting.add(owner, callback)
    if future.done():  # it may have called everybody just before
        waiting.call(future)


def give_up(future: Late, owner: object, otherwise: Callback) -> bool:
    """Stop waiting. What is owned is cancelled if its work has not begun.

    Args:
        otherwise: called in place of the owner's callback if nobody else waits for the future when it is done; it
            may have a response that has to be closed. It should refer to nothing that is to be let go of now.

    Returns:
        Whether the owner's callback will not be called. That of a `Pending` always will.
    """
    if isinstance(future, Pending):
        future.cancel()
        return False
    waiting: _Waiting | None = future.__dict__.get("_evloop_http_waiting")
    return waiting is not None and waiting.remove(owner, otherwise)
