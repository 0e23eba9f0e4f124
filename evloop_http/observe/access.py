"""The access log: one record for every response, through `logging`.

It is off unless a server is given one: a record costs as much as the whole request. The lines are
the common log format with the milliseconds behind it, or JSON, one object a line. A record is written when
the response has been sent; one that could not be sent as a whole is `incomplete`, and a client that left
before there was any has the status 499, as in nginx. What the peer sent is escaped, so that it cannot forge a
line of its own (CVE-2020-7694).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from ..messages import Answered, Observer

logger = logging.getLogger("evloop_http.access")


class AccessLog(Observer):
    """Writes a record for every response to the logger `evloop_http.access`, at level INFO.

    Args:
        format: `common` or `json`.
        clock: seconds since the epoch.

    Raises:
        ValueError: another format.
    """

    def __init__(self, format: str = "common", clock: Callable[[], float] = time.time) -> None:
        if format not in ("common", "json"):
            raise ValueError(f"the access log is 'common' or 'json', not {format!r}")
        self._format = self._common if format == "common" else self._json
        self._clock = clock

    def answered(self, answer: Answered) -> None:
        """Write a line for a response, whether it was sent as a whole or not."""
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", self._format(answer))

    def _common(self, answer: Answered) -> str:
        when = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(self._clock()))
        line = answer.head.line.replace('"', '\\"') if answer.head is not None else "-"
        return (f'{answer.peer.address or "-"} - - [{when}] "{line}" {answer.status} {answer.size} '
                f'{answer.seconds * 1000:.1f}ms{"" if answer.complete else " incomplete"}')

    def _json(self, answer: Answered) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._clock()))
        head = answer.head
        return json.dumps({
            "time": when, "client": answer.peer.address or "-",
            "method": head.method if head is not None else None,
            "target": head.target if head is not None else None,
            "version": head.version if head is not None else None,
            "user_agent": head.headers.get("user-agent") if head is not None else None,
            "status": answer.status, "bytes": answer.size, "ms": round(answer.seconds * 1000, 3),
            "complete": answer.complete,
        })
