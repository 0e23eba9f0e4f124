"""The vocabulary: headers, dictionaries of several values, requests, responses, errors."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import HeadParser
from evloop_http.http1.strategies import as_cased, field_names, field_values
from evloop_http.messages import (
    FileBody,
    Headers,
    HTTPError,
    MultiDict,
    MutableHeaders,
    Origin,
    Peer,
    Request,
    Response,
    is_field_value,
    is_token,
    parse_urlencoded,
)


def pairs(max_size: int = 6) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Some fields; names repeat, in one case and another."""
    names = field_names() | st.sampled_from(["Set-Cookie", "set-cookie", "Cookie", "Vary", "VARY"])
    return st.lists(st.tuples(names, field_values()), max_size=max_size)


def request(target: str = "/", *lines: str, method: str = "GET", host: str = "a", scheme: str = "http") -> Request:
    raw = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")
    return Request(HeadParser().parse(raw), b"body", Peer("127.0.0.1", 50000, Origin(scheme=scheme)))


# Headers

def test_headers_are_found_in_any_case_and_keep_theirs() -> None:
    headers = Headers({"Content-Type": "a/b", "x-Y": "z"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "a/b"
    assert "X-y" in headers
    assert headers.get("missing") is None
    assert headers.get("missing", "x") == "x"
    assert list(headers) == ["Content-Type", "x-Y"]
    assert dict(headers) == {"Content-Type": "a/b", "x-Y": "z"}
    assert headers.pairs() == [("Content-Type", "a/b"), ("x-Y", "z")]


def test_a_missing_header_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Headers()["x"]
    assert not Headers({"x": "y"}).__contains__(1)


def test_repeated_headers_are_joined_as_their_kind_allows() -> None:
    headers = Headers([("Vary", "a"), ("Cookie", "a=1"), ("vary", "b"), ("cookie", "b=2"), ("Set-Cookie", "c=3, x"),
                       ("set-cookie", "d=4"), ("VARY", "")])
    assert headers["vary"] == "a, b, "
    assert headers["cookie"] == "a=1; b=2"
    assert headers["set-cookie"] == "c=3, x"
    assert headers.get_all("Set-COOKIE") == ["c=3, x", "d=4"]
    assert headers.get_all("missing") == []
    assert len(headers) == 3
    assert list(headers) == ["Vary", "Cookie", "Set-Cookie"]
    assert len(headers.pairs()) == 7


def test_headers_are_equal_if_their_fields_are_names_in_any_case() -> None:
    assert Headers({"A": "b"}) == Headers([("a", "b")])
    assert Headers({"A": "b"}) == MutableHeaders({"a": "b"})
    assert Headers({"A": "b"}) != Headers({"A": "B"})
    assert Headers([("A", "b"), ("C", "d")]) != Headers([("C", "d"), ("A", "b")])
    assert Headers({"A": "b"}) != {"A": "b"}


def test_headers_cannot_be_changed_and_so_hold_no_hash() -> None:
    headers = Headers({"A": "b"})
    with pytest.raises(TypeError):
        headers["A"] = "c"  # type: ignore[index]
    with pytest.raises(TypeError):
        hash(headers)
    with pytest.raises(AttributeError):
        headers.extra = 1  # type: ignore[attr-defined]


def test_the_repr_of_headers_shows_every_field() -> None:
    assert repr(Headers([("A", "b"), ("a", "c")])) == "Headers([('A', 'b'), ('a', 'c')])"
    assert repr(MutableHeaders({"A": "b"})) == "MutableHeaders([('A', 'b')])"


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", ":a", "a\r\nb", "a\n", "a\0", "\xe9",
                                  "a/b", "a,b", '"a"',
    "a\x7f",
    "\uff41"])
def test_a_name_that_is_no_token_is_no_header(name: str) -> None:
    assert not is_token(name)
    with pytest.raises(ValueError, match="token"):
        Headers({name: "x"})
    with pytest.raises(ValueError, match="token"):
        MutableHeaders().add(name, "x")
    with pytest.raises(ValueError, match="token"):
        MutableHeaders()[name] = "x"


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nb", "\r\n", "a\0", "\x0bx", "x\x0c",
                                   "\x1b[31m", "\x7f",
    "\u0100",
    "\u2028", "\ud800"])
