"""Who is told what happens on a WebSocket, the error that it is closed, and stand-ins before and behind its life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..messages import NOBODY, Peer


class Disconnected(ConnectionError):
    """The WebSocket is closed. Nothing can be sent, and no more messages arrive.

    Args:
        code: of the Close that the peer sent: 1005 if it named none, 1006 if the connection was lost without one.
        reason: that it gave.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket is closed: {self.code} {self.reason}".rstrip()


class Listener(Protocol):
    """Who is told what happens. Everything is called in the thread of the loop."""

    def on_open(self) -> None:
        """The response that accepts is on its way."""

    def on_message(self, message: str | bytes) -> None:
        """A message has arrived. To receive no more for now, call `pause`."""

    def on_room(self) -> None:
        """What was to be sent has been taken: the connection is not `full` any more."""

    def on_closed(self, code: int, reason: str) -> None:
        """The connection is closed; see `Disconnected`. Called once, perhaps without `on_open`."""


class Nobody:
    """The listener of a connection that has ended."""

    def on_open(self) -> None: ...
    def on_message(self, message: str | bytes) -> None: ...
    def on_room(self) -> None: ...
    def on_closed(self, code: int, reason: str) -> None: ...


class Nowhere:
    """The channel of a connection that has not begun, or has ended."""

    peer: Peer = NOBODY
    queued = 0

    def time(self) -> float:
        return 0.0

    def wake_in(self, seconds: float, callback: Callable[[], object]) -> None: ...

    def later(self, act: Callable[..., object], *args: object) -> None: ...

    def write(self, data: bytes) -> bool:
        return True

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


NO_LISTENER, NOWHERE = Nobody(), Nowhere()
