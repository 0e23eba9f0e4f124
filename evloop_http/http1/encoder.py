"""The way back: responses to bytes for a server, and requests to bytes for a client.

A response is framed in one of four ways (RFC 9112 §6): it has no body; its length is known and announced;
its pieces are chunks; or, for HTTP/1.0, it ends where the connection ends. A length that the application
announces is checked against what is sent: if it were wrong, the next response would begin inside this one.

The head of a response is nearly always the same as one that was made a moment ago, so heads are cached as
long as their `Date` is current. This room has no clock: its user passes a function that returns the date, and
calls `forget_date` when the second is over.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from ..messages import (
    REASONS,
    Fields,
    Headers,
    HeaderSource,
    RequestHead,
    Response,
    Upgrade,
    index_fields,
    is_field_value,
    is_token,
    make_field,
)
from .fields import NOT_IN_TRAILERS
from .head import HeadParser
from .rules import Limits, ProtocolError

#: What a head is made from: status, fields, length of the body, version of the request, whether to keep the connection
Key = tuple[int, Fields, int | None, str, bool]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CACHED_HEADS = 256
#: Statuses whose responses have no content, whatever the application returned (RFC 9112 §6.3).
WITHOUT_CONTENT = frozenset({204, 205, 304})


class BodyEncoder:
    """Sends the pieces of a body as they are: up to the end of the connection, or up to `length`."""

    __slots__ = ("_left",)

    def __init__(self, length: int | None) -> None:
        self._left = length

    def encode(self, piece: bytes) -> bytes:
        """Return `piece` as it is sent.

        Raises:
            RuntimeError: the body is longer than was announced.
        """
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise RuntimeError("the body is longer than its Content-Length")
        return piece

    def finish(self, trailers: HeaderSource = ()) -> bytes:
        """Return what is sent behind the last piece.

        Args:
            trailers: fields to send behind a chunked body (RFC 9110 §6.5); no other body can have any.

        Raises:
            RuntimeError: the body is shorter than was announced, or cannot have trailers.
            ValueError: a trailer is not a valid field, or may not be a trailer.
        """
        if trailers:
            raise RuntimeError("only a chunked body has trailers")
        if self._left:
            raise RuntimeError(f"the body is {self._left} bytes shorter than its Content-Length")
        return b""


class ChunkedEncoder(BodyEncoder):
    """Makes each piece a chunk (RFC 9112 §7.1)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None)

    def encode(self, piece: bytes) -> bytes:
        # An empty chunk would be the last one.
        return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""

    def finish(self, trailers: HeaderSource = ()) -> bytes:
        fields = Headers(trailers)
        if any(lower in NOT_IN_TRAILERS for lower, _ in fields.fields):
            raise ValueError("a field that frames, routes or describes a message is not a trailer (RFC 9110 §6.5.1)")
        lines = ["0", *[f"{name}: {value}" for name, value in fields.pairs()], "", ""]
        return "\r\n".join(lines).encode("latin-1")


