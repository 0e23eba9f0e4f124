"""Headers for every response: the name of the request, and what keeps a browser from being helpful."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ...messages import Headers, Response, is_token, make_field
from ..answers import CallNext
from ..request import Request

#: Characters of an id that is taken from the client.
LONGEST_ID = 128
#: Seconds, a year: below it, browsers do not put a site on their list.
_PRELOAD_AGE = 31_536_000


def request_id(header: str = "X-Request-ID") -> Callable[[Request, CallNext], Response]:
    """Name every request, for logs and for whoever reports an error: `request.id`, and a header of the response.

    A name that the request contains is kept, so that one request has one name all the way, if it is a token of
    at most 128 characters, which cannot forge a line of a log. Otherwise a name is made up.

    Raises:
        ValueError: the header's name is not a token.
    """
    if not is_token(header):
        raise ValueError("a header name must be a token (RFC 9110 §5.1)")

    def identify(request: Request, call_next: CallNext) -> Response:
        sent = request.headers.get(header, "")
        name = sent if len(sent) <= LONGEST_ID and is_token(sent) else secrets.token_hex(16)
        request.id = name
        response = call_next(request)
        response.headers[header] = name
        return response
    return identify


def security_headers(*, hsts: int = 0, hsts_subdomains: bool = False, hsts_preload: bool = False,
                     frame_options: str | None = "DENY", opener_policy: str | None = "same-origin",
                     referrer_policy: str | None = "strict-origin-when-cross-origin",
                     content_security_policy: str | None = None,
                     permissions_policy: str | None = None) -> Callable[[Request, CallNext], Response]:
    """Tell browsers what they must not do. A header that a handler sets itself stays.

    Always sent: `X-Content-Type-Options: nosniff`, so that what is sent as text is not run as a script.

    Args:
        hsts: seconds for which browsers must return only over TLS. Sent only over TLS (RFC 6797 §7.2); 0 sends
            nothing. It cannot be taken back before the time is over.
        hsts_subdomains: whether that holds for all hosts below this one.
        hsts_preload: whether the site wants to be on the browsers' own list; that needs a year, and all hosts below.
        frame_options: who may show the pages in a frame.
        referrer_policy: what other sites learn about where a visitor comes from.
        opener_policy: whether windows of other sites may keep a reference to a page's window.
        content_security_policy: what pages may load and run; no value fits every site.
        permissions_policy: which parts of the device pages may use.

    Raises:
        ValueError: a value cannot stand in a header, or the browsers' list would not accept the site.
    """
    if hsts < 0 or (hsts_preload and (hsts < _PRELOAD_AGE or not hsts_subdomains)):
        raise ValueError("hsts is not negative; the browsers' list takes only hosts with all below them, for a year")
    values = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": frame_options,
              "Referrer-Policy": referrer_policy, "Cross-Origin-Opener-Policy": opener_policy,
              "Content-Security-Policy": content_security_policy, "Permissions-Policy": permissions_policy}
    plain = Headers([(name, value) for name, value in values.items() if value is not None]).fields
    words = [f"max-age={hsts}", *["includeSubDomains"] * hsts_subdomains, *["preload"] * hsts_preload]
    over_tls = (*plain, *[make_field("Strict-Transport-Security", "; ".join(words))] * bool(hsts))

    def protect(request: Request, call_next: CallNext) -> Response:
        response = call_next(request)
        response.headers.complete(over_tls if request.scheme == "https" else plain)
        return response
    return protect
