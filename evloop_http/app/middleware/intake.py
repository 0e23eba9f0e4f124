"""What is done with a request before a handler sees it: too large a body refused, a method read elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from ...messages import HTTPError, is_token
from ..application import Answer, Endpoint, Undecided, finished
from ..forms import FORMS
from ..problems import busy
from ..request import Request

if TYPE_CHECKING:
    from ..application import App

_OVERRIDES = frozenset({"PUT", "PATCH", "DELETE"})


def body_limit(limit: int) -> Callable[[Request, Endpoint], Answer]:
    """Refuse bodies of more than `limit` bytes with 413.

    For an application that is content with less than the server lets in (`Limits.body`): that one
    bounds memory, this one what handlers have to do with.

    Raises:
        ValueError: the limit is negative.
    """
    if limit < 0:
        raise ValueError("a limit is not negative")

    def check(request: Request, call_next: Endpoint) -> Answer:
        # What was announced is what came; and before the body is invited (Expect), it is all that is known.
        announced = request.head.content_length
        if announced is None and request.incoming is not None:
            request.incoming = _Bounded(request.incoming, limit)
        elif (len(request.body) if announced is None else announced) > limit:
            raise _too_large()
        return call_next(request)
    return check


class _Bounded:
    """The same pieces, as long as they are not too many bytes. An error stays one: no end follows it."""

    __slots__ = ("_incoming", "_left")

    def __init__(self, incoming: Iterator[bytes], limit: int) -> None:
        self._incoming = incoming
        self._left = limit

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece = next(self._incoming) if self._left >= 0 else b""
        self._left -= len(piece)
        if self._left < 0:
            raise _too_large()
        return piece


def _too_large() -> HTTPError:
    return HTTPError(413, "The body is larger than this site takes.")


def method_override(app: App, *, header: str | None = None,
                    field: str | None = None) -> Callable[[Request, Endpoint], Answer]:
    """Take a POST for the PUT, PATCH or DELETE that it says it is: for HTML's forms, and clients behind odd proxies.

    The request is routed once more, by its new method. With `field`, a form of any other site can send
    what else would need leave from here; session cookies should be `SameSite`.

    Args:
        app: the application that this is a middleware of.
        header: where the method stands, such as `X-HTTP-Method-Override`.
        field: the name of a form's field where it stands, if not in the header.

    Raises:
        ValueError: neither is named, or the header's name is none.
    """
    if not (header or field) or (header is not None and not is_token(header)):
        raise ValueError("method_override needs the name of a header or of a form's field")

    def override(request: Request, call_next: Endpoint) -> Answer:
        wanted = _wanted(request, header, field) if request.method == "POST" else None
        if wanted is None:
            return call_next(request)
        if wanted not in _OVERRIDES:
            raise HTTPError(400, "A POST stands for PUT, PATCH or DELETE, or for itself.")
        if request.is_preview:
            raise Undecided
        former = request.route
        request.method = wanted
        # What was found for POST is not for the other handler.
        request.params = {name: value for name, value in request.params.items() if name not in former.names}
        request.route = route = app.router.find(request)
        if request.incoming is not None and not (route.stream or route.is_refusal):
            raise HTTPError(400, "This method has to be the request's own here.")
        if not route.threaded or former.threaded:
            return call_next(request)
        future = app.workers.submit(finished, call_next, request)
        if future is None:
            raise busy("The server is busy.")
        return future
    return override


def _wanted(request: Request, header: str | None, field: str | None) -> str | None:
    """The method that a request names, in upper case; None if it names none."""
    if header is not None and header in request.headers:
        return request.headers[header].upper()
    if not field or request.incoming is not None:  # what comes piece by piece is the handler's to take
        return None
    try:
        if request.is_preview and request.media_type in FORMS:
            raise Undecided
        named = request.form.get(field)
    except HTTPError:  # it is no form, or a malformed one, as the handler that wants one will tell
        return None
    return None if named is None else named.upper()
