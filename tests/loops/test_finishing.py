"""How a loop ends: tasks, generators and threads are waited for, and nothing is waited for without a bound."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from evloop_http.loops.asyncio import Loop

PATIENCE = 20


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_an_end_with_nothing_left_takes_no_time_and_may_come_twice(loop: Loop) -> None:
    before = loop.reactor.turn
    loop.finish(PATIENCE)
    loop.finish(PATIENCE)
    assert loop.reactor.turn - before < 10


def test_tasks_are_cancelled_and_waited_for(loop: Loop) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0.001)
            ended.append(name)

    tasks = [loop.create_task(work(name)) for name in "ab"]
    loop.run_until_complete(asyncio.sleep(0))
    loop.finish(PATIENCE)
    assert sorted(ended) == ["a", "b"]
    assert all(task.cancelled() for task in tasks)


def test_a_task_that_was_cancelled_before_the_end_may_clean_up(loop: Loop) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0.001)
            ended.append("clean")

    task = loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.finish(PATIENCE)
    assert ended == ["clean"]


def test_a_task_that_went_on_after_its_cancellation_is_cancelled_again(loop: Loop,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        await asyncio.sleep(PATIENCE)

    task = loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.finish(0)
    assert task.cancelled()
    assert caplog.messages == []


def test_what_fails_when_it_is_cancelled_is_told_to_the_exception_handler(loop: Loop) -> None:
    told: list[object] = []

    async def work() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            raise ValueError("at the end")

    loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    task = loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    loop.finish()
    assert told == [task.exception()]


async def stubborn(rounds: list[int], release: asyncio.Event) -> None:
    while not release.is_set():
        try:
            await release.wait()
        except asyncio.CancelledError:
            rounds.append(1)


def test_a_task_that_goes_on_is_left_behind_and_named(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []
    release = asyncio.Event()
    task = loop.create_task(stubborn(rounds, release), name="stubborn")
    loop.run_until_complete(asyncio.sleep(0))
    loop.finish(0)
    assert rounds
    assert "tasks that were cancelled go on" in caplog.text
    assert "stubborn" in caplog.text
    release.set()
    loop.run_until_complete(task)


def test_hurry_ends_a_long_wait(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []
    release = asyncio.Event()
    task = loop.create_task(stubborn(rounds, release))
    loop.run_until_complete(asyncio.sleep(0))
    loop.hurry()  # nobody waits
    loop.call_later(0.01, loop.hurry)
    loop.finish(1000)
    assert "go on" in caplog.text
    release.set()
    loop.run_until_complete(task)


def test_a_task_that_stops_the_loop_when_it_is_cancelled_does_not_stop_the_end(loop: Loop) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            loop.stop()
            await asyncio.sleep(0.001)
            ended.append("ended")

    loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    loop.finish(PATIENCE)
    assert ended == ["ended"]


def test_generators_are_closed(loop: Loop) -> None:
    ended: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    generator = numbers()

    async def first() -> int:
        return await anext(generator)

    assert loop.run_until_complete(first()) == 1
    loop.finish(PATIENCE)
    assert ended == ["closed"]


@pytest.mark.parametrize("how", ["to_thread", "run_in_executor"])
def test_threads_are_waited_for_while_the_loop_serves_them(loop: Loop, how: str) -> None:
    results: list[int] = []
    started = threading.Event()
    go_on = threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(PATIENCE)
        results.append(asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 42), loop).result(PATIENCE))

    async def main() -> None:
        if how == "to_thread":
            tasks.append(asyncio.create_task(asyncio.to_thread(work)))
        else:
            loop.run_in_executor(None, work)
        while not started.is_set():
            await asyncio.sleep(0.001)

    tasks: list[asyncio.Task[None]] = []
    loop.run_until_complete(main())
    loop.call_later(0.01, go_on.set)
    loop.finish(PATIENCE)
    assert results == [42]


def test_a_thread_that_does_not_end_is_left_behind(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    loop.run_in_executor(None, release.wait, PATIENCE)
    loop.finish(0)
    loop.close()
    release.set()
    assert caplog.messages == ["threads of asyncio.to_thread or of the loop's default executor are still at work"]


def test_a_running_or_closed_loop_is_not_finished(loop: Loop) -> None:
    async def misuse() -> None:
        with pytest.raises(RuntimeError, match="running"):
            loop.finish()

    loop.run_until_complete(misuse())
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.finish()