class ResponseEncoder:
    """Encodes the responses of a server.

    Args:
        server: the value of the `Server` field; empty for no such field.
        date: returns the value of the `Date` field (RFC 9110 §6.6.1); called when a head is made and the date is
            not known. None for no such field.

    Raises:
        ValueError: `server` cannot be a header's value.
    """

    __slots__ = ("_date", "_heads", "_server", "_tell_date")

    def __init__(self, server: str = "evloop_http", date: Callable[[], str] | None = None) -> None:
        self._server = make_field("Server", server)[1][1]
        self._tell_date = date
        self._date = ""
        self._heads: dict[Key, tuple[bytes, bool]] = {}

    def forget_date(self) -> None:
        """Forget the date, and the heads that contain it, because the second is over."""
        self._date = ""
        self._heads.clear()

    def encode(self, response: Response, request: RequestHead | None, keep_alive: bool) -> tuple[bytes, bool]:
        """Return a response whose body is bytes, and whether the connection may be kept after it.

        Args:
            request: the head of the request; None if it could not be read.
            keep_alive: whether the server wants to keep the connection.

        Raises:
            RuntimeError: the application announced another length than the body has, set a field that only the
                server may set, or assigned a status that is not one of 200 to 599.
        """
        body = response.body
        assert isinstance(body, bytes)
        if request is not None and request.method == "HEAD":
            # RFC 9110 §8.6: the answer may announce what GET would send, which a handler need not make for it.
            length = None if not body and "content-length" in response.headers else len(body)
            head, _, keep_alive = self.start(response, request, length, keep_alive)
            return head, keep_alive
        version = request.version if request is not None else "1.1"
        key = (response.status, response.final_fields(), len(body), version, keep_alive)
        head, keep_alive = self._heads.get(key) or self._make_head(key)
        return (head if response.status in WITHOUT_CONTENT else head + body), keep_alive

    def start(self, response: Response, request: RequestHead | None, length: int | None,
              keep_alive: bool) -> tuple[bytes, BodyEncoder | None, bool]:
        """Begin a response whose body is sent in pieces.

        Args:
            length: bytes in the body; None if that is not known beforehand.

        Returns:
            The head, the encoder of the pieces, and whether the connection may be kept. There is no encoder where
            no body is sent (HEAD, 204, 205, 304).

        Raises:
            RuntimeError: as `encode`.
        """
        if length is None and "content-length" in response.headers:
            length = _announced(response.headers["content-length"])
        version = request.version if request is not None else "1.1"
        bodiless = response.status in WITHOUT_CONTENT or (request is not None and request.method == "HEAD")
        if length is None and version == "1.0" and not bodiless:
            keep_alive = False
        key = (response.status, response.final_fields(), length, version, keep_alive)
        head, keep_alive = self._heads.get(key) or self._make_head(key)
        if bodiless:
            return head, None, keep_alive
        return head, ChunkedEncoder() if length is None and version != "1.0" else BodyEncoder(length), keep_alive

    def encode_upgrade(self, response: Upgrade, request: RequestHead) -> bytes:
        """Return the head of the response that ends HTTP on a connection (RFC 9110 §7.8, §9.3.6).

        It is a `101 Switching Protocols` that names the protocol, or the `200 OK` to a `CONNECT`, which names none.
        What follows it is not HTTP, so it has neither framing nor options of the connection.

        Raises:
            RuntimeError: the request is of HTTP/1.0, which cannot be upgraded; the response names no protocol; or
                the application set Transfer-Encoding.
        """
        if request.version == "1.0":
            raise RuntimeError("a connection of HTTP/1.0 cannot be upgraded (RFC 9110 §7.8)")
        fields = tuple([field for field in response.final_fields() if field[0] != "upgrade"])
        names = index_fields(fields)
        if request.method == "CONNECT":
            return _join(self._begin(200, fields, names))
        if not response.name:
            raise RuntimeError("an upgrade names its protocol (RFC 9110 §7.8)")
        return _join([*self._begin(101, fields, names), "Connection: Upgrade", _line("Upgrade", response.name)])

    def encode_interim(self, status: int, fields: Fields) -> bytes:
        """Return an interim response (RFC 9110 §15.2): a head of these fields alone.

        Raises:
            RuntimeError: it is not an interim status, or a field is not well-formed.
        """
        if not 100 <= status <= 199 or status == 101:
            raise RuntimeError("the status of an interim response is between 100 and 199, and not 101")
        return _join([f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}",
                      *[_line(name, value) for _, (name, value) in fields]])

    def _make_head(self, key: Key) -> tuple[bytes, bool]:
        """Make a head and cache it. Return it, and whether the connection may be kept."""
        status, fields, length, version, keep_alive = key
        if not 200 <= status <= 599:
            raise RuntimeError("the status of a response is between 200 and 599")
        names = {lower: value for lower, (_, value) in index_fields(fields).items()}
        keep_alive = keep_alive and not _asks_to_close(names.get("connection", ""))
        lines = self._begin(status, fields, names)
        lines += _framing(status, names.get("content-length"), length, version)
        if not keep_alive:
            lines.append("Connection: close")
        elif version == "1.0":
            lines.append("Connection: keep-alive")
        if len(self._heads) >= _CACHED_HEADS:
            self._heads.clear()
        head = self._heads[key] = _join(lines), keep_alive
        return head

    def _begin(self, status: int, fields: Fields, names: Container[str]) -> list[str]:
        """Return the lines of a head, without those that frame the body or concern the connection."""
        if "transfer-encoding" in names:
            raise RuntimeError("Transfer-Encoding is for the server to set, not for the application")
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        if self._tell_date is not None and "date" not in names:
            self._date = self._date or self._tell_date()
            lines.append(_line("Date", self._date))
        if self._server and "server" not in names:
            lines.append(f"Server: {self._server}")
        lines += [_line(name, value) for lower, (name, value) in fields if lower not in _OURS]
        return lines


