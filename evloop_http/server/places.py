"""Places for connections: how many there are, who has them, and who makes room.

*Full is not shut.* A server whose places are all taken by clients that send nothing would be closed to everybody for
as long as an idle connection may live, and to fill it costs one packet a place. So when there is no place left, or
the process has no descriptor left, the connection that has been waiting for its client the longest is closed, and the
new one takes its place. Idle connections go first: their clients have been served, or have said nothing yet, and
will connect again. Then those whose request has been arriving the longest. Connections with a request that the
application works on are never closed for another, and none that is younger than a second: new ones would only push
each other out.

*The order costs nothing until it is needed.* A connection is idle anew after every request, so a list in order would
be changed at every request. Instead, those that have waited the longest are looked for when a place is needed, many
at a time, and each is checked again before it goes.

*There are no more places than descriptors.* Each connection is one, and the program has other uses for some.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Collection
from typing import Protocol

from ..net.binding import network_of

logger = logging.getLogger("evloop_http.server")

#: Places, unless the server is told otherwise.
DEFAULT_PLACES = 16_384
#: Descriptors that are left to the rest of the program: files, pipes, connections of its own.
RESERVE = 64
#: Seconds before a connection may be closed to make room.
LEAST_AGE = 1.0
#: Seconds until connections are looked through again when none of them could be closed: it takes milliseconds.
LOOK_AGAIN = 0.1
#: Candidates collected in one scan, and those asked to give way for one newcomer: each may turn out to have a request
#: that has to be answered.
_BATCH = 256
_ASKED = 8

#: How a client's claim to its place compares with that of others: the lowest goes first.
Claim = tuple[int, float]


class Occupant(Protocol):
    """Who has a place."""

    def claim(self) -> Claim | None:
        """Return 0 or 1, and since when the connection waits for its client. None if it must not be closed now."""

    def give_way(self) -> bool:
        """Close, unless a request turns out to have arrived. Return whether it has been closed."""


def allowed_places(wanted: int | None) -> int:
    """Return how many places there are: as many as wanted, or as the process may open, less a reserve."""
    most = DEFAULT_PLACES if wanted is None else wanted
    allowed = _descriptors() - RESERVE
    if allowed >= most:
        return most
    allowed = max(allowed, 1)
    level = logging.INFO if wanted is None else logging.WARNING
    logger.log(level, "max_connections is %d instead of %d: this process may open %d files (see `ulimit -n`)",
               allowed, most, allowed + RESERVE)
    return allowed


def _descriptors() -> int:
    """Return how many files this process may open."""
    try:
        import resource
    except ImportError:  # not a Unix
        return 1 << 30
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


class Places:
    """The places of a server.

    Args:
        most: how many there are.
        most_per_client: how many of them one client may have; None for all.
        occupants: who has one. Kept up to date by whoever passes it.
    """

    def __init__(self, most: int, most_per_client: int | None, occupants: Collection[Occupant]) -> None:
        self.most = most
        self._most_per_client = most_per_client
        self._occupants = occupants
        self._clients = Counter[str | bytes]()
        self._candidates: list[tuple[Claim, Occupant]] = []  # the last one goes first
        self._look_again = 0.0

    def is_full(self) -> bool:
        """Return whether one more needs somebody to make room."""
        return len(self._occupants) >= self.most

    def has_room(self, now: float) -> bool:
        """Return whether one more may come, perhaps because somebody may be closed for it."""
        return not self.is_full() or self._has_candidate(now)

    def make_room(self, now: float) -> bool:
        """Close the connection that has waited for its client the longest. Return False if none may be closed."""
        for _ in range(_ASKED):
            if not self._has_candidate(now):
                break
            _, occupant = self._candidates.pop()
            if occupant.give_way():
                return True
        return False

    def _has_candidate(self, now: float) -> bool:
        """Return whether the last of the candidates may be closed."""
        self._drop_stale()
        if not self._candidates and now >= self._look_again:
            self._look_out(now)
        return bool(self._candidates)

    def _drop_stale(self) -> None:
        """Drop the last of the candidates for as long as they have ceased to wait, or wait for something else."""
        while self._candidates:
            claim, occupant = self._candidates[-1]
            if occupant.claim() == claim:
                return
            self._candidates.pop()

    def _look_out(self, now: float) -> None:
        oldest = now - LEAST_AGE
        claims = ((claim, id(each), each) for each in self._occupants
                  if (claim := each.claim()) is not None and claim[1] <= oldest)
        self._candidates = [(claim, each) for claim, _, each in heapq.nsmallest(_BATCH, claims)]
        self._candidates.reverse()
        if not self._candidates:
            self._look_again = now + LOOK_AGAIN

    # Clients

    def admit(self, address: str) -> bool:
        """Count one more connection of a client. Return False if it has as many as it may have."""
        if self._most_per_client is None or not address:
            return True
        key = network_of(address)
        if self._clients[key] >= self._most_per_client:
            return False
        self._clients[key] += 1
        return True

    def dismiss(self, address: str) -> None:
        """Count one connection less of a client that was admitted."""
        if self._most_per_client is None or not address:
            return
        key = network_of(address)
        self._clients[key] -= 1
        if not self._clients[key]:
            del self._clients[key]
