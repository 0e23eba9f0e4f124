"""An application: what handlers may return, middleware around them, errors, threads, mounts."""

from __future__ import annotations

import gc
import json
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from asking import PATIENCE, answer, content, make_request
from evloop_http import App, FileBody, HTTPError, Request, Response, Server, StaticFiles, after
from evloop_http.app.middleware import CallNext
from evloop_http.messages import GATHER
from evloop_http.messages.pending import Pending
from settling import Kind

NOTHING: dict[str, str] = {}


@pytest.fixture
def app() -> Iterator[App]:
    app = App(threads=2, queue=1)
    yield app
    app.close()


def returning(result: Any) -> Callable[..., Any]:
    return lambda request, **params: result


def ended(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


# -- what a handler may return

SUGAR = [
    ("text, ü", 200, "text/plain; charset=utf-8", "text, ü".encode()),
    ("", 200, "text/plain; charset=utf-8", b""),
    (b"\x00bytes", 200, "application/octet-stream", b"\x00bytes"),
    (b"", 200, None, b""),
    ({"id": 1, "name": "ü"}, 200, "application/json", '{"id":1,"name":"ü"}'.encode()),
    ([1, None, "x"], 200, "application/json", b'[1,null,"x"]'),
    ({}, 200, "application/json", b"{}"),
    (None, 204, None, b""),
]


@pytest.mark.parametrize(("result", "status", "content_type", "body"), SUGAR)
def test_what_a_handler_returns_becomes_a_response(app: App, result: Any, status: int, content_type: str | None,
                                                   body: bytes) -> None:
    app.get("/now")(returning(result))
    app.get("/later")(lambda request: ended(result))
    for target in ("/now", "/later"):
        response = answer(app, make_request("GET", target))
        assert (response.status, content(response)) == (status, body)
        assert response.headers.get("Content-Type") == content_type


def test_a_response_is_passed_on_as_it_is(app: App) -> None:
    made = Response("x", 418)
    app.get("/")(returning(made))
    assert app(make_request()) is made


@pytest.mark.parametrize("result", [42, 1.5, True, object(), ("x", 200), {"a": object()}, {1, 2}])
def test_what_is_none_of_these_is_the_applications_failure(app: App, result: Any,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    app.get("/now")(returning(result))
    app.get("/later")(lambda request: ended(result))
    for target in ("/now", "/later"):
        assert answer(app, make_request("GET", target)).status == 500
        assert f"GET {target} HTTP/1.1: the handler failed" in caplog.text


def test_a_future_may_not_come_to_another_future(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.get("/")(lambda request: ended(ended("x")))
    assert answer(app, make_request()).status == 500
    assert "TypeError" in caplog.text


# -- registering


def test_a_handler_gets_the_request_and_the_parameters(app: App) -> None:
    @app.get("/{a:int}/{b}")
    def handler(request: Request, a: int, b: str) -> dict[str, Any]:
        return {"a": a, "b": b, "params": dict(request.params), "path": request.path}

    response = answer(app, make_request("GET", "/1/x%20y"))
    assert json.loads(content(response)) == {"a": 1, "b": "x y", "params": {"a": 1, "b": "x y"}, "path": "/1/x y"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_there_is_a_decorator_for_each_method_and_it_returns_the_handler(app: App, method: str) -> None:
    handler = returning("here")
    assert getattr(app, method.lower())("/x")(handler) is handler
    assert answer(app, make_request(method, "/x")).status == 200
    assert answer(app, make_request("TRACE", "/x")).status == 405


def test_route_takes_several_methods(app: App) -> None:
    app.route("/both", methods=["GET", "POST"])(returning("x"))
    assert [answer(app, make_request(method, "/both")).status for method in ("GET", "POST", "PUT")] == [200, 200, 405]


def test_head_and_options_and_refusals_come_by_themselves(app: App) -> None:
    app.get("/x")(returning("body"))
    assert content(answer(app, make_request("HEAD", "/x"))) == b"body"  # the connection leaves it out
    options = answer(app, make_request("OPTIONS", "/x"))
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert answer(app, make_request("OPTIONS", "*")).status == 204
    refused = answer(app, make_request("POST", "/x"))
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer(app, make_request("BREW", "/x")).status == 501
    assert answer(app, make_request("GET", "/nowhere")).status == 404


def test_a_converter_of_ones_own_works_in_routes_registered_after_it(app: App) -> None:
    app.converter("hex", "[0-9a-f]+", lambda text: int(text, 16))
    app.get("/{n:hex}")(lambda request, n: {"n": n})
    assert content(answer(app, make_request("GET", "/ff"))) == b'{"n":255}'
    assert answer(app, make_request("GET", "/fg")).status == 404


def test_a_converter_that_is_no_regular_expression_is_refused_at_once(app: App) -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        app.converter("bad", "(")


# -- middleware


def tracing(trace: list[str], name: str) -> Callable[[Request, CallNext], Any]:
    def middleware(request: Request, call_next: CallNext) -> Any:
        trace.append(f"{name} in")
        answer = call_next(request)

        def note(response: Response) -> Response:
            trace.append(f"{name} out {response.status}")
            return response
        return after(answer, note)
    return middleware


def test_the_first_middleware_is_the_outermost(app: App) -> None:
    trace: list[str] = []
    app.middleware(tracing(trace, "a"))
    app.middleware(tracing(trace, "b"))
    app.get("/")(lambda request: trace.append("handler"))
    answer(app, make_request())
    assert trace == ["a in", "b in", "handler", "b out 204", "a out 204"]


@pytest.mark.parametrize(("target", "method", "status"), [
    ("/nowhere", "GET", 404), ("/", "POST", 405), ("/", "BREW", 501), ("/fails", "GET", 500), ("/teapot", "GET", 418),
    ("/later", "GET", 418), ("/thread", "GET", 418), ("/", "OPTIONS", 204),
])
def test_middleware_sees_an_answer_for_every_request(app: App, target: str, method: str, status: int,
                                                     caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: Request) -> None:
        raise {"/fails": ZeroDivisionError(), "/teapot": HTTPError(418), "/thread": HTTPError(418)}[request.path]

    trace: list[str] = []
    app.middleware(tracing(trace, "m"))
    app.get("/")(returning("x"))
    app.get("/fails")(fail)
    app.get("/teapot")(fail)
    app.get("/later")(lambda request: ended(HTTPError(418)))
    app.get("/thread", threaded=True)(fail)
    assert answer(app, make_request(method, target)).status == status
    assert trace == ["m in", f"m out {status}"]


def test_a_middleware_may_answer_by_itself_and_with_sugar(app: App) -> None:
    @app.middleware
    def closed(request: Request, call_next: CallNext) -> str:
        return "closed today"

    app.get("/")(returning("open"))
    assert content(answer(app, make_request())) == b"closed today"


def test_a_middleware_may_change_the_request_and_the_answer(app: App) -> None:
    @app.middleware
    def user(request: Request, call_next: CallNext) -> Any:
        request.user = "ada"  # type: ignore[attr-defined]
        response = call_next(request)
        assert isinstance(response, Response)
        response.headers["X-Seen"] = "yes"
        return response

    app.get("/")(lambda request: request.user)
    response = answer(app, make_request())
    assert (content(response), response.headers["X-Seen"]) == (b"ada", "yes")


@pytest.mark.parametrize("error", [ZeroDivisionError(), HTTPError(500)])
@pytest.mark.parametrize("when", ["before", "behind", "later"])
def test_an_error_of_a_middleware_is_an_answer_to_those_outside_of_it(app: App, error: Exception, when: str) -> None:
    trace: list[str] = []

    def broken(request: Request, call_next: CallNext) -> Any:
        if when == "before":
            raise error

        def fail(response: Response) -> Response:
            raise error
        return after(call_next(request) if when == "behind" else ended(Response()), fail)

    app.middleware(tracing(trace, "outer"))
    app.middleware(broken)
    app.get("/")(returning("x"))
    app.error(500)(lambda request, error: "mended")
    response = answer(app, make_request())
    assert (response.status, content(response), trace) == (500, b"mended", ["outer in", "outer out 500"])


def test_a_request_that_a_future_answered_is_let_go_of_at_once() -> None:
    pending: list[Future[str]] = []
    seen: list[weakref.ref[Any]] = []
    inner, outer = App(), App()
    inner.middleware(lambda request, call_next: after(call_next(request), lambda response: response))
    outer.mount("/inner", inner)

    @inner.get("/")
    def later(request: Request) -> Future[str]:
        seen.append(weakref.ref(request))
        pending.append(Future())
        return pending[-1]

    gc.disable()
    try:
        future = outer(make_request("GET", "/inner/"))
        pending.pop().set_result("x")
        assert isinstance(future, Pending)
        assert future.result().status == 200
        seen.append(weakref.ref(future))
        del future
        assert [ref() for ref in seen] == [None, None]
    finally:
        gc.enable()


# -- after


def test_after_changes_a_response_at_once_or_when_it_comes() -> None:
    def mark(response: Response) -> Response:
        response.headers["X-Mark"] = "1"
        return response

    now = after(Response("x"), mark)
    assert isinstance(now, Response)
    waiting: Future[Response] = Future()
    later = after(waiting, mark)
    assert isinstance(later, Pending)
    assert not later.done()
    waiting.set_result(Response("x"))
    assert now.headers["X-Mark"] == later.result(0).headers["X-Mark"] == "1"


def test_after_passes_an_error_and_a_cancellation_on() -> None:
    def never(response: Response) -> Response:
        raise AssertionError("there is no response")

    failing: Future[Response] = Future()
    later = after(failing, never)
    assert isinstance(later, Pending)
    failing.set_exception(ZeroDivisionError())
    assert isinstance(later.exception(0), ZeroDivisionError)

    cancelled: Future[Response] = Future()
    later = after(cancelled, never)
    assert isinstance(later, Pending)
    cancelled.cancel()
    assert later.cancelled()
    with pytest.raises(CancelledError):
        later.result(0)


@pytest.mark.parametrize("kind", [Future, Pending])
def test_to_cancel_what_after_returned_is_to_cancel_what_it_waits_for_if_that_is_owned(
        kind: Kind) -> None:
    waiting = kind()
    later = after(after(waiting, lambda response: response), lambda response: response)
    assert isinstance(later, Pending)
    assert later.cancel()
    assert waiting.cancelled() is (kind is Pending)


def test_a_future_that_several_wait_for_serves_those_who_are_left() -> None:
    shared: Future[Response] = Future()
    first, second = (after(shared, lambda response: response) for _ in range(2))
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    assert first.cancel()
    shared.set_result(Response("for all"))
    assert content(second.result(0)) == b"for all"


def test_a_response_that_nobody_waits_for_any_more_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    running: Future[Response] = Future()
    running.set_running_or_notify_cancel()  # too late to be cancelled
    later = after(running, lambda response: response)
    assert isinstance(later, Pending)
    assert later.cancel()
    file = (tmp_path / "file").open("rb")
    running.set_result(Response(FileBody(file, 0, 1)))
    assert file.closed


# -- errors


def test_an_error_on_purpose_is_answered_with_its_status_its_sentence_and_its_headers(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(request: Request) -> None:
        raise HTTPError(429, "Not so fast.", {"Retry-After": "7"})

    app.get("/")(refuse)
    response = answer(app, make_request())
    assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert b"Not so fast." in content(response)
    assert caplog.text == ""


def test_an_unexpected_error_is_logged_with_the_request_line_and_tells_the_peer_nothing(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.get("/secret")(lambda request: 1 / 0)
    response = answer(app, make_request("GET", "/secret?x=1"))
    assert response.status == 500
    assert b"secret" not in (body := content(response))
    assert b"Zero" not in body
    [record] = caplog.records
    assert record.name == "evloop_http.app"
    assert record.getMessage() == "GET /secret?x=1 HTTP/1.1: the handler failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_handler_of_a_status_gives_the_body_and_keeps_status_and_headers(app: App) -> None:
    app.error(405)(lambda request, error: f"no: {error.message}")
    app.get("/")(returning("x"))
    response = answer(app, make_request("POST", "/"))
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert content(response) == b"no: This address does not take the method."


def test_a_handler_of_a_status_may_answer_with_another(app: App) -> None:
    app.error(404)(lambda request, error: Response("moved", 302, {"Location": "/"}))
    assert answer(app, make_request("GET", "/nowhere")).status == 302


def test_a_handler_of_a_class_is_asked_for_its_subclasses_too_and_nothing_is_logged(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.error(ArithmeticError)(lambda request, error: type(error).__name__)
    app.get("/")(lambda request: 1 / 0)
    response = answer(app, make_request())
    assert (response.status, content(response)) == (500, b"ZeroDivisionError")
    assert caplog.text == ""


class PaymentRequired(HTTPError):
    """An error of an application's own."""

    def __init__(self) -> None:
        super().__init__(402, headers={"X-Price": "3"})


@pytest.mark.parametrize(("registered", "asked"), [
    ([Exception, HTTPError, 402, PaymentRequired], PaymentRequired),
    ([Exception, HTTPError, 402], 402),
    ([Exception, HTTPError, 404], HTTPError),
    ([Exception, 404], Exception),
])
def test_the_handler_nearest_to_the_error_is_asked(app: App, registered: list[Any], asked: Any) -> None:
    def fail(request: Request) -> None:
        raise PaymentRequired

    for kind in registered:
        app.error(kind)(lambda request, error, kind=kind: str(kind))
    app.get("/")(fail)
    response = answer(app, make_request())
    assert (content(response).decode(), response.status, response.headers["X-Price"]) == (str(asked), 402, "3")


def test_a_foreign_errors_attribute_status_is_no_status_of_http(app: App) -> None:
    class Foreign(Exception):
        status = "gone wrong"

    def fail(request: Request) -> None:
        raise Foreign

    app.get("/")(fail)
    app.error(Foreign)(lambda request, error: "caught")
    assert answer(app, make_request()).status == 500


@pytest.mark.parametrize("with_middleware", [False, True])
def test_an_error_handler_that_fails_is_asked_once_and_logged(with_middleware: bool,
                                                              caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    asked: list[Exception] = []
    if with_middleware:
        app.middleware(lambda request, call_next: call_next(request))
    app.get("/")(lambda request: 1 / 0)

    @app.error(500)
    def broken(request: Request, error: Exception) -> str:
        asked.append(error)
        return NOTHING["missing"]

    assert answer(app, make_request()).status == 500
    assert len(asked) == 1
    assert ["ZeroDivisionError" in caplog.text, "KeyError" in caplog.text] == [True, True]


@pytest.mark.parametrize("error", [ZeroDivisionError(), HTTPError(500)])
def test_an_error_of_a_future_is_answered_like_one_that_is_raised(app: App, error: Exception) -> None:
    app.get("/")(lambda request: ended(error))
    app.error(500)(lambda request, error: "mended")
    response = answer(app, make_request())
    assert (response.status, content(response)) == (500, b"mended")


# -- threads


class Gate:
    """A threaded handler that waits until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.threads: set[str] = set()

    def __call__(self, request: Request) -> str:
        self.threads.add(threading.current_thread().name)
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return "through"

    def wait_for(self, handlers: int) -> None:
        for _ in range(handlers):
            assert self.entered.acquire(timeout=PATIENCE)


def test_a_threaded_handler_runs_in_a_worker_with_all_the_middleware(app: App) -> None:
    names: list[str] = []

    @app.middleware
    def note(request: Request, call_next: CallNext) -> Any:
        names.append(threading.current_thread().name)
        answer = call_next(request)
        assert isinstance(answer, Response)  # there, nobody has to wait
        return answer

    app.get("/thread", threaded=True)(lambda request: threading.current_thread().name)
    app.get("/loop")(lambda request: threading.current_thread().name)
    worker = content(answer(app, make_request("GET", "/thread"))).decode()
    assert worker.startswith("evloop_http.worker")
    here = threading.current_thread().name
    assert content(answer(app, make_request("GET", "/loop"))).decode() == here
    assert names == [worker, here]


def test_a_threaded_handler_may_return_whatever_others_may(app: App) -> None:
    app.get("/json", threaded=True)(lambda request: {"x": 1})
    app.get("/future", threaded=True)(lambda request: ended("later"))
    app.get("/fails", threaded=True)(lambda request: NOTHING["missing"])
    app.error(KeyError)(lambda request, error: Response("mended", 410))
    assert content(answer(app, make_request("GET", "/json"))) == b'{"x":1}'
    assert content(answer(app, make_request("GET", "/future"))) == b"later"
    assert answer(app, make_request("GET", "/fails")).status == 410


def test_more_than_workers_and_queue_hold_is_answered_with_503_and_when_to_come_again(app: App) -> None:
    gate = Gate()
    app.get("/", threaded=True)(gate)
    waiting = [app(make_request()) for _ in range(3)]  # two workers, one place in the queue
    gate.wait_for(2)
    refused = app(make_request())
    assert isinstance(refused, Response)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    gate.open.set()
    for future in waiting:
        assert isinstance(future, Pending)
        assert future.result(PATIENCE).status == 200
    # There is room again for as many as before.
    for future in [app(make_request()) for _ in range(3)]:
        assert isinstance(future, Pending)
        future.result(PATIENCE)
    assert len(gate.threads) <= 2


def test_a_request_that_is_cancelled_in_the_queue_is_never_handled_and_makes_room(app: App) -> None:
    gate = Gate()
    app.get("/", threaded=True)(gate)
    running = [app(make_request()) for _ in range(2)]
    gate.wait_for(2)
    for _ in range(3):
        queued = app(make_request())
        assert isinstance(queued, Pending)
        assert queued.cancel()
    gate.open.set()
    for future in running:
        assert isinstance(future, Pending)
        future.result(PATIENCE)
    app.close()
    assert not gate.entered.acquire(blocking=False)


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("evloop_http.worker")]


def test_close_ends_the_threads_and_a_later_request_starts_them_anew(app: App) -> None:
    app.get("/", threaded=True)(returning("x"))
    for _ in range(2):
        answer(app, make_request())
        assert worker_threads()
        app.close()
        assert not worker_threads()
    app.close()


def test_close_does_not_wait_for_a_handler_that_still_works_and_cancels_those_in_the_queue(app: App) -> None:
    gate = Gate()
    app.get("/", threaded=True)(gate)
    futures = [app(make_request()) for _ in range(3)]
    gate.wait_for(2)
    app.close()
    first, second, queued = futures
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    assert isinstance(queued, Pending)
    assert queued.cancelled()
    assert not first.done()
    gate.open.set()
    assert first.result(PATIENCE).status == second.result(PATIENCE).status == 200
    for thread in threading.enumerate():
        if thread.name in gate.threads:
            thread.join(PATIENCE)


def test_close_closes_what_is_mounted(app: App) -> None:
    inner = App()
    inner.get("/", threaded=True)(returning("x"))
    app.mount("/inner", inner)
    app.mount("/function", returning("y"))
    answer(app, make_request("GET", "/inner"))
    assert worker_threads()
    app.close()
    assert not worker_threads()


# -- mounts


def test_an_app_is_mounted_with_its_own_middleware_errors_and_threads(app: App) -> None:
    inner = App()
    trace: list[str] = []
    app.middleware(tracing(trace, "outer"))
    inner.middleware(tracing(trace, "inner"))
    inner.get("/")(lambda request: f"{request.path} of {request.head.path}")
    inner.get("/thread/{x:int}", threaded=True)(lambda request, x: f"{request.path} {x}")
    inner.error(404)(lambda request, error: "inner 404")
    app.error(404)(lambda request, error: "outer 404")
    app.mount("/in", inner)
    assert content(answer(app, make_request("GET", "/in"))) == b"/ of /in"
    assert trace == ["outer in", "inner in", "inner out 200", "outer out 200"]
    assert content(answer(app, make_request("GET", "/in/thread/7"))) == b"/thread/7 7"
    assert content(answer(app, make_request("GET", "/in/nowhere"))) == b"inner 404"
    assert content(answer(app, make_request("GET", "/inner"))) == b"outer 404"
    app.close()


def test_mounts_nest(app: App) -> None:
    middle, inner = App(), App()
    inner.get("/c")(lambda request: request.path)
    middle.mount("/b", inner)
    app.mount("/a", middle)
    assert content(answer(app, make_request("GET", "/a/b/c"))) == b"/c"


def test_files_are_mounted_and_their_404_is_the_apps(app: App, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("content")
    app.mount("/files", StaticFiles(tmp_path))
    app.error(404)(lambda request, error: "the site's page")
    assert content(answer(app, make_request("GET", "/files/x.txt"))) == b"content"
    assert content(answer(app, make_request("GET", "/files/y.txt"))) == b"the site's page"
    refused = answer(app, make_request("DELETE", "/files/x.txt"))
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_a_function_is_mounted_with_sugar_and_errors(app: App) -> None:
    def function(request: Request) -> Any:
        if request.path == "/fails":
            raise HTTPError(418)
        return {"path": request.path, "method": request.method}

    app.mount("/f", function)
    assert content(answer(app, make_request("PUT", "/f/x"))) == b'{"path":"/x","method":"PUT"}'
    assert answer(app, make_request("GET", "/f/fails")).status == 418


class Counted(Exception):
    """An error that is counted in the log."""


def failing(request: Request, **params: Any) -> None:
    raise Counted


def test_a_mounted_app_answers_its_own_errors_and_logs_what_it_did_not_expect_once(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    inner = App()
    inner.get("/caught")(lambda request: NOTHING["missing"])
    inner.get("/uncaught")(failing)
    inner.get("/thread", threaded=True)(failing)
    inner.error(KeyError)(lambda request, error: "inner caught")
    inner.error(500)(lambda request, error: "inner 500")
    inner.error(405)(lambda request, error: "inner 405")
    for kind in (KeyError, Counted, 405, 500):
        app.error(kind)(lambda request, error: "outer")
    app.mount("/in", inner)
    seen = [content(answer(app, make_request(method, target))) for method, target in [
        ("GET", "/in/caught"), ("GET", "/in/uncaught"), ("GET", "/in/thread"), ("POST", "/in/caught")]]
    assert seen == [b"inner caught", b"inner 500", b"inner 500", b"inner 405"]
    assert [record.getMessage() for record in caplog.records] == [
        "GET /in/uncaught HTTP/1.1: the handler failed", "GET /in/thread HTTP/1.1: the handler failed"]
    app.close()


def test_an_app_for_a_host_answers_all_of_its_requests_and_its_errors(app: App) -> None:
    api = App()
    api.get("/{x:int}")(lambda request, sub, x: {"sub": sub, "x": x})
    api.get("/")(lambda request, sub: sub)
    api.error(404)(lambda request, error: "api 404")
    app.get("/")(returning("own"))
    app.host("{sub}.test", api)
    assert content(answer(app, make_request("GET", "http://A.test:80/"))) == b"a"
    assert content(answer(app, make_request("GET", "http://a.test/7"))) == b'{"sub":"a","x":7}'
    assert content(answer(app, make_request("GET", "http://a.test/nowhere"))) == b"api 404"
    assert answer(app, make_request("OPTIONS", "http://a.test/7")).status == 204
    assert content(answer(app, make_request("GET", "http://other/"))) == b"own"
    with pytest.raises(ValueError, match="host"):
        app.host("a.test:80", api)


def test_a_redirect_for_a_slash_can_be_turned_off(app: App) -> None:
    app.get("/users")(returning("x"))
    response = answer(app, make_request("GET", "/users/?a=1"))
    assert (response.status, response.headers["Location"]) == (308, "../users?a=1")
    strict = App(redirect_slashes=False)
    strict.get("/users")(returning("x"))
    assert answer(strict, make_request("GET", "/users/")).status == 404


def test_names_lead_back_to_paths_through_mounts(app: App) -> None:
    blog, comments = App(), App()

    @blog.get("/posts/{title}")
    def post(request: Request, title: str) -> str:
        return title

    comments.get("/{n:int}", name="one")(returning("x"))
    app.post("/x/{a}", name="x")(returning("x"))
    blog.mount("/comments", comments, name="comments")
    app.mount("/blog", blog, name="blog")
    app.mount("/old blog", blog, name="old")
    assert app.url_for("old:post", title="x") == "/old%20blog/posts/x"
    assert app.url_for("x", a="ü", name="query too") == "/x/%C3%BC?name=query+too"
    assert app.url_for("blog:post", title="a b", page=2) == "/blog/posts/a%20b?page=2"
    assert app.url_for("blog:comments:one", n=7) == "/blog/comments/7"
    assert app.url_for("blog", path="posts/x") == "/blog/posts/x"
    assert content(answer(app, make_request("GET", app.url_for("blog:post", title="ü&?#%2F.")))) == "ü&?#%2F.".encode()
    with pytest.raises(LookupError, match="'missing'"):
        app.url_for("blog:missing")
    with pytest.raises(ValueError, match="needs title"):
        app.url_for("blog:post")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_every_decorator_takes_a_name(app: App, method: str) -> None:
    getattr(app, method)("/x", name="named")(returning("x"))
    assert app.url_for("named") == "/x"


def test_a_converter_has_a_way_back_and_may_take_slashes(app: App) -> None:
    app.converter("hex", "[0-9a-f]+", lambda text: int(text, 16), lambda number: f"{number:x}")
    app.converter("parts", "[a-z/]+", lambda text: text.split("/"), "/".join, slashes=True)
    app.get("/{n:hex}/{p:parts}", name="x")(lambda request, n, p: [n, p])
    url = app.url_for("x", n=255, p=["a", "b"])
    assert url == "/ff/a/b"
    assert content(answer(app, make_request("GET", url))) == b'[255,["a","b"]]'


def test_a_converter_that_fails_is_answered_and_logged_like_a_handler(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    trace: list[str] = []
    app.middleware(tracing(trace, "m"))
    app.converter("bad", "[a-z]+", lambda text: NOTHING[text])
    app.post("/{x:bad}")(returning("x"))
    assert app.prepare(make_request("POST", "/abc")) is GATHER
    assert answer(app, make_request("POST", "/abc")).status == 500
    assert trace == ["m in", "m out 500"]
    assert [record.getMessage() for record in caplog.records] == ["POST /abc HTTP/1.1: the handler failed"]


def test_an_unexpected_error_is_logged_with_the_requests_id_if_it_has_one(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.middleware
    def give_id(request: Any, call_next: CallNext) -> Any:
        request.id = "r-1\n"
        return call_next(request)

    app.get("/")(failing)
    response = answer(app, make_request("GET", "/", {"Accept": "application/json"}))
    assert json.loads(content(response)) == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500,
        "detail": "The server failed to answer this request.", "request_id": "r-1\\n"}
    assert [record.getMessage() for record in caplog.records] == [
        "GET / HTTP/1.1: the handler failed (request r-1\\n)"]


@pytest.mark.parametrize(("accept", "media_type"), [
    ("application/json", "application/problem+json"), ("text/html", "text/html; charset=utf-8"),
    ("*/*", "text/plain; charset=utf-8")])
def test_errors_without_a_handler_come_in_the_form_that_the_client_prefers(
        app: App, accept: str, media_type: str) -> None:
    app.get("/fails")(failing)
    app.get("/refuses")(lambda request: ended(HTTPError(429, headers={"Retry-After": "7"})))
    for method, target, status in [("GET", "/nowhere", 404), ("POST", "/fails", 405), ("GET", "/fails", 500),
                                   ("GET", "/refuses", 429), ("BREW", "/fails", 501)]:
        response = answer(app, make_request(method, target, {"Accept": accept}))
        assert (response.status, response.headers["Content-Type"]) == (status, media_type)
    assert answer(app, make_request("GET", "/refuses", {"Accept": accept})).headers["Retry-After"] == "7"
    assert answer(app, make_request("POST", "/fails", {"Accept": accept})).headers["Allow"] == "GET, HEAD, OPTIONS"


# -- once with the world


def test_over_a_socket_errors_threads_and_futures_come_as_from_the_app(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.get("/thread", threaded=True)(lambda request: "threaded")
    app.get("/broken")(lambda request: 1 / 0)
    app.get("/stream")(lambda request: Response(iter([b"a", b"b"])))
    app.error(500)(lambda request, error: NOTHING["the error handler fails too"])
    with Server(app).in_thread() as server:
        client = HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=PATIENCE)
        seen = []
        for method, target in [("GET", "/thread"), ("GET", "/broken"), ("HEAD", "/thread"), ("OPTIONS", "*"),
                               ("GET", "/stream"), ("GET", "/nowhere")]:
            client.request(method, target)
            reply = client.getresponse()
            seen.append((reply.status, reply.read()[:8]))
        client.close()
    assert seen == [(200, b"threaded"), (500, b"500 Inte"), (200, b""), (204, b""), (200, b"ab"), (404, b"404 Not ")]
    assert not worker_threads()


def test_expect_is_refused_before_the_body_is_sent() -> None:
    app = App()
    app.post("/here")(lambda request: str(len(request.body)))
    with Server(app).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        for target, begins in [("/here", b"HTTP/1.1 100 "), ("/nowhere", b"HTTP/1.1 404 ")]:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                client.sendall(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                               "Expect: 100-continue\r\n\r\n".encode())
                assert client.recv(13, socket.MSG_WAITALL) == begins


# What is no JSON

def test_half_a_surrogate_pair_goes_out_as_an_escape(app: App) -> None:
    app.get("/")(lambda request: {"a": "\ud800"})
    assert content(answer(app, make_request("GET", "/"))) == b'{"a":"\\ud800"}'


def test_nan_is_no_json_in_either_direction(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.get("/")(lambda request: {"a": float("nan")})
    app.post("/")(lambda request: request.json())
    assert answer(app, make_request("GET", "/")).status == 500
    headers = {"Content-Type": "application/json"}
    assert answer(app, make_request("POST", "/", headers, b'{"a": NaN}')).status == 400
