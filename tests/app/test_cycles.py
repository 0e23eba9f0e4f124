"""No kind of answer leaves anything to the garbage collector: an error must not keep a request and its body alive."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from asking import PATIENCE, answer, content, make_request
from evloop_http import App, HTTPError, Request, Response, StaticFiles
from evloop_http.app import responses
from evloop_http.app.events import EventStream
from evloop_http.app.middleware import (
    CallNext,
    after,
    basic_auth,
    body_limit,
    cors,
    etag,
    gzip,
    method_override,
    request_id,
    security_headers,
)
from evloop_http.messages import STREAM, Pipe
from evloop_http.messages.futures import Late
from evloop_http.messages.pending import Pending
from evloop_http.testing import Client
from settling import Kind, settle
from settling import fail as fail_with

NOTHING: dict[str, str] = {}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def refuse(request: Request) -> None:
    raise HTTPError(418, "No.")


def fail(request: Request) -> None:
    raise ZeroDivisionError


class Waiting:
    """A handler whose futures are ended by the test."""

    def __init__(self) -> None:
        self.kind: Kind = Future
        self.futures: list[Late] = []

    def __call__(self, request: Request) -> Late:
        self.futures.append(self.kind())
        return self.futures[-1]


pending = Waiting()


def end_with_text(future: Late) -> None:
    settle(future, "late")


def end_with_refusal(future: Late) -> None:
    fail_with(future, HTTPError(418))


def end_with_failure(future: Late) -> None:
    fail_with(future, ZeroDivisionError())


def end_by_cancelling(future: Future[Any]) -> None:
    future.cancel()


def make_app(tmp_path: Path) -> App:
    (tmp_path / "small").write_bytes(b"x" * 100)
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    app = App(threads=1)
    for middleware in (request_id(), security_headers(), cors("*"), gzip(), etag(), body_limit(100)):
        app.middleware(middleware)
    app.middleware(method_override(app, header="X-Method"))
    app.get("/")(lambda request: "x" * 2000)
    app.get("/none")(lambda request: None)
    app.get("/bytes")(lambda request: responses.attachment(b"x", "name"))
    app.get("/pieces")(lambda request: Response(iter([b"a", b"b"])))
    app.get("/events")(lambda request: EventStream().response())
    app.get("/refuse")(refuse)
    app.get("/fail")(fail)
    app.get("/wrong")(lambda request: object())
    app.post("/json")(lambda request: request.json())
    app.post("/form")(lambda request: [*request.form, *[file.read().decode() for file in request.files.get_all("a")]])
    app.post("/stream", stream=True)(lambda request: Response(piece for piece in request.stream()))
    app.post("/sum", stream=True)(lambda request: str(sum(map(len, request.stream()))))
    app.post("/body", stream=True)(lambda request: request.body)
    app.get("/thread")(lambda request: "x")
    app.get("/pending")(pending)
    app.converter("bad", "[a-z]+", lambda text: NOTHING[text])
    app.get("/bad/{x:bad}")(lambda request, x: x)
    app.error(404)(lambda request, error: f"the page for {error}")
    inner = App(threads=1)
    inner.middleware(basic_auth({"a": "b"}, "x"))
    inner.get("/")(lambda request: "inner")
    app.mount("/private", inner)
    app.mount("/files", StaticFiles(tmp_path, listing=True))
    for name, handler in (("text", lambda request: "x"), ("refuse", refuse), ("fail", fail),
                          ("pieces", lambda request: Response(iter([b"a"])))):
        app.get(f"/thread/{name}", threaded=True)(handler)
    return app


KINDS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "text": ("GET", "/", {}, b""),
    "compressed": ("GET", "/", {"Accept-Encoding": "gzip"}, b""),
    "not modified": ("GET", "/", {"If-None-Match": "*"}, b""),
    "failed precondition": ("GET", "/", {"If-Match": '"x"'}, b""),
    "nothing": ("GET", "/none", {}, b""),
    "download": ("GET", "/bytes", {}, b""),
    "pieces": ("GET", "/pieces", {}, b""),
    "events": ("GET", "/events", {}, b""),
    "options": ("OPTIONS", "/", {}, b""),
    "preflight": ("OPTIONS", "/", {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}, b""),
    "not found": ("GET", "/nowhere", {}, b""),
    "wrong method": ("DELETE", "/", {}, b""),
    "unknown method": ("BREW", "/", {}, b""),
    "redirect": ("GET", "/none/", {}, b""),
    "refused by a handler": ("GET", "/refuse", {}, b""),
    "failed": ("GET", "/fail", {}, b""),
    "wrong type": ("GET", "/wrong", {}, b""),
    "converter failed": ("GET", "/bad/x", {}, b""),
    "bad json": ("POST", "/json", JSON, b"{"),
    "form": ("POST", "/form", FORM, b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--"),
    "file of a form": ("POST", "/form", FORM,
                       b"--b\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\nx\r\n--b--"),
    "bad form": ("POST", "/form", FORM, b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b-"),
    "bad part": ("POST", "/form", FORM, b"--b\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--b--"),
    "wrong media type": ("POST", "/json", {}, b"{}"),
    "too large": ("POST", "/json", JSON, b"x" * 101),
    "overridden": ("POST", "/", {"X-Method": "DELETE"}, b""),
    "stream": ("POST", "/stream", {}, b"abc"),
    "stream and body": ("POST", "/body", {}, b"abc"),
    "unauthorized": ("GET", "/private", {}, b""),
    "mounted": ("GET", "/private", {"Authorization": "Basic YTpi"}, b""),
    "thread": ("GET", "/thread/text", {}, b""),
    "thread refuses": ("GET", "/thread/refuse", {}, b""),
    "thread fails": ("GET", "/thread/fail", {}, b""),
    "thread and pieces": ("GET", "/thread/pieces", {}, b""),
    "file": ("GET", "/files/small", {}, b""),
    "large file": ("GET", "/files/large", {}, b""),
    "no file": ("GET", "/files/nowhere", {}, b""),
    "no method for files": ("PUT", "/files/small", {}, b""),
    "listing": ("GET", "/files/", {}, b""),
    "part": ("GET", "/files/large", {"Range": "bytes=1-2"}, b""),
    "parts": ("GET", "/files/large", {"Range": "bytes=1-2, 900-901"}, b""),
    "no part": ("GET", "/files/large", {"Range": "bytes=200000-"}, b""),
    "file not modified": ("GET", "/files/small", {"If-None-Match": "*"}, b""),
    "file precondition": ("GET", "/files/small", {"If-Match": '"x"'}, b""),
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pytest from keeping the errors that are logged."""
    monkeypatch.setattr(logging.getLogger("evloop_http.app"), "disabled", True)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = make_app(tmp_path)
    yield app
    app.close()


