"""The body of a request while it arrives: gathered whole, or handed on through a pipe.

Most handlers want a body whole, and are called when it is there: a `GatheredBody`. A handler that reads what
should never be in memory at once is called with the head, and works in a thread of its own while the loop
receives: a `StreamedBody`, which has a `Pipe` between the two.

*Back-pressure is not reading.* When the pipe is full, the connection no longer reads the socket; the kernel's
buffers fill, its TCP window closes, and the client waits. When the handler has emptied the pipe, the loop
reads on. So a connection holds one pipe and a little read ahead, however large the body and however slow the
handler, and a client is not charged for the handler's time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..http1 import ProtocolError
from ..http1.rules import BODY_LARGE
from ..messages import HTTPError, Pipe
from .states import Timeouts


class IncomingBody:
    """Counts what arrives, and knows when more must have arrived."""

    __slots__ = ("_since", "_timeouts", "arrived", "deadline")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self._timeouts = timeouts
        self._since = now
        #: bytes so far
        self.arrived = 0
        #: in seconds of the reactor's clock
        self.deadline = 0.0
        self._extend(now)

    def _extend(self, now: float) -> None:
        """Set the deadline: what has arrived buys time, but no silence longer than one between requests."""
        timeouts = self._timeouts
        self.deadline = min(self._since + timeouts.body + self.arrived / timeouts.body_rate, now + timeouts.idle)

    def add(self, data: bytes, now: float) -> bool:
        """Take some of the body. Return whether there is room for more now.

        Raises:
            ProtocolError: the body is larger than allowed.
        """
        self.arrived += len(data)
        self._extend(now)
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
        super().__init__(timeouts, now)
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
        paused: whether nothing is to arrive before the handler asks (`Expect: 100-continue`).
    """

    __slots__ = ("_paused_at", "pipe")

    def __init__(self, timeouts: Timeouts, now: float, on_room: Callable[[], object], paused: bool) -> None:
        super().__init__(timeouts, now)
        self._paused_at = now
        self.pipe = Pipe(paused=paused, home=threading.get_ident())
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
        self._since += now - self._paused_at
        self._extend(now)

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
