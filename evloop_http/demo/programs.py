"""What programs ask for, in the fewest words: a handler takes a request and returns what is to be said.

Nothing stands around these handlers, neither middleware nor pages. Read this first.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from evloop_http import App, HTTPError, Request, Response

#: Seconds: a thread that sleeps is one that serves nobody else.
LONGEST_NAP = 2.0

# With these a browser runs nothing of the answer even if it takes it for a document.
INERT_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}

# Parts of the names of media types that browsers render, or take apart into types that they render:
# text/html, image/svg+xml, text/xsl, multipart/x-mixed-replace, ...
_RENDERED = re.compile(r"html|xml|xsl|multipart", re.IGNORECASE)


def add_programs(app: App) -> None:
    """Text, JSON, parameters of path and query, a body, a thread, a failure."""

    @app.get("/ping")
    def ping(request: Request) -> str:
        return "pong"

    @app.get("/users/{id:int}")
    def user(request: Request, id: int) -> dict[str, Any]:
        return {"id": id, "name": f"User {id}"}

    @app.get("/data")
    def data(request: Request) -> dict[str, Any]:
        if "id" not in request.query:
            raise HTTPError(400, "Which one? Ask for /data?id=42, say.")
        return {"id": request.query["id"]}

    @app.post("/echo")
    def echo(request: Request) -> Response:
        return Response(request.body, headers=INERT_HEADERS, content_type=echoed_type(request))

    @app.get("/slow", threaded=True)
    def slow(request: Request) -> dict[str, Any]:
        seconds = nap_of(request)
        time.sleep(seconds)
        return {"slept": seconds, "thread": threading.current_thread().name}

    @app.get("/panic")
    def panic(request: Request) -> None:
        raise RuntimeError("the handler of /panic raises, which is what it is for")


def nap_of(request: Request) -> float:
    """The seconds that a visitor wants to wait, as far as that is allowed."""
    # The zero comes first: of two that cannot be compared, as NaN with anything, `max` keeps that.
    return min(max(0.0, request.query.get("seconds", 0.2, type=float)), LONGEST_NAP)


def echoed_type(request: Request) -> str:
    """The type that the body came with, made harmless."""
    media_type = request.headers.get("Content-Type", "application/octet-stream")
    return "text/plain; charset=utf-8" if _RENDERED.search(media_type) else media_type
