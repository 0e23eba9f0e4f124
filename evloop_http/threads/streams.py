"""Threads for handlers that read a body while it arrives, and who has to go when there are too few of them.

Such a handler waits for its client, who may be slow on purpose. So it has a pool of its own: handlers with
`threaded=True` wait for a database or a file, and are not to wait for somebody's upload.

*Within the pool, the slowest goes first.* While others wait for a thread, an upload that keeps one waiting is ended
with 408: the slowest of those that are slow. For each that waits, one goes. Nothing happens to

    an upload while nobody waits: it may be as slow as the server allows (`Timeouts.stream_rate`)
    one that arrives at `FAST` or more, whoever waits
    one whose handler has not waited for it for `GRACE` seconds in all: it is too early to tell
    one whose handler is at work: that is not the client's time

*How fast an upload is* is measured where its handler waits, in the time that it waits. A handler that takes its time
makes no client look slow, and lately counts more than long ago: what was sent quickly a minute ago is forgotten, so
a fast start does not excuse a slow upload. After every wait of `HALF_LIFE` seconds, what arrived before it counts half.

The pool is looked over when a job has to wait or is refused, and after each wait of a handler while one does. Clients
that send nothing at all are the server's affair: it ends them within seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from math import exp2, log
from typing import Any, NamedTuple

from ..messages import HTTPError, Pipe
from ..messages.bodies import ignore_wait
from ..messages.pending import Pending
from .pool import Threads

#: Bytes a second, a megabit. An upload at this rate or faster is never ended.
FAST = 128 * 1024
#: Seconds that a handler has waited for its client before it is called slow. TCP itself begins slowly.
GRACE = 3.0
#: Seconds after which what has arrived counts half.
HALF_LIFE = 5.0


class Pace(NamedTuple):
    """How fast bytes arrive, as it was when the reader had waited for them so long."""

    #: seconds
    waited: float = 0.0
    #: bytes; what arrived long ago counts less
    weight: float = 0.0

    def after(self, seconds: float, size: int) -> Pace:
        """Return the pace after one more wait, behind which there were `size` bytes."""
        return Pace(self.waited + seconds, self.weight * exp2(-seconds / HALF_LIFE) + size)

    def rate(self) -> float:
        """Return bytes a second: of a steady flow its own rate, however long it has been flowing."""
        if not self.waited:
            return float("inf")
        return self.weight * log(2) / (HALF_LIFE * (1 - exp2(-self.waited / HALF_LIFE)))


class _Upload:
    """A body that a handler reads while it arrives, and how fast it does."""

    __slots__ = ("_counted", "_pipe", "_progress", "is_ended")

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._counted = 0
        #: the pace at the end of the latest wait; since when the handler is waiting, None while it does not. Replaced
        #: as one, because other threads look at it
        self._progress: tuple[Pace, float | None] = (Pace(), None)
        #: ended for the sake of others
        self.is_ended = False

    def note_wait(self, waits: bool, now: float) -> None:
        """Record that the handler begins or ends a wait for its client. In its thread."""
        pace, since = self._progress
        if waits:
            self._progress = pace, now
        elif since is not None:
            size, self._counted = self._pipe.written - self._counted, self._pipe.written
            self._progress = pace.after(now - since, size), None

    def slowness(self, now: float) -> float | None:
        """Return the bytes a second of an upload that may be ended; None if it may not."""
        pace, since = self._progress
        if since is None or self.is_ended:
            return None
        pace = pace.after(now - since, 0)
        return rate if pace.waited >= GRACE and (rate := pace.rate()) < FAST else None

    def end(self) -> bool:
        """End it, unless more of it has arrived just now. Return whether that was done."""
        error = HTTPError(408, "This upload was the slowest, and others are waiting.")
        self.is_ended = self._pipe.break_off(error)
        return self.is_ended

    def watch(self, on_wait: Callable[[bool], object]) -> None:
        self._pipe.on_wait = on_wait

    def unwatch(self) -> None:
        """Cut the cycle of the pipe and what it tells of its waits."""
        self._pipe.on_wait = ignore_wait


class Streams(Threads):
    """A pool of threads for handlers that read a body while it arrives.

    Args:
        threads: how many at most.
        queue: jobs that may wait for a thread.
        clock: seconds.
    """

    thread_name = "evloop_http.stream"

    def __init__(self, threads: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(threads, queue)
        self._clock = clock
        #: by thread, while it has its place in the pool
        self._uploads: dict[int, _Upload] = {}

    def submit_reader(self, pipe: Pipe | None, function: Callable[..., Any], *arguments: Any) -> Pending[Any] | None:
        """Call `function`, which reads `pipe`, in a thread. Return None if there is no room.

        Args:
            pipe: None if the body is there already, so that nobody waits for it.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        if pipe is None:
            job = self.submit(function, *arguments)
        else:
            job = self.submit(self._read, _Upload(pipe), function, arguments)
        self._make_room(refused=job is None)
        return job

    def _read(self, upload: _Upload, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function while its upload is watched, which ends when it leaves its place in the pool."""
        with self._lock:
            self._uploads[threading.get_ident()] = upload
        upload.watch(partial(self._note_wait, upload))
        return function(*arguments)

    def _waiting(self) -> int:
        """Return how many jobs wait for a thread; below 0, how many threads wait for a job."""
        return self.queue - len(self._places)

    def _note_wait(self, upload: _Upload, waits: bool) -> None:
        upload.note_wait(waits, self._clock())
        if not waits:
            self._make_room()

    def _free_place(self) -> None:
        super()._free_place()
        with self._lock:
            upload = self._uploads.pop(threading.get_ident(), None)
        if upload is not None:
            upload.unwatch()

    def _make_room(self, refused: bool = False) -> None:
        """End the slowest upload if more jobs wait than uploads have been ended already.

        Args:
            refused: whether one more would wait if there were room for it: it may come again.
        """
        if self._waiting() + refused <= 0:  # as nearly always; looked at again under the lock
            return
        with self._lock:
            uploads = self._uploads.values()
            if self._waiting() + refused <= sum(upload.is_ended for upload in uploads):
                return
            now = self._clock()
            slow = [(slowness, upload) for upload in uploads if (slowness := upload.slowness(now)) is not None]
            for _, upload in sorted(slow, key=_first):
                if upload.end():
                    return


def _first(pair: tuple[float, _Upload]) -> float:
    return pair[0]
