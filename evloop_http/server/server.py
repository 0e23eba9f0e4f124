"""A `Server` puts an application on the net: it listens, limits, drains, stops and counts.

What is said on a connection is `connection`'s affair, how connections are accepted `net.listener`'s,
and what is answered the application's, which is handed in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from ..http1 import HeadParser, Limits, ResponseEncoder
from ..messages import Application, Contract, Observer, Origin, Peer, StartUpFailed, TlsPeer
from ..messages.pending import Pending
from ..net.binding import bind_address, bind_path
from ..net.certificates import AnyContext, server_context
from ..net.listener import Listener, address_of
from ..net.reactor import Reactor
from ..net.tls import Handshakes, securing
from ..net.transport import Transport
from .connection import Connection
from .in_flight import InFlight, name_paths
from .interrupts import OnSignal, minding_signals
from .lifetime import Lifetime, Phase
from .memory import Memory
from .places import Places, allowed_places
from .shared import Live, Shared, combined
from .states import STATE_NAMES, State, Timeouts

if TYPE_CHECKING:
    from ..loops.one_loop import Loop

logger = logging.getLogger("evloop_http.server")

#: Seconds that an idle connection is still open when the server stops: a request may be on its way.
_LAST_IDLE = 0.1
#: Seconds that an application has for its shut-down, even if no grace is left.
_SHUTTING_DOWN = 5.0


class Server:
    """Serves an application on any number of addresses.

    Args:
        application: a callable from `Request` to `Response`, or to one that comes later: a `Pending` or a
            `concurrent.futures.Future`. What else it may have is written in `evloop_http.messages.contract`.
        reactor: the loop to live on; a new one if none is given, which is then the server's to close.
        limits: how much of everything is read.
        timeouts: how long everything may take.
        max_connections: open at a time. For one more, the one is closed that has waited for its client the longest; if
            all are at work, it waits in the kernel's backlog. 16,384 if nothing is said, and never more than the
            process may open (`ulimit -n`), less 64.
        max_per_client: how many of them one client may have open: one IPv4 address, or one IPv6 network (/64). More are
            closed at once. None for all, which is right behind a proxy.
        max_stream: bytes of a body that is read while it arrives, where that is more than
            `Limits.body`; 413 beyond it.
        access_log: an observer that writes a line for every response, e.g. `evloop_http.AccessLog`.
        observers: whoever else is told what happens on the connections; see `evloop_http.messages.Observer`.
        server_header: the value of the `Server` field; empty for none.

    Raises:
        ValueError: `max_connections` or `max_per_client` is less than 1.
        TypeError: the application is not one.
    """

    def __init__(self, application: Application, *, reactor: Reactor | None = None, limits: Limits | None = None,
                 timeouts: Timeouts | None = None, max_connections: int | None = None,
                 max_per_client: int | None = None, max_stream: int = 1 << 30,
                 access_log: Observer | None = None, observers: Iterable[Observer] = (),
                 server_header: str = "evloop_http") -> None:
        limits = limits or Limits()
        for name, number in (("max_connections", max_connections), ("max_per_client", max_per_client)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is at least 1, not {number}")
        self.reactor = reactor or Reactor()
        self._owns_reactor = reactor is None
        self._listeners: dict[Listener, Origin] = {}
        self._handshakes = Handshakes(self.reactor)
        self._stopped = threading.Event()
        self._loop: Loop | None = None  # of asyncio, while the server runs on one of its own
        self._grace_ends = 0.0
        self._when_stopped: list[Callable[[], object]] = []
        self._force_timer = self.reactor.timer(self._on_grace_over)
        self._date_timer = self.reactor.timer(self._forget_date)
        self._ended = Counter[str]()
        watching = [*([access_log] if access_log is not None else []), *observers]
        self._shared = Shared(
            contract=Contract(application),
            reactor=self.reactor,
            heads=HeadParser(replace(limits, body=max(limits.body, max_stream))),
            encoder=ResponseEncoder(server_header, self._tell_date),
            timeouts=timeouts or Timeouts(),
            body_limit=limits.body,
            observer=combined(watching),
            memory=Memory(limits.gathered),
            on_closed=self._on_closed,
        )
        self._life = Lifetime(self._shared.contract, on_started=self._resume_listening, on_failed=self._stop_at_once,
                              on_over=self._finish)
        self._places = Places(allowed_places(max_connections), max_per_client, self._shared.connections)

    def __repr__(self) -> str:
        return f"<Server {' '.join(self.urls) or 'not listening'}>"

    # Listening

    def listen(self, host: str = "127.0.0.1", port: int = 0, *, path: str | os.PathLike[str] | None = None,
               sock: socket.socket | None = None, tls: AnyContext | None = None,
               engine: str = "guarded", backlog: int = 1024, mode: int = 0o660) -> None:
        """Accept connections at an address; may be called more than once.

        Args:
            host: an address or a name; a name is listened to on the first address it has.
            port: 0 for any free one; see `addresses`.
            path: a Unix socket in the place of host and port. A socket file that nobody serves is
                replaced; anything else in its place is an error.
            sock: a socket that is bound already, in the place of all that; it becomes the server's.
            tls: serve HTTPS with this context; see `evloop_http.tls_context`. A context of the standard library is
                used as it is: the keys of its session tickets never change.
            engine: how TLS is done. "guarded" withstands any peer. "socket" is an `ssl.SSLSocket`, which one peer can
                keep busy for as long as it likes: for peers that one trusts.
            backlog: connections that may wait to be accepted.
            mode: permissions of the Unix socket, whatever the umask is.

        Raises:
            OSError: the address is in use, not ours, or may not be used.
            ValueError: port or mode is out of range, the context is one for clients, or there is no such engine.
            RuntimeError: the server has stopped.
        """
        self._refuse_if_stopped()
        wrap = Transport if tls is None else securing(server_context(tls), self._handshakes, engine)
        if sock is None:
            sock = bind_path(os.fspath(path), mode) if path is not None else bind_address(host, port)
        try:
            sock.listen(backlog)
            address = address_of(sock)
        except OSError:
            sock.close()
            raise
        origin = Origin(address, "http" if tls is None else "https", self.reactor.call_soon)
        listener = Listener(self.reactor, sock, has_room=self._has_room, make_room=self._make_room,
                            adopt=partial(self._adopt, origin), wrap=wrap,
                            path=None if path is None else os.fspath(path))
        self._listeners[listener] = origin
        if self._life.phase is not Phase.STARTING:
            listener.resume()

    def _refuse_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise RuntimeError("the server has stopped; make a new one")

    def _refuse_if_deaf(self) -> None:
        if not self._listeners:
            raise RuntimeError("the server does not listen anywhere; call listen() first")

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Where the server listens: (host, port), or the path of a Unix socket."""
        return [listener.address for listener in self._listeners]

    @property
    def urls(self) -> list[str]:
        """The URL of every address."""
        return [_url(origin) for origin in self._listeners.values()]

    @property
    def url(self) -> str:
        """The URL of the first address.

        Raises:
            RuntimeError: the server does not listen.
        """
        self._refuse_if_deaf()
        return self.urls[0]

    # Connections come and go

    @property
    def max_connections(self) -> int:
        """How many connections may be open at a time."""
        return self._places.most

    def _has_room(self) -> bool:
        return self._places.has_room(self.reactor.now)

    def _make_room(self) -> bool:
        return self._places.make_room(self.reactor.now)

    def _adopt(self, origin: Origin, transport: Transport, address: str, port: int) -> None:
        if not self._places.admit(address):  # first: nobody makes room for one that is refused
            transport.close()
            return
        if self._places.is_full() and not self._make_room():
            self._places.dismiss(address)
            transport.close()
            return
        is_tls = origin.scheme == "https"
        peer = TlsPeer(address, port, origin, transport.tls_facts) if is_tls else Peer(address, port, origin)
        Connection(transport, peer, self._shared)

    def _on_closed(self, connection: Live) -> None:
        ended = self._ended
        ended["connections"] += 1
        ended["requests"] += connection.requests
        ended["bytes_in"] += connection.received
        ended["bytes_out"] += connection.sent
        self._places.dismiss(connection.peer.address)
        if self._shared.draining:
            self._finish_if_drained()
        else:
            self._resume_listening()

    def _resume_listening(self) -> None:
        for listener in self._listeners:
            listener.resume()

    def _pause_listening(self) -> None:
        for listener in self._listeners:
            listener.pause()

    # Counting

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._shared.connections)

    def stats(self) -> dict[str, int | dict[str, int]]:
        """Counters since the server was made; what bodies and waiting responses hold now, in bytes; and how many
        connections are in each state.
        """
        live = list(self._shared.connections)
        states = Counter(connection.state_name for connection in live)
        return {
            "connections": self._ended["connections"] + len(live),
            "requests": self._ended["requests"] + sum(connection.requests for connection in live),
            "bytes_in": self._ended["bytes_in"] + sum(connection.received for connection in live),
            "bytes_out": self._ended["bytes_out"] + sum(connection.sent for connection in live),
            "bytes_held": self._shared.memory.held,
            "open": {name: states[name] for name in STATE_NAMES},
        }

    def in_flight(self) -> list[InFlight]:
        """The requests that are being received or answered now: what `stop` waits for, beside other protocols.

        One whose head has not arrived is not a request yet. Nothing is as the client sent it, so it is safe to print.
        """
        found = [connection.in_flight() for connection in list(self._shared.connections)]
        return [request for request in found if request is not None]

    # Running

    def run(self, grace: float = 10.0, on_signal: OnSignal | None = None) -> None:
        """Serve until SIGINT or SIGTERM, finish what is in flight, return.

        After `grace` seconds, or at a second signal, every connection is closed. A handler that works in a thread
        is not interrupted: this returns all the same, and logs which ones they are.

        If the application needs asyncio, its loop is this thread's while this runs. At the end, the tasks that are left
        are cancelled and waited for, as long as `grace` allows and at least for a moment.

        The second signal also puts back what handled signals before. So a third one ends a loop that does not answer,
        because a handler does not return: Ctrl-C raises `KeyboardInterrupt` there, unless the program handles it.

        Args:
            grace: seconds.
            on_signal: called with the number of each signal and how many have arrived, up to the second. It is called
                in the handler of the signal, even if the loop does not answer, so it must not wait, lock or print.

        Raises:
            RuntimeError: the server has stopped or does not listen, or this is not the main thread; elsewhere, use
                `in_thread` or run the reactor yourself. Or the application needs asyncio, and a coroutine calls this.
            StartUpFailed: the application cannot be served. No connection was accepted.
        """
        self._refuse_if_stopped()
        self._refuse_if_deaf()
        if self._shared.contract.needs_loop:
            _refuse_in_asyncio()
        with minding_signals(self.reactor, partial(self._stop_further, grace), on_signal):
            self._run_to_the_end()

    def _stop_further(self, grace: float) -> None:
        if self._shared.draining:
            self._force()
            self._life.give_up()
        else:
            self._begin_stop(grace)

    def _run_to_the_end(self) -> None:
        try:
            self._pause_listening()
            self.reactor.call_soon(self.start_up)
            if self._shared.contract.needs_loop and self.reactor.driver is None:
                self._run_in_asyncio()
            while not self._stopped.is_set():
                self.reactor.poll()
        finally:
            self.close()
        self._life.started.result()

    def start_up(self) -> Pending[None]:
        """Have the application start, as `run` and `in_thread` do. Nothing is accepted until it has.

        For a host that runs the reactor itself, in the thread of that. The host goes on and waits: what is returned can
        be awaited, and fails with `StartUpFailed`. When the server stops, the application shuts down.
        """
        if self._life.phase is Phase.NEW:
            self._pause_listening()
            self._life.begin()
        return self._life.started

    def call_when_started(self, callback: Callable[[], object]) -> None:
        """Call back when the application has started and connections are accepted; not if it fails to start.

        In the thread that runs the loop; at once if it is so already. To be called there, or before that.
        """
        def note(started: Pending[None]) -> None:
            if self._life.phase is Phase.RUNNING and started.exception() is None:
                callback()

        self._life.started.add_done_callback(note)

    def _run_in_thread(self) -> None:
        with contextlib.suppress(StartUpFailed):  # which meets whoever waits for the start
            self._run_to_the_end()

    def _run_in_asyncio(self) -> None:
        from ..loops.one_loop import Loop
        with contextlib.closing(Loop(self.reactor)) as loop:
            self._loop = loop
            try:
                while not self._stopped.is_set():
                    loop.run_forever()
            finally:
                self._close_all()
                try:
                    loop.finish(max(0.0, self._grace_ends - self.reactor.time()))
                finally:
                    self._loop = None

    @contextlib.contextmanager
    def in_thread(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
        """Serve from a thread for as long as the `with` block lasts; on a free port if it does not listen yet.

        Raises:
            RuntimeError: the server has stopped: it serves once. Or no thread can be started, and the server is closed.
            StartUpFailed: the application cannot be served.
        """
        self._refuse_if_stopped()
        if not self._listeners:
            self.listen(host, port)
        thread = threading.Thread(target=self._run_in_thread, name="evloop_http")
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self.close()
            raise
        try:
            self._life.started.result()
            yield self
        finally:
            self.stop(grace=0)
            thread.join()

    # Stopping

    def stop(self, grace: float = 10.0) -> None:
        """Stop accepting, finish what is in flight, close what is idle; after `grace` seconds close the rest.

        From any thread. Returns at once; the loop, which must go on turning, does the work, and `run` returns, or
        `wait_stopped`, when it is done. The last answers say `Connection: close`. How to wait for it in which loop is
        written at `wait_stopped`; a block of `loops.asyncio.serving` and `Server.run` call this by themselves.

        What is waited for: requests that have begun to arrive, until their answers have been sent (`in_flight` says
        which); other protocols on their connections, which are told to end; event streams end at once. What is not:
        handlers in threads whose clients have left or whose connections are closed. Nothing interrupts them, and
        which ones they are is logged. Calling it again sets a new `grace`.
        """
        self.reactor.call_soon_threadsafe(self._begin_stop, grace)

    def wait_stopped(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped. Return whether it has.

            server.wait_stopped()                                   # in another thread than the reactor's
            while not server.wait_stopped(0): reactor.poll()        # in your own loop
            await loops.asyncio.stopped(server)                     # in asyncio and trio; in gevent without await
            guest.stop(server, 5, root.destroy)                     # in Tk: calls back; GLib main.quit, Qt app.quit

        Args:
            timeout: seconds, or None for as long as it takes. In the thread that runs the reactor it must be 0, which
                only asks: waiting there would keep the server from stopping.
        """
        return self._stopped.wait(timeout)

    def call_when_stopped(self, callback: Callable[[], object]) -> None:
        """Call back once the server has stopped, in the thread of the loop; at once if it has. For that thread alone.

        A host that cannot wait learns so that its server has stopped: see `evloop_http.loops`.
        """
        if self._stopped.is_set():
            callback()
        else:
            self._when_stopped.append(callback)

    def _stop_at_once(self) -> None:
        self._begin_stop(0)

    def _begin_stop(self, grace: float) -> None:
        shared = self._shared
        if self._stopped.is_set():
            return
        if not shared.draining:
            for listener in self._listeners:
                listener.close(drain=self._life.phase is not Phase.STARTING)
            shared.draining = True
            shared.seconds[State.IDLE] = min(_LAST_IDLE, grace, shared.seconds[State.IDLE])
            for connection in list(shared.connections):
                connection.drain()
        self._grace_ends = self.reactor.now + grace
        ends = self._grace_ends
        if self._life.phase is Phase.ENDING:  # it has its own time for that, which is not cut short
            ends = max(ends, self._force_timer.deadline)
        self._force_timer.move(ends)
        self._finish_if_drained()

    def _on_grace_over(self) -> None:
        if self._life.phase is Phase.ENDING:
            self._life.give_up()
        else:
            self._force()

    def _force(self) -> None:
        """Close every connection. The application may still take a moment to shut down."""
        self._grace_ends = self.reactor.now
        if self._loop is not None:
            self._loop.hurry()
        for connection in list(self._shared.connections):
            connection.close()
        self._finish_if_drained()

    def _finish_if_drained(self) -> None:
        if not self._shared.connections and self._life.phase not in (Phase.ENDING, Phase.OVER):
            now = self.reactor.time()
            self._force_timer.move(max(self._grace_ends, now + _SHUTTING_DOWN))
            self._life.end(max(0.0, self._grace_ends - now))

    def _finish(self) -> None:
        """The application has ended."""
        self._force_timer.cancel()
        self._date_timer.cancel()
        try:
            self._shared.contract.close()
        except Exception:  # the host's code
            logger.exception("closing the application failed")
        self._tell_at_work()
        self._stopped.set()
        if self._loop is not None and self._loop.is_running():
            self._loop.stop()
        self._call_who_waits()

    def _call_who_waits(self) -> None:
        callbacks, self._when_stopped = self._when_stopped, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # the host's code
                logger.exception("a callback failed: %r; the server has stopped", callback)

    def _tell_at_work(self) -> None:
        at_work = [request for future, request in self._shared.left_at_work.items() if future.running()]
        if at_work:
            logger.warning("the server has stopped, but handlers are still at work in threads: %s", name_paths(at_work))

    def close(self) -> None:
        """End everything now: listeners, connections, and the reactor if it was made here.

        Raises:
            RuntimeError: a callback of that reactor calls this; `stop(0)` is for there.
        """
        self._close_all()
        if self._owns_reactor:
            self.reactor.close()

    def _close_all(self) -> None:
        self._shared.draining = True
        for listener in self._listeners:
            listener.close(drain=False)
        if not self._stopped.is_set():
            self._life.abandon()
            for connection in list(self._shared.connections):
                connection.close()
            self._finish()

    # The date

    def _tell_date(self) -> str:
        now = time.time()
        # The rest of this second; armed only while answers are made, so an idle server sleeps.
        self._date_timer.move(self.reactor.time() + 1 - now % 1)
        return formatdate(now, usegmt=True)

    def _forget_date(self) -> None:
        self._shared.encoder.forget_date()


def _refuse_in_asyncio() -> None:
    import asyncio
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("an asyncio loop is running in this thread, so the server cannot run one; in a coroutine, use "
                       "`async with evloop_http.loops.asyncio.serving(server)`")


def _url(origin: Origin) -> str:
    """Return what to type into a browser."""
    if isinstance(origin.address, str):
        return f"{origin.scheme}+unix://{origin.address}"
    host, port = origin.address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{origin.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
