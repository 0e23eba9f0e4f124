"""An asyncio loop for the client without sockets: an application with coroutines is asked, and answers, in it.

The loop turns only while a request is under way. What a handler has begun in the background goes on with the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

from ..messages import Pipe, Response
from ..messages.awaiting import Change
from ..messages.futures import LATE


class Rehearsal:
    """A loop that is closed with whoever has made it, or by `close`.

    Args:
        patience: seconds to wait for an answer, or for the rest of its body.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._runner = asyncio.Runner()
        self.close = weakref.finalize(self, self._runner.close)

    def run(self, ask: Callable[[], Any]) -> tuple[Any, bytes | None]:
        """Call `ask` in the loop. Return its answer, which is awaited, and the content of a pipe if that is its body.

        Raises:
            RuntimeError: a loop runs in this thread already.
            TimeoutError: the answer is not there in time, or not all of it.
            BaseException: what `ask` raises, or the error that the writer of the pipe ended with.
        """
        asking = self._run(ask)
        try:
            return self._runner.run(asking)
        finally:
            asking.close()  # which has not begun if there is a loop already

    async def _run(self, ask: Callable[[], Any]) -> tuple[Any, bytes | None]:
        answer = ask()
        if isinstance(answer, LATE):
            answer = await asyncio.wait_for(_outcome(answer), self._patience)
        if isinstance(answer, Response) and isinstance(answer.body, Pipe):
            return answer, await self._read(answer.body)
        return answer, None

    async def _read(self, pipe: Pipe) -> bytes:
        """Read a pipe as the client without a loop does."""
        content = b""
        deadline = time.monotonic() + self._patience
        pipe.on_readable = change = Change()
        while True:
            data = pipe.read()
            content += data
            if pipe.finished or (pipe.heartbeat and not data):
                return content
            if not data and not pipe.readable:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(change.wait(), deadline - time.monotonic())
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the body has no end after {self._patience} seconds")


async def _outcome(late: Any) -> Response:
    change = Change()
    late.add_done_callback(lambda done: change())
    while not late.done():
        await change.wait()
    return cast(Response, late.result())
