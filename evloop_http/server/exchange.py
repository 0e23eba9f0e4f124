"""The life of one request, from its head to the last byte of its response.

An exchange asks the application, receives the body, awaits the answer, sends the response and tells the
observer. It is made only for requests that take their time: whose body is still arriving, whose answer comes
later, whose response is not bytes or is more than the socket accepts at once. The others never leave
`Connection`.

It has two halves, each with a state of its own (see `states`), because a response may be on its way out while
the request is still on its way in. What it knows of its connection is the `Line`, and no more, so that it does
not matter how many exchanges a connection has at a time.
"""

from __future__ import annotations

import logging
from functools import partial

from ..http1 import ProtocolError
from ..http1.rules import BODY_LARGE
from ..messages import (
    FOLLOW,
    GATHER,
    STREAM,
    Answered,
    FileBody,
    HTTPError,
    Request,
    RequestHead,
    Response,
    TooSlow,
    Upgrade,
)
from ..messages.bodies import ignore_wait
from ..messages.futures import LATE, Late, give_up, wait_for
from .failures import check_body, close_quietly, ensure_response, error_response, file_length, result_of
from .in_flight import InFlight
from .line import Line
from .receiving import GatheredBody, IncomingBody, StreamedBody
from .sending import OutgoingBody, PipeBody, Supply, content_size, outgoing
from .shared import Shared
from .states import NAMES, REQUEST_TRANSITIONS, RESPONSE_TRANSITIONS, WAITING, Clock, Listen, Receiving, Responding

logger = logging.getLogger("evloop_http.server")

READING_BODY, PAUSED, COMPLETE, LOST = Receiving
HANDLING, WRITING, STARVED, SENT, FAILED = Responding

#: The status by which an observer is told of a client that left before there was a response (nginx' convention).
CLIENT_LEFT = 499


