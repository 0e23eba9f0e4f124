"""Which response an exception becomes.

Knows the error handlers of an application, and how an error looks that has none (`problems`, `debug`). What
nobody expected is logged here, once, with the request line.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from ..messages import HTTPError, Response
from ..messages.pending import Pending
from . import debug
from .kinds import is_coroutine_function
from .later import LaterResponse, at_once
from .problems import printable_id, problem_response
from .request import Request
from .routing.router import Handler

logger = logging.getLogger("evloop_http.app")

_FAILED = "The server failed to answer this request."


class ErrorHandlers:
    """Error handlers by status and by class of exceptions.

    Args:
        debug: whether a client on this machine is shown the traceback of an unexpected error.
    """

    def __init__(self, debug: bool) -> None:
        self.debug = debug
        self._handlers: dict[int | type[Exception], Handler] = {}
        #: whether one of them is a coroutine
        self.has_coroutines = False

    def add(self, kind: int | type[Exception], handler: Handler) -> None:
        """Register a handler."""
        if is_coroutine_function(handler):
            from .coroutines import recovering
            handler = recovering(handler)
            self.has_coroutines = True
        self._handlers[kind] = handler

    def recover(self, request: Request, error: Exception) -> Response:
        """Return the response to an exception; a plain one if its handler fails as well.

        It is a `LaterResponse` if the handler is a coroutine that awaits something.
        """
        try:
            return self._answer(request, error)
        except Exception as failure:
            return _recover_plainly(request, failure)

    def _answer(self, request: Request, error: Exception) -> Response:
        handler = self._nearest(error)
        if isinstance(error, HTTPError):
            return self._answer_refusal(request, error, handler)
        if handler is not None:
            return _response(handler(request, error), 500)
        _log_failure(request, error)
        page = self._debug_page(request, error) if self.debug else None
        if page is not None:
            return page
        failed = HTTPError(500, _FAILED)
        return self._answer_refusal(request, failed, self._nearest(failed))

    def _answer_refusal(self, request: Request, error: HTTPError, handler: Handler | None) -> Response:
        if handler is None:
            return problem_response(request, error)
        response = _response(handler(request, error), error.status)
        for name, value in error.headers.pairs():
            response.headers.setdefault(name, value)
        if isinstance(response, LaterResponse):
            response.otherwise(partial(_recover_plainly, request))
        return response

    def _nearest(self, error: Exception) -> Handler | None:
        """Return the handler for an error: of the classes of an `HTTPError`, its status precedes `HTTPError` itself."""
        handlers = self._handlers
        for kind in type(error).__mro__:
            if kind is HTTPError and isinstance(error, HTTPError) and error.status in handlers:
                return handlers[error.status]
            if kind in handlers:
                return handlers[kind]
        return None

    def _debug_page(self, request: Request, error: Exception) -> Response | None:
        return debug.page(request, error) if debug.is_local(request) else None


def _response(result: Any, status: int) -> Response:
    # What is pending is of a coroutine: `at_once` refuses a future.
    return LaterResponse(result, status) if isinstance(result, Pending) else at_once(result, status)


def _recover_plainly(request: Request, failure: Exception) -> Response:
    _log_failure(request, failure)
    return problem_response(request, HTTPError(500, _FAILED))


def _log_failure(request: Request, error: Exception) -> None:
    identity = printable_id(request)
    named = f" (request {identity})" if identity else ""
    logger.error("%s: the handler failed%s", request.head.line, named, exc_info=error)
