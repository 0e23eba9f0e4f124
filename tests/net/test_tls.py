"""The same transport over TLS, against a client whose ciphertext is handed over when the test says so."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from certificates import make_certificate
from evloop_http.net import tls as tls_module
from evloop_http.net import transport as transport_module
from evloop_http.net.certificates import make_context
from evloop_http.net.reactor import READ, WRITE, Reactor
from evloop_http.net.tls import HandshakeBudget, TlsTransport
from recording import Recorder

Pair = tuple[socket.socket, socket.socket]
Certificate = tuple[Path, Path]
#: More than the socket buffers take.
MUCH = bytes(range(256)) * 8 * 1024


class Client:
    """The other end. OpenSSL works in memory; `push` and `pull` carry its ciphertext to and from the socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.closed_by_peer = False

    def push(self) -> None:
        """Put on the wire what OpenSSL has to say; it has to fit."""
        if data := self.outgoing.read():
            assert self.sock.send(data) == len(data)

    def pull(self) -> int:
        """Take from the wire what has come; how many bytes that was."""
        count = 0
        try:
            while data := self.sock.recv(1 << 20):
                count += self.incoming.write(data)
            self.incoming.write_eof()
            self.closed_by_peer = True
        except BlockingIOError:
            pass
        return count

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what has come allows; whether it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.push()
        return True

    def send(self, data: bytes) -> None:
        assert self.tls.write(data) == len(data)
        self.push()

    def received(self) -> bytes:
        """What the peer has said so far, up to its close_notify."""
        self.pull()
        pieces = []
        try:
            while data := self.tls.read(1 << 20):
                pieces.append(data)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    def say_goodbye(self) -> None:
        """Send close_notify, wait for nothing."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.push()

    def heard_goodbye(self) -> bool:
        """Whether the peer sent close_notify: where it only closed, that is an error here."""
        self.pull()
        try:
            return self.tls.read(1) == b""
        except ssl.SSLEOFError:
            return False


class World:
    """A reactor, a server's context, and clients of it."""

    def __init__(self, certificate: Certificate, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.reactor = Reactor()
        self.context = make_context(*certificate)
        self.client_context = ssl.create_default_context(cafile=certificate[0])
        self.client_context.maximum_version = newest
        self.budget = HandshakeBudget(self.reactor)
        self._made: list[TlsTransport | socket.socket] = []

    def accept(self, pair: Pair | None = None, owner: Recorder | None = None) -> tuple[TlsTransport, Client, Recorder]:
        """A transport that waits for the first byte of its client."""
        sock, peer = pair or socket.socketpair()
        transport = TlsTransport(sock, self.reactor, context=self.context, budget=self.budget)
        self._made += transport, peer
        owner = owner or Recorder()
        transport.open(owner)
        return transport, Client(peer, self.client_context), owner

    def connect(self, pair: Pair | None = None, owner: Recorder | None = None) -> tuple[TlsTransport, Client, Recorder]:
        """The same with the handshake behind it."""
        transport, client, owner = self.accept(pair, owner)
        self.shake_hands(client)
        assert owner.told == ["open"]
        client.received()  # session tickets
        return transport, client, owner

    def shake_hands(self, client: Client) -> None:
        while not client.shake_hands():
            assert self.reactor.poll(10)
            client.pull()
        self.reactor.poll(0)

    def turn(self) -> int:
        return self.reactor.poll(0)

    def is_quiet(self) -> bool:
        return self.reactor.poll(0) == 0 and self.reactor.next_timeout() is None

    def watched(self) -> int:
        """What the one transport is watched for."""
        keys = [key for key in self.reactor._selector.get_map().values() if key.fileobj is not self.reactor._waker]
        return keys[0].events if keys else 0

    def drain(self, transport: TlsTransport, client: Client) -> bytes:
        pieces = [client.received()]
        while transport.queued:
            assert self.reactor.poll(10)
            pieces.append(client.received())
        return b"".join([*pieces, client.received()])

    def close(self) -> None:
        for each in self._made:
            each.close()
        assert self.reactor.registrations == 0
        self.reactor.close()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def world(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[World]:
    world = World(certificate, request.param)
    yield world
    world.close()


@pytest.fixture
def modern(certificate: Certificate) -> Iterator[World]:
    """Where the version of TLS makes no difference."""
    world = World(certificate)
    yield world
    world.close()


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def small_pair() -> Pair:
    """A pair that holds a few kilobytes only."""
    pair = socket.socketpair()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return pair


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# -- the handshake


def test_the_owner_is_told_when_the_handshake_is_done_and_bytes_flow_both_ways(world: World) -> None:
    transport, client, owner = world.accept()
    assert owner.told == []
    world.shake_hands(client)
    assert owner.told == ["open"]
    assert transport.tls_facts() is not None
    client.send(b"question")
    world.turn()
    assert owner.data == b"question"
    assert transport.write(b"answer")
    assert client.received() == b"answer"
    assert world.is_quiet()


def test_a_handshake_that_comes_byte_by_byte_succeeds_all_the_same(world: World) -> None:
    transport, client, owner = world.accept()
    while not transport.closed and not owner.told:
        try:
            client.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        for byte in client.outgoing.read():
            assert client.sock.send(bytes([byte])) == 1
            world.turn()
        client.pull()
    assert owner.told == ["open"]
    client.tls.write(b"and so may the rest")
    for byte in client.outgoing.read():
        client.sock.send(bytes([byte]))
        world.turn()
    assert owner.data == b"and so may the rest"


def test_a_handshake_whose_answer_does_not_fit_waits_for_room(
        certificate: Certificate, world: World, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate[0].read_bytes() * 40)
    world.context = make_context(chain, certificate[1])
    _, client, owner = world.accept(small_pair())
    client.shake_hands()
    world.turn()
    assert world.watched() == WRITE
    assert world.is_quiet()
    for _ in range(100):
        client.pull()
        client.shake_hands()
        world.turn()
    assert owner.told == ["open"]
    assert world.watched() == READ


def test_before_the_first_byte_nothing_is_said_and_nothing_spins(modern: World) -> None:
    _, client, owner = modern.accept()
    assert modern.is_quiet()
    assert client.pull() == 0
    assert owner.told == []
    assert modern.watched() == READ


@pytest.mark.parametrize("portion", [1, 5, 6, 100])
def test_a_handshake_that_stalls_waits_in_silence_and_can_be_ended(modern: World, portion: int) -> None:
    transport, client, owner = modern.accept()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.sock.send(client.outgoing.read(portion))
    modern.turn()
    assert owner.told == []
    assert modern.is_quiet() or (portion == 1 and modern.watched() == READ)
    transport.close()
    assert (modern.reactor.registrations, owner.told) == (0, [])
    assert client.sock.recv(1) == b""


def test_a_handshake_that_makes_no_sense_is_lost(modern: World) -> None:
    transport, client, owner = modern.accept()
    client.sock.send(b"\x16\x03\x01\x00\x20" + b"nonsense" * 4)
    modern.turn()
    assert owner.told == ["lost"]
    assert transport.closed
    assert modern.reactor.registrations == 0


def test_a_client_that_does_not_trust_us_is_lost(world: World) -> None:
    world.client_context = ssl.create_default_context()
    _, client, owner = world.accept()
    with pytest.raises(ssl.SSLCertVerificationError):
        world.shake_hands(client)
    world.turn()
    assert owner.told == ["lost"]


@pytest.mark.parametrize("portion", [0, 1, 100, 100_000])
def test_a_peer_that_leaves_during_the_handshake_is_lost(modern: World, portion: int) -> None:
    _, client, owner = modern.accept()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.sock.send(client.outgoing.read(portion) if portion else b"")
    modern.turn()
    client.sock.close()
    modern.turn()
    assert owner.told == ["lost"]
    assert modern.reactor.registrations == 0


@pytest.mark.parametrize("portion", [0, 1, 100])
def test_a_peer_that_resets_during_the_handshake_is_lost(modern: World, portion: int) -> None:
    _, client, owner = modern.accept(tcp_pair())
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.sock.send(client.outgoing.read(portion) if portion else b"")
    reset(client.sock)
    while not owner.told:
        assert modern.reactor.poll(10)
    assert owner.told == ["lost"]
    assert modern.reactor.registrations == 0


def test_a_transport_may_be_closed_while_it_opens(modern: World) -> None:
    transport, client, owner = modern.accept()
    owner.then["open"] = transport.close
    modern.shake_hands(client)
    assert owner.told == ["open"]
    assert client.heard_goodbye()


def test_reading_switched_off_while_it_opens_holds(modern: World) -> None:
    transport, client, owner = modern.accept()
    owner.then["open"] = lambda: setattr(transport, "reading", False)
    modern.shake_hands(client)
    client.send(b"later")
    assert modern.is_quiet()
    transport.reading = True
    transport.update_interest()
    modern.turn()
    assert owner.data == b"later"


def test_a_few_handshakes_a_turn_and_all_of_them_in_the_end(modern: World) -> None:
    connections = [modern.accept() for _ in range(20)]
    for _, client, _ in connections:
        client.shake_hands()
    answered = []
    for _ in range(3):
        modern.turn()
        answered.append(sum(client.pull() > 0 for _, client, _ in connections))
    assert answered == [8, 8, 4]
    for _, client, _ in connections:
        assert client.shake_hands()
    for _ in range(3):
        modern.turn()
    assert all(owner.told == ["open"] for _, _, owner in connections)


def test_handshakes_leave_open_connections_their_turn(modern: World) -> None:
    _, old, old_owner = modern.connect()
    for _ in range(20):
        modern.accept()[1].shake_hands()
    old.send(b"please")
    modern.turn()
    assert old_owner.data == b"please"


def test_the_budget_is_new_in_every_turn(modern: World) -> None:
    budget = HandshakeBudget(modern.reactor, 3)
    for _ in range(3):
        assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
        modern.turn()


def test_a_socket_that_is_not_connected_any_more_is_left_to_the_caller(modern: World) -> None:
    with socket.socket() as sock:
        with pytest.raises(OSError, match="not connected"):
            TlsTransport(sock, modern.reactor, context=modern.context, budget=modern.budget)
        assert sock.fileno() != -1


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


# -- writing


def test_much_is_sent_and_received_whole(world: World) -> None:
    transport, client, owner = world.connect()
    assert not transport.write(MUCH)
    transport.update_interest()
    assert world.drain(transport, client) == MUCH
    assert owner.told[-1] == "writable"
    left = MUCH
    while left:
        client.send(left[:16_000])
        left = left[16_000:]
        world.turn()
    while len(owner.data) < len(MUCH):
        assert world.reactor.poll(10)
    assert owner.data == MUCH
    assert world.is_quiet()


def test_both_may_talk_at_once(modern: World) -> None:
    transport, client, owner = modern.connect()
    transport.write(MUCH)
    transport.update_interest()
    heard = bytearray()
    for number in range(200):
        client.send(b"%04d" % number * 1000)
        modern.turn()
        heard += client.received()
    heard += modern.drain(transport, client)
    assert heard == MUCH
    assert owner.data == b"".join(b"%04d" % number * 1000 for number in range(200))


@pytest.mark.parametrize("how", ["write", "enqueue", "pieces", "file"])
def test_progress_is_told_while_much_leaves_slowly(modern: World, tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(MUCH)
    transport, client, owner = modern.connect(small_pair())
    queued: list[int] = []
    owner.then["progress"] = lambda: queued.append(transport.queued)
    with path.open("rb") as file:
        if how == "write":
            transport.write(MUCH)
        elif how == "enqueue":
            transport.enqueue(MUCH)
            transport.flush()
        elif how == "pieces":
            for start in range(0, len(MUCH), 4096):
                transport.enqueue(MUCH[start:start + 4096])
            transport.flush()
        else:
            transport.send_file(file, 0, len(MUCH))
        transport.update_interest()
        assert modern.drain(transport, client) == MUCH
    assert len(queued) > 10
    assert queued == sorted(set(queued), reverse=True)
    assert transport.sent == len(MUCH)


def test_the_write_budget_ends_a_wake_and_the_others_get_their_turn(
        modern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "WRITE_BUDGET", 1000)
    transport, client, _ = modern.connect()
    _, other, other_owner = modern.connect()
    transport.enqueue(bytes(100_000))
    transport.update_interest()
    other.send(b"please")
    modern.turn()
    assert 1000 <= transport.sent < 50_000
    assert other_owner.data == b"please"
    assert len(modern.drain(transport, client)) == 100_000


def test_held_pieces_leave_in_one_record(world: World) -> None:
    transport, client, _ = world.connect()
    for number in range(100):
        transport.enqueue(b"%04d" % number)
    assert transport.flush()
    assert client.pull() < 400 + 50
    assert client.received() == b"".join(b"%04d" % number for number in range(100))


def test_a_write_refused_in_the_middle_of_a_record_may_have_more_put_behind_it(world: World) -> None:
    """OpenSSL wants the same bytes again, and no fewer, whatever was queued since."""
    transport, client, _ = world.connect(small_pair())
    sent = [b"first" * 1000]
    transport.write(sent[0])
    while not transport.queued:
        sent.append(b"more." * 1000)
        transport.write(sent[-1])
    for number in range(30):
        sent.append(b"%05d" % number * 100)
        transport.enqueue(sent[-1])
    transport.update_interest()
    assert world.drain(transport, client) == b"".join(sent)


@given(pieces=st.lists(st.tuples(st.sampled_from(["write", "enqueue", "read", "turn"]), st.integers(0, 40_000)),
                       max_size=25))
def test_whatever_is_written_in_whatever_pieces_arrives_whole(
        certificate: Certificate, pieces: list[tuple[str, int]]) -> None:
    world = World(certificate)
    transport, client, _ = world.connect(small_pair())
    sent, heard = bytearray(), bytearray()
    for number, (what, size) in enumerate(pieces):
        if what == "read":
            heard += client.received()
        elif what == "turn":
            transport.update_interest()
            world.turn()
        else:
            data = bytes([number]) * size
            sent += data
            (transport.write if what == "write" else transport.enqueue)(data)
    transport.flush()
    transport.update_interest()
    heard += world.drain(transport, client)
    assert heard == sent
    world.close()


def test_a_file_is_sent_behind_its_head(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MUCH)
    transport, client, _ = world.connect()
    with path.open("rb") as file:
        transport.enqueue(b"head:")
        assert not transport.send_file(file, 256, len(MUCH) - 512)
        transport.enqueue(b":tail")
        transport.update_interest()
        assert world.drain(transport, client) == b"head:" + MUCH[256:-256] + b":tail"


def test_a_file_shorter_than_announced_ends_the_connection(modern: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    transport, client, owner = modern.connect()
    with path.open("rb") as file:
        assert not transport.send_file(file, 0, 200)
    assert owner.told == ["open", "lost"]
    assert transport.closed
    assert len(client.received()) == 100


# -- no TLS at all


def test_plaintext_is_told_as_such_and_the_bare_answer_arrives(modern: World) -> None:
    transport, client, owner = modern.accept(tcp_pair())

    def refuse() -> None:
        transport.write(b"This port speaks HTTPS")
        transport.half_close()

    owner.then["plaintext"] = refuse
    client.sock.send(b"GET / HTTP/1.1\r\n\r\n")
    while not owner.told:
        assert modern.reactor.poll(10)
    assert owner.told == ["plaintext"]
    modern.turn()
    assert "lost" not in owner.told
    client.sock.settimeout(10)
    assert client.sock.recv(100) == b"This port speaks HTTPS"
    assert client.sock.recv(100) == b""
    client.sock.close()
    while "eof" not in owner.told:
        assert modern.reactor.poll(10)
    assert modern.is_quiet()


def test_a_long_bare_answer_is_queued_and_sent_like_any_other(modern: World) -> None:
    transport, client, owner = modern.accept()

    def refuse() -> None:
        transport.reading = False
        transport.write(MUCH)

    owner.then["plaintext"] = refuse
    client.sock.send(b"GET / HTTP/1.1\r\n\r\n")
    modern.turn()
    heard = bytearray()
    while transport.queued:
        heard += client.sock.recv(1 << 20)
        modern.turn()
    heard += client.sock.recv(1 << 20)
    assert heard == MUCH
    assert owner.told[0] == "plaintext"
    assert owner.told[-1] == "writable"


# -- the end


def test_goodbye_is_said_at_close(world: World) -> None:
    transport, client, owner = world.connect()
    transport.write(b"last words")
    transport.close()
    transport.close()
    assert client.received() == b"last words"
    assert client.heard_goodbye()
    assert client.closed_by_peer
    assert owner.told == ["open"]
    assert world.reactor.registrations == 0


def test_goodbye_is_said_at_half_close_and_reading_goes_on_to_the_end(world: World) -> None:
    transport, client, owner = world.connect()
    transport.write(b"last words")
    transport.half_close()
    assert client.received() == b"last words"
    assert client.heard_goodbye()
    assert client.closed_by_peer
    client.send(b"I was not finished")
    world.turn()
    assert owner.told == ["open", "data"]
    client.sock.shutdown(socket.SHUT_WR)
    world.turn()
    assert owner.told == ["open", "data", "eof"]
    assert world.is_quiet()


def test_goodbye_of_the_peer_is_an_eof_and_it_gets_its_answer(world: World) -> None:
    transport, client, owner = world.connect()
    owner.then["eof"] = lambda: transport.write(b"answer")
    client.send(b"question")
    client.say_goodbye()
    while "eof" not in owner.told:
        assert world.turn()
    assert world.is_quiet()
    assert world.reactor.registrations == 0
    assert owner.told == ["open", "data", "eof"]
    client.pull()
    assert client.incoming.pending


def test_an_end_without_goodbye_is_an_eof(world: World) -> None:
    _, client, owner = world.connect()
    client.sock.shutdown(socket.SHUT_WR)
    for _ in range(3):
        world.turn()
    assert owner.told == ["open", "eof"]
    assert world.reactor.registrations == 0


def test_a_record_that_was_tampered_with_is_lost(world: World) -> None:
    transport, client, owner = world.connect()
    client.tls.write(b"question")
    record = bytearray(client.outgoing.read())
    record[-1] ^= 1
    client.sock.send(record)
    world.turn()
    assert owner.told == ["open", "lost"]
    assert transport.closed


def test_a_reset_is_an_end_and_the_next_write_is_lost(modern: World) -> None:
    """Python's ssl tells a reset from an end without goodbye in some versions only."""
    transport, client, owner = modern.connect(tcp_pair())
    reset(client.sock)
    while len(owner.told) < 2:
        assert modern.reactor.poll(10)
    assert owner.told in (["open", "eof"], ["open", "lost"])
    assert modern.is_quiet()
    assert not transport.write(b"hello?")
    assert owner.told[-1] == "lost"


def test_a_write_into_a_closed_socket_answers_false_and_is_told_once(modern: World) -> None:
    transport, client, owner = modern.connect()
    client.sock.close()
    assert not transport.write(b"hello?")
    assert not transport.write(b"hello?")
    assert owner.told == ["open", "lost"]


def test_a_close_with_a_full_socket_does_not_block(world: World) -> None:
    transport, client, owner = world.connect()
    transport.write(MUCH)
    transport.update_interest()
    transport.close()
    assert (world.reactor.registrations, owner.told) == (0, ["open"])
    client.pull()
    assert client.closed_by_peer


@pytest.mark.parametrize("connected", [True, False])
def test_abort_is_a_reset_without_a_goodbye(modern: World, connected: bool) -> None:
    transport, client, _ = (modern.connect if connected else modern.accept)(tcp_pair())
    transport.abort()
    with pytest.raises(ConnectionResetError):
        client.sock.recv(1)
    assert (transport.closed, modern.reactor.registrations) == (True, 0)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc/self/fd")
def test_every_way_to_end_gives_the_descriptor_back(modern: World) -> None:
    ends: list[Callable[[TlsTransport], None]] = [TlsTransport.close, TlsTransport.abort, TlsTransport.half_close]
    before = len(os.listdir("/proc/self/fd"))
    for end in ends:
        for connect in (modern.connect, modern.accept):
            transport, client, _ = connect()
            end(transport)
            transport.close()
            client.sock.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_client_of_the_standard_library_in_a_thread_is_served(world: World) -> None:
    sock, peer = tcp_pair()
    owner = Recorder()
    transport, _, _ = world.accept((sock, peer), owner)
    heard: list[bytes] = []

    def talk() -> None:
        peer.settimeout(10)
        with world.client_context.wrap_socket(peer, server_hostname="localhost") as client:
            client.sendall(MUCH)
            while data := client.recv(1 << 20):
                heard.append(data)

    def answer() -> None:
        if len(owner.data) == len(MUCH) and transport.write(MUCH[::-1]):
            transport.close()

    owner.then["data"] = answer
    owner.then["writable"] = transport.close
    thread = threading.Thread(target=talk)
    thread.start()
    while not transport.closed:
        assert world.reactor.poll(10)
    thread.join(10)
    assert b"".join(heard) == MUCH[::-1]


# -- contexts


def test_a_context_refuses_what_is_older_than_tls_1_2(certificate: Certificate) -> None:
    assert make_context(*certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificate_and_key_may_be_in_one_file(certificate: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in certificate))
    make_context(both)
    make_context(str(both))


def test_the_protocol_is_agreed_on(certificate: Certificate) -> None:
    world = World(certificate)
    world.context = make_context(*certificate, protocols=["http/1.1"])
    world.client_context.set_alpn_protocols(["h2", "http/1.1"])
    _, client, _ = world.connect()
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    world.close()


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("how", ["missing", "directory", "garbage", "empty", "unreadable"])
def test_a_file_that_cannot_be_used_is_named(
        certificate: Certificate, tmp_path: Path, broken: int, how: str) -> None:
    path = tmp_path / "broken.pem"
    if how == "directory":
        path.mkdir()
    elif how == "unreadable":
        path.write_bytes(certificate[broken].read_bytes())
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root can read everything")
    elif how != "missing":
        path.write_bytes(b"\x00garbage\xff" if how == "garbage" else b"")
    cert_path, key_path = (path if number == broken else certificate[number] for number in (0, 1))
    with pytest.raises(ValueError, match=r"broken\.pem"):
        make_context(cert_path, key_path)


def test_a_key_of_another_certificate_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    _, other_key = make_certificate(tmp_path)
    with pytest.raises(ValueError, match=r"key\.pem"):
        make_context(certificate[0], other_key)


def test_a_certificate_without_its_key_is_refused(certificate: Certificate) -> None:
    with pytest.raises(ValueError, match=r"cert\.pem"):
        make_context(certificate[0])


@pytest.fixture
def encrypted_key(certificate: Certificate, tmp_path: Path) -> Path:
    key = serialization.load_pem_private_key(certificate[1].read_bytes(), None)
    path = tmp_path / "encrypted.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.BestAvailableEncryption(b"secret")))
    return path


def test_an_encrypted_key_is_opened_by_its_password(certificate: Certificate, encrypted_key: Path) -> None:
    make_context(certificate[0], encrypted_key, "secret")


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_an_encrypted_key_without_its_password_is_refused_and_nobody_is_asked_for_it(
        certificate: Certificate, encrypted_key: Path, password: str | None) -> None:
    with pytest.raises(ValueError, match=r"encrypted\.pem"):
        make_context(certificate[0], encrypted_key, password)
