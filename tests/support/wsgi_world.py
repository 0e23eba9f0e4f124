"""WSGI applications to test gateways with, each watched by the validator of the standard library."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.validate import validator

from asking import PATIENCE
from evloop_http import Server
from evloop_http.gateways.wsgi import WSGI
from evloop_http.testing import Client

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, Start], Iterable[bytes]]

PLAIN = ("Content-Type", "text/plain")
#: In threads, and in the loop.
BOTH = [2, 0]


def validated(application: Application, threads: int = 2, **options: Any) -> WSGI:
    """The gateway of an application that must not see the server break a rule, nor break one itself."""
    return WSGI(validator(application), threads, **options)


@contextmanager
def client_of(application: Application, threads: int = 2, **options: Any) -> Iterator[Client]:
    """A client of an application that the validator watches."""
    with Client(validated(application, threads, **options)) as client:
        yield client


def connected(server: Server) -> http.client.HTTPConnection:
    """Return a connection to a server."""
    return http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)


def answering(*blocks: bytes, status: str = "200 OK", length: int | None = None) -> Application:
    """An application whose response is a list of these blocks."""
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        announced = [] if length is None else [("Content-Length", str(length))]
        start_response(status, [PLAIN, *announced] if status[:3] not in ("204", "304") else announced)
        return list(blocks)
    return application


def generating(*blocks: bytes, length: int | None = None) -> Application:
    """An application that yields these blocks, so that nobody knows beforehand how many there are."""
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN] if length is None else [PLAIN, ("Content-Length", str(length))])
        return iterate(blocks)
    return application


def iterate(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield them, by code that has to run for each."""
    yield from blocks


def environ_of(client: Client, method: str = "GET", target: str = "/", **options: Any) -> Environ:
    """What an application of `reporting` is told."""
    seen.clear()
    assert client.request(method, target, **options).status == 200
    return seen.copy()


#: By the latest request.
seen: Environ = {}


def reporting(environ: Environ, start_response: Start) -> list[bytes]:
    """Note the environ in `seen`."""
    seen.update(environ)
    start_response("200 OK", [PLAIN])
    return [b"noted"]
