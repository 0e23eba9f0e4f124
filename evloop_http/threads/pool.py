"""Threads for handlers that wait for something: as many as an application says, with a bounded queue before them.

A place in the queue is given or refused at once, so that a burst is answered with 503 and not with an ever longer
wait. Nothing here knows requests: a function goes in, its future comes out.

*A thread that produces a body is lost to the others for as long as its client reads*, and a client may read
slowly, or nothing. So it leaves its place in the pool to another one, up to a number of such threads; beyond
that, it keeps the place.

Threads are started when there is work and no idle thread, and they are daemons: a handler that never returns
does not keep the program from ending. All threads of one generation are a `_Crew`, which `close` dismisses;
a later job gets a new one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..messages.futures import OwnedFuture

logger = logging.getLogger("evloop_http.app")

_here = threading.local()


class Further(NamedTuple):
    """The result of a job that has more to do in its thread once the result is known."""

    result: Any
    work: Callable[[], object]


def is_worker() -> bool:
    """Whether the calling thread belongs to a pool, so that it may wait."""
    return getattr(_here, "home", None) is not None


def home_thread() -> int:
    """The identity of the thread that must not wait: the caller's, or the one that gave a worker its job."""
    home: int | None = getattr(_here, "home", None)
    return threading.get_ident() if home is None else home


class _Call:
    """A function to call with these arguments, once: it is emptied then, or when nobody wants the result any more."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments

    def __call__(self) -> tuple[Any, BaseException | None]:
        """Return the result or the exception."""
        function, arguments = self._function, self._arguments
        self.drop()
        try:
            return function(*arguments), None
        except BaseException as error:
            return None, error

    def drop(self) -> None:
        """Let go of what the call holds: a request with its body, for example."""
        self._function, self._arguments = _nothing, ()


def _nothing() -> None:
    pass


class _Job:
    """A call, and the future of its result."""

    __slots__ = ("call", "future", "home")

    def __init__(self, call: _Call) -> None:
        self.call = call
        self.future: Future[Any] = OwnedFuture()
        self.home = threading.get_ident()


class _Crew:
    """The threads that take jobs from one queue."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        #: threads that wait for a job which nobody has promised them yet
        self.idle = 0
        #: threads that have left their places to others, because they produce a body
        self.producing = 0
        #: jobs in the queue, at the most, that were cancelled
        self.cancelled = 0


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
        self._room = threads + queue
        self._lock = threading.Lock()
        self._crew = _Crew()
        self._numbers = count(1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any] | None:
        """Call `function` in a thread. Return None if there is no room.

        If it returns a `Further`, the future has its `result`, and the thread goes on with its `work`.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        call = _Call(function, arguments)
        job = _Job(call)
        with self._lock:
            if not self._room:
                return None
            crew = self._crew
            if crew.idle:
                crew.idle -= 1
            elif len(crew.threads) - crew.producing < self.most:
                self._start_thread(crew)
            self._room -= 1
            job.future.add_done_callback(partial(self._on_done, crew, call))
            crew.jobs.put(job)
        return job.future

    def _start_thread(self, crew: _Crew) -> None:
        name = f"{self.thread_name}-{next(self._numbers)}"
        thread = threading.Thread(target=self._run, args=[crew], name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more; those that there are will get to it
            if not crew.threads:
                raise
        else:
            crew.threads.append(thread)

    def close(self) -> None:
        """Cancel what waits, and end the threads. A thread that still works is not waited for."""
        with self._lock:
            crew, self._crew = self._crew, _Crew()
            threads = list(crew.threads)
        cancelled = []
        with contextlib.suppress(Empty):
            while True:
                cancelled.append(crew.jobs.get_nowait())
        for job in cancelled:
            if job is not None:
                job.future.cancel()
        for _ in threads:
            crew.jobs.put(None)
        if self._room == self.most + self.queue and not crew.producing:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()

    # In a thread of the pool

    def _run(self, crew: _Crew) -> None:
        try:
            while self._do_next(crew):
                pass
        finally:
            with self._lock, contextlib.suppress(ValueError):
                crew.threads.remove(threading.current_thread())

    def _do_next(self, crew: _Crew) -> bool:
        """Do a job. Return False if the crew is dismissed."""
        job = self._take(crew)
        if job is None:
            return False
        future, _here.home = job.future, job.home
        if not future.set_running_or_notify_cancel():
            with self._lock:
                crew.cancelled = max(0, crew.cancelled - 1)
            return True
        result, error = job.call()
        result, work = result if isinstance(result, Further) else (result, None)
        if work is None:
            self._leave()  # before the outcome is known: whoever sees the outcome finds room
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
        # An exception keeps the frames that it passed through and those below, so they must not keep it. And while
        # the work goes on, this frame must not be what keeps the response alive.
        del job, future, result, error
        return work is None or self._go_on(crew, work)

    def _go_on(self, crew: _Crew, work: Callable[[], object]) -> bool:
        """Do what is left of a job. Return False if the thread is one too many afterwards."""
        has_own_place = self._step_aside(crew)
        try:
            work()
        except BaseException:  # a thread of the pool does not end by it
            logger.exception("producing the body of a response failed")
        with self._lock:
            if not has_own_place:
                self._free_place()
                return True
            crew.producing -= 1
            return len(crew.threads) - crew.producing <= self.most

    def _step_aside(self, crew: _Crew) -> bool:
        """Leave the place in the pool to another thread. Return False if too many have done so."""
        with self._lock:
            if crew.producing >= self.producing:
                return False
            crew.producing += 1
            self._free_place()
            if not crew.idle and not crew.jobs.empty():
                with contextlib.suppress(RuntimeError):  # no thread is to be had: the others will get to it
                    self._start_thread(crew)
            return True

    def _take(self, crew: _Crew) -> _Job | None:
        with self._lock:  # or a job might be put between the look and the count
            try:
                return crew.jobs.get_nowait()
            except Empty:
                crew.idle += 1
        return crew.jobs.get()

    def _on_done(self, crew: _Crew, call: _Call, future: Future[Any]) -> None:
        if not future.cancelled():
            return
        call.drop()
        with self._lock:
            self._room += 1
            crew.cancelled += 1
            if crew.cancelled > self.most + self.queue:
                self._sweep(crew)

    def _sweep(self, crew: _Crew) -> None:
        """Take the cancelled jobs out of the queue, which would grow by them while all threads are at work."""
        crew.cancelled = 0
        waiting = []
        with contextlib.suppress(Empty):
            while True:
                waiting.append(crew.jobs.get_nowait())
        for job in waiting:
            if job is None or not job.future.cancelled():
                crew.jobs.put(job)

    def _leave(self) -> None:
        with self._lock:
            self._free_place()

    def _free_place(self) -> None:
        """Give up the place of the calling thread. Under the lock."""
        self._room += 1
