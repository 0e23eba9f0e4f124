"""Deadlines on a heap, moved lazily.

A server moves its deadlines far more often than it meets them: a connection's is rewritten at
every request and met once in its life. So moving one to a later time writes a number and leaves
the heap alone. When the old entry comes to the surface, it sees the newer number and is filed
again. Only a move to an *earlier* time than the filed one costs a push, and that at most once in
the time of the shorter deadline.

A cancelled timer lets go of its callback at once and of its place in the heap when that comes to
the surface, or when such entries are the most of the heap: then it is built anew.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

NEVER = math.inf
_COMPACT_FROM = 64


def _nothing() -> None:
    """The callback of a cancelled timer."""


class Timer:
    """A callback and the time it is due at, in seconds of the reactor's clock; `NEVER` is allowed."""

    __slots__ = ("_queue", "callback", "deadline", "filed")

    def __init__(self, queue: TimerQueue, callback: Callable[[], Any], deadline: float = NEVER) -> None:
        self._queue = queue
        self.filed = NEVER
        self.callback = callback
        self.deadline = NEVER
        self.move(deadline)

    @property
    def active(self) -> bool:
        """Whether it is going to fire."""
        return self.deadline < NEVER

    def move(self, deadline: float) -> None:
        """Be due at `deadline` instead."""
        self.deadline = deadline
        if deadline < self.filed:
            self._queue.file(self)

    def cancel(self) -> None:
        """Never fire, for good. May be called twice, and after firing."""
        self.deadline = NEVER
        self.callback = _nothing
        if self.filed < NEVER:
            self._queue.note_dead()

    def __repr__(self) -> str:
        return f"<Timer at {self.deadline:.3f}>" if self.active else "<Timer, not set>"


class TimerQueue:
    """Timers in the order of their deadlines; of equal ones the first set is the first due."""

    def __init__(self, on_earlier: Callable[[], Any] = _nothing) -> None:
        #: called when a timer is due before all others
        self._on_earlier = on_earlier
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._dead = 0

    def __len__(self) -> int:
        """How many timers are set."""
        return len({id(timer) for _, _, timer in self._heap if timer.active})

    def file(self, timer: Timer) -> None:
        """Enter `timer` under its deadline. An entry that it has already is dead from now on."""
        superseded = timer.filed < NEVER
        timer.filed = timer.deadline
        heapq.heappush(self._heap, (timer.deadline, next(self._numbers), timer))
        if self._heap[0][2] is timer:
            self._on_earlier()
        if superseded:
            self.note_dead()

    def next_deadline(self) -> float:
        """When to look again; `NEVER` if no timer is set. May be early, where a timer was moved."""
        heap = self._heap
        while heap:
            filed, _, timer = heap[0]
            if filed == timer.filed and timer.active:
                return filed
            self._drop_first()
        return NEVER

    def mark(self) -> int:
        """A mark between the timers filed so far and those filed from now on, for `pop_due`."""
        return next(self._numbers)

    def pop_due(self, now: float, mark: int) -> Timer | None:
        """Take out the first timer due at `now`; None if there is none, or if it was filed after `mark`.

        One at a time, because its callback may cancel or move the next; up to a mark, because a
        callback that sets a timer of no seconds would otherwise be called for ever.
        """
        heap = self._heap
        while heap and heap[0][0] <= now and heap[0][1] < mark:
            filed, number, timer = heap[0]
            if filed == timer.filed and filed < timer.deadline < NEVER:
                # Filed again where it belongs, under its old number: it is due this turn, if it is due.
                timer.filed = timer.deadline
                heapq.heapreplace(heap, (timer.deadline, number, timer))
                continue
            self._drop_first()
            if timer.filed == NEVER and timer.active:
                timer.deadline = NEVER
                return timer
        return None

    def note_dead(self) -> None:
        """One more entry in the heap is dead; build it anew when most are."""
        self._dead += 1
        if self._dead > _COMPACT_FROM and self._dead > len(self._heap) // 2:
            self._compact()

    def _drop_first(self) -> None:
        filed, _, timer = heapq.heappop(self._heap)
        if filed == timer.filed:
            timer.filed = NEVER
            if timer.callback is not _nothing:
                return
        self._dead -= 1

    def _compact(self) -> None:
        kept = []
        for entry in self._heap:
            filed, _, timer = entry
            if filed == timer.filed:
                if timer.active:
                    kept.append(entry)
                else:
                    timer.filed = NEVER
        heapq.heapify(kept)
        self._heap = kept
        self._dead = 0
