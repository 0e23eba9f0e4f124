"""One client's state machine, from every state and through every order of events, over fakes.

Three searches, each wider and blinder than the one before it: every two happenings in every state;
whole pipelines cut anywhere, which must all be answered without any deadline's help; and clients
that do anything at all. Throughout, a connection has a deadline and waits for something that can
happen, and in the end it is closed, with nothing left of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from evloop_http.http1 import CONTINUE
from evloop_http.messages import (
    GATHER,
    STREAM,
    Answer,
    Application,
    HTTPError,
    Pipe,
    Preparation,
    Request,
    Response,
    Upgrade,
)
from evloop_http.net.reactor import READ, WRITE
from evloop_http.net.transport import HIGH_WATER
from evloop_http.server.shared import Live
from evloop_http.server.states import State, Timeouts
from fakes import (
    GARBAGE,
    GET,
    LAST_GET,
    PLENTY,
    STATES,
    FakeNet,
    Peer,
    SwitchedEcho,
    Taker,
    always,
    echo,
    get,
    hello,
    post,
    raising,
    reach,
    read_answers,
)

TARGETS: dict[str, Application] = {
    "/": hello,
    "/big": lambda request: Response(bytes(200_000)),
    "/stream": lambda request: Response(bytes(10_000) for _ in range(40)),
    "/counted": lambda request: Response(iter([bytes(10_000)] * 3), headers={"Content-Length": "30000"}),
    "/breaks": lambda request: Response(iter([b"one", cast(bytes, None)])),
    "/fails": raising(ValueError("on purpose")),
    "/nonsense": always(None),
    "/switch": lambda request: Upgrade(SwitchedEcho(), "echo"),
}
#: No answer is longer.
LONGEST = 210_000


class Everything:
    """An application with a target for each kind of answer; what is not one of them is answered later."""

    def __init__(self) -> None:
        self.later = Taker()
        self.prepare = self.later.prepare

    def __call__(self, request: Request) -> Answer:
        return TARGETS.get(request.path, self.later)(request)


def check_waiting(net: FakeNet, application: Everything, peer: Peer) -> None:
    """The two invariants: a deadline, and something that can happen."""
    state = peer.state()
    listens = net.reactor.watches(peer.sock)
    scheduled = net.reactor.next_timeout() == 0
    if state not in ("closed", "handling"):
        assert peer.connection.deadline <= net.clock.seconds + 75, f"{peer.connection!r} has no deadline"
    if state == "closed":
        assert peer.sock.closed
    elif state == "handling":
        assert scheduled or not all(future.done() for future in application.later.futures)
    elif state in ("writing", "reading-body", "switched"):
        assert scheduled or listens & (READ | WRITE)
    else:
        assert scheduled or listens & READ
    assert scheduled or listens & WRITE or not peer.transport.queued


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The applications fail on purpose, thousands of times."""
    logger = logging.getLogger("evloop_http.server")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


# Every two happenings in every state

