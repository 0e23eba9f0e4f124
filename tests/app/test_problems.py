"""Answers to errors that have no page of their own: which form, and nothing of the request unescaped."""

from __future__ import annotations

import json

import pytest

from asking import content, make_request
from evloop_http import HTTPError, Request, Response
from evloop_http.app.problems import busy, printable_id, problem_response

MISSING = HTTPError(404, "There is nothing at this address.")


def ask(accept: str | None, error: HTTPError = MISSING, identity: object = None) -> Response:
    request = make_request("GET", "/<script>?<x>".replace("<", "%3C").replace(">", "%3E"),
                           {} if accept is None else {"Accept": accept})
    if identity is not None:
        request.id = identity  # type: ignore[assignment,unused-ignore,attr-defined]
    return problem_response(request, error)


@pytest.mark.parametrize(("accept", "media_type"), [
    (None, "text/plain; charset=utf-8"),
    ("*/*", "text/plain; charset=utf-8"),
    ("", "text/plain; charset=utf-8"),
    ("image/png", "text/plain; charset=utf-8"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ("application/json", "application/problem+json"),
    ("application/problem+json", "application/problem+json"),
    ("application/json, text/plain, */*", "application/problem+json"),
    ("text/html;q=0.4, application/json;q=0.5", "application/problem+json"),
    ("text/html, application/json;q=0.5", "text/html; charset=utf-8"),
])
def test_the_form_is_the_one_that_the_client_prefers(accept: str | None, media_type: str) -> None:
    response = ask(accept)
    assert (response.status, response.headers["Content-Type"]) == (404, media_type)
    assert response.headers["Vary"] == "Accept"
    assert b"There is nothing at this address." in content(response)


def test_json_says_what_rfc_9457_says() -> None:
    assert json.loads(content(ask("application/json"))) == {
        "type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is nothing at this address."}
    assert json.loads(content(ask("application/json", identity="r-1")))["request_id"] == "r-1"


def test_the_page_is_escaped_and_repeats_nothing_of_the_request() -> None:
    response = ask("text/html", HTTPError(499, "<b>&\"'"), "<i>")
    page = content(response).decode()
    assert "&lt;b&gt;&amp;&quot;&#x27;" in page
    assert "&lt;i&gt;" in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert "script" not in page
    assert '<meta name="color-scheme" content="light dark">' in page
    assert "<h1>499 Error</h1>" in page


def test_text_tells_the_request_by_its_id() -> None:
    assert content(ask(None)) == b"404 Not Found\n\nThere is nothing at this address.\n"
    assert content(ask(None, identity="r-1\r\nx")).endswith(b"\nRequest: r-1\\r\\nx\n")


@pytest.mark.parametrize(("identity", "shown"), [(None, ""), ("", ""), (7, "7"), ("a\nb\x1b", "a\\nb\\x1b"),
                                                 ("x" * 1000, "x" * 128)])
def test_an_id_cannot_forge_a_line_and_is_not_endless(identity: object, shown: str) -> None:
    request = make_request()
    if identity is not None:
        request.id = identity  # type: ignore[assignment,unused-ignore,attr-defined]
    assert printable_id(request) == shown


@pytest.mark.parametrize("accept", [None, "text/html", "application/json"])
def test_the_headers_of_the_error_are_kept_and_vary_is_added_to(accept: str | None) -> None:
    error = HTTPError(405, "", {"Allow": "GET", "Vary": "Cookie"})
    response = ask(accept, error)
    assert response.headers["Allow"] == "GET"
    assert response.headers["Vary"] == "Cookie, Accept"
    assert error.headers["Vary"] == "Cookie"


def test_half_a_surrogate_pair_in_a_message_goes_out_as_json() -> None:
    assert json.loads(content(ask("application/json", HTTPError(400, "\ud800"))))["detail"] == "\ud800"


def test_a_class_of_errors_with_an_answer_of_its_own_gives_that() -> None:
    class Teapot(HTTPError):
        def response(self) -> Response:
            return Response("short and stout", self.status)

    assert content(ask("text/html", Teapot(418))) == b"short and stout"
    assert isinstance(make_request(), Request)


def test_who_meets_a_busy_server_is_told_to_come_again() -> None:
    response = ask(None, busy("Not now."))
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert content(response) == b"503 Service Unavailable\n\nNot now.\n"
