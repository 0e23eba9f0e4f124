"""Handlers of the three kinds over real sockets, with the client of the library `websockets` at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evloop_http import (
    App,
    AsyncWebSocket,
    CallbackWebSocket,
    HTTPError,
    Request,
    Response,
    Server,
    WebSocket,
    after,
    broadcast,
)
from evloop_http.app.middleware import gzip, security_headers
from evloop_http.websocket import Disconnected
from evloop_http.websocket.options import HIGH_WATER, INBOX_MESSAGES
from wire import BINARY, handshake, masked

pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

PATIENCE = 20


class LoopThread:
    """A server whose reactor is watched by an asyncio loop of a thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._timer: asyncio.TimerHandle | None = None

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.add_reader(self.server.reactor.fileno(), self._turn)
        self._turn()
        self.loop.run_until_complete(self._ended.wait())
        self.loop.remove_reader(self.server.reactor.fileno())
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def _turn(self) -> None:
        self.server.reactor.poll(0)
        if self.server.wait_stopped(0):
            self._ended.set()
            return
        if self._timer is not None:
            self._timer.cancel()
        seconds = self.server.reactor.next_timeout()
        self._timer = self.loop.call_later(seconds, self._turn) if seconds is not None else None

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(self, *info: object) -> None:
        self.server.stop(grace=1)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[[App], str]]:
    """A function that serves an application, with asyncio if it wants that, and returns the URL of its WebSockets."""
    with contextlib.ExitStack() as opened:
        def start(app: App) -> str:
            server = Server(app)
            if app.needs_loop:
                server.listen("127.0.0.1", 0)
                opened.callback(server.close)
                opened.enter_context(LoopThread(server))
            else:
                opened.enter_context(server.in_thread())
                opened.callback(server.stop, 1)
            return server.url.replace("http", "ws", 1)
        yield start


class Recorder:
    """Events of handlers, to be waited for."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._changed = threading.Condition()

    def add(self, item: Any) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def wait(self, count: int = 1) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._items) >= count, PATIENCE), self._items
            return list(self._items)


def echo_app(kind: str, events: Recorder, **options: Any) -> App:
    """An application that echoes at `/echo/{room}`, by a handler of the kind."""
    app = App()
    if kind == "thread":
        @app.websocket("/echo/{room}", **options)
        def in_thread(request: Request, ws: WebSocket, room: str) -> None:
            for message in ws:
                ws.send(message)
            events.add((room, ws.close_code, ws.close_reason))
    elif kind == "task":
        @app.websocket("/echo/{room}", **options)
        async def in_task(request: Request, ws: AsyncWebSocket, room: str) -> None:
            async for message in ws:
                await ws.send(message)
            events.add((room, ws.close_code, ws.close_reason))
    else:
        def on_message(ws: CallbackWebSocket, message: str | bytes) -> None:
            ws.send(message)

        def on_close(ws: CallbackWebSocket, code: int, reason: str) -> None:
            events.add((ws.params["room"], code, reason))
        app.websocket("/echo/{room}", on_message=on_message, on_close=on_close, **options)
    return app


@contextlib.contextmanager
def raw_client(url: str, target: str) -> Iterator[socket.socket]:
    """A socket on which the handshake has been made."""
    host, port = url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.sendall(handshake(target))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield client


def fetch(url: str, target: str) -> bytes:
    with urllib.request.urlopen(url.replace("ws", "http", 1) + target, timeout=PATIENCE) as response:
        return bytes(response.read())


KINDS = pytest.mark.parametrize("kind", ["thread", "task", "callbacks"])


def joined(url: str, **options: Any) -> ClientConnection:
    options.setdefault("compression", None)
    client: ClientConnection = connect(url, open_timeout=PATIENCE, close_timeout=PATIENCE, **options)
    return client


def send_hundred(ws: WebSocket, name: str) -> None:
    for number in range(100):
        ws.send(f"{name}{number:03}" * 100)


@KINDS
@pytest.mark.parametrize("compression", ["deflate", None])
def test_an_echo_returns_every_message_and_sees_the_end(serve: Callable[[App], str], kind: str,
                                                        compression: str | None) -> None:
    events = Recorder()
    url = serve(echo_app(kind, events, compression=True))
    with joined(f"{url}/echo/a", compression=compression) as client:
        for message in ("", "x", b"\0\xff", "größe" * 20_000, bytes(1 << 20)):
            client.send(message)
            assert client.recv(PATIENCE) == message
        client.send(["in", " ", "fragments"])
        assert client.recv(PATIENCE) == "in fragments"
        assert client.ping("?").wait(PATIENCE)
        client.close(4000, "bye")
    assert events.wait() == [("a", 4000, "bye")]


@KINDS
def test_many_messages_arrive_in_order_whoever_is_slower(serve: Callable[[App], str], kind: str) -> None:
    """Far more than fits into the inbox, the queue and the kernel's buffers together, both ways."""
    messages = [b"%06d" % number * 5000 for number in range(400)]
    wanted = b"".join([b"\x82\x7e" + (30_000).to_bytes(2, "big") + message for message in messages])
    with raw_client(serve(echo_app(kind, Recorder())), "/echo/a") as client:
        sent = b"".join([masked(BINARY, size=b"\xfe" + (30_000).to_bytes(2, "big"), mask=bytes(4)) + message
                         for message in messages])
        sender = threading.Thread(target=client.sendall, args=[sent])
        sender.start()
        got = bytearray()
        while len(got) < len(wanted):
            piece = client.recv(1 << 16)
            assert piece
            got += piece
        sender.join(PATIENCE)
    assert got == wanted


