"""TLS in memory: what a peer can have the loop do, measured in bytes and turns."""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evloop_http.net.tls import guarded
from foreign_tls import Foreigner
from recording import Recorder
from tls_world import Certificate, World, small_pair

#: What one wake may read.
PORTION = 16 * 1024


@pytest.fixture
def world(certificate: Certificate) -> Iterator[World]:
    world = World(certificate)
    yield world
    world.close()


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait in the kernel."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])


def owner_of_probe(world: World) -> tuple[Any, Recorder]:
    _, client, owner = world.connect()
    return client, owner


def test_a_flood_of_key_updates_is_read_in_portions_and_ends_the_connection(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `SSLSocket` works off all of it in one `recv`, and for as long as more arrives."""
    monkeypatch.setattr(guarded, "MOST_BARREN", 2 * PORTION)  # a client in pure Python takes its time
    probe, probe_owner = owner_of_probe(world)
    client = Foreigner(world)
    flood = client.key_updates(2_500, wants_answer=True)
    client.sock.setblocking(False)
    sent = client.sock.send(flood)
    assert sent == len(flood) > 2 * guarded.MOST_BARREN
    read = 0
    while "lost" not in client.owner.told:
        waiting = unread(client.transport._sock)
        probe.send(b"?")
        answered = len(probe_owner.data)
        world.turn()
        assert len(probe_owner.data) == answered + 1  # the others have their turn
        if not client.transport.closed:
            read = sent - unread(client.transport._sock)
            assert waiting - unread(client.transport._sock) <= PORTION
    assert read <= guarded.MOST_BARREN
    assert client.owner.data == b""


def test_a_key_update_is_answered_and_the_conversation_goes_on(world: World) -> None:
    client = Foreigner(world)
    client.sock.sendall(client.key_updates(1, wants_answer=True))
    client.tls.write(b"question")
    while client.owner.data != b"question":
        assert world.reactor.poll(10)
    assert client.transport.write(b"answer")
    assert client.tls.read(min=6, max=6) == b"answer"


def test_a_key_update_beside_each_byte_of_data_is_a_flood_all_the_same(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "MOST_BARREN", 5_000)
    client = Foreigner(world)
    for _ in range(400):
        client.sock.sendall(client.key_updates(1))
        client.tls.write(b"x")
        world.turn()
        if client.transport.closed:
            break
    assert client.owner.told[-1] == "lost"


def test_what_is_queued_before_a_file_may_fill_a_batch(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 1000)
    transport, client, _ = world.connect()
    with path.open("rb") as file:
        transport.enqueue(bytes(guarded._BATCH))
        transport.send_file(file, 0, 1000)
        transport.update_interest()
        assert world.drain(transport, client) == bytes(guarded._BATCH) + b"f" * 1000


def test_who_takes_tls_off_while_the_rest_is_sent_is_read_no_more_in_that_wake(world: World) -> None:
    transport, client, owner = world.connect(small_pair())

    def finish() -> None:
        if not transport.queued:
            transport.half_close_for_good()

    owner.then["writable"] = finish
    transport.write(bytes(30_000))
    transport.update_interest()
    client.send(b"more")
    while transport.queued:
        client.pull()
        world.turn()
    assert "lost" not in owner.told


def test_the_smallest_records_with_data_are_no_flood(world: World) -> None:
    _, client, owner = world.connect()
    for _ in range(100):
        for _ in range(100):
            client.tls.write(b"x")
        client.push()
        world.turn()
    while len(owner.data) < 10_000:
        assert world.turn()
    assert owner.told.count("lost") == 0


def fragments(message: bytes) -> bytes:
    """Return a handshake message in records of one byte each (RFC 8446 §5.1 allows them)."""
    return b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in message)


def test_a_hello_in_records_of_one_byte_is_understood(world: World) -> None:
    _, client, owner = world.accept()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    hello = client.outgoing.read()
    client.sock.send(fragments(hello[5:]))
    world.turn()
    client.pull()
    world.shake_hands(client)
    assert owner.told == ["open"]


def test_an_endless_hello_in_records_of_one_byte_is_read_in_portions_and_ends(world: World) -> None:
    transport, client, owner = world.accept()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    hello = b"\x01\x00\xff\xff\x03\x03" + bytes(32) + b"\x00" + bytes(50_000)
    sent = client.sock.send(fragments(hello))
    assert sent > 2 * guarded.MOST_BARREN
    turns = 0
    while "lost" not in owner.told:
        before = sent if transport._phase.name == "SILENT" else unread(transport._sock)
        world.turn()
        turns += 1
        assert transport.closed or before - unread(transport._sock) <= PORTION
    assert turns <= guarded.MOST_BARREN // PORTION + 2


def test_what_arrived_with_the_last_of_the_handshake_is_handed_on(world: World) -> None:
    _, client, owner = world.accept()
    client.shake_hands()
    world.turn()
    client.pull()
    client.tls.do_handshake()
    client.tls.write(b"question")
    client.push()
    world.turn()
    assert owner.told == ["open", "data"]
    assert owner.data == b"question"
    world.turn()
    assert world.is_quiet()


def test_what_arrives_while_our_half_is_closed_is_not_lost(world: World) -> None:
    transport, client, owner = world.connect()
    client.send(b"just then")
    transport.half_close()
    world.turn()
    assert owner.data == b"just then"


def test_the_last_of_a_peer_that_says_goodbye_behind_ours_is_not_lost(world: World) -> None:
    transport, client, owner = world.connect()
    transport.half_close()
    client.tls.write(b"just then")
    client.say_goodbye()
    world.turn()
    assert owner.told == ["open", "data", "eof"]
    assert owner.data == b"just then"


def test_a_peer_that_asks_for_answers_and_reads_none_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data among its key updates makes them no flood, but their answers wait in memory."""
    monkeypatch.setattr(guarded, "MOST_BARREN", 1000)
    monkeypatch.setattr(guarded, "_BATCH", 1000)
    client = Foreigner(world)
    client.transport._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    client.transport.write(bytes(1_000_000))
    most = 0
    while not client.transport.closed:
        client.sock.sendall(client.key_updates(1, wants_answer=True))
        client.tls.write(b"x")
        world.turn()
        if not client.transport.closed:
            most = max(most, len(client.transport._cipher))  # type: ignore[attr-defined]
    assert most <= 2000
    assert "lost" in client.owner.told


def test_several_records_are_handed_on_as_one(world: World) -> None:
    _, client, owner = world.connect()
    for number in range(20):
        client.tls.write(b"%05d" % number)
    client.say_goodbye()
    world.turn()
    assert owner.told == ["open", "data", "eof"]
    assert owner.data == b"".join(b"%05d" % number for number in range(20))


def test_no_more_is_encrypted_than_one_send_may_take(world: World) -> None:
    transport, client, _ = world.connect(small_pair())
    transport.enqueue(bytes(1_000_000))
    transport.flush()
    transport.update_interest()
    assert len(transport._cipher) <= guarded._BATCH + 4 * 256  # type: ignore[attr-defined]
    assert transport.queued > 1_000_000 - 100_000
    assert len(world.drain(transport, client)) == 1_000_000


@pytest.mark.parametrize("end", ["close", "abort", "half_close_for_good"])
def test_who_keeps_a_transport_does_not_keep_its_buffers(world: World, end: str) -> None:
    """A peer's facts are asked of its transport, and an application may keep a request."""
    transport, _, _ = world.connect()
    tls = weakref.ref(transport._tls())
    getattr(transport, end)()
    assert tls() is None
    assert transport.tls_facts() is None
    transport.close()


def test_goodbye_is_not_said_where_something_is_missing(world: World) -> None:
    """A client could take what it has for the whole."""
    transport, client, _ = world.connect(small_pair())
    transport.write(bytes(1_000_000))
    transport.close()
    client.received()
    assert not client.heard_goodbye()
