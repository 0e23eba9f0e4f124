"""The stream of requests: events, pauses and errors, whatever the cuts; and how much work they cost.

What single heads and bodies mean is in `test_head.py` and `test_body.py`; what is refused, line by
line, in `test_hostile.py`. Here is what must hold for all of them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, SupportsIndex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evloop_http.http1 import (
    CLOSED,
    NEED_DATA,
    BodyData,
    EndOfMessage,
    HeadParser,
    Limits,
    Pause,
    ProtocolError,
    RequestEvent,
    RequestHead,
    RequestParser,
    ResponseParser,
    fields,
    head,
    parser,
    rules,
    stream,
)
from evloop_http.http1.strategies import SentRequest, byte_by_byte, cut_at, cuts, limits, pipelines, requests, streams
from evloop_http.http1.stream import END
from hostile import TABLES
from oracle import RESPONSES
from reading import CLEAN_END, Seen, meant, read, read_fast, read_from, read_late, seen

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nDigest: z\r\n\r\n")


def requests_in(told: Iterable[Seen]) -> list[object]:
    """The targets of the requests that were told of."""
    return [event[2] for event in told if event[0] == "head"]


# What a parser says

def test_a_request_is_a_head_and_an_end() -> None:
    parser = RequestParser()
    parser.feed(GET)
    assert isinstance(parser.next_event(), RequestHead)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is NEED_DATA


def test_what_follows_behind_close_is_read_and_to_stop_there_is_up_to_the_caller() -> None:  # RFC 9112 §9.6
    parser = RequestParser()
    parser.feed(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
    last, _, behind = parser.next_event(), parser.next_event(), parser.next_event()
    assert isinstance(last, RequestHead)
    assert isinstance(behind, RequestHead)
    assert (last.keep_alive, behind.keep_alive) == (False, True)


def test_a_body_comes_between_head_and_end() -> None:
    parser = RequestParser()
    parser.feed(POST)
    request = parser.next_event()
    assert isinstance(request, RequestHead)
    assert request.content_length == 5
    data = parser.next_event()
    assert isinstance(data, BodyData)
    assert data.data == b"hello"
    assert isinstance(parser.next_event(), EndOfMessage)


def test_a_body_is_told_of_as_it_comes() -> None:
    parser = RequestParser()
    parser.feed(POST[:-3])
    assert [seen(parser.next_event())[0] for _ in range(3)] == ["head", "data", "NEED_DATA"]
    parser.feed(POST[-3:])
    assert seen(parser.next_event()) == ("data", b"llo")
    assert seen(parser.next_event()) == ("end", ())


def test_trailers_come_with_the_end_and_not_with_the_headers() -> None:
    told = read([CHUNKED])
    assert told[1:] == [("data", b"hello!"), ("end", (("Digest", "z"),)), CLEAN_END]
    assert "Digest" not in str(told[0])


def test_nothing_fed_is_nothing_said() -> None:
    parser = RequestParser()
    assert parser.next_event() is NEED_DATA
    parser.feed(b"")
    assert parser.next_event() is NEED_DATA
    parser.feed_eof()
    assert parser.next_event() is CLOSED
    assert parser.next_event() is CLOSED


def test_feeding_after_the_end_is_misuse() -> None:
    parser = RequestParser()
    parser.feed_eof()
    with pytest.raises(RuntimeError, match="feed_eof"):
        parser.feed(GET)


def test_requests_that_came_before_the_end_are_told_of_after_it() -> None:
    parser = RequestParser()
    parser.feed(POST + GET)
    parser.feed_eof()
    kinds = []
    while (event := parser.next_event()) is not CLOSED:
        kinds.append(seen(event)[0])
    assert kinds == ["head", "data", "end", "head", "end"]


def test_pending_counts_what_no_event_has_told_of_and_received_counts_all() -> None:
    parser = RequestParser()
    parser.feed(POST + GET)
    assert (parser.pending, parser.received) == (len(POST + GET), len(POST + GET))
    parser.next_event()
    assert parser.pending == len(b"hello" + GET)
    parser.next_event()
    parser.next_event()
    assert parser.pending == len(GET)
    parser.next_event()
    assert parser.pending == 0
    parser.feed(POST)
    assert parser.received == len(POST + GET + POST)


def test_the_repr_of_a_parser_shows_where_it_stands() -> None:
    parser = RequestParser()
    parser.feed(POST[:-3])
    parser.next_event()
    assert repr(parser) == "<RequestParser read_body, 2 bytes pending>"


def test_one_empty_line_before_a_request_is_forgiven_and_two_are_not() -> None:
    assert requests_in(read([b"\r\n" + GET + b"\r\n" + GET])) == ["/", "/"]
    assert read([b"\r\n\r\n" + GET]) == [("error", 400, str(rules.REQUEST_LINE), 2)]
    assert read([b"\r\n"])[-1] == ("CLOSED", 0)


# Errors

def test_an_empty_line_and_then_the_end_is_no_request_whenever_asked() -> None:
    parser = RequestParser()
    parser.feed(b"\r\n")
    parser.feed_eof()
    assert parser.next_event() is CLOSED


def test_an_error_is_raised_again_whenever_asked() -> None:
    parser = RequestParser()
    parser.feed(b"BAD\r\n\r\n")
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            parser.next_event()
        assert (caught.value.status, caught.value.offset) == (400, 0)


def test_after_an_error_nothing_is_parsed_and_nothing_kept() -> None:
    parser = RequestParser()
    parser.feed(GET + b"BAD\r\n\r\n" + GET)
    assert [seen(parser.next_event())[0] for _ in range(2)] == ["head", "end"]
    with pytest.raises(ProtocolError):
        parser.next_event()
    assert parser.pending == 0
    for _ in range(3):
        parser.feed(GET)
        with pytest.raises(ProtocolError) as caught:
            parser.next_event()
        assert caught.value.offset == len(GET)
    assert parser.pending == 0


def test_an_error_tells_status_rule_and_offset_and_nothing_of_what_the_peer_sent() -> None:
    parser = RequestParser()
    parser.feed(GET + b"GET / HTTP/1.1\r\nHost: a\r\nSecret : hunter2\r\n\r\n")
    parser.next_event()
    parser.next_event()
    with pytest.raises(ProtocolError) as caught:
        parser.next_event()
    error = caught.value
    assert error.status == 400
    assert error.rule == "RFC 9112 §5.1: no whitespace between field name and colon"
    assert error.message == "no whitespace between field name and colon"
    assert error.offset == len(GET) + len("GET / HTTP/1.1\r\nHost: a\r\n")
    assert str(error) == f"400: {error.rule} (at byte {error.offset})"
    assert "hunter2" not in repr(error)


@pytest.mark.parametrize(("good", "bad", "rule"), [
    (b"", b"GET /", rules.INCOMPLETE),
    (b"", b"G@T / HTTP/1.1\r\n\r\n", rules.METHOD),
    (b"GET ", b"/\x80 HTTP/1.1\r\nHost: a\r\n\r\n", rules.TARGET),
    (b"GET ", b"/%zz HTTP/1.1\r\nHost: a\r\n\r\n", rules.PERCENT),
    (b"GET / ", b"HTTP/3.0\r\nHost: a\r\n\r\n", rules.VERSION),
    (b"GET / HTTP/1.1\r\nHost: a", b"\nX: y\r\n\r\n", rules.LINE_END),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", b" x: y\r\n\r\n", rules.FIELD_FOLD),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", b"no colon\r\n\r\n", rules.FIELD_LINE),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y", b"\0z\r\n\r\n", rules.FIELD_VALUE),
    (b"GET / HTTP/1.1\r\nX: y\r\n", b"Host: a/b\r\n\r\n", rules.HOST_FORM),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", b"Content-Length: +5\r\n\r\n", rules.LENGTH_FORM),
    (POST[:-5] + b"hello", b"HELLO\r\n\r\n", rules.REQUEST_LINE),
    (CHUNKED.partition(b"5;x")[0], b"x5\r\nhello\r\n", rules.CHUNK_SIZE),
    (CHUNKED.partition(b";x")[0], b" x\r\nhello\r\n", rules.CHUNK_SIZE),
    (CHUNKED.partition(b"5;x")[0], b"\nhello", rules.LINE_END),
    (CHUNKED.partition(b"\r\n1")[0], b"+\r\n1\r\n!", rules.CHUNK_END),
    (CHUNKED.partition(b"Digest")[0], b"Digest : z\r\n\r\n", rules.FIELD_SPACE),
    (CHUNKED.partition(b"Digest")[0] + b"A: b\r\n", b"Digest : z\r\n\r\n", rules.FIELD_SPACE),
    (CHUNKED.partition(b"Digest")[0] + b"A: ", b"\x01\r\n\r\n", rules.FIELD_VALUE),
])
def test_the_offset_of_an_error_is_where_the_rule_was_broken(good: bytes, bad: bytes, rule: rules.Rule) -> None:
    at = len(good) if rule is not rules.INCOMPLETE else len(good + bad)
    for before in (b"", GET, CHUNKED + POST):
        for pieces in ([before + good + bad], [before + good, bad], byte_by_byte(before + good + bad)):
            assert read(pieces)[-1] == ("error", rule.status, str(rule), len(before) + at)


def test_too_many_fields_are_refused_at_the_first_one_too_many() -> None:
    few = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 99
    assert requests_in(read([few + b"\r\n"])) == ["/"]
    expected = ("error", 431, str(rules.FIELDS_MANY), len(few))
    assert read([few + b"A: b\r\n\r\n"])[-1] == expected
    assert read([few + b"A: b\r\n" + b"Bad Name: c\r\n\r\n"])[-1] == expected


def test_every_rule_names_its_section_and_speaks_in_a_sentence() -> None:
    all_rules = [rule for rule in vars(rules).values() if isinstance(rule, rules.Rule)]
    assert len(all_rules) > 25
    for rule in all_rules:
        assert 400 <= rule.status <= 599
        assert rule.section.startswith("RFC ")
        assert "§" in rule.section
        assert str(rule) == f"{rule.section}: {rule.sentence}"
    assert len({rule.sentence for rule in all_rules}) == len(all_rules)


# The end of the stream, at every byte

@pytest.mark.parametrize(("raw", "behind"), [
    (GET, []), (POST, []), (CHUNKED, []), (b"\r\n" + GET, [GET]), (POST + CHUNKED + GET, [CHUNKED + GET, GET]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" + GET, [GET])])
def test_an_end_at_any_byte_is_an_error_or_falls_between_requests(raw: bytes, behind: list[bytes]) -> None:
    whole = read([raw], eof=False)
    boundaries = set()
    for stop in range(len(raw) + 1):
        told = read([raw[:stop]])
        assert read(byte_by_byte(raw[:stop])) == told
        if told[-1] == ("error", 400, str(rules.INCOMPLETE), stop):
            continue
        assert told[-1][0] == "CLOSED"
        assert told[:-1] == whole[:len(told) - 1]
        boundaries.add(raw[stop:])
    assert boundaries == {raw, *behind, b""}


# Properties

@given(streams(), limits(), st.data())
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", Limits(), None)
@example(b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\na\nb", Limits(), None)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200 + b"\r\n\r\n", Limits(head=100), None)
@example(CHUNKED.replace(b"Digest: z", b"Digest: " + b"z" * 200), Limits(head=130), None)
def test_however_it_is_cut_the_same_stream_says_the_same(raw: bytes, bounds: Limits, data: Any) -> None:
    whole = read([raw], bounds)
    assert read(byte_by_byte(raw), bounds) == whole
    places = [[at] for at in range(1, len(raw))] if data is None else [[]]
    for at in places:
        pieces = cut_at(raw, at) if data is None else data.draw(cuts(raw))
        assert read(pieces, bounds) == whole


@given(streams(), limits(), st.data())
def test_whoever_asks_late_hears_the_same(raw: bytes, bounds: Limits, data: st.DataObject) -> None:
    pieces = [(piece, data.draw(st.integers(0, 3))) for piece in data.draw(cuts(raw))]
    assert read_late(RequestParser(bounds), pieces) == read([raw], bounds)


@given(st.binary(max_size=200) | streams(), limits())
def test_any_bytes_give_events_or_a_protocol_error(raw: bytes, bounds: Limits) -> None:
    told = read([raw], bounds)
    assert told[-1][0] in ("error", "CLOSED")
    if told[-1][0] == "error":
        assert told[-1][1] in (400, 413, 414, 417, 431, 501, 505)
        assert 0 <= int(str(told[-1][3])) <= len(raw)
    for event in told:
        if event[0] == "head":
            assert len(event[7]) <= bounds.fields  # type: ignore[arg-type]


@given(requests())
def test_a_valid_request_is_read_as_it_was_meant(sent: SentRequest) -> None:
    assert read([sent.raw]) == [*meant(sent), CLEAN_END]


@given(pipelines(), st.data())
def test_requests_joined_are_the_same_requests_in_order(several: list[SentRequest], data: st.DataObject) -> None:
    raw = b"".join(sent.raw for sent in several)
    assert read(data.draw(cuts(raw))) == [*(event for sent in several for event in meant(sent)), CLEAN_END]


@given(requests(), st.data())
def test_an_end_within_a_valid_request_is_never_silent(sent: SentRequest, data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(sent.raw) - 1))
    told = read([sent.raw[:stop]])
    if told[-1][0] == "CLOSED":
        assert sent.raw[:stop] in (b"", b"\r\n")
    else:
        assert told[-1] == ("error", 400, str(rules.INCOMPLETE), stop)
        assert told[:-1] != meant(sent)


@given(streams(), requests())
def test_nothing_behind_an_error_becomes_an_event(raw: bytes, sent: SentRequest) -> None:
    told = read([raw], eof=False)
    if told[-1][0] == "error":
        assert read([raw + sent.raw]) == told
        assert read([raw, sent.raw]) == told


@given(streams(), st.binary(min_size=1, max_size=30), limits())
def test_what_comes_behind_changes_nothing_before_it(raw: bytes, behind: bytes, bounds: Limits) -> None:
    told = read([raw], bounds, eof=False)
    longer = read([raw + behind], bounds, eof=False)
    kept = told[:-1]
    if kept and kept[-1][0] == "data":
        assert str(longer[len(kept) - 1][1])[:-1].startswith(str(kept[-1][1])[:-1])
        kept.pop()
    assert longer[:len(kept)] == kept


# What was wrong with which method

@pytest.mark.parametrize(("raw", "method"), [
    (b"HEAD / HTTP/1.1\r\n\r\n", "HEAD"),
    (b"HEAD /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD"),
    (b"HEAD  / HTTP/1.1\r\n\r\n", "HEAD"),
    (b"HEAD / HTTP/1.1\nHost: a\r\n\r\n", "HEAD"),
    (b"HEAD /" + b"a" * 9000, "HEAD"),
    (b"HEAD / HTTP/1.1\r\nX: " + b"a" * 40_000, "HEAD"),
    (b"HEAD / HT", "HEAD"),
    (b"\r\nHEAD / HTTP/1.1\r\n\r\n", "HEAD"),
    (GET + b"HEAD / HTTP/3.0\r\n\r\n", "HEAD"),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nBAD / HTTP/1.1\r\n\r\n", "BAD"),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nBAD\r\n\r\n", ""),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "HEAD"),
    (CHUNKED.replace(b"POST", b"HEAD").replace(b"5;x", b"x"), "HEAD"),
    (CHUNKED.replace(b"POST", b"HEAD").replace(b"Digest:", b"Digest :"), "HEAD"),
    (CHUNKED + b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "PUT"),
    (CHUNKED + b"G@T / HTTP/1.1\r\n\r\n", ""),
    (b"HEAD\t/ HTTP/1.1\r\n\r\n", ""), (b"HEAD\r\n\r\n", ""), (b"HEAD", ""), (b" HEAD / HTTP/1.1\r\n\r\n", ""),
    (b"\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", "")])
def test_an_error_knows_the_method_of_its_request_and_does_not_say_it(raw: bytes, method: str) -> None:
    for pieces in [raw], byte_by_byte(raw):
        for error in errors_of(RequestParser(), pieces):
            assert error.method == method
            assert "HEAD" not in f"{error!r}{error}{error.sentence}{error.args}"


def errors_of(parser: RequestParser, pieces: Iterable[bytes]) -> list[ProtocolError]:
    """The error that ends these bytes, as the parser raises it for the first, second and third time; or nothing."""
    for piece in pieces:
        parser.feed(piece)
        try:
            while parser.next_event() is not NEED_DATA:
                pass
        except ProtocolError as error:
            return [error, *errors_again(parser)]
    parser.feed_eof()
    try:
        while parser.next_event() is not CLOSED:
            pass
    except ProtocolError as error:
        return [error, *errors_again(parser)]
    return []


def errors_again(parser: RequestParser) -> Iterable[ProtocolError]:
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            parser.next_event()
        yield caught.value


@given(streams(), limits(), st.data())
@example(b"HEAD / HTTP/1.1\r\n\r\n", Limits(request_line=1), None)
@example(b"HEAD / HTTP/1.1\r\n\r\n", Limits(head=4), None)
def test_the_method_of_an_error_does_not_depend_on_the_cuts(raw: bytes, bounds: Limits, data: Any) -> None:
    whole = [error.method for error in errors_of(RequestParser(bounds), [raw])]
    for pieces in byte_by_byte(raw), cut_at(raw, [1]) if data is None else data.draw(cuts(raw)):
        assert [error.method for error in errors_of(RequestParser(bounds), pieces)] == whole


@given(streams())
def test_an_error_that_is_raised_again_is_equal_and_another(raw: bytes) -> None:
    errors = errors_of(RequestParser(), [raw])
    assert len({repr(error) for error in errors}) <= 1
    assert len({(error.status, error.rule, error.message, error.offset, error.method) for error in errors}) <= 1
    assert len(set(map(id, errors))) == len(errors)


@pytest.mark.parametrize("parser", [RequestParser, ResponseParser])
def test_a_parser_that_failed_leaves_no_cycles(parser: type[RequestParser] | type[ResponseParser]) -> None:
    def read_to_the_end(raw: bytes) -> None:
        reader = parser()
        if isinstance(reader, ResponseParser):
            reader.expect("GET")
        reader.feed(raw)
        reader.feed_eof()
        for _ in range(3):
            try:
                while not isinstance(reader.next_event(), Pause):
                    pass
            except ProtocolError:
                pass

    lines = [line.raw for lines in TABLES.values() for line in lines] + list(RESPONSES)
    for raw in lines:  # whatever is imported and cached on first use
        read_to_the_end(raw)
    gc.collect()
    gc.disable()
    try:
        for raw in lines:
            read_to_the_end(raw)
        assert gc.collect() == 0
    finally:
        gc.enable()


# The short ways

HOSTILE = st.sampled_from([line.raw for lines in TABLES.values() for line in lines if len(line.raw) < 2000])


@given(st.lists(streams() | HOSTILE | st.sampled_from([GET, GET * 3, POST, GET + POST + GET]), min_size=1, max_size=3),
       limits(), st.data())
@example([GET, GET, GET], Limits(), None)
@example([b"\r\n", GET, b"\r\n\r\n"], Limits(), None)
@example([GET * 16, POST * 2, GET.replace(b"GET", b"PUT") * 2 + GET * 2], Limits(), None)
@example([POST[:-5], b"hello" + GET, POST[:-5], b"hello"], Limits(), None)
@example([GET * 5, GET[:10], GET[10:], GET[:10], GET[10:] + GET + GET[:9], GET[9:] + b"\r\n", GET * 2], Limits(), None)
@example([GET * 5, GET[:10], GET[10:], b"G\nT / HTTP/1.1\r\n"], Limits(), None)
@example([GET, b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", GET], Limits(), None)
def test_the_short_ways_read_the_same(several: list[bytes], bounds: Limits, data: Any) -> None:
    pieces = several if data is None else data.draw(st.just(several) | cuts(b"".join(several)))
    heads = HeadParser(bounds)
    for eof in (True, False):
        told = read(pieces, bounds, eof)
        for known in (HeadParser(bounds), heads, heads, heads):
            assert read_fast(pieces, known, eof) == told
            assert read(pieces, known, eof) == told


@given(streams() | HOSTILE, limits(), st.data())
def test_the_short_way_in_leaves_the_parser_as_the_long_way_does(
        raw: bytes, bounds: Limits, data: st.DataObject) -> None:
    heads = HeadParser(bounds)
    for _ in range(3):
        short, long = RequestParser(heads), RequestParser(HeadParser(bounds))
        for piece in data.draw(st.just([raw]) | cuts(raw)):
            long.feed(piece)
            if short.feed_request(piece) is not None:
                assert [seen(long.next_event())[0], seen(long.next_event())] == ["head", ("end", ())]
            assert facts(short) == facts(long)
            while (told := told_by(long)) is not None:
                assert told_by(short) == told
                assert facts(short) == facts(long)
            assert told_by(short) is None


def facts(parser: RequestParser) -> tuple[object, ...]:
    return parser.received, parser.pending, parser.has_pending(), repr(parser), parser._forgiven


def told_by(parser: RequestParser) -> Seen | None:
    """The next event or pause; None after an error."""
    try:
        event = parser.next_event()
    except ProtocolError:
        return None
    return None if isinstance(event, Pause) else seen(event)


def test_a_request_without_a_body_is_returned_as_it_is_fed() -> None:
    parser = RequestParser()
    for number in range(4):
        head = parser.feed_request(GET)
        assert isinstance(head, RequestHead)
        assert seen(head) == read([GET])[0]
        assert (parser.received, parser.pending) == ((number + 1) * len(GET), 0)
        assert parser.next_event() is NEED_DATA
    assert parser.detach() == b""


@pytest.mark.parametrize(("before", "raw"), [
    (b"", GET[:-1]), (b"", GET + b"G"), (b"", GET + GET), (b"", POST), (b"", POST[:-5]), (b"", b""),
    (b"", b"\r\n" + GET), (b"", GET.replace(b"Host", b"Bad Name")), (GET[:5], GET[5:]), (POST[:-1], b"o" + GET),
    (POST[:-5], GET), (b"B\n", GET)])
def test_what_is_not_just_one_request_without_a_body_is_left_to_the_events(before: bytes, raw: bytes) -> None:
    parser = RequestParser()
    parser.feed_request(GET)
    parser.feed(before)
    assert told_by(parser) is None or before.startswith(b"POST")
    assert parser.feed_request(raw) is None
    assert parser.received == len(GET + before + raw)
    assert read_fast([before, raw]) == read([before, raw])


def test_the_short_way_in_after_the_end_is_misuse() -> None:
    parser = RequestParser()
    parser.feed_eof()
    with pytest.raises(RuntimeError, match="feed_eof"):
        parser.feed_request(GET)


def test_the_same_request_again_and_again_is_taken_from_a_pipeline() -> None:
    parser = RequestParser()
    assert parser.next_request() is None
    assert parser.feed_request(GET * 6 + POST) is None
    for _ in range(3):  # seen, cached, looked up
        assert parser.next_request() is None
        assert [seen(parser.next_event())[0] for _ in range(2)] == ["head", "end"]
    for left in (2, 1, 0):
        assert seen(parser.next_request() or NEED_DATA) == read([GET])[0]
        assert parser.pending == left * len(GET) + len(POST)
    assert parser.next_request() is None
    assert seen(parser.next_event())[0] == "head"
    assert parser.next_request() is None
    assert parser.take_body() == b"hello"


def test_the_head_of_an_upload_that_arrives_alone_is_parsed_once() -> None:
    heads = HeadParser()
    parser = RequestParser(heads)
    assert parser.feed_request(POST[:-5]) is None
    head = heads.latest_head
    assert parser.next_event() is head
    parser.feed(b"hello")
    assert parser.take_body() == b"hello"
    assert not heads.cached, "it was seen once"


# The caches of heads, field lines and request lines

def bounded_to(patch: pytest.MonkeyPatch, heads: int, head_size: int, lines: int, line_size: int) -> None:
    patch.setattr(head, "_CACHED_HEADS", heads)
    patch.setattr(head, "CACHED_HEAD_SIZE", head_size)
    patch.setattr(parser, "CACHED_HEAD_SIZE", head_size)
    patch.setattr(fields, "_CACHED_LINES", lines)
    patch.setattr(fields, "_CACHED_LINE_SIZE", line_size)


def tables_of(heads: HeadParser) -> list[fields.Cache[Any]]:
    """Every table of lines, or of parts of lines, that `heads` keeps; some keep others."""
    found: list[fields.Cache[Any]] = []
    kept = [getattr(heads, name) for kind in HeadParser.__mro__ for name in getattr(kind, "__slots__", ())]
    for thing in kept:
        if isinstance(thing, fields.Cache):
            found.append(thing)
            kept += vars(thing).values()
    return found


def fresh_table(table: fields.Cache[Any]) -> fields.Cache[Any]:
    """An empty table of the same kind."""
    fresh = [other for other in tables_of(HeadParser()) if type(other) is type(table)]
    return fresh[0]


@given(st.lists(streams(), min_size=1, max_size=4), limits(), st.data())
def test_nobody_can_see_what_is_cached(several: list[bytes], bounds: Limits, data: st.DataObject) -> None:
    fresh = [read([raw], bounds) for raw in several]
    full = HeadParser(bounds)
    order = data.draw(st.permutations(range(len(several))))
    for index in [*order, *order, *reversed(order)]:
        assert read(data.draw(cuts(several[index])), full) == fresh[index]
        assert read([several[index]], full) == fresh[index]
    with pytest.MonkeyPatch.context() as patch:
        bounded_to(patch, *data.draw(st.sampled_from([(1, 2048, 1, 256), (2, 60, 3, 12), (1, 0, 1, 0)])))
        thrashed = HeadParser(bounds)
        for index in [*order, *order]:
            assert read([several[index]], thrashed) == fresh[index]


def test_a_cached_head_may_be_the_last_in_a_pipeline_of_longer_ones() -> None:
    heads = HeadParser()
    longer = GET.replace(b"GET /", b"GET /longer")
    for _ in range(3):
        for raw in longer + longer + GET, GET:
            assert read([raw], heads) == read([raw])


@given(st.lists(streams(), min_size=1, max_size=4), limits())
@example([b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", b"GET /% HTTP/1.1\r\n\r\n", b"G@T / HTTP/1.1\r\n\r\n"], Limits())
def test_nothing_that_was_refused_is_cached(several: list[bytes], bounds: Limits) -> None:
    heads = HeadParser(bounds)
    for raw in several:
        read([raw], heads)
    for known, request in heads.cached.items():
        assert seen(HeadParser(bounds).parse(known)) == seen(request)
        assert read([known], bounds)[0] == seen(request)
    for table in tables_of(heads):
        for line, parsed in table.items():
            assert parsed != "", "an empty answer stands for a refusal"
            assert fresh_table(table).parse(line) == parsed


@given(st.lists(pipelines(2), min_size=1, max_size=2), st.integers(1, 3), st.integers(0, 90))
def test_the_caches_never_pass_their_bounds(several: list[list[SentRequest]], entries: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bounded_to(patch, entries, size, entries, size)
        heads = HeadParser()
        for sent in [sent for pipeline in several for sent in pipeline]:
            for _ in range(2):
                read([sent.raw], heads)
            tables: list[dict[Any, Any]] = [heads.cached, *tables_of(heads)]
            for table in tables:
                assert len(table) <= entries
                assert all(len(key) <= size for key in table)


def test_heads_that_never_repeat_cost_a_bounded_memory() -> None:
    heads = HeadParser()
    for number in range(5000):
        for _ in range(2):
            heads.parse(b"GET /%d HTTP/1.1\r\nHost: a\r\nX-%d: y\r\n\r\n" % (number, number))
            if number < 100:
                heads.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: %d%b\r\n\r\n" % (number, b"y" * 2048))
    assert 0 < len(heads.cached) <= 512
    assert max(map(len, heads.cached)) <= 2048
    for table in tables_of(heads):
        assert len(table) <= 2048
        assert max(map(len, table), default=0) <= 256
    assert len(heads._seen) <= 4096
    assert len(heads.latest) <= 8192


def test_a_head_seen_before_is_the_same_object() -> None:
    heads = HeadParser()
    told = []
    for _ in range(4):
        parser = RequestParser(heads)
        parser.feed(GET)
        told.append(parser.next_event())
    assert told[3] is told[2]


# Work: counted, not timed

def calls_of(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, `work` calls."""
    count = 0

    def note(frame: FrameType, kind: str, argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


class Tally:
    """How many bytes were looked at or copied by the slices and searches of counting buffers."""

    def __init__(self) -> None:
        self.octets = 0

    def buffers(self) -> tuple[type[bytes], type[bytearray]]:
        """`bytes` and `bytearray` that count here."""
        tally = self

        class CountingBytes(bytes):
            def __getitem__(self, index: SupportsIndex | slice) -> Any:
                found = super().__getitem__(index)
                tally.octets += len(found) if isinstance(found, bytes) and found is not self else 1
                return CountingBytes(found) if isinstance(found, bytes) else found

            def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
                return tally.found(super().find(sub, start, end), start, len(self) if end is None else end)

        class CountingByteArray(bytearray):
            def __getitem__(self, index: SupportsIndex | slice) -> Any:
                found = super().__getitem__(index)
                tally.octets += len(found) if isinstance(found, bytearray) else 1
                return found

            def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
                return tally.found(super().find(sub, start, end), start, len(self) if end is None else end)

            def count(self, sub: Any, start: Any = 0, end: Any = None) -> int:
                tally.octets += (len(self) if end is None else min(end, len(self))) - start
                return super().count(sub, start, end)

            def __add__(self, other: Any) -> bytearray:
                return CountingByteArray(super().__add__(other))

        return CountingBytes, CountingByteArray

    def found(self, place: int, start: int, end: int) -> int:
        self.octets += (place if place >= 0 else end) - start
        return place


def linear(work: Callable[[int], object], size: int) -> bool:
    """Whether twice the size is at most about twice the work."""
    work(size)  # what is imported and cached on first use
    return calls_of(lambda: work(2 * size)) <= 2.2 * calls_of(lambda: work(size)) + 200


def long_head(size: int, line: int = 20) -> bytes:
    begin = b"GET /%b HTTP/1.1\r\nHost: a\r\n" % (b"a" * line)
    return begin + b"X: 45678\r\n" * ((size - len(begin) - 2) // 10) + b"\r\n"


def test_a_long_head_in_single_bytes_costs_calls_in_proportion() -> None:
    bounds = Limits(fields=10_000)

    def work(size: int) -> None:
        assert requests_in(read(byte_by_byte(long_head(size)), bounds))
    assert linear(work, 15_000)


@pytest.mark.parametrize("line", [20, 8000])
def test_a_long_head_in_single_bytes_is_searched_once(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    counting, counting_array = tally.buffers()
    monkeypatch.setattr(stream, "bytearray", counting_array, raising=False)
    raw = long_head(30_000, line)
    assert requests_in(read(map(counting, byte_by_byte(raw)), Limits(fields=10_000)))
    assert len(raw) < tally.octets < 60 * len(raw)


def test_chunks_of_one_byte_cost_calls_in_proportion() -> None:
    def coded(count: int) -> bytes:
        return CHUNKED.partition(b"5;x")[0] + b"1\r\nx\r\n" * count + b"0\r\n\r\n"

    def at_once(count: int) -> None:
        assert read([coded(count)])[1] == ("data", b"x" * count)

    def in_single_bytes(count: int) -> None:
        assert read(byte_by_byte(coded(count)))[-1] == CLEAN_END
    assert linear(at_once, 10_000)
    assert linear(in_single_bytes, 2_000)


def test_a_chunk_line_that_grows_byte_by_byte_is_not_copied_more_than_its_bound() -> None:
    def work(count: int) -> None:
        chunk = b"1;" + b"e" * 200 + b"\r\nx\r\n"
        bounds = Limits(chunk_overhead=10**9)
        assert read(byte_by_byte(CHUNKED.partition(b"5;x")[0] + chunk * count + b"0\r\n\r\n"), bounds)[-1] == CLEAN_END
    assert linear(work, 20)


def test_a_hundred_thousand_tiny_fields_are_refused_after_a_bounded_look() -> None:
    def work(count: int) -> None:
        assert read([b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * count + b"\r\n"])[-1][1] == 431
    assert calls_of(lambda: work(100_000)) <= calls_of(lambda: work(20_000)) + 50 < 2000


def test_a_hundred_thousand_tiny_fields_that_are_allowed_cost_calls_in_proportion() -> None:
    bounds = Limits(fields=10**6, head=10**7)

    def work(count: int) -> None:
        fields = b"".join(b"a%d:\r\n" % number for number in range(count))
        assert requests_in(read([b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"], bounds))
    assert linear(work, 25_000)
    work(100_000)


def test_many_pipelined_requests_cost_calls_and_copies_in_proportion() -> None:
    assert linear(lambda count: read([GET * count]), 500)
    tally = Tally()
    counting, _ = tally.buffers()
    assert len(requests_in(read([counting(GET * 1000)]))) == 1000
    assert tally.octets < 8 * 1000 * len(GET)


def test_a_counted_body_is_copied_at_most_once() -> None:
    tally = Tally()
    counting, _ = tally.buffers()
    body = b"x" * 100_000
    begin = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    told = read([counting(begin + body[:50_000]), counting(body[50_000:70_000]), counting(body[70_000:])])
    assert told[1] == ("data", body)
    assert tally.octets <= len(body) + 8 * len(begin)


def test_data_that_fills_a_whole_feed_is_not_copied() -> None:
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
    parser.next_event()
    for piece in (b"x" * 1000, b"y" * 1000):
        parser.feed(piece)
        event = parser.next_event()
        assert isinstance(event, BodyData)
        assert event.data is piece


# A body that has come already

class Impatient(RequestParser):
    """Tells of whole bodies that have come already by one event and their end."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = False

    def next_event(self) -> RequestEvent:
        if self._ended:
            self._ended = False
            return END
        body = self.take_body()
        if body is None:
            return super().next_event()
        self._ended = True
        return BodyData(body) if body else self.next_event()


@given(st.data())
def test_a_body_that_is_taken_at_once_is_what_its_events_would_have_said(data: st.DataObject) -> None:
    sent = data.draw(pipelines())
    raw = b"".join([request.raw for request in sent])
    for pieces in [raw], data.draw(cuts(raw)):
        assert read_from(Impatient(), pieces) == read(pieces)


def test_a_body_that_has_come_is_taken_at_once_and_the_next_request_follows() -> None:
    parser = RequestParser()
    parser.feed(POST + GET)
    assert parser.take_body() is None
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.take_body() == b"hello"
    assert parser.take_body() is None
    assert isinstance(parser.next_event(), RequestHead)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is NEED_DATA


def test_what_is_left_of_a_body_is_taken_at_once_when_it_has_come() -> None:
    parser = RequestParser()
    parser.feed(POST[:-2])
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.take_body() is None
    event = parser.next_event()
    assert isinstance(event, BodyData)
    assert event.data == b"hel"
    parser.feed(POST[-2:] + POST[:3])
    assert parser.take_body() == b"lo"
    assert parser.pending == 3


def test_a_body_in_chunks_is_told_in_events_however_whole_it_is() -> None:
    parser = RequestParser()
    parser.feed(CHUNKED)
    parser.next_event()
    assert parser.take_body() is None
    assert isinstance(parser.next_event(), BodyData)
