"""An application that needs asyncio: the server runs on a loop of its own then, and ends as it does without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from coroutines import AsyncApplication
from evloop_http.app.middleware import TrustedHosts
from evloop_http.loops import finishing
from evloop_http.loops.asyncio import Loop
from evloop_http.messages import Contract, Request, Response
from evloop_http.net.reactor import Reactor
from evloop_http.server import Server
from fakes import GET, LAST_GET, hello, read_answers

PATIENCE = 20
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Signals as Python handles them, and no running loop; so it is again at the end."""
    found = signal.signal(SIGINT, signal.default_int_handler)
    found_term = signal.signal(SIGTERM, signal.SIG_DFL)
    yield
    assert signal.getsignal(SIGINT) is signal.default_int_handler
    assert signal.getsignal(SIGTERM) is signal.SIG_DFL
    signal.signal(SIGTERM, found_term)
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(SIGINT, found)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    left = reactor.registrations, reactor.timers, reactor.awake, reactor.driver
    reactor.close()
    assert left == (0, 0, False, None)


def connect(server: Server) -> socket.socket:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return socket.create_connection(address, PATIENCE)


@contextlib.contextmanager
def visited(handler: Callable[[Request], Awaitable[Response]], reactor: Reactor,
            request: bytes = LAST_GET) -> Iterator[tuple[Server, socket.socket]]:
    """A server that listens, and a client that has sent it a request and will send no more."""
    server = Server(AsyncApplication(handler), reactor=reactor)
    server.listen()
    with connect(server) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        yield server, client


def received(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


# -- what the contract says


def test_whether_a_loop_is_needed_is_asked_anew_each_time() -> None:
    class Application:
        needs_loop = False

        def __call__(self, request: Request) -> Response:
            return hello(request)

    application = Application()
    contracts = [Contract(application), Contract(TrustedHosts(["a"], application))]
    assert [contract.needs_loop for contract in contracts] == [False, False]
    application.needs_loop = True
    assert [contract.needs_loop for contract in contracts] == [True, True]
    assert not Contract(hello).needs_loop


def test_without_need_nobody_loads_asyncio() -> None:
    program = """
import sys
from evloop_http import App, Server
app = App()
app.get("/")(lambda request: "hello")
with Server(app).in_thread():
    pass
server = Server(app)
server.listen()
server.reactor.call_soon(server.stop)
server.run()
assert "asyncio" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": str(ROOT)})


# -- running


def test_run_serves_coroutines_and_plain_functions_of_this_thread(reactor: Reactor) -> None:
    seen: list[object] = []

    async def handler(request: Request) -> Response:
        await asyncio.sleep(0.001)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        seen.append((loop.reactor, threading.get_ident()))
        loop.call_soon(server.stop)
        return Response("from a coroutine")

    with visited(handler, reactor) as (server, client):
        server.run()
        assert read_answers(received(client))[0].body == b"from a coroutine"
    assert seen == [(reactor, threading.get_ident())]


def test_a_need_that_arises_after_the_server_was_made_is_met(reactor: Reactor) -> None:
    async def handler(request: Request) -> Response:
        asyncio.get_running_loop().call_soon(server.stop)
        return Response("late")

    application = AsyncApplication(handler)
    application.needs_loop = False
    server = Server(application, reactor=reactor)
    server.listen()
    application.needs_loop = True
    with connect(server) as client:
        client.sendall(LAST_GET)
        client.shutdown(socket.SHUT_WR)
        server.run()
        assert read_answers(received(client))[0].body == b"late"


def test_a_loop_that_a_handler_stops_goes_on_until_the_server_has_stopped(reactor: Reactor) -> None:
    async def handler(request: Request) -> Response:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        server.stop()
        return Response("hello")

    with visited(handler, reactor) as (server, client):
        server.run()
        assert read_answers(received(client))[0].body == b"hello"


def test_in_a_thread_the_loop_is_that_thread_s() -> None:
    async def handler(request: Request) -> Response:
        return Response(threading.current_thread().name)

    with Server(AsyncApplication(handler)).in_thread() as server, connect(server) as client:
        client.sendall(LAST_GET)
        assert read_answers(received(client))[0].body == b"evloop_http"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc/self/fd")
def test_servers_with_loops_come_and_go_and_leave_nothing() -> None:
    async def handler(request: Request) -> Response:
        return Response(await asyncio.to_thread(lambda: "hello"))

    def once() -> None:
        with Server(AsyncApplication(handler)).in_thread() as server, connect(server) as client:
            client.sendall(LAST_GET)
            assert read_answers(received(client))[0].body == b"hello"

    once()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(10):
        once()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_run_in_a_coroutine_says_what_to_use_there(reactor: Reactor) -> None:
    server = Server(AsyncApplication(lambda request: asyncio.sleep(0, Response())), reactor=reactor)
    server.listen()

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"loops\.asyncio\.serving\(server\)"):
            server.run()

    asyncio.run(main())
    server.close()


# -- ending


class Endless:
    """A handler whose coroutine waits, and notes how it ends."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.ended: list[str] = []
        self._then = then

    async def __call__(self, request: Request) -> Response:
        self._then()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0.001)
            self.ended.append("cancelled and awaited")
        return Response("too late")


