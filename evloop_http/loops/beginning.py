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

#: Makes a task of a loop. Not to be called within the step of another task.
Begin = Callable[["AbstractEventLoop", Coroutine[Any, Any, T], Context | None], "Task[T]"]


class _Caught:
    """Stands in for a loop's `call_soon` while a task is made."""

    __slots__ = ("context", "step")

    def __call__(self, step: Callable[[], object], *, context: Context) -> None:
        self.step = step
        self.context = context


def begin_eagerly(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: Context | None) -> Task[T]:
    """Begin as asyncio does from Python 3.12 on."""
    return asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)  # type: ignore[call-arg]


def begin_by_catching(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: Context | None) -> Task[T]:
    """Take the step that a new task wants to be taken soon."""
    caught = _Caught()
    # An attribute of the loop itself comes before the methods of its class.
    loop.call_soon = caught  # type: ignore[method-assign, assignment]
    try:
        task = asyncio.Task(coroutine, loop=loop, context=context)
    finally:
        del loop.call_soon
    caught.context.run(caught.step)
    return task


def begin_soon(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: Context | None) -> Task[T]:
    """Leave the first step to the loop."""
    return loop.create_task(coroutine, context=context)


class _ProbeLoop:
    """As much of a loop as a task needs that ends with its first step."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *args: object, **options: object) -> None:
        raise RuntimeError("it was not caught")


def works(begin: Begin[Any]) -> bool:
    """Return whether `begin` makes tasks that have taken their first step."""
    async def probe() -> bool:
        return True

    coroutine = probe()
    try:
        return begin(cast("AbstractEventLoop", _ProbeLoop()), coroutine, None).done()
    except Exception:  # whatever this Python does otherwise
        return False
    finally:
        coroutine.close()


def choose() -> Begin[Any]:
    """Return the way that works here."""
    if sys.version_info >= (3, 12):
        return begin_eagerly
    return begin_by_catching if works(begin_by_catching) else begin_soon


begin: Begin[Any] = choose()
