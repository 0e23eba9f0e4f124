"""Any bytes at all against the oracle: the parser against itself, and against h11 and httptools.

The oracle and the list of all that may differ, each with the words of the RFC, are in `oracle`; the
fuzzer holds other bytes against the same. Here are the hostile lines, what hypothesis makes, and an
example for each entry of the list that nothing else meets.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import oracle
from evloop_http.http1 import Limits
from evloop_http.http1.body import FixedLengthDecoder
from evloop_http.http1.strategies import SentRequest, limits, mutations, pipelines, requests, streams
from evloop_http.http1.stream import MessageParser
from hostile import LINES, TABLES, Line, chunks, request
from oracle import READERS, RESPONSES, Waits, ask_h11, ask_httptools, check, check_against

each_reader = pytest.mark.parametrize("reader", READERS)


def places() -> SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 300), max_size=8)


def methods() -> SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(["GET", "HEAD", "CONNECT", "POST"]), max_size=4)


def responses() -> SearchStrategy[bytes]:
    """One or two responses, as they should be or broken."""
    joined = st.lists(st.sampled_from(RESPONSES), min_size=1, max_size=2).map(b"".join)
    return st.one_of(joined, joined.flatmap(mutations))


def broken_requests() -> SearchStrategy[bytes]:
    return requests().flatmap(lambda sent: mutations(sent.raw))


# The parser against itself

@given(streams(), places(), limits())
def test_any_bytes_are_the_same_requests_however_they_come(raw: bytes, at: list[int], within: Limits) -> None:
    check(raw, at, within)


@given(st.one_of(responses(), streams()), places(), limits(), methods())
def test_any_bytes_are_the_same_responses_however_they_come(raw: bytes, at: list[int], within: Limits,
                                                            asked: list[str]) -> None:
    check(raw, at, within, asked)


# The parser against others

@each_reader
@pytest.mark.parametrize("line", LINES)
def test_a_hostile_line_is_read_as_others_do_or_the_difference_is_on_the_list(line: Line, reader: str) -> None:
    check_against(reader, line.raw)


@each_reader
@given(pipelines())
def test_others_read_the_requests_that_we_accept_the_same_way(reader: str, sent: list[SentRequest]) -> None:
    check_against(reader, b"".join(one.raw for one in sent))


@each_reader
@given(st.one_of(broken_requests(), streams()))
def test_others_read_broken_requests_as_we_do_or_the_difference_is_on_the_list(reader: str, raw: bytes) -> None:
    check_against(reader, raw)


@each_reader
@given(responses(), methods(), st.booleans())
def test_others_read_responses_as_we_do_or_the_difference_is_on_the_list(reader: str, raw: bytes, asked: list[str],
                                                                        eof: bool) -> None:
    check_against(reader, raw, asked, eof)


# The list

class Example(NamedTuple):
    """Bytes that are read differently, and what the difference is called."""

    name: str
    raw: bytes
    methods: list[str] | None = None


EXAMPLES = [
    Example("limits of chunks", chunks(b"1;" + b"e" * 300 + b"\r\nx\r\n0\r\n\r\n")),
    Example("limits of chunks", chunks((b"1;" + b"e" * 250 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n")),
    Example("limit of interim responses", b"HTTP/1.1 100 \r\n\r\n" * 17, ["GET"]),
    Example("whitespace behind chunked", request(b"Transfer-Encoding: chunked\t", body=b"0\r\n\r\n")),
    Example("content of CONNECT and Upgrade", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"),
    Example("content of CONNECT and Upgrade", request(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 1",
                                                      body=b"x")),
    Example("codings where nothing is coded", b"HTTP/1.1 304 \r\nTransfer-Encoding: gzip\r\n\r\n", ["GET"]),
    # llhttp knows no other 1xx than 100 to 103.
    Example("codings where nothing is coded", b"HTTP/1.1 199 \r\nTransfer-Encoding: chunked\r\n\r\n", ["GET"]),
    Example("folded lines of responses", b"HTTP/1.1 204 \r\nX: a\r\n b\r\n\r\n", ["GET"]),
    Example("folded lines of responses", b"HTTP/1.1 204 \r\nX:\r\n\ta\r\n\r\n", ["GET"]),
    Example("framing in trailers", chunks(b"0\r\nTransfer-Encoding: x\r\n\r\n")),
    Example("status lines without a reason", b"HTTP/1.1 204\r\n\r\n", ["GET"]),
    Example("empty lines before a response", b"\r\nHTTP/1.1 204 \r\n\r\n", ["GET"]),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_an_example_is_read_differently_as_its_name_says(example: Example) -> None:
    met = set().union(*[check_against(reader, example.raw, example.methods) for reader in READERS])
    assert met == {example.name}


@each_reader
def test_every_difference_on_the_list_is_met(reader: str) -> None:
    listed = [difference.name for difference in oracle.DIFFERENCES if reader in difference.readers.split()]
    raws = [Example("", line.raw) for lines in TABLES.values() for line in lines] + EXAMPLES
    met = set().union(*[check_against(reader, raw, asked) for _, raw, asked in raws])
    assert met == set(listed)
    assert len(listed) == len(set(listed))


def test_every_rule_on_the_list_is_met() -> None:
    """No rule is there only in case."""
    met = set()
    for _, raw, asked in [*[Example("", line.raw) for lines in TABLES.values() for line in lines], *EXAMPLES]:
        error = oracle.messages(raw, asked)[1].error
        if error is not None:
            met |= {(name, error.rule) for reader in READERS for name in check_against(reader, raw, asked)}
    assert not {(listed.name, str(rule)) for listed in oracle.DIFFERENCES for rule in listed.rules} - met


def test_each_difference_names_its_readers_and_quotes_an_rfc() -> None:
    for difference in oracle.DIFFERENCES:
        assert set(difference.readers.split()) <= set(READERS)
        assert difference.words.startswith("RFC ")


# The oracle itself: it would find what it is there for

def test_what_is_not_on_the_list_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "DIFFERENCES", ())
    with pytest.raises(AssertionError, match="h11 reads it differently, and it is not on the list"):
        check_against("h11", b"GET / HTTP/1.1\nHost: a\n\n")
    with pytest.raises(AssertionError, match="httptools reads it differently"):
        check_against("httptools", b"GET /\r\n\r\n")


def test_a_parser_that_loses_a_byte_between_two_pieces_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = MessageParser._append
    monkeypatch.setattr(MessageParser, "_append", lambda parser, data: sound(parser, data[1:]))
    with pytest.raises(AssertionError, match="it depends on the cuts"):
        check(request())


def test_a_parser_that_reads_one_byte_too_many_differs_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedLengthDecoder, "decode", lambda body, buffer, start: _too_much(body, buffer, start))
    raw = request(b"Content-Length: 3", body=b"abcdef")
    for reader in READERS:
        with pytest.raises(AssertionError, match=f"{reader} reads it differently"):
            check_against(reader, raw)


def _too_much(body: FixedLengthDecoder, buffer: bytes, start: int) -> tuple[bytes, int]:
    body.left = 0
    return buffer[start:start + 4], start + 4


def test_readers_that_lack_bytes_wait() -> None:
    for raw in (b"", b"GET / HT", request(b"Content-Length: 3", body=b"ab")):
        assert ask_h11(raw, None) == ask_httptools(raw, None) == Waits(raw[-2:] if raw.endswith(b"ab") else b"")
