"""One head: what a `HeadParser` makes of it. What it refuses is in `test_hostile.py`, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import HeadParser, Limits, ProtocolError, RequestHead, rules
from evloop_http.http1.strategies import SentRequest, hosts, requests, tokens
from evloop_http.http1.target import is_host
from reading import meant, seen


def parse(*lines: str, limits: Limits | None = None) -> RequestHead:
    """The head of these lines, the first of them the request line."""
    return HeadParser(limits).parse("\r\n".join([*lines, "", ""]).encode("latin-1"))


def refused(*lines: str) -> tuple[rules.Rule, int]:
    """The rule that these lines break, and where."""
    with pytest.raises(ProtocolError) as caught:
        parse(*lines)
    [rule] = [rule for rule in vars(rules).values() if isinstance(rule, rules.Rule) and str(rule) == caught.value.rule]
    assert (caught.value.status, caught.value.message) == (rule.status, rule.sentence)
    return rule, caught.value.offset


def test_a_head_says_what_was_asked() -> None:
    head = parse("GET /a%20b?c=d HTTP/1.1", "Host: example.com:81", "Accept: */*")
    assert (head.method, head.target, head.version) == ("GET", "/a%20b?c=d", "1.1")
    assert (head.path, head.query_string, head.authority) == ("/a b", "c=d", "example.com:81")
    assert head.headers.pairs() == [("Host", "example.com:81"), ("Accept", "*/*")]
    assert (head.content_length, head.keep_alive, head.expects_continue) == (0, True, False)
    assert repr(head) == "<RequestHead GET /a%20b?c=d HTTP/1.1>"


def test_the_authority_is_that_of_the_target_before_that_of_host() -> None:
    assert parse("GET http://b:82/ HTTP/1.1", "Host: a").authority == "b:82"
    assert parse("CONNECT b:443 HTTP/1.1", "Host: a").authority == "b:443"
    assert parse("GET / HTTP/1.0").authority == ""


def test_headers_of_a_head_are_joined_as_their_kind_allows() -> None:
    headers = parse("GET / HTTP/1.1", "Host: a", "Via: 1", "Cookie: a=1", "via: 2", "cookie: b=2", "Set-Cookie: x",
                    "Set-Cookie: y").headers
    assert headers["via"] == "1, 2"
    assert headers["cookie"] == "a=1; b=2"
    assert headers["set-cookie"] == "x"
    assert headers.get_all("SET-COOKIE") == ["x", "y"]


@pytest.mark.parametrize(("version", "option", "kept"), [
    ("1.1", None, True), ("1.1", "close", False), ("1.1", "Close", False), ("1.1", "keep-alive", True),
    ("1.1", "upgrade,close", False), ("1.1", "close\t,x", False), ("1.1", "disclose", True), ("1.1", "", True),
    ("1.1", "keep-alive, close", False), ("1.0", None, False), ("1.0", "keep-alive", True), ("1.0", "x, KEEP-alive ",
        True),
    ("1.0", "keep-alivex", False), ("1.0", "keep-alive,close", False), ("1.0", "close", False)])
def test_a_connection_is_kept_as_its_version_and_its_options_say(version: str, option: str | None, kept: bool) -> None:
    lines = [] if option is None else [f"Connection: {option}"]
    assert parse(f"GET / HTTP/{version}", "Host: a", *lines).keep_alive is kept


def test_options_of_several_connection_fields_count_together() -> None:
    assert not parse("GET / HTTP/1.1", "Host: a", "Connection: x", "Connection: close").keep_alive
    assert not parse("GET / HTTP/1.1", "Host: a", "Connection: close", "Connection: x").keep_alive


@pytest.mark.parametrize(("version", "lines", "length", "expects"), [
    ("1.1", [], 0, False),
    ("1.1", ["Expect: 100-continue"], 0, False),
    ("1.1", ["Expect: 100-continue", "Content-Length: 0"], 0, False),
    ("1.1", ["Expect: 100-CONTINUE", "Content-Length: 7"], 7, True),
    ("1.1", ["Expect: 100-continue", "Transfer-Encoding: chunked"], None, True),
    ("1.0", ["Expect: 100-continue", "Content-Length: 7"], 7, False)])
def test_a_continue_is_waited_for_only_where_a_body_follows(
        version: str, lines: list[str], length: int | None, expects: bool) -> None:
    head = parse(f"POST / HTTP/{version}", "Host: a", *lines)
    assert (head.content_length, head.expects_continue) == (length, expects)


@pytest.mark.parametrize(("lines", "rule", "offset"), [
    (["GET /"], rules.REQUEST_LINE, 0),
    (["G/T / HTTP/1.1"], rules.METHOD, 0),
    (["GET x HTTP/1.1"], rules.TARGET, 4),
    (["DELETE /%1 HTTP/1.1"], rules.PERCENT, 7),
    (["GET /a%00 HTTP/1.1"], rules.PATH_CONTROL, 4),
    (["DELETE /%0d%0AX?y HTTP/1.1"], rules.PATH_CONTROL, 7),
    (["get http://a/%0a HTTP/1.1"], rules.PATH_CONTROL, 4),
    (["GET / http/1.1"], rules.VERSION_FORM, 6),
    (["GET / HTTP/1.7"], rules.VERSION, 6),
    (["GET / HTTP/1.1", "X: y"], rules.HOST_MISSING, 0),
    (["GET / HTTP/1.1", "Host: a", "Host: a"], rules.FIELD_SINGLE, 0),
    (["GET / HTTP/1.1", "Host: a b"], rules.HOST_FORM, 16),
    (["GET / HTTP/1.1", "Host: a", "nothing"], rules.FIELD_LINE, 25),
    (["GET / HTTP/1.1", "Host: a", " X: y"], rules.FIELD_FOLD, 25),
    (["GET / HTTP/1.1", "Host: a", "X : y"], rules.FIELD_SPACE, 25),
    (["GET / HTTP/1.1", "Host: a", "X(: y"], rules.FIELD_NAME, 25),
    (["GET / HTTP/1.1", "Host: a", "X: y\x01"], rules.FIELD_VALUE, 29),
    (["GET / HTTP/1.1", "Host: a", "X\r: y"], rules.LINE_END, 25),
    (["GET / HTTP/1.1", "Host: a", "Expect: x"], rules.EXPECT, 0),
    (["POST / HTTP/1.1", "Host: a", "Content-Length: x"], rules.LENGTH_FORM, 26),
    (["POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"], rules.LENGTH_AND_CODING, 0),
    (["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: x, chunked"], rules.CODING_UNKNOWN, 0),
    (["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: x"], rules.CODING_FINAL, 0),
    (["POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"], rules.CODING_1_0, 0),
    (["POST / HTTP/1.1", "Host: a", "Content-Length: 10485761"], rules.BODY_LARGE, 0)])
def test_each_rule_of_a_head_is_named_with_its_place(lines: list[str], rule: rules.Rule, offset: int) -> None:
    assert refused(*lines) == (rule, offset)
    assert refused(*lines) == (rule, offset), "a second time, with what was cached of the first"


def test_of_two_broken_lines_the_first_is_named() -> None:
    assert refused("GET / HTTP/1.1", "Host: a", "X : y", "Y") == (rules.FIELD_SPACE, 25)
    assert refused("GET x HTTP/1.1", "Host : a") == (rules.TARGET, 4)


def test_the_limit_of_fields_is_refused_and_not_cut_to() -> None:
    limits = Limits(fields=2)
    assert len(parse("GET / HTTP/1.1", "Host: a", "X: y", limits=limits).headers) == 2
    with pytest.raises(ProtocolError) as caught:
        parse("GET / HTTP/1.1", "Host: a", "X: y", "Content-Length: 5", limits=limits)
    assert caught.value.status == 431


def test_the_limit_of_a_body_is_that_of_the_limits() -> None:
    limits = Limits(body=5)
    assert parse("POST / HTTP/1.1", "Host: a", "Content-Length: 5", limits=limits).content_length == 5
    with pytest.raises(ProtocolError) as caught:
        parse("POST / HTTP/1.1", "Host: a", "Content-Length: 6", limits=limits)
    assert caught.value.status == 413


def test_trailers_are_fields_without_those_that_frame_route_or_describe() -> None:
    trailers = HeadParser().parse_trailers(b"A: 1\r\nContent-Length: 5\r\na: 2\r\nTransfer-Encoding: x\r\n\r\n")
    assert trailers.pairs() == [("A", "1"), ("a", "2")]
    assert trailers["a"] == "1, 2"


def test_too_many_trailers_are_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        HeadParser(Limits(fields=2)).parse_trailers(b"A: 1\r\nB: 2\r\nC: 3\r\n\r\n")
    assert (caught.value.status, caught.value.offset) == (431, 12)


def test_a_head_that_is_shared_cannot_be_changed_through_its_headers() -> None:
    heads = HeadParser()
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    headers = heads.parse(raw).headers
    assert not hasattr(headers, "__setitem__")
    assert not hasattr(headers, "add")
    assert isinstance(headers.fields, tuple)
    assert headers.pairs() is not headers.pairs()
    headers.pairs().append(("X", "y"))
    headers.get_all("host").append("b")
    assert heads.parse(raw).headers.pairs() == [("Host", "a")]


def test_looking_up_a_field_that_is_not_there_leaves_no_trace() -> None:
    heads = HeadParser()
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(3):
        headers = heads.parse(raw).headers
        assert headers.get("x") is None
        assert "x" not in headers
        assert list(headers) == ["Host"]


@given(requests())
def test_a_head_parsed_again_and_again_is_the_same_head(sent: SentRequest) -> None:
    raw = sent.raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    heads = HeadParser()
    for _ in range(4):
        assert seen(heads.parse(raw)) == meant(sent)[0]
        assert seen(heads.parse(bytes(bytearray(raw)))) == meant(sent)[0]


@given(st.lists(requests(), min_size=2, max_size=3))
def test_heads_that_share_lines_do_not_mix(several: list[SentRequest]) -> None:
    heads = HeadParser()
    for _ in range(3):
        for sent in several:
            raw = sent.raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            assert seen(heads.parse(raw)) == meant(sent)[0]


def test_what_two_heads_disagree_on_is_not_cached_from_the_other() -> None:
    """A line is cached by itself; its meaning together with others, or in another version, is not."""
    heads = HeadParser()
    for _ in range(3):
        for version, kept in [(b"1.1", True), (b"1.0", False)]:
            head = heads.parse(b"POST / HTTP/" + version + b"\r\nHost: a\r\nConnection: x\r\nContent-Length: 3\r\n\r\n")
            assert (head.keep_alive, head.content_length) == (kept, 3)
        with pytest.raises(ProtocolError):
            heads.parse(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert heads.parse(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").content_length is None


# Hosts

@given(hosts())
def test_every_host_of_the_grammar_is_one(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", [
    "", ":", ":80", "a b", "a/b", "a?b", "a#b", "a@b", "a\\b", "a:b", "a:1:2", "a:99999", "a:65536", "a:+1", "a:\u0661",
        "é",
    "[]", "[a]", "[::1", "::1]", "[::1]]", "[::1]a", "[::1%25lo]", "[::1%lo]", "[1.2.3.4]", "[v1.a]", "%", "%4", "%zz",
        "a%20b", "%61", "a%61:80",
        "a\n", "a\0"])
def test_what_is_no_host_is_none(host: str) -> None:
    assert not is_host(host)


@given(st.text(max_size=12) | tokens())
def test_a_host_is_made_of_ascii_that_needs_no_escaping(text: str) -> None:
    if is_host(text):
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set(" /?#@\\<>\"^`{|}")
