"""An asyncio loop that sleeps in the reactor's turns: two worlds, one selector, one thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from coroutines import AsyncApplication, count_sends
from evloop_http.loops.asyncio import Loop
from evloop_http.loops.one_loop import SharedSelector
from evloop_http.messages import Request, Response
from evloop_http.net.reactor import READ, WRITE, Reactor
from evloop_http.server import Server
from fakes import GET, LAST_GET, FakeClock, hello, read_answers

PATIENCE = 20

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A host's own reactor, on which nothing may be left."""
    reactor = Reactor()
    yield reactor
    left = reactor.registrations, reactor.timers
    reactor.close()
    assert left == (0, 0)


@pytest.fixture
def loop(reactor: Reactor) -> Iterator[Loop]:
    with Loop(reactor) as loop:
        yield loop


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = socket.socketpair()
    with pair[0], pair[1]:
        for sock in pair:
            sock.setblocking(False)
        yield pair


# -- the selector


@pytest.fixture
def selector(reactor: Reactor) -> Iterator[SharedSelector]:
    reactor.awake = True  # asyncio's turn; a selector is asked in no other
    with SharedSelector(reactor) as selector:
        yield selector
    reactor.awake = False


def test_keys_come_back_with_their_data(selector: SharedSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    assert key == (pair[0], pair[0].fileno(), READ, "data")
    assert selector.select(0) == []
    pair[1].send(b"x")
    assert selector.select(0) == [(key, READ)]
    assert selector.select(0) == [(key, READ)]  # it is level-triggered


def test_the_map_is_asked_by_number_or_by_object_even_a_closed_one(selector: SharedSelector, pair: Pair) -> None:
    keys = selector.get_map()
    assert pair[0] not in keys
    assert keys.get(pair[0].fileno()) is keys.get(pair[0]) is None
    key = selector.register(pair[0], READ)
    assert keys[pair[0]] is keys[pair[0].fileno()] is keys.get(pair[0]) is key
    assert selector.get_key(pair[0]) is key
    assert list(keys) == [pair[0].fileno()]
    pair[0].close()
    assert keys[pair[0]] is key
    assert selector.unregister(pair[0]) is key
    assert len(keys) == 0
    with pytest.raises(KeyError):
        selector.get_key(pair[0])


def test_a_descriptor_has_one_owner(selector: SharedSelector, reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, lambda events: None)
    selector.register(pair[1], READ)
    for sock in pair:
        with pytest.raises(KeyError, match="already registered"):
            selector.register(sock, READ)
    with pytest.raises(KeyError):
        selector.modify(pair[0], WRITE)
    with pytest.raises(KeyError):
        selector.unregister(pair[0])
    reactor.unregister(pair[0])


def test_what_cannot_be_watched_is_refused(selector: SharedSelector, pair: Pair) -> None:
    with pytest.raises(ValueError, match="Invalid event"):
        selector.register(pair[0], 0)
    pair[0].close()
    with pytest.raises(ValueError, match="Invalid file"):
        selector.register(pair[0], READ)
    assert len(selector.get_map()) == 0


def test_new_data_without_new_events_is_no_change_for_the_kernel(selector: SharedSelector, reactor: Reactor,
                                                                 pair: Pair) -> None:
    selector.register(pair[0], READ, "old")
    before = reactor._selector.get_key(pair[0].fileno())
    key = selector.modify(pair[0], READ, "new")
    assert reactor._selector.get_key(pair[0].fileno()) is before
    pair[1].send(b"x")
    assert selector.select(0) == [(key, READ)]
    key = selector.modify(pair[0], READ | WRITE, "both")
    assert selector.select(0) == [(key, READ | WRITE)]


@pytest.mark.parametrize("turn", [1, 2], ids=["before", "behind"])
@pytest.mark.parametrize("change", ["unregister", "modify", "another in its place"])
def test_what_the_reactor_s_callbacks_have_changed_is_not_in_the_batch(selector: SharedSelector, reactor: Reactor,
                                                                       pair: Pair, change: str, turn: int) -> None:
    """The callback stands before the key in the batch, or behind it."""
    def on_other(events: int) -> None:
        if change == "modify":
            selector.modify(pair[0], WRITE, "changed")
            return
        selector.unregister(pair[0])
        if change == "another in its place":
            selector.register(pair[0], READ, "another")

    others = [socket.socketpair() for _ in range(2)]
    with others[0][0], others[0][1], others[1][0], others[1][1]:
        called: list[int] = []

        def once(events: int) -> None:
            called.append(events)
            if len(called) == turn:
                on_other(events)

        reactor.register(others[0][0], READ, once)
        selector.register(pair[0], READ, "first")
        reactor.register(others[1][0], READ, once)
        for sock in (others[0][1], pair[1], others[1][1]):
            sock.send(b"x")
        assert selector.select(0) == []
        assert len(called) == 2
        reactor.unregister(others[0][0])
        reactor.unregister(others[1][0])


def test_closing_the_selector_leaves_the_reactor_s_own_alone(reactor: Reactor, pair: Pair) -> None:
    reactor.register(pair[0], READ, lambda events: None)
    with SharedSelector(reactor) as selector:
        selector.register(pair[1], READ)
        assert reactor.registrations == 2
    assert reactor.registrations == 1
    reactor.unregister(pair[0])


# -- one loop


def test_a_coroutine_and_the_reactor_s_callbacks_take_turns_in_one_thread(loop: Loop, reactor: Reactor) -> None:
    threads: set[int] = set()
    order: list[str] = []

    def note(word: str) -> None:
        threads.add(threading.get_ident())
        order.append(word)

    async def main() -> None:
        reactor.call_soon(note, "scheduled")
        reactor.call_later(0, note, "timer")
        await asyncio.sleep(0.001)
        note("coroutine")

    loop.run_until_complete(main())
    assert order == ["timer", "scheduled", "coroutine"]
    assert threads == {threading.get_ident()}


def test_the_reactor_s_deadline_ends_asyncio_s_sleep_and_the_other_way_round(loop: Loop, reactor: Reactor) -> None:
    async def main() -> None:
        fired = loop.create_future()
        reactor.call_later(0.002, fired.set_result, "reactor")
        async with asyncio.timeout(PATIENCE):
            assert await fired == "reactor"
        timer = reactor.call_later(PATIENCE, pytest.fail)
        await asyncio.sleep(0.002)
        timer.cancel()

    loop.run_until_complete(main())


def test_asyncio_tells_the_time_by_the_reactor_s_clock() -> None:
    clock = FakeClock()
    with contextlib.closing(Reactor(clock)) as reactor, Loop(reactor) as loop:
        called: list[float] = []
        loop.call_at(1005, called.append, 1005)
        loop.call_soon(clock.advance, 5)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.stop()
        loop.run_forever()
        assert loop.time() == 1005
        assert called == [1005]


def test_scheduling_in_a_task_costs_no_system_call(loop: Loop, reactor: Reactor) -> None:
    writer = count_sends(reactor)
    calls: list[int] = []

    async def main() -> None:
        for number in range(50):
            reactor.call_soon(calls.append, number)
            reactor.call_later(-1, calls.append, number)
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert (len(calls), writer.sends) == (100, 0)


def test_between_two_runs_somebody_may_sleep_and_is_woken(loop: Loop, reactor: Reactor) -> None:
    loop.run_until_complete(asyncio.sleep(0))
    writer = count_sends(reactor)
    reactor.call_soon(lambda: None)
    assert writer.sends == 1
    with selectors.DefaultSelector() as host:
        host.register(reactor.fileno(), READ)
        assert host.select(0)
    reactor.poll(0)


def test_another_thread_wakes_either_side(loop: Loop, reactor: Reactor) -> None:
    async def main() -> None:
        for call in (loop.call_soon_threadsafe, reactor.call_soon_threadsafe):
            answer = loop.create_future()
            thread = threading.Thread(target=call, args=(answer.set_result, call))
            async with asyncio.timeout(PATIENCE):
                thread.start()
                assert await answer == call
            thread.join()

    loop.run_until_complete(main())


def test_an_idle_loop_takes_next_to_no_turns(loop: Loop, reactor: Reactor) -> None:
    async def main() -> int:
        await asyncio.sleep(0)
        before = reactor.turn
        await asyncio.sleep(0.3)
        return reactor.turn - before

    with contextlib.closing(Server(hello, reactor=reactor)) as server:
        server.listen()
        assert loop.run_until_complete(main()) <= 3


def test_an_interrupt_in_a_turn_passes_through_and_leaves_both_fit(loop: Loop, reactor: Reactor) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    reactor.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert not reactor.awake
    loop.run_until_complete(asyncio.sleep(0.001))
    assert reactor.poll(0) == 0


def test_a_coroutine_can_neither_poll_nor_run_nor_close_the_reactor(loop: Loop, reactor: Reactor) -> None:
    async def main() -> None:
        for misuse in (lambda: reactor.poll(0), reactor.run, reactor.close):
            with pytest.raises(RuntimeError, match="called from a callback"):
                misuse()

    loop.run_until_complete(main())
    assert reactor.poll(0) == 0


def test_a_callback_of_the_reactor_cannot_run_the_loop(loop: Loop, reactor: Reactor) -> None:
    errors: list[str] = []

    def misuse() -> None:
        try:
            loop.run_forever()
        except RuntimeError as error:
            errors.append(str(error))

    reactor.call_soon(misuse)
    reactor.poll(0)
    loop.call_soon(misuse)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert errors[0].startswith("a callback of the reactor")
    assert errors[1] == "This event loop is already running"
    assert not reactor.awake


# -- whose the reactor is


def test_a_loop_leaves_a_reactor_that_it_was_given_open_and_empty(reactor: Reactor) -> None:
    loop = Loop(reactor)
    assert loop.reactor is reactor
    loop.close()
    loop.close()
    assert loop.is_closed()
    reactor.call_soon(reactor.stop)
    reactor.run()


def test_a_loop_closes_a_reactor_that_it_has_made() -> None:
    loop = Loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.reactor.poll(0)


def test_a_loop_may_be_closed_within_its_block() -> None:
    with Loop() as loop:
        loop.close()


def test_a_running_loop_is_not_closed_and_neither_is_its_reactor() -> None:
    async def main(loop: Loop) -> None:
        with pytest.raises(RuntimeError, match="running"):
            loop.close()

    with Loop() as loop:
        loop.run_until_complete(main(loop))


def test_a_loop_may_be_closed_after_its_reactor() -> None:
    reactor = Reactor()
    loop = Loop(reactor)
    reactor.close()
    loop.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc/self/fd")
def test_loops_that_come_and_go_leave_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with Loop() as loop:
            loop.run_until_complete(asyncio.sleep(0))
    assert len(os.listdir("/proc/self/fd")) == before


# -- what asyncio programs do


def test_a_runner_runs_on_it(reactor: Reactor) -> None:
    async def main() -> tuple[object, Reactor]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        return await asyncio.to_thread(threading.get_ident), loop.reactor

    with asyncio.Runner(loop_factory=lambda: Loop(reactor)) as runner:
        thread, on = runner.run(main())
    assert thread != threading.get_ident()
    assert on is reactor


def test_subprocesses(loop: Loop) -> None:
    async def main() -> tuple[bytes, int | None]:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(input()[::-1])",
                                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await process.communicate(b"abc\n")
        return out, process.returncode

    assert loop.run_until_complete(asyncio.wait_for(main(), PATIENCE)) == (b"cba\n", 0)


def test_streams_on_both_ends(loop: Loop) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        payload = os.urandom(1 << 20)
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(payload)
            writer.write_eof()
            assert await reader.read() == payload
            writer.close()
            await writer.wait_closed()

    loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))


