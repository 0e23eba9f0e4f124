"""The vocabulary: what every room says to every other.

A `Request` goes in, a `Response` comes out, and both carry `Headers`. These are plain values:
they know no socket, no clock and no loop, so that the parser, the connection, an application and
a test can all hold the same object.

Two facts shape this file:

*A request's head is shared.* Clients repeat the same head byte for byte, so the parser remembers
whole heads and hands the same `RequestHead` to every request that begins with it. What is shared
must not change: `Headers` has no method that alters it. A response is made for one answer, and
its `MutableHeaders` may be changed until it is sent.

*A line end in a header is a second header.* Whoever can put CR or LF into a name or a value can
forge fields, or whole responses (CVE-2018-1000164 and its many kin). So both classes refuse CR,
LF and NUL at birth, wherever the text came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar, overload

from .bodies import Body, FileBody

#: name in lower case, and (name as written, value): an item of the table that headers are looked up in
Field = tuple[str, tuple[str, str]]
Fields = tuple[Field, ...]
Index = dict[str, tuple[str, str]]
HeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]

V = TypeVar("V")
D = TypeVar("D")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# VCHAR, obs-text, SP and HTAB: RFC 9110 §5.5. One character is one byte on the wire.
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 §5.6.2), as methods and field names must be."""
    return _TOKEN.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Whether every character of `text` may stand in a field value (RFC 9110 §5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None


def make_field(name: str, value: str) -> Field:
    """A checked header field.

    Raises:
        ValueError: the name is no token, or the value holds a control character (CR, LF and NUL
            among them) or one beyond U+00FF.
    """
    if not is_token(name):
        raise ValueError("a header name must be a token (RFC 9110 §5.1)")
    value = value.strip(" \t")
    if not is_field_value(value):
        raise ValueError(f"the value of header {name} holds a character that no header may carry (RFC 9110 §5.5)")
    return name.lower(), (name, value)


class Headers(Mapping[str, str]):
    """Header fields in order, with their case, looked up without regard to case; unchangeable.

    A name that occurs more than once reads as its values joined by a comma (RFC 9110 §5.3), save
    `Cookie`, joined by a semicolon (RFC 6265 §5.4), and `Set-Cookie`, which cannot be joined: it
    reads as the first. `get_all` tells them apart, and `fields` is the list as it was written.
    """

    __slots__ = ("_fields", "_index")

    def __init__(self, source: HeaderSource = ()) -> None:
        # Either is made of the other when it is asked for.
        self._fields: Fields | None = tuple([make_field(name, value) for name, value in _pairs(source)])
        self._index: Index | None = None

    @classmethod
    def from_fields(cls, fields: Fields | None, index: Index | None = None) -> Self:
        """Headers of fields that were checked already; of the table alone if no name in it is repeated."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._index = index
        return headers

    @property
    def fields(self) -> Fields:
        """The fields as they were written."""
        if self._fields is None:
            self._fields = tuple((self._index or {}).items())
        return self._fields

    def __getitem__(self, name: str) -> str:
        if self._index is None:
            self._index = index_fields(self.fields)
        return self._index[name.lower()][1]

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether a field of one of these names, in lower case, is there; quicker than asking for each."""
        if self._index is None:
            self._index = index_fields(self.fields)
        return not names.isdisjoint(self._index)

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        name = name.lower()
        return [value for lower, (_, value) in self.fields if lower == name]

    def pairs(self) -> list[tuple[str, str]]:
        """(name, value) of every field, repeated ones too, in order and with their case."""
        if self._fields is None:
            return list((self._index or {}).values())
        return [pair for _, pair in self._fields]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(field[0] == name.lower() for field in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in index_fields(self.fields).values()])

    def __len__(self) -> int:
        return len(index_fields(self.fields))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(lower, pair[1]) for lower, pair in self.fields] == [(lower, pair[1]) for lower, pair in other.fields]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pairs()!r})"


