"""A connection after HTTP: its bytes go to the protocol that a handler switched to, and come from it.

The connection stays what it was: counted, drained when the server stops, and under a deadline. It is closed
when nothing has moved in either direction for `Timeouts.idle`, or when the peer takes nothing of what is
queued for `Timeouts.write`. A protocol whose connections may be silent for longer keeps time by itself: with its first
`wake_in` the deadline for silence is its own (WebSocket has pings). All of this is the one timer of the connection.

A protocol is the host's code. An exception that it raises is logged and ends its connection.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Protocol

from ..messages import Channel, Peer, SwitchedProtocol
from ..net.transport import HIGH_WATER, Transport
from .shared import Shared

logger = logging.getLogger("evloop_http.server")


class Ending(enum.Enum):
    """How far this side is from its end."""

    OPEN = "it may send"
    HALF_CLOSING = "what is queued is sent, then this half is closed"
    HALF_CLOSED = "it sends nothing more, and still receives"
    CLOSING = "what is queued is sent, then the connection is closed"


OPEN, HALF_CLOSING, HALF_CLOSED, CLOSING = Ending


class SwitchedLine(Protocol):
    """What a channel knows of its connection."""

    @property
    def peer(self) -> Peer: ...
    def update_now(self) -> None: ...
    def later(self, act: Callable[..., None], *args: object) -> None: ...
    def abort(self) -> None: ...
    def linger(self) -> None: ...
    def close(self) -> None: ...


class _Nobody:
    """The protocol of a channel that has ended."""

    def on_start(self, channel: Channel) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_eof(self) -> None: ...
    def on_writable(self) -> None: ...
    def on_stop(self) -> None: ...
    def on_close(self) -> None: ...


_NOBODY = _Nobody()


class SwitchedChannel:
    """What a protocol is given to write to; see `messages.Channel`."""

    __slots__ = ("_alarm", "_alarm_at", "_connection", "_ending", "_is_called", "_moved", "_paused", "_protocol",
                 "_rest", "_shared", "_transport", "_waits", "_written")

    def __init__(self, connection: SwitchedLine, transport: Transport, protocol: SwitchedProtocol,
                 shared: Shared) -> None:
        self._connection = connection
        self._transport = transport
        self._protocol = protocol
        self._shared = shared
        self._moved = self._written = shared.reactor.time()  # when anything moved, and when the peer took something
        self._alarm: Callable[[], object] | None = None  # the protocol keeps time: what to call, and when
        self._alarm_at = 0.0
        self._rest = b""  # what arrived behind the request
        self._paused = False
        self._waits = False      # the protocol waits for room
        self._ending = OPEN
        self._is_called = False  # the protocol is at work, in a turn of its connection

    def __repr__(self) -> str:
        return f"<SwitchedChannel {type(self._protocol).__name__}, {self._transport!r}>"

    @property
    def peer(self) -> Peer:
        """The other end."""
        return self._connection.peer

    def wants(self) -> tuple[bool, float]:
        """Return whether the socket is to be read, and until when, in seconds of the reactor's clock."""
        seconds = self._shared.timeouts
        deadline = self._alarm_at if self._alarm is not None else self._moved + seconds.idle
        if self._transport.queued:
            deadline = min(deadline, self._written + seconds.write)
        return not self._paused and self._ending is not CLOSING, deadline

    # For the connection

    def begin(self, rest: bytes) -> None:
        """Start, with what has happened already: bytes that arrived behind the request, an EOF, a server that stops."""
        self._call(self._protocol.on_start, self)
        self._rest = rest
        self._deliver_rest()
        if self._transport.at_eof and not self._transport.closed:
            self.receive_eof()
        if self._shared.draining and not self._transport.closed:
            self.drain()

    def _deliver_rest(self) -> None:
        if self._rest and not self._paused and self._ending is not CLOSING and not self._transport.closed:
            rest, self._rest = self._rest, b""
            self._call(self._protocol.on_data, rest)

    def receive(self, data: bytes) -> None:
        """Hand on what arrived."""
        self._moved = self._shared.reactor.time()
        self._call(self._protocol.on_data, data)

    def receive_eof(self) -> None:
        """Hand on that the peer sends nothing more."""
        self._call(self._protocol.on_eof)
        self._finish()

    def note_progress(self) -> None:
        """Record that the peer has taken some of what was queued."""
        self._moved = self._written = self._shared.reactor.time()

    def write_on(self) -> None:
        """There is room in the queue again."""
        if self._waits and self._ending is OPEN:
            self._waits = False
            self._call(self._protocol.on_writable)
        self._finish()

    def expire(self) -> None:
        """A deadline has passed: that of the protocol, or one that ends the connection."""
        now = self._shared.reactor.time()
        is_stuck = self._transport.queued and now >= self._written + self._shared.timeouts.write
        if is_stuck or self._alarm is None:
            self._connection.close()
        elif now >= self._alarm_at:
            alarm, self._alarm_at = self._alarm, float("inf")
            self._call(alarm)

    def drain(self) -> None:
        """The server stops."""
        self._call(self._protocol.on_stop)

    def note_closed(self) -> None:
        """The connection has ended."""
        protocol, self._protocol = self._protocol, _NOBODY  # which may keep this channel
        self._alarm = None
        self._call(protocol.on_close)

    def _call(self, notify: Callable[..., object], *args: object) -> None:
        self._is_called = True
        try:
            notify(*args)
        except Exception:
            logger.exception("the protocol of a switched connection failed")
            self._connection.abort()
        finally:
            self._is_called = False

    # For the protocol

    @property
    def queued(self) -> int:
        """Bytes that the socket has not accepted yet."""
        return self._transport.queued

    def time(self) -> float:
        """Return the seconds of the loop's clock."""
        return self._shared.reactor.time()

    def wake_in(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call back once in `seconds`, and leave it to the protocol what silence means."""
        self._alarm = callback
        self._alarm_at = self._shared.reactor.time() + seconds
        self._settle()

    def later(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in a turn of this connection. Safe from any thread."""
        self._connection.later(self._call, act, *args)

    def write(self, data: bytes) -> bool:
        """Send `data`. Return False if much is queued already: wait for `on_writable` before writing more.

        Raises:
            BrokenPipeError: this side has been ended or closed, or the peer has gone.
        """
        if self._ending is not OPEN or self._transport.closed:
            raise BrokenPipeError("this side of the connection has ended")
        transport = self._transport
        if transport.queued:
            transport.write(data)
        else:
            self._moved = self._written = self._shared.reactor.time()
            if transport.write(data) and self._alarm is not None:
                return True  # nothing is queued, as before, and the deadline is its own: nothing is to be applied
        has_room = transport.queued < HIGH_WATER
        if not has_room:
            self._waits = True
        self._settle()
        return has_room

    def pause(self) -> None:
        """Receive nothing until `resume`."""
        self._paused = True
        self._settle()

    def resume(self) -> None:
        """Receive again."""
        self._paused = False
        self._deliver_rest()
        self._settle()

    def end(self) -> None:
        """Send what is queued, then close this half."""
        if self._ending is OPEN:
            self._ending = HALF_CLOSING
            self._finish()
            self._settle()

    def close(self) -> None:
        """Send what is queued as far as the peer takes it, and close."""
        if self._ending is not CLOSING:
            self._ending = CLOSING
            self._finish()
            self._settle()

    def abort(self) -> None:
        """Close now, with a reset."""
        self._connection.abort()

    def _finish(self) -> None:
        """Go on with ending, if everything has been sent."""
        transport = self._transport
        if self._ending is OPEN or transport.queued or transport.closed:
            return
        if self._ending is CLOSING:
            self._connection.linger()
            return
        if self._ending is HALF_CLOSING:
            transport.half_close()
            self._ending = HALF_CLOSED
        if transport.at_eof:
            self._connection.close()

    def _settle(self) -> None:
        """Apply what follows, unless this is within a turn of the connection, which does so by itself."""
        if not self._is_called and not self._transport.closed:
            self._connection.update_now()
