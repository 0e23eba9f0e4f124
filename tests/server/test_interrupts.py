"""`Server.run` and signals, in a program of one's own: it returns, never ends the process, and leaves all as it was."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

import pytest

from evloop_http.messages import Request, Response
from evloop_http.net.reactor import Reactor
from evloop_http.server import Server
from fakes import GET, hello

PATIENCE = 20
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM


def host_s_own(number: int, frame: FrameType | None) -> None:
    raise AssertionError("the host is told of no signal while the server minds it")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Ctrl-C as Python handles it, and a handler of the host's; the server has put them back by the end."""
    found = {SIGINT: signal.signal(SIGINT, signal.default_int_handler), SIGTERM: signal.signal(SIGTERM, host_s_own)}
    yield
    left = signal.getsignal(SIGINT), signal.getsignal(SIGTERM), signal.set_wakeup_fd(-1)
    for number, handler in found.items():
        signal.signal(number, handler)
    assert left == (signal.default_int_handler, host_s_own, -1)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """The host's own reactor, fit to be run again at the end."""
    reactor = Reactor()
    yield reactor
    assert (reactor.registrations, reactor.timers) == (0, 0)
    again = Server(hello, reactor=reactor)
    again.listen()
    reactor.call_soon(again.stop)
    again.run()
    reactor.close()


def listening(application: Callable[[Request], object], reactor: Reactor) -> Server:
    server = Server(application, reactor=reactor)  # type: ignore[arg-type]
    server.listen()
    return server


def visit(server: Server, stack: contextlib.ExitStack) -> socket.socket:
    """A client that has sent a request."""
    address = server.addresses[0]
    assert isinstance(address, tuple)
    client = stack.enter_context(socket.create_connection(address, PATIENCE))
    client.sendall(GET)
    return client


def test_run_without_listen_is_an_error_and_minds_no_signal(reactor: Reactor) -> None:
    server = Server(hello, reactor=reactor)
    with pytest.raises(RuntimeError, match=r"call listen\(\) first"):
        server.run()
    server.listen()
    reactor.call_soon(server.stop)
    server.run()


def test_the_host_may_be_told_of_the_first_two_signals_in_their_handler(reactor: Reactor) -> None:
    told: list[tuple[int, int, bool]] = []
    turns: list[int] = []

    def on_signal(number: int, times: int) -> None:
        told.append((number, times, reactor.turn == turns[0]))

    def signal_twice() -> None:
        turns.append(reactor.turn)
        signal.raise_signal(SIGTERM)
        signal.raise_signal(SIGINT)

    server = listening(hello, reactor)
    reactor.call_soon(signal_twice)
    server.run(on_signal=on_signal)
    assert told == [(SIGTERM, 1, True), (SIGINT, 2, True)]


def test_a_loop_that_does_not_answer_is_ended_by_the_third_signal(reactor: Reactor) -> None:
    signals: list[int] = []

    def application(request: Request) -> NoReturn:
        while True:
            signals.append(1)
            signal.raise_signal(SIGINT)

    server = listening(application, reactor)
    with contextlib.ExitStack() as stack:
        client = visit(server, stack)
        with pytest.raises(KeyboardInterrupt):
            server.run()
        assert client.recv(1) == b""
    assert len(signals) == 3
    assert server.wait_stopped(0)


def test_after_two_signals_the_third_is_the_host_s_even_if_the_first_two_differ(reactor: Reactor) -> None:
    seen: list[tuple[object, object]] = []

    def application(request: Request) -> Response:
        for number in (SIGTERM, SIGINT):
            signal.raise_signal(number)
            seen.append((signal.getsignal(SIGINT), signal.getsignal(SIGTERM)))
        return Response("done")

    server = listening(application, reactor)
    with contextlib.ExitStack() as stack:
        visit(server, stack)
        server.run()
    assert seen[0][0] is not signal.default_int_handler
    assert seen[1] == (signal.default_int_handler, host_s_own)


def test_run_returns_while_a_thread_works_and_says_on_what(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def work() -> Response:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, SIGTERM)
        signal.pthread_kill(main, SIGINT)
        release.wait(PATIENCE)
        return Response("too late")

    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        server = listening(lambda request: pool.submit(work), reactor)
        client = visit(server, stack)
        server.run()
        assert client.recv(1) == b""
        assert caplog.messages == ["the server has stopped, but handlers are still at work in threads: /"]
        release.set()


def test_a_signal_that_arrives_while_it_ends_harms_nothing_later(reactor: Reactor) -> None:
    server = listening(hello, reactor)

    class Late(Server):
        def close(self) -> None:
            super().close()
            signal.raise_signal(SIGTERM)

    late = Late(hello, reactor=reactor)
    late.listen()
    reactor.call_soon(late.stop)
    late.run()
    server.stop()
    while not server.wait_stopped(0):
        reactor.poll()
