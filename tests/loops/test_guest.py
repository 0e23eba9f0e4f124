"""A guest in a host that does nothing by itself: when it is watched, when its timer is set, and what ends it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

import pytest

from evloop_http import loops
from evloop_http.loops.guest import TICK, Guest, Undo, milliseconds
from evloop_http.net.reactor import Reactor
from evloop_http.server import Server
from fakes import FakeClock, hello


class FakeHost(Guest):
    """A guest whose host is the test: it notes what is asked for, and calls back when the test says so."""

    knows_descriptors = True

    def __init__(self, reactor: Reactor) -> None:
        self.log: list[str] = []
        self.watched: list[float] = []
        self.timers: list[float] = []
        super().__init__(reactor)

    def _watch(self, descriptor: int) -> Undo:
        if not self.knows_descriptors:
            raise NotImplementedError
        self.log.append("watch")
        self.watched.append(descriptor)
        return partial(self._forget, self.watched, descriptor, "unwatch")

    def _call_later(self, seconds: float) -> Undo:
        self.log.append(f"timer {seconds:g}")
        self.timers.append(seconds)
        return partial(self._forget, self.timers, seconds, "cancel")

    def _forget(self, where: list[float], what: float, word: str) -> None:
        self.log.append(word)
        where.remove(what)

    def say_readable(self) -> None:
        self._on_ready()

    def ring(self) -> None:
        self.timers.pop()
        self._on_due()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reactor(clock: FakeClock) -> Iterator[Reactor]:
    reactor = Reactor(clock)
    yield reactor
    reactor.close()


@pytest.fixture
def host(reactor: Reactor) -> Iterator[FakeHost]:
    host = FakeHost(reactor)
    yield host
    host.detach()


def test_a_guest_is_watched_at_once_and_has_a_timer_for_what_is_due(reactor: Reactor) -> None:
    reactor.call_later(5, print)
    host = FakeHost(reactor)
    assert host.watched == [reactor.fileno()]
    assert host.timers == [5]
    host.detach()


def test_what_was_scheduled_before_a_guest_came_is_done_by_its_host(reactor: Reactor) -> None:
    calls: list[str] = []
    reactor.call_soon(calls.append, "done")
    host = FakeHost(reactor)
    assert host.timers == [0]
    host.ring()
    assert calls == ["done"]
    host.detach()


def test_the_timer_of_the_host_is_not_set_again_for_a_later_deadline(
        host: FakeHost, reactor: Reactor, clock: FakeClock) -> None:
    timer = reactor.timer(lambda: None)
    timer.move(clock.seconds + 75)
    host.say_readable()
    for _ in range(100):  # as the deadline of a connection that is busy
        clock.advance(0.1)
        timer.move(clock.seconds + 75)
        host.say_readable()
    assert host.log == ["watch", "timer 75"]


def test_the_timer_of_the_host_is_moved_for_an_earlier_deadline(host: FakeHost, reactor: Reactor) -> None:
    reactor.call_later(75, print)
    host.say_readable()
    reactor.call_later(10, print)
    host.say_readable()
    assert host.log == ["watch", "timer 75", "cancel", "timer 10"]


def test_the_timer_of_the_host_is_set_again_when_it_rang_too_early(
        host: FakeHost, reactor: Reactor, clock: FakeClock) -> None:
    calls: list[str] = []
    timer = reactor.timer(lambda: calls.append("due"))
    timer.move(clock.seconds + 10)
    host.say_readable()
    timer.move(clock.seconds + 30)
    clock.advance(10)
    host.ring()
    assert host.timers == [20]
    clock.advance(20)
    host.ring()
    assert calls == ["due"]
    assert host.timers == []


def test_a_host_that_calls_during_a_turn_does_so_once_and_is_watched_again_after_it(
        host: FakeHost, reactor: Reactor) -> None:
    def dialog() -> None:
        while host.watched:  # the host's loop, run by a handler
            host.say_readable()
        assert host.log == ["watch", "unwatch"]

    reactor.call_soon(dialog)
    host.say_readable()
    assert host.log == ["watch", "unwatch", "watch"]
    assert reactor.turn == 1


def test_a_timer_that_rings_during_a_turn_is_set_again_after_it(
        host: FakeHost, reactor: Reactor, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    reactor.call_later(1, print)
    host.say_readable()

    def dialog() -> None:
        host.ring()
        assert host.timers == []

    reactor.call_soon(dialog)
    reactor.call_later(3, print)
    host.say_readable()
    assert host.timers == [1]
    assert caplog.text == ""


def test_after_detach_the_host_has_nothing_more_to_do(reactor: Reactor) -> None:
    reactor.call_later(5, print)
    host = FakeHost(reactor)
    host.detach()
    host.detach()
    assert (host.watched, host.timers, host.attached) == ([], [], False)
    host.say_readable()
    assert reactor.turn == 0


@pytest.mark.parametrize("in_dialog", [False, True])
def test_a_callback_of_the_reactor_may_detach_its_host(
        host: FakeHost, reactor: Reactor, in_dialog: bool, caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        if in_dialog:
            host.say_readable()
        host.detach()

    reactor.call_later(5, print)
    reactor.call_soon(leave)
    host.say_readable()
    assert (host.watched, host.timers) == ([], [])
    assert caplog.text == ""


def test_a_reactor_has_one_host_at_a_time(host: FakeHost, reactor: Reactor) -> None:
    with pytest.raises(RuntimeError, match="has a host already: <test_guest waiting: <Reactor turn 0"):
        FakeHost(reactor)
    host.detach()
    FakeHost(reactor).detach()


def test_a_closed_reactor_has_no_host() -> None:
    reactor = Reactor()
    reactor.close()
    with pytest.raises(RuntimeError, match="the reactor is closed"):
        FakeHost(reactor)


def test_a_reactor_that_is_closed_under_its_host_says_so_once(clock: FakeClock) -> None:
    reactor = Reactor(clock)
    reactor.call_later(5, print)
    host = FakeHost(reactor)
    reactor.close()
    with pytest.raises(RuntimeError, match="the reactor is closed"):
        host.ring()
    assert (host.watched, host.timers) == ([], [])
    host.say_readable()


def test_an_interrupt_passes_through_a_turn_and_the_guest_stays(host: FakeHost, reactor: Reactor) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    reactor.call_soon(interrupt)
    reactor.call_later(5, print)
    with pytest.raises(KeyboardInterrupt):
        host.say_readable()
    assert (len(host.watched), host.timers) == (1, [5])


class DeafHost(FakeHost):
    knows_descriptors = False


class DeafReactor(Reactor):
    def fileno(self) -> int:
        raise RuntimeError("no descriptor, as on a platform whose selector is poll")


@pytest.mark.parametrize(("make_host", "make_reactor", "reason"), [
    (DeafHost, Reactor, "this host cannot watch descriptors"),
    (FakeHost, DeafReactor, "the selector of this platform has no descriptor"),
])
def test_without_a_descriptor_the_host_looks_now_and_then_and_says_so(
        make_host: type[FakeHost], make_reactor: type[Reactor], reason: str, clock: FakeClock,
        caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    reactor = make_reactor(clock)
    host = make_host(reactor)
    for number in range(3):
        assert host.timers == [TICK]
        reactor.call_soon_threadsafe(calls.append, f"call {number}")
        clock.advance(TICK)
        host.ring()
    assert calls == ["call 0", "call 1", "call 2"]
    assert caplog.record_tuples == [("evloop_http.loops", logging.WARNING,
                                     f"{reason}: the reactor looks for work every 10 ms")]
    host.detach()
    assert host.timers == []
    reactor.close()


def test_what_follows_the_end_of_a_server_is_called_between_two_turns(host: FakeHost, reactor: Reactor) -> None:
    def then() -> None:
        host.detach()
        server.close()
        reactor.close()  # which a callback of its own may not do
        ended.append(reactor.turn)

    ended: list[int] = []
    server = Server(hello, reactor=reactor)
    server.listen()
    host.stop(server, 5, then)
    assert ended == []
    host.say_readable()
    assert ended == [1]


def test_what_follows_the_end_of_a_server_is_called_at_once_if_that_has_stopped(
        host: FakeHost, reactor: Reactor) -> None:
    ended: list[str] = []
    server = Server(hello, reactor=reactor)
    server.close()
    host.stop(server, then=lambda: ended.append("then"))
    assert ended == ["then"]


def test_a_server_that_is_closed_by_its_host_has_stopped(host: FakeHost, reactor: Reactor) -> None:
    ended: list[str] = []
    server = Server(hello, reactor=reactor)
    server.listen()
    host.stop(server, 5, lambda: ended.append("then"))
    server.close()
    assert ended == ["then"]


def test_seconds_are_rounded_up_to_milliseconds() -> None:
    assert [milliseconds(seconds) for seconds in (0, 1e-9, 0.0011, 75)] == [0, 1, 2, 75_000]


def test_there_is_a_module_for_each_host_and_no_other() -> None:
    assert {"asyncio", "gevent", "glib", "qt", "tk", "trio"} <= set(dir(loops))
    with pytest.raises(AttributeError, match="has no attribute 'twisted'"):
        _ = loops.twisted
