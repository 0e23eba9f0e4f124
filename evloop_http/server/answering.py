"""JOINT. The half of a connection that speaks: an application's answers become bytes.

An answer that is bytes leaves in one `send`, and the connection is idle again. Any other is an
`Exchange`, which is gone on with whenever the peer has taken some of it (`WRITING`), or when the
application has more. The other half, which listens, is `connection`.
"""

from __future__ import annotations

from functools import partial

from ..http1 import RequestParser
from ..messages import PushedBody, RequestHead, Response
from ..net.transport import HIGH_WATER, Transport
from .exchange import Exchange, Progress, dispose, failure, file_length
from .shared import Service
from .states import FOLLOWERS, State

HANDSHAKING, IDLE, READING_HEADERS, READING_BODY, HANDLING, WRITING, LINGERING, CLOSED = State

#: Bytes of further requests that are read while one is being answered; the rest waits in the kernel.
READ_AHEAD = 64 * 1024


class Answering:
    """What a connection does from an answer to the end; owns the transport."""

    __slots__ = ("_exchange", "_parser", "_service", "_timer", "_transport", "state")

    def __init__(self, transport: Transport, service: Service) -> None:
        self._transport = transport
        self._service = service
        self._parser = RequestParser(service.heads)
        self._timer = service.reactor.timer(self._on_deadline)
        self._exchange: Exchange | None = None
        self.state = HANDSHAKING
        self._timer.move(service.reactor.now + service.seconds[HANDSHAKING])

    def _read(self) -> None:
        """Go on with what has been read already, if anything."""
        raise NotImplementedError

    def _on_deadline(self) -> None:
        """The time for the present state is over."""
        raise NotImplementedError

    def close(self) -> None:
        """End now, whatever is under way."""
        raise NotImplementedError

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

    def _read_ahead(self) -> None:
        """Go on listening while nothing can be done with what comes: only so does one notice that the peer has gone."""
        self._transport.reading = self._parser.pending < READ_AHEAD

    def on_progress(self) -> None:
        if self.state is WRITING:
            # The clock itself: what was sent may have taken the application its time in this turn.
            self._timer.move(self._service.reactor.time() + self._service.seconds[WRITING])

    def on_room(self) -> None:
        # In other states what was queued are the answers of a pipeline, and nobody waits for them.
        if self.state is WRITING and self._advance():
            self._read()

    on_drained = on_room

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
        self._read_ahead()
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

    # Ending

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
