"""What happens to a request before a handler sees it: too large a body is refused, the method is read elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from ...messages import HTTPError, Response, is_token
from ...messages.bodies import Incoming
from ..answers import CallNext
from ..forms import FORMS
from ..request import Request

if TYPE_CHECKING:
    from ..application import App

_OVERRIDES = frozenset({"PUT", "PATCH", "DELETE"})


def body_limit(limit: int) -> Callable[[Request, CallNext], Response]:
    """Refuse bodies of more than `limit` bytes with 413, before they are received if their length is announced.

    For an application that needs less than the server accepts (`Limits.body`): that limit bounds memory, this one
    what handlers have to deal with.

    Raises:
        ValueError: the limit is negative.
    """
    if limit < 0:
        raise ValueError("a limit is not negative")

    def refuses(request: Request) -> bool:
        return (request.head.content_length or 0) > limit

    def check(request: Request, call_next: CallNext) -> Response:
        if refuses(request):
            raise _too_large()
        if request.head.content_length is None:
            if request.incoming is not None:
                request.incoming = _Bounded(request.incoming, limit)
            elif len(request.body) > limit:
                raise _too_large()
        return call_next(request)
    check.refuses = refuses  # type: ignore[attr-defined]
    return check


class _Bounded:
    """The same pieces, as long as they are not too many bytes. An error stays one: no end follows it."""

    __slots__ = ("_incoming", "_left")

    def __init__(self, incoming: Incoming, limit: int) -> None:
        self._incoming = incoming
        self._left = limit

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return self._checked(next(self._incoming) if self._left >= 0 else b"")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return self._checked(await anext(self._incoming) if self._left >= 0 else b"")

    def _checked(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise _too_large()
        return piece


def _too_large() -> HTTPError:
    return HTTPError(413, "The body is larger than this site takes.")


def method_override(app: App, *, header: str | None = None,
                    field: str | None = None) -> Callable[[Request, CallNext], Any]:
    """Treat a POST as the PUT, PATCH or DELETE that it says it is: for HTML's forms, and clients behind odd proxies.

    The request is routed once more, by its new method. With `field`, a form of any other site can send
    what would otherwise need leave from here; session cookies should be `SameSite`.

    Args:
        app: the application that this is a middleware of.
        header: the header that names the method, such as `X-HTTP-Method-Override`.
        field: the field of a form that names it, if the header does not.

    Raises:
        ValueError: neither is given, or the header's name is not a token.
    """
    if not (header or field) or (header is not None and not is_token(header)):
        raise ValueError("method_override needs the name of a header or of a form's field")

    def refuses(request: Request) -> bool:
        wanted = _wanted_by_header(request, header)
        return wanted is not None and (wanted not in _OVERRIDES or _is_refused(app, request, wanted))

    def decides_by_body(request: Request) -> bool:
        if request.method != "POST":
            return False
        return _wanted_by_header(request, header) is not None or (bool(field) and request.media_type in FORMS)

    def override(request: Request, call_next: CallNext) -> Any:
        wanted = _wanted_by_header(request, header)
        if wanted is None:
            wanted = _wanted_by_field(request, field)
        if wanted is None:
            return call_next(request)
        if wanted not in _OVERRIDES:
            raise HTTPError(400, "A POST stands for PUT, PATCH or DELETE, or for itself.")
        former = request.route
        request.method = wanted
        # What was found for POST is not for the other handler.
        request.params = {name: value for name, value in request.params.items() if name not in former.names}
        request.route = route = app.router.find(request)
        if request.incoming is not None and not (route.stream or route.is_refusal):
            raise HTTPError(400, "This method has to be the request's own here.")
        if not route.threaded or former.threaded:
            return call_next(request)
        return app.run_in_thread(call_next, request)
    override.refuses = refuses  # type: ignore[attr-defined]
    override.decides_by_body = decides_by_body  # type: ignore[attr-defined]
    return override


def _wanted_by_header(request: Request, header: str | None) -> str | None:
    """Return the method that a header of a POST names, in upper case; None if it names none."""
    if request.method != "POST" or header is None or header not in request.headers:
        return None
    return request.headers[header].upper()


def _wanted_by_field(request: Request, field: str | None) -> str | None:
    """Return the method that a field of a POST names, in upper case; None if it names none."""
    if request.method != "POST" or not field or request.incoming is not None:  # a stream is the handler's to read
        return None
    try:
        named = request.form.get(field)
    except HTTPError:  # it is not a form, or a malformed one, as a handler that wants one will find out
        return None
    return None if named is None else named.upper()


def _is_refused(app: App, request: Request, method: str) -> bool:
    """Whether no route takes the request by another method. The request is the same afterwards."""
    former, params = request.method, request.params
    request.method = method
    try:
        return app.router.find(request).is_refusal
    finally:
        request.method, request.params = former, params
