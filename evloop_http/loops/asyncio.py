"""A reactor in an asyncio loop: that of the standard library, uvloop, or any other that has `add_reader`.

    async def main():
        async with loops.asyncio.serving(server):
            await work_with(server.url)

It knows the reactor and asyncio. Coroutines and connections take turns in one thread. Windows' default loop (the
proactor) cannot watch descriptors: there the reactor looks for work a hundred times a second, which a
`SelectorEventLoop` or `Server.in_thread` avoids.

The other way round, `Loop` and `DrivenLoop` are asyncio loops without a selector of their own, which sleep in the
reactor's turns (see `one_loop`). They need no guest: `serving` recognises one by its attribute `reactor`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

from ..net.reactor import Reactor
from .driven_loop import DrivenLoop
from .guest import Guest, Stoppable, Undo
from .one_loop import Loop

__all__ = ["AsyncioGuest", "DrivenLoop", "Loop", "attach", "serving", "stopped"]


class AsyncioGuest(Guest):
    """A reactor in an asyncio loop. `attach` makes one."""

    def __init__(self, reactor: Reactor, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        super().__init__(reactor)

    def _watch(self, descriptor: int) -> Undo:
        self._loop.add_reader(descriptor, self._on_ready)
        return partial(self._loop.remove_reader, descriptor)

    def _call_later(self, seconds: float) -> Undo:
        if seconds > 0:
            return self._loop.call_later(seconds, self._on_due).cancel
        return self._loop.call_soon(self._on_due).cancel


def attach(reactor: Reactor, loop: asyncio.AbstractEventLoop | None = None) -> Guest:
    """Let a reactor live in a loop, until `detach` of what is returned.

    Args:
        loop: the running one if none is given.

    Raises:
        RuntimeError: the reactor is closed or has a host already, or no loop runs and none is given.
    """
    return AsyncioGuest(reactor, loop or asyncio.get_running_loop())


@contextlib.asynccontextmanager
async def serving(server: Stoppable, grace: float = 10.0) -> AsyncIterator[None]:
    """Serve in the running loop for as long as the block lasts; then stop gently, and close the server.

    It is as gentle when the block fails or is cancelled, by Ctrl-C in `asyncio.run` for example. If it is cancelled
    again while the server stops, what is left is closed at once.

    Args:
        server: one that listens. Its reactor may have other servers and uses, which remain.
        grace: seconds for what is in flight, as for `Server.stop`.

    Raises:
        RuntimeError: the server's reactor is closed or has a host already.
        evloop_http.messages.StartUpFailed: the application cannot be served.
    """
    shared = getattr(asyncio.get_running_loop(), "reactor", None) is server.reactor
    guest = None if shared else attach(server.reactor)
    try:
        try:
            await server.start_up()
            yield
        finally:
            server.stop(grace)
            await stopped(server)
    finally:
        if guest is not None:
            guest.detach()
            server.close()
        else:
            server.stop(0)  # the loop runs on the reactor, which may be the server's: it is not ours to close


async def stopped(server: Stoppable) -> None:
    """Wait until a server that lives in this loop has stopped: after `server.stop(5)`, wherever that is called."""
    waiting = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not waiting.done():
            waiting.set_result(None)

    server.call_when_stopped(tell)
    await waiting
