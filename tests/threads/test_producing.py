"""Bodies that a worker produces: in its own thread, at the pace of the reader, and closed there."""

from __future__ import annotations

import gc
import http.client
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from asking import PATIENCE, answer, content, make_request
from evloop_http import App, HTTPError, Request, Response, Server
from evloop_http.app.events import EventStream
from evloop_http.app.middleware import CallNext, gzip
from evloop_http.messages import Pipe
from evloop_http.testing import Client
from evloop_http.testing.client import read_pipe


@pytest.fixture
def app() -> Iterator[App]:
    app = App(threads=1, queue=0)
    app.get("/free", threaded=True)(lambda request: "free")
    yield app
    app.close()


class Pieces:
    """An iterator that notes which thread asks and which closes it, and waits before its second piece."""

    def __init__(self) -> None:
        self.asked_by: set[str] = set()
        self.closed_by = ""
        self.closed = threading.Event()
        self.go_on = threading.Event()
        self._left = [b"one", b"two", b"three"]

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        self.asked_by.add(threading.current_thread().name)
        if len(self._left) < 3:
            assert self.go_on.wait(PATIENCE)
        if not self._left:
            raise StopIteration
        return self._left.pop(0)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name
        self.closed.set()


def piped(app: App, target: str = "/") -> tuple[Response, Pipe]:
    response = answer(app, make_request("GET", target))
    assert isinstance(response.body, Pipe)
    return response, response.body


def wait_until_free(app: App) -> None:
    """Return when no worker has anything to do any more."""
    while app.threads._crew.producing or answer(app, make_request("GET", "/free")).status == 503:
        threading.Event().wait(0.0005)


def test_a_worker_produces_and_closes_what_its_handler_returned(app: App) -> None:
    pieces = Pieces()
    app.get("/", threaded=True)(lambda request: Response(pieces))
    response, pipe = piped(app)
    assert pieces.asked_by == set()  # nobody wants it yet
    told = threading.Event()
    pipe.on_readable = told.set
    assert pipe.read() == b""
    assert told.wait(PATIENCE)
    assert pipe.read() == b"one"
    pieces.go_on.set()
    assert content(response) == b"twothree"
    assert pieces.closed.wait(PATIENCE)
    assert {pieces.closed_by} == pieces.asked_by
    assert pieces.closed_by.startswith("evloop_http.worker")


def test_a_generator_that_waits_does_not_stop_the_loop(app: App) -> None:
    pieces = Pieces()
    app.get("/", threaded=True)(lambda request: Response(pieces))
    app.get("/other")(lambda request: "other")
    with Server(app).in_thread() as server:
        address = server.url.removeprefix("http://")
        slow = http.client.HTTPConnection(address, timeout=PATIENCE)
        slow.request("GET", "/")
        reply = slow.getresponse()
        assert reply.read(3) == b"one"
        for _ in range(3):
            other = http.client.HTTPConnection(address, timeout=PATIENCE)
            other.request("GET", "/other")
            assert other.getresponse().read() == b"other"
            other.close()
        pieces.go_on.set()
        assert reply.read() == b"twothree"
        slow.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_reader_that_leaves_ends_it(app: App, begun: bool) -> None:
    pieces = Pieces()
    pieces.go_on.set()
    app.get("/", threaded=True)(lambda request: Response(pieces))
    response, pipe = piped(app)
    if begun:
        pipe.read()
    response.close()
    assert pieces.closed.wait(PATIENCE)
    wait_until_free(app)


def test_a_response_that_is_dropped_ends_it_too(app: App) -> None:
    pieces = Pieces()
    app.get("/", threaded=True)(lambda request: Response(pieces))
    response, pipe = piped(app)
    seen = weakref.ref(pipe)
    del response, pipe
    assert pieces.closed.wait(PATIENCE)
    assert seen() is None
    wait_until_free(app)


def test_it_waits_for_a_slow_reader(app: App) -> None:
    made = 0

    def endless() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(100_000)

    app.get("/", threaded=True)(lambda request: Response(endless()))
    response, pipe = piped(app)
    pipe.read()
    while not pipe.full:
        threading.Event().wait(0.0005)
    assert made <= 4
    assert pipe.written <= pipe.size + 100_000
    response.close()
    wait_until_free(app)


def raising(error: BaseException) -> Iterator[bytes]:
    yield b"half"
    raise error


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), HTTPError(400, "The client has left.")])
def test_an_error_is_met_by_the_reader_behind_what_was_produced(app: App, error: Exception) -> None:
    app.get("/", threaded=True)(lambda request: Response(raising(error)))
    response, pipe = piped(app)
    pieces = read_pipe(pipe, PATIENCE)
    assert next(pieces) == b"half"
    with pytest.raises(type(error)):
        next(pieces)
    response.close()
    wait_until_free(app)


