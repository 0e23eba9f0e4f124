"""Before the body: how a request with a body is routed, refused or streamed, once and in one piece."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from asking import answer, content, make_request
from evloop_http import App, HTTPError, Request, Response, Server, StaticFiles
from evloop_http.app.middleware import CallNext, after, basic_auth, body_limit, method_override
from evloop_http.app.routing.router import Router
from evloop_http.messages import GATHER, STREAM, Pipe, Preparation
from evloop_http.messages.futures import Late
from evloop_http.messages.pending import Pending
from fakes import FakeNet, post

NOTHING: dict[str, str] = {}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def app() -> Iterator[App]:
    app = App(threads=1)
    yield app
    app.close()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path of every request that a router was asked about."""
    paths: list[str] = []
    real = Router.find

    def find(router: Router, request: Any) -> Any:
        paths.append(request.path)
        return real(router, request)

    monkeypatch.setattr(Router, "find", find)
    return paths


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Every request that was made."""
    requests: list[Request] = []
    real = Request.__init__

    def init(request: Request, *arguments: Any, **named: Any) -> None:
        requests.append(request)
        real(request, *arguments, **named)

    monkeypatch.setattr(Request, "__init__", init)
    return requests


def here(request: Request, **params: Any) -> dict[str, Any]:
    return {"path": request.path, "whole": request.head.path, "params": params, "size": len(request.body)}


def tracing(trace: list[str], name: str) -> Callable[[Request, CallNext], Response]:
    def middleware(request: Request, call_next: CallNext) -> Response:
        trace.append(f"{name} in {request.path}")

        def note(response: Response) -> None:
            trace.append(f"{name} out {response.status}")
        return after(call_next(request), note)
    return middleware


def refusal(app: App, method: str, target: str, headers: Any = (), body: bytes = b"x") -> Response:
    decision = app.prepare(make_request(method, target, headers, body))
    assert isinstance(decision, Response)
    return decision


def nested(innermost: App) -> App:
    """`innermost` below /a/b of what is returned."""
    middle, outer = App(), App()
    middle.mount("/b", innermost)
    outer.mount("/a", middle)
    return outer


# -- once


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_request_with_a_body_is_routed_once_by_every_application_and_is_one_object(
        app: App, found: list[str], made: list[Request], pieces: int) -> None:
    app.post("/x/{id:int}")(here)
    net = FakeNet(nested(app))
    peer = net.connect()
    raw = post(b"0123456789", target="/a/b/x/7")
    peer.send(*([raw] if pieces == 1 else [raw[:-5], raw[-5:]]))
    assert peer.answers()[0].body == b'{"path":"/x/7","whole":"/a/b/x/7","params":{"id":7},"size":10}'
    assert found == ["/a/b/x/7", "/b/x/7", "/x/7"]
    assert len(made) == 1
    net.close()


def test_the_request_is_as_before_for_the_middleware_further_out(app: App) -> None:
    trace: list[str] = []
    app.post("/x/{id:int}")(here)
    outer = nested(app)
    for name, application in (("outer", outer), ("inner", app)):
        application.middleware(tracing(trace, name))
    request = make_request("POST", "/a/b/x/7", body=b"x")
    assert outer.prepare(request) is GATHER
    assert (request.path, dict(request.params), trace) == ("/a/b/x/7", {}, [])
    assert answer(outer, request).status == 200
    assert trace == ["outer in /a/b/x/7", "inner in /x/7", "inner out 200", "outer out 200"]


def test_what_was_found_does_not_hold_for_another_path_or_method(app: App, found: list[str]) -> None:
    app.post("/old")(lambda request: "old")
    app.put("/new")(lambda request: "new")
    outer = App()
    outer.mount("/in", app)

    @outer.middleware
    def rewrite(request: Request, call_next: CallNext) -> Response:
        request.path, request.method = "/in/new", "PUT"
        return call_next(request)

    request = make_request("POST", "/in/old", body=b"x")
    assert outer.prepare(request) is GATHER
    assert content(answer(outer, request)) == b"new"
    assert found == ["/in/old", "/old", "/new"]


def test_the_parameters_of_a_host_and_of_a_path_are_kept(app: App) -> None:
    app.post("/x/{id:int}")(here)
    outer = App()
    outer.host("{sub}.test", app)
    request = make_request("POST", "http://a.test/x/7")
    assert outer.prepare(request) is GATHER
    assert b'"params":{"sub":"a","id":7}' in content(answer(outer, request))


# -- refused


def test_what_no_route_takes_is_refused_with_all_the_middleware_once(app: App) -> None:
    trace: list[str] = []
    app.post("/here")(here)
    app.error(404)(lambda request, error: "the inner page")
    app.middleware(tracing(trace, "inner"))
    outer = nested(app)
    outer.middleware(tracing(trace, "outer"))
    missing = refusal(outer, "POST", "/a/b/nowhere")
    assert (missing.status, content(missing)) == (404, b"the inner page")
    assert trace == ["outer in /a/b/nowhere", "inner in /nowhere", "inner out 404", "outer out 404"]
    other = refusal(outer, "PUT", "/a/b/here")
    assert (other.status, other.headers["Allow"]) == (405, "OPTIONS, POST")
    assert refusal(outer, "POST", "/a/b/here/").headers["Location"] == "../here"
    assert refusal(outer, "POST", "/elsewhere").status == 404
    assert refusal(outer, "BREW", "/elsewhere").status == 501


@pytest.mark.parametrize(("path", "headers", "size", "status"), [
    ("/x", {"Authorization": "Basic YTpi"}, 10, None), ("/x", {"Authorization": "Basic YTpi"}, 11, 413),
    ("/x", {"Authorization": "Basic YTpj"}, 10, 401), ("/x", {}, 10, 401), ("/x", {}, 11, 413),
    ("/nowhere", {"Authorization": "Basic YTpi"}, 10, 404)])
def test_what_a_middleware_refuses_is_refused_before_the_body_by_the_whole_chain_once(
        app: App, path: str, headers: dict[str, str], size: int, status: int | None) -> None:
    trace: list[str] = []
    app.middleware(tracing(trace, "m"))
    app.middleware(body_limit(10))
    app.middleware(basic_auth({"a": "b"}, "x"))
    app.post("/x")(here)
    request = make_request("POST", path, headers, bytes(size))
    whole, request.body = request.body, b""
    decision = app.prepare(request)
    if status is None:
        assert (decision, trace) == (GATHER, [])
        request.body = whole
        assert answer(app, request).status == 200
    else:
        assert isinstance(decision, Response)
        assert decision.status == status
        assert trace == [f"m in {path}", f"m out {status}"]


def test_a_password_that_a_function_checks_is_not_checked_before_the_body(app: App) -> None:
    asked: list[str] = []

    def check(name: str, password: str) -> bool:
        asked.append(name)
        return True

    app.middleware(basic_auth(check, "x"))
    app.post("/")(here)
    assert app.prepare(make_request("POST", "/", {"Authorization": "Basic YTpi"})) is GATHER
    assert refusal(app, "POST", "/").status == 401
    assert asked == []


def test_a_middleware_of_an_inner_application_refuses_too(app: App) -> None:
    app.middleware(body_limit(3))
    app.post("/")(here)
    trace: list[str] = []
    outer = nested(app)
    outer.middleware(tracing(trace, "outer"))
    assert refusal(outer, "POST", "/a/b/", body=b"1234").status == 413
    assert trace == ["outer in /a/b/", "outer out 413"]


def test_a_middleware_that_says_that_it_refuses_and_does_not_reaches_no_handler(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(request: Request, call_next: CallNext) -> Response:
        return call_next(request)

    wrong.refuses = lambda request: True  # type: ignore[attr-defined]
    app.middleware(wrong)
    app.post("/")(lambda request: pytest.fail("the body is not there"))
    assert refusal(app, "POST", "/").status == 500
    assert "`refuses`" in caplog.text


def test_an_answer_that_a_middleware_gives_later_is_given_once(app: App) -> None:
    pending: list[Future[str]] = []

    @app.middleware
    def asking(request: Request, call_next: CallNext) -> Future[str]:
        pending.append(Future())
        return pending[-1]

    outer = nested(app)
    net = FakeNet(outer)
    peer = net.connect()
    peer.send(post(b"0123456789", target="/a/b/nowhere")[:-5], b"56789" + b"more")
    assert peer.state() == "handling"
    pending[0].set_result("late")
    net.settle()
    assert [answer.body for answer in peer.answers()] == [b"late"]
    assert peer.state() == "lingering"
    assert len(pending) == 1
    net.close()


def test_an_answer_that_a_middleware_gives_later_is_cancelled_when_the_client_leaves_before_the_body(
        app: App) -> None:
    """The fault: nobody cancelled it, and nobody closed what came."""
    shared: Future[Response] = Future()
    futures: list[Late] = [Pending(), shared]
    waiting = list(futures)

    @app.middleware
    def asking(request: Request, call_next: CallNext) -> Late:
        return waiting.pop(0)

    net = FakeNet(app)
    closed: list[str] = []
    for _ in range(2):
        peer = net.connect()
        peer.send(post(b"0123456789", target="/nowhere")[:-5])
        peer.reset()
    assert [future.cancelled() for future in futures] == [True, False]
    shared.set_result(Response(Pipe(on_close=lambda: closed.append("closed"))))
    net.settle()
    assert closed == ["closed"]
    net.close()


# -- left to the body


def test_a_form_that_may_be_another_method_is_received_before_it_is_routed(app: App) -> None:
    app.middleware(method_override(app, header="X-Method", field="_method"))
    app.put("/x")(lambda request: request.method)
    outer = App()
    outer.mount("/in", app)
    request = make_request("POST", "/in/x", FORM)
    assert outer.prepare(request) is GATHER
    request.body = b"_method=PUT"
    assert content(answer(outer, request)) == b"PUT"
    late = make_request("POST", "/in/x", FORM)
    assert outer.prepare(late) is GATHER
    late.body = b"_method=DELETE"
    assert answer(outer, late).status == 405
    assert refusal(outer, "POST", "/in/x").status == 405
    assert refusal(outer, "POST", "/in/x", {"X-Method": "DELETE"}).status == 405
    assert refusal(outer, "POST", "/in/x", {"X-Method": "BREW"}).status == 400
    named = make_request("POST", "/in/x", {"X-Method": "PUT"})
    assert (outer.prepare(named), named.method) == (GATHER, "POST")
    assert content(answer(outer, named)) == b"PUT"


def test_a_converter_that_fails_leaves_the_answer_to_the_whole_request(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.converter("bad", "[a-z]+", lambda text: NOTHING[text])
    app.post("/{x:bad}")(here)
    request = make_request("POST", "/abc")
    assert (app.prepare(request), request.path) == (GATHER, "/abc")
    assert caplog.records == []
    assert answer(app, request).status == 500


# -- streams


def sizes(request: Request) -> list[int]:
    return [len(piece) for piece in request.stream()]


def test_a_stream_is_one_however_the_body_arrives(app: App) -> None:
    app.post("/pieces", stream=True)(sizes)
    app.post("/body", stream=True)(lambda request: request.body)
    outer = nested(app)
    for path in ("/pieces", "/body"):
        assert outer.prepare(make_request("POST", f"/a/b{path}")) is STREAM
    for body, expected in ((b"abc", b"[3]"), (b"", b"[]")):
        assert content(answer(outer, make_request("POST", "/a/b/pieces", body=body))) == expected
        assert answer(outer, make_request("POST", "/a/b/body", body=body)).status == 500
    request = make_request("POST", "/a/b/pieces")
    outer.prepare(request)
    request.receive(iter([b"a", b"bc"]))
    assert content(answer(outer, request)) == b"[1,2]"


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_response_made_of_the_stream_is_the_same_however_the_body_arrives(app: App, pieces: int) -> None:
    """The fault: it worked in one segment, and was reset without a response in two."""
    app.post("/", stream=True)(lambda request: Response(piece.upper() for piece in request.stream()))
    with Server(app).in_thread() as server:
        raw = post(b"a body of twenty bytes"[:20], "Connection: close")
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(raw if pieces == 1 else raw[:-10])
            if pieces == 2:
                assert client.recv(17, socket.MSG_PEEK) == b"HTTP/1.1 200 OK\r\n"
                client.sendall(raw[-10:])
            got = b""
            while data := client.recv(65536):
                got += data
    body = got.partition(b"\r\n\r\n")[2]
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[:int(size, 16)], body[int(size, 16) + 2:]
    assert whole == b"A BODY OF TWENTY BYT"


# -- applications of others


class Foreign:
    """An application with a `prepare` of its own."""

    def __init__(self, decision: Any) -> None:
        self.decision = decision
        self.calls = 0

    def prepare(self, request: Any) -> Preparation | Response:
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision  # type: ignore[no-any-return]

    def __call__(self, request: Any) -> Response:
        self.calls += 1
        return Response(f"{request.path} {b''.join(request.stream()).decode()}")


@pytest.mark.parametrize("decision", [GATHER, STREAM])
def test_a_mounted_application_says_how_it_wants_its_body(app: App, decision: Preparation) -> None:
    app.mount("/foreign", Foreign(decision))
    request = make_request("POST", "/foreign/x", body=b"abc")
    assert app.prepare(request) is decision
    assert content(answer(app, request)) == b"/x abc"


@pytest.mark.parametrize(("decision", "status", "body"), [
    (Response("mine", 409), 409, b"mine"), (HTTPError(417, "No."), 417, b"the outer page")])
def test_a_mounted_application_refuses_and_the_outer_middleware_is_around_it(
        app: App, decision: Any, status: int, body: bytes) -> None:
    trace: list[str] = []
    foreign = Foreign(decision)
    app.mount("/foreign", foreign)
    app.middleware(tracing(trace, "m"))
    app.error(417)(lambda request, error: "the outer page")
    refused = refusal(app, "POST", "/foreign/x")
    assert (refused.status, content(refused), foreign.calls) == (status, body, 0)
    assert trace == ["m in /foreign/x", f"m out {status}"]


def test_files_refuse_what_only_would_change_them_before_its_body(app: App, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    app.mount("/files", StaticFiles(tmp_path))
    assert app.prepare(make_request("GET", "/files/x", body=b"abc")) is GATHER
    refused = refusal(app, "PUT", "/files/x", body=b"abc")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_what_cannot_be_called_cannot_be_mounted(app: App) -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="NoneType"):
        app.mount("/x", nothing)
    with pytest.raises(TypeError, match="NoneType"):
        app.host("x.test", nothing)
