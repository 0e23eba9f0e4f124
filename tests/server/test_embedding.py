"""The server inside other programs: on a loop of its own, of the host's, of asyncio's, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import os
import select
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evloop_http.messages import Request, Response
from evloop_http.net.reactor import READ, Reactor
from evloop_http.server import Server, tls_context
from evloop_http.server.states import Timeouts
from fakes import GET, LAST_GET, hello, read_answers

PATIENCE = 20


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A host's own reactor, on which nothing may be left."""
    reactor = Reactor()
    yield reactor
    left = reactor.registrations, reactor.timers
    reactor.close()
    assert left == (0, 0)


@contextlib.contextmanager
def listening(reactor: Reactor, application: Callable[[Request], Response] = hello) -> Iterator[Server]:
    server = Server(application, reactor=reactor)
    server.listen()
    with contextlib.closing(server):
        yield server


def address_of(server: Server) -> tuple[str, int]:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return address


def connect(server: Server) -> socket.socket:
    return socket.create_connection(address_of(server), PATIENCE)


def fetch(server: Server) -> bytes:
    """The body of an answer, for a client that blocks."""
    with connect(server) as client:
        client.sendall(LAST_GET)
        pieces = []
        while piece := client.recv(65536):
            pieces.append(piece)
    answer, = read_answers(b"".join(pieces))
    return answer.body


def is_readable(sock: socket.socket | int) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def test_a_reactor_that_runs_serves_until_it_is_told_to_stop(reactor: Reactor) -> None:
    bodies: list[bytes] = []

    def visit() -> None:
        bodies.extend([fetch(server), fetch(server)])
        reactor.stop()

    with listening(reactor) as server:
        visitor = threading.Thread(target=visit)
        visitor.start()
        reactor.run()
        visitor.join()
    assert bodies == [b"hello", b"hello"]


def test_a_host_with_its_own_loop_gives_the_server_a_turn_now_and_then(reactor: Reactor) -> None:
    work = 0
    with listening(reactor) as server, connect(server) as client:
        client.sendall(GET)
        while not is_readable(client):
            work += 1
            assert work < 10_000
            reactor.poll(0)
        assert read_answers(client.recv(65536))[0].body == b"hello"
        assert reactor.poll(0) == 0


def test_a_host_that_sleeps_on_the_reactor_s_descriptor_is_woken_when_there_is_work(reactor: Reactor) -> None:
    with listening(reactor) as server:
        assert not is_readable(reactor.fileno())
        assert reactor.next_timeout() is None
        with connect(server) as client:
            client.sendall(GET)
            assert is_readable(reactor.fileno())
            while reactor.poll(0):
                pass
            assert not is_readable(reactor.fileno())
            timeout = reactor.next_timeout()
            assert timeout is not None
            assert 0 < timeout <= 75
            assert is_readable(client)


