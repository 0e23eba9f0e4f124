"""Every route of the demo site, asked for over real sockets by foreign clients: `http.client` and curl."""

from __future__ import annotations

import http.client
import json
import logging
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin

import pytest

from asking import PATIENCE
from serving_demo import Site, serve_demo

pytest.importorskip("jinja2", reason="the 'demo' extra is not installed")
pytest.importorskip("multipart", reason="the 'demo' extra is not installed")
pytest.importorskip("ua_parser", reason="the 'demo' extra is not installed")

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
FORM = "application/x-www-form-urlencoded"
MARKUP = "<script>alert('x')</script>"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Reply(NamedTuple):
    """An answer, read whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def type(self) -> str:
        return self.headers["Content-Type"]


class Visitor:
    """A client with one connection that is kept."""

    def __init__(self, url: str, certificate: Path) -> None:
        address = url.partition("://")[2]
        self.url = url
        if url.startswith("http:"):
            self._client = http.client.HTTPConnection(address, timeout=PATIENCE)
        else:
            context = ssl.create_default_context(cafile=certificate)
            self._client = http.client.HTTPSConnection(address, timeout=PATIENCE, context=context)

    def ask(self, method: str, target: str, body: bytes | str | None = None, type: str | None = None,
            **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if type is not None:
            sent["Content-Type"] = type
        self._client.request(method, target, body, sent)
        reply = self._client.getresponse()
        return Reply(reply.status, reply.headers, reply.read())

    def get(self, target: str, **headers: str) -> Reply:
        return self.ask("GET", target, **headers)

    def close(self) -> None:
        self._client.close()


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
    odd = {"/nowhere": 404, "/users/ada": 404, "/panic": 500, "/data": 400, "/echo": 405, "/api/create": 405}
    followed = set()
    for link in links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
        elif not link.startswith("https:"):
            target = urljoin("/", link)
            assert visitor.get(target).status == odd.get(target, 200), target
            followed.add(target)
    assert {"/", "/ping", "/users/42", "/data", "/welcome", "/login", "/panic", "/nowhere", "/static/site.css",
            "/static/favicon.svg", "/api/create", "/echo"} <= followed


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
    assert reply.headers.get_all("Set-Cookie") is None


@pytest.mark.parametrize(("username", "password"), [
    ("admin", "wrong"), ("nobody", "secret"), ("", ""), ("admin", "secret "), ("Admin", "secret"), ("admin", "sécret"),
    (MARKUP, MARKUP), ("admin' --", "x"), ("admin", "secret\0"),
])
def test_the_wrong_password_is_401_and_is_not_shown(visitor: Visitor, username: str, password: str) -> None:
    reply = log_in(visitor, username, password)
    assert_is_page(reply, 401)
    assert reply.headers["WWW-Authenticate"] == 'Form realm="demo"'
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


def test_browsers_find_the_icon_where_they_look_by_themselves(visitor: Visitor) -> None:
    reply = visitor.get("/favicon.ico")
    assert (reply.status, reply.headers["Location"]) == (301, "/static/favicon.svg")


def test_the_style_sheet_asks_for_nothing_from_elsewhere(visitor: Visitor) -> None:
    css = visitor.get("/static/site.css").text
    assert not re.search(r"@import|//|url\((?!['\"]?(data:|/static/))", css)


# -- methods


@pytest.mark.parametrize("target", ["/", "/ping", "/users/1", "/welcome", "/login", "/static/site.css"])
def test_head_is_get_without_the_body(visitor: Visitor, target: str) -> None:
    get, head = visitor.get(target), visitor.ask("HEAD", target)
    assert (head.status, head.body) == (200, b"")
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
    assert curl(certificate, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/nowhere") == "404"