class Exchange:
    """One request that takes its time."""

    __slots__ = ("_future", "_has_turn", "_incoming", "_kept", "_line", "_outgoing", "_request", "_request_since",
                 "_response_since", "_shared", "_started", "head", "keep_alive", "receiving", "responding")

    def __init__(self, line: Line, shared: Shared, head: RequestHead | None, started: float,
                 receiving: Receiving = COMPLETE) -> None:
        self._line = line
        self._shared = shared
        #: None if the request could not be read, or there is none and only the queue is to be sent
        self.head = head
        self.receiving = receiving
        self.responding = HANDLING
        self.keep_alive = True
        self._started = self._request_since = self._response_since = started
        self._request: Request | None = None
        self._incoming: IncomingBody | None = None
        self._future: Late | None = None
        self._outgoing: OutgoingBody | None = None
        self._has_turn = False  # it will go on by itself
        self._kept = 0  # bytes that count in `Shared.memory` until the end

    def __repr__(self) -> str:
        return f"<Exchange {self.request_line}: {self.receiving.name}, {self.responding.name}>"

    @property
    def state_name(self) -> str:
        """Both states in one word."""
        return NAMES.get((self.receiving, self.responding), "writing")

    @property
    def request_line(self) -> str:
        """The request line, for a log."""
        return self.head.line if self.head is not None else "-"

    def in_flight(self) -> InFlight | None:
        """Return what may be said of the request outside; None if there is none and only the queue is to be sent."""
        if self.head is None:
            return None
        return InFlight.of(self.head, self.state_name, self._future is not None and self._future.running())

    def awaits_body(self) -> bool:
        """Return whether the application has not begun, because the client has not sent the body."""
        return self.receiving is READING_BODY and self.responding is HANDLING and (
            isinstance(self._incoming, GatheredBody) or (self._incoming is not None and not self._incoming.arrived))

    def is_over(self) -> bool:
        """Return whether nothing more will be sent."""
        return self.responding is SENT or self.responding is FAILED

    def _set_receiving(self, state: Receiving) -> None:
        if state not in REQUEST_TRANSITIONS[self.receiving]:
            raise RuntimeError(f"a request cannot go from {self.receiving.name} to {state.name}")
        self.receiving = state
        self._request_since = self._shared.reactor.time()
        self._line.note_state()

    def _set_responding(self, state: Responding) -> None:
        if state not in RESPONSE_TRANSITIONS[self.responding]:
            raise RuntimeError(f"a response cannot go from {self.responding.name} to {state.name}")
        self.responding = state
        if not self.is_over():
            self._response_since = self._shared.reactor.time()
            self._line.note_state()

    # What is waited for

    def wants(self) -> tuple[Listen, float]:
        """Return whether the socket is to be read, and until when, in seconds of the reactor's clock."""
        listen, clocks = WAITING[self.receiving, self.responding]
        if len(clocks) == 1:  # as nearly always
            return listen, self._deadline_of(clocks[0])
        return listen, min([self._deadline_of(clock) for clock in clocks])

    def _deadline_of(self, clock: Clock) -> float:
        seconds = self._shared.timeouts
        if clock is Clock.BODY:
            return self._incoming.deadline if self._incoming is not None else self._request_since + seconds.body
        if clock is Clock.HANDLER:
            return self._request_since + (seconds.handler if seconds.handler is not None else float("inf"))
        if clock is Clock.HEARTBEAT and isinstance(self._outgoing, PipeBody):
            if self._outgoing.beats:
                return self._response_since + min(self._outgoing.pipe.interval, seconds.write)
            if self._outgoing.pipe.patient:
                return self._response_since + (seconds.handler if seconds.handler is not None else float("inf"))
        return self._response_since + seconds.write

    def expire(self) -> None:
        """Act on the clock that has struck."""
        _, clocks = WAITING[self.receiving, self.responding]
        clock = min(clocks, key=self._deadline_of)
        if clock is Clock.BODY:
            self.refuse(HTTPError(408, "The request took too long to arrive.").response())
        elif clock is Clock.HANDLER:
            self.refuse(HTTPError(503, "The server took too long to answer.").response())
        elif clock is Clock.HEARTBEAT and isinstance(self._outgoing, PipeBody) and not self._line.has_left():
            self._response_since = self._shared.reactor.time()
            self._outgoing.beat_next()
            self.proceed()
        else:
            self._fail()

    # The request

    def begin(self, head: RequestHead) -> None:
        """Ask the application how it wants the body that is on its way, and invite it if the client waits for that.

        An application that streams it is asked for its answer when the first of the body is there. To announce a
        body costs nothing, and a handler in a thread does; so the thread is not spent on an announcement, and the
        invitation does not wait for the handler either. What can be refused before that, `prepare` refuses.

        Raises:
            ProtocolError: the body is larger than allowed.
        """
        shared = self._shared
        self._request = request = shared.make_request(head, b"", self._line.peer)
        wanted = shared.prepare(head, request)
        now = shared.reactor.time()
        if wanted is GATHER:
            if head.content_length is not None and head.content_length > shared.body_limit:
                raise ProtocolError(BODY_LARGE)
            if shared.memory.is_full():
                self.refuse(_no_memory())
                return
            self._incoming = GatheredBody(shared.timeouts, now, shared.body_limit)
        elif wanted is STREAM or wanted is FOLLOW:
            self._stream(head, request, wanted is FOLLOW)
            if wanted is FOLLOW:
                return
        else:
            self._line.requests += 1
            if isinstance(wanted, LATE):  # a refusal that comes later: until then, the body stays where it is
                self._set_receiving(PAUSED)
            self.accept_answer(head, wanted, request)
            return
        if head.expects_continue:
            self._line.invite()

    def _stream(self, head: RequestHead, request: Request, follows: bool) -> None:
        """Hand the body on while it arrives."""
        shared = self._shared
        self._incoming = body = StreamedBody(shared.timeouts, shared.reactor.time(),
                                             partial(self._line.promptly, self._on_room), is_awaited=not follows)
        request.receive(body.pipe)
        if follows:
            if head.expects_continue:
                body.pipe.on_wait = self._on_wait
            self._ask()

    def _on_wait(self, waits: bool) -> None:
        """The handler waits for the body, perhaps in a thread."""
        self._line.promptly(self._invite)

    def _invite(self) -> None:
        body = self._incoming
        if isinstance(body, StreamedBody) and body.pipe.on_wait == self._on_wait:
            body.pipe.on_wait = ignore_wait
            if not body.arrived and self.responding is HANDLING:
                self._line.invite()

    def receive(self, data: bytes) -> None:
        """Take some of the body.

        Raises:
            ProtocolError: the body is larger than allowed.
        """
        body = self._incoming
        if body is None:
            return
        if not body.add(data, self._shared.reactor.time()):
            self._set_receiving(PAUSED)
        if isinstance(body, GatheredBody):
            self._shared.memory.gather(self, len(data))
        elif isinstance(body, StreamedBody) and body.is_awaited:
            body.is_awaited = False
            self._ask()

    def give_way(self) -> None:
        """Refuse the request: all bodies together are too much, and this is the newest."""
        self._line.next_turn(self._refuse_gathering)

    def _refuse_gathering(self) -> None:
        if self.receiving is READING_BODY and self.responding is HANDLING:  # it may have ended meanwhile
            self.refuse(_no_memory())

    def complete(self) -> None:
        """Record that all of the request has arrived."""
        body, self._incoming = self._incoming, None
        self._set_receiving(COMPLETE)
        if body is None:
            return
        body.end()
        if isinstance(body, GatheredBody) and self._request is not None:
            self._request.body = body.take()
            counted = self._shared.memory.settle(self)
            self._kept += counted
            self._keep(len(self._request.body) - counted)  # the rest of one that was to give way, and was quicker
            self._ask()
        elif isinstance(body, StreamedBody) and body.is_awaited:  # an empty one, in chunks
            self._ask()

    def _on_room(self) -> None:
        """Receive on: the handler has taken what had arrived."""
        body = self._incoming
        if self.receiving is not PAUSED or not isinstance(body, StreamedBody) or body.pipe.full or self.is_over():
            return
        body.resume(self._shared.reactor.time())
        self._set_receiving(READING_BODY)

    def note_client_left(self) -> None:
        """Record that the client sends nothing more, with no request half sent: it has probably left.

        It may also have closed only its half, so it is answered all the same. A body without a natural end is
        not: whoever listens to events and closes their half has left.
        """
        self._tell_application()
        if self.responding is STARVED and self._outgoing is not None and self._outgoing.beats:
            self._fail()

    def _tell_application(self) -> None:
        """Record that the client has left."""
        request = self._request
        if request is not None:
            request.disconnected = True
            on_disconnect, request.on_disconnect = request.on_disconnect, None
            try:
                if on_disconnect is not None:
                    on_disconnect()
            except Exception:  # the application's code, and the connection has to end all the same
                logger.exception("%s: what was to be done when the client leaves failed", self.request_line)

    def refuse(self, response: Response) -> None:
        """Answer what cannot be read or waited for any longer, and let the connection end."""
        if self.responding is not HANDLING:
            # The head is out, so there is no other way to say it. `end` lets go: a response that is made of the body
            # would fail by that, as if the application had.
            self._fail()
            return
        self._let_go()
        self.keep_alive = False
        self.respond(response)

    # The answer

    def _ask(self) -> None:
        """Have the application answer."""
        head, request = self.head, self._request
        if head is None or request is None:
            raise RuntimeError("there is no request to answer")
        self._line.requests += 1
        self._started = self._shared.reactor.time()
        self.accept_answer(head, self._shared.ask(head, request), request)

    def accept_answer(self, head: RequestHead, answer: object, request: Request) -> None:
        """Respond with what the application returned, now or when it is there."""
        self._request = request
        if not isinstance(answer, LATE):
            self.respond(ensure_response(head, answer))
        elif answer.done():
            self.respond(result_of(head, answer))
        else:
            request.disconnected = self._line.has_left()
            if not self._kept and request.incoming is None:
                self._keep(len(request.body))
            self._future = answer
            wait_for(answer, self, self._on_done)

    def _on_done(self, future: Late) -> None:
        """The answer is there. In the thread that made it, or in the one that gave up on it."""
        # Given up: this is the middle of something else, a refusal for example.
        act_on = self._line.promptly if self._future is future else self._line.later
        act_on(self._on_outcome, future)

    def _on_outcome(self, future: Late) -> None:
        """Respond with what has come. By now, perhaps nobody waits for it any more."""
        head = self.head
        assert head is not None  # there was a request
        if self._future is future and self.responding is HANDLING:
            self._future = None
            self.respond(result_of(head, future))
        else:
            _close_unwanted(self._shared, head, future)

    def respond(self, response: Response) -> None:
        """Begin with the response."""
        body = self._incoming
        if self.receiving is not COMPLETE and not (_is_produced(response) and isinstance(body, StreamedBody)):
            # The handler has answered without the rest of the body. Behind it there is no request to be found.
            self._lose_body()
            self.keep_alive = False
        if isinstance(response, Upgrade):
            self._switch(response)
        else:
            self._begin_response(response)

    def _switch(self, response: Upgrade) -> None:
        head = self.head
        assert head is not None  # an application has answered it
        try:
            if self.receiving is not COMPLETE:
                raise RuntimeError("protocols are switched behind a request, not within it")
            data = self._shared.encoder.encode_upgrade(response, head)
        except Exception as error:
            close_quietly(response)
            self._begin_response(error_response(head, error))
            return
        outlet = self._line.outlet
        self._outgoing = OutgoingBody(response, outlet.sent)
        self._set_responding(WRITING)
        outlet.write(data)
        if not self.is_over():  # the socket may have gone
            self._set_responding(SENT)
            self._line.switch(response.take())

    def _begin_response(self, response: Response) -> None:
        outlet, encoder, head = self._line.outlet, self._shared.encoder, self.head
        is_last = self._shared.draining or self._line.has_left()
        keep_alive = self.keep_alive and head is not None and head.keep_alive and not is_last
        framing = None
        try:
            if isinstance(response.body, bytes):
                data, self.keep_alive = encoder.encode(response, head, keep_alive)
            else:
                check_body(response)
                data, framing, self.keep_alive = encoder.start(response, head, file_length(response), keep_alive)
        except Exception as error:
            close_quietly(response)
            if head is None:
                raise  # our own responses are well-formed
            self._begin_response(error_response(head, error))
            return
        if isinstance(response.body, bytes):
            self._send_bytes(response, data)
            return
        self._set_responding(WRITING)
        outlet.enqueue(data)
        self._outgoing = sending = outgoing(response, outlet, framing, self._shared.is_late, self._shared.reactor.time)
        if isinstance(sending, PipeBody):
            sending.pipe.on_readable = partial(self._line.promptly, self.proceed)
        if self._shared.draining:
            sending.drain()
        self.proceed()

    def _send_bytes(self, response: Response, data: bytes) -> None:
        """Send a response whose body is bytes. Usually the socket accepts all of it, and that was that."""
        outlet = self._line.outlet
        size = content_size(self.head, response)
        self._outgoing = OutgoingBody(response, outlet.sent + outlet.queued + len(data) - size, size)
        if outlet.write(data):
            self._set_responding(SENT)
            self._line.finish(self.keep_alive and self.receiving is COMPLETE)
        elif not self.is_over():  # the socket may have gone
            self._set_responding(WRITING)
            self._keep(outlet.queued)

    def await_room(self, response: Response | None) -> None:
        """Wait for the client to take what the transport has queued, the end of which is the body of `response`."""
        outlet = self._line.outlet
        size = content_size(self.head, response) if response is not None else 0
        self._outgoing = OutgoingBody(response, outlet.sent + outlet.queued - size, size)
        self._keep(outlet.queued)
        self._set_responding(WRITING)

    def _keep(self, size: int) -> None:
        """Count bytes that this exchange holds until its end."""
        self._kept += size
        self._shared.memory.keep(size)

    def _go_on(self) -> None:
        self._has_turn = False
        self.proceed()

    def note_progress(self) -> None:
        """Record that the client has taken some of what was queued."""
        # The clock itself: what was sent may have taken the application its time in this turn.
        self._response_since = self._shared.reactor.time()

    def proceed(self) -> None:
        """Send as much of the response as the client takes."""
        outlet, body = self._line.outlet, self._outgoing
        if body is None or self._has_turn or self.is_over():
            return
        if self.responding is STARVED:
            self._set_responding(WRITING)
        before = outlet.sent
        self._has_turn = True  # what is written meanwhile is not sent before what was read
        try:
            supply = body.supply(outlet)
            if supply is Supply.STARVED and body.has_more():  # it was produced when it was asked for
                supply = body.supply(outlet)
        except Exception as error:
            if not self.is_over():  # or the socket has gone meanwhile, and the body is closed for that
                self._log_failure(error)
                self._fail()
            return
        finally:
            self._has_turn = False
        if self.is_over():  # the socket has gone meanwhile
            return
        if outlet.sent > before:
            self.note_progress()
        if supply is Supply.YIELDED or (supply is Supply.STARVED and body.has_more()):
            self._has_turn = True
            self._line.next_turn(self._go_on)
        elif supply is Supply.STARVED:
            self._set_responding(STARVED)
            if body.beats and self._line.has_left():
                self._fail()
        elif supply is Supply.DONE and not outlet.queued:
            self._set_responding(SENT)
            self._line.finish(self.keep_alive and self.receiving is COMPLETE)

    def _log_failure(self, error: Exception) -> None:
        if isinstance(error, TooSlow | HTTPError):  # the client's doing: it read too slowly, or its body broke off
            logger.debug("%s: %s", self.request_line, error)
        else:
            logger.error("%s: the body of the response failed", self.request_line, exc_info=error)

    # The end

    def drain(self) -> None:
        """Come to an end soon: the server stops."""
        if self._outgoing is not None:
            self._outgoing.drain()

    def _fail(self) -> None:
        self._set_responding(FAILED)
        self._line.abort()

    def _lose_body(self) -> None:
        body, self._incoming = self._incoming, None
        if body is not None:
            body.lose()
        self._shared.memory.release(self._shared.memory.settle(self))
        if self.receiving is READING_BODY or self.receiving is PAUSED:
            self._set_receiving(LOST)

    def _let_go(self) -> None:
        """Tell the application, if it is still at work, that nobody waits for it any more."""
        self._tell_application()
        future = self._future
        if future is not None and self.head is not None:
            if future.running():
                self._shared.leave_at_work(future, InFlight.of(self.head, self.state_name, True))
            self._future = None
            call_in_loop = self._shared.reactor.call_soon_threadsafe
            give_up(future, self, partial(call_in_loop, _close_unwanted, self._shared, self.head))
        self._lose_body()

    def end(self) -> None:
        """Let go of everything. The response may have been sent or not."""
        complete = self.responding is SENT
        if not complete:
            self.responding = FAILED
            self._let_go()
        elif self.receiving is not COMPLETE:
            self._lose_body()
        self._request = None
        self._shared.memory.release(self._kept)
        self._kept = 0
        sending, self._outgoing = self._outgoing, None
        response = sending.response if sending is not None else None
        if self._shared.observer is not None and (response is not None or self.head is not None):
            status = CLIENT_LEFT if response is None else response.status
            size = sending.sent(self._line.outlet) if sending is not None else 0
            seconds = self._shared.reactor.time() - self._started
            self._shared.observe(Answered(self._line.peer, self.head, status, size, seconds, complete))
        if response is not None:
            close_quietly(response)


def _no_memory() -> Response:
    return HTTPError(503, "The server has too many requests in work.", {"Retry-After": "5"}).response()


def _close_unwanted(shared: Shared, head: RequestHead, future: Late) -> None:
    """Close the response that came when nobody waited for it any more."""
    if not future.cancelled():
        shared.left_at_work.pop(future, None)
        close_quietly(result_of(head, future))


def _is_produced(response: Response) -> bool:
    """Return whether the body is made while it is sent, perhaps of what is still being received."""
    return not isinstance(response.body, bytes | FileBody)
