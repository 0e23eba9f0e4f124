"""A pool for streams whose clock the test holds, and which says when a handler begins to wait for its client."""

from __future__ import annotations

import threading
from typing import Any

from asking import PATIENCE
from evloop_http.threads.streams import Streams
from fakes import FakeClock


class WatchedStreams(Streams):
    """`Streams` whose time is the test's."""

    def __init__(self, threads: int, queue: int) -> None:
        self.clock = FakeClock()
        self._waits = threading.Semaphore(0)
        super().__init__(threads, queue, self.clock)

    def _note_wait(self, upload: Any, waits: bool) -> None:
        super()._note_wait(upload, waits)
        if waits:
            self._waits.release()

    def await_waits(self, number: int) -> None:
        """Return when handlers have begun to wait for their clients so many times more."""
        for _ in range(number):
            assert self._waits.acquire(timeout=PATIENCE)
