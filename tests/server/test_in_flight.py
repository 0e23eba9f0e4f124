"""What a server says of the requests in flight: true, bounded, and safe to print."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from evloop_http import App
from evloop_http.messages import Headers, Request, RequestHead, Response
from evloop_http.net.reactor import Reactor
from evloop_http.server import InFlight, Server
from evloop_http.server.in_flight import describe, name_paths

PATIENCE = 20


def head(target: str, method: str = "GET") -> RequestHead:
    return RequestHead(method, target, "1.1", Headers(), target)


def requests(*paths: str, in_thread: bool = False) -> list[InFlight]:
    return [InFlight.of(head(path), "handling", in_thread) for path in paths]


# What is said of them

@pytest.mark.parametrize(("target", "path"), [
    ("/report", "/report"), ("/report?token=secret", "/report"), ("*", "*"), ("/a\x1b[31m\n", r"/a\x1b[31m\n"),
    ("/\x9b\u202e", r"/\x9b\u202e"), ("/" + "x" * 59, "/" + "x" * 59), ("/" + "x" * 60, "/" + "x" * 59 + "..."),
    ("/" + 1000 * "\x1b", "/" + 14 * r"\x1b" + r"\x1...")])
def test_a_path_is_escaped_and_cut_and_has_no_query(target: str, path: str) -> None:
    request = InFlight.of(head(target, 1000 * "M"), "handling", False)
    assert request.path == path
    assert request.method == 60 * "M" + "..."
    assert (request.path + request.method).isascii()
    assert (request.path + request.method).isprintable()


def test_those_in_threads_are_named_for_they_are_what_nothing_ends() -> None:
    assert describe(requests("/a")) == "1 request: /a"
    assert describe(requests("/a", "/b", "/a")) == "3 requests: /a (2 times), /b"
    assert describe([*requests("/a"), *requests("/b", in_thread=True)]) == "2 requests, 1 in a thread: /b"
    assert describe(requests("/a", "/b", in_thread=True)) == "2 requests, 2 in threads: /a, /b"


def test_few_are_named_and_the_rest_is_counted() -> None:
    paths = [f"/{number}" for number in range(1000)]
    assert name_paths(requests(*paths[:6])) == "/0, /1, /2, /3, /4 and 1 other"
    assert name_paths(requests(*paths)) == "/0, /1, /2, /3, /4 and 995 others"


# What a server says

@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    left = reactor.registrations, reactor.timers
    reactor.close()
    assert left == (0, 0)


class Blocking:
    """Handlers that work in threads until they are released."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self) -> Response:
        self.started.release()
        self.release.wait(PATIENCE)
        return Response("done")


@pytest.fixture
def work() -> Iterator[Blocking]:
    work = Blocking()
    yield work
    work.release.set()


@pytest.fixture
def pool(work: Blocking) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool
        work.release.set()


@pytest.fixture
def app(work: Blocking, pool: ThreadPoolExecutor) -> App:
    """Slow in every way: in a thread of ours, of a mounted application, of the host's, and in none."""
    app, inner = App(), App()
    app.get("/threaded", threaded=True)(lambda request: work())
    app.get("/executor")(lambda request: pool.submit(work))
    app.get("/later")(lambda request: Future())
    inner.get("/threaded", threaded=True)(lambda request: work())
    app.mount("/inner", inner)
    return app


def serving(reactor: Reactor, app: App) -> Server:
    server = Server(app, reactor=reactor)
    server.listen()
    return server


def ask(server: Server, work: Blocking, target: str) -> socket.socket:
    """Have the server begin with a request."""
    address, before = server.addresses[0], len(server.in_flight())
    assert isinstance(address, tuple)
    client = socket.create_connection(address, PATIENCE)
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    while len(server.in_flight()) == before:
        server.reactor.poll()
    if target != "/later":
        assert work.started.acquire(timeout=PATIENCE)
    return client


