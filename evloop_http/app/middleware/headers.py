"""Headers for every answer: what names the request, and what keeps a browser from being helpful."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ...messages import Headers, Response, is_token, make_field
from ..application import Answer, Endpoint, after
from ..request import Request

#: Characters of an id that is taken from the client.
LONGEST_ID = 128
#: Seconds, a year: below it, browsers do not put a site on their list.
_PRELOAD_AGE = 31_536_000


def request_id(header: str = "X-Request-ID") -> Callable[[Request, Endpoint], Answer]:
    """Name every request, for logs and for whoever reports an error: `request.id`, and a header of the answer.

    A name that came with the request is kept, so that one request has one name all the way, if it
    is a token of at most 128 characters; it can forge no line of a log. Otherwise one is made up.

    Raises:
        ValueError: the header's name is none.
    """
    if not is_token(header):
        raise ValueError("a header name must be a token (RFC 9110 §5.1)")

    def identify(request: Request, call_next: Endpoint) -> Answer:
        sent = request.headers.get(header, "")
        name = sent if len(sent) <= LONGEST_ID and is_token(sent) else secrets.token_hex(16)
        request.id = name

        def mark(response: Response) -> Response:
            response.headers[header] = name
            return response
        return after(call_next(request), mark)
    return identify


def security_headers(*, hsts: int = 0, hsts_subdomains: bool = False, hsts_preload: bool = False,
                     frame_options: str | None = "DENY", opener_policy: str | None = "same-origin",
                     referrer_policy: str | None = "strict-origin-when-cross-origin",
                     content_security_policy: str | None = None,
                     permissions_policy: str | None = None) -> Callable[[Request, Endpoint], Answer]:
    """Say to browsers what they are not to do; what a handler says itself stands.

    Always said: `X-Content-Type-Options: nosniff`, so that what is sent as text is not run as a script.

    Args:
        hsts: seconds for which browsers shall come back only by TLS. Said only over TLS (RFC 6797
            §7.2); 0 says nothing. There is no way back before the time is over.
        hsts_subdomains: whether that holds for all hosts below this one.
        hsts_preload: whether the site wants to be on the browsers' own list; it needs a year, and all hosts below.
        frame_options: who may show the pages in a frame.
        referrer_policy: what other sites are told of where a visitor comes from.
        opener_policy: whether windows of other sites may hold on to a page's window.
        content_security_policy: what pages may load and run; there is none that fits every site.
        permissions_policy: which of the device's parts pages may use.

    Raises:
        ValueError: a value cannot stand in a header, or the browsers' list would not take the site.
    """
    if hsts < 0 or (hsts_preload and (hsts < _PRELOAD_AGE or not hsts_subdomains)):
        raise ValueError("hsts is not negative; the browsers' list takes only hosts with all below them, for a year")
    values = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": frame_options,
              "Referrer-Policy": referrer_policy, "Cross-Origin-Opener-Policy": opener_policy,
              "Content-Security-Policy": content_security_policy, "Permissions-Policy": permissions_policy}
    plain = Headers([(name, value) for name, value in values.items() if value is not None]).fields
    words = [f"max-age={hsts}", *["includeSubDomains"] * hsts_subdomains, *["preload"] * hsts_preload]
    over_tls = (*plain, *[make_field("Strict-Transport-Security", "; ".join(words))] * bool(hsts))

    def protect(request: Request, call_next: Endpoint) -> Answer:
        fields = over_tls if request.scheme == "https" else plain

        def add(response: Response) -> Response:
            response.headers.complete(fields)
            return response
        return after(call_next(request), add)
    return protect
