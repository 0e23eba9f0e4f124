"""The life of a WebSocket over a fake net: rules that a peer can break, deadlines, floods, both kinds of pressure."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evloop_http.websocket import AsyncWebSocket, Disconnected, WebSocket, broadcast
from evloop_http.websocket.inbox import Inbox
from evloop_http.websocket.options import BEHIND, HIGH_WATER, INBOX_MESSAGES, INBOX_SIZE, SLICE
from wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Got,
    LoneChannel,
    Wire,
    asked_for,
    closing,
    masked,
    read_frames,
    texts,
)

pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    wires: list[Wire] = []

    def make(**options: Any) -> Wire:
        wires.append(Wire(**options))
        return wires[-1]
    yield make
    for one in wires:
        one.end()


# -- messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_of_any_size_comes_back(wire: Callable[..., Wire], kind: int, size: int) -> None:
    echo, payload = wire(), b"x" * size
    assert echo.send(masked(kind, payload)) == [Got(kind, payload)]
    assert echo.messages == [payload.decode() if kind == TEXT else payload]


def test_what_is_sent_behind_the_handshake_is_not_lost() -> None:
    echo = Wire()
    other = echo.net.connect()
    from wire import handshake
    other.send(handshake() + masked(TEXT, b"early"))
    assert other.got.partition(b"\r\n\r\n")[2] == b"\x81\x05early"
    echo.end()


def test_control_frames_may_stand_between_the_fragments_of_a_message(wire: Callable[..., Wire]) -> None:
    echo = wire()
    assert echo.send(masked(TEXT, b"a", fin=False), masked(PING, b"?"), masked(PONG), masked(CONT, b"b", fin=False),
                     masked(CONT, b"c")) == [Got(PONG, b"?"), *texts("abc")]


@given(st.text(max_size=40), st.data())
@settings(max_examples=80, deadline=None)
def test_a_message_is_the_same_however_it_is_cut(text: str, data: st.DataObject) -> None:
    payload = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=6)))
    parts = [payload[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = [masked(TEXT if not at else CONT, part, fin=at == len(cuts)) for at, part in enumerate(parts)]
    raw = b"".join(frames)
    places = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[begin:end] for begin, end in zip([0, *places], [*places, len(raw)], strict=True)]
    echo = Wire()
    assert echo.send(*[piece for piece in pieces if piece]) == texts(text)
    echo.end()


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_messages_or_a_close_and_never_a_failure_of_ours(data: bytes) -> None:
    echo = Wire()
    got = echo.send(data, closing(1000))
    assert all(frame.opcode in (TEXT, BINARY, PONG, CLOSE) for frame in got)
    assert [frame.opcode for frame in got].count(CLOSE) <= 1
    echo.end()
    assert len(echo.closed) == 1


def test_answers_to_the_messages_of_one_read_leave_in_one_send(wire: Callable[..., Wire]) -> None:
    echo = wire()
    before = len(echo.peer.sock.sends)
    echo.send(b"".join(masked(TEXT, b"%d" % number) for number in range(50)))
    assert len(echo.peer.sock.sends) == before + 1


def test_small_messages_are_read_without_the_library_before_and_behind_others(wire: Callable[..., Wire]) -> None:
    """The library has no word for being between two messages; if its inner name changes, this tells us."""
    echo = wire()
    given: list[bytes] = []
    frames = echo.ws.protocol._frames
    receive = frames.receive_data

    def noted(data: bytes | bytearray) -> None:
        given.append(bytes(data))
        receive(data)
    frames.receive_data = noted  # type: ignore[method-assign]
    small, large, ping = masked(TEXT, b"x" * 125), masked(BINARY, bytes(126)), masked(PING)
    for pieces, seen in (([small], []), ([small + small], []), ([small + ping], [ping]), ([small], []),
                         ([large], [large]), ([small], []), ([small[:5], small[5:]], [small[:5], small[5:]]),
                         ([small], []), ([masked(TEXT, b"a", fin=False), masked(PING)], None),
                         ([masked(CONT, b"b")], None), ([small], [])):
        given.clear()
        echo.send(*pieces)
        if seen is not None:
            assert given == seen
    assert echo.messages == ["x" * 125] * 5 + [bytes(126)] + ["x" * 125] * 3 + ["ab", "x" * 125]


# -- rules that a peer breaks

BREACHES = {
    "a frame that is not masked": ([masked(TEXT, b"x", mask=None)], 1002),
    "rsv1 without an extension": ([masked(TEXT, b"x", rsv=4)], 1002),
    "rsv2": ([masked(TEXT, b"x", rsv=2)], 1002),
    "rsv3": ([masked(TEXT, b"x", rsv=1)], 1002),
    "opcode 3": ([masked(3, b"x")], 1002),
    "opcode 15": ([masked(15)], 1002),
    "a ping of 126 bytes": ([masked(PING, bytes(126))], 1002),
    "a ping in fragments": ([masked(PING, b"x", fin=False)], 1002),
    "a close in fragments": ([masked(CLOSE, b"\x03\xe8", fin=False)], 1002),
    "a fragment of nothing": ([masked(CONT, b"x")], 1002),
    "a message within a message": ([masked(TEXT, b"x", fin=False), masked(TEXT, b"y")], 1002),
    "a close of one byte": ([masked(CLOSE, b"\x03")], 1002),
    "a close with a code for nobody": ([closing(1005)], 1002),
    "a close with a code of no range": ([closing(999)], 1002),
    "a close with a code that is reserved": ([closing(1004)], 1002),
    "a close whose reason is no utf-8": ([closing(1000, b"\xff")], 1007),
    "text that is no utf-8": ([masked(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80")], 1007),
    "text that ends within a character": ([masked(TEXT, b"\xe2\x82")], 1007),
    "fragments that end within a character": ([masked(TEXT, b"\xe2", fin=False), masked(CONT, b"\x82")], 1007),
    "a message over the limit": ([masked(BINARY, b"", size=b"\xff" + (1 << 20 | 1).to_bytes(8, "big"))], 1009),
    "a length of 64 bits": ([masked(BINARY, b"", size=b"\xff" + b"\xff" * 8)], 1009),
    "fragments that are too much together": (
        [masked(BINARY, bytes(1 << 20), fin=False), masked(CONT, b"x")], 1009),
    "fragments that are too many": ([masked(TEXT, fin=False), *[masked(CONT, fin=False)] * 1024], 1009),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_of_a_rule_has_its_code(wire: Callable[..., Wire], breach: str) -> None:
    echo = wire()
    frames, code = BREACHES[breach]
    got = echo.send(masked(TEXT, b"before"), *frames)
    assert got[:-1] == texts("before")
    assert got[-1].code == code
    assert echo.closed == [(code, got[-1].payload[2:].decode())]
    assert echo.peer.state() == "lingering"
    assert echo.send(masked(TEXT, b"behind")) == []
    assert echo.messages == ["before"]


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_in_one_piece_with_a_small_message_is_noticed_at_once(wire: Callable[..., Wire], breach: str) -> None:
    """The fault: behind one small message, it was noticed when something else arrived, and nothing else did."""
    echo = wire()
    frames, code = BREACHES[breach]
    got = echo.send(b"".join([masked(TEXT, b"before"), *frames]))
    assert [frame.payload for frame in got[:-1]] == [b"before"]
    assert got[-1].code == code


def test_a_limit_below_the_size_of_a_small_frame_holds_too(wire: Callable[..., Wire]) -> None:
    echo = wire(max_message=10)
    got = echo.send(masked(TEXT, b"0123456789"), masked(TEXT, b"0123456789a"))
    assert (got[0], got[1].code) == (*texts("0123456789"), 1009)


def test_as_many_fragments_as_are_allowed_are_a_message(wire: Callable[..., Wire]) -> None:
    echo = wire()
    frames = [masked(TEXT, b"x", fin=False), *[masked(CONT, b"x", fin=False)] * 1022, masked(CONT, b"x")]
    assert echo.send(*frames) == texts("x" * 1024)


def test_text_fails_at_its_first_bad_byte_and_not_at_its_end(wire: Callable[..., Wire]) -> None:
    echo = wire()
    assert echo.send(masked(TEXT, b"\xce\xba\xe1", fin=False)) == []
    assert [frame.code for frame in echo.send(masked(CONT, b"\xed\xa0", fin=False))] == [1007]


def test_a_breach_behind_messages_does_not_destroy_their_answers(wire: Callable[..., Wire]) -> None:
    echo = wire()
    got = echo.send(masked(TEXT, b"a") + masked(TEXT, b"b") + masked(7))
    assert got[:2] == texts("a", "b")
    assert got[2].code == 1002


# -- closing


@pytest.mark.parametrize(("frame", "code", "reason"), [
    (closing(), 1005, ""), (closing(1000), 1000, ""), (closing(1001, b"away"), 1001, "away"),
    (closing(3000), 3000, ""), (closing(4999, "größe".encode()), 4999, "größe")])
def test_a_close_is_answered_with_the_same_and_told(wire: Callable[..., Wire], frame: bytes, code: int,
                                                    reason: str) -> None:
    echo = wire()
    got, = echo.send(frame)
    assert (got.code, got.payload[2:].decode()) == (code, reason)
    assert echo.closed == [(code, reason)]
    assert (echo.ws.closed, echo.ws.close_code, echo.ws.close_reason) == (True, code, reason)
    assert echo.peer.state() == "lingering"  # the server closes TCP first (§7.1.1)
    with pytest.raises(Disconnected) as info:
        echo.ws.send("x")
    assert (info.value.code, info.value.reason) == (code, reason)


def test_a_close_within_a_fragmented_message_is_a_close(wire: Callable[..., Wire]) -> None:
    echo = wire()
    got, = echo.send(masked(TEXT, b"x", fin=False), closing(1000))
    assert got.code == 1000


def test_our_close_follows_what_was_sent_and_waits_for_its_answer(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.ws.send("last")
    echo.ws.close(4000, "done")
    echo.ws.close(4001)
    last, close = echo.got()
    assert (last, close.code, close.payload[2:]) == (*texts("last"), 4000, b"done")
    assert echo.send(masked(TEXT, b"on its way"), masked(PING)) == []
    assert (echo.messages, echo.closed) == ([], [])
    assert echo.send(closing(4000, b"done")) == []
    assert echo.closed == [(4000, "done")]
    assert echo.peer.state() == "lingering"


def test_a_peer_that_does_not_answer_our_close_is_cut_off_whatever_it_sends(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.ws.close()
    for _ in range(9):
        echo.net.advance(1)
        echo.send(masked(TEXT, b"still here"))
    assert echo.peer.state() == "switched"
    echo.net.advance(2)
    assert echo.peer.state() == "closed"
    assert echo.closed == [(1006, "")]


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_peer_that_is_lost_without_a_close_is_told_as_1006(wire: Callable[..., Wire], how: str) -> None:
    echo = wire()
    getattr(echo.peer, how)()
    assert echo.closed == [(1006, "")]
    assert echo.peer.state() == "closed"


def test_a_server_that_stops_closes_with_1001(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.net.shared.draining = True
    echo.peer.connection.drain()
    assert [frame.code for frame in echo.got()] == [1001]
    echo.send(closing(1001))
    assert echo.closed == [(1001, "")]


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (1005, ""), (1006, ""), (1015, ""), (5000, ""),
                                              (1000, "x" * 124), (1000, "\ud800")])
def test_a_code_that_may_not_be_sent_is_refused(wire: Callable[..., Wire], code: int, reason: str) -> None:
    echo = wire()
    with pytest.raises(ValueError, match=r"code|reason|surrogates"):
        echo.ws.close(code, reason)
    assert echo.send(masked(TEXT, b"x")) == texts("x")


# -- deadlines


def test_a_silent_peer_is_pinged_and_lives_by_its_pong(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.net.advance(19)
    assert echo.got() == []
    for _ in range(10):
        echo.net.advance(20)
        assert echo.got() == [Got(PING, b"")]
        echo.send(masked(PONG))
    assert echo.peer.state() == "switched"


def test_a_peer_that_answers_no_ping_is_lost(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.net.advance(21)
    echo.net.advance(19)
    assert echo.peer.state() == "switched"
    echo.net.advance(2)
    assert (echo.peer.state(), echo.closed) == ("closed", [(1006, "")])


def test_one_that_sends_something_is_not_pinged(wire: Callable[..., Wire]) -> None:
    echo = wire()
    for _ in range(10):
        echo.net.advance(15)
        assert echo.send(masked(TEXT, b"x")) == texts("x")


def test_a_large_message_that_arrives_slowly_counts_as_a_sign_of_life(wire: Callable[..., Wire]) -> None:
    echo = wire()
    raw = masked(BINARY, bytes(100))
    for at in range(0, len(raw), 10):
        echo.net.advance(19)
        echo.send(raw[at:at + 10])
    assert echo.messages == [bytes(100)]


def test_the_clock_of_the_pong_stands_still_while_we_do_not_read(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.net.advance(21)
    assert echo.got() == [Got(PING, b"")]
    echo.ws.protocol.pause()
    echo.peer.sock.inbox.append(masked(PONG))
    for _ in range(20):
        echo.net.advance(15)
    assert echo.peer.state() == "switched"
    echo.ws.protocol.resume()
    echo.net.advance(19)
    assert echo.peer.state() == "switched"


def test_a_peer_that_leaves_while_we_do_not_read_is_noticed(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.ws.protocol.pause()
    echo.peer.sock.was_reset = True
    echo.net.advance(21)
    assert echo.closed == [(1006, "")]
    assert echo.peer.state() == "closed"


def test_a_peer_that_we_did_not_read_has_its_time_anew(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.net.advance(21)
    echo.ws.protocol.pause()
    echo.net.advance(18)
    echo.ws.protocol.resume()
    echo.net.advance(19)
    assert echo.peer.state() == "switched"
    assert echo.got() == [Got(PING, b"")]
    echo.net.advance(2)
    echo.net.advance(21)
    assert (echo.peer.state(), echo.closed) == ("closed", [(1006, "")])


def test_deadlines_can_be_chosen(wire: Callable[..., Wire]) -> None:
    echo = wire(ping_interval=1, ping_timeout=2, close_timeout=3)
    echo.net.advance(1.5)
    assert echo.got() == [Got(PING, b"")]
    echo.net.advance(1)
    echo.send(masked(PONG))
    echo.ws.close()
    echo.net.advance(2.5)
    assert echo.peer.state() == "switched"
    echo.net.advance(1)
    assert echo.peer.state() == "closed"


# -- floods


def test_every_ping_is_answered_while_there_is_room(wire: Callable[..., Wire]) -> None:
    echo = wire()
    pings = [b"%d" % number for number in range(100)]
    assert echo.send(b"".join(masked(PING, ping) for ping in pings)) == [Got(PONG, ping) for ping in pings]


class Chat(Wire):
    """What a client says is said to all, here to itself."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        broadcast([ws], message)


