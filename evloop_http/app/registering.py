"""Registering: what an application is told before it serves: routes, middleware, error handlers, mounted applications.

It knows the router and what kinds of handlers there are. It answers nothing: `App` extends it, and does that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, TypeVar

from ..messages import Answer
from ..threads.pool import Threads
from .answers import Middleware
from .errors import ErrorHandlers
from .kinds import is_coroutine_function
from .routing.router import Converter, Router

__all__ = ["Registering"]

H = TypeVar("H", bound=Callable[..., Any])


def _no_handler(handler: Any) -> Any:
    raise TypeError("a WebSocket with on_message has no other handler: call app.websocket(...), and decorate nothing")


class Registering:
    """The part of an `App` that its program calls before it serves."""

    #: the threads of handlers registered with `websocket`
    websocket_threads: Threads
    _chain: Callable[[Any], Answer]

    def __init__(self, debug: bool, redirect_slashes: bool, needs_loop: bool) -> None:
        self.router = Router(redirect_slashes=redirect_slashes)
        self._errors = ErrorHandlers(debug)
        self._middleware: list[Middleware] = []
        self._needs_loop = needs_loop
        self._inner = 0  # the first middleware that may run in a thread: all behind the last coroutine

    def _make_chain(self) -> Callable[[Any], Answer]:
        raise NotImplementedError

    def route(self, pattern: str, methods: Iterable[str] = ("GET",), *, threaded: bool = False,
              stream: bool = False, name: str | None = None) -> Callable[[H], H]:
        """Register a handler for a path or a pattern. It receives the request and the parameters.

        See `patterns` for what a pattern may be, and `router` for which of several is chosen.

        A handler may be an `async def`. It runs in the loop's thread, in a task that ends when the client leaves.

        Args:
            threaded: whether the handler runs in a worker thread.
            stream: whether it reads the body while it arrives, by `request.stream()` or a multipart
                `request.form`; it then runs in a thread for streams, from the first piece of the body on, and the
                body is bounded by `Server(max_stream=...)`. An `async def` needs no thread, and is called at once.
            name: the name for `url_for`; the default is the function's name.

        Raises:
            TypeError: a coroutine is to run in a thread.
        """
        def register(handler: H) -> H:
            if is_coroutine_function(handler):
                self.router.add(pattern, methods, self._handling(handler, threaded, stream), False, name, stream)
            else:
                self.router.add(pattern, methods, handler, threaded or stream, name, stream)
            return handler
        return register

    def _handling(self, handler: Callable[..., Any], threaded: bool, stream: bool) -> Callable[..., Any]:
        if threaded:
            name = getattr(handler, "__name__", "the handler")
            raise TypeError(f"{name} is an `async def`, which runs in the loop's thread: leave threaded=True out, and "
                            f"await asyncio.to_thread(...) for what would block")
        from .coroutines import handling
        self._needs_loop = True
        return handling(handler, stream)

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

    def websocket(self, pattern: str, *, name: str | None = None, on_open: Callable[..., Any] | None = None,
                  on_message: Callable[..., Any] | None = None, on_close: Callable[..., Any] | None = None,
                  **options: Any) -> Callable[[H], H]:
        """Register a handler of WebSockets for a path or a pattern (RFC 6455). Needs the extra `websocket`.

        It receives the request, the WebSocket, and the parameters of the path. There are three kinds:

        * `def chat(request, ws)` runs in a thread: `for message in ws: ws.send(message)`. See `websocket.WebSocket`.
        * `async def chat(request, ws)` runs as a task: `async for message in ws: await ws.send(message)`. See
          `websocket.AsyncWebSocket`.
        * with `on_message=` there is no handler to decorate: the loop calls `on_message(ws, message)`, which must not
          wait. It is the cheapest. See `websocket.callbacks.Callbacks` and `CallbackWebSocket`.

        The handshake is answered when the handler accepts, sends or receives. Before that it may refuse: by any
        response that it returns, or by an `HTTPError`. When it returns, the WebSocket is closed with 1000; when it
        fails, with 1011.

        Args:
            on_open: with `on_message`, called before the handshake is answered.
            on_close: with `on_message`, called with `ws`, the code and the reason when it is closed.
            options: see `websocket.Options`: subprotocols, headers, origins, compression, limits and deadlines.

        Raises:
            RuntimeError: the library is not installed.
            TypeError: there is no such option, or `on_open` or `on_close` without `on_message`.
            ValueError: as `route`; or an option has a bad value.
        """
        # Not at the top: the room is loaded by those who use it.
        from .. import websocket as room
        room.check_library()
        chosen = room.Options(**options)
        if on_message is not None:
            endpoint = room.callback_endpoint(room.Callbacks(on_message, on_open, on_close), chosen)
            self.router.add(pattern, ["GET"], update_wrapper(endpoint, on_message), name=name)
            return _no_handler
        if on_open is not None or on_close is not None:
            raise TypeError("on_open and on_close go with on_message; a handler sees both by itself")

        def register(handler: H) -> H:
            if is_coroutine_function(handler):
                self._needs_loop = True
                endpoint = room.async_endpoint(handler, chosen)
            else:
                endpoint = room.threaded_endpoint(handler, chosen, self.websocket_threads)
            self.router.add(pattern, ["GET"], update_wrapper(endpoint, handler), name=name)
            return handler
        return register

    def mount(self, prefix: str, application: Callable[[Any], Any], *, name: str | None = None) -> None:
        """Hand everything below `prefix` to another application: an `App`, `StaticFiles`, a function.

        Args:
            name: for `url_for("name:route")`, if it is an `App`; for anything, `url_for("name", path="a/b")`.
        """
        self.router.mount(prefix, application, name)

    def host(self, pattern: str, application: Callable[[Any], Any]) -> None:
        """Hand all requests for a host to another application, before any route is considered.

        The port is ignored, and so is case. This `App` serves all hosts that match no pattern. The client chooses
        which host it names, so the name proves nothing.

        Args:
            pattern: `api.example.com`, or `{sub}.example.com`, whose `sub` the handlers of the other application
                receive as a parameter. If two patterns match, the fixed one wins.
        """
        self.router.host(pattern, application)

    def url_for(self, name: str, /, **params: Any) -> str:
        """Return the path of a route, percent-encoded, which leads to that route with these parameters.

        Parameters that the pattern does not have become the query: a list gives one item several
        times, None leaves it out. `"blog:post"` is the route `post` of the `App` mounted as `blog`.
        The path begins at this `App`. Where this `App` is mounted, only the outer one knows the whole path.

        Args:
            name: the route's `name=`, else its function's name if that is registered for one path only.

        Raises:
            LookupError: no route has the name, or several have it.
            ValueError: a parameter is missing, or no path would give it to the route.
        """
        return self.router.url_for(name, params)

    def converter(self, name: str, pattern: str, convert: Callable[[str], Any] = str,
                  to_text: Callable[[Any], str] = str, *, slashes: bool = False) -> None:
        """Teach the router a placeholder `{x:name}`, for routes registered after it.

        Args:
            pattern: a regular expression for the whole text. It must not be one that takes long on
                some texts, such as `(a+)+`: clients choose the text.
            convert: makes a value of the text; its `ValueError` means that the path does not match.
            to_text: makes a text of the value, for `url_for`.
            slashes: whether it matches several segments, as `path` does.

        Raises:
            ValueError: the regular expression is malformed.
        """
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        self.router.converters[name] = Converter(pattern, convert, to_text, slashes)

    def error(self, kind: int | type[Exception]) -> Callable[[H], H]:
        """Register a handler for a status or for a class of exceptions. It receives the request and the error.

        The handler nearest to the error is called: the one for its own class, else for its status if it is an
        `HTTPError`, else for a class above. An error without a handler for its class is logged and becomes a
        500, whose handler is called in turn. An error handler may be an `async def`; it must not
        return a future.
        """
        def register(handler: H) -> H:
            self._errors.add(kind, handler)
            if self._errors.has_coroutines:
                self._needs_loop = True
                self._chain = self._make_chain()
            return handler
        return register

    def middleware(self, function: Middleware) -> Middleware:
        """Register a middleware (see `evloop_http.app.middleware`). The first one is the outermost.

        May be used as a decorator. An `async def` awaits `call_next(request)`.
        """
        if is_coroutine_function(function):
            from .coroutines import wrapping
            self._needs_loop = True
            self._inner = len(self._middleware) + 1
            self._middleware.append(wrapping(function))
        else:
            self._middleware.append(function)
        self._chain = self._make_chain()
        return function
