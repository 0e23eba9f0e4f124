"""The application for granian: its own interface, RSGI, which it recommends for speed. The files are granian's own."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

from .common import BLOCK, HTML, JSON, TEXT, render_page

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


async def app(scope: Any, protocol: Any) -> None:
    content_type, body = await ROUTES[scope.method, scope.path](protocol)
    protocol.response_bytes(200, [("content-type", content_type)], body)
