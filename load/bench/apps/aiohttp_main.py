"""The application for aiohttp: aiohttp_main.py PORT [CERT KEY]."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time

from aiohttp import web

from bench.apps.common import BLOCK, FILES, HTML, render_page
from bench.apps.events import event_bytes

#: Those who listen: how each is sent to, which is cheaper than a queue for each.
listeners: set[web.StreamResponse] = set()


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


async def listen(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    listeners.add(response)
    try:
        await asyncio.Event().wait()  # ended when the client has gone, by `handler_cancellation`
    finally:
        listeners.discard(response)
    return response


async def tell(request: web.Request) -> web.Response:
    event = event_bytes(request.match_info["number"])
    for response in list(listeners):
        await response.write(event)
    return web.Response(text="told")


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Echo whatever comes over a WebSocket."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type == web.WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type == web.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


def main() -> None:
    port, *pair = sys.argv[1:]
    app = web.Application()
    app.add_routes([web.get("/ping", ping), web.post("/json", echo), web.post("/form", form), web.get("/page", page),
                    web.get("/block", block), web.get("/events", listen), web.get("/tell/{number}", tell),
                    web.get("/ws", talk), web.static("/static", FILES)])
    context = None
    if pair:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, access_log=None, backlog=2048,
                handler_cancellation=True)


if __name__ == "__main__":
    main()
