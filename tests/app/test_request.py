"""What a handler sees of a request: text, JSON, forms, cookies, the browser."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE, make_request
from evloop_http import Headers, HTTPError, Request
from evloop_http.messages import RequestHead

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def with_body(body: bytes, content_type: str | None = None) -> Request:
    return make_request("POST", "/", {} if content_type is None else {"Content-Type": content_type}, body)


def status_of(ask: Any, *args: Any) -> int:
    with pytest.raises(HTTPError) as caught:
        ask(*args)
    return caught.value.status


def test_a_request_tells_what_came_over_the_wire() -> None:
    request = make_request("PUT", "/a%20b/%C3%BC?x=1&y=&x=2&z", {"X-One": "1", "x-one": "2"}, b"body")
    assert (request.method, request.path, request.target) == ("PUT", "/a b/ü", "/a%20b/%C3%BC?x=1&y=&x=2&z")
    assert (request.version, request.client, request.scheme) == ("1.1", "192.0.2.7", "http")
    assert (request.host, request.url) == ("test.example:8080", f"http://test.example:8080{request.target}")
    assert (request.headers["X-ONE"], request.body) == ("1, 2", b"body")
    assert (request.query["x"], request.query.get_all("x"), request.query["y"]) == ("1", ["1", "2"], "")
    assert list(request.query) == ["x", "y", "z"]
    assert request.query.get("x", 0, int) == 1
    assert request.query.get("nothing") is None


def test_only_an_ampersand_separates_parameters() -> None:
    assert dict(make_request("GET", "/?a=1;b=2&c=%26").query) == {"a": "1;b=2", "c": "&"}


def test_a_request_may_be_given_attributes_of_ones_own() -> None:
    request: Any = make_request()
    request.user = "ada"
    assert request.user == "ada"


# -- text


@pytest.mark.parametrize(("content_type", "body", "text"), [
    (None, "ü".encode(), "ü"),
    ("text/plain", "ü".encode(), "ü"),
    ("text/plain; charset=ISO-8859-1", b"\xfc", "ü"),
    ('text/plain; Charset="utf-16"', "ü".encode("utf-16"), "ü"),
    ("text/plain; format=flowed; charset=cp1252", b"\x80", "€"),
    ("text/plain; charset=", "ü".encode(), "ü"),
])
def test_text_is_read_by_its_charset(content_type: str | None, body: bytes, text: str) -> None:
    assert with_body(body, content_type).text == text


@pytest.mark.parametrize(("charset", "status"), [
    ("utf-8", 400), ("ascii", 400), ("utf-16", 400),
    ("klingon", 415), ("..", 415), ("/etc/passwd", 415), ("\xfc", 415),
    # Codecs of Python's own that are no charsets: some are not of text, one takes quadratic time, one always fails.
    ("hex", 415), ("rot13", 415), ("zlib", 415), ("punycode", 415), ("idna", 415), ("unicode_escape", 415),
    ("undefined", 415),
])
def test_text_that_cannot_be_read_is_the_peers_fault(charset: str, status: int) -> None:
    assert status_of(lambda: with_body(b"\xff\xfe\xff", f"text/plain; charset={charset}").text) == status


@given(st.text(st.sampled_from("abzu-8TF\"\\;=, \t'\xfc"), max_size=40))
def test_any_content_type_gives_text_or_the_peers_fault(content_type: str) -> None:
    request = with_body(b"body", f"text/plain; charset={content_type}")
    try:
        outcome: str | int = request.text
    except HTTPError as error:
        outcome = error.status
    assert isinstance(outcome, str) or outcome in (400, 415)


# -- JSON


@pytest.mark.parametrize("content_type",
                         ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"])
def test_json_is_read_where_it_is_json(content_type: str) -> None:
    assert with_body('{"name": "ü"}'.encode(), content_type).json() == {"name": "ü"}


@pytest.mark.parametrize("content_type",
                         [None, "text/plain", "application/x-www-form-urlencoded", "json", "text/json;x"])
def test_json_of_another_type_is_415(content_type: str | None) -> None:
    # A page of another site can send these without asking, and JSON in the midst of it.
    assert status_of(with_body(b"{}", content_type).json) == 415


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"\xff", b"[" * 100_000, b"1" * 5000, b"nul", b"{} {}"])
def test_malformed_json_is_400(body: bytes) -> None:
    assert status_of(with_body(body, "application/json").json) == 400


@pytest.mark.parametrize("body", [b" {}", b"{} ", b"\r\n\t {}\r\n\t "])
def test_blanks_around_json_are_passed_over(body: bytes) -> None:
    assert with_body(body, "application/json").json() == {}


def test_json_beyond_its_own_limit_is_413() -> None:
    request = with_body(b"[1, 2, 3]", "application/json")
    assert request.json(limit=9) == request.json() == [1, 2, 3]
    assert status_of(lambda: request.json(limit=8)) == 413
    assert status_of(lambda: with_body(b"[1, 2, 3]", "text/plain").json(limit=8)) == 415


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_what_another_program_wrote_as_json_is_read_back(value: Any) -> None:
    assert with_body(json.dumps(value).encode(), "application/json").json() == value


# -- cookies


@pytest.mark.parametrize(("sent", "cookies"), [
    ("", {}),
    ("a=1", {"a": "1"}),
    ("a=1; b=2;c=3 ;  d=4", {"a": "1", "b": "2", "c": "3", "d": "4"}),
    ('a="quoted"; b=', {"a": "quoted", "b": ""}),
    ("a=b=c", {"a": "b=c"}),
    ("a=first; a=second", {"a": "first"}),
    ("=nameless; nothing; a=1; ==x", {"a": "1"}),
    # RFC 6265 §4.1.1: a pair of quotes, or none.
    ('a="x; b=x"; c="; d=""; e="""', {"a": '"x', "b": 'x"', "c": '"', "d": "", "e": '"'}),
    ('a="E=mc2; b= "y" ', {"a": '"E=mc2', "b": "y"}),
])
def test_cookies_are_read_by_name(sent: str, cookies: dict[str, str]) -> None:
    assert make_request(headers={"Cookie": sent}).cookies == cookies


