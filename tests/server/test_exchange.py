"""The life of a request that takes its time: both halves at once, clients that leave, and what an observer hears."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from evloop_http.http1 import CONTINUE
from evloop_http.messages import (
    GATHER,
    PIPE_SIZE,
    STREAM,
    HTTPError,
    Pipe,
    Preparation,
    Request,
    Response,
    TooSlow,
    Upgrade,
)
from evloop_http.messages.pending import Pending
from evloop_http.server.states import (
    NAMES,
    REQUEST_TRANSITIONS,
    RESPONSE_TRANSITIONS,
    STATE_NAMES,
    TRANSITIONS,
    WAITING,
    Listen,
    Receiving,
    Responding,
    Timeouts,
)
from fakes import (
    GARBAGE,
    GET,
    FakeNet,
    Later,
    SwitchedEcho,
    Taker,
    Watcher,
    always,
    fake_nets,
    get,
    hello,
    post,
    raising,
    read_answers,
)

Serve = Callable[..., FakeNet]

UPLOAD = post(b"0123456789", target="/take")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with fake_nets() as make:
        yield make


# The tables

def test_every_pair_of_states_that_lasts_says_what_it_waits_for() -> None:
    for (receiving, responding), (listen, clocks) in WAITING.items():
        assert clocks, f"{receiving} and {responding} would last for ever"
        assert listen is not Listen.NO or responding.name == "WRITING", "nothing could happen"
        assert (receiving, responding) in NAMES
    assert {*NAMES.values()} < {*STATE_NAMES}


def test_every_pair_of_states_that_can_be_reached_says_what_it_waits_for() -> None:
    for receiving in Receiving:
        for responding in Responding:
            is_over = responding.name in ("SENT", "FAILED")
            is_answered_at_once = receiving is Receiving.LOST and responding is Responding.HANDLING
            assert is_over or is_answered_at_once or (receiving, responding) in WAITING


def test_every_state_can_be_left_except_the_last_ones() -> None:
    assert [state.name for state, next_ones in TRANSITIONS.items() if not next_ones] == ["CLOSED"]
    assert [state.name for state, next_ones in REQUEST_TRANSITIONS.items() if not next_ones] == ["COMPLETE", "LOST"]
    assert [state.name for state, next_ones in RESPONSE_TRANSITIONS.items() if not next_ones] == ["SENT", "FAILED"]


# Both halves at once

class Doubling:
    """An application that reads a body while it arrives, and answers with each piece twice."""

    def __init__(self) -> None:
        self.bodies: list[Pipe] = []
        self.requests: list[Request] = []

    def prepare(self, request: Request) -> Preparation:
        return STREAM

    def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return Response()
        body = Pipe()
        self.bodies.append(body)
        self.requests.append(request)
        return Response(body)

    def work(self, number: int = -1) -> None:
        """Pass on what there is, as a thread would."""
        for piece in self.requests[number].stream():
            self.bodies[number].write(bytes([byte for byte in piece for _ in range(2)]))
        self.bodies[number].end()


def work(application: Doubling) -> None:
    with pytest.raises(RuntimeError, match="worker thread"):
        application.work()


def test_a_response_is_sent_while_the_request_is_still_arriving(serve: Serve) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect()
    peer.send(UPLOAD[:-7])
    work(application)
    net.settle()
    assert peer.got.endswith(b"\r\n6\r\n001122\r\n")
    peer.send(b"34")
    work(application)
    net.settle()
    assert peer.got.endswith(b"4\r\n3344\r\n")
    peer.send(b"56789")
    application.work()
    net.settle()
    assert peer.answers()[0].body == b"00112233445566778899"
    assert peer.state() == "idle"
    peer.send(GET)
    assert peer.connection.requests == 2


@pytest.mark.parametrize("cut", range(1, 11))
def test_what_an_application_does_does_not_depend_on_how_the_bytes_were_cut(serve: Serve, cut: int) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect()
    peer.send(UPLOAD[:-cut], UPLOAD[-cut:])
    application.work()
    net.settle()
    assert peer.answers()[0].body == b"00112233445566778899"
    assert peer.state() == "idle"


def test_a_client_that_takes_no_response_cannot_send_for_ever(serve: Serve) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect(room=200)
    peer.send(post(bytes(1_000_000), target="/take")[:-900_000])
    work(application)
    net.settle()
    net.advance(29)
    peer.send(bytes(10_000))
    net.advance(2)
    assert peer.state() == "closed"
    assert peer.sock.aborted


def test_a_body_that_does_not_arrive_breaks_off_a_response_that_has_begun(serve: Serve) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect()
    peer.send(UPLOAD[:-5])
    work(application)
    net.settle()
    assert peer.state() == "writing"
    net.advance(11)
    assert peer.state() == "closed"
    assert b"408" not in peer.got
    with pytest.raises(HTTPError):
        application.work()


def test_a_body_that_breaks_off_before_its_application_has_begun_is_refused_once(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    application = Taker(Pending)  # which is cancelled in the middle of the refusal, and says so at once
    net = serve(application)
    peer = net.connect()
    peer.send(b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome")
    peer.end()
    assert application.futures[0].cancelled()
    assert peer.statuses == [400]
    assert caplog.messages == []


def test_a_response_that_ends_before_its_request_ends_the_connection_gently(serve: Serve) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect()
    peer.send(UPLOAD[:-5])
    application.bodies[0].write(b"enough")
    application.bodies[0].end()
    net.settle()
    assert peer.answers()[0].body == b"enough"
    assert peer.state() == "lingering"


# Preparing

class Prepared:
    """An application that counts how it is asked."""

    def __init__(self, wanted: Preparation | Response = GATHER) -> None:
        self.asked: list[Request] = []
        self.called: list[Request] = []
        self._wanted = wanted

    def prepare(self, request: Request) -> Preparation | Response:
        self.asked.append(request)
        return self._wanted

    def __call__(self, request: Request) -> Response:
        self.called.append(request)
        return Response(request.body)


def test_an_application_is_asked_once_how_it_wants_a_body_and_called_with_the_same_request(serve: Serve) -> None:
    application = Prepared()
    peer = serve(application).connect()
    request = post(b"0123456789")
    peer.send(request[:-7], *[request[at:at + 1] for at in range(len(request) - 7, len(request))])
    assert application.asked == application.called
    assert len(application.asked) == 1
    assert peer.answers()[0].body == b"0123456789"


def test_a_body_that_arrives_with_its_head_needs_no_preparation(serve: Serve) -> None:
    application = Prepared()
    peer = serve(application).connect()
    peer.send(post(b"0123456789"), GET)
    assert (len(application.asked), len(application.called)) == (0, 2)


def test_a_refusal_comes_before_a_byte_of_the_body_is_kept(serve: Serve) -> None:
    application = Prepared(Response("no", 404))
    net = serve(application)
    peer = net.connect()
    peer.send(post(bytes(9_000_000))[:-8_900_000])
    assert peer.statuses == [404]
    assert application.called == []
    assert peer.state() == "lingering"
    for _ in range(80):
        peer.send(bytes(100_000))
    assert peer.connection.received > 8_000_000
    assert len(application.asked) == 1


# Who has left

def test_a_handler_learns_that_its_client_has_closed_and_the_answer_is_sent_all_the_same(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET)
    request = later.requests[0]
    before = request.disconnected
    peer.end()
    assert (before, request.disconnected) == (False, True)
    assert not later.futures[0].cancelled()
    later.answer()
    net.settle()
    assert peer.statuses == [200]


def test_a_client_that_has_sent_another_request_before_closing_has_not_left(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET + GET)
    peer.end()
    assert not later.requests[0].disconnected
    for number in range(2):
        later.answer(number)
        net.settle()
    assert peer.statuses == [200, 200]


def test_a_body_that_is_written_later_reaches_a_client_that_has_closed_its_half(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    peer.end()
    pipe.write(b"still here")
    pipe.end()
    net.settle()
    assert peer.answers()[0].body == b"still here"


def test_whoever_listens_to_events_and_closes_has_left(serve: Serve) -> None:
    left: list[str] = []
    pipe = Pipe(heartbeat=b":\n\n", on_close=lambda: left.append("left"))
    peer = serve(always(Response(pipe))).connect()
    peer.send(GET)
    assert peer.state() == "writing"
    peer.end()
    assert (peer.state(), left) == ("closed", ["left"])


def test_a_request_that_begins_after_its_client_closed_is_told_so(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET + GET)
    peer.end()
    later.answer(0)
    net.settle()
    assert later.requests[1].disconnected
    later.answer(1)
    net.settle()
    assert peer.statuses == [200, 200]


@pytest.mark.parametrize("when", ["left", "stopping"])
def test_a_stream_of_events_that_begins_too_late_ends(serve: Serve, when: str) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET)
    if when == "left":
        peer.end()
    else:
        net.shared.draining = True
        peer.connection.drain()
    pipe = Pipe(heartbeat=b":\n\n")
    later.futures[0].set_result(Response(pipe))
    net.settle()
    assert pipe.closed
    assert peer.state() in ("closed", "lingering")


def test_a_silent_response_to_a_client_that_has_closed_its_half_ends(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    peer.end()
    net.advance(29)
    assert peer.state() == "writing"
    net.advance(2)
    assert peer.state() == "closed"
    assert pipe.closed


# Pipes as bodies

def test_a_pipe_is_sent_as_it_is_written_and_its_end_ends_the_response(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(lambda request: Response(pipe) if request.path == "/pipe" else Response())
    peer = net.connect()
    peer.send(get("/pipe") + GET)
    for piece in (b"one", b"two"):
        pipe.write(piece)
        net.settle()
    assert peer.got.endswith(b"3\r\none\r\n3\r\ntwo\r\n")
    pipe.end()
    net.settle()
    assert [answer.body for answer in peer.answers()] == [b"onetwo", b""]
    assert pipe.closed


def test_a_heartbeat_finds_out_who_is_still_there(serve: Serve) -> None:
    pipe = Pipe(heartbeat=b":\n\n", interval=15)
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    for beats in range(1, 4):
        net.advance(15.1)
        assert peer.got.count(b":\n\n") == beats
    peer.sock.room = 0
    net.advance(15.1)
    net.advance(30.1)
    assert peer.state() == "closed"


def test_a_client_that_reads_nothing_costs_no_more_than_a_pipe(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect(room=0)
    peer.send(GET)
    written = 0
    while not pipe.full:
        pipe.write(bytes(1000))
        written += 1000
        net.settle()
    assert written <= PIPE_SIZE + 70_000 + 2000
    with pytest.raises(BufferError):
        pipe.write(b"x")
    peer.take()
    pipe.end()
    net.settle()
    assert len(peer.answers()[0].body) == written


def test_a_reader_that_is_cut_off_is_no_error_of_the_application(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    with caplog.at_level(logging.DEBUG, "evloop_http.server"):
        pipe.end(TooSlow("it reads too slowly"))
        net.settle()
    assert peer.state() == "closed"
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("DEBUG", None)]


def test_an_error_behind_what_was_written_breaks_the_response_off(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    pipe.write(b"some")
    pipe.end(ValueError("on purpose"))
    net.settle()
    assert peer.got.endswith(b"4\r\nsome\r\n")
    assert peer.sock.aborted
    assert "on purpose" in caplog.text


def test_a_pipe_whose_client_has_gone_tells_its_writer(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    peer.reset()
    with pytest.raises(BrokenPipeError):
        pipe.write(b"x")


def test_a_pipe_that_its_writer_has_closed_breaks_the_response_off(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    pipe = Pipe(heartbeat=b":\n\n")
    net = serve(always(Response(pipe)))
    peer = net.connect()
    peer.send(GET)
    pipe.close()
    net.advance(16)
    assert peer.state() == "closed"
    assert "closed before its end" in caplog.text


def test_a_refusal_may_have_a_body_that_is_written_later(serve: Serve) -> None:
    pipe = Pipe()
    net = serve(Prepared(Response(pipe, 413)))
    peer = net.connect()
    peer.send(post(b"0123456789")[:-5])
    pipe.write(b"too large")
    pipe.end()
    net.settle()
    assert [(answer.status, answer.body) for answer in peer.answers()] == [(413, b"too large")]


@pytest.mark.parametrize("body", ["text", ["list"], None, 5])
def test_a_body_that_cannot_be_sent_becomes_a_500(serve: Serve, body: Any) -> None:
    def application(request: Request) -> Response:
        response = Response("first")
        response.body = body
        return response

    peer = serve(application).connect()
    peer.send(GET)
    assert peer.statuses == [500]


def test_a_body_is_invited_before_a_response_that_is_made_of_it(serve: Serve) -> None:
    application = Doubling()
    net = serve(application)
    peer = net.connect()
    peer.send(post(b"0123456789", "Expect: 100-continue")[:-10])
    assert peer.got == CONTINUE
    peer.send(b"0123456789")
    application.work()
    net.settle()
    assert read_answers(peer.got.removeprefix(CONTINUE))[0].body == b"00112233445566778899"


def test_requests_that_take_their_time_leave_the_others_their_turn(serve: Serve) -> None:
    def application(request: Request) -> Response:
        net.clock.advance(0.01)
        return Response(iter([b"slow"]))

    net = serve(application)
    peer = net.connect()
    peer.sock.inbox.append(GET * 10)
    turns = 0
    while peer.connection.requests < 10:
        before = peer.connection.requests
        net.turn()
        turns += 1
        assert peer.connection.requests - before <= 2
        assert turns < 30
    net.settle()
    assert len(peer.answers()) == 10


# What is not spoken here

def test_connect_is_not_implemented_unless_the_application_makes_tunnels(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", GET)
    assert peer.statuses == [501, 200]


@pytest.mark.parametrize("broken", [
    b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nbad field\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
], ids=["fields", "line", "body"])
def test_the_refusal_of_a_head_has_no_content(serve: Serve, broken: bytes) -> None:
    peer = serve(Prepared()).connect()
    peer.send(broken)
    answer, = peer.answers("HEAD")
    assert answer.status == 400
    assert int(answer.headers["content-length"]) > 0
    assert peer.got.endswith(b"\r\n\r\n")


# What an observer hears

def test_an_observer_hears_of_a_connection_from_its_beginning_to_its_end(serve: Serve) -> None:
    watcher, later = Watcher(), Later()
    net = serve(lambda request: later(request) if request.path == "/later" else hello(request), observer=watcher)
    peer = net.connect()
    peer.send(GET, get("/later"))
    later.answer()
    net.settle()
    peer.send(GARBAGE)
    peer.end()
    assert watcher.told[0] == "opened"
    assert watcher.told[1].startswith("refused: 400: RFC 9112")
    assert watcher.told[2:] == ["closed"]
    assert [answer.status for answer in watcher.answers] == [200, 200, 400]
    assert {"idle", "handling", "lingering", "closed"} <= {*watcher.states}


def test_an_observer_hears_of_a_response_when_the_socket_has_all_of_it(serve: Serve) -> None:
    watcher = Watcher()
    net = serve(always(Response(bytes(1000))), observer=watcher)
    peer = net.connect(room=100)
    peer.send(GET)
    assert watcher.answers == []
    peer.take()
    answer, = watcher.answers
    assert (answer.status, answer.size, answer.complete) == (200, 1000, True)


def test_an_observer_hears_that_a_client_left_before_its_response(serve: Serve) -> None:
    watcher, later = Watcher(), Later()
    net = serve(later, observer=watcher)
    peer = net.connect()
    peer.send(GET)
    peer.reset()
    answer, = watcher.answers
    assert (answer.status, answer.size, answer.complete) == (499, 0, False)
    assert answer.head is not None


def test_an_observer_hears_how_much_of_a_response_went_out(serve: Serve) -> None:
    watcher = Watcher()
    net = serve(always(Response(bytes(100_000))), observer=watcher)
    peer = net.connect(room=10_000)
    peer.send(GET)
    peer.reset()
    answer, = watcher.answers
    assert (answer.status, answer.complete) == (200, False)
    assert 9_000 < answer.size < 10_000


def test_an_observer_hears_of_a_response_whose_client_has_gone_just_then(serve: Serve) -> None:
    watcher = Watcher()

    def application(request: Request) -> Response:
        peer.sock.was_reset = True
        return Response("too late")

    net = serve(application, observer=watcher)
    peer = net.connect()
    peer.send(GET)
    assert [(answer.status, answer.complete) for answer in watcher.answers] == [(200, False)]
    assert watcher.states[-1] == "closed"


def test_pipelined_responses_are_heard_of_one_by_one(serve: Serve) -> None:
    watcher = Watcher()
    serve(observer=watcher).connect().send(GET * 5)
    assert [answer.size for answer in watcher.answers] == [5] * 5


# Nothing is left behind

def _fails(error: Exception) -> Callable[[Request], Any]:
    def application(request: Request) -> Future[Response]:
        future: Future[Response] = Future()
        future.set_exception(error)
        return future
    return application


def _late(request: Request) -> Future[Response]:
    future: Future[Response] = Future()
    future.set_result(Response("late"))
    return future


def _slow_listener(request: Request) -> Response:
    def fail() -> None:
        raise ValueError("on purpose")

    pipe = Pipe(size=1, on_close=fail)
    pipe.write(b"more than fits")
    pipe.end(TooSlow("it reads too slowly"))
    return Response(pipe)


KINDS: dict[str, tuple[Callable[[], Any], Iterable[bytes]]] = {
    "bytes": (lambda: hello, [GET]),
    "an iterator": (lambda: lambda request: Response(iter([b"a", b"b"])), [GET]),
    "a generator": (lambda: lambda request: Response(b"x" for _ in range(3)), [GET]),
    "an error": (lambda: raising(HTTPError(404)), [GET]),
    "a failure": (lambda: raising(ValueError("on purpose")), [GET]),
    "nonsense": (lambda: always(None), [GET]),
    "a response that cannot be sent": (lambda: always(Response("a", headers={"Content-Length": "9"})), [GET]),
    "a future": (lambda: _late, [GET]),
    "a future that fails": (lambda: _fails(HTTPError(404)), [GET]),
    "a malformed request": (lambda: hello, [GARBAGE]),
    "too large a head": (lambda: hello, [b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000]),
    "too large a body": (lambda: hello, [post(b"x", "X: y").replace(b"Length: 1", b"Length: 99999999")]),
    "a body in pieces": (lambda: hello, [post(b"abc")[:-1], b"c"]),
    "a body that breaks off": (lambda: hello, [post(b"abc")[:-1]]),
    "a broken chunk": (lambda: hello, [get("/", "Transfer-Encoding: chunked"), b"x\r\n"]),
    "a refusal": (lambda: Prepared(Response("no", 404)), [post(b"abc")[:-1]]),
    "a switch": (lambda: lambda request: Upgrade(SwitchedEcho(), "echo"), [GET, b"x"]),
    "a slow listener": (lambda: _slow_listener, [GET]),
    "a tunnel": (lambda: hello, [b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_answer_leaves_work_for_the_garbage_collector(kind: str) -> None:
    make, pieces = KINDS[kind]
    logging.disable(logging.CRITICAL)  # captured records keep their exceptions
    gc.collect()
    gc.disable()
    try:
        net = FakeNet(make())
        for _ in range(3):
            peer = net.connect()
            peer.send(*pieces)
            peer.end()
            assert peer.state() == "closed"
            net.peers.clear()
            del peer
        assert gc.collect() == 0
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    net.close()


# Deadlines

def test_a_handler_that_takes_none_of_a_body_has_the_time_of_a_handler(serve: Serve) -> None:
    application = Later()
    application.prepare = lambda request: STREAM  # type: ignore[attr-defined]
    net = serve(application, timeouts=Timeouts(handler=50))
    peer = net.connect()
    peer.send(*[post(bytes(PIPE_SIZE * 2), target="/take")[:-PIPE_SIZE * 2], *[bytes(PIPE_SIZE // 4)] * 5])
    assert peer.state() == "handling"
    net.advance(49)
    assert not peer.got
    net.advance(2)
    assert peer.statuses == [503]


def test_a_response_that_is_made_of_a_body_that_breaks_off_fails_once(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The fault: the body told its reader, which was the response, and both had the connection closed."""
    class Echo(Taker):
        def __call__(self, request: Request) -> Any:
            assert isinstance(request.incoming, Pipe)
            return Response(request.incoming)

    net = serve(Echo())
    peer = net.connect()
    peer.send(b"POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    net.settle()
    with caplog.at_level("ERROR", "evloop_http"):
        peer.send(b"nonsense\r\n")
        net.settle()
    assert peer.state() == "closed"
    assert caplog.records == []


class _PassingOn:
    """Answers with the body of the request, while that arrives."""

    def prepare(self, request: Request) -> Preparation:
        return STREAM

    def __call__(self, request: Request) -> Response:
        assert request.incoming is not None
        return Response(request.incoming)


def test_an_upload_that_stops_while_it_is_passed_on_ends_without_a_word_in_the_log(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    net = serve(_PassingOn())
    peer = net.connect()
    peer.send(UPLOAD[:-4])
    assert b"012345" in peer.got
    net.advance(11)
    assert peer.state() == "closed"
    assert caplog.records == []
