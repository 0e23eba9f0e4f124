"""Cookies that are set: each attribute, and every way to smuggle another one in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from http.cookiejar import CookieJar
from http.cookies import SimpleCookie
from typing import Any
from urllib.request import Request as ClientRequest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http import Response
from evloop_http.app.cookies import delete_cookie, set_cookie


def written(name: str = "a", value: str = "1", **attributes: Any) -> str:
    response = Response()
    set_cookie(response, name, value, **attributes)
    return response.headers["Set-Cookie"]


def test_the_defaults_are_those_of_a_session() -> None:
    assert written("sid", "x!y") == "sid=x!y; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(("attributes", "line"), [
    ({"max_age": 60}, "a=1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"),
    ({"max_age": 0}, "a=1; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"),
    ({"path": "/x y", "domain": "b.example"}, "a=1; Path=/x y; Domain=b.example; HttpOnly; SameSite=Lax"),
    ({"http_only": False, "same_site": None}, "a=1; Path=/"),
    ({"same_site": "Strict"}, "a=1; Path=/; HttpOnly; SameSite=Strict"),
    ({"same_site": "None", "secure": True}, "a=1; Path=/; Secure; HttpOnly; SameSite=None"),
    ({"partitioned": True, "secure": True}, "a=1; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned"),
    ({"expires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))},
     "a=1; Expires=Wed, 02 Jan 2030 02:04:05 GMT; Path=/; HttpOnly; SameSite=Lax"),
])
def test_an_attribute_is_written_as_the_grammar_says(attributes: dict[str, Any], line: str) -> None:
    assert written(**attributes) == line


def test_each_cookie_is_a_field_of_its_own() -> None:
    response = Response()
    set_cookie(response, "a", "1")
    set_cookie(response, "b", "2")
    assert [line.partition(";")[0] for line in response.headers.get_all("Set-Cookie")] == ["a=1", "b=2"]


@pytest.mark.parametrize("bad", ["\r\nX: y", "\n", "\r", "\0", ";", "; Domain=evil.example", "\x7f", "ü", "\u2028"])
@pytest.mark.parametrize("piece", ["name", "value", "path", "domain", "same_site"])
def test_nothing_can_be_smuggled_into_any_piece(piece: str, bad: str) -> None:
    attributes: dict[str, Any] = {"name": "a", "value": "1", "path": "/", "domain": "b.example", "same_site": "Lax"}
    for smuggled in (attributes[piece] + bad, bad + attributes[piece]):
        response = Response()
        with pytest.raises(ValueError, match=r"."):
            set_cookie(response, **{**attributes, piece: smuggled})
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("value", ['"quoted"', "a b", "a,b", "a\\b", "a\tb"])
def test_a_value_that_would_have_to_be_quoted_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="quote it first"):
        written(value=value)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b", '"a"'])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="token"):
        written(name)


@pytest.mark.parametrize("domain", ["", ".b.example", "b..example", "-b.example", "b-.example", "b.example.",
                                    "b example", "b:80", "a" * 64 + ".example", "a." * 127 + "example"])
def test_a_domain_is_a_host_name(domain: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        written(domain=domain)


@pytest.mark.parametrize("path", ["", "x", "../x", "/" + "x" * 1024])
def test_a_path_begins_with_a_slash_and_is_not_endless(path: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        written(path=path)


def test_what_browsers_would_drop_for_its_length_is_refused() -> None:
    assert len(written("a", "x" * 4095)) > 4096
    with pytest.raises(ValueError, match="4096"):
        written("a", "x" * 4096)


@pytest.mark.parametrize("attributes", [{"same_site": "None"}, {"partitioned": True}])
def test_what_is_only_heeded_with_secure_needs_it(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="secure=True"):
        written(**attributes)


@pytest.mark.parametrize("same_site", ["lax", "none", "", "Lax; Secure"])
def test_same_site_is_one_of_three_words(same_site: str) -> None:
    with pytest.raises(ValueError, match="same_site"):
        written(secure=True, same_site=same_site)


@pytest.mark.parametrize(("name", "attributes"), [
    ("__Secure-a", {}), ("__secure-a", {}), ("__Host-a", {}), ("__hOST-a", {}),
    ("__Host-a", {"secure": True, "path": "/x"}), ("__Host-a", {"secure": True, "domain": "b.example"}),
])
def test_a_name_that_promises_something_must_keep_it(name: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="as its name says"):
        written(name, **attributes)


def test_a_name_that_keeps_its_promise_is_fine() -> None:
    assert written("__Host-a", secure=True) == "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert "Domain=b.example" in written("__Secure-a", secure=True, path="/x", domain="b.example")


def test_a_date_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        written(expires=datetime(2030, 1, 1))


def test_a_deleted_cookie_is_gone_by_both_clocks() -> None:
    response = Response()
    delete_cookie(response, "__Host-a", secure=True)
    assert response.headers["Set-Cookie"] == ("__Host-a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; "
                                              "Secure; HttpOnly; SameSite=Lax")
    with pytest.raises(ValueError, match="as its name says"):
        delete_cookie(Response(), "__Host-a")


def test_a_client_forgets_what_is_deleted() -> None:
    jar, request = CookieJar(), ClientRequest("http://b.example/x/y")
    for change, count in ((set_cookie, 1), (delete_cookie, 0)):
        response = Response()
        change(response, "a", *(["1"] if change is set_cookie else []), path="/x")
        jar.extract_cookies(Answer(response), request)  # type: ignore[arg-type]
        assert len(jar) == count


class Answer:
    """As much of an answer as the standard library's cookie jar looks at."""

    def __init__(self, response: Response) -> None:
        from email.message import Message
        self._message = Message()
        for name, value in response.headers.pairs():
            self._message[name] = value

    def info(self) -> Any:
        return self._message


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8).map(lambda text: "/" + text))
def test_any_cookie_is_read_back_as_it_was_meant_or_refused(name: str, value: str, path: str) -> None:
    try:
        line = written(name, value, path=path)
    except ValueError:
        return
    assert [piece.strip() for piece in line.split(";")] == [f"{name}={value}", f"Path={path}".strip(), "HttpOnly",
                                                            "SameSite=Lax"]
    assert line.isascii()
    assert line.isprintable()


def test_the_standard_library_reads_what_was_written() -> None:
    line = written("name", "v", max_age=7, secure=True, expires=datetime(2031, 1, 1, tzinfo=UTC))
    morsel = SimpleCookie(line)["name"]
    assert (morsel.value, morsel["max-age"], morsel["secure"], morsel["path"]) == ("v", "7", True, "/")
    assert (morsel["expires"], morsel["samesite"]) == ("Wed, 01 Jan 2031 00:00:00 GMT", "Lax")
