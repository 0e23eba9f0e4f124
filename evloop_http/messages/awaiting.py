"""What coroutines need: to begin at once, and to wait for what happens elsewhere.

A program without coroutines never loads this module, nor asyncio by it. With them, an asyncio loop runs in the loop's
thread (see `evloop_http.loops`), so that a coroutine and a connection call each other directly.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import AbstractEventLoop, Future, Task, current_task, get_running_loop
from collections.abc import Coroutine
from contextvars import Context
from threading import get_ident
from typing import Any, TypeVar

T = TypeVar("T")


def running_loop() -> AbstractEventLoop:
    """Return the asyncio loop that runs in this thread.

    Raises:
        RuntimeError: there is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("a coroutine needs an asyncio loop in the thread of the server: Server.run makes one for an "
                           "App with `async def` handlers; in a loop of your own, see evloop_http.loops") from None


def begin(coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Task[T]:
    """Run a coroutine in a task whose first step is taken at once, if the loop can do that.

    Most coroutines of a server end with their first step, and need no turn of the loop then. (From Python 3.12 on,
    `eager_start` says the same of any loop. Before, a loop may have `begin`, as ours has.)

    Raises:
        RuntimeError: no loop runs in this thread.
    """
    try:
        loop = get_running_loop()
    except RuntimeError:
        loop = running_loop()  # says more
    if current_task(loop) is None:  # one task cannot begin within another
        own = getattr(loop, "begin", None)
        if own is not None:
            return own(coroutine, context)  # type: ignore[no-any-return]
    return loop.create_task(coroutine, context=context)


class Change:
    """Lets one coroutine wait until something has changed. To be called when it has, from any thread.

    Made in the loop's thread. Whoever waits looks again afterwards: it may be called for nothing.
    """

    __slots__ = ("_home", "_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = running_loop()
        self._home = get_ident()
        self._waiter: Future[None] | None = None

    def __call__(self) -> None:
        if get_ident() == self._home:
            self._wake()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until this is called: from now on, or a little earlier in another thread."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
