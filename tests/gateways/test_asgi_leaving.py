"""Clients of an ASGI application that leave at any moment. Nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import struct
import weakref
from typing import Any

import pytest

from asgi_world import PATIENCE, Receive, Send, ask, body, get, serving, start
from evloop_http import Server
from evloop_http.gateways.asgi import ASGI
from evloop_http.gateways.asgi.cycle import Cycle

Scope = dict[str, Any]

_CHUNKS = b"POST /%s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
_COUNTED = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read and answer in several ways, with more of everything than fits into buffers."""
    kind = scope["path"]
    if kind == "/ping":
        await send(start())
        await send(body(b"pong"))
        return
    if kind in ("/read", "/echo"):
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
    if kind == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send(start())
    for number in range(30):
        await send(body(b"z" * 50_000, number < 29))
        if kind == "/slow":
            await asyncio.sleep(0)
    if kind == "/behind":
        await asyncio.sleep(0)


def leave(server: Server, dice: random.Random) -> None:
    """Do some of a request, read some of a response, and leave: with a FIN, a half-close or a reset."""
    kind = dice.choice([b"read", b"echo", b"wait", b"slow", b"behind", b"fast"])
    request = dice.choice([_CHUNKS, _COUNTED, get("/%s")]) % kind
    with socket.create_connection(server.addresses[0], PATIENCE) as sock:  # type: ignore[arg-type]
        try:
            sock.sendall(request[:dice.randrange(1, len(request) + 1)] if dice.random() < 0.5 else request)
            way = dice.choice(["close", "reset", "half", "read"])
            if way == "half":
                sock.shutdown(socket.SHUT_WR)
            elif way == "read":
                sock.settimeout(0.01)
                sock.recv(dice.randrange(1, 100_000))
        except (TimeoutError, ConnectionError, BrokenPipeError):
            pass
        if dice.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_clients_that_leave_at_any_moment_leave_nothing_behind(seed: int,
                                                                         caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)
    gateway = ASGI(app, lifespan="off")
    before = descriptors()
    with serving(gateway) as server:
        assert ask(server, get("/ping"))[2] == b"pong"
        with_server = descriptors()
        for _ in range(100):
            leave(server, dice)
        # Those that were read to their end take as many turns as there are.
        for _ in range(1000):
            assert ask(server, get("/ping"))[2] == b"pong"
            if server.connections == 0 and not gateway._tasks:
                break
        assert not gateway._tasks
        assert server.connections <= 1
        assert descriptors() <= with_server + 1
        assert server.stats()["bytes_held"] == 0
    assert descriptors() == before
    assert not caplog.records


def test_what_belongs_to_a_request_is_let_go_without_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []

    class Watched(Cycle):
        __slots__ = ("__weakref__",)

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(weakref.ref(self))

    monkeypatch.setattr("evloop_http.gateways.asgi.Cycle", Watched)
    gc.collect()
    gc.disable()
    try:
        with serving(ASGI(app, lifespan="off")) as server:
            for path in ("/ping", "/slow", "/behind", "/fast"):
                ask(server, get(path, "Connection: close\r\n"))
            ask(server, _COUNTED % b"read")
            ask(server, get("/ping"))
            kept = [one() for one in made[:-1] if one() is not None]
            assert not kept
    finally:
        gc.enable()
