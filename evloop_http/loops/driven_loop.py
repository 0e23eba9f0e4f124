"""An asyncio event loop whose turns are taken by whoever takes those of the reactor.

A game or a window calls `reactor.poll` itself, and its handlers may still want to start tasks. With a `DrivenLoop`,
every `poll` is also exactly one turn of asyncio: its `run_forever`, stopped from its own `select`.

A host that sleeps elsewhere must know when asyncio wants its next turn, which asyncio tells nobody but its selector. So
that moment is a timer of the reactor's, which `call_soon` and `call_at` move forward. After each turn in which
something was due, there is one more that only asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from selectors import SelectorKey
from typing import TypeVarTuple

from ..net.reactor import Reactor
from ..net.timers import NEVER
from .one_loop import Loop, SharedSelector

Ts = TypeVarTuple("Ts")


class _DrivenSelector(SharedSelector):
    """A selector that asks its loop how long to sleep."""

    def __init__(self, reactor: Reactor, before_sleep: Callable[[float | None], float | None]) -> None:
        super().__init__(reactor)
        self._before_sleep = before_sleep

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Take a turn of the reactor, and return what is ready of the descriptors that are registered here."""
        return super().select(self._before_sleep(timeout))


class DrivenLoop(Loop):
    """A loop that whoever runs the reactor runs with it, until it is closed.

        with DrivenLoop(reactor) as loop:
            loop.create_task(something())
            while playing:
                draw_a_frame()
                reactor.poll(0)             # a turn of the reactor, and one of asyncio

    `poll` and `run`, and with them `Server.run`, take one turn of asyncio for each turn of the reactor. In handlers and
    callbacks `asyncio.get_running_loop()` is this loop. `next_timeout` and `fileno` are right for both sides. What
    `poll` returns counts asyncio's descriptors, and one more if a task or a timer was due.

    It may also be run as every loop, with `run_until_complete`. A program that asyncio runs needs a `Loop` only.

    Raises:
        RuntimeError: the reactor has such a loop already.
    """

    def __init__(self, reactor: Reactor | None = None) -> None:
        self._is_driven = False  # now: not by `run_until_complete`, for instance
        self._limit: float | None = None
        super().__init__(reactor)
        if self.reactor.driver is not None:  # asked last: a loop that was not made to its end cannot be closed
            super().close()
            raise RuntimeError("this reactor drives a loop already; close that one first")
        self._due = self.reactor.call_at(self.reactor.now, self._stay_due)
        self.reactor.driver = self._take_turn

    def _make_selector(self) -> SharedSelector:
        self._shared = _DrivenSelector(self.reactor, self._before_sleep)
        return self._shared

    def run_forever(self) -> None:
        """Run until `stop`; between turns of the reactor.

        Raises:
            RuntimeError: as with every `Loop`.
        """
        driver, self.reactor.driver = self.reactor.driver, None
        try:
            super().run_forever()
        finally:
            self.reactor.driver = driver

    def _take_turn(self, timeout: float | None) -> int:
        """Take one turn of asyncio, and in it one of the reactor. Sleep for at most `timeout` seconds."""
        self._is_driven, self._limit = True, timeout
        try:
            self.run_forever()
        finally:
            self._is_driven = False
        return self._shared.count

    def _before_sleep(self, timeout: float | None) -> float | None:
        """Return how long to sleep, in seconds, where asyncio would for `timeout`."""
        self._note(timeout)
        if not self._is_driven:
            return timeout
        self.stop()  # after this turn
        return self._limit if timeout is None or (self._limit is not None and self._limit < timeout) else timeout

    # When asyncio wants its next turn

    def _note(self, timeout: float | None) -> None:
        """Note when asyncio wants its next turn, in `timeout` seconds, if nothing is scheduled meanwhile."""
        if timeout == 0:
            self._be_due(self.reactor.now)
        elif timeout is not None or self._due.active:
            # A new timer: one that is moved to a later time may still end a sleep at the earlier one.
            self._due.cancel()
            self._due = self.reactor.timer(self._stay_due)
            self._due.move(NEVER if timeout is None else self.time() + timeout)

    def _be_due(self, deadline: float) -> None:
        if deadline < self._due.deadline:
            self._due.move(deadline)

    def _stay_due(self) -> None:
        # When it wants the turn after this one is known only when it asks for that.
        self._due.move(self.reactor.now)

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts,
                  context: Context | None = None) -> asyncio.Handle:
        """Have the loop call back in its next turn."""
        self._be_due(self.reactor.now)
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts,
                context: Context | None = None) -> asyncio.TimerHandle:
        """Have the loop call back at a time of its clock, in seconds."""
        self._be_due(when)
        return super().call_at(when, callback, *args, context=context)

    def close(self) -> None:
        """Close the loop, and the reactor if the loop has made it. From then on the reactor turns alone.

        Raises:
            RuntimeError: the loop runs.
        """
        super().close()
        self._due.cancel()
        self.reactor.driver = None