#: Fields of the application that are read here and written anew.
_OURS = frozenset({"connection", "content-length"})


def _join(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _line(name: str, value: str) -> str:
    # `Headers` has checked this before; whatever else may build a response, no line end leaves here.
    if not is_token(name) or not is_field_value(value):
        raise RuntimeError("a response header contains a character that no header may contain (RFC 9110 §5.5)")
    return f"{name}: {value}"


def _asks_to_close(connection: str) -> bool:
    return "close" in [option.strip(" \t") for option in connection.lower().split(",")]


def _framing(status: int, announced: str | None, length: int | None, version: str) -> list[str]:
    if status == 204 or (status == 304 and announced is None):
        return []
    if status == 205:  # RFC 9110 §15.3.6: no content, which has to be announced
        return ["Content-Length: 0"]
    if length is None:
        return ["Transfer-Encoding: chunked"] if version != "1.0" else []
    if announced is not None and _announced(announced) != length and (length or status != 304):
        raise RuntimeError("the response body has another length than its Content-Length")
    return [f"Content-Length: {announced or length}"]


def _announced(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise RuntimeError("the Content-Length of a response is decimal digits, 18 at most")
    return int(value)


#: Methods that define a meaning for content: a request without any announces a length of 0 (RFC 9110 §8.6).
_WITH_CONTENT = frozenset({"PATCH", "POST", "PUT"})


class RequestEncoder:
    """Encodes the requests of a client.

    Our own parser reads every head before it is sent, so nothing is sent that a strict server would refuse, or
    could read as two requests.

    Args:
        limits: what the server is known to accept.
    """

    __slots__ = ("_heads",)

    def __init__(self, limits: Limits | None = None) -> None:
        self._heads = HeadParser(limits)

    def encode(self, method: str, target: str, headers: HeaderSource = (), body: bytes = b"") -> bytes:
        """Return a request whose body is bytes.

        Args:
            target: as it is sent: a path with its query, a URL for a proxy, a host and port for `CONNECT`, or `*`
                for `OPTIONS`.
            headers: must contain `Host`. `Content-Length` is added, or checked if it is there.

        Raises:
            ValueError: no server would accept this request; the message names the rule.
        """
        head, _ = self.start(method, target, headers, len(body))
        return head + body

    def start(self, method: str, target: str, headers: HeaderSource = (),
              length: int | None = None) -> tuple[bytes, BodyEncoder]:
        """Return the head of a request whose body is sent in pieces, and the encoder of the pieces.

        Args:
            length: bytes in the body; None to send it chunked.

        Raises:
            ValueError: as `encode`.
        """
        fields = Headers(headers)
        if "transfer-encoding" in fields:
            raise ValueError("Transfer-Encoding is for the encoder to set: it is chunked where no length is given")
        lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in fields.pairs()]]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif "content-length" not in fields and (length or method in _WITH_CONTENT):
            lines.append(f"Content-Length: {length}")
        try:
            raw = "\r\n".join([*lines, "", ""]).encode("latin-1")
            self._heads.check_start(raw, 0, 0, len(raw), True)
            head = self._heads.parse(raw)
        except UnicodeEncodeError:
            raise ValueError("a request line has no character beyond U+00FF") from None
        except ProtocolError as error:
            raise ValueError(f"no server would accept this request: {error.rule}") from None
        if (head.method, head.target) != (method, target):
            raise ValueError("a method and a target contain no line end")
        if head.content_length != length:
            raise ValueError("the body has another length than its Content-Length")
        return raw, ChunkedEncoder() if length is None else BodyEncoder(length)
