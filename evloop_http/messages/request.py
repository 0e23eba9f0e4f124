"""What a client asks for.

*A request's head is shared.* Clients repeat the same head byte for byte, so the parser remembers
whole heads and hands the same `RequestHead` to every request that begins with it. What is shared
must not change: `Headers` has no method that alters it.
"""

from __future__ import annotations

from codecs import unicode_escape_encode
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, cast

from .bodies import Incoming, Whole
from .cached import cached_property
from .headers import Fields, Headers
from .multidict import MultiDict, parse_urlencoded


def printable(text: str) -> str:
    """Return `text` with everything escaped that could forge a line of a log, or do something to a terminal."""
    # Not `str.encode`, which imports a module the first time: that may be when there are no descriptors left.
    return unicode_escape_encode(text)[0].decode("ascii")


class RequestHead:
    """What the head of a request says: never changed once made, for many requests may share it."""

    __slots__ = ("authority", "content_length", "expects_continue", "headers", "keep_alive", "kept",
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
        #: what whoever answers has worked out of this head alone, and knows again as its own
        self.kept: Any = None

    @property
    def line(self) -> str:
        """The request line for a log: whatever could forge a line there is escaped (CVE-2020-7694)."""
        return printable(f"{self.method} {self.target} HTTP/{self.version}")

    def __repr__(self) -> str:
        return f"<RequestHead {self.line}>"


_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class TlsFacts(NamedTuple):
    """What is known of the TLS of a connection."""

    #: such as `TLSv1.3`
    version: str
    #: such as `TLS_AES_256_GCM_SHA384`
    cipher: str
    #: what ALPN chose (RFC 7301); empty if nothing was negotiated
    protocol: str


class Origin(NamedTuple):
    """Where connections were accepted: the same for all of one listener."""

    #: host and port, or the path of a Unix socket
    address: tuple[str, int] | str = ""
    #: "https" or "http"
    scheme: str = "http"
    #: has something called at the end of the loop's turn; only in the loop's thread
    call_soon: Callable[..., object] | None = None


#: Nowhere in particular, in a test.
NOWHERE = Origin()


class InterimLine(Protocol):
    """A connection, as far as interim responses go."""

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response, unless the final one has begun."""


class Peer:
    """The other end of a connection, as the wire shows it. Made once for each connection, shared by its requests.

    Args:
        address: the IP address; empty over a Unix socket.
        port: 0 over a Unix socket.
        origin: where the connection was accepted.
    """

    __slots__ = ("_origin", "address", "line", "port")

    def __init__(self, address: str = "", port: int = 0, origin: Origin = NOWHERE) -> None:
        self.address = address
        self.port = port
        self._origin = origin
        #: the server's own: the connection while it is open
        self.line: InterimLine | None = None

    @property
    def origin(self) -> Origin:
        """Where the connection was accepted."""
        return self._origin

    @property
    def server(self) -> tuple[str, int] | str:
        """The address that accepted the connection: host and port, or the path of a Unix socket."""
        return self._origin.address

    @property
    def scheme(self) -> str:
        """"https" or "http"."""
        return self._origin.scheme

    @property
    def call_soon(self) -> Callable[..., object] | None:
        """Has something called at the end of the loop's turn. For the loop's thread; None where there is no loop."""
        return self._origin.call_soon

    @property
    def tls(self) -> TlsFacts | None:
        """What is known of the TLS. None if there is none, or the connection has been closed."""
        return None

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response ahead of the one that is being made (RFC 9110 §15.2), such as 103 (RFC 8297).

        For whoever answers a request of HTTP/1.1 that has not been answered yet, in the loop's thread. It does nothing
        if the connection has been closed.
        """
        if self.line is not None:
            self.line.send_interim(status, fields)

    def __repr__(self) -> str:
        return f"<Peer {self.address or 'unix'}{f' port {self.port}' if self.port else ''} {self.scheme}>"


class TlsPeer(Peer):
    """The other end of a connection over TLS.

    Args:
        ask: returns version, cipher and ALPN protocol; called when somebody asks.
    """

    __slots__ = ("_ask",)

    def __init__(self, address: str, port: int, origin: Origin, ask: Callable[[], tuple[str, str, str] | None]) -> None:
        super().__init__(address, port, origin)
        self._ask = ask

    @property
    def tls(self) -> TlsFacts | None:
        facts = self._ask()
        return TlsFacts(*facts) if facts is not None else None


#: Whoever asks without a connection, in a test.
NOBODY = Peer()


class Request:
    """A request, with its body if that has arrived. Applications may set attributes on it (`request.user = ...`).

    This is the plain class. An `App` has the server make `evloop_http.app.request.Request` instead, which adds
    what can be read out of body and headers: forms, cookies, the browser's name.
    """

    #: whether the client has left, so that the response will reach nobody
    disconnected = False
    #: called, in the loop's thread, when the server learns that the client has left before its response was sent
    on_disconnect: Callable[[], object] | None = None
    #: the body while it arrives, if that is how the application takes it
    incoming: Incoming | None = None

    def __init__(self, head: RequestHead, body: bytes = b"", peer: Peer = NOBODY) -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.body = body
        #: the other end of the connection: address and port, the server's address, TLS
        self.peer = peer
        #: what the router found in the path
        self.params: Mapping[str, Any] = _NO_PARAMS

    @cached_property  # what `__init__` and others set takes precedence
    def body(self) -> bytes:
        raise RuntimeError("the body of this request is not gathered: its route has stream=True; use request.stream()")

    def receive(self, incoming: Incoming | Iterator[bytes]) -> None:
        """Read the body from `incoming` instead of `body`. For whoever makes the request.

        A coroutine can read only what is an asynchronous iterator too.
        """
        del self.body
        self.incoming = cast("Incoming", incoming)

    def stream(self) -> Incoming:
        """Return the body piece by piece, as it arrives; one that was gathered is one piece. It can be read once.

        For content that need not, or must not, be in memory as a whole. The handler is registered with `stream=True`:
        a `def` runs in a worker thread, from the first piece on, and reads with `for`; an `async def` is called at
        once, and reads with `async for`. The client sends no faster than the handler reads: at most `PIPE_SIZE` bytes
        wait for it. What it leaves unread is not received.

        Raises:
            HTTPError: by the iterator: 400 if the rest will not arrive (the client left, broke a rule of HTTP, or
                was too slow), 408 if it was the slowest while others waited for a thread.
        """
        return Whole(self.body) if self.incoming is None else self.incoming

    @property
    def client(self) -> str:
        """The client's IP address; empty over a Unix socket."""
        return self.peer.address

    @property
    def scheme(self) -> str:
        """"https" or "http"."""
        return self.peer.scheme

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
        """The host, and port if one was named, that the client asked for; its grammar was checked."""
        return self.head.authority

    @property
    def url(self) -> str:
        """The whole URL that the client asked for, made of checked parts."""
        if self.target.startswith("/"):
            return f"{self.scheme}://{self.host}{self.target}"
        return f"{self.scheme}://{self.host}" if self.target == "*" else self.target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.target}>"
