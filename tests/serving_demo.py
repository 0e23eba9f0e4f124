"""The demo site over HTTP and HTTPS, in a thread, for the tests that visit it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evloop_http import Server, tls_context
from evloop_http.demo.app import create_app
from evloop_http.net.listener import bind_address


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
