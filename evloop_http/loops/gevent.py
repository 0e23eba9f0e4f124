"""A server, or a reactor, as a greenlet of gevent.

    serving = gevent.spawn(loops.gevent.serve, server)
    work_with(server.url)
    server.stop(5)
    serving.join()

It knows the reactor and gevent. Gevent waits in greenlets and ends them with `kill`, so nothing is attached here and
detached: `serve` and `attend` are for a greenlet of their own, which sleeps until the reactor's descriptor is readable
or its next deadline has come, and then takes a turn. A handler that waits as gevent does (`gevent.sleep`, a patched
socket) lets other greenlets run, but no other handler: the turn is not over.

In a program that `gevent.monkey` has patched, selectors have no descriptor, but their sleep lets other greenlets run.
So the reactor sleeps in a turn of its own there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..net.reactor import Reactor
from .guest import Stoppable, move_in, move_out, tick, warn_of_ticking

try:
    import gevent
    import gevent.event
    import gevent.monkey
except ImportError as error:
    raise ImportError("evloop_http.loops.gevent needs gevent: python3 -m pip install gevent") from error

#: The event that gevent's loop calls READ.
_READ = 1


def serve(server: Stoppable, grace: float = 10.0) -> None:
    """Serve until the server has stopped, after `server.stop(5)` from anywhere; then close it.

    If the greenlet is killed, or interrupted by Ctrl-C, the server stops gently, which takes `grace` seconds at most.
    A second time closes what is left.

    Args:
        grace: seconds for what is in flight when the greenlet is killed or interrupted, as for `Server.stop`.

    Raises:
        RuntimeError: the server's reactor is closed or has a host already.
    """
    with _living_here(server.reactor, server.close) as turn:
        try:
            while not server.wait_stopped(0):
                turn()
        except (gevent.GreenletExit, KeyboardInterrupt):
            server.stop(grace)
            while not server.wait_stopped(0):
                turn()
            raise


def attend(reactor: Reactor) -> None:
    """Let a reactor live in this greenlet until it is killed. Wait for its servers with `stopped`.

    Raises:
        RuntimeError: the reactor is closed or has a host already.
    """
    with _living_here(reactor) as turn:
        while True:
            turn()


def stopped(server: Stoppable) -> None:
    """Wait until a server has stopped that another greenlet attends to: after `server.stop(5)`, from anywhere."""
    event = gevent.event.Event()
    server.call_when_stopped(event.set)
    event.wait()


@contextlib.contextmanager
def _living_here(reactor: Reactor, at_end: Callable[[], object] | None = None) -> Iterator[Callable[[], object]]:
    """Give what sleeps until there is work, while other greenlets run, and then does it."""
    with contextlib.ExitStack() as leaving:
        descriptor = move_in(reactor, gevent.getcurrent())
        if at_end is not None:
            leaving.callback(at_end)
        leaving.callback(move_out, reactor)
        if descriptor is not None:
            readable = leaving.enter_context(contextlib.closing(gevent.get_hub().loop.io(descriptor, _READ)))
            yield partial(_turn, reactor, readable)
        elif gevent.monkey.is_module_patched("selectors"):
            yield reactor.poll
        else:
            warn_of_ticking("the selector of this platform has no descriptor")
            yield partial(_tick, reactor)


def _turn(reactor: Reactor, readable: Any) -> None:
    seconds = reactor.next_timeout()
    if seconds == 0:
        gevent.sleep(0)  # the others' turn
    else:
        with gevent.Timeout(seconds, False):
            gevent.get_hub().wait(readable)
    reactor.poll(0)


def _tick(reactor: Reactor) -> None:
    gevent.sleep(tick(reactor.next_timeout()))
    reactor.poll(0)