def test_a_ping_behind_much_that_leaves_at_once_is_answered_at_once() -> None:
    chat = Chat()
    chat.send(masked(BINARY, bytes(HIGH_WATER), fin=False))
    got = chat.send(masked(CONT) + masked(PING, b"there?"))
    assert got == [Got(BINARY, bytes(HIGH_WATER)), Got(PONG, b"there?")]
    chat.end()


def test_to_a_peer_that_takes_nothing_only_the_latest_pong_is_kept(wire: Callable[..., Wire]) -> None:
    echo = wire(room=200)
    flood = b"".join(masked(PING, b"%0125d" % number) for number in range(5000))
    for at in range(0, len(flood), 60_000):
        echo.peer.send(flood[at:at + 60_000])
        assert echo.peer.transport.queued < 2 * HIGH_WATER
    echo.peer.take()
    got = read_frames(echo.peer.got[len(echo.head) + 4:])
    assert len(got) < 2000
    assert got[-1] == Got(PONG, b"%0125d" % 4999)


def test_a_flood_of_small_frames_is_handled_within_a_budget_of_time(wire: Callable[..., Wire]) -> None:
    """Each message takes a millisecond here: after a few, the others have their turn, and nothing is read meanwhile."""
    echo = wire()
    turns: list[int] = []

    def slowly(message: str | bytes) -> None:
        echo.net.clock.advance(0.001)
        turns.append(echo.net.reactor.turn)
    echo.ws.on_message = slowly  # type: ignore[method-assign]
    echo.send(b"".join(masked(TEXT) for _ in range(100)), b"".join(masked(TEXT) for _ in range(100)))
    assert len(turns) == 200
    assert max(turns.count(turn) for turn in turns) <= 2 * 6  # what arrives in a turn may go on once in its end


