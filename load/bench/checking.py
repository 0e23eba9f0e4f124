"""Whether a server answers as all the others do: compared before each run, byte for byte.

The request is the one that the load sends. Compared are status, body, content type (its spelling apart) and whether the
connection is kept. JSON is compared by what it says, because servers space it differently. `http.client` reads the
answers: it belongs to none of those that are compared.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from .running import Trouble
from .workloads import JSON, MARK, Workload, expected, request_bytes

PIECE = 1024 * 1024
#: Seconds for which a server is asked before it is measured, so that it has met its code and its memory.
WARM_UP = 0.3
TIMEOUT = 20.0


class Answer(NamedTuple):
    """What is compared."""

    status: int
    type: str
    body: object
    keeps: bool


class _Kept(io.BufferedReader):
    """Stays open from one response to the next: `http.client` closes what it has read."""

    def close(self) -> None:
        pass


class _Source:
    """What `http.client` takes for a socket."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def makefile(self, mode: str) -> IO[bytes]:
        return self._file


def client_context() -> ssl.SSLContext:
    """Trusts anybody, as wrk does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(port: int, tls: bool, context: ssl.SSLContext | None = None) -> socket.socket:
    """A blocking connection."""
    client = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    try:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (context or client_context()).wrap_socket(client) if tls else client
    except BaseException:
        client.close()
        raise


def normal_type(value: str) -> str:
    """A content type in one spelling; the charset of JSON says nothing (RFC 8259 §11)."""
    media_type, _, rest = (part.strip() for part in value.lower().replace(" ", "").partition(";"))
    return media_type if media_type == JSON or not rest else f"{media_type}; {rest}"


def read_answer(file: IO[bytes], body: bytes | Path, method: str = "GET") -> Answer:
    """The next answer of a connection. A body that is as expected comes back as the expected itself.

    Raises:
        OSError: the connection broke.
        http.client.HTTPException: it is no HTTP.
    """
    # Closed here: left to the collector, it would flush a file that is closed by then.
    with contextlib.closing(http.client.HTTPResponse(_Source(file), method=method)) as response:  # type: ignore[arg-type]
        response.begin()
        content_type = normal_type(response.headers.get("Content-Type", ""))
        found: object
        if isinstance(body, Path):
            found = body if same_as_file(response, body) else f"other than {body.name}"
        else:
            found = response.read()
            if content_type == JSON and found != body:
                with contextlib.suppress(ValueError):
                    found = body if json.loads(found) == json.loads(body) else found
        return Answer(response.status, content_type, found, not response.will_close)


def same_as_file(response: http.client.HTTPResponse, path: Path) -> bool:
    """Whether the body is what the file holds; read in any case."""
    same = True
    with open(path, "rb") as file:
        while piece := response.read(PIECE):
            same = same and file.read(len(piece)) == piece
        return same and not file.read(1)


def conversations(workload: Workload, port: int, files: Path) -> Iterator[Answer]:
    """Answers without end: of one connection, or of a new one each if it is not kept.

    Raises:
        Trouble: the server did not close a connection that it said it would.
        OSError, http.client.HTTPException: there is no answer.
    """
    body = expected(workload.ask, files)
    request = request_bytes(workload.ask, workload.keep, workload.new)
    context = client_context()
    number = 0
    while True:
        with connect(port, workload.tls, context) as client, client.makefile("rb", buffering=0) as raw:
            file = _Kept(raw)
            kept = True
            while kept:
                number -= 1  # wrk counts up from 1: these are others
                client.sendall(request.replace(MARK.encode(), b"%d" % number) * workload.depth)
                for _ in range(workload.depth):
                    answer = read_answer(file, body, workload.ask.method)
                    yield answer
                kept = answer.keeps
            if file.read(1):
                raise Trouble("says that it closes the connection, and sends more")


def check(workload: Workload, port: int, files: Path) -> None:
    """Ask until the server is warm, comparing every answer.

    Raises:
        Trouble: it answers in another way than the others.
    """
    wanted = Answer(200, normal_type(workload.ask.type), expected(workload.ask, files), workload.keep)
    until = time.monotonic() + WARM_UP
    try:
        for number, answer in enumerate(conversations(workload, port, files), 1):
            if answer != wanted:
                raise Trouble(difference(answer, wanted))
            if number >= 2 * workload.depth and time.monotonic() > until:
                return
    except (OSError, http.client.HTTPException) as error:
        raise Trouble(f"no answer: {type(error).__name__} {error}".strip()) from None


def difference(answer: Answer, wanted: Answer) -> str:
    """What is other than it should be, in a sentence."""
    for name, found, right in zip(Answer._fields, answer, wanted, strict=True):
        if found != right:
            return f"answers differently: {name} is {short(found)}, not {short(right)}"
    return "answers as the others do"


def short(value: object) -> str:
    text = value.name if isinstance(value, Path) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
