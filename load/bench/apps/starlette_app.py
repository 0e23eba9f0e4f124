"""Starlette for ASGI servers: `app` answers in a coroutine, `threaded` in a thread of Starlette's own pool."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def ping(request: Any) -> Any:
    return PlainTextResponse("pong")


def ping_in_thread(request: Any) -> Any:
    return PlainTextResponse("pong")


app = Starlette(routes=[Route("/ping", ping)])
threaded = Starlette(routes=[Route("/ping", ping_in_thread)])
