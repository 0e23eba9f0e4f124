"""Every route of the demo site, asked for over real sockets by foreign clients: `http.client` and curl."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import http.client
import json
import logging
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import pytest

from asking import PATIENCE, make_request
from evloop_http import App, HTTPError
from evloop_http.demo.account import Sessions
from evloop_http.demo.app import create_app
from evloop_http.demo.chat import Room
from evloop_http.demo.live import Clock
from evloop_http.demo.programs import nap_of
from evloop_http.testing import Client, WebSocketRefused, WebSocketSession
from evloop_http.websocket import Disconnected
from serving_demo import FORM, MARKUP, Reply, Site, Visitor, serve_demo

jinja2 = pytest.importorskip("jinja2", reason="the 'demo' extra is not installed")
ua_parser = pytest.importorskip("ua_parser", reason="the 'demo' extra is not installed")
pytest.importorskip("websockets", reason="the 'demo' extra is not installed")

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def site(certificate: tuple[Path, Path]) -> Iterator[Site]:
    with serve_demo(certificate) as site:
        yield site


@pytest.fixture(params=["http", "https"])
def visitor(request: pytest.FixtureRequest, site: Site, certificate: tuple[Path, Path]) -> Iterator[Visitor]:
    visitor = Visitor(site.plain if request.param == "http" else site.secure, certificate[0])
    yield visitor
    visitor.close()


def assert_is_page(reply: Reply, status: int = 200) -> None:
    """A page of the site, with all that makes it harmless."""
    assert (reply.status, reply.type) == (status, "text/html; charset=utf-8")
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.text.lower().startswith("<!doctype html>")
    assert reply.text.rstrip().endswith("</html>")
    assert "<script" not in reply.text.lower()
    assert "{{" not in reply.text
    assert "{%" not in reply.text


# -- pages


def test_the_home_page_shows_the_request_that_asked_for_it(visitor: Visitor) -> None:
    reply = visitor.get("/?a=%3Cb%3E", User_Agent=FIREFOX, X_Odd="<i>&", Cookie="session=hush",
                        Authorization="Basic hush")
    assert_is_page(reply)
    assert "GET /?a=%3Cb%3E HTTP/1.1" in reply.text
    assert "<span>X-Odd:</span> &lt;i&gt;&amp;" in reply.text
    assert "with Firefox" in reply.text
    assert "hush" not in reply.text
    assert reply.text.count("(not shown)") == 2


def test_the_home_page_says_how_it_came_and_where_https_is(visitor: Visitor, site: Site) -> None:
    page = visitor.get("/").text
    if visitor.url == site.secure:
        assert "This page came over HTTPS" in page
    else:
        assert "This page came over plain HTTP" in page
        assert f'href="{site.secure}/"' in page


class Links(HTMLParser):
    """What a page points to, and its forms."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src", "action") and value]


def test_every_link_of_the_home_page_leads_somewhere(visitor: Visitor) -> None:
    page = visitor.get("/").text
    links = Links(page).links
    odd = {"/nowhere": 404, "/users/ada": 404, "/panic": 500, "/data": 400, "/echo": 405, "/api/create": 405,
           "/tour/days/2023-02-30": 404, "/account": 303, "/private": 401, "/old": 301}
    followed = set()
    for link in links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
        elif not link.startswith("https:"):
            target = urljoin("/", link)
            assert visitor.get(target).status == odd.get(target, 200), target
            followed.add(target)
    assert {"/", "/ping", "/users/42", "/data", "/welcome", "/login", "/panic", "/nowhere", "/static/site.css",
            "/static/favicon.svg", "/api/create", "/echo", "/slow?seconds=0.2", "/tour/", "/upload", "/account",
            "/private", "/api/notes/7", "/report.csv", "/numbers?to=100000", "/old", "/clock", "/chat",
            "/files/"} <= followed


@pytest.mark.parametrize("target", ["/welcome", "/login", "/upload", "/clock", "/chat", "/nowhere", "/tour/",
                                    "/tour/days/2024-02-29", f"/tour/things/{UUID}", "/tour/ways/a/b%20c/%C3%BC",
                                    "/tour/nowhere", "/files/"])
def test_every_link_of_a_smaller_page_leads_somewhere(visitor: Visitor, target: str) -> None:
    odd = {"/tour/days/2023-02-30": 404}
    for link in Links(visitor.get(target).text).links:
        if not link.startswith(("#", "https:")):
            found = urljoin(target, link).partition("#")[0]
            assert visitor.get(found).status == odd.get(found, 200), found


