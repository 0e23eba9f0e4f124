"""The bench, as far as it opens sockets and starts processes: checking, its own clients, a server's life."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench import checking, crowds, handshakes, idle, measuring, open_model, running, sink, workloads
from bench.checking import Answer, read_answer
from bench.peers import BY_NAME as PEERS
from bench.peers import HERE, Peer
from bench.running import Place, Trouble
from bench.workloads import BY_NAME, Workload
from evloop_http import App, FileBody, Request, Response, Server, tls_context

Serve = Callable[..., Server]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for a while is asked for a moment."""
    monkeypatch.setattr(checking, "WARM_UP", 0.0)
    monkeypatch.setattr(open_model, "PATIENCE", 0.1)


def port_of(server: Server) -> int:
    port = urlsplit(server.url).port
    assert port
    return port


@pytest.fixture
def tls_port(certificate: tuple[Path, Path]) -> Iterator[int]:
    server = Server(pong)
    server.listen("127.0.0.1", 0, tls=tls_context(*certificate))
    with server.in_thread():
        port = urlsplit(server.url).port
        assert port
        yield port


def pong(request: Request) -> Response:
    return Response(b"pong" if request.path == "/ping" else request.body, content_type=workloads.TEXT)


# -- Checking


def read(raw: bytes, body: bytes = b"pong") -> Answer:
    return read_answer(io.BytesIO(raw), body)


@pytest.mark.parametrize("name", ["ping", "ping-new", "close", "pipelined"])
def test_a_server_that_answers_as_it_should_passes(serve: Serve, name: str) -> None:
    checking.check(BY_NAME[name], port_of(serve(pong)), Path())


@pytest.mark.parametrize(("response", "what"), [
    (Response(b"ping", content_type=workloads.TEXT), "body is b'ping'"),
    (Response(b"pong", 201, content_type=workloads.TEXT), "status is 201"),
    (Response(b"pong", content_type="text/html"), "type is 'text/html'"),
    (Response(b"pong", content_type=workloads.TEXT, headers={"Connection": "close"}), "keeps is False"),
])
def test_one_that_answers_in_another_way_has_no_figure(serve: Serve, response: Response, what: str) -> None:
    server = serve(lambda request: response)
    with pytest.raises(Trouble, match=what):
        checking.check(BY_NAME["ping"], port_of(server), Path())


def test_one_that_does_not_answer_has_none_either() -> None:
    with pytest.raises(Trouble, match="no answer: ConnectionRefusedError"):
        checking.check(BY_NAME["ping"], running.free_port(), Path())


def test_json_is_compared_by_what_it_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 10\r\n\r\n"
    assert read(head + b'{"a": [1]}', b'{"a":[1]}') == (200, workloads.JSON, b'{"a":[1]}', True)
    assert read(head + b'{"a": [2]}', b'{"a":[1]}').body == b'{"a": [2]}'


@pytest.mark.parametrize("spelling", [
    "text/plain; charset=utf-8", "text/plain;charset=UTF-8", "Text/Plain ; Charset=utf-8"])
def test_the_spelling_of_a_type_does_not_matter(spelling: str) -> None:
    assert checking.normal_type(spelling) == workloads.TEXT


def test_a_body_is_compared_with_the_file_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    for body, same in ((b"12345", True), (b"1234", False), (b"123456", False), (b"12344", False)):
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        assert (read_answer(io.BytesIO(raw), path).body == path) is same


# -- Clients


def test_users_of_the_open_model_are_all_answered(serve: Serve) -> None:
    said = open_model.users(port_of(serve(pong)), rate=500, seconds=0.1, conns=3, tls=False)
    assert (said["requests"], said["errors"]) == (50, {})
    assert set(said["latency"]) == {"50", "75", "90", "95", "99", "99.5", "99.9", "100"}  # type: ignore[call-overload]


def test_so_are_those_over_tls_and_those_whose_connection_is_closed_each_time(
        serve: Serve, tls_port: int) -> None:
    assert open_model.users(tls_port, 500, 0.1, 3, tls=True)["errors"] == {}
    closing = serve(lambda request: Response(b"pong", headers={"Connection": "close"}))
    assert open_model.users(port_of(closing), 100, 0.1, 3, tls=False)["errors"] == {}


def test_a_wrong_status_and_an_answer_that_never_comes_are_errors(serve: Serve) -> None:
    from concurrent.futures import Future
    never: Future[Response] = Future()
    assert open_model.users(port_of(serve(lambda request: Response(status=500))), 100, 0.05, 2, False)["errors"] \
        == {"status": 5}
    said: Any = open_model.users(port_of(serve(lambda request: never)), 100, 0.05, 2, tls=False)
    never.set_result(Response())
    assert said["errors"] == {"unanswered": 5}
    assert len(said["latency"]) == 8  # they count, with the time that they have waited


def test_memory_is_what_each_idle_connection_adds(serve: Serve) -> None:
    told = iter([1000.0, 1500.0])
    assert idle.growth(port_of(serve(pong)), 10, lambda: next(told)) == 50.0


