"""How an asyncio loop ends, within a bound.

Three things may be left when a program ends: tasks, asynchronous generators that were not read to their end, and the
threads of `asyncio.to_thread`. `asyncio.Runner` waits for each of them as long as it takes. A server that is told to
stop in ten seconds cannot: a task may catch its cancellation and go on, and nothing interrupts a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger("evloop_http.loops")

#: Seconds that each of the three has even if no time is left: most end at once, and they should be able to.
_LEAST = 0.1
#: Seconds, at most, until a task that was being cancelled before the end is cancelled again. It may be cleaning up, and
#: a second cancellation would interrupt that; or it may have caught the first, and go on as ever.
_AGAIN = 1.0


class Finishing:
    """The end of a loop.

    Args:
        executor: the one of `asyncio.to_thread`, if there is one.
        seconds: for all three together.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor | None, seconds: float) -> None:
        self._loop = loop
        self._executor = executor
        self._until = loop.time() + seconds
        self._waiting: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """Wait no longer than it takes those that end at once. To be called in the loop's thread."""
        self._until = self._loop.time()
        if self._waiting is not None:
            with contextlib.suppress(RuntimeError):  # it is over already
                self._waiting.reschedule(self._until + _LEAST)

    async def run(self) -> None:
        """End everything. What does not end is logged."""
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        if tasks:
            await self._end(tasks)
        if not await self._has_ended(self._loop.shutdown_asyncgens()):
            logger.warning("asynchronous generators do not end")
        if self._executor is not None and not await self._has_ended(self._shut_down(self._executor)):
            logger.warning("threads of asyncio.to_thread or of the loop's default executor are still at work")

    async def _has_ended(self, ending: Awaitable[object], most: float = math.inf) -> bool:
        left = max(_LEAST, min(self._until - self._loop.time(), most))
        try:
            async with asyncio.timeout(left) as self._waiting:
                await ending
        except TimeoutError:
            return False
        return True

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        before = {task for task in tasks if task.cancelling()}
        for task in tasks - before:
            task.cancel()
        if before and not await self._has_ended(asyncio.wait(before), _AGAIN):
            for task in before:
                task.cancel()
        if not await self._has_ended(asyncio.wait(tasks)):
            logger.warning("tasks that were cancelled go on: %s", [task for task in tasks if not task.done()])
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                self._loop.call_exception_handler({"message": "a task failed when it was cancelled at the end",
                                                   "exception": task.exception(), "task": task})

    async def _shut_down(self, executor: ThreadPoolExecutor) -> None:
        ended = asyncio.Event()

        def shut_down() -> None:
            executor.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody has waited for it, and the loop is closed
                self._loop.call_soon_threadsafe(ended.set)

        # A daemon, because it may wait for ever. It keeps the loop turning: the threads may want something of it.
        thread = threading.Thread(target=shut_down, name="evloop_http.finishing", daemon=True)
        thread.start()
        await ended.wait()
        thread.join()