def test_a_page_asked_for_by_an_old_client_without_a_host_is_whole(site: Site) -> None:
    host, _, port = site.plain.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    assert page.startswith("HTTP/1.1 200 OK\r\n")
    assert 'href="https://localhost:' in page


def test_welcome_greets_and_escapes(visitor: Visitor) -> None:
    assert_is_page(visitor.get("/welcome"))
    assert "Welcome, stranger" in visitor.get("/welcome").text
    assert "Welcome, stranger" in visitor.get("/welcome?name=%20").text
    assert "Welcome, Ada Lovelace</h1>" in visitor.get("/welcome?name=Ada+Lovelace").text
    reply = visitor.get(f"/welcome?name={quote(MARKUP)}")
    assert_is_page(reply)
    assert "Welcome, &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</h1>" in reply.text
    # Within an attribute too, and what is no UTF-8.
    assert 'value="&#34; onfocus=&#34;x"' in visitor.get("/welcome?name=%22+onfocus=%22x").text
    assert "Welcome, \ufffd</h1>" in visitor.get("/welcome?name=%ff").text


def test_what_is_not_there_is_the_sites_own_page_and_repeats_nothing(visitor: Visitor) -> None:
    for target in ("/nowhere", "/users/ada", "/static/", "/static/../app.py", "/static/%2e%2e/app.py",
                   "/static/nowhere",
                   "/static/..%2fapp.py", f"/{quote(MARKUP)}"):
        reply = visitor.get(target)
        assert_is_page(reply, 404)
        assert "There is no such room" in reply.text
        assert "alert(" not in reply.text
        assert 'aria-current="page"' not in reply.text


# -- logging in


def log_in(visitor: Visitor, username: str, password: str, agent: str = FIREFOX) -> Reply:
    fields = urlencode({"username": username, "password": password})
    return visitor.ask("POST", "/login", fields, FORM, User_Agent=agent)


def test_the_right_password_welcomes_with_the_browsers_name(visitor: Visitor) -> None:
    assert_is_page(visitor.get("/login"))
    reply = log_in(visitor, "admin", "secret")
    assert_is_page(reply)
    assert "Welcome, admin" in reply.text
    assert "You came with Firefox." in reply.text
    assert "You came with your browser." in log_in(visitor, "admin", "secret", "unheard of").text
    [cookie] = reply.headers.get_all("Set-Cookie", [])
    secure = "; Secure" if visitor.url.startswith("https") else ""
    value, _, attributes = cookie.partition("; ")
    assert re.fullmatch(r"session=[A-Za-z0-9_=-]+\.[0-9a-f]{64}", value)
    assert attributes == f"Max-Age=3600; Path=/{secure}; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(("username", "password"), [
    ("admin", "wrong"), ("nobody", "secret"), ("", ""), ("admin", "secret "), ("Admin", "secret"), ("admin", "sécret"),
    (MARKUP, MARKUP), ("admin' --", "x"), ("admin", "secret\0"),
])
def test_the_wrong_password_is_401_and_is_not_shown(visitor: Visitor, username: str, password: str) -> None:
    reply = log_in(visitor, username, password)
    assert_is_page(reply, 401)
    assert reply.headers["WWW-Authenticate"] == 'Form realm="demo"'
    assert "Set-Cookie" not in reply.headers
    assert "not the right name and password" in reply.text
    assert "alert(" not in reply.text
    assert not re.search(r'<input[^>]* value="', reply.text)


def test_a_login_that_is_no_form_is_refused(visitor: Visitor) -> None:
    assert visitor.ask("POST", "/login", "{}", "application/json").status == 415
    assert visitor.ask("POST", "/login", "a=%ff", FORM).status == 400
    assert log_in(visitor, "admin", "").status == visitor.ask("POST", "/login").status == 401
    assert visitor.ask("PUT", "/login").headers["Allow"] == "GET, HEAD, OPTIONS, POST"


# -- for programs


def test_ping_and_users_and_data(visitor: Visitor) -> None:
    reply = visitor.get("/ping")
    assert (reply.status, reply.body, reply.type) == (200, b"pong", "text/plain; charset=utf-8")
    reply = visitor.get("/users/42")
    assert (reply.status, reply.type) == (200, "application/json")
    assert json.loads(reply.body) == {"id": 42, "name": "User 42"}
    reply = visitor.get(f"/data?id={quote(MARKUP)}")
    assert (reply.type, json.loads(reply.body)) == ("application/json", {"id": MARKUP})
    reply = visitor.get("/data")
    assert (reply.status, reply.type) == (400, "text/plain; charset=utf-8")
    assert b"/data?id=42" in reply.body


