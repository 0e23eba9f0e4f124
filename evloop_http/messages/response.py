"""What a client is answered. A response is made for one answer, and its headers may be changed until it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from http import HTTPStatus
from typing import Self

from .bodies import STEP_SIZE, Body, Each, FileBody, FilePieces, Finish, Pipe, Transformed
from .headers import Fields, Headers, HeaderSource, MutableHeaders, make_field
from .switching import SwitchedProtocol

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}


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


#: Bytes that are transformed in one go; a longer body is transformed while it is sent.
AT_ONCE = 256 * 1024

_TEXT: Fields = (make_field("Content-Type", "text/plain; charset=utf-8"),)
_BINARY: Fields = (make_field("Content-Type", "application/octet-stream"),)


class Response:
    """An answer: status, headers, body.

    Args:
        body: text (sent as UTF-8), bytes, an iterable of bytes (sent piece by piece, chunked unless `Content-Length` is
            given, at the pace of the reader), an asynchronous one (the same, by a coroutine), a `FileBody` or a `Pipe`.
        status: 200 to 599. (`Upgrade` is the response that switches protocols.)
        headers: a mapping or pairs.
        content_type: the default is `text/plain; charset=utf-8` for text and
            `application/octet-stream` for everything else but nothing.

    Raises:
        ValueError: a header holds CR, LF or NUL, or its name is not a token; the status is not one of 200 to 599.
        TypeError: the body is of another type.
    """

    __slots__ = ("_fields", "_headers", "body", "status")

    def __init__(self, body: str | bytes | bytearray | memoryview | Iterable[bytes] | AsyncIterable[bytes]
                 | FileBody | Pipe = b"", status: int = 200, headers: HeaderSource | None = None,
                 content_type: str | None = None) -> None:
        if status != 200 and not 200 <= status <= 599:
            raise ValueError(f"the status of a response is between 200 and 599, not {status}")
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

    def transform(self, each: Each, finish: Finish = bytes) -> None:
        """Have the body go through `each`, piece by piece, and end with what `finish` returns.

        Works for every kind of body: bytes, a file, an iterator, a pipe. (A generator over the old body, put in its
        place, works for an iterator only: nobody may wait for a pipe in the loop's thread.) A long body is
        transformed while it is sent, in steps. `Content-Length` is removed, since the length may change; other
        fields that describe the content (`ETag`, `Content-Encoding`) are the caller's to mend.

        Args:
            each: called with each piece in order; it may return nothing now and more later.
            finish: called once behind the last piece.
        """
        body = self.body
        if isinstance(body, Pipe):
            body.transform(each, finish)
        elif isinstance(body, FileBody):
            self.body = Transformed(FilePieces(body), each, finish)
        elif not isinstance(body, bytes):
            self.body = Transformed(body, each, finish)
        elif len(body) <= AT_ONCE:
            self.body = (each(body) if body else b"") + finish()
        else:
            steps = range(0, len(body), STEP_SIZE)
            self.body = Transformed((body[begin:begin + STEP_SIZE] for begin in steps), each, finish)
        if "content-length" in self.headers:
            del self.headers["Content-Length"]

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
    if isinstance(body, FileBody | Pipe):
        return body
    if isinstance(body, Iterable):
        return iter(body)
    if isinstance(body, AsyncIterable):
        from .producing import produced
        return produced(aiter(body))
    kind = type(body).__name__
    raise TypeError(f"a response body is text, bytes, an iterable of bytes (or an asynchronous one), a FileBody or a "
                    f"Pipe, not {kind}")


class Upgrade(Response):
    """The end of HTTP on a connection: what follows belongs to another protocol (RFC 9110 §7.8).

    The answer is 101, or 200 to a `CONNECT`; then every byte of the connection goes to `protocol` (see
    `switching.SwitchedProtocol`), in the loop's thread. If the answer cannot be sent, because the client has left for
    example, the protocol is told `on_close`.

    Args:
        protocol: who speaks from then on.
        name: the value of the `Upgrade` field, such as `websocket`.
        headers: more fields of the 101.

    Raises:
        ValueError: a header holds CR, LF or NUL, or its name is not a token.
    """

    __slots__ = ("_is_taken", "name", "protocol")

    def __init__(self, protocol: SwitchedProtocol, name: str = "", headers: HeaderSource = ()) -> None:
        super().__init__(headers=headers)
        self.status = 101
        self.body = iter(())  # there is none, and it is not bytes: a response of bytes is HTTP's
        self.protocol = protocol
        self.name = make_field("Upgrade", name)[1][1]
        self._is_taken = False

    def take(self) -> SwitchedProtocol:
        """Return the protocol, which has the connection from now on. For whoever makes the switch."""
        self._is_taken = True
        return self.protocol

    def close(self) -> None:
        """Tell the protocol that it will not have the connection, unless it has it."""
        if not self._is_taken:
            self._is_taken = True
            self.protocol.on_close()


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
