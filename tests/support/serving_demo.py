"""The demo site over HTTP and HTTPS, in a thread, for the tests that visit it; and a visitor that is none of ours."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from asking import PATIENCE
from evloop_http import Server, tls_context
from evloop_http.demo.app import create_app
from evloop_http.net.binding import bind_address

FORM = "application/x-www-form-urlencoded"
MARKUP = "<script>alert('x')</script>"


class Site(NamedTuple):
    """Where the demo is."""

    plain: str
    secure: str


@contextmanager
def serve_demo(certificate: tuple[Path, Path]) -> Iterator[Site]:
    secure = bind_address("127.0.0.1", 0)
    server = Server(create_app(secure.getsockname()[1]))
    server.listen("127.0.0.1", 0)
    server.listen(sock=secure, tls=tls_context(*certificate))
    with server.in_thread():
        yield Site(*server.urls)


class Reply(NamedTuple):
    """An answer, read whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def type(self) -> str:
        return self.headers["Content-Type"]


class Visitor:
    """A client with one connection that is kept."""

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        address = url.partition("://")[2]
        self.url = url
        if url.startswith("http:"):
            self._client = http.client.HTTPConnection(address, timeout=PATIENCE)
        else:
            context = ssl.create_default_context(cafile=certificate)
            self._client = http.client.HTTPSConnection(address, timeout=PATIENCE, context=context)

    def begin(self, method: str, target: str, **headers: str) -> http.client.HTTPResponse:
        """Ask, and read no more than the head: for an answer that goes on, and bodies that are only announced."""
        self._client.putrequest(method, target)
        for name, value in headers.items():
            self._client.putheader(name.replace("_", "-"), value)
        self._client.endheaders()
        return self._client.getresponse()

    def ask(self, method: str, target: str, body: bytes | str | None = None, type: str | None = None,
            **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if type is not None:
            sent["Content-Type"] = type
        self._client.request(method, target, body, sent)
        reply = self._client.getresponse()
        return Reply(reply.status, reply.headers, reply.read())

    def get(self, target: str, **headers: str) -> Reply:
        return self.ask("GET", target, **headers)

    def close(self) -> None:
        self._client.close()
