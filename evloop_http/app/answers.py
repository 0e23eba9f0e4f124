"""What handlers return, and the responses that are made of it.

Knows the vocabulary and JSON. It does not know routes, middleware or threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..messages import Answer, Fields, Response
from ..messages.futures import LATE
from .json import JSON_FIELDS, encode_json

#: What a middleware calls to get the answer of everything behind it.
CallNext: TypeAlias = Callable[[Any], Response]
#: A function of a request and of `call_next`; see `evloop_http.app.middleware`.
Middleware: TypeAlias = Callable[[Any, CallNext], Any]

#: The header fields of an answer in plain text.
TEXT_FIELDS: Fields = Response("").final_fields()


def to_response(result: Any, status: int = 200) -> Answer:
    """Return what a handler returned as a response: text, bytes, dict or list (JSON), or None (204).

    A response is returned as it is, and so is one of these that comes later: a `Pending`, or a future.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, str):
        return Response.from_fields(result.encode(), status, TEXT_FIELDS)
    if isinstance(result, dict | list):
        return Response.from_fields(encode_json(result), status, JSON_FIELDS)
    if isinstance(result, bytes):
        return Response(result, status)
    if isinstance(result, LATE):
        return result
    if result is None:
        return Response(status=204 if status == 200 else status)
    kind = type(result).__name__
    raise TypeError(f"a handler returns text, bytes, dict, list, Response, Pending, Future or None, not {kind}")