class Situation:
    """A connection in some state, and by method everything that can happen to it."""

    def __init__(self, state: str) -> None:
        self._application = Everything()
        self._net = FakeNet(self._application, timeouts=Timeouts(handler=60))
        self._peer = reach(self._net, state)

    def data(self) -> None:
        self._send(b"56789" + get("/later") + post(b"x"))

    def streams(self) -> None:
        self._send(get("/stream"), get("/big") + GET)

    def uploads(self) -> None:
        self._send(post(bytes(700_000), target="/take"))

    def expects(self) -> None:
        self._send(post(b"0123", "Expect: 100-continue", target="/take")[:-4], b"0123")

    def taking(self) -> None:
        for number, request in enumerate(self._application.later.requests):
            if request.incoming is not None:
                with contextlib.suppress(HTTPError, RuntimeError):  # there will be no more; it would wait
                    while self._application.later.take(number):
                        self._net.settle()
        self._net.settle()

    def garbage(self) -> None:
        self._send(GARBAGE)

    def _send(self, *pieces: bytes) -> None:
        # The transport keeps what comes before the end of the handshake.
        if self._peer.state() != "handshaking":
            self._peer.send(*pieces)

    def handshake(self) -> None:
        if self._peer.state() == "handshaking":
            self._peer.transport.finish_handshake()

    def plaintext(self) -> None:
        if self._peer.state() == "handshaking":
            self._peer.transport.find_plaintext()

    def end(self) -> None:
        self._peer.end()

    def reset(self) -> None:
        self._peer.reset()

    def no_room(self) -> None:
        self._peer.sock.room = 0

    def some_room(self) -> None:
        self._peer.take(50)

    def room(self) -> None:
        self._peer.take()

    def false_alarm(self) -> None:
        if self._net.reactor.watches(self._peer.sock):
            self._peer.transport._on_ready(READ | WRITE)

    def needless_notices(self) -> None:
        self._peer.connection.on_progress()
        if self._peer.state() != "writing":
            self._peer.connection.on_writable()

    def lost(self) -> None:
        self._peer.transport.abort()
        self._peer.connection.on_lost()

    def deadline(self) -> None:
        if self._peer.state() != "closed":
            self._net.clock.seconds = self._peer.connection.deadline
        self._net.settle()

    def answer(self) -> None:
        for future in self._application.later.futures:
            if not future.done():
                future.set_result(Response("late"))
        self._net.settle()

    def cancel(self) -> None:
        for future in self._application.later.futures:
            future.cancel()
        self._net.settle()

    def drain(self) -> None:
        self._net.shared.draining = True
        self._peer.connection.drain()

    def switches(self) -> None:
        self._send(get("/switch"), b"bytes")

    def close(self) -> None:
        self._peer.connection.close()

    def _end(self) -> None:
        with closing(self._net):
            self._net.settle()
            check_waiting(self._net, self._application, self._peer)
            self._net.finish()


HAPPENINGS = [value for name, value in vars(Situation).items() if callable(value) and not name.startswith("_")]


@pytest.mark.parametrize("state", STATES)
def test_whatever_happens_twice_in_any_state_is_no_surprise_and_the_connection_ends(state: str) -> None:
    for first in HAPPENINGS:
        for second in HAPPENINGS:
            situation = Situation(state)
            first(situation)
            second(situation)
            situation._end()


@pytest.mark.parametrize("state", STATES)
def test_closing_a_connection_ends_whatever_is_under_way(state: str) -> None:
    ended: list[Live] = []
    application = Everything()
    with closing(FakeNet(application, on_closed=ended.append)) as net:
        peer = reach(net, state)
        peer.connection.close()
        assert peer.state() == "closed"
        assert ended == [peer.connection]
        assert all(request.disconnected for request in application.later.requests)
        net.finish()


def test_every_state_has_the_deadline_that_it_was_given() -> None:
    with closing(FakeNet(Everything(), timeouts=Timeouts(1, 2, 3, 1e9, 1e9, 4, 5, 6, 7))) as net:
        start = net.clock.seconds
        peers = {state: reach(net, state) for state in STATES}
        peers["idle"].send(GET)  # before the first request, it has the time of a head
        assert {state: round(peer.connection.deadline - start, 3) for state, peer in peers.items()} == {
            "handshaking": 1, "reading-headers": 2, "reading-body": 3, "handling": 4,
            "writing": 5, "idle": 6, "lingering": 7, "switched": 6, "closed": float("inf"),
        }
        net.finish()


def test_an_illegal_move_is_an_error_of_ours() -> None:
    with closing(FakeNet(hello)) as net:
        peer = reach(net, "lingering")
        with pytest.raises(RuntimeError, match="from LINGERING to IDLE"):
            peer.connection._enter(State.IDLE)
        peer.end()
        with pytest.raises(RuntimeError, match="from CLOSED to IDLE"):
            peer.connection._enter(State.IDLE)


# Whole pipelines, cut anywhere

#: By name a request, and the body of its answer.
KINDS: dict[str, tuple[bytes, bytes]] = {
    "get": (get("/"), b"GET / "),
    "big": (get("/big"), b"GET /big " + bytes(30_000)),
    "stream": (get("/stream"), b"GET /stream " + bytes(120_000)),
    "later": (get("/later"), b"GET /later "),
    "post": (post(b"body"), b"POST / body"),
    "expecting": (post(bytes(3000), "Expect: 100-continue"), b"POST / " + bytes(3000)),
    "taken": (post(bytes(3000), target="/take"), bytes(3000)),
    "taken when asked for": (post(b"body", "Expect: 100-continue", target="/take"), b"body"),
    "more than a buffer": (post(bytes(300_000), target="/take"), bytes(300_000)),
    "chunked": (get("/", "Transfer-Encoding: chunked") + b"2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: t\r\n\r\n",
                b"GET / abcde"),
}


