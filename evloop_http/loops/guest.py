"""What a reactor is in every host that calls back: a descriptor that is watched, and a timer.

It knows the reactor, and no host. A host's module gives it two verbs, each of which returns its own undoing:
`_watch` (call `_on_ready` while the descriptor is readable) and `_call_later` (call `_on_due` once).

What every host gets wrong if it is done simply, and where it is done here:

*The timer is not set anew at every turn.* Deadlines of a server move with each request, and nearly always to a later
time. A timer that rings too early costs one idle turn; one that is set anew with every turn costs each of them. So it
is moved for an earlier deadline only.

*A handler may run the host's loop.* A dialog in Tk, `exec` in Qt, `iteration` in GLib: they return when the user has
answered, and until then the host calls back while the reactor is in the middle of a turn. A turn in a turn is
impossible, and the descriptor stays readable, so the host would call back without end. It is not watched until the
turn that is under way has ended.

*A host may know no descriptors* (Tk and asyncio's proactor on Windows), *or the reactor may have none* (`select` and
`poll` have no descriptor of their own). Then the reactor looks a hundred times a second, and a warning says so.

*Hosts forget.* Several of them keep only weak references to what they call, so whoever is attached is kept here.
"""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from ..net.reactor import Reactor
from ..net.timers import NEVER

logger = logging.getLogger("evloop_http.loops")

#: Seconds between two looks where nothing tells that there is work: the shortest that costs an idle machine little.
TICK = 0.01
#: Seconds by which a deadline must be earlier for the timer to be moved. Most hosts count in milliseconds.
_EARLIER = 0.001

Undo = Callable[[], object]


class Stoppable(Protocol):
    """What a host must know of a server: that it stops."""

    @property
    def reactor(self) -> Reactor: ...
    def start_up(self) -> Awaitable[None]: ...
    def stop(self, grace: float = ...) -> None: ...
    def wait_stopped(self, timeout: float | None = ...) -> bool: ...
    def call_when_stopped(self, callback: Callable[[], object]) -> None: ...
    def close(self) -> None: ...


class State(enum.Enum):
    """What a guest is doing."""

    WAITING = "waiting"  # for its host to call
    TURNING = "turning"
    REENTERED = "re-entered"  # turning, and the host's loop runs inside the turn; the descriptor is not watched
    DETACHED = "detached"


#: Who has a host, and what lives there: so that no reactor has two, and no host forgets its guest.
_hosted: dict[Reactor, object] = {}


def move_in(reactor: Reactor, guest: object) -> int | None:
    """Note that a reactor lives in a host now. Return its descriptor, or None if its selector has none.

    Raises:
        RuntimeError: the reactor is closed, or lives in a host already.
    """
    if reactor in _hosted:
        raise RuntimeError(f"the reactor has a host already: {_hosted[reactor]!r}")
    try:
        descriptor = reactor.fileno()
    except ValueError:
        raise RuntimeError("the reactor is closed") from None
    except RuntimeError:
        descriptor = None
    _hosted[reactor] = guest
    return descriptor


def move_out(reactor: Reactor) -> None:
    """Note that a reactor has no host any more."""
    del _hosted[reactor]


def tick(seconds: float | None) -> float:
    """Return how long a host may sleep that cannot watch a descriptor, if a reactor has `seconds` (None: for ever)."""
    return TICK if seconds is None else min(seconds, TICK)


def warn_of_ticking(why: str) -> None:
    logger.warning("%s: the reactor looks for work every %d ms", why, TICK * 1000)


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, rounded up: a timer that rings too early would ring again and again."""
    return math.ceil(seconds * 1000)


class Guest:
    """A reactor that lives in the loop of a host, from now until `detach`. In the thread of that loop.

    Raises:
        RuntimeError: the reactor is closed, or has a host already.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self._state = State.WAITING
        self._deadline = NEVER  # when the host's timer rings, in seconds of the reactor's clock
        self._cancel_timer: Undo = _nothing
        self._unwatch: Undo = _nothing
        self._endings: list[Callable[[], object]] = []
        self._descriptor = move_in(reactor, self)
        if self._descriptor is None:
            warn_of_ticking("the selector of this platform has no descriptor")
        self._watch_again()
        self._arm()

    def __repr__(self) -> str:
        return f"<{type(self).__module__} {self._state.value}: {self.reactor!r}>"

    @property
    def attached(self) -> bool:
        """Whether the reactor still lives in this host."""
        return self._state is not State.DETACHED

    # What a host gives

    def _watch(self, descriptor: int) -> Undo:
        """Call `_on_ready` while the descriptor is readable. Return what ends it.

        Raises:
            NotImplementedError: the host knows no descriptors.
        """
        raise NotImplementedError

    def _call_later(self, seconds: float) -> Undo:
        """Call `_on_due` once. Return what cancels it."""
        raise NotImplementedError

    # What it calls

    def _on_ready(self) -> None:
        self._turn()

    def _on_due(self) -> None:
        self._deadline = NEVER
        self._cancel_timer = _nothing
        self._turn()

    # Turns

    def _turn(self) -> None:
        if self._state is State.TURNING:
            self._state = State.REENTERED
            self._unwatch_now()
        if self._state is not State.WAITING:
            return
        self._state = State.TURNING
        try:
            self.reactor.poll(0)
        except RuntimeError:  # closed under our feet: once is enough to say so
            self.detach()
            raise
        finally:
            self._settle()

    def _settle(self) -> None:
        """After a turn: watch again, set the timer, end what has stopped in it."""
        if self._state is not State.DETACHED:
            if self._state is State.REENTERED:
                self._watch_again()
            self._state = State.WAITING
            self._arm()
        while self._endings:
            self._endings.pop(0)()

    def _watch_again(self) -> None:
        if self._descriptor is not None:
            try:
                self._unwatch = self._watch(self._descriptor)
            except NotImplementedError:
                self._descriptor = None
                warn_of_ticking("this host cannot watch descriptors")

    def _unwatch_now(self) -> None:
        unwatch, self._unwatch = self._unwatch, _nothing
        unwatch()

    def _arm(self) -> None:
        seconds = self.reactor.next_timeout()
        if self._descriptor is None:
            seconds = tick(seconds)
        if seconds is None:
            return  # a timer that is still set costs one idle turn
        deadline = self.reactor.time() + seconds
        if deadline < self._deadline - _EARLIER:
            self._cancel_timer()
            self._deadline = deadline
            self._cancel_timer = self._call_later(seconds)

    # The end

    def stop(self, server: Stoppable, grace: float = 10.0, then: Callable[[], object] | None = None) -> None:
        """Stop a server that lives on this reactor, gently, and return at once. The host's loop must go on.

        It does what `Server.stop` does. The guest remains attached, for the reactor may have other uses.

        Args:
            grace: seconds, then what is in flight is closed.
            then: called in the thread of the host, between two turns, when the server has stopped: it may detach the
                guest, close the server, and end the host's loop.
        """
        if then is not None:
            server.call_when_stopped(partial(self._end, then))
        server.stop(grace)

    def _end(self, then: Callable[[], object]) -> None:
        if self._state in (State.TURNING, State.REENTERED):
            self._endings.append(then)
        else:
            then()

    def detach(self) -> None:
        """Leave the host: it watches nothing more. The reactor remains, and what is registered there. Do it twice
        or in a callback of the reactor if you like, but before the reactor is closed.
        """
        if self._state is State.DETACHED:
            return
        self._state = State.DETACHED
        move_out(self.reactor)
        self._unwatch_now()
        self._cancel_timer()


def _nothing() -> None:
    """Undo nothing."""
