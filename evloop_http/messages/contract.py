"""What crosses the border between the server, an application and those who watch.

*An application* is a callable from `Request` to `Response`, or to one that comes later: a `Pending`, which is this
request's own and is cancelled when its client leaves, or a `concurrent.futures.Future`, which others may wait for too.
That is all there must be. What else an application may have is optional, and `Contract` fills it in:

    prepare(request)    asked once, in the loop's thread, when a head announces a body that has not arrived with
                        it: gather the body, stream it, or refuse (404, 405, 413 ...) before a byte of it is kept.
                        A refusal is what the application would return: a response, or one that comes later
    close()             called when the server has stopped
    request_class       the class of the requests that the application is given
    tunnels             True if it answers `CONNECT`; otherwise the server does, with 501
    start_up()          called, in the loop's thread, before the first connection is accepted; None, or what is pending
                        until it may be. Its exception is a `StartUpFailed` if the application cannot be served
    shut_down(grace)    called there behind the last connection, with the seconds that are left for what is still at
                        work; None, or what is pending until it has ended. It is cancelled when nobody waits any longer
    needs_loop          True if it needs a running asyncio loop in its thread. `Server.run` and `Server.in_thread` then
                        have one. They ask when they begin, so it may be a property; a host that polls the reactor
                        itself sees to it itself (`evloop_http.loops.asyncio`)

The request that `prepare` was asked about is the one that the application is called with later, so whatever
was found out once (the route, for example) can be kept there. The call comes when a body that is gathered is
there, or the first piece of one that is streamed: a client that announces a body and sends nothing costs the
application nothing. A client that expects `100 Continue` has been sent it by then (RFC 9110 §10.1.1). One that costs
nothing while it waits, a coroutine for instance, may ask to *follow* the body: it is called when the head is there, and
the client is invited when it first waits for the body.

A body that arrives with its head costs nothing to refuse later, so nobody is asked: what `prepare` refuses, the
application must refuse as well, and a body that it wants to stream may be there already (`request.stream()` returns
it in one piece).

*An observer* is told what happens on the connections of a server: the access log, metrics, an inspector.

*A switched protocol*, which takes a connection over when a handler answers with `Upgrade`, has a module of its own,
`switching`.

These are `typing.Protocol`s: nobody has to inherit from them, or import this file.
"""

from __future__ import annotations

import enum
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from .request import Peer, Request, RequestHead
from .response import Response

if TYPE_CHECKING:
    from concurrent.futures import Future  # loaded by those who make them; a parser alone needs none

    from .pending import Pending

#: What an application returns.
Answer: TypeAlias = "Response | Pending[Response] | Future[Response]"


class Preparation(enum.Enum):
    """How an application wants the body of a request."""

    GATHER = "whole, in `request.body`"
    STREAM = "while it arrives, by `request.stream()`; to be asked when the first piece is there"
    FOLLOW = "the same, and to be asked at once"


GATHER, STREAM, FOLLOW = Preparation


class Application(Protocol):
    """A callable that answers requests. (`Any`: it may narrow its argument to the class that it asked for.)"""

    def __call__(self, request: Any, /) -> Answer: ...


class PreparingApplication(Application, Protocol):
    """An application that decides how it takes a body, or refuses the request, before the body is received."""

    def prepare(self, request: Any, /) -> Preparation | Answer: ...


def _gather(request: Request) -> Preparation:
    return GATHER


def _do_nothing() -> None:
    pass


def _do_not_start() -> None:
    return None


def _do_not_stop(grace: float) -> None:
    return None


class StartUpFailed(RuntimeError):
    """The application cannot be served: its start-up has failed. The text says why, as far as that is known."""


class Contract:
    """An application with everything optional filled in.

    Raises:
        TypeError: it cannot be called, or the class of its requests is not a subclass of `Request`.
    """

    __slots__ = ("answer", "application", "close", "prepare", "request_class", "shut_down", "start_up", "tunnels")

    def __init__(self, application: Application) -> None:
        if not callable(application):
            raise TypeError(f"an application is a callable from Request to Response, not {type(application).__name__}")
        self.application = application
        is_function = isinstance(application, FunctionType | MethodType)
        # Bound once: calling an instance looks its `__call__` up every time.
        self.answer: Any = application if is_function else application.__call__
        self.prepare: Any = getattr(application, "prepare", _gather)
        self.close: Any = getattr(application, "close", _do_nothing)
        self.start_up: Any = getattr(application, "start_up", _do_not_start)
        self.shut_down: Any = getattr(application, "shut_down", _do_not_stop)
        self.request_class: type[Request] = getattr(application, "request_class", Request)
        if not (isinstance(self.request_class, type) and issubclass(self.request_class, Request)):
            raise TypeError("the request_class of an application is a subclass of evloop_http.messages.Request")
        self.tunnels: bool = getattr(application, "tunnels", False)

    @property
    def needs_loop(self) -> bool:
        """Whether the application needs a running asyncio loop, as things stand: handlers may be added later."""
        return bool(getattr(self.application, "needs_loop", False))


class Answered(NamedTuple):
    """What became of a request."""

    peer: Peer
    #: None if the request could not be read
    head: RequestHead | None
    #: of the response; 499 if the client left before there was one, as nginx has it
    status: int
    #: bytes of content that the socket accepted
    size: int
    #: from the moment when the application was asked to the last byte, or to the end of the attempt
    seconds: float
    #: whether all of the response was sent; if not, the client left or the body failed
    complete: bool


class ConnectionFacts(Protocol):
    """What an observer may ask of a connection."""

    @property
    def peer(self) -> Peer: ...
    @property
    def state_name(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def deadline(self) -> float: ...


class Observer(Protocol):
    """Is told what happens on the connections of a server, in the loop's thread. Inherit what is of no interest.

    An exception that leaves an observer is logged, and harms nobody.
    """

    def opened(self, connection: ConnectionFacts) -> None:
        """A connection was accepted."""
        return

    def entered(self, connection: ConnectionFacts, state: str) -> None:
        """A connection has entered a state that lasts: it waits for something."""
        return

    def answered(self, answer: Answered) -> None:
        """A response was sent, or could not be."""
        return

    def refused(self, peer: Peer, reason: str) -> None:
        """A client broke a rule of HTTP; `reason` names it, and repeats nothing that the client sent."""
        return

    def closed(self, connection: ConnectionFacts) -> None:
        """A connection has ended."""
        return
