"""Signals of both sides: the reactor's and asyncio's handlers, in either order, on one loop or as guest and host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from evloop_http.loops.asyncio import Loop
from evloop_http.net.reactor import Reactor

PATIENCE = 20
USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2

Raise = Callable[[int], None]


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(params=[signal.raise_signal, kill], ids=["raise_signal", "kill"])
def send(request: pytest.FixtureRequest) -> Raise:
    function: Raise = request.param
    return function


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """What this process does with the signals used here; it is put back even where a test fails."""
    found = signal.getsignal(USR1), signal.getsignal(USR2)
    wakeup = signal.set_wakeup_fd(-1)
    yield
    left = signal.getsignal(USR1), signal.getsignal(USR2), signal.set_wakeup_fd(wakeup)
    for number, handler in zip((USR1, USR2), found, strict=True):
        signal.signal(number, handler)
    assert left == (*found, -1)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with contextlib.closing(Reactor()) as reactor:
        yield reactor


@contextlib.contextmanager
def on_our_loop(reactor: Reactor) -> Iterator[asyncio.AbstractEventLoop]:
    with Loop(reactor) as loop:
        yield loop


@contextlib.contextmanager
def as_a_guest(reactor: Reactor) -> Iterator[asyncio.AbstractEventLoop]:
    """The reactor in a stock loop, which sleeps on its descriptor."""
    with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
        loop.add_reader(reactor.fileno(), reactor.poll, 0)
        yield loop
        loop.remove_reader(reactor.fileno())


Home = Callable[[Reactor], contextlib.AbstractContextManager[asyncio.AbstractEventLoop]]
homes = pytest.mark.parametrize("home", [on_our_loop, as_a_guest])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@homes
@pytest.mark.parametrize("first", ["asyncio", "reactor"])
def test_both_sides_hear_their_signals_whoever_was_first(reactor: Reactor, home: Home, first: str, send: Raise) -> None:
    heard: list[str] = []

    def add(side: str) -> None:
        if side == "asyncio":
            loop.add_signal_handler(USR1, heard.append, "asyncio")
        else:
            reactor.on_signal(USR2, lambda: heard.append("reactor"))

    async def main() -> None:
        for count in (1, 2, 3):
            send(USR1)
            send(USR2)
            await until(lambda count=count: len(heard) >= 2 * count)  # type: ignore[misc]

    with home(reactor) as loop:
        add(first)
        add("reactor" if first == "asyncio" else "asyncio")
        loop.run_until_complete(main())
        loop.remove_signal_handler(USR1)
        reactor.on_signal(USR2, None)
    assert sorted(heard) == 3 * ["asyncio"] + 3 * ["reactor"]


@homes
@pytest.mark.parametrize("first", ["asyncio", "reactor"])
def test_one_side_hears_on_after_the_other_has_ended(reactor: Reactor, home: Home, first: str, send: Raise) -> None:
    heard: list[str] = []

    async def one(number: int) -> None:
        before = len(heard)
        send(number)
        await until(lambda: len(heard) > before)

    with home(reactor) as loop:
        if first == "asyncio":
            loop.add_signal_handler(USR1, heard.append, "asyncio")
        reactor.on_signal(USR2, lambda: heard.append("reactor"))
        if first == "reactor":
            loop.add_signal_handler(USR1, heard.append, "asyncio")
            loop.remove_signal_handler(USR1)
            loop.run_until_complete(one(USR2))
        else:
            reactor.on_signal(USR2, None)
            loop.run_until_complete(one(USR1))
            loop.remove_signal_handler(USR1)
        reactor.on_signal(USR2, None)
    assert heard == [first]


def wakeup_descriptor() -> int:
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number, warn_on_full_buffer=False)
    return number


def test_the_last_handler_of_asyncio_takes_nothing_away_from_the_reactor(reactor: Reactor) -> None:
    """A signal that arrives just before the sleep would not end it."""
    with Loop(reactor) as loop:
        reactor.on_signal(USR2, lambda: None)
        mine = wakeup_descriptor()
        for number in (USR1, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        assert wakeup_descriptor() != mine
        loop.remove_signal_handler(USR1)
        loop.remove_signal_handler(signal.SIGHUP)
        assert wakeup_descriptor() == mine
        loop.add_signal_handler(USR1, lambda: None)
    assert wakeup_descriptor() == mine  # closing the loop removes its handlers
    reactor.on_signal(USR2, None)


def test_a_signal_ends_the_sleep_of_the_loop(reactor: Reactor, send: Raise) -> None:
    async def main() -> None:
        heard = loop.create_future()
        reactor.on_signal(USR2, lambda: heard.set_result(None))
        reactor.call_soon(send, USR2)
        await asyncio.wait_for(heard, PATIENCE)
        reactor.on_signal(USR2, None)

    with Loop(reactor) as loop:
        loop.run_until_complete(main())


def test_a_runner_s_ctrl_c_cancels_the_main_task(reactor: Reactor) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        await asyncio.sleep(PATIENCE)

    with asyncio.Runner(loop_factory=lambda: Loop(reactor)) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())
