"""Requests, and what their answers may be.

Each function of the table `ASKS` makes one request out of a generator of random numbers and a nonce.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from .application import FILES, content, digest

#: A boundary that no content contains.
_BOUNDARY = "-chaos-"
#: Statuses of an answer of the application. 503: its threads are all at work.
OK, OK_OR_BUSY, FAILED = frozenset({200}), frozenset({200, 503}), frozenset({500})
#: 408: others waited for a thread, and this upload was the slowest.
OK_OR_BUSY_OR_SLOW = OK_OR_BUSY | {408}


class Ask(NamedTuple):
    """A request, and its answer."""

    nonce: str
    method: str
    #: the request on the wire, and how much of it is its head
    data: bytes
    head_size: int
    statuses: frozenset[int] = OK
    #: of an answer with a status below 300; None if it need not be compared
    content: bytes | None = None
    #: the handler fails in the middle of the answer
    breaks: bool = False
    #: the content arrives compressed
    packed: bool = False
    #: the server waits for its own deadline before it answers
    waits: bool = False

    @property
    def path(self) -> str:
        """The path and the query."""
        return self.data.split(b" ", 2)[1].decode()

    @property
    def body(self) -> bytes:
        return self.data[self.head_size:]


Make = Callable[[Random, str], Ask]


def make(nonce: str, method: str, target: str, *fields: str, body: bytes = b"", statuses: frozenset[int] = OK,
         answer: bytes | None = None, breaks: bool = False, packed: bool = False, waits: bool = False) -> Ask:
    """Return a request of these fields and this body; `answer` is the content of its answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: chaos.test", f"X-Nonce: {nonce}", *fields, "", ""]
    head = "\r\n".join(lines).encode()
    return Ask(nonce, method, head + body, len(head), statuses, answer, breaks, packed, waits)


def size(random: Random) -> int:
    """Return a size in bytes: mostly small, sometimes larger than what any buffer holds."""
    return int(10 ** random.uniform(0, random.choice((2, 4, 5.5, 6))))


# -- without a body


def ask_sized(random: Random, nonce: str) -> Ask:
    """Ask for a content of some size, as every kind of handler returns it."""
    path, statuses = random.choice((("/text", OK), ("/bytes", OK), ("/pieces", OK), ("/future", OK), ("/async", OK),
                                    ("/async-pieces", OK),
                                    ("/threaded", OK_OR_BUSY), ("/threaded-pieces", OK_OR_BUSY)))
    count = size(random)
    method = random.choice(("GET",) * 7 + ("HEAD",))
    answer = content(nonce, count) if method == "GET" else b""
    return make(nonce, method, f"{path}?n={count}", statuses=statuses, answer=answer)


def ask_small(random: Random, nonce: str) -> Ask:
    """Ask for the commonest of answers."""
    return make(nonce, "GET", "/text?n=40", answer=content(nonce, 40))


def ask_json(random: Random, nonce: str) -> Ask:
    return make(nonce, "GET", "/json", answer=json.dumps({"nonce": nonce}, separators=(",", ":")).encode())


def ask_none(random: Random, nonce: str) -> Ask:
    return make(nonce, "GET", "/none", statuses=frozenset({204}), answer=b"")


def ask_packed(random: Random, nonce: str) -> Ask:
    path = random.choice(("/packed/text", "/packed/pieces", "/packed/threaded-pieces"))
    count = size(random)
    return make(nonce, "GET", f"{path}?n={count}", "Accept-Encoding: gzip", statuses=OK_OR_BUSY,
                answer=content(nonce, count), packed=True)


def ask_file(random: Random, nonce: str) -> Ask:
    """Ask for a file, or for a part of it."""
    name, length = random.choice(list(FILES.items()))
    data = content(name, length)
    kind = random.randrange(4)
    if kind == 0:
        begin, end = sorted(random.sample(range(length), 2))
        return make(nonce, "GET", f"/files/{name}", f"Range: bytes={begin}-{end}", statuses=frozenset({206}),
                    answer=data[begin:end + 1])
    if kind == 1:
        return make(nonce, "GET", f"/files/{name}", "Range: bytes=0-9, 20-99", statuses=frozenset({206}))
    if kind == 2:
        return make(nonce, "GET", f"/files/{name}", "If-None-Match: *", statuses=frozenset({304}), answer=b"")
    return make(nonce, "GET", f"/files/{name}", answer=data)


def ask_missing(random: Random, nonce: str) -> Ask:
    path = random.choice(("/files/none", "/nowhere"))
    return make(nonce, "GET", path, statuses=frozenset({404}))


def ask_failing(random: Random, nonce: str) -> Ask:
    """Ask a handler that refuses, or raises, or returns what it must not."""
    path = random.choice(("/refused", "/raised", "/raised-threaded", "/raised-later", "/no-memory", "/wrong"))
    statuses = {"/refused": frozenset({409}), "/raised-threaded": frozenset({500, 503})}.get(path, FAILED)
    return make(nonce, "GET", path, statuses=statuses)


