"""JOINT. The body of a request on its way to the application: gathered whole, or handed on while it comes.

Most handlers want a body whole, and are called when it is there: an `Upload` gathers it. A handler
that takes what should never be in memory at once is called with the head, and works in a thread of
its own while the loop reads on. Between the two stands an `UploadStream`, one small buffer: the loop
puts in what comes, the handler takes out all that there is, and waits where there is nothing.

*Back-pressure is not reading.* When the buffer is full, the connection no longer reads the socket;
the kernel's buffers fill, its TCP window closes, and the peer waits. When the handler has emptied
the buffer it says so to the loop, which reads on. So a connection holds that buffer and a little read
ahead, however large the body and however slow the handler, and a peer is not charged for time that the
handler took.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from ..http1 import ProtocolError
from ..http1.rules import BODY_LARGE
from ..messages import HTTPError, RequestHead
from .states import Timeouts

#: Bytes that may wait for a handler before the connection stops reading.
BUFFER_SIZE = 256 * 1024


def joined(gathered: bytes | bytearray, data: bytes) -> bytes | bytearray:
    """Both: a body that comes at once is not copied, pieces are gathered in place."""
    if not gathered:
        return data
    if not isinstance(gathered, bytearray):
        gathered = bytearray(gathered)
    gathered += data
    return gathered


class Upload:
    """A body that is gathered.

    Args:
        limit: bytes; a longer body is refused.
    """

    __slots__ = ("_body", "_limit", "head", "started")

    def __init__(self, head: RequestHead, started: float, limit: int) -> None:
        self.head = head
        self.started = started
        self._limit = limit
        self._body: bytes | bytearray = b""

    def add(self, data: bytes) -> bool:
        """Keep some of the body; that more may follow.

        Raises:
            ProtocolError: it is larger than the limit.
        """
        if len(self._body) + len(data) > self._limit:
            raise ProtocolError(BODY_LARGE)
        self._body = joined(self._body, data)
        return True

    def deadline(self, timeouts: Timeouts) -> float:
        """When more of it must have come: only what has come moves it, not that something comes."""
        return self.started + timeouts.body + len(self._body) / timeouts.body_rate

    def take(self) -> bytes:
        """What has come; it is not kept here any longer."""
        body, self._body = self._body, b""
        return bytes(body)


class UploadStream:
    """A body that a handler iterates over while it comes; the loop fills it, one other thread empties it.

    Args:
        on_room: called in the handler's thread when it has emptied the buffer of a body that was paused.
        paused: whether nothing is to come before the handler asks.
    """

    __slots__ = ("_arrival", "_body", "_home", "_is_lost", "_is_whole", "_on_room", "_paused_at", "head", "paused",
                 "received", "started")

    def __init__(self, head: RequestHead, started: float, on_room: Callable[[], object], paused: bool) -> None:
        self.head = head
        self.started = started
        #: bytes that have come
        self.received = 0
        #: nothing is read, for the handler has not taken what came
        self.paused = paused
        self._paused_at = started
        self._on_room = on_room
        self._body: bytes | bytearray = b""
        self._is_whole = self._is_lost = False
        self._arrival = threading.Condition()
        self._home = threading.get_ident()

    # For the connection, in the loop's thread

    def add(self, data: bytes) -> bool:
        """Put some of the body in; whether more may follow now."""
        with self._arrival:
            self.received += len(data)
            self._body = joined(self._body, data)
            self.paused = paused = len(self._body) >= BUFFER_SIZE
            self._arrival.notify()
        return not paused

    def pause(self, now: float) -> None:
        """Take note of when reading was stopped."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Go on: the time in between is not the peer's."""
        self.started += now - self._paused_at

    def deadline(self, timeouts: Timeouts) -> float:
        """As that of an `Upload`."""
        return self.started + timeouts.body + self.received / timeouts.body_rate

    def end(self) -> None:
        """All of it has come."""
        with self._arrival:
            self._is_whole = True
            self._arrival.notify_all()

    def close(self) -> None:
        """Nothing more will come; a handler that waits for the rest learns that there is none."""
        with self._arrival:
            if not self._is_whole:
                self._is_lost = True
                self._body = b""
                self._arrival.notify_all()

    # For the handler, in its own thread

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """All that has come and was not taken yet; waits for some.

        Raises:
            HTTPError: 400, the rest will not come: the peer has gone, was too slow or broke a rule.
            RuntimeError: it would be waited for in the loop's own thread, and so for ever.
        """
        with self._arrival:
            while not self._body:
                if self._is_lost:
                    raise HTTPError(400, "The body did not come whole.")
                if self._is_whole:
                    raise StopIteration
                self._make_room()
                if threading.get_ident() == self._home:
                    raise RuntimeError("a streamed body is waited for in a worker thread, not in the loop's")
                self._arrival.wait()
            body, self._body = self._body, b""
            self._make_room()
        return bytes(body)

    def _make_room(self) -> None:
        if self.paused:
            self.paused = False
            self._on_room()
