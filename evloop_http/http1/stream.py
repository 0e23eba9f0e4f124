"""What both directions share: a buffer that is fed, and messages that are read one event at a time.

A parser is pulled. `feed` only keeps the bytes; `next_event` works out the next event in them, and a caller
that does not ask has all the back-pressure it needs::

    head ──▶ (data …) ──▶ end of message ──▶ head ──▶ …

A head, any number of `BodyData`, and one `EndOfMessage` make a message, with or without a body. Between
messages, and wherever bytes are lacking, `next_event` returns `NEED_DATA`; after `feed_eof`, between
messages, `CLOSED`. A `ProtocolError` is the end: nothing behind it is read (CVE-2024-49768), and every later
call raises an equal one. What is kept of it is a copy that was never raised: a traceback refers to the
frames of the parser, which refer to the parser, so keeping it would leave the last bytes of a bad peer to
the garbage collector.

The next step is a function kept in `_step`, one for each state. The buffer is the bytes of one `recv` as
they arrived, with a position in it. Only a head that arrives in pieces is gathered, in a `bytearray` that
grows in place, and the search for its end goes on where it stopped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from ..messages import Headers
from . import rules
from .body import ChunkedDecoder, CloseDelimitedDecoder, FixedLengthDecoder
from .fields import SectionParser
from .rules import ProtocolError


class Pause(enum.Enum):
    """What `next_event` returns when there is no event."""

    NEED_DATA = "feed more"
    CLOSED = "the peer has finished, between messages"
    SWITCHED = "the connection speaks another protocol from here on"


NEED_DATA = Pause.NEED_DATA
CLOSED = Pause.CLOSED
SWITCHED = Pause.SWITCHED


class BodyData:
    """Some of the body, its transfer coding undone; never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<BodyData {len(self.data)} bytes>"