class Echo:
    """What answers `KINDS`; the answers to `/later` wait for `complete`."""

    def __init__(self) -> None:
        self._futures: list[Future[Response]] = []
        self._taking: list[tuple[Request, list[bytes], Future[Response]]] = []
        self._bodies: dict[int, Iterator[bytes]] = {}

    def prepare(self, request: Request) -> Preparation:
        return STREAM if request.path == "/take" else GATHER

    def __call__(self, request: Request) -> Answer:
        if request.path == "/take":
            self._taking.append((request, [], Future()))
            return self._taking[-1][2]
        body = cast(bytes, echo(request).body)
        match request.path:
            case "/big":
                return Response(body + bytes(30_000))
            case "/stream":
                return Response(iter([body, *[bytes(1000)] * 120]))
            case "/later":
                self._futures.append(Future())
                return self._futures[-1]
        return Response(body)

    def complete(self) -> bool:
        """Give the answers that are waited for, and take what has come of the bodies; whether anything was done."""
        futures, self._futures = self._futures, []
        for future in futures:
            future.set_result(Response(b"GET /later "))
        return sum(self._take(*taking) for taking in self._taking) > 0 or bool(futures)

    def _take(self, request: Request, pieces: list[bytes], future: Future[Response]) -> bool:
        if future.done():
            return False
        if id(request) not in self._bodies:
            self._bodies[id(request)] = request.stream()
        body = self._bodies[id(request)]
        was_paused = isinstance(body, Pipe) and body.full
        try:
            pieces.append(next(body))
        except StopIteration:
            future.set_result(Response(b"".join(pieces)))
        except RuntimeError:  # it would have waited; what it waits for may come for having been asked for
            return was_paused
        return True


@given(pipeline=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 70)), min_size=1, max_size=4),
       steps=st.lists(st.tuples(st.sampled_from(["send", "take", "turn", "complete"]), st.integers(1, 50_000)),
                      max_size=20),
       room=st.sampled_from([0, 100, PLENTY]), ends=st.booleans())
def test_requests_cut_anywhere_and_answers_taken_at_any_pace_are_all_answered_in_order_without_the_clock(
        pipeline: list[tuple[str, int]], steps: list[tuple[str, int]], room: int, ends: bool) -> None:
    names = [name for name, count in pipeline for _ in range(count)]
    stream = b"".join(KINDS[name][0] for name in names)
    application = Echo()
    with closing(FakeNet(application)) as net:
        peer = net.connect(room)
        for step, size in steps:
            if step == "send" and stream:
                peer.sock.inbox.append(stream[:size])
                stream = stream[size:]
            elif step == "take":
                peer.sock.room += size
            elif step == "complete":
                application.complete()
            else:
                net.turn()
            assert peer.transport.queued <= HIGH_WATER + 130_000
        peer.sock.room = PLENTY
        peer.sock.ended = ends
        if stream:
            peer.sock.inbox.append(stream)
        net.settle()
        while application.complete():
            net.settle()
        assert peer.state() is ("closed" if ends else "idle")
        answers = read_answers(peer.got.replace(CONTINUE, b""))
        assert [answer.body for answer in answers] == [KINDS[name][1] for name in names]
        net.finish()


# Clients that do anything at all

