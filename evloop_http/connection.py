"""JOINT. One client: a socket's bytes become requests, an application's answers become bytes.

    HANDSHAKING ─▶ IDLE ─▶ READING_HEADERS ─▶ READING_BODY ─▶ HANDLING ─▶ WRITING ─▶ LINGERING ─▶ CLOSED
                    ▲                                                        │
                    └────────────────────────────────────────────────────────┘

A state is what the connection is waiting for, so a state that need not be waited in is passed by:
a request that came in one piece goes from `IDLE` to `HANDLING`, and an answer that the socket took
whole goes back to `IDLE`. `_FOLLOWERS` has every legal move. Only `_enter` changes the state, and
there follows from it what is listened for and for how long: every state but `CLOSED` (and
`HANDLING`, unless told otherwise) has a deadline, and every state waits for something that can
happen.

Bytes live elsewhere: unread ones with the parser, unsent ones with the transport. This file
carries. It imports no socket and no clock: the transport is one, and the reactor has the other.

Whose fault was it? The peer's is a `ProtocolError`: answered, and the connection ends, gently, for
a reset would destroy the answer (RFC 9112 §9.6): half-close, read and discard for a while, close.
The application's is any other exception: logged, answered with 500. The net's is `on_lost`.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Protocol, TypeVar

from .http1 import (
    CLOSED as STREAM_CLOSED,
)
from .http1 import (
    CONTINUE,
    BodyData,
    BodyEncoder,
    EndOfMessage,
    HeadParser,
    Pause,
    ProtocolError,
    RequestParser,
    ResponseEncoder,
)
from .messages import FileBody, HTTPError, Request, RequestHead, Response
from .net.reactor import Reactor
from .net.timers import NEVER
from .net.transport import HIGH_WATER, Transport

logger = logging.getLogger("evloop_http.server")

#: Requests handled in one wake; what is left of a pipeline has its turn in the next.
PIPELINE_BUDGET = 64
#: Pieces of an iterator sent in one wake.
PIECE_BUDGET = 32
#: Bytes of further requests that are read while one is being handled; the rest waits in the kernel.
READ_AHEAD = 64 * 1024
#: Bytes discarded while lingering. A client that is not through with its upload by then gets a reset.
LINGER_BYTES = 64 * 1024 * 1024

T = TypeVar("T")
Answer = Response | Future[Response]
Application = Callable[[Request], Answer]


class State(enum.Enum):
    """What a connection is waiting for."""

    HANDSHAKING = "handshaking"
    IDLE = "idle"
    READING_HEADERS = "reading headers"
    READING_BODY = "reading body"
    HANDLING = "handling"
    WRITING = "writing"
    LINGERING = "lingering"
    CLOSED = "closed"

    # By identity: the enum's own hash is a function in Python, and states are keys on the fast path.
    __hash__ = object.__hash__


HANDSHAKING, IDLE, READING_HEADERS, READING_BODY, HANDLING, WRITING, LINGERING, CLOSED = State

_FOLLOWERS: dict[State, frozenset[State]] = {
    HANDSHAKING: frozenset({IDLE, WRITING, CLOSED}),
    IDLE: frozenset({READING_HEADERS, READING_BODY, HANDLING, WRITING, CLOSED}),
    READING_HEADERS: frozenset({READING_BODY, HANDLING, WRITING, CLOSED}),
    READING_BODY: frozenset({HANDLING, WRITING, CLOSED}),
    HANDLING: frozenset({IDLE, WRITING, CLOSED}),
    WRITING: frozenset({IDLE, LINGERING, CLOSED}),
    LINGERING: frozenset({CLOSED}),
    CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each thing may take, in seconds. All are on by default."""

    #: from accept to the end of the TLS handshake; then the connection is closed
    handshake: float = 10
    #: from a request's first byte to the end of its head, whatever comes in between; then 408
    head: float = 10
    #: for a body to come, to which every `body_rate` bytes that have come add a second; then 408
    body: float = 10
    #: bytes a second
    body_rate: float = 1024
    #: for the application to answer; then 503. Off, for only the application knows
    handler: float | None = None
    #: without the peer's taking a byte of the answer; then the connection is reset
    write: float = 30
    #: between two requests; then the connection is closed
    idle: float = 75
    #: for the peer to close, after an answer that ends the connection
    linger: float = 2

    def by_state(self) -> dict[State, float]:
        """Seconds for each state, `NEVER` for none."""
        handler = NEVER if self.handler is None else self.handler
        return dict(zip(State, (self.handshake, self.idle, self.head, self.body, handler, self.write, self.linger,
                                NEVER), strict=True))


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

    def __post_init__(self) -> None:
        self.seconds = self.timeouts.by_state()
        bound = isinstance(self.application, FunctionType | MethodType)
        self.answer = self.application if bound else self.application.__call__
        self.request_class = getattr(self.application, "request_class", Request)
        self.preview = getattr(self.application, "preview", None)


