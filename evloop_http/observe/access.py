"""The access log: one record for every answer, through `logging`.

It is off unless a server is given one: a record costs as much as the whole request. The lines are
the common log format with the milliseconds behind it, or JSON, one object a line. What the peer
sent is escaped, so that it cannot forge a line of its own (CVE-2020-7694).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from ..messages import RequestHead

logger = logging.getLogger("evloop_http.access")


class AccessLog:
    """Writes a record for every answer to the logger `evloop_http.access`, at level INFO.

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

    def record(self, client: str, head: RequestHead | None, status: int, size: int, seconds: float) -> None:
        """Note an answer: to whom, to what (None if it could not be read), bytes of content, and how long it took."""
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", self._format(client or "-", head, status, size, seconds * 1000))

    def _common(self, client: str, head: RequestHead | None, status: int, size: int, milliseconds: float) -> str:
        when = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(self._clock()))
        line = head.line.replace('"', '\\"') if head is not None else "-"
        return f'{client} - - [{when}] "{line}" {status} {size} {milliseconds:.1f}ms'

    def _json(self, client: str, head: RequestHead | None, status: int, size: int, milliseconds: float) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._clock()))
        return json.dumps({
            "time": when, "client": client,
            "method": head.method if head is not None else None,
            "target": head.target if head is not None else None,
            "version": head.version if head is not None else None,
            "user_agent": head.headers.get("user-agent") if head is not None else None,
            "status": status, "bytes": size, "ms": round(milliseconds, 3),
        })
