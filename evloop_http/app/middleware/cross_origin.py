"""Which pages of other sites may read the answers (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser sends a page's requests to other sites, but shows it the answer only if the answer names
the page's origin. Requests that no form could send it asks about first, with OPTIONS (a preflight).

An origin is compared as a whole with those that were listed, never with a pattern, and never sent
back because it was sent: with credentials that would open the site to everybody. `null` cannot be
listed: it is the origin of any sandboxed frame, so of everybody. What is not allowed is still
*answered*; this keeps nobody from sending (see SameSite in `cookies` for that).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ...messages import HTTPError, Response, is_token
from ..answers import CallNext
from ..problems import problem_response
from ..request import Request
from ..responses import vary

# As browsers write it: lower case, no default port, nothing behind.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ASKED_BY = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")


def cors(origins: str | Iterable[str], *, methods: Iterable[str] = ("GET", "HEAD", "POST"),
         headers: Iterable[str] = (), expose: Iterable[str] = (), credentials: bool = False,
         max_age: int = 600) -> Callable[[Request, CallNext], Response]:
    """Let pages of other origins read the answers.

    Args:
        origins: such as `https://app.example`, or `*` for every page there is.
        methods: that they may send.
        headers: that they may send beside those that every form does; `Content-Type`, for JSON.
        expose: headers of the answers that they may read beside the usual ones.
        credentials: whether cookies and passwords go with the requests; not with `*`.
        max_age: seconds for which a browser need not ask again.

    Raises:
        ValueError: one of these is not what browsers send, or credentials are to go to everybody.
    """
    allowed = _checked_origins(origins)
    is_open = "*" in allowed
    if credentials and is_open:
        raise ValueError("credentials for every origin would let every page read what only the visitor may")
    if max_age < 0:
        raise ValueError("max_age is not negative")
    answers = {"Access-Control-Allow-Credentials": "true"} if credentials else {}
    preflight = {**answers, "Access-Control-Allow-Methods": _names(methods, credentials),
                 "Access-Control-Max-Age": str(max_age)}
    if allowed_headers := _names(headers, credentials):
        preflight["Access-Control-Allow-Headers"] = allowed_headers
    if exposed := _names(expose, credentials):
        answers["Access-Control-Expose-Headers"] = exposed

    def share(request: Request, call_next: CallNext) -> Response:
        origin = request.headers.get("origin")
        asks = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        if origin is not None and asks:
            return answer_preflight(request, origin)
        return admit(call_next(request), origin, answers)

    def admit(response: Response, origin: str | None, fields: dict[str, str]) -> Response:
        if not is_open:
            vary(response, "Origin")
        if is_open or origin in allowed:
            response.headers.update({"Access-Control-Allow-Origin": "*" if is_open else origin or "", **fields})
        return response

    def answer_preflight(request: Request, origin: str) -> Response:
        if is_open or origin in allowed:
            response = admit(Response(status=204), origin, preflight)
        else:
            response = problem_response(request, HTTPError(403, "Pages of this origin may not ask."))
        vary(response, *_ASKED_BY)
        return response

    return share


def _checked_origins(origins: str | Iterable[str]) -> frozenset[str]:
    listed = frozenset([origins] if isinstance(origins, str) else origins)
    if listed == {"*"}:
        return listed
    for origin in listed:
        port = _DEFAULT_PORTS.get(origin.partition("://")[0])
        if not _ORIGIN.fullmatch(origin) or (port is not None and origin.endswith(port)):
            raise ValueError(f"{origin!r} is not what a browser sends as Origin: https://host or https://host:port, "
                             "in lower case, without a slash or the default port; or * alone")
    return listed


def _names(names: Iterable[str], credentials: bool) -> str:
    """Tokens as a list. Where there are credentials, browsers take `*` for a name like any other."""
    listed = [names] if isinstance(names, str) else list(names)
    if not all(map(is_token, listed)) or (credentials and "*" in listed):
        raise ValueError("methods and headers are names; * stands for all of them only without credentials")
    return ", ".join(listed)
