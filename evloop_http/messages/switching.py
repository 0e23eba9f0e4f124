"""What a protocol owes the server, and the server owes a protocol, on a connection after HTTP.

A handler that answers with `Upgrade(protocol, name)` hands its connection to a `SwitchedProtocol`, which is given
a `Channel` to write to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .request import Peer


class Channel(Protocol):
    """A connection after HTTP, as the protocol sees it that took it over. Only the loop's thread may use it.

    The exceptions are `later`, and `queued` as a figure that may be old already.
    """

    @property
    def peer(self) -> Peer: ...

    @property
    def queued(self) -> int:
        """Bytes that the socket has not accepted yet."""

    def time(self) -> float:
        """Return the seconds of the loop's clock."""

    def wake_in(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call back once in `seconds`, in place of an earlier wish. From now on, silence does not end the connection.

        A protocol that keeps time by itself decides what silence means. The deadline for a peer that takes nothing of
        what is queued remains.
        """

    def later(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in a turn of this connection, even if that is closed by then. Safe from any thread."""

    def write(self, data: bytes) -> bool:
        """Send `data`. Return False if much is queued already: wait for `on_writable` before writing more."""

    def pause(self) -> None:
        """Receive nothing until `resume`: TCP stops the peer."""

    def resume(self) -> None:
        """Receive again."""

    def end(self) -> None:
        """Send what is queued, then close this half. The peer may go on sending."""

    def close(self) -> None:
        """Send what is queued as far as the peer takes it, and close. Nothing more is received."""

    def abort(self) -> None:
        """Close now, with a reset."""


class SwitchedProtocol(Protocol):
    """What speaks on a connection after `Upgrade`. Everything is called in the loop's thread.

    A connection that is silent for `Timeouts.idle`, or takes nothing of what is queued for `Timeouts.write`, is closed.
    The first does not hold for a protocol that keeps time by itself; see `Channel.wake_in`.
    """

    def on_start(self, channel: Channel) -> None:
        """The 101 is on its way; the connection is yours."""

    def on_data(self, data: bytes) -> None:
        """Bytes arrived."""

    def on_eof(self) -> None:
        """The peer sends nothing more. It may still receive."""

    def on_writable(self) -> None:
        """After `write` returned False: there is room again."""

    def on_stop(self) -> None:
        """The server stops: finish, and `close`. What is open when the grace is over is closed."""

    def on_close(self) -> None:
        """The connection has ended, whichever side ended it. Without `on_start`: it ended before it could be yours."""
