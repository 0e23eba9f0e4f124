"""An application: router, middleware and error handlers, together a callable from `Request` to `Response`.

    middleware ─▶ middleware ─▶ handler
        ◀── Response ◀── Response ◀──┘

A middleware is a function of a request and of `call_next`, which answers the request with everything behind it.
Errors become responses right around the handler, and right around every middleware, so a middleware sees
responses and need not catch anything.

*Which thread runs what.* A handler runs in the loop's thread, and while it runs, nobody else is served. A handler
that waits for something is registered with `threaded=True`. It runs in a worker thread, and so do all the
middleware around it and an iterator that it returns as a body. One that reads its body while that arrives is
registered with `stream=True`, and has a thread of another pool: it waits for its client. Or the handler returns a
`Pending` or a `concurrent.futures.Future` at once. Its result is treated as if the handler had returned or raised it
then, in the thread that ends it.

*`call_next` always returns a `Response`.* In a worker it waits for a future. In the loop's thread, where nobody may
wait, it returns a `LaterResponse`, which can be changed but not read (see `later`).

*Before the body.* The server asks `prepare` when a head announces a body that has not arrived with it. The request
is routed there, into mounted applications too, and what was found is kept with the request, so that `__call__`
does not route it again. A request that no route takes, or that a middleware refuses by its `refuses`, is
answered there and then, with all the middleware around it. A body that arrived with its head is no reason to
treat a request otherwise: a handler with `stream=True` gets it as a stream all the same.

An `App` may stand in another one, below a prefix or for a host. It is whole there, with its own middleware, error
handlers and threads; the outer one's middleware runs around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..messages import FOLLOW, GATHER, STREAM, Answer, HTTPError, Preparation, Response
from ..messages.bodies import Whole
from ..messages.futures import LATE
from ..messages.pending import Pending, together
from ..threads.pool import Further, Threads, is_worker
from ..threads.producing import produced_here
from ..threads.streams import Streams
from .answers import TEXT_FIELDS, CallNext, Middleware, to_response
from .json import JSON_FIELDS, encode_json
from .later import LaterResponse, after
from .problems import busy
from .registering import Registering
from .request import Request
from .routing.router import Found, Route, refusing

__all__ = ["Answer", "App", "CallNext", "Middleware", "after"]

A = TypeVar("A")

#: Bound once, for the fast path.
_from_fields = Response.from_fields


def _never(request: Request, **params: Any) -> Any:
    raise RuntimeError("a middleware whose `refuses` returned True has called call_next")


_NEVER = Route(_never, is_refusal=True)


class App(Registering):
    """Routes, middleware and error handlers.

    Args:
        threads: for handlers registered with `threaded=True`; they are started when needed.
        queue: such requests that may wait for a thread, and as many for one of `streams`; more are answered with 503.
        streams: threads for handlers registered with `stream=True`. While others wait for one of them, the slowest
            upload is answered with 408 (see `threads.streams`).
        websockets: threads for handlers of WebSockets that wait (see `websocket`): each keeps its thread for as long as
            its client is there, so these are threads of their own. Beyond them, 503.
        debug: whether a client on this machine is shown the traceback of an unexpected error (see `debug`).
        redirect_slashes: whether `/users/` is redirected to `/users` where only that is registered, and
            the other way round.
        needs_loop: whether plain handlers use asyncio too, with `asyncio.create_task` for example. An application with
            an `async def` has its loop anyway.
    """

    #: the class of the requests that the server makes for this application
    request_class = Request

    def __init__(self, *, threads: int = 8, queue: int = 64, streams: int = 16, websockets: int = 64,
                 debug: bool = False, redirect_slashes: bool = True, needs_loop: bool = False) -> None:
        super().__init__(debug, redirect_slashes, needs_loop)
        self._chain = self._make_chain()
        #: the threads of handlers registered with `threaded=True`
        self.threads = Threads(threads, queue)
        #: the threads of handlers registered with `stream=True`
        self.stream_threads = Streams(streams, queue)
        #: the threads of handlers registered with `websocket`. Nobody waits for one: it may not be free for hours
        self.websocket_threads = Threads(websockets, queue=0)

    @property
    def debug(self) -> bool:
        """Whether a client on this machine is shown the traceback of an unexpected error."""
        return self._errors.debug

    @debug.setter
    def debug(self, debug: bool) -> None:
        self._errors.debug = debug

    @property
    def needs_loop(self) -> bool:
        """Whether an asyncio loop has to run in the server's thread: for coroutines here, or in what is mounted."""
        return self._needs_loop or any(getattr(mounted.application, "needs_loop", False)
                                       for mounted in self.router.mounted())

    def _make_chain(self) -> Callable[[Any], Answer]:
        """Return what answers a routed request: the handler, with all the middleware around it."""
        if not self._middleware:
            return self._endpoint(self._respond_to_server)
        call_next: CallNext = self._endpoint(self._respond)
        for number in range(len(self._middleware) - 1, 0, -1):
            call_next = self._around(self._middleware[number], self._entering(call_next, number + 1), self._respond)
        return self._around(self._middleware[0], self._entering(call_next, 1), self._respond_to_server)

    def _entering(self, call_next: CallNext, number: int) -> CallNext:
        """Return what goes on with the middleware of a number: in a thread, if that is where the rest is to run."""
        if number != self._inner:
            return call_next

        def enter(request: Request) -> Response:
            if not request.route.threaded:
                return call_next(request)
            return self._respond(request, self._in_thread(request, call_next))
        return enter

    # Before the body

    def prepare(self, request: Request) -> Preparation | Answer:
        """Decide how to receive the body that a request announces, or refuse the request before a byte of it is kept.

        Returns:
            GATHER; STREAM, for a route with `stream=True`; or the answer of a request that is refused, which is
            the one that the whole request would have had. It is a future if a middleware answers later.
        """
        decision = self.decide(request)
        return self(request) if decision is None else decision

    def decide(self, request: Request) -> Preparation | None:
        """Route a request, and keep what was found. The request is the same afterwards.

        Returns:
            How to receive the body. None to refuse it: call the application at once.
        """
        path, params = request.path, request.params
        try:
            request.route = route = self.router.find(request)
            taken = request.params
            decision, found = None, _NEVER
            if not self._any_middleware("refuses", request):
                decision, found = self._decide_by_route(request, route)
                if decision is None and self._any_middleware("decides_by_body", request):
                    decision = GATHER
            request.found += (Found(self, request.method, path, found, taken),)
            return decision
        except Exception:  # of somebody's converter, say: it fails again when the request is answered
            return GATHER
        finally:
            request.path, request.params = path, params

    def _any_middleware(self, question: str, request: Request) -> bool:
        asked = [getattr(middleware, question, None) for middleware in self._middleware]
        return any(ask(request) for ask in asked if ask is not None)

    def _decide_by_route(self, request: Request, route: Route) -> tuple[Preparation | None, Route]:
        if route.is_refusal:
            return None, route
        if route.mounted is None:
            return self._wanted(route), route
        request.path = route.path_below(request.path)
        if isinstance(route.mounted.application, App):
            return route.mounted.application.decide(request), route
        try:
            prepared: Preparation | Answer = route.mounted.prepare(request)
        except HTTPError as error:
            return None, refusing(error.status, error.message, error.headers)
        if isinstance(prepared, (Response, *LATE)):
            return None, Route(lambda request, **params: prepared)
        return prepared, route

    def _wanted(self, route: Route) -> Preparation:
        if not route.stream:
            return GATHER
        return STREAM if route.threaded else FOLLOW

    # Answering

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            # Only a request with a body has been prepared.
            route = self.router.find(request) if request.head.content_length == 0 else self._recall(request)
        except Exception:  # of somebody's converter
            route = self._unroutable()
        request.route = route
        if route.threaded and not self._inner:
            return self._in_thread(request, self._chain)
        chain = self._chain  # a method call would look for a method first
        return chain(request)

    def _unroutable(self) -> Route:
        """Return a route whose handler fails as the router did. So middleware sees the answer, as to any failure."""
        return Route(lambda request, **params: self.router.find(request))

    def _recall(self, request: Request) -> Route:
        """Return the route that `prepare` found, if the request is still the same."""
        for found in request.found:
            if found.application is self and found.path == request.path and found.method == request.method:
                request.params = found.params
                return found.route
        return self.router.find(request)

    def _endpoint(self, respond: Callable[[Request, Any], A]) -> Callable[[Any], A | Response]:
        recover = self._recovering(respond)

        def endpoint(request: Request) -> A | Response:
            try:
                params = request.params
                handler = request.route.handler
                result = handler(request, **params) if params else handler(request)
                kind = type(result)
                if kind is Response:
                    return result  # type: ignore[no-any-return]
                if kind is str:
                    return _from_fields(result.encode(), 200, TEXT_FIELDS)
                if kind is dict:
                    return _from_fields(encode_json(result), 200, JSON_FIELDS)
                return respond(request, result)
            except Exception as error:
                return recover(request, error)
        return endpoint

    def _around(self, middleware: Middleware, call_next: CallNext,
                respond: Callable[[Request, Any], A]) -> Callable[[Any], A | Response]:
        recover = self._recovering(respond)

        def layer(request: Request) -> A | Response:
            try:
                result = middleware(request, call_next)
                return result if type(result) is Response else respond(request, result)
            except Exception as error:
                return recover(request, error)
        return layer

    def _recovering(self, respond: Callable[[Request, Any], A]) -> Callable[[Request, Exception], A | Response]:
        if not self._errors.has_coroutines:
            return self._errors.recover
        return lambda request, error: respond(request, self._errors.recover(request, error))

    def _respond(self, request: Request, result: Any) -> Response:
        """Return what a handler or a middleware returned as a response, which is there at once if that is possible."""
        answer = to_response(result)
        if isinstance(answer, Response) and not isinstance(answer, LaterResponse):
            return answer
        later = answer if isinstance(answer, LaterResponse) else LaterResponse(answer)
        later.otherwise(partial(self._errors.recover, request))
        if is_worker():
            return later.wait()
        if not isinstance(answer, LATE) or not answer.done() or answer.cancelled():
            return later
        outcome = later.start()
        return outcome.result() if outcome.done() else LaterResponse(outcome)  # an error handler may still be at work

    def _respond_to_server(self, request: Request, result: Any) -> Answer:
        """Do the same at the end of the chain, where a response that is not there yet becomes a future."""
        response = self._respond(request, result)
        return response.start() if isinstance(response, LaterResponse) else response

    def _in_thread(self, request: Request, endpoint: Callable[[Any], Any]) -> Answer:
        if request.route.stream and request.incoming is None:  # the body has arrived with the head
            request.receive(Whole(request.body))
        if self._errors.has_coroutines:
            from .coroutines import remember_loop
            remember_loop()
        return self.run_in_thread(endpoint, request)

    def run_in_thread(self, endpoint: Callable[[Any], Any], request: Request) -> Answer:
        """Have a worker answer a request, or answer that all are busy."""
        try:
            if request.route.stream:
                job = self.stream_threads.submit_reader(request.pipe, _work, endpoint, request)
            else:
                job = self.threads.submit(_work, endpoint, request, call_soon=request.peer.call_soon)
        except RuntimeError as error:  # the system has no more threads
            return self._errors.recover(request, error)
        if job is None:
            return self._errors.recover(request, busy("The server is busy."))
        return job

    def start_up(self) -> Pending[None] | None:
        """Start the mounted applications that have a start-up; see `evloop_http.messages.contract`."""
        return together([mounted.start_up() for mounted in self.router.mounted()])

    def shut_down(self, grace: float) -> Pending[None] | None:
        """Shut the mounted applications down.

        Args:
            grace: seconds for what is still at work.
        """
        return together([mounted.shut_down(grace) for mounted in self.router.mounted()])

    def close(self) -> None:
        """End the worker threads, of mounted applications too. They are started anew if a request comes."""
        self.threads.close()
        self.stream_threads.close()
        self.websocket_threads.close()
        for mounted in self.router.mounted():
            mounted.close()


def _work(endpoint: Callable[[Any], Any], request: Request) -> Response | Further:
    return produced_here(endpoint(request))
