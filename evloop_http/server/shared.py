"""What the connections of a server share. Nothing is kept for each connection that can be kept once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..http1 import HeadParser, Limits, ResponseEncoder
from ..messages import Answered, ConnectionFacts, Contract, Observer, Peer, Request, RequestHead, Response
from ..messages.futures import Late
from ..net.reactor import Reactor
from .failures import error_response, no_tunnel
from .in_flight import InFlight
from .memory import Memory
from .places import Occupant
from .states import State, Timeouts

logger = logging.getLogger("evloop_http.server")

#: Seconds that a turn of the loop may last before a connection with more to do lets the others go first, unless it has
#: taken less than its share: to give up a turn costs more than a few cheap requests.
TURN_BUDGET = 0.005
SHARE = 0.001


class Live(ConnectionFacts, Occupant, Protocol):
    """What a server asks of its connections."""

    def in_flight(self) -> InFlight | None: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Shared:
    """The application, the reactor, the limits, and who watches. One for each server."""

    contract: Contract
    reactor: Reactor
    heads: HeadParser
    encoder: ResponseEncoder
    timeouts: Timeouts
    #: bytes of a body that is gathered; of others, the limit is that of `heads`
    body_limit: int = Limits().body
    memory: Memory = field(default_factory=lambda: Memory(Limits().gathered))
    observer: Observer | None = None
    #: called when a connection has ended
    on_closed: Callable[[Live], None] = lambda connection: None
    #: no connection is kept any more
    draining: bool = False
    connections: set[Live] = field(default_factory=set)
    #: threads that work on an answer for which nobody waits any more, and the requests that they work on
    left_at_work: dict[Late, InFlight] = field(default_factory=dict)
    #: how long a connection may be in a state without an exchange
    seconds: dict[State, float] = field(init=False)
    make_request: type[Request] = field(init=False)
    answer: Callable[[Request], object] = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = self.timeouts.by_state()
        self.make_request = self.contract.request_class
        self.answer = self.contract.answer

    def is_late(self, began: float) -> bool:
        """Return whether others should have their turn before one that began its share then."""
        now = self.reactor.time()
        return now - began > SHARE and now - self.reactor.now > TURN_BUDGET

    def may_act(self) -> bool:
        """Return whether this is the loop's thread, in a turn that has time left."""
        reactor = self.reactor
        return reactor.is_here() and reactor.time() - reactor.now < TURN_BUDGET

    def ask(self, head: RequestHead, request: Request) -> object:
        """Have the application answer. Its exceptions end here; what it returns is not checked."""
        try:
            # Only the target of a CONNECT has no path.
            return self.answer(request) if head.path or self.contract.tunnels else no_tunnel()
        except Exception as error:
            return error_response(head, error)

    def prepare(self, head: RequestHead, request: Request) -> object:
        """Ask the application how it wants the body that is on its way: `GATHER`, `STREAM`, or a refusal."""
        try:
            return self.contract.prepare(request) if head.path or self.contract.tunnels else no_tunnel()
        except Exception as error:
            return error_response(head, error)

    def leave_at_work(self, future: Late, request: InFlight) -> None:
        """Remember a thread that works on. Those that have finished are forgotten, so threads bound the number."""
        self.left_at_work = {kept: at for kept, at in self.left_at_work.items() if kept.running()}
        self.left_at_work[future] = request

    def observe_sent(self, peer: Peer, head: RequestHead | None, response: Response, started: float, size: int,
                     is_complete: bool = True) -> None:
        """Tell the observer of a response of bytes that made no exchange."""
        if self.observer is not None:
            seconds = self.reactor.time() - started
            self.observe(Answered(peer, head, response.status, size, seconds, is_complete))

    def observe(self, answer: Answered) -> None:
        """Tell the observer what became of a request."""
        if self.observer is not None:
            self.tell(self.observer.answered, answer)

    def tell(self, notify: Callable[..., None], *args: object) -> None:
        """Call a method of the observer: the host's code, which may fail like the application."""
        try:
            notify(*args)
        except Exception:
            logger.exception("an observer failed")


class Observers(Observer):
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def opened(self, connection: ConnectionFacts) -> None:
        for observer in self._observers:
            observer.opened(connection)

    def entered(self, connection: ConnectionFacts, state: str) -> None:
        for observer in self._observers:
            observer.entered(connection, state)

    def answered(self, answer: Answered) -> None:
        for observer in self._observers:
            observer.answered(answer)

    def refused(self, peer: Peer, reason: str) -> None:
        for observer in self._observers:
            observer.refused(peer, reason)

    def closed(self, connection: ConnectionFacts) -> None:
        for observer in self._observers:
            observer.closed(connection)


def combined(observers: Sequence[Observer]) -> Observer | None:
    """Return one observer for all of them; None for none."""
    return Observers(observers) if len(observers) > 1 else next(iter(observers), None)
