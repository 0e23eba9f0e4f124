"""WebSockets of the client that needs no socket: all three kinds of handlers, refusals and ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from evloop_http import App, AsyncWebSocket, CallbackWebSocket, HTTPError, Request, Response, WebSocket
from evloop_http.testing import Client, WebSocketRefused
from evloop_http.websocket import Disconnected

pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")


def echo_app(kind: str) -> tuple[App, list[Any], threading.Event]:
    app, ended, over = App(), [], threading.Event()

    def end(room: str, code: int, reason: str) -> None:
        ended.append((room, code, reason))
        over.set()
    if kind == "thread":
        @app.websocket("/echo/{room}", subprotocols=["b"])
        def in_thread(request: Request, ws: WebSocket, room: str) -> None:
            for message in ws:
                ws.send(message)
            end(room, ws.close_code, ws.close_reason)
    elif kind == "task":
        @app.websocket("/echo/{room}", subprotocols=["b"])
        async def in_task(request: Request, ws: AsyncWebSocket, room: str) -> None:
            async for message in ws:
                await asyncio.sleep(0)
                await ws.send(message)
            end(room, ws.close_code, ws.close_reason)
    else:
        def on_message(ws: CallbackWebSocket, message: str | bytes) -> None:
            ws.send(message)

        def on_close(ws: CallbackWebSocket, code: int, reason: str) -> None:
            end(ws.params["room"], code, reason)
        app.websocket("/echo/{room}", on_message=on_message, on_close=on_close, subprotocols=["b"])
    return app, ended, over


@pytest.mark.parametrize("kind", ["thread", "task", "callbacks"])
def test_an_echo_without_a_socket(kind: str) -> None:
    app, ended, over = echo_app(kind)
    with Client(app) as client:
        with client.websocket("/echo/a", subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
            for message in ("x", b"y", "größe" * 1000, bytes(200_000)):
                ws.send(message)
                assert ws.receive() == message
            for number in range(100):
                ws.send(str(number))
            assert [ws.receive() for _ in range(100)] == [*map(str, range(100))]
            ws.close(4000, "bye")
            assert ws.close_code == 4000
            with pytest.raises(Disconnected):
                ws.send("more")
            with pytest.raises(Disconnected) as info:
                ws.receive()
            assert (info.value.code, info.value.reason) == (4000, "bye")
        assert over.wait(20)
    assert ended == [("a", 4000, "bye")]


@pytest.mark.parametrize("kind", ["thread", "task", "callbacks"])
def test_the_end_of_the_block_closes(kind: str) -> None:
    app, ended, over = echo_app(kind)
    with Client(app) as client:
        with client.websocket("/echo/a") as ws:
            ws.send("x")
            ws.receive()
        assert over.wait(20)
    assert ended == [("a", 1000, "")]


def test_a_refusal_has_its_reply() -> None:
    app = App()

    @app.websocket("/rooms/{name}")
    def rooms(request: Request, ws: WebSocket, name: str) -> Any:
        if name == "secret":
            raise HTTPError(403, "not for you")
        return Response("a page", 200)
    client = Client(app)
    for url, status, text in (("/rooms/secret", 403, "not for you"), ("/rooms/open", 200, "a page"),
                              ("/nowhere", 404, "nothing")):
        with pytest.raises(WebSocketRefused) as info, client.websocket(url):
            pass
        assert info.value.reply.status == status
        assert text in info.value.reply.text
    with pytest.raises(WebSocketRefused, match="403"), client.websocket("/rooms/a", headers={"Origin": "http://b"}):
        pass
    client.close()


def test_a_handler_that_ends_or_fails_closes(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.websocket("/greet")
    async def greet(request: Request, ws: AsyncWebSocket) -> None:
        await ws.send(request.query["name"])

    @app.websocket("/fail")
    def fail(request: Request, ws: WebSocket) -> None:
        ws.accept()
        raise LookupError("on purpose")
    client = Client(app)
    with client.websocket("/greet", query={"name": "Ada"}) as ws:
        assert ws.receive() == "Ada"
        with pytest.raises(Disconnected) as info:
            ws.receive()
        assert info.value.code == 1000
    with client.websocket("/fail") as ws:
        with pytest.raises(Disconnected) as info:
            ws.receive()
        assert info.value.code == 1011
    assert "on purpose" in caplog.text
    client.close()


def test_a_message_that_does_not_come_is_a_timeout() -> None:
    app, _, _ = echo_app("callbacks")
    with Client(app).websocket("/echo/a") as ws, pytest.raises(TimeoutError):
        ws.receive(timeout=0.01)


def test_a_request_for_a_websocket_by_get_is_a_mistake_of_the_test() -> None:
    app, _, _ = echo_app("callbacks")
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    with pytest.raises(RuntimeError, match="websocket"):
        Client(app).get("/echo/a", headers=fields)
