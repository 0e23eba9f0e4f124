"""JOINT. What the connections of a server share: their states, how long each may last, whom they ask.

There is one `Service` for a server, made by it and handed to every connection: nothing is kept
for each connection that can be kept once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol

from ..http1 import WITHOUT_CONTENT, HeadParser, Limits, ProtocolError, ResponseEncoder
from ..messages import Request, RequestHead, Response
from ..net.reactor import Reactor
from .states import State, Timeouts

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("evloop_http.server")

#: What answers requests: at once, or by a future. (`Any`: an application may name the class of its
#: requests by an attribute `request_class`, and its argument is then narrower than `Request`.)
Application = Callable[[Any], Response | Future[Response]]


class Log(Protocol):
    """Who is told of every answer (see `access`)."""

    def record(self, client: str, head: RequestHead | None, status: int, size: int, seconds: float) -> None: ...


@dataclass(slots=True)
class Service:
    """What all the connections of a server share."""

    #: answers requests; that it keeps to its contract is checked
    application: Callable[[Request], object]
    reactor: Reactor
    heads: HeadParser
    encoder: ResponseEncoder
    timeouts: Timeouts
    #: bytes of a body that is gathered; of others, the limit is that of `heads`
    body_limit: int = Limits().body
    log: Log | None = None
    #: called when a connection has ended
    on_closed: Callable[[Connection], None] = lambda connection: None
    #: no connection is kept any more
    draining: bool = False
    connections: set[Connection] = field(default_factory=set)
    seconds: dict[State, float] = field(init=False)
    #: the application, bound once: calling an instance would look its `__call__` up every time
    answer: Callable[[Request], object] = field(init=False)
    #: what the application wants its requests to be
    request_class: type[Request] = field(init=False)
    #: asked before a body is invited (`Expect: 100-continue`); its answer, if any, goes out instead
    preview: Callable[[Request], object] | None = field(init=False)
    #: asked whether it takes the body of a request while that comes
    streams: Callable[[RequestHead], bool] | None = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = self.timeouts.by_state()
        application: Any = self.application
        self.answer = application if isinstance(application, FunctionType | MethodType) else application.__call__
        self.request_class = getattr(application, "request_class", Request)
        self.preview = getattr(application, "preview", None)
        self.streams = getattr(application, "streams", None)

    def note_refusal(self, client: str, error: ProtocolError) -> None:
        """Say in the debug log which rule a peer broke."""
        logger.debug("%s: refused: %s", client, error)

    def record(self, client: str, head: RequestHead | None, status: int, size: int, started: float) -> None:
        """Tell the access log, if there is one, of an answer with so many bytes of content."""
        if self.log is not None:
            sent = 0 if status in WITHOUT_CONTENT or (head is not None and head.method == "HEAD") else size
            try:
                self.log.record(client, head, status, sent, self.reactor.time() - started)
            except Exception:  # the host's code, like the application
                logger.exception("the access log failed")
