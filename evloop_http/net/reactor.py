"""One selector, one loop: who is ready is told, whose time has come is told, and round again.

A turn (`poll`) is the whole of it: sleep until a descriptor is ready, a deadline comes or
somebody wakes us; call back for the descriptors; call back for the deadlines; run what was
scheduled. It can be run from here (`run`, or `poll_until` a moment), or from another loop, turn by turn: `fileno`
becomes readable when a descriptor is ready, `next_timeout` says how long one may sleep. Or another loop sleeps in our
turns (`evloop_http.loops.one_loop`), and may even have its own turns taken with them (`driver`).

What every reactor must get right, and where it is done here:

*The batch goes stale.* `select` hands out a list, and a callback may close a socket further down
in it; an accept in the same turn may even get its number. So every change to a registration
notes its descriptor, and the rest of the batch passes over the noted ones. Nothing is lost by it:
the selector is level-triggered and reports again next turn what still holds.

*A loop has one thread.* Everything here is called by the thread that runs it, save `stop` and
`call_soon_threadsafe`. Which thread that is does not matter and may change between turns.

*Many deadlines may come at once*, and many callbacks be scheduled: nine thousand connections that expire together, an
event for as many listeners. Each of the two has a few milliseconds of a turn; the rest has its place in the next one,
in order, after the descriptors that are ready by then.

*No callback ends the loop.* An exception is logged and the loop goes on; `KeyboardInterrupt` and
its like pass through `poll` and `run`, and leave the reactor fit to be run again.
"""

from __future__ import annotations

import functools
import logging
import selectors
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol

from .timers import NEVER, Timer, TimerQueue
from .wakeup import Signals, Waker

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

logger = logging.getLogger("evloop_http.net")

#: Seconds of a turn for the deadlines that have come, and again for what was scheduled.
_SHARE = 0.005
#: Seconds of one sleep: the kernel takes no more than some weeks, and an early turn does no harm.
_LONGEST_SLEEP = 3600.0


class HasFileno(Protocol):
    def fileno(self) -> int: ...


FileDescriptor = int | HasFileno
#: Called with the events, READ, WRITE or both, that the descriptor is ready for.
ReadyCallback = Callable[[int], Any]


