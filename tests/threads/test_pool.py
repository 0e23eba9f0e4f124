"""The threads for handlers that wait: how many, how many jobs, and what they leave behind."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from asking import PATIENCE
from evloop_http.messages.pending import Pending
from evloop_http.threads.pool import Further, Threads, hand_over, home_thread, is_worker


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(2, 1)
    yield threads
    threads.close()


class Gate:
    """A job that waits until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self) -> str:
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return threading.current_thread().name

    def wait_for(self, jobs: int) -> None:
        for _ in range(jobs):
            assert self.entered.acquire(timeout=PATIENCE)


def submitted(threads: Threads, function: Any, *arguments: Any) -> Pending[Any]:
    future = threads.submit(function, *arguments)
    assert future is not None
    return future


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline


def names() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("evloop_http.worker"))


def test_a_function_runs_in_a_thread_with_its_arguments(threads: Threads) -> None:
    assert submitted(threads, divmod, 7, 3).result(PATIENCE) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        submitted(threads, divmod, 7, 0).result(PATIENCE)


def test_threads_are_daemons_started_one_by_one_when_they_are_needed(threads: Threads) -> None:
    assert names() == []
    gate = Gate()
    first = submitted(threads, gate)
    gate.wait_for(1)
    assert names() == ["evloop_http.worker-1"]
    others = [submitted(threads, gate), submitted(threads, gate)]
    gate.wait_for(1)
    assert names() == ["evloop_http.worker-1", "evloop_http.worker-2"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name in names())
    assert threads.submit(gate) is None
    gate.open.set()
    assert {future.result(PATIENCE) for future in [first, *others]} == set(names())


@pytest.mark.parametrize("numbers", [(0, 1), (-1, 1), (1, -1), (1, 1, -1)])
def test_a_pool_without_a_thread_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one thread"):
        Threads(*numbers)


def test_an_idle_thread_is_used_again(threads: Threads) -> None:
    for _ in range(200):
        submitted(threads, int).result(PATIENCE)
        assert len(names()) <= 2


def test_every_outcome_makes_room_before_it_is_known(threads: Threads) -> None:
    one = Threads(1, 0)
    for _ in range(500):
        submitted(one, int).result(PATIENCE)
    one.close()


def test_a_cancelled_job_makes_room_and_is_never_done(threads: Threads) -> None:
    gate = Gate()
    running = [submitted(threads, gate), submitted(threads, gate)]
    gate.wait_for(2)
    for _ in range(5):
        queued = submitted(threads, gate)
        assert threads.submit(gate) is None
        assert queued.cancel()
        assert queued.cancel()
    gate.open.set()
    for future in running:
        future.result(PATIENCE)
    threads.close()
    assert not gate.entered.acquire(blocking=False)


def test_a_job_that_goes_on_leaves_its_place_to_another(threads: Threads) -> None:
    gate = Gate()
    goes_on = [submitted(threads, lambda: Further("known", gate)) for _ in range(2)]
    assert [future.result(PATIENCE) for future in goes_on] == ["known", "known"]
    gate.wait_for(2)
    assert submitted(threads, lambda: "short").result(PATIENCE) == "short"
    gate.open.set()


def test_a_job_that_waits_is_done_as_soon_as_another_goes_on() -> None:
    threads, gate, known = Threads(1, 1), Gate(), threading.Event()

    def job() -> Further:
        assert known.wait(PATIENCE)
        return Further("known", gate)

    first, second = submitted(threads, job), submitted(threads, lambda: "second")
    known.set()
    assert (first.result(PATIENCE), second.result(PATIENCE)) == ("known", "second")
    gate.open.set()
    threads.close()


def test_jobs_that_go_on_keep_their_places_beyond_so_many() -> None:
    threads, gate = Threads(1, 1, producing=1), Gate()
    for _ in range(2):
        assert submitted(threads, lambda: Further("known", gate)).result(PATIENCE) == "known"
    gate.wait_for(2)
    queued = submitted(threads, int)
    assert threads.submit(int) is None
    assert not queued.done()
    gate.open.set()
    assert queued.result(PATIENCE) == 0
    threads.close()


def test_jobs_that_were_cancelled_hold_nothing_and_do_not_gather(threads: Threads) -> None:
    class Burden:
        pass

    gate = Gate()
    for _ in range(2):
        submitted(threads, gate)
    gate.wait_for(2)
    seen = []
    for _ in range(100):
        burden = Burden()
        seen.append(weakref.ref(burden))
        assert submitted(threads, id, burden).cancel()
        del burden
    assert not any(ref() for ref in seen)
    assert len(threads._crew.jobs) < 10
    gate.open.set()
    assert submitted(threads, lambda: "still there").result(PATIENCE) == "still there"