class EndOfMessage:
    """The message is complete. Trailer fields (RFC 9112 §7.1.2) are kept apart from the headers."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return "<EndOfMessage>"


T = TypeVar("T")
Head = TypeVar("Head")
Sections = TypeVar("Sections", bound=SectionParser)

#: What a parser does next.
Step = Callable[[Any], Any]

#: The end of every message without trailers.
END = EndOfMessage(Headers())


class MessageParser(Generic[Head, Sections]):
    """The messages of one direction of one connection. `RequestParser` and `ResponseParser` define how one begins."""

    #: The step that begins a message; read from the class, because an instance would bind it.
    _first: ClassVar[Step]

    __slots__ = ("_at_eof", "_base", "_body", "_buffer", "_error", "_heads", "_searched", "_start", "_step")

    def __init__(self, heads: Sections) -> None:
        self._heads = heads
        self._buffer: bytes | bytearray = b""
        self._start = 0         # of the unread part of the buffer
        self._searched = 0      # no head ends before this; not 0 only while a head arrives in pieces
        self._base = 0          # bytes of the stream before the buffer's first
        self._body: FixedLengthDecoder | ChunkedDecoder | CloseDelimitedDecoder | None = None
        self._error: ProtocolError | None = None  # a copy; see above
        self._at_eof = False
        self._step: Step = type(self)._first

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._step.__name__.strip('_')}, {self.pending} bytes pending>"

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no event yet."""
        return len(self._buffer) - self._start

    def has_pending(self) -> bool:
        """Whether any bytes are pending. (A method: it is called for every request, and a property costs more.)"""
        return bool(self._buffer)

    @property
    def received(self) -> int:
        """Bytes that were fed in all."""
        return self._base + len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Accept the next bytes of the stream. After an error they are only counted.

        Raises:
            RuntimeError: `feed_eof` was called before.
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
        """Accept bytes behind some that could not be used yet."""
        rest = self._buffer[self._start:]
        self._base += self._start
        if self._searched:
            self._searched -= self._start
            self._buffer = bytearray(rest) + data
        else:
            # Rare and short: what is left of a size line, or pipelined requests that wait for an answer.
            self._buffer = bytes(rest) + data
        self._start = 0

    def _refuse(self, data: bytes) -> None:
        """Count bytes that nobody will read."""
        if self._at_eof:
            raise RuntimeError("feed() after feed_eof()")
        self._base += len(data)

    def feed_eof(self) -> None:
        """Note that the stream has ended."""
        self._at_eof = True

    def next_event(self) -> Head | BodyData | EndOfMessage | Pause:
        """Return the next event, or the reason why there is none yet.

        Raises:
            ProtocolError: the peer broke a rule. Every later call raises an equal error.
        """
        step = self._step
        try:
            return step(self)  # type: ignore[no-any-return]
        except ProtocolError as error:
            if self._error is None:
                self._fail(error)
            raise

    def _fail(self, error: ProtocolError) -> None:
        """End the stream with `error`, whose offset becomes one of the stream."""
        error.offset += self._base
        self._error = error.copy()
        self._step = _FAIL_AGAIN
        self._drop()

    def take_body(self) -> bytes | None:
        """Return the rest of a body of known length, in place of its events and its end.

        Most bodies are small and arrive with their heads.

        Returns:
            None if the rest has not been fed completely, or is chunked; `next_event` goes on.
        """
        body = self._body
        if self._step is not READ_BODY or not isinstance(body, FixedLengthDecoder):
            return None
        end = self._start + body.left
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[self._start:end])
        self._consume(end)
        self._end_message()
        return data

    def detach(self) -> bytes:
        """Give away the bytes that belong to no event: another protocol follows (RFC 9110 §7.8, §9.3.6).

        From now on `next_event` returns `SWITCHED`; the next call gives away what is fed later.

        Raises:
            RuntimeError: a message has begun and is not over, or an error has ended the stream.
        """
        if self._step not in (type(self)._first, SAY_SWITCHED):
            raise RuntimeError("detach() is for the end of a message")
        rest = bytes(self._buffer[self._start:])
        self._drop()
        self._step = SAY_SWITCHED
        return rest

    def _drop(self) -> None:
        self._base += len(self._buffer)
        self._buffer = b""
        self._start = self._searched = 0

    # The steps that both directions have, one for each thing that is expected. Offsets of errors count from
    # the buffer's first byte.

    def _read_body(self) -> BodyData | EndOfMessage | Pause:
        body = self._body
        assert body is not None  # ours to keep: the step and the decoder are set together
        data, end = body.decode(self._buffer, self._start)  # type: ignore[arg-type]
        self._consume(end)
        if body.done:
            self._step = _READ_TRAILERS if isinstance(body, ChunkedDecoder) else _END_MESSAGE
        if data:
            return BodyData(data)
        if body.done:
            return self._step(self)  # type: ignore[no-any-return]
        if self._at_eof and isinstance(body, CloseDelimitedDecoder):
            return self._end_message()
        return self._wait()

    def _read_trailers(self) -> EndOfMessage | Pause:
        begin = self._buffer[self._start:self._start + 2]
        if begin == b"\r\n":
            self._consume(self._start + 2)
            return self._end_message()
        if b"\r\n".startswith(begin):
            return self._wait()
        end = self._find_end(self._start, False)
        if not end:
            return self._wait()
        return self._end_message(EndOfMessage(self._parse_block(self._heads.parse_trailers, self._start, end, False)))

    def _end_message(self, end: EndOfMessage = END) -> EndOfMessage:
        """Get ready for what follows a message."""
        raise NotImplementedError

    def _fail_again(self) -> Pause:
        assert self._error is not None
        raise self._error.copy()

    def _say_switched(self) -> Pause:
        return SWITCHED

    # What the steps share

    def _wait(self, at_eof: Pause | None = None) -> Pause:
        """Return `NEED_DATA`; after the end of the stream `at_eof`, or raise where that is within a message."""
        if not self._at_eof:
            return NEED_DATA
        if at_eof is None:
            raise ProtocolError(rules.INCOMPLETE, len(self._buffer))
        return at_eof

    def _consume(self, end: int) -> None:
        """Drop what is before `end`; a buffer that is used up is let go of at once."""
        if end == len(self._buffer):
            self._base += end
            self._buffer = b""
            self._start = 0
        else:
            self._start = end

    def _find_end(self, start: int, is_head: bool) -> int:
        """Return where the block of lines that begins at `start` ends, its empty line included; 0 if unknown yet."""
        buffer = self._buffer
        heads = self._heads
        end = buffer.find(b"\r\n\r\n", max(start, self._searched - 3)) + 4
        if end < 4:
            heads.check_start(buffer, start, self._searched, 0, is_head)
            self._searched = len(buffer)
            return 0
        if end - start > heads.surely_short:
            heads.check_start(buffer, start, self._searched, end, is_head)
        return end

    def _parse_block(self, parse: Callable[[bytes], T], start: int, end: int, is_head: bool) -> T:
        """Consume the bytes from `start` to `end` and return what `parse` makes of them."""
        try:
            parsed = parse(bytes(self._buffer[start:end]))
        except ProtocolError as error:
            # Had the bytes arrived one by one, a bare LF would have been seen before anything else.
            self._heads.check_start(self._buffer, start, start, end, is_head)
            error.offset += start
            raise
        if self._searched:
            self._base += end
            self._buffer = bytes(self._buffer[end:])
            self._start = self._searched = 0
        else:
            self._consume(end)
        return parsed


# The steps by name: looking one up in the class costs more than a global, and it is done twice a request.
READ_BODY: Step = MessageParser._read_body
_READ_TRAILERS: Step = MessageParser._read_trailers
_FAIL_AGAIN: Step = MessageParser._fail_again
SAY_SWITCHED: Step = MessageParser._say_switched


def _END_MESSAGE(parser: MessageParser[Any, Any]) -> EndOfMessage:
    return parser._end_message()
