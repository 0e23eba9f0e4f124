"""`wsgi.file_wrapper`: what the kernel sends, what has to be read, and who closes it."""

from __future__ import annotations

import gzip
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asking import PATIENCE, answer, content, make_request
from evloop_http import FileBody, Response, Server
from evloop_http.gateways.wsgi import WSGI
from evloop_http.gateways.wsgi.files import FileWrapper, Lent
from evloop_http.messages import Pipe
from evloop_http.testing import Client
from wsgi_world import BOTH, PLAIN, Environ, Start

DATA = bytes(range(256)) * 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(DATA)
    return tmp_path / "data"


def sending(open_file: Callable[[], Any], length: int | None = None, skip: int = 0) -> Callable[[Environ, Start], Any]:
    """An application that sends a file by the wrapper of its server."""
    def application(environ: Environ, start_response: Start) -> Any:
        file = open_file()
        file.read(skip)
        start_response("200 OK", [PLAIN] if length is None else [PLAIN, ("Content-Length", str(length))])
        return environ["wsgi.file_wrapper"](file, 1000)
    return application


def response_of(gateway: WSGI) -> Response:
    try:
        return answer(gateway, make_request())
    finally:
        gateway.close()


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize(("skip", "length", "sent"), [
    (0, None, DATA), (100, None, DATA[100:]), (100, 50, DATA[100:150]), (len(DATA), None, b""), (0, len(DATA), DATA)])
def test_a_file_is_sent_by_the_kernel_from_its_position_on(path: Path, skip: int, length: int | None, sent: bytes,
                                                           threads: int) -> None:
    opened: list[Any] = []

    def open_file() -> Any:
        opened.append(path.open("rb"))
        return opened[0]
    response = response_of(WSGI(sending(open_file, length, skip), threads))
    assert isinstance(response.body, FileBody)
    assert not opened[0].closed
    assert content(response) == sent
    assert opened[0].closed


@pytest.mark.parametrize("threads", BOTH)
def test_over_a_socket_a_file_arrives_whole(path: Path, threads: int,
                                            serve: Callable[..., Server]) -> None:
    import urllib.request
    server = serve(WSGI(sending(lambda: path.open("rb"), len(DATA)), threads))
    for _ in range(2):
        with urllib.request.urlopen(server.url, timeout=PATIENCE) as reply:
            assert reply.read() == DATA


class Text(io.BytesIO):
    """A file with neither descriptor nor `close` that matters."""


def compressed(path: Path) -> Any:
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(DATA))
    return gzip.open(packed)


def spooled(path: Path) -> Any:
    return tempfile.SpooledTemporaryFile()


def rotated(path: Path) -> Any:
    class Rotated(io.FileIO):
        """A file whose bytes are not those of its descriptor."""

        def read(self, size: int | None = -1, /) -> bytes:
            return bytes(255 - byte for byte in super().read(-1 if size is None else size) or b"")
    return Rotated(path)


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize(("open_file", "sent"), [
    (lambda path: Text(DATA), DATA), (compressed, DATA), (rotated, bytes(255 - byte for byte in DATA)),
    (spooled, b"")])
def test_what_is_no_plain_file_is_read(path: Path, open_file: Callable[[Path], Any], sent: bytes,
                                       threads: int) -> None:
    opened: list[Any] = []

    def keep() -> Any:
        opened.append(open_file(path))
        return opened[0]
    response = response_of(WSGI(sending(keep), threads))
    assert not isinstance(response.body, FileBody)
    assert content(response) == sent
    if isinstance(response.body, Pipe):
        while not opened[0].closed:  # by the worker, behind the last byte
            threading.Event().wait(0.001)
    assert opened[0].closed


def test_a_file_without_a_close_is_wrapped_too() -> None:
    class Bare:
        def read(self, size: int) -> bytes:
            return b""
    wrapper = FileWrapper(Bare())
    assert not hasattr(wrapper, "close")
    assert list(wrapper) == []


@pytest.mark.parametrize("threads", BOTH)
def test_a_close_of_the_application_is_called_in_its_thread_once_the_file_is_sent(path: Path, threads: int,
                                                                                  serve: Callable[..., Server]) -> None:
    closed: list[bool] = []
    done = threading.Event()

    def application(environ: Environ, start_response: Start) -> Any:
        file, here = path.open("rb"), threading.get_ident()

        def close() -> None:  # as Django does it
            type(file).close(file)
            closed.append(threading.get_ident() == here)
            done.set()
        file.close = close  # type: ignore[method-assign]
        start_response("200 OK", [PLAIN])
        return environ["wsgi.file_wrapper"](file)
    import urllib.request
    server = serve(WSGI(application, threads))
    with urllib.request.urlopen(server.url, timeout=PATIENCE) as reply:
        assert reply.read() == DATA
    assert done.wait(PATIENCE)
    assert closed == [True]


def test_a_file_that_is_let_go_of_without_being_closed_is_returned_all_the_same(path: Path) -> None:
    returned: list[int] = []
    with path.open("rb") as file:
        lent = Lent(file, lambda: returned.append(1))
        assert lent.fileno() == file.fileno()
        del lent
        assert returned == [1]
        lent = Lent(file, lambda: returned.append(2))
        lent.close()
        lent.close()
        del lent
    assert returned == [1, 2]


@pytest.mark.parametrize("threads", BOTH)
def test_a_file_that_is_shorter_than_announced_is_a_500_and_closed(path: Path, threads: int,
                                                                   caplog: pytest.LogCaptureFixture,
                                                                   serve: Callable[..., Server]) -> None:
    import http.client
    opened: list[Any] = []

    def open_file() -> Any:
        opened.append(path.open("rb"))
        return opened[-1]
    server = serve(WSGI(sending(open_file, len(DATA) + 7), threads))
    client = http.client.HTTPConnection(*server.addresses[0])
    client.request("GET", "/file")
    assert client.getresponse().status == 500
    client.close()
    assert opened[0].closed
    assert "7 bytes shorter than its Content-Length" in caplog.text


def test_a_head_of_a_file_has_its_length_and_no_content(path: Path) -> None:
    with Client(WSGI(sending(lambda: path.open("rb")))) as client:
        reply = client.head("/")
    assert (reply.headers["content-length"], reply.body) == (str(len(DATA)), b"")


def test_a_wrapper_inside_something_else_is_an_iterable(path: Path) -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [PLAIN])
        with path.open("rb") as file:
            yield from environ["wsgi.file_wrapper"](file)
    with Client(WSGI(application)) as client:
        assert client.get("/").body == DATA