@pytest.mark.parametrize(("sent", "cookies"), [
    ("a=André".encode(), {"a": "André"}), ("a=日本; é=\"ü\"".encode(), {"a": "日本", "é": "ü"}),
    ("a=André".encode("latin-1"), {"a": "André"}), (b"a=\xc3", {"a": "\xc3"}),
    (b"a=\xed\xa0\x80", {"a": "\xed\xa0\x80"}),
    # One cookie says nothing about the next, which may be of another program.
    ("a=é; ".encode() + b"b=\xe9", {"a": "é", "b": "é"}),
])
def test_cookies_are_read_as_utf_8_or_else_as_latin_1(sent: bytes, cookies: dict[str, str]) -> None:
    assert make_request(headers={"Cookie": sent.decode("latin-1")}).cookies == cookies


def test_cookies_may_come_in_several_fields() -> None:
    assert make_request(headers=[("Cookie", "a=1"), ("Cookie", "b=2")]).cookies == {"a": "1", "b": "2"}


def calls_for(cookies: int) -> int:
    """How many functions, of Python and of C, are called to read so many cookies."""
    header = "; ".join([f"name{number}=value" for number in range(cookies)] + ["=nameless", "nothing"])
    request = Request(RequestHead("GET", "/", "1.1", Headers({"Cookie": header}), "/"))
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = request.cookies
    finally:
        sys.setprofile(before)
    assert len(found) == cookies
    return calls


def test_the_work_for_cookies_grows_as_they_do() -> None:  # CVE-2024-7592: quadratic
    few, many = calls_for(1_000), calls_for(100_000)
    assert 10 < few / 1_000 * 99 <= many / 1_000 <= few / 1_000 * 100


def test_reading_cookies_takes_memory_for_them_and_no_more() -> None:
    def peak(cookies: int) -> int:
        header = ";".join(["a=1"] * cookies)
        request = Request(RequestHead("GET", "/", "1.1", Headers({"Cookie": header}), "/"))
        tracemalloc.start()
        try:
            assert request.cookies == {"a": "1"}
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(100_000) < 20 * peak(10_000)


