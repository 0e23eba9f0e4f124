"""Threads for handlers that wait for something: as many as an application says, with a bounded queue before them.

A place in the queue is given or refused at once, so that a burst is answered with 503 and not with an ever longer
wait. Nothing here knows requests: a function goes in, its future comes out.

Threads are started when there is work and no idle thread, and they are daemons: a handler that never returns
does not keep the program from ending. All threads of one generation are a `_Crew`, which `close` dismisses;
a later job gets a new one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

_here = threading.local()


class Further(NamedTuple):
    """The result of a job that has more to do in its thread once the result is known. It keeps its place till then."""

    result: Any
    work: Callable[[], object]


def is_worker() -> bool:
    """Whether the calling thread belongs to a pool, so that it may wait."""
    return getattr(_here, "home", None) is not None


def home_thread() -> int:
    """The identity of the thread that must not wait: the caller's, or the one that gave a worker its job."""
    home: int | None = getattr(_here, "home", None)
    return threading.get_ident() if home is None else home


class _Job:
    """A function to call, and the future of its result."""

    __slots__ = ("arguments", "function", "future", "home")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.future: Future[Any] = Future()
        self.home = threading.get_ident()


class _Crew:
    """The threads that take jobs from one queue."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        #: threads that wait for a job which nobody has promised them yet
        self.idle = 0


class Threads:
    """A pool of threads that accepts no more jobs than it has room for.

    Args:
        threads: how many at most.
        queue: jobs that may wait for a thread.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self.most = threads
        self.queue = queue
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
        job = _Job(function, arguments)
        with self._lock:
            if not self._room:
                return None
            crew = self._crew
            if crew.idle:
                crew.idle -= 1
            elif len(crew.threads) < self.most:
                self._start_thread(crew)
            self._room -= 1
            job.future.add_done_callback(self._on_done)
            crew.jobs.put(job)
        return job.future

    def _start_thread(self, crew: _Crew) -> None:
        name = f"evloop_http.worker-{next(self._numbers)}"
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
        cancelled = []
        with contextlib.suppress(Empty):
            while True:
                cancelled.append(crew.jobs.get_nowait())
        for job in cancelled:
            if job is not None:
                job.future.cancel()
        for _ in crew.threads:
            crew.jobs.put(None)
        if self._room == self.most + self.queue:
            for thread in crew.threads:
                if thread is not threading.current_thread():
                    thread.join()

    # In a thread of the pool

    def _run(self, crew: _Crew) -> None:
        while self._do_next(crew):
            pass

    def _do_next(self, crew: _Crew) -> bool:
        """Do a job. Return False if the crew is dismissed."""
        job = self._take(crew)
        if job is None:
            return False
        future, _here.home = job.future, job.home
        if not future.set_running_or_notify_cancel():
            return True
        result, error = _call(job.function, job.arguments)
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
        if work is not None:
            try:
                work()
            finally:
                self._leave()
        return True

    def _take(self, crew: _Crew) -> _Job | None:
        with self._lock:  # or a job might be put between the look and the count
            try:
                return crew.jobs.get_nowait()
            except Empty:
                crew.idle += 1
        return crew.jobs.get()

    def _on_done(self, future: Future[Any]) -> None:
        if future.cancelled():
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._room += 1


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """Return the result or the exception."""
    try:
        return function(*arguments), None
    except BaseException as error:
        return None, error
