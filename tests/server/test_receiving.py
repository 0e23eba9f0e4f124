"""Bodies of requests while they arrive: gathered, or handed on through a pipe; and until when more must arrive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import ProtocolError
from evloop_http.messages import PIPE_SIZE, HTTPError
from evloop_http.server.receiving import GatheredBody, StreamedBody
from evloop_http.server.states import Timeouts

TIMEOUTS = Timeouts(body=10, body_rate=100)


def gathered(limit: int = 1 << 30) -> GatheredBody:
    return GatheredBody(TIMEOUTS, 100.0, limit)


def streamed(on_room: Callable[[], object] = lambda: None, paused: bool = False) -> StreamedBody:
    return StreamedBody(TIMEOUTS, 100.0, on_room, paused)


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
    body.add(bytes(200), 101.0)
    assert body.deadline == 112
    body.add(b"x", 111.0)
    assert round(body.deadline, 2) == 112.01


def test_a_body_buys_no_silence_longer_than_the_idle_time() -> None:
    body = gathered()
    body.add(bytes(1_000_000), 101.0)
    assert body.deadline == 101 + TIMEOUTS.idle


def test_the_time_of_the_handler_is_not_the_clients() -> None:
    body = streamed()
    assert not body.add(bytes(PIPE_SIZE), 105.0)
    next(body.pipe)
    body.resume(1105.0)
    body.add(b"x", 1105.0)
    assert body.deadline == 1105 + TIMEOUTS.idle
    assert body.deadline < 1105 + PIPE_SIZE / 100


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


def test_a_body_that_waits_to_be_asked_for_is_announced_when_the_handler_asks() -> None:
    told: list[str] = []
    body = streamed(lambda: told.append("room"), paused=True)
    with pytest.raises(RuntimeError, match="worker thread"):
        next(body.pipe)
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
