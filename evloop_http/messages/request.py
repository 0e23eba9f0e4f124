"""What a client asks for.

*A request's head is shared.* Clients repeat the same head byte for byte, so the parser remembers
whole heads and hands the same `RequestHead` to every request that begins with it. What is shared
must not change: `Headers` has no method that alters it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from .headers import Headers
from .multidict import MultiDict, parse_urlencoded


class RequestHead:
    """What the head of a request says: never changed once made, for many requests may share it."""

    __slots__ = ("authority", "content_length", "expects_continue", "headers", "keep_alive",
                 "method", "path", "query_string", "target", "version")

    def __init__(self, method: str, target: str, version: str, headers: Headers, path: str, query_string: str = "",
                 authority: str = "", content_length: int | None = 0, keep_alive: bool = True,
                 expects_continue: bool = False) -> None:
        self.method = method
        #: as sent; `path` (percent-decoded), `query_string` and `authority` are its parts
        self.target = target
        self.path = path
        self.query_string = query_string
        #: host and port asked for: of an absolute target, else of `Host` (RFC 9112 §3.3)
        self.authority = authority
        #: "1.1" or "1.0"
        self.version = version
        self.headers = headers
        #: octets of body that follow; None when it is chunked
        self.content_length = content_length
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue

    @property
    def line(self) -> str:
        """The request line for a log: whatever could forge a line there is escaped (CVE-2020-7694)."""
        return f"{self.method} {self.target} HTTP/{self.version}".encode("unicode_escape").decode("ascii")

    def __repr__(self) -> str:
        return f"<RequestHead {self.line}>"


_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Request:
    """A request, with its body if that has come. It may be given attributes of one's own (`request.user = ...`).

    This is what the connection makes. An `App` asks it to make `evloop_http.app.request.Request`
    instead, which adds what is read out of body and headers: forms, cookies, the browser's name.
    """

    #: set when the peer has gone and nobody waits for the answer any more
    disconnected = False
    #: the body as it comes, where that is how it is taken
    incoming: Iterator[bytes] | None = None

    def __init__(self, head: RequestHead, body: bytes = b"", client: str = "", scheme: str = "http") -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.body = body
        #: the peer's IP address; empty over a Unix socket
        self.client = client
        self.scheme = scheme
        #: what the router found in the path
        self.params: Mapping[str, Any] = _NO_PARAMS

    @cached_property  # what `__init__` and others set goes before it
    def body(self) -> bytes:
        raise RuntimeError("the body of this request is not gathered: its route has stream=True; use request.stream()")

    def receive(self, incoming: Iterator[bytes]) -> None:
        """Take the body from where it comes from, not from `body`. For whoever makes the request."""
        del self.body
        self.incoming = incoming

    def stream(self) -> Iterator[bytes]:
        """The body piece by piece, as it comes; one that was gathered is one piece. To be gone through once.

        For what need not, or must not, be in memory as a whole: the handler is registered with
        `stream=True` and runs in a worker thread, and the peer sends no faster than it takes. What it
        has not taken when it returns is not read any more.

        Raises:
            HTTPError: by the iterator; 400, the rest will not come (the peer has gone, or what it sent is malformed).
        """
        return iter([self.body] if self.body else []) if self.incoming is None else self.incoming

    @property
    def target(self) -> str:
        """The request target as it was sent."""
        return self.head.target

    @property
    def version(self) -> str:
        """"1.1" or "1.0"."""
        return self.head.version

    @cached_property
    def query(self) -> MultiDict[str]:
        """The parameters of the target. Only `&` separates them (CVE-2020-28473)."""
        return parse_urlencoded(self.head.query_string)

    @property
    def host(self) -> str:
        """Host, and port if one was named, that the client asked for; its grammar was checked."""
        return self.head.authority

    @property
    def url(self) -> str:
        """The whole URL asked for, made of checked parts."""
        if self.target.startswith("/"):
            return f"{self.scheme}://{self.host}{self.target}"
        return f"{self.scheme}://{self.host}" if self.target == "*" else self.target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.target}>"
