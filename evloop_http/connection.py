"""JOINT. One client: a socket's bytes become requests, an application's answers become bytes.

    HANDSHAKING ─▶ IDLE ─▶ READING_HEADERS ─▶ READING_BODY ─▶ HANDLING ─▶ WRITING ─▶ LINGERING ─▶ CLOSED
                    ▲                                                        │
                    └────────────────────────────────────────────────────────┘

A state is what the connection is waiting for, so a state that need not be waited in is passed by:
a request that came in one piece goes from `IDLE` to `HANDLING`, and an answer that the socket took
whole goes back to `IDLE`. `FOLLOWERS` has every legal move. Only `_enter` changes the state, and
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

from concurrent.futures import Future
from functools import partial

from .exchange import Exchange, Progress, Upload, checked, dispose, failure, file_length, outcome
from .http1 import CONTINUE, BodyData, EndOfMessage, Pause, ProtocolError, RequestParser
from .messages import HTTPError, PushedBody, RequestHead, Response
from .net.transport import HIGH_WATER, Transport
from .service import FOLLOWERS, Service, State

HANDSHAKING, IDLE, READING_HEADERS, READING_BODY, HANDLING, WRITING, LINGERING, CLOSED = State

#: The parser's events handled in one wake; what is left of a pipeline has its turn in the next.
EVENT_BUDGET = 64
#: Bytes of further requests that are read while one is being handled; the rest waits in the kernel.
READ_AHEAD = 64 * 1024
#: Bytes discarded while lingering. A client that is not through with its upload by then gets a reset.
LINGER_BYTES = 64 * 1024 * 1024


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
        """Change the state, which nothing else does, and with it what is listened for and for how long."""
        if state not in FOLLOWERS[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state
        service = self._service
        # In HANDLING too, to notice a reset; see READ_AHEAD.
        self._transport.reading = state is not WRITING and state is not CLOSED
        # Timer.move, written out: this is done twice a request, and the condition is met once in a connection.
        timer = self._timer
        # `now` is the beginning of the turn, and a handler may have taken its time since; a peer is not charged for it.
        now = service.reactor.now if state is IDLE or state is HANDLING else service.reactor.time()
        timer.deadline = deadline = now + service.seconds[state]
        if deadline < timer.filed:
            timer.move(deadline)

    # What the transport tells

    def on_open(self) -> None:
        self._enter(IDLE)

    def on_data(self, data: bytes) -> None:
        if self.state is LINGERING:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.close()
            return
        self._parser.feed(data)
        if self.state is not HANDLING and self.state is not WRITING:
            self._read()
        elif self._parser.pending >= READ_AHEAD:
            self._transport.reading = False

    def on_eof(self) -> None:
        if self.state is LINGERING:
            self.close()
            return
        self._parser.feed_eof()
        if self.state is WRITING:
            self.close()  # whoever listens for what is pushed and has closed his side has gone
        elif self.state is not HANDLING:
            self._read()

    def on_progress(self) -> None:
        if self.state is WRITING:
            # The clock itself: what was sent may have taken the application its time in this turn.
            self._timer.move(self._service.reactor.time() + self._service.seconds[WRITING])

    def on_room(self) -> None:
        # In other states what was queued are the answers of a pipeline, and nobody waits for them.
        if self.state is WRITING and self._advance():
            self._read()

    on_drained = on_room

    def on_plaintext(self) -> None:
        self._refuse(400, "This port speaks HTTPS, and the request came without TLS.")

    def _on_deadline(self) -> None:
        if self.state is READING_HEADERS or self.state is READING_BODY:
            self._refuse(408, "The request took too long to arrive.")
        elif self.state is HANDLING:
            self._give_up()
        elif self.state is WRITING:
            self._beat_or_abort()
        else:
            self.close()
        self._transport.settle()

    # Reading

    def _read(self) -> None:
        """Act on what the parser says, until it or we have to wait."""
        next_event = self._parser.next_event
        try:
            for _ in range(EVENT_BUDGET):
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
            self._service.note_refusal(self._transport.client, error)
            self._refuse(error.status, error.sentence)
            return
        self._yield_turn()

    def _begin_body(self, head: RequestHead) -> bool:
        self._enter(READING_BODY)
        self._upload = Upload(head, self._service.reactor.time())
        return not head.expects_continue or self._invite_body(head)

    def _invite_body(self, head: RequestHead) -> bool:
        """Answer `Expect: 100-continue`: with the application's refusal, if it has one, before the body is sent."""
        service, transport = self._service, self._transport
        if service.preview is not None:
            scheme = "https" if transport.secure else "http"
            try:
                refusal = service.preview(service.request_class(head, b"", transport.client, scheme))
            except Exception as error:
                refusal = failure(head, error)
            if refusal is not None:
                return self._answer(head, checked(head, refusal), service.reactor.now, keep_alive=False)
        if not self._parser.pending:
            transport.write(CONTINUE)
        return not transport.closed

    def _on_body(self, data: bytes) -> bool:
        upload = self._upload
        assert upload is not None
        upload.add(data)
        self._timer.move(upload.deadline(self._service.timeouts))
        return True

    def _on_end(self) -> bool:
        upload, self._upload = self._upload, None
        assert upload is not None
        return self._handle(upload.head, upload.body)

    def _wait(self, pause: Pause) -> bool:
        """The parser needs more bytes, or knows that there are none."""
        self._transport.reading = True
        if not self._transport.flush():
            if self.state is IDLE:
                self._enter(WRITING)  # the peer does not take its answers: no more requests until it does
        elif pause is Pause.CLOSED:
            self.close()
        elif self.state is IDLE and self._parser.pending:
            self._enter(READING_HEADERS)
        return False

    def _yield_turn(self) -> None:
        """The budget of this wake is used up: the others first, then the rest of what has come."""
        is_flushed = self._transport.flush()
        if self.state is IDLE and not is_flushed:
            self._enter(WRITING)
        elif self.state is IDLE or self.state is READING_BODY:
            self._transport.reading = False
            self._service.reactor.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        if self.state is IDLE or self.state is READING_BODY:
            self._read()
            self._transport.settle()

    # Handling

    def _handle(self, head: RequestHead, body: bytes) -> bool:
        """Have a request answered; whether the answer is out and there is more to read."""
        self.requests += 1
        self._enter(HANDLING)
        service, transport = self._service, self._transport
        started = service.reactor.now if service.log is None else service.reactor.time()
        make_request, application = service.request_class, service.answer
        # The application's exceptions end here.
        try:
            request = make_request(head, body, transport.client, "https" if transport.secure else "http")
            answer = application(request)
        except Exception as error:
            answer = failure(head, error)
        except BaseException:  # Ctrl-C and its like: the loop may be run again, and this request is lost
            self.close()
            raise
        if isinstance(answer, Response):
            return self._answer(head, answer, started)
        if not isinstance(answer, Future):
            return self._answer(head, checked(head, answer), started)
        if answer.done():
            return self._answer(head, outcome(head, answer), started)
        self._exchange = exchange = Exchange(head, started)
        exchange.wait_for(request, answer)
        transport.reading = self._parser.pending < READ_AHEAD
        call_soon = service.reactor.call_soon_threadsafe
        answer.add_done_callback(lambda future: call_soon(self._on_outcome, exchange, head, future))
        return False

    def _on_outcome(self, exchange: Exchange, head: RequestHead, future: Future[Response]) -> None:
        """A future is done: in its own time, and perhaps when nobody waits for it any more."""
        if self._exchange is exchange:
            self._exchange = None
            if self._answer(head, outcome(head, future), exchange.started):
                self._read()
            self._transport.settle()
        elif not future.cancelled():
            dispose(outcome(head, future))

    def _give_up(self) -> None:
        """The application has had its time."""
        exchange = self._exchange
        assert exchange is not None
        self._drop_exchange()
        self._answer(exchange.head, HTTPError(503, "The server took too long to answer.").response(),
                     exchange.started, keep_alive=False)

    # Answering

    def _answer(self, head: RequestHead | None, response: Response, started: float, keep_alive: bool = True) -> bool:
        """Send a response; whether it is out and there is more to read."""
        service, transport = self._service, self._transport
        pending = self._parser.has_pending()
        keep_alive = keep_alive and head is not None and head.keep_alive and not service.draining \
            and not (transport.at_eof and not pending)
        if not isinstance(response.body, bytes):
            return self._start_body(head, response, started, keep_alive)
        try:
            data, keep_alive = service.encoder.encode(response, head, keep_alive)
        except Exception as error:
            assert head is not None  # our own answers are well-formed
            return self._answer(head, failure(head, error), started, keep_alive)
        if service.log is not None:
            service.record(transport.client, head, response.status, len(response.body), started)
        if pending and keep_alive and transport.queued < HIGH_WATER:
            transport.hold(data)  # more requests have come: their answers leave in one send
        elif not transport.write(data):
            if not transport.closed:
                self._exchange = Exchange(head, started, keep_alive)
                self._enter(WRITING)
            return False
        if keep_alive:
            self._enter(IDLE)
            return pending
        self._linger()
        return False

    def _start_body(self, head: RequestHead | None, response: Response, started: float, keep_alive: bool) -> bool:
        """Send the head of a response whose body comes in pieces or from a file, and begin with the body."""
        assert head is not None
        try:
            length = file_length(response)
            data, framing, keep_alive = self._service.encoder.start(response, head, length, keep_alive)
        except Exception as error:
            dispose(response)
            return self._answer(head, failure(head, error), started, keep_alive)
        self._exchange = exchange = Exchange(head, started, keep_alive)
        self._enter(WRITING)
        self._transport.hold(data)
        if isinstance(response.body, PushedBody):
            response.body.attach(partial(self._service.reactor.call_soon_threadsafe, self._resume, exchange))
        exchange.begin(self._transport, response, framing)
        return self.state is WRITING and self._advance()  # the socket may have gone meanwhile

    def _advance(self) -> bool:
        """Go on with the answer; whether it is out and the connection is kept."""
        exchange = self._exchange
        if exchange is not None and (exchange.scheduled or not self._finish(exchange)):
            return False
        self._enter(IDLE)
        return True

    def _finish(self, exchange: Exchange) -> bool:
        """Send as much of the answer as the peer takes; whether that was all of it and the connection is kept."""
        transport = self._transport
        before = transport.sent
        progress = exchange.advance(transport)
        if self.state is not WRITING:
            return False
        if transport.sent > before:
            self.on_progress()
        if progress is Progress.FAILED:
            self._abort()  # the head is out, so there is no other way to say it
        elif progress is Progress.PAUSED:
            self._await_push(exchange)
        elif progress is Progress.YIELDED:
            exchange.scheduled = True
            self._service.reactor.call_soon(self._resume, exchange)
        elif progress is Progress.DONE:
            self._drop_exchange()
            if exchange.keep_alive:
                return True
            self._linger()
        return False

    def _await_push(self, exchange: Exchange) -> None:
        """The application has nothing to send yet: listen for the peer's leaving, and speak up now and then."""
        pushed = exchange.pushed
        assert pushed is not None
        if self._service.draining:
            pushed.end()
        self._transport.reading = self._parser.pending < READ_AHEAD
        self._timer.move(self._service.reactor.time() + min(pushed.interval, self._service.seconds[WRITING]))

    def _beat_or_abort(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.pushed is None or self._transport.queued:
            self._abort()
            return
        exchange.beat(self._transport)
        if self.state is WRITING:
            self._await_push(exchange)

    def _resume(self, exchange: Exchange) -> None:
        exchange.scheduled = False
        if self._exchange is exchange:
            if self._advance():
                self._read()
            self._transport.settle()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on; the connection ends, and nothing more of it is parsed."""
        self._upload = None
        self._answer(None, HTTPError(status, message).response(), self._service.reactor.now)

    # Ending

    def drain(self) -> None:
        """The server stops: an idle connection ends soon, a busy one after its answer."""
        if self.state is IDLE:
            self._timer.move(self._service.reactor.now + self._service.seconds[IDLE])
        elif self._exchange is not None and self._exchange.pushed is not None:
            self._exchange.pushed.end()

    def _linger(self) -> None:
        """Say that no more follows, and wait for the peer to say so too."""
        if self._transport.at_eof:
            self.close()
            return
        if self.state is not WRITING:
            self._enter(WRITING)
        self._transport.half_close()
        self._enter(LINGERING)

    def _drop_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end(self._service, self._transport)

    def _abort(self) -> None:
        self._transport.abort()
        self.close()

    def close(self) -> None:
        """End now, whatever is under way."""
        if self.state is CLOSED:
            return
        self._enter(CLOSED)
        self._timer.cancel()
        self._transport.close()
        self._drop_exchange()
        self._service.connections.discard(self)
        self._service.on_closed(self)

    on_lost = close
