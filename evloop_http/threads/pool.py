"""Threads for handlers that wait for something: as many as an application says, with a bounded queue before them.

A place in the queue is given or refused at once, so that a burst is answered with 503 and not with an ever longer
wait. Nothing here knows requests: a function goes in, and what is pending comes out.

*A thread that produces a body is lost to the others for as long as its client reads*, and a client may read
slowly, or nothing. So it leaves its place in the pool to another one, up to a number of such threads; beyond
that, it keeps the place.

Threads are started when there are more jobs than threads, and they are daemons: a handler that never returns does not
keep the program from ending. All threads of one generation are a `_Crew`, which `close` dismisses; a later job gets
a new one.

*No lock on the way of a job.* A place is a token in a list, a job's work another, and whoever takes one out has it:
that is atomic. The lock is for what is rare: starting threads, and producing.

*Threads that sleep are woken one by one.* A loop that hands out a job has more to do, and in this interpreter only one
thread runs at a time: a worker that is woken for each job takes turns with the loop, which costs more than a short
job. So it is woken behind the loop's turn, once for all jobs of it, and each wakes another before it begins if there
is more. Nobody has to be told of a job that comes while a worker is awake: it looks again before it sleeps, in an order
that loses nothing:

    who puts a job:    1. put it                   2. look who sleeps
    who goes to sleep: 1. say that it sleeps       2. look for a job
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from ..messages.pending import Pending

logger = logging.getLogger("evloop_http.threads")

#: Has something called at the end of a loop's turn.
CallSoon: TypeAlias = Callable[[Callable[[], object]], object]

_here = threading.local()


class Further(NamedTuple):
    """The result of a job that has more to do in its thread once the result is known."""

    result: Any
    work: Callable[[], object]


def is_worker() -> bool:
    """Whether the calling thread belongs to a pool, so that it may wait."""
    return getattr(_here, "home", None) is not None


def hand_over(result: Any) -> None:
    """Give the result of the calling thread's job to whoever waits, before its function returns.

    It is `Further` for a function that cannot return yet: the thread leaves its place in the pool and goes on with what
    it is doing, and what the function returns in the end is ignored. Whoever calls this should not keep the result.

    Raises:
        RuntimeError: the thread belongs to no pool, or has handed its result over.
    """
    job: _Job | None = getattr(_here, "job", None)
    if job is None:
        raise RuntimeError("only a worker has a result to hand over, and only once")
    _here.job = None
    job.settle(result)
    del job, result
    pool, crew = _here.crew
    _here.has_own_place = pool.step_aside(crew)


def home_thread() -> int:
    """The identity of the thread that must not wait: the caller's, or the one that gave a worker its job."""
    home: int | None = getattr(_here, "home", None)
    return threading.get_ident() if home is None else home