def test_timeouts_and_calls_from_threads(loop: Loop) -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(PATIENCE)
        return await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001, 42), loop).result(PATIENCE))

    assert loop.run_until_complete(main()) == 42


# -- beside a server


def address_of(server: Server) -> tuple[str, int]:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return address


async def fetch(server: Server, request: bytes = LAST_GET) -> bytes:
    reader, writer = await asyncio.open_connection(*address_of(server))
    writer.write(request)
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


def test_a_server_and_its_asyncio_clients_share_the_loop(loop: Loop, reactor: Reactor) -> None:
    async def visits(server: Server) -> list[bytes]:
        return await asyncio.gather(*[fetch(server, GET * 100 + LAST_GET) for _ in range(20)])

    with contextlib.closing(Server(hello, reactor=reactor)) as server:
        server.listen()
        answers = loop.run_until_complete(asyncio.wait_for(visits(server), PATIENCE))
    assert [len(read_answers(data)) for data in answers] == [101] * 20


def test_handlers_are_coroutines_while_plain_ones_go_on(loop: Loop, reactor: Reactor) -> None:
    both = asyncio.Event()
    waiting: list[Request] = []

    async def handler(request: Request) -> Response:
        waiting.append(request)
        if len(waiting) == 10:
            both.set()  # each of them needs all the others
        await both.wait()
        assert asyncio.get_running_loop() is loop
        return Response(await asyncio.to_thread(lambda: "from a thread"))

    async def main(server: Server) -> list[bytes]:
        return await asyncio.gather(*[fetch(server) for _ in range(10)])

    with contextlib.closing(Server(AsyncApplication(handler), reactor=reactor)) as server:
        server.listen()
        answers = loop.run_until_complete(asyncio.wait_for(main(server), PATIENCE))
    assert {read_answers(data)[0].body for data in answers} == {b"from a thread"}


def test_a_reset_cancels_the_task_of_its_request(loop: Loop, reactor: Reactor) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        asked.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response("too late")

    async def main(server: Server) -> None:
        with socket.create_connection(address_of(server), PATIENCE) as client:
            client.sendall(GET)
            await asked.wait()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        await cancelled.wait()

    with contextlib.closing(Server(AsyncApplication(handler), reactor=reactor)) as server:
        server.listen()
        loop.run_until_complete(asyncio.wait_for(main(server), PATIENCE))
