"""One way to end what is awaited, be it a `Pending` or a future."""

from __future__ import annotations

from typing import Any

from evloop_http.messages.futures import Late
from evloop_http.messages.pending import Pending

#: A class of either.
Kind = type[Any]


def settle(late: Late, result: Any) -> None:
    """Have it come to `result`."""
    if isinstance(late, Pending):
        late.settle(result)
    else:
        late.set_result(result)


def fail(late: Late, error: BaseException) -> None:
    """Have it come to an exception."""
    if isinstance(late, Pending):
        late.fail(error)
    else:
        late.set_exception(error)
