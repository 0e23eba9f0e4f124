"""Two lives, two machines: which states there are, which moves are legal, and what follows from a state.

A *connection* is the life of one socket. It knows that there is an exchange, not what is in it:

    HANDSHAKING ─▶ IDLE ─▶ READING_HEADERS ─▶ EXCHANGING ─▶ LINGERING ─▶ CLOSED
                    ▲                           │   └─▶ SWITCHED ─▶ LINGERING ─▶ CLOSED
                    └───────────────────────────┘

An *exchange* is the life of one request, and has two halves that run at once. A proxy, an echo or a file
that is compressed while it is uploaded sends its response while the request is still arriving:

    request:    READING_BODY ⇄ PAUSED ─▶ COMPLETE              (or LOST)
    response:   HANDLING ─▶ WRITING ⇄ STARVED ─▶ SENT          (or FAILED)

The exchange is over when the response is SENT. If the request is COMPLETE then, the connection is IDLE
again; if not, what is still on its way belongs to no request, and the connection lingers and ends.

*A state is what is waited for*, so a state that need not be waited in is passed by. A request that arrives in
one piece and is answered with bytes that the socket accepts makes no exchange at all: the connection is IDLE
before and after.

What is listened for, and until when, follows from the states and from nothing else. A connection without an
exchange reads, for as long as `Timeouts.by_state` says; one that lingers or has switched is in the hands of a
`Successor`, which is asked. With an exchange it is a cell of `WAITING`, the table of both halves:

    request \\ response   HANDLING                 WRITING                    STARVED (nothing to send yet)
    READING_BODY         read; body deadline      read; body or write        read; body or heartbeat
    PAUSED (pipe full)   read ahead; handler      nothing; write             read ahead; heartbeat
    COMPLETE             read ahead; handler      nothing; write             read ahead; heartbeat
    LOST                                          nothing; write             read ahead; heartbeat

*Reading ahead* is reading what cannot be acted on yet, up to a bound: it is the only way to notice that the
client has left. While a response is being written that need not be, because writing notices it.

`Connection.update` is the one place where all this is applied, at the end of every turn of the connection.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """What a connection is waiting for."""

    HANDSHAKING = "handshaking"
    IDLE = "idle"
    READING_HEADERS = "reading-headers"
    EXCHANGING = "exchanging"
    LINGERING = "lingering"
    SWITCHED = "switched"
    CLOSED = "closed"

    # By identity: the enum's own hash is a function in Python, and states are keys on the fast path.
    __hash__ = object.__hash__


class Receiving(enum.Enum):
    """How much of a request has arrived."""

    READING_BODY = "its body is arriving"
    PAUSED = "the body waits for the application, which has not taken what came before, or refuses it"
    COMPLETE = "all of it"
    LOST = "the rest will not arrive"

    __hash__ = object.__hash__


class Responding(enum.Enum):
    """How far a response is."""

    HANDLING = "the application works on it"
    WRITING = "it waits for the client to take it"
    STARVED = "it waits for the application to have more of it"
    SENT = "the socket has accepted all of it"
    FAILED = "it cannot be finished"

    __hash__ = object.__hash__


TRANSITIONS: dict[State, frozenset[State]] = {
    State.HANDSHAKING: frozenset({State.IDLE, State.EXCHANGING, State.LINGERING, State.CLOSED}),
    State.IDLE: frozenset({State.IDLE, State.READING_HEADERS, State.EXCHANGING, State.LINGERING, State.SWITCHED,
                           State.CLOSED}),
    State.READING_HEADERS: frozenset({State.IDLE, State.EXCHANGING, State.LINGERING, State.SWITCHED, State.CLOSED}),
    State.EXCHANGING: frozenset({State.IDLE, State.LINGERING, State.SWITCHED, State.CLOSED}),
    State.LINGERING: frozenset({State.CLOSED}),
    State.SWITCHED: frozenset({State.LINGERING, State.CLOSED}),
    State.CLOSED: frozenset(),
}

REQUEST_TRANSITIONS: dict[Receiving, frozenset[Receiving]] = {
    Receiving.READING_BODY: frozenset({Receiving.PAUSED, Receiving.COMPLETE, Receiving.LOST}),
    Receiving.PAUSED: frozenset({Receiving.READING_BODY, Receiving.LOST}),
    Receiving.COMPLETE: frozenset(),
    Receiving.LOST: frozenset(),
}

RESPONSE_TRANSITIONS: dict[Responding, frozenset[Responding]] = {
    Responding.HANDLING: frozenset({Responding.WRITING, Responding.SENT, Responding.FAILED}),
    Responding.WRITING: frozenset({Responding.STARVED, Responding.SENT, Responding.FAILED}),
    Responding.STARVED: frozenset({Responding.WRITING, Responding.FAILED}),
    Responding.SENT: frozenset(),
    Responding.FAILED: frozenset(),
}


class Listen(enum.Enum):
    """Whether the socket is read."""

    YES = "yes"
    AHEAD = "yes, up to a bound: nothing can be done yet with what arrives"
    NO = "no"


class Clock(enum.Enum):
    """Whose time is running."""

    BODY = "the client's, to send more of the request"
    HANDLER = "the application's, to answer or to take more of the body"
    WRITE = "the client's, to take more of the response"
    HEARTBEAT = "the response's, which has said nothing for a while"

    __hash__ = object.__hash__


_READING, _PAUSED, _COMPLETE, _LOST = Receiving
_HANDLING, _WRITING, _STARVED, _, _ = Responding

#: What a connection with an exchange listens for, and the clocks that run; the first to strike ends the wait.
WAITING: dict[tuple[Receiving, Responding], tuple[Listen, tuple[Clock, ...]]] = {
    (_READING, _HANDLING): (Listen.YES, (Clock.BODY,)),
    (_READING, _WRITING): (Listen.YES, (Clock.BODY, Clock.WRITE)),
    (_READING, _STARVED): (Listen.YES, (Clock.BODY, Clock.HEARTBEAT)),
    (_PAUSED, _HANDLING): (Listen.AHEAD, (Clock.HANDLER,)),
    (_PAUSED, _WRITING): (Listen.NO, (Clock.WRITE,)),
    (_PAUSED, _STARVED): (Listen.AHEAD, (Clock.HEARTBEAT,)),
    (_COMPLETE, _HANDLING): (Listen.AHEAD, (Clock.HANDLER,)),
    (_COMPLETE, _WRITING): (Listen.NO, (Clock.WRITE,)),
    (_COMPLETE, _STARVED): (Listen.AHEAD, (Clock.HEARTBEAT,)),
    (_LOST, _WRITING): (Listen.NO, (Clock.WRITE,)),
    (_LOST, _STARVED): (Listen.AHEAD, (Clock.HEARTBEAT,)),
}

#: What an exchange is called where one word must do: in statistics, in a log.
NAMES: dict[tuple[Receiving, Responding], str] = {
    pair: "reading-body" if pair == (_READING, _HANDLING) else "handling" if pair[1] is _HANDLING else "writing"
    for pair in WAITING}

#: Every such word, in the order of a life.
STATE_NAMES = ("handshaking", "idle", "reading-headers", "reading-body", "handling", "writing", "lingering", "switched")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each thing may take, in seconds; rates are in bytes a second. All but `handler` are on by default.

    Raises:
        ValueError: one of them is not above 0.
    """

    #: from accept to the end of the TLS handshake; then the connection is closed
    handshake: float = 10
    #: from a request's first byte to the end of its head, whatever arrives in between; then 408
    head: float = 10
    #: without a byte of the body, and by how much a body may be behind the rate that is demanded of it; then 408. What
    #: arrives faster makes up for what was slow, not for what will be
    body: float = 10
    #: of a body that is gathered, in bytes a second
    body_rate: float = 1024
    #: of a body that is streamed, in bytes a second: a thread waits for it. The time that the handler takes while
    #: nothing more can be received is not counted
    stream_rate: float = 16 * 1024
    #: for the application to answer, or to take more of a body; then 503. Off: only the application knows
    handler: float | None = None
    #: without the peer's taking a byte of the response; then the connection is reset
    write: float = 30
    #: between two requests, and without a byte after a switch of protocols; then the connection is closed
    idle: float = 75
    #: for the peer to close, after a response that ends the connection
    linger: float = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"the timeout {name!r} must be above 0, not {value}")

    def by_state(self) -> dict[State, float]:
        """Return the seconds that a connection may be in each state in which it reads requests."""
        return {
            State.HANDSHAKING: float(self.handshake),
            State.IDLE: float(self.idle),
            State.READING_HEADERS: float(self.head),
        }
