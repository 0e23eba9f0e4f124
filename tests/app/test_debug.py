"""The page of an application under work: to whom it is shown, and what it keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest

from asking import Fields, answer, content, make_request
from evloop_http import App, HTTPError, Response
from evloop_http.app.debug import page


def failing(debug: bool = True) -> App:
    app = App(debug=debug)

    @app.get("/{x}")
    def fail(request: object, x: str) -> None:
        raise ZeroDivisionError("<b>no</b>")
    return app


def ask(app: App, client: str = "127.0.0.1", headers: Fields = (), target: str = "/x",
        host: str = "localhost:8080", version: str = "1.1") -> Response:
    return answer(app, make_request("GET", target, headers, client=client, host=host, version=version))


def is_shown(**request: Any) -> bool:
    """Whether the traceback is shown in answer to such a request."""
    response = ask(failing(), **request)
    assert response.status == 500
    return b"ZeroDivisionError" in content(response)


@pytest.mark.parametrize(("client", "local"), [
    ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True),
    ("192.0.2.7", False), ("::2", False), ("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("1127.0.0.1", False),
    ("127.0.0.1.example", False), ("", False),
])
def test_the_page_is_for_peers_of_this_machine_and_never_for_a_unix_socket(client: str, local: bool) -> None:
    assert is_shown(client=client) is local


@pytest.mark.parametrize(("host", "local"), [
    ("localhost", True), ("LocalHost:8080", True), ("localhost.", True), ("app.localhost:1", True),
    ("127.0.0.1:8080", True), ("127.1.2.3", True), ("[::1]:8080", True), ("[0:0::1]", True),
    # A page of another site, whose name its owner has led here.
    ("evil.example", False), ("evil.example:8080", False), ("localhost.evil.example", False), ("xlocalhost", False),
    ("127.0.0.1.evil.example", False), ("1127.0.0.1", False), ("192.0.2.7", False), ("[::2]", False),
    ("0.0.0.0", False),
])
def test_the_page_is_shown_only_under_a_name_of_this_machine(host: str, local: bool) -> None:
    assert is_shown(host=host) is local


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 proxy"}, {"Forwarded": "for=1.2.3.4"}, {"X-Real-IP": "1.2.3.4"},
])
def test_the_page_is_for_nobody_behind_a_proxy(headers: dict[str, str]) -> None:
    assert not is_shown(headers=headers)


def test_the_page_is_for_nobody_who_speaks_http_1_0_as_a_plain_nginx_does() -> None:
    # `proxy_pass http://127.0.0.1:8080;` and no other line: no header tells of the client.
    headers = {"Connection": "close"}
    assert not is_shown(headers=headers, host="127.0.0.1:8080", version="1.0")
    assert is_shown(headers=headers, host="127.0.0.1:8080")


def test_without_debug_nobody_sees_anything(caplog: pytest.LogCaptureFixture) -> None:
    assert b"Zero" not in content(ask(failing(debug=False)))
    assert len(caplog.records) == 1


def test_the_page_has_traceback_and_request_escaped_and_the_error_is_logged(
        caplog: pytest.LogCaptureFixture) -> None:
    response = ask(failing(), headers={"X-Html": "<i>"}, target="/%3Cu%3E?q=%3Cs%3E")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    shown = content(response).decode()
    assert "Traceback (most recent call last)" in shown
    assert "in fail" in shown
    for word in ("b", "i", "u", "s"):
        assert f"<{word}>" not in shown
        assert f"&lt;{word}&gt;" in shown
    assert [record.getMessage() for record in caplog.records] == [
        "GET /%3Cu%3E?q=%3Cs%3E HTTP/1.1: the handler failed"]


def test_secrets_are_not_shown() -> None:
    headers = {"Authorization": "Basic hunter2", "Cookie": "sid=hunter2", "X-Api-Key": "hunter2",
               "X-CSRF-Token": "hunter2", "Referer": "http://a/?password=hunter2", "Accept": "text/x-shown"}
    shown = content(ask(failing(), headers=headers, target="/x?password=hunter2&access_token=hunter2&q=shown")).decode()
    assert "hunter2" not in shown
    assert "text/x-shown" in shown
    assert "<tr><th>Cookie<td>(not shown)\n" in shown
    assert "<tr><th>query password<td>(not shown)\n" in shown
    assert "<tr><th>query q<td>shown\n" in shown


def test_an_error_on_purpose_and_one_with_a_handler_are_answered_as_ever() -> None:
    app = failing()
    app.error(ZeroDivisionError)(lambda request, error: "mended")
    assert content(ask(app)) == b"mended"

    @app.get("/refused/on/purpose")
    def refuse(request: object) -> None:
        raise HTTPError(500, "Not today.")

    assert b"Traceback" not in content(ask(app, target="/refused/on/purpose"))


def test_the_page_goes_before_the_page_for_500() -> None:
    app = failing()
    app.error(500)(lambda request, error: "sorry")
    assert b"ZeroDivisionError" in content(ask(app))
    assert content(ask(app, "192.0.2.1")) == b"sorry"


def test_an_exception_that_cannot_be_said_still_has_a_page() -> None:
    class Unsayable(Exception):
        def __str__(self) -> str:
            raise ValueError

    for error in (Unsayable(), ValueError("\ud800"), ValueError("")):
        assert page(make_request(), error).status == 500
