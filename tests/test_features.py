"""What the server offers, row by row, shown end to end: the demo site over a real socket, asked by `http.client`.

The first nine rows are those of the server that this one began from; the last three it did not have.
The details of each are in the tests of their modules. Here stands that they work together.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from evloop_http import Server
from evloop_http.demo.app import create_app
from serving_demo import FORM, MARKUP, Visitor

pytest.importorskip("jinja2", reason="the 'demo' extra is not installed")
pytest.importorskip("ua_parser", reason="the 'demo' extra is not installed")

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(create_app()).in_thread() as server:
        yield server.url


@pytest.fixture
def visitor(url: str) -> Iterator[Visitor]:
    visitor = Visitor(url)
    yield visitor
    visitor.close()


def test_routes_by_method_and_path(visitor: Visitor) -> None:
    assert visitor.get("/ping").body == b"pong"
    form, refused = visitor.get("/login"), visitor.ask("POST", "/login", "username=a&password=b", FORM)
    assert (form.status, refused.status) == (200, 401)
    # the same path by a method that it does not take, a path that nobody has, a method that nobody knows
    wrong = visitor.ask("POST", "/ping")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert visitor.get("/pong").status == 404
    assert visitor.ask("BREW", "/ping").status == 501
    # a slash too many, below the mount at "/" and beside it
    for path in ("welcome", "ping"):
        moved = visitor.get(f"/{path}/?a=1")
        assert (moved.status, moved.headers["Location"]) == (308, f"../{path}?a=1")


@pytest.mark.parametrize(("target", "type"), [
    ("/", HTML), ("/ping", TEXT), ("/users/1", "application/json"), ("/static/site.css", "text/css; charset=utf-8"),
    ("/static/favicon.svg", "image/svg+xml"), ("/static/clock.js", "text/javascript; charset=utf-8"), ("/files/", HTML),
    ("/report.csv", "text/csv; charset=utf-8"), ("/api/notes/1", "application/json"), ("/numbers", TEXT),
])
def test_mime_types(visitor: Visitor, target: str, type: str) -> None:
    reply = visitor.get(target)
    assert (reply.status, reply.type) == (200, type)


def test_forms_and_json(visitor: Visitor) -> None:
    fields = {"name": "Ada & Co", "work": "Nöte G"}
    multipart = "".join([f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                         for name, value in fields.items()]) + "--x--\r\n"
    for body, type in ((urlencode(fields), FORM), (multipart.encode(), "multipart/form-data; boundary=x"),
                       (json.dumps(fields), "application/json")):
        made = visitor.ask("POST", "/api/create", body, type)
        assert (made.status, json.loads(made.body)) == (201, {"created": fields})
    assert visitor.ask("POST", "/api/create", '{"name": ', "application/json").status == 400
    assert visitor.ask("POST", "/api/create", "name=Ada", "text/plain").status == 415
    file = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n\0\xff\r\n--x--\r\n"
    told = visitor.ask("POST", "/upload", file, "multipart/form-data; boundary=x")
    assert told.status == 200
    assert hashlib.sha256(b"\0\xff").hexdigest() in told.text


def test_templates(visitor: Visitor) -> None:
    page = visitor.get(f"/welcome?name={quote(MARKUP)}")
    assert (page.status, page.type) == (200, HTML)
    assert "Welcome, &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</h1>" in page.text
    assert page.text.startswith("<!DOCTYPE html>")  # of the template that this one extends
    assert '<a href="/welcome" aria-current="page">' in page.text  # by `url_for`, in a loop, under a condition
    assert "{%" not in page.text


@pytest.mark.parametrize(("agent", "name"), [
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
     "Chrome"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 "
     "Edg/126.0.0.0", "Edge"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
     "Safari/605.1.15", "Safari"),
    ("curl/8.8.0", "curl"), ("", "your browser"), (MARKUP, "your browser"),
])
def test_browser_detection(visitor: Visitor, agent: str, name: str) -> None:
    assert f" with {name}, over" in visitor.get("/", User_Agent=agent).text


def test_size_limits(url: str) -> None:
    def status(method: str, target: str, **headers: str) -> int:
        visitor = Visitor(url)  # each refusal ends its connection
        try:
            return visitor.begin(method, target, **headers).status
        finally:
            visitor.close()

    assert status("GET", "/ping?" + "x" * 9000) == 414
    assert status("GET", "/ping", X_Large="x" * 33_000) == 431
    assert status("GET", "/ping", **{f"X_{number}": "x" for number in range(101)}) == 431
    assert status("POST", "/echo", Content_Length=str(10 * 1024 * 1024 + 1)) == 413  # before a byte of it is sent
    visitor = Visitor(url)  # an application may be content with less; the connection goes on
    for size, expected in ((64 * 1024, 201), (64 * 1024 + 1, 413), (2, 201)):
        assert visitor.ask("POST", "/api/create", "{}".ljust(size), "application/json").status == expected
    visitor.close()


def test_traversal_protection(visitor: Visitor) -> None:
    for mount in ("/static", "/files"):
        assert visitor.get(f"{mount}/site.css").status == 200
        for way in ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/..%5capp.py", "/....//app.py", "//etc/passwd",
                    "/%2fetc/passwd", "/./../app.py", "/site.css/../../app.py", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd"):
            reply = visitor.get(mount + way)
            assert reply.status in (400, 404), way
            assert "import" not in reply.text
            assert "root:" not in reply.text
        assert visitor.get(f"{mount}/site.css%00.png").status in (400, 404)
    # The name of a file that is sent is no path either.
    file = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../etc/passwd\"\r\n\r\nx\r\n--x--\r\n"
    told = visitor.ask("POST", "/upload", file, "multipart/form-data; boundary=x")
    assert ">passwd<" in told.text
    assert "etc" not in told.text


def test_response_helpers(visitor: Visitor) -> None:
    assert (visitor.get("/ping").type, visitor.get("/users/42").body) == (TEXT, b'{"id":42,"name":"User 42"}')
    html = visitor.get("/api/notes/1", Accept="text/html")
    assert (html.type, html.body.startswith(b"<!doctype html>")) == (HTML, True)
    moved = visitor.get("/old")
    assert (moved.status, moved.headers["Location"], moved.body) == (301, "/welcome?name=wanderer", b"")
    saved = visitor.get("/report.csv")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    assert visitor.get("/report.csv", If_None_Match=saved.headers["ETag"]).status == 304
    streamed = visitor.get("/numbers?to=3000")
    assert (streamed.headers["Transfer-Encoding"], streamed.text.count("\n")) == ("chunked", 3000)
    part = visitor.get("/static/site.css", Range="bytes=0-9")
    assert (part.status, len(part.body)) == (206, 10)
    cookie = visitor.ask("POST", "/login", "username=admin&password=secret", FORM).headers["Set-Cookie"]
    assert cookie.endswith("HttpOnly; SameSite=Lax")
    assert visitor.get("/account", Cookie=cookie.partition(";")[0]).status == 200
    events = visitor.begin("GET", "/events")
    assert (events.headers["Content-Type"], events.readline()) == ("text/event-stream", b"event: tick\n")
    events.close()


def test_custom_404(visitor: Visitor) -> None:
    for target, heading in (("/nowhere", "There is no such room"), ("/static/nowhere", "There is no such room"),
                            ("/tour/nowhere", "The tour does not go there")):
        page = visitor.get(target)
        assert (page.status, page.type) == (404, HTML)
        assert f"<h1>{heading}</h1>" in page.text
    problem = visitor.get("/api/nowhere", Accept="application/json")
    assert (problem.status, problem.type) == (404, "application/problem+json")


def test_path_parameters(visitor: Visitor) -> None:
    uuid = "0F0E0D0C-0b0a-4908-8706-050403020100"
    assert json.loads(visitor.get("/users/42").body)["id"] == 42
    assert "A Thursday" in visitor.get("/tour/days/2024-02-29").text  # a converter of the site's own
    assert uuid.lower() in visitor.get(f"/tour/things/{uuid}").text
    way = visitor.get("/tour/ways/first%20floor/%C3%BC").text
    assert 'href="/tour/ways/first%20floor/%C3%BC">ü</a>' in way  # and back again, by `url_for`
    for target in ("/users/ada", "/users/1.5", "/tour/days/2023-02-29", "/tour/days/today", "/tour/things/7",
                   "/tour/ways/"):
        assert visitor.get(target).status == 404, target


def test_middleware(visitor: Visitor) -> None:
    page = visitor.get("/", Accept_Encoding="gzip", X_Request_ID="mine")  # request_id, security_headers, gzip
    assert page.headers["X-Request-ID"] == "mine"
    assert re.fullmatch("[0-9a-f]{32}", visitor.get("/", X_Request_ID="not mine\t").headers["X-Request-ID"])
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Content-Encoding"] == "gzip"
    assert "<code class=\"long\">mine</code>" in gzip.decompress(page.body).decode()
    note = visitor.get("/api/notes/7", Origin="https://other.example")  # cors, etag
    assert note.headers["Access-Control-Allow-Origin"] == "*"
    assert visitor.get("/api/notes/7", If_None_Match=note.headers["ETag"]).status == 304
    assert visitor.get("/api/notes/7", If_Match='"other"').status == 412
    assert visitor.ask("POST", "/api/notes/7", X_HTTP_Method_Override="DELETE").status == 204  # method_override
    assert visitor.ask("POST", "/api/create", b" " * (64 * 1024 + 1), "application/json").status == 413  # body_limit
    password = base64.b64encode(b"admin:secret").decode()  # basic_auth
    assert (visitor.get("/private").status, visitor.get("/private", Authorization=f"Basic {password}").status) \
        == (401, 200)
    plain = visitor.get("/ping", Origin="https://other.example")  # and none of it where it was not asked for
    assert sorted(plain.headers) == ["Content-Length", "Content-Type", "Date", "Server"]


def test_all_methods(visitor: Visitor) -> None:
    sent = json.dumps({"text": "Hello"})
    get, head = visitor.get("/api/notes/7"), visitor.ask("HEAD", "/api/notes/7")
    assert (get.status, json.loads(get.body)) == (200, {"id": 7, "text": "This is note 7."})
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(get.body)))
    assert visitor.ask("POST", "/api/create", sent, "application/json").status == 201
    for method in ("PUT", "PATCH"):
        changed = visitor.ask(method, "/api/notes/7", sent, "application/json")
        assert (changed.status, json.loads(changed.body)) == (200, {"id": 7, "text": "Hello"})
    assert visitor.ask("DELETE", "/api/notes/7").status == 204
    options = visitor.ask("OPTIONS", "/api/notes/7")
    assert (options.status, options.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
    assert visitor.ask("OPTIONS", "*").status == 204
    assert visitor.ask("TRACE", "/api/notes/7").status == 405
