"""What a protocol owes the server, and the server owes a protocol, on a connection after HTTP.

A handler that answers with `Upgrade(protocol, name)` hands its connection to a `SwitchedProtocol`, which is given
a `Channel` to write to.
"""

from __future__ import annotations

from typing import Protocol

from .request import Peer


class Channel(Protocol):
    """A connection after HTTP, as the protocol sees it that took it over. Only the loop's thread may use it."""

    @property
    def peer(self) -> Peer: ...

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
        """The connection has ended, whichever side ended it."""
