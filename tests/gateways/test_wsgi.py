"""A WSGI application's response: how it begins, how long it is, and what becomes of its mistakes."""

from __future__ import annotations

import contextvars
import http.client
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from asking import answer, make_request
from evloop_http import App, HTTPError, Response, Server
from evloop_http.app.middleware import gzip
from evloop_http.gateways.wsgi import WSGI
from evloop_http.messages import GATHER, STREAM, RequestHead
from evloop_http.testing import Client
from wsgi_world import (
    BOTH,
    PLAIN,
    Application,
    Environ,
    Start,
    answering,
    client_of,
    connected,
    generating,
    iterate,
    validated,
)


def failing(fail: Callable[[Start], Any], threads: int, caplog: pytest.LogCaptureFixture) -> str:
    """What is logged of an application that breaks its protocol; its client must get a 500."""
    def application(environ: Environ, start_response: Start) -> Any:
        return fail(start_response)
    with Server(WSGI(application, threads)).in_thread() as server:
        client = http.client.HTTPConnection(*server.addresses[0])
        for _ in range(2):  # the connection is kept, and the thread too
            client.request("GET", "/broken")
            reply = client.getresponse()
            assert (reply.status, reply.getheader("Content-Length")) == (500, str(len(reply.read())))
        client.close()
    assert "GET /broken HTTP/1.1" in caplog.text
    return caplog.text


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize("application", [
    answering(b"hello"), answering(b"hel", b"", b"lo"), generating(b"hello"), generating(b"", b"hel", b"lo"),
    generating(b"hello", length=5), generating(b"hel", b"lo", length=5), answering(b"hello", length=5)])
def test_a_response_is_its_blocks(application: Application, threads: int) -> None:
    with client_of(application, threads) as client, Client(WSGI(application, threads)) as unwatched:
        for reply in client.get("/"), unwatched.get("/"):
            assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, "text/plain", b"hello")


@pytest.mark.parametrize("iterable", [[b"ab", b"c"], (b"abc",), iter([b"a", b"bc"]), {b"abc"}, {b"abc": 1}.keys()])
def test_what_is_known_to_be_whole_has_a_length(iterable: Iterable[bytes]) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iterable
    with Client(WSGI(application)) as client:
        reply = client.get("/")
    assert (reply.headers["content-length"], reply.body) == ("3", b"abc")


def test_nothing_is_known_to_be_whole_that_would_have_to_be_asked() -> None:
    with client_of(generating(b"one")) as client:
        assert client.get("/").headers["transfer-encoding"] == "chunked"
    with client_of(generating(b"one", length=3)) as client:  # it has said so
        assert client.get("/").headers["content-length"] == "3"


@pytest.mark.parametrize("threads", BOTH)
def test_start_response_may_come_with_the_first_block(threads: int) -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        yield b""
        start_response("201 Made", [PLAIN])
        yield b"late"
    with Client(WSGI(application, threads)) as client:
        assert (client.get("/").status, client.get("/").body) == (201, b"late")


@pytest.mark.parametrize("threads", BOTH)
def test_an_error_may_begin_the_response_anew_while_nothing_is_sent(threads: int) -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [PLAIN])
        try:
            raise LookupError
        except LookupError:
            start_response("404 Missing", [PLAIN, ("X-Anew", "1")], exc_info=sys.exc_info())
        return [b"missing"]
    with Client(WSGI(application, threads)) as client:  # by keyword, which the validator does not pass on
        reply = client.get("/")
    assert (reply.status, reply.headers["x-anew"], reply.body) == (404, "1", b"missing")