def test_the_parser_is_given_no_more_than_a_slice_at_a_time(wire: Callable[..., Wire]) -> None:
    echo = wire()
    sizes: list[int] = []
    frames = echo.ws.protocol._frames
    read = frames.read

    def counted(data: bytes) -> list[Any]:
        sizes.append(len(data))
        return read(data)
    frames.read = counted  # type: ignore[method-assign]
    flood = masked(TEXT, b"x") * 8000
    echo.send(flood)
    assert echo.messages == ["x"] * 8000
    assert sum(sizes) == len(flood)
    assert max(sizes) <= SLICE


def test_no_more_is_handled_while_the_listener_has_enough(wire: Callable[..., Wire]) -> None:
    echo = wire()
    seen: list[str | bytes] = []

    def once(message: str | bytes) -> None:
        seen.append(message)
        echo.ws.protocol.pause()
    echo.ws.on_message = once  # type: ignore[method-assign]
    for number in range(10):
        echo.peer.sock.inbox.append(b"".join(masked(TEXT, b"%d" % (number * 10 + each)) for each in range(10)))
    echo.net.settle()
    for count in range(1, 101):
        assert len(seen) == count
        assert len(echo.peer.sock.inbox) >= 9 - count // 10 - 1
        echo.ws.protocol.resume()
        echo.net.settle()
    assert seen == [str(number) for number in range(100)]


