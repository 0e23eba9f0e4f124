"""Bodies on their way to the application: gathered, or taken by another thread while they come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import ProtocolError
from evloop_http.messages import HTTPError, RequestHead
from evloop_http.server.receiving import BUFFER_SIZE, Upload, UploadStream
from evloop_http.server.states import Timeouts

HEAD = cast(RequestHead, None)
#: Seconds after which a thread that should have ended has failed.
PATIENCE = 20


def make_stream(on_room: Callable[[], object] = lambda: None, paused: bool = False) -> UploadStream:
    return UploadStream(HEAD, 100.0, on_room, paused)


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_a_body_that_came_at_once_is_not_copied() -> None:
    upload = Upload(HEAD, 0, 10)
    body = bytes([1, 2, 3])
    assert upload.add(body)
    assert upload.take() is body


@given(st.lists(st.binary(min_size=1)))
def test_pieces_are_gathered(pieces: list[bytes]) -> None:
    upload = Upload(HEAD, 0, 1 << 30)
    for piece in pieces:
        assert upload.add(piece)
    assert upload.take() == b"".join(pieces)
    assert upload.take() == b""


def test_a_body_that_is_gathered_has_a_limit() -> None:
    upload = Upload(HEAD, 0, 4)
    assert upload.add(b"ab")
    assert upload.add(b"cd")
    with pytest.raises(ProtocolError) as caught:
        upload.add(b"e")
    assert caught.value.status == 413


def test_only_what_came_moves_the_deadline() -> None:
    timeouts = Timeouts(body=10, body_rate=100)
    upload, stream = Upload(HEAD, 100.0, 1000), make_stream()
    for body in upload, stream:
        assert body.deadline(timeouts) == 110
        body.add(bytes(200))
        assert body.deadline(timeouts) == 112


def test_what_was_taken_counts_for_the_deadline_and_what_the_handler_took_its_time_for_does_too() -> None:
    timeouts = Timeouts(body=10, body_rate=100)
    stream = make_stream()
    stream.add(bytes(200))
    next(stream)
    stream.pause(105.0)
    stream.resume(1105.0)
    assert stream.deadline(timeouts) == 1112


def test_what_came_is_taken_at_once() -> None:
    stream = make_stream()
    stream.add(b"one ")
    stream.add(b"two")
    assert next(stream) == b"one two"
    stream.add(b"three")
    stream.end()
    assert list(stream) == [b"three"]
    assert list(stream) == []


def test_a_full_buffer_is_said_to_be_and_room_is_told_once() -> None:
    told: list[str] = []
    stream = make_stream(lambda: told.append("room"))
    assert stream.add(bytes(BUFFER_SIZE - 1))
    assert not stream.add(b"x")
    assert told == []
    assert len(next(stream)) == BUFFER_SIZE
    assert told == ["room"]
    assert stream.add(b"y")
    assert next(stream) == b"y"
    assert told == ["room"]


def test_a_body_that_is_not_invited_yet_is_asked_for_by_whoever_waits_for_it() -> None:
    asked = threading.Event()
    stream = make_stream(asked.set, paused=True)
    taken: list[bytes] = []
    thread = in_thread(lambda: taken.extend(stream))
    assert asked.wait(PATIENCE)
    stream.add(b"body")
    stream.end()
    thread.join(PATIENCE)
    assert b"".join(taken) == b"body"


def test_nobody_waits_in_the_thread_of_the_loop() -> None:
    stream = make_stream()
    with pytest.raises(RuntimeError, match="worker thread"):
        next(stream)


def test_a_body_that_will_not_come_whole_is_an_error_for_whoever_waits() -> None:
    stream = make_stream()
    stream.add(b"half")
    errors: list[HTTPError] = []
    half = threading.Event()

    def take() -> None:
        assert next(stream) == b"half"
        half.set()
        try:
            next(stream)
        except HTTPError as error:
            errors.append(error)

    thread = in_thread(take)
    assert half.wait(PATIENCE)
    stream.close()
    thread.join(PATIENCE)
    assert [error.status for error in errors] == [400]


def test_what_came_of_a_body_that_is_lost_is_not_taken_for_it() -> None:
    stream = make_stream()
    stream.add(b"half")
    stream.close()
    with pytest.raises(HTTPError):
        next(stream)


def test_a_body_that_is_whole_is_there_even_if_its_peer_is_not() -> None:
    stream = make_stream()
    stream.add(b"whole")
    stream.end()
    stream.close()
    assert list(stream) == [b"whole"]


@given(st.lists(st.binary(min_size=1, max_size=1000)))
def test_what_is_put_in_by_one_thread_comes_out_in_another(pieces: list[bytes]) -> None:
    stream = make_stream()
    taken: list[bytes] = []
    thread = in_thread(lambda: taken.extend(stream))
    for piece in pieces:
        stream.add(piece)
    stream.end()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert b"".join(taken) == b"".join(pieces)
