"""Responses that the client has already need not be sent again (RFC 9110 §13)."""

from __future__ import annotations

from collections.abc import Callable

from ...messages import Response
from ..answers import CallNext
from ..request import Request
from ..responses import conditional


def etag(*, weak: bool = False) -> Callable[[Request, CallNext], Response]:
    """Give every response of bytes a tag made of them, and answer 304 to a client that has it, 412 to one that
    wants another version.

    The handler works all the same; what is saved is the way to the client. Responses that carry a tag of their own
    keep it. Those that are produced while they are sent have none.

    Args:
        weak: whether the tags say "as good as" and not "the same".
    """
    def tag(request: Request, call_next: CallNext) -> Response:
        return conditional(request, call_next(request), weak=weak)
    return tag