class Upload:
    """A request whose body is coming."""

    __slots__ = ("head", "pieces", "received", "started")

    def __init__(self, head: RequestHead, started: float) -> None:
        self.head = head
        self.pieces: list[bytes] = []
        self.received = 0
        self.started = started


class Exchange:
    """A request that is being answered, from its handling to the last byte of its answer."""

    __slots__ = ("framing", "future", "head", "keep_alive", "request", "response", "size", "started")

    def __init__(self, head: RequestHead | None, started: float) -> None:
        self.head = head
        self.started = started
        self.request: Request | None = None
        self.future: Future[Response] | None = None
        self.response: Response | None = None
        self.framing: BodyEncoder | None = None
        self.keep_alive = False
        self.size = 0


class Connection:
    """The state machine of one client; owns its transport."""

    __slots__ = ("_discarded", "_exchange", "_parser", "_service", "_timer", "_transport", "_upload",
                 "requests", "state")

    def __init__(self, transport: Transport, service: Service) -> None:
        self._transport = transport
        self._service = service
        self._parser = RequestParser(service.heads)
        self._timer = service.reactor.timer(self._on_deadline)
        self._upload: Upload | None = None
        self._exchange: Exchange | None = None
        self._discarded = 0
        #: requests handled so far
        self.requests = 0
        self.state = HANDSHAKING
        self._timer.move(service.reactor.now + service.seconds[HANDSHAKING])
        service.connections.add(self)
        transport.open(self)

    def __repr__(self) -> str:
        return f"<Connection {self._transport.client or 'unix'} {self.state.value}, {self.requests} requests>"

    @property
    def received(self) -> int:
        """Bytes that came."""
        return self._parser.received + self._discarded

    @property
    def sent(self) -> int:
        """Bytes that the socket took."""
        return self._transport.sent

    @property
    def deadline(self) -> float:
        """When the present state is over, in seconds of the reactor's clock."""
        return self._timer.deadline

    def _enter(self, state: State) -> None:
        """Change the state, and with it what is listened for and for how long. Nothing else does."""
        if state not in _FOLLOWERS[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state
        service = self._service
        # In HANDLING too, to notice a reset; see READ_AHEAD.
        self._transport.reading = state is not WRITING and state is not CLOSED
        self._timer.move(service.reactor.now + service.seconds[state])

    # What the transport tells

    def on_open(self) -> None:
        self._enter(IDLE)

    def on_data(self, data: bytes) -> None:
        if self.state is LINGERING:
            self._discard(len(data))
            return
        self._parser.feed(data)
        if self.state is not HANDLING:
            self._read()
        elif self._parser.pending >= READ_AHEAD:
            self._transport.reading = False

    def on_eof(self) -> None:
        if self.state is LINGERING:
            self._close()
            return
        self._parser.feed_eof()
        if self.state is not HANDLING:
            self._read()

    def on_progress(self) -> None:
        if self.state is WRITING:
            self._timer.move(self._service.reactor.now + self._service.seconds[WRITING])

    def on_room(self) -> None:
        if self.state is WRITING and self._pump():
            self._read()

    def on_drained(self) -> None:
        # In other states what was queued are the answers of a pipeline, and nobody waits for them.
        if self.state is WRITING and self._pump():
            self._read()

    def on_plaintext(self) -> None:
        self._refuse(400, "This port speaks HTTPS, and the request came without TLS.")

    def on_lost(self) -> None:
        self._close()

    def _on_deadline(self) -> None:
        if self.state is READING_HEADERS or self.state is READING_BODY:
            self._refuse(408, "The request took too long to arrive.")
        elif self.state is HANDLING:
            self._give_up()
        elif self.state is WRITING:
            self._abort()
        else:
            self._close()
        self._transport.settle()

    # Reading

    def _read(self) -> None:
        """Act on what the parser says, until it or we have to wait."""
        next_event = self._parser.next_event
        try:
            for _ in range(PIPELINE_BUDGET):
                event = next_event()
                if isinstance(event, RequestHead):
                    if event.content_length == 0:
                        next_event()  # its end, which says nothing new
                        goes_on = self._handle(event, b"")
                    else:
                        goes_on = self._begin_body(event)
                elif isinstance(event, BodyData):
                    goes_on = self._on_body(event.data)
                elif isinstance(event, EndOfMessage):
                    goes_on = self._on_end()
                else:
                    goes_on = self._wait(event)
                if not goes_on:
                    return
        except ProtocolError as error:
            logger.debug("%s: refused: %s", self._transport.client, error)
            sentence = f"{error.message[0].upper()}{error.message[1:]} ({error.rule.partition(':')[0]})."
            self._refuse(error.status, sentence)
            return
        self._yield_turn()

    def _begin_body(self, head: RequestHead) -> bool:
        self._enter(READING_BODY)
        self._upload = Upload(head, self._service.reactor.now)
        return not head.expects_continue or self._invite_body(head)

    def _invite_body(self, head: RequestHead) -> bool:
        """Answer `Expect: 100-continue`: with the application's refusal, if it has one, before the body is sent."""
        service = self._service
        if service.preview is not None:
            request = service.request_class(head, b"", self._transport.client, self._scheme)
            try:
                refusal = service.preview(request)
            except Exception as error:
                refusal = self._failure(head, error)
            if refusal is not None:
                refusal = refusal if isinstance(refusal, Response) else self._misuse(head, refusal)
                return self._answer(head, refusal, service.reactor.now, keep_alive=False)
        if not self._parser.pending:
            self._transport.write(CONTINUE)
        return not self._transport.closed

    def _on_body(self, data: bytes) -> bool:
        upload = self._upload
        assert upload is not None
        upload.pieces.append(data)
        upload.received += len(data)
        timeouts = self._service.timeouts
        self._timer.move(upload.started + timeouts.body + upload.received / timeouts.body_rate)
        return True

    def _on_end(self) -> bool:
        upload = self._upload
        assert upload is not None
        self._upload = None
        return self._handle(upload.head, b"".join(upload.pieces))

    def _wait(self, pause: Pause) -> bool:
        """The parser needs more bytes, or knows that there are none."""
        self._transport.reading = True
        if not self._transport.flush():
            self._wait_for_room()
        elif pause is STREAM_CLOSED:
            self._close()
        elif self.state is IDLE and self._parser.pending:
            self._enter(READING_HEADERS)
        return False

    def _wait_for_room(self) -> None:
        """Answers of a pipeline are queued that the peer does not take: take no more requests until it does."""
        if self.state is IDLE:
            self._enter(WRITING)

    def _yield_turn(self) -> None:
        """The budget of this wake is used up: the others first, then the rest of what has come."""
        if not self._transport.flush():
            self._wait_for_room()
        if self.state is IDLE or self.state is READING_BODY:
            self._transport.reading = False
            self._service.reactor.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        if self.state is IDLE or self.state is READING_BODY:
            self._read()
            self._transport.settle()

    # Handling

    @property
    def _scheme(self) -> str:
        return "https" if self._transport.secure else "http"

    def _handle(self, head: RequestHead, body: bytes) -> bool:
        """Have a request answered; whether the answer is out and there is more to read."""
        self.requests += 1
        self._enter(HANDLING)
        service = self._service
        transport = self._transport
        started = service.reactor.now if service.log is None else service.reactor.time()
        request = service.request_class(head, body, transport.client, "https" if transport.secure else "http")
        # The application's exceptions end here.
        try:
            answer = service.answer(request)
        except Exception as error:
            answer = self._failure(head, error)
        if isinstance(answer, Response):
            return self._answer(head, answer, started)
        if isinstance(answer, Future):
            return self._wait_for_answer(head, request, answer, started)
        return self._answer(head, self._misuse(head, answer), started)

    def _failure(self, head: RequestHead, error: BaseException) -> Response:
        """The answer to a request that its handler did not answer: what it asked for, or 500, and a line in the log."""
        if isinstance(error, HTTPError):
            return error.response()
        logger.error("%s: the application failed", head.line, exc_info=error)
        return HTTPError(500, "The server failed to answer this request.").response()

    def _misuse(self, head: RequestHead, answer: object) -> Response:
        return self._failure(head, TypeError(f"an application returns a Response, not {type(answer).__name__}"))

    def _wait_for_answer(self, head: RequestHead, request: Request, future: Future[Response], started: float) -> bool:
        if future.done():
            return self._answer(head, self._result(head, future), started)
        self._exchange = exchange = Exchange(head, started)
        exchange.request = request
        exchange.future = future
        call_soon = self._service.reactor.call_soon_threadsafe
        future.add_done_callback(lambda future: call_soon(self._on_answer, exchange, future))
        return False

    def _result(self, head: RequestHead, future: Future[Response]) -> Response:
        if future.cancelled():
            return HTTPError(503, "The request was cancelled.").response()
        error = future.exception()
        if error is not None:
            return self._failure(head, error)
        response: object = future.result()
        return response if isinstance(response, Response) else self._misuse(head, response)

    def _on_answer(self, exchange: Exchange, future: Future[Response]) -> None:
        """A future is done: in its own time, and perhaps when nobody waits for it any more."""
        assert exchange.head is not None
        if self._exchange is not exchange:
            if not future.cancelled():
                self._dispose(self._result(exchange.head, future))
            return
        self._exchange = None
        if self._answer(exchange.head, self._result(exchange.head, future), exchange.started):
            self._read()
        self._transport.settle()

    def _give_up(self) -> None:
        """The application has had its time."""
        exchange = self._exchange
        assert exchange is not None
        assert exchange.head is not None
        self._drop_exchange()
        self._answer(exchange.head, HTTPError(503, "The server took too long to answer.").response(),
                     exchange.started, keep_alive=False)

    # Answering

    def _answer(self, head: RequestHead | None, response: Response, started: float, keep_alive: bool = True) -> bool:
        """Send a response; whether it is out and there is more to read."""
        service, transport = self._service, self._transport
        pending = self._parser.pending
        keep_alive = keep_alive and head is not None and head.keep_alive and not service.draining \
            and not (transport.at_eof and not pending)
        if type(response.body) is not bytes:
            return self._start_body(head, response, started, keep_alive)
        try:
            data, keep_alive = service.encoder.encode(response, head, keep_alive)
        except Exception as error:
            assert head is not None  # our own answers are well-formed
            return self._answer(head, self._failure(head, error), started, keep_alive)
        if service.log is not None:
            size = 0 if head is not None and head.method == "HEAD" else len(response.body)
            service.log.record(transport.client, head, response.status, size, service.reactor.time() - started)
        if pending and keep_alive and transport.queued < HIGH_WATER:
            transport.hold(data)  # more requests have come: their answers leave in one send
        elif not transport.write(data):
            if not transport.closed:
                self._exchange = exchange = Exchange(head, started)
                exchange.keep_alive = keep_alive
                self._enter(WRITING)
            return False
        if keep_alive:
            self._enter(IDLE)
            return pending > 0
        self._linger()
        return False

    def _start_body(self, head: RequestHead | None, response: Response, started: float, keep_alive: bool) -> bool:
        """Send the head of a response whose body comes in pieces or from a file, and begin with the body."""
        assert head is not None
        body = response.body
        length = body.length if isinstance(body, FileBody) else None
        try:
            data, framing, keep_alive = self._service.encoder.start(response, head, length, keep_alive)
        except Exception as error:
            self._dispose(response)
            return self._answer(head, self._failure(head, error), started, keep_alive)
        self._exchange = exchange = Exchange(head, started)
        exchange.response = response
        exchange.keep_alive = keep_alive
        self._enter(WRITING)
        transport = self._transport
        transport.hold(data)
        if framing is None:
            transport.flush()
        elif isinstance(body, FileBody):
            exchange.size = body.length
            transport.send_file(body.file, body.offset, body.length)
        else:
            exchange.framing = framing
        return self.state is WRITING and self._pump()  # the socket may have gone meanwhile

    def _pump(self) -> bool:
        """Go on with the answer; whether it is out and there is more to read."""
        exchange = self._exchange
        if exchange is not None:
            if exchange.framing is not None and not self._produce(exchange, exchange.framing):
                return False
            if self._transport.queued:
                return False
            self._record(exchange)
            self._drop_exchange()
            if not exchange.keep_alive:
                self._linger()
                return False
        self._enter(IDLE)
        return True

    def _produce(self, exchange: Exchange, framing: BodyEncoder) -> bool:
        """Ask the application's iterator for pieces while the peer takes them; whether it has ended."""
        transport = self._transport
        assert exchange.response is not None
        pieces: Iterator[bytes] = exchange.response.body  # type: ignore[assignment]
        before = transport.sent
        try:
            for _ in range(PIECE_BUDGET):
                if transport.closed or transport.queued >= HIGH_WATER:
                    break
                piece = next(pieces, None)
                if piece is None:
                    transport.write(framing.finish())
                    exchange.framing = None
                    return not transport.closed
                exchange.size += len(piece)
                transport.write(framing.encode(piece))
            else:
                self._service.reactor.call_soon(self._resume, exchange)
        except Exception as error:
            # The head is out, so there is no way to say it but to break off.
            assert exchange.head is not None
            self._failure(exchange.head, error)
            self._abort()
        if transport.sent > before and self.state is WRITING:
            # The clock itself: the application may have taken its time for these pieces.
            self._timer.move(self._service.reactor.time() + self._service.seconds[WRITING])
        return False

    def _resume(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            if self._pump():
                self._read()
            self._transport.settle()

    def _record(self, exchange: Exchange) -> None:
        log, response = self._service.log, exchange.response
        if log is not None and response is not None:
            seconds = self._service.reactor.time() - exchange.started
            log.record(self._transport.client, exchange.head, response.status, exchange.size, seconds)

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on; the connection ends, and nothing more of it is parsed."""
        self._upload = None
        self._answer(None, HTTPError(status, message).response(), self._service.reactor.now)

    # Ending

    def drain(self) -> None:
        """The server stops: an idle connection ends soon, a busy one after its answer."""
        if self.state is IDLE:
            self._timer.move(self._service.reactor.now + self._service.seconds[IDLE])

    def _linger(self) -> None:
        """Say that no more follows, and wait for the peer to say so too."""
        if self._transport.at_eof:
            self._close()
            return
        if self.state is not WRITING:
            self._enter(WRITING)
        self._transport.half_close()
        self._enter(LINGERING)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self._close()

    def _drop_exchange(self) -> None:
        """Let go of the request in hand: tell the application if it is still at it, close what its answer holds."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.request is not None:
            exchange.request.disconnected = True
        if exchange.future is not None:
            exchange.future.cancel()
        if exchange.response is not None:
            self._dispose(exchange.response)

    def _dispose(self, response: Response) -> None:
        """Close a response: a generator's `finally` is the application's code, and may fail like it."""
        try:
            response.close()
        except Exception:
            logger.exception("closing the body of a response failed")

    def _abort(self) -> None:
        self._transport.abort()
        self._close()

    def close(self) -> None:
        """End now, whatever is under way."""
        self._close()

    def _close(self) -> None:
        if self.state is CLOSED:
            return
        self._enter(CLOSED)
        self._timer.cancel()
        self._transport.close()
        self._drop_exchange()
        self._upload = None
        self._service.connections.discard(self)
        self._service.on_closed(self)
