"""Threads for handlers that wait for something, as many as an application says, and no endless queue before them.

The standard library's pool takes all that it is given and keeps it; here a place in the queue is
taken or refused at once, so that a burst is answered with 503 and not with an ever longer wait.
Nothing here knows requests: a function goes in, its future comes out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Workers:
    """A pool of threads that takes no more work than it has been given room for."""

    def __init__(self, threads: int, queue: int) -> None:
        self._threads = threads
        self._queue = queue
        self._room = threading.BoundedSemaphore(threads + queue)
        self._pool: ThreadPoolExecutor | None = None
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def queue(self) -> int:
        """How many may wait."""
        return self._queue

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any] | None:
        """Run `function` in a thread; None if there is no room."""
        if not self._room.acquire(blocking=False):
            return None
        refused = threading.Event()
        try:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="evloop_http.worker")
                future = self._pool.submit(self._run, refused, function, *args)
                self._busy += 1
        except RuntimeError:  # no more threads are to be had; the pool keeps the work all the same
            refused.set()
            self._room.release()
            raise
        future.add_done_callback(self._on_done)
        return future

    def _run(self, refused: threading.Event, function: Callable[..., Any], *args: Any) -> Any:
        if refused.is_set():
            return None
        # The place is free before the outcome is known: whoever sees the outcome finds room.
        try:
            return function(*args)
        finally:
            self._leave()

    def _on_done(self, future: Future[Any]) -> None:
        if future.cancelled():
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
        self._room.release()

    def close(self) -> None:
        """End the threads; one that still works is not waited for."""
        with self._lock:
            pool, self._pool = self._pool, None
            idle = not self._busy
        if pool is not None:
            pool.shutdown(wait=idle, cancel_futures=True)
