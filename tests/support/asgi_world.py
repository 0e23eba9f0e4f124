"""ASGI applications behind a server, and clients that write bytes to it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from evloop_http import Server
from evloop_http.gateways.asgi import ASGI
from evloop_http.messages import Application

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

#: Seconds after which something that should come has not come; far beyond what anything takes.
PATIENCE = 30


@contextmanager
def serving(app: App | Application, **options: Any) -> Iterator[Server]:
    """A server of an application, which is one of ASGI unless it is ours."""
    application: Any = app if hasattr(app, "prepare") else ASGI(cast("App", app))
    with Server(application, **options).in_thread() as server:
        yield server


class Wire:
    """A client that writes bytes, and reads a response at a time."""

    def __init__(self, server: Server) -> None:
        address = server.addresses[0]
        self.sock = socket.create_connection(address, PATIENCE)  # type: ignore[arg-type]
        self.file = self.sock.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.sock.close()

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """The next head: its status, and its fields by their names in lower case."""
        line = self.file.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        fields = {}
        while (field := self.file.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = field.partition(":")
            fields[name.lower()] = value.strip()
        return int(line.split()[1]), fields

    def read(self, is_head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next response, with its body."""
        status, fields = self.head()
        if is_head or status in (204, 304):
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, b"".join(self.chunks())
        if "content-length" in fields:
            return status, fields, self.file.read(int(fields["content-length"]))
        return status, fields, self.file.read()

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a body, up to the last; trailers are left to be read."""
        while (size := int(self.file.readline() or b"-1", 16)) > 0:
            yield self.file.read(size)
            self.file.readline()
        if size < 0:
            raise EOFError("the body was broken off")
        self.trailers = []
        while (line := self.file.readline().rstrip(b"\r\n")):
            self.trailers.append(line)

    def is_at_end(self) -> bool:
        """Whether the server closes now."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def ask(server: Server, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """One response to one request on a connection of its own."""
    with Wire(server) as wire:
        wire.write(data)
        return wire.read(data.startswith(b"HEAD "))


def get(path: str = "/", fields: str = "") -> bytes:
    """A request."""
    return f"GET {path} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n".encode()


def post(body: bytes, path: str = "/", fields: str = "") -> bytes:
    """A request with a body."""
    return f"POST {path} HTTP/1.1\r\nHost: test.example\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    """The event by which a response begins."""
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more_body: bool = False) -> Message:
    """The event of a piece of it."""
    return {"type": "http.response.body", "body": data, "more_body": more_body}


def responding(data: bytes = b"hello", status: int = 200, *headers: tuple[bytes, bytes]) -> App:
    """An application that answers every request so."""
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        await send(start(status, *headers))
        await send(body(data))
    return app
