"""Faults of the system: a full disk, a file that shrinks, dead sockets, clocks that jump, no thread, no memory.

Each costs the request that meets it, with an answer where that is possible and a line in the log. The next
request is answered as ever, and no descriptor is left.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import logging
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from evloop_http import App, Observer, Reactor, Request, Response, Server, StaticFiles, Timeouts, tls_context
from evloop_http.messages import Answered, FileBody
from evloop_http.net.certificates import ServerContext
from fakes import GET, Answer, FakeClock, FakeNet, get, hello, post, read_answers

#: Seconds after which a test that waits for the other side has failed.
PATIENCE = 20
MEBIBYTE = 1 << 20
Certificate = tuple[Path, Path]

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def serving(application: Callable[[Request], Any], **options: Any) -> Iterator[http.client.HTTPConnection]:
    """A client of a server in a thread."""
    with Server(application, **options).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
            yield client


def status_of(client: http.client.HTTPConnection, path: str, method: str = "GET", body: bytes | None = None,
              **fields: str) -> int:
    """Ask, and return the status of the whole answer. Connects anew where the server has closed."""
    client.request(method, path, body, fields)
    answer = client.getresponse()
    answer.read()
    return answer.status


def only_answer(data: bytes) -> Answer:
    [answer] = read_answers(data)
    return answer


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of the exceptions that were logged, or what was said where there was none."""
    return [record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else record.getMessage()
            for record in caplog.records if record.levelno >= logging.WARNING]


# -- a full or broken disk


