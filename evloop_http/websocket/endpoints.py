"""Handlers of WebSockets as functions of a request, fit for a router: each negotiates, and answers now or later."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..messages import HTTPError, Request, Response
from ..messages.pending import Pending
from ..threads.pool import Threads
from .callbacks import Callbacks, CallbackWebSocket
from .coroutine import AsyncWebSocket
from .handshake import negotiate
from .options import Options
from .threaded import WebSocket

if TYPE_CHECKING:
    import asyncio


def threaded_endpoint(handler: Callable[..., Any], options: Options, threads: Threads) -> Callable[..., Pending[Any]]:
    """Return the endpoint of a handler that runs in a thread of its own for as long as its client is there.

    Args:
        threads: where it runs. They should be for such handlers only: a chat may last for hours.
    """
    def endpoint(request: Request, **params: Any) -> Pending[Any]:
        ws = WebSocket(request, negotiate(request, options))
        if threads.submit(_run, handler, ws, params) is None:
            raise HTTPError(503, "The server has too many WebSockets open.", {"Retry-After": "10"})
        return ws.answer
    return endpoint


def _run(handler: Callable[..., Any], ws: WebSocket, params: dict[str, Any]) -> None:
    try:
        ws.finish(handler(ws.request, ws, **params))
    except Exception as error:
        ws.fail(error)


#: Tasks that are running: a loop keeps only weak references.
_tasks: set[asyncio.Task[None]] = set()


def async_endpoint(handler: Callable[..., Any], options: Options) -> Callable[..., Pending[Any]]:
    """Return the endpoint of a coroutine function, which runs as a task of the loop that runs in this thread."""
    import asyncio

    def endpoint(request: Request, **params: Any) -> Pending[Any]:
        loop = asyncio.get_running_loop()
        ws = AsyncWebSocket(request, negotiate(request, options), loop)
        task = loop.create_task(_run_task(handler, ws, params))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        ws.answer.add_done_callback(partial(_cancel_with, task))
        return ws.answer
    return endpoint


async def _run_task(handler: Callable[..., Any], ws: AsyncWebSocket, params: dict[str, Any]) -> None:
    import asyncio
    try:
        ws.finish(await handler(ws.request, ws, **params))
    except Exception as error:
        ws.fail(error)
    except asyncio.CancelledError:
        ws.close(1001)
        raise


def _cancel_with(task: asyncio.Task[None], answer: Pending[Any]) -> None:
    """The client has left before the handler decided."""
    if answer.cancelled():
        task.cancel()


def callback_endpoint(callbacks: Callbacks, options: Options) -> Callable[..., Response]:
    """Return the endpoint of functions that the loop calls."""
    def endpoint(request: Request, **params: Any) -> Response:
        return CallbackWebSocket(request, negotiate(request, options), callbacks).begin()
    return endpoint
