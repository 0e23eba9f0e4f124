"""Bodies that a coroutine produces, at the pace of whoever reads them.

Not loaded by a program without coroutines, as `awaiting`.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from asyncio import Task
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from typing import Any

from .awaiting import Change, begin
from .bodies import Pipe, as_bytes

logger = logging.getLogger("evloop_http.messages")


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
