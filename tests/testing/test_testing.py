"""The client for tests, and the fixtures for pytest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from evloop_http import App, EventStream, HTTPError, Request, Response
from evloop_http.messages import FileBody, Upgrade
from evloop_http.testing import Client, Files
from fakes import SwitchedEcho


def make_app() -> App:
    app = App()

    @app.get("/users/{id:int}")
    def user(request: Request, id: int) -> dict[str, Any]:
        return {"id": id, "page": request.query.get_all("page")}

    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def echo(request: Request) -> Response:
        return Response(request.body, headers=[("X-Method", request.method), ("X-Client", request.client),
                                               ("X-Url", request.url), ("X-Seen", request.headers.get("x-own", ""))],
                        content_type=request.headers.get("content-type", "text/plain"))

    @app.post("/form")
    def form(request: Request) -> dict[str, Any]:
        return {"fields": {name: request.form.get_all(name) for name in request.form},
                "files": {name: [file.filename, file.content_type, file.read().decode()]
                          for name, file in request.files.items()}}

    @app.get("/login")
    def login(request: Request) -> Response:
        return Response("in", headers=[("Set-Cookie", "session=abc; Path=/; HttpOnly"),
                                       ("Set-Cookie", "only=here; Path=/login"), ("Set-Cookie", "safe=x; Secure")])

    @app.get("/logout")
    def logout(request: Request) -> Response:
        return Response("out", headers={"Set-Cookie": "session=; Path=/; Max-Age=0"})

    @app.get("/cookies")
    def cookies(request: Request) -> dict[str, str]:
        return request.cookies

    @app.route("/to/{status:int}", methods=["GET", "POST"])
    def to(request: Request, status: int) -> Response:
        return Response("moved", status, {"Location": "../echo?moved"})

    @app.get("/round")
    def around(request: Request) -> Response:
        return Response(status=302, headers={"Location": "/round"})

    @app.get("/pieces")
    def pieces(request: Request) -> Response:
        return Response(iter([b"one", b"two"]))
    return app


def test_a_client_asks_and_reads_json() -> None:
    with Client(make_app()) as client:
        reply = client.get("/users/7", query={"page": [1, 2]})
        assert (reply.status, reply.reason, reply.json()) == (200, "OK", {"id": 7, "page": ["1", "2"]})
        assert reply.url == "http://localhost/users/7?page=1&page=2"
        assert client.get("/users/7?page=1", query=[("page", 3)]).json()["page"] == ["1", "3"]
        assert repr(client.get("/users/x")) == f"<Reply 404 {len(client.get('/users/x').body)} bytes>"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_every_method_has_its_function(method: str) -> None:
    reply = getattr(Client(make_app()), method)("/echo", body="hi", headers={"X-Own": "1"})
    assert (reply.headers["X-Method"], reply.headers["X-Seen"], reply.text) == (method.upper(), "1", "hi")


def test_head_and_options_answer_as_on_the_wire() -> None:
    client = Client(make_app())
    assert client.options("/echo").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    head = client.head("/users/7")
    assert head.body == b""
    assert head.headers["Content-Length"] == client.get("/users/7").headers["Content-Length"]
    assert client.options("/*").status == 204


def test_a_client_says_where_it_comes_from_and_whom_it_asks() -> None:
    client = Client(make_app(), base="https://shop.example:8443", address="10.0.0.7", headers={"X-Own": "always"})
    reply = client.get("/echo")
    assert (reply.headers["X-Client"], reply.headers["X-Seen"]) == ("10.0.0.7", "always")
    assert reply.headers["X-Url"] == "https://shop.example:8443/echo"
    assert client.get("http://other.example/echo", headers={"x-own": "now"}).headers["X-Seen"] == "now"
    assert client.get("http://other.example/echo").headers["X-Url"] == "http://other.example/echo"


def test_content_is_sent_as_json_as_a_form_or_with_files() -> None:
    client = Client(make_app())
    sent = client.post("/echo", json={"a": [1, None]})
    assert (sent.headers["Content-Type"], sent.json()) == ("application/json", {"a": [1, None]})
    assert client.post("/form", form={"a": ["1", "2"], "b": "é&"}).json() == {
        "fields": {"a": ["1", "2"], "b": ["é&"]}, "files": {}}
    files: Files = {"plain": b"just bytes", "named": ('odd"na\r\nme.txt', b"text", "text/plain"), "two": ("t.bin", b"")}
    assert client.post("/form", form={"a": 1, "b": ["x", b"y"]}, files=files).json() == {
        "fields": {"a": ["1"], "b": ["x", "y"]},
        "files": {"plain": ["plain", "application/octet-stream", "just bytes"],
                  "named": ['odd"na\r\nme.txt', "text/plain", "text"],
                  "two": ["t.bin", "application/octet-stream", ""]}}
    with pytest.raises(ValueError, match="one content"):
        client.post("/form", form={"a": 1}, json={})
    with pytest.raises(ValueError, match="character"):
        client.post("/form", files={"a": ("b", b"", "text/plain\r\nX: y")})


def test_cookies_are_kept_as_a_browser_would() -> None:
    client = Client(make_app())
    client.get("/login")
    assert client.get("/cookies").json() == {"session": "abc"}
    assert client.get("https://localhost/cookies").json() == {"session": "abc", "safe": "x"}
    assert client.get("http://elsewhere.example/cookies").json() == {}
    assert client.get("/cookies", headers={"Cookie": "own=1"}).json() == {"own": "1"}
    client.get("/logout")
    assert client.get("/cookies").json() == {}


@pytest.mark.parametrize(("status", "method", "body"), [
    (301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "sent"), (308, "POST", "sent")])
def test_redirects_are_followed_on_request(status: int, method: str, body: str) -> None:
    client = Client(make_app())
    assert client.post(f"/to/{status}", body="sent").status == status
    reply = client.post(f"/to/{status}", body="sent", follow=True)
    assert (reply.status, reply.headers["X-Method"], reply.text) == (200, method, body)
    assert reply.url == "http://localhost/echo?moved"
    assert [before.status for before in reply.history] == [status]
    assert Client(make_app(), follow=True).get(f"/to/{status}").status == 200


def test_redirects_without_an_end_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="redirects"):
        Client(make_app(), follow=True).get("/round")


def test_answers_in_pieces_of_files_and_of_futures_come_whole(tmp_path: Path) -> None:
    client = Client(make_app())
    assert client.get("/pieces").text == "onetwo"
    (tmp_path / "f").write_bytes(b"0123456789")
    file = (tmp_path / "f").open("rb")
    assert Client(lambda request: Response(FileBody(file, 2, 5))).get("/").body == b"23456"
    assert file.closed
    done: Future[Response] = Future()
    done.set_result(Response("later"))
    assert Client(lambda request: done).get("/").text == "later"


def test_an_answer_that_no_server_could_send_fails_the_test() -> None:
    with pytest.raises(RuntimeError, match="Content-Length"):
        Client(lambda request: Response("four", headers={"Content-Length": "3"})).get("/")
    with pytest.raises(RuntimeError, match="longer"):
        Client(lambda request: Response(iter([b"four"]), headers={"Content-Length": "3"})).get("/")
    with pytest.raises(TypeError, match="returns a Response"):
        Client(lambda request: "text").get("/")  # type: ignore[arg-type]


def test_a_stream_of_events_is_read_as_far_as_it_was_written_and_then_left() -> None:
    closed: list[bool] = []

    def events(request: Request) -> Response:
        stream = EventStream(on_close=lambda: closed.append(stream.closed))
        stream.send("one")
        stream.send("two")
        return stream.response()

    app = App()
    app.get("/events")(events)
    app.get("/thread", threaded=True)(events)
    with Client(app) as client:
        for path in ("/events", "/thread"):
            reply = client.get(path)
            assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
            assert reply.text == "data: one\n\ndata: two\n\n"
        assert client.head("/events").body == b""
    assert closed == [True] * 3


def test_a_body_that_a_thread_produces_is_read_to_its_end_or_as_long_as_there_is_patience() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"one"
        go_on.wait(30)
        yield b"two"

    app = App()
    app.get("/slow", threaded=True)(lambda request: Response(slow()))
    app.get("/fails", threaded=True)(lambda request: Response(1 // number for number in range(2)))  # type: ignore[misc]
    with Client(app, patience=0.01) as client:
        with pytest.raises(TimeoutError, match="no end"):
            client.get("/slow")
        go_on.set()
    with Client(app) as client:
        assert client.get("/slow").body == b"onetwo"
        with pytest.raises(ZeroDivisionError):
            client.get("/fails")


def test_a_handler_that_takes_its_body_as_a_stream_gets_one() -> None:
    app = App()
    app.post("/", stream=True)(lambda request: Response(piece.upper() for piece in request.stream()))
    with Client(app) as client:
        assert client.post("/", body="abc").body == b"ABC"
        assert client.post("/").body == b""


def test_an_application_without_an_app_is_asked_as_a_server_asks_it() -> None:
    class Own(Request):
        pass

    class Foreign:
        request_class = Own

        def __init__(self) -> None:
            self.closed = False

        def prepare(self, request: Own) -> Response:
            raise AssertionError("the body comes with the head")

        def __call__(self, request: Own) -> Response:
            peer = request.peer
            return Response(f"{type(request).__name__} {peer.address} {peer.port} {peer.server} {request.scheme}")

        def close(self) -> None:
            self.closed = True

    foreign = Foreign()
    with Client(foreign, base="https://shop.example:8443", address="10.0.0.7") as client:
        assert client.post("/", body="x").text == "Own 10.0.0.7 49152 ('shop.example', 8443) https"
    assert foreign.closed
    with pytest.raises(TypeError, match="str"):
        Client("module:app")  # type: ignore[arg-type]


def test_a_client_cannot_switch_protocols_and_says_so() -> None:
    protocol = SwitchedEcho()
    with pytest.raises(RuntimeError, match="cannot switch protocols"):
        Client(lambda request: Upgrade(protocol, "echo")).get("/")


def test_a_request_that_no_server_would_take_is_refused() -> None:
    with pytest.raises(ValueError, match="no server would accept"):
        Client(make_app()).get("/a b")
    with pytest.raises(ValueError, match="character"):
        Client(make_app()).get("/", headers={"X": "a\r\nY: b"})


def test_what_an_application_raises_reaches_the_test_and_an_http_error_is_its_answer() -> None:
    def fail(request: Request) -> Response:
        raise LookupError("mine")

    def refuse(request: Request) -> Response:
        raise HTTPError(418)
    with pytest.raises(LookupError, match="mine"):
        Client(fail).get("/")
    assert Client(refuse).get("/").status == 418


def test_a_reply_is_text_by_its_charset() -> None:
    latin = Client(lambda request: Response(b"\xe9", content_type='text/plain; charset="latin-1"'))
    assert latin.get("/").text == "é"


PLUGIN_TEST = """
import urllib.request
import pytest
from evloop_http import Response

@pytest.fixture
def app():
    return lambda request: Response(b"pong")

def fetch(server):
    with urllib.request.urlopen(server.url) as answer:
        return answer.read()

def test_the_fixture_serves_the_app(server):
    assert fetch(server) == b"pong"

def test_several_are_served_with_options(serve):
    first, second = serve(lambda request: Response("1")), serve(lambda request: Response("2"), max_connections=5)
    assert (fetch(first), fetch(second)) == (b"1", b"2")
    served.append(first)

served = []

def test_it_is_closed_when_the_test_is_over():
    with pytest.raises(OSError):
        fetch(served[0])
"""


def test_the_fixtures_serve_on_a_free_port_and_close(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(PLUGIN_TEST)
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "evloop_http.pytest_plugin", "-c", "/dev/null"]
        ended = subprocess.run([*command, "-o", f"cache_dir={cache}", "--rootdir", tmp_path, tmp_path / "test_mine.py"],
                               capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
