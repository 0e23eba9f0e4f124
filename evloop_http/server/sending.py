"""The body of a response while it is sent: where it comes from, and how much of it is asked for at a time.

Whoever produces a body is pulled: asked for the next piece when there is room for it, and not before. That
is all the back-pressure a slow client needs. Each kind of body has one question, `supply`, which moves as
much as fits into the transport and says why it stopped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..http1 import WITHOUT_CONTENT, BodyEncoder
from ..messages import FileBody, Pipe, RequestHead, Response, TooSlow
from ..net.transport import HIGH_WATER

#: Pieces of an iterator sent in one wake; then others have their turn.
PIECE_BUDGET = 32
#: The end of an iterator, which no application can yield. (An empty piece is not an end, and None is a mistake.)
_NO_MORE: Any = object()


class Outlet(Protocol):
    """What a body is sent through: the transport."""

    @property
    def sent(self) -> int: ...
    @property
    def queued(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes) -> bool: ...
    def enqueue(self, data: bytes) -> None: ...
    def send_file(self, file: Any, offset: int, count: int) -> bool: ...
    def flush(self) -> bool: ...


class Supply(enum.Enum):
    """Why a body has stopped producing."""

    ENOUGH = "there is no room for more"
    STARVED = "there is nothing more now"
    YIELDED = "there is more, but others have their turn first"
    DONE = "that was all"


class OutgoingBody:
    """A body that the transport has already: bytes, or nothing."""

    __slots__ = ("_begun_at", "response", "size")

    def __init__(self, response: Response | None, begun_at: int, size: int = 0) -> None:
        self.response = response
        #: bytes of content handed to the transport
        self.size = size
        self._begun_at = begun_at  # what the transport has sent when it has sent the head

    def supply(self, outlet: Outlet) -> Supply:
        """Hand as much of the body to `outlet` as there is room for. What the application's code raises passes."""
        return Supply.DONE

    def has_more(self) -> bool:
        """Return whether there is more now of a body that was starved just before."""
        return False

    def sent(self, outlet: Outlet) -> int:
        """Return the bytes of content that the socket has accepted."""
        return max(0, min(self.size, outlet.sent - self._begun_at))

    def drain(self) -> None:
        """Come to an end soon: the server stops."""

    @property
    def beats(self) -> bool:
        """Whether the body says something when it has nothing to say, and so has no natural end."""
        return False


class WholeFile(OutgoingBody):
    """A body that is part of a file, which the kernel sends."""

    __slots__ = ("_is_done",)

    def __init__(self, response: Response, begun_at: int, size: int) -> None:
        super().__init__(response, begun_at, size)
        self._is_done = False

    def supply(self, outlet: Outlet) -> Supply:
        body = self.response.body if self.response is not None else None
        if isinstance(body, FileBody) and not self._is_done:
            self._is_done = True
            outlet.send_file(body.file, body.offset, body.length)
        return Supply.DONE


class PiecesBody(OutgoingBody):
    """A body from an iterator, which the loop asks for pieces."""

    __slots__ = ("_clock", "_framing", "_is_done", "_is_late", "_pieces")

    def __init__(self, response: Response, begun_at: int, pieces: Iterator[bytes], framing: BodyEncoder,
                 is_late: Callable[[float], bool], clock: Callable[[], float]) -> None:
        super().__init__(response, begun_at)
        self._clock = clock
        self._is_late = is_late
        self._pieces = pieces
        self._framing = framing
        self._is_done = False

    def supply(self, outlet: Outlet) -> Supply:
        if self._is_done:
            return Supply.DONE
        began = self._clock()
        for _ in range(PIECE_BUDGET):
            if outlet.closed or outlet.queued >= HIGH_WATER:
                return Supply.ENOUGH
            piece = next(self._pieces, _NO_MORE)
            if piece is _NO_MORE:
                self._is_done = True
                outlet.write(self._framing.finish())
                return Supply.DONE
            self.size += len(piece)
            outlet.write(self._framing.encode(piece))
            if self._is_late(began):
                break
        return Supply.YIELDED


class PipeBody(OutgoingBody):
    """A body that somebody writes into a pipe, at another time or in another thread."""

    __slots__ = ("_beat_due", "_framing", "_is_done", "pipe")

    def __init__(self, response: Response, begun_at: int, pipe: Pipe, framing: BodyEncoder) -> None:
        super().__init__(response, begun_at)
        self.pipe = pipe
        self._framing = framing
        self._is_done = False
        self._beat_due = False

    def supply(self, outlet: Outlet) -> Supply:
        if self.pipe.given_up is not None:
            raise TooSlow(*self.pipe.given_up.args)
        if self._is_done:
            return Supply.DONE
        if self.pipe.closed:
            raise RuntimeError("the body was closed before its end; end() finishes it")
        if outlet.closed or outlet.queued >= HIGH_WATER:
            return Supply.ENOUGH
        data = self.pipe.read()
        if self._beat_due:
            self._beat_due = False
            data = data or self.pipe.beat()
        if data:
            self.size += len(data)
            outlet.write(self._framing.encode(data))
        if self.pipe.finished:
            self._is_done = True
            outlet.write(self._framing.finish(self.pipe.trailers))
            return Supply.DONE
        if self.pipe.ended:
            return Supply.YIELDED  # with an error, which is met behind what was written
        return Supply.STARVED if outlet.flush() else Supply.ENOUGH

    def has_more(self) -> bool:
        return self.pipe.readable

    def beat_next(self) -> None:
        """Have the next `supply` send the heartbeat, to find out whether the client is still there."""
        self._beat_due = True

    @property
    def beats(self) -> bool:
        return bool(self.pipe.heartbeat)

    def drain(self) -> None:
        if self.pipe.heartbeat:
            self.pipe.end()


def outgoing(response: Response, outlet: Outlet, framing: BodyEncoder | None,
             is_late: Callable[[float], bool], clock: Callable[[], float]) -> OutgoingBody:
    """Begin with the body of a response whose head is queued. Without framing there is none to send.

    Args:
        is_late: returns whether others should have their turn before who began at a time of `clock`.
    """
    body, begun_at = response.body, outlet.sent + outlet.queued
    if framing is None or isinstance(body, bytes):
        return OutgoingBody(response, begun_at)
    if isinstance(body, FileBody):
        return WholeFile(response, begun_at, body.length)
    if isinstance(body, Pipe):
        return PipeBody(response, begun_at, body, framing)
    return PiecesBody(response, begun_at, body, framing, is_late, clock)


def content_size(head: RequestHead | None, response: Response) -> int:
    """Return the bytes of content that a response whose body is bytes is sent with."""
    if response.status in WITHOUT_CONTENT or (head is not None and head.method == "HEAD"):
        return 0
    return len(response.body) if isinstance(response.body, bytes) else 0
