"""The application for ASGI servers: plain ASGI, no framework.

ASGI itself has no way to send a file; the files are Starlette's, which is what the users of these servers have.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.staticfiles import StaticFiles

from .common import BLOCK, FILES, HTML, JSON, TEXT, render_page
from .events import event_bytes

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[str, bytes]

files: Any = StaticFiles(directory=FILES)


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def ping(receive: Receive) -> Answer:
    return TEXT, b"pong"


async def echo(receive: Receive) -> Answer:
    return JSON, json.dumps(json.loads(await body_of(receive)), separators=(",", ":")).encode()


async def form(receive: Receive) -> Answer:
    fields = parse_qs((await body_of(receive)).decode())
    return TEXT, f"{fields['name'][0]}, {fields['city'][0]}".encode()


async def page(receive: Receive) -> Answer:
    return HTML, render_page().encode()


async def block(receive: Receive) -> Answer:
    await asyncio.to_thread(time.sleep, BLOCK)
    return TEXT, b"done"


ROUTES = {("GET", "/ping"): ping, ("POST", "/json"): echo, ("POST", "/form"): form, ("GET", "/page"): page,
          ("GET", "/block"): block}


#: Those who listen: how each is sent to, which is cheaper than a queue for each.
listeners: set[Send] = set()


async def listen(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    listeners.add(send)
    while (await receive())["type"] != "http.disconnect":
        pass
    listeners.discard(send)


async def tell(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    event = {"type": "http.response.body", "body": event_bytes(scope["path"].removeprefix("/tell/")), "more_body": True}
    for one in list(listeners):
        await one(event)
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", TEXT.encode()), (b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"told"})


async def send_file(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await files({**scope, "root_path": "/static"}, receive, send)


OTHERS = (("/static/", send_file), ("/events", listen), ("/tell/", tell))


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        await (live if scope["type"] == "lifespan" else talk)(receive, send)
        return
    path = scope["path"]
    answer = ROUTES.get((scope["method"], path))
    if answer is None:
        await next(other for start, other in OTHERS if path.startswith(start))(scope, receive, send)
        return
    content_type, body = await answer(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def talk(receive: Receive, send: Send) -> None:
    """Echo whatever comes over a WebSocket."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def live(receive: Receive, send: Send) -> None:
    """Nothing is made ready and nothing put away, and the server is told so."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
