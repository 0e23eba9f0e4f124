"""Server-sent events: from any thread, in silence, through middleware, and who leaves when."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE
from evloop_http import App, Request, Response, Server
from evloop_http.app.events import HEARTBEAT, EventStream, encode_event
from evloop_http.app.middleware import CallNext
from evloop_http.messages import PIPE_SIZE, FileBody, Pipe, TooSlow
from evloop_http.server.states import Timeouts
from fakes import GET, FakeNet, Peer, get


class Radio:
    """An application that keeps every stream it opens."""

    def __init__(self, **options: float) -> None:
        self.streams: list[EventStream] = []
        self.closed = 0
        self._options = options

    def __call__(self, request: Request) -> Response:
        self.streams.append(EventStream(on_close=self._on_close, **self._options))  # type: ignore[arg-type]
        return self.streams[-1].response()

    def _on_close(self) -> None:
        self.closed += 1


@pytest.fixture
def radio() -> Radio:
    return Radio()


@pytest.fixture
def net(radio: Radio) -> Iterator[FakeNet]:
    net = FakeNet(radio, timeouts=Timeouts(write=30))
    yield net
    net.close()


def tuned(net: FakeNet) -> Peer:
    peer = net.connect()
    peer.send(GET)
    return peer


def body_of(peer: Peer) -> bytes:
    """What came behind the head, the chunks undone as far as they came."""
    coded, data = peer.got.partition(b"\r\n\r\n")[2], b""
    while coded:
        size, _, coded = coded.partition(b"\r\n")
        data, coded = data + coded[:int(size, 16)], coded[int(size, 16) + 2:]
    return data


def test_the_head_goes_out_before_there_is_an_event(net: FakeNet) -> None:
    head = tuned(net).got
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/event-stream\r\n" in head
    assert b"Cache-Control: no-store\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_events_go_out_as_they_are_sent(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    assert radio.streams[0].send("one")
    net.settle()
    assert body_of(peer) == b"data: one\n\n"
    assert radio.streams[0].send("two\nlines", event="news", id="7", retry=100)
    net.settle()
    assert body_of(peer) == b"data: one\n\nevent: news\nid: 7\nretry: 100\ndata: two\ndata: lines\n\n"
    assert peer.state() == "writing"


def test_what_was_sent_before_the_answer_began_goes_out_first() -> None:
    def application(request: Request) -> Response:
        stream = EventStream()
        stream.send("early")
        stream.end()
        return stream.response()
    net = FakeNet(application)
    peer = net.connect()
    peer.send(GET)
    [answer] = peer.answers()
    assert answer.body == b"data: early\n\n"
    assert peer.state() == "idle"
    net.close()


def test_a_stream_that_ends_leaves_the_connection_to_the_next_request(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    radio.streams[0].send("last")
    radio.streams[0].end()
    net.settle()
    assert peer.state() == "idle"
    assert radio.closed == 1
    assert not radio.streams[0].send("nobody hears it")
    peer.send(GET)
    assert len(radio.streams) == 2


def test_a_request_that_comes_while_events_do_waits_for_its_turn(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    peer.send(get("/second"))
    assert len(radio.streams) == 1
    radio.streams[0].end()
    net.settle()
    assert len(radio.streams) == 2


def test_silence_is_broken_by_a_heartbeat(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    for count in range(1, 5):
        net.advance(15)
        assert body_of(peer) == HEARTBEAT * count
    assert peer.state() == "writing"
    net.advance(14)
    radio.streams[0].send("x")
    net.settle()
    net.advance(14)
    assert body_of(peer) == HEARTBEAT * 4 + b"data: x\n\n"


def test_the_heartbeat_is_never_rarer_than_the_deadline_for_writing() -> None:
    net = FakeNet(Radio(heartbeat=500), timeouts=Timeouts(write=30))
    peer = tuned(net)
    net.advance(30)
    assert body_of(peer) == HEARTBEAT
    net.close()


def test_a_peer_that_closes_is_noticed_at_once(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    peer.end()
    assert peer.state() == "closed"
    assert radio.closed == 1
    assert radio.streams[0].closed
    assert not radio.streams[0].send("nobody hears it")


def test_a_peer_that_resets_is_noticed_at_once(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    peer.reset()
    assert peer.state() == "closed"
    assert radio.closed == 1


def test_a_peer_that_takes_nothing_is_cut_off_by_the_deadline(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    peer.sock.room = 3
    radio.streams[0].send("more than three bytes")
    net.settle()
    assert peer.state() == "writing"
    net.advance(30)
    assert peer.state() == "closed"
    assert peer.sock.aborted
    assert radio.closed == 1


def test_a_peer_that_reads_too_slowly_is_cut_off_and_nobody_is_alarmed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    radio = Radio(size=10_000)
    net = FakeNet(radio)
    peer = tuned(net)
    peer.sock.room = 0
    stream = radio.streams[0]
    sent = 0
    while stream.send("x" * 1000):
        net.settle()
        sent += 1
        assert sent < 1000
    net.settle()
    peer.take()
    assert peer.state() == "closed"
    assert radio.closed == 1
    assert [record.levelname for record in caplog.records if "more slowly" in record.getMessage()] == ["DEBUG"]
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    net.close()


def test_a_listener_that_reads_nothing_holds_a_bounded_number_of_bytes() -> None:
    stream = EventStream()
    sent = 0
    while stream.send("x" * 100_000):
        sent += 1
        assert sent < 10
    assert stream.written < PIPE_SIZE + 100_010
    assert not stream.send("x")
    kept = stream.read()
    assert len(kept) == stream.written
    with pytest.raises(TooSlow, match="more slowly"):
        stream.read()
    small = EventStream(size=10)
    assert [small.send("x" * 10), small.send("y")] == [True, False]


def test_what_is_sent_to_a_client_that_has_gone_goes_nowhere() -> None:
    closed: list[bool] = []
    stream = EventStream(on_close=lambda: closed.append(True))
    assert stream.send("x")
    stream.close()
    stream.close()
    assert (stream.closed, closed) == (True, [True])
    assert (stream.send("y"), stream.push(b"z"), stream.read()) == (False, False, b"")
    ended = EventStream()
    ended.end()
    assert (ended.ended, ended.push(b"x")) == (True, False)


def test_a_stopping_server_ends_the_streams(net: FakeNet, radio: Radio) -> None:
    peer = tuned(net)
    net.shared.draining = True
    for connection in list(net.shared.connections):
        connection.drain()
    net.settle()
    assert peer.got.endswith(b"0\r\n\r\n")
    assert radio.closed == 1


def test_nobody_listens_to_the_body_of_a_head(net: FakeNet, radio: Radio) -> None:
    peer = net.connect()
    peer.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.got.endswith(b"\r\n\r\n")
    assert peer.state() == "idle"
    assert radio.closed == 1


def test_an_old_client_gets_the_events_until_the_connection_ends(net: FakeNet, radio: Radio) -> None:
    peer = net.connect()
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    radio.streams[0].send("x")
    radio.streams[0].end()
    net.settle()
    assert peer.got.partition(b"\r\n\r\n")[2] == b"data: x\n\n"
    assert peer.sock.half_closed


def test_events_from_another_thread_reach_a_foreign_client() -> None:
    app = App()
    opened: list[EventStream] = []
    closed = threading.Event()

    @app.get("/events")
    def events(request: Request) -> Response:
        opened.append(EventStream(on_close=closed.set))
        return opened[0].response({"X-Last": request.headers.get("last-event-id", "")})

    with Server(app).in_thread() as server:
        client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
        client.request("GET", "/events", headers={"Last-Event-ID": "6"})
        answer = client.getresponse()
        assert answer.headers["X-Last"] == "6"
        for number in range(100):
            assert opened[0].send(f"event {number}")
            assert [answer.readline(), answer.readline()] == [b"data: event %d\n" % number, b"\n"]
        client.close()
        answer.close()
        assert closed.wait(PATIENCE)


@given(st.text(), st.text(st.characters(exclude_characters="\r\n\0")), st.none() | st.text(
    st.characters(exclude_characters="\r\n\0")))
def test_no_data_can_be_another_field_or_another_event(data: str, event: str, id: str | None) -> None:
    raw = encode_event(data, event=event, id=id).decode()
    assert raw.endswith("\n\n")
    lines = raw[:-2].split("\n")
    assert "\r" not in raw
    assert all(line.startswith(("data: ", "event: ", "id: ")) for line in lines)
    told = "\n".join(line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    assert told == data.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_types_and_ids_have_no_line_end(text: str) -> None:
    stream = EventStream()
    with pytest.raises(ValueError, match="line end"):
        stream.send("x", event=text)
    with pytest.raises(ValueError, match="line end"):
        stream.send("x", id=text)
    assert stream.read() == b""


# Middleware around them

def shouting(request: Request, call_next: CallNext) -> Response:
    response = call_next(request)
    response.transform(bytes.upper)
    return response


def quoting(request: Request, call_next: CallNext) -> Response:
    response = call_next(request)
    old = response.body
    assert not isinstance(old, bytes | FileBody)
    response.body = (b"> " + piece for piece in old)
    return response


@pytest.fixture
def app() -> App:
    app = App()

    @app.get("/events")
    def events(request: Request) -> Response:
        stream = EventStream()
        stream.send("early")
        app.streams.append(stream)  # type: ignore[attr-defined]
        return stream.response()

    app.get("/pieces")(lambda request: Response(iter([b"one", b"two"])))
    app.streams = []  # type: ignore[attr-defined]
    return app


def test_middleware_transforms_a_stream_of_events_and_its_heartbeat(app: App) -> None:
    app.middleware(shouting)
    net = FakeNet(app)
    peer = net.connect()
    peer.send(get("/events"))
    assert body_of(peer) == b"DATA: EARLY\n\n"
    app.streams[0].send("late")  # type: ignore[attr-defined]
    net.settle()
    net.advance(15)
    app.streams[0].end()  # type: ignore[attr-defined]
    net.settle()
    assert peer.answers()[0].body == b"DATA: EARLY\n\nDATA: LATE\n\n:\n\n"
    assert peer.state() == "idle"
    net.close()


def test_a_generator_over_the_old_body_works_for_an_iterator(app: App) -> None:
    app.middleware(quoting)
    net = FakeNet(app)
    peer = net.connect()
    peer.send(get("/pieces"))
    assert peer.answers()[0].body == b"> one> two"
    net.close()


def test_a_generator_over_a_stream_of_events_is_an_error_that_says_what_to_do(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.middleware(quoting)
    net = FakeNet(app)
    peer = net.connect()
    peer.send(get("/events"))
    assert body_of(peer) == b"> data: early\n\n"
    assert peer.state() == "closed"
    assert "response.transform" in caplog.text
    net.close()


def test_a_body_that_is_written_without_a_heartbeat_is_only_waited_for() -> None:
    body = Pipe()
    net = FakeNet(lambda request: Response(body))
    peer = net.connect()
    peer.send(GET)
    net.advance(10)
    assert body_of(peer) == b""
    body.write(b"at last")
    body.end()
    net.settle()
    assert peer.answers()[0].body == b"at last"
    net.close()
