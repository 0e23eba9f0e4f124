"""Where a body ends, and what its coding hides: the two decoders alone, fed as the parser feeds them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import Limits, ProtocolError, rules
from evloop_http.http1.body import ChunkedDecoder, FixedLengthDecoder, content_length
from evloop_http.http1.strategies import bodies, byte_by_byte, chunked, cuts


def decode(body: ChunkedDecoder | FixedLengthDecoder, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """The data that `body` finds in `pieces`, and what it leaves."""
    data, rest = b"", b""
    for piece in pieces:
        rest += piece
        while not body.done:
            found, end = body.decode(rest, 0)
            data, rest = data + found, rest[end:]
            if not found:
                break
    return data, rest


def refused(coded: bytes, limits: Limits | None = None) -> tuple[int, int]:
    """The status for these chunks and the offset, as the parser would count it."""
    body, start = ChunkedDecoder(limits or Limits()), 0
    try:
        for _ in coded:
            _, start = body.decode(coded, start)
    except ProtocolError as error:
        return error.status, error.offset
    pytest.fail("it was not refused")


# Which framing

@pytest.mark.parametrize(("length", "coding", "octets"), [
    (None, None, 0), ("0", None, 0), ("12", None, 12), ("007", None, 7), ("10485760", None, 10485760),
    (None, "chunked", None), (None, "CHUNKED", None), (None, "Chunked", None)])
def test_a_body_is_chunked_or_counted_or_none(length: str | None, coding: str | None, octets: int | None) -> None:
    assert content_length(length, coding, "1.1", Limits()) == octets


@pytest.mark.parametrize(("length", "coding", "version", "rule"), [
    ("10485761", None, "1.1", rules.BODY_LARGE),
    ("9" * 5000, None, "1.1", rules.BODY_LARGE),
    ("5", "chunked", "1.1", rules.LENGTH_AND_CODING),
    ("5", "x", "1.1", rules.LENGTH_AND_CODING),
    (None, "chunked", "1.0", rules.CODING_1_0),
    (None, "gzip, chunked", "1.1", rules.CODING_UNKNOWN),
    (None, "gzip", "1.1", rules.CODING_FINAL),
    (None, "chunked, gzip", "1.1", rules.CODING_FINAL),
    (None, "chunked, chunked", "1.1", rules.CODING_FINAL),
    (None, "", "1.1", rules.CODING_FINAL)])
def test_fields_that_do_not_say_where_a_body_ends_are_refused(
        length: str | None, coding: str | None, version: str, rule: rules.Rule) -> None:
    with pytest.raises(ProtocolError) as caught:
        content_length(length, coding, version, Limits())
    assert (caught.value.status, caught.value.rule) == (rule.status, str(rule))


# Counted

def test_a_counted_body_takes_what_is_its_own() -> None:
    body = FixedLengthDecoder(5)
    assert body.decode(b"..hel", 2) == (b"hel", 5)
    assert not body.done
    assert body.decode(b"loNEXT", 0) == (b"lo", 2)
    assert body.done


def test_a_whole_buffer_that_is_data_is_handed_on_and_not_copied() -> None:
    buffer = b"x" * 1000
    assert FixedLengthDecoder(5000).decode(buffer, 0)[0] is buffer


@given(st.binary(max_size=50), st.binary(max_size=20), st.data())
def test_a_counted_body_of_any_cut_is_itself(content: bytes, behind: bytes, data: st.DataObject) -> None:
    pieces = data.draw(cuts(content + behind))
    assert decode(FixedLengthDecoder(len(content)), pieces) == (content, behind)


# Chunked

def test_chunks_are_joined_and_the_last_one_ends_them() -> None:
    body = ChunkedDecoder(Limits())
    coded = b"5\r\nhello\r\n1\r\n!\r\n0\r\nrest"
    assert body.decode(coded, 0) == (b"hello!", len(coded) - 4)
    assert body.done


def test_a_part_of_a_chunk_is_data_already() -> None:
    body = ChunkedDecoder(Limits())
    assert body.decode(b"5\r\nhel", 0) == (b"hel", 6)
    assert body.decode(b"lo", 0) == (b"lo", 2)
    assert not body.done


@given(st.lists(bodies(), max_size=5), st.sampled_from([b"", b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n"]), st.data())
def test_a_chunked_body_of_any_chunks_and_any_cut_is_its_content(
        pieces: list[bytes], behind: bytes, data: st.DataObject) -> None:
    coded = data.draw(chunked(pieces)).removesuffix(b"\r\n") + behind
    content = b"".join(pieces)
    assert decode(ChunkedDecoder(Limits()), [coded]) == (content, behind)
    assert decode(ChunkedDecoder(Limits()), byte_by_byte(coded)) == (content, behind)
    assert decode(ChunkedDecoder(Limits()), data.draw(cuts(coded))) == (content, behind)


def test_an_error_behind_data_waits_until_the_data_is_told_of() -> None:
    body = ChunkedDecoder(Limits())
    coded = b"5\r\nhello\r\n1\r\n!XX"
    data, end = body.decode(coded, 0)
    assert data == b"hello!"
    with pytest.raises(ProtocolError) as caught:
        body.decode(coded, end)
    assert (caught.value.rule, caught.value.offset) == (str(rules.CHUNK_END), len(coded) - 2)


@pytest.mark.parametrize(("size", "line"), [
    (0, b"0"), (1, b"1"), (10, b"a"), (10, b"A"), (16, b"10"), (171, b"aB"), (5, b"0000000000000005"), (5, b"5;a"),
    (5, b'5 ; a = "b\\"c" ;d'), (5, b"5;a=b;c=d")])
def test_the_size_of_a_chunk_is_read_in_every_form(size: int, line: bytes) -> None:
    body = ChunkedDecoder(Limits())
    coded = line + b"\r\n" + b"x" * 200
    data, _ = body.decode(coded[:len(line) + 2 + size], 0)
    assert data == b"x" * size
    assert body.done == (size == 0)


def test_a_chunk_may_not_pass_the_limit_alone_or_with_others() -> None:
    limits = Limits(body=10)
    assert decode(ChunkedDecoder(limits), [b"5\r\nhello\r\n5\r\nhello\r\n0\r\n"])[0] == b"hellohello"
    assert refused(b"b\r\nhello", limits) == (413, 0)
    assert refused(b"5\r\nhello\r\n6\r\nhello!", limits) == (413, 10)
    assert refused(b"FFFFFFFFFFFFFFFF\r\n", limits) == (413, 0)


def test_a_size_line_may_be_as_long_as_its_limit_and_no_longer() -> None:
    limits = Limits(chunk_line=8)
    assert decode(ChunkedDecoder(limits), [b"1;aaaaaa\r\nx\r\n0\r\n"])[0] == b"x"
    assert refused(b"1;aaaaaaa\r\nx", limits) == (400, 8)
    assert refused(b"1;aaaaaaaa", limits) == (400, 8)
    body = ChunkedDecoder(limits)
    assert body.decode(b"1;aaaaaa\r", 0) == (b"", 0)


def test_chunks_of_one_byte_are_no_abuse_and_long_extensions_are() -> None:
    tiny = Limits(chunk_overhead=0)
    assert decode(ChunkedDecoder(tiny), [b"1\r\nx\r\n" * 1000 + b"0\r\n"])[0] == b"x" * 1000
    abuse = b"1;" + b"e" * 100 + b"\r\nx\r\n"
    body = ChunkedDecoder(Limits(chunk_overhead=1000))
    with pytest.raises(ProtocolError) as caught:
        decode(body, [abuse] * 1000)
    assert caught.value.rule == str(rules.CHUNK_OVERHEAD)


def test_what_large_chunks_save_small_ones_may_spend() -> None:
    line = b";" + b"e" * 100 + b"\r\n"
    honest = (b"400" + line + b"x" * 1024 + b"\r\n") * 50 + b"0\r\n"
    assert decode(ChunkedDecoder(Limits(chunk_overhead=200)), [honest])[0] == b"x" * 51200


@given(st.lists(bodies(), max_size=4), st.binary(min_size=2, max_size=2), st.data())
def test_whatever_stands_for_the_crlf_of_a_chunk_is_refused(
        pieces: list[bytes], other: bytes, data: st.DataObject) -> None:
    """CVE-2025-43859: the two bytes behind a chunk were skipped and not looked at."""
    before = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    coded = before + b"1\r\nx" + other + b"0\r\n"
    if other == b"\r\n":
        assert decode(ChunkedDecoder(Limits()), [coded])[0] == b"".join(pieces) + b"x"
    else:
        assert refused(coded) == (400, len(before) + 4)
        with pytest.raises(ProtocolError):
            decode(ChunkedDecoder(Limits()), data.draw(cuts(coded)))


@pytest.mark.parametrize(("line", "rule"), [
    (b"5;a=", rules.CHUNK_EXTENSION), (b"5;", rules.CHUNK_EXTENSION), (b"5 ;\x01", rules.CHUNK_EXTENSION),
    (b"5;a b", rules.CHUNK_EXTENSION), (b"5 x", rules.CHUNK_SIZE), (b"5x;a", rules.CHUNK_SIZE)])
def test_a_broken_extension_is_told_from_a_broken_size(line: bytes, rule: rules.Rule) -> None:
    with pytest.raises(ProtocolError) as caught:
        ChunkedDecoder(Limits()).decode(line + b"\r\n", 0)
    assert caught.value.rule == str(rule)
