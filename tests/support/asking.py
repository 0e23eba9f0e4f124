"""Requests for an application, made without a connection; and its answers, waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evloop_http import Request, Response
from evloop_http.http1 import HeadParser
from evloop_http.messages import FileBody, FilePieces, Origin, Peer, Pipe, RequestHead
from evloop_http.messages.futures import LATE
from evloop_http.testing.client import read_pipe

#: Seconds after which something that should come has not come; far beyond what anything takes.
PATIENCE = 30

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


def make_request(method: str = "GET", target: str = "/", headers: Fields = (), body: bytes = b"",
                 client: str = "192.0.2.7", scheme: str = "http", host: str = "test.example:8080",
                 version: str = "1.1") -> Request:
    """The request that our own parser makes of this head."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", f"Content-Length: {len(body)}",
             *[f"{name}: {value}" for name, value in pairs], "", ""]
    head = HeadParser().parse("\r\n".join(lines).encode("latin-1"))
    return Request(head, body, Peer(client, 50000, Origin(scheme=scheme)))


def request_for_path(path: str, method: str = "GET", headers: Fields = ()) -> Request:
    """A request whose path is `path` to the letter, even where no target would decode to it."""
    head = make_request(method, "/", headers).head
    return Request(RequestHead(method, "/", "1.1", head.headers, path))


def answer(application: Callable[[Any], Any], request: Request) -> Response:
    """What an application answers, now or when its future is done."""
    result = application(request)
    if isinstance(result, LATE):
        result = result.result(PATIENCE)
    assert isinstance(result, Response)
    return result


def content(response: Response) -> bytes:
    """The whole body of a response, which is closed; of an event stream, what has been written so far."""
    body = response.body
    try:
        if isinstance(body, FileBody):
            return b"".join(FilePieces(body))
        if isinstance(body, Pipe):
            return b"".join(read_pipe(body, PATIENCE))
        return body if isinstance(body, bytes) else b"".join(body)
    finally:
        response.close()
