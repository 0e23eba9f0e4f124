"""Responses to encode, and what must be read of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import strategies as st

from evloop_http.http1 import HeadParser, RequestHead, ResponseEncoder
from evloop_http.http1.strategies import bodies, field_names, field_values
from evloop_http.messages import Response

_FRAMING = ("connection", "content-length", "transfer-encoding")


def asked(method: str = "GET", version: str = "1.1") -> RequestHead:
    """The head of a request to answer."""
    return HeadParser().parse(f"{method} / HTTP/{version}\r\nHost: a\r\n\r\n".encode())


def in_pieces(response: Response, pieces: list[bytes], request: RequestHead | None = None, length: int | None = None,
              keep_alive: bool = True) -> tuple[bytes, bool]:
    """What is sent of a response whose body is these pieces, and whether the connection may be kept."""
    raw, body, kept = ResponseEncoder("").start(response, request or asked(), length, keep_alive)
    if body is not None:
        raw += b"".join([body.encode(piece) for piece in pieces]) + body.finish()
    return raw, kept


def unframed(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields that do not frame the message."""
    return [(name, value) for name, value in fields if name.lower() not in _FRAMING]


class Answer(NamedTuple):
    """A response to encode, and to whom."""

    status: int
    fields: list[tuple[str, str]]
    pieces: list[bytes]
    method: str
    version: str
    keep_alive: bool
    framing: str

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What is said beside what frames it."""
        return [*self.fields, ("Content-Type", "x/y")]

    @property
    def content(self) -> bytes:
        bodiless = self.method == "HEAD" or self.status in (204, 205, 304)
        return b"" if bodiless else b"".join(self.pieces)

    def encode(self) -> tuple[bytes, bool]:
        """What is sent, and whether the connection may be kept."""
        whole, request = b"".join(self.pieces), asked(self.method, self.version)
        if self.framing == "whole":
            return ResponseEncoder("").encode(Response(whole, self.status, self.headers), request, self.keep_alive)
        length = len(whole) if self.framing == "counted" else None
        return in_pieces(Response(iter(self.pieces), self.status, self.headers), self.pieces, request, length,
                         self.keep_alive)


def answers(*versions: str) -> st.SearchStrategy[Answer]:
    """Answers to clients of these versions; to any, if none is named."""
    # A name that repeats replaces none of its own kind, so each is taken once; see test_messages.py for the rest.
    fields = st.lists(st.tuples(field_names(), field_values()), max_size=4, unique_by=lambda field: field[0].lower())
    return st.builds(
        Answer, st.sampled_from([200, 201, 204, 205, 206, 299, 304, 404, 500, 599]), fields,
        st.lists(bodies(), max_size=4), st.sampled_from(["GET", "GET", "HEAD", "POST"]),
        st.sampled_from(versions or ("1.1", "1.0")), st.booleans(), st.sampled_from(["whole", "counted", "unknown"]))
