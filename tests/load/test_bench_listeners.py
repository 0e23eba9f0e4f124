"""The bench's clients of WebSockets and of server-sent events: what they send, what they accept, what they measure."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import checking, idle, listening, measuring, report, running, talking
from bench.figures import Figure, Series
from bench.peers import BY_NAME as PEERS
from bench.report import Results
from bench.running import Trouble
from bench.workloads import BY_NAME
from evloop_http import App, EventStream, Request, Response, Server

Serve = Callable[..., Server]
ECHO, LISTEN = BY_NAME["ws-echo-32"], BY_NAME["sse-10k"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for a while is asked for a moment."""
    for module in (checking, talking):
        monkeypatch.setattr(module, "WARM_UP", 0.0)
    monkeypatch.setattr(listening, "PAUSE", 0.0)


def port_of(server: Server) -> int:
    port = urlsplit(server.url).port
    assert port
    return port


# -- WebSockets


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_a_frame_is_one_that_a_library_reads(payload: bytes, mask: bytes) -> None:
    websockets = pytest.importorskip("websockets", reason="the extra 'websocket' is not installed")
    from websockets.protocol import SERVER, Protocol
    protocol = Protocol(SERVER, max_size=None, state=websockets.protocol.State.OPEN)
    protocol.receive_data(talking.frame(0x82, payload, mask))
    received: list[Any] = protocol.events_received()
    assert [(one.opcode, one.data) for one in received] == [(2, payload)]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_what_is_masked_twice_is_what_it_was(payload: bytes, mask: bytes) -> None:
    assert talking.masked(talking.masked(payload, mask), mask) == payload


def test_messages_have_the_size_that_the_workload_says() -> None:
    assert [len(talking.text_of(workload.size)) for workload in (ECHO, BY_NAME["ws-echo-16k"])] == [32, 16 * 1024]


@pytest.fixture(params=["callbacks", "coroutine"])
def echoing(request: pytest.FixtureRequest, serve: Serve) -> int:
    pytest.importorskip("websockets", reason="the extra 'websocket' is not installed")
    from bench.apps import ours, ours_async
    return port_of(serve(ours.callbacks if request.param == "callbacks" else ours_async.app))


