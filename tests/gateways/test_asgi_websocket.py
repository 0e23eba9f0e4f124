"""WebSockets of ASGI applications, with the client of the library `websockets`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

websockets = pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from asgi_world import PATIENCE, Message, Receive, Send, ask, body, get, serving, start  # noqa: E402
from evloop_http import App, Server  # noqa: E402
from evloop_http.gateways.asgi import ASGI, ClientDisconnected  # noqa: E402
from evloop_http.websocket import Options  # noqa: E402

Scope = dict[str, Any]


@contextmanager
def opened(server: Server, path: str = "/", **options: Any) -> Iterator[ClientConnection]:
    with connect(server.url.replace("http", "ws") + path, open_timeout=PATIENCE, close_timeout=PATIENCE, proxy=None,
                 **options) as client:
        yield client


def off(app: Any, **options: Any) -> ASGI:
    return ASGI(app, lifespan="off", **options)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back what arrives, until the client closes."""
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def test_messages_go_both_ways_as_text_and_as_bytes() -> None:
    with serving(off(echo)) as server, opened(server) as client:
        for message in ("text \N{SNOWMAN}", b"\x00\xff", "", b"", "x" * 200_000, b"y" * 200_000):
            client.send(message)
            assert client.recv(PATIENCE) == message
        client.send(["in ", "fragments"])
        assert client.recv(PATIENCE) == "in fragments"