# -- back-pressure


def test_from_a_client_that_takes_nothing_nothing_is_received(wire: Callable[..., Wire]) -> None:
    echo = wire(room=1000)
    for _ in range(100):
        echo.peer.sock.inbox.append(masked(BINARY, bytes(10_000)))
    echo.net.settle()
    assert len(echo.messages) < 20
    assert echo.peer.transport.queued < 2 * HIGH_WATER
    echo.peer.take()
    assert echo.messages == [bytes(10_000)] * 100
    assert len(read_frames(echo.peer.got[len(echo.head) + 4:])) == 100


def test_a_client_that_takes_nothing_at_all_is_closed_after_the_time_for_writing(wire: Callable[..., Wire]) -> None:
    echo = wire(room=200)
    echo.peer.send(masked(BINARY, bytes(1000)))
    for _ in range(4):
        echo.net.advance(9)
    assert (echo.peer.state(), echo.closed) == ("closed", [(1006, "")])


def test_a_handler_that_makes_much_of_little_is_slowed_down_without_recursion(wire: Callable[..., Wire]) -> None:
    echo = wire()
    echo.echoes = False

    def enlarge(message: str | bytes) -> None:
        echo.ws.send(bytes(HIGH_WATER))
    echo.ws.on_message = enlarge  # type: ignore[method-assign]
    got = echo.send(b"".join(masked(TEXT) for _ in range(500)))
    assert len(got) == 500


