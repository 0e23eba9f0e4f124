"""Servers that a load run must not pass. Each answers `/ping`, so that the run begins.

Those of `MISDEEDS` do nothing else as they should, and are no HTTP servers at all. `Dawdler` is a good
application on a good server that answers late, or after a while no more.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from evloop_http import Response, Server
from evloop_http.demo.app import create_app
from evloop_http.messages import Answer

PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npong"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf"


class BadServer(NamedTuple):
    """A server that is up."""

    url: str
    #: the requests that came, `/ping` aside
    asked: list[bytes]


class Misdeed(NamedTuple):
    """What becomes of a request."""

    answer: bytes
    #: whether the connection stays open behind it
    stays: bool = True


MISDEEDS = {
    "accepts and never answers": Misdeed(b""),
    "hangs up without an answer": Misdeed(b"", stays=False),
    "hangs up in the middle of an answer": Misdeed(HALF, stays=False),
    "stops in the middle of an answer": Misdeed(HALF),
    "answers that it is broken": Misdeed(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
    "answers with something else": Misdeed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"),
}


@contextmanager
def serve_badly(misdeed: Misdeed) -> Iterator[BadServer]:
    """Serve on a free port, with a thread for each connection."""
    asked: list[bytes] = []
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other side may go when it likes
            while request := connection.recv(65536):
                is_ping = request.startswith(b"GET /ping")
                if not is_ping:
                    asked.append(request)
                connection.sendall(PONG if is_ping else misdeed.answer)
                if is_ping or not misdeed.stays:
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):  # the end of the listener
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=[connections[-1]]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield BadServer(f"http://127.0.0.1:{listener.getsockname()[1]}", asked)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


class Dawdler:
    """The demo, whose answers come late.

    Args:
        delay: seconds.
        patience: seconds from the first request on (`/ping` aside) after which nothing is answered any more.
    """

    def __init__(self, delay: float, patience: float) -> None:
        self._demo = create_app()
        self.request_class = self._demo.request_class
        self._delay = delay
        self._patience = patience
        self._began = 0.0
        self.server = Server(self)

    def __call__(self, request: Any) -> Answer:
        answer = self._demo(request)
        if request.path == "/ping":
            return answer
        now = time.monotonic()
        self._began = self._began or now
        later = Future[Response]()
        if now - self._began < self._patience:
            self.server.reactor.call_later(self._delay, later.set_result, answer)
        return later


@contextmanager
def dawdling(delay: float, patience: float) -> Iterator[str]:
    """Serve the demo with a `Dawdler` before it; gives the URL."""
    with Dawdler(delay, patience).server.in_thread() as server:
        yield server.url
