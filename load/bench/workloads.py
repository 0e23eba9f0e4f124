"""What is asked of the servers, and what must come back.

It knows requests and answers as bytes and starts nothing. `request_bytes` is the only place where a request is made:
wrk reads it from a file, our own clients send it, and so does the check before each run.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"

KIB, MIB = 1024, 1024 * 1024
SIZES = {"4k.bin": 4 * KIB, "1m.bin": MIB, "8m.bin": 8 * MIB, "200m.bin": 200 * MIB}

#: What a browser sends; the mark stands where a number is new in each request.
BROWSER = """\
Host: 127.0.0.1\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r
Accept-Encoding: gzip, deflate, br\r
Accept-Language: en-US,en;q=0.5\r
Cookie: session=abcdef0123456789; id={n}\r
X-Request-ID: {n}\r
"""
MARK = "{n}"


def json_body(size: int = KIB) -> bytes:
    """A JSON object of so many bytes: numbers, texts and lists, the keys sorted."""
    items = [{"amount": n, "name": f"item {n}"} for n in range(16)]
    value: dict[str, object] = {"active": True, "id": 12345, "items": items}
    value["note"] = "x" * (size - len(json.dumps({**value, "note": ""}, separators=(",", ":"))))
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Ask:
    """One request, and the answer that everybody must give.

    Args:
        target: what is asked for.
        needs: what a server must have for it (see `peers`).
        type: the content type of the answer.
        answer: its body; a file of `SIZES` is named by `file` instead, and the page is rendered when needed.
    """

    target: str
    needs: str
    type: str = TEXT
    answer: bytes = b""
    file: str = ""
    method: str = "GET"
    body: bytes = b""
    body_type: str = ""


PING = Ask("/ping", "ping", answer=b"pong")
ECHO = Ask("/json", "json", JSON, answer=json_body(), method="POST", body=json_body(), body_type=JSON)
POST = Ask("/form", "form", answer=b"Ada Lovelace, London", method="POST", body_type=FORM,
           body=b"name=Ada+Lovelace&city=London&note=as+a+present&size=42&colour=red")
PAGE = Ask("/page", "page", HTML)
TALK = Ask("/ws", "ws")
LISTEN = Ask("/events", "sse", "text/event-stream")


def file_ask(name: str) -> Ask:
    """The request for a file."""
    return Ask(f"/static/{name}", "static", BYTES, file=name)


@dataclass(frozen=True)
class Workload:
    """One thing that is measured.

    Args:
        kind: how: `closed` (wrk: each connection asks again when it is answered), `sink` (the same for large files),
            `open` (requests at fixed times), `beside` (the same while `crowd` is in the way), `handshakes`, `idle`
            (memory), `echo` (messages over WebSockets), `listen` (an event for all).
        serves: which kind of application answers, where it is not the one that a server is measured with otherwise.
        keep: whether the connection is kept for the next request.
        new: whether each head is one never seen before.
        depth: requests sent in one piece before the first answer is read.
        conns: how many connections, one figure for each number.
        rate: requests a second of the open model.
        size: bytes of a message.
        more: whether more is better.
    """

    name: str
    what: str
    ask: Ask = PING
    kind: str = "closed"
    crowd: str = ""
    tls: bool = False
    keep: bool = True
    new: bool = False
    depth: int = 1
    conns: tuple[int, ...] = (100,)
    rate: int = 0
    serves: str = ""
    size: int = 0
    unit: str = "requests/s"
    more: bool = True

    @property
    def needs(self) -> frozenset[str]:
        """What a server must have to be measured."""
        crowd = {"slow": {"static"}, "block": {"block"}, "storm": {"tls"}, "": set()}[self.crowd]
        return frozenset({self.serves or self.ask.needs, *crowd, *({"tls"} if self.tls else ()),
                          *(() if self.keep else ("close",))})

    @property
    def is_rate(self) -> bool:
        """Whether the figure is something a second, which may also be told for a second of the processor."""
        return self.kind in {"closed", "sink", "echo"}

    @property
    def is_constant(self) -> bool:
        """Whether a program that always sends the same bytes could answer: the bare loop's part."""
        return self.kind not in {"echo", "listen"} and not self.crowd and SIZES.get(self.ask.file, 0) <= 4 * KIB


