"""The application for aiohttp: aiohttp_main.py PORT [CERT KEY]."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time

from aiohttp import web

from bench.apps.common import BLOCK, FILES, HTML, render_page


async def ping(request: web.Request) -> web.Response:
    return web.Response(text="pong")


async def echo(request: web.Request) -> web.Response:
    return web.json_response(await request.json())


async def form(request: web.Request) -> web.Response:
    fields = await request.post()
    return web.Response(text=f"{fields['name']}, {fields['city']}")


async def page(request: web.Request) -> web.Response:
    return web.Response(text=render_page(), content_type=HTML.partition(";")[0])


async def block(request: web.Request) -> web.Response:
    await asyncio.to_thread(time.sleep, BLOCK)
    return web.Response(text="done")


def main() -> None:
    port, *pair = sys.argv[1:]
    app = web.Application()
    app.add_routes([web.get("/ping", ping), web.post("/json", echo), web.post("/form", form), web.get("/page", page),
                    web.get("/block", block), web.static("/static", FILES)])
    context = None
    if pair:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, access_log=None, backlog=2048)


if __name__ == "__main__":
    main()