BOUNDARY = "----x"
MULTIPART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n--{BOUNDARY}--\r\n'


@pytest.mark.parametrize(("body", "type", "created"), [
    ('{"name": "Ada", "works": [1, null, "\\ud800"]}', "application/json",
     {"name": "Ada", "works": [1, None, "\ud800"]}),
    ("name=Ada&work=Note+G", FORM, {"name": "Ada", "work": "Note G"}),
    (MULTIPART, f"multipart/form-data; boundary={BOUNDARY}", {"name": "Ada"}),
    ("", FORM, {}),
])
def test_create_answers_201_with_what_it_understood(visitor: Visitor, body: str, type: str,
                                                    created: dict[str, Any]) -> None:
    reply = visitor.ask("POST", "/api/create", body, type)
    assert (reply.status, reply.type, json.loads(reply.body)) == (201, "application/json", {"created": created})


@pytest.mark.parametrize(("body", "type", "status"), [
    ("{", "application/json", 400), ("[1]", "application/json", 400), ('"text"', "application/json", 400),
    ("name=Ada", "text/plain", 415), ("name=Ada", None, 415),
    (MULTIPART[:-9], f"multipart/form-data; boundary={BOUNDARY}", 400),
])
def test_create_refuses_what_it_cannot_read(visitor: Visitor, body: str, type: str | None, status: int) -> None:
    assert visitor.ask("POST", "/api/create", body, type).status == status


@pytest.mark.parametrize(("type", "comes_back_as"), [
    ("text/plain", "text/plain"), ("image/png", "image/png"),
    ("application/json; charset=utf-8", "application/json; charset=utf-8"),
    (None, "application/octet-stream"),
    *((rendered, "text/plain; charset=utf-8") for rendered in (
        "text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml",
        "application/xml", "text/xsl",
        "multipart/x-mixed-replace; boundary=b", "text/html\t;x")),
])
def test_echo_gives_back_what_was_sent_but_nothing_that_a_browser_would_run(
        visitor: Visitor, type: str | None, comes_back_as: str) -> None:
    body = bytes(range(256)) + MARKUP.encode()
    reply = visitor.ask("POST", "/echo", body, type)
    assert (reply.status, reply.body, reply.type) == (200, body, comes_back_as)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in reply.headers["Content-Security-Policy"]


def test_echo_takes_a_large_body_and_none(visitor: Visitor) -> None:
    large = bytes(range(256)) * 4096
    assert visitor.ask("POST", "/echo", large).body == large
    assert visitor.ask("POST", "/echo").body == b""


