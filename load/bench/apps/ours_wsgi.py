"""WSGI for evloop_http, with a queue that is long enough for the connections that the bench has: it is no server's part
to refuse some of them."""

from __future__ import annotations

from evloop_http.gateways.wsgi import WSGI

from . import wsgi
from .common import QUEUE

app = WSGI(wsgi.app, queue=QUEUE)


def flask() -> WSGI:
    """The same with Flask."""
    from . import flask_app
    return WSGI(flask_app.app, queue=QUEUE)
