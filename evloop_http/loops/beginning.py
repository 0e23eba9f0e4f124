"""Tasks whose first step is taken at once, in the place of the loop's next turn.

From Python 3.12 on, asyncio can do that. Before, `asyncio.Task` has its loop call back soon for the first step, by the
loop's public `call_soon`; there that call is caught, and the step is taken by whoever made the task. Whether a task can
be had in this way is tried once, when this module is imported: where it cannot, the first step is the loop's as usual.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

T = TypeVar("T")


class Beginning:
    """Begins tasks of one loop, in the way that works with every Python: the first step is left to the loop.

    Args:
        loop: it has to run, in this thread, when `begin` is called.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    def begin(self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Task[T]:
        """Run a coroutine in a task. Not to be called in the step of another one."""
        return self._loop.create_task(coroutine, context=context)


class EagerBeginning(Beginning):
    """Has the first step taken at once, as asyncio can from Python 3.12 on."""

    def begin(self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Task[T]:
        return asyncio.Task(coroutine, loop=self._loop, eager_start=True, context=context)  # type: ignore[call-arg]


class CatchingBeginning(Beginning):
    """Catches the step that a new task wants to be taken soon, and takes it."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._step: Callable[[], object]
        self._context: Context

    def begin(self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Task[T]:
        loop = self._loop
        # An attribute of the loop itself comes before the methods of its class.
        loop.call_soon = self._catch  # type: ignore[method-assign, assignment]
        try:
            task = asyncio.Task(coroutine, loop=loop, context=context)
        finally:
            del loop.call_soon
        step = self._step
        del self._step  # it refers to the task
        self._context.run(step)
        return task

    def _catch(self, step: Callable[[], object], *, context: Context) -> None:
        self._step = step
        self._context = context


class _ProbeLoop:
    """As much of a loop as a task needs that ends with its first step."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *args: object, **options: object) -> None:
        raise RuntimeError("it was not caught")


def works(kind: type[Beginning]) -> bool:
    """Return whether the tasks of such a one have taken their first step."""
    async def probe() -> bool:
        return True

    coroutine = probe()
    try:
        return kind(cast("AbstractEventLoop", _ProbeLoop())).begin(coroutine).done()
    except Exception:  # whatever this Python does otherwise
        return False
    finally:
        coroutine.close()


def choose() -> type[Beginning]:
    """Return the way that works here."""
    if sys.version_info >= (3, 12):
        return EagerBeginning
    return CatchingBeginning if works(CatchingBeginning) else Beginning


#: The way that works here.
BEGINNING = choose()