FRAGMENTS: dict[str, bytes] = {
    **{target: get(target) for target in (*TARGETS, "/later")},
    **{f"HEAD {target}": get(target).replace(b"GET", b"HEAD") for target in ("/", "/stream", "/later")},
    "last": LAST_GET,
    "switch": get("/switch"),
    "1.0": b"GET /stream HTTP/1.0\r\n\r\n",
    "post": post(b"body"),
    "long post": post(bytes(70_000)),
    "expecting": post(b"body", "Expect: 100-continue"),
    "chunked": get("/", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n",
    "upload": post(bytes(70_000), target="/take"),
    "upload when asked for": post(b"body", "Expect: 100-continue", target="/take"),
    "long upload": post(bytes(700_000), target="/take"),
    "chunked upload": get("/take", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n",
    "garbage": GARBAGE,
    "empty line": b"\r\n",
    "many": GET * 70,
}


class Clients(RuleBasedStateMachine):
    """Any bytes, any cuts, ends, resets, room or none, answers early and late, ticks of the clock."""

    peers: Bundle[Peer] = Bundle("peers")

    def __init__(self) -> None:
        super().__init__()
        self.application = Everything()
        self.net = FakeNet(self.application, timeouts=Timeouts(handler=60))
        self.unsent: dict[Peer, bytearray] = {}

    def teardown(self) -> None:
        with closing(self.net):
            self.net.finish()

    @rule(target=peers, room=st.sampled_from([0, 10, 50_000, PLENTY]), secure=st.booleans())
    def connect(self, room: int, secure: bool) -> Any:
        if len(self.unsent) == 4:
            return multiple()
        peer = self.net.connect(room, secure)
        self.unsent[peer] = bytearray()
        return peer

    @rule(peer=peers, plain=st.booleans())
    def shake_hands(self, peer: Peer, plain: bool) -> None:
        if peer.state() == "handshaking":
            if plain:
                peer.transport.find_plaintext()
            else:
                peer.transport.finish_handshake()

    @rule(peer=peers, names=st.lists(st.sampled_from(sorted(FRAGMENTS)), min_size=1, max_size=4))
    def compose(self, peer: Peer, names: list[str]) -> None:
        self.unsent[peer] += b"".join(FRAGMENTS[name] for name in names)

    @rule(peer=peers, data=st.binary(max_size=50))
    def compose_anything(self, peer: Peer, data: bytes) -> None:
        self.unsent[peer] += data

    @rule(peer=peers, size=st.integers(1, 200) | st.just(PLENTY))
    def send(self, peer: Peer, size: int) -> None:
        unsent = self.unsent[peer]
        if unsent and not peer.sock.ended and peer.state() != "handshaking":
            peer.sock.inbox.append(bytes(unsent[:size]))
            del unsent[:size]

    @rule(peer=peers)
    def end(self, peer: Peer) -> None:
        peer.sock.ended = True

    @rule(peer=consumes(peers))
    def reset(self, peer: Peer) -> None:
        peer.sock.was_reset = True

    @rule(peer=peers, size=st.integers(1, 200_000))
    def take(self, peer: Peer, size: int) -> None:
        peer.sock.room += size

    @rule(peer=peers)
    def stop_reading(self, peer: Peer) -> None:
        peer.sock.room = 0

    @rule(seconds=st.sampled_from([0.5, 3, 11, 31, 76]))
    def wait(self, seconds: float) -> None:
        self.net.clock.advance(seconds)

    @rule(finish=st.sampled_from(["answer", "stream", "fail", "cancel", "nonsense"]))
    def complete(self, finish: str) -> None:
        future = next((future for future in self.application.later.futures if not future.done()), None)
        if future is None:
            return
        ways: dict[str, Callable[[], object]] = {
            "answer": lambda: future.set_result(Response("late")),
            "stream": lambda: future.set_result(Response(iter([bytes(20_000)] * 5))),
            "fail": lambda: future.set_exception(ValueError("on purpose")),
            "cancel": future.cancel,
            "nonsense": lambda: future.set_result(cast(Response, None)),
        }
        ways[finish]()

    @rule()
    def take_some_of_the_bodies(self) -> None:
        for number, request in enumerate(self.application.later.requests):
            if request.incoming is not None:
                with contextlib.suppress(HTTPError, RuntimeError):  # there will be no more; it would wait
                    self.application.later.take(number)

    @rule()
    def turn(self) -> None:
        self.net.turn()

    @rule()
    def settle(self) -> None:
        self.net.settle()

    @rule()
    def drain(self) -> None:
        self.net.shared.draining = True
        for connection in list(self.net.shared.connections):
            connection.drain()

    @invariant()
    def every_state_waits_for_something_and_not_for_ever(self) -> None:
        for peer in self.net.peers:
            check_waiting(self.net, self.application, peer)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        for peer in self.net.peers:
            assert peer.transport.queued <= HIGH_WATER + LONGEST

    @invariant()
    def every_connection_that_is_not_closed_is_known(self) -> None:
        live = {peer.connection for peer in self.net.peers if peer.state() != "closed"}
        assert self.net.shared.connections == live


ClientsThatDoAnythingAtAll = Clients.TestCase
ClientsThatDoAnythingAtAll.settings = settings(stateful_step_count=40)