class BadFile(io.FileIO):
    """A file on a disk that accepts nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(os.open(os.devnull, os.O_RDWR), "r+")
        self._number = number

    def write(self, data: Any, /) -> NoReturn:
        raise OSError(self._number, os.strerror(self._number))


@needs_proc
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("stream", [False, True])
def test_a_form_for_which_the_disk_has_no_room_costs_one_request(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, stream: bool) -> None:
    app = App()
    app.post("/", stream=stream)(lambda request: str(request.files["file"].size))
    small, large = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(size)
                    + b"\r\n--b--\r\n" for size in (10, 3 * MEBIBYTE))
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    before = count_descriptors()
    with serving(app) as client:
        assert status_of(client, "/", "POST", small, **kind) == 200
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "TemporaryFile", lambda *args, **options: BadFile(number))
            assert status_of(client, "/", "POST", large, **kind) == 500
        assert errors_in(caplog) == ["OSError"]
        caplog.clear()
        assert status_of(client, "/", "POST", large, **kind) == 200
    assert count_descriptors() == before
    assert errors_in(caplog) == []


# -- a file that shrinks


@needs_proc
@pytest.mark.parametrize("secure", [False, True])
def test_a_file_that_is_cut_while_it_is_sent_ends_its_connection_and_no_other(
        tmp_path: Path, certificate: Certificate, caplog: pytest.LogCaptureFixture, secure: bool) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(64 * MEBIBYTE)

    def application(request: Request) -> Response:
        return Response(FileBody(path.open("rb"), 0, path.stat().st_size))

    before = count_descriptors()
    server = Server(application)
    server.listen(tls=tls_context(*certificate) if secure else None)
    with server.in_thread(), connect(server, certificate[0] if secure else None) as client:
        client.sendall(GET)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        os.truncate(path, 10)
        received = 0
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while data := client.recv(MEBIBYTE):
                received += len(data)
        assert received < 64 * MEBIBYTE
        client.close()
        with connect(server, certificate[0] if secure else None) as another:
            another.sendall(GET)
            answer = http.client.HTTPResponse(another)
            answer.begin()
            assert answer.read() == bytes(10)
    assert count_descriptors() == before
    assert errors_in(caplog) == [f"{path} has shrunk while it was sent; the connection is closed"]


def connect(server: Server, authority: Path | None) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), PATIENCE)
    if authority is None:
        return client
    return ssl.create_default_context(cafile=str(authority)).wrap_socket(client, server_hostname="localhost")


# -- sockets


class ScriptedListener(socket.socket):
    """A listening socket whose `accept` fails as the script says, before it works."""

    script: tuple[int, ...] = ()
    accepted: type[socket.socket] = socket.socket
    asked = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self.script:
            number, self.script = self.script[0], self.script[1:]
            raise OSError(number, os.strerror(number))
        sock, address = super().accept()
        return self.accepted(sock.family, sock.type, sock.proto, sock.detach()), address


@contextlib.contextmanager
def listening(reactor: Reactor, context: ServerContext | None = None) -> Iterator[tuple[Server, ScriptedListener]]:
    """A server that the test turns itself, on a listener that does as the test says."""
    sock = ScriptedListener()
    sock.bind(("127.0.0.1", 0))
    server = Server(hello, reactor=reactor)
    server.listen(sock=sock, tls=context)
    try:
        yield server, sock
    finally:
        server.close()
        reactor.close()


def settle(reactor: Reactor) -> None:
    """Turn until nothing happens."""
    for _ in range(1000):
        if not reactor.poll(0):
            return
    raise AssertionError("the loop spins")


def ask(server: Server, client: socket.socket) -> int:
    """Ask, and return the status."""
    client.sendall(GET)
    settle(server.reactor)
    return only_answer(client.recv(1000)).status


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EHOSTUNREACH, errno.EINTR])
def test_a_connection_that_is_gone_before_it_is_accepted_costs_no_other(
        caplog: pytest.LogCaptureFixture, number: int) -> None:
    with listening(Reactor(FakeClock())) as (server, sock), connect(server, None) as client:
        sock.script = (number, number)
        assert ask(server, client) == 200
    assert errors_in(caplog) == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
def test_when_nothing_can_be_accepted_the_server_pauses_and_says_so_once(
        caplog: pytest.LogCaptureFixture, number: int) -> None:
    clock = FakeClock()
    with listening(Reactor(clock)) as (server, sock), connect(server, None) as client:
        sock.script = (number,) * 3
        client.sendall(GET)
        for tries in (1, 2, 3):
            settle(server.reactor)
            assert sock.asked == tries
            assert server.reactor.next_timeout() == 1
            clock.advance(1)
        settle(server.reactor)
        assert only_answer(client.recv(1000)).status == 200
    assert errors_in(caplog) == [f"cannot accept connections: {os.strerror(number)}; trying again every 1 s"]


def dead(*_: object) -> NoReturn:
    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


class DeadSocket(socket.socket):
    """A socket whose peer has gone already, on a system that then says nothing of it any more."""

    getsockname = getpeername = setsockopt = dead


@needs_proc
@pytest.mark.parametrize("secure", [False, True])
def test_a_socket_that_is_dead_when_it_is_accepted_is_closed_and_costs_no_other(
        certificate: Certificate, caplog: pytest.LogCaptureFixture, secure: bool) -> None:
    context = tls_context(*certificate) if secure else None
    with listening(Reactor(), context) as (server, sock):
        before = count_descriptors()
        sock.accepted = DeadSocket
        with connect(server, None) as client:
            settle(server.reactor)
            assert client.recv(1000) == b""
        assert server.connections == 0
        assert count_descriptors() == before
        sock.accepted = socket.socket
        with connect(server, None):
            settle(server.reactor)
            assert server.connections == 1
    assert errors_in(caplog) == []


@pytest.mark.parametrize("name", ["getsockname", "getpeername"])
def test_a_socket_that_cannot_say_its_addresses_is_served_or_closed(name: str) -> None:
    with listening(Reactor()) as (server, sock):
        sock.accepted = type("HalfDead", (socket.socket,), {name: dead})
        with connect(server, None) as client:
            client.sendall(GET)
            settle(server.reactor)
            data = client.recv(1000)
            assert not data or only_answer(data).status == 200


def test_a_socket_that_is_dead_cannot_be_listened_on_and_is_closed() -> None:
    with contextlib.closing(Server(hello)) as server:
        sock = DeadSocket()
        with pytest.raises(OSError, match="not connected"):
            server.listen(sock=sock)
        assert sock.fileno() == -1
        assert server.addresses == []


# -- clocks


@pytest.mark.parametrize("seconds", [86_400, 1e9])
def test_a_clock_that_jumps_ahead_meets_every_deadline_once_and_the_next_client_is_served(seconds: float) -> None:
    net = FakeNet(lambda request: Future() if request.path == "/later" else hello(request),
                  timeouts=Timeouts(handler=5))
    idle, within_head, within_body, handling = (net.connect() for _ in range(4))
    secure = net.connect(secure=True)
    idle.send(GET)
    within_head.send(GET[:10])
    within_body.send(post(b"body")[:-2])
    handling.send(get("/later"))
    net.advance(seconds)
    assert (idle.statuses, within_head.statuses, within_body.statuses) == ([200], [408], [408])
    assert handling.statuses == [503]
    assert {peer.state() for peer in (idle, secure)} == {"closed"}
    net.advance(seconds)
    assert {peer.state() for peer in net.peers} == {"closed"}
    late = net.connect()
    late.send(GET)
    assert late.statuses == [200]
    net.finish()
    net.close()


def test_a_clock_that_jumps_back_only_moves_deadlines_away() -> None:
    net = FakeNet(hello)
    first = net.connect()
    first.send(GET)
    net.advance(-86_400)
    second = net.connect()
    first.send(GET)
    second.send(GET)
    assert (first.statuses, second.statuses) == ([200, 200], [200])
    net.advance(100)
    assert {peer.state() for peer in net.peers} == {"closed"}
    net.close()


@pytest.mark.parametrize("jump", [-1e9, -3600.0, 3600.0, 1e9])
def test_the_date_follows_the_calendar_s_clock_wherever_it_jumps(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    clock, calendar = FakeClock(), FakeClock(1_700_000_000.25)
    monkeypatch.setattr(time, "time", calendar)
    with listening(Reactor(clock)) as (server, _), connect(server, None) as client:
        assert date_of(server, client) == 1_700_000_000
        calendar.advance(jump)
        clock.advance(1)
        settle(server.reactor)
        assert date_of(server, client) == int(1_700_000_000 + jump)


def date_of(server: Server, client: socket.socket) -> float:
    client.sendall(GET)
    settle(server.reactor)
    return parsedate_to_datetime(only_answer(client.recv(1000)).headers["Date"]).timestamp()


def test_a_file_that_changes_after_the_calendar_s_clock_was_set_back_is_sent_anew(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    files = StaticFiles(tmp_path, clock=clock)
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(time, "time", FakeClock(time.time() - 86_400))
    net = FakeNet(files)
    client = net.connect()
    client.send(get("/a.txt"))
    (tmp_path / "a.txt").write_text("new")
    clock.advance(10)
    client.send(get("/a.txt"))
    assert [answer.body for answer in client.answers()] == [b"old", b"new"]
    net.finish()
    net.close()


# -- threads


def refuse_to_start(thread: threading.Thread) -> NoReturn:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("path", ["/threaded", "/stream"])
def test_a_thread_that_cannot_be_started_costs_one_request(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str) -> None:
    app = App()
    app.post("/threaded", threaded=True)(lambda request: "done")
    app.post("/stream", stream=True)(lambda request: b"".join(request.stream()))
    with serving(app) as client:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse_to_start)
            assert status_of(client, path, "POST", b"a") in (500, 503)
        assert errors_in(caplog) == ["RuntimeError"]
        assert status_of(client, path, "POST", b"a") == 200


@needs_proc
def test_a_server_whose_thread_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_descriptors()
    server = Server(hello)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse_to_start)
        with pytest.raises(RuntimeError, match="can't start new thread"), server.in_thread():
            raise AssertionError("it is served")
    assert count_descriptors() == before


# -- memory


def exhaust(request: Request) -> NoReturn:
    raise MemoryError


def exhaust_within(request: Request) -> Response:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise MemoryError
    return Response(pieces())


def exhaust_later(request: Request) -> Future[Response]:
    future: Future[Response] = Future()
    future.set_exception(MemoryError())
    return future


def make_exhausted() -> App:
    """Return an application that has no memory left, wherever one asks."""
    app = App()
    app.get("/handler")(exhaust)
    app.get("/threaded", threaded=True)(exhaust)
    app.get("/future")(exhaust_later)
    app.get("/body")(exhaust_within)
    app.get("/threaded-body", threaded=True)(exhaust_within)
    app.post("/stream", stream=True)(exhaust)
    app.get("/fine")(lambda request: "fine")

    @app.middleware
    def guard(request: Request, call_next: Any) -> Any:
        return exhaust(request) if request.path == "/middleware" else call_next(request)
    return app


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/handler"), ("GET", "/threaded"), ("GET", "/future"), ("GET", "/middleware"), ("POST", "/stream")])
def test_a_handler_without_memory_is_answered_with_500(
        caplog: pytest.LogCaptureFixture, method: str, path: str) -> None:
    with serving(make_exhausted()) as client:
        assert status_of(client, path, method, b"body" if method == "POST" else None) == 500
        assert errors_in(caplog) == ["MemoryError"]
        assert status_of(client, "/fine") == 200


@pytest.mark.parametrize("path", ["/body", "/threaded-body"])
def test_a_body_without_memory_is_cut_off(caplog: pytest.LogCaptureFixture, path: str) -> None:
    with serving(make_exhausted()) as client:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            status_of(client, path)
        client.close()
        assert status_of(client, "/fine") == 200
    assert errors_in(caplog) == ["MemoryError"]


def test_an_application_or_an_observer_without_memory_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Observer):
        def answered(self, answer: Answered) -> None:
            raise MemoryError

    with serving(lambda request: exhaust(request) if request.path == "/" else hello(request),
                 observers=[Forgetful()]) as client:
        assert [status_of(client, path) for path in ("/", "/fine")] == [500, 200]
    assert errors_in(caplog) == ["MemoryError"] * 3
