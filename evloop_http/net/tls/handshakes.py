"""Whose turn it is to shake hands.

A handshake is arithmetic: up to half a millisecond of it for a few hundred bytes from the peer. So the handshakes of
one turn share a budget, and it is one of time, since a step may cost a hundred times as much as another.

Those that find it used up wait *outside the selector*. Left in the selector, they would stay ready and be looked at in
every turn, and a crowd of them would leave no time to serve any.

There is also a bound on how many are under way at a time, because each has buffers in OpenSSL. Beyond it, the oldest
is closed: an honest peer needs two round trips.

*Who came last has the next turn.* In order, a flood of hellos would shut out everybody: all would wait for as long as
the queue is, and be closed as the oldest when their expensive step had just been done. So those who can be served are
served at once, and those who cannot are the ones that have waited longest. Without a flood nobody waits.
"""

from __future__ import annotations

from typing import Protocol

from ..reactor import Reactor

#: Seconds of one turn that are spent on handshakes.
HANDSHAKE_SECONDS = 0.002
#: Handshakes under way at a time.
MOST_HANDSHAKES = 1024


class Handshaker(Protocol):
    """What shakes hands."""

    def park(self) -> None:
        """Wait outside the selector for `take_step`."""

    def take_step(self) -> None:
        """Go on with the handshake as far as what has arrived allows."""

    def give_up(self) -> None:
        """End, to make room for another."""


class Handshakes:
    """Who is shaking hands, and in which order.

    Args:
        seconds: how much of a turn is spent on it; a step that was begun is finished.
        most: how many are under way at a time. The oldest is closed when there is one more.
    """

    def __init__(self, reactor: Reactor, seconds: float = HANDSHAKE_SECONDS, most: int = MOST_HANDSHAKES) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._most = most
        self._left = seconds
        self._turn = -1
        self._under_way: dict[Handshaker, None] = {}
        self._waiting: dict[Handshaker, None] = {}
        self._is_due = False

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def begin(self, transport: Handshaker) -> None:
        """Count one that has begun."""
        if len(self._under_way) >= self._most:
            next(iter(self._under_way)).give_up()
        self._under_way[transport] = None

    def end(self, transport: Handshaker) -> None:
        """Count one no longer. May be called for one that never began."""
        self._under_way.pop(transport, None)
        self._waiting.pop(transport, None)

    def ask(self, transport: Handshaker) -> None:
        """Have `transport` take a step: now if there is time, or else when there is again."""
        if self._has_time():
            self._step(transport)
        else:
            transport.park()
            self._waiting[transport] = None
            self._come_back()

    def _has_time(self) -> bool:
        if self._turn != self._reactor.turn:
            self._turn = self._reactor.turn
            self._left = self._seconds
        return self._left > 0

    def _step(self, transport: Handshaker) -> None:
        began = self._reactor.time()
        try:
            transport.take_step()
        finally:
            self._left -= self._reactor.time() - began

    def _come_back(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._reactor.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        try:
            while self._waiting and self._has_time():
                transport, _ = self._waiting.popitem()
                self._step(transport)
        finally:
            if self._waiting:
                self._come_back()
