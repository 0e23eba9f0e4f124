"""Applications whose handlers are coroutines, and a look at what wakes a reactor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from evloop_http.messages import Request, Response
from evloop_http.messages.pending import Pending
from evloop_http.net.reactor import Reactor

Handler = Callable[[Request], Awaitable[Response]]


class AsyncApplication:
    """An application whose handler is a coroutine function. Its task is cancelled when its client leaves."""

    needs_loop = True

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(self, request: Request) -> Pending[Response]:
        task = asyncio.get_running_loop().create_task(self._answer(request))
        answer: Pending[Response] = Pending(task.cancel)
        task.add_done_callback(partial(_settle, answer))
        return answer

    async def _answer(self, request: Request) -> Response:
        return await self._handler(request)


def _settle(answer: Pending[Response], task: asyncio.Task[Response]) -> None:
    if task.cancelled():
        answer.fail(RuntimeError("the task was cancelled"))
    elif error := task.exception():
        answer.fail(error)
    else:
        answer.settle(task.result())


class CountingWriter:
    """The writing end of a waker, which counts how often it is written to."""

    def __init__(self, writer: socket.socket) -> None:
        self._writer = writer
        self.sends = 0

    def send(self, data: bytes) -> int:
        self.sends += 1
        return self._writer.send(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)


def count_sends(reactor: Reactor) -> CountingWriter:
    """Count the system calls that wake this reactor, from now on."""
    writer = CountingWriter(reactor._waker._writer)
    reactor._waker._writer = cast(socket.socket, writer)
    return writer
