"""Echoes for the server of the library websockets, in uvloop: websockets_main.py PORT."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None, backlog=2048):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
