"""Connections after HTTP: an echo over real sockets, plain and TLS, and what ends it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evloop_http.messages import Channel, HTTPError, Request, Response, Upgrade
from evloop_http.server import Server, tls_context
from evloop_http.server.states import Timeouts
from fakes import GET, FakeNet, Later, SwitchedEcho, Watcher, get, hello, read_answers

PATIENCE = 20
UPGRADE = get("/echo", "Connection: Upgrade", "Upgrade: echo")


def application(request: Request) -> Response:
    if request.path != "/echo":
        return hello(request)
    if request.headers.get("Upgrade") != "echo":
        raise HTTPError(426, headers={"Upgrade": "echo"})
    return Upgrade(SwitchedEcho(), "echo", {"X-Note": "welcome"})


@pytest.fixture(params=["plain", "tls"])
def connect(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[Callable[..., Any]]:
    """A function that serves and connects: it returns the server and a connected socket."""
    with contextlib.ExitStack() as opened:
        def make(application: Any = application, **options: Any) -> tuple[Server, socket.socket]:
            server = Server(application, **options)
            server.listen(tls=tls_context(*certificate) if request.param == "tls" else None)
            opened.enter_context(server.in_thread())
            address = server.addresses[0]
            assert isinstance(address, tuple)
            client = opened.enter_context(socket.create_connection(address, PATIENCE))
            if request.param == "tls":
                context = ssl.create_default_context(cafile=str(certificate[0]))
                client = opened.enter_context(context.wrap_socket(client, server_hostname="localhost"))
            return server, client
        yield make


def read_head(client: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte
        head += byte
    return head


def read_exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        assert piece, "the connection ended early"
        data += piece
    return data


def switched(client: socket.socket, note: bool = True) -> None:
    client.sendall(UPGRADE)
    head = read_head(client)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nConnection: Upgrade\r\nUpgrade: echo\r\n" in head
    assert (b"\r\nX-Note: welcome\r\n" in head) is note


def test_a_connection_is_handed_to_another_protocol(connect: Callable[..., Any]) -> None:
    server, client = connect()
    switched(client)
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    assert server.stats()["open"]["switched"] == 1
    assert server.connections == 1


def test_what_was_sent_behind_the_request_belongs_to_the_protocol(connect: Callable[..., Any]) -> None:
    _, client = connect()
    client.sendall(UPGRADE + GET)
    read_head(client)
    assert read_exactly(client, len(GET)) == GET


def test_an_answer_in_the_place_of_the_switch_leaves_http_as_it_was(connect: Callable[..., Any]) -> None:
    _, client = connect()
    client.sendall(get("/echo") + GET)
    data = b""
    while data.count(b"HTTP/1.1") < 2 or not data.endswith(b"hello"):
        data += client.recv(1000)
    assert [answer.status for answer in read_answers(data)] == [426, 200]


def test_a_client_that_reads_slowly_stops_the_echo_and_everything_arrives(connect: Callable[..., Any]) -> None:
    _, client = connect()
    switched(client)
    sent = bytes(range(256)) * 40_000  # far more than all buffers on the way hold

    def send() -> None:
        client.sendall(sent)

    if isinstance(client, ssl.SSLSocket):  # one thread at a time: pieces that surely fit
        received = b""
        for begin in range(0, len(sent), 60_000):
            client.sendall(sent[begin:begin + 60_000])
            received += read_exactly(client, len(sent[begin:begin + 60_000]))
    else:
        thread = threading.Thread(target=send)
        thread.start()
        received = read_exactly(client, len(sent))
        thread.join(PATIENCE)
    assert received == sent


def test_a_client_that_closes_its_half_gets_the_rest_and_then_the_end(connect: Callable[..., Any]) -> None:
    _, client = connect()
    switched(client)
    client.sendall(b"last words")
    assert read_exactly(client, 10) == b"last words"
    # Over TLS, close_notify: the half of it, for `unwrap` would wait for that of the server, which is its answer.
    if isinstance(client, ssl.SSLSocket):
        bare = client.unwrap()
        bare.shutdown(socket.SHUT_WR)
        assert bare.recv(1) == b""
        bare.close()
    else:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_a_protocol_that_has_ended_its_half_still_receives(connect: Callable[..., Any]) -> None:
    received, arrived = [], threading.Event()

    class EndsFirst(SwitchedEcho):
        def on_data(self, data: bytes) -> None:
            received.append(data)
            self.channel.end() if data == b"bye" else arrived.set()

    protocol = EndsFirst()
    _, client = connect(application=lambda request: Upgrade(protocol, "echo"))
    switched(client, note=False)
    client.sendall(b"bye")
    assert client.recv(1) == b""
    client.sendall(b"still here")
    assert arrived.wait(PATIENCE)
    assert received == [b"bye", b"still here"]


def test_a_server_that_stops_ends_its_switched_connections(connect: Callable[..., Any]) -> None:
    server, client = connect()
    switched(client)
    server.stop(grace=PATIENCE)
    assert client.recv(1) == b""
    client.close()
    assert server.wait_stopped(PATIENCE)


# Over fakes: what a socket would take long to show

def test_a_switched_connection_is_paused_while_its_peer_reads_nothing() -> None:
    net = FakeNet(lambda request: Upgrade(SwitchedEcho(), "echo"))
    peer = net.connect(room=1000)
    peer.send(GET)
    for _ in range(100):
        peer.send(bytes(10_000))
    assert peer.transport.queued < 200_000
    peer.take()
    assert len(peer.got.partition(b"\r\n\r\n")[2]) == 1_000_000
    net.finish()
    net.close()


@pytest.mark.parametrize("queued", [False, True])
def test_a_switched_connection_that_does_not_move_is_closed(queued: bool) -> None:
    net = FakeNet(lambda request: Upgrade(SwitchedEcho(), "echo"), timeouts=Timeouts(idle=75, write=30))
    peer = net.connect()
    peer.send(GET)
    if queued:
        peer.sock.room = 0
        peer.send(b"echo")
    net.advance(29 if queued else 74)
    assert peer.state() == "switched"
    net.advance(2)
    assert peer.state() == "closed"
    net.close()


def test_an_exception_of_a_protocol_is_logged_and_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SwitchedEcho):
        def on_data(self, data: bytes) -> None:
            raise ValueError("on purpose")

    protocol = Broken()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    peer = net.connect()
    peer.send(GET, b"x")
    assert peer.state() == "closed"
    assert protocol.events == ["closed"]
    assert "on purpose" in caplog.text
    net.close()


def test_a_protocol_is_told_of_room_whatever_it_wrote_meanwhile() -> None:
    protocol = SwitchedEcho()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    peer = net.connect(room=1000)
    peer.send(GET, bytes(100_000))
    peer.take(60_000)
    assert protocol.channel.write(b"ping")
    peer.take()
    peer.send(b"more")
    assert peer.got.endswith(b"pingmore")
    net.finish()
    net.close()


@pytest.mark.parametrize("when", ["left", "stopping"])
def test_a_protocol_hears_what_happened_before_it_began(when: str) -> None:
    protocol, later = SwitchedEcho(), Later()
    net = FakeNet(later)
    peer = net.connect()
    peer.send(GET)
    if when == "left":
        peer.end()
    else:
        net.shared.draining = True
        peer.connection.drain()
    later.futures[0].set_result(Upgrade(protocol, "echo"))
    net.settle()
    assert peer.state() == ("closed" if when == "left" else "lingering")
    assert protocol.events == ["closed"]
    net.finish()
    net.close()


def test_what_arrived_behind_the_request_waits_for_a_protocol_that_is_paused() -> None:
    class Paused(SwitchedEcho):
        def on_start(self, channel: Channel) -> None:
            super().on_start(channel)
            channel.pause()

    protocol = Paused()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    peer = net.connect()
    peer.send(GET + b"early")
    assert peer.got.endswith(b"\r\n\r\n")
    protocol.channel.resume()
    assert peer.got.endswith(b"early")
    net.finish()
    net.close()


def test_a_protocol_that_closes_at_once_receives_nothing() -> None:
    class Closes(SwitchedEcho):
        def on_start(self, channel: Channel) -> None:
            channel.close()

        def on_data(self, data: bytes) -> None:
            pytest.fail("it has closed")

    net = FakeNet(lambda request: Upgrade(Closes(), "echo"))
    peer = net.connect()
    peer.send(GET + b"early", b"late")
    assert peer.state() == "lingering"
    net.finish()
    net.close()


def test_a_peer_that_sends_and_does_not_read_is_closed_all_the_same() -> None:
    class Careless(SwitchedEcho):
        def on_data(self, data: bytes) -> None:
            self.channel.write(data)

    net = FakeNet(lambda request: Upgrade(Careless(), "echo"))
    peer = net.connect(room=1000)
    peer.send(GET)
    for _ in range(7):
        peer.send(bytes(1000))
        net.advance(5)
    assert peer.state() == "closed"
    net.close()


def test_a_protocol_may_write_at_any_time_and_end_in_its_own_way() -> None:
    protocol = SwitchedEcho()
    watcher = Watcher()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"), observer=watcher)
    peer = net.connect(room=10_000)
    peer.send(GET)
    net.reactor.call_later(5, lambda: protocol.channel.write(bytes(20_000)))
    net.advance(6)
    assert peer.transport.queued
    protocol.channel.close()
    with pytest.raises(BrokenPipeError):
        protocol.channel.write(b"more")
    assert peer.state() == "switched"
    peer.take()
    assert peer.state() == "lingering"
    assert len(peer.got.partition(b"\r\n\r\n")[2]) == 20_000
    peer.end()
    assert (peer.state(), protocol.events) == ("closed", ["closed"])
    assert [(answer.status, answer.complete) for answer in watcher.answers] == [(101, True)]
    net.close()


@pytest.mark.parametrize(("request_bytes", "upgrade"), [
    (b"GET / HTTP/1.0\r\n\r\n", Upgrade(SwitchedEcho(), "echo")),
    (GET, Upgrade(SwitchedEcho())),
], ids=["1.0", "no name"])
def test_a_switch_that_cannot_be_is_a_failure_of_the_application(request_bytes: bytes, upgrade: Upgrade) -> None:
    net = FakeNet(lambda request: upgrade)
    peer = net.connect()
    peer.send(request_bytes)
    assert peer.statuses == [500]
    net.finish()
    net.close()


def test_an_application_that_makes_tunnels_answers_connect() -> None:
    class Tunnels:
        tunnels = True

        def __call__(self, request: Request) -> Response:
            assert request.method == "CONNECT"
            return Upgrade(SwitchedEcho())

    net = FakeNet(Tunnels())
    peer = net.connect()
    peer.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", b"bytes")
    assert peer.got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert peer.got.endswith(b"\r\n\r\nbytes")
    assert b"Content-Length" not in peer.got
    net.finish()
    net.close()


# A protocol that keeps time by itself

class Timekeeper(SwitchedEcho):
    def on_start(self, channel: Channel) -> None:
        super().on_start(channel)
        channel.wake_in(10, self.on_alarm)

    def on_alarm(self) -> None:
        self.events.append("alarm")
        if self.events.count("alarm") < 30:
            self.channel.wake_in(10, self.on_alarm)


def test_a_protocol_that_keeps_time_is_woken_and_not_closed_for_its_silence() -> None:
    protocol = Timekeeper()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"), timeouts=Timeouts(idle=75))
    peer = net.connect()
    peer.send(GET)
    for seconds in (9, 2, 10, 10, 60):
        net.advance(seconds)
    assert protocol.events == ["alarm"] * 4
    for _ in range(30):
        net.advance(10)
    assert protocol.events == ["alarm"] * 30
    net.advance(1000)
    assert peer.state() == "switched"
    assert protocol.channel.time() == net.clock.seconds
    net.finish()
    net.close()


def test_a_later_wish_takes_the_place_of_an_earlier_one() -> None:
    protocol = SwitchedEcho()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    net.connect().send(GET)
    protocol.channel.wake_in(50, lambda: protocol.events.append("first"))
    protocol.channel.wake_in(5, lambda: protocol.events.append("second"))
    net.advance(6)
    net.advance(50)
    assert protocol.events == ["second"]
    net.finish()
    net.close()


def test_a_protocol_that_keeps_time_is_closed_when_its_peer_takes_nothing() -> None:
    protocol = Timekeeper()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"), timeouts=Timeouts(write=30))
    peer = net.connect()
    peer.send(GET)
    peer.sock.room = 0
    peer.send(b"echo")
    assert protocol.channel.queued == 4
    for _ in range(3):
        net.advance(9)
    assert peer.state() == "switched"
    net.advance(9)
    assert peer.state() == "closed"
    assert protocol.events == ["alarm", "closed"]
    net.close()


def test_a_failing_alarm_is_logged_and_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    protocol = SwitchedEcho()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    peer = net.connect()
    peer.send(GET)
    protocol.channel.wake_in(1, lambda: [].pop())
    net.advance(2)
    assert peer.state() == "closed"
    assert "pop from empty list" in caplog.text
    net.close()


def test_another_thread_has_something_done_in_a_turn_of_the_connection(connect: Callable[..., Any]) -> None:
    protocol = SwitchedEcho()
    _, client = connect(application=lambda request: Upgrade(protocol, "echo"))
    switched(client, note=False)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    protocol.channel.later(protocol.channel.write, b"from elsewhere")
    assert read_exactly(client, 14) == b"from elsewhere"


def test_a_protocol_whose_client_left_before_the_switch_is_told_so() -> None:
    protocol, later = SwitchedEcho(), Later()
    net = FakeNet(later)
    peer = net.connect()
    peer.send(GET)
    peer.reset()
    later.futures[0].set_result(Upgrade(protocol, "echo"))
    net.settle()
    assert protocol.events == ["closed"]
    net.close()


def test_a_protocol_is_told_when_the_switch_cannot_be_made() -> None:
    protocol = SwitchedEcho()
    net = FakeNet(lambda request: Upgrade(protocol, "echo"))
    net.connect().send(b"GET / HTTP/1.0\r\n\r\n")
    assert protocol.events == ["closed"]
    net.finish()
    net.close()
