"""The life of one socket: bytes become requests, responses become bytes, and everything ends.

A connection owns the transport, the parser and one timer. It reads, keeps pipelined requests in order and in
turn, refuses what is not HTTP, lingers, drains and switches. What happens to a request is the `Exchange`'s
affair; the connection knows only that there is one.

*The short way.* Most requests arrive in one piece and are answered with bytes that the socket accepts. They
take one `recv`, one call of the application and one `send`: `on_data`, `_handle`, `_respond`. The connection
is idle before and after, and nothing is made that has to be given up again.

*One place applies what follows from the states*: `update`, called by the transport at the end of every wake.
*One door* leads in from elsewhere, from a timer, a thread or a later turn: `_turn`. It acts, reads on, and
updates, so nobody can forget to.

Bytes live elsewhere: unread ones with the parser, unsent ones with the transport. This file carries.

Whose fault was it? The peer's is a `ProtocolError`: it is answered, and the connection ends, gently, because
a reset would destroy the answer (RFC 9112 §9.6): half-close, read and discard for a while, close. The
application's is a response too (see `failures`). The net's is `on_lost`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..http1 import CONTINUE, BodyData, EndOfMessage, Pause, ProtocolError, RequestParser
from ..messages import Fields, HTTPError, Peer, RequestHead, Response, SwitchedProtocol
from ..net.transport import HIGH_WATER, Transport
from .exchange import Exchange
from .failures import error_response, no_tunnel
from .in_flight import InFlight
from .line import Successor
from .lingering import Lingering
from .places import Claim
from .sending import content_size
from .shared import Shared
from .states import TRANSITIONS, Listen, Receiving, Responding, State
from .switching import SwitchedChannel

logger = logging.getLogger("evloop_http.server")

HANDSHAKING, IDLE, READING_HEADERS, EXCHANGING, LINGERING, SWITCHED, CLOSED = State
READING_BODY = Receiving.READING_BODY

#: The parser's events handled in one turn; what is left of a pipeline has its turn in the next.
EVENT_BUDGET = 64
#: Bytes of further requests that are read while one is being answered; the rest waits in the kernel.
READ_AHEAD = 64 * 1024


class Connection:
    """The state machine of one client."""

    __slots__ = ("_exchange", "_turn_due", "_parser", "_shared", "_since", "_successor", "_timer", "_transport", "peer",
                 "received", "requests", "state")

    def __init__(self, transport: Transport, peer: Peer, shared: Shared) -> None:
        self._transport = transport
        self.peer = peer
        self._shared = shared
        self._parser: RequestParser | None = None  # there is one while something is half read
        self._timer = shared.reactor.timer(self)
        self._exchange: Exchange | None = None
        self._successor: Successor | None = None  # what has the connection after HTTP
        self._turn_due = False  # it will go on by itself
        #: bytes that arrived
        self.received = 0
        #: requests that the application was asked to answer
        self.requests = 0
        self.state = HANDSHAKING
        self._since = shared.reactor.now
        shared.connections.add(self)
        peer.line = self
        if shared.observer is not None:
            shared.tell(shared.observer.opened, self)
        transport.open(self)

    def __repr__(self) -> str:
        return f"<Connection {self.peer.address or 'unix'} {self.state_name}, {self.requests} requests>"

    @property
    def state_name(self) -> str:
        """The state in one word, that of the exchange if there is one."""
        return self._exchange.state_name if self._exchange is not None else self.state.value

    def in_flight(self) -> InFlight | None:
        """Return the request that is being received or answered, if it takes its time."""
        return self._exchange.in_flight() if self._exchange is not None else None

    @property
    def outlet(self) -> Transport:
        """What responses are sent through."""
        return self._transport

    @property
    def sent(self) -> int:
        """Bytes that the socket accepted."""
        return self._transport.sent

    @property
    def deadline(self) -> float:
        """When the present state is over, in seconds of the reactor's clock."""
        return self._timer.deadline

    def _enter(self, state: State) -> None:
        """Change the state. Nothing else does."""
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state
        shared = self._shared
        # `now` is the beginning of the turn. A handler may have taken its time since, but an idle client pays nothing.
        self._since = shared.reactor.now if state is IDLE else shared.reactor.time()
        if shared.observer is not None:
            self.note_state()

    def note_state(self) -> None:
        """Tell the observer of the state."""
        if self._shared.observer is not None and (self._exchange is not None or self.state is not EXCHANGING):
            self._shared.tell(self._shared.observer.entered, self, self.state_name)

    # What follows from the states, and how to act on them from elsewhere

    def update(self) -> None:
        """Apply what follows from the states: whether the socket is read, and until when. Nothing else does."""
        if self._exchange is not None:
            listen, deadline = self._exchange.wants()
            reading = listen is Listen.YES or (listen is Listen.AHEAD and self._pending() < READ_AHEAD)
        elif self._successor is not None:
            reading, deadline = self._successor.wants()
        else:
            reading, deadline = True, self._since + self._shared.seconds[self.state]
            if not self.received and self.state is IDLE:  # who has not said anything yet has the time of a head
                deadline = min(deadline, self._since + self._shared.timeouts.head)
        self._transport.reading = reading and not self._turn_due
        # Timer.move, written out: this is done for every request, and the condition is met once in a connection.
        timer = self._timer
        timer.deadline = deadline
        if deadline < timer.filed:
            timer.move(deadline)

    def _turn(self, act: Callable[..., object], *args: object, reads_on: bool = True) -> None:
        """Act, read on, and update: the one door for what does not come from the selector."""
        try:
            act(*args)
        except BaseException:  # nothing may leave a connection behind that waits for nothing
            self.abort()
            raise
        if reads_on or not self._pending():
            self._read()
        else:
            self._yield_turn()
        if self.state is not CLOSED:
            self.update()
            self._transport.update_interest()

    def later(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in a turn of this connection. Safe from any thread."""
        self._shared.reactor.call_soon_threadsafe(self._turn, act, *args)

    def promptly(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in the loop's thread: at once, if this is it. Safe from any thread."""
        if self._shared.may_act():
            # Perhaps within another request's handler, so the next request is not begun here.
            self._turn(act, *args, reads_on=False)
        else:
            self.later(act, *args)

    def next_turn(self, act: Callable[..., None], *args: object) -> None:
        """Have `act` called in the next turn of the loop."""
        self._shared.reactor.call_soon(self._turn, act, *args)

    # What the transport tells

    def on_open(self) -> None:
        self._enter(IDLE)

    def on_data(self, data: bytes) -> None:
        self.received += len(data)
        if self._successor is not None:
            self._successor.receive(data)
        elif self._parser is not None:
            self._parser.feed(data)
            self._read()
        elif self.state is IDLE and (head := self._shared.heads.whole_request(data)) is not None:
            self._handle(head, b"", False)
        else:
            self._parser = RequestParser(self._shared.heads)
            self._parser.feed(data)
            self._read()

    def on_eof(self) -> None:
        if self._successor is not None:
            self._successor.receive_eof()
        elif self.state is HANDSHAKING:
            self.close()
        else:
            if self._parser is not None:
                self._parser.feed_eof()
            exchange = self._exchange
            if exchange is not None and exchange.receiving is Receiving.COMPLETE and self.has_left():
                exchange.note_client_left()
            self._read()

    def on_plaintext(self) -> None:
        self._refuse(HTTPError(400, "This port speaks HTTPS, and the request came without TLS.").response())

    def on_progress(self) -> None:
        if self._exchange is not None:
            self._exchange.note_progress()
        elif self._successor is not None:
            self._successor.note_progress()

    def on_writable(self) -> None:
        if self._exchange is not None:
            self._exchange.proceed()
            self._read()
        elif self._successor is not None:
            self._successor.write_on()

    # Reading

    def _pending(self) -> int:
        """Return the bytes that have been received and not acted on."""
        return self._parser.pending if self._parser is not None else 0

    def _may_read(self) -> bool:
        """Return whether what the parser says next can be acted on now."""
        if self._turn_due:
            return False
        if self._exchange is not None:
            return self._exchange.receiving is READING_BODY
        return self.state is IDLE or self.state is READING_HEADERS

    def _read(self) -> None:
        """Act on what the parser says, until it or the state says that we have to wait."""
        shared = self._shared
        began = shared.reactor.time()
        try:
            for _ in range(EVENT_BUDGET):
                if not self._may_read():
                    return
                parser = self._parser
                if parser is None:
                    self._pause()
                    return
                if shared.is_late(began):
                    break
                if (head := parser.next_request()) is not None:  # the usual one of a pipeline
                    self._handle(head, b"", parser.has_pending())
                    continue
                event = parser.next_event()
                if isinstance(event, RequestHead):
                    self._begin(event, parser)
                elif isinstance(event, Pause):
                    self._pause()
                    return
                elif self._exchange is not None:
                    self._go_on_with(self._exchange, event)
        except ProtocolError as error:
            self._refuse_error(error)
        except BaseException:
            self.abort()
            raise
        else:
            self._yield_turn()

    def _begin(self, head: RequestHead, parser: RequestParser) -> None:
        if head.content_length == 0:
            parser.next_event()  # its end, which says nothing new
            self._handle(head, b"", parser.has_pending())
            return
        if head.content_length is None or head.content_length <= self._shared.body_limit:
            body = parser.take_body()
            if body is not None:  # it arrived with its head
                self._handle(head, body, parser.has_pending())
                return
        exchange = Exchange(self, self._shared, head, self._shared.reactor.time(), READING_BODY)
        self._begin_exchange(exchange)
        exchange.begin(head)

    def _go_on_with(self, exchange: Exchange, event: BodyData | EndOfMessage) -> None:
        if isinstance(event, BodyData):
            exchange.receive(event.data)
        else:
            exchange.complete()

    def _begin_exchange(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._enter(EXCHANGING)

    def invite(self) -> None:
        """Ask for the body that the client holds back (RFC 9110 §10.1.1)."""
        if not self._pending():  # or it has arrived without having been asked for
            self._transport.write(CONTINUE)

    def _pause(self) -> None:
        """Wait for more bytes, or end, if no more will come."""
        is_flushed = self._transport.flush()
        if self._exchange is not None or self.state is CLOSED:
            return
        if self._pending():
            if self.state is IDLE:
                self._enter(READING_HEADERS)
        elif not is_flushed:
            self._await_room()
        elif self._transport.at_eof:
            self.close()
        elif self._parser is not None and self._parser.is_fresh():
            self._parser = None  # nothing is half read

    def _await_room(self) -> None:
        """Read no more requests before the client has taken the responses to the earlier ones."""
        if self.state is not CLOSED:
            exchange = Exchange(self, self._shared, None, self._shared.reactor.time())
            self._begin_exchange(exchange)
            exchange.await_room(None)

    def _yield_turn(self) -> None:
        """Let the others go first, then go on with the rest of what has arrived."""
        if self.state is IDLE and not self._transport.flush():
            self._await_room()
        elif self._may_read():
            self._turn_due = True
            self._shared.reactor.call_soon(self._turn, self._take_turn)

    def _take_turn(self) -> None:
        self._turn_due = False

    # Handling: the short way

    def _handle(self, head: RequestHead, body: bytes, has_more: bool) -> None:
        """Have a request answered that has arrived as a whole, perhaps with more behind it."""
        self.requests += 1
        shared = self._shared
        started = shared.reactor.now if shared.observer is None else shared.reactor.time()
        # The application's exceptions end here. (`Shared.ask`, written out: it is done for every request.)
        try:
            request = shared.make_request(head, body, self.peer)
            del body  # the request's to keep, or to let go of
            answer = shared.answer(request) if head.path or shared.contract.tunnels else no_tunnel()
        except Exception as error:
            answer = error_response(head, error)
        except BaseException:  # Ctrl-C and its like: the loop may be run again, and this request is lost
            self.close()
            raise
        if isinstance(answer, Response) and isinstance(answer.body, bytes):
            self._respond(head, answer, started, has_more)
        else:
            exchange = Exchange(self, shared, head, started)
            self._begin_exchange(exchange)
            exchange.accept_answer(head, answer, request)

    def _respond(self, head: RequestHead, response: Response, started: float, has_more: bool) -> None:
        """Send a response of bytes. If the socket does not accept all of it, that becomes an exchange."""
        shared, transport = self._shared, self._transport
        keep_alive = head.keep_alive and not shared.draining and (has_more or not transport.at_eof)
        try:
            data, keep_alive = shared.encoder.encode(response, head, keep_alive)
        except Exception as error:
            self._respond(head, error_response(head, error), started, has_more)  # our own responses are well-formed
            return
        if has_more and keep_alive and shared.observer is None and transport.queued < HIGH_WATER:
            transport.enqueue(data)  # more requests have arrived: their responses leave in one send
        elif not transport.write(data):
            self._wait_for_room(head, response, started, keep_alive)
            return
        elif shared.observer is not None:
            shared.observe_sent(self.peer, head, response, started, content_size(head, response))
        if not keep_alive:
            self.linger()
            return
        if self.state is IDLE:
            self._since = shared.reactor.now  # idle anew
        else:
            self._enter(IDLE)

    def _wait_for_room(self, head: RequestHead | None, response: Response, started: float, keep_alive: bool) -> None:
        if self.state is CLOSED:
            self._shared.observe_sent(self.peer, head, response, started, 0, is_complete=False)
            return
        exchange = Exchange(self, self._shared, head, started)
        exchange.keep_alive = keep_alive
        self._begin_exchange(exchange)
        exchange.await_room(response)

    # What an exchange asks of its connection

    def has_left(self) -> bool:
        """Return whether the client sends nothing more, with no further request half sent."""
        return self._transport.at_eof and not self._pending()

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response ahead of the one that is being made."""
        data = self._shared.encoder.encode_interim(status, fields)
        if self._exchange is None:
            self._transport.write(data)  # the application is at work, in a turn of this connection
        elif self._exchange.responding is Responding.HANDLING:
            self.promptly(self._write, data)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)

    def finish(self, keep_alive: bool) -> None:
        """Record that a response has been sent, and whether another request may follow."""
        self._drop_exchange()
        if keep_alive:
            self._enter(IDLE)
        else:
            self.linger()

    def switch(self, protocol: SwitchedProtocol) -> None:
        """Hand the connection to another protocol: the last of HTTP has been sent."""
        rest = self._parser.detach() if self._parser is not None else b""
        self._parser = None
        self._drop_exchange()
        self._successor = channel = SwitchedChannel(self, self._transport, protocol, self._shared)
        self._enter(SWITCHED)
        channel.begin(rest)

    def abort(self) -> None:
        """Close with a reset: a response cannot be finished."""
        self._transport.abort()
        self.close()

    def update_now(self) -> None:
        """Apply what follows from the states, behind something that a switched protocol did by itself."""
        self._turn(_do_nothing)

    # Refusing

    def _refuse_error(self, error: ProtocolError) -> None:
        shared = self._shared
        logger.debug("%s: refused: %s", self.peer.address, error)
        if shared.observer is not None:
            shared.tell(shared.observer.refused, self.peer, str(error))
        response = HTTPError(error.status, error.sentence).response()
        self._refuse(response, error.method == "HEAD")

    def _refuse(self, response: Response, is_head: bool = False) -> None:
        """Answer what cannot be read on. The connection ends, and nothing more of it is parsed."""
        if self._exchange is not None:
            self._exchange.refuse(response)
            return
        started = self._shared.reactor.time()
        data, _ = self._shared.encoder.encode(response, None, False)
        if is_head and isinstance(response.body, bytes):  # RFC 9110 §9.3.2: no content in the answer to a HEAD
            data = data[:len(data) - len(response.body)]
            response.body = b""
        if not self._transport.write(data):
            self._wait_for_room(None, response, started, False)
            return
        self._shared.observe_sent(self.peer, None, response, started, content_size(None, response))
        self.linger()

    # Ending

    def __call__(self) -> None:
        """Be the callback of the timer. (A bound method would be one more object for every idle connection.)"""
        self._turn(self._expire)

    def _expire(self) -> None:
        """The time for the present state is over."""
        state = self.state
        if state is EXCHANGING and self._exchange is not None:
            self._exchange.expire()
        elif state is READING_HEADERS:
            self._refuse(HTTPError(408, "The request took too long to arrive.").response())
        elif state is IDLE:
            self._end_idle()
        elif self._successor is not None:
            self._successor.expire()
        else:
            self.close()

    def _end_idle(self) -> None:
        """Close, unless something has arrived since the selector looked: at stop, all idle ones end in one turn."""
        handled = self.requests
        self._transport.poll_now()
        if self.state is IDLE and self.requests == handled and not self._pending():
            self.close()

    def claim(self) -> Claim | None:
        """Return how strong its claim to its place is, or None if the application is at work; see `places`."""
        if self.state is HANDSHAKING or (self.state is IDLE and not self._turn_due):
            return 0, self._since
        if self.state is READING_HEADERS or (self._exchange is not None and self._exchange.awaits_body()):
            return 1, self._since
        return None

    def give_way(self) -> bool:
        """Close to make room, unless this is idle and a request has just arrived. Return whether it has closed."""
        if self.state is IDLE:
            self._end_idle()
        else:
            self.close()
        return self.state is CLOSED

    def linger(self) -> None:
        """Say that no more follows, and wait for the peer to say so too."""
        if self._transport.at_eof:
            self.close()
        elif self.state is not CLOSED:
            self._transport.half_close_for_good()
            self._enter(LINGERING)
            former, self._successor = self._successor, Lingering(self.close, self._since + self._shared.timeouts.linger)
            if former is not None:
                former.note_closed()

    def _drop_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end()

    def drain(self) -> None:
        """The server stops: an idle connection ends soon, a busy one after its response."""
        if self.state is IDLE:
            self._since = self._shared.reactor.now
        if self._exchange is not None:
            self._exchange.drain()
        if self._successor is not None:
            self._successor.drain()
        self.update_now()

    def close(self) -> None:
        """End now, whatever is under way."""
        if self.state is CLOSED:
            return
        exchange, self._exchange = self._exchange, None
        self._enter(CLOSED)
        self.peer.line = None
        self._timer.cancel()
        self._transport.close()
        if exchange is not None:
            exchange.end()
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.note_closed()
        shared = self._shared
        shared.connections.discard(self)
        if shared.observer is not None:
            shared.tell(shared.observer.closed, self)
        shared.on_closed(self)

    on_lost = close


def _do_nothing() -> None:
    pass
