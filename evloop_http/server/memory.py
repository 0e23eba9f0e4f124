"""What requests and responses hold in memory, over all connections, and who gives way when it is too much.

A bound for each connection does not bound all of them together: a thousand bodies of 10 MiB are 10 GiB. So what is
held is counted (`Limits.gathered`): bodies while they are gathered and while their handler is at work, and responses
that wait for their clients. Beyond the bound, the newest request whose body is still arriving is refused with 503 and
`Retry-After`, and no new one is begun; what came first is finished first.

Only bodies that are still being gathered give way, and only they are held to the bound. A body that arrives with its
head is small and is handled at once. What an application answers is the application's to bound: responses that wait
for slow readers are not refused; but they count, so uploads are refused before both together take all memory.
"""

from __future__ import annotations

from typing import Protocol


class Gatherer(Protocol):
    """Who gathers a body."""

    def give_way(self) -> None:
        """Let go of what has been gathered, soon: it counts no longer."""


class Memory:
    """The account of a server.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: bytes held now
        self.held = 0
        self._gathering: dict[Gatherer, int] = {}  # in the order in which they began

    def is_full(self) -> bool:
        """Return whether no body should be begun."""
        return self.held >= self._limit

    def gather(self, gatherer: Gatherer, size: int) -> None:
        """Count `size` bytes more of a body that is being gathered. Whoever began last gives way, if it is too much."""
        gathering = self._gathering
        gathering[gatherer] = gathering.get(gatherer, 0) + size
        self.held += size
        while self.held > self._limit and gathering:
            newest, held = gathering.popitem()
            self.held -= held
            newest.give_way()

    def settle(self, gatherer: Gatherer) -> int:
        """Return how many bytes a gatherer holds, which gives way no longer. They count until `release`."""
        return self._gathering.pop(gatherer, 0)

    def keep(self, size: int) -> None:
        """Count bytes that do not give way."""
        self.held += size

    def release(self, size: int) -> None:
        """Count bytes no longer."""
        self.held -= size
