"""The rules: the page of them and the code agree, each can be broken, and none says what the peer sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from evloop_http import http1
from evloop_http.http1 import CLOSED, Limits, ProtocolError, RequestParser, ResponseParser, rules
from evloop_http.http1.rules import Rule
from hostile import TABLES, chunks, post, request, to

RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, Rule)}

#: Responses that are refused: what is asked, what comes, and the rule.
RESPONSES = [
    ("GET", b"HTTP/1.1  200 OK\r\n\r\n", rules.STATUS_LINE),
    ("GET", b"HTTP/1.1 2x0 OK\r\n\r\n", rules.STATUS_LINE),
    ("GET", b"HTTP/1.1 200 " + b"a" * 9000, rules.STATUS_LINE_LONG),
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" * 17, rules.INTERIM_MANY),
    ("", b"HTTP/1.1 200 OK\r\n\r\n", rules.UNASKED),
    ("HEAD", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", rules.UNASKED),
    # Rules that a request can break too: the status is another.
    ("GET", b"HTTP/1.1 200 OK\n\n", rules.LINE_END),
    ("GET", b"HTTP/2.0 200 OK\r\n\r\n", rules.VERSION),
    ("GET", b"ICY 200 OK\r\n\r\n", rules.VERSION_FORM),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", rules.INCOMPLETE),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", rules.CODING_UNKNOWN),
    ("GET", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", rules.FIELDS_MANY),
]

SMALL = Limits(request_line=30, head=60, fields=2, body=3, chunk_line=4, chunk_overhead=0)

#: Requests that are beyond `SMALL`, and the rule.
BEYOND = [
    (to(b"/" + b"a" * 30), rules.TARGET_LONG),
    (request(b"X: " + b"y" * 60), rules.HEAD_LONG),
    (request(b"X: y", b"Y: z"), rules.FIELDS_MANY),
    (post(b"Content-Length: 4"), rules.BODY_LARGE),
    (chunks(b"4\r\n"), rules.BODY_LARGE),
    (chunks(b"00001\r\n"), rules.CHUNK_LINE_LONG),
    (chunks(b"1\r\nx\r\n" * 4), rules.BODY_LARGE),
]


def broken(parser: RequestParser | ResponseParser, raw: bytes) -> ProtocolError | None:
    """What `parser` refuses these bytes for, with nothing behind them."""
    try:
        parser.feed(raw)
        parser.feed_eof()
        while parser.next_event() is not CLOSED:
            pass
    except ProtocolError as error:
        return error
    return None


def broken_by_response(asked: str, raw: bytes) -> ProtocolError | None:
    parser = ResponseParser()
    if asked:
        parser.expect(asked)
    return broken(parser, raw)


def hostile_lines() -> Iterable[bytes]:
    return [line.raw for lines in TABLES.values() for line in lines]


# The page

def groups_of_page() -> dict[str, list[str]]:
    """The lines of the page of rules under their headings."""
    assert http1.__doc__ is not None
    page = http1.__doc__.partition("\nThe rules\n")[2]
    found = re.findall(r"^(\S.*):\n((?:    .+\n)+)", page, re.MULTILINE)
    return {heading: [line.strip() for line in lines.splitlines()] for heading, lines in found}


def groups_of_code() -> dict[str, list[str]]:
    """The same, made of the constants and the comments above them."""
    source = Path(rules.__file__).read_text("utf-8")
    found = re.findall(r"^# (.+)\n((?:[A-Z_0-9]+ = Rule\(.+\n)+)", source, re.MULTILINE)
    return {heading: [row_of(RULES[name]) for name in re.findall(r"^[A-Z_0-9]+", lines, re.MULTILINE)]
            for heading, lines in found}


def row_of(rule: Rule) -> str:
    return f"{rule.status}  {rule.section:<18} {rule.sentence}"


def test_the_page_has_every_rule_once_under_its_heading_and_nothing_else() -> None:
    page = groups_of_page()
    assert page == groups_of_code()
    assert sorted(row for rows in page.values() for row in rows) == sorted(map(row_of, RULES.values()))
    assert len(re.findall(r"^ +[0-9]{3} ", http1.__doc__ or "", re.MULTILINE)) == len(RULES)


def test_a_sentence_is_that_of_one_rule_only() -> None:
    assert len({rule.sentence for rule in RULES.values()}) == len(RULES)


def test_a_rule_has_a_status_a_section_and_a_sentence_without_its_full_stop() -> None:
    for rule in RULES.values():
        assert rule.status in (400, 413, 414, 417, 431, 501, 502, 505)
        assert re.fullmatch(r"RFC [0-9]{4} §[0-9]+(\.[0-9]+)*", rule.section)
        assert rule.sentence.isprintable()
        assert not rule.sentence.endswith(".")


# Breaking them

def test_every_rule_is_broken_by_some_line() -> None:
    errors = [broken(RequestParser(), raw) for raw in hostile_lines()]
    errors += [broken(RequestParser(SMALL), raw) for raw, _ in BEYOND]
    errors += [broken_by_response(asked, raw) for asked, raw, _ in RESPONSES]
    assert {error.rule for error in errors if error is not None} == set(map(str, RULES.values()))


def test_the_rules_that_are_for_responses_alone_are_broken_by_no_request() -> None:
    errors = [broken(RequestParser(), raw) for raw in hostile_lines()]
    assert 502 not in [error.status for error in errors if error is not None]
    seen = {error.rule for error in errors if error is not None}
    assert set(map(str, RULES.values())) - seen == {str(rule) for rule in RULES.values() if rule.status == 502}


@pytest.mark.parametrize(("asked", "raw", "rule"), RESPONSES)
def test_a_response_that_breaks_a_rule_is_a_502_whatever_the_rule_says(asked: str, raw: bytes, rule: Rule) -> None:
    error = broken_by_response(asked, raw)
    assert error is not None
    assert (error.status, error.rule, error.message) == (502, str(rule), rule.sentence)
    assert str(error) == f"502: {rule} (at byte {error.offset})"


@pytest.mark.parametrize(("raw", "rule"), BEYOND)
def test_what_is_beyond_a_limit_breaks_the_rule_of_that_limit(raw: bytes, rule: Rule) -> None:
    error = broken(RequestParser(SMALL), raw)
    assert error is not None
    assert (error.status, error.rule) == (rule.status, str(rule))


def test_no_error_says_what_the_peer_sent() -> None:
    """Each line again with a letter in it that no sentence of ours has."""
    for raw in [*hostile_lines(), *(raw for raw, _ in BEYOND), *(raw for _, raw, _ in RESPONSES)]:
        marked = re.sub(rb"hello|evil|secret|user|a|X", b"\xd0\xd0", raw)
        for error in (broken(RequestParser(), marked), broken_by_response("GET", marked)):
            if error is None:
                continue
            assert error.rule in set(map(str, RULES.values()))
            assert str(error) == f"{error.status}: {error.rule} (at byte {error.offset})"
            assert error.sentence == f"{error.message[0].upper()}{error.message[1:]} ({error.rule.partition(':')[0]})."
            assert "\xd0" not in f"{error!r}{error}{error.sentence}{error.args}"
