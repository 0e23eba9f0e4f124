"""An application: router, middleware and error handlers, together a callable from `Request` to `Response`.

    middleware ─▶ middleware ─▶ handler
        ◀── Response ◀── Response ◀──┘

A middleware is a function of a request and of what comes after it. Errors become responses right
around the handler, and right around every middleware: whoever stands outside sees answers and need
not catch.

A handler runs in the loop's thread, and while it runs, nobody else is served. One that waits for
something is registered with `threaded=True` and runs in a worker thread, all the middleware with
it; or it returns a `concurrent.futures.Future` at once. What the future comes to is treated as if
the handler had returned or raised it then, in the thread that ends it.

An `App` may stand in another, below a prefix or for a host. It is whole there: its own middleware, its
own error handlers, its own threads; around it runs the outer one's middleware.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..messages import HTTPError, RequestHead, Response
from .json import JSON_FIELDS, encode_json
from .problems import busy, error_response, request_id
from .request import Request
from .routing.router import Converter, Handler, Route, Router, raising
from .threads import Workers

logger = logging.getLogger("evloop_http.app")

Answer = Response | Future[Response]
Endpoint = Callable[[Any], Answer]
Middleware = Callable[[Any, Endpoint], Any]
H = TypeVar("H", bound=Callable[..., Any])

_FAILED = "The server failed to answer this request."


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
        return Response.from_fields(encode_json(result), status, JSON_FIELDS)
    if isinstance(result, bytes):
        return Response(result, status)
    if isinstance(result, Future):
        return result
    if result is None:
        return Response(status=204 if status == 200 else status)
    raise TypeError(f"a handler gives text, bytes, dict, list, Response, Future or None, not {type(result).__name__}")


def after(answer: Answer, function: Callable[[Response], Response]) -> Answer:
    """Apply `function` to a response, now or when its future is done: for middleware that may meet both."""
    if isinstance(answer, Response):
        return function(answer)
    return _follow(answer, lambda done: function(done.result()))


def _follow(source: Future[Any], function: Callable[[Future[Any]], Response]) -> Future[Response]:
    """A future of what `function` makes of `source` when that is done; to cancel one is to cancel the other."""
    outcome: Future[Response] = Future()
    # Emptied when it has served: futures keep their callbacks, and two that know each other would live on.
    sources = [source]

    def pass_on(done: Future[Any]) -> None:
        sources.clear()
        if done.cancelled():
            outcome.cancel()
        if not outcome.set_running_or_notify_cancel():
            _discard(done)
            return
        try:
            outcome.set_result(function(done))
        except BaseException as error:
            outcome.set_exception(error)

    def pass_back(outcome: Future[Response]) -> None:
        if outcome.cancelled():
            for future in sources:
                future.cancel()

    source.add_done_callback(pass_on)
    outcome.add_done_callback(pass_back)
    return outcome


def _discard(done: Future[Any]) -> None:
    """Let go of a response that nobody waits for any more: it may hold an open file."""
    if not done.cancelled() and done.exception() is None and isinstance(done.result(), Response):
        done.result().close()


class Undecided(BaseException):
    """Raised in a preview by who would need the body to tell whether to refuse. (No error: nobody may catch it.)"""


class App:
    """Routes, middleware and error handlers.

    Args:
        workers: threads for handlers registered with `threaded=True` or `stream=True`; they are started when needed.
        queue: such requests that may wait for a thread; more are answered with 503.
        debug: whether a client on this machine is shown the traceback of an unexpected error (see `debug`).
        redirect_slashes: whether `/users/` is redirected to `/users` where only that is registered, and
            the other way round.
    """

    #: what the connection makes of a request before it calls the application
    request_class = Request

    def __init__(self, *, workers: int = 8, queue: int = 64, debug: bool = False,
                 redirect_slashes: bool = True) -> None:
        self.router = Router(redirect_slashes=redirect_slashes)
        self.debug = debug
        self._middleware: list[Middleware] = []
        self._error_handlers: dict[int | type[Exception], Handler] = {}
        self._chain: Endpoint = self._endpoint
        #: the threads of handlers registered with `threaded=True` or `stream=True`
        self.workers = Workers(workers, queue)

    # Registering

    def route(self, pattern: str, methods: Iterable[str] = ("GET",), *, threaded: bool = False,
              stream: bool = False, name: str | None = None) -> Callable[[H], H]:
        """Register a handler for a path or a pattern; it is given the request and the parameters.

        See `patterns` for what a pattern may be, and `router` for which of several is chosen.

        Args:
            threaded: whether the handler runs in a worker thread.
            stream: whether it takes the body while that comes, by `request.stream()` or a multipart
                `request.form`; it then runs in a worker thread, and is bounded by `Server(max_stream=...)`.
            name: what `url_for` calls it; the default is the function's name.
        """
        def register(handler: H) -> H:
            self.router.add(pattern, methods, handler, threaded, name, stream)
            return handler
        return register

    def get(self, pattern: str, *, threaded: bool = False, name: str | None = None) -> Callable[[H], H]:
        """`route` for GET, and with it HEAD."""
        return self.route(pattern, ["GET"], threaded=threaded, name=name)

    def post(self, pattern: str, *, threaded: bool = False, stream: bool = False,
             name: str | None = None) -> Callable[[H], H]:
        """`route` for POST."""
        return self.route(pattern, ["POST"], threaded=threaded, stream=stream, name=name)

    def put(self, pattern: str, *, threaded: bool = False, stream: bool = False,
            name: str | None = None) -> Callable[[H], H]:
        """`route` for PUT."""
        return self.route(pattern, ["PUT"], threaded=threaded, stream=stream, name=name)

    def patch(self, pattern: str, *, threaded: bool = False, stream: bool = False,
              name: str | None = None) -> Callable[[H], H]:
        """`route` for PATCH."""
        return self.route(pattern, ["PATCH"], threaded=threaded, stream=stream, name=name)

    def delete(self, pattern: str, *, threaded: bool = False, name: str | None = None) -> Callable[[H], H]:
        """`route` for DELETE."""
        return self.route(pattern, ["DELETE"], threaded=threaded, name=name)

    def mount(self, prefix: str, application: Callable[[Any], Any], *, name: str | None = None) -> None:
        """Hand everything below `prefix` to another application: an `App`, `StaticFiles`, a function.

        Args:
            name: for `url_for("name:route")`, if it is an `App`; for anything, `url_for("name", path="a/b")`.
        """
        self.router.mount(prefix, application, name)

    def host(self, pattern: str, application: Callable[[Any], Any]) -> None:
        """Hand all requests for a host to another application, before any route is looked at.

        The port is not looked at, nor upper and lower case. Hosts that match none are served by this
        `App`. What a host is asked for is what the client says: it is no proof of anything.

        Args:
            pattern: `api.example.com`, or `{sub}.example.com`, whose `sub` the handlers of the other
                application are given as a parameter; of two that match, the fixed one is taken.
        """
        self.router.host(pattern, application)

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a route, percent-encoded, which leads to that route with these parameters.

        Parameters that the pattern does not have become the query: a list gives one item several
        times, None leaves it out. `"blog:post"` is the route `post` of the `App` mounted as `blog`.
        The path begins at this `App`: of one that is mounted, the outer one knows all of it.

        Args:
            name: the route's `name=`, else its function's name if that is registered for one path only.

        Raises:
            LookupError: no route has the name, or several have it.
            ValueError: a parameter is missing, or its route would not take it from a path.
        """
        return self.router.url_for(name, params)

    def converter(self, name: str, pattern: str, convert: Callable[[str], Any] = str,
                  to_text: Callable[[Any], str] = str, *, slashes: bool = False) -> None:
        """Teach the router a placeholder `{x:name}`, for routes registered after it.

        Args:
            pattern: a regular expression for the whole text. It must not be one that takes long on
                some texts, such as `(a+)+`: clients choose the text.
            convert: what to make of the text; its `ValueError` means that the path does not match.
            to_text: the way back, for `url_for`.
            slashes: whether it goes over several segments, as `path` does.

        Raises:
            ValueError: the regular expression is malformed.
        """
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        self.router.converters[name] = Converter(pattern, convert, to_text, slashes)

    def error(self, kind: int | type[Exception]) -> Callable[[H], H]:
        """Register a handler for a status or for a class of exceptions; it is given the request and the error.

        The one nearest to the error is asked: for its own class, else for its status if it is an
        `HTTPError`, else for a class above. An error that has no handler by its class is logged and
        becomes a 500, whose handler is asked in turn. A handler gives its answer at once, no future.
        """
        def register(handler: H) -> H:
            self._error_handlers[kind] = handler
            return handler
        return register

    def middleware(self, function: Middleware) -> Middleware:
        """Register a middleware; the first one is the outermost. May be used as a decorator."""
        self._middleware.append(function)
        chain: Endpoint = self._endpoint
        for layer in reversed(self._middleware):
            chain = self._around(layer, chain)
        self._chain = chain
        return function

    # Answering

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            request.route = route = self.router.find(request)
        except Exception as error:  # of somebody's converter
            request.route = route = raising(error)
        if route.threaded:
            return self._in_thread(request)
        chain = self._chain
        return chain(request)

    def _endpoint(self, request: Request) -> Answer:
        try:
            params = request.params
            handler = request.route.handler
            answer = to_response(handler(request, **params) if params else handler(request))
        except Exception as error:
            return self._recover(request, error)
        return answer if isinstance(answer, Response) else self._settle(request, answer)

    def _around(self, middleware: Middleware, call_next: Endpoint) -> Endpoint:
        def layer(request: Request) -> Answer:
            try:
                answer = to_response(middleware(request, call_next))
            except Exception as error:
                return self._recover(request, error)
            return answer if isinstance(answer, Response) else self._settle(request, answer)
        return layer

    def _settle(self, request: Request, future: Future[Any]) -> Future[Response]:
        """A future of the response to what a handler's or a middleware's future comes to."""
        def finish(done: Future[Any]) -> Response:
            try:
                return _at_once(to_response(done.result()))
            except Exception as error:
                return self._recover(request, error)
        return _follow(future, finish)

    def _in_thread(self, request: Request) -> Answer:
        future = self.workers.submit(finished, self._chain, request)
        if future is None:
            return self._recover(request, busy("The server is busy."))
        return future

    def _recover(self, request: Request, error: Exception) -> Response:
        """The response to an exception, be it a plain one because the error handler failed as well."""
        try:
            return self._judge(request, error)
        except Exception as failure:
            _log_failure(request, failure)
            return error_response(request, HTTPError(500, _FAILED))

    def _judge(self, request: Request, error: Exception) -> Response:
        """The response to an exception: its handler's, else a plain one. What nobody expected is logged."""
        handler = self._error_handler(error)
        if handler is None and not isinstance(error, HTTPError):
            _log_failure(request, error)
            page = self._debug_page(request, error) if self.debug else None
            if page is not None:
                return page
            error = HTTPError(500, _FAILED)
            handler = self._error_handler(error)
        if not isinstance(error, HTTPError):
            assert handler is not None
            return _at_once(to_response(handler(request, error), 500))
        if handler is None:
            return error_response(request, error)
        answer = _at_once(to_response(handler(request, error), error.status))
        for name, value in error.headers.pairs():
            answer.headers.setdefault(name, value)
        return answer

    def _error_handler(self, error: Exception) -> Handler | None:
        """Who answers an error: of the classes of an `HTTPError`, its status stands before `HTTPError` itself."""
        handlers = self._error_handlers
        for kind in type(error).__mro__:
            if kind is HTTPError and isinstance(error, HTTPError) and error.status in handlers:
                return handlers[error.status]
            if kind in handlers:
                return handlers[kind]
        return None

    def _debug_page(self, request: Request, error: Exception) -> Response | None:
        from . import debug
        return debug.page(request, error) if debug.is_local(request) else None

    def preview(self, request: Request) -> Response | None:
        """The refusal of a request that no route takes, before its body is sent; None if one does.

        Where the path leads into another `App`, that one's routes count. The refusal is the answer that
        the whole request would have had, with all the middleware.
        """
        route = self.destination(request)
        if route is None or not route.is_refusal:
            return None
        request.is_preview = True
        try:
            answer = self(request)
        except Undecided:
            return None
        return answer if isinstance(answer, Response) else None

    def streams(self, head: RequestHead) -> bool:
        """Whether the route of a request takes the body while that comes, and so is asked before it has come."""
        if not self.router.has_streams:
            return False
        route = self.destination(self.request_class(head))
        return route is not None and route.stream

    def destination(self, request: Request) -> Route | None:
        """The route of a request, here or in the `App` that it leads into; the request stays as it is.

        None if somebody's converter fails: the answer to the whole request will tell.
        """
        path, params = request.path, request.params
        try:
            route = self.router.find(request)
            inner: Callable[[Request], Route | None] | None = getattr(route.application, "destination", None)
            if inner is None:
                return route
            request.path = path[len(route.prefix):] or "/"
            return inner(request)
        except Exception:
            return None
        finally:
            request.path, request.params = path, params

    def close(self) -> None:
        """End the worker threads, of mounted applications too; they are started anew if a request comes."""
        self.workers.close()
        for application in self.router.mounted():
            close = getattr(application, "close", None)
            if close is not None:
                close()


def _log_failure(request: Request, error: Exception) -> None:
    identity = request_id(request)
    named = f" (request {identity})" if identity else ""
    logger.error("%s: the handler failed%s", request.head.line, named, exc_info=error)


def finished(endpoint: Endpoint, request: Request) -> Response:
    """The response of an endpoint, waited for: for a worker thread."""
    answer = endpoint(request)
    return answer if isinstance(answer, Response) else answer.result()


def _at_once(answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    raise TypeError("a future stands in the place of a response")
