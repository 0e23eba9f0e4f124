"""Requests over a bare socket, for clients that no library offers: slow ones, and those that stay.

It knows sockets and `http.client`'s reader of answers. locust has patched both by the time this is
imported, so that they let the other users go on while they wait.

The answers are checked to the last byte, because a server that loses some under pressure loses them here.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPResponse
from urllib.parse import urlsplit

#: Bytes. A small window, so that what a slow reader leaves waits with the server and not in this kernel.
RECEIVE_BUFFER = 16 * 1024


class WrongAnswer(Exception):
    """An answer that is not what was asked for."""


@cache
def trusting_context() -> ssl.SSLContext:
    """A context that trusts everybody, as the certificates of test servers are signed by nobody. One for all users:
    to make one costs many times what a handshake does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def send_at_once(sock: socket.socket) -> None:
    """Let small pieces leave at once, as browsers do: else the end of a large request waits for an acknowledgement,
    which comes 40 ms later, and we would measure that."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def connected(url: str, timeout: float) -> Iterator[socket.socket]:
    """A connection to the server of a URL."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as bare:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        bare.settimeout(timeout)
        bare.connect(address)
        send_at_once(bare)
        if not secure:
            yield bare
            return
        with trusting_context().wrap_socket(bare, server_hostname=host) as sock:
            yield sock


def head(method: str, path: str, url: str, *fields: str) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", *fields, "", ""]
    return "\r\n".join(lines).encode("ascii")


def read_head(sock: socket.socket, method: str, status: int) -> HTTPResponse:
    """The answer, as far as its head.

    Raises:
        WrongAnswer: it has another status.
    """
    response = HTTPResponse(sock, method=method)
    response.begin()
    if response.status != status:
        raise WrongAnswer(f"{response.status} in the place of {status}")
    return response


def read_slowly(url: str, timeout: float, size: int = 1 << 20, piece: int = 32 * 1024, pause: float = 0.1) -> int:
    """Send `size` bytes to be echoed and take them back piece by piece; returns how many came.

    Raises:
        WrongAnswer: they are not the ones that were sent.
    """
    body = bytes(range(256)) * (size // 256)
    with connected(url, timeout) as sock:
        sock.sendall(head("POST", "/echo", url, f"Content-Length: {len(body)}",
                          "Content-Type: application/octet-stream"))
        sock.sendall(body)
        response = read_head(sock, "POST", 200)
        came = b""
        while part := response.read(piece):
            came += part
            time.sleep(pause)
    if came != body:
        raise WrongAnswer(f"{len(came)} bytes came back, {len(body)} were sent, and they differ")
    return len(came)


def send_slowly(url: str, timeout: float, size: int = 20, pause: float = 0.1) -> int:
    """Send a request in pieces, its body byte by byte; returns how many bytes came back.

    Raises:
        WrongAnswer: they are not the ones that were sent.
    """
    body = b"0123456789" * (size // 10)
    request = head("POST", "/echo", url, f"Content-Length: {len(body)}", "Content-Type: text/plain")
    third = len(request) // 3
    pieces = [request[:third], request[third:2 * third], request[2 * third:], *(bytes([byte]) for byte in body)]
    with connected(url, timeout) as sock:
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(pause)
        came = read_head(sock, "POST", 200).read()
    if came != body:
        raise WrongAnswer("what came back is not what was sent")
    return len(came)


def ticks(url: str, timeout: float, number: int) -> Iterator[int]:
    """Listen to the events, and yield at each `tick` how many bytes it took.

    Raises:
        WrongAnswer: the answer is no stream of events, or it ended before there were so many.
    """
    with connected(url, timeout) as sock:
        sock.sendall(head("GET", "/events", url, "Accept: text/event-stream"))
        response = read_head(sock, "GET", 200)
        media_type = response.getheader("Content-Type", "")
        if not media_type.startswith("text/event-stream"):
            raise WrongAnswer(f"{media_type!r} is no stream of events")
        size = came = 0
        while came < number:
            line = response.readline()
            if not line:
                raise WrongAnswer(f"the stream ended after {came} of {number} events")
            size += len(line)
            if line.strip() == b"event: tick":
                came += 1
                yield size
                size = 0
