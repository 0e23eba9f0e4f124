"""ASGI 3 applications as ours: Starlette, FastAPI, Django, Quart, Litestar and others.

    server = Server(ASGI(starlette_app))
    app.mount("/api", ASGI(fastapi_app))        # root_path is /api

The application runs in the loop's own thread, as tasks of an asyncio loop whose selector is the reactor
(`evloop_http.loops`): `Server.run` and `Server.in_thread` make one. What it sends goes to the socket without a detour.

    scope      what it is told of a request
    fields     header fields, ours and ASGI's
    ciphers    numbers of TLS versions and cipher suites
    cycle      one request: `receive` and `send`
    files      files that it has sent
    lifespan   its start-up and shut-down
    websocket  one WebSocket: the same; loaded when the first one is asked for
    kinds      the types of all that

Knows the vocabulary; it does not know sockets, and imports no framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from ...messages import FOLLOW, GATHER, Answer, Preparation, Request
from ...messages.awaiting import begin
from ...messages.pending import Pending
from .cycle import Cycle
from .fields import ResponseFields
from .kinds import ASGIApplication, ClientDisconnected
from .lifespan import Lifespan
from .scope import Scopes

if TYPE_CHECKING:
    from ...websocket import Options

__all__ = ["ASGI", "ClientDisconnected"]

#: Bytes of the largest body that is gathered before the application is called.
GATHERED = 64 * 1024
#: Bytes of the largest message of a WebSocket, unless the user says otherwise.
_MESSAGE = 16 * 1024 * 1024
#: Seconds that a task has that was cancelled because the server stops.
_CANCELLED = 1.0


class ASGI:
    """An ASGI application as one of ours.

    Args:
        application: a callable of scope, receive and send (ASGI 3).
        root_path: where the application's site begins, if a proxy in front says so. A path that begins with it is taken
            to be whole, for a proxy that leaves it there.
        lifespan: "auto" to start the application and shut it down if it knows how, "on" if it must know that, "off" not
            to ask.

        websocket: how WebSockets are served; see `evloop_http.websocket.Options`. If nothing is given, messages have up
            to 16 MiB, and pages of every site may connect: most applications of ASGI look at `Origin` themselves. A
            subprotocol is the application's to choose. Without the extra `websocket`, a request for one is served like
            any other request.

    Raises:
        TypeError: the application cannot be called.
        ValueError: the root path is not a path without a slash at its end, or `lifespan` is something else.
    """

    #: coroutines need an asyncio loop
    needs_loop = True

    def __init__(self, application: ASGIApplication, root_path: str = "", lifespan: str = "auto", *,
                 websocket: Options | None = None) -> None:
        if not callable(application):
            raise TypeError(f"an ASGI application is a callable, not {type(application).__name__}")
        self.application = application
        self._scopes = Scopes(root_path, find_spec("websockets") is not None)
        self._websocket = websocket
        self._known = ResponseFields()
        self._lifespan = Lifespan(application, lifespan)
        self._state = self._lifespan.state
        #: tasks that have not ended; asyncio itself refers to tasks weakly
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ASGI {self.application!r}>"

    def prepare(self, request: Request) -> Preparation:
        """Gather the body of a request if that is small; otherwise the application reads it while it arrives."""
        head = request.head
        is_small = head.content_length is not None and head.content_length <= GATHERED
        return GATHER if is_small and not head.expects_continue else FOLLOW

    def __call__(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            HTTPError: the client asks for a WebSocket, and not by the rules.
            RuntimeError: no asyncio loop runs in this thread, or the application did not answer.
            TypeError: the application is not one of ASGI 3.
            Exception: what the application raised before it answered.
        """
        scope = self._scopes.make(request, self._state)
        is_http = scope["type"] == "http"
        cycle = Cycle(request, self._known) if is_http else self._meet_websocket(request, scope)
        task = begin(_called(self.application, scope, cycle))
        if task.done():
            cycle.end(task)
        else:
            cycle.follow()
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(cycle.end)
        return cycle.response if cycle.response is not None else cycle.wait()


    def _meet_websocket(self, request: Request, scope: dict[str, Any]) -> Cycle:
        from ...websocket import Options, negotiate
        from .websocket import WebSocketCycle
        if self._websocket is None:
            self._websocket = Options(origins="*", max_message=_MESSAGE)
        offer = negotiate(request, self._websocket)
        scope["subprotocols"] = list(offer.offered)
        return WebSocketCycle(request, self._known, offer)

    # The life of the server

    def start_up(self) -> Pending[None] | None:
        """Have the application start; see `evloop_http.messages.contract`."""
        return self._lifespan.start_up()

    def shut_down(self, grace: float) -> Pending[None] | None:
        """Wait for tasks that run on behind their responses, then have the application shut down.

        Args:
            grace: seconds, after which the tasks are cancelled.
        """
        if not self._tasks:
            return self._lifespan.shut_down()
        task = asyncio.get_running_loop().create_task(self._shut_down(grace))
        outcome: Pending[None] = Pending(task.cancel)
        task.add_done_callback(partial(_settle, outcome))
        return outcome

    async def _shut_down(self, grace: float) -> None:
        if self._tasks:  # they may have ended since this was called
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CANCELLED)
        outcome = self._lifespan.shut_down()
        if outcome is not None:
            await outcome


def _settle(outcome: Pending[None], task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is None:
        outcome.settle(None)
    else:
        outcome.fail(error)


def _called(application: ASGIApplication, scope: dict[str, Any], cycle: Cycle) -> Coroutine[Any, Any, None]:
    """Call the application. Return its coroutine.

    Raises:
        TypeError: it returned none, which one of ASGI 2 does, and one of WSGI.
    """
    coroutine = application(scope, cycle.receive, cycle.send)
    if type(coroutine) is not _CoroutineType and not asyncio.iscoroutine(coroutine):
        raise TypeError("an ASGI application is a coroutine function of scope, receive and send (ASGI 3), which "
                        f"{application!r:.100} is not")
    return cast("Coroutine[Any, Any, None]", coroutine)


async def _nothing() -> None:
    return


_sample = _nothing()
_CoroutineType = type(_sample)
_sample.close()