class _Job(Pending[Any]):
    """A call to make, and what is pending of it."""

    __slots__ = ("_crew", "_work", "home")

    def __init__(self, crew: _Crew, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self._crew = crew
        self._work = [(function, arguments)]  # whoever takes it out does it, or sees that nobody will
        #: the thread that gave the job
        self.home = threading.get_ident()

    def take(self) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """Return the work, which nobody else gets then; None if it was cancelled."""
        try:
            return self._work.pop()
        except IndexError:
            return None

    def running(self) -> bool:
        return not self._work and not self._done

    def cancel(self) -> bool:
        """Give up on a job that has not begun. Return False if a thread is at work on it: nothing interrupts that."""
        if self.take() is None:
            return self._cancelled
        super().cancel()
        self._crew.note_cancelled()
        return True


class _Crew:
    """The threads that take jobs from one queue, and sleep while there are none."""

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self.jobs: deque[_Job] = deque()
        self.threads: list[threading.Thread] = []
        #: threads that have left their places to others, because they produce a body
        self.producing = 0
        #: jobs in the queue, at the most, that were cancelled
        self.cancelled = 0
        #: a token for each thread that has given up its place, and still tells the outcome to whoever waits
        self.telling: list[None] = []
        self._sleeping: list[threading.Lock] = []  # for each thread that sleeps, the lock that it sleeps on
        self._promised: CallSoon | None = None  # what will wake a thread soon
        self._is_dismissed = False

    def wanted(self) -> int:
        """Return how many threads would be at work if there were enough, those that produce not counted."""
        return self._pool.accepted() + len(self.telling)

    def available(self) -> int:
        """Return how many threads there are, those that produce not counted."""
        return len(self.threads) - self.producing

    def put(self, job: _Job, call_soon: CallSoon | None) -> None:
        """Hand a job to the next thread that is free."""
        self.jobs.append(job)
        if not self._sleeping:
            return  # whoever is at work looks for more before it sleeps
        if call_soon is None:
            self.wake()
        elif self._promised is not call_soon:
            self._promised = call_soon
            call_soon(self._keep_promise)

    def _keep_promise(self) -> None:
        self._promised = None
        if self.jobs:
            self.wake()

    def wake(self) -> None:
        """Wake one thread, if any sleeps."""
        with contextlib.suppress(IndexError):
            self._sleeping.pop().release()  # the one that has worked last

    def take(self, sleep: threading.Lock) -> _Job | None:
        """Return the next job, and sleep until there is one. None when the crew is dismissed.

        Args:
            sleep: a lock of the calling thread's own, which it holds.
        """
        jobs, sleeping = self.jobs, self._sleeping
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                pass
            else:
                if jobs and sleeping:
                    self.wake()  # this job may last
                return job
            if self._is_dismissed:
                return None
            sleeping.append(sleep)
            if jobs or self._is_dismissed:  # that was just before it could be seen that this thread sleeps
                with contextlib.suppress(ValueError):  # somebody is waking it
                    sleeping.remove(sleep)
                    continue
            sleep.acquire()

    def dismiss(self) -> None:
        """Cancel what waits, and end the threads: those too that are only just being started."""
        self._is_dismissed = True
        self.cancel_all()
        while self._sleeping:
            self.wake()

    def cancel_all(self) -> None:
        """Cancel what waits."""
        with contextlib.suppress(IndexError):
            while True:
                self.jobs.popleft().cancel()

    def note_cancelled(self) -> None:
        """Free the place of a job that waited."""
        self._pool.note_cancelled(self)


class Threads:
    """A pool of threads that accepts no more jobs than it has room for.

    Args:
        threads: how many at most.
        queue: jobs that may wait for a thread.
        producing: threads beside those, at most, that produce the body of a response.

    Raises:
        ValueError: there is no thread at all, or a number is negative.
    """

    #: of its threads, before their numbers
    thread_name = "evloop_http.worker"

    def __init__(self, threads: int, queue: int, producing: int = 64) -> None:
        if threads < 1 or queue < 0 or producing < 0:
            raise ValueError("a pool has at least one thread, and no number of it is negative")
        self.most = threads
        self.queue = queue
        self.producing = producing
        self._places = [None] * (threads + queue)  # a token for each that is free
        self._lock = threading.Lock()
        self._crew = _Crew(self)
        self._numbers = count(1)

    def accepted(self) -> int:
        """Return how many jobs have a place: in a thread, or in the queue."""
        return self.most + self.queue - len(self._places)

    def submit(self, function: Callable[..., Any], *arguments: Any,
               call_soon: CallSoon | None = None) -> Pending[Any] | None:
        """Call `function` in a thread. Return None if there is no room.

        If it returns a `Further`, what is pending has its `result`, and the thread goes on with its `work`.

        Args:
            call_soon: of a loop in its turn, which has more to do before it sleeps. A thread that sleeps is woken
                behind that: at once it would only take the interpreter away from the loop, for every job anew.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        try:
            self._places.pop()
        except IndexError:
            return None
        crew = self._crew
        if crew.available() < crew.wanted():
            try:
                self._grow(crew)
            except RuntimeError:
                if not crew.threads:
                    self._free_place()
                    raise
        job = _Job(crew, function, arguments)
        crew.put(job, call_soon)
        if crew is not self._crew:  # closed meanwhile, so perhaps nobody takes it
            crew.cancel_all()
        return job

    def _grow(self, crew: _Crew) -> None:
        """Start a thread for a job that has a place, unless there are as many as may be."""
        with self._lock:
            if crew.available() < min(self.most, crew.wanted()):
                self._start_thread(crew)

    def _start_thread(self, crew: _Crew) -> None:
        name = f"{self.thread_name}-{next(self._numbers)}"
        thread = threading.Thread(target=self._run, args=[crew], name=name, daemon=True)
        thread.start()
        crew.threads.append(thread)

    def close(self) -> None:
        """Cancel what waits, and end the threads. A thread that still works is not waited for."""
        with self._lock:
            crew, self._crew = self._crew, _Crew(self)
            threads = list(crew.threads)
        crew.dismiss()
        if not self.accepted() and not crew.producing:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()

    def note_cancelled(self, crew: _Crew) -> None:
        """Free the place of a job that waited, and was cancelled."""
        self._places.append(None)
        with self._lock:
            crew.cancelled += 1
            if crew.cancelled > self.most + self.queue:
                self._sweep(crew)

    def _sweep(self, crew: _Crew) -> None:
        """Take the cancelled jobs out of the queue, which would grow by them while all threads are at work."""
        crew.cancelled = 0
        for _ in range(len(crew.jobs)):
            with contextlib.suppress(IndexError):  # the threads take them too
                job = crew.jobs.popleft()
                if not job.cancelled():
                    crew.jobs.append(job)
        if crew.jobs:  # a thread may have gone to sleep while the last one was in hand here
            crew.wake()

    # In a thread of the pool

    def _run(self, crew: _Crew) -> None:
        sleep = threading.Lock()
        sleep.acquire()
        _here.crew = self, crew
        try:
            while self._do_next(crew, sleep):
                pass
        finally:
            with self._lock, contextlib.suppress(ValueError):
                crew.threads.remove(threading.current_thread())

    def _do_next(self, crew: _Crew, sleep: threading.Lock) -> bool:
        """Do a job. Return False if the crew is dismissed."""
        job = crew.take(sleep)
        if job is None:
            return False
        call = job.take()
        if call is None:
            with self._lock:
                crew.cancelled = max(0, crew.cancelled - 1)
            return True
        _here.home, _here.job = job.home, job
        del job  # or this frame would keep what is handed over
        result, error = _attempt(*call)
        del call
        job, _here.job = _here.job, None
        if job is None:
            if error is not None:
                logger.error("what followed a result that was handed over failed", exc_info=error)
            return self._come_back(crew, _here.has_own_place)
        result, work = result if isinstance(result, Further) else (result, None)
        if work is None:
            crew.telling.append(None)
            self._free_place()  # before the outcome is known: whoever sees the outcome finds room
        if error is None:
            job.settle(result)
        else:
            job.fail(error)
        # An exception keeps the frames that it passed through and those below, so they must not keep it. And while
        # the work goes on, this frame must not be what keeps the response alive.
        del job, result, error
        if work is not None:
            return self._go_on(crew, work)
        crew.telling.pop()
        return True

    def _go_on(self, crew: _Crew, work: Callable[[], object]) -> bool:
        """Do what is left of a job. Return False if the thread is one too many afterwards."""
        has_own_place = self.step_aside(crew)
        try:
            work()
        except BaseException:  # a thread of the pool does not end by it
            logger.exception("producing the body of a response failed")
        return self._come_back(crew, has_own_place)

    def _come_back(self, crew: _Crew, has_own_place: bool) -> bool:
        """Have the thread do jobs again. Return False if it is one too many."""
        if not has_own_place:
            self._free_place()
            return True
        with self._lock:
            crew.producing -= 1
            return crew.available() <= self.most

    def step_aside(self, crew: _Crew) -> bool:
        """Leave the place of the calling thread to another one. Return False if too many have done so."""
        with self._lock:
            if crew.producing >= self.producing:
                return False
            crew.producing += 1
        self._free_place()
        with contextlib.suppress(RuntimeError):  # no thread is to be had: the others will get to it
            self._grow(crew)
        return True

    def _free_place(self) -> None:
        """Give up the place of the calling thread."""
        self._places.append(None)


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """Return the result or the exception."""
    try:
        return function(*arguments), None
    except BaseException as error:
        return None, error