class Embedded:
    """A reactor inside an asyncio loop: watched by its descriptor, and woken when its next deadline comes."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._loop.add_reader(reactor.fileno(), self.turn)
        self.turn()

    def turn(self) -> None:
        self._reactor.poll(0)
        if self._handle is not None:
            self._handle.cancel()
        timeout = self._reactor.next_timeout()
        self._handle = None if timeout is None else self._loop.call_later(timeout, self.turn)

    def close(self) -> None:
        self._loop.remove_reader(self._reactor.fileno())
        if self._handle is not None:
            self._handle.cancel()


def test_asyncio_serves_beside_its_own_tasks(reactor: Reactor) -> None:
    async def visit(server: Server) -> bytes:
        reader, writer = await asyncio.open_connection(*address_of(server))
        writer.write(GET * 200 + LAST_GET)
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        return data

    async def main() -> None:
        with contextlib.closing(Embedded(reactor)):
            results = await asyncio.wait_for(asyncio.gather(*[visit(server) for _ in range(20)]), PATIENCE)
        assert [len(read_answers(data)) for data in results] == [201] * 20

    with listening(reactor) as server:
        asyncio.run(main())


def test_asyncio_wakes_for_a_deadline_and_for_a_call_from_another_thread(reactor: Reactor) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timer, thread = loop.create_future(), loop.create_future()
        reactor.call_later(0.01, timer.set_result, "timer")
        with contextlib.closing(Embedded(reactor)):
            assert await asyncio.wait_for(timer, PATIENCE) == "timer"
            caller = threading.Thread(target=reactor.call_soon_threadsafe, args=(thread.set_result, "thread"))
            caller.start()
            assert await asyncio.wait_for(thread, PATIENCE) == "thread"
            caller.join()

    asyncio.run(main())


def test_a_silent_client_is_closed_by_its_deadline_inside_asyncio(reactor: Reactor) -> None:
    async def main() -> None:
        with contextlib.closing(Embedded(reactor)):
            reader, writer = await asyncio.open_connection(*address_of(server))
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            writer.close()
            await writer.wait_closed()

    with contextlib.closing(Server(hello, reactor=reactor, timeouts=Timeouts(idle=0.02))) as server:
        server.listen()
        asyncio.run(main())


def test_a_server_in_a_thread_starts_and_stops_a_hundred_times_and_leaves_nothing(
        certificate: tuple[Path, Path]) -> None:
    context = tls_context(*certificate)

    def once(number: int) -> None:
        server = Server(hello)
        server.listen(tls=context if number % 10 == 0 else None)
        with server.in_thread():
            if number % 10:
                assert fetch(server) == b"hello"
            kept = connect(server)  # open when the server stops
        with kept:
            assert kept.recv(1) == b""

    once(0)
    gc.collect()
    descriptors, threads = os.listdir("/proc/self/fd"), threading.enumerate()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(100):
            once(number)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert threading.enumerate() == threads
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_a_server_in_a_thread_finds_a_port_by_itself_and_ends_when_its_block_fails() -> None:
    threads = threading.enumerate()
    server = Server(hello)
    with pytest.raises(ZeroDivisionError), server.in_thread():
        raise ZeroDivisionError(fetch(server))
    assert threading.enumerate() == threads
    assert server.wait_stopped(0)


def test_a_handler_may_stop_its_own_server() -> None:
    def application(request: Request) -> Response:
        server.stop(grace=PATIENCE)
        return Response("bye")

    server = Server(application)
    server.listen()
    with server.in_thread():
        assert fetch(server) == b"bye"
        assert server.wait_stopped(PATIENCE)


def test_who_waits_in_the_loop_is_called_when_the_server_has_stopped_or_at_once(reactor: Reactor) -> None:
    told: list[bool] = []
    with listening(reactor) as server, connect(server) as client:
        client.sendall(GET[:10])
        while not server.connections:
            reactor.poll()
        server.call_when_stopped(lambda: told.append(server.wait_stopped(0)))
        server.stop(grace=PATIENCE)
        reactor.poll()
        assert told == []
        client.sendall(GET[10:])
        while not server.wait_stopped(0):
            reactor.poll()
        assert told == [True]
        server.call_when_stopped(lambda: told.append(server.wait_stopped(0)))
        assert told == [True, True]


def test_who_waits_and_fails_keeps_nobody_else_waiting(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with listening(reactor) as server:
        server.call_when_stopped(lambda: told[0])
        server.call_when_stopped(lambda: told.append("told"))
    assert told == ["told"]
    assert "the server has stopped" in caplog.text
    assert "IndexError" in caplog.text


def test_two_servers_share_a_reactor_and_end_one_by_one(reactor: Reactor) -> None:
    def get_both() -> None:
        answers.append((fetch(first), fetch(second)))
        first.stop(grace=PATIENCE)
        assert first.wait_stopped(PATIENCE)
        answers.append((b"", fetch(second)))
        reactor.stop()

    answers: list[tuple[bytes, bytes]] = []
    with listening(reactor, lambda request: Response("first")) as first, \
            listening(reactor, lambda request: Response("second")) as second:
        visitor = threading.Thread(target=get_both)
        visitor.start()
        reactor.run()
        visitor.join()
        assert not second.wait_stopped(0)
    assert answers == [(b"first", b"second"), (b"", b"second")]


def test_a_socket_and_a_timer_of_the_host_live_beside_the_server(reactor: Reactor) -> None:
    happened: list[str] = []
    ours, theirs = socket.socketpair()

    def on_readable(events: int) -> None:
        happened.append(ours.recv(100).decode())
        reactor.unregister(ours)

    with ours, theirs, listening(reactor) as server, connect(server) as client:
        reactor.register(ours, READ, on_readable)
        reactor.call_later(0.01, happened.append, "timer")
        theirs.sendall(b"socket")
        client.sendall(GET)
        until = time.monotonic() + PATIENCE
        while len(happened) < 2 or not is_readable(client):
            assert time.monotonic() < until
            reactor.poll()
        assert read_answers(client.recv(65536))[0].body == b"hello"
    assert sorted(happened) == ["socket", "timer"]


def test_what_a_host_s_callback_raises_does_not_harm_the_server(reactor: Reactor,
                                                              caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ValueError("the host's own")

    with listening(reactor) as server, connect(server) as client:
        reactor.call_soon(broken)
        reactor.call_later(0, broken)
        client.sendall(GET)
        for _ in range(10_000):
            reactor.poll(0.01)
            if is_readable(client):
                break
        assert read_answers(client.recv(65536))[0].body == b"hello"
    assert caplog.text.count("ValueError: the host's own") == 2


def test_a_reactor_of_the_host_survives_its_server(reactor: Reactor) -> None:
    for _ in range(3):
        with listening(reactor) as server, connect(server) as client:
            client.sendall(GET)
            while not is_readable(client):
                reactor.poll(PATIENCE)
        assert (reactor.registrations, reactor.timers) == (0, 0)
        assert reactor.poll(0) >= 0


def test_a_foreign_client_is_served_by_a_reactor_that_changes_threads(reactor: Reactor) -> None:
    with listening(reactor) as server:
        for _ in range(3):
            thread = threading.Thread(target=reactor.run)
            thread.start()
            client = http.client.HTTPConnection(*address_of(server), timeout=PATIENCE)
            client.request("GET", "/")
            assert client.getresponse().read() == b"hello"
            client.close()
            reactor.stop()
            thread.join()
