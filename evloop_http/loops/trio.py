"""A server, or a reactor, as a task of trio.

    async with trio.open_nursery() as nursery:
        nursery.start_soon(loops.trio.serve, server)
        await work_with(server.url)
        server.stop(5)

It knows the reactor and trio. Trio waits for descriptors in tasks and cancels tasks, so nothing is attached here and
detached: `serve` and `attend` are tasks that sleep until the reactor's descriptor is readable or its next deadline has
come, and then take a turn.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

from ..net.reactor import Reactor
from .guest import Stoppable, move_in, move_out, tick, warn_of_ticking

try:
    import trio
except ImportError as error:
    raise ImportError("evloop_http.loops.trio needs trio: python3 -m pip install trio") from error


async def serve(server: Stoppable, grace: float = 10.0) -> None:
    """Serve until the server has stopped, after `server.stop(5)` from anywhere; then close it.

    If the task is cancelled or interrupted by Ctrl-C, the server stops gently, which takes `grace` seconds at most. A
    second Ctrl-C may close what is left.

    Args:
        grace: seconds for what is in flight when the task is cancelled or interrupted, as for `Server.stop`.

    Raises:
        RuntimeError: the server's reactor is closed or has a host already.
    """
    with _living_here(server.reactor, server.close) as descriptor:
        try:
            while not server.wait_stopped(0):
                await _turn(server.reactor, descriptor)
        except (trio.Cancelled, KeyboardInterrupt):
            server.stop(grace)
            with trio.CancelScope(shield=True):
                while not server.wait_stopped(0):
                    await _turn(server.reactor, descriptor)
            raise


async def attend(reactor: Reactor) -> None:
    """Let a reactor live in this task until it is cancelled. Wait for its servers with `stopped`.

    Raises:
        RuntimeError: the reactor is closed or has a host already.
    """
    with _living_here(reactor) as descriptor:
        while True:
            await _turn(reactor, descriptor)


async def stopped(server: Stoppable) -> None:
    """Wait until a server has stopped that another task attends to: after `server.stop(5)`, wherever it is called."""
    event = trio.Event()
    server.call_when_stopped(event.set)
    await event.wait()


@contextlib.contextmanager
def _living_here(reactor: Reactor, at_end: Callable[[], object] | None = None) -> Iterator[int | None]:
    descriptor = move_in(reactor, trio.lowlevel.current_task())
    if descriptor is None:
        warn_of_ticking("the selector of this platform has no descriptor")
    try:
        yield descriptor
    finally:
        move_out(reactor)
        if descriptor is not None:
            trio.lowlevel.notify_closing(descriptor)  # from now on it may be closed
        if at_end is not None:
            at_end()


async def _turn(reactor: Reactor, descriptor: int | None) -> None:
    """Sleep until there is work, and do it. A checkpoint each time."""
    seconds = reactor.next_timeout()
    if descriptor is None:
        await trio.sleep(tick(seconds))
    else:
        with trio.move_on_after(math.inf if seconds is None else seconds):
            await trio.lowlevel.wait_readable(descriptor)
    reactor.poll(0)
