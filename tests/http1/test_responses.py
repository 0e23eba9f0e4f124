"""The stream of responses, as a client or a proxy reads it.

What a response means hangs on the request that it answers (RFC 9112 §6.3), so nearly every test here
says what was asked. The buffers, decoders and caches are those of requests, whose tests are in
`test_parser.py` and `test_body.py`; here is what is different, and that nothing else is.

The table is read as that of `test_hostile.py`: a name, the bytes, the rule that refuses them or what
they are, and where it is written. Each line is played whole and cut at every byte, and with a
response behind it that must not be heard of after an error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from answering import Answer, answers, unframed
from evloop_http.http1 import (
    CLOSED,
    NEED_DATA,
    SWITCHED,
    BodyData,
    EndOfMessage,
    Limits,
    Pause,
    ProtocolError,
    ResponseHead,
    ResponseHeadParser,
    ResponseParser,
    Rule,
    fields,
    head,
    rules,
)
from evloop_http.http1.strategies import (
    SPECIAL,
    Pairs,
    SentResponse,
    byte_by_byte,
    cut_at,
    cuts,
    limits,
    response_pipelines,
    response_streams,
    responses,
)
from reading import CLEAN_END, Seen, awaiting, joined, meant_response, read_late, read_responses, seen

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nDigest: z\r\n\r\n")
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
#: What is told of `OK`.
OK_TOLD: list[Seen] = [
    ("head", 200, "OK", "1.1", (("Content-Length", "2"),), 2, False, True), ("data", b"hi"), ("end", ())]


def answer(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """A response of this status line and these field lines."""
    return b"\r\n".join([status, *lines, b"", body])


def parser_of(raw: bytes, *methods: str, bounds: Limits | None = None) -> ResponseParser:
    """A parser that waits for the answers to these methods, and has been fed `raw`."""
    parser = awaiting(methods, bounds)
    parser.feed(raw)
    return parser


def kinds(told: Iterable[Seen]) -> list[object]:
    """What was told, in short: statuses of heads, bytes of data, names of everything else."""
    return [event[1] if event[0] in ("head", "data") else event[0] for event in told]


def read_kinds(raw: bytes, *methods: str) -> list[object]:
    return kinds(read_responses([raw], methods or ["GET"]))


def refused(rule: Rule, at: int) -> Seen:
    return "error", 502, str(rule), at


# What a parser says

def test_a_response_is_a_head_its_data_and_an_end() -> None:
    parser = parser_of(OK, "GET")
    response = parser.next_event()
    assert isinstance(response, ResponseHead)
    assert (response.status, response.reason, response.version) == (200, "OK", "1.1")
    assert response.headers["content-length"] == "2"
    assert (response.content_length, response.ends_with_connection, response.keep_alive) == (2, False, True)
    assert not response.is_interim
    data = parser.next_event()
    assert isinstance(data, BodyData)
    assert data.data == b"hi"
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is NEED_DATA
    parser.feed_eof()
    assert parser.next_event() is CLOSED


def test_a_body_is_told_of_as_it_comes() -> None:
    parser = parser_of(OK[:-1], "GET")
    assert [seen(parser.next_event())[0] for _ in range(3)] == ["head", "data", "NEED_DATA"]
    parser.feed(OK[-1:])
    assert [seen(parser.next_event()) for _ in range(2)] == [("data", b"i"), ("end", ())]


def test_nothing_fed_is_nothing_said_whether_something_was_asked_or_not() -> None:
    for methods in ([], ["GET"]):
        parser = parser_of(b"", *methods)
        assert parser.next_event() is NEED_DATA
        parser.feed_eof()
        assert parser.next_event() is CLOSED
        assert parser.awaited == len(methods)


def test_awaited_counts_the_requests_whose_final_response_has_not_begun() -> None:
    parser = parser_of(CONTINUE + OK + OK, "POST", "GET")
    counts = []
    while not isinstance(event := parser.next_event(), Pause):
        counts.append((seen(event)[0], parser.awaited))
    assert counts == [("head", 2), ("head", 1), ("data", 1), ("end", 1), ("head", 0), ("data", 0), ("end", 0)]


def test_feeding_after_the_end_is_misuse() -> None:
    parser = parser_of(b"", "GET")
    parser.feed_eof()
    with pytest.raises(RuntimeError, match="feed_eof"):
        parser.feed(OK)


def test_the_repr_of_a_parser_shows_where_it_stands() -> None:
    parser = parser_of(OK[:-1], "GET")
    assert repr(parser) == f"<ResponseParser read_response, {len(OK) - 1} bytes pending>"
    parser.next_event()
    assert repr(parser) == "<ResponseParser read_body, 1 bytes pending>"
    assert repr(ResponseHeadParser().parse(answer(), "GET")) == "<ResponseHead 200>"


def test_trailers_come_with_the_end_and_not_with_the_headers() -> None:
    told = read_responses([CHUNKED])
    assert told == [("head", 200, "OK", "1.1", (("Transfer-Encoding", "chunked"),), None, False, True),
                    ("data", b"hello!"), ("end", (("Digest", "z"),)), CLEAN_END]


def test_trailers_that_would_frame_or_route_are_left_out() -> None:
    raw = CHUNKED.replace(b"Digest: z", b"Content-Length: 5\r\nA: b\r\nSet-Cookie: c=d")
    assert read_responses([raw])[-2:] == [("end", (("A", "b"),)), CLEAN_END]


# Interim responses (RFC 9110 §15.2)

@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_an_interim_response_is_a_head_with_nothing_behind_it(status: int) -> None:
    parser = parser_of(b"HTTP/1.1 %d Wait\r\nLink: </a.css>\r\n\r\n" % status + OK, "GET")
    first = parser.next_event()
    assert isinstance(first, ResponseHead)
    assert first.is_interim
    assert (first.status, first.headers["link"], first.content_length) == (status, "</a.css>", 0)
    assert [seen(parser.next_event()) for _ in range(3)] == OK_TOLD


def test_early_hints_and_then_the_response_answer_one_request() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    assert read_kinds(hints + OK) == [103, 200, b"hi", "end", "CLOSED"]


def test_an_interim_response_has_no_body_whatever_its_fields_say() -> None:
    """RFC 9112 §6.3, case 1."""
    for lines in ([b"Content-Length: 5"], [b"Transfer-Encoding: chunked"]):
        assert read_kinds(answer(*lines, status=b"HTTP/1.1 103 Early Hints") + OK) == [103, 200, b"hi", "end", "CLOSED"]


def test_interim_responses_are_as_many_as_the_limit_and_no_more() -> None:
    told = read_responses([CONTINUE * 16 + OK])
    assert kinds(told) == [*[100] * 16, 200, b"hi", "end", "CLOSED"]
    told = read_responses([CONTINUE * 17 + OK])
    assert (kinds(told[:-1]), told[-1]) == ([100] * 16, refused(rules.INTERIM_MANY, 17 * len(CONTINUE)))
    assert read_responses(byte_by_byte(CONTINUE * 17 + OK)) == told
    assert kinds(read_responses([CONTINUE + OK], heads=Limits(interim=0))) == ["error"]


def test_interim_responses_are_counted_for_each_request() -> None:
    told = read_responses([(CONTINUE * 2 + OK) * 3], ["GET"] * 3, Limits(interim=2))
    assert kinds(told) == [*[100, 100, 200, b"hi", "end"] * 3, "CLOSED"]


def test_an_end_behind_an_interim_response_leaves_a_request_waiting() -> None:
    parser = parser_of(CONTINUE, "GET")
    parser.feed_eof()
    assert seen(parser.next_event())[:2] == ("head", 100)
    assert parser.next_event() is CLOSED
    assert parser.awaited == 1


# Other protocols (RFC 9110 §7.8, §9.3.6)

def test_101_is_the_last_of_its_connection_and_what_follows_is_given_away() -> None:
    parser = parser_of(UPGRADE + b"\x81\x00", "GET")
    response = parser.next_event()
    assert isinstance(response, ResponseHead)
    assert not response.is_interim
    assert not response.keep_alive
    assert (response.content_length, response.ends_with_connection) == (0, False)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is SWITCHED
    assert parser.pending == 2
    assert parser.detach() == b"\x81\x00"
    assert (parser.pending, parser.awaited) == (0, 0)
    parser.feed(b"more")
    assert parser.next_event() is SWITCHED
    assert parser.detach() == b"more"
    parser.feed_eof()
    assert parser.next_event() is SWITCHED
    assert parser.detach() == b""
    assert parser.received == len(UPGRADE) + 6


@pytest.mark.parametrize("status", [200, 204, 299])
@pytest.mark.parametrize("line", [b"X: y", b"Content-Length: 2", b"Transfer-Encoding: chunked", b"Connection: close"])
def test_a_connect_that_succeeded_opens_a_tunnel_whatever_its_fields_say(status: int, line: bytes) -> None:
    """RFC 9112 §6.3, case 2."""
    parser = parser_of(answer(line, status=b"HTTP/1.1 %d OK" % status, body=b"hi"), "CONNECT")
    told = seen(parser.next_event())
    assert told[5:] == (0, False, False)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is SWITCHED
    assert parser.detach() == b"hi"


def test_a_connect_that_failed_has_a_body_and_http_goes_on() -> None:
    failed = answer(b"Content-Length: 2", status=b"HTTP/1.1 407 No", body=b"no")
    assert read_kinds(failed + OK, "CONNECT", "GET") == [407, b"no", "end", 200, b"hi", "end", "CLOSED"]
    assert read_kinds(OK.replace(b"200", b"300"), "CONNECT") == [300, b"hi", "end", "CLOSED"]


def test_an_interim_response_opens_no_tunnel() -> None:
    assert read_kinds(CONTINUE + OK, "CONNECT") == [100, 200, "end", "SWITCHED"]


def test_a_success_of_another_method_opens_no_tunnel() -> None:
    assert read_kinds(OK + OK, "GET", "connect") == [200, b"hi", "end", 200, b"hi", "end", "CLOSED"]


def test_detach_between_messages_gives_away_what_is_pending() -> None:
    parser = parser_of(OK + b"rest", "GET")
    for _ in range(3):
        parser.next_event()
    assert parser.detach() == b"rest"
    assert parser.next_event() is SWITCHED
    assert ResponseParser().detach() == b""


@pytest.mark.parametrize(("raw", "events"), [
    (OK, 1), (OK[:-1], 2), (CHUNKED, 1), (CHUNKED.partition(b"0\r\n")[0], 2), (answer(), 1), (answer(body=b"x"), 2)])
def test_detach_within_a_body_is_misuse_and_changes_nothing(raw: bytes, events: int) -> None:
    parser = parser_of(raw, "GET")
    for _ in range(events):
        parser.next_event()
    before = repr(parser)
    with pytest.raises(RuntimeError, match="detach"):
        parser.detach()
    assert repr(parser) == before


@pytest.mark.parametrize("raw", [
    pytest.param(answer(b"Content-Length: 0"), id="200"), pytest.param(answer(status=b"HTTP/1.1 204 "), id="204"),
    pytest.param(UPGRADE, id="101")])
def test_detach_between_a_head_and_its_end_is_misuse(raw: bytes) -> None:
    parser = parser_of(raw, "GET")
    assert isinstance(parser.next_event(), ResponseHead)
    with pytest.raises(RuntimeError, match="detach"):
        parser.detach()
    assert isinstance(parser.next_event(), EndOfMessage)


@pytest.mark.parametrize("lost", range(1, len(b"Digest: z\r\n\r\n")))
def test_detach_within_trailers_is_misuse(lost: int) -> None:
    parser = parser_of(CHUNKED[:-lost], "GET")
    while parser.next_event() is not NEED_DATA:
        pass
    with pytest.raises(RuntimeError, match="detach"):
        parser.detach()
    parser.feed(CHUNKED[-lost:])
    assert seen(parser.next_event()) == ("end", (("Digest", "z"),))


def test_detach_after_an_error_is_misuse() -> None:
    parser = parser_of(b"HTTP/1.1 20 OK\r\n\r\n", "GET")
    with pytest.raises(ProtocolError):
        parser.next_event()
    with pytest.raises(RuntimeError, match="detach"):
        parser.detach()


# Where a body ends (RFC 9112 §6.3)

@pytest.mark.parametrize("lines", [
    [], [b"Content-Length: 0"], [b"Content-Length: 5"], [b"Transfer-Encoding: chunked"],
    [b"Content-Length: 99999999999999999999999"]])
@pytest.mark.parametrize("status", [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 No", b"HTTP/1.1 304 ", b"HTTP/1.1 206 Some"])
def test_the_answer_to_head_has_no_body_whatever_it_announces(lines: list[bytes], status: bytes) -> None:
    told = read_responses([answer(*lines, status=status) + OK], ["HEAD", "GET"])
    assert kinds(told) == [int(status[9:12]), "end", 200, b"hi", "end", "CLOSED"]
    assert told[0][5:] == (0, False, True)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("lines", [[], [b"Content-Length: 5"], [b"Transfer-Encoding: chunked"]])
def test_204_and_304_have_no_body_whatever_they_announce(status: int, lines: list[bytes]) -> None:
    """RFC 9112 §6.3, case 1."""
    raw = answer(*lines, status=b"HTTP/1.1 %d X" % status) + OK
    assert read_kinds(raw, "GET", "GET") == [status, "end", 200, b"hi", "end", "CLOSED"]


def test_what_is_announced_without_a_body_can_be_read_from_the_headers() -> None:
    head = ResponseHeadParser().parse(answer(b"Content-Length: 1234"), "HEAD")
    assert (head.content_length, head.headers["Content-Length"]) == (0, "1234")


def test_205_is_framed_as_any_other() -> None:
    """RFC 9110 §15.3.6 forbids content, RFC 9112 §6.3 has no case for it: what is announced is read."""
    empty = answer(b"Content-Length: 0", status=b"HTTP/1.1 205 R")
    assert read_kinds(empty + OK, "GET", "GET") == [205, "end", 200, b"hi", "end", "CLOSED"]
    assert read_kinds(OK.replace(b"200", b"205")) == [205, b"hi", "end", "CLOSED"]
    assert read_kinds(CHUNKED.replace(b"200", b"205")) == [205, b"hello!", "end", "CLOSED"]


def test_a_response_that_does_not_say_where_it_ends_ends_with_the_connection() -> None:
    """RFC 9112 §6.3, case 8."""
    told = read_responses([answer(b"Connection: keep-alive", body=OK)], ["GET", "GET"])
    assert told == [("head", 200, "OK", "1.1", (("Connection", "keep-alive"),), None, True, False), ("data", OK),
                    ("end", ()), CLEAN_END]
    assert kinds(read_responses([answer()])) == [200, "end", "CLOSED"]
    parser = parser_of(answer(body=b"hi"), "GET")
    assert [seen(parser.next_event())[0] for _ in range(3)] == ["head", "data", "NEED_DATA"]
    parser.feed_eof()
    assert [seen(parser.next_event())[0] for _ in range(3)] == ["end", "CLOSED", "CLOSED"]


def test_a_body_until_the_end_is_refused_beyond_its_limit() -> None:
    bounds = Limits(body=5)
    raw = answer(body=b"hello")
    assert kinds(read_responses([raw], heads=bounds)) == [200, b"hello", "end", "CLOSED"]
    for pieces in ([raw + b"!"], [raw, b"!"], byte_by_byte(raw + b"!")):
        told = read_responses(pieces, heads=bounds)
        assert (kinds(told), told[-1]) == ([200, b"hello", "error"], refused(rules.BODY_LARGE, len(raw)))


def test_a_response_is_as_long_as_it_likes_unless_limits_are_given() -> None:
    size = 1 << 40
    parser = parser_of(answer(b"Content-Length: %d" % size, body=b"x"), "GET")
    assert seen(parser.next_event())[5] == size
    assert read_responses([answer(b"Content-Length: %d" % size)], heads=Limits())[-1] == refused(rules.BODY_LARGE, 0)
    chunked = CHUNKED.partition(b"5;x")[0] + b"%x\r\nx" % size
    parser = parser_of(chunked, "GET")
    assert [seen(parser.next_event())[0] for _ in range(3)] == ["head", "data", "NEED_DATA"]
    assert read_responses([chunked], heads=Limits())[-1] == refused(rules.BODY_LARGE, chunked.rindex(b"10000"))
    assert kinds(read_responses([answer(b"Content-Length: 9" + b"0" * 5000)])) == ["error"]


@pytest.mark.parametrize(("raw", "methods"), [
    (OK, ["GET"]), (CHUNKED, ["GET"]), (CONTINUE + OK, ["GET"]), (OK + CHUNKED + OK, ["GET"] * 3),
    (answer(b"Content-Length: 5") + OK, ["HEAD", "GET"])])
def test_an_end_within_a_response_is_incomplete(raw: bytes, methods: list[str]) -> None:
    whole = read_responses([raw], methods, eof=False)
    clean = 0
    for stop in range(len(raw) + 1):
        told = read_responses([raw[:stop]], methods)
        assert read_responses(byte_by_byte(raw[:stop]), methods) == told
        if told[-1] != refused(rules.INCOMPLETE, stop):
            assert told[-1] == CLEAN_END
            assert told[:-1] == whole[:len(told) - 1]
            clean += 1
    # Before each head, interim or final, and at the end.
    assert clean == 1 + raw.count(b"HTTP/1.1")


@pytest.mark.parametrize(("version", "option", "kept"), [
    ("1.1", "", True), ("1.1", "close", False), ("1.1", "x, CLOSE", False), ("1.1", "keep-alive", True),
    ("1.1", "keep-alive, close", False), ("1.0", "", False), ("1.0", "keep-alive", True),
    ("1.0", "Keep-Alive, x", True), ("1.0", "close", False), ("1.0", "keep-alive, close", False),
    ("1.1", "closed", True)])
def test_a_connection_is_kept_as_its_version_and_its_options_say(version: str, option: str, kept: bool) -> None:
    """RFC 9112 §9.3."""
    lines = [b"Connection: " + option.encode()] if option else []
    for status, method in ((200, "GET"), (204, "GET"), (304, "GET"), (200, "HEAD"), (404, "CONNECT")):
        raw = answer(b"Content-Length: 0", *lines, status=f"HTTP/{version} {status} X".encode())
        assert ResponseHeadParser().parse(raw, method).keep_alive is kept
        if status == 200 and method == "GET":
            assert not ResponseHeadParser().parse(raw.replace(b"Content-Length", b"X"), method).keep_alive


def test_options_of_several_connection_fields_count_together() -> None:
    raw = answer(b"Content-Length: 0", b"Connection: keep-alive", b"Connection: close")
    assert not ResponseHeadParser().parse(raw, "GET").keep_alive


# Many responses

def test_answers_to_head_and_get_are_told_apart_by_their_order() -> None:
    raw = answer(b"Content-Length: 2") + OK
    assert read_kinds(raw, "HEAD", "GET") == [200, "end", 200, b"hi", "end", "CLOSED"]
    assert read_kinds(raw, "GET", "HEAD") == [200, b"HT", "end", "error"]


def test_a_request_may_be_announced_while_another_is_answered() -> None:
    parser = parser_of(OK[:-1], "GET")
    parser.next_event()
    parser.expect("HEAD")
    parser.feed(OK[-1:] + answer(b"Content-Length: 9"))
    told = []
    while not isinstance(event := parser.next_event(), Pause):
        told.append(seen(event))
    assert kinds(joined(told)) == [b"hi", "end", 200, "end"]


@pytest.mark.parametrize("behind", [OK, CONTINUE, b"\r\n", b"\n", b"H", b"\0"])
def test_what_nobody_asked_for_is_refused_at_its_first_byte(behind: bytes) -> None:
    assert read_responses([behind], []) == [refused(rules.UNASKED, 0)]
    for pieces in ([OK + behind], [OK, behind], byte_by_byte(OK + behind)):
        assert read_responses(pieces) == [*OK_TOLD, refused(rules.UNASKED, len(OK))]


def test_what_follows_a_body_nobody_should_have_sent_is_refused() -> None:
    """A body behind 204 or behind the answer to HEAD would be the next response (RFC 9112 §6.3)."""
    for raw, methods in ((answer(status=b"HTTP/1.1 204 ", body=b"hi"), ["GET"]), (OK, ["HEAD"])):
        assert read_responses([raw], methods)[-1] == refused(rules.UNASKED, len(raw) - 2)
        assert read_responses([raw], [*methods, "GET"])[-1][0] == "error"


# Errors

def test_an_error_is_raised_again_whenever_asked_and_nothing_is_kept() -> None:
    parser = parser_of(OK + b"HTTP/1.1 OK\r\n\r\n" + OK, "GET", "GET", "GET")
    assert [seen(parser.next_event()) for _ in range(3)] == OK_TOLD
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            parser.next_event()
        assert (caught.value.status, caught.value.rule) == (502, str(rules.STATUS_LINE))
        assert caught.value.offset == len(OK) + 8
        assert str(caught.value).startswith("502: RFC 9112 §4: ")
        parser.feed(OK)
    assert parser.pending == 0


def test_too_many_fields_are_refused_at_the_first_one_too_many() -> None:
    few = b"HTTP/1.1 204 X\r\n" + b"A: b\r\n" * 100
    assert kinds(read_responses([few + b"\r\n"])) == [204, "end", "CLOSED"]
    assert read_responses([few + b"A: b\r\n\r\n"])[-1] == refused(rules.FIELDS_MANY, len(few))


def test_limits_are_the_clients_to_choose() -> None:
    small = Limits(request_line=20, head=60, fields=2, body=3, chunk_line=4, chunk_overhead=0)
    for raw, rule, at in (
            (answer(status=b"HTTP/1.1 200 " + b"a" * 8), rules.STATUS_LINE_LONG, 20),
            (answer(b"X: " + b"y" * 60), rules.HEAD_LONG, 60),
            (answer(b"X: y", b"Y: z", b"Z: z"), rules.FIELDS_MANY, 29),
            (answer(b"Content-Length: 4"), rules.BODY_LARGE, 0),
            (CHUNKED.partition(b"5;x")[0] + b"4\r\n", rules.BODY_LARGE, 47),
            (CHUNKED.partition(b"5;x")[0] + b"00001\r\n", rules.CHUNK_LINE_LONG, 51)):
        for pieces in ([raw], byte_by_byte(raw)):
            assert read_responses(pieces, heads=small)[-1] == refused(rule, at)
    for raw in (answer(status=b"HTTP/1.1 204 " + b"a" * 7), answer(b"X: y", b"Content-Length: 3", body=b"abc")):
        assert read_responses([raw], heads=small)[-1] == CLEAN_END


def test_one_parser_of_heads_serves_many_connections() -> None:
    heads = ResponseHeadParser()
    for _ in range(3):
        assert read_responses([OK], ["GET"], heads) == [*OK_TOLD, CLEAN_END]
        assert kinds(read_responses([OK[:-2]], ["HEAD"], heads)) == [200, "end", "CLOSED"]
        assert kinds(read_responses([b"HTTP/1.1 20 \r\n\r\n"], ["GET"], heads)) == ["error"]


# The table

BEHIND = b"HTTP/1.1 298 Behind\r\nContent-Length: 0\r\n\r\n"


class Line(NamedTuple):
    name: str
    raw: bytes
    expected: Rule | list[Seen]
    source: str
    at: int | None = None  # where it is refused, if the line says so
    method: str = "GET"


def bad(name: str, raw: bytes, rule: Rule, source: str, at: int | bytes | None = None, method: str = "GET") -> Line:
    """A line that is refused; `at` is a number, or the bytes that its last occurrence begins at."""
    return Line(name, raw, rule, source, raw.rindex(at) if isinstance(at, bytes) else at, method)


def good(name: str, raw: bytes, source: str, status: int = 200, reason: str = "OK", version: str = "1.1",
         fields: Pairs = (), length: int | None = 0, endless: bool = False, keep_alive: bool = True, body: bytes = b"",
         trailers: Pairs = (), method: str = "GET") -> Line:
    """A line that is a response, odd or not."""
    head = ("head", status, reason, version, fields, length, endless, keep_alive)
    return Line(name, raw, [head, *([("data", body)] if body else []), ("end", trailers)], source, None, method)


def bad_line(name: str, line: bytes, rule: Rule, at: int, source: str = "RFC 9112 §4") -> Line:
    return bad(name, answer(status=line), rule, source, at)


def good_line(name: str, line: bytes, status: int, reason: str, source: str = "RFC 9112 §4",
              version: str = "1.1") -> Line:
    return good(name, answer(b"Content-Length: 0", status=line), source, status, reason, version,
                (("Content-Length", "0"),), keep_alive=version == "1.1")


def bad_field(name: str, line: bytes, rule: Rule, source: str, at: bytes | int = 17) -> Line:
    return bad(name, answer(line, b"Content-Length: 0"), rule, source, at)


def good_field(name: str, line: bytes, source: str, *fields: tuple[str, str], keep_alive: bool = True) -> Line:
    return good(name, answer(line, b"Content-Length: 0"), source, fields=(*fields, ("Content-Length", "0")),
                keep_alive=keep_alive)


def chunks(body: bytes) -> bytes:
    return answer(b"Transfer-Encoding: chunked", body=body)


def bad_chunks(name: str, coded: bytes, rule: Rule, source: str, at: int) -> Line:
    return bad(name, chunks(coded), rule, source, len(chunks(b"")) + at)


def good_chunks(name: str, coded: bytes, source: str, body: bytes, trailers: Pairs = ()) -> Line:
    return good(name, chunks(coded), source, fields=(("Transfer-Encoding", "chunked"),), length=None, body=body,
                trailers=trailers)


STATUS_LINES = [
    good_line("an empty reason", b"HTTP/1.1 200 ", 200, ""),
    good_line("a reason of obs-text", b"HTTP/1.1 200 \xe9t\xe9", 200, "\xe9t\xe9"),
    good_line("a reason with a tab", b"HTTP/1.1 200 a\tb", 200, "a\tb"),
    good_line("a reason that begins with a space", b"HTTP/1.1 200  OK", 200, " OK"),
    good_line("a reason that ends with a space", b"HTTP/1.1 200 OK ", 200, "OK "),
    good_line("a reason that is a status line", b"HTTP/1.1 200 HTTP/1.1 404 No", 200, "HTTP/1.1 404 No"),
    good_line("HTTP/1.0", b"HTTP/1.0 200 OK", 200, "OK", version="1.0"),
    good_line("a status that nobody has named", b"HTTP/1.1 299 X", 299, "X", "RFC 9110 §15"),
    good_line("a status of no class", b"HTTP/1.1 999 X", 999, "X", "RFC 9110 §15"),
    bad_line("no space before the reason", b"HTTP/1.1 200", rules.STATUS_LINE, 8),
    bad_line("a tab before the reason", b"HTTP/1.1 200\tOK", rules.STATUS_LINE, 8),
    bad_line("a reason joined to the status", b"HTTP/1.1 200OK", rules.STATUS_LINE, 8),
    bad_line("two spaces before the status", b"HTTP/1.1  200 OK", rules.STATUS_LINE, 8),
    bad_line("a tab before the status", b"HTTP/1.1\t200 OK", rules.VERSION_FORM, 0),
    bad_line("no status", b"HTTP/1.1 OK", rules.STATUS_LINE, 8),
    bad_line("a version alone", b"HTTP/1.1", rules.STATUS_LINE, 8),
    bad_line("a version and a space", b"HTTP/1.1 ", rules.STATUS_LINE, 8),
    bad_line("two digits", b"HTTP/1.1 20 OK", rules.STATUS_LINE, 8),
    bad_line("four digits", b"HTTP/1.1 2000 OK", rules.STATUS_LINE, 8),
    bad_line("000", b"HTTP/1.1 000 OK", rules.STATUS_LINE, 8, "RFC 9110 §15"),
    bad_line("099", b"HTTP/1.1 099 OK", rules.STATUS_LINE, 8, "RFC 9110 §15"),
    bad_line("a sign", b"HTTP/1.1 +20 OK", rules.STATUS_LINE, 8),
    bad_line("a negative status", b"HTTP/1.1 -20 OK", rules.STATUS_LINE, 8),
    bad_line("a status with a digit that is none in ASCII", b"HTTP/1.1 20\xb2 OK", rules.STATUS_LINE, 8,
             "CVE-2025-69224"),
    bad_line("a status with a fraction", b"HTTP/1.1 404.13 No", rules.STATUS_LINE, 8),
    bad_line("HTTP/2", b"HTTP/2 200 OK", rules.VERSION_FORM, 0, "RFC 9112 §2.3"),
    bad_line("HTTP/2.0", b"HTTP/2.0 200 OK", rules.VERSION, 0, "RFC 9112 §2.3"),
    bad_line("HTTP/1.2", b"HTTP/1.2 200 OK", rules.VERSION, 0, "RFC 9112 §2.3"),
    bad_line("HTTP/0.9 by name", b"HTTP/0.9 200 OK", rules.VERSION, 0, "RFC 9112 §2.3"),
    bad_line("HTTP/1.10", b"HTTP/1.10 200 OK", rules.VERSION_FORM, 0, "RFC 9112 §2.3"),
    bad_line("a version in lower case", b"http/1.1 200 OK", rules.VERSION_FORM, 0, "RFC 9112 §2.3"),
    bad_line("ICY", b"ICY 200 OK", rules.VERSION_FORM, 0, "RFC 9112 §2.3"),
    bad_line("a space before the version", b" HTTP/1.1 200 OK", rules.VERSION_FORM, 0),
    bad_line("a byte order mark", b"\xef\xbb\xbfHTTP/1.1 200 OK", rules.VERSION_FORM, 0),
    bad_line("an empty status line", b"", rules.VERSION_FORM, 0),
    bad_line("an empty line before the response", b"\r\nHTTP/1.1 200 OK", rules.VERSION_FORM, 0, "RFC 9112 §2.2"),
    bad_line("a request", b"GET / HTTP/1.1", rules.VERSION_FORM, 0),
    bad_line("a field as the status line", b"Content-Length: 0", rules.VERSION_FORM, 0),
    bad_line("HTTP/0.9 content", b"<!DOCTYPE html>", rules.VERSION_FORM, 0, "RFC 9112 §2.3"),
    bad_line("NUL in the reason", b"HTTP/1.1 200 O\0K", rules.STATUS_LINE, 8),
    bad_line("DEL in the reason", b"HTTP/1.1 200 O\x7fK", rules.STATUS_LINE, 8),
    bad_line("a vertical tab in the reason", b"HTTP/1.1 200 O\x0bK", rules.STATUS_LINE, 8),
    bad_line("an escape in the reason", b"HTTP/1.1 200 \x1b[2J", rules.STATUS_LINE, 8, "CVE-2020-7694"),
    bad_line("bare CR in the reason", b"HTTP/1.1 200 O\rK", rules.STATUS_LINE, 8, "RFC 9112 §2.2"),
    bad_line("CR CR LF behind the reason", b"HTTP/1.1 200 OK\r", rules.STATUS_LINE, 8, "RFC 9112 §2.2"),
    bad_line("bare LF behind the status line", b"HTTP/1.1 200 OK\nX: y", rules.LINE_END, 15, "RFC 9112 §2.2"),
    bad_line("a status line of 8,193 bytes", b"HTTP/1.1 200 " + b"a" * 8180, rules.STATUS_LINE_LONG, 8192),
    good_line("a status line of 8,192 bytes", b"HTTP/1.1 200 " + b"a" * 8179, 200, "a" * 8179),
]

FIELDS = [
    good_field("odd whitespace around a value", b"X: \t a\t b \t", "RFC 9110 §5.5", ("X", "a\t b")),
    good_field("an empty value", b"X:", "RFC 9110 §5.5", ("X", "")),
    good_field("obs-text in a value", b"X: \xe9", "RFC 9110 §5.5", ("X", "\xe9")),
    good_field("Set-Cookie twice", b"Set-Cookie: a=b\r\nSet-Cookie: c=d", "RFC 6265 §3", ("Set-Cookie", "a=b"),
               ("Set-Cookie", "c=d")),
    good_field("Vary twice", b"Vary: a\r\nVary: b", "RFC 9110 §5.3", ("Vary", "a"), ("Vary", "b")),
    good_field("a Host that is none, which means nothing here", b"Host: a b", "RFC 9110 §7.2", ("Host", "a b")),
    good_field("Expect means nothing here", b"Expect: x", "RFC 9110 §10.1.1", ("Expect", "x")),
    good_field("close in capitals", b"CONNECTION: CLOSE", "RFC 9110 §7.6.1", ("CONNECTION", "CLOSE"), keep_alive=False),
    good_field("a folded line", b"X: a\r\n b", "RFC 9112 §5.2", ("X", "a b")),
    good_field("a line folded with a tab", b"X: a\r\n\t  b", "RFC 9112 §5.2", ("X", "a b")),
    good_field("a line folded twice", b"X:\r\n a\r\n b: c\r\nY: z", "RFC 9112 §5.2", ("X", "a b: c"), ("Y", "z")),
    good_field("a fold with nothing behind it", b"X: a\r\n \r\n\t ", "RFC 9112 §5.2", ("X", "a")),
    good_field("a folded Connection", b"Connection: x,\r\n close", "RFC 9112 §5.2", ("Connection", "x, close"),
               keep_alive=False),
    good("a folded Content-Length", answer(b"Content-Length:\r\n 5", body=b"hello"), "RFC 9112 §5.2",
         fields=(("Content-Length", "5"),), length=5, body=b"hello"),
    good("a folded Transfer-Encoding", answer(b"Transfer-Encoding:\r\n\tchunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
         "RFC 9112 §5.2", fields=(("Transfer-Encoding", "chunked"),), length=None, body=b"hello"),
    bad("a Content-Length folded within its digits", answer(b"Content-Length: 1\r\n 2"), rules.LENGTH_FORM,
        "RFC 9110 §8.6", 17),
    bad_field("a control byte behind folds", b"X: a\r\n   b\r\n\t\tc\r\nY: z\r\n \0", rules.FIELD_VALUE,
              "RFC 9110 §5.5", b"\0"),
    bad_field("a broken name behind folds", b"X: a\r\n   b\r\n\t\tc\r\nY : z", rules.FIELD_SPACE, "RFC 9112 §5.1",
              b"Y :"),
    bad_field("a broken name before a fold", b"X : a\r\n   b", rules.FIELD_SPACE, "RFC 9112 §5.1"),
    bad_field("a first line that is folded, and folds behind it", b" X: a\r\n b", rules.FIELD_FOLD, "RFC 9112 §2.2"),
    bad_field("a first line that is folded", b" X: a", rules.FIELD_FOLD, "RFC 9112 §2.2"),
    bad_field("a space before the colon", b"X : a", rules.FIELD_SPACE, "RFC 9112 §5.1; CVE-2021-22959"),
    bad_field("a tab before the colon", b"X\t: a", rules.FIELD_SPACE, "RFC 9112 §5.1"),
    bad_field("a space before the colon of a length", b"Content-Length : 5", rules.FIELD_SPACE, "RFC 9112 §5.1"),
    bad_field("no colon", b"X", rules.FIELD_LINE, "RFC 9112 §5"),
    bad_field("no name", b": a", rules.FIELD_NAME, "RFC 9110 §5.1"),
    bad_field("a space in a name", b"X Y: a", rules.FIELD_NAME, "RFC 9110 §5.1"),
    bad_field("obs-text in a name", b"\xe9: a", rules.FIELD_NAME, "RFC 9110 §5.1"),
    bad_field("NUL in a value", b"X: a\0b", rules.FIELD_VALUE, "RFC 9110 §5.5", b"\0"),
    bad_field("a control byte in a value", b"X: a\x01b", rules.FIELD_VALUE, "RFC 9110 §5.5", b"\x01"),
    bad_field("DEL in a value", b"X: a\x7f", rules.FIELD_VALUE, "RFC 9110 §5.5", b"\x7f"),
    bad_field("a vertical tab is not trimmed", b"X:\x0ba", rules.FIELD_VALUE, "CVE-2019-16789", b"\x0b"),
    bad_field("bare CR in a value", b"X: a\rSet-Cookie: b=c", rules.FIELD_VALUE, "CVE-2023-30589", b"\rS"),
    bad_field("bare LF in a value", b"X: a\nSet-Cookie: b=c", rules.LINE_END, "RFC 9112 §2.2", b"\nS"),
    bad("bare LF as the empty line", b"HTTP/1.1 200 OK\r\nX: y\r\n\n", rules.LINE_END, "RFC 9112 §2.2", 23),
    bad("all line ends bare LF", b"HTTP/1.1 200 OK\n\n", rules.LINE_END, "RFC 9112 §2.2", 15),
    bad("CR LF CR X ends no head", b"HTTP/1.1 200 OK\r\nA: b\r\n\rX: y\r\n\r\n", rules.LINE_END, "CVE-2025-23167",
        b"\rX"),
    *[bad_field(f"{name.decode()} twice", b"%b: a\r\nX: y\r\n%b: a" % (name, name.upper()), rules.FIELD_SINGLE,
                "RFC 9110 §5.3", 0)
      for name in (b"Location", b"Content-Type", b"ETag", b"Date", b"Retry-After", b"Server", b"Age", b"Expires",
                   b"Last-Modified", b"Content-Range", b"Content-Location")],
    bad("a head of 32,769 bytes", answer(b"X: " + b"y" * 32745), rules.HEAD_LONG, "RFC 6585 §5", 32768),
    good("a head of 32,768 bytes", answer(b"X: " + b"y" * 32744), "RFC 6585 §5", fields=(("X", "y" * 32744),),
         length=None, endless=True, keep_alive=False),
]

LENGTHS = [
    good("a length with zeros before it", answer(b"Content-Length: 002", body=b"hi"), "RFC 9110 §8.6",
         fields=(("Content-Length", "002"),), length=2, body=b"hi"),
    good("a length in odd whitespace", answer(b"content-length:\t2 ", body=b"hi"), "RFC 9110 §5.5",
         fields=(("content-length", "2"),), length=2, body=b"hi"),
    bad_field("a length twice, the same", b"Content-Length: 0", rules.FIELD_SINGLE, "RFC 9112 §6.3; CVE-2019-16792", 0),
    bad_field("two lengths that differ", b"Content-Length: 5", rules.FIELD_SINGLE, "RFC 9112 §6.3", 0),
    *[bad(f"a length that is {name}", answer(b"Content-Length: " + value, body=b"hello"), rules.LENGTH_FORM, source, 17)
      for name, value, source in (
          ("a list of the same", b"5, 5", "RFC 9110 §8.6"), ("a list", b"5, 6", "RFC 9112 §6.3"),
          ("empty", b"", "RFC 9110 §8.6"), ("signed", b"+5", "CVE-2022-24761"), ("negative", b"-5", "RFC 9110 §8.6"),
          ("hexadecimal", b"0x5", "CVE-2022-24761"), ("underscored", b"1_0", "CVE-2022-24761"),
          ("a fraction", b"5.0", "RFC 9110 §8.6"), ("of Arabic digits", "\u0665".encode(), "CVE-2025-69224"),
          ("superscript", b"\xb2", "CVE-2025-69224"), ("two numbers", b"5 5", "RFC 9110 §8.6"))],
    bad("a broken length behind HEAD", answer(b"Content-Length: x"), rules.LENGTH_FORM, "RFC 9110 §8.6", 17, "HEAD"),
    bad("a broken length of 304", answer(b"Content-Length: x", status=b"HTTP/1.1 304 X"), rules.LENGTH_FORM,
        "RFC 9110 §8.6", 16),
    bad("a length of 5,000 digits", answer(b"Content-Length: " + b"9" * 5000), rules.BODY_LARGE, "h11 0.15", 0),
    bad("content longer than its length", answer(b"Content-Length: 1", body=b"hi\r\n\r\n"), rules.VERSION_FORM,
        "RFC 9112 §6.3", b"i\r"),
    bad("content cut off", answer(b"Content-Length: 5", body=b"hi"), rules.INCOMPLETE, "RFC 9112 §8"),
    bad("a head cut off", answer(b"X: y")[:-2], rules.INCOMPLETE, "RFC 9112 §8", 23),
]

CODINGS = [
    good("chunked in capitals", answer(b"transfer-encoding: CHUNKED", body=b"0\r\n\r\n"), "RFC 9112 §7",
         fields=(("transfer-encoding", "CHUNKED"),), length=None),
    bad("a length and a coding", answer(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        rules.LENGTH_AND_CODING, "RFC 9112 §6.1", 0),
    bad("a coding and a length", answer(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        rules.LENGTH_AND_CODING, "RFC 9112 §6.1", 0),
    bad("a length and a coding nobody knows", answer(b"Content-Length: 5", b"Transfer-Encoding: x", body=b"hello"),
        rules.LENGTH_AND_CODING, "RFC 9112 §6.3; CVE-2024-6827", 0),
    bad("a coding in HTTP/1.0", answer(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK", body=b"0\r\n\r\n"),
        rules.CODING_1_0, "RFC 9112 §6.1", 0),
    bad("a coding and a length in HTTP/1.0", answer(b"Transfer-Encoding: chunked", b"Content-Length: 5",
        status=b"HTTP/1.0 200 OK", body=b"0\r\n\r\n"), rules.CODING_1_0, "RFC 9112 §6.1", 0),
    *[bad(f"the coding {name}", answer(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), rule, source, 0)
      for name, value, rule, source in (
          ("gzip, then chunked", b"gzip, chunked", rules.CODING_UNKNOWN, "RFC 9112 §6.1; CVE-2019-16786"),
          ("gzip", b"gzip", rules.CODING_FINAL, "RFC 9112 §6.3"),
          ("identity", b"identity", rules.CODING_FINAL, "RFC 9112 §6.1"),
          ("chunked, then identity", b"chunked, identity", rules.CODING_FINAL, "CVE-2024-1135"),
          ("chunked twice", b"chunked, chunked", rules.CODING_FINAL, "RFC 9112 §6.1"),
          ("empty", b"", rules.CODING_FINAL, "RFC 9112 §6.1"),
          ("with an empty member", b", chunked", rules.CODING_FINAL, "CVE-2024-6827"),
          ("with a parameter", b"chunked;q=1", rules.CODING_FINAL, "RFC 9112 §7"),
          ("in quotes", b'"chunked"', rules.CODING_FINAL, "RFC 9112 §7"),
          ("with a letter more", b"xchunked", rules.CODING_FINAL, "CVE-2022-32215"))],
    bad("chunked in two fields", answer(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        rules.CODING_FINAL, "CVE-2020-8287", 0),
    bad("a coding behind a vertical tab", answer(b"Transfer-Encoding:\x0bchunked"), rules.FIELD_VALUE,
        "CVE-2019-16789", b"\x0b"),
]

CHUNKS = [
    good_chunks("chunks of every way to write a size", b"1\r\na\r\n0002\r\nbc\r\n00\r\n\r\n", "RFC 9112 §7.1", b"abc"),
    good_chunks("extensions", b'1;a=b\r\nx\r\n1 ; c = "d\\""\r\ny\r\n0;e\r\n\r\n', "RFC 9112 §7.1.1", b"xy"),
    good_chunks("trailers", b"0\r\nA: b\r\nC:\td \r\n\r\n", "RFC 9112 §7.1.2", b"", (("A", "b"), ("C", "d"))),
    bad_chunks("an empty size", b"\r\nhello", rules.CHUNK_SIZE, "RFC 9112 §7.1", 0),
    bad_chunks("a size with a sign", b"+5\r\nhello\r\n", rules.CHUNK_SIZE, "CVE-2022-24761", 0),
    bad_chunks("a size with 0x", b"0x5\r\nhello\r\n", rules.CHUNK_SIZE, "CVE-2022-24761", 1),
    bad_chunks("a size with an underscore", b"1_0\r\nhello\r\n", rules.CHUNK_SIZE, "CVE-2022-24761", 1),
    bad_chunks("a size behind a space", b" 5\r\nhello\r\n", rules.CHUNK_SIZE, "RFC 9112 §7.1", 0),
    bad_chunks("a size before a space", b"5 \r\nhello\r\n", rules.CHUNK_SIZE, "RFC 9112 §7.1", 1),
    bad_chunks("a size of 17 digits", b"0" * 16 + b"5\r\nhello\r\n", rules.CHUNK_SIZE, "RFC 9112 §7.1", 16),
    bad_chunks("a size of 64 bits", b"f" * 16 + b"\r\nhello\r\n", rules.BODY_LARGE, "RFC 9112 §7.1", 0),
    bad_chunks("bare LF behind a size", b"5\nhello\r\n0\r\n\r\n", rules.LINE_END, "CVE-2025-22871", 1),
    bad_chunks("bare LF in an extension", b"5;a\nb\r\nhello\r\n", rules.LINE_END, "CVE-2024-52304", 3),
    bad_chunks("an extension without a name", b"5;\r\nhello\r\n", rules.CHUNK_EXTENSION, "RFC 9112 §7.1.1", 1),
    bad_chunks("two other bytes behind a chunk", b"1\r\nxAB0\r\n\r\n", rules.CHUNK_END, "CVE-2025-43859", 4),
    bad_chunks("bare LF behind a chunk", b"1\r\nx\n0\r\n\r\n", rules.CHUNK_END, "RFC 9112 §7.1", 4),
    bad_chunks("a chunk longer than its size", b"1\r\nxy\r\n0\r\n\r\n", rules.CHUNK_END, "RFC 9112 §7.1", 4),
    bad_chunks("an extension of 300 bytes", b"1;" + b"a" * 300 + b"\r\nx\r\n", rules.CHUNK_LINE_LONG,
               "RFC 9112 §7.1.1", 256),
    bad_chunks("a chunk cut off", b"5\r\nhel", rules.INCOMPLETE, "RFC 9112 §8", 6),
    bad_chunks("no last chunk", b"5\r\nhello\r\n", rules.INCOMPLETE, "RFC 9112 §8; gunicorn 26.0", 10),
    bad_chunks("a last chunk without its end", b"0\r\n", rules.INCOMPLETE, "RFC 9112 §8; gunicorn 26.0", 3),
    bad_chunks("a broken trailer", b"0\r\nA : b\r\n\r\n", rules.FIELD_SPACE, "RFC 9112 §7.1.2", 3),
    good_chunks("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "RFC 9112 §5.2", b"", (("A", "b c"),)),
    bad_chunks("a first trailer that is folded", b"0\r\n A: b\r\n\r\n", rules.FIELD_FOLD, "RFC 9112 §5.2", 3),
    bad_chunks("a broken trailer behind a fold", b"0\r\nA: b\r\n    c\r\nB : c\r\n\r\n", rules.FIELD_SPACE,
               "RFC 9112 §5.1", 16),
    bad_chunks("bare LF behind a trailer", b"0\r\nA: b\n\r\n", rules.LINE_END, "RFC 9112 §7.1.2", 7),
    bad_chunks("a response in the trailers", b"0\r\n" + OK, rules.FIELD_LINE, "CVE-2023-41419", 3),
]

BODILESS = [
    good("a length and a coding behind HEAD, which frame nothing",
         answer(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "RFC 9112 §6.3",
         fields=(("Content-Length", "5"), ("Transfer-Encoding", "chunked")), method="HEAD"),
    good("a length beyond every limit behind HEAD", answer(b"Content-Length: " + b"9" * 30), "RFC 9112 §6.3",
         fields=(("Content-Length", "9" * 30),), method="HEAD"),
    good("a coding in 304 of HTTP/1.0", answer(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 304 X"),
         "RFC 9112 §6.3", 304, "X", "1.0", (("Transfer-Encoding", "chunked"),), keep_alive=False),
    good("204 with a length", answer(b"Content-Length: 5", status=b"HTTP/1.1 204 X"), "RFC 9112 §6.3", 204, "X",
         fields=(("Content-Length", "5"),)),
    bad("204 with content", answer(status=b"HTTP/1.1 204 X", body=b"hello\r\n\r\n"), rules.VERSION_FORM,
        "RFC 9112 §6.3", b"hello"),
    bad("HEAD with content", answer(b"Content-Length: 9", body=b"hello\r\n\r\n"), rules.VERSION_FORM,
        "RFC 9112 §6.3", b"hello", "HEAD"),
    bad("a head of 304 that is broken", answer(b"X : y", status=b"HTTP/1.1 304 X"), rules.FIELD_SPACE,
        "RFC 9112 §5.1", 16),
]

TABLES = {"status lines": STATUS_LINES, "fields": FIELDS, "lengths": LENGTHS, "codings": CODINGS, "chunks": CHUNKS,
          "bodiless": BODILESS}
LINES = [pytest.param(line, id=f"{table}: {line.name}") for table, lines in TABLES.items() for line in lines]
each_line = pytest.mark.parametrize("line", LINES)


def places(raw: bytes) -> list[int]:
    """Where to cut: at every byte, in very long bytes at some hundred, among them those around the limits."""
    if len(raw) <= 1000:
        return list(range(1, len(raw)))
    near = {at + step for at in (8192, 32768, len(raw)) for step in range(-12, 12)}
    return sorted(at for at in {*range(1, 30), *range(30, len(raw), len(raw) // 30), *near} if 0 < at < len(raw))


def read_line(line: Line, *pieces: bytes) -> list[Seen]:
    """A second request was sent, so that what lies behind the line is looked at and not just unasked."""
    return read_responses(pieces, [line.method, "GET"])


@each_line
def test_a_line_of_the_table_is_what_it_says(line: Line) -> None:
    told = read_line(line, line.raw)
    if isinstance(line.expected, list):
        assert told == [*line.expected, CLEAN_END]
        return
    assert told[-1][:3] == ("error", 502, str(line.expected))
    if line.at is not None:
        assert told[-1][3] == line.at


@each_line
def test_a_line_cut_anywhere_is_the_same_line(line: Line) -> None:
    whole = read_line(line, line.raw)
    for place in places(line.raw):
        assert read_line(line, *cut_at(line.raw, [place])) == whole
    if len(line.raw) < 10_000:
        assert read_line(line, *byte_by_byte(line.raw)) == whole


@each_line
def test_a_response_behind_an_error_never_becomes_an_event(line: Line) -> None:
    told = read_line(line, line.raw + BEHIND)
    assert read_line(line, line.raw, BEHIND) == told
    behind = [event for event in told if event[:2] == ("head", 298)]
    if isinstance(line.expected, list):
        ends_with_connection = line.expected[0][6]
        assert len(behind) == (0 if ends_with_connection else 1)
        return
    assert told[-1][0] == "error"
    assert not behind
    if line.expected != rules.INCOMPLETE:
        assert told == read_line(line, line.raw)


def test_the_table_is_long_enough_and_names_every_line_once_with_its_source() -> None:
    names = [param.id for param in LINES]
    assert len(names) >= 130
    assert len(set(names)) == len(names)
    for line in [line for lines in TABLES.values() for line in lines]:
        assert line.source.startswith(("RFC ", "CVE-", "h11")), line.name


def test_only_the_characters_of_a_reason_are_taken() -> None:
    for octet in range(256):
        raw = bytes([octet])
        told = read_responses([answer(status=b"HTTP/1.1 204 a" + raw + b"b")])
        assert (told[0][0] == "head") == (raw == b"\t" or (raw >= b" " and raw != b"\x7f"))
        told = read_responses([answer(status=b"HTTP/1.1 2" + raw + b"4 X")], ["HEAD"])
        assert (told[0][0] == "head") == raw.isdigit()


def test_a_status_is_every_number_of_three_digits_from_100_on() -> None:
    for status in range(1000):
        told = read_responses([answer(b"Content-Length: 0", status=b"HTTP/1.1 %03d X" % status)])
        assert told[0] == refused(rules.STATUS_LINE, 8) if status < 100 else told[0][1] == status
        assert (told[-1][0] == "SWITCHED") == (status == 101)


@pytest.mark.parametrize("other", [b"\n", b"\r", b"", b"\n\n"])
def test_no_line_end_of_a_valid_response_can_be_another(other: bytes) -> None:
    """CVE-2019-16785: every CRLF of framing, one after the other."""
    ends = [at for at in range(len(CHUNKED)) if CHUNKED.startswith(b"\r\n", at)]
    assert len(ends) == 10
    # Without its line end a status line goes on: the reason takes in the field behind it.
    for at in ends if other else ends[1:]:
        told = read_responses([CHUNKED[:at] + other + CHUNKED[at + 2:] + BEHIND], ["GET", "GET"])
        assert told[-1][0] == "error"
        assert 298 not in kinds(told)


# Properties

@given(response_streams(), limits(), st.data())
@example(("GET", b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 80), Limits(body=5), None)
@example(("GET", CONTINUE * 3), Limits(interim=2), None)
@example(("HEAD", OK), Limits(), None)
@example(("CONNECT", OK), Limits(), None)
@example(("GET", b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\na\nb"), Limits(), None)
@example(("GET", b"HTTP/1.1 200 " + b"a" * 60 + b"\r\nX\n\r\n\r\n"), Limits(request_line=40, head=90), None)
@example(("GET", CHUNKED.replace(b"Digest: z", b"Digest: " + b"z" * 200)), Limits(head=130), None)
def test_however_it_is_cut_the_same_stream_says_the_same(
        sent: tuple[str, bytes], bounds: Limits, data: st.DataObject | None) -> None:
    method, raw = sent
    whole = read_responses([raw], [method], bounds)
    assert read_responses(byte_by_byte(raw), [method], bounds) == whole
    pieces = [cut_at(raw, [at]) for at in range(1, len(raw))] if data is None else [data.draw(cuts(raw))]
    for cut in pieces:
        assert read_responses(cut, [method], bounds) == whole


@given(response_streams(), limits(), st.data())
def test_whoever_asks_late_hears_the_same(sent: tuple[str, bytes], bounds: Limits, data: st.DataObject) -> None:
    method, raw = sent
    pieces = [(piece, data.draw(st.integers(0, 3))) for piece in data.draw(cuts(raw))]
    assert read_late(awaiting([method], bounds), pieces) == read_responses([raw], [method], bounds)


@given(st.tuples(st.sampled_from(["GET", "HEAD", "CONNECT"]), st.binary(max_size=200)) | response_streams(), limits())
def test_any_bytes_give_events_or_a_protocol_error(sent: tuple[str, bytes], bounds: Limits) -> None:
    method, raw = sent
    told = read_responses([raw], [method], bounds)
    assert told[-1][0] in ("error", "CLOSED", "SWITCHED")
    if told[-1][0] == "error":
        assert told[-1][1] == 502
        assert 0 <= int(str(told[-1][3])) <= len(raw)
    final = [event for event in told if event[0] == "head" and (event[1] == 101 or int(str(event[1])) >= 200)]
    assert len(final) <= 1, "one request has one answer"
    assert len([event for event in told if event[0] == "end"]) <= len(final)
    heads = [event for event in told if event[0] == "head"]
    assert len(heads) <= bounds.interim + 1
    assert all(len(event[4]) <= bounds.fields for event in heads)  # type: ignore[arg-type]
    content = b"".join([event[1] for event in told if event[0] == "data"])  # type: ignore[misc]
    assert len(content) <= bounds.body


def end_of(sent: SentResponse) -> Seen:
    return (SWITCHED.name, 0) if sent.switches else CLEAN_END


@given(responses())
def test_a_valid_response_is_read_as_it_was_meant(sent: SentResponse) -> None:
    assert read_responses([sent.raw], [sent.method]) == [*meant_response(sent), end_of(sent)]


@given(response_pipelines(), st.data())
def test_responses_joined_are_the_same_responses_in_order(several: list[SentResponse], data: st.DataObject) -> None:
    raw = b"".join(sent.raw for sent in several)
    told = read_responses(data.draw(cuts(raw)), [sent.method for sent in several])
    assert told == [*(event for sent in several for event in meant_response(sent)), end_of(several[-1])]


@given(responses(), st.data())
def test_an_end_within_a_valid_response_is_never_silent(sent: SentResponse, data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(sent.raw) - 1))
    told = read_responses([sent.raw[:stop]], [sent.method])
    if told[-1][0] == "error":
        assert told[-1] == refused(rules.INCOMPLETE, stop)
        assert "end" not in kinds(told)
    elif "end" in kinds(told):
        assert sent.ends_with_connection, "no other body can be short unnoticed"
    else:
        assert all(event[0] == "head" for event in told[:-1]), "between interim responses"
        assert len(told) - 1 <= len(sent.interim)


@given(responses().filter(lambda sent: not sent.ends_with_connection), st.binary(min_size=1, max_size=20))
def test_what_lies_behind_the_last_response_is_unasked_or_another_protocols(sent: SentResponse, behind: bytes) -> None:
    for pieces in ([sent.raw + behind], [sent.raw, behind], byte_by_byte(sent.raw + behind)):
        told = read_responses(pieces, [sent.method])
        assert told[:-1] == meant_response(sent)
        end = (SWITCHED.name, len(behind)) if sent.switches else refused(rules.UNASKED, len(sent.raw))
        assert told[-1] == end


@given(responses(switches=True), st.binary(max_size=20), st.data())
def test_every_byte_of_another_protocol_is_given_away(sent: SentResponse, behind: bytes, data: st.DataObject) -> None:
    parser = ResponseParser()
    parser.expect(sent.method)
    given_away = b""
    for piece in data.draw(cuts(sent.raw + behind)):
        parser.feed(piece)
        while not isinstance(pause := parser.next_event(), Pause):
            pass
        if pause is SWITCHED:
            given_away += parser.detach()
    assert given_away == behind


@given(response_streams(), responses())
def test_nothing_behind_an_error_becomes_an_event(sent: tuple[str, bytes], behind: SentResponse) -> None:
    method, raw = sent
    told = read_responses([raw], [method], eof=False)
    if told[-1][0] == "error":
        assert read_responses([raw + behind.raw], [method], eof=False) == told
        assert read_responses([raw, behind.raw], [method, "GET"], eof=False)[:len(told) - 1] == told[:-1]


@given(st.lists(response_streams(), min_size=1, max_size=4), limits(), st.data())
def test_nobody_can_see_what_is_cached(
        several: list[tuple[str, bytes]], bounds: Limits, data: st.DataObject) -> None:
    fresh = [read_responses([raw], [method], bounds) for method, raw in several]
    full = ResponseHeadParser(bounds)
    order = data.draw(st.permutations(range(len(several))))
    for index in [*order, *order, *reversed(order)]:
        method, raw = several[index]
        assert read_responses(data.draw(cuts(raw)), [method], full) == fresh[index]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "_CACHED_LINES", 1)
        thrashed = ResponseHeadParser(bounds)
        for index in [*order, *order]:
            method, raw = several[index]
            assert read_responses([raw], [method], thrashed) == fresh[index]


def test_status_lines_that_never_repeat_cost_a_bounded_memory() -> None:
    heads = ResponseHeadParser()
    for number in range(2000):
        heads.parse(answer(b"X-%d: y" % number, status=b"HTTP/1.1 200 %d" % number), "GET")
    assert 0 < len(heads._start_lines) <= 512
    assert 0 < len(heads._fields) <= 512


# What our server says, our client reads

@given(st.lists(answers(), min_size=1, max_size=3), st.data())
def test_what_the_server_says_is_read_back_whatever_its_framing(several: list[Answer], data: st.DataObject) -> None:
    encoded = [answer.encode() for answer in several]
    # Behind one after which the server closes there is nothing.
    closing = [number for number, (_, kept) in enumerate(encoded) if not kept]
    sent = several[:closing[0] + 1] if closing else several
    raw = b"".join([raw for raw, _ in encoded[:len(sent)]])
    told = read_responses(data.draw(cuts(raw)), [answer.method for answer in sent])
    assert told[-1] == CLEAN_END
    heads = [event for event in told if event[0] == "head"]
    assert [event[1] for event in heads] == [answer.status for answer in sent]
    assert [event[7] for event in heads] == [kept for _, kept in encoded[:len(sent)]]
    for event, answer in zip(heads, sent, strict=True):
        assert unframed(event[4]) == answer.headers  # type: ignore[arg-type]
        assert event[6] == (answer.version == "1.0" and answer.framing == "unknown" and answer.method != "HEAD"
                            and answer.status not in (204, 205, 304))
    assert kinds(told[:-1]) == [
        kind for answer in sent for kind in (answer.status, *([answer.content] if answer.content else []), "end")]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("framing", ["whole", "counted", "unknown"])
def test_an_answer_of_our_server_cut_at_every_byte_is_the_same_answer(version: str, framing: str) -> None:
    raw, kept = Answer(200, [("X", "y")], [b"hel", b"lo"], "GET", version, True, framing).encode()
    told = read_responses([raw])
    assert (kinds(told), told[0][7]) == ([200, b"hello", "end", "CLOSED"], kept)
    for place in range(1, len(raw)):
        assert read_responses(cut_at(raw, [place])) == told


# The strategies

def test_a_drawn_field_name_means_nothing_to_any_of_the_parsers() -> None:
    for known in (fields.NOT_IN_TRAILERS, head._SINGLE_IN_REQUESTS, head._SINGLE_IN_RESPONSES, head._REQUEST_GRAMMAR,
                  head._RESPONSE_GRAMMAR):
        assert set(known) <= SPECIAL


def test_without_hypothesis_the_strategies_say_what_they_need() -> None:
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run([sys.executable, "-S", "-c", "import evloop_http.http1.strategies"], cwd=root,
                           capture_output=True, text=True, timeout=60, env={})
    assert ended.returncode == 1
    assert "ImportError: evloop_http.http1.strategies needs evloop-http[testing]" in ended.stderr
