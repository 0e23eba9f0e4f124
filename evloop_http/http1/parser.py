"""The two streams: what a client sends, and what a server answers.

They share all but the beginning and the end of a message (`stream`). A request explains itself. A response
does not: whether a body follows depends on the request (RFC 9112 §6.3), so a `ResponseParser` has to know
of every request, and refuses a response that nobody asked for. After `101`, and after a `CONNECT` that
succeeded, there is no more HTTP on the connection: `next_event` returns `SWITCHED`, and `detach` gives away
the bytes that were not used.

Most requests are one `recv` that is a whole head without a body, and many servers see the same few heads all
day. `RequestParser` has a short way for them, `feed_request`, and one for pipelines, `next_request`: each
returns a head as the whole message, or nothing, and then `next_event` has all the rest. A server that uses
only `feed` and `next_event` reads the same requests.
"""

from __future__ import annotations

import re
from collections import deque

from ..messages import RequestHead, ResponseHead
from . import rules
from .body import ChunkedDecoder, CloseDelimitedDecoder, FixedLengthDecoder
from .head import CACHED_HEAD_SIZE, LF, HeadParser, ResponseHeadParser
from .rules import Limits, ProtocolError
from .stream import CLOSED, END, READ_BODY, SAY_SWITCHED, BodyData, EndOfMessage, MessageParser, Pause, Step

RequestEvent = RequestHead | BodyData | EndOfMessage | Pause
ResponseEvent = ResponseHead | BodyData | EndOfMessage | Pause

_BEGINNING = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ")  # a method, even of a request that is malformed


