"""The application for evloop_http whose handlers are coroutines: its server is an asyncio event loop as well."""

from __future__ import annotations

from evloop_http import App, AsyncWebSocket, Request

app = App()


@app.get("/ping")
async def ping(request: Request) -> str:
    return "pong"


@app.websocket("/ws")
async def echo(request: Request, ws: AsyncWebSocket) -> None:
    async for message in ws:
        await ws.send(message)