def test_no_exception_of_what_goes_on_costs_a_thread(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise SystemExit(3)

    for _ in range(5):
        assert submitted(threads, lambda: Further("known", fail)).result(PATIENCE) == "known"
    assert submitted(threads, lambda: "still there").result(PATIENCE) == "still there"


def test_work_that_goes_on_does_not_keep_the_result_alive(threads: Threads) -> None:
    class Result:
        pass

    seen: list[weakref.ref[Result]] = []
    gate = Gate()

    def job() -> Further:
        result = Result()
        seen.append(weakref.ref(result))
        return Further(result, gate)

    future = submitted(threads, job)
    future.result(PATIENCE)
    gate.wait_for(1)
    del future
    assert seen[0]() is None
    gate.open.set()


def test_an_idle_thread_keeps_nothing_of_its_last_job(threads: Threads) -> None:
    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    submitted(threads, str, argument).result(PATIENCE)
    del argument
    submitted(threads, int).result(PATIENCE)
    threads.close()
    assert seen() is None


def test_a_worker_knows_who_must_not_wait(threads: Threads) -> None:
    here = threading.get_ident()
    assert (is_worker(), home_thread()) == (False, here)
    assert submitted(threads, lambda: (is_worker(), home_thread())).result(PATIENCE) == (True, here)


def test_a_thread_that_cannot_be_started_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(2, 0)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                threads.submit(int)
    gate = Gate()
    first = submitted(threads, gate)
    gate.wait_for(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        second = submitted(threads, int)  # the one thread that there is will get to it
    assert threads.submit(int) is None
    gate.open.set()
    assert (first.result(PATIENCE), second.result(PATIENCE)) == ("evloop_http.worker-4", 0)
    threads.close()


def test_close_cancels_what_waits_and_ends_what_is_idle(threads: Threads) -> None:
    gate = Gate()
    running = [submitted(threads, gate), submitted(threads, gate)]
    queued = submitted(threads, gate)
    gate.wait_for(2)
    threads.close()
    with pytest.raises(CancelledError):
        queued.result(0)
    assert submitted(threads, int).result(PATIENCE) == 0  # in a thread of a new generation
    gate.open.set()
    for future in running:
        future.result(PATIENCE)
    for thread in threading.enumerate():
        if thread.name in ("evloop_http.worker-1", "evloop_http.worker-2"):
            thread.join(PATIENCE)
    threads.close()
    assert names() == []
    threads.close()


def test_a_job_may_close_its_own_pool(threads: Threads) -> None:
    submitted(threads, threads.close).result(PATIENCE)


def test_nothing_is_left_to_the_garbage_collector(threads: Threads) -> None:
    def fail() -> None:
        raise ValueError

    submitted(threads, int).result(PATIENCE)
    gc.collect()
    gc.disable()
    try:
        for function in (int, fail):
            submitted(threads, function).exception(PATIENCE)
        threads.close()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_thread_that_sleeps_is_woken_once_behind_the_turn_of_the_loop_that_gives_it_jobs() -> None:
    """The fault: a thread was woken for every job, and took the interpreter away from the loop each time."""
    threads = Threads(1, 10)
    done = threading.Event()
    submitted(threads, done.set).result(PATIENCE)
    until(lambda: bool(threads._crew._sleeping))  # it tells of the outcome just before
    scheduled: list[Callable[[], object]] = []
    call_soon = scheduled.append
    jobs = [threads.submit(int, number, call_soon=call_soon) for number in range(5)]
    assert len(scheduled) == 1
    assert not any(job is None or job.done() for job in jobs)
    scheduled.pop()()
    assert [job.result(PATIENCE) for job in jobs if job is not None] == list(range(5))
    assert threads.submit(int, call_soon=call_soon) is not None
    threads.close()


def test_a_loop_that_breaks_its_promise_holds_nobody_else_up() -> None:
    threads = Threads(1, 10)
    submitted(threads, int).result(PATIENCE)
    until(lambda: bool(threads._crew._sleeping))
    forgotten: list[object] = []
    broken = threads.submit(int, "1", call_soon=forgotten.append)
    kept: list[Callable[[], object]] = []
    job = threads.submit(int, "2", call_soon=kept.append)
    kept.pop()()
    assert broken is not None
    assert job is not None
    assert (broken.result(PATIENCE), job.result(PATIENCE)) == (1, 2)
    threads.close()


def test_every_job_is_done_whenever_a_thread_goes_to_sleep() -> None:
    class Falling(list[Any]):
        """Those who sleep; a job comes just when one has said so, or just before."""

        def __init__(self, threads: Threads, before: bool) -> None:
            super().__init__()
            self.threads = threads
            self.before = before
            self.jobs: list[Pending[Any]] = []

        def come(self) -> None:
            if len(self.jobs) < 100:
                self.jobs.append(submitted(self.threads, int))

        def has_gathered(self, jobs: int) -> bool:
            return len(self.jobs) == jobs

        def append(self, sleeper: Any) -> None:
            if self.before:
                self.come()
            super().append(sleeper)
            if not self.before:
                self.come()

    for before in (True, False):
        threads = Threads(1, 10)
        threads._crew._sleeping = falling = Falling(threads, before)
        first = submitted(threads, int)
        assert first.result(PATIENCE) == 0
        until(partial(falling.has_gathered, 100))
        assert [job.result(PATIENCE) for job in falling.jobs] == [0] * 100
        threads.close()


def test_a_pool_that_is_closed_while_it_is_given_a_job_ends_its_threads_all_the_same() -> None:
    class Closing(deque[Any]):
        """A queue whose pool is closed just before a job comes."""

        def append(self, job: Any) -> None:
            pool.close()
            super().append(job)

    pool, gate = Threads(1, 1), Gate()
    submitted(pool, gate)
    gate.wait_for(1)
    (worker,) = pool._crew.threads
    pool._crew.jobs = Closing()
    assert submitted(pool, int).cancelled()
    gate.open.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()


def test_a_job_is_done_though_a_thread_goes_to_sleep_while_the_queue_is_swept() -> None:
    class Swept(deque[Any]):
        """A queue of which the only thread looks just when its last job is in the hand of the sweeper."""

        def popleft(self) -> Any:
            job = super().popleft()
            if job is last and not gate.open.is_set():
                gate.open.set()
                until(lambda: bool(pool._crew._sleeping))
            return job

    pool, gate = Threads(1, 3), Gate()
    submitted(pool, gate)
    gate.wait_for(1)
    last: Any = None
    pool._crew.jobs = Swept()
    for _ in range(4):
        assert submitted(pool, int).cancel()
    unwanted, last = submitted(pool, int), submitted(pool, int)
    assert unwanted.cancel()
    assert last.result(PATIENCE) == 0
    pool.close()


@pytest.mark.parametrize("seed", range(3))
def test_many_threads_that_give_jobs_and_cancel_them_lose_none_and_no_place(seed: int) -> None:
    threads, settled = Threads(3, 5, producing=2), Counter[str]()

    def job(chance: random.Random) -> object:
        kind = chance.randrange(4)
        if kind == 0:
            hand_over(kind)
        if kind == 1:
            raise ValueError
        return Further(kind, int) if kind == 2 else kind

    def give(chance: random.Random) -> None:
        turn: list[Callable[[], object]] = []
        given: list[Pending[Any]] = []
        for _ in range(300):
            pending = threads.submit(job, chance, call_soon=turn.append if chance.randrange(2) else None)
            if pending is not None:
                given.append(pending)
                pending.add_done_callback(lambda pending: calls.append(pending))
                if chance.randrange(3) == 0:
                    pending.cancel()
            if chance.randrange(2):
                while turn:
                    turn.pop()()
        while turn:
            turn.pop()()
        for pending in given:
            with suppress(ValueError, CancelledError):
                pending.result(PATIENCE)
        settled["given"] += len(given)

    calls: list[Pending[Any]] = []
    givers = [threading.Thread(target=give, args=[random.Random(seed * 10 + number)]) for number in range(4)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join(PATIENCE)
    assert not any(giver.is_alive() for giver in givers)
    until(lambda: threads.accepted() == 0 and not threads._crew.producing)
    assert len(calls) == len(set(map(id, calls))) == settled["given"]
    workers = list(threads._crew.threads)
    assert len(workers) <= 3
    threads.close()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
def test_a_job_that_comes_while_the_pool_is_closed_leaves_no_thread_behind() -> None:
    class ClosedMeanwhile(Threads):
        is_closing = False

        def _grow(self, crew: Any) -> None:
            if self.is_closing:
                self.close()
            super()._grow(crew)

    threads = ClosedMeanwhile(2, 1)
    gate = Gate()
    submitted(threads, gate)
    gate.wait_for(1)
    worker, = [thread for thread in threading.enumerate() if thread.name.startswith(threads.thread_name + "-")
               and thread in threads._crew.threads]
    threads.is_closing = True
    late = submitted(threads, gate)
    gate.open.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert late.done() or late.result(PATIENCE)
    threads.is_closing = False
    threads.close()