@KINDS
def test_a_message_over_the_limit_ends_it_with_1009(serve: Callable[[App], str], kind: str) -> None:
    events = Recorder()
    url = serve(echo_app(kind, events, max_message=1000))
    with joined(f"{url}/echo/a") as client:
        client.send(bytes(1001))
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
    assert info.value.rcvd is not None
    assert info.value.rcvd.code == 1009
    assert events.wait()[0][1] == 1009


@KINDS
def test_a_client_that_vanishes_is_told_as_1006(serve: Callable[[App], str], kind: str) -> None:
    events = Recorder()
    url = serve(echo_app(kind, events))
    with joined(f"{url}/echo/a") as client:
        client.send("x")
        client.recv(PATIENCE)
        client.socket.shutdown(2)
    assert events.wait() == [("a", 1006, "")]


@KINDS
def test_a_server_that_stops_ends_everything_in_order(kind: str, serve: Callable[[App], str]) -> None:
    events, app = Recorder(), None
    app = echo_app(kind, events)
    server = Server(app)
    server.listen("127.0.0.1", 0)
    url = server.url.replace("http", "ws", 1)
    with LoopThread(server), joined(f"{url}/echo/a") as client:
        client.send("x")
        assert client.recv(PATIENCE) == "x"
        server.stop(grace=PATIENCE)
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
        assert info.value.rcvd is not None
        assert info.value.rcvd.code == 1001
    assert events.wait() == [("a", 1001, "")]
    server.close()


