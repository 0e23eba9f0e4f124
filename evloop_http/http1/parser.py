"""The stream of requests: bytes are fed in, events are asked for.

The parser is pulled. `feed` only keeps the bytes; `next_event` works out the next thing that they
say, and whoever does not ask has all the back-pressure there is::

    head ──▶ (data …) ──▶ end of message ──▶ head ──▶ …

`RequestHead`, any number of `BodyData`, and one `EndOfMessage` make a request, with or without a
body. Between requests, and wherever bytes are lacking, `NEED_DATA` is the answer; after
`feed_eof`, between requests, `CLOSED`. A `ProtocolError` is the end: nothing behind it is looked
at (CVE-2024-49768), and asking again raises it again.

The step to take next is a function kept in `_step`, one for each state. The buffer is the bytes
of one `recv` as they came, with a position in it; only a head that comes in pieces is gathered,
in a `bytearray` that grows in place, and the search for its end goes on where it stopped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeVar

from ..messages import Headers, RequestHead
from . import rules
from .body import ChunkedBody, CountedBody
from .head import REMEMBERED_HEAD, HeadParser
from .rules import Limits, ProtocolError


class Pause(enum.Enum):
    """What the parser says when it has nothing to say."""

    NEED_DATA = "feed more"
    CLOSED = "the peer has finished, between messages"


NEED_DATA = Pause.NEED_DATA
CLOSED = Pause.CLOSED


class BodyData:
    """Some of the body, its transfer coding undone; never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<BodyData {len(self.data)} bytes>"