class RequestParser(MessageParser[RequestHead, HeadParser]):
    """The requests of one connection.

    Args:
        heads: the parser of heads, which holds the limits. Connections share one, and its caches. If only
            limits are given, or nothing, the parser makes its own.
    """

    __slots__ = ("_forgiven", "_method")

    def __init__(self, heads: HeadParser | Limits | None = None) -> None:
        super().__init__(heads if isinstance(heads, HeadParser) else HeadParser(heads))
        self._forgiven = False  # an empty line before this request has been passed over
        self._method = ""       # of the last request with a body

    def feed_request(self, data: bytes) -> RequestHead | None:
        """Accept the next bytes of the stream, as `feed` does, and read them if they are the commonest request.

        Returns:
            The head, if the parser was between messages with nothing pending and `data` is exactly one head
            without a body. The head is then the whole message: no event follows for it. None in every other
            case (and in some where it could be, but is rare); `next_event` goes on, and raises what there is to raise.

        Raises:
            RuntimeError: `feed_eof` was called before.
        """
        if self._buffer or self._step is not _READ_REQUEST or self._at_eof:
            self.feed(data)
            return None
        head = self._heads.whole_request(data)
        if head is None:
            self._buffer = data
            return None
        self._base += len(data)
        self._forgiven = False
        return head

    def is_fresh(self) -> bool:
        """Return whether a new parser would read the rest of the stream in the same way: nothing is half read."""
        return not self._buffer and self._step is _READ_REQUEST and not self._forgiven

    def next_request(self) -> RequestHead | None:
        """Return the next request of a pipeline if it is the same as the last one that was cached, without a body.

        Returns:
            The head, which is then the whole message, as with `feed_request`; None in every other case.
        """
        heads = self._heads
        head = heads.latest_head
        if head is None or self._step is not _READ_REQUEST or self._searched or head.content_length != 0 \
                or not self._buffer.startswith(heads.latest, self._start):
            return None
        self._forgiven = False
        self._consume(self._start + len(heads.latest))
        return head

    def _read_request(self) -> RequestHead | Pause:
        buffer = self._buffer
        if not buffer:
            return self._wait(CLOSED)
        heads = self._heads
        # A whole recv that is a head seen before: the usual case, and one look-up.
        if not self._start and not self._searched and buffer[-1] == LF and len(buffer) <= CACHED_HEAD_SIZE \
                and (head := heads.cached.get(buffer)) is not None:  # type: ignore[arg-type]
            self._base += len(buffer)
            self._buffer = b""
        elif (head := self._new_head(buffer)) is None:
            return self._wait(None if self._buffer else CLOSED)
        self._forgiven = False
        if head.content_length == 0:
            self._step = _END_REQUEST
        else:
            length = head.content_length
            self._body = ChunkedDecoder(heads.limits) if length is None else FixedLengthDecoder(length)
            self._method = head.method
            self._step = READ_BODY
        return head

    _first = _read_request

    def _new_head(self, buffer: bytes | bytearray) -> RequestHead | None:
        """Return the head that the buffer begins with; None if it is not complete."""
        heads = self._heads
        start = self._start
        # A known head with its body behind it, or the next one of a pipeline.
        if heads.usual and not self._searched:
            if heads.latest_head is not None and buffer.startswith(heads.latest, start):
                self._consume(start + len(heads.latest))
                return heads.latest_head
            raw = buffer[start:start + heads.usual]
            if (known := heads.cached.get(raw)) is not None:  # type: ignore[arg-type]
                self._consume(start + len(raw))  # shorter than the last one, perhaps: the buffer may end with it
                heads.latest, heads.latest_head = raw, known  # type: ignore[assignment]
                return known
        if not start and not self._searched and len(buffer) <= heads.surely_short \
                and buffer.endswith(b"\r\n\r\n"):
            try:
                head = heads.parse(buffer)  # type: ignore[arg-type]
            except ProtocolError:
                pass  # there is more than a head, or it is malformed: the long way finds out which
            else:
                self._base += len(buffer)
                self._buffer = b""
                return head
        if not self._forgiven and buffer.startswith(b"\r\n", start):
            self._forgive()
        end = self._find_end(self._start, True)
        if not end:
            return None
        heads.usual = min(end - self._start, CACHED_HEAD_SIZE)
        return self._parse_block(heads.parse, self._start, end, True)

    def _forgive(self) -> None:
        """Pass over one empty line before a request (RFC 9112 §2.2): old clients send it behind a body."""
        self._forgiven = True
        self._base += self._start + 2
        self._buffer = bytes(self._buffer[self._start + 2:])
        self._start = self._searched = 0

    def _end_message(self, end: EndOfMessage = END) -> EndOfMessage:
        self._step = _READ_REQUEST
        return end

    def _fail(self, error: ProtocolError) -> None:
        if self._step is not _READ_REQUEST:
            error.method = self._method
        else:
            # Within the bytes that show that a limit is passed: with more, it would depend on how they were cut.
            limits = self._heads.limits
            stop = self._start + min(limits.request_line + 2, limits.head)
            begun = _BEGINNING.match(self._buffer, self._start, stop)
            error.method = begun[1].decode("ascii") if begun else ""
        super()._fail(error)


_READ_REQUEST: Step = RequestParser._read_request
_END_REQUEST: Step = RequestParser._end_message


class ResponseParser(MessageParser[ResponseHead, ResponseHeadParser]):
    """The responses on one connection of a client or a proxy.

    Call `expect` for each request, in the order in which they are sent. Interim responses
    (`ResponseHead.is_interim`) are heads with nothing behind them; the final response follows. The status of an
    error is 502, which is what a proxy answers to its client.

    Args:
        heads: the parser of heads, which holds the limits. If only limits are given, or nothing, the parser
            makes its own. Nothing is gathered here, so bodies have no limit unless limits are given.
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
        """Note that a request of this method was sent."""
        self._awaited.append(method)

    def _fail(self, error: ProtocolError) -> None:
        error.status = 502
        super()._fail(error)

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
            self._body = CloseDelimitedDecoder(self._heads.limits)
        elif head.content_length is None:
            self._body = ChunkedDecoder(self._heads.limits)
        else:
            self._body = FixedLengthDecoder(head.content_length)
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