def index_fields(fields: Iterable[Field]) -> Index:
    """Fields by their lower-case name, those of one name made one: named like the first, joined as `Headers` says."""
    found: dict[str, list[tuple[str, str]]] = {}
    for lower, pair in fields:
        found.setdefault(lower, []).append(pair)
    return {lower: (pairs[0][0], _join(lower, pairs)) for lower, pairs in found.items()}


def _join(lower: str, pairs: list[tuple[str, str]]) -> str:
    if lower == "set-cookie":
        return pairs[0][1]
    return ("; " if lower == "cookie" else ", ").join([value for _, value in pairs])


def _pairs(source: HeaderSource) -> Iterable[tuple[str, str]]:
    if isinstance(source, Headers):
        return source.pairs()
    return source.items() if isinstance(source, Mapping) else source


class MutableHeaders(Headers):
    """The headers of a response, changed until it is sent."""

    __slots__ = ()

    def __setitem__(self, name: str, value: str) -> None:
        """Put `name` in the place of all fields of that name, or at the end."""
        field = make_field(name, value)
        kept = tuple([other for other in self.fields if other[0] != field[0]])
        self._change((*kept, field))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._change(tuple([field for field in self.fields if field[0] != name.lower()]))

    def add(self, name: str, value: str) -> None:
        """Add a field, keeping others of that name (`Set-Cookie`, `Vary`)."""
        self._change((*self.fields, make_field(name, value)))

    def setdefault(self, name: str, value: str) -> str:
        """The value of `name`, which is set to `value` if it was missing."""
        if name not in self:
            self[name] = value
        return self[name]

    def complete(self, fields: Fields) -> None:
        """Add those of `fields`, which were checked already, whose names are missing."""
        present = {lower for lower, _ in self.fields}
        self._change((*self.fields, *[field for field in fields if field[0] not in present]))

    def update(self, source: HeaderSource) -> None:
        """Put the fields of `source` in the place of all fields of their names."""
        fields = [make_field(name, value) for name, value in _pairs(source)]
        replaced = {lower for lower, _ in fields}
        self._change((*[field for field in self.fields if field[0] not in replaced], *fields))

    def _change(self, fields: Fields) -> None:
        self._fields = fields
        self._index = None