def test_after_a_panic_the_server_goes_on_and_the_connection_with_it(
        visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = visitor.get("/panic")
    assert_is_page(reply, 500)
    assert "The handler raised an exception" in reply.text
    assert "RuntimeError" not in reply.text
    assert "GET /panic HTTP/1.1: the handler failed" in caplog.text
    assert "which is what it is for" in caplog.text
    assert visitor.get("/ping").body == b"pong"
    assert "Connection" not in reply.headers


def test_the_traceback_is_shown_where_that_is_wanted() -> None:
    with Client(create_app(debug=True)) as client:
        assert "which is what it is for" in client.get("/panic").text
        assert client.get("/welcome").status == 200
    with Client(create_app()) as client:
        assert "which is what it is for" not in client.get("/panic").text


def test_no_visitor_waits_for_templates_or_the_table_of_browsers(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, agents = [], []
    compile_template, parse = jinja2.Environment.compile, ua_parser.parse_user_agent

    def compiling(*arguments: Any, **options: Any) -> Any:
        compiled.append(arguments[2])
        return compile_template(*arguments, **options)

    def parsing(agent: str) -> Any:
        agents.append(agent)
        return parse(agent)
    monkeypatch.setattr(jinja2.Environment, "compile", compiling)
    monkeypatch.setattr(ua_parser, "parse_user_agent", parsing)
    app = create_app()
    assert {"home.html", "base.html", "tour/way.html", "404.html"} <= set(compiled)
    assert len(agents) == 1
    compiled.clear()
    with Client(app) as client:
        for target in ("/", "/welcome", "/login", "/tour/", "/tour/ways/a", "/nowhere", "/panic"):
            client.get(target)
    assert compiled == []


# -- what the cookie opens


def test_a_session_opens_the_account_until_it_is_ended(visitor: Visitor) -> None:
    assert (visitor.get("/account").status, visitor.get("/account").headers["Location"]) == (303, "/login")
    cookie = log_in(visitor, "admin", "secret").headers["Set-Cookie"].partition(";")[0]
    reply = visitor.get("/account", Cookie=f"other=1; {cookie}")
    assert_is_page(reply)
    assert "The account of admin</h1>" in reply.text
    goodbye = visitor.ask("POST", "/logout", Cookie=cookie)
    assert (goodbye.status, goodbye.headers["Location"]) == (303, "/login")
    assert goodbye.headers["Set-Cookie"].startswith("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;")
    assert ("Secure" in goodbye.headers["Set-Cookie"]) == visitor.url.startswith("https")
    assert visitor.get("/logout").status == 405


def test_a_cookie_that_somebody_made_or_changed_opens_nothing(visitor: Visitor) -> None:
    cookie = log_in(visitor, "admin", "secret").headers["Set-Cookie"].partition(";")[0]
    content, _, signature = cookie.partition("=")[2].rpartition(".")
    never = base64.urlsafe_b64encode(b'["admin", 99999999999]').decode()
    for forged in ("", "x", ".", f"{content}.", f".{signature}", f"{content}.{signature[:-1]}", f"{never}.{signature}",
                   f"{content}.{signature}0", f"{content}x.{signature}", "\xe9.\xff"):
        assert visitor.get("/account", Cookie=f"session={forged}").status == 303, forged


def test_a_session_is_over_when_its_time_is_and_means_nothing_elsewhere() -> None:
    now = [1000.9]
    sessions = Sessions(clock=lambda: now[0])
    ticket = sessions.begin("admin")
    assert sessions.read(ticket) == ("admin", 4600)
    now[0] = 4599.9
    assert sessions.read(ticket) is not None
    now[0] = 4600.0
    assert sessions.read(ticket) is None
    assert Sessions(clock=lambda: 1000).read(ticket) is None


def test_the_private_page_wants_a_password_with_every_request(visitor: Visitor) -> None:
    refusal = visitor.get("/private")
    assert (refusal.status, refusal.headers["WWW-Authenticate"]) == (401, 'Basic realm="demo", charset="UTF-8"')
    assert refusal.headers["X-Content-Type-Options"] == "nosniff"
    right, wrong = (base64.b64encode(pair).decode() for pair in (b"admin:secret", b"admin:guess"))
    assert visitor.get("/private", Authorization=f"Basic {wrong}").status == 401
    reply = visitor.get("/private", Authorization=f"Basic {right}")
    assert_is_page(reply)
    assert "<strong>admin</strong>" in reply.text
    assert ("Basic authentication is for HTTPS only" in reply.text) == visitor.url.startswith("http:")
    assert visitor.get("/private/x", Authorization=f"Basic {right}").status == 404


# -- the tour


def test_a_day_knows_the_days_beside_it_to_the_ends_of_the_calendar(visitor: Visitor) -> None:
    reply = visitor.get("/tour/days/2024-02-29")
    assert_is_page(reply)
    assert "A Thursday, the\n  60. day" in reply.text
    assert 'href="/tour/days/2024-02-28"' in reply.text
    assert 'href="/tour/days/2024-03-01"' in reply.text
    first, last = visitor.get("/tour/days/0001-01-01").text, visitor.get("/tour/days/9999-12-31").text
    assert ('rel="prev"' in first, 'rel="next"' in first, 'rel="prev"' in last, 'rel="next"' in last) \
        == (False, True, True, False)


def test_a_way_leads_to_each_of_its_steps(visitor: Visitor) -> None:
    page = visitor.get("/tour/ways/a//%2e%2e/b%20c/%3Cb%3E").text
    assert re.findall(r'<a href="(/tour/ways/[^"]*)">([^<]*)<', page) == [
        ("/tour/ways/a", "a"), ("/tour/ways/a/b%20c", "b c"), ("/tour/ways/a/b%20c/%3Cb%3E", "&lt;b&gt;")]


def test_a_long_way_makes_a_page_that_grows_no_faster_than_it(visitor: Visitor) -> None:
    short, long = (visitor.get("/tour/ways/" + "a/" * steps).text for steps in (20, 4000))
    assert short.count("/tour/ways/") == long.count("/tour/ways/") == 20
    assert "A way of 4000 steps" in long
    assert "Only the first 20 steps are links" in long
    assert "Only the first" not in short
    assert len(long) < len(short) + 500


def test_the_tour_has_a_404_page_of_its_own(visitor: Visitor) -> None:
    for target in ("/tour/nowhere", "/tour/days/2023-02-30", "/tour/days/20240229", "/tour/things/7",
                   f"/tour/{quote(MARKUP)}"):
        reply = visitor.get(target)
        assert_is_page(reply, 404)
        assert "The tour does not go there" in reply.text
        assert "alert(" not in reply.text
    assert visitor.get(f"/tour/things/{UUID.upper()}").text.count(UUID) >= 1


# -- the interface


def test_a_note_is_what_is_sent_and_nothing_is_kept(visitor: Visitor) -> None:
    note = json.loads(visitor.get("/api/notes/7").body)
    assert note == {"id": 7, "text": "This is note 7."}
    sent = json.dumps({"text": "Hello", "id": 8})
    for method, changed in (("PUT", {"text": "Hello", "id": 7}), ("PATCH", {"text": "Hello", "id": 7})):
        assert json.loads(visitor.ask(method, "/api/notes/7", sent, "application/json").body) == changed
    assert json.loads(visitor.ask("PATCH", "/api/notes/7", "colour=red", FORM).body) == {**note, "colour": "red"}
    assert json.loads(visitor.ask("PUT", "/api/notes/7", "colour=red", FORM).body) == {"colour": "red", "id": 7}
    assert (visitor.ask("DELETE", "/api/notes/7").status, visitor.ask("DELETE", "/api/notes/7").body) == (204, b"")
    assert json.loads(visitor.get("/api/notes/7").body) == note


@pytest.mark.parametrize(("accept", "type"), [
    ("*/*", "application/json"), ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
    ("text/*;q=0.5, application/json;q=0.4", "text/html; charset=utf-8"), ("text/plain", "text/plain; charset=utf-8"),
])
def test_a_note_comes_in_the_form_that_is_preferred(visitor: Visitor, accept: str, type: str) -> None:
    reply = visitor.get("/api/notes/7", Accept=accept)
    assert (reply.status, reply.type, reply.headers["Vary"]) == (200, type, "Accept")
    assert "This is note 7." in reply.text
    assert visitor.get("/api/notes/7", Accept=accept, If_None_Match=reply.headers["ETag"]).status == 304


def test_errors_of_the_interface_are_problem_details(visitor: Visitor) -> None:
    asked = {"Accept": "application/json"}
    for reply, status in (
            (visitor.get("/api/notes/none", **asked), 404),
            (visitor.ask("PUT", "/api/notes/7", "[]", "application/json", **asked), 400),
            (visitor.ask("PUT", "/api/notes/7", "x", "text/plain", **asked), 415),
            (visitor.ask("PUT", "/api/notes/7", b"x" * (64 * 1024 + 1), "application/json", **asked), 413),
            (visitor.ask("POST", "/api/notes/7", **asked), 405)):
        assert (reply.status, reply.type) == (status, "application/problem+json")
        assert json.loads(reply.body)["status"] == status
    assert visitor.get("/api/notes/7", Accept="image/png").status == 406


def test_pages_of_other_sites_may_use_the_interface_and_nothing_else(visitor: Visitor) -> None:
    origin = {"Origin": "https://other.example"}
    assert visitor.get("/api/notes/7", **origin).headers["Access-Control-Allow-Origin"] == "*"
    preflight = visitor.ask("OPTIONS", "/api/notes/7", **origin, Access_Control_Request_Method="PUT")
    assert preflight.status == 204
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type"
    for target in ("/", "/ping", "/account", "/static/site.css"):
        assert "Access-Control-Allow-Origin" not in visitor.get(target, **origin).headers


# -- uploads


def upload(visitor: Visitor, *files: tuple[str, bytes]) -> Reply:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
             f"Content-Type: text/html\r\n\r\n".encode() + content + b"\r\n" for name, content in files]
    return visitor.ask("POST", "/upload", b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()]),
                       f"multipart/form-data; boundary={BOUNDARY}")


