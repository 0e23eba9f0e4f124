"""What coroutines need of the vocabulary: to begin at once, to wait for a pipe, and to be the body of a response.

A program without coroutines never loads this module, nor asyncio by it. With them, an asyncio loop runs in the loop's
thread (see `evloop_http.loops`), so that a coroutine and a connection call each other directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from asyncio import AbstractEventLoop, Future, Task
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any, TypeVar

from .bodies import Pipe, as_bytes

T = TypeVar("T")

logger = logging.getLogger("evloop_http.messages")


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
    loop = running_loop()
    if asyncio.current_task(loop) is None:  # one task cannot begin within another
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
        """Wait until this is called."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


async def read(pipe: Pipe) -> bytes:
    """Return all there is in a pipe, and wait while there is nothing; nothing when it has ended.

    Raises:
        BaseException: as `Pipe.read`.
    """
    change: Change | None = None
    try:
        while True:
            data = pipe.read()
            if data or pipe.finished or pipe.closed:
                return data
            if change is None:
                pipe.on_readable = change = Change()  # then look again: it may be written to by another thread
                continue
            pipe.on_wait(True)
            await change.wait()
            pipe.on_wait(False)
    finally:
        if change is not None:
            pipe.on_readable = _ignore


def produced(pieces: AsyncIterator[bytes]) -> Pipe:
    """Return a pipe with what a coroutine yields, at the pace of the reader: nothing before somebody reads.

    It runs as a task in the loop of the thread that reads first, in the context of whoever calls this. When the reader
    leaves, the task is cancelled. `pieces` is closed at the end if it has an `aclose`.
    """
    return _Producing(pieces).pipe()


class _Producing:
    """What fills a pipe from a coroutine. It never holds the pipe while it waits: somebody may drop that unread."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._context = copy_context()
        self._task: Task[None] | None = None
        self._room: Change | None = None
        self._pipe: weakref.ref[Pipe] | None = None

    def pipe(self) -> Pipe:
        """Return the pipe. To be called once."""
        pipe = Pipe(paused=True, on_close=self._stop)
        pipe.on_writable = self._go_on
        self._pipe = weakref.ref(pipe, lambda gone: self._stop())
        return pipe

    def _go_on(self) -> None:
        if self._room is not None:
            self._room()
            return
        pipe = self._reader()
        try:
            self._room = Change()
        except RuntimeError as error:
            if pipe is not None:
                pipe.end(error)
        else:
            self._task = begin(self._produce(), self._context)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _reader(self) -> Pipe | None:
        """Return the pipe, if somebody still reads it."""
        pipe = self._pipe() if self._pipe is not None else None
        return pipe if pipe is not None and not pipe.closed else None

    async def _produce(self) -> None:
        error: BaseException | None = None
        try:
            async for piece in self._pieces:
                if not await self._has_room():
                    break
                self._write(as_bytes(piece))
                if not await self._has_room():  # before the next one is asked for
                    break
        except asyncio.CancelledError:
            error = RuntimeError("the body was cancelled")
            raise
        except Exception as failure:
            error = failure
        finally:
            pipe = self._reader()
            if pipe is not None:
                pipe.end(error)
            del pipe, error
            await _close(self._pieces)

    async def _has_room(self) -> bool:
        """Wait until the reader wants something. Return False if it has gone."""
        while (pipe := self._reader()) is not None:
            if not pipe.full:
                return True
            del pipe
            if self._room is not None:
                await self._room.wait()
        return False

    def _write(self, piece: bytes) -> None:
        pipe = self._reader()
        if pipe is not None:
            pipe.write(piece)


async def _close(pieces: AsyncIterator[bytes]) -> None:
    aclose: Callable[[], Any] | None = getattr(pieces, "aclose", None)
    if aclose is not None:
        try:
            await aclose()
        except Exception:
            logger.exception("closing the body of a response failed")


def _ignore() -> None:
    pass