def test_a_value_with_a_control_character_is_no_header(value: str) -> None:
    assert not is_field_value(value)
    with pytest.raises(ValueError, match="X-Name"):
        Headers([("X-Name", value)])
    with pytest.raises(ValueError, match="X-Name"):
        MutableHeaders().update({"X-Name": value})
    headers = MutableHeaders({"X-Name": "kept"})
    with pytest.raises(ValueError, match="X-Name"):
        headers["X-Name"] = value
    assert headers["X-Name"] == "kept"


def test_the_error_of_a_header_does_not_repeat_its_value() -> None:
    with pytest.raises(ValueError, match="X-Name") as caught:
        Headers({"X-Name": "secret\n"})
    assert "secret" not in str(caught.value)


def test_whitespace_around_a_value_is_not_part_of_it_and_other_bytes_are() -> None:
    assert Headers({"a": " \tb c\t "})["a"] == "b c"
    assert Headers({"a": "\xa0b\x85"})["a"] == "\xa0b\x85"


@given(pairs(), as_cased("Vary"))
def test_headers_agree_with_a_list_of_pairs(fields: list[tuple[str, str]], name: str) -> None:
    headers = Headers(fields)
    assert headers.pairs() == fields
    assert headers.get_all(name) == [value for found, value in fields if found.lower() == "vary"]
    assert (name in headers) == bool(headers.get_all(name))
    assert headers.get(name) == (", ".join(headers.get_all(name)) if headers.get_all(name) else None)
    first = {found.lower(): found for found, _ in reversed(fields)}
    assert set(headers) == set(first.values())
    assert len(headers) == len(first)
    assert Headers(headers).pairs() == fields
    assert Headers(headers) == headers


def test_a_name_that_repeats_costs_in_proportion() -> None:
    """CVE-2025-67725: joining one by one copies what is joined already, again and again."""
    copied = 0

    class Counting(str):
        def __add__(self, other: str) -> Counting:
            nonlocal copied
            copied += len(self) + len(other)
            return Counting(str(self) + str(other))

        def __radd__(self, other: str) -> Counting:
            return Counting(other) + str(self)

    fields = tuple(("x", ("X", Counting("y" * 10))) for _ in range(2000))
    assert len(Headers.from_fields(fields)["x"]) == 2000 * 12 - 2
    assert copied <= 5 * 2000 * 12


# Headers that change