def test_uploaded_files_are_told_of_by_name_type_size_and_digest(visitor: Visitor) -> None:
    small, large = b"<b>hi</b>", bytes(range(256)) * 8192  # the second one goes to the disk
    reply = upload(visitor, ("../../etc/pass\twd<b>.txt", small), ("large", large), ("", b""))
    assert_is_page(reply)
    for content in (small, large):
        assert hashlib.sha256(content).hexdigest() in reply.text
        assert f"<dd>{len(content)} bytes</dd>" in reply.text
    assert ">pass_wd_b_.txt<" in reply.text
    assert reply.text.count("<dt>Size</dt>") == 2
    assert "<code>text/html</code>" in reply.text
    assert "hi</b>" not in reply.text


def test_an_upload_without_a_file_says_so(visitor: Visitor) -> None:
    assert_is_page(visitor.get("/upload"))
    for reply in (upload(visitor), upload(visitor, ("", b"")), visitor.ask("POST", "/upload", "file=x", FORM)):
        assert_is_page(reply, 400)
        assert "No file came along" in reply.text
    assert visitor.ask("POST", "/upload", "{}", "application/json").status == 415


def test_a_file_that_is_put_is_looked_at_while_it_comes_and_may_be_larger_than_a_form(visitor: Visitor) -> None:
    content = bytes(range(256)) * 4096 * 16  # 16 MiB
    digest = hashlib.sha256(content).hexdigest()
    reply = visitor.ask("PUT", "/upload/..%5Ca%3Cb%3E.bin", content, "application/x-thing")
    assert json.loads(reply.text) == {"name": "a_b_.bin", "type": "application/x-thing", "size": len(content),
                                      "sha256": digest}
    assert upload(visitor, ("large", content)).status == 413