# -- what the client accepts


@pytest.mark.parametrize(("accepted", "answers"), [
    (None, True), ("application/json", True), ("*/*", True), ("application/*;q=0.1", True), ("text/html", False),
    ("application/json;q=0", False), ("*/*, application/json;q=0", False), ("application/json;q=0.001", True),
    ("text/html, application/*;q=0", False)])
def test_a_type_is_accepted_by_the_most_exact_name_for_it(accepted: str | None, answers: bool) -> None:
    request = make_request(headers={} if accepted is None else {"Accept": accepted})
    assert request.accepts("application/json") is answers


@pytest.mark.parametrize(("accepted", "chosen"), [
    (None, "text/html"), ("*/*", "text/html"), ("application/json, text/html;q=0.9", "application/json"),
    ("text/plain", None), ("text/html;q=0, */*", "application/json")])
def test_the_type_that_is_liked_best_is_chosen(accepted: str | None, chosen: str | None) -> None:
    request = make_request(headers={} if accepted is None else {"Accept": accepted})
    assert request.prefers("text/html", "application/json") == chosen
    assert make_request().prefers() is None


# -- forms: see test_forms.py


def test_a_form_is_read_once_and_is_empty_where_there_is_no_body() -> None:
    request = with_body(b"a=1", "application/x-www-form-urlencoded")
    assert request.form is request.form
    assert dict(make_request("POST").form) == {}
    assert dict(make_request("POST").files) == {}


def test_what_a_request_does_not_have_is_an_attribute_error_as_anywhere() -> None:
    request: Any = make_request()
    with pytest.raises(AttributeError, match="'Request' object has no attribute 'nothing'"):
        _ = request.nothing
    assert not hasattr(request, "user")


# -- the browser


@pytest.mark.parametrize(("agent", "name"), [
    (FIREFOX, "Firefox"),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome"),
    ("curl/8.5.0", "curl"),
    ("nobody ever heard of this", "your browser"),
    ("", "your browser"),
])
def test_the_browsers_name_is_read_out_of_user_agent(agent: str, name: str) -> None:
    request = make_request(headers={"User-Agent": agent})
    assert (request.user_agent, request.browser) == (agent, name)


def test_a_client_without_user_agent_is_your_browser() -> None:
    assert (make_request().user_agent, make_request().browser) == ("", "your browser")


def test_only_the_beginning_of_a_long_user_agent_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def parse(agent: str) -> None:
        lengths.append(len(agent))
    monkeypatch.setattr("ua_parser.parse_user_agent", parse)
    for length in (10, 256, 257, 31_000):
        assert make_request(headers={"User-Agent": "a" * length}).browser == "your browser"
    assert lengths == [10, 256, 256, 256]


def test_without_its_library_the_browsers_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    with pytest.raises(RuntimeError, match=r"evloop-http\[browser\]"):
        _ = make_request().browser


def test_a_form_that_is_still_arriving_holds_up_the_form_of_no_other_request() -> None:
    form = "application/x-www-form-urlencoded"
    other, arriving = with_body(b"a=1", form), with_body(b"", form)

    def pieces(loop: ThreadPoolExecutor) -> Iterator[bytes]:
        yield b"b="
        yield loop.submit(lambda: other.form["a"]).result(PATIENCE).encode()

    with ThreadPoolExecutor(1) as loop:
        arriving.receive(pieces(loop))
        assert arriving.form["b"] == "1"


def test_what_is_worked_out_once_is_kept_and_may_be_set_and_forgotten() -> None:
    request = make_request(headers={"Cookie": "a=1"})
    assert request.cookies is request.cookies == {"a": "1"}
    request.cookies = {"b": "2"}
    assert request.cookies == {"b": "2"}
    del request.cookies
    assert request.cookies == {"a": "1"}
    assert "Cookies by name" in str(Request.cookies.__doc__)
