"""The life of an application, around the lives of its connections: it starts before the first and ends behind the last.

    NEW ─▶ STARTING ─▶ RUNNING ─▶ ENDING ─▶ OVER

Most applications have neither a beginning nor an end, and pass from NEW to RUNNING and from there to OVER at once. One
that has (`start_up` and `shut_down` of the contract) may wait for coroutines, so both happen in the turning loop.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

from ..messages import Contract, StartUpFailed
from ..messages.pending import Pending

logger = logging.getLogger("evloop_http.server")


class Phase(enum.Enum):
    """How far an application is."""

    NEW = "nobody has asked it to start"
    STARTING = "no connection is accepted yet"
    RUNNING = "it is served"
    ENDING = "the last connection has ended"
    OVER = "it has ended"


NEW, STARTING, RUNNING, ENDING, OVER = Phase


class Lifetime:
    """Starts the application of a server, and ends it. To be used in the loop's thread.

    Args:
        on_started: called when the application may be served.
        on_failed: called when it cannot be.
        on_over: called when it has ended.
    """

    def __init__(self, contract: Contract, *, on_started: Callable[[], object], on_failed: Callable[[], object],
                 on_over: Callable[[], object]) -> None:
        self._contract = contract
        self._on_started = on_started
        self._on_failed = on_failed
        self._on_over = on_over
        self._waited: Pending[None] | None = None
        self.phase = NEW
        #: settled when the application has started, or need not any more; it fails with what that failed with
        self.started: Pending[None] = Pending()

    def __repr__(self) -> str:
        return f"<Lifetime {self.phase.name}>"

    def begin(self) -> None:
        """Have the application start, unless that was done."""
        if self.phase is not NEW:
            return
        self.phase = STARTING
        try:
            self._waited = pending = self._contract.start_up()
        except Exception as error:  # the host's code
            self._fail(error)
            return
        if pending is None:
            self._note_started(None)
        else:
            pending.add_done_callback(self._note_started)

    def _note_started(self, pending: Pending[None] | None) -> None:
        self._waited = None
        if self.phase is not STARTING:
            return
        error = pending.exception() if pending is not None and not pending.cancelled() else None
        if error is not None:
            self._fail(error)
            return
        self.phase = RUNNING
        self._on_started()
        self.started.settle(None)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, StartUpFailed):
            failure = StartUpFailed(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            error = failure
        self.phase = RUNNING  # parts of it, perhaps: they are shut down
        self.started.fail(error)
        self._on_failed()

    def end(self, grace: float) -> None:
        """Have the application end, unless it does or has. One that still starts does so no longer.

        Args:
            grace: seconds for what is at work.
        """
        if self.phase is STARTING:
            self.give_up()
        elif self.phase is NEW:
            self._note_over(None)
        elif self.phase is RUNNING:
            self.phase = ENDING
            try:
                self._waited = pending = self._contract.shut_down(grace)
            except Exception:  # the host's code
                logger.exception("shutting down the application failed")
                pending = None
            if pending is None:
                self._note_over(None)
            else:
                pending.add_done_callback(self._note_over)

    def _note_over(self, pending: Pending[None] | None) -> None:
        self._waited = None
        if self.phase is OVER:
            return
        if pending is not None and not pending.cancelled() and (error := pending.exception()) is not None:
            logger.error("shutting down the application failed", exc_info=error)
        self.phase = OVER
        self.started.settle(None)
        self._on_over()

    def give_up(self) -> None:
        """Wait no longer. What has not ended is told so."""
        waited, self._waited = self._waited, None
        self._note_over(None)
        if waited is not None:
            waited.cancel()

    def abandon(self) -> None:
        """Do the same without telling the server: nobody turns the loop any more, so nothing can be waited for."""
        waited, self._waited = self._waited, None
        self.phase = OVER
        self.started.settle(None)
        if waited is not None:
            waited.cancel()
