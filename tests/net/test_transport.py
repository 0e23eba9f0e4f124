"""One socket and its send queue, between real sockets on a real reactor."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evloop_http.net import transport as transport_module
from evloop_http.net.reactor import FileDescriptor, Reactor, ReadyCallback
from evloop_http.net.transport import LOW_WATER, FileSpan, Transport
from recording import Recorder

Pair = tuple[socket.socket, socket.socket]
#: More than any pair of socket buffers takes.
MUCH = bytes(range(256)) * 64 * 1024


class CountingReactor(Reactor):
    """Counts what the selector is told."""

    told = 0

    def register(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        self.told += 1
        super().register(descriptor, events, callback)

    def modify(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        self.told += 1
        super().modify(descriptor, events, callback)

    def unregister(self, descriptor: FileDescriptor) -> None:
        self.told += 1
        super().unregister(descriptor)


@pytest.fixture
def reactor() -> Iterator[CountingReactor]:
    reactor = CountingReactor()
    yield reactor
    reactor.close()


@pytest.fixture
def owner() -> Recorder:
    return Recorder()


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


class Opened:
    """Makes open transports; closes them and their peers behind the test."""

    def __init__(self, reactor: Reactor, owner: Recorder) -> None:
        self.reactor = reactor
        self.owner = owner
        self._made: list[Transport | socket.socket] = []

    def __call__(self, pair: Pair | None = None, owner: Recorder | None = None) -> tuple[Transport, socket.socket]:
        sock, peer = pair or socket.socketpair()
        peer.setblocking(False)
        transport = Transport(sock, self.reactor)
        self._made += transport, peer, sock
        transport.open(owner or self.owner)
        return transport, peer

    def close(self) -> None:
        for each in self._made:
            each.close()


@pytest.fixture
def opened(reactor: CountingReactor, owner: Recorder) -> Iterator[Opened]:
    opened = Opened(reactor, owner)
    yield opened
    opened.close()


def small_pair() -> Pair:
    """A pair that holds a few kilobytes only, so that a queue shrinks in small steps."""
    pair = socket.socketpair()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return pair


def received(peer: socket.socket) -> bytes:
    """What waits for the peer now."""
    pieces = []
    try:
        while data := peer.recv(1 << 20):
            pieces.append(data)
    except BlockingIOError:
        pass
    return b"".join(pieces)


def drain(transport: Transport, peer: socket.socket, reactor: Reactor) -> bytes:
    """Read at the other end until the queue is empty."""
    pieces = [received(peer)]
    while transport.queued:
        assert reactor.poll(10)
        pieces.append(received(peer))
    return b"".join([*pieces, received(peer)])


def is_quiet(reactor: Reactor) -> bool:
    """Whether nothing is reported: neither something to read nor room that nobody asked for."""
    return reactor.poll(0) == 0


# -- opening


def test_opening_tells_the_owner_at_once_and_begins_to_listen(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, _ = opened()
    assert owner.told == ["open"]
    assert reactor.registrations == 1
    assert not transport.closed
    assert transport.tls_facts() is None


def test_the_socket_no_longer_blocks_and_small_writes_are_not_held_back(opened: Opened) -> None:
    sock, peer = tcp_pair()
    opened((sock, peer))
    assert not sock.getblocking()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_socket_that_is_dead_already_is_left_to_the_caller(reactor: CountingReactor) -> None:
    sock, peer = tcp_pair()
    peer.close()
    sock.close()
    with pytest.raises(OSError, match="descriptor"):
        Transport(sock, reactor)
    assert reactor.registrations == 0


def test_a_transport_closed_while_it_opens_is_not_registered(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    sock, peer = socket.socketpair()
    transport = Transport(sock, reactor)
    owner.then["open"] = transport.close
    transport.open(owner)
    assert (reactor.registrations, sock.fileno()) == (0, -1)
    peer.close()


def test_repr_shows_the_descriptor_and_the_queue(opened: Opened) -> None:
    transport, _ = opened()
    transport.enqueue(b"four")
    assert repr(transport).startswith("<Transport fd ")
    assert repr(transport).endswith(", 4 bytes queued>")
    transport.close()
    assert repr(transport) == "<Transport closed>"


# -- reading


def test_bytes_are_told_as_they_come(opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    _, peer = opened()
    for word in (b"one", b"two"):
        peer.send(word)
        reactor.poll(0)
    assert owner.pieces == [b"one", b"two"]


def test_one_wake_is_one_recv(opened: Opened, owner: Recorder, reactor: CountingReactor,
                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "READ_SIZE", 1000)
    _, peer = opened()
    peer.send(bytes(5500))
    for turn in range(1, 7):
        reactor.poll(0)
        assert len(owner.pieces) == turn
    assert [len(piece) for piece in owner.pieces] == [1000] * 5 + [500]


def test_a_loud_peer_leaves_the_others_their_turn(opened: Opened, owner: Recorder, reactor: CountingReactor,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "READ_SIZE", 10)
    quiet_owner = Recorder()
    _, loud = opened()
    _, quiet = opened(owner=quiet_owner)
    loud.send(bytes(1000))
    quiet.send(b"please")
    reactor.poll(0)
    assert quiet_owner.data == b"please"
    assert len(owner.data) == 10


def test_who_does_not_read_is_not_listened_for_and_the_bytes_wait(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    transport.reading = False
    transport.update_interest()
    peer.send(b"later")
    assert is_quiet(reactor)
    assert reactor.registrations == 0
    transport.reading = True
    transport.update_interest()
    reactor.poll(0)
    assert owner.data == b"later"


def test_reading_switched_off_in_a_callback_holds_from_the_end_of_the_wake(
        opened: Opened, owner: Recorder, reactor: CountingReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "READ_SIZE", 10)
    transport, peer = opened()
    owner.then["data"] = lambda: setattr(transport, "reading", False)
    peer.send(bytes(100))
    reactor.poll(0)
    assert is_quiet(reactor)
    assert (len(owner.data), reactor.registrations) == (10, 0)


def test_reading_switched_off_earlier_in_the_same_wake_holds_too(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    owner.then["writable"] = lambda: setattr(transport, "reading", False)
    transport.enqueue(b"x")
    transport.update_interest()
    peer.send(b"later")
    reactor.poll(0)
    assert owner.told == ["open", "progress", "writable"]
    assert is_quiet(reactor)


def test_settling_what_is_settled_does_not_touch_the_selector(opened: Opened, reactor: CountingReactor) -> None:
    transport, _ = opened()
    before = reactor.told
    transport.update_interest()
    transport.reading = False
    transport.reading = True
    transport.update_interest()
    assert reactor.told == before
    transport.write(MUCH)
    for _ in range(3):
        transport.update_interest()
    assert reactor.told == before + 1


def test_a_reset_that_nobody_listens_for_does_not_spin(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    sock, peer = tcp_pair()
    transport, _ = opened((sock, peer))
    transport.reading = False
    transport.update_interest()
    reset(peer)
    assert is_quiet(reactor)
    assert not transport.write(b"into the void")
    assert owner.told == ["open", "lost"]


def test_an_answer_given_at_once_does_not_touch_the_selector(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()

    def answer() -> None:
        transport.reading = False
        transport.write(b"answer")
        transport.reading = True

    owner.then["data"] = answer
    before = reactor.told
    for _ in range(3):
        peer.send(b"question")
        reactor.poll(0)
        assert received(peer) == b"answer"
    assert reactor.told == before


# -- the end of what comes


def test_eof_is_told_once_and_is_not_listened_for_any_more(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    peer.shutdown(socket.SHUT_WR)
    for _ in range(3):
        reactor.poll(0)
    assert owner.told == ["open", "eof"]
    assert transport.at_eof
    assert reactor.registrations == 0
    assert is_quiet(reactor)


def test_bytes_that_come_before_eof_are_told_before_it(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    _, peer = opened()
    peer.send(b"last words")
    peer.shutdown(socket.SHUT_WR)
    reactor.poll(0)
    reactor.poll(0)
    assert owner.told == ["open", "data", "eof"]
    assert owner.data == b"last words"


def test_a_peer_that_half_closed_gets_its_answer(opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    owner.then["eof"] = lambda: transport.write(MUCH)
    peer.shutdown(socket.SHUT_WR)
    reactor.poll(0)
    assert is_quiet(reactor)  # it waits for room, not for more of the EOF
    assert drain(transport, peer, reactor) == MUCH
    assert owner.told.count("eof") == 1
    assert reactor.registrations == 0


def test_switching_reading_on_after_eof_does_not_listen_for_it_again(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    owner.then["eof"] = lambda: setattr(transport, "reading", False)
    peer.shutdown(socket.SHUT_WR)
    reactor.poll(0)
    transport.reading = True
    transport.update_interest()
    assert is_quiet(reactor)
    assert owner.told.count("eof") == 1


def test_half_closing_tells_the_peer_and_reading_goes_on(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    transport.write(b"last words")
    transport.half_close()
    assert received(peer) == b"last words"
    assert peer.recv(1) == b""
    peer.send(b"understood")
    reactor.poll(0)
    assert owner.data == b"understood"


def test_half_closing_twice_or_behind_a_reset_does_nothing(opened: Opened) -> None:
    sock, peer = tcp_pair()
    transport, _ = opened((sock, peer))
    transport.half_close()
    reset(peer)
    transport.half_close()


# -- writing


def test_a_write_is_sent_at_once_and_asks_for_nothing(
        opened: Opened, reactor: CountingReactor) -> None:
    transport, peer = opened()
    assert transport.write(b"now")
    assert received(peer) == b"now"
    assert (transport.queued, transport.sent) == (0, 3)
    transport.update_interest()
    assert is_quiet(reactor)


def test_what_the_socket_does_not_take_is_queued_and_sent_when_there_is_room(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    assert not transport.write(MUCH)
    assert 0 < transport.sent < len(MUCH)
    assert transport.queued == len(MUCH) - transport.sent
    transport.update_interest()
    assert is_quiet(reactor)  # no room: nobody has read yet
    assert drain(transport, peer, reactor) == MUCH
    assert transport.sent == len(MUCH)
    assert "writable" in owner.told
    assert is_quiet(reactor)  # room without end, and nobody wants to know


def test_a_socket_without_any_room_takes_the_whole_write_into_the_queue(
        opened: Opened, reactor: CountingReactor) -> None:
    transport, peer = opened(small_pair())
    transport.write(MUCH)
    assert drain_after(transport, peer, reactor, lambda: transport.write(b"behind")) == MUCH + b"behind"


def drain_after(transport: Transport, peer: socket.socket, reactor: Reactor, act: Callable[[], object]) -> bytes:
    act()
    transport.update_interest()
    return drain(transport, peer, reactor)


def test_writes_keep_their_order_however_they_were_queued(opened: Opened, reactor: CountingReactor) -> None:
    transport, peer = opened(small_pair())
    pieces = [bytes([number]) * (number * 700) for number in range(1, 40)]
    for number, piece in enumerate(pieces):
        if number % 3:
            transport.write(piece)
        else:
            transport.enqueue(piece)
    assert drain_after(transport, peer, reactor, transport.flush) == b"".join(pieces)


def test_an_empty_write_is_done_at_once_and_sends_nothing(opened: Opened, reactor: CountingReactor) -> None:
    transport, peer = opened()
    assert transport.write(b"")
    transport.enqueue(b"")
    transport.update_interest()
    assert is_quiet(reactor)
    assert transport.flush()
    transport.enqueue(b"x")
    transport.enqueue(b"")
    assert transport.flush()
    assert received(peer) == b"x"
    transport.update_interest()
    assert is_quiet(reactor)


def seqpacket_pair() -> Pair:
    """Sockets that keep the borders: one `recv` takes exactly what one `send` sent."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_queued_pieces_leave_in_one_send(opened: Opened) -> None:
    transport, peer = opened(seqpacket_pair())
    for word in (b"one,", b"two,", b"three"):
        transport.enqueue(word)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    assert transport.flush()
    assert peer.recv(100) == b"one,two,three"


