"""Ranges: which bytes are asked for, and several parts as one body."""

from __future__ import annotations

import io
from email import message_from_bytes
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.app.static.ranges import MOST_RANGES, NEAR, MultipartBody, Range, parse_ranges


@pytest.mark.parametrize(("value", "expected"), [
    ("bytes=0-0", [(0, 1)]), ("bytes=990-", [(990, 1000)]), ("bytes=-10", [(990, 1000)]), ("bytes=-5000", [(0, 1000)]),
    ("bytes=0-5000", [(0, 1000)]), ("Bytes=1-2", [(1, 3)]), ("bytes = 1-2", [(1, 3)]), ("bytes=,1-2,\t,", [(1, 3)]),
    ("bytes=0-9,500-509", [(0, 10), (500, 510)]), ("bytes=500-509,0-9", [(500, 510), (0, 10)]),
    ("bytes=0-9,5-20", [(0, 21)]), ("bytes=0-99,20-30", [(0, 100)]), (f"bytes=0-9,{10 + NEAR}-200", [(0, 201)]),
    (f"bytes=0-9,{11 + NEAR}-200", [(0, 10), (11 + NEAR, 201)]), ("bytes=900-,0-0,-100", [(900, 1000), (0, 1)]),
    ("bytes=700-709,0-9,705-715,1-2", [(700, 716), (0, 10)]), ("bytes=1000-,0-0", [(0, 1)]),
    ("bytes=500-500,0-0,400-500", [(400, 501), (0, 1)]),
    ("bytes=1000-", []), ("bytes=-0", []), ("bytes=1000-1001,-0,2000-", []), ("bytes=99999999999999999999-", []),
    # What clients write for "to the end": their largest integer.
    ("bytes=100-9223372036854775807", [(100, 1000)]), ("bytes=100-18446744073709551615", [(100, 1000)]),
    ("bytes=-18446744073709551615", [(0, 1000)]),
    ("", None), ("bytes", None), ("bytes=", None), ("bytes=,", None), ("bytes=-", None), ("bytes=5-4", None),
    ("bytes=0-0,5-4", None),
    ("bytes=0-0,x", None), ("bytes=0-0 1-1", None), ("bytes=+1-2", None), ("bytes=1-2-3", None),
    ("bytes=--1", None), ("bytes=1_0-20", None), ("bytes=\u0661-", None), ("items=0-0", None), ("bytes=0.0-1", None),
    ("bytes=100000000000000000000-", None), ("bytes=0-0;q=1", None), ("bytes=0 - 0", None),
])
def test_ranges_are_read(value: str, expected: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(value, 1000) == expected


def test_of_nothing_there_are_no_parts() -> None:
    assert parse_ranges("bytes=0-", 0) is None


def test_a_list_too_long_is_not_read() -> None:
    specs = [f"{n * 1000}-{n * 1000}" for n in range(MOST_RANGES + 1)]
    assert len(parse_ranges("bytes=" + ",".join(specs[:-1]), 10**6) or []) == MOST_RANGES
    assert parse_ranges("bytes=" + ",".join(specs), 10**6) is None
    assert parse_ranges("bytes=" + "0-," * 10**6, 10**6) is None


_NUMBER = st.integers(0, 2500)
_SPECS = st.lists(st.tuples(_NUMBER, _NUMBER).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
                  | _NUMBER.map("{}-".format) | _NUMBER.map("-{}".format), min_size=1, max_size=MOST_RANGES)


def asked(spec: str, size: int) -> set[int]:
    """The bytes of a range, told in the simplest way."""
    first, last = spec.split("-")
    if not first:
        return set(range(max(0, size - int(last)), size))
    return set(range(int(first), min(size, int(last) + 1 if last else size)))


@given(_SPECS, st.integers(1, 2000))
def test_every_byte_asked_for_is_sent_once_and_hardly_another(specs: list[str], size: int) -> None:
    ranges = parse_ranges("bytes=" + ", ".join(specs), size)
    assert ranges is not None
    sent = [byte for one in ranges for byte in range(*one)]
    wanted = set().union(*[asked(spec, size) for spec in specs])
    assert len(sent) == len(set(sent))
    assert wanted <= set(sent) <= set(range(size))
    for one in ranges:
        assert {one.start, one.stop - 1} <= wanted
        gap = 0
        for byte in range(*one):
            gap = 0 if byte in wanted else gap + 1
            assert gap <= NEAR
    ends = sorted(ranges)
    assert all(later.start - earlier.stop > NEAR for earlier, later in pairwise(ends))
    # In the order in which the first byte of each was asked for.
    first_asked = [min(index for index, spec in enumerate(specs) if asked(spec, size) & set(range(*one)))
                   for one in ranges]
    assert first_asked == sorted(first_asked)


@given(st.text(st.characters(max_codepoint=255)) | st.text("0123456789-, =bytes").map("bytes={}".format),
       st.integers(0, 10**12))
def test_any_text_asks_for_ranges_or_not(value: str, size: int) -> None:
    for one in parse_ranges(value, size) or []:
        assert 0 <= one.start < one.stop <= size


# -- the body of several


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_several_parts_are_read_back_by_a_foreign_parser(data: bytes, source: st.DataObject) -> None:
    starts = source.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=5))
    ranges = [Range(start, source.draw(st.integers(start + 1, len(data)))) for start in starts]
    body = MultipartBody(io.BytesIO(data), len(data), ranges, "application/octet-stream")
    whole = b"".join(body)
    assert len(whole) == body.length
    message = message_from_bytes(f"Content-Type: {body.content_type}\r\n\r\n".encode() + whole)
    parts = [part for part in message.walk() if part is not message]
    assert [part["Content-Range"] for part in parts] == [one.content_range(len(data)) for one in ranges]
    # The mail parser turns line ends into those of the text; the bytes are compared where they stand.
    rest = whole
    for one in ranges:
        part = data[one.start:one.stop]
        _, _, rest = rest.partition(b"\r\n\r\n")
        assert rest.startswith(part + b"\r\n--")
        rest = rest[len(part):]


def test_a_boundary_is_never_the_same() -> None:
    one, other = (MultipartBody(io.BytesIO(b"x"), 1, [Range(0, 1)], "a/b").content_type for _ in range(2))
    assert one != other


def test_a_large_part_comes_in_pieces_and_a_short_file_is_an_error() -> None:
    data = bytes(300_000)
    pieces = list(MultipartBody(io.BytesIO(data), 300_000, [Range(0, 300_000)], "a/b"))
    assert max(map(len, pieces)) <= 64 * 1024
    short = MultipartBody(io.BytesIO(data[:100_000]), 300_000, [Range(0, 300_000)], "a/b")
    with pytest.raises(OSError, match="shrunk"):
        list(short)


def test_the_file_is_closed_even_if_nobody_reads() -> None:
    file = io.BytesIO(b"x")
    body = MultipartBody(file, 1, [Range(0, 1)], "a/b")
    body.close()
    assert file.closed
    assert list(body) == []
