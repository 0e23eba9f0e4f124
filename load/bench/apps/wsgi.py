"""The application for WSGI servers: plain WSGI, no framework.

The files go by the server's own `wsgi.file_wrapper`, if it has one, and else in pieces.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any
from urllib.parse import parse_qs

from .common import BLOCK, FILES, HTML, JSON, TEXT, render_page

Environ = dict[str, Any]
Answer = tuple[str, bytes]

#: Bytes read at once where the server has no better way.
PIECE = 64 * 1024


def body_of(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return body


def ping(environ: Environ) -> Answer:
    return TEXT, b"pong"


def echo(environ: Environ) -> Answer:
    return JSON, json.dumps(json.loads(body_of(environ)), separators=(",", ":")).encode()


def form(environ: Environ) -> Answer:
    fields = parse_qs(body_of(environ).decode())
    return TEXT, f"{fields['name'][0]}, {fields['city'][0]}".encode()


def page(environ: Environ) -> Answer:
    return HTML, render_page().encode()


def block(environ: Environ) -> Answer:
    time.sleep(BLOCK)
    return TEXT, b"done"


ROUTES = {("GET", "/ping"): ping, ("POST", "/json"): echo, ("POST", "/form"): form, ("GET", "/page"): page,
          ("GET", "/block"): block}


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    with file:
        while piece := file.read(size):
            yield piece


def app(environ: Environ, start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/static/"):
        name = path.removeprefix("/static/")
        size = (FILES / name).stat().st_size
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
        wrapper: Callable[..., Iterable[bytes]] = environ.get("wsgi.file_wrapper", pieces)
        return wrapper((FILES / name).open("rb"), PIECE)  # whoever sends it closes it
    content_type, body = ROUTES[environ["REQUEST_METHOD"], path](environ)
    start_response("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
