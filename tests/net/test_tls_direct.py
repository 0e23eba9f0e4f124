"""TLS by an `ssl.SSLSocket`: what only this engine has to deal with."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from evloop_http.net import transport as transport_module
from evloop_http.net.reactor import READ, WRITE
from evloop_http.net.tls import TlsTransport
from evloop_http.net.tls import direct as tls_module
from recording import Recorder
from tls_world import Certificate, Client, World


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def world(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[World]:
    world = World(certificate, request.param, "socket")
    yield world
    world.close()


@pytest.fixture
def modern(certificate: Certificate) -> Iterator[World]:
    """Where the version of TLS makes no difference."""
    world = World(certificate, engine="socket")
    yield world
    world.close()


# -- decrypted bytes that the selector does not know of


def test_one_record_of_many_messages_is_told_piece_by_piece_while_the_socket_is_silent(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    _, client, owner = world.connect()
    client.send(bytes(950))
    while len(owner.data) < 950:
        before = len(owner.pieces)
        world.turn()
        assert before < len(owner.pieces) <= before + 2  # others get their turn in between
        assert world.reactor.next_timeout() == (0 if len(owner.data) < 950 else None)
    assert [len(piece) for piece in owner.pieces] == [100] * 9 + [50]
    assert world.is_quiet()


def test_a_record_that_is_read_to_its_last_byte_leaves_nothing_to_come_back_for(
        modern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    _, client, owner = modern.connect()
    client.send(bytes(300))
    for _ in range(3):
        modern.turn()
    assert len(owner.data) == 300
    assert modern.is_quiet()


def test_many_records_that_came_at_once_are_all_told(modern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    _, client, owner = modern.connect()
    words = [b"%05d" % number * 31 for number in range(20)]
    for word in words:
        client.tls.write(word)
    client.push()
    while len(owner.data) < 20 * 155:
        assert modern.turn()
    assert owner.data == b"".join(words)
    assert modern.is_quiet()


def test_pending_bytes_wait_while_reading_is_switched_off_and_come_when_it_is_on_again(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    transport, client, owner = world.connect()
    owner.then["data"] = lambda: setattr(transport, "reading", False)
    client.send(bytes(450))
    for count in (100, 200, 300, 400, 450):
        world.turn()
        assert len(owner.data) == count
        assert world.is_quiet()
        transport.reading = True
        transport.update_interest()
    assert world.is_quiet()


def test_reading_switched_off_before_the_come_back_holds_it_back(
        modern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    transport, client, owner = modern.connect()
    client.send(bytes(250))
    modern.reactor.call_soon(lambda: None)
    modern.turn()
    transport.reading = False
    transport.update_interest()
    before = len(owner.data)
    modern.turn()
    assert modern.is_quiet()
    assert len(owner.data) == before
    transport.reading = True
    transport.update_interest()
    while len(owner.data) < 250:
        assert modern.turn()


def test_a_transport_closed_with_pending_bytes_is_told_nothing_more(
        modern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    transport, client, owner = modern.connect()
    client.send(bytes(950))
    modern.turn()
    told = list(owner.told)
    transport.close()
    modern.turn()
    assert modern.is_quiet()
    assert owner.told == told


def test_pending_bytes_are_told_before_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "READ_SIZE", 100)
    _, client, owner = world.connect()
    client.send(bytes(350))
    client.say_goodbye()
    client.sock.shutdown(socket.SHUT_WR)
    while "eof" not in owner.told:
        assert world.turn()
    assert owner.told == ["open", "data", "data", "data", "data", "eof"]
    assert len(owner.data) == 350


# -- reading that needs to write, and writing that needs to read


class ScriptedSocket(ssl.SSLSocket):
    """OpenSSL with refusals put in: they come with a renegotiation or a key update, which cannot be asked for here."""

    recv_refusals: list[ssl.SSLError]
    send_refusals: list[ssl.SSLError]

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if refusals := self.__dict__.get("recv_refusals"):
            raise refusals.pop(0)
        return super().recv(buflen, flags)

    def send(self, data: object, flags: int = 0) -> int:
        if refusals := self.__dict__.get("send_refusals"):
            raise refusals.pop(0)
        return super().send(data, flags)  # type: ignore[arg-type]


@pytest.fixture
def scripted(modern: World) -> tuple[World, TlsTransport, Client, Recorder, ScriptedSocket]:
    modern.context.sslsocket_class = ScriptedSocket
    transport, client, owner = modern.connect()
    sock = transport._sock
    assert isinstance(sock, ScriptedSocket)
    return modern, transport, client, owner, sock


Scripted = tuple[World, TlsTransport, Client, Recorder, ScriptedSocket]


def test_a_read_that_needs_to_write_waits_for_room_and_is_tried_again(scripted: Scripted) -> None:
    world, _, client, owner, sock = scripted
    sock.recv_refusals = [ssl.SSLWantWriteError()]
    client.send(b"question")
    world.turn()
    assert (owner.pieces, world.watched()) == ([], WRITE)
    world.turn()
    assert owner.data == b"question"
    assert world.watched() == READ
    assert world.is_quiet()


def test_a_read_that_needs_to_write_twice_goes_on_waiting_for_room(scripted: Scripted) -> None:
    world, _, client, owner, sock = scripted
    sock.recv_refusals = [ssl.SSLWantWriteError(), ssl.SSLWantWriteError(), ssl.SSLWantReadError()]
    client.send(b"question")
    for watched in (WRITE, WRITE, READ):
        world.turn()
        assert (owner.pieces, world.watched()) == ([], watched)
    world.turn()
    assert owner.data == b"question"


def test_a_write_that_needs_to_read_waits_for_bytes_and_not_for_room(scripted: Scripted) -> None:
    world, transport, client, owner, sock = scripted
    sock.send_refusals = [ssl.SSLWantReadError()]
    assert not transport.write(b"answer")
    transport.update_interest()
    assert world.watched() == READ
    assert world.is_quiet()
    client.send(b"go on")
    world.turn()
    assert client.received() == b"answer"
    assert owner.data == b"go on"
    assert "writable" in owner.told
    assert world.is_quiet()


def test_a_write_that_needs_to_read_does_so_even_while_nobody_reads(scripted: Scripted) -> None:
    world, transport, client, owner, sock = scripted
    transport.reading = False
    transport.update_interest()
    sock.send_refusals = [ssl.SSLWantReadError()]
    transport.write(b"answer")
    transport.update_interest()
    assert world.watched() == READ
    client.send(b"go on")
    world.turn()
    assert client.received() == b"answer"
    assert owner.pieces == []
    assert world.watched() == 0


def test_a_write_that_needed_to_read_once_waits_for_room_again_afterwards(
        scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "WRITE_BUDGET", 1000)
    world, transport, client, _, sock = scripted
    sock.send_refusals = [ssl.SSLWantReadError()]
    transport.write(bytes(100_000))
    transport.update_interest()
    client.send(b"go on")
    assert len(world.drain(transport, client)) == 100_000


def test_a_read_that_needs_to_write_and_a_queue_get_along(scripted: Scripted) -> None:
    world, transport, client, owner, sock = scripted
    sock.recv_refusals = [ssl.SSLWantWriteError()]
    client.send(b"question")
    transport.enqueue(b"answer")
    transport.update_interest()
    for _ in range(4):
        world.turn()
    assert owner.data == b"question"
    assert client.received() == b"answer"
    assert world.is_quiet()