@KINDS
def test_a_handler_that_fails_closes_with_1011_and_logs_the_request(serve: Callable[[App], str], kind: str,
                                                                    caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    if kind == "thread":
        @app.websocket("/fail")
        def in_thread(request: Request, ws: WebSocket) -> None:
            raise LookupError(ws.receive())
    elif kind == "task":
        @app.websocket("/fail")
        async def in_task(request: Request, ws: AsyncWebSocket) -> None:
            raise LookupError(await ws.receive())
    else:
        def on_message(ws: CallbackWebSocket, message: str | bytes) -> None:
            raise LookupError(message)
        app.websocket("/fail", on_message=on_message)
    with joined(f"{serve(app)}/fail") as client:
        client.send("on purpose")
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
    assert info.value.rcvd is not None
    assert info.value.rcvd.code == 1011
    record, = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("GET /fail HTTP/1.1: the handler of the WebSocket failed")
    assert record.exc_info
    assert "on purpose" in str(record.exc_info[1])


@pytest.mark.parametrize("kind", ["thread", "task"])
@pytest.mark.parametrize(("refusal", "status", "body"), [
    ("return", 409, b"not today"), ("text", 200, b"no socket here"), ("raise", 404, b"no such room"),
    ("nothing", 403, b"refused"), ("close", 403, b"refused"), ("fail", 500, b"500")])
def test_a_handler_may_refuse_by_any_response(serve: Callable[[App], str], kind: str, refusal: str, status: int,
                                              body: bytes) -> None:
    app = App()

    def decide(ws: WebSocket | AsyncWebSocket) -> Any:
        if refusal == "raise":
            raise HTTPError(404, "no such room")
        if refusal == "close":
            ws.close(1000)
        if refusal == "fail":
            raise RuntimeError("on purpose")
        return {"return": Response("not today", 409), "text": "no socket here"}.get(refusal)

    if kind == "thread":
        @app.websocket("/")
        def in_thread(request: Request, ws: WebSocket) -> Any:
            return decide(ws)
    else:
        @app.websocket("/")
        async def in_task(request: Request, ws: AsyncWebSocket) -> Any:
            await asyncio.sleep(0)
            return decide(ws)
    with pytest.raises(InvalidStatus) as info:
        joined(serve(app))
    assert info.value.response.status_code == status
    assert body in bytes(info.value.response.body or b"")


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_handler_chooses_subprotocol_and_headers_when_it_accepts(serve: Callable[[App], str], kind: str) -> None:
    app = App()
    app.middleware(security_headers())
    app.middleware(gzip())
    if kind == "thread":
        @app.websocket("/")
        def in_thread(request: Request, ws: WebSocket) -> None:
            ws.accept(ws.offered[1], {"X-Note": "chosen"})
            ws.send(ws.subprotocol)
    else:
        @app.websocket("/")
        async def in_task(request: Request, ws: AsyncWebSocket) -> None:
            await ws.accept(ws.offered[1], {"X-Note": "chosen"})
            await ws.send(ws.subprotocol)
    with joined(serve(app), subprotocols=["v1", "v2"]) as client:
        assert client.subprotocol == "v2"
        assert client.response is not None
        assert client.response.headers["X-Note"] == "chosen"
        assert client.response.headers["X-Content-Type-Options"] == "nosniff"
        assert client.recv(PATIENCE) == "v2"
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
    assert info.value.rcvd is not None
    assert info.value.rcvd.code == 1000


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_mistake_in_accepting_is_an_error_of_the_handler(serve: Callable[[App], str], kind: str) -> None:
    app, events = App(), Recorder()
    if kind == "thread":
        @app.websocket("/")
        def in_thread(request: Request, ws: WebSocket) -> None:
            with pytest.raises(ValueError, match="does not offer"):
                ws.accept("v3")
            ws.accept()
            with pytest.raises(RuntimeError, match="accepted"):
                ws.accept()
            events.add("checked")
    else:
        @app.websocket("/")
        async def in_task(request: Request, ws: AsyncWebSocket) -> None:
            with pytest.raises(ValueError, match="does not offer"):
                await ws.accept("v3")
            await ws.accept()
            with pytest.raises(RuntimeError, match="accepted"):
                await ws.accept()
            events.add("checked")
    with joined(serve(app)):
        assert events.wait() == ["checked"]


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_the_end_of_another_socket_is_an_error_of_the_handler(serve: Callable[[App], str], kind: str,
                                                              caplog: pytest.LogCaptureFixture) -> None:
    app, others = App(), Recorder()
    if kind == "thread":
        @app.websocket("/")
        def in_thread(request: Request, ws: WebSocket) -> None:
            ws.accept()
            others.add(ws)
            ws.receive()
            others.wait()[0].send("to the one that has left")
    else:
        @app.websocket("/")
        async def in_task(request: Request, ws: AsyncWebSocket) -> None:
            await ws.accept()
            others.add(ws)
            await ws.receive()
            await others.wait()[0].send("to the one that has left")
    url = serve(app)
    with joined(url):
        others.wait(1)
    with joined(url) as client:
        client.send("x")
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
    assert info.value.rcvd is not None
    assert info.value.rcvd.code == 1011
    assert "Disconnected" in caplog.text


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_handler_whose_acceptance_is_replaced_by_something_else_comes_to_its_end(
        serve: Callable[[App], str], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("threaded", "coroutine"):
        monkeypatch.setattr(f"evloop_http.websocket.{module}.OPENING", 0.05)
    app, events = App(), Recorder()

    @app.middleware
    def replaces(request: Request, call_next: Callable[[Request], Response]) -> Any:
        return after(call_next(request), lambda response: Response("something else"))
    if kind == "thread":
        @app.websocket("/")
        def in_thread(request: Request, ws: WebSocket) -> None:
            with contextlib.suppress(Disconnected):
                ws.receive()
            events.add(ws.close_code)
    else:
        @app.websocket("/")
        async def in_task(request: Request, ws: AsyncWebSocket) -> None:
            with contextlib.suppress(Disconnected):
                await ws.receive()
            events.add(ws.close_code)
    with pytest.raises(InvalidStatus):
        joined(serve(app))
    assert events.wait() == [1006]


# -- threads


def test_more_handlers_in_threads_than_there_may_be_are_answered_503(serve: Callable[[App], str]) -> None:
    app = App(websockets=2)

    @app.websocket("/")
    def chat(request: Request, ws: WebSocket) -> None:
        for message in ws:
            ws.send(message)

    @app.get("/still-here", threaded=True)
    def still_here(request: Request) -> str:
        return "yes"
    url = serve(app)
    with joined(url) as one, joined(url):
        with pytest.raises(InvalidStatus) as info:
            joined(url)
        assert info.value.response.status_code == 503
        assert info.value.response.headers["Retry-After"]
        one.send("x")
        assert one.recv(PATIENCE) == "x"
        assert fetch(url, "/still-here") == b"yes"


def test_receive_has_a_timeout(serve: Callable[[App], str]) -> None:
    app = App()

    @app.websocket("/")
    def impatient(request: Request, ws: WebSocket) -> None:
        ws.accept()
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        ws.send("nothing came")
    with joined(serve(app)) as client:
        assert client.recv(PATIENCE) == "nothing came"


def test_a_socket_that_waits_refuses_to_wait_in_the_thread_of_the_loop(serve: Callable[[App], str]) -> None:
    app, sockets = App(), Recorder()

    @app.websocket("/")
    def chat(request: Request, ws: WebSocket) -> None:
        ws.accept()
        sockets.add(ws)
        for message in ws:
            ws.send(message)

    @app.get("/receive")
    def receive(request: Request) -> str:
        with pytest.raises(RuntimeError, match="thread of the loop"):
            sockets.wait()[0].receive()
        sockets.wait()[0].send("from the loop")
        return "refused"
    url = serve(app)
    with joined(url) as client:
        sockets.wait()
        assert fetch(url, "/receive") == b"refused"
        assert client.recv(PATIENCE) == "from the loop"


def test_many_threads_send_on_one_socket_and_no_frame_is_torn(serve: Callable[[App], str]) -> None:
    app = App()

    @app.websocket("/", compression=True)
    def crowd(request: Request, ws: WebSocket) -> None:
        ws.accept()
        threads = [threading.Thread(target=lambda name=name: send_hundred(ws, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with joined(serve(app), compression="deflate") as client:
        got = [client.recv(PATIENCE) for _ in range(400)]
    for name in "abcd":
        assert [one for one in got if str(one)[0] == name] == [f"{name}{number:03}" * 100 for number in range(100)]


def test_a_thread_that_sends_to_one_who_takes_nothing_waits_and_is_bounded(serve: Callable[[App], str]) -> None:
    app, events = App(), Recorder()

    @app.websocket("/")
    def pour(request: Request, ws: WebSocket) -> None:
        ws.accept()
        with contextlib.suppress(TimeoutError):
            while True:
                ws.send(bytes(10_000), timeout=0.2)
        events.add((ws.protocol.behind, ws.try_send("no room")))
        ws.send("there is room again")
    with joined(serve(app), max_queue=1) as client:
        (behind, sent), = events.wait()
        assert behind < 4 * HIGH_WATER
        assert not sent
        while client.recv(PATIENCE) != "there is room again":
            pass


def test_a_handler_that_takes_nothing_stops_its_client(serve: Callable[[App], str]) -> None:
    app, sockets, go_on = App(), Recorder(), threading.Event()

    @app.websocket("/")
    def lazy(request: Request, ws: WebSocket) -> None:
        ws.accept()
        sockets.add(ws)
        assert go_on.wait(PATIENCE)
        for message in ws:
            ws.send(message)
    with joined(serve(app)) as client:
        ws, = sockets.wait()
        for number in range(200):
            client.send(str(number))
        client.send("last")
        inbox = ws._inbox
        with ws._changed:
            assert ws._changed.wait_for(lambda: len(inbox.messages) >= INBOX_MESSAGES, PATIENCE)
        go_on.set()
        assert [client.recv(PATIENCE) for _ in range(201)] == [*map(str, range(200)), "last"]


# -- tasks


def test_a_task_is_cancelled_when_its_client_leaves_before_it_accepts(serve: Callable[[App], str]) -> None:
    app, events = App(), Recorder()

    @app.websocket("/")
    async def undecided(request: Request, ws: AsyncWebSocket) -> None:
        events.add("called")
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            events.add("cancelled")
    url = serve(app)
    host, port = url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.sendall(handshake())
        events.wait()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert events.wait(2) == ["called", "cancelled"]


def test_a_task_that_sends_to_one_who_takes_nothing_waits_and_is_bounded(serve: Callable[[App], str]) -> None:
    app, events = App(), Recorder()

    @app.websocket("/")
    async def pour(request: Request, ws: AsyncWebSocket) -> None:
        await ws.accept()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await ws.send(bytes(10_000))
        events.add((ws.protocol.behind, ws.try_send("no room")))
        await ws.send("there is room again")
    with joined(serve(app), max_queue=1) as client:
        (behind, sent), = events.wait()
        assert behind < 4 * HIGH_WATER
        assert not sent
        while client.recv(PATIENCE) != "there is room again":
            pass


def test_a_task_without_a_loop_is_a_mistake_that_says_what_to_do() -> None:
    app = App()

    @app.websocket("/")
    async def chat(request: Request, ws: AsyncWebSocket) -> None:
        pass
    assert app.needs_loop
    outer = App()
    assert not outer.needs_loop
    outer.mount("/chat", app)
    assert outer.needs_loop


# -- broadcast


def test_a_broadcast_reaches_all_and_is_encoded_once_for_each_setting(serve: Callable[[App], str],
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from evloop_http.websocket.frames import Encoder
    app, joining, encoded = App(), Recorder(), []
    real = Encoder.encode

    def counting(self: Encoder, message: str | bytes) -> bytes:
        encoded.append(message)
        return real(self, message)
    monkeypatch.setattr(Encoder, "encode", counting)

    @app.websocket("/", compression=True)
    def listen(request: Request, ws: WebSocket) -> None:
        ws.accept()
        joining.add(ws)
        for message in ws:
            ws.send(message)
    url = serve(app)
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(joined(url, compression=compression))
                   for compression in (None, "deflate", None, "deflate")]
        sockets = joining.wait(4)
        for client in clients:
            client.send("a message of one's own, " * 20)
            client.recv(PATIENCE)
        encoded.clear()
        for text in ("to everybody, " * 30, "short"):
            assert broadcast(sockets, text) == 4
            assert encoded == [text] * 2
            encoded.clear()
            assert [client.recv(PATIENCE) for client in clients] == [text] * 4
        for client in clients:  # what is compressed for one alone does not refer to what it did not compress
            client.send("a message of one's own, to everybody, " * 20)
            assert client.recv(PATIENCE) == "a message of one's own, to everybody, " * 20
        clients[0].close()
        joined_again = [ws for ws in sockets if not ws.closed]
        assert broadcast(joined_again, "x") >= 3


def test_a_closed_socket_says_so() -> None:
    error = Disconnected(1006)
    assert str(error) == "the WebSocket is closed: 1006"
    assert isinstance(error, OSError)
