"""An application: router, middleware and error handlers, together a callable from `Request` to `Response`.

    middleware ─▶ middleware ─▶ handler
        ◀── Response ◀── Response ◀──┘

A middleware is a function of a request and of what comes after it. Errors become responses right
around the handler, so middleware sees answers and need not catch; an error of a middleware itself
becomes a response outside of them all.

A handler runs in the loop's thread, and while it runs, nobody else is served. One that waits for
something is registered with `threaded=True` and runs in a worker thread, all the middleware with
it; or it returns a `concurrent.futures.Future` at once.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .. import messages
from ..messages import HTTPError, Response
from .request import Request
from .router import Converter, Handler, Router

logger = logging.getLogger("evloop_http.app")

Answer = Response | Future[Response]
Endpoint = Callable[[Any], Answer]
Middleware = Callable[[Any, Endpoint], Any]
H = TypeVar("H", bound=Callable[..., Any])


def to_response(result: Any, status: int = 200) -> Answer:
    """What a handler returned, as a response: text, bytes, dict or list (JSON), None (204), or a response already.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, str):
        return Response(result, status)
    if isinstance(result, dict | list):
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        return Response(text, status, content_type="application/json")
    if isinstance(result, bytes):
        return Response(result, status)
    if isinstance(result, Future):
        return result
    if result is None:
        return Response(status=204 if status == 200 else status)
    raise TypeError(f"a handler returned {type(result).__name__}: give text, bytes, dict, list, Response, Future or None")


def after(answer: Answer, function: Callable[[Response], Response]) -> Answer:
    """Apply `function` to a response, now or when its future is done: for middleware that may meet both."""
    if isinstance(answer, Response):
        return function(answer)
    outcome: Future[Response] = Future()

    def pass_on(done: Future[Response]) -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(function(done.result()))
        except BaseException as error:
            outcome.set_exception(error)

    answer.add_done_callback(pass_on)
    return outcome


