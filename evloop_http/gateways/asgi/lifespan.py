"""The life of an ASGI application: its start before the first request, its end behind the last (ASGI, "Lifespan" 2.0).

    NEW ─▶ STARTING ─▶ RUNNING ─▶ STOPPING ─▶ OVER
               └─▶ OVER: it failed, or it does not know this part of ASGI and is served without it

One task of the application lives as long as the server does. An application that does not know lifespans raises an
exception at once, before it has said that it has started. That means "go on without" (`auto`), unless it must know them
(`on`). One that says `lifespan.startup.failed` is not served.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

from ...messages import StartUpFailed
from ...messages.awaiting import running_loop
from ...messages.pending import Pending
from .kinds import ASGIApplication, Message

logger = logging.getLogger("evloop_http.asgi")

#: How it may be chosen.
AUTO, ON, OFF = "auto", "on", "off"


class Phase(enum.Enum):
    """How far it is."""

    NEW = "not begun"
    STARTING = "it starts"
    RUNNING = "it has started"
    STOPPING = "it shuts down"
    OVER = "ended, or never begun"


NEW, STARTING, RUNNING, STOPPING, OVER = Phase


class Lifespan:
    """Starts an application, and shuts it down.

    Args:
        mode: "auto", "on" or "off".

    Raises:
        ValueError: it is something else.
    """

    def __init__(self, application: ASGIApplication, mode: str) -> None:
        if mode not in (AUTO, ON, OFF):
            raise ValueError(f'lifespan is "auto", "on" or "off", not {mode!r}')
        self._application = application
        self._mode = mode
        self.phase = NEW
        #: what the application has put there; each request has a copy
        self.state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._outcome: Pending[None] = Pending()  # of the phase
        self._events: asyncio.Queue[Message] | None = None

    def __repr__(self) -> str:
        return f"<Lifespan {self.phase.name}>"

    def start_up(self) -> Pending[None] | None:
        """Have the application start, in the loop's thread. Return what is settled when it has; None if it need not.

        The outcome is a `StartUpFailed` if it cannot be served.
        """
        if self._mode == OFF or self.phase is not NEW:
            return None
        self.phase = STARTING
        self._events = asyncio.Queue()
        self._events.put_nowait({"type": "lifespan.startup"})
        self._outcome = Pending(self._cancel)
        self._task = running_loop().create_task(self._live())
        self._task.add_done_callback(self._on_end)
        return self._outcome

    def shut_down(self) -> Pending[None] | None:
        """Have the application shut down, in the loop's thread. Return what is settled when it has."""
        if self._events is None or self.phase is not RUNNING:
            return None
        self.phase = STOPPING
        self._outcome = Pending(self._cancel)
        self._events.put_nowait({"type": "lifespan.shutdown"})
        return self._outcome

    def _cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._application(scope, self._receive, self._send)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """The application has returned, or raised an exception."""
        phase, self.phase = self.phase, OVER
        error = None if task.cancelled() else task.exception()
        if phase is STARTING:
            if self._mode == ON:
                self._outcome.fail(_failed(f"it raised {error!r}" if error is not None
                                           else "it returned before it had started", error))
            else:
                if error is not None:
                    logger.debug("the application is served without a lifespan: %r", error)
                self._outcome.settle(None)
            return
        if error is not None and phase is not OVER:  # else it has said so itself
            logger.error("the ASGI application failed in its lifespan", exc_info=error)
        self._outcome.settle(None)

    # For the application

    async def _receive(self) -> Message:
        assert self._events is not None  # the application has begun
        return await self._events.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and self.phase is STARTING:
            self.phase = RUNNING
            self._outcome.settle(None)
        elif kind == "lifespan.startup.failed" and self.phase is STARTING:
            self.phase = OVER
            self._outcome.fail(_failed(message.get("message", "")))
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self.phase is STOPPING:
            self.phase = OVER
            if kind == "lifespan.shutdown.failed":
                logger.error("the ASGI application failed to shut down: %s", message.get("message", ""))
            self._outcome.settle(None)
        else:
            raise RuntimeError(f"ASGI application sent {kind!r:.60} while {self.phase.value}")


def _failed(message: object, error: BaseException | None = None) -> StartUpFailed:
    failure = StartUpFailed(str(message).strip())
    failure.__cause__ = error
    return failure