def test_idle_connections_that_are_not_kept_or_not_answered_have_no_figure(serve: Serve) -> None:
    closing = serve(lambda request: Response(b"pong", headers={"Connection": "close"}))
    with pytest.raises(Trouble, match=r"closed \d+ of 10 idle connections"):
        idle.growth(port_of(closing), 10, lambda: 0.0)
    with pytest.raises(Trouble, match="does not answer with 0 idle connections"):
        idle.growth(running.free_port(), 10, lambda: 0.0)
    with pytest.raises(Trouble, match="open files"):
        idle.growth(1, 10**9, lambda: 0.0)


@pytest.mark.parametrize("size", [10, 3000, 3_000_000])
def test_the_sink_takes_whole_bodies(serve: Serve, tmp_path: Path, size: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * size)

    def send(request: Request) -> Response:
        return Response(FileBody(open(path, "rb"), 0, size))

    said: Any = sink.drain(port_of(serve(send)), "/x", 0.2, 2)
    assert said["errors"] == {}
    assert said["requests"] > 0
    assert said["octets"] >= said["requests"] * size * 0.99


def test_the_sink_finds_the_end_of_a_chunked_body(serve: Serve) -> None:
    server = serve(lambda request: Response(iter([b"x" * 100_000, b"0\r\n\r\n" * 100, b"y"])))
    said: Any = sink.drain(port_of(server), "/x", 0.2, 2)
    assert said["errors"] == {}
    assert said["requests"] > 0


def test_the_sink_tells_what_went_wrong(serve: Serve) -> None:
    assert sink.drain(port_of(serve(lambda request: Response(status=404))), "/x", 1, 2)["errors"] == {"status": 2}


def test_handshakes_are_whole_each_time(tls_port: int) -> None:
    assert set(handshakes.visits(tls_port, 0.1, 2)) == {"done"}
    assert set(handshakes.visits(running.free_port(), 0.01, 1)) == {"connect"}


@pytest.mark.parametrize("what", ["slow", "block"])
def test_a_crowd_is_in_the_way_until_it_is_told_to_go(serve: Serve, what: str) -> None:
    app = App()
    app.get("/static/8m.bin")(lambda request: b"x" * 10_000)
    app.get("/block")(lambda request: "done")
    argv = [sys.executable, "-m", crowds.__name__, what, str(port_of(serve(app))), "3"]
    with running.crowd(argv) as others:
        assert others.stdout is not None
        assert others.stdout.readline() == b"ready\n"
        others.terminate()
        assert int(measuring.last_words(others)) >= 0
    assert others.returncode == 0


# -- A server's life


@pytest.fixture
def place(tmp_path: Path, certificate: tuple[Path, Path]) -> Place:
    if not shutil.which("taskset") or not hasattr(os, "sched_getaffinity"):
        pytest.skip("the bench needs Linux and taskset")
    (tmp_path / "files").mkdir()
    for path in certificate:
        shutil.copy(path, tmp_path)
    core = min(os.sched_getaffinity(0))
    return Place(tmp_path, core, core)


def program(code: str) -> Peer:
    """A server that is a line of Python."""
    return Peer("x", "a line of Python", f"{{python}} -c '{code}' {{port}}")


@pytest.mark.parametrize("name", ["ping", "close", "tls", "tls-close", "pipelined", "json"])
def test_the_bare_loop_is_started_answers_as_it_should_and_is_ended(place: Place, name: str) -> None:
    workload = BY_NAME[name]
    with running.running(PEERS["bare"], workload, place) as server:
        checking.check(workload, server.port, place.files)
        assert server.resident() > 0
        assert server.seconds() > 0
        assert "python -m bench.apps.bare" in server.command
        assert str(place.work) not in server.command
    assert server.process.returncode is not None
    assert not list(running.stats(server.process.pid))


def test_ours_is_measured_like_anybody_else(place: Place) -> None:
    figure = measuring.measure(PEERS["ours"], Workload("x", "", kind="open", rate=100), 2, 1, place)
    assert (figure.trouble, figure.errors) == ("", {})
    assert figure.value == figure.latency["99"]
    assert "bench.open_model" in figure.commands[-1]


def test_a_server_that_does_not_start_is_told_with_its_last_words(place: Place) -> None:
    figure = measuring.measure(program('raise SystemExit("no such thing")'), BY_NAME["ping"], 1, 1, place)
    assert (figure.value, figure.trouble) == (None, "did not start: no such thing")


def test_a_server_that_dies_while_it_is_asked_is_told_as_such(place: Place) -> None:
    dies = ("import os, socket, sys; s = socket.create_server((\"127.0.0.1\", int(sys.argv[1]))); s.accept(); "
            "s.accept()[0].recv(1); os.abort()")
    figure = measuring.measure(program(dies), BY_NAME["ping"], 1, 1, place)
    assert figure.trouble == "the server ended by itself (signal SIGABRT)"


def test_workers_end_with_their_server_even_if_it_does_not_listen_to_reason(place: Place,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "STOP", 0.01)
    stubborn = ("import os, signal, socket, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); "
                "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); "
                "s.bind((\"127.0.0.1\", int(sys.argv[1]))); s.listen(); signal.pause()")
    with running.running(program(stubborn), BY_NAME["ping"], place) as server:
        pid = server.process.pid
    assert not [stat for stat in running.stats(pid) if stat[1]]  # a zombie has no pages


def test_the_commands_that_are_shown_name_no_folder_of_the_machine(place: Place) -> None:
    shown = place.shown([sys.executable, str(HERE / "x"), str(place.files)])
    assert shown == "python load/bench/x WORK/files"