class EndOfMessage:
    """The request is whole. Trailer fields (RFC 9112 §7.1.2) are kept apart from the headers."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return "<EndOfMessage>"


T = TypeVar("T")
Event = RequestHead | BodyData | EndOfMessage | Pause

#: What the parser does next.
Step = Callable[["RequestParser"], Event]

_END = EndOfMessage(Headers())


class RequestParser:
    """The requests of one connection.

    Args:
        heads: the parser of heads, which holds the limits; connections share one, and with it
            its memory. Given only limits, or nothing, it makes its own.
    """

    __slots__ = ("_at_eof", "_base", "_body", "_buffer", "_error", "_forgiven", "_heads", "_searched", "_start",
                 "_step")

    def __init__(self, heads: HeadParser | Limits | None = None) -> None:
        self._heads = heads if isinstance(heads, HeadParser) else HeadParser(heads)
        self._buffer: bytes | bytearray = b""
        self._start = 0         # of what is unread in the buffer
        self._searched = 0      # up to here no head ends; not 0 only while a head comes in pieces
        self._base = 0          # bytes of the stream before the buffer's first
        self._body: CountedBody | ChunkedBody | None = None
        self._error: ProtocolError | None = None
        self._at_eof = False
        self._forgiven = False  # an empty line before this request has been passed over
        self._step: Step = _READ_HEAD

    def __repr__(self) -> str:
        return f"<RequestParser {self._step.__name__.strip('_')}, {self.pending} bytes pending>"

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no event yet."""
        return len(self._buffer) - self._start

    def has_pending(self) -> bool:
        """Whether there are any. (A method: it is asked for at every request, and a property costs more.)"""
        return bool(self._buffer)

    @property
    def received(self) -> int:
        """Bytes that were fed in all."""
        return self._base + len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream. Behind an error they are only counted.

        Raises:
            RuntimeError: after `feed_eof`.
        """
        if self._at_eof or self._error is not None:
            self._refuse(data)
        elif not self._buffer:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._append(data)

    def _append(self, data: bytes) -> None:
        """Take bytes behind some that could not be used yet."""
        rest = self._buffer[self._start:]
        self._base += self._start
        if self._searched:
            self._searched -= self._start
            self._buffer = bytearray(rest) + data
        else:
            # Rare and short: what is left of a size line, or pipelined requests behind a waiting answer.
            self._buffer = bytes(rest) + data
        self._start = 0

    def _refuse(self, data: bytes) -> None:
        """Take bytes that nobody will read: behind an error they are only counted."""
        if self._at_eof:
            raise RuntimeError("feed() after feed_eof()")
        self._base += len(data)

    def feed_eof(self) -> None:
        """Take note that no more bytes come."""
        self._at_eof = True

    def next_event(self) -> Event:
        """The next event, or what keeps it from coming.

        Raises:
            ProtocolError: the peer broke a rule; this and every later call.
        """
        step = self._step
        try:
            return step(self)
        except ProtocolError as error:
            if self._error is None:
                error.offset += self._base
                self._error = error
                self._step = _FAIL_AGAIN
                self._base += len(self._buffer)
                self._buffer = b""
                self._start = 0
            raise

    # The steps: each says what is expected now. Offsets of errors count from the buffer's first byte.

    def _read_head(self) -> Event:
        buffer = self._buffer
        if not buffer:
            return self._wait(CLOSED)
        heads = self._heads
        # A whole recv that is a head seen before: the usual case, and one look-up.
        if not self._start and not self._searched and len(buffer) <= REMEMBERED_HEAD \
                and (head := heads.remembered.get(buffer)) is not None:  # type: ignore[arg-type]
            self._base += len(buffer)
            self._buffer = b""
        else:
            if not self._forgiven and buffer.startswith(b"\r\n", self._start):
                return self._forgive()
            end = self._find_end(self._start, True)
            if not end:
                return self._wait()
            head = self._parse_block(heads.parse, self._start, end, True)
        self._forgiven = False
        if head.content_length == 0:
            self._step = _END_MESSAGE
        else:
            self._body = ChunkedBody(heads.limits) if head.content_length is None else CountedBody(head.content_length)
            self._step = _READ_BODY
        return head

    def _forgive(self) -> Event:
        """Pass over one empty line before a request (RFC 9112 §2.2): old clients put it behind a body."""
        self._forgiven = True
        self._base += self._start + 2
        self._buffer = bytes(self._buffer[self._start + 2:])
        self._start = self._searched = 0
        return self._read_head()

    def _consume(self, end: int) -> None:
        """All before `end` has been read; a buffer that is used up is let go of at once."""
        if end == len(self._buffer):
            self._base += end
            self._buffer = b""
            self._start = 0
        else:
            self._start = end

    def _read_body(self) -> Event:
        body = self._body
        assert body is not None  # ours to keep: the step and the decoder are set together
        data, end = body.decode(self._buffer, self._start)  # type: ignore[arg-type]
        self._consume(end)
        if body.done:
            self._step = _READ_TRAILERS if isinstance(body, ChunkedBody) else _END_MESSAGE
            self._body = None
        if data:
            return BodyData(data)
        return self._step(self) if body.done else self._wait()

    def _read_trailers(self) -> Event:
        begin = self._buffer[self._start:self._start + 2]
        if begin == b"\r\n":
            self._consume(self._start + 2)
            return self._end_message()
        if b"\r\n".startswith(begin):
            return self._wait()
        end = self._find_end(self._start, False)
        if not end:
            return self._wait()
        trailers = self._parse_block(self._heads.parse_trailers, self._start, end, False)
        self._step = _READ_HEAD
        return EndOfMessage(trailers)

    def _end_message(self) -> Event:
        self._step = _READ_HEAD
        return _END

    def _fail_again(self) -> Event:
        assert self._error is not None
        raise self._error.with_traceback(None)

    # What they share

    def _wait(self, at_eof: Pause | None = None) -> Pause:
        """`NEED_DATA`, or after the end `at_eof`, which is an error within a message."""
        if not self._at_eof:
            return NEED_DATA
        if at_eof is None:
            raise ProtocolError(rules.INCOMPLETE, len(self._buffer))
        return at_eof

    def _find_end(self, start: int, is_head: bool) -> int:
        """Where the block of lines that begins at `start` ends, its empty line included; 0 if it has not come."""
        buffer = self._buffer
        heads = self._heads
        if not start and not self._searched and len(buffer) <= heads.surely_short and buffer.endswith(b"\r\n\r\n"):
            return len(buffer)  # taken for one head; `_parse_block` finds out if it is more
        end = buffer.find(b"\r\n\r\n", max(start, self._searched - 3)) + 4
        if end < 4:
            heads.check_start(buffer, start, self._searched, 0, is_head)
            self._searched = len(buffer)
            return 0
        if end - start > heads.surely_short:
            heads.check_start(buffer, start, self._searched, end, is_head)
        return end

    def _parse_block(self, parse: Callable[[bytes], T], start: int, end: int, is_head: bool) -> T:
        """What `parse` makes of the bytes from `start` to `end`, which are then read."""
        gathered = self._searched > 0
        raw = bytes(self._buffer[start:end])
        try:
            parsed = parse(raw)
        except ProtocolError as error:
            if (first := raw.find(b"\r\n\r\n") + 4) < len(raw):
                return self._parse_block(parse, start, start + first, is_head)
            # Had the bytes come one by one, a bare LF would have been seen before anything else.
            self._heads.check_start(self._buffer, start, start, end, is_head)
            error.offset += start
            raise
        if gathered:
            self._base += end
            self._buffer = bytes(self._buffer[end:])
            self._start = self._searched = 0
        else:
            self._consume(end)
        return parsed


# The steps by name: looking one up in the class costs more than a global, and it is done twice a request.
_READ_HEAD: Step = RequestParser._read_head
_READ_BODY: Step = RequestParser._read_body
_READ_TRAILERS: Step = RequestParser._read_trailers
_END_MESSAGE: Step = RequestParser._end_message
_FAIL_AGAIN: Step = RequestParser._fail_again