#: The original's table.
SWEEP = (10, 50, 100, 500, 1000)
FAST = 500
ALL = (
    Workload("ping", "GET /ping, the same head in every request", conns=SWEEP),
    Workload("ping-new", "GET /ping, a head never seen before in every request", new=True),
    Workload("close", "GET /ping, a connection for each request", keep=False),
    Workload("pipelined", "GET /ping, 16 requests in one piece", depth=16),
    Workload("json", "POST of 1 KiB of JSON, parsed and sent back", ECHO),
    Workload("form", "POST of a small form, of which two fields come back", POST),
    Workload("page", "a page of 20 rows made by a template", PAGE),
    Workload("static-4k", "a file of 4 KiB", file_ask("4k.bin")),
    Workload("static-1m", "a file of 1 MiB", file_ask("1m.bin"), kind="sink", conns=(16,)),
    Workload("static-200m", "a file of 200 MiB", file_ask("200m.bin"), kind="sink", conns=(4,), unit="MiB/s"),
    Workload("tls", "GET /ping over TLS, the connection kept", tls=True),
    Workload("tls-close", "GET /ping over TLS, a connection for each request, its session resumed", tls=True,
             keep=False),
    Workload("handshakes", "whole TLS handshakes, each with one GET /ping, in a second of the server's processor time",
             kind="handshakes", tls=True, keep=False, conns=(8,), unit="1/s"),
    Workload("idle", "resident memory for each of so many connections that were answered once and wait",
             kind="idle", conns=(10_000,), unit="KiB", more=False),
    Workload("latency", "p99 at 2000 requests/s, from the moment at which each was due", kind="open",
             conns=(64,), rate=2000, unit="ms", more=False),
    Workload("slow-readers", "p99 of users at 500 requests/s while 50 others read files of 8 MiB very slowly",
             kind="beside", crowd="slow", conns=(20,), rate=FAST, unit="ms", more=False),
    Workload("handshake-storm", "p99 of users at 500 requests/s over TLS while 8 others do nothing but handshakes",
             kind="beside", crowd="storm", tls=True, conns=(20,), rate=FAST, unit="ms", more=False),
    Workload("blocking", "p99 of users at 500 requests/s while 8 others wait for a handler that blocks for 50 ms",
             kind="beside", crowd="block", conns=(20,), rate=FAST, unit="ms", more=False),
    Workload("asgi", "GET /ping, plain ASGI, the same head in every request", serves="asgi"),
    Workload("asgi-new", "GET /ping, plain ASGI, a head never seen before in every request", serves="asgi", new=True),
    Workload("asgi-starlette", "GET /ping, Starlette", serves="starlette"),
    Workload("wsgi", "GET /ping, plain WSGI", serves="wsgi"),
    Workload("wsgi-flask", "GET /ping, Flask", serves="flask"),
    Workload("async", "GET /ping, answered by an async def handler of the server's own interface", serves="async"),
    Workload("threaded", "GET /ping, answered in a thread of a pool", serves="threaded"),
    Workload("ws-echo-32", "32 bytes of text over a WebSocket, sent back, one message at a time", TALK, kind="echo",
             serves="ws", size=32, unit="messages/s"),
    Workload("ws-echo-16k", "16 KiB of text over a WebSocket, sent back, one message at a time", TALK, kind="echo",
             serves="ws", size=16 * KIB, unit="messages/s"),
    Workload("sse-10k", "from the request that tells all listeners until the last has the event", LISTEN,
             kind="listen", conns=(10_000,), unit="ms", more=False),
)
BY_NAME = {workload.name: workload for workload in ALL}


def request_bytes(ask: Ask, keep: bool = True, new: bool = False) -> bytes:
    """A request as it is sent; with `new`, `{n}` stands where a number is to be."""
    head = f"{ask.method} {ask.target} HTTP/1.1\r\n{BROWSER if new else BROWSER.replace(MARK, '1')}"
    if ask.body:
        head += f"Content-Type: {ask.body_type}\r\nContent-Length: {len(ask.body)}\r\n"
    return f"{head}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + ask.body


def expected(ask: Ask, files: Path) -> bytes | Path:
    """The body that must come back: bytes, or the file that holds them."""
    if ask.file:
        return files / ask.file
    if ask is PAGE:
        from .apps.common import render_page
        return render_page().encode()
    return ask.answer


def constant_answer(workload: Workload, files: Path) -> bytes:
    """What the bare loop sends: the whole answer, as often as requests come in one piece."""
    body = expected(workload.ask, files)
    content = body.read_bytes() if isinstance(body, Path) else body
    head = (f"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 04:43:00 GMT\r\nServer: bare\r\n"
            f"Content-Type: {workload.ask.type}\r\nContent-Length: {len(content)}\r\n"
            f"{'' if workload.keep else 'Connection: close' + chr(13) + chr(10)}\r\n")
    return (head.encode() + content) * workload.depth


def files_of(workloads: Iterable[Workload]) -> set[str]:
    """The files that are asked for."""
    return {"8m.bin" if workload.crowd == "slow" else workload.ask.file for workload in workloads} - {""}


def make_files(folder: Path, names: Iterable[str]) -> None:
    """Write these files, the same bytes in every run."""
    block = random.Random(1).randbytes(MIB)
    for name in names:
        with open(folder / name, "wb") as file:
            for start in range(0, SIZES[name], MIB):
                file.write(block[:SIZES[name] - start])
