"""One client's state machine over fakes, what it owes to each peer and each application, one thing at a time.

The clock is turned by hand. Whatever a test does, the `serve` fixture ends it: every peer closes its
half, time passes, and then every connection must be closed, with nothing registered and no timer left.
"""

from __future__ import annotations

import gc
import io
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from evloop_http.http1 import CONTINUE, Limits
from evloop_http.messages import (
    GATHER,
    PIPE_SIZE,
    Answered,
    FileBody,
    HTTPError,
    Observer,
    Preparation,
    Request,
    Response,
)
from evloop_http.messages.pending import Pending
from evloop_http.net.transport import HIGH_WATER, READ_SIZE
from evloop_http.server import lingering
from evloop_http.server.connection import EVENT_BUDGET, READ_AHEAD, Connection
from evloop_http.server.sending import PIECE_BUDGET
from evloop_http.server.states import State, Timeouts
from fakes import (
    GARBAGE,
    GET,
    LAST_GET,
    PLENTY,
    FakeNet,
    Later,
    Peer,
    Taker,
    Watcher,
    always,
    echo,
    fake_nets,
    get,
    hello,
    post,
    raising,
    read_answers,
)
from settling import Kind, settle

Serve = Callable[..., FakeNet]



class Pieces:
    """An iterator body that knows how far it was asked, and whether it was closed."""

    def __init__(self, pieces: Iterable[Any], error: Exception | None = None,
                 close_error: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error
        self._close_error = close_error
        self.asked = 0
        self.closed = 0

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        self.asked += 1
        try:
            return cast(bytes, next(self._pieces))
        except StopIteration:
            raise self._error or StopIteration from None

    def close(self) -> None:
        self.closed += 1
        if self._close_error is not None:
            raise self._close_error


class Guarded:
    """An application that looks at a request before its body is received."""

    def __init__(self, verdict: Callable[[Request], Preparation | Response | Future[Response]]) -> None:
        self.prepare = verdict
        self.calls = 0

    def __call__(self, request: Request) -> Response:
        self.calls += 1
        return Response(request.body)


def with_status(response: Response, status: Any) -> Response:
    """The same response with a status that it could not have been made with."""
    response.status = status
    return response


@pytest.fixture
def serve() -> Iterator[Serve]:
    with fake_nets() as make:
        yield make


# Being answered

def test_a_request_is_answered_and_the_connection_is_kept(serve: Serve) -> None:
    peer = serve(echo).connect()
    peer.send(get("/a"))
    peer.send(post(b"body", target="/b"))
    assert [answer.body for answer in peer.answers()] == [b"GET /a ", b"POST /b body"]
    assert peer.state() == "idle"
    assert peer.connection.requests == 2


def test_a_request_that_is_answered_at_once_is_one_send_and_does_not_touch_the_selector(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    told = net.reactor.selector.told
    for _ in range(3):
        peer.send(GET)
    assert len(peer.sock.sends) == 3
    assert net.reactor.selector.told == told


def test_bytes_in_and_out_are_counted(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(GET, GET)
    assert peer.connection.received == 2 * len(GET)
    assert peer.connection.sent == len(peer.got)


def test_discarded_bytes_are_counted_too(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(GARBAGE, b"more")
    assert peer.connection.received == len(GARBAGE) + 4


def test_head_is_answered_without_a_body(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(GET.replace(b"GET", b"HEAD"), GET)
    first, second = peer.answers("HEAD", "GET")
    assert (first.headers["content-length"], first.body) == ("5", b"")
    assert second.body == b"hello"


def test_http_1_0_is_answered_and_closed(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.answers()[0].headers["connection"] == "close"
    assert peer.state() == "lingering"


def test_http_1_0_that_asks_to_be_kept_is_kept(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert peer.answers()[0].headers["connection"] == "keep-alive"
    assert peer.state() == "idle"


@pytest.mark.parametrize("request_bytes", [LAST_GET, b"GET / HTTP/1.0\r\n\r\n"])
def test_a_request_that_ends_the_connection_is_the_last_to_be_handled(serve: Serve, request_bytes: bytes) -> None:
    peer = serve().connect()
    peer.send(request_bytes + GET)
    assert peer.statuses == [200]
    assert peer.connection.requests == 1
    assert peer.sock.half_closed


def test_an_application_may_end_the_connection(serve: Serve) -> None:
    peer = serve(always(Response("bye", headers={"Connection": "close"}))).connect()
    peer.send(GET + GET)
    assert [answer.headers["connection"] for answer in peer.answers()] == ["close"]
    assert peer.state() == "lingering"


def test_a_request_knows_its_client_and_its_scheme(serve: Serve) -> None:
    seen: list[Request] = []

    def application(request: Request) -> Response:
        seen.append(request)
        return Response()

    net = serve(application)
    plain, secure = net.connect(), net.connect(secure=True)
    secure.transport.finish_handshake()
    plain.send(GET)
    secure.send(GET)
    assert [(request.client, request.url) for request in seen] == [("192.0.2.1", "http://a/"), ("192.0.2.1", "https://a/")]


def test_an_application_says_what_its_requests_are(serve: Serve) -> None:
    class Mine(Request):
        pass

    class Asking:
        request_class = Mine

        def __call__(self, request: Request) -> Response:
            return Response(type(request).__name__)

    peer = serve(Asking()).connect()
    peer.send(GET)
    assert peer.answers()[0].body == b"Mine"


def test_repr_shows_client_state_and_count(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(GET, b"GET")
    assert repr(peer.connection) == "<Connection 192.0.2.1 reading-headers, 1 requests>"


# Deadlines

def test_a_handshake_that_takes_too_long_is_closed(serve: Serve) -> None:
    net = serve()
    peer = net.connect(secure=True)
    net.advance(9.9)
    assert peer.state() == "handshaking"
    net.advance(0.2)
    assert (peer.state(), peer.got) == ("closed", b"")


def test_an_idle_connection_is_closed_in_silence(serve: Serve) -> None:
    net = serve()
    first, used = net.connect(), net.connect()
    first.send(GET)
    used.send(GET)
    net.advance(50)
    used.send(GET)
    answered = used.got
    net.advance(25.1)
    assert (first.state(), used.state()) == ("closed", "idle")
    net.advance(50)
    assert (used.state(), used.got) == ("closed", answered)


@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_has_not_said_anything_has_the_time_of_a_head(serve: Serve, secure: bool) -> None:
    net = serve(timeouts=Timeouts(head=7, handshake=7, idle=75))
    fresh = net.connect(secure=secure)
    net.advance(6.9)
    assert fresh.state() != "closed"
    net.advance(0.2)
    assert (fresh.state(), fresh.got) == ("closed", b"")


@pytest.mark.parametrize(("draining", "state"), [(False, "idle"), (True, "lingering")])
def test_a_request_that_comes_in_the_turn_in_which_its_connection_would_be_closed_is_answered(
        serve: Serve, draining: bool, state: str) -> None:
    net = serve()
    peer = net.connect()
    peer.send(GET)
    net.shared.draining = draining
    # When the selector looks, nothing is there; and before the connection's own timer, this one is due.
    net.reactor.call_at(peer.connection.deadline - 1, lambda: peer.sock.inbox.append(GET))
    net.clock.seconds = peer.connection.deadline + 1
    net.settle()
    assert peer.statuses == [200, 200]
    assert peer.state() is state


@pytest.mark.parametrize("late", [GET[:5], get("/later"), post(b"body")[:-1]], ids=["part", "whole", "body"])
def test_what_comes_in_the_turn_in_which_its_connection_would_be_closed_is_the_next_request(
        serve: Serve, late: bytes) -> None:
    later = Later()
    net = serve(lambda request: later(request) if request.path == "/later" else hello(request))
    peer = net.connect()
    peer.send(GET)
    net.reactor.call_at(peer.connection.deadline - 1, lambda: peer.sock.inbox.append(late))
    net.clock.seconds = peer.connection.deadline + 1
    net.settle()
    assert peer.state() in ("reading-headers", "handling", "reading-body")


def test_a_head_at_one_byte_a_second_gets_408(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    for byte in get("/" + "a" * 100):
        peer.send(bytes([byte]))
        net.advance(1)
        if peer.got:
            break
    assert net.clock.seconds == 1010
    assert peer.statuses == [408]
    assert peer.sock.half_closed


def test_a_second_head_has_its_own_deadline(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    peer.send(GET[:9])
    net.advance(9)
    peer.send(GET[9:] + GET[:9])
    net.advance(9)
    assert peer.statuses == [200]
    peer.send(GET[9:])
    assert peer.statuses == [200, 200]


def test_a_body_below_the_rate_gets_408(serve: Serve) -> None:
    net = serve(echo)
    peer = net.connect()
    peer.send(post(bytes(100_000))[:-100_000])
    for _ in range(11):
        assert not peer.got
        peer.send(bytes(100))
        net.advance(1)
    assert peer.statuses == [408]
    assert peer.connection.requests == 0


def test_a_body_above_the_rate_may_take_its_time(serve: Serve) -> None:
    net = serve(echo)
    peer = net.connect()
    peer.send(post(bytes(102_400))[:-102_400])
    for _ in range(50):
        net.advance(1)
        peer.send(bytes(2048))
    assert peer.statuses == [200]


def test_a_peer_that_takes_nothing_for_so_long_is_reset(serve: Serve) -> None:
    net = serve(always(Response(bytes(1_000_000))))
    peer = net.connect(room=1000)
    peer.send(GET)
    for _ in range(3):
        net.advance(29)
        peer.take(1)
    assert peer.state() == "writing"
    net.advance(29.9)
    assert peer.state() == "writing"
    net.advance(0.2)
    assert peer.state() == "closed"
    assert peer.sock.aborted


def test_a_stream_may_last_for_as_long_as_the_peer_takes_it(serve: Serve) -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(1000):
            net.clock.advance(0.25)
            yield b"x"

    net = serve(always(Response(slow())))
    peer = net.connect()
    peer.send(GET)
    assert peer.answers()[0].body == b"x" * 1000
    assert peer.state() == "idle"


def test_a_file_may_last_for_as_long_as_the_peer_takes_it(serve: Serve, tmp_path: Path) -> None:
    net = serve(always(Response(make_file(tmp_path, bytes(500_000)))))
    peer = net.connect(room=0)
    peer.send(GET)
    for _ in range(60):
        net.advance(20)
        peer.take(10_000)
    assert len(peer.answers()[0].body) == 500_000


def test_lingering_ends_by_deadline_when_the_peer_does_not_close(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    peer.send(LAST_GET)
    for _ in range(3):
        assert peer.state() == "lingering"
        net.advance(0.9)
        peer.send(b"more")
    assert peer.state() == "closed"
    assert not peer.sock.aborted


@pytest.mark.parametrize("kind", [Future, Pending])
def test_an_application_that_takes_too_long_gets_503_said_for_it(serve: Serve, kind: Kind) -> None:
    application = Later(kind)
    net = serve(application, timeouts=Timeouts(handler=5))
    peer = net.connect()
    peer.send(GET + GET)
    net.advance(5.1)
    assert peer.statuses == [503]
    assert peer.answers()[0].headers["connection"] == "close"
    assert application.requests[0].disconnected
    assert application.futures[0].cancelled() is (kind is Pending)
    assert len(application.requests) == 1


def test_an_application_may_take_for_ever_unless_told_otherwise(serve: Serve) -> None:
    application = Later()
    net = serve(application)
    peer = net.connect()
    peer.send(GET)
    net.advance(10_000_000)
    application.answer()
    net.settle()
    assert peer.statuses == [200]


# Pipelining

def test_pipelined_answers_come_in_order_and_in_one_send(serve: Serve) -> None:
    peer = serve(echo).connect()
    peer.send(b"".join(get(f"/{number}") for number in range(10)))
    assert [answer.body for answer in peer.answers()] == [b"GET /%d " % number for number in range(10)]
    assert len(peer.sock.sends) == 1


def test_what_was_answered_goes_out_while_the_next_head_is_coming(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    peer.sock.inbox.append(GET + GET + GET[:9])
    net.turn()
    assert peer.statuses == [200, 200]


def test_a_slow_first_answer_keeps_the_order(serve: Serve) -> None:
    later = Later()
    net = serve(lambda request: later(request) if request.target == "/slow" else Response(request.target))
    peer = net.connect()
    peer.send(get("/slow") + post(b"body", target="/second"), get("/third"))
    assert not peer.got
    later.answer(text="slow")
    net.settle()
    assert [answer.body for answer in peer.answers()] == [b"slow", b"/second", b"/third"]


def test_what_was_answered_goes_out_while_the_next_answer_is_slow(serve: Serve) -> None:
    later = Later()
    net = serve(lambda request: later(request) if request.target == "/slow" else Response(request.target))
    peer = net.connect()
    peer.send(get("/first") + get("/slow"))
    assert [answer.body for answer in peer.answers()] == [b"/first"]
    later.answer()
    net.settle()
    assert len(peer.answers()) == 2


def test_thousands_of_pipelined_requests_need_no_recursion_and_let_others_have_a_turn(serve: Serve) -> None:
    net = serve()
    greedy, modest = net.connect(), net.connect()
    greedy.sock.inbox.append(GET * 2000)
    modest.sock.inbox.append(GET)
    net.turn()
    assert len(modest.answers()) == 1
    assert len(greedy.answers()) < 200
    net.settle()
    assert greedy.statuses == [200] * 2000


def test_thousands_of_answers_that_come_later_need_no_recursion(serve: Serve) -> None:
    def application(request: Request) -> Future[Response]:
        future: Future[Response] = Future()
        future.set_result(Response("done"))
        return future

    peer = serve(application).connect()
    peer.send(GET * 2000)
    assert peer.statuses == [200] * 2000


def test_what_is_read_while_a_request_is_handled_is_bounded(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET, *[GET * 1000] * 100)
    assert peer.connection.received <= READ_AHEAD + READ_SIZE
    assert peer.sock.inbox
    later.answer()
    net.settle()
    assert len(later.requests) == 2


def test_what_is_read_while_requests_are_handled_is_bounded_however_many_are_answered(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(*[GET * 2000] * 100)
    for number in range(1, 50):
        later.answer()
        net.settle()
        assert len(later.requests) == number + 1
        assert peer.connection.received <= READ_AHEAD + 2 * READ_SIZE


def test_a_peer_that_does_not_read_its_answers_is_not_read_from(serve: Serve) -> None:
    net = serve(always(Response(bytes(10_000))))
    peer = net.connect(room=0)
    peer.send(*[GET * 50] * 20)
    assert peer.state() == "writing"
    assert peer.transport.queued <= HIGH_WATER + 20_000
    assert len(peer.sock.inbox) >= 18
    while peer.sock.inbox or peer.transport.queued:
        peer.take(15_000)
        assert peer.transport.queued <= HIGH_WATER + 20_000
    assert peer.statuses == [200] * 1000


def test_a_full_pipeline_that_ends_in_a_body_goes_on_when_there_is_room(serve: Serve) -> None:
    for number in range(EVENT_BUDGET - 2, EVENT_BUDGET + 2):
        peer = serve(echo).connect(room=0)
        peer.send(get("/") * number + post(b"body"))
        peer.take()
        assert len(peer.answers()) == number + 1


def test_an_error_in_a_pipeline_comes_behind_the_answers_and_ends_it(serve: Serve) -> None:
    peer = serve(echo).connect()
    peer.send(get("/1") + get("/2") + GARBAGE + get("/3"), get("/4"))
    assert peer.statuses == [200, 200, 400]
    assert peer.connection.requests == 2


# Ends

@pytest.mark.parametrize("pieces", [(GET,), (GET[:7], GET[7:]), (post(b"body"),), (GET * 3,)])
def test_a_client_that_half_closes_after_its_request_is_answered(serve: Serve, pieces: tuple[bytes, ...]) -> None:
    net = serve()
    peer = net.connect()
    peer.sock.inbox.extend(pieces)
    peer.end()
    assert set(peer.statuses) == {200}
    assert peer.state() == "closed"
    assert not peer.sock.aborted


def test_a_client_that_half_closes_while_its_request_is_handled_is_answered(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET + GET)
    peer.end()
    later.answer()
    net.settle()
    assert not later.requests[0].disconnected
    later.answer()
    net.settle()
    assert peer.statuses == [200, 200]
    assert peer.state() == "closed"


@pytest.mark.parametrize("room", [0, PLENTY])
def test_an_empty_line_behind_the_last_request_costs_no_answer(serve: Serve, room: int) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect(room)
    peer.send(GET + b"\r\n")
    peer.end()
    later.answer()
    net.settle()
    peer.take()
    assert peer.statuses == [200]
    assert peer.state() == "closed"


def test_a_client_that_half_closes_and_reads_slowly_gets_everything(serve: Serve) -> None:
    peer = serve(always(Response(bytes(300_000)))).connect(room=10)
    peer.send(GET + GET)
    peer.end()
    while peer.state() != "closed":
        peer.take(50_000)
    assert [len(answer.body) for answer in peer.answers()] == [300_000, 300_000]


def test_a_client_that_closes_between_requests_is_closed_in_silence(serve: Serve) -> None:
    net = serve()
    fresh, used = net.connect(), net.connect()
    used.send(GET)
    answered = used.got
    fresh.end()
    used.end()
    assert (fresh.state(), fresh.got) == ("closed", b"")
    assert (used.state(), used.got) == ("closed", answered)


@pytest.mark.parametrize("part", [GET[:1], GET[:-1], post(b"body")[:-1], post(b"body")[:-4]])
def test_a_client_that_closes_within_a_request_gets_400(serve: Serve, part: bytes) -> None:
    peer = serve().connect()
    peer.send(part)
    peer.end()
    assert peer.statuses == [400]
    assert peer.state() == "closed"
    assert peer.connection.requests == 0


def test_the_server_is_told_once_of_every_end(serve: Serve) -> None:
    ended: list[Connection] = []
    net = serve(on_closed=ended.append)
    peer = net.connect()
    assert net.shared.connections == {peer.connection}
    peer.reset()
    peer.connection.close()
    assert ended == [peer.connection]
    assert not net.shared.connections


def count_connections() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


def test_a_closed_connection_is_let_go_of_at_once(serve: Serve) -> None:
    net = serve()
    net.connect()  # stays, so that its deadline is the next
    net.clock.advance(1)
    before = count_connections()
    for _ in range(10):
        net.connect().send(GET)
    assert count_connections() == before + 10
    while len(net.peers) > 1:
        net.peers.pop().end()
    assert count_connections() == before


# Refusals

@pytest.mark.parametrize(("request_bytes", "status"), [
    (GARBAGE, 400),
    (b"GET / HTTP/1.1\n\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (get("/", "Host: b"), 400),
    (get("/", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
    (get("/", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    (get("/", "Transfer-Encoding: gzip, chunked"), 501),
    (get("/", "Transfer-Encoding: gzip"), 400),
    (get("/" + "a" * 9000), 414),
    (get("/", "X: " + "a" * 40_000), 431),
    (get("/", *["X: a"] * 200), 431),
    (get("/", "Content-Length: 99999999999"), 413),
    (get("/", "Expect: miracles"), 417),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
])
def test_what_cannot_be_read_is_refused_and_nothing_more_is_parsed(serve: Serve, request_bytes: bytes,
                                                                   status: int) -> None:
    peer = serve().connect()
    peer.send(request_bytes + GET, GET)
    answer, = peer.answers()
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["content-length"]) == len(answer.body) > 0
    assert peer.connection.requests == 0
    assert peer.state() == "lingering"


def test_a_refusal_repeats_nothing_that_the_peer_sent(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(get("/<script>secret", "secret : secret"))
    assert peer.statuses == [400]
    assert b"secret" not in peer.got


def test_an_early_refusal_arrives_while_the_body_is_still_coming(serve: Serve) -> None:
    peer = serve(limits=Limits(body=1000)).connect()
    peer.send(post(bytes(2000))[:-2000])
    assert peer.statuses == [413]
    assert peer.sock.half_closed
    for _ in range(100):
        peer.send(bytes(50_000))
    assert peer.state() == "lingering"
    peer.end()
    assert peer.state() == "closed"
    assert not peer.sock.aborted


def test_a_refusal_that_the_peer_is_slow_to_take_is_kept_for_it(serve: Serve) -> None:
    peer = serve().connect(room=10)
    peer.send(GARBAGE)
    assert peer.state() == "writing"
    peer.take()
    assert peer.statuses == [400]
    assert peer.state() == "lingering"


def test_what_is_discarded_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER_BYTES", 100_000)
    peer = serve().connect()
    peer.send(GARBAGE)
    peer.send(bytes(60_000))
    assert peer.state() == "lingering"
    peer.send(bytes(60_000))
    assert peer.state() == "closed"


def test_plain_http_where_tls_was_expected_is_told_so(serve: Serve) -> None:
    peer = serve().connect(secure=True)
    peer.transport.find_plaintext()
    answer, = peer.answers()
    assert answer.status == 400
    assert b"HTTPS" in answer.body
    assert peer.state() == "lingering"
    peer.send(GET)
    assert len(peer.answers()) == 1


# Expect: 100-continue

EXPECTING = post(b"body", "Expect: 100-continue")


def test_a_body_is_invited_when_it_is_wanted(serve: Serve) -> None:
    peer = serve(echo).connect()
    peer.send(EXPECTING[:-4])
    assert peer.got == CONTINUE
    peer.send(b"bo", b"dy")
    assert peer.got.count(b"100 Continue") == 1
    assert peer.answers()[0].body == b"POST / body"


def test_a_body_over_the_limit_is_not_invited(serve: Serve) -> None:
    peer = serve(limits=Limits(body=3)).connect()
    peer.send(EXPECTING[:-4])
    assert b"100 Continue" not in peer.got
    assert peer.statuses == [413]


def test_a_body_that_has_come_already_is_not_invited(serve: Serve) -> None:
    peer = serve(echo).connect()
    peer.send(EXPECTING)
    assert b"100 Continue" not in peer.got
    assert peer.statuses == [200]


def test_a_request_without_a_body_invites_none(serve: Serve) -> None:
    peer = serve().connect()
    peer.send(post(b"", "Expect: 100-continue"))
    assert b"100 Continue" not in peer.got
    assert peer.statuses == [200]


def test_an_invitation_goes_out_behind_the_answers_before_it(serve: Serve) -> None:
    peer = serve().connect(room=0)
    peer.send(GET + EXPECTING[:-4])
    peer.take()
    assert peer.got.endswith(CONTINUE)
    assert peer.got.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("verdict", "status"), [
    (lambda request: Response("no", 403), 403),
    (lambda request: HTTPError(401).response(), 401),
    (lambda request: Response(iter([b"not ", b"today"]), 409), 409),
    (raising(HTTPError(404)), 404),
    (raising(ValueError("broken")), 500),
    (lambda request: "nonsense", 500),
])
def test_an_application_may_refuse_a_body_before_it_is_sent(serve: Serve, verdict: Any, status: int) -> None:
    application = Guarded(verdict)
    peer = serve(application).connect()
    peer.send(EXPECTING[:-4])
    answer, = peer.answers()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert b"100 Continue" not in peer.got
    peer.send(b"body", GET)
    assert application.calls == 0
    assert len(peer.answers()) == 1


def test_an_application_that_does_not_mind_has_the_body_invited(serve: Serve) -> None:
    seen: list[tuple[str, bytes]] = []

    def verdict(request: Request) -> Preparation:
        seen.append((request.target, request.body))
        return GATHER

    peer = serve(Guarded(verdict)).connect()
    peer.send(EXPECTING[:-4])
    assert peer.got == CONTINUE
    peer.send(b"body")
    assert peer.answers()[0].body == b"body"
    assert seen == [("/", b"")]


# Bodies that come in pieces

def test_an_iterator_is_sent_in_chunks_and_closed(serve: Serve) -> None:
    body = Pieces([b"one", b"", b"two"])
    peer = serve(always(Response(body))).connect()
    peer.send(GET)
    answer, = peer.answers()
    assert answer.body == b"onetwo"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert peer.state() == "idle"
    assert body.closed


def test_an_iterator_with_a_length_is_sent_as_it_is(serve: Serve) -> None:
    peer = serve(lambda request: Response(iter([b"one", b"", b"two"]), headers={"Content-Length": "6"})).connect()
    peer.send(GET + GET)
    assert peer.got.endswith(b"\r\n\r\nonetwo")
    assert [answer.body for answer in peer.answers()] == [b"onetwo", b"onetwo"]


def test_an_iterator_for_http_1_0_ends_with_the_connection(serve: Serve) -> None:
    peer = serve(lambda request: Response(iter([b"one", b"two"]))).connect()
    peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer, = peer.answers()
    assert answer.body == b"onetwo"
    assert "transfer-encoding" not in answer.headers
    assert peer.state() == "lingering"


@pytest.mark.parametrize("length", [{}, {"Content-Length": "3"}])
def test_head_closes_an_iterator_without_asking_it(serve: Serve, length: dict[str, str]) -> None:
    body = Pieces([b"one"])
    peer = serve(always(Response(body, headers=length))).connect()
    peer.send(GET.replace(b"GET", b"HEAD"))
    assert peer.answers("HEAD")[0].body == b""
    assert (body.asked, body.closed) == (0, 1)
    assert peer.state() == "idle"


def test_a_slow_reader_stops_the_producer(serve: Serve) -> None:
    body = Pieces([bytes(10_000)] * 1000)
    peer = serve(always(Response(body))).connect(room=0)
    peer.send(GET)
    assert body.asked <= HIGH_WATER // 10_000 + 1
    taken = 0
    while peer.state() == "writing":
        peer.take(25_000)
        taken += 25_000
        assert body.asked * 10_000 <= taken + HIGH_WATER + 20_000
    assert len(peer.answers()[0].body) == 10_000_000


def test_a_producer_goes_on_before_the_peer_has_taken_everything(serve: Serve) -> None:
    body = Pieces([bytes(10_000)] * 1000)
    peer = serve(always(Response(body))).connect(room=0)
    peer.send(GET)
    before, queued = body.asked, peer.transport.queued
    peer.take(queued - 1000)
    assert body.asked > before
    assert peer.transport.queued > 1000


def test_a_producer_lets_others_have_a_turn(serve: Serve) -> None:
    net = serve(lambda request: Response(iter([b"x"] * 1000)) if request.target == "/long" else Response())
    long, short = net.connect(), net.connect()
    long.sock.inbox.append(get("/long"))
    short.sock.inbox.append(get("/short"))
    net.turn()
    assert short.statuses == [200]
    assert long.state() == "writing"
    net.settle()
    assert len(long.answers()[0].body) == 1000


@pytest.mark.parametrize("room", [0, 1000, PLENTY])
def test_an_iterator_is_closed_when_the_peer_goes(serve: Serve, room: int) -> None:
    body = Pieces([bytes(1000)] * 1_000_000)
    net = serve(always(Response(body)))
    peer = net.connect(room)
    peer.sock.inbox.append(GET)
    net.turn()
    assert (body.asked > 0, body.closed) == (True, 0)
    peer.reset()
    assert peer.state() == "closed"
    assert body.closed == 1


def test_a_generator_runs_its_finally_when_the_peer_goes(serve: Serve) -> None:
    ended: list[str] = []

    def produce() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            ended.append("yes")

    peer = serve(always(Response(produce()))).connect(room=10)
    peer.send(GET)
    peer.reset()
    assert ended == ["yes"]


@pytest.mark.parametrize(("pieces", "length", "error"), [
    ([b"one"], None, ValueError("midway")),
    ([b"one"], None, HTTPError(404)),
    ([b"one", "text"], None, None),
    ([b"one", 5], None, None),
    ([b"one", None], None, None),
    ([b"one", b"four"], "6", None),
    ([b"one"], "6", None),
])
def test_a_body_that_fails_midway_is_broken_off(serve: Serve, caplog: pytest.LogCaptureFixture, pieces: list[Any],
                                                length: str | None, error: Exception | None) -> None:
    body = Pieces(pieces, error)
    peer = serve(always(Response(body, headers={"Content-Length": length} if length else {}))).connect()
    with caplog.at_level(logging.CRITICAL, "evloop_http.server"):
        peer.send(GET + GET)
    assert peer.state() == "closed"
    assert peer.sock.aborted
    assert body.closed
    assert not peer.got.endswith(b"0\r\n\r\n")
    assert peer.connection.requests == 1


def test_a_body_that_fails_is_logged_with_its_request(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    peer = serve(always(Response(Pieces([b"one"], ValueError("midway"))))).connect()
    peer.send(get("/report"))
    record, = caplog.records
    assert (record.name, record.levelname) == ("evloop_http.server", "ERROR")
    assert "/report" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "midway"


@pytest.mark.parametrize("leaves", [True, False])
def test_a_body_that_fails_to_close_harms_nobody(serve: Serve, caplog: pytest.LogCaptureFixture, leaves: bool) -> None:
    body = Pieces([bytes(1000)] * 100, close_error=ValueError("cannot close"))
    net = serve(always(Response(body)))
    peer = net.connect(room=10)
    peer.send(GET)
    if leaves:
        peer.reset()
        assert peer.state() == "closed"
        assert not net.shared.connections
    else:
        peer.take()
        assert peer.state() == "idle"
    assert body.closed == 1
    assert "ValueError: cannot close" in caplog.text


# Files

def make_file(folder: Path, content: bytes, offset: int = 0, length: int | None = None) -> FileBody:
    path = folder / "file"
    path.write_bytes(content)
    return FileBody(path.open("rb"), offset, len(content) - offset if length is None else length)


@pytest.mark.parametrize(("offset", "length"), [(0, 300_000), (100_000, 50), (7, 0)])
def test_a_file_is_sent_and_closed(serve: Serve, tmp_path: Path, offset: int, length: int) -> None:
    content = bytes(range(256)) * 1200
    body = make_file(tmp_path, content, offset, length)
    peer = serve(always(Response(body))).connect()
    peer.send(GET)
    answer, = peer.answers()
    assert answer.body == content[offset:offset + length]
    assert answer.headers["content-length"] == str(length)
    assert body.file.closed
    assert peer.state() == "idle"


def test_a_file_is_closed_when_the_peer_goes(serve: Serve, tmp_path: Path) -> None:
    body = make_file(tmp_path, bytes(100_000))
    peer = serve(always(Response(body))).connect(room=1000)
    peer.send(GET)
    assert not body.file.closed
    peer.reset()
    assert body.file.closed


def test_head_closes_a_file_without_sending_it(serve: Serve, tmp_path: Path) -> None:
    body = make_file(tmp_path, b"content")
    peer = serve(always(Response(body))).connect()
    peer.send(GET.replace(b"GET", b"HEAD"))
    assert peer.answers("HEAD")[0].headers["content-length"] == "7"
    assert peer.got.endswith(b"\r\n\r\n")
    assert body.file.closed


def test_a_file_that_is_shorter_than_it_was_ends_the_connection(serve: Serve, tmp_path: Path) -> None:
    body = make_file(tmp_path, b"short", length=100)
    peer = serve(always(Response(body))).connect()
    peer.send(GET + GET)
    assert peer.state() == "closed"
    assert peer.got.endswith(b"\r\n\r\nshort")
    assert body.file.closed


def test_a_file_that_cannot_be_sent_is_the_applications_failure(serve: Serve, tmp_path: Path) -> None:
    closed = make_file(tmp_path, b"content")
    closed.file.close()
    sound = make_file(tmp_path, b"content")
    no_file = FileBody(io.BytesIO(b"content"), 0, 7)
    for body in (closed, no_file, FileBody(sound.file, 0, -5), FileBody(sound.file, -1, 5)):
        peer = serve(always(Response(body))).connect()
        peer.send(GET)
        assert peer.statuses == [500]


def test_bytes_of_another_class_are_bytes(serve: Serve) -> None:
    class Text(bytes):
        """Bytes with a name of their own."""

    peer = serve(always(Response(Text(b"content")))).connect()
    peer.send(GET)
    assert [reply.body for reply in peer.answers()] == [b"content"]


def test_a_peer_is_not_charged_for_the_time_of_a_handler(serve: Serve) -> None:
    def slow(request: Request) -> Response:
        net.clock.advance(31)
        return Response(b"x" * 300_000)

    net = serve(slow)
    reader, sender = net.connect(room=1000), net.connect()
    sender.sock.inbox.append(GET[:-2])
    reader.send(GET)
    assert reader.state() == "writing"
    assert sender.state() == "reading-headers"


def test_an_empty_line_behind_a_request_begins_no_other(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    peer.send(GET + b"\r\n")
    assert peer.state() == "idle"
    net.advance(20)
    peer.send(GET)
    assert peer.statuses == [200, 200]


def test_a_stream_has_one_turn_at_a_time(serve: Serve) -> None:
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(2000):
            asked += 1
            yield b"x" * 1000

    net = serve(always(Response(pieces())))
    peer = net.connect(room=0)
    peer.send(GET)
    most = 0
    while peer.state() == "writing":
        before = asked
        peer.sock.room += 20_000
        net.turn()
        most = max(most, asked - before)
    assert asked == 2000
    assert most <= 2 * PIECE_BUDGET


def test_ctrl_c_in_a_handler_ends_its_connection_and_the_loop_can_be_run_again(serve: Serve) -> None:
    def interrupted(request: Request) -> Response:
        if request.path == "/interrupt":
            raise KeyboardInterrupt
        return Response("on")

    net = serve(interrupted)
    peer, other = net.connect(), net.connect()
    with pytest.raises(KeyboardInterrupt):
        peer.send(get("/interrupt"))
    assert peer.state() == "closed"
    other.send(GET)
    assert other.statuses == [200]


def test_the_log_is_told_what_went_out_of_a_file_that_was_cut(serve: Serve, tmp_path: Path) -> None:
    watcher = Watcher()
    peer = serve(always(Response(make_file(tmp_path, bytes(500_000)))), observer=watcher).connect(room=100_000)
    peer.send(GET)
    peer.connection.close()
    assert 90_000 < watcher.answers[0].size < 100_000


def test_the_log_is_told_of_no_content_where_none_is_sent(serve: Serve) -> None:
    watcher = Watcher()
    peer = serve(always(Response("gone", 204)), observer=watcher).connect()
    peer.send(GET)
    assert [entry.size for entry in watcher.answers] == [0]


@pytest.mark.parametrize("timeouts", [{"idle": 0}, {"head": -1}, {"body_rate": 0}, {"handler": 0}])
def test_a_timeout_that_is_none_is_refused(timeouts: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(timeouts))):
        Timeouts(**timeouts)


# Answers that come later

def test_a_future_is_answered_when_it_is_done_in_another_thread(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET)
    assert (peer.state(), peer.got) == ("handling", b"")
    thread = threading.Thread(target=later.answer)
    thread.start()
    thread.join()
    net.settle()
    assert peer.answers()[0].body == b"late"
    assert peer.state() == "idle"
    assert not later.requests[0].disconnected


def test_a_future_may_bring_an_iterator(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    peer = net.connect()
    peer.send(GET + GET)
    later.futures[0].set_result(Response(iter([b"one", b"two"])))
    net.settle()
    assert peer.answers()[0].body == b"onetwo"
    assert len(later.requests) == 2


@pytest.mark.parametrize(("finish", "status"), [
    (lambda future: future.cancel(), 503),
    (lambda future: future.set_exception(ValueError("broken")), 500),
    (lambda future: future.set_exception(KeyboardInterrupt()), 500),
    (lambda future: future.set_exception(HTTPError(418)), 418),
    (lambda future: future.set_result(None), 500),
    (lambda future: future.set_result("text"), 500),
])
@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_future_that_brings_no_response_is_answered_with_an_error(
        serve: Serve, finish: Callable[[Future[Response]], object], status: int, when: str) -> None:
    later = Later()

    def application(request: Request) -> Any:
        future: Any = later(request)
        if when == "at once":
            finish(future)
        return future

    net = serve(application)
    peer = net.connect()
    peer.send(GET)
    if when == "later":
        finish(later.futures[0])
        net.settle()
    assert peer.statuses == [status]
    assert peer.state() == "idle"


@pytest.mark.parametrize("kind", [Future, Pending])
def test_a_request_is_told_when_the_peer_goes_and_its_future_is_cancelled_if_it_is_its_own(
        serve: Serve, kind: Kind) -> None:
    later = Later(kind)
    net = serve(later)
    peer = net.connect()
    peer.send(GET)
    request, future = later.requests[0], later.futures[0]
    assert (request.disconnected, future.cancelled()) == (False, False)
    peer.reset()
    assert peer.state() == "closed"
    assert (request.disconnected, future.cancelled()) == (True, kind is Pending)


@pytest.mark.parametrize("leave", [lambda peer: peer.end(), lambda peer: peer.reset()], ids=["ends", "resets"])
def test_a_future_that_several_requests_share_is_not_cancelled_by_the_first_client_that_leaves(
        serve: Serve, leave: Callable[[Any], None]) -> None:
    """The fault: the others were answered with 503."""
    shared: Future[Response] = Future()
    net = serve(lambda request: shared)
    peers = [net.connect() for _ in range(3)]
    for peer in peers:
        peer.send(GET)
    leave(peers[0])
    peers[1].reset()
    shared.set_result(Response("for all"))
    net.settle()
    assert [answer.body for answer in peers[2].answers()] == [b"for all"]
    assert peers[1].got == b""


def test_a_future_that_is_shared_for_long_keeps_nothing_of_the_clients_that_came_and_left(serve: Serve) -> None:
    shared: Future[Response] = Future()
    seen: list[weakref.ref[Request]] = []

    def application(request: Request) -> Future[Response]:
        seen.append(weakref.ref(request))
        return shared

    net = serve(application)
    gc.disable()
    try:
        for _ in range(100):
            peer = net.connect()
            peer.send(GET)
            peer.reset()
        assert not any(ref() for ref in seen)
        assert len(shared._done_callbacks) == 1  # type: ignore[attr-defined]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [Future, Pending])
def test_an_answer_for_a_peer_that_has_gone_is_closed(serve: Serve, kind: Kind) -> None:
    later = Later(kind)
    net = serve(later)
    peer = net.connect()
    peer.send(GET)
    if kind is Future:
        later.futures[0].set_running_or_notify_cancel()
    peer.reset()
    body = Pieces([b"late"])
    settle(later.futures[0], Response(body))
    net.settle()
    assert not body.asked
    assert body.closed == 1
    assert peer.got == b""


# What an application does wrong

@pytest.mark.parametrize("nonsense", [None, "text", 42, (200, "x"), {"a": 1}, HTTPError(404), Response])
def test_an_application_that_returns_nonsense_is_answered_for(serve: Serve, nonsense: object) -> None:
    peer = serve(always(nonsense)).connect()
    peer.send(GET + GET)
    assert peer.statuses == [500, 500]
    assert peer.state() == "idle"


@pytest.mark.parametrize("response", [
    with_status(Response("text"), 101),
    with_status(Response("text"), 600),
    with_status(Response("text"), "200"),
    with_status(Response("text"), None),
    Response("text", headers={"Content-Length": "5"}),
    Response("text", headers={"Content-Length": "many"}),
    Response("text", headers={"Transfer-Encoding": "chunked"}),
    with_status(Response(iter([b"text"])), 99),
    Response(iter([b"text"]), headers={"Content-Length": "-1"}),
    Response(iter([b"text"]), headers={"Transfer-Encoding": "chunked"}),
], ids=repr)
def test_a_response_that_cannot_be_sent_becomes_a_500(serve: Serve, response: Response) -> None:
    peer = serve(lambda request: response if request.target == "/bad" else Response()).connect()
    peer.send(get("/bad") + GET)
    assert peer.statuses == [500, 200]
    assert b"text" not in peer.got.partition(b"\r\n\r\n")[2]


def test_a_body_in_pieces_that_cannot_be_sent_is_closed(serve: Serve) -> None:
    body = Pieces([b"text"])
    peer = serve(always(with_status(Response(body), 99))).connect()
    peer.send(GET)
    assert peer.statuses == [500]
    assert (body.asked, body.closed) == (0, 1)


def test_an_exception_becomes_a_500_and_is_logged_with_the_request_line(serve: Serve,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    peer = serve(raising(ValueError("secret"))).connect()
    peer.send(get("/a?b=%0A") + GET)
    assert peer.statuses == [500, 500]
    assert b"secret" not in peer.got
    record = caplog.records[0]
    assert (record.name, record.levelname) == ("evloop_http.server", "ERROR")
    assert "GET /a?b=%0A" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "secret"


def test_an_http_error_is_an_answer_and_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    peer = serve(raising(HTTPError(418, "short and stout", {"X-Pot": "tea"}))).connect()
    peer.send(GET)
    answer, = peer.answers()
    assert (answer.status, answer.headers["x-pot"]) == (418, "tea")
    assert b"short and stout" in answer.body
    assert peer.state() == "idle"
    assert not caplog.records


def test_an_http_error_with_a_header_that_none_may_be_becomes_a_500(serve: Serve) -> None:
    def application(request: Request) -> Response:
        raise HTTPError(400, headers={"X": "a\r\nb"})

    peer = serve(application).connect()
    peer.send(GET)
    assert peer.statuses == [500]


class BrokenObserver(Observer):
    def answered(self, answer: Answered) -> None:
        raise ValueError("no log today")


class BrokenRequests:
    class request_class(Request):
        def __init__(self, *arguments: Any) -> None:
            raise ValueError("no request today")

    def __call__(self, request: Request) -> Response:
        return Response()


@pytest.mark.parametrize("options", [{"observer": BrokenObserver()}, {"application": BrokenRequests()}])
@pytest.mark.parametrize("body", [b"hello", iter([b"hello"])])
def test_what_the_host_s_own_parts_raise_leaves_no_connection_hanging(serve: Serve, options: dict[str, Any],
                                                                      body: Any) -> None:
    peer = serve(**{"application": always(Response(body)), **options}).connect()
    peer.send(GET)
    assert peer.state() in ("idle", "lingering", "closed")


# Stopping

def test_the_last_answers_of_a_server_that_drains_say_so(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    handling, reading = net.connect(), net.connect()
    handling.send(GET + GET)
    reading.send(post(b"body")[:-2])
    net.shared.draining = True
    for peer in net.peers:
        peer.connection.drain()
    reading.send(b"dy")
    for future in later.futures:
        future.set_result(Response("last"))
    net.settle()
    for peer in (handling, reading):
        answer, = peer.answers()
        assert (answer.headers["connection"], answer.body) == ("close", b"last")
        assert peer.state() == "lingering"


def test_draining_leaves_an_idle_connection_a_moment(serve: Serve) -> None:
    net = serve()
    idle, quick = net.connect(), net.connect()
    net.shared.draining = True
    net.shared.seconds[State.IDLE] = 0.1
    for peer in net.peers:
        peer.connection.drain()
    quick.send(GET)
    net.advance(0.11)
    assert (idle.state(), idle.got) == ("closed", b"")
    assert quick.statuses == [200]


# The access log

def test_every_answer_is_logged(serve: Serve) -> None:
    watcher = Watcher()
    peer = serve(lambda request: Response("hello", 201), observer=watcher).connect()
    peer.send(GET + GET.replace(b"GET", b"HEAD"), GARBAGE)
    assert [entry[2:5] for entry in watcher.answers[:2]] == [(201, 5, 0.0), (201, 0, 0.0)]
    assert [entry.head.method if entry.head else None for entry in watcher.answers] == ["GET", "HEAD", None]
    assert watcher.answers[2].status == 400
    assert {entry.peer.address for entry in watcher.answers} == {"192.0.2.1"}


def test_an_answer_in_pieces_is_logged_when_it_is_out(serve: Serve, tmp_path: Path) -> None:
    watcher = Watcher()
    file = make_file(tmp_path, b"content")
    net = serve(lambda request: Response(file if request.target == "/file" else iter([bytes(1000)] * 100)),
                observer=watcher)
    peer = net.connect(room=0)
    peer.send(get("/") + get("/file"))
    assert not watcher.answers
    net.advance(5)
    peer.take()
    assert [entry[2:5] for entry in watcher.answers] == [(200, 100_000, 5.0), (200, 7, 0.0)]


def test_the_time_of_a_late_answer_is_the_application_s(serve: Serve) -> None:
    watcher = Watcher()
    later = Later()
    net = serve(later, observer=watcher)
    net.connect().send(GET)
    net.advance(7)
    later.answer()
    net.settle()
    assert [entry.seconds for entry in watcher.answers] == [7.0]


def test_a_stream_that_is_broken_off_is_recorded_with_what_went_out(serve: Serve) -> None:
    watcher = Watcher()
    peer = serve(always(Response(iter([b"hello", None]))), observer=watcher).connect()  # type: ignore[arg-type]
    peer.send(GET)
    assert [(entry.status, entry.size) for entry in watcher.answers] == [(200, 5)]


def test_a_body_that_was_replaced_by_bytes_of_another_class_is_sent_whole(serve: Serve) -> None:
    class Text(bytes):
        """Bytes with a name of their own."""

    response = Response("first")
    response.body = Text(b"content")
    peer = serve(always(response)).connect()
    peer.send(GET)
    assert [reply.body for reply in peer.answers()] == [b"content"]


def test_a_request_that_was_answered_later_is_let_go_of_at_once(serve: Serve) -> None:
    pending: list[Future[Response]] = []
    seen: list[weakref.ref[Request]] = []

    def application(request: Request) -> Future[Response]:
        seen.append(weakref.ref(request))
        pending.append(Future())
        return pending[-1]

    net = serve(application)
    peer = net.connect()
    gc.disable()
    try:
        peer.send(post(bytes(10)))
        pending.pop().set_result(Response("late"))
        net.settle()
        assert seen[0]() is None
        peer.send(post(bytes(10)))
        peer.reset()
        pending.clear()
        assert seen[1]() is None
    finally:
        gc.enable()


# Bodies that are taken while they come

UPLOAD = post(b"0123456789", target="/take")
ASKING_UPLOAD = post(b"0123456789", "Expect: 100-continue", target="/take")
CHUNKED_UPLOAD = get("/take", "Transfer-Encoding: chunked")


def uploading(serve: Serve, *pieces: bytes, **options: Any) -> tuple[Taker, FakeNet, Peer]:
    """Who takes a body while it comes, and a peer that has sent these pieces of it."""
    taker = Taker()
    net = serve(taker, **options)
    peer = net.connect()
    peer.send(*pieces)
    return taker, net, peer


def take_all(taker: Taker) -> None:
    """Take what there is of a body, and meet the error behind it."""
    while taker.take():
        pass


def test_who_takes_a_body_while_it_comes_is_called_with_the_first_piece_and_given_one_after_the_other(
        serve: Serve) -> None:
    taker, net, peer = uploading(serve, UPLOAD[:-10])
    assert (taker.requests, peer.connection.requests) == ([], 0)
    peer.send(UPLOAD[-10:-6])
    assert (len(taker.requests), peer.connection.requests) == (1, 1)
    assert taker.take() == b"0123"
    peer.send(UPLOAD[-6:])
    assert taker.take() == b"456789"
    assert taker.take() == b""
    assert peer.got == b""
    taker.answer()
    net.settle()
    assert peer.statuses == [200]
    assert peer.state() == "idle"


@pytest.mark.parametrize("head", [UPLOAD[:-10], ASKING_UPLOAD[:-10], CHUNKED_UPLOAD, CHUNKED_UPLOAD + b"1"],
                         ids=["counted", "invited", "chunked", "within a chunk's size"])
def test_a_client_that_announces_a_body_and_sends_nothing_of_it_costs_the_application_nothing(
        serve: Serve, head: bytes) -> None:
    """The fault: eight of them took all threads."""
    taker, net, peer = uploading(serve, head)
    net.advance(9)
    assert peer.state() == "reading-body"
    net.advance(2)
    assert read_answers(peer.got.replace(CONTINUE, b""))[0].status == 408
    assert (taker.requests, peer.connection.requests) == ([], 0)


@pytest.mark.parametrize("leave", [lambda peer: peer.end(), lambda peer: peer.reset()], ids=["ends", "resets"])
def test_a_client_that_leaves_before_the_first_piece_was_never_the_applications(
        serve: Serve, leave: Callable[[Any], None]) -> None:
    taker, _, peer = uploading(serve, UPLOAD[:-10])
    leave(peer)
    assert peer.state() in ("closed", "lingering")
    assert taker.requests == []


def test_an_empty_body_in_chunks_is_handed_on_when_it_has_ended(serve: Serve) -> None:
    taker, net, peer = uploading(serve, CHUNKED_UPLOAD)
    assert taker.requests == []
    peer.send(b"0\r\n\r\n" + get("/later"))
    assert taker.take() == b""
    taker.answer()
    net.settle()
    taker.answer()
    net.settle()
    assert peer.statuses == [200, 200]


def test_behind_a_body_that_was_taken_the_next_request_is_read(serve: Serve) -> None:
    taker, net, peer = uploading(serve, UPLOAD + UPLOAD + get("/later"))
    for expected in b"0123456789", b"0123456789", None:
        assert expected is None or taker.take() == expected
        taker.answer()
        net.settle()
    assert peer.statuses == [200, 200, 200]
    assert peer.connection.requests == 3


def test_a_handler_that_does_not_take_what_comes_stops_the_peer_and_one_that_does_lets_it_go_on(serve: Serve) -> None:
    taker = Taker()
    net = serve(taker)
    peer = net.connect()
    body = bytes(range(250)) * 20_000
    head = post(body, target="/take")[:-len(body)]
    peer.send(head, *[body[begin:begin + READ_SIZE] for begin in range(0, len(body), READ_SIZE)])
    most = PIPE_SIZE + READ_AHEAD + 2 * READ_SIZE
    assert peer.connection.received <= most
    taken = 0
    while piece := taker.take():
        taken += len(piece)
        net.settle()
        assert peer.connection.received <= len(head) + taken + most
    assert b"".join(taker.taken) == body
    taker.answer()
    net.settle()
    assert peer.statuses == [200]


def test_the_time_that_the_handler_takes_is_not_the_peers(serve: Serve) -> None:
    stream = post(bytes(PIPE_SIZE * 2), target="/take")[:-1]
    pieces = [stream[begin:begin + READ_SIZE] for begin in range(0, len(stream), READ_SIZE)]
    taker, net, peer = uploading(serve, *pieces, timeouts=Timeouts(body=10, stream_rate=1e9))
    assert peer.state() == "handling"
    net.advance(10_000)
    assert peer.state() == "handling"
    while peer.state() == "handling":
        taker.take()
        net.settle()
    net.advance(9)
    assert peer.got == b""
    net.advance(2)
    assert peer.statuses == [408]


def test_a_body_that_goes_on_has_the_time_that_it_had_left(serve: Serve) -> None:
    head = post(bytes(PIPE_SIZE + 1), target="/take")[:-PIPE_SIZE - 1]
    taker, net, peer = uploading(serve, head, timeouts=Timeouts(body=10, stream_rate=1e9))
    net.advance(8)
    peer.send(*[bytes(READ_SIZE)] * (PIPE_SIZE // READ_SIZE))
    net.advance(1000)
    taker.take()
    net.settle()
    net.advance(1)
    assert peer.got == b""
    net.advance(2)
    assert peer.statuses == [408]


def test_a_body_that_is_taken_while_it_comes_has_to_come_all_the_same(serve: Serve) -> None:
    taker, net, peer = uploading(serve, UPLOAD[:-1])
    net.advance(11)
    assert peer.statuses == [408]
    with pytest.raises(HTTPError):
        take_all(taker)
    assert taker.requests[0].disconnected
    assert not taker.futures[0].cancelled()  # it is the application's


def test_a_handler_that_has_taken_all_has_the_time_of_a_handler(serve: Serve) -> None:
    _, net, peer = uploading(serve, UPLOAD, timeouts=Timeouts(handler=60))
    net.advance(59)
    assert peer.got == b""
    net.advance(2)
    assert peer.statuses == [503]


def test_who_answers_before_the_body_has_come_ends_the_connection_gently(serve: Serve) -> None:
    taker, net, peer = uploading(serve, UPLOAD[:-5])
    taker.answer()
    net.settle()
    assert [answer.headers["Connection"] for answer in peer.answers()] == ["close"]
    assert peer.state() == "lingering"
    peer.send(b"56789" + GET)
    assert len(peer.answers()) == 1
    assert len(taker.requests) == 1
    with pytest.raises(HTTPError):  # whoever still reads it is told
        take_all(taker)


def test_who_answers_at_once_ends_the_connection_too(serve: Serve) -> None:
    class Refusing(Taker):
        def __call__(self, request: Request) -> Any:
            return Response("no", 403)

    peer = serve(Refusing()).connect()
    peer.send(UPLOAD[:-1], UPLOAD[-1:] + GET)
    assert peer.statuses == [403]
    assert peer.state() == "lingering"


def test_a_body_is_invited_when_it_is_to_be_taken_and_the_handler_is_called_when_it_comes(serve: Serve) -> None:
    taker, net, peer = uploading(serve, ASKING_UPLOAD[:-10])
    assert (peer.got, taker.requests) == (CONTINUE, [])
    peer.send(ASKING_UPLOAD[-10:])
    assert taker.take() == b"0123456789"
    taker.answer()
    net.settle()
    assert peer.got.startswith(CONTINUE + b"HTTP/1.1 200 ")
    assert peer.state() == "idle"


def test_a_body_is_invited_once_however_often_it_is_stopped(serve: Serve) -> None:
    head = post(bytes(PIPE_SIZE * 3), "Expect: 100-continue", target="/take")[:-PIPE_SIZE * 3]
    taker, net, peer = uploading(serve, head)
    for _ in range(3):
        peer.send(*[bytes(READ_SIZE)] * (PIPE_SIZE // READ_SIZE))
        assert len(taker.take()) == PIPE_SIZE
        net.settle()
    taker.answer()
    net.settle()
    assert peer.got.count(CONTINUE) == 1
    assert peer.state() == "idle"


def test_a_body_that_came_without_its_invitation_is_taken(serve: Serve) -> None:
    taker, net, peer = uploading(serve, ASKING_UPLOAD[:-5], ASKING_UPLOAD[-5:])
    assert taker.take() == b"0123456789"
    taker.answer()
    net.settle()
    assert peer.got.startswith(b"HTTP/1.1 200 ")


def test_a_peer_that_breaks_a_rule_within_a_body_that_is_taken_gets_400_and_the_handler_an_error(
        serve: Serve) -> None:
    taker, _, peer = uploading(serve, CHUNKED_UPLOAD + b"2\r\nab\r\n")
    assert taker.take() == b"ab"
    peer.send(b"nonsense\r\n")
    assert peer.statuses == [400]
    with pytest.raises(HTTPError):
        taker.take()


@pytest.mark.parametrize("leave", [lambda peer: peer.end(), lambda peer: peer.reset()], ids=["ends", "resets"])
def test_a_handler_learns_that_the_peer_has_left_within_the_body(serve: Serve, leave: Callable[[Any], None]) -> None:
    taker = Taker()
    peer = serve(taker).connect()
    peer.send(UPLOAD[:-5])
    leave(peer)
    with pytest.raises(HTTPError):
        take_all(taker)
    assert taker.requests[0].disconnected


def test_a_handler_that_takes_a_body_while_it_comes_is_told_when_its_future_is_cancelled(serve: Serve) -> None:
    taker, net, peer = uploading(serve, UPLOAD[:-5])
    taker.futures[0].cancel()
    net.settle()
    assert peer.statuses == [503]


def test_where_the_body_is_taken_while_it_comes_it_is_not_in_the_request(serve: Serve) -> None:
    taker = Taker()
    net = serve(taker)
    net.connect().send(UPLOAD[:-1], UPLOAD[-1:])
    with pytest.raises(RuntimeError, match="stream"):
        _ = taker.requests[0].body
    taker.answer()
    net.settle()


@pytest.mark.parametrize("request_bytes", [
    post(bytes(11)), get("/", "Transfer-Encoding: chunked") + b"6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n",
], ids=["counted", "chunked"])
def test_a_body_that_is_gathered_has_its_own_limit(serve: Serve, request_bytes: bytes) -> None:
    net = serve(Taker(), limits=Limits(body=1000))
    net.shared.body_limit = 10
    peer = net.connect()
    peer.send(request_bytes)
    assert peer.statuses == [413]


def test_a_body_that_is_too_large_is_not_invited(serve: Serve) -> None:
    net = serve(limits=Limits(body=1000))
    net.shared.body_limit = 10
    peer = net.connect()
    peer.send(post(bytes(11), "Expect: 100-continue")[:-11])
    assert peer.statuses == [413]


@pytest.mark.parametrize("kind", ["at once", "in a future", "not at all", "wrongly"])
def test_whoever_still_waits_for_a_body_that_was_answered_at_once_is_told(serve: Serve, kind: str) -> None:
    class Hasty(Taker):
        def __call__(self, request: Request) -> Any:
            future: Any = super().__call__(request)
            future.set_result(Response("now"))
            if kind == "not at all":
                raise ValueError("on purpose")
            return {"at once": Response("now"), "in a future": future, "wrongly": "text"}[kind]

    taker = Hasty()
    peer = serve(taker).connect()
    peer.send(UPLOAD[:-9])
    taker.take()
    assert peer.statuses == [500 if kind in ("not at all", "wrongly") else 200]
    with pytest.raises(HTTPError):
        taker.take()


def test_whoever_waits_for_a_body_is_told_when_the_host_is_interrupted(serve: Serve) -> None:
    class Interrupted(Taker):
        def __call__(self, request: Request) -> Any:
            super().__call__(request)
            raise KeyboardInterrupt

    taker = Interrupted()
    net = serve(taker)
    peer = net.connect()
    with pytest.raises(KeyboardInterrupt):
        peer.send(UPLOAD[:-9])
    taker.take()
    with pytest.raises(HTTPError):
        taker.take()
    assert peer.state() == "closed"


def test_an_application_that_cannot_say_whether_it_takes_a_body_has_failed(
        serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Unsure(Taker):
        def prepare(self, request: Request) -> Preparation:
            raise ValueError("on purpose")

    peer = serve(Unsure()).connect()
    peer.send(UPLOAD[:-5], UPLOAD[-5:] + GET)
    assert peer.statuses == [500]
    assert peer.state() == "lingering"
    assert "on purpose" in caplog.text


def test_a_refusal_that_comes_later_is_awaited_without_inviting_or_reading_the_body(serve: Serve) -> None:
    refusal: Future[Response] = Future()
    application = Guarded(lambda request: refusal)
    net = serve(application, timeouts=Timeouts(handler=60))
    peer = net.connect()
    peer.send(post(bytes(1 << 20), "Expect: 100-continue")[:-(1 << 20)])
    net.advance(59)
    assert (peer.got, peer.state()) == (b"", "handling")
    peer.send(*[bytes(READ_SIZE)] * ((1 << 20) // READ_SIZE))
    assert peer.connection.received < READ_AHEAD + 2 * READ_SIZE
    refusal.set_result(Response("no", 403))
    net.settle()
    assert (peer.statuses, application.calls, peer.connection.requests) == ([403], 0, 1)
    assert peer.state() == "lingering"


@pytest.mark.parametrize("target", ["/take", "/"])
def test_a_large_piece_of_a_body_buys_no_long_silence(serve: Serve, target: str) -> None:
    net = serve(Taker(), timeouts=Timeouts(body=10, body_rate=1, stream_rate=1))
    peer = net.connect()
    peer.send(post(bytes(2000), target=target)[:-1])
    net.advance(9)
    assert peer.state() == "reading-body"
    net.advance(2)
    assert peer.statuses == [408]