class MultiDict(Mapping[str, V], Generic[V]):
    """Names to values in order, where a name may have several: `[name]` is the first."""

    __slots__ = ("_lists",)

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._lists: dict[str, list[V]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> V:
        return self._lists[name][0]

    @overload
    def get(self, name: str) -> V | None: ...
    @overload
    def get(self, name: str, default: D) -> V | D: ...
    @overload
    def get(self, name: str, default: D, type: Callable[[Any], D]) -> D: ...
    def get(self, name: str, default: Any = None, type: Callable[[Any], Any] | None = None) -> Any:
        """The first value of `name`, through `type` if given; `default` if it is missing or `type` refuses it."""
        try:
            value = self._lists[name][0]
            return value if type is None else type(value)
        except (KeyError, ValueError, TypeError):
            return default

    def get_all(self, name: str) -> list[V]:
        """Every value of `name`, in order."""
        return list(self._lists.get(name, ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __repr__(self) -> str:
        return f"MultiDict({[(name, value) for name, values in self._lists.items() for value in values]!r})"


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


class ResponseHead:
    """What the head of a response says, to a client or a proxy."""

    __slots__ = ("content_length", "ends_with_connection", "headers", "keep_alive", "reason", "status", "version")

    def __init__(self, status: int, reason: str, version: str, headers: Headers, content_length: int | None = 0,
                 ends_with_connection: bool = False, keep_alive: bool = True) -> None:
        self.status = status
        self.reason = reason
        #: "1.1" or "1.0"
        self.version = version
        self.headers = headers
        #: octets of body that follow, which are none after HEAD whatever was announced; None when the head does not say
        self.content_length = content_length
        #: the body is neither counted nor chunked: it ends where the connection does
        self.ends_with_connection = ends_with_connection
        self.keep_alive = keep_alive

    @property
    def is_interim(self) -> bool:
        """Whether another head follows for the same request (RFC 9110 §15.2); 101 is the last of its connection."""
        return self.status < 200 and self.status != 101

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"


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


def parse_urlencoded(text: str) -> MultiDict[str]:
    """`a=1&b=2` as a `MultiDict`; what is not UTF-8 becomes U+FFFD."""
    if not text:
        return MultiDict()
    # Inside the function: whoever imports only the parser need not load it.
    from urllib.parse import parse_qsl
    return MultiDict(parse_qsl(text, keep_blank_values=True, separator="&"))


_TEXT: Fields = (make_field("Content-Type", "text/plain; charset=utf-8"),)
_BINARY: Fields = (make_field("Content-Type", "application/octet-stream"),)


class Response:
    """An answer: status, headers, body.

    Args:
        body: text (sent as UTF-8), bytes, an iterable of bytes (sent piece by piece, chunked
            unless `Content-Length` is given, at the pace of the reader), or a `FileBody`.
        status: 200 to 599.
        headers: a mapping or pairs.
        content_type: the default is `text/plain; charset=utf-8` for text and
            `application/octet-stream` for everything else but nothing.

    Raises:
        ValueError: a header is not one (CR, LF or NUL in it, a name that is no token).
        TypeError: the body is none of these.
    """

    __slots__ = ("_fields", "_headers", "body", "status")

    def __init__(self, body: str | bytes | bytearray | memoryview | Iterable[bytes] | FileBody = b"", status: int = 200,
                 headers: HeaderSource | None = None, content_type: str | None = None) -> None:
        self.status = status
        self._headers: MutableHeaders | None = None
        self.body: Body
        if isinstance(body, str):
            self._fields = _TEXT
            self.body = body.encode()
        else:
            self._fields = _BINARY if body else ()
            self.body = _checked_body(body)
        if headers is not None:
            self.headers.update(headers)
            if content_type is not None:
                self.headers["Content-Type"] = content_type
        elif content_type is not None:
            self._fields = (make_field("Content-Type", content_type),)

    @classmethod
    def from_fields(cls, body: Body, status: int, fields: Fields) -> Self:
        """A response of fields that were checked already, and that others may share."""
        response = cls.__new__(cls)
        response.body = body
        response.status = status
        response._fields = fields
        response._headers = None
        return response

    @property
    def headers(self) -> MutableHeaders:
        """The headers, made when somebody asks: most answers go out as they were born."""
        if self._headers is None:
            self._headers = MutableHeaders.from_fields(self._fields)
        return self._headers

    def final_fields(self) -> Fields:
        """The header fields as they go out; for whoever only reads them."""
        return self._fields if self._headers is None else self._headers.fields

    def close(self) -> None:
        """Let go of what the body holds (a generator's `finally`, an open file), sent or not."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else type(self.body).__name__
        return f"<Response {self.status} {size}>"


def _checked_body(body: object) -> Body:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)  # of bytes itself, no copy
    if isinstance(body, FileBody):
        return body
    if isinstance(body, Iterable):
        return iter(body)
    raise TypeError(f"a response body is text, bytes, an iterable of bytes or a FileBody, not {type(body).__name__}")


class HTTPError(Exception):
    """What an application raises to answer with an error on purpose.

    Args:
        status: 400 to 599.
        message: a sentence for the peer; the reason phrase if none.
        headers: more headers for the answer.
    """

    def __init__(self, status: int, message: str = "", headers: HeaderSource = ()) -> None:
        if not 400 <= status <= 599:
            raise ValueError("the status of an HTTPError is between 400 and 599")
        super().__init__(status, message)
        self.status = status
        self.message = message or REASONS.get(status, "Error")
        self.headers = Headers(headers)

    def response(self) -> Response:
        """The plain answer, for whoever has no page of its own."""
        text = f"{self.status} {REASONS.get(self.status, 'Error')}\n\n{self.message}\n"
        return Response(text, self.status, self.headers)

    def __str__(self) -> str:
        return f"{self.status} {self.message}"