# -- with a body


def body_of(random: Random, nonce: str, method: str, target: str, body: bytes, *fields: str,
            statuses: frozenset[int] = OK, answer: bytes) -> Ask:
    """Return a request with a body that is counted, or that comes in chunks."""
    if random.random() < 0.5:
        framing, coded = f"Content-Length: {len(body)}", body
    else:
        framing, coded = "Transfer-Encoding: chunked", chunked(random, body)
    return make(nonce, method, target, framing, *fields, body=coded, statuses=statuses, answer=answer)


def chunked(random: Random, body: bytes) -> bytes:
    """Return a body in chunks of all sizes."""
    coded = bytearray()
    while body:
        piece, body = body[:(cut := size(random))], body[cut:]
        coded += b"%x\r\n%b\r\n" % (len(piece), piece)
    return bytes(coded + b"0\r\n\r\n")


def ask_echo(random: Random, nonce: str) -> Ask:
    body = content(nonce, size(random))
    return body_of(random, nonce, "POST", "/echo", body, answer=body)


def ask_stream(random: Random, nonce: str) -> Ask:
    body = content(nonce, size(random))
    return body_of(random, nonce, "POST", "/stream", body, statuses=OK_OR_BUSY_OR_SLOW,
                   answer=digest(nonce, body).encode())


def ask_async_stream(random: Random, nonce: str) -> Ask:
    """Send a body that a coroutine reads in pieces."""
    body = content(nonce, size(random))
    return body_of(random, nonce, "POST", "/async-stream", body, answer=digest(nonce, body).encode())


def ask_stream_echo(random: Random, nonce: str) -> Ask:
    body = content(nonce, size(random))
    return body_of(random, nonce, "POST", "/stream-echo", body, statuses=OK_OR_BUSY_OR_SLOW, answer=body)


def ask_form(random: Random, nonce: str) -> Ask:
    """Send a form, urlencoded or with a file that may be too large for memory."""
    path, statuses = random.choice((("/form", OK), ("/form-stream", OK_OR_BUSY_OR_SLOW)))
    if random.random() < 0.3:
        text = content(nonce, min(size(random), 2000)).replace(b"\n", b".")
        body, kind = b"nonce=%b&text=%b" % (nonce.encode(), text), "application/x-www-form-urlencoded"
    else:
        text = content(nonce, random.choice((10, 5000, 1_200_000)))
        body, kind = multipart(nonce, text), f"multipart/form-data; boundary={_BOUNDARY}"
    return body_of(random, nonce, "POST", path, body, f"Content-Type: {kind}", statuses=statuses,
                   answer=digest(nonce, text).encode())


def multipart(nonce: str, text: bytes) -> bytes:
    """Return a form with a field and a file."""
    lines = [f"--{_BOUNDARY}", 'Content-Disposition: form-data; name="nonce"', "", nonce, f"--{_BOUNDARY}",
             'Content-Disposition: form-data; name="file"; filename="a.txt"', "Content-Type: text/plain", "", ""]
    return "\r\n".join(lines).encode() + text + f"\r\n--{_BOUNDARY}--\r\n".encode()


#: All that a patient client may ask, with weights.
ASKS: dict[Make, int] = {
    ask_small: 3, ask_sized: 8, ask_json: 1, ask_none: 1, ask_packed: 2, ask_file: 3, ask_missing: 1, ask_failing: 2,
    ask_echo: 3, ask_stream: 2, ask_stream_echo: 2, ask_async_stream: 2, ask_form: 2,
}
UPLOADS: dict[Make, int] = {ask_echo: 2, ask_stream: 2, ask_stream_echo: 2, ask_async_stream: 2, ask_form: 1}


def choose(random: Random, table: dict[Make, int], nonce: str) -> Ask:
    """Return a request of one of the kinds in a table."""
    kind = random.choices(list(table), list(table.values()))[0]
    return kind(random, nonce)


# -- requests that end their connection


def last(ask: Ask) -> Ask:
    """Return the same request, after which the connection is closed."""
    head = ask.data[:ask.head_size - 2] + b"Connection: close\r\n\r\n"
    return ask._replace(data=head + ask.body, head_size=len(head))


def expecting(ask: Ask) -> Ask:
    """Return the same request, whose body waits for `100 Continue`."""
    head = ask.data[:ask.head_size - 2] + b"Expect: 100-continue\r\n\r\n"
    return ask._replace(data=head + ask.body, head_size=len(head))


def ask_breaking(random: Random, nonce: str) -> Ask:
    """Ask for an answer that fails in the middle."""
    path = random.choice(("/broken", "/broken-threaded", "/wrong-piece"))
    count = size(random)
    return make(nonce, "GET", f"{path}?n={count}", statuses=OK_OR_BUSY, answer=content(nonce, count), breaks=True)


def ask_never(random: Random, nonce: str) -> Ask:
    """Ask for an answer that never comes: the server gives up on its application."""
    return make(nonce, "GET", "/never", waits=True)