def test_try_send_refuses_and_send_tells_when_much_is_queued(wire: Callable[..., Wire]) -> None:
    echo = wire(room=1000)
    assert echo.ws.send(bytes(500))
    assert not echo.ws.send(bytes(2 * HIGH_WATER))
    assert not echo.ws.try_send("more")
    echo.peer.take()
    assert echo.ws.try_send("more")
    echo.got()
    assert echo.ws.protocol.behind == 0


def test_who_is_a_megabyte_behind_is_cut_off(wire: Callable[..., Wire]) -> None:
    echo = wire(room=1000)
    sent = 0
    with contextlib.suppress(Disconnected):
        while True:
            echo.ws.send(bytes(10_000))
            sent += 10_000
    assert BEHIND < sent < BEHIND + 20_000
    assert echo.closed == [(1006, "")]
    assert echo.peer.state() == "closed"
    assert echo.peer.sock.aborted


def test_a_broadcast_cuts_off_who_is_a_megabyte_behind_and_reaches_the_others() -> None:
    slow, quick = Wire(room=1000), Wire()
    sent = [broadcast([slow.ws, quick.ws], bytes(10_000)) for _ in range(200)]
    assert sent[0] == 2
    assert BEHIND < sent.count(2) * 10_000 < BEHIND + 20_000
    assert sent[-1] == 1
    assert len(quick.got()) == 200
    assert (slow.closed, slow.peer.sock.aborted, quick.closed) == ([(1006, "")], True, [])
    slow.end()
    quick.end()


# -- the inboxes of handlers that wait


