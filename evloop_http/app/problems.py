"""The response to an error that has no page of its own, in the form that the client prefers; and a common error.

A client that asks for JSON receives JSON problem details (RFC 9457), one that asks for HTML a small page, and
everybody else plain text. None of them repeats anything of the request, except its id if an application
gave it one (`request.id`), and that only escaped. The message is the application's own.
"""

from __future__ import annotations

import html
import json
from typing import Any

from ..messages import REASONS, HTTPError, Request, Response, printable
from .accept import prefers

PROBLEM = "application/problem+json"
HTML = "text/html"
#: Plain text first: who takes everything gets it. A client of an interface says `application/json`.
_OFFERS = ("text/plain", PROBLEM, "application/json", HTML)

#: Characters of a request's id that are shown.
_ID_LENGTH = 128

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{status} {title}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>{status} {title}</h1>
<p>{detail}</p>
{more}</html>
"""


def busy(message: str) -> HTTPError:
    """The error to raise where the same request may succeed in a moment."""
    return HTTPError(503, message, {"Retry-After": "1"})


def printable_id(request: Request) -> str:
    """Return the id that an application gave to a request, fit for a log or a page of text; empty if it has none."""
    return printable(str(getattr(request, "id", ""))[:_ID_LENGTH])


def problem_response(request: Request, error: HTTPError) -> Response:
    """The answer to an error, with the error's own headers."""
    if type(error).response is not HTTPError.response:  # a class of the application's, with a page of its own
        return error.response()
    title = REASONS.get(error.status, "Error")
    identity = printable_id(request)
    wanted = prefers(request.headers.get("accept"), _OFFERS)
    if wanted in (PROBLEM, "application/json"):
        details: dict[str, Any] = {"type": "about:blank", "title": title, "status": error.status,
                                   "detail": error.message}
        if identity:
            details["request_id"] = identity
        response = Response(json.dumps(details).encode(), error.status, content_type=PROBLEM)
    elif wanted == HTML:
        more = f"<p>Request: <code>{html.escape(identity)}</code></p>\n" if identity else ""
        page = _PAGE.format(status=error.status, title=html.escape(title), detail=html.escape(error.message), more=more)
        response = Response(page, error.status, content_type="text/html; charset=utf-8")
    else:
        more = f"Request: {identity}\n" if identity else ""
        response = Response(f"{error.status} {title}\n\n{error.message}\n{more}", error.status)
    response.headers.update(error.headers)
    # A cache may keep a 404 (RFC 9110 §15.1), and must not give a browser's page to a program.
    response.headers.add("Vary", "Accept")
    return response
