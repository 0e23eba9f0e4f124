"""Bodies of requests while they arrive: gathered, or handed on through a pipe; and until when more must arrive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import ProtocolError
from evloop_http.messages import PIPE_SIZE, HTTPError
from evloop_http.server.receiving import GatheredBody, IncomingBody, StreamedBody
from evloop_http.server.states import Timeouts

TIMEOUTS = Timeouts(body=10, body_rate=100, stream_rate=100)


def gathered(limit: int = 1 << 30) -> GatheredBody:
    return GatheredBody(TIMEOUTS, 100.0, limit)


def streamed(on_room: Callable[[], object] = lambda: None) -> StreamedBody:
    return StreamedBody(TIMEOUTS, 100.0, on_room)


def test_a_body_that_arrives_at_once_is_not_copied() -> None:
    body, data = gathered(), bytes([1, 2, 3])
    assert body.add(data, 100.0)
    assert body.take() is data


@given(st.lists(st.binary(min_size=1)))
def test_pieces_are_gathered(pieces: list[bytes]) -> None:
    body = gathered()
    for piece in pieces:
        assert body.add(piece, 100.0)
    assert body.take() == b"".join(pieces)
    assert body.take() == b""


def test_a_body_that_is_gathered_has_a_limit() -> None:
    body = gathered(4)
    assert body.add(b"ab", 100.0)
    assert body.add(b"cd", 100.0)
    with pytest.raises(ProtocolError) as caught:
        body.add(b"e", 100.0)
    assert caught.value.status == 413


@pytest.mark.parametrize("make", [gathered, streamed])
def test_only_what_has_arrived_moves_the_deadline(make: Callable[[], GatheredBody | StreamedBody]) -> None:
    body = make()
    assert body.deadline == 110
    body.add(bytes(50), 105.0)
    assert body.deadline == 110.5
    body.add(bytes(200), 109.0)
    assert body.deadline == 112.5
    body.add(b"x", 111.0)
    assert round(body.deadline, 2) == 112.51


@pytest.mark.parametrize("make", [gathered, streamed])
def test_what_came_quickly_buys_no_silence_longer_than_the_credit_of_a_body(
        make: Callable[[], GatheredBody | StreamedBody]) -> None:
    """The fault: 10 MiB that came fast bought 10,249 s of one byte now and then."""
    body = make()
    body.add(bytes(PIPE_SIZE - 1), 101.0)
    assert body.deadline == 111
    for second in range(102, 112):
        body.add(b"", float(second))
    assert body.deadline == 111


def test_a_gathered_and_a_streamed_body_have_rates_of_their_own() -> None:
    timeouts = Timeouts(body=10, body_rate=100, stream_rate=1000)
    whole, stream = GatheredBody(timeouts, 100.0, 1 << 30), StreamedBody(timeouts, 100.0, lambda: None)
    for body in (whole, stream):
        body.add(bytes(100), 105.0)
    assert (whole.deadline, stream.deadline) == (111, 110.1)


#: Pauses before pieces in eighths of a second, and the pieces' sizes. With a rate of 128, all sums are exact.
ARRIVALS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 3000)), max_size=30)
RATE = 128


@given(ARRIVALS)
def test_the_credit_is_never_more_than_it_was_and_no_more_than_what_arrived_pays_for(
        arrivals: list[tuple[int, int]]) -> None:
    body = IncomingBody(10, RATE, 1000.0)
    now, before = 1000.0, body.deadline
    for eighths, size in arrivals:
        now += eighths / 8
        body.add(bytes(size), now)
        assert body.deadline <= now + 10
        assert body.deadline <= 1000 + 10 + body.arrived / RATE
        assert body.deadline <= before + size / RATE
        assert body.deadline in (now + 10, before + size / RATE)
        before = body.deadline


@given(ARRIVALS)
def test_a_client_that_is_as_fast_as_is_demanded_never_misses_the_deadline(arrivals: list[tuple[int, int]]) -> None:
    body = IncomingBody(10, RATE, 1000.0)
    now = 1000.0
    for eighths, size in arrivals:
        pause = min(eighths / 8, 10)
        now += pause
        assert now <= body.deadline
        body.add(bytes(max(size, int(pause * RATE))), now)


@given(ARRIVALS, st.lists(st.integers(0, 10_000), min_size=30, max_size=30))
def test_the_time_of_the_handler_moves_the_deadline_and_changes_nothing_else(
        arrivals: list[tuple[int, int]], pauses: list[int]) -> None:
    timeouts = Timeouts(body=10, stream_rate=RATE)
    plain, paused = (StreamedBody(timeouts, 1000.0, lambda: None) for _ in range(2))
    now, handlers = 1000.0, 0.0
    for (eighths, size), pause in zip(arrivals, pauses, strict=False):
        now += eighths / 8
        plain.add(bytes(size * 50), now)
        if not paused.add(bytes(size * 50), now + handlers):
            handlers += pause
            paused.pipe.read()
            paused.resume(now + handlers)
        if plain.pipe.full:
            plain.pipe.read()
        assert paused.deadline == plain.deadline + handlers


def test_the_time_of_the_handler_is_not_the_clients() -> None:
    body = streamed()
    assert not body.add(bytes(PIPE_SIZE), 105.0)
    next(body.pipe)
    body.resume(1105.0)
    assert body.deadline == 1115
    body.add(b"x", 1107.0)
    assert body.deadline == 1115 + 1 / 100


def test_a_full_pipe_pauses_and_room_is_announced_once() -> None:
    told: list[str] = []
    body = streamed(lambda: told.append("room"))
    assert body.add(bytes(PIPE_SIZE - 1), 100.0)
    assert not body.add(b"x", 100.0)
    assert told == []
    assert len(next(body.pipe)) == PIPE_SIZE
    assert told == ["room"]
    assert body.add(b"x", 100.0)
    assert next(body.pipe) == b"x"
    assert told == ["room"]


def test_a_handler_meets_the_error_behind_what_arrived_before() -> None:
    body = streamed()
    body.add(b"some", 100.0)
    body.lose()
    assert next(body.pipe) == b"some"
    for _ in range(2):
        with pytest.raises(HTTPError) as caught:
            next(body.pipe)
        assert caught.value.status == 400


def test_what_arrives_for_a_handler_that_has_closed_its_end_is_dropped() -> None:
    body = streamed()
    body.pipe.close()
    assert body.add(bytes(PIPE_SIZE * 2), 100.0)