def test_the_scope_is_that_of_a_websocket_below_a_mount_too() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    outer = App()
    outer.mount("/api", off(app))
    with serving(outer) as server, opened(server, "/api/a%20b?c=d", subprotocols=["x", "y"]):
        pass
    scope = seen[0]
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["root_path"], scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/api", "/api/a b", b"/api/a%20b", b"c=d")
    assert scope["subprotocols"] == ["x", "y"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope
    assert (b"sec-websocket-version", b"13") in scope["headers"]


def test_what_is_accepted_has_its_subprotocol_and_headers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "y",
                    "headers": [(b"x-a", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
        await send({"type": "websocket.send", "text": "hello"})

    with serving(off(app)) as server, opened(server, subprotocols=["x", "y"]) as client:
        assert client.recv(PATIENCE) == "hello"
        assert client.subprotocol == "y"
        assert client.response is not None
        assert client.response.headers["x-a"] == "1"
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1000  # the application has returned


@pytest.mark.parametrize("wait", [False, True])
def test_a_close_before_the_acceptance_is_a_403(wait: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if wait:
            await asyncio.sleep(0)
        await send({"type": "websocket.close"})

    with serving(off(app)) as server, pytest.raises(InvalidStatus) as refusal, opened(server):
        pass
    assert refusal.value.response.status_code == 403
    assert not caplog.records


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_response_may_refuse(pieces: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-a", b"1")]})
        for number in range(pieces):
            await send({"type": "websocket.http.response.body", "body": b"no", "more_body": number + 1 < pieces})

    with serving(off(app)) as server, pytest.raises(InvalidStatus) as refusal, opened(server):
        pass
    response = refusal.value.response
    assert (response.status_code, response.headers["x-a"], response.body) == (404, "1", b"no" * pieces)


@pytest.mark.parametrize("wait", [False, True])
def test_a_failure_before_the_acceptance_is_a_500(wait: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if wait:
            await asyncio.sleep(0)
        raise LookupError("here")

    with serving(off(app)) as server, pytest.raises(InvalidStatus) as refusal, opened(server):
        pass
    assert refusal.value.response.status_code == 500
    assert len(caplog.records) == 1


def test_a_failure_behind_the_acceptance_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise LookupError("here")

    with serving(off(app)) as server, opened(server) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1011
    assert [record.name for record in caplog.records] == ["evloop_http.asgi"]


@pytest.mark.parametrize("message", [
    {"type": "websocket.send"},
    {"type": "websocket.send", "text": "a", "bytes": b"b"},
    {"type": "websocket.send", "text": b"a"},
    {"type": "websocket.send", "bytes": "a"},
    {"type": "websocket.accept"},
    {"type": "websocket.nonsense"},
    {"type": "websocket.close", "code": 1},
    {"type": "http.response.start", "status": 200},
])
def test_what_may_not_be_sent_is_an_exception_of_the_application(message: Message,
                                                                 caplog: pytest.LogCaptureFixture) -> None:
    caught: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await send(message)
        except (RuntimeError, TypeError, ValueError) as error:
            caught.append(str(error))
        await send({"type": "websocket.send", "text": "goes on"})

    with serving(off(app)) as server, opened(server) as client:
        assert client.recv(PATIENCE) == "goes on"
    assert len(caught) == 1
    assert not caplog.records


def test_a_subprotocol_that_was_not_offered_is_an_exception_of_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="does not offer"):
            await send({"type": "websocket.accept", "subprotocol": "z"})
        await send({"type": "websocket.close"})

    with serving(off(app)) as server, pytest.raises(InvalidStatus) as refusal, opened(server):
        pass
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize(("code", "reason", "expected"), [(4000, "enough", (4000, "enough")), (1000, "", (1000, ""))])
def test_the_application_is_told_how_the_client_closed(code: int, reason: str, expected: tuple[int, str]) -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        told.append(await receive())
        told.append(await receive())  # and again, whenever it asks
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "too late"})

    with serving(off(app)) as server, opened(server) as client:
        client.close(code, reason)
    assert told == [{"type": "websocket.disconnect", "code": expected[0], "reason": expected[1]}] * 2


def test_a_close_without_a_code_is_1005_and_a_lost_connection_1006() -> None:
    told: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.append((await receive())["code"])

    with serving(off(app)) as server:
        with opened(server) as client:
            client.socket.sendall(b"\x88\x80" + bytes(4))
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
        with opened(server) as client:
            client.socket.shutdown(2)
    assert told == [1005, 1006]


def test_the_application_closes_with_a_code_and_a_reason() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"last"})
        await send({"type": "websocket.close", "code": 4001, "reason": "done"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.send", "text": "more"})

    with serving(off(app)) as server, opened(server) as client:
        assert client.recv(PATIENCE) == b"last"
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert (client.close_code, client.close_reason) == (4001, "done")


def test_neither_side_outruns_the_other() -> None:
    """An application that does not receive stops its client, and a client that does not receive its application."""
    sent: list[int] = []
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            go.set()
            await send(start())
            await send(body(b"%d" % len(sent)))
            return
        await send({"type": "websocket.accept"})
        await go.wait()
        for number in range(300):
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            sent.append(number)

    with serving(off(app)) as server, opened(server, max_size=None, max_queue=1) as client:
        ask(server, get())
        counts = [int(ask(server, get())[2]) for _ in range(50)]
        assert counts[-1] < 300
        for _ in range(300):
            assert len(client.recv(PATIENCE)) == 65536


def test_a_request_that_breaks_the_rules_of_the_handshake_is_refused() -> None:
    fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: %s\r\nSec-WebSocket-Key: %s\r\n"
    with serving(off(echo)) as server:
        assert ask(server, get("/", fields % ("12", "AAAAAAAAAAAAAAAAAAAAAA==")))[0] == 426
        assert ask(server, get("/", fields % ("13", "AAAA")))[0] == 400


def test_another_upgrade_is_a_request_like_any_other() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send(start())
        await send(body(b"x"))

    with serving(off(app)) as server:
        assert ask(server, get("/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"))[2] == b"x"
        assert ask(server, get("/", "Upgrade: websocket\r\n"))[2] == b"x"


def test_the_options_hold() -> None:
    options = Options(max_message=10, origins=["https://example.org"])
    with serving(off(echo, websocket=options)) as server:
        with opened(server, origin="https://example.org") as client:
            client.send("x" * 11)
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
            assert client.close_code == 1009
        with pytest.raises(InvalidStatus), opened(server, origin="https://evil.example"):
            pass


def test_a_server_that_stops_closes_its_websockets_and_waits_for_their_tasks() -> None:
    told: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.append((await receive())["code"])

    with serving(off(app)) as server, opened(server) as client:
        server.stop(grace=PATIENCE)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1001
        assert server.wait_stopped(PATIENCE)
    assert told == [1001]
