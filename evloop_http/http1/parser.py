"""The two streams: what a client sends, and what it is answered.

They share all but the beginning and the end of a message (`stream`). A request explains itself. A
response does not: whether a body follows depends on what was asked (RFC 9112 §6.3), so its parser is
told of every request, and refuses what nobody asked for. After `101`, and after a `CONNECT`
that succeeded, there is no more HTTP on the connection: the parser says `SWITCHED`, and `detach`
gives the bytes that it has not used.
"""

from __future__ import annotations

from collections import deque

from ..messages import RequestHead, ResponseHead
from . import rules
from .body import ChunkedBody, CountedBody, EndlessBody
from .head import REMEMBERED_HEAD, HeadParser, ResponseHeadParser
from .rules import Limits, ProtocolError
from .stream import CLOSED, END, READ_BODY, SAY_SWITCHED, BodyData, EndOfMessage, MessageParser, Pause, Step

RequestEvent = RequestHead | BodyData | EndOfMessage | Pause
ResponseEvent = ResponseHead | BodyData | EndOfMessage | Pause


class RequestParser(MessageParser[RequestHead, HeadParser]):
    """The requests of one connection.

    Args:
        heads: the parser of heads, which holds the limits; connections share one, and with it
            its memory. Given only limits, or nothing, it makes its own.
    """

    __slots__ = ("_forgiven",)

    def __init__(self, heads: HeadParser | Limits | None = None) -> None:
        super().__init__(heads if isinstance(heads, HeadParser) else HeadParser(heads))
        self._forgiven = False  # an empty line before this request has been passed over

    def _read_request(self) -> RequestHead | Pause:
        buffer = self._buffer
        if not buffer:
            return self._wait(CLOSED)
        heads = self._heads
        # A whole recv that is a head seen before: the usual case, and one look-up.
        if not self._start and not self._searched and len(buffer) <= REMEMBERED_HEAD \
                and (head := heads.remembered.get(buffer)) is not None:  # type: ignore[arg-type]
            self._base += len(buffer)
            self._buffer = b""
        elif (head := self._new_head(buffer)) is None:
            return self._wait(None if self._buffer else CLOSED)
        self._forgiven = False
        if head.content_length == 0:
            self._step = _END_REQUEST
        else:
            self._body = ChunkedBody(heads.limits) if head.content_length is None else CountedBody(head.content_length)
            self._step = READ_BODY
        return head

    _first = _read_request

    def _new_head(self, buffer: bytes | bytearray) -> RequestHead | None:
        """The head that the buffer begins with, None if it is not all there."""
        heads = self._heads
        # A head seen before, with its body behind it, or the next ones of a pipeline.
        if heads.usual and not self._searched:
            raw = bytes(buffer[self._start:self._start + heads.usual])
            if (known := heads.remembered.get(raw)) is not None:
                self._consume(self._start + len(raw))  # a shorter one, perhaps, with which the buffer ends
                return known
        if not self._start and not self._searched and len(buffer) <= heads.surely_short \
                and buffer.endswith(b"\r\n\r\n"):
            try:
                head = heads.parse(buffer)  # type: ignore[arg-type]
            except ProtocolError:
                pass  # there is more than a head, or it is broken: the long way finds out which
            else:
                self._base += len(buffer)
                self._buffer = b""
                return head
        if not self._forgiven and buffer.startswith(b"\r\n", self._start):
            self._forgive()
        end = self._find_end(self._start, True)
        if not end:
            return None
        heads.usual = min(end - self._start, REMEMBERED_HEAD)
        return self._parse_block(heads.parse, self._start, end, True)

    def _forgive(self) -> None:
        """Pass over one empty line before a request (RFC 9112 §2.2): old clients put it behind a body."""
        self._forgiven = True
        self._base += self._start + 2
        self._buffer = bytes(self._buffer[self._start + 2:])
        self._start = self._searched = 0

    def _end_message(self, end: EndOfMessage = END) -> EndOfMessage:
        self._step = _READ_REQUEST
        return end


_READ_REQUEST: Step = RequestParser._read_request
_END_REQUEST: Step = RequestParser._end_message


class ResponseParser(MessageParser[ResponseHead, ResponseHeadParser]):
    """The responses on one connection of a client or a proxy.

    Each request has to be announced with `expect`, in the order in which they are sent. Interim
    responses (`ResponseHead.is_interim`) are heads with nothing behind them; the final one follows.
    The status of an error is 502, which is what a proxy answers to the one who asked it.

    Args:
        heads: the parser of heads, which holds the limits. Given only limits, or nothing, it makes
            its own. Nothing is gathered here, so bodies have no limit unless limits are given.
    """

    __slots__ = ("_awaited", "_interim")

    def __init__(self, heads: ResponseHeadParser | Limits | None = None) -> None:
        if not isinstance(heads, ResponseHeadParser):
            heads = ResponseHeadParser(heads or Limits(body=1 << 62))
        super().__init__(heads)
        self._awaited: deque[str] = deque()
        self._interim = 0

    @property
    def awaited(self) -> int:
        """Requests whose final response has not begun."""
        return len(self._awaited)

    def expect(self, method: str) -> None:
        """Take note that a request of this method was sent."""
        self._awaited.append(method)

    def next_event(self) -> ResponseEvent:
        try:
            return super().next_event()
        except ProtocolError as error:
            error.status = 502
            raise

    def _read_response(self) -> ResponseHead | Pause:
        if not self._buffer:
            return self._wait(CLOSED)
        if not self._awaited:
            raise ProtocolError(rules.UNASKED, self._start)
        end = self._find_end(self._start, True)
        if not end:
            return self._wait()
        method = self._awaited[0]
        head = self._parse_block(lambda raw: self._heads.parse(raw, method), self._start, end, True)
        if head.is_interim:
            if self._interim == self._heads.limits.interim:
                raise ProtocolError(rules.INTERIM_MANY, self._start)
            self._interim += 1
            return head
        self._interim = 0
        self._awaited.popleft()
        self._step = self._step_behind(head, method)
        return head

    _first = _read_response

    def _step_behind(self, head: ResponseHead, method: str) -> Step:
        if head.status == 101 or (method == "CONNECT" and 200 <= head.status <= 299):
            return _END_OF_HTTP
        if head.content_length == 0:
            return _END_RESPONSE
        if head.ends_with_connection:
            self._body = EndlessBody(self._heads.limits)
        elif head.content_length is None:
            self._body = ChunkedBody(self._heads.limits)
        else:
            self._body = CountedBody(head.content_length)
        return READ_BODY

    def _end_message(self, end: EndOfMessage = END) -> EndOfMessage:
        self._step = _READ_RESPONSE
        return end

    def _end_of_http(self) -> EndOfMessage:
        self._step = SAY_SWITCHED
        return END


_READ_RESPONSE: Step = ResponseParser._read_response
_END_RESPONSE: Step = ResponseParser._end_message
_END_OF_HTTP: Step = ResponseParser._end_of_http
