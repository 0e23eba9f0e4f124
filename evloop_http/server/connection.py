"""JOINT. One client: a socket's bytes become requests, an application's answers become bytes.

    HANDSHAKING ─▶ IDLE ─▶ READING_HEADERS ─▶ READING_BODY ◀▶ HANDLING ─▶ WRITING ─▶ LINGERING ─▶ CLOSED
                    ▲                                                        │
                    └────────────────────────────────────────────────────────┘

A state is what the connection is waiting for, so a state that need not be waited in is passed by:
a request that came in one piece goes from `IDLE` to `HANDLING`, and an answer that the socket took
whole goes back to `IDLE`. `FOLLOWERS` has every legal move. Only `_enter` changes the state, and
there follows from it what is listened for and for how long: every state but `CLOSED` (and
`HANDLING`, unless told otherwise) has a deadline, and every state waits for something that can
happen.

A body that the application takes while it comes (see `upload`) is read in `READING_BODY` as long as
there is room for it, and in `HANDLING` it is the application's turn to make some.

Bytes live elsewhere: unread ones with the parser, unsent ones with the transport. This file
carries. It imports no socket and no clock: the transport is one, and the reactor has the other.

Whose fault was it? The peer's is a `ProtocolError`: answered, and the connection ends, gently, for
a reset would destroy the answer (RFC 9112 §9.6): half-close, read and discard for a while, close.
The application's is any other exception: logged, answered with 500. The net's is `on_lost`.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from ..http1 import CONTINUE, BodyData, EndOfMessage, Pause, ProtocolError
from ..http1.rules import BODY_LARGE
from ..messages import HTTPError, Request, RequestHead, Response
from ..net.transport import Transport
from .answering import (
    CLOSED,
    HANDLING,
    IDLE,
    LINGERING,
    READ_AHEAD,
    READING_BODY,
    READING_HEADERS,
    WRITING,
    Answering,
)
from .exchange import Exchange, checked, dispose, failure, outcome
from .receiving import Upload, UploadStream
from .shared import Service

#: The parser's events handled in one wake; what is left of a pipeline has its turn in the next.
EVENT_BUDGET = 64
#: Bytes discarded while lingering. A client that is not through with its upload by then gets a reset.
LINGER_BYTES = 64 * 1024 * 1024


class Connection(Answering):
    """The state machine of one client."""

    __slots__ = ("_discarded", "_upload", "requests")

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service)
        self._upload: Upload | UploadStream | None = None
        self._discarded = 0
        #: requests handled so far
        self.requests = 0
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

    def on_plaintext(self) -> None:
        self._refuse(400, "This port speaks HTTPS, and the request came without TLS.")

    def _on_deadline(self) -> None:
        if self.state is READING_HEADERS or self.state is READING_BODY:
            self._refuse(408, "The request took too long to arrive.")
        elif self.state is HANDLING:
            self._give_up()
        elif self.state is WRITING:
            self._beat_or_abort()
        elif self.state is not IDLE or not self._look_again():
            self.close()
        self._transport.settle()

    def _look_again(self) -> bool:
        """Whether something has come since the selector looked: at stop, all idle connections end in one turn."""
        handled = self.requests
        self._transport.look()
        return self.state is not IDLE or self.requests > handled or self._parser.has_pending()

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
        service = self._service
        try:
            is_streamed = service.streams is not None and service.streams(head)
        except Exception as error:
            return self._answer(head, failure(head, error), service.reactor.now, keep_alive=False)
        if is_streamed:
            wake = partial(service.reactor.call_soon_threadsafe, self._on_upload_room)
            self._upload = stream = UploadStream(head, service.reactor.time(), wake, paused=head.expects_continue)
            return self._handle(head, b"", stream)
        if head.content_length is not None and head.content_length > service.body_limit:
            raise ProtocolError(BODY_LARGE)
        body = self._parser.take_body()
        if body is not None:  # it came with its head
            return self._handle(head, body)
        self._enter(READING_BODY)
        self._upload = Upload(head, service.reactor.time(), service.body_limit)
        return not head.expects_continue or self._invite_or_refuse(head)

    def _invite_or_refuse(self, head: RequestHead) -> bool:
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
        return self._invite()

    def _invite(self) -> bool:
        if not self._parser.pending:  # or it comes without having been asked for
            self._transport.write(CONTINUE)
        return not self._transport.closed

    def _on_body(self, data: bytes) -> bool:
        upload = self._upload
        assert upload is not None
        if upload.add(data):
            self._expect_more(upload)
            return True
        self._await_handler()
        return False

    def _expect_more(self, upload: Upload | UploadStream) -> None:
        """Set the deadline for more of a body: what came buys time, but no silence longer than one between requests."""
        timeouts = self._service.timeouts
        self._timer.move(min(upload.deadline(timeouts), self._service.reactor.time() + timeouts.idle))

    def _on_end(self) -> bool:
        upload, self._upload = self._upload, None
        if isinstance(upload, Upload):
            return self._handle(upload.head, upload.take())
        assert upload is not None
        upload.end()
        self._await_handler()
        return False

    # A body that the handler takes while it comes: READING_BODY while there is room for it, else HANDLING

    def _await_handler(self) -> None:
        """Its next step is the handler's: to take what has come, or to answer."""
        if isinstance(self._upload, UploadStream):
            self._upload.pause(self._service.reactor.time())
        self._enter(HANDLING)
        self._read_ahead()

    def _on_upload_room(self) -> None:
        """The handler has taken what had come, or asks for the first of it."""
        upload = self._upload
        if isinstance(upload, UploadStream) and self.state is HANDLING:
            if self._go_on_with(upload):
                self._read()
            self._transport.settle()

    def _go_on_with(self, upload: UploadStream) -> bool:
        upload.resume(self._service.reactor.time())
        self._enter(READING_BODY)
        self._expect_more(upload)
        return upload.received > 0 or not upload.head.expects_continue or self._invite()

    def _drop_upload(self) -> None:
        """No more of the body will be read; whoever waits for it is told."""
        upload, self._upload = self._upload, None
        if isinstance(upload, UploadStream):
            upload.close()

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

    def _handle(self, head: RequestHead, body: bytes, stream: UploadStream | None = None) -> bool:
        """Have a request answered; whether the answer is out, or the body to come, and there is more to read."""
        self.requests += 1
        self._enter(HANDLING)
        service, transport = self._service, self._transport
        started = service.reactor.now if service.log is None else service.reactor.time()
        make_request, application = service.request_class, service.answer
        # The application's exceptions end here.
        try:
            request = make_request(head, body, transport.client, "https" if transport.secure else "http")
            del body  # the request's to keep, or to let go of
            if stream is not None:
                request.receive(stream)
            answer = application(request)
        except Exception as error:
            answer = failure(head, error)
        except BaseException:  # Ctrl-C and its like: the loop may be run again, and this request is lost
            self.close()
            raise
        if isinstance(answer, Future):
            if not answer.done():
                return self._await_outcome(request, answer, started, stream)
            answer = outcome(head, answer)
        elif not isinstance(answer, Response):
            answer = checked(head, answer)
        if stream is not None:
            self._drop_upload()
        return self._answer(head, answer, started, stream is None)

    def _await_outcome(self, request: Request, future: Future[Response], started: float,
                       stream: UploadStream | None) -> bool:
        """The application works at it; whether there is a body to come meanwhile."""
        head = request.head
        self._exchange = exchange = Exchange(head, started)
        exchange.wait_for(request, future)
        self._read_ahead()
        call_soon = self._service.reactor.call_soon_threadsafe
        future.add_done_callback(lambda done: call_soon(self._on_outcome, exchange, head, done))
        return stream is not None and not stream.paused and self._go_on_with(stream)

    def _on_outcome(self, exchange: Exchange, head: RequestHead, future: Future[Response]) -> None:
        """A future is done: in its own time, and perhaps when nobody waits for it any more."""
        if self._exchange is exchange:
            self._exchange = None
            exchange.release()
            # Of a body that the handler did not want to the end, the rest is not read: behind it there is no request.
            is_whole = self._upload is None
            self._drop_upload()
            if self._answer(head, outcome(head, future), exchange.started, is_whole):
                self._read()
            self._transport.settle()
        elif not future.cancelled():
            dispose(outcome(head, future))

    def _give_up(self) -> None:
        """The application has had its time."""
        exchange = self._exchange
        assert exchange is not None
        self._drop_upload()
        self._drop_exchange()
        self._answer(exchange.head, HTTPError(503, "The server took too long to answer.").response(),
                     exchange.started, keep_alive=False)

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on; the connection ends, and nothing more of it is parsed."""
        self._drop_upload()
        self._drop_exchange()
        self._answer(None, HTTPError(status, message).response(), self._service.reactor.now)

    # Ending

    def drain(self) -> None:
        """The server stops: an idle connection ends soon, a busy one after its answer."""
        if self.state is IDLE:
            self._timer.move(self._service.reactor.now + self._service.seconds[IDLE])
        elif self._exchange is not None and self._exchange.pushed is not None:
            self._exchange.pushed.end()

    def close(self) -> None:
        if self.state is CLOSED:
            return
        self._enter(CLOSED)
        self._timer.cancel()
        self._transport.close()
        self._drop_upload()
        self._drop_exchange()
        self._service.connections.discard(self)
        self._service.on_closed(self)

    on_lost = close