def test_the_inbox_of_a_thread_is_bounded_and_reading_goes_on_when_half_of_it_is_taken() -> None:
    channel = LoneChannel()
    ws = WebSocket(*asked_for())
    ws._accept(None, ())
    ws.protocol.on_start(channel)
    ws.protocol.on_data(b"".join(masked(TEXT, b"%d" % number) for number in range(100)))
    taken: list[str | bytes] = []

    def take(count: int) -> None:
        thread = threading.Thread(target=lambda: taken.extend(ws.receive() for _ in range(count)))
        thread.start()
        thread.join()
    assert (len(ws._inbox.messages), channel.paused, channel.due) == (INBOX_MESSAGES, True, [])
    take(INBOX_MESSAGES // 2 - 1)
    assert channel.due == []
    take(1)
    channel.settle()
    assert (len(ws._inbox.messages), channel.paused) == (INBOX_MESSAGES, True)
    while len(taken) < 100:
        take(1)
        channel.settle()
    assert taken == [*map(str, range(100))]
    assert not channel.paused


def test_the_inbox_of_a_task_is_bounded_and_reading_goes_on_when_half_of_it_is_taken() -> None:
    async def run() -> None:
        channel = LoneChannel()
        ws = AsyncWebSocket(*asked_for(), asyncio.get_running_loop())
        ws._accept(None, ())
        ws.protocol.on_start(channel)
        ws.protocol.on_data(b"".join(masked(TEXT, b"%d" % number) for number in range(100)))
        assert (len(ws._inbox.messages), channel.paused, channel.due) == (INBOX_MESSAGES, True, [])
        taken = [await ws.receive() for _ in range(INBOX_MESSAGES // 2 - 1)]
        assert channel.due == []
        while len(taken) < 100:
            taken.append(await ws.receive())
            channel.settle()
            assert len(ws._inbox.messages) <= INBOX_MESSAGES
        assert taken == [*map(str, range(100))]
        assert not channel.paused
    asyncio.run(run())


@pytest.mark.parametrize("size", [INBOX_SIZE // 2, INBOX_SIZE])
def test_large_messages_fill_an_inbox_by_their_size(size: int) -> None:
    inbox = Inbox()
    count = INBOX_SIZE // size
    assert [inbox.put(bytes(size)) for _ in range(count)] == [False] * (count - 1) + [True]
    assert not inbox.has_room()
    while inbox.messages:
        inbox.take()
    assert inbox.has_room()


# -- compression

OFFER = ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",)


def inflated(frames: list[Got]) -> list[bytes]:
    import zlib
    window, out = zlib.decompressobj(wbits=-12), []
    for frame in frames:
        out.append(window.decompress(frame.payload + b"\0\0\xff\xff") if frame.rsv == 4 else frame.payload)
    return out


def test_nothing_is_compressed_unless_both_want_it(wire: Callable[..., Wire]) -> None:
    assert b"Extensions" not in wire(fields=OFFER).head
    assert b"Extensions" not in wire(compression=True).head
    assert b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12" \
        in wire(compression=True, fields=OFFER).head


def test_large_messages_are_compressed_and_small_ones_are_not(wire: Callable[..., Wire]) -> None:
    echo = wire(compression=True, fields=OFFER)
    messages = [b"x" * 127, b"y" * 128, random.Random(1).randbytes(70_000), b"y" * 128]
    got = echo.send(*[masked(BINARY, message) for message in messages])
    assert [frame.rsv for frame in got] == [0, 4, 4, 4]
    assert inflated(got) == messages
    assert len(got[3].payload) < len(got[1].payload)  # the window remembers


def deflated(payload: bytes) -> bytes:
    import zlib
    compressor = zlib.compressobj(wbits=-12)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_a_bomb_is_refused_before_it_is_large(wire: Callable[..., Wire]) -> None:
    echo = wire(compression=True, fields=OFFER)
    got = echo.send(masked(BINARY, deflated(bytes(8 << 20)), rsv=4))
    assert [frame.code for frame in got] == [1009]
    assert echo.messages == []


def test_a_bomb_in_fragments_is_refused_too(wire: Callable[..., Wire]) -> None:
    echo = wire(compression=True, fields=OFFER)
    bomb = deflated(bytes(8 << 20))
    frames = [masked(BINARY, bomb[:500], rsv=4, fin=False)]
    frames += [masked(CONT, bomb[at:at + 500], fin=False) for at in range(500, len(bomb), 500)]
    assert [frame.code for frame in echo.send(*frames)] == [1009]


@pytest.mark.parametrize("frames", [[masked(TEXT, b"\xff\xff\xff\xff", rsv=4)],
                                    [masked(TEXT, deflated(b"a")[:1], rsv=4, fin=False), masked(CONT, b"", rsv=4)]])
def test_what_cannot_be_decompressed_is_a_breach(wire: Callable[..., Wire], frames: list[bytes]) -> None:
    echo = wire(compression=True, fields=OFFER)
    assert [frame.code for frame in echo.send(*frames)] == [1002]