@pytest.mark.parametrize("name", ["ws-echo-32", "ws-echo-16k"])
def test_our_echoes_pass_and_are_counted(echoing: int, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    workload = BY_NAME[name]
    talking.check(workload, echoing, Path())
    said: Any = talking.talk(echoing, "/ws", workload.size, 0.1, 3)
    assert said["errors"] == {}
    assert said["messages"] >= 3
    assert set(said["latency"]) >= {"50", "99"}
    assert capsys.readouterr().out == "ready\n"


def test_a_server_that_sends_something_else_back_has_no_figure(serve: Serve) -> None:
    pytest.importorskip("websockets", reason="the extra 'websocket' is not installed")
    app = App()
    app.websocket("/ws", on_message=lambda ws, message: ws.send(message.upper()))
    port = port_of(serve(app))
    with pytest.raises(Trouble, match="is no echo"):
        talking.check(ECHO, port, Path())
    assert talking.talk(port, "/ws", 32, 1, 2)["errors"] == {"message": 2}


def test_neither_has_one_without_websockets(serve: Serve) -> None:
    with pytest.raises(Trouble, match="to the handshake of a WebSocket"):
        talking.check(ECHO, port_of(serve(lambda request: Response(status=404))), Path())
    with pytest.raises(Trouble, match="ConnectionRefusedError"):
        talking.check(ECHO, running.free_port(), Path())


# -- Listeners


@pytest.fixture
def telling(serve: Serve) -> int:
    from bench.apps import ours
    return port_of(serve(ours.app))


def test_listeners_are_told_and_what_they_cost_is_measured(telling: int) -> None:
    listening.check(LISTEN, telling, Path())
    told = iter([1000.0, 1500.0])
    used = iter([1.0, 1.3])
    heard = listening.listen(telling, 10, 0.0, lambda: next(told), lambda: next(used))
    assert len(heard.times) == listening.LEAST
    assert (heard.resident, round(heard.used), heard.lost) == (50.0, 100, 0)
    assert listening.middle(heard) == sorted(heard.times)[1]


def test_events_that_are_cut_anywhere_are_heard() -> None:
    crowd = object.__new__(listening.Crowd)

    class Cut:
        def __init__(self, *pieces: bytes) -> None:
            self.pieces = iter(pieces)

        def recv(self, most: int) -> bytes:
            return next(self.pieces)

    mark = b"data: event 7 for everybody"
    for at in range(1, len(mark)):
        crowd._clients = {1: Cut(b"1f\r\n" + mark[:at], mark[at:] + b"\n\n\r\n")}  # type: ignore[dict-item]
        crowd._tails = {}
        assert [crowd._has(1, mark), crowd._has(1, mark)] == [False, True]


def test_one_who_is_not_told_is_waited_for_only_so_long(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEARING", 0.1)
    app = App()
    streams: list[EventStream] = []

    @app.get("/events")
    def events(request: Request) -> Response:
        streams.append(EventStream())
        return streams[-1].response()

    app.get("/tell/{number}")(lambda request, number: "told")
    port = port_of(serve(app))
    with pytest.raises(Trouble, match="hears b''"):
        listening.check(LISTEN, port, Path())
    with pytest.raises(Trouble, match="110 listeners have not heard an event"):
        listening.listen(port, 10, 0.0, lambda: 0.0, lambda: 0.0)


@pytest.mark.parametrize(("response", "words"), [
    (Response(b"x", content_type="text/event-stream"), "to a listener"), (Response(status=404), "to a listener")])
def test_what_is_no_stream_of_events_has_no_figure(serve: Serve, response: Response, words: str) -> None:
    with pytest.raises(Trouble, match=words):
        listening.check(LISTEN, port_of(serve(lambda request: response)), Path())


def test_the_chunks_of_a_stream_are_put_together_without_its_heartbeats() -> None:
    assert listening.unchunked(b"2\r\nab\r\n3\r\n:\n\n\r\n1\r\nc\r\n4\r\nde") == b"abc"


def test_more_listeners_than_the_system_allows_have_no_figure() -> None:
    with pytest.raises(Trouble, match=r"needs \d+ open files, and the system allows \d+"):
        listening.listen(1, 10**9, 0.0, lambda: 0.0, lambda: 0.0)


def test_the_limit_of_descriptors_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        assert idle.raise_limit(100) == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- Targets, and what is told


def test_each_kind_of_application_is_named_in_the_command(tmp_path: Path) -> None:
    place = running.Place(tmp_path, 0, 0)

    def words(server: str, workload: str) -> list[str]:
        return running.command_of(PEERS[server], BY_NAME[workload], place, 80)

    assert "bench.apps.asgi:app" in words("ours", "asgi")
    assert "bench.apps.ours:app" in words("ours", "ping")
    assert "bench.apps.ours:app" in words("ours", "sse-10k")
    assert "bench.apps.ours:callbacks" in words("ours-plain", "ws-echo-32")
    assert words("granian", "wsgi")[3:6] == ["bench.apps.wsgi:app", "--interface", "wsgi"]
    assert words("granian", "ping")[3:6] == ["bench.apps.rsgi:app", "--interface", "rsgi"]
    assert "bench.apps.flask_app:app" in words("waitress", "wsgi-flask")


@pytest.mark.parametrize(("server", "workload", "answer"), [
    ("ours", "asgi-starlette", True), ("waitress", "wsgi", True), ("waitress", "asgi", False),
    ("uvicorn", "wsgi", False),
    ("aiohttp", "async", True), ("uvicorn", "async", False), ("websockets", "ws-echo-32", True),
    ("websockets", "ping", False), ("ours-plain", "ping", False), ("ours-plain", "async", True),
    ("bare", "ws-echo-32", False), ("bare", "sse-10k", False), ("bare", "asgi", True)])
def test_a_server_is_measured_only_with_applications_that_it_serves(server: str, workload: str, answer: bool) -> None:
    assert measuring.can(PEERS[server], BY_NAME[workload]) is answer


def made(*figures: Figure, name: str = "ours", workload: str = "asgi") -> Results:
    results = Results({}, "abc", "x", 1, 1, versions={"ours": "1", "uvicorn": "1"})
    results.series = [Series(workload, 100, name, list(figures)),
                      Series(workload, 100, "uvicorn", [Figure(50.0, server=0.5, also={"KiB for each": 4.0})])]
    return results


def test_a_rate_is_also_told_by_the_processor_time_and_compared_by_it() -> None:
    results = made(Figure(100.0, server=0.25))
    ours, uvicorn = report.table(results, "asgi", 100).splitlines()[2:4]
    assert ours.split()[-2:] == ["400", "-"]
    assert uvicorn.split()[-5:] == ["100", "4.00", "(4.00", "-", "4.00)"]
    assert Figure(None, server=0.5).rate is None
    assert Figure(5.0).rate is None


def test_milliseconds_are_no_rate_and_memory_stands_below_them() -> None:
    results = made(Figure(5.0, server=0.5, also={"KiB for each": 2.0}), workload="sse-10k")
    lines = report.table(results, "sse-10k", 100).splitlines()
    assert lines[2].split()[-2:] == ["-", "-"]
    assert lines[3] == "    KiB for each: 2.00 (2.00 - 2.00)"
    assert lines[5] == "    KiB for each: 4.00 (4.00 - 4.00); ours : it 0.50 (0.50 - 0.50)"
