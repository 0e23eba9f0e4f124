"""One selector, one loop: descriptors, deadlines and scheduled calls, driven from here or from elsewhere."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import select
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import pytest

from evloop_http.net.reactor import READ, WRITE, Reactor
from evloop_http.net.timers import NEVER

#: What a test waits for something that is certain to come, in seconds; passing takes microseconds.
PATIENCE = 10.0

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc/self/fd")


class FakeClock:
    """A clock whose hands are turned by the test."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reactor(clock: FakeClock) -> Iterator[Reactor]:
    reactor = Reactor(clock)
    yield reactor
    reactor.close()


@pytest.fixture
def live_reactor() -> Iterator[Reactor]:
    """One with the real clock."""
    reactor = Reactor()
    yield reactor
    reactor.close()


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def new_pair() -> Iterator[Callable[[], Pair]]:
    """Makes pairs of connected sockets; closes what the test has not."""
    made: list[socket.socket] = []

    def new_pair() -> Pair:
        pair = socket.socketpair()
        for sock in pair:
            sock.setblocking(False)
        made.extend(pair)
        return pair

    yield new_pair
    for sock in made:
        sock.close()


@pytest.fixture
def pair(new_pair: Callable[[], Pair]) -> Pair:
    return new_pair()


def turn_until(reactor: Reactor, is_done: Callable[[], object]) -> None:
    while not is_done():
        assert reactor.poll(PATIENCE), "nothing happens any more"


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def start(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def raised_in_a_thread(function: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    join(start(call))
    return raised[0] if raised else None


# -- descriptors


def test_a_readable_descriptor_is_called_back_with_read(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    reactor.register(pair[0], READ, calls.append)
    assert reactor.poll(0) == 0
    pair[1].send(b"x")
    assert reactor.poll(0) == 1
    assert calls == [READ]


def test_a_descriptor_ready_for_both_is_called_back_once_with_both(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    reactor.register(pair[0], READ | WRITE, calls.append)
    pair[1].send(b"x")
    reactor.poll(0)
    assert calls == [READ | WRITE]


def test_what_is_not_taken_is_reported_again(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    reactor.register(pair[0], READ, calls.append)
    pair[1].send(b"x")
    for _ in range(3):
        reactor.poll(0)
    assert calls == [READ] * 3


def test_a_number_may_be_registered_in_place_of_a_socket(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    reactor.register(pair[0].fileno(), READ, calls.append)
    pair[1].send(b"x")
    reactor.poll(0)
    reactor.unregister(pair[0])
    assert calls == [READ]


def test_modify_changes_events_and_callback(reactor: Reactor, pair: Pair) -> None:
    before: list[int] = []
    after: list[int] = []
    reactor.register(pair[0], READ, before.append)
    reactor.modify(pair[0], WRITE, after.append)
    pair[1].send(b"x")
    reactor.poll(0)
    assert (before, after) == ([], [WRITE])


def test_an_unregistered_descriptor_is_not_called_back(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    reactor.register(pair[0], READ, calls.append)
    pair[1].send(b"x")
    reactor.unregister(pair[0])
    assert reactor.poll(0) == 0
    assert (calls, reactor.registrations) == ([], 0)


def test_registrations_counts_the_users_descriptors_only(reactor: Reactor, pair: Pair) -> None:
    assert reactor.registrations == 0
    reactor.register(pair[0], READ, print)
    reactor.register(pair[1], READ, print)
    assert reactor.registrations == 2
    reactor.unregister(pair[0])
    assert reactor.registrations == 1


def test_registering_twice_is_refused(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, print)
    with pytest.raises(KeyError):
        reactor.register(pair[0], WRITE, print)


def test_registering_a_closed_descriptor_or_nothing_is_refused(reactor: Reactor, pair: Pair) -> None:
    with pytest.raises(ValueError, match="events"):
        reactor.register(pair[0], 0, print)
    pair[0].close()
    with pytest.raises(ValueError, match="descriptor"):
        reactor.register(pair[0], READ, print)


def test_watching_for_nothing_is_refused(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, print)
    with pytest.raises(ValueError, match="unregistered"):
        reactor.modify(pair[0], 0, print)


def test_what_is_not_registered_can_be_neither_modified_nor_unregistered(reactor: Reactor, pair: Pair) -> None:
    with pytest.raises(KeyError):
        reactor.modify(pair[0], READ, print)
    with pytest.raises(KeyError):
        reactor.unregister(pair[0])


# -- the stale batch


class Closer:
    """Two sockets that are ready in one batch; whichever is called first closes the other one."""

    def __init__(self, reactor: Reactor, new_pair: Callable[[], Pair], reuse: bool) -> None:
        self.reactor = reactor
        self.reuse = reuse
        self.called: list[socket.socket] = []
        self.called_anew: list[int] = []
        self.new, self.new_peer = new_pair()
        self.pairs = [new_pair(), new_pair()]
        (first, first_peer), (second, second_peer) = self.pairs
        reactor.register(first, READ, lambda events: self.close_other(first, second))
        reactor.register(second, READ, lambda events: self.close_other(second, first))
        first_peer.send(b"x")
        second_peer.send(b"x")

    def close_other(self, this: socket.socket, other: socket.socket) -> None:
        self.called.append(this)
        this.recv(100)
        if other.fileno() == -1:
            return
        number = other.fileno()
        self.reactor.unregister(other)
        other.close()
        if self.reuse:
            os.dup2(self.new.fileno(), number)
            self.new.close()
            self.new = socket.socket(fileno=number)
            self.reactor.register(self.new, READ, self.called_anew.append)


def test_a_socket_closed_by_an_earlier_callback_of_the_batch_is_passed_over(
        reactor: Reactor, new_pair: Callable[[], Pair]) -> None:
    closer = Closer(reactor, new_pair, reuse=False)
    reactor.poll(0)
    assert len(closer.called) == 1
    reactor.poll(0)
    assert len(closer.called) == 1


def test_a_new_socket_that_gets_the_number_of_a_closed_one_does_not_get_its_event(
        reactor: Reactor, new_pair: Callable[[], Pair]) -> None:
    closer = Closer(reactor, new_pair, reuse=True)
    reactor.poll(0)
    assert len(closer.called) == 1
    assert closer.called_anew == []
    closer.new_peer.send(b"x")
    reactor.poll(0)
    assert len(closer.called) == 1
    assert closer.called_anew == [READ]
    reactor.unregister(closer.new)
    closer.new.close()


def test_an_event_that_an_earlier_callback_of_the_batch_unasked_is_not_told(
        reactor: Reactor, new_pair: Callable[[], Pair]) -> None:
    """The first to be called asks for room instead of bytes on the other: its READ is stale then."""
    socks = [new_pair() for _ in range(2)]
    calls: list[tuple[int, int]] = []

    def callback_of(index: int) -> Callable[[int], None]:
        def callback(events: int) -> None:
            calls.append((index, events))
            if len(calls) == 1:
                reactor.modify(socks[1 - index][0], WRITE, callback_of(1 - index))
        return callback

    for index, (sock, peer) in enumerate(socks):
        reactor.register(sock, READ, callback_of(index))
        peer.send(b"x")
    reactor.poll(0)
    first = calls[0][0]
    assert calls == [(first, READ)]
    reactor.poll(0)
    assert sorted(calls[1:]) == sorted([(first, READ), (1 - first, WRITE)])


def test_a_descriptor_changed_before_the_turn_is_told_in_it(reactor: Reactor, pair: Pair) -> None:
    calls: list[int] = []
    pair[1].send(b"x")
    for _ in range(3):
        reactor.register(pair[0], READ, calls.append)
        reactor.poll(0)
        reactor.unregister(pair[0])
    assert calls == [READ] * 3


# -- deadlines


def test_call_later_calls_back_when_its_time_has_come(reactor: Reactor, clock: FakeClock) -> None:
    calls: list[str] = []
    reactor.call_later(5, calls.append, "late")
    reactor.call_at(clock.seconds + 2, calls.append, "early")
    clock.seconds += 1.9
    assert reactor.poll(0) == 0
    clock.seconds += 0.1
    assert reactor.poll(0) == 1
    clock.seconds += 10
    reactor.poll(0)
    assert calls == ["early", "late"]
    assert reactor.timers == 0


def test_a_cancelled_timer_is_not_called(reactor: Reactor, clock: FakeClock) -> None:
    calls: list[str] = []
    timer = reactor.call_later(1, calls.append, "never")
    assert reactor.timers == 1
    timer.cancel()
    clock.seconds += 2
    assert reactor.poll(0) == 0
    assert calls == []


def test_a_timer_is_set_by_moving_it(reactor: Reactor, clock: FakeClock) -> None:
    calls: list[float] = []
    timer = reactor.timer(lambda: calls.append(clock.seconds))
    assert (reactor.timers, reactor.next_timeout()) == (0, None)
    timer.move(clock.seconds + 3)
    clock.seconds += 3
    reactor.poll(0)
    timer.move(clock.seconds + 3)
    clock.seconds += 3
    reactor.poll(0)
    assert calls == [1003.0, 1006.0]


def test_a_timer_of_no_seconds_that_sets_itself_again_does_not_hold_up_the_turn(
        reactor: Reactor, pair: Pair) -> None:
    turns: list[int] = []
    ready: list[int] = []

    def again() -> None:
        turns.append(reactor.turn)
        reactor.call_later(0, again)

    again()
    reactor.register(pair[0], READ, ready.append)
    pair[1].send(b"x")
    for _ in range(3):
        reactor.poll()
    assert turns == [0, 1, 2, 3]
    assert ready == [READ] * 3


@pytest.mark.parametrize("how", ["timers", "scheduled"])
def test_thousands_that_are_due_together_share_turns_with_the_descriptors(
        reactor: Reactor, clock: FakeClock, pair: Pair, how: str) -> None:
    """Nine thousand connections may expire in one moment."""
    told: list[int | str] = []

    def take_time(number: int) -> None:
        told.append(number)
        clock.seconds += 0.001

    for number in range(100):
        (reactor.call_soon if how == "scheduled" else partial(reactor.call_later, 0))(take_time, number)
    pair[1].send(b"x")
    reactor.register(pair[0], READ, lambda events: told.append("read"))
    turns = 0
    while told.count(99) == 0:
        assert reactor.next_timeout() == 0
        reactor.poll(0)
        turns += 1
    assert [each for each in told if each != "read"] == list(range(100))
    assert told.count("read") == turns
    assert 100 // 7 <= turns <= 100 // 4


def test_a_poll_without_a_limit_sleeps_until_the_next_deadline(live_reactor: Reactor) -> None:
    calls: list[str] = []
    live_reactor.call_later(0.001, calls.append, "called")
    while not calls:
        live_reactor.poll()
    assert calls == ["called"]


def sleep_by(reactor: Reactor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Let the clock go on by what the reactor sleeps, if nothing is ready; return how long each sleep was to last."""
    sleeps: list[float | None] = []
    select = reactor._selector.select

    def sleep(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        sleeps.append(timeout)
        ready = select(0)
        if not ready:
            clock.seconds += timeout or 0
        return ready

    monkeypatch.setattr(reactor._selector, "select", sleep)
    return sleeps


def test_polling_until_a_deadline_turns_and_sleeps_until_then(
        reactor: Reactor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    for seconds in (1, 3, 5):
        reactor.call_later(seconds, lambda: calls.append(clock.seconds))
    reactor.poll(0)  # that they were set has woken it
    sleeps = sleep_by(reactor, clock, monkeypatch)
    assert reactor.poll_until(1004) == 2
    assert sleeps == [1, 2, 1]
    assert calls == [1001, 1003]
    assert clock.seconds == 1004
    assert reactor.poll_until(1005) == 1


def test_polling_until_a_deadline_that_is_past_is_one_turn_without_sleep(
        reactor: Reactor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    reactor.poll(0)
    sleeps = sleep_by(reactor, clock, monkeypatch)
    for deadline in (1000, 990):
        reactor.call_soon(calls.append, deadline)
        reactor.call_soon(reactor.call_soon, calls.append, -deadline)
        assert reactor.poll_until(deadline) >= 2
    assert calls == [1000, -1000, 990]
    assert sleeps == [0, 0]


def test_polling_until_a_deadline_finishes_its_turn_and_begins_no_other(reactor: Reactor, clock: FakeClock) -> None:
    calls: list[str] = []

    def slow() -> None:
        clock.seconds += 0.003
        calls.append("slow")
        reactor.call_soon(slow)

    reactor.call_soon(slow)
    reactor.call_soon(calls.append, "last of the turn")
    assert reactor.poll_until(1000.002) == 2
    assert calls == ["slow", "last of the turn"]


def test_polling_until_a_deadline_ends_when_it_is_stopped_as_run_does(reactor: Reactor) -> None:
    reactor.call_soon(reactor.stop)
    assert reactor.poll_until(NEVER) == 1
    reactor.stop()
    reactor.call_soon(fail)
    assert reactor.poll_until(NEVER) == 0  # stopped before it began: no turn
    reactor.call_soon(reactor.stop)
    reactor.run()  # and what ended it has ended nothing else
    assert reactor.turn == 2


def test_another_thread_ends_polling_until_a_deadline(live_reactor: Reactor) -> None:
    live_reactor.call_soon(start, live_reactor.stop)
    assert live_reactor.poll_until(NEVER) == 1


def test_now_and_turn_are_those_of_the_turn(reactor: Reactor, clock: FakeClock) -> None:
    seen: list[tuple[float, int]] = []
    clock.seconds += 7
    assert (reactor.now, reactor.time()) == (1000.0, 1007.0)
    for _ in range(2):
        reactor.call_soon(lambda: seen.append((reactor.now, reactor.turn)))
        reactor.poll(0)
        clock.seconds += 1
    assert seen == [(1007.0, 1), (1008.0, 2)]


# -- scheduled calls


def test_scheduled_calls_run_in_order_with_their_arguments(reactor: Reactor) -> None:
    calls: list[int] = []
    for number in range(100):
        reactor.call_soon(calls.append, number)
    assert reactor.poll() == 100
    assert calls == list(range(100))


def test_a_scheduled_call_runs_after_this_callback_and_before_the_loop_sleeps(reactor: Reactor, pair: Pair) -> None:
    order: list[str] = []

    def on_ready(events: int) -> None:
        reactor.call_soon(order.append, "scheduled")
        order.append("ready")

    reactor.register(pair[0], READ, on_ready)
    pair[1].send(b"x")
    reactor.poll(0)
    assert order == ["ready", "scheduled"]


def test_a_call_that_schedules_itself_starves_nobody(reactor: Reactor, clock: FakeClock, pair: Pair) -> None:
    turns: list[int] = []
    ready: list[int] = []
    timed: list[str] = []

    def again() -> None:
        turns.append(reactor.turn)
        reactor.call_soon(again)

    reactor.call_soon(again)
    reactor.register(pair[0], READ, ready.append)
    pair[1].send(b"x")
    reactor.call_later(1, timed.append, "timer")
    clock.seconds += 1
    for _ in range(3):
        reactor.poll()
    assert turns == [1, 2, 3]
    assert ready == [READ] * 3
    assert timed == ["timer"]


def test_poll_returns_how_much_was_handled(reactor: Reactor, clock: FakeClock, new_pair: Callable[[], Pair]) -> None:
    for _ in range(2):
        sock, peer = new_pair()
        reactor.register(sock, READ, lambda events: None)
        peer.send(b"x")
    reactor.call_later(1, lambda: None)
    reactor.call_soon(lambda: None)
    clock.seconds += 1
    assert reactor.poll(0) == 4


# -- other threads


def test_a_call_from_another_thread_makes_the_selector_readable(reactor: Reactor) -> None:
    calls: list[str] = []
    with selectors.DefaultSelector() as outside:
        outside.register(reactor.fileno(), READ)
        assert outside.select(0) == []
        join(start(lambda: reactor.call_soon_threadsafe(calls.append, "called")))
        assert len(outside.select(0)) == 1
        reactor.poll(0)
        assert calls == ["called"]
        assert outside.select(0) == []


def test_calls_from_another_thread_end_the_sleep_of_a_loop_again_and_again(live_reactor: Reactor) -> None:
    thread = start(live_reactor.run)
    for _ in range(200):
        called = threading.Event()
        live_reactor.call_soon_threadsafe(called.set)
        assert called.wait(PATIENCE)
    live_reactor.stop()
    join(thread)


def test_calls_from_many_threads_all_run_each_threads_in_order(live_reactor: Reactor) -> None:
    calls: list[tuple[int, int]] = []

    def schedule(thread: int) -> None:
        for number in range(500):
            live_reactor.call_soon_threadsafe(calls.append, (thread, number))

    threads = [threading.Thread(target=schedule, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    turn_until(live_reactor, lambda: len(calls) == 2000)
    join(*threads)
    for number in range(4):
        assert [call for call in calls if call[0] == number] == [(number, count) for count in range(500)]


def test_a_thousand_calls_from_a_thread_write_one_byte(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    class CountingWriter:
        """The writing end, counting."""

        def __init__(self, writer: socket.socket) -> None:
            self.writer = writer
            self.sent = 0

        def send(self, data: bytes) -> int:
            self.sent += len(data)
            return self.writer.send(data)

    writer = CountingWriter(reactor._waker._writer)
    monkeypatch.setattr(reactor._waker, "_writer", writer)
    calls: list[int] = []
    for round_ in (1, 2):
        for number in range(1000):
            reactor.call_soon_threadsafe(calls.append, number)
        reactor.poll(0)
        assert len(calls) == 1000 * round_
        assert writer.sent == round_
    monkeypatch.undo()


def test_the_loop_may_change_its_thread_between_turns(reactor: Reactor) -> None:
    threads: list[int] = []
    for _ in range(2):
        reactor.call_soon(lambda: threads.append(threading.get_ident()))
        join(start(lambda: reactor.poll(0)))
    reactor.call_soon(lambda: threads.append(threading.get_ident()))
    reactor.poll(0)
    assert len(threads) == 3
    assert threads[2] == threading.get_ident()


# -- run and stop


def test_run_goes_on_until_stop_and_finishes_its_turn(reactor: Reactor) -> None:
    order: list[str] = []
    reactor.call_soon(reactor.stop)
    reactor.call_soon(order.append, "same turn")
    reactor.call_soon(lambda: reactor.call_soon(order.append, "next turn"))
    reactor.run()
    assert order == ["same turn"]
    reactor.call_soon(reactor.stop)
    reactor.run()
    assert order == ["same turn", "next turn"]


def test_stop_before_run_makes_the_next_run_return_at_once_and_only_that_one(reactor: Reactor) -> None:
    turns: list[str] = []
    reactor.stop()
    reactor.run()
    assert turns == []
    reactor.call_soon(turns.append, "turn")
    reactor.call_soon(reactor.stop)
    reactor.run()
    assert turns == ["turn"]


def test_stop_from_another_thread_ends_a_sleeping_run(live_reactor: Reactor) -> None:
    for _ in range(20):
        live_reactor.call_soon(start, live_reactor.stop)
        live_reactor.run()
    assert live_reactor.turn >= 20


def test_poll_and_run_from_a_callback_are_refused(reactor: Reactor) -> None:
    errors: list[RuntimeError] = []

    def nested(function: Callable[[], object]) -> None:
        with pytest.raises(RuntimeError, match="callback of its own") as info:
            function()
        errors.append(info.value)

    reactor.call_soon(nested, reactor.poll)
    reactor.call_soon(nested, reactor.run)
    reactor.call_soon(nested, lambda: reactor.poll_until(2000))
    reactor.call_later(-1, nested, reactor.poll)
    reactor.poll(0)
    assert len(errors) == 4
    assert reactor.poll(0) == 0


# -- callbacks that raise


def fail(events: int = 0) -> None:
    raise ValueError("on purpose")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_exception_in_any_callback_is_logged_and_the_loop_goes_on(
        reactor: Reactor, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    reactor.register(pair[0], READ, fail)
    pair[1].send(b"x")
    reactor.call_later(-2, fail)
    reactor.call_later(-1, calls.append, "timer")
    reactor.call_soon(fail)
    reactor.call_soon(calls.append, "scheduled")
    with caplog.at_level(logging.ERROR, "evloop_http.reactor"):
        reactor.poll(0)
    assert calls == ["timer", "scheduled"]
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], ValueError)


def test_a_failing_descriptor_callback_does_not_cost_the_others_their_event(
        reactor: Reactor, new_pair: Callable[[], Pair], caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def note_and_fail(events: int) -> None:
        calls.append(events)
        fail()

    for _ in range(3):
        sock, peer = new_pair()
        reactor.register(sock, READ, note_and_fail)
        peer.send(b"x")
    with caplog.at_level(logging.CRITICAL, "evloop_http.reactor"):
        reactor.poll(0)
    assert calls == [READ] * 3


@pytest.mark.parametrize("kind", ["descriptor", "timer", "scheduled"])
def test_an_interrupt_passes_through_run_and_nothing_is_lost(
        reactor: Reactor, new_pair: Callable[[], Pair], kind: str) -> None:
    calls: list[str] = []
    sock, peer = new_pair()
    loud, loud_peer = new_pair()

    def on_ready(events: int) -> None:
        reactor.unregister(sock)
        calls.append("ready")

    def on_loud(events: int) -> None:
        reactor.unregister(loud)
        interrupt()

    if kind == "descriptor":
        reactor.register(loud, READ, on_loud)
        loud_peer.send(b"x")
    elif kind == "timer":
        reactor.call_later(-3, interrupt)
    else:
        reactor.call_soon(interrupt)
    reactor.register(sock, READ, on_ready)
    peer.send(b"x")
    reactor.call_later(-2, calls.append, "timer")
    reactor.call_soon(calls.append, "scheduled")
    with pytest.raises(KeyboardInterrupt):
        reactor.run()
    for _ in range(3):
        reactor.poll(0)
    assert sorted(calls) == ["ready", "scheduled", "timer"]
    reactor.call_soon(reactor.stop)
    reactor.run()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as Python handles it, even where the tests were started with it ignored (in the background, say)."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_running_loop_and_it_can_be_run_again(live_reactor: Reactor) -> None:
    live_reactor.call_soon(signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        live_reactor.run()
    called = threading.Event()
    thread = start(lambda: live_reactor.call_soon_threadsafe(called.set))
    turn_until(live_reactor, called.is_set)
    join(thread)


# -- signals


@pytest.fixture
def usr1() -> Iterator[signal.Signals]:
    """SIGUSR1, put back afterwards even where a test fails."""
    found = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, found)
    signal.set_wakeup_fd(-1)


def test_a_signal_calls_back_in_the_loop_and_not_in_the_handler(reactor: Reactor, usr1: signal.Signals) -> None:
    calls: list[str] = []
    reactor.on_signal(usr1, lambda: calls.append("called"))
    signal.raise_signal(usr1)
    assert calls == []
    reactor.poll()
    assert calls == ["called"]


def test_what_is_to_be_called_at_once_is_called_in_the_handler(reactor: Reactor, usr1: signal.Signals) -> None:
    calls: list[object] = []
    reactor.on_signal(usr1, lambda: calls.append("in the loop"), at_once=calls.append)
    signal.raise_signal(usr1)
    assert calls == [usr1]
    reactor.poll()
    assert calls == [usr1, "in the loop"]


def test_a_signal_ends_the_sleep_of_a_loop(live_reactor: Reactor, usr1: signal.Signals) -> None:
    live_reactor.on_signal(usr1, live_reactor.stop)
    main = threading.main_thread().ident
    assert main is not None
    for _ in range(20):
        live_reactor.call_soon(start, lambda: signal.pthread_kill(main, usr1))
        live_reactor.run()
    assert live_reactor.turn >= 20


def test_no_callback_puts_the_handler_found_back(reactor: Reactor, usr1: signal.Signals) -> None:
    heard: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    signal.signal(usr1, handler)
    reactor.on_signal(usr1, fail)
    reactor.on_signal(usr1, None)
    signal.raise_signal(usr1)
    assert heard == [usr1]
    assert reactor.poll(0) == 0
    assert signal.set_wakeup_fd(-1) == -1


def test_close_puts_handler_and_wakeup_descriptor_back(clock: FakeClock, usr1: signal.Signals, pair: Pair) -> None:
    signal.set_wakeup_fd(pair[0].fileno())
    reactor = Reactor(clock)
    reactor.on_signal(usr1, fail)
    assert signal.getsignal(usr1) is not signal.SIG_DFL
    reactor.close()
    assert signal.getsignal(usr1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == pair[0].fileno()


def test_without_asking_no_signal_is_touched(reactor: Reactor) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_are_refused_outside_the_main_thread(reactor: Reactor, usr1: signal.Signals) -> None:
    assert isinstance(raised_in_a_thread(lambda: reactor.on_signal(usr1, fail)), RuntimeError)
    assert signal.getsignal(usr1) is signal.SIG_DFL
    reactor.on_signal(usr1, fail)
    assert isinstance(raised_in_a_thread(lambda: reactor.on_signal(usr1, None)), RuntimeError)


def test_a_close_refused_in_another_thread_may_be_repeated_in_the_main_one(
        clock: FakeClock, usr1: signal.Signals) -> None:
    reactor = Reactor(clock)
    reactor.on_signal(usr1, fail)
    assert isinstance(raised_in_a_thread(reactor.close), RuntimeError)
    reactor.close()
    assert signal.getsignal(usr1) is signal.SIG_DFL
    with pytest.raises(RuntimeError, match="closed"):
        reactor.poll(0)
    assert reactor._waker.fileno() == -1


# -- driven from elsewhere


def test_next_timeout_says_how_long_one_may_sleep(reactor: Reactor, clock: FakeClock) -> None:
    assert reactor.next_timeout() is None
    timer = reactor.call_later(5, fail)
    assert reactor.next_timeout() == 5
    clock.seconds += 2
    assert reactor.next_timeout() == 3
    clock.seconds += 10
    assert reactor.next_timeout() == 0
    timer.cancel()
    assert reactor.next_timeout() is None
    reactor.call_soon(lambda: None)
    assert reactor.next_timeout() == 0


def test_another_selector_can_drive_it(live_reactor: Reactor, pair: Pair) -> None:
    calls: list[str] = []

    def on_ready(events: int) -> None:
        calls.append(pair[0].recv(100).decode())

    live_reactor.register(pair[0], READ, on_ready)
    live_reactor.call_later(0.001, lambda: pair[1].send(b"bytes"))
    with selectors.DefaultSelector() as outside:
        outside.register(live_reactor.fileno(), READ)
        while not calls:
            timeout = live_reactor.next_timeout()
            assert outside.select(PATIENCE if timeout is None else timeout) or timeout is not None
            live_reactor.poll(0)
    assert calls == ["bytes"]


def test_a_reactor_can_drive_another_one(reactor: Reactor, pair: Pair) -> None:
    inner = Reactor()
    calls: list[int] = []
    inner.register(pair[0], READ, calls.append)
    reactor.register(inner.fileno(), READ, lambda events: inner.poll(0))
    reactor.poll(0)
    assert calls == []
    pair[1].send(b"x")
    reactor.poll(0)
    assert calls == [READ]
    reactor.unregister(inner.fileno())
    inner.close()


def test_asyncio_can_drive_it(live_reactor: Reactor, pair: Pair) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        calls: list[str] = []

        def turn() -> None:
            live_reactor.poll(0)
            timeout = live_reactor.next_timeout()
            if timeout is not None:
                loop.call_later(timeout, turn)

        def on_ready(events: int) -> None:
            calls.append(pair[0].recv(100).decode())
            live_reactor.call_later(0.001, on_timer)

        def on_timer() -> None:
            calls.append("timer")
            thread = start(lambda: live_reactor.call_soon_threadsafe(on_call))
            live_reactor.call_soon(join, thread)

        def on_call() -> None:
            calls.append("thread")
            finished.set_result(None)

        loop.add_reader(live_reactor.fileno(), turn)
        live_reactor.register(pair[0], READ, on_ready)
        pair[1].send(b"bytes")
        await asyncio.wait_for(finished, PATIENCE)
        loop.remove_reader(live_reactor.fileno())
        return calls

    assert asyncio.run(main()) == ["bytes", "timer", "thread"]


# -- closing


@needs_proc
def test_close_gives_every_descriptor_back() -> None:
    before = open_descriptors()
    for _ in range(10):
        reactor = Reactor()
        reactor.call_soon_threadsafe(lambda: None)
        reactor.poll(0)
        reactor.close()
    assert open_descriptors() == before


def test_close_leaves_the_users_descriptors_open(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, fail)
    reactor.close()
    assert reactor.registrations == 0
    assert pair[0].send(b"x") == 1


def test_close_may_be_called_twice_and_a_closed_reactor_takes_no_turn(reactor: Reactor) -> None:
    reactor.close()
    reactor.close()
    with pytest.raises(RuntimeError, match="closed"):
        reactor.poll(0)
    with pytest.raises(RuntimeError, match="closed"):
        reactor.run()
    assert repr(reactor) == "<Reactor closed>"


def test_threads_that_have_not_heard_of_the_close_yet_do_no_harm(reactor: Reactor) -> None:
    reactor.close()
    reactor.call_soon_threadsafe(fail)
    reactor.stop()
    with pytest.raises(RuntimeError, match="closed"):
        reactor.poll(0)


def test_a_callback_cannot_close_the_loop_that_calls_it(reactor: Reactor) -> None:
    calls: list[str] = []

    def close() -> None:
        with pytest.raises(RuntimeError):
            reactor.close()
        calls.append("refused")

    reactor.call_soon(close)
    reactor.call_soon(calls.append, "next")
    reactor.poll(0)
    assert calls == ["refused", "next"]


def test_repr_tells_what_is_going_on(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, fail)
    reactor.call_later(1, fail)
    reactor.poll(0)
    assert repr(reactor) == "<Reactor turn 1: 1 descriptors, 1 timers>"


# -- several at once


def test_several_reactors_do_not_know_of_each_other(clock: FakeClock, new_pair: Callable[[], Pair]) -> None:
    reactors = [Reactor(clock) for _ in range(3)]
    calls: list[int] = []

    def note(number: int, events: int) -> None:
        calls.append(number)

    for number, reactor in enumerate(reactors):
        sock, peer = new_pair()
        reactor.register(sock, READ, functools.partial(note, number))
        peer.send(b"x")
    reactors[1].stop()
    reactors[2].poll(0)
    reactors[0].poll(0)
    assert calls == [2, 0]
    reactors[0].close()
    reactors[2].poll(0)
    assert calls == [2, 0, 2]
    for reactor in reactors:
        reactor.close()


def test_several_reactors_run_in_threads_of_their_own() -> None:
    reactors = [Reactor() for _ in range(4)]
    threads = [start(reactor.run) for reactor in reactors]
    seen: dict[Reactor, int] = {}
    for reactor in reactors:
        called = threading.Event()
        reactor.call_soon_threadsafe(lambda reactor=reactor: seen.update({reactor: threading.get_ident()}))
        reactor.call_soon_threadsafe(called.set)
        assert called.wait(PATIENCE)
    assert seen == {reactor: thread.ident for reactor, thread in zip(reactors, threads, strict=True)}
    for reactor in reactors:
        reactor.stop()
    join(*threads)
    for reactor in reactors:
        reactor.close()


# A host that sleeps on the descriptor in the loop's own thread

def test_a_call_between_turns_makes_the_descriptor_readable_and_counts_as_one(reactor: Reactor) -> None:
    called: list[str] = []
    reactor.poll(0)
    reactor.call_soon(called.append, "soon")
    assert select.select([reactor.fileno()], [], [], 0)[0]
    assert (reactor.poll(0), called) == (1, ["soon"])
    assert not select.select([reactor.fileno()], [], [], 0)[0]


def test_a_timer_that_is_due_before_all_others_makes_the_descriptor_readable(reactor: Reactor) -> None:
    reactor.call_later(100, list)
    reactor.poll(0)
    reactor.call_later(200, list)
    assert not select.select([reactor.fileno()], [], [], 0)[0]
    reactor.call_later(50, list)
    assert select.select([reactor.fileno()], [], [], 0)[0]


def test_a_deadline_beyond_what_the_kernel_takes_is_slept_for_in_parts(reactor: Reactor) -> None:
    reactor.call_later(1e9, list)
    assert reactor.next_timeout() == 3600
    reactor.call_soon(reactor.stop)
    reactor.run()


def test_a_timer_that_sets_itself_in_the_past_keeps_no_other_waiting(reactor: Reactor) -> None:
    called: list[str] = []

    def again() -> None:
        if len(called) < 1000:
            called.append("again")
            reactor.call_at(0, again)

    reactor.call_at(0, again)
    reactor.call_later(0, called.append, "other")
    for _ in range(10):
        reactor.poll(0)
    assert "other" in called


def test_a_signal_s_callback_is_given_back_to_whoever_replaces_it(reactor: Reactor) -> None:
    def first() -> None: ...
    def second() -> None: ...

    assert reactor.on_signal(signal.SIGUSR1, first) is None
    assert reactor.on_signal(signal.SIGUSR1, second) is first
    assert reactor.on_signal(signal.SIGUSR1, None) is None