def test_what_is_left_when_the_server_has_stopped_is_ended(reactor: Reactor) -> None:
    ended: list[str] = []
    kept: list[object] = []

    async def background() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.append("task")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def handler(request: Request) -> Response:
        generator = numbers()
        kept.extend([asyncio.create_task(background()), generator, await anext(generator)])
        await asyncio.to_thread(int)
        server.stop()
        return Response("hello")

    with visited(handler, reactor) as (server, client):
        server.run()
        assert read_answers(received(client))[0].body == b"hello"
    assert ended == ["task", "generator"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]


def test_the_first_signal_waits_for_a_coroutine_and_the_second_cancels_it(reactor: Reactor) -> None:
    def signal_twice() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, SIGTERM)
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, SIGINT)

    endless = Endless(signal_twice)
    with visited(endless, reactor) as (server, client):
        server.run(grace=1000)
        assert received(client) == b""
    assert endless.ended == ["cancelled and awaited"]


def test_the_first_signal_lets_a_coroutine_answer(reactor: Reactor) -> None:
    async def handler(request: Request) -> Response:
        signal.raise_signal(SIGTERM)
        await asyncio.sleep(0.01)
        return Response("done")

    with visited(handler, reactor, GET) as (server, client):
        server.run()
        answer, = read_answers(received(client))
    assert (answer.body, answer.headers["Connection"]) == (b"done", "close")


def test_after_the_grace_a_coroutine_is_cancelled(reactor: Reactor) -> None:
    endless = Endless(lambda: signal.raise_signal(SIGTERM))
    with visited(endless, reactor) as (server, client):
        server.run(grace=0.01)
        assert received(client) == b""
    assert endless.ended == ["cancelled and awaited"]


def test_a_task_that_ignores_its_cancellation_is_waited_for_until_the_second_signal(
        reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    release: list[bool] = []

    async def stubborn() -> None:
        while not release:
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                if not release:
                    asyncio.get_running_loop().call_soon(signal.raise_signal, SIGTERM)

    async def handler(request: Request) -> Response:
        kept.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)
        signal.raise_signal(SIGTERM)
        return Response("hello")

    kept: list[asyncio.Task[None]] = []
    with visited(handler, reactor) as (server, client):
        server.run(grace=1000)
        assert read_answers(received(client))[0].body == b"hello"
    assert "tasks that were cancelled go on" in caplog.text
    release.append(True)
    kept[0]._log_destroy_pending = False  # type: ignore[attr-defined]


def test_tasks_that_are_left_have_what_is_left_of_the_grace(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "_LEAST", 0)
    endless = Endless(int)

    async def handler(request: Request) -> Response:
        kept.append(asyncio.create_task(endless(request)))
        await asyncio.sleep(0)
        server.stop(grace=PATIENCE)
        return Response("hello")

    kept: list[asyncio.Task[Response]] = []
    with visited(handler, reactor) as (server, client):
        server.run()
        assert read_answers(received(client))[0].body == b"hello"
    assert endless.ended == ["cancelled and awaited"]


def test_a_thread_that_does_not_end_does_not_hold_the_end(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    async def handler(request: Request) -> Response:
        signal.raise_signal(SIGTERM)
        await asyncio.to_thread(release.wait, PATIENCE)
        return Response("too late")

    with visited(handler, reactor) as (server, client):
        server.run(grace=0.01)
        assert received(client) == b""
    release.set()
    assert "threads of asyncio.to_thread or of the loop's default executor are still at work" in caplog.messages


def test_the_third_signal_ends_a_coroutine_that_does_not_answer(reactor: Reactor) -> None:
    signals: list[int] = []

    async def handler(request: Request) -> Response:
        while True:
            signals.append(1)
            signal.raise_signal(SIGINT)

    with visited(handler, reactor) as (server, client):
        with pytest.raises(KeyboardInterrupt):
            server.run()
        assert received(client) == b""
    assert len(signals) == 3
    assert server.wait_stopped(0)


def test_the_application_s_own_signal_handlers_work_beside_the_server_s(reactor: Reactor) -> None:
    heard: list[str] = []

    async def handler(request: Request) -> Response:
        loop = asyncio.get_running_loop()
        usr1 = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, usr1.set_result, "heard")
        signal.raise_signal(signal.SIGUSR1)
        heard.append(await asyncio.wait_for(usr1, PATIENCE))
        signal.raise_signal(SIGTERM)
        return Response("hello")

    with visited(handler, reactor) as (server, client):
        server.run()
        assert read_answers(received(client))[0].body == b"hello"
    assert heard == ["heard"]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