def test_a_write_behind_held_pieces_leaves_with_them(opened: Opened) -> None:
    transport, peer = opened(seqpacket_pair())
    transport.enqueue(b"head,")
    assert transport.write(b"body")
    assert peer.recv(100) == b"head,body"


def test_thousands_of_queued_pieces_all_leave(opened: Opened) -> None:
    transport, peer = opened()
    for number in range(3000):
        transport.enqueue(b"%d," % number)
    assert transport.flush()
    assert received(peer) == b"".join(b"%d," % number for number in range(3000))


def test_the_write_budget_ends_a_wake_and_the_others_get_their_turn(
        opened: Opened, owner: Recorder, reactor: CountingReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "WRITE_BUDGET", 1000)
    other_owner = Recorder()
    transport, peer = opened()
    _, other = opened(owner=other_owner)
    for _ in range(10):
        transport.enqueue(bytes(5000))
    transport.update_interest()
    other.send(b"please")
    reactor.poll(0)
    assert 1000 <= transport.sent < 50_000
    assert other_owner.data == b"please"
    assert "progress" in owner.told
    assert "writable" not in owner.told
    assert len(drain(transport, peer, reactor)) == 50_000


# -- marks


def test_room_is_told_once_below_the_low_mark_and_once_more_when_the_queue_is_empty(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(small_pair())
    queued: dict[str, list[int]] = {"writable": [], "progress": []}
    for what, seen in queued.items():
        owner.then[what] = lambda seen=seen: seen.append(transport.queued)  # type: ignore[misc]
    transport.write(bytes(100_000))
    transport.update_interest()
    assert owner.told == ["open"]
    while transport.queued:
        peer.recv(1000)
        reactor.poll(0)
    assert len(queued["writable"]) == 2
    assert 0 < queued["writable"][0] <= LOW_WATER
    assert queued["writable"][1] == 0
    assert owner.told[-2:] == ["progress", "writable"]
    assert queued["progress"] == sorted(set(queued["progress"]), reverse=True)
    above = [left for left in queued["progress"] if left > LOW_WATER]
    assert owner.told[:len(above) + 3] == ["open", *["progress"] * (len(above) + 1), "writable"]


def test_small_pieces_are_joined_and_what_is_left_of_them_is_sent_in_order(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(small_pair())
    words = [b"%06d" % number for number in range(30_000)]
    for word in words:
        transport.write(word)
    assert len(transport._queue) <= 4, "a queue of small pieces is walked through again and again"
    assert transport.queued + transport.sent == 180_000
    transport.update_interest()
    assert drain(transport, peer, reactor) == b"".join(words)


def test_after_a_refusal_nothing_is_tried_before_the_selector_says_so(
        opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    transport, _ = opened(small_pair())
    transport.write(bytes(100_000))
    monkeypatch.setattr(Transport, "_send_piece", lambda transport, piece: pytest.fail("it was tried"))
    for _ in range(100):
        assert not transport.write(b"more")
    assert not transport.flush()


def test_a_queue_that_empties_in_one_wake_is_drained_and_needs_no_room(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, _ = opened()
    transport.enqueue(bytes(LOW_WATER * 2))
    transport.update_interest()
    reactor.poll(0)
    assert owner.told == ["open", "progress", "writable"]


def test_a_write_that_leaves_at_once_tells_nothing(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, _ = opened()
    transport.write(b"x")
    transport.update_interest()
    reactor.poll(0)
    assert owner.told == ["open"]


def test_a_producer_that_writes_whenever_it_is_drained_never_stalls(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(small_pair())
    pieces = [bytes([number]) * 20_000 for number in range(20)]
    left = list(pieces)

    def produce() -> None:
        while left and transport.write(left.pop(0)):
            pass

    owner.then["writable"] = produce
    produce()
    transport.update_interest()
    assert drain(transport, peer, reactor) == b"".join(pieces)
    assert left == []


# -- files


@pytest.fixture(params=["sendfile", "no sendfile"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the kernel's help, and as on a platform that has none."""
    if request.param == "no sendfile":
        monkeypatch.delattr(os, "sendfile")
    elif not hasattr(os, "sendfile"):
        pytest.skip("this platform has no sendfile")
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(MUCH)
    return path


def test_a_file_is_sent_behind_its_head_and_before_what_follows(
        opened: Opened, owner: Recorder, reactor: CountingReactor, path: Path, way: str) -> None:
    transport, peer = opened()
    with path.open("rb") as file:
        transport.enqueue(b"head:")
        assert not transport.send_file(file, 0, len(MUCH))
        transport.enqueue(b":tail")
        assert drain_after(transport, peer, reactor, transport.flush) == b"head:" + MUCH + b":tail"
        assert not file.closed
        assert file.tell() == 0
    assert transport.sent == len(MUCH) + 10
    assert owner.told[-1] == "writable"


def test_part_of_a_file_is_sent(opened: Opened, path: Path, way: str) -> None:
    transport, peer = opened()
    with path.open("rb") as file:
        assert transport.send_file(file, 1000, 500)
    assert received(peer) == MUCH[1000:1500]


def test_nothing_of_a_file_is_done_at_once(opened: Opened, path: Path, way: str) -> None:
    transport, peer = opened()
    with path.open("rb") as file:
        assert transport.send_file(file, 0, 0)
    assert received(peer) == b""


def test_the_kernel_is_asked_to_send_a_file_where_it_can(
        opened: Opened, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sendfile = os.sendfile
    counts: list[int] = []

    def counting(out: int, source: int, offset: int, count: int) -> int:
        counts.append(count)
        return sendfile(out, source, offset, count)

    monkeypatch.setattr(os, "sendfile", counting)
    transport, peer = opened()
    with path.open("rb") as file:
        transport.send_file(file, 0, 5000)
    assert received(peer) == MUCH[:5000]
    assert counts == [5000]


def test_a_file_shorter_than_announced_ends_the_connection(
        opened: Opened, owner: Recorder, reactor: CountingReactor, path: Path, way: str) -> None:
    transport, peer = opened()
    os.truncate(path, 100)
    with path.open("rb") as file:
        assert not transport.send_file(file, 0, 200)
    assert owner.told == ["open", "lost"]
    assert transport.closed
    assert reactor.registrations == 0
    assert received(peer) == MUCH[:100]


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(
        opened: Opened, owner: Recorder, reactor: CountingReactor, path: Path, way: str) -> None:
    transport, peer = opened()
    with path.open("rb") as file:
        transport.send_file(file, 0, len(MUCH))
        transport.update_interest()
        os.truncate(path, transport.sent + 10)
        while not transport.closed:
            received(peer)
            assert reactor.poll(10)
    assert owner.told[-1] == "lost"
    assert reactor.registrations == 0


def test_a_span_is_read_without_moving_and_refuses_what_is_not_there(path: Path) -> None:
    os.truncate(path, 300)
    with path.open("rb") as file:
        span = FileSpan(file, 100, 250)
        assert span.read(50) == span.read(50) == MUCH[100:150]
        span.advance(200)
        assert (len(span), span.offset) == (50, 300)
        with pytest.raises(OSError, match="shrunk"):
            span.read(50)


# -- losing and closing


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_reset_is_told_to_a_reader(opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(tcp_pair())
    reset(peer)
    reactor.poll(10)
    assert owner.told == ["open", "lost"]
    assert transport.closed
    assert reactor.registrations == 0
    assert is_quiet(reactor)


def test_a_reset_is_told_to_a_writer_who_does_not_read(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(tcp_pair())
    transport.reading = False
    transport.write(MUCH)
    transport.update_interest()
    reset(peer)
    reactor.poll(10)
    assert owner.told == ["open", "lost"]
    assert reactor.registrations == 0


def test_a_write_into_a_reset_answers_false_and_is_told_once(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    peer.close()
    assert not transport.write(b"hello?")
    assert not transport.write(b"hello?")
    transport.update_interest()
    assert owner.told == ["open", "lost"]
    assert reactor.registrations == 0


def test_a_write_from_a_callback_may_lose_the_socket(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    peer.send(b"bye")
    peer.close()
    owner.then["data"] = lambda: transport.write(b"answer")
    reactor.poll(0)
    assert owner.told == ["open", "data", "lost"]
    assert reactor.registrations == 0


def test_closing_tells_nobody_but_the_peer_and_may_be_repeated(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened()
    transport.enqueue(b"never sent")
    transport.close()
    transport.close()
    transport.abort()
    transport.update_interest()
    assert owner.told == ["open"]
    assert (transport.closed, transport.queued, reactor.registrations) == (True, 0, 0)
    assert peer.recv(100) == b""


@pytest.mark.parametrize("moment", ["data", "eof", "progress", "writable"])
def test_nothing_is_told_after_a_close_from_any_callback(
        opened: Opened, owner: Recorder, reactor: CountingReactor, moment: str) -> None:
    transport, peer = opened(small_pair())
    owner.then[moment] = transport.close
    transport.write(bytes(60_000))
    transport.update_interest()
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    for _ in range(1000):
        reactor.poll(0)
        if transport.closed:
            break
        try:
            peer.recv(1000)
        except BlockingIOError:
            pass
    assert owner.told[-1] == moment
    told = list(owner.told)
    assert is_quiet(reactor)
    assert owner.told == told
    assert reactor.registrations == 0


def test_abort_is_a_reset(opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    transport, peer = opened(tcp_pair())
    transport.abort()
    transport.abort()
    with pytest.raises(ConnectionResetError):
        peer.recv(1)
    assert owner.told == ["open"]
    assert (transport.closed, reactor.registrations) == (True, 0)


def test_a_close_is_an_orderly_end(opened: Opened) -> None:
    transport, peer = opened(tcp_pair())
    transport.write(b"all of it")
    transport.close()
    peer.setblocking(True)
    assert peer.recv(100) == b"all of it"
    assert peer.recv(100) == b""


def test_a_transport_closed_by_another_of_the_same_batch_is_not_told(
        opened: Opened, owner: Recorder, reactor: CountingReactor) -> None:
    first, first_peer = opened()
    second, second_peer = opened()
    transports = [first, second]

    def close_both() -> None:
        for transport in transports:
            transport.close()

    owner.then["data"] = close_both
    first_peer.send(b"x")
    second_peer.send(b"x")
    reactor.poll(0)
    assert owner.told == ["open", "open", "data"]
    assert reactor.registrations == 0


def test_a_transport_may_be_closed_after_its_reactor(owner: Recorder) -> None:
    reactor = Reactor()
    sock, peer = socket.socketpair()
    transport = Transport(sock, reactor)
    transport.open(owner)
    reactor.close()
    transport.close()
    assert sock.fileno() == -1
    assert peer.recv(1) == b""
    peer.close()


def test_a_thousand_transports_come_and_go_and_leave_nothing(
        owner: Recorder, reactor: CountingReactor) -> None:
    ends: list[Callable[[Transport], Any]] = [Transport.close, Transport.abort, Transport.half_close]
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for number in range(300):
        sock, peer = socket.socketpair()
        transport = Transport(sock, reactor)
        transport.open(owner)
        peer.send(b"x")
        reactor.poll(0)
        transport.write(b"y")
        ends[number % 3](transport)
        peer.close()
        reactor.poll(0)
        transport.close()
    assert reactor.registrations == 0
    assert (len(os.listdir("/proc/self/fd")) if before else 0) == before


def test_an_exception_of_the_owner_ends_the_connection_and_is_not_hidden(
        opened: Opened, owner: Recorder, reactor: CountingReactor, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    transport, peer = opened()
    owner.then["data"] = fail
    peer.send(b"x")
    reactor.poll(1)
    assert transport.closed
    assert owner.told[-1] == "lost"
    assert "on purpose" in caplog.text
