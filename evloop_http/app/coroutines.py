"""Handlers, middleware and error handlers that are coroutines, as plain ones.

`async def` is found out once, when a function is registered, and what is registered in its place is a plain function.
It runs the coroutine in a task of the asyncio loop of this thread (see `messages.awaiting`). Where the coroutine ends
with its first step, the plain function returns what the coroutine returned, and nobody learns that there was one;
otherwise it returns a `Pending`, as any handler may. So everything else need not know coroutines: not the router, not
the chain of middleware, not the server.

*When nobody wants the answer any more*, because the client has left or `Timeouts.handler` is over, the task is
cancelled: `asyncio.CancelledError` is raised where the coroutine awaits something.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from ..messages import HTTPError, Response
from ..messages.awaiting import begin, running_loop
from ..messages.bodies import Whole
from ..messages.pending import Pending
from ..threads.pool import home_thread, is_worker
from .later import LaterResponse

if TYPE_CHECKING:
    from .request import Request

#: What an asynchronous middleware awaits to get the answer of everything behind it.
AsyncCallNext: TypeAlias = "Callable[[Any], Awaitable[Response]]"

#: The loops of threads that have given jobs to workers; by thread.
_loops: WeakValueDictionary[int, asyncio.AbstractEventLoop] = WeakValueDictionary()


def started(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine. Return its result, if it ends with its first step, or what is pending of it.

    Raises:
        BaseException: what ended it with its first step.
        RuntimeError: no asyncio loop runs in this thread.
    """
    try:
        task = begin(coroutine)
    except RuntimeError:
        coroutine.close()  # or Python complains that it was never awaited
        raise
    if task.done() and not task.cancelled():
        return task.result()
    # One that has cancelled itself too: CancelledError is no Exception, and would pass through the loop and end it.
    pending: Pending[Any] = Pending(task.cancel)
    task.add_done_callback(partial(_pass_on, pending))
    return pending


def _pass_on(pending: Pending[Any], task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        pending.cancel()
    elif (error := task.exception()) is not None:
        pending.fail(error)
        del error
    else:
        pending.settle(task.result())


def handling(handler: Callable[..., Any], streams: bool) -> Callable[..., Any]:
    """Return a plain handler that runs an asynchronous one.

    Args:
        streams: whether it reads the body while that arrives.
    """
    @functools.wraps(handler)
    def handle(request: Request, **params: Any) -> Any:
        return started(handler(request, **params))

    @functools.wraps(handler)
    def handle_stream(request: Request, **params: Any) -> Any:
        if request.incoming is None:  # the body has arrived with the head
            request.receive(Whole(request.body))
        return started(handler(request, **params))
    return handle_stream if streams else handle


def wrapping(middleware: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain middleware that runs an asynchronous one, whose `call_next` is awaited."""
    @functools.wraps(middleware)
    def wrap(request: Request, call_next: Callable[[Any], Response]) -> Any:
        return started(middleware(request, partial(_answer, call_next)))
    return wrap


async def _answer(call_next: Callable[[Any], Response], request: Any) -> Response:
    response = call_next(request)
    if not isinstance(response, LaterResponse):
        return response
    try:
        return await response.start()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the middleware itself is to end
            raise
        raise HTTPError(503, "The request was cancelled.") from None


def recovering(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain error handler that runs an asynchronous one: in a worker, in the loop that gave it the job."""
    @functools.wraps(handler)
    def recover(request: Request, error: Exception) -> Any:
        if not is_worker():
            return started(handler(request, error))
        loop = _loops.get(home_thread())
        if loop is None:
            raise RuntimeError("an `async def` error handler needs an asyncio loop in the thread of the server")
        return asyncio.run_coroutine_threadsafe(handler(request, error), loop).result()
    return recover


def remember_loop() -> None:
    """Let the workers that this thread gives jobs to find its loop, if one runs."""
    try:
        _loops[home_thread()] = running_loop()
    except RuntimeError:
        pass
