"""The same transport over TLS, against a client whose ciphertext is handed over when the test says so."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.net import transport as transport_module
from evloop_http.net.certificates import make_context
from evloop_http.net.reactor import READ, WRITE
from evloop_http.net.tls import ENGINES, TlsTransport
from recording import Recorder
from tls_world import Certificate, World, reset, small_pair, tcp_pair

#: More than the socket buffers take.
MUCH = bytes(range(256)) * 8 * 1024


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def world(request: pytest.FixtureRequest, certificate: Certificate, engine: str) -> Iterator[World]:
    world = World(certificate, request.param, engine)
    yield world
    world.close()


@pytest.fixture
def modern(certificate: Certificate, engine: str) -> Iterator[World]:
    """Where the version of TLS makes no difference."""
    world = World(certificate, engine=engine)
    yield world
    world.close()



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


def test_handshakes_leave_open_connections_their_turn(modern: World) -> None:
    _, old, old_owner = modern.connect()
    for _ in range(20):
        modern.accept()[1].shake_hands()
    old.send(b"please")
    modern.turn()
    assert old_owner.data == b"please"



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
    assert 1000 <= transport.sent < 100_000
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
