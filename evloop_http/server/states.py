"""The states of a connection, the legal moves between them, and how long each may last."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..net.timers import NEVER


class State(enum.Enum):
    """What a connection is waiting for."""

    HANDSHAKING = "handshaking"
    IDLE = "idle"
    READING_HEADERS = "reading headers"
    READING_BODY = "reading body"
    HANDLING = "handling"
    WRITING = "writing"
    LINGERING = "lingering"
    CLOSED = "closed"

    # By identity: the enum's own hash is a function in Python, and states are keys on the fast path.
    __hash__ = object.__hash__


#: Every legal move.
FOLLOWERS: dict[State, frozenset[State]] = {
    State.HANDSHAKING: frozenset({State.IDLE, State.WRITING, State.CLOSED}),
    State.IDLE: frozenset({State.READING_HEADERS, State.READING_BODY, State.HANDLING, State.WRITING, State.CLOSED}),
    State.READING_HEADERS: frozenset({State.READING_BODY, State.HANDLING, State.WRITING, State.CLOSED}),
    State.READING_BODY: frozenset({State.HANDLING, State.WRITING, State.CLOSED}),
    State.HANDLING: frozenset({State.IDLE, State.READING_BODY, State.WRITING, State.CLOSED}),
    State.WRITING: frozenset({State.IDLE, State.LINGERING, State.CLOSED}),
    State.LINGERING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each thing may take, in seconds; `body_rate` is in bytes a second. All but `handler` are on by default.

    Raises:
        ValueError: one of them is not above 0.
    """

    #: from accept to the end of the TLS handshake; then the connection is closed
    handshake: float = 10
    #: from a request's first byte to the end of its head, whatever comes in between; then 408
    head: float = 10
    #: for a body to come, to which every `body_rate` bytes that have come add a second (but never more than
    #: `idle` between two of them); then 408
    body: float = 10
    #: bytes a second
    body_rate: float = 1024
    #: for the application to answer, or to take more of a body; then 503. Off, for only the application knows
    handler: float | None = None
    #: without the peer's taking a byte of the answer; then the connection is reset
    write: float = 30
    #: between two requests; then the connection is closed
    idle: float = 75
    #: for the peer to close, after an answer that ends the connection
    linger: float = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"the timeout {name!r} must be above 0, not {value}")

    def by_state(self) -> dict[State, float]:
        """Seconds for each state, `NEVER` for none."""
        handler = NEVER if self.handler is None else self.handler
        seconds = (self.handshake, self.idle, self.head, self.body, handler, self.write, self.linger, NEVER)
        return dict(zip(State, map(float, seconds), strict=True))
