"""Answers that the client has already need not be sent again (RFC 9110 §13)."""

from __future__ import annotations

from collections.abc import Callable

from ..application import Answer, Endpoint, after
from ..request import Request
from ..responses import conditional


def etag(*, weak: bool = False) -> Callable[[Request, Endpoint], Answer]:
    """Give every answer of bytes a tag made of them, and answer 304 to who has it, 412 to who wants another.

    The handler works all the same; what is saved is the way to the client. Answers that carry a tag
    of their own keep it; those made while they are sent have none.

    Args:
        weak: whether the tags say "as good as" and not "the same".
    """
    def tag(request: Request, call_next: Endpoint) -> Answer:
        return after(call_next(request), lambda response: conditional(request, response, weak=weak))
    return tag