MISTAKES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda start: [b"x"], "did not call start_response"),
    (lambda start: iterate([b"x"]), "did not call start_response"),
    (lambda start: [], "did not call start_response"),
    (lambda start: [start("200 OK", []), start("200 OK", [])], "called twice"),
    (lambda start: start("200 OK", []) and ["text"], "bytes, not str"),
    (lambda start: start("200 OK", []) and iterate(["text"]), "bytes, not str"),  # type: ignore[list-item]
    (lambda start: start("200 OK", []) and b"bytes", "bytes, not int"),
    (lambda start: start("200 OK", []) and None, "not iterable"),
    (lambda start: start("200", []), "three digits"), (lambda start: start("200OK", []), "three digits"),
    (lambda start: start("099 Low", []), "three digits"), (lambda start: start("101 Switching", []), "three digits"),
    (lambda start: start("200 OK\r\nX: y", []), "three digits"), (lambda start: start(200, []), "not int"),
    (lambda start: start("200 OK", [("X", "a\r\nY: b")]), "no header may carry"),
    (lambda start: start("200 OK", [("X\n", "a")]), "token"), (lambda start: start("200 OK", [["X", "a"]]), "tuples"),
    (lambda start: start("200 OK", [("X", 1)]), "tuples"), (lambda start: start("200 OK", [("X", b"a")]), "tuples"),
    (lambda start: start("200 OK", 7), "not iterable"),
    (lambda start: start("200 OK", [("Connection", "close")]), "belongs to the connection"),
    (lambda start: start("200 OK", [("transfer-encoding", "chunked")]), "belongs to the connection"),
    (lambda start: start("200 OK", [("Content-Length", "ten")]), "one number"),
    (lambda start: start("200 OK", [("Content-Length", "1"), ("Content-Length", "1")]), "one number"),
    (lambda start: start("200 OK", [("Content-Length", "9")]) and [b"short"], "4 bytes shorter"),
    (lambda start: start("200 OK", [])("text"), "bytes, not str"),
    (lambda start: 1 / 0, "ZeroDivisionError"),
]


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize(("fail", "logged"), MISTAKES)
def test_a_broken_protocol_is_a_500_and_a_line_in_the_log(fail: Callable[[Start], Any], logged: str, threads: int,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    assert logged in failing(fail, threads, caplog)


def test_an_error_of_ours_is_the_answer() -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        raise HTTPError(418, "Short and stout.")
    with Client(WSGI(application, 0)) as client:
        assert client.get("/").status == 418


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize("application", [
    answering(b"0123456789", length=4), generating(b"0123456789", length=4), generating(b"012", b"3456", length=4)])
def test_what_is_longer_than_announced_is_cut_and_logged(application: Application, threads: int,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    with client_of(application, threads) as client:
        assert client.get("/long").body == b"0123"
    assert "GET /long HTTP/1.1: the response is longer than its Content-Length" in caplog.text


@pytest.mark.parametrize("threads", BOTH)
def test_an_iterable_is_not_asked_for_more_than_was_announced(threads: int) -> None:
    asked = []

    def blocks() -> Iterator[bytes]:
        for block in b"ab", b"cd", b"ef":
            asked.append(block)
            yield block

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return blocks()
    with Client(WSGI(application, threads)) as client:
        assert client.get("/").body == b"abcd"
    assert asked == [b"ab", b"cd"]


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize(("application", "length"), [
    (answering(b"hello"), "5"), (answering(b"hello", length=5), "5"), (answering(length=5), "5"), (answering(), None),
    (generating(b"hello", b"more"), None), (generating(b"he", b"more", length=6), "6")])
def test_a_head_says_of_the_body_what_is_known_and_no_more(application: Application, length: str | None,
                                                           threads: int) -> None:
    with Client(WSGI(application, threads)) as client:
        reply = client.head("/")
    assert (reply.status, reply.headers.get("content-length"), reply.body) == (200, length, b"")


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_content_has_none(status: str, threads: int) -> None:
    with client_of(answering(b"ignored", status=status), threads) as client:
        reply = client.get("/")
    assert (reply.status, reply.body) == (int(status[:3]), b"")


class Watched:
    """An iterable that notes where it is asked and closed."""

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = iterate(blocks)
        self.threads: set[int] = set()
        self.closed: list[str] = []

    def __iter__(self) -> Watched:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        assert self.variable.get() == "mine"
        return next(self._blocks)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed.append(self.variable.get())

    def application(self, environ: Environ, start_response: Start) -> Watched:
        assert self.variable.get("none") == "none"
        self.variable.set("mine")
        self.threads.add(threading.get_ident())
        start_response("200 OK", [PLAIN])
        return self


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("blocks", [[], [b"one"], [b"one", b"two"], [b"", b"one", 3]])
def test_an_iterable_is_closed_once_in_the_thread_and_context_of_the_call(
        blocks: list[Any], method: str, threads: int) -> None:
    for _ in range(2):  # each in a context of its own
        watched = Watched(blocks)
        with Server(WSGI(watched.application, threads)).in_thread() as server:
            client = http.client.HTTPConnection(*server.addresses[0])
            client.request(method, "/")
            try:
                client.getresponse().read()
            except (http.client.IncompleteRead, ConnectionError):
                assert 3 in blocks
            client.close()
        assert watched.closed == ["mine"]
        assert len(watched.threads) == 1


@pytest.mark.parametrize("threads", BOTH)
def test_a_close_that_fails_is_logged_and_the_response_is_sent(threads: int,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Watched):
        def close(self) -> None:
            raise SystemExit
    with Client(WSGI(Bad([b"all"]).application, threads)) as client:
        assert client.get("/bad").body == b"all"
        if threads:
            assert client.get("/bad").body == b""  # the blocks are used up, the thread is not
    assert "GET /bad HTTP/1.1: closing the response failed" in caplog.text


@pytest.mark.parametrize("threads", BOTH)
def test_it_mounts_and_nests_under_middleware(threads: int) -> None:
    app = App()
    app.middleware(gzip())

    @app.middleware
    def mark(request: Any, call_next: Any) -> Response:
        response: Response = call_next(request)
        response.headers["X-Marked"] = "yes"
        return response
    app.mount("/wsgi", validated(generating(*[b"x" * 600] * 9), threads))
    with Client(app) as client:
        reply = client.get("/wsgi/a", headers={"Accept-Encoding": "gzip"})
        assert (reply.status, reply.headers["x-marked"], reply.headers["content-encoding"]) == (200, "yes", "gzip")


def test_a_body_that_is_too_short_is_noticed_behind_a_middleware_that_changes_it(
        caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.middleware
    def shout(request: Any, call_next: Any) -> Response:
        response: Response = call_next(request)
        response.transform(bytes.upper)  # which takes the Content-Length away
        return response
    app.mount("/", WSGI(generating(b"ab", b"cd", length=9)))
    with Server(app).in_thread() as server:
        client = connected(server)
        client.request("GET", "/")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            client.getresponse().read()
        client.close()
    assert "5 bytes shorter" in caplog.text


def test_whoever_closes_a_body_twice_closes_the_iterable_once() -> None:
    watched = Watched([b"one", b"two"])
    response = WSGI(watched.application, 0)(make_request())
    assert isinstance(response, Response)
    response.close()
    response.close()
    assert watched.closed == ["mine"]


@pytest.mark.parametrize(("threads", "gathered", "length", "prepared"), [
    (2, 10, 10, GATHER), (2, 10, 11, STREAM), (2, 10, None, STREAM), (2, None, None, GATHER), (1, 10, 11, GATHER),
    (0, 10, None, GATHER), (2, 0, 1, STREAM)])
def test_large_bodies_are_streamed_where_there_are_threads_for_them(threads: int, gathered: int | None,
                                                                    length: int | None, prepared: object) -> None:
    head = make_request().head
    request = make_request()
    request.head = RequestHead("POST", "/", "1.1", head.headers, "/", content_length=length)
    assert WSGI(answering(), threads, gathered=gathered).prepare(request) is prepared


def test_when_all_threads_are_busy_and_the_queue_is_full_a_request_is_refused() -> None:
    started, go_on = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        started.set()
        go_on.wait()
        start_response("200 OK", [])
        return [b"done"]
    gateway = WSGI(application, 1, 0)
    job: Any = gateway(make_request())
    started.wait()
    with pytest.raises(HTTPError) as caught:
        gateway(make_request())
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
    go_on.set()
    assert job.result(30).body == b"done"
    assert answer(gateway, make_request()).body == b"done"
    gateway.close()


@pytest.mark.parametrize("options", [{"threads": -1}, {"gathered": -1}, {"queue": -1}, {"streams": 0}])
def test_numbers_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        WSGI(answering(), **options)  # type: ignore[arg-type]


def test_what_cannot_be_called_is_no_application() -> None:
    with pytest.raises(TypeError, match="callable, not str"):
        WSGI("shop:app")  # type: ignore[arg-type]


def test_nothing_is_logged_where_nothing_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with client_of(generating(b"a", b"b")) as client:
        client.get("/")
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