def test_setting_a_header_takes_the_place_of_all_of_its_name() -> None:
    headers = MutableHeaders([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers["a"] == "1, 3"
    headers["a"] = "4"
    assert headers["A"] == "4"
    assert sorted(headers.pairs()) == [("B", "2"), ("a", "4")]


def test_adding_keeps_the_others_of_its_name() -> None:
    headers = MutableHeaders({"Set-Cookie": "a"})
    headers.add("set-cookie", "b")
    assert headers.get_all("Set-Cookie") == ["a", "b"]


def test_deleting_takes_all_of_a_name() -> None:
    headers = MutableHeaders([("A", "1"), ("B", "2"), ("a", "3")])
    del headers["a"]
    assert headers.pairs() == [("B", "2")]
    assert "A" not in headers
    with pytest.raises(KeyError):
        del headers["a"]


def test_a_default_is_set_only_where_nothing_is() -> None:
    headers = MutableHeaders({"A": "1"})
    assert headers.setdefault("a", "2") == "1"
    assert headers.setdefault("b", " 2 ") == "2"
    assert headers.pairs() == [("A", "1"), ("b", "2")]


def test_headers_are_completed_with_what_is_missing() -> None:
    headers = MutableHeaders([("a", "1"), ("B", "2")])
    assert "c" not in headers
    headers.complete(Headers([("A", "x"), ("c", "3"), ("d", "4"), ("c", "5")]).fields)
    assert headers.pairs() == [("a", "1"), ("B", "2"), ("c", "3"), ("d", "4"), ("c", "5")]
    assert headers["c"] == "3, 5"


def test_updating_takes_the_place_of_old_fields_and_keeps_all_of_the_new() -> None:
    headers = MutableHeaders([("A", "1"), ("Set-Cookie", "old")])
    headers.update([("set-cookie", "b"), ("Set-Cookie", "c")])
    assert headers.get_all("set-cookie") == ["b", "c"]
    assert headers["a"] == "1"
    headers.update(Headers([("Set-Cookie", "d"), ("Set-Cookie", "e")]))
    assert headers.get_all("set-cookie") == ["d", "e"]
    headers.update({})
    assert len(headers.pairs()) == 3


def test_a_change_is_seen_at_once() -> None:
    headers = MutableHeaders({"A": "1"})
    assert headers["a"] == "1"
    headers.add("A", "2")
    assert headers["a"] == "1, 2"
    headers["A"] = "3"
    assert headers["a"] == "3"


def test_changing_headers_made_of_shared_fields_changes_nothing_else() -> None:
    first, second = Response("x"), Response("x")
    first.headers["Content-Type"] = "a/b"
    first.headers.add("X", "y")
    assert second.headers.pairs() == Response("x").headers.pairs()


# Names with several values

def test_a_multidict_reads_as_the_first_value_and_keeps_all() -> None:
    several = MultiDict([("a", "1"), ("b", "2"), ("a", "3")])
    assert several["a"] == "1"
    assert several.get_all("a") == ["1", "3"]
    assert several.get_all("c") == []
    assert list(several) == ["a", "b"]
    assert len(several) == 2
    assert "b" in several
    assert dict(several) == {"a": "1", "b": "2"}
    assert repr(several) == "MultiDict([('a', '1'), ('a', '3'), ('b', '2')])"
    with pytest.raises(KeyError):
        several["c"]


def test_a_multidict_converts_or_falls_back() -> None:
    several = MultiDict([("a", "12"), ("b", "x")])
    assert several.get("a", 0, type=int) == 12
    assert several.get("b", 7, type=int) == 7
    assert several.get("c", 7, type=int) == 7
    assert several.get("a") == "12"
    assert several.get("c") is None
    assert several.get("c", "d") == "d"


def test_the_list_of_a_multidict_is_a_copy() -> None:
    several = MultiDict([("a", "1")])
    several.get_all("a").append("2")
    assert several.get_all("a") == ["1"]


@pytest.mark.parametrize(("text", "expected"), [
    ("", []), ("a=1&b=2", [("a", "1"), ("b", "2")]), ("a=1&a=2", [("a", "1"), ("a", "2")]), ("a", [("a", "")]),
    ("a=", [("a", "")]), ("=1", [("", "1")]), ("a=b=c", [("a", "b=c")]), ("a+b=c%20d%2B", [("a b", "c d+")]), ("&&a=1&",
        [("a", "1")]),
    ("a=1;b=2", [("a", "1;b=2")]), ("a=%C3%A9", [("a", "\xe9")]), ("a=%ff", [("a", "\ufffd")]), ("a=%zz", [("a",
        "%zz")])])
def test_only_an_ampersand_separates_parameters(text: str, expected: list[tuple[str, str]]) -> None:
    """CVE-2020-28473: a semicolon that separates lets one cache see other parameters than another."""
    found = parse_urlencoded(text)
    assert [(name, value) for name in found for value in found.get_all(name)] == expected


# Requests

def test_a_request_says_what_its_head_says() -> None:
    asked = request("/a%20b?c=d&c=e", "X: y", host="example.com:81")
    assert (asked.method, asked.target, asked.path, asked.version) == ("GET", "/a%20b?c=d&c=e", "/a b", "1.1")
    assert asked.query["c"] == "d"
    assert asked.query.get_all("c") == ["d", "e"]
    assert asked.headers["x"] == "y"
    assert (asked.body, asked.client, asked.scheme) == (b"body", "127.0.0.1", "http")
    assert asked.host == "example.com:81"
    assert asked.url == "http://example.com:81/a%20b?c=d&c=e"
    assert dict(asked.params) == {}
    assert asked.disconnected is False
    assert repr(asked) == "<Request GET /a%20b?c=d&c=e>"


@pytest.mark.parametrize(("method", "target", "scheme", "url"), [
    ("GET", "/x", "https", "https://a/x"), ("OPTIONS", "*", "http", "http://a"), ("GET", "http://b/c?d", "http",
        "http://b/c?d"),
    ("GET", "//b/c", "http", "http://a//b/c")])
def test_the_url_of_a_request_is_made_of_checked_parts(method: str, target: str, scheme: str, url: str) -> None:
    assert request(target, method=method, scheme=scheme).url == url


def test_requests_that_share_a_head_share_nothing_that_changes() -> None:
    head = HeadParser().parse(b"GET /?a=b HTTP/1.1\r\nHost: a\r\n\r\n")
    first, second = Request(head), Request(head)
    first.user = "me"  # type: ignore[attr-defined]
    first.params = {"id": 1}
    first.disconnected = True
    first.path = "/changed"
    assert first.query is first.query
    assert first.query is not second.query
    assert not hasattr(second, "user")
    assert (dict(second.params), second.disconnected, second.path, head.path) == ({}, False, "/", "/")


def test_the_parameters_of_no_request_can_be_changed_for_all() -> None:
    with pytest.raises(TypeError):
        request().params["id"] = 1  # type: ignore[index]
    assert "id" not in request().params


# Responses

def test_text_is_utf8_and_says_so() -> None:
    response = Response("h\xe9")
    assert response.body == b"h\xc3\xa9"
    assert response.status == 200
    assert response.headers.pairs() == [("Content-Type", "text/plain; charset=utf-8")]
    assert repr(response) == "<Response 200 3 bytes>"


def test_bytes_are_octets_unless_something_else_is_said() -> None:
    assert Response(b"x").headers["content-type"] == "application/octet-stream"
    assert Response(bytearray(b"x")).body == b"x"
    assert Response(b"x", content_type="image/png").headers["content-type"] == "image/png"
    assert Response(b"x", headers={"content-type": "image/png"}).headers.pairs() == [("content-type", "image/png")]
    assert Response(b"x", headers={"Content-Type": "a/b"}, content_type="c/d").headers["content-type"] == "c/d"


def test_nothing_has_no_type() -> None:
    assert Response().headers.pairs() == []
    assert Response().body == b""


def test_every_field_that_is_given_is_kept() -> None:
    assert Response("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie",
        "b=2")]).headers.get_all("set-cookie") == ["a=1", "b=2"]
    again = Response("x", headers=Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    assert again.headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_the_fields_of_a_response_are_those_of_its_headers_before_and_after_a_change() -> None:
    response = Response("x")
    assert response.final_fields() == response.headers.fields
    response.headers["X"] = "y"
    assert response.final_fields() == response.headers.fields
    assert ("x", ("X", "y")) in response.final_fields()


def test_an_iterable_is_sent_piece_by_piece() -> None:
    response = Response([b"a", b"b"])
    assert isinstance(response.body, Iterator)
    assert list(response.body) == [b"a", b"b"]
    assert repr(response) == "<Response 200 list_iterator>"


@pytest.mark.parametrize("body", [None, 5, 1.5, object()])
def test_what_is_no_body_is_a_type_error(body: object) -> None:
    with pytest.raises(TypeError, match=type(body).__name__):
        Response(body)  # type: ignore[arg-type]


def test_closing_a_response_lets_go_of_what_its_body_holds() -> None:
    ended: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append("ended")
    response = Response(pieces())
    assert isinstance(response.body, Iterator)
    assert next(response.body) == b"a"
    response.close()
    assert ended == ["ended"]
    file = io.BytesIO(b"content")
    Response(FileBody(file, 0, 7)).close()
    assert file.closed
    for plain in (Response("x"), Response([b"x"]), Response()):
        plain.close()


# Errors

def test_an_error_has_a_status_a_message_and_a_plain_answer() -> None:
    error = HTTPError(404, "no such page")
    assert (error.status, error.message, str(error)) == (404, "no such page", "404 no such page")
    answer = error.response()
    assert answer.status == 404
    assert answer.body == b"404 Not Found\n\nno such page\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_an_error_without_a_message_says_its_reason() -> None:
    assert HTTPError(403).message == "Forbidden"
    assert HTTPError(499).message == "Error"


def test_an_error_carries_headers_to_its_answer() -> None:
    assert HTTPError(405, headers={"Allow": "GET"}).response().headers["allow"] == "GET"
    several = HTTPError(401, headers=[("WWW-Authenticate", "a"), ("WWW-Authenticate", "b")])
    assert several.response().headers.get_all("www-authenticate") == ["a", "b"]
    assert several.response().headers.get_all("www-authenticate") == ["a", "b"], "as often as it is asked"


@pytest.mark.parametrize("status", [0, 100, 200, 304, 399, 600])
def test_only_an_error_status_makes_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="between 400 and 599"):
        HTTPError(status)


def test_headers_say_whether_one_of_several_names_is_there() -> None:
    headers = Headers([("Range", "x"), ("A", "b"), ("a", "c")])
    assert headers.has_any(frozenset({"range", "if-match"}))
    assert not headers.has_any(frozenset({"Range", "if-match"}))
    assert not Headers().has_any(frozenset({"range"}))


def test_a_response_of_checked_fields_shares_them_until_it_is_changed() -> None:
    fields = Headers({"ETag": '"x"'}).fields
    response = Response.from_fields(b"body", 206, fields)
    assert (response.status, response.body, response.final_fields()) == (206, b"body", fields)
    response.headers["A"] = "b"
    assert len(response.final_fields()) == 2
    assert Response.from_fields(b"", 200, fields).final_fields() is fields
