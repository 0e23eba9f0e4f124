"""The body of a request while it arrives: gathered whole, or handed on through a pipe.

Most handlers want a body whole, and are called when it is there: a `GatheredBody`. A handler that reads what
should never be in memory at once is called when the first of it is there, and works in a thread of its own while
the loop receives: a `StreamedBody`, which has a `Pipe` between the two.

*Back-pressure is not reading.* When the pipe is full, the connection no longer reads the socket; the kernel's
buffers fill, its TCP window closes, and the client waits. When the handler has emptied the pipe, the loop
reads on. So a connection holds one pipe and a little read ahead, however large the body and however slow the
handler, and a client is not charged for the handler's time.

*A rate is a bucket, not an account.* A body has so many seconds of credit, which pass while it is waited for; what
arrives adds seconds at the rate that is demanded, but never more than there were at first. So a client may be slow
for a while, and what it sent quickly does not allow it to be silent later. Whatever the pieces and their times:

    the deadline is never further away than the full credit, counted from the latest piece (or the beginning)
    nor, of n bytes so far, later than the beginning + the credit + n / rate + the time that was the handler's
    a client that sends as fast as is demanded, measured from each piece to the next, never misses it
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..http1 import ProtocolError
from ..http1.rules import BODY_LARGE
from ..messages import HTTPError, Pipe
from .states import Timeouts


class IncomingBody:
    """Counts what arrives, and knows when more must have arrived.

    Args:
        credit: seconds without a byte that are allowed at most, and at first.
        rate: bytes that add a second to the credit.
        now: seconds of the reactor's clock.
    """

    __slots__ = ("_credit", "_rate", "arrived", "deadline")

    def __init__(self, credit: float, rate: float, now: float) -> None:
        self._credit = credit
        self._rate = rate
        #: bytes so far
        self.arrived = 0
        #: in seconds of the reactor's clock
        self.deadline = now + credit

    def add(self, data: bytes, now: float) -> bool:
        """Take some of the body. Return whether there is room for more now.

        Raises:
            ProtocolError: the body is larger than allowed.
        """
        size = len(data)
        self.arrived += size
        self.deadline = min(self.deadline + size / self._rate, now + self._credit)
        return True

    def end(self) -> None:
        """Record that all of it has arrived."""

    def lose(self) -> None:
        """Record that the rest will not arrive."""


class GatheredBody(IncomingBody):
    """A body that is gathered.

    Args:
        limit: bytes; a longer body is refused.
    """

    __slots__ = ("_body", "_limit")

    def __init__(self, timeouts: Timeouts, now: float, limit: int) -> None:
        super().__init__(timeouts.body, timeouts.body_rate, now)
        self._limit = limit
        self._body: bytes | bytearray = b""

    def add(self, data: bytes, now: float) -> bool:
        if self.arrived + len(data) > self._limit:
            raise ProtocolError(BODY_LARGE)
        if not self._body:
            self._body = data  # a body that arrives at once is not copied
        else:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += data
        return super().add(data, now)

    def take(self) -> bytes:
        """Return what has arrived. It is not kept here any longer."""
        body, self._body = self._body, b""
        return bytes(body)


class StreamedBody(IncomingBody):
    """A body that a handler reads while it arrives. Made in the loop's thread.

    Args:
        on_room: called in the handler's thread when it has emptied a full pipe.
        is_awaited: whether the application is asked when the first of it is there, and not before.
    """

    __slots__ = ("_paused_at", "is_awaited", "pipe")

    def __init__(self, timeouts: Timeouts, now: float, on_room: Callable[[], object], is_awaited: bool = True) -> None:
        super().__init__(timeouts.body, timeouts.stream_rate, now)
        self.is_awaited = is_awaited
        self._paused_at = now
        self.pipe = Pipe(home=threading.get_ident())
        self.pipe.on_writable = on_room

    def add(self, data: bytes, now: float) -> bool:
        super().add(data, now)
        try:
            has_room = self.pipe.write(data)
        except BrokenPipeError:
            return True  # whoever closed it wants no more, and what arrives is dropped
        if not has_room:
            self._paused_at = now
        return has_room

    def resume(self, now: float) -> None:
        """Go on. The time in between was the handler's, not the client's."""
        self.deadline += now - self._paused_at

    def end(self) -> None:
        self.pipe.end()
        self._forget()

    def lose(self) -> None:
        self.pipe.end(HTTPError(400, "The body did not arrive whole."))
        self._forget()

    def _forget(self) -> None:
        self.pipe.on_writable = _nothing  # it refers to the connection, and the handler may keep the pipe


def _nothing() -> None:
    pass
