"""JOINT. One request that is being answered, from its handling to the last byte of its answer.

Most answers are bytes that the socket takes whole, and need none of this. An `Exchange` is made
for those that take their time: a future that is not done yet, an iterator whose pieces go out at
the pace of the reader, a file, an answer larger than the socket's buffer.

The application's exceptions are judged here too: one that is an `HTTPError` is its answer, any
other becomes a line in the log and a 500.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from ..http1 import BodyEncoder
from ..messages import NOT_YET, FileBody, HTTPError, PushedBody, Request, RequestHead, Response
from ..net.transport import HIGH_WATER, Transport
from .shared import Service

logger = logging.getLogger("evloop_http.server")

#: Pieces of an iterator sent in one wake; then others have their turn.
PIECE_BUDGET = 32
#: The end of an iterator, which no application can yield. (An empty piece is no end, and None is a mistake.)
_NO_MORE: Any = object()


def failure(head: RequestHead, error: BaseException) -> Response:
    """The answer in the place of one that failed: what the application asked for, or 500 and a line in the log."""
    if isinstance(error, HTTPError):
        return error.response()
    logger.error("%s: the application failed", head.line, exc_info=error)
    return HTTPError(500, "The server failed to answer this request.").response()


def checked(head: RequestHead, answer: object) -> Response:
    """`answer`, or a failure if it is no response."""
    if isinstance(answer, Response):
        return answer
    return failure(head, TypeError(f"an application returns a Response, not {type(answer).__name__}"))


def outcome(head: RequestHead, future: Future[Response]) -> Response:
    """The response that a future came to."""
    if future.cancelled():
        return HTTPError(503, "The request was cancelled.").response()
    error = future.exception()
    return checked(head, future.result()) if error is None else failure(head, error)


def file_length(response: Response) -> int | None:
    """The length of a body that is part of a file, None for another.

    Raises:
        ValueError: the file has no descriptor or is closed, or the part is none.
        OSError: the same, as some kinds of files say it.
    """
    if not isinstance(response.body, FileBody):
        return None
    file, offset, length = response.body
    file.fileno()
    if offset < 0 or length < 0:
        raise ValueError("offset and length of a FileBody are not negative")
    return length


def dispose(response: Response) -> None:
    """Close a response: a generator's `finally` is the application's code, and may fail like it."""
    try:
        response.close()
    except Exception:
        logger.exception("closing the body of a response failed")


class Progress(enum.Enum):
    """How far an answer is."""

    WAITING = "for the socket to have room"
    PAUSED = "for the application to have more"
    YIELDED = "there is more, but others have their turn first"
    DONE = "the socket has taken all of it"
    FAILED = "it cannot be finished"


class Exchange:
    """A request that is being answered, from its handling to the last byte of its answer."""

    __slots__ = ("_begun_at", "_framing", "_future", "_pieces", "_request", "_size", "head", "keep_alive", "response",
                 "scheduled", "started")

    def __init__(self, head: RequestHead | None, started: float, keep_alive: bool = False) -> None:
        self.head = head
        #: when it was handed to the application, in seconds of the reactor's clock
        self.started = started
        self.keep_alive = keep_alive
        self.response: Response | None = None
        #: its turn will come without anybody's asking
        self.scheduled = False
        self._size = 0       # bytes of content handed to the transport
        self._begun_at = 0   # what the transport has sent when it has sent the head
        self._request: Request | None = None
        self._future: Future[Response] | None = None
        self._framing: BodyEncoder | None = None
        self._pieces: Iterator[bytes] = iter(())

    @property
    def pushed(self) -> PushedBody | None:
        """The body of the answer, if it is one that others push into."""
        body = self.response.body if self.response is not None else None
        return body if isinstance(body, PushedBody) else None

    def wait_for(self, request: Request, future: Future[Response]) -> None:
        """The application works at it."""
        self._request = request
        self._future = future

    def release(self) -> None:
        """The application is through: let go of what it worked with, for the future knows who waits for it."""
        self._request = self._future = None

    def begin(self, transport: Transport, response: Response, framing: BodyEncoder | None) -> None:
        """Begin with the body; its head is held by the transport already. Without framing none is sent."""
        self.response = response
        self._begun_at = transport.sent + transport.queued
        body = response.body
        if framing is None or isinstance(body, bytes):
            transport.flush()
        elif isinstance(body, FileBody):
            self._size = body.length
            transport.send_file(body.file, body.offset, body.length)
        else:
            self._pieces = body
            self._framing = framing

    def advance(self, transport: Transport) -> Progress:
        """Go on with the body as far as the peer takes it."""
        if self._framing is not None:
            progress = self._produce(transport, self._framing)
            if progress is not Progress.DONE:
                return progress
            self._framing = None
        return Progress.WAITING if transport.queued else Progress.DONE

    def _produce(self, transport: Transport, framing: BodyEncoder) -> Progress:
        """Ask the application's iterator for pieces while there is room for them."""
        try:
            for _ in range(PIECE_BUDGET):
                if transport.closed or transport.queued >= HIGH_WATER:
                    return Progress.WAITING
                piece = next(self._pieces, _NO_MORE)
                if piece is NOT_YET:
                    return Progress.PAUSED if transport.flush() else Progress.WAITING
                if piece is _NO_MORE:
                    transport.write(framing.finish())
                    return Progress.DONE
                self._size += len(piece)
                transport.write(framing.encode(piece))
        except Exception as error:
            logger.error("%s: the body of the answer failed", self.head.line if self.head else "-", exc_info=error)
            return Progress.FAILED
        return Progress.YIELDED

    def beat(self, transport: Transport) -> None:
        """Say nothing, to see whether the peer is still there."""
        if self.pushed is not None and self._framing is not None:
            transport.write(self._framing.encode(self.pushed.heartbeat))

    def end(self, service: Service, transport: Transport) -> None:
        """It is over, finished or not: tell the application if it is still at work, close what the answer holds.

        The access log is told of a body in pieces here, and how many bytes of it went out; an
        answer of bytes it was told of when that was written.
        """
        if self._request is not None:
            self._request.disconnected = True
        if self._future is not None:
            self._future.cancel()
        self.release()
        if self.response is not None:
            sent = max(0, min(self._size, transport.sent - self._begun_at))
            service.record(transport.client, self.head, self.response.status, sent, self.started)
            dispose(self.response)
