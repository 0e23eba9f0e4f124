"""Coroutines as handlers, middleware, error handlers and bodies: over a socket, on one loop, and without a socket."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from asking import PATIENCE, make_request
from evloop_http import App, HTTPError, Reactor, Request, Response, Server, Timeouts
from evloop_http.app.kinds import is_coroutine_function
from evloop_http.loops.one_loop import Loop
from evloop_http.messages import FOLLOW, GATHER, STREAM
from evloop_http.messages.pending import Pending
from evloop_http.testing import Client


@contextmanager
def served(app: App, **options: Any) -> Iterator[tuple[str, int]]:
    """The application on a loop whose selector is the reactor's, in a thread."""
    ready = threading.Event()
    made: list[tuple[Loop, tuple[str, int]]] = []

    def run() -> None:
        with Loop() as loop:
            server = Server(app, reactor=loop.reactor, **options)
            server.listen()
            made.append((loop, server.addresses[0]))  # type: ignore[arg-type]
            ready.set()
            loop.run_forever()
            server.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE)
    loop, address = made[0]
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """What arrives, up to a mark, or to the end if that is nothing."""
    got = b""
    while not (mark and got.endswith(mark)):
        data = sock.recv(65536)
        if not data:
            break
        got += data
    return got


def ask(address: tuple[str, int], target: str, method: str = "GET", body: bytes = b"") -> bytes:
    """The answer to a request on a connection of its own."""
    with socket.create_connection(address, PATIENCE) as sock:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{length}Connection: close\r\n\r\n".encode() + body)
        return read_until(sock, b"")


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    yield app
    app.close()


async def step() -> None:
    """Let others go first."""
    await asyncio.sleep(0)


# -- handlers


async def plain(request: Request) -> str:
    return "coroutine"


async def patient(request: Request) -> dict[str, Any]:
    await asyncio.sleep(0.001)
    return {"waited": True}


class Callable_:
    async def __call__(self, request: Request) -> str:
        await step()
        return "object"


@pytest.mark.parametrize(("handler", "expected"), [
    (plain, b"coroutine"), (patient, b'{"waited":true}'), (Callable_(), b"object"),
    (functools.partial(plain), b"coroutine"),
    (Callable_().__call__, b"object"),
])
def test_every_kind_of_coroutine_is_a_handler(app: App, handler: Callable[..., Any], expected: bytes) -> None:
    needed = [app.needs_loop]
    app.route("/", name="it")(handler)
    assert [*needed, app.needs_loop] == [False, True]
    assert Client(app).get("/").body == expected
    with served(app) as address:
        assert ask(address, "/").endswith(b"\r\n\r\n" + expected)


def test_parameters_of_the_path_and_the_name_are_the_handlers(app: App) -> None:
    @app.get("/users/{number:int}")
    async def user(request: Request, number: int) -> str:
        await step()
        return f"user {number}"

    assert Client(app).get("/users/7").text == "user 7"
    assert app.url_for("user", number=7) == "/users/7"


@pytest.mark.parametrize("function", [lambda request: "x", "text".upper, Client, functools.partial(print)])
def test_what_is_no_coroutine_is_taken_for_none(function: Callable[..., Any]) -> None:
    assert not is_coroutine_function(function)


def test_a_coroutine_does_not_run_in_a_thread(app: App) -> None:
    with pytest.raises(TypeError, match="to_thread"):
        app.get("/", threaded=True)(plain)


