"""The application for granian: its own interface, RSGI, which it recommends for speed. The files are granian's own."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

from .common import BLOCK, HTML, JSON, TEXT, render_page
from .events import event_bytes

Answer = tuple[str, bytes]


async def ping(protocol: Any) -> Answer:
    return TEXT, b"pong"


async def echo(protocol: Any) -> Answer:
    return JSON, json.dumps(json.loads(await protocol()), separators=(",", ":")).encode()


async def form(protocol: Any) -> Answer:
    fields = parse_qs((await protocol()).decode())
    return TEXT, f"{fields['name'][0]}, {fields['city'][0]}".encode()


async def page(protocol: Any) -> Answer:
    return HTML, render_page().encode()


async def block(protocol: Any) -> Answer:
    await asyncio.to_thread(time.sleep, BLOCK)
    return TEXT, b"done"


ROUTES = {("GET", "/ping"): ping, ("POST", "/json"): echo, ("POST", "/form"): form, ("GET", "/page"): page,
          ("GET", "/block"): block}


#: Those who listen: how each is sent to.
listeners: set[Any] = set()


async def listen(protocol: Any) -> None:
    transport = protocol.response_stream(200, [("content-type", "text/event-stream"), ("cache-control", "no-store")])
    listeners.add(transport)
    await protocol.client_disconnect()
    listeners.discard(transport)


async def tell(number: str) -> Answer:
    event = event_bytes(number)
    for transport in list(listeners):
        await transport.send_bytes(event)
    return TEXT, b"told"


async def talk(protocol: Any) -> None:
    """Echo whatever comes over a WebSocket."""
    ws = await protocol.accept()
    while (message := await ws.receive()).kind:
        await (ws.send_str if message.kind == 2 else ws.send_bytes)(message.data)


async def app(scope: Any, protocol: Any) -> None:
    if scope.proto == "ws":
        await talk(protocol)
    elif scope.path == "/events":
        await listen(protocol)
    else:
        answer = ROUTES.get((scope.method, scope.path))
        content_type, body = await (answer(protocol) if answer else tell(scope.path.removeprefix("/tell/")))
        protocol.response_bytes(200, [("content-type", content_type)], body)