class App:
    """Routes, middleware and error handlers.

    Args:
        workers: threads for handlers registered with `threaded=True`; they are started when needed.
        queue: such requests that may wait for a thread; more are answered with 503.
    """

    #: what the connection makes of a request before it calls the application
    request_class = Request

    def __init__(self, *, workers: int = 8, queue: int = 64) -> None:
        self.router = Router()
        self._middleware: list[Middleware] = []
        self._error_handlers: dict[int | type[Exception], Handler] = {}
        self._chain: Endpoint = self._endpoint
        #: the threads of handlers registered with `threaded=True`
        self.workers = Workers(workers, queue)

    # Registering

    def route(self, pattern: str, methods: Iterable[str] = ("GET",), *, threaded: bool = False) -> Callable[[H], H]:
        """Register a handler for a path or a pattern (see `router`); it is given the request and the parameters."""
        def register(handler: H) -> H:
            self.router.add(pattern, methods, handler, threaded)
            return handler
        return register

    def get(self, pattern: str, *, threaded: bool = False) -> Callable[[H], H]:
        """`route` for GET, and with it HEAD."""
        return self.route(pattern, ["GET"], threaded=threaded)

    def post(self, pattern: str, *, threaded: bool = False) -> Callable[[H], H]:
        """`route` for POST."""
        return self.route(pattern, ["POST"], threaded=threaded)

    def put(self, pattern: str, *, threaded: bool = False) -> Callable[[H], H]:
        """`route` for PUT."""
        return self.route(pattern, ["PUT"], threaded=threaded)

    def patch(self, pattern: str, *, threaded: bool = False) -> Callable[[H], H]:
        """`route` for PATCH."""
        return self.route(pattern, ["PATCH"], threaded=threaded)

    def delete(self, pattern: str, *, threaded: bool = False) -> Callable[[H], H]:
        """`route` for DELETE."""
        return self.route(pattern, ["DELETE"], threaded=threaded)

    def mount(self, prefix: str, application: Callable[[Any], Any]) -> None:
        """Hand everything below `prefix` to another application: an `App`, `StaticFiles`, a function."""
        self.router.mount(prefix, application)

    def converter(self, name: str, pattern: str, convert: Callable[[str], Any] = str) -> None:
        """Teach the router a placeholder `{x:name}`: a regular expression, and what to make of the text."""
        self.router.converters[name] = Converter(pattern, convert)

    def error(self, kind: int | type[Exception]) -> Callable[[H], H]:
        """Register a handler for a status or for a class of exceptions; it is given the request and the error."""
        def register(handler: H) -> H:
            self._error_handlers[kind] = handler
            return handler
        return register

    def middleware(self, function: Middleware) -> Middleware:
        """Register a middleware; the first one is the outermost. May be used as a decorator."""
        self._middleware.append(function)
        chain: Endpoint = self._endpoint
        for layer in reversed(self._middleware):
            chain = _bind(layer, chain)
        self._chain = self._guard(chain)
        return function

    # Answering

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        request.route = route = self.router.find(request)
        if route.threaded:
            return self._in_thread(request)
        return self._chain(request)

    def _endpoint(self, request: Request) -> Answer:
        try:
            params = request.params
            handler = request.route.handler
            return to_response(handler(request, **params) if params else handler(request))
        except Exception as error:
            return self._recover(request, error)

    def _guard(self, chain: Endpoint) -> Endpoint:
        def guarded(request: Request) -> Answer:
            try:
                return chain(request)
            except Exception as error:
                return self._recover(request, error)
        return guarded

    def _in_thread(self, request: Request) -> Answer:
        future = self.workers.submit(self._chain, request)
        if future is None:
            return self._recover(request, HTTPError(503, "The server is busy.", {"Retry-After": "1"}))
        return future

    def _recover(self, request: Request, error: Exception) -> Answer:
        """The response to an exception: by its class or its status, else a plain one. What nobody expected is logged."""
        handler = next((self._error_handlers[kind] for kind in type(error).__mro__ if kind in self._error_handlers), None)
        if handler is not None:
            return to_response(handler(request, error), getattr(error, "status", 500))
        if not isinstance(error, HTTPError):
            logger.error("%s: the handler failed", request.head.line, exc_info=error)
            error = HTTPError(500, "The server failed to answer this request.")
        handler = self._error_handlers.get(error.status)
        if handler is None:
            return error.response()
        answer = to_response(handler(request, error), error.status)
        if isinstance(answer, Response):
            for name, value in messages.Headers(error.headers).pairs():
                answer.headers.setdefault(name, value)
        return answer

    def preview(self, request: Request) -> Response | None:
        """The refusal of a request that no route takes, before its body is sent; None if one does."""
        request.route = route = self.router.find(request)
        answer = self._chain(request) if route.is_refusal else None
        return answer if isinstance(answer, Response) else None

    def close(self) -> None:
        """End the worker threads; they are started anew if the application is called again."""
        self.workers.close()


def _bind(middleware: Middleware, call_next: Endpoint) -> Endpoint:
    return lambda request: to_response(middleware(request, call_next))


class Workers:
    """A pool of threads that takes no more work than it has been given room for."""

    def __init__(self, threads: int, queue: int) -> None:
        self._threads = threads
        self._room = threading.BoundedSemaphore(threads + queue)
        self._pool: ThreadPoolExecutor | None = None
        self._busy = 0
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any] | None:
        """Run `function` in a thread; None if there is no room."""
        if not self._room.acquire(blocking=False):
            return None
        with self._lock:
            self._busy += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="evloop_http.worker")
        future = self._pool.submit(function, *args)
        future.add_done_callback(self._release)
        return future

    def _release(self, future: Future[Any]) -> None:
        with self._lock:
            self._busy -= 1
        self._room.release()

    def close(self) -> None:
        """End the threads; one that still works is not waited for."""
        with self._lock:
            pool, self._pool = self._pool, None
            idle = not self._busy
        if pool is not None:
            pool.shutdown(wait=idle, cancel_futures=True)
