"""A response that is not there yet: what can be recorded, what cannot be asked, and what becomes of errors."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import pytest

from asking import answer, content, make_request
from evloop_http import App, HTTPError, Request, Response, after
from evloop_http.app import responses
from evloop_http.app.cookies import delete_cookie, set_cookie
from evloop_http.app.later import LaterResponse
from evloop_http.app.middleware import CallNext
from evloop_http.messages import Headers, Pipe
from evloop_http.messages.pending import Pending
from settling import Kind, settle


def changed(change: Callable[[Any], object], response: Response) -> tuple[Response, Response]:
    """The same change made to a response that is there, and to one that comes later."""
    now = Response(b"body", response.status, response.headers)
    change(now)
    source: Future[Response] = Future()
    later = LaterResponse(source)
    change(later)
    future = later.start()
    assert not future.done()
    source.set_result(response)
    return now, future.result(0)


def set_status(response: Response) -> None:
    response.status = 404


def set_body(response: Response) -> None:
    response.body = b"other"


def set_header(response: Response) -> None:
    response.headers["X-Old"] = "new"


def remove_header(response: Response) -> None:
    del response.headers["X-OLD"]


@pytest.mark.parametrize("change", [
    set_status, set_body, set_header, remove_header,
    lambda response: response.headers.add("X-Old", "2"),
    lambda response: response.headers.setdefault("X-Old", "2"),
    lambda response: response.headers.setdefault("X-New", "2"),
    lambda response: response.headers.update([("x-old", "2"), ("X-More", "3")]),
    lambda response: response.headers.update(iter([("x-old", "2")])),
    lambda response: response.headers.complete(Headers([("X-Old", "2"), ("X-More", "3")]).fields),
    lambda response: response.transform(bytes.upper, lambda: b"!"),
    lambda response: responses.vary(response, "Accept", "Origin"),
    lambda response: responses.cache_control(response, no_store=True),
    lambda response: set_cookie(response, "a", "b"),
    lambda response: delete_cookie(response, "a"),
    lambda response: after(response, set_status),
])
def test_a_change_is_made_when_the_response_is_there(change: Callable[[Any], object]) -> None:
    now, later = changed(change, Response(b"body", 200, {"X-Old": "1", "Vary": "Accept"}))
    assert (later.status, later.body, later.headers.pairs()) == (now.status, now.body, now.headers.pairs())


def test_changes_are_made_in_their_order() -> None:
    def change(response: Any) -> None:
        response.headers["X"] = "1"
        response.headers.add("X", "2")
        after(response, lambda response: Response("replaced", headers=response.headers))
        response.headers.add("X", "3")

    source: Future[Response] = Future()
    later = LaterResponse(source)
    change(later)
    future = later.start()
    source.set_result(Response("first"))
    assert (future.result(0).headers.get_all("X"), content(future.result(0))) == (["1", "2", "3"], b"replaced")


def test_removing_a_header_that_is_not_there_then_is_no_error() -> None:
    source: Future[Response] = Future()
    later = LaterResponse(source)
    del later.headers["X"]
    source.set_result(Response("x"))
    assert later.start().result(0).status == 200


@pytest.mark.parametrize("read", [
    lambda response: response.status, lambda response: response.body, lambda response: response.headers["X"],
    lambda response: response.headers.get("X"), lambda response: "X" in response.headers,
    lambda response: list(response.headers), lambda response: len(response.headers),
    lambda response: response.headers.get_all("X"), lambda response: response.headers.pairs(),
    lambda response: response.headers.fields, lambda response: response.headers.has_any(frozenset("x")),
    lambda response: response.final_fields(), lambda response: response.headers == Headers(),
])
def test_what_is_not_there_cannot_be_read_and_the_error_says_what_to_do(read: Callable[[Any], object]) -> None:
    with pytest.raises(RuntimeError, match=r"after\(call_next\(request\), function\)"):
        read(LaterResponse(Future()))


@pytest.mark.parametrize("write", [
    lambda headers: headers.update({"X": "a\r\nY: b"}), lambda headers: headers.add("X Y", ""),
    lambda headers: headers.setdefault("X", "\0"), lambda headers: headers.__setitem__("X", "\n"),
])
def test_what_no_header_may_carry_is_refused_at_once(write: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        write(LaterResponse(Future()).headers)


def test_it_can_be_shown() -> None:
    later = LaterResponse(Future())
    assert (repr(later), repr(later.headers)) == ("<LaterResponse>", "<headers of a LaterResponse>")
    assert later.headers.setdefault("X", "1") == "1"


@pytest.mark.parametrize("kind", [Future, Pending])
def test_to_close_it_is_to_cancel_what_it_waits_for_if_that_is_owned(kind: Kind) -> None:
    source = kind()
    LaterResponse(source).close()
    assert source.cancelled() is (kind is Pending)


@pytest.mark.parametrize("kind", [Future, Pending])
def test_what_comes_for_a_response_that_was_given_up_is_closed(kind: Kind) -> None:
    closed: list[str] = []
    source = kind()
    if isinstance(source, Future):
        source.set_running_or_notify_cancel()
    LaterResponse(source).close()
    settle(source, Response(Pipe(on_close=lambda: closed.append("closed"))))
    assert closed == ["closed"]


def test_a_future_keeps_nothing_of_the_responses_that_were_given_up() -> None:
    source: Future[Response] = Future()
    seen = []
    gc.disable()
    try:
        for _ in range(100):
            change = partial(after, function=lambda response: None)
            seen.append(weakref.ref(change))
            LaterResponse(source).then(change).close()
        del change
        assert not any(ref() for ref in seen)
    finally:
        gc.enable()


def test_to_wait_for_what_is_cancelled_is_a_503() -> None:
    source: Future[Response] = Future()
    source.cancel()
    with pytest.raises(HTTPError, match="503"):
        LaterResponse(source).wait()


def test_every_recovery_answers_for_the_changes_before_it() -> None:
    seen: list[str] = []

    def fail(response: Response) -> None:
        raise ValueError(str(response.status))

    def recover(error: Exception) -> Response:
        seen.append(f"{type(error).__name__} {error}")
        return Response(status=500)

    source: Future[Any] = Future()
    later = LaterResponse(source).otherwise(recover).then(fail).otherwise(recover).then(set_header).otherwise(recover)
    future = later.start()
    source.set_result("text")
    assert (future.result(0).headers["X-Old"], seen) == ("new", ["ValueError 200"])
    broken: Future[Any] = Future()
    broken.set_exception(LookupError("x"))
    assert LaterResponse(broken).then(fail).otherwise(recover).start().result(0).status == 500
    assert seen[1:] == ["LookupError x"]


class Stop(BaseException):
    """What is not to be answered."""


def test_what_is_no_exception_passes_by_every_recovery() -> None:
    source: Future[Any] = Future()
    future = LaterResponse(source).otherwise(lambda error: Response()).start()
    source.set_exception(Stop())
    assert isinstance(future.exception(0), Stop)


@pytest.mark.parametrize("wrong", [Future(), LaterResponse(Future()), object()])
def test_a_change_returns_a_response_that_is_there(wrong: Any) -> None:
    source: Future[Any] = Future()
    source.set_result(Response())
    assert isinstance(LaterResponse(source).then(lambda response: wrong).start().exception(0), TypeError)
    with pytest.raises(TypeError):
        after(Response(), lambda response: wrong)


def test_a_future_that_is_cancelled_cancels_what_waits_for_it() -> None:
    source: Future[Any] = Future()
    future = LaterResponse(source).then(set_status).start()
    source.cancel()
    with pytest.raises(CancelledError):
        future.result(0)


# -- in an application


def marking(request: Request, call_next: CallNext) -> Response:
    response = call_next(request)
    response.headers["X-Mark"] = "yes"
    return response


def reading(request: Request, call_next: CallNext) -> Response:
    response = call_next(request)
    response.headers["X-Status"] = str(response.status)
    return response


@pytest.fixture
def pending() -> list[Future[Any]]:
    return []


@pytest.fixture
def app(pending: list[Future[Any]]) -> App:
    app = App()

    @app.get("/")
    def handler(request: Request) -> Future[Any]:
        pending.append(Future())
        return pending[-1]
    return app


def test_middleware_written_the_obvious_way_works_when_a_handler_returns_a_future(
        app: App, pending: list[Future[Any]]) -> None:
    app.middleware(marking)
    app.middleware(marking)
    future = app(make_request())
    assert isinstance(future, Pending)
    pending[0].set_result({"a": 1})
    response = future.result(0)
    assert (response.status, response.headers["X-Mark"], content(response)) == (200, "yes", b'{"a":1}')


def test_a_future_that_is_done_is_a_response_for_everybody(app: App) -> None:
    done: Future[str] = Future()
    done.set_result("now")
    app.middleware(reading)
    app.get("/done")(lambda request: done)
    response = app(make_request("GET", "/done"))
    assert isinstance(response, Response)
    assert response.headers["X-Status"] == "200"


def test_middleware_that_reads_what_is_not_there_is_told_so_in_the_log(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.middleware(marking)
    app.middleware(reading)
    future = app(make_request())
    assert isinstance(future, Response)
    assert (future.status, future.headers["X-Mark"]) == (500, "yes")
    assert "after(call_next(request), function)" in caplog.text


def test_middleware_outside_of_a_mounted_application_may_meet_its_future(
        app: App, pending: list[Future[Any]]) -> None:
    app.middleware(marking)
    outer = App()
    outer.middleware(marking)
    outer.mount("/in", app)
    outer.middleware(lambda request, call_next: after(call_next(request), set_status))
    future = outer(make_request("GET", "/in"))
    assert isinstance(future, Pending)
    pending[0].set_exception(HTTPError(418))
    assert (future.result(0).status, future.result(0).headers["X-Mark"]) == (404, "yes")


def test_in_a_worker_the_real_response_is_waited_for(app: App) -> None:
    source: Future[str] = Future()
    entered: Future[None] = Future()

    def handler(request: Request) -> Future[str]:
        entered.set_result(None)
        return source

    app.middleware(reading)
    app.get("/thread", threaded=True)(handler)
    future = app(make_request("GET", "/thread"))
    entered.result(30)
    source.set_result("x")
    assert answer(lambda request: future, make_request()).headers["X-Status"] == "200"
    app.close()


def test_in_a_worker_a_cancelled_future_is_a_503(app: App, caplog: pytest.LogCaptureFixture) -> None:
    cancelled: Future[str] = Future()
    cancelled.cancel()
    app.get("/thread", threaded=True)(lambda request: cancelled)
    assert answer(app, make_request("GET", "/thread")).status == 503
    assert caplog.records == []
    app.close()


def test_an_answer_that_a_middleware_throws_away_hurts_nobody(app: App, pending: list[Future[Any]]) -> None:
    @app.middleware
    def closed(request: Request, call_next: CallNext) -> str:
        call_next(request).close()
        return "closed today"

    assert content(answer(app, make_request())) == b"closed today"
    assert not pending[0].cancelled()
    pending[0].set_result("for nobody")