@pytest.mark.parametrize("piece", ["text", None, 5])
def test_a_piece_that_is_not_bytes_is_an_error_of_the_body(app: App, piece: Any) -> None:
    app.get("/", threaded=True)(lambda request: Response(iter([b"good", piece])))
    with pytest.raises(TypeError, match=f"bytes, not {type(piece).__name__}"):
        content(answer(app, make_request()))


def test_a_close_that_fails_is_logged_and_costs_no_thread(app: App, caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Pieces):
        def close(self) -> None:
            raise RuntimeError("close failed")

    app.get("/", threaded=True)(lambda request: Response(Bad()))
    piped(app)[0].close()
    wait_until_free(app)
    assert "close failed" in caplog.text


def test_what_is_whole_is_left_as_it_is(app: App) -> None:
    stream: list[EventStream] = []

    def events(request: Request) -> Response:
        stream.append(EventStream())
        stream[0].send("x")
        return stream[0].response()

    app.get("/events", threaded=True)(events)
    response = answer(app, make_request("GET", "/events"))
    assert response.body is stream[0]
    assert content(response) == b"data: x\n\n"
    with pytest.raises(RuntimeError, match=r"response\.transform"):
        next(EventStream())  # here, as in the loop's thread, nobody waits for an event


def test_middleware_in_the_worker_may_wrap_what_waits(app: App) -> None:
    pieces = Pieces()
    pieces.go_on.set()

    @app.middleware
    def quoting(request: Request, call_next: CallNext) -> Response:
        response = call_next(request)
        old = response.body
        if isinstance(old, Iterator):
            response.body = (b">" + piece for piece in old)
        return response

    app.middleware(gzip(0))
    app.get("/", threaded=True)(lambda request: Response(pieces, content_type="text/plain"))
    assert Client(app).get("/").body == b">one>two>three"


def test_an_outer_middleware_transforms_what_a_worker_produces(app: App) -> None:
    pieces = Pieces()
    pieces.go_on.set()
    app.get("/", threaded=True)(lambda request: Response(pieces))
    outer = App()
    outer.mount("/in", app)

    @outer.middleware
    def shouting(request: Request, call_next: CallNext) -> Response:
        response = call_next(request)
        response.transform(bytes.upper, lambda: b"!")
        return response

    assert content(answer(outer, make_request("GET", "/in"))) == b"ONETWOTHREE!"


def test_nothing_is_left_to_the_garbage_collector(app: App) -> None:
    app.get("/", threaded=True)(lambda request: Response(b"%d" % (1 // (1 - number)) for number in range(2)))

    def ask() -> None:
        try:
            content(answer(app, make_request()))
        except ZeroDivisionError:
            pass
        wait_until_free(app)

    ask()
    gc.collect()
    gc.disable()
    try:
        ask()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_no_exception_of_a_producing_thread_reaches_the_loop(error: BaseException) -> None:
    app = App(threads=1, queue=1)

    @app.get("/ends", threaded=True)
    def ends(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"one"
            raise error
        return Response(pieces())

    app.get("/", threaded=True)(lambda request: "alive")
    with Server(app).in_thread() as server:
        address = server.addresses[0]
        assert isinstance(address, tuple)
        host, port = address
        for _ in range(3):
            client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
            client.request("GET", "/ends")
            with pytest.raises((http.client.HTTPException, OSError)):
                client.getresponse().read()
            client.close()
        client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        client.request("GET", "/")
        assert client.getresponse().read() == b"alive"
        client.close()


def test_clients_that_read_nothing_do_not_take_the_threads_of_the_others() -> None:
    app = App(threads=2, queue=2)

    @app.get("/endless", threaded=True)
    def endless(request: Request) -> Response:
        return Response(iter(lambda: bytes(65536), b""))

    app.get("/short", threaded=True)(lambda request: "short")
    with Server(app).in_thread() as server:
        address = server.addresses[0]
        assert isinstance(address, tuple)
        host, port = address
        idle = []
        for _ in range(6):
            reader = http.client.HTTPConnection(host, port, timeout=PATIENCE)
            reader.request("GET", "/endless")
            assert reader.getresponse().status == 200
            idle.append(reader)
        client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        client.request("GET", "/short")
        assert client.getresponse().read() == b"short"
        for reader in [*idle, client]:
            reader.close()
