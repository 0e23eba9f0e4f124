"""The reactor drives: whoever polls it takes a turn of asyncio too, and is told when the next one is due."""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from coroutines import AsyncApplication, count_sends
from evloop_http.loops.asyncio import DrivenLoop, Loop
from evloop_http.messages import Request, Response
from evloop_http.net.reactor import READ, Reactor
from evloop_http.server import Server
from fakes import LAST_GET, FakeClock, read_answers

PATIENCE = 20


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A host's own reactor, on which nothing may be left."""
    reactor = Reactor()
    yield reactor
    left = reactor.registrations, reactor.timers, reactor.driver
    reactor.close()
    assert left == (0, 0, None)


@pytest.fixture
def loop(reactor: Reactor) -> Iterator[DrivenLoop]:
    with DrivenLoop(reactor) as loop:
        settle(reactor)
        yield loop


def settle(reactor: Reactor) -> None:
    """Take turns until there is nothing to do."""
    while reactor.poll(0):
        pass


def poll_until(reactor: Reactor, is_done: Callable[[], object]) -> None:
    while not is_done():
        assert reactor.poll(PATIENCE), "nothing happens any more"


def connect(server: Server) -> socket.socket:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return socket.create_connection(address, PATIENCE)


def is_readable(reactor: Reactor) -> bool:
    return bool(select.select([reactor.fileno()], [], [], 0)[0])


def test_a_turn_of_the_reactor_is_one_of_asyncio(loop: DrivenLoop, reactor: Reactor) -> None:
    turns: list[int] = []

    def turn() -> None:
        turns.append(reactor.turn)
        loop.call_soon(turn)

    loop.call_soon(turn)
    before = reactor.turn
    for _ in range(10):
        assert reactor.poll(PATIENCE)
    assert turns == list(range(before + 1, before + 11))
    assert not loop.is_running()


def test_the_loop_runs_in_callbacks_and_not_between_turns(loop: DrivenLoop, reactor: Reactor) -> None:
    seen: list[asyncio.AbstractEventLoop] = []
    reactor.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    reactor.call_later(0, lambda: seen.append(asyncio.get_running_loop()))
    reactor.poll(0)
    assert seen == [loop, loop]
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_tasks_that_sleep_end_the_sleep_of_a_poll(loop: DrivenLoop, reactor: Reactor) -> None:
    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0.002)
        return await asyncio.to_thread(lambda: "done")

    task = loop.create_task(work())
    poll_until(reactor, task.done)
    assert task.result() == "done"


def test_a_poll_sleeps_no_longer_than_it_is_told_nor_than_asyncio_wants(loop: DrivenLoop, reactor: Reactor,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float | None] = []

    def select(timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        timeouts.append(timeout)
        return []

    monkeypatch.setattr(reactor._selector, "select", select)
    for asked in (None, 7.0, 0.0):
        reactor.poll(asked)
    handle = loop.call_later(5, pytest.fail)
    for asked in (None, 7.0, 0.0):
        reactor.poll(asked)
    monkeypatch.undo()
    handle.cancel()
    settle(reactor)
    assert timeouts == [None, 7, 0, pytest.approx(5, abs=1), pytest.approx(5, abs=1), 0]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def still(clock: FakeClock) -> Iterator[tuple[Reactor, DrivenLoop]]:
    """A reactor whose time stands still, and a loop on it that has nothing to do."""
    with contextlib.closing(Reactor(clock)) as reactor, DrivenLoop(reactor) as loop:
        settle(reactor)
        yield reactor, loop


def test_a_host_that_sleeps_elsewhere_is_told_when_asyncio_is_due(still: tuple[Reactor, DrivenLoop],
                                                                  clock: FakeClock) -> None:
    reactor, loop = still
    called: list[float] = []
    assert (reactor.next_timeout(), is_readable(reactor)) == (None, False)
    loop.call_later(30, called.append, 30)
    loop.call_later(20, called.append, 20)
    assert (reactor.next_timeout(), is_readable(reactor)) == (20, True)
    settle(reactor)
    assert (reactor.next_timeout(), is_readable(reactor)) == (20, False)
    clock.advance(20)
    assert reactor.next_timeout() == 0
    settle(reactor)
    assert called == [20]
    assert (reactor.next_timeout(), is_readable(reactor)) == (10, False)
    loop.call_soon(called.append, 0)
    assert (reactor.next_timeout(), is_readable(reactor)) == (0, True)
    settle(reactor)
    assert called == [20, 0]
    assert (reactor.next_timeout(), is_readable(reactor)) == (10, False)
    clock.advance(10)
    settle(reactor)
    assert called == [20, 0, 30]
    assert (reactor.next_timeout(), is_readable(reactor)) == (None, False)


def test_a_new_loop_is_due_at_once_and_idle_soon() -> None:
    with contextlib.closing(Reactor()) as reactor, DrivenLoop(reactor):
        assert reactor.next_timeout() == 0
        before = reactor.turn
        settle(reactor)
        assert reactor.next_timeout() is None
        assert reactor.turn - before <= 3


def test_what_callbacks_schedule_is_not_slept_over(still: tuple[Reactor, DrivenLoop]) -> None:
    reactor, loop = still
    called: list[str] = []
    loop.call_soon(loop.call_soon, called.append, "soon")
    reactor.poll(0)
    assert called == []
    assert reactor.next_timeout() == 0
    reactor.poll(0)
    assert called == ["soon"]


def test_a_turn_without_asyncio_is_followed_by_no_other(still: tuple[Reactor, DrivenLoop]) -> None:
    """A plain handler costs no more turns than it would without asyncio."""
    reactor, _ = still
    reactor.call_soon(lambda: None)
    assert reactor.poll(0) == 1
    assert reactor.next_timeout() is None


def test_a_host_that_sleeps_on_the_descriptor_drives_whole_programs(loop: DrivenLoop, reactor: Reactor) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def program() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.sleep(0.002)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        server.close()
        return answer

    task = loop.create_task(program())
    while not task.done():
        ready, timeout = select.select([reactor.fileno()], [], [], reactor.next_timeout())[0], reactor.next_timeout()
        assert ready or timeout == 0
        reactor.poll(0)
    assert task.result() == b"hello\n"


def test_scheduling_between_turns_wakes_the_host_and_within_one_costs_nothing(loop: DrivenLoop,
                                                                              reactor: Reactor) -> None:
    async def work() -> None:
        for _ in range(50):
            reactor.call_soon(int)
            loop.call_soon(int)
            loop.call_later(0, int)
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0.002)

    writer = count_sends(reactor)
    loop.call_soon(int)
    reactor.call_soon(int)
    assert writer.sends == 1
    task = loop.create_task(work())
    poll_until(reactor, task.done)
    assert writer.sends == 1