# -- answers of other kinds


def test_the_report_is_saved_and_not_sent_twice(visitor: Visitor) -> None:
    reply = visitor.get("/report.csv")
    assert (reply.status, reply.type) == (200, "text/csv; charset=utf-8")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    rows = list(csv.reader(reply.text.splitlines()))
    assert rows[0] == ["status", "phrase", "description"]
    assert ["404", "Not Found", "Nothing matches the given URI"] in rows
    again = visitor.get("/report.csv", If_None_Match=reply.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(("query", "count"), [
    ("", 100), ("?to=1", 1), ("?to=1000", 1000), ("?to=2001", 2001), ("?to=100001", 100_000), ("?to=0", 0),
    ("?to=-5", 0), ("?to=many", 100), ("?to=" + "9" * 5000, 100),
])
def test_numbers_are_counted_to_a_bound(visitor: Visitor, query: str, count: int) -> None:
    reply = visitor.get(f"/numbers{query}")
    assert (reply.status, reply.headers["Transfer-Encoding"]) == (200, "chunked")
    assert reply.text.split() == [str(number) for number in range(1, count + 1)]


def test_the_old_address_leads_to_the_new_one(visitor: Visitor) -> None:
    reply = visitor.get("/old")
    assert (reply.status, reply.headers["Location"]) == (301, "/welcome?name=wanderer")


def test_slow_sleeps_in_a_thread(visitor: Visitor) -> None:
    told = json.loads(visitor.get("/slow?seconds=0.01").body)
    assert told["slept"] == 0.01
    assert told["thread"].startswith("evloop_http.worker")


@pytest.mark.parametrize(("query", "seconds"), [
    ("", 0.2), ("?seconds=1.5", 1.5), ("?seconds=2.5", 2), ("?seconds=inf", 2), ("?seconds=-1", 0), ("?seconds=nan", 0),
    ("?seconds=-inf", 0), ("?seconds=long", 0.2)])
def test_nobody_sleeps_for_longer_than_two_seconds(query: str, seconds: float) -> None:
    assert nap_of(make_request("GET", f"/slow{query}")) == seconds


# -- the clock


def clock_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "evloop_http.demo.clock"]


def wait_for_silence() -> None:
    """Until the thread of the clock has ended, as it does when nobody listens."""
    for thread in clock_threads():
        thread.join(PATIENCE)
        assert not thread.is_alive()


def read_tick(answer: http.client.HTTPResponse) -> dict[str, Any]:
    assert answer.readline() == b"event: tick\n"
    data = answer.readline()
    assert (data[:6], answer.readline()) == (b"data: ", b"\n")
    told = json.loads(data[6:])
    assert isinstance(told, dict)
    return told


def test_the_clock_ticks_for_each_who_listens_and_stops_behind_the_last(site: Site,
                                                                        certificate: tuple[Path, Path]) -> None:
    wait_for_silence()
    first, second = (Visitor(url, certificate[0]) for url in site)
    answers = [first.begin("GET", "/events"), second.begin("GET", "/events")]
    for listeners, answer in enumerate(answers, 1):
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        told = read_tick(answer)  # at once
        assert re.fullmatch(r"\d\d:\d\d:\d\d", told["time"])
        assert told["listeners"] == listeners
    for answer in answers:
        assert read_tick(answer)["listeners"] == 2
    assert len(clock_threads()) == 1
    for visitor, answer in zip((first, second), answers, strict=True):
        answer.close()
        visitor.close()
    wait_for_silence()


