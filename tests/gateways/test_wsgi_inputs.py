"""`wsgi.input`: it is what a file of the same bytes would be, however they arrive."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http import HTTPError
from evloop_http.gateways.wsgi.inputs import BodyLost, Input

LINES = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b"xyz" * 9])).map(b"".join)
SIZES = st.none() | st.integers(-1, 9)
CALLS = st.lists(st.tuples(st.sampled_from(["read", "readline", "readlines"]), SIZES) | st.tuples(
    st.just("next"), st.none()), max_size=12)


def pieces_of(data: bytes, places: list[int]) -> Iterator[bytes]:
    cuts = sorted({0, len(data), *[place % (len(data) + 1) for place in places]})
    return iter([data[begin:end] for begin, end in pairwise(cuts)])


@given(LINES, st.lists(st.integers(0, 200)), CALLS, st.booleans())
def test_it_reads_as_a_file_does(data: bytes, places: list[int], calls: list[tuple[str, int | None]],
                                 is_there: bool) -> None:
    file = io.BytesIO(data)
    body = Input(data) if is_there else Input(b"", pieces_of(data, places))
    for name, size in calls:
        if name == "next":
            assert next(body, None) == next(file, None)
        else:
            assert getattr(body, name)(size) == getattr(file, name)(size)
    assert body.read() == file.read()
    assert (body.read(), body.read(5), body.readline(), body.readlines(), list(body)) == (b"", b"", b"", [], [])


def test_no_more_is_asked_for_than_is_needed() -> None:
    asked = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"one\n", b"two\n", b"three\n"):
            asked.append(piece)
            yield piece
    body = Input(b"", pieces())
    assert body.readline() == b"one\n"
    assert body.read(3) == b"two"
    assert asked == [b"one\n", b"two\n"]


def test_a_line_that_arrives_in_crumbs_is_searched_once() -> None:
    class Counting(bytearray):
        searched = 0

        def find(self, sought: bytes, start: int = 0) -> int:  # type: ignore[override]
            Counting.searched += len(self) - start
            return super().find(sought, start)
    size = 20_000
    body = Input(b"", iter([b"x"] * size + [b"\n"]))
    body._data = Counting()
    body._receive()
    body._data = Counting(body._data)
    assert len(body.readline()) == size + 1
    assert Counting.searched <= 2 * size


def test_a_body_that_does_not_arrive_is_an_error_for_either_side() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"some"
        raise HTTPError(408, "Too slow.")
    body = Input(b"", pieces())
    with pytest.raises(BodyLost) as caught:
        body.read()
    assert isinstance(caught.value, OSError)  # for frameworks
    assert isinstance(caught.value, HTTPError)  # for us
    assert caught.value.status == 408
    assert str(caught.value) == "408 Too slow."
