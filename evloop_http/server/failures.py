"""What becomes of an application's mistakes: each is a response, and a line in the log if nobody meant it.

Whose fault was it? The peer's is a `ProtocolError`, which the connection answers. The application's is any
other exception: one that is an `HTTPError` is its answer, everything else is logged and becomes a 500.
The net's never comes here; it is `on_lost`.
"""

from __future__ import annotations

import logging

from ..messages import FileBody, HTTPError, Pipe, RequestHead, Response
from ..messages.futures import Late

logger = logging.getLogger("evloop_http.server")


def error_response(head: RequestHead, error: BaseException) -> Response:
    """Return the response to a failure: the one that the application asked for, or a 500."""
    if isinstance(error, HTTPError):
        return error.response()
    logger.error("%s: the application failed", head.line, exc_info=error)
    return HTTPError(500, "The server failed to answer this request.").response()


def ensure_response(head: RequestHead, answer: object) -> Response:
    """Return `answer` if it is a response, and the response to a failure if not."""
    if isinstance(answer, Response):
        return answer
    return error_response(head, TypeError(f"an application returns a Response, not {type(answer).__name__}"))


def result_of(head: RequestHead, future: Late) -> Response:
    """Return the response that has come, or the one to its failure."""
    if future.cancelled():
        return HTTPError(503, "The request was cancelled.").response()
    error = future.exception()
    return ensure_response(head, future.result()) if error is None else error_response(head, error)


def file_length(response: Response) -> int | None:
    """Return the length of a body that is part of a file, and None for another body.

    Raises:
        ValueError: the file has no descriptor or is closed, or offset or length is negative.
        OSError: the same, as some kinds of files say it.
    """
    if not isinstance(response.body, FileBody):
        return None
    file, offset, length = response.body
    file.fileno()
    if offset < 0 or length < 0:
        raise ValueError("offset and length of a FileBody are not negative")
    return length


def check_body(response: Response) -> None:
    """Check a body that is not bytes: it may have been assigned after the response was made.

    Raises:
        TypeError: it is of no kind that can be sent.
    """
    body = response.body
    if not isinstance(body, FileBody | Pipe) and not hasattr(body, "__next__"):
        kind = type(body).__name__
        raise TypeError(f"the body of a response is bytes, an iterator, a FileBody or a Pipe, not {kind}")


def close_quietly(response: Response) -> None:
    """Close a response. A generator's `finally` is the application's code, and may fail like it."""
    try:
        response.close()
    except Exception:
        logger.exception("closing the body of a response failed")


def no_tunnel() -> Response:
    """Return the response to a `CONNECT` where the application makes no tunnels (RFC 9110 §9.3.6)."""
    return HTTPError(501, "This server does not make tunnels.").response()