def test_to_ask_for_the_head_of_the_events_is_not_to_listen(visitor: Visitor) -> None:
    wait_for_silence()
    assert visitor.ask("HEAD", "/events").type == "text/event-stream"
    wait_for_silence()


def test_a_clock_tells_only_so_many_and_rests_when_all_have_left() -> None:
    clock = Clock(most=2)
    streams = [clock.listen(), clock.listen()]
    with pytest.raises(HTTPError, match="Too many") as refusal:
        clock.listen()
    assert refusal.value.status == 503
    streams[0].close()
    streams[0] = clock.listen()
    for stream in streams:
        stream.close()
    wait_for_silence()
    third = clock.listen()
    assert len(clock_threads()) == 1
    assert next(third).startswith(b"event: tick\ndata: ")
    third.close()
    wait_for_silence()


@pytest.mark.parametrize(("target", "script", "data"), [("/clock", "clock.js", 'data-events="/events"'),
                                                        ("/chat", "chat.js", 'data-room="/chat/room"')])
def test_only_two_pages_may_run_a_script_and_only_this_sites(visitor: Visitor, target: str, script: str,
                                                             data: str) -> None:
    reply = visitor.get(target)
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert policy.endswith("; script-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert re.findall(r"<script[^>]*>", reply.text) == [f'<script src="/static/{script}" defer>']
    assert data in reply.text


# -- the chat


def test_what_one_says_all_hear_and_nobody_hears_more_than_text() -> None:
    with Client(create_app()) as client, client.websocket("/chat/room") as ada:
        assert json.loads(ada.receive()) == {"you": "Guest 1"}
        assert json.loads(ada.receive()) == {"who": "Guest 1", "event": "has come in.", "here": 1}
        with client.websocket("/chat/room") as bob:
            assert json.loads(bob.receive()) == {"you": "Guest 2"}
            for ws in (ada, bob):
                assert json.loads(ws.receive()) == {"who": "Guest 2", "event": "has come in.", "here": 2}
            bob.send(MARKUP)
            for ws in (ada, bob):
                assert json.loads(ws.receive()) == {"who": "Guest 2", "says": MARKUP}
            bob.send("  ")
            bob.send(b"bytes")
            with pytest.raises(Disconnected, match="1003"):
                bob.receive()
        assert json.loads(ada.receive()) == {"who": "Guest 2", "event": "has left.", "here": 1}


def all_of(ws: WebSocketSession) -> list[str | bytes]:
    """All messages until the room closes the door."""
    messages = []
    with contextlib.suppress(Disconnected):
        while True:
            messages.append(ws.receive())
    return messages


def test_who_says_too_much_is_shown_out() -> None:
    with Client(create_app()) as client:
        with client.websocket("/chat/room") as long:
            long.send("x" * 2001)
            assert len(all_of(long)) == 2
            assert long.close_code == 1009
        room = Room(clock=lambda: 5.0)
        app = App()
        app.websocket("/", on_open=room.on_open, on_message=room.on_message, on_close=room.on_close)
        with Client(app).websocket("/") as often:
            for number in range(11):
                often.send(str(number))
            assert len(all_of(often)) == 2 + 10
            assert often.close_code == 1008


def test_a_room_that_is_full_lets_nobody_in() -> None:
    room, app = Room(most=1), App()
    app.websocket("/", on_open=room.on_open, on_message=room.on_message, on_close=room.on_close)
    client = Client(app)
    with client.websocket("/"), pytest.raises(WebSocketRefused, match="503"), client.websocket("/"):
        pass
    with client.websocket("/") as ws:
        assert json.loads(ws.receive()) == {"you": "Guest 2"}


def test_without_its_library_the_page_of_the_chat_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    reply = Client(create_app()).get("/chat")
    assert "The room is closed." in reply.text
    assert "<script" not in reply.text


# -- files


@pytest.mark.parametrize(("name", "type"), [("site.css", "text/css; charset=utf-8"), ("favicon.svg", "image/svg+xml")])
def test_a_file_comes_once_and_is_304_then(visitor: Visitor, name: str, type: str) -> None:
    first = visitor.get(f"/static/{name}")
    assert (first.status, first.type) == (200, type)
    assert len(first.body) == int(first.headers["Content-Length"]) > 100
    for condition in ({"If_None_Match": first.headers["ETag"]}, {"If_Modified_Since": first.headers["Last-Modified"]}):
        second = visitor.get(f"/static/{name}", **condition)
        assert (second.status, second.body) == (304, b"")
    part = visitor.get(f"/static/{name}", Range="bytes=0-9")
    assert (part.status, part.body) == (206, first.body[:10])


def test_the_files_are_listed_elsewhere(visitor: Visitor) -> None:
    assert visitor.get("/static/site.css").headers["Cache-Control"] == "max-age=300"
    moved = visitor.get("/files")
    assert (moved.status, moved.headers["Location"]) == (301, "./files/")
    page = visitor.get("/files/").text
    assert all(f'href="{name}"' in page for name in ("clock.js", "favicon.svg", "site.css"))
    assert visitor.get("/files/clock.js").body == visitor.get("/static/clock.js").body


def test_browsers_find_the_icon_where_they_look_by_themselves(visitor: Visitor) -> None:
    reply = visitor.get("/favicon.ico")
    assert (reply.status, reply.headers["Location"]) == (301, "/static/favicon.svg")


def test_the_style_sheet_asks_for_nothing_from_elsewhere(visitor: Visitor) -> None:
    css = visitor.get("/static/site.css").text
    assert not re.search(r"@import|//|url\((?!['\"]?(data:|/static/))", css)


# -- methods


@pytest.mark.parametrize("target", ["/", "/ping", "/users/1", "/welcome", "/login", "/static/site.css",
                                    "/account", "/upload", "/clock", "/report.csv", "/tour/", "/api/notes/7"])
def test_head_is_get_without_the_body(visitor: Visitor, target: str) -> None:
    get, head = visitor.get(target), visitor.ask("HEAD", target)
    assert (head.status, head.body) == (get.status, b"")
    assert head.status == (303 if target == "/account" else 200)
    assert head.type == get.type
    if target != "/":  # which shows its own request
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_other_methods_are_refused_with_what_is_taken(visitor: Visitor) -> None:
    for method, target, status, allow in [
            ("POST", "/ping", 405, "GET, HEAD, OPTIONS"), ("GET", "/echo", 405, "OPTIONS, POST"),
            ("DELETE", "/users/1", 405, "GET, HEAD, OPTIONS"), ("OPTIONS", "/login", 204, "GET, HEAD, OPTIONS, POST")]:
        reply = visitor.ask(method, target)
        assert (reply.status, reply.headers["Allow"]) == (status, allow)
    assert visitor.ask("BREW", "/ping").status == 501


# -- curl


def curl(certificate: tuple[Path, Path], *arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", str(certificate[0]), *arguments],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_curl
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_gets_what_the_home_page_promises(site: Site, certificate: tuple[Path, Path], scheme: str,
                                               tmp_path: Path) -> None:
    url = site.plain if scheme == "http" else site.secure
    assert curl(certificate, f"{url}/ping") == "pong"
    assert curl(certificate, f"{url}/users/42") == '{"id":42,"name":"User 42"}'
    assert curl(certificate, "-X", "POST", "-H", "Content-Type: application/json", "-d", '{"name": "Ada"}',
                f"{url}/api/create") == '{"created": {"name": "Ada"}}'
    assert "Welcome, admin" in curl(certificate, "-d", "username=admin&password=secret", f"{url}/login")
    assert curl(certificate, "--data-binary", "hello", "-H", "Content-Type: text/plain", f"{url}/echo") == "hello"
    assert len(curl(certificate, "--range", "0-99", f"{url}/static/site.css")) == 100
    # Large enough for curl to ask first (`Expect: 100-continue`), in chunks, and several over one connection.
    (tmp_path / "large").write_bytes(b"x" * 2_000_000)
    upload = ["-T", str(tmp_path / "large"), "-X", "POST", "-H", "Transfer-Encoding: chunked", "-o", "/dev/null"]
    again = ["--next", "-sS", "--noproxy", "*", "--cacert", str(certificate[0])]
    said = curl(certificate, *upload, "-w", "%{http_code} %{size_download} ", f"{url}/echo",
                *again, "-w", " %{num_connects}", f"{url}/ping")
    assert said == "200 2000000 pong 0"
    put = json.loads(curl(certificate, "-T", str(tmp_path / "large"), f"{url}/upload/"))
    assert (put["name"], put["size"]) == ("large", 2_000_000)
    assert curl(certificate, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/nowhere") == "404"