def reset(server: Server, client: socket.socket) -> None:
    """Have a client go away so that the server notices."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    while server.connections:
        server.reactor.poll()


def join_workers() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("evloop_http.worker"):
            thread.join(PATIENCE)


IN_THREADS = ["/threaded", "/executor", "/inner/threaded"]


@pytest.mark.parametrize("target", [*IN_THREADS, "/later"])
def test_it_knows_what_is_in_flight_and_which_of_it_in_threads(reactor: Reactor, app: App, work: Blocking,
                                                               target: str) -> None:
    server = serving(reactor, app)
    with ask(server, work, target):
        assert server.in_flight() == [InFlight("GET", target, "handling", target != "/later")]
        if target != "/later":
            work.release.set()
            while server.in_flight():
                reactor.poll()
    server.close()
    assert server.in_flight() == []


def test_a_body_that_arrives_is_in_flight_and_half_a_head_is_not(reactor: Reactor, app: App) -> None:
    server = serving(reactor, app)
    address = server.addresses[0]
    assert isinstance(address, tuple)
    app.post("/upload")(lambda request: "done")
    with socket.create_connection(address, PATIENCE) as half, socket.create_connection(address, PATIENCE) as upload:
        half.sendall(b"GET /half HTTP/1.1\r\n")
        upload.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        while not (server.in_flight() and server.stats()["open"]["reading-headers"]):  # type: ignore[index]
            reactor.poll()
        assert server.in_flight() == [InFlight("POST", "/upload", "reading-body", False)]
        server.close()


@pytest.mark.parametrize("target", IN_THREADS)
def test_handlers_that_still_work_when_the_server_has_stopped_are_named(
        reactor: Reactor, app: App, work: Blocking, target: str, caplog: pytest.LogCaptureFixture) -> None:
    server = serving(reactor, app)
    with ask(server, work, target), ask(server, work, "/later"):
        server.stop(0)
        while not server.wait_stopped(0):
            reactor.poll()
    assert caplog.messages == [f"the server has stopped, but handlers are still at work in threads: {target}"]
    server.close()


@pytest.mark.parametrize("target", IN_THREADS)
@pytest.mark.parametrize("is_released", [False, True])
def test_so_are_those_whose_clients_left_long_before_unless_they_have_finished(
        reactor: Reactor, app: App, work: Blocking, pool: ThreadPoolExecutor, target: str, is_released: bool,
        caplog: pytest.LogCaptureFixture) -> None:
    server = serving(reactor, app)
    reset(server, ask(server, work, target))
    if is_released:
        work.release.set()
        app.close()
        pool.shutdown()
        join_workers()
    server.close()
    assert caplog.messages == ([] if is_released else [
        f"the server has stopped, but handlers are still at work in threads: {target}"])


def test_threads_bound_how_many_are_remembered(reactor: Reactor, work: Blocking, pool: ThreadPoolExecutor) -> None:
    app = App(threads=2)
    app.get("/threaded", threaded=True)(lambda request: work())
    server = serving(reactor, app)
    for _ in range(5):
        reset(server, ask(server, work, "/threaded"))
        work.release.set()
        app.close()
        join_workers()
        work.release.clear()
        assert len(server._shared.left_at_work) == 1
    server.close()


def test_an_application_may_answer_with_any_future_and_its_result_is_not_kept(
        reactor: Reactor, work: Blocking, pool: ThreadPoolExecutor) -> None:
    def application(request: Request) -> Future[Response]:
        return pool.submit(work)

    server = Server(application, reactor=reactor)
    server.listen()
    client = ask(server, work, "/any")
    assert describe(server.in_flight()) == "1 request, 1 in a thread: /any"
    reset(server, client)
    assert [request.path for request in server._shared.left_at_work.values()] == ["/any"]
    work.release.set()
    while server._shared.left_at_work:
        reactor.poll()
    server.close()