def test_a_server_that_is_polled_answers_with_coroutines(loop: DrivenLoop, reactor: Reactor) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(0.001)
        return Response(await asyncio.to_thread(lambda: "hello"))

    with contextlib.closing(Server(AsyncApplication(handler), reactor=reactor)) as server:
        server.listen()
        with connect(server) as client:
            client.sendall(LAST_GET)
            received: list[bytes] = []
            reactor.register(client, READ, lambda events: received.append(client.recv(65536)))
            poll_until(reactor, lambda: received)
            reactor.unregister(client)
    assert read_answers(received[0])[0].body == b"hello"


def test_the_server_s_own_run_runs_the_loop_that_is_there(loop: DrivenLoop, reactor: Reactor) -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def handler(request: Request) -> Response:
        seen.append(asyncio.get_running_loop())
        return Response("hello")

    server = Server(AsyncApplication(handler), reactor=reactor)
    server.listen()
    with connect(server) as client:

        def on_answer(events: int) -> None:
            reactor.unregister(client)
            server.stop(0)

        client.sendall(LAST_GET)
        reactor.register(client, READ, on_answer)
        server.run()
    assert seen == [loop]
    assert not loop.is_closed()


def test_reactor_run_takes_turns_of_both_until_stop(loop: DrivenLoop, reactor: Reactor) -> None:
    loop.call_later(0.002, reactor.stop)
    reactor.run()
    assert not loop.is_running()


def test_the_loop_may_be_run_as_every_other(loop: DrivenLoop, reactor: Reactor) -> None:
    assert loop.run_until_complete(asyncio.sleep(0.002, "done")) == "done"
    task = loop.create_task(asyncio.sleep(0.002, "driven"))
    poll_until(reactor, task.done)
    loop.stop()
    reactor.poll(0)
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"


def test_a_coroutine_cannot_poll(loop: DrivenLoop, reactor: Reactor) -> None:
    async def misuse() -> None:
        reactor.poll(0)

    task = loop.create_task(misuse())
    settle(reactor)
    with pytest.raises(RuntimeError, match="called from a callback"):
        task.result()


@pytest.mark.parametrize("where", ["reactor", "asyncio"])
def test_an_interrupt_passes_through_poll_and_leaves_both_fit(loop: DrivenLoop, reactor: Reactor, where: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    called: list[str] = []
    (reactor if where == "reactor" else loop).call_soon(interrupt)
    loop.call_later(0.001, called.append, "called")
    with pytest.raises(KeyboardInterrupt):
        reactor.poll(0)
    poll_until(reactor, lambda: called)
    assert not reactor.awake


def test_a_reactor_drives_one_loop_at_a_time(reactor: Reactor) -> None:
    with DrivenLoop(reactor), pytest.raises(RuntimeError, match="drives a loop already"):
        DrivenLoop(reactor)
    with DrivenLoop(reactor) as second:
        called: list[str] = []
        second.call_soon(called.append, "called")
        poll_until(reactor, lambda: called)


def test_after_the_end_the_reactor_turns_alone(reactor: Reactor) -> None:
    ended: list[str] = []

    async def last() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.append("ended")

    with DrivenLoop(reactor) as loop:
        loop.create_task(last())
        reactor.poll(0)
    assert ended == ["ended"]
    assert loop.is_closed()
    assert reactor.poll(0) == 0


def test_a_reactor_that_drives_no_loop_has_nothing_in_its_way(reactor: Reactor) -> None:
    with Loop(reactor):
        assert reactor.driver is None