def left_by(act: Callable[[], object]) -> int:
    """How many objects are left to the collector when something is done that was done before."""
    for _ in range(2):
        act()
    gc.collect()
    gc.disable()
    try:
        act()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_leaves_a_cycle(app: App, kind: str) -> None:
    method, target, headers, body = KINDS[kind]

    def ask() -> None:
        content(answer(app, make_request(method, target, headers, body)))

    assert left_by(ask) == 0


@pytest.mark.parametrize("kind", [kind for kind, asked in KINDS.items() if asked[0] in ("POST", "PUT", "DELETE")])
def test_no_request_that_is_prepared_leaves_a_cycle(app: App, kind: str) -> None:
    method, target, headers, body = KINDS[kind]

    def ask() -> None:
        request = make_request(method, target, headers, body)
        decision = app.prepare(request)
        content(decision if isinstance(decision, Response) else answer(app, request))

    assert left_by(ask) == 0


@pytest.mark.parametrize("end", [end_with_text, end_with_refusal, end_with_failure, end_by_cancelling])
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("breaks", [False, True])
def test_no_future_leaves_a_cycle(app: App, end: Callable[[Late], None], mounted: bool, breaks: bool) -> None:
    def break_off(response: Response) -> None:
        if breaks:
            raise HTTPError(409)

    outer = App()
    outer.mount("/in", app)
    outer.middleware(lambda request, call_next: after(call_next(request), break_off))

    def ask() -> None:
        future = (outer if mounted else app)(make_request("GET", "/in/pending" if mounted else "/pending"))
        end(pending.futures.pop())
        assert isinstance(future, Pending)
        if not future.cancelled():
            content(future.result(PATIENCE))

    assert left_by(ask) == 0


def test_an_error_of_after_outside_of_an_application_leaves_no_cycle() -> None:
    def break_off(response: Response) -> None:
        raise HTTPError(409)

    def ask() -> None:
        source: Future[Response] = Future()
        future = after(source, break_off)
        source.set_result(Response())
        assert isinstance(future.exception(0), HTTPError)
        del source, future  # the error refers to this frame too, from which the future was ended

    assert left_by(ask) == 0


def end_upload(pipe: Pipe) -> None:
    pipe.end()


def lose_upload(pipe: Pipe) -> None:
    pipe.end(HTTPError(400))


def break_upload_off(pipe: Pipe) -> None:
    while not pipe.break_off(HTTPError(408)):  # not before somebody waits
        threading.Event().wait(0.0001)


@pytest.mark.parametrize(("target", "end"), [("/sum", end_upload), ("/sum", lose_upload), ("/sum", break_upload_off),
                                             ("/stream", end_upload), ("/stream", lose_upload)])
def test_no_upload_leaves_a_cycle(app: App, target: str, end: Callable[[Pipe], None]) -> None:
    def ask() -> None:
        request, pipe = make_request("POST", target), Pipe()
        assert app.prepare(request) is STREAM
        request.receive(pipe)
        pipe.write(b"some")
        future = app(request)
        assert isinstance(future, Pending)
        end(pipe)
        response = future.result(PATIENCE)
        with contextlib.suppress(HTTPError):  # in the middle of a body that is made of it
            content(response)
        app.stream_threads.close()  # so that the thread has let go of it too

    assert left_by(ask) == 0


@pytest.mark.parametrize("kind", [Future, Pending])
@pytest.mark.parametrize("ends", [False, True])
def test_an_abandoned_middleware_leaves_no_cycle(app: App, monkeypatch: pytest.MonkeyPatch, kind: Kind,
                                                 ends: bool) -> None:
    monkeypatch.setattr(pending, "kind", kind)
    ends = ends and kind is Future  # or it has been cancelled

    @app.middleware
    def closed(request: Request, call_next: CallNext) -> str:
        call_next(request).close()
        return "closed"

    def ask() -> None:
        content(answer(app, make_request("GET", "/pending")))
        future = pending.futures.pop()
        if ends:
            settle(future, "for nobody")

    assert left_by(ask) == 0


def test_the_client_for_tests_leaves_no_cycle(app: App) -> None:
    client = Client(app)
    assert left_by(lambda: client.get("/nowhere")) == 0
