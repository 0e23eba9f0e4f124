"""What the parts of a connection know of each other, and no more.

An exchange knows its connection as a `Line`, so that it does not matter how many exchanges a connection has at
a time. A connection knows what comes after HTTP as a `Successor`, be it another protocol or the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..messages import Peer, SwitchedProtocol
from .sending import Outlet


class Line(Protocol):
    """What an exchange knows of its connection."""

    #: requests that the application was asked to answer
    requests: int

    @property
    def peer(self) -> Peer: ...

    @property
    def outlet(self) -> Outlet: ...

    def later(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in the loop's thread. Safe from any thread."""

    def promptly(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in the loop's thread: at once, if this is it. Safe from any thread."""

    def next_turn(self, act: Callable[..., None], *args: object) -> None:
        """Have `act` called in the next turn of the loop. For the loop's thread."""

    def note_state(self) -> None:
        """Record that the state of the exchange has changed."""

    def has_left(self) -> bool:
        """Return whether the client sends nothing more, with no further request half sent."""

    def invite(self) -> None:
        """Ask for the body that the client holds back."""

    def finish(self, keep_alive: bool) -> None:
        """Record that the response has been sent, and whether another request may follow."""

    def switch(self, protocol: SwitchedProtocol) -> None:
        """Hand the connection to another protocol: the last of HTTP has been sent."""

    def abort(self) -> None:
        """Close the connection with a reset: the response cannot be finished."""


class Successor(Protocol):
    """What has a connection after HTTP."""

    def wants(self) -> tuple[bool, float]:
        """Return whether the socket is to be read, and until when, in seconds of the reactor's clock."""

    def receive(self, data: bytes) -> None:
        """Take what arrived."""

    def receive_eof(self) -> None:
        """Record that the peer sends nothing more."""

    def note_progress(self) -> None:
        """Record that the peer has taken some of what was queued."""

    def write_on(self) -> None:
        """Record that there is room in the queue again."""

    def expire(self) -> None:
        """Act on the deadline, which has passed."""

    def drain(self) -> None:
        """Come to an end soon: the server stops."""

    def note_closed(self) -> None:
        """Record that the connection has ended."""