class Reactor:
    """A loop over descriptors, deadlines and scheduled calls. Several may live in a process.

    Args:
        clock: seconds from any origin that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: the time at which this turn began to call back, in seconds of the clock
        self.now = clock()
        #: how many turns there have been
        self.turn = 0
        #: Called by `poll` with its timeout, in its place: another loop, of which our turns are a part. It polls once,
        #: without a driver, and returns what that returned.
        self.driver: Callable[[float | None], int] | None = None
        self._selector = selectors.DefaultSelector()
        self._timers = TimerQueue(self._wake_sleeper)
        self._scheduled: deque[Callable[[], Any]] = deque()
        self._changed: set[int] = set()
        self._awake = False
        # Whether somebody may sleep, so that what is scheduled has to wake them. It is written before it is looked
        # whether anything is scheduled, and read after something was: one of the two sides always sees the other's.
        self._asleep = True
        self._home = 0  # the thread of the latest turn
        self._stopping = False
        self._closed = False
        self._woken = False
        self._waker = Waker()
        self._signals = Signals(self._waker, self.call_soon_threadsafe)
        self._selector.register(self._waker, READ, self._on_wake)

    def __repr__(self) -> str:
        if self._closed:
            return "<Reactor closed>"
        return f"<Reactor turn {self.turn}: {self.registrations} descriptors, {len(self._timers)} timers>"

    # Descriptors

    @property
    def registrations(self) -> int:
        """How many descriptors are registered, our own not counted."""
        return 0 if self._closed else len(self._selector.get_map()) - 1

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return len(self._timers)

    def register(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        """Call `callback(events)` whenever `descriptor` is ready for any of `events` (READ, WRITE or both).

        Raises:
            KeyError: it is registered already.
            ValueError: it is closed, or `events` is nothing.
        """
        self._changed.add(self._selector.register(descriptor, events, callback).fd)

    def modify(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        """Change what a registered descriptor is watched for.

        No events at all is an error here: a selector reports a reset even of a descriptor that
        nobody asks about, again and again. Unregister it instead.
        """
        if not events:
            raise ValueError("a descriptor that is watched for nothing must be unregistered")
        self._changed.add(self._selector.modify(descriptor, events, callback).fd)

    def unregister(self, descriptor: FileDescriptor) -> None:
        """Watch it no more. To be called before it is closed.

        Raises:
            KeyError: it is not registered. (Not after `close`: nothing is registered then, and it does nothing.)
        """
        if not self._closed:
            self._changed.add(self._selector.unregister(descriptor).fd)

    # Time

    def time(self) -> float:
        """The clock, read anew; `now` is the same within a turn and costs nothing."""
        return self._clock()

    def timer(self, callback: Callable[[], Any]) -> Timer:
        """A timer that is not set yet: `Timer.move` sets it, again and again."""
        return Timer(self._timers, callback)

    def call_at(self, deadline: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back when the clock shows `deadline` seconds; one that is past is now."""
        callback = functools.partial(callback, *args) if args else callback
        return Timer(self._timers, callback, max(deadline, self._clock()))

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back in `seconds`."""
        return self.call_at(self._clock() + seconds, callback, *args)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back before the loop sleeps again, and not before this callback returns."""
        self._scheduled.append(functools.partial(callback, *args) if args else callback)
        if self._asleep:
            self._waker.wake()

    def _wake_sleeper(self) -> None:
        """Make `fileno` readable where a host may sleep on it in its own loop: between turns, that is."""
        if self._asleep:
            self._waker.wake()

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        """`call_soon` from any thread or signal handler; wakes the loop if it sleeps. After `close` it does nothing."""
        self.call_soon(callback, *args)

    def on_signal(self, number: int, callback: Callable[[], Any] | None,
                  at_once: Callable[[int], Any] | None = None) -> Callable[[], Any] | None:
        """Have the loop call back when a signal comes; None puts back what handled it before the loop did.

        Args:
            at_once: also called with the number of the signal, in the handler itself: even if the loop does not
                answer. It interrupts whatever the main thread does, so it must not wait, lock or print.

        Returns:
            The callback that this one takes the place of, to be put back when one is through.

        Raises:
            RuntimeError: not in the main thread.
        """
        if callback is not None:
            return self._signals.on(number, callback, at_once)
        self._signals.off(number)
        return None

    def retake_signals(self) -> None:
        """Have signals wake the loop again, if any are on, after somebody else has called `signal.set_wakeup_fd(-1)`.

        Raises:
            ValueError: not in the main thread.
        """
        self._signals.retake()

    # Turns

    @property
    def awake(self) -> bool:
        """Whether a turn is under way, so that nobody else may poll, and nobody need be woken.

        It is ours, or that of another loop which sleeps nowhere but in `poll`, and sets this while it runs.
        """
        return self._awake

    @awake.setter
    def awake(self, awake: bool) -> None:
        self._awake = awake
        self._asleep = not awake

    def is_here(self) -> bool:
        """Return whether the calling thread is the loop's: the one of the latest turn."""
        return self._home == get_ident()

    def run(self) -> None:
        """Turn until `stop`.

        Raises:
            RuntimeError: it is closed, or a callback of its own calls it.
        """
        try:
            while not self._stopping:
                self.poll()
        finally:
            self._stopping = False

    def stop(self) -> None:
        """Make `run` return after this turn. From any thread; before `run` it makes the next one return at once."""
        self._stopping = True
        self._waker.wake()

    def fileno(self) -> int:
        """The selector's descriptor, for another selector to watch: readable when a turn has work.

        Raises:
            RuntimeError: this platform's selector has none.
        """
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise RuntimeError(f"{type(self._selector).__name__} has no descriptor of its own; call poll() instead")
        return int(fileno())

    def next_timeout(self) -> float | None:
        """Seconds that one may sleep, if no descriptor becomes ready, before the next turn; None for ever."""
        if self._scheduled:
            return 0.0
        deadline = self._timers.next_deadline()
        return None if deadline == NEVER else min(max(0.0, deadline - self._clock()), _LONGEST_SLEEP)

    def poll(self, timeout: float | None = None) -> int:
        """One turn. Sleeps for at most `timeout` seconds (None: as long as nothing happens; 0: not at all).

        Returns:
            How much there was to do: events, deadlines and scheduled calls.

        Raises:
            RuntimeError: the reactor is closed, or a callback of its own calls this, or one of a loop that takes its
                turns (a coroutine, for instance).
        """
        if self._closed:
            raise RuntimeError("the reactor is closed")
        if self._awake:
            raise RuntimeError("poll() was called from a callback of its own, or of a loop that takes its turns")
        if self.driver is not None:
            return self.driver(timeout)
        self._asleep = True
        until = self.next_timeout()
        if timeout is None or (until is not None and until < timeout):
            timeout = until
        if timeout is not None:
            timeout = min(timeout, _LONGEST_SLEEP)
        self._awake = True
        self._home = get_ident()
        try:
            ready = self._selector.select(timeout)
            self._asleep = False
            self.now = self._clock()
            self.turn += 1
            return self._dispatch(ready) + self._fire_timers() + self._run_scheduled()
        finally:
            self._awake = False
            self._asleep = True

    def poll_until(self, deadline: float) -> int:
        """Take turns until the clock (`time()`) shows `deadline` seconds, and sleep while there is nothing to do.

        For a host with a loop of its own, such as a game: it serves in what is left of a frame. There is always one
        turn, even if the deadline is past, so that a host that is late with every frame still serves. A turn that has
        begun is finished, and a sleep may end a millisecond late, because `epoll` counts in whole ones.

        `stop` ends it early, as it ends `run`.

        Returns:
            How much there was to do, as `poll` counts it.

        Raises:
            RuntimeError: the reactor is closed, or a callback of its own calls this.
        """
        done = 0
        try:
            while not self._stopping:
                done += self.poll(max(0.0, deadline - self._clock()))
                if self._clock() >= deadline:
                    break
            return done
        finally:
            self._stopping = False

    def _dispatch(self, ready: list[tuple[selectors.SelectorKey, int]]) -> int:
        changed = self._changed
        changed.clear()
        for key, events in ready:
            if changed and key.fd in changed:
                continue
            try:
                key.data(events)
            except Exception:
                self._log_failure(key.data)
        woken, self._woken = self._woken, False
        return len(ready) - woken  # that somebody woke us is not work

    def _fire_timers(self) -> int:
        mark = self._timers.mark()
        timer = self._timers.pop_due(self.now, mark)
        if timer is None:
            return 0
        count = 0
        end = self._clock() + _SHARE
        while timer is not None:
            count += 1
            try:
                timer.callback()
            except Exception:
                self._log_failure(timer.callback)
            timer = self._timers.pop_due(self.now, mark) if self._clock() <= end else None
        return count

    def _run_scheduled(self) -> int:
        # Only what is there now: a callback that schedules itself must not keep the selector waiting.
        most = len(self._scheduled)
        if not most:
            return 0
        count = 0
        end = self._clock() + _SHARE
        while count < most:
            count += 1
            callback = self._scheduled.popleft()
            try:
                callback()
            except Exception:
                self._log_failure(callback)
            if self._clock() > end:
                break
        return count

    def _on_wake(self, events: int) -> None:
        self._woken = True
        self._waker.drain()

    def _log_failure(self, callback: Callable[..., Any]) -> None:
        logger.exception("a callback failed: %r; the loop goes on", callback)

    def close(self) -> None:
        """Give every descriptor back and every signal handler. What is still registered is not closed.

        Raises:
            RuntimeError: a callback of its own calls this, or signals are on and this is not the main thread.
        """
        if self.awake:
            raise RuntimeError("close() was called from a callback of its own; call stop() and close it after run()")
        if not self._closed:
            self._signals.close()
            self._closed = True
            self._selector.close()
            self._waker.close()
            self._scheduled.clear()
