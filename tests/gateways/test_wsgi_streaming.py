"""WSGI over sockets, in both directions at the pace of the client: whoever waits, waits for no one else's sake."""

from __future__ import annotations

import contextlib
import gc
import http.client
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from asking import PATIENCE
from evloop_http import Server
from evloop_http.gateways.wsgi import WSGI
from wsgi_world import PLAIN, Application, Environ, Start, answering, iterate, validated

MEGABYTE = bytes(1024 * 1024)


@contextmanager
def serving(application: Application, threads: int = 2, **options: Any) -> Iterator[tuple[str, int]]:
    """The address of an application that the validator watches."""
    with Server(validated(application, threads, **options)).in_thread() as server:
        yield server.addresses[0]  # type: ignore[misc]


def connect(address: tuple[str, int]) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection(*address, timeout=PATIENCE))


def ask(address: tuple[str, int], target: str, method: str = "GET", **options: Any) -> bytes:
    with connect(address) as client:
        client.request(method, target, **options)
        return client.getresponse().read()


@contextmanager
def unread(address: tuple[str, int], target: str) -> Iterator[socket.socket]:
    """A client that asks and reads nothing."""
    with socket.create_connection(address, PATIENCE) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        yield client


class Endless:
    """An application with a stream that has no end, `/stream`, and a page; it counts the streams that are closed."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [PLAIN])
        return self.stream() if environ["PATH_INFO"] == "/stream" else [b"page"]

    def stream(self) -> Iterator[bytes]:
        self.begun.release()
        try:
            while True:
                yield MEGABYTE
        finally:
            self.closed.release()


def test_a_client_that_reads_nothing_holds_up_no_other() -> None:
    application = Endless()
    with serving(application) as address:
        with unread(address, "/stream"), unread(address, "/stream"), unread(address, "/stream"):
            for _ in range(3):
                assert application.begun.acquire(timeout=PATIENCE)
            assert ask(address, "/page") == b"page"
        for _ in range(3):  # they have left: their generators are closed, though nobody asks them for more
            assert application.closed.acquire(timeout=PATIENCE)
        assert ask(address, "/page") == b"page"


def test_an_application_for_one_thread_is_never_called_in_two_at_a_time() -> None:
    application = Endless()
    with serving(application, 1) as address:
        with unread(address, "/stream"):
            assert application.begun.acquire(timeout=PATIENCE)
            with unread(address, "/page") as other:
                other.settimeout(0.2)
                with pytest.raises(TimeoutError):  # it waits for the other client
                    other.recv(1)
        assert application.closed.acquire(timeout=PATIENCE)
        assert ask(address, "/page") == b"page"


@pytest.mark.parametrize("threads", [2, 0])
def test_a_block_is_on_its_way_before_the_next_is_asked_for(threads: int) -> None:
    seen = threading.Event()

    def blocks() -> Iterator[bytes]:
        yield b"first"
        if threads:
            assert seen.wait(PATIENCE)
        yield b"second"

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])
        return blocks()
    with serving(application, threads) as address, connect(address) as client:
        client.request("GET", "/")
        reply = client.getresponse()
        assert reply.read(5) == b"first"
        seen.set()
        assert reply.read() == b"second"


@pytest.mark.parametrize("threads", [2, 0])
@pytest.mark.parametrize(("headers", "logged"), [([("Content-Length", "9")], "4 bytes shorter"), ([], "a defect")])
def test_a_body_that_fails_behind_its_head_is_broken_off(headers: list[tuple[str, str]], logged: str, threads: int,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"so"
        yield b"far"
        if not headers:
            raise LookupError("a defect")

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN, *headers])
        return blocks()
    with serving(application, threads) as address, connect(address) as client:
        client.request("GET", "/broken")
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            client.getresponse().read()
        assert ask(address, "/again", "HEAD") == b""
    assert "GET /broken HTTP/1.1" in caplog.text
    assert logged in caplog.text


def test_an_error_behind_the_head_is_the_one_of_exc_info(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])
        yield b"begun"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Failed", [PLAIN], sys.exc_info())
        yield b"never"
    with Server(WSGI(application)).in_thread() as server, connect(server.addresses[0]) as client:  # type: ignore[arg-type]
        client.request("GET", "/")
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            client.getresponse().read()
    assert "LookupError: too late" in caplog.text


def test_to_http_1_0_a_body_without_a_length_ends_with_the_connection() -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])
        return iterate([b"one", b"two"])
    with serving(application) as address, socket.create_connection(address, PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in answer


# -- write()


@contextmanager
def writing(act: Callable[[Callable[[bytes], object]], list[bytes]], headers: list[tuple[str, str]],
            threads: int = 2) -> Iterator[tuple[str, int]]:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [PLAIN, *headers])
        return act(write)
    with serving(application, threads) as address:
        yield address


@pytest.mark.parametrize("threads", [2, 1, 0])
@pytest.mark.parametrize("headers", [[], [("Content-Length", "11")]])
def test_what_is_written_comes_before_what_is_returned(headers: list[tuple[str, str]], threads: int) -> None:
    def act(write: Callable[[bytes], object]) -> list[bytes]:
        write(b"")
        write(b"one ")
        write(b"two ")
        return [b"end"]
    with writing(act, headers, threads) as address:
        assert [ask(address, "/") for _ in range(3)] == [b"one two end"] * 3
        assert ask(address, "/", "HEAD") == b""


def test_what_is_written_is_sent_while_the_application_is_at_work() -> None:
    seen = threading.Event()

    def act(write: Callable[[bytes], object]) -> list[bytes]:
        write(b"first")
        assert seen.wait(PATIENCE)
        write(b"second")
        return []
    with writing(act, []) as address, connect(address) as client:
        client.request("GET", "/")
        reply = client.getresponse()
        assert reply.read(5) == b"first"
        seen.set()
        assert reply.read() == b"second"


def test_an_application_that_writes_meets_the_end_of_its_client_and_holds_up_no_other() -> None:
    met = threading.Semaphore(0)
    begun = threading.Semaphore(0)

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [PLAIN])
        if environ["PATH_INFO"] != "/stream":
            return [b"page"]
        begun.release()
        try:
            while True:
                write(MEGABYTE)
        except BrokenPipeError:
            met.release()
            raise
    with serving(application) as address:
        with unread(address, "/stream"), unread(address, "/stream"):
            assert begun.acquire(timeout=PATIENCE)
            assert begun.acquire(timeout=PATIENCE)
            assert ask(address, "/page") == b"page"
        assert met.acquire(timeout=PATIENCE)
        assert met.acquire(timeout=PATIENCE)
        assert ask(address, "/page") == b"page"


@pytest.mark.parametrize(("headers", "fails", "logged"), [
    ([], True, "ZeroDivisionError"), ([("Content-Length", "9")], False, "5 bytes shorter")])
def test_what_was_written_is_broken_off_by_an_error(headers: list[tuple[str, str]], fails: bool, logged: str,
                                                    caplog: pytest.LogCaptureFixture) -> None:
    def act(write: Callable[[bytes], object]) -> list[bytes]:
        write(b"this")
        return [b"" if not fails else b"%d" % (1 // 0)]
    with writing(act, headers) as address:
        for _ in range(3):  # more often than there are threads
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                ask(address, "/written")
    assert "GET /written HTTP/1.1" in caplog.text
    assert logged in caplog.text


def test_more_than_was_announced_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    def act(write: Callable[[bytes], object]) -> list[bytes]:
        write(b"12345")
        return [b"678"]
    with writing(act, [("Content-Length", "3")]) as address:
        assert ask(address, "/") == b"123"
    assert "longer than its Content-Length" in caplog.text


def test_an_iterable_does_not_write(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])(b"x")
        yield b"y"
    with Server(WSGI(application)).in_thread() as server:
        assert b"500" in ask(server.addresses[0], "/")  # type: ignore[arg-type]
    assert "its iterable yields blocks" in caplog.text


# -- uploads


def count(environ: Environ, start_response: Start) -> list[bytes]:
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", [PLAIN])
    return [str(len(body)).encode()]


@pytest.mark.parametrize("threads", [2, 1, 0])
@pytest.mark.parametrize("size", [0, 5, 300_000, 2_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_any_size_and_coding_is_read_to_its_end(size: int, chunked: bool, threads: int) -> None:
    with serving(count, threads) as address, connect(address) as client:
        for _ in range(2):
            body: Any = iter([bytes(size - size // 2), bytes(size // 2)]) if chunked else bytes(size)
            client.request("POST", "/", body, encode_chunked=chunked)
            assert client.getresponse().read() == b"%d" % size


def test_a_large_body_is_read_while_it_arrives() -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        first.append(environ["wsgi.input"].readline())
        read.set()
        rest = environ["wsgi.input"].read(-1)
        start_response("200 OK", [PLAIN])
        return [str(len(rest)).encode()]
    first: list[bytes] = []
    read = threading.Event()
    with serving(application) as address, socket.create_connection(address, PATIENCE) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000005\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(b"line\n")
        assert read.wait(PATIENCE)  # and no more has been sent
        client.sendall(bytes(1_000_000))
        reply = http.client.HTTPResponse(client)
        reply.begin()
        assert reply.read() == b"1000000"
    assert first == [b"line\n"]


def test_a_client_that_leaves_in_the_middle_of_its_body_is_an_error_to_the_application() -> None:
    met: list[BaseException] = []
    begun, done = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        begun.set()
        try:
            environ["wsgi.input"].read(-1)
        except OSError as error:
            met.append(error)
            raise
        finally:
            done.set()
        return []
    with serving(application) as address:
        with socket.create_connection(address, PATIENCE) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome")
            assert begun.wait(PATIENCE)
        assert done.wait(PATIENCE)
    assert str(met[0]) == "400 The body did not arrive whole."


def test_slow_uploads_take_no_thread_of_the_others() -> None:
    with serving(count) as address:
        uploads = [socket.create_connection(address, PATIENCE) for _ in range(4)]
        for upload in uploads:
            upload.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome")
        assert ask(address, "/") == b"0"
        for upload in uploads:  # none of them had to be given up for that
            upload.setblocking(False)
            with pytest.raises(BlockingIOError):
                upload.recv(1)
            upload.close()


def test_an_application_can_ask_whether_its_client_has_left() -> None:
    begun, asked = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [PLAIN])
        if environ["PATH_INFO"] == "/":
            assert environ["evloop_http.disconnected"]() is False
            begun.set()
            while not environ["evloop_http.disconnected"]():
                pass
            asked.set()
        return [b"ok"]
    with serving(application) as address:
        with unread(address, "/"):
            assert begun.wait(PATIENCE)
        assert asked.wait(PATIENCE)


def test_a_server_that_stops_leaves_no_thread() -> None:
    with Server(WSGI(answering(b"ok"), 3)).in_thread() as server:
        assert ask(server.addresses[0], "/") == b"ok"  # type: ignore[arg-type]
        assert [thread for thread in threading.enumerate() if thread.name.startswith("evloop_http.worker")]
    for thread in threading.enumerate():
        if thread.name.startswith("evloop_http.worker"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("threads", [2, 0])
@pytest.mark.parametrize("kind", ["list", "generator", "write", "mistake", "error behind the head", "upload", "left"])
def test_no_request_leaves_work_for_the_garbage_collector(kind: str, threads: int) -> None:
    closed = threading.Semaphore(0)

    class Marked(dict):  # type: ignore[type-arg]
        """What an environ holds, and so whatever holds an environ."""

    def blocks(environ: Environ) -> Iterator[bytes]:
        try:
            yield b"one"
            if kind == "error behind the head":
                raise LookupError
            for _ in range(40 if kind == "left" else 1):
                yield MEGABYTE[:100_000]
        finally:
            closed.release()

    def application(environ: Environ, start_response: Start) -> Any:
        environ["test.mark"] = Marked()
        if kind == "mistake":
            return [b"x"]
        write = start_response("200 OK", [PLAIN])
        if kind == "write":
            write(b"written")
        if kind == "upload":
            return [b"%d" % len(environ["wsgi.input"].read())]
        return [b"x"] if kind in ("list", "write") else blocks(environ)
    with Server(WSGI(application, threads)).in_thread() as server:
        gc.collect()
        gc.disable()
        logging.disable()  # pytest keeps what is logged, and with it errors and their frames
        try:
            for _ in range(3):
                address: Any = server.addresses[0]
                if kind == "left":
                    with unread(address, "/"):
                        pass
                else:
                    with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                        ask(address, "/", "POST", body=bytes(300_000) if kind == "upload" else b"x")
                if kind in ("generator", "error behind the head"):
                    assert closed.acquire(timeout=PATIENCE)
            with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                ask(address, "/")  # whoever was still at the end of the others is through
        finally:
            gc.enable()
            logging.disable(logging.NOTSET)
    for thread in threading.enumerate():
        if thread.name.startswith("evloop_http."):
            thread.join(PATIENCE)
    assert [one for one in gc.get_objects() if type(one) is Marked] == []