def test_what_a_coroutine_raises_is_answered_for_at_once_or_later(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/refuses")
    async def refuses(request: Request) -> None:
        raise HTTPError(418)

    @app.get("/refuses/later")
    async def refuses_later(request: Request) -> None:
        await step()
        raise HTTPError(418)

    @app.get("/fails/later")
    async def fails_later(request: Request) -> None:
        await step()
        raise ZeroDivisionError

    client = Client(app)
    with caplog.at_level(logging.ERROR, "evloop_http"):
        assert [client.get(path).status for path in ("/refuses", "/refuses/later", "/fails/later")] == [418, 418, 500]
    assert [record.getMessage() for record in caplog.records] == ["GET /fails/later HTTP/1.1: the handler failed"]


def test_a_plain_handler_may_begin_a_task() -> None:
    app = App(needs_loop=True)
    done: list[str] = []

    async def work() -> None:
        await step()
        done.append("worked")

    @app.get("/begin")
    def begin(request: Request) -> str:
        app.task = asyncio.get_running_loop().create_task(work())  # type: ignore[attr-defined]
        return "begun"

    with served(app) as address:
        assert ask(address, "/begin").endswith(b"begun")
        ask(address, "/begin")
    assert done


def test_without_a_loop_a_coroutine_is_a_500_that_says_why(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.get("/")(plain)
    server = Server(app)
    server.listen()
    reactor = server.reactor
    thread = threading.Thread(target=reactor.run)
    thread.start()
    try:
        with caplog.at_level(logging.ERROR, "evloop_http"):
            answer = ask(server.addresses[0], "/")  # type: ignore[arg-type]
    finally:
        reactor.stop()
        thread.join(PATIENCE)
        server.close()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "a coroutine needs an asyncio loop in the thread of the server" in caplog.text


# -- the end of interest


def test_a_coroutine_is_cancelled_when_its_client_leaves(app: App) -> None:
    began, ended = threading.Event(), threading.Event()

    @app.get("/")
    async def wait(request: Request) -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            assert request.disconnected
            ended.set()
            raise

    with served(app) as address:
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert began.wait(PATIENCE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        assert ended.wait(PATIENCE)


def test_a_coroutine_is_cancelled_when_the_time_of_handlers_is_over(app: App) -> None:
    ended = threading.Event()

    @app.get("/")
    async def wait(request: Request) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    with served(app, timeouts=Timeouts(handler=0.05)) as address:
        assert ask(address, "/").startswith(b"HTTP/1.1 503 ")
        assert ended.wait(PATIENCE)


def test_a_coroutine_that_is_cancelled_by_others_is_a_503(app: App) -> None:
    @app.get("/")
    async def give_up(request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.get_loop().call_soon(task.cancel)
        await asyncio.get_running_loop().create_future()

    with served(app) as address:
        assert ask(address, "/").startswith(b"HTTP/1.1 503 ")


# -- middleware


def test_an_asynchronous_middleware_awaits_what_is_behind_it(app: App) -> None:
    seen: list[tuple[str, int, bytes]] = []

    @app.middleware
    async def outer(request: Request, call_next: Callable[[Any], Any]) -> Any:
        await step()
        response = await call_next(request)
        seen.append((request.path, response.status, response.body))
        response.headers["X-Outer"] = "1"
        return response

    @app.middleware
    def inner(request: Request, call_next: Callable[[Any], Response]) -> Response:
        response = call_next(request)
        response.headers["X-Inner"] = "1"
        return response

    app.get("/now")(plain)
    app.get("/later")(patient)
    app.get("/plain")(lambda request: "plain")
    app.get("/thread", threaded=True)(lambda request: threading.current_thread().name)
    client = Client(app)
    for path in ("/now", "/later", "/plain", "/thread", "/nowhere"):
        reply = client.get(path)
        assert (reply.headers["x-outer"], reply.headers["x-inner"]) == ("1", "1")
        assert seen.pop() == (path, reply.status, reply.body)
    assert client.get("/thread").text.startswith("evloop_http.worker")


def test_an_asynchronous_middleware_sees_the_answers_of_errors_and_may_raise_its_own(app: App) -> None:
    statuses: list[int] = []

    @app.middleware
    async def watch(request: Request, call_next: Callable[[Any], Any]) -> Any:
        response = await call_next(request)
        statuses.append(response.status)
        if request.path == "/teapot":
            await step()
            raise HTTPError(418)
        return response

    @app.get("/fails")
    async def fails(request: Request) -> None:
        await step()
        raise ZeroDivisionError

    client = Client(app)
    assert [client.get(path).status for path in ("/fails", "/nowhere", "/teapot")] == [500, 404, 418]
    assert statuses == [500, 404, 404]


def test_what_a_middleware_sets_in_its_context_is_there_for_the_handler(app: App) -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    @app.middleware
    async def login(request: Request, call_next: Callable[[Any], Any]) -> Any:
        user.set(request.headers.get("x-user", "anonymous"))
        return await call_next(request)

    @app.get("/")
    async def who(request: Request) -> str:
        await step()
        return user.get()

    client = Client(app)
    assert client.get("/", headers={"X-User": "ann"}).text == "ann"
    assert client.get("/").text == "anonymous"


# -- error handlers


@pytest.mark.parametrize("kind", ["def", "async def", "threaded"])
@pytest.mark.parametrize("waits", [False, True])
def test_an_asynchronous_error_handler_answers_for_every_kind_of_handler(app: App, kind: str, waits: bool) -> None:
    @app.error(418)
    async def teapot(request: Request, error: HTTPError) -> str:
        if waits:
            await step()
        return f"short and stout on {threading.current_thread().name[:6]}"

    def fail(request: Request) -> None:
        raise HTTPError(418, headers={"X-Kept": "1"})

    async def fail_later(request: Request) -> None:
        await step()
        fail(request)

    app.get("/", threaded=kind == "threaded")(fail_later if kind == "async def" else fail)
    app.middleware(lambda request, call_next: call_next(request))
    with served(app) as address:
        answer = ask(address, "/")
    assert answer.startswith(b"HTTP/1.1 418 ")
    assert b"X-Kept: 1" in answer
    assert answer.endswith(b"short and stout on Thread")


def test_an_asynchronous_error_handler_that_fails_is_a_plain_500(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.error(404)
    async def bad(request: Request, error: HTTPError) -> str:
        await step()
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "evloop_http"):
        assert Client(app).get("/nowhere").status == 500
    assert caplog.text.count("the handler failed") == 1


# -- bodies


def test_an_asynchronous_iterator_is_a_body(app: App) -> None:
    closed: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for number in range(5):
                await step()
                yield b"%d," % number
        finally:
            closed.append("closed")

    app.get("/")(lambda request: Response(pieces()))
    app._needs_loop = True
    assert Client(app).get("/").body == b"0,1,2,3,4,"
    with served(app) as address:
        assert b"\r\n\r\n2\r\n0,\r\n" in ask(address, "/")
        assert ask(address, "/", "HEAD").endswith(b"\r\n\r\n")
    assert closed == ["closed"] * 2


def test_an_asynchronous_body_goes_at_the_pace_of_its_reader_and_is_closed_when_that_leaves(app: App) -> None:
    produced: list[int] = []
    closed = threading.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for number in range(10_000):
                produced.append(number)
                yield bytes(65536)
        finally:
            closed.set()

    app.get("/")(lambda request: Response(pieces()))
    app._needs_loop = True
    with served(app) as address, socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(100)
        sock.close()
        assert closed.wait(PATIENCE)
    assert len(produced) < 1000


def test_an_asynchronous_body_that_fails_breaks_the_answer_off(app: App, caplog: pytest.LogCaptureFixture) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await step()
        raise ZeroDivisionError("on purpose")

    app.get("/")(lambda request: Response(pieces()))
    app._needs_loop = True
    with served(app) as address, pytest.raises(ConnectionResetError), caplog.at_level(logging.ERROR, "evloop_http"):
        ask(address, "/")
    assert "GET / HTTP/1.1: the body of the response failed" in caplog.text


def test_a_coroutine_reads_a_body_while_it_arrives(app: App) -> None:
    first = threading.Event()

    @app.post("/", stream=True)
    async def count(request: Request) -> dict[str, int]:
        pieces = size = 0
        async for piece in request.stream():
            first.set()
            pieces += 1
            size += len(piece)
        return {"size": size}

    with served(app) as address:
        assert ask(address, "/", "POST", b"x" * 100).endswith(b'{"size":100}')
        first.clear()
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            sock.sendall(b"3\r\nabc\r\n")
            assert first.wait(PATIENCE)
            sock.sendall(b"2\r\nde\r\n0\r\n\r\n")
            assert read_until(sock, b"").endswith(b'{"size":5}')
    assert Client(app).post("/", body=b"whole").json() == {"size": 5}


def test_how_a_body_is_wanted_depends_on_who_reads_it(app: App) -> None:
    app.post("/follow", stream=True)(plain)
    app.post("/stream", stream=True)(lambda request: "x")
    app.post("/gather")(plain)
    wanted = [app.prepare(make_request("POST", path)) for path in ("/follow", "/stream", "/gather")]
    assert wanted == [FOLLOW, STREAM, GATHER]


def test_a_client_is_invited_when_a_coroutine_first_waits_for_its_body(app: App) -> None:
    @app.post("/reads", stream=True)
    async def reads(request: Request) -> bytes:
        return b"".join([piece async for piece in request.stream()])

    @app.post("/refuses", stream=True)
    async def refuses(request: Request) -> None:
        await step()
        raise HTTPError(403)

    head = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with served(app) as address:
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(head.format("/reads").encode())
            assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"abc")
            assert read_until(sock, b"").endswith(b"abc")
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(head.format("/refuses").encode())
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_a_body_that_is_lost_is_a_400_where_it_is_read(app: App) -> None:
    met: list[int] = []
    over = threading.Event()

    @app.post("/", stream=True)
    async def reads(request: Request) -> None:
        try:
            async for _ in request.stream():
                pass
        except HTTPError as error:
            met.append(error.status)
            raise
        finally:
            over.set()

    with served(app) as address:
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
            sock.shutdown(socket.SHUT_WR)
            assert read_until(sock, b"").startswith(b"HTTP/1.1 400 ")
        assert over.wait(PATIENCE)


# -- together


def test_a_mounted_application_with_coroutines_has_its_loop(app: App) -> None:
    inner = App()
    inner.get("/x")(patient)
    app.mount("/in", inner)
    assert app.needs_loop
    assert Client(app).get("/in/x").json() == {"waited": True}


def test_many_requests_wait_at_once_in_one_thread(app: App) -> None:
    waiting: list[asyncio.Future[str]] = []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        waiting.append(asyncio.get_running_loop().create_future())
        if len(waiting) == 50:
            for future in waiting:
                future.set_result(threading.current_thread().name)
        return await waiting[-1]

    with served(app) as address:
        socks = [socket.create_connection(address, PATIENCE) for _ in range(50)]
        for sock in socks:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = {read_until(sock, b"").rpartition(b"\r\n\r\n")[2] for sock in socks}
        for sock in socks:
            sock.close()
    assert len(answers) == 1


def test_pipelined_requests_are_answered_in_order_by_coroutines(app: App) -> None:
    @app.get("/{name}")
    async def named(request: Request, name: str) -> str:
        for _ in range(len(name)):
            await step()
        return name

    names = ["ccc", "a", "bb", "dddd"]
    with served(app) as address, socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(b"".join(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for name in names))
        got = b""
        while got.count(b"HTTP/1.1 200") < 4 or not got.endswith(b"dddd"):
            got += sock.recv(65536)
    assert [got.index(b"\r\n\r\n" + name.encode()) for name in names] == \
        sorted(got.index(b"\r\n\r\n" + name.encode()) for name in names)


def test_the_client_for_tests_refuses_to_run_within_a_loop(app: App) -> None:
    app.get("/")(plain)

    async def main() -> None:
        Client(app).get("/")

    with pytest.raises(RuntimeError, match="running event loop"):
        asyncio.run(main())


def test_a_reactor_of_ones_own_is_enough(app: App) -> None:
    reactor = Reactor()
    app.get("/")(patient)
    with Loop(reactor) as loop:
        server = Server(app, reactor=reactor)
        server.listen()

        async def main() -> bytes:
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = await reader.read()
            writer.close()
            await writer.wait_closed()
            return data
        assert loop.run_until_complete(main()).endswith(b'{"waited":true}')
        server.close()
    reactor.close()


def test_a_coroutine_that_cancels_itself_ends_its_request_and_not_the_loop(app: App) -> None:
    @app.get("/at-once")
    async def at_once(request: Request) -> str:
        raise asyncio.CancelledError

    @app.get("/later")
    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    @app.get("/fine")
    async def fine(request: Request) -> str:
        return "fine"

    with served(app) as address:
        assert b" 503 " in ask(address, "/at-once").splitlines()[0]
        assert b" 503 " in ask(address, "/later").splitlines()[0]
        assert ask(address, "/fine").endswith(b"fine")


def test_a_handler_that_is_cancelled_by_others_is_a_503_for_the_middleware_too(app: App) -> None:
    statuses: list[int] = []

    @app.middleware
    async def watch(request: Request, call_next: Callable[[Any], Any]) -> Any:
        try:
            return await call_next(request)
        except HTTPError as error:
            statuses.append(error.status)
            raise

    @app.get("/")
    def promise(request: Request) -> Pending[Response]:
        pending: Pending[Response] = Pending()
        asyncio.get_running_loop().call_soon(pending.cancel)
        return pending

    assert Client(app).get("/").status == 503
    assert statuses == [503]
