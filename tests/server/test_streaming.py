"""Uploads that a handler takes while they come, from real clients to an `App`."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from evloop_http.app.application import App
from evloop_http.app.middleware import body_limit, method_override
from evloop_http.app.request import Request
from evloop_http.http1 import Limits
from evloop_http.messages import PIPE_SIZE, HTTPError, Response
from evloop_http.server import Server
from evloop_http.testing import Client
from uploading import WatchedStreams

#: Seconds after which a test that waits for the other side has failed.
PATIENCE = 20
MEBIBYTE = 1 << 20


def digest(request: Request) -> dict[str, Any]:
    """What came, in how many pieces it was taken, and whether it was while it came."""
    sha, size, pieces = hashlib.sha256(), 0, 0
    for piece in request.stream():
        sha.update(piece)
        size += len(piece)
        pieces += 1
    return {"sha": sha.hexdigest(), "size": size, "pieces": pieces, "streamed": request.incoming is not None}


def make_app() -> App:
    app = App()
    app.post("/digest", stream=True)(digest)
    app.post("/gathered")(lambda request: {"size": len(request.body)})
    return app


@contextlib.contextmanager
def serving(app: App, **options: Any) -> Iterator[Server]:
    with Server(app, **options).in_thread() as server:
        yield server


@contextlib.contextmanager
def connecting(server: Server) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE)) as connection:
        yield connection


def post(server: Server, path: str, body: Any, **fields: str) -> tuple[int, bytes]:
    with connecting(server) as connection:
        connection.request("POST", path, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_an_upload_larger_than_any_body_may_be_is_taken_piece_by_piece() -> None:
    body = bytes(range(256)) * (4096 * 32)
    with serving(make_app(), limits=Limits(body=MEBIBYTE)) as server:
        with connecting(server) as connection:
            for _ in range(2):
                connection.request("POST", "/digest", body)
                answer = json.loads(connection.getresponse().read())
                assert answer["sha"] == hashlib.sha256(body).hexdigest()
                assert answer["size"] == len(body)
                assert answer["pieces"] >= len(body) // (2 * PIPE_SIZE)
        assert post(server, "/gathered", body)[0] == 413


def test_an_upload_in_chunks_is_taken_piece_by_piece() -> None:
    pieces = [bytes([number]) * 50_000 for number in range(100)]
    with serving(make_app()) as server, connecting(server) as connection:
        connection.request("POST", "/digest", iter(pieces), encode_chunked=True)
        answer = connection.getresponse().read()
        assert hashlib.sha256(b"".join(pieces)).hexdigest().encode() in answer


def test_an_upload_has_a_limit_of_its_own() -> None:
    with serving(make_app(), max_stream=2 * MEBIBYTE, limits=Limits(body=10)) as server:
        assert post(server, "/digest", bytes(MEBIBYTE))[0] == 200
        assert post(server, "/digest", bytes(2 * MEBIBYTE + 1))[0] == 413
        assert post(server, "/gathered", bytes(10))[0] == 200
        assert post(server, "/gathered", bytes(11))[0] == 413


def test_the_loop_serves_others_while_a_handler_takes_its_time() -> None:
    app, go_on = make_app(), threading.Event()

    @app.post("/slow", stream=True)
    def slow(request: Request) -> dict[str, Any]:
        assert go_on.wait(PATIENCE)
        return digest(request)

    body = bytes(8 * MEBIBYTE)
    answers: list[tuple[int, bytes]] = []
    with serving(app) as server:
        thread = threading.Thread(target=lambda: answers.append(post(server, "/slow", body)))
        thread.start()
        try:
            assert post(server, "/gathered", b"abc") == (200, b'{"size":3}')
        finally:
            go_on.set()
        thread.join(PATIENCE)
    assert answers[0][0] == 200
    assert hashlib.sha256(body).hexdigest().encode() in answers[0][1]


def test_a_handler_may_refuse_an_upload_before_it_has_come() -> None:
    app = App()

    @app.put("/no", stream=True)
    def refuse(request: Request) -> Response:
        return Response("not here", 403)

    with serving(app) as server, connecting(server) as connection:
        connection.request("PUT", "/no", bytes(16 * MEBIBYTE))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (403, b"not here")


def test_a_handler_whose_client_leaves_is_ended_by_an_error_that_nobody_logs(caplog: pytest.LogCaptureFixture) -> None:
    app, ended, begun = App(), threading.Event(), threading.Event()

    @app.post("/up", stream=True)
    def up(request: Request) -> str:
        try:
            for _ in request.stream():
                begun.set()
        finally:
            ended.set()
        return "not reached"

    with serving(app) as server:
        with connecting(server) as connection:
            connection.putrequest("POST", "/up")
            connection.putheader("Content-Length", "10")
            connection.endheaders(b"half")
            assert begun.wait(PATIENCE)
        assert ended.wait(PATIENCE)
    assert caplog.records == []


def test_a_form_with_files_is_read_while_it_comes() -> None:
    app = App()

    @app.post("/form", stream=True)
    def form(request: Request) -> dict[str, Any]:
        file = request.files["file"]
        return {"name": request.form["name"], "file": file.filename, "sha": hashlib.sha256(file.read()).hexdigest()}

    content = bytes(range(256)) * (4096 * 12)
    body = (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n' + content +
            b"\r\n--b--\r\n")
    with serving(app, limits=Limits(body=1000)) as server:
        status, answer = post(server, "/form", body, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert status == 200
    assert json.loads(answer) == {"name": "Ada", "file": "f.bin", "sha": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(("body", "status"), [("a=1&b=2", 200), ("a=" + "x" * 1_100_000, 413), ("a=\xff", 400)])
def test_a_form_without_files_is_gathered_within_its_limit(body: str, status: int) -> None:
    app = App()
    app.post("/", stream=True)(lambda request: dict(request.form))
    with Client(app) as client:
        reply = client.post("/", body=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status == status
    assert status != 200 or reply.json() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("make", [make_app, lambda: mounting("/inner"), lambda: mounting("")],
                         ids=["itself", "mounted", "for a host"])
def test_an_application_says_which_bodies_it_takes_while_they_come(make: Callable[[], App]) -> None:
    app = make()
    prefix = "/inner" if any(getattr(route, "prefix", "") for route in app.router._mounts.values()) else ""
    with Client(app) as client:
        answer = client.post(f"{prefix}/digest", body="abc").json()
        assert (answer["size"], answer["streamed"]) == (3, True)
        assert client.post(f"{prefix}/digest").json()["size"] == 0
        assert client.post(f"{prefix}/gathered", body="abc").json() == {"size": 3}
        assert client.post(f"{prefix}/nowhere", body="abc").status == 404


def mounting(prefix: str) -> App:
    outer = App()
    if prefix:
        outer.mount(prefix, make_app())
    else:
        outer.host("localhost", make_app())
    return outer


def test_a_body_that_was_gathered_is_a_stream_of_one_piece() -> None:
    app = App()
    app.post("/")(lambda request: [piece.decode() for piece in request.stream()])
    with Client(app) as client:
        assert client.post("/", body="abc").json() == ["abc"]
        assert client.post("/").json() == []


def test_who_wants_a_body_whole_does_not_register_for_its_pieces(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.post("/", stream=True)(lambda request: request.json())
    with Client(app) as client:
        assert client.post("/", json={"a": 1}).status == 500
    assert "stream=True" in caplog.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_limit_holds_for_what_is_taken_while_it_comes(chunked: bool) -> None:
    app = make_app()
    app.middleware(body_limit(100))
    with serving(app) as server, connecting(server) as connection:
        for size, status in (100, 200), (101, 413):
            connection.request("POST", "/digest", iter([bytes(size - 1), b"x"]) if chunked else bytes(size),
                               encode_chunked=chunked)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()


def test_where_no_worker_is_free_an_upload_is_refused_at_once() -> None:
    app = App(streams=1, queue=1)
    begun, go_on = threading.Semaphore(0), threading.Event()

    @app.post("/hold", stream=True)
    def hold(request: Request) -> str:
        begun.release()
        assert go_on.wait(PATIENCE)
        return "held"

    with serving(app) as server, contextlib.ExitStack() as stack:
        stack.callback(go_on.set)
        first, second = (stack.enter_context(connecting(server)) for _ in range(2))
        first.request("POST", "/hold", b"1")
        assert begun.acquire(timeout=PATIENCE)
        second.request("POST", "/hold", b"2")  # waits in the queue, and the loop has seen it before the third
        with connecting(server) as third:
            third.request("POST", "/hold", b"3")
            assert third.getresponse().status == 503
        go_on.set()
        assert [first.getresponse().status, second.getresponse().status] == [200, 200]


@pytest.mark.parametrize(("fields", "status"), [
    ({}, 200), ({"X-Method": "PATCH"}, 200), ({"X-Method": "PUT"}, 400), ({"X-Method": "DELETE"}, 405)])
def test_a_body_that_is_taken_while_it_comes_is_left_to_its_handler(fields: dict[str, str], status: int) -> None:
    outer, inner = App(), App()
    inner.middleware(method_override(inner, header="X-Method", field="_method"))
    inner.route("/", ["POST", "PATCH"], stream=True)(digest)
    inner.put("/")(lambda request: request.json())
    outer.mount("/inner", inner)
    outer.middleware(method_override(outer, field="_method"))
    body = b"_method=PUT&a=" + bytes(2_000_000)
    with serving(outer) as server:
        got, answer = post(server, "/inner/", body, **{"Content-Type": "application/x-www-form-urlencoded", **fields})
    assert got == status
    assert status != 200 or json.loads(answer)["size"] == len(body)


def test_a_body_limit_is_an_error_however_often_one_asks() -> None:
    app = App()
    app.middleware(body_limit(10))

    @app.post("/", stream=True)
    def stubborn(request: Request) -> list[int]:
        statuses = []
        for _ in range(3):
            try:
                statuses.append(len(b"".join(request.stream())))
            except HTTPError as error:
                statuses.append(error.status)
        return statuses

    with serving(app) as server, connecting(server) as connection:
        connection.request("POST", "/", iter([b"12345", b"67890", b"x"]), encode_chunked=True)
        assert json.loads(connection.getresponse().read()) == [413, 413, 413]


@contextlib.contextmanager
def trickling(server: Server, path: str, number: int) -> Iterator[list[socket.socket]]:
    """Clients that have sent the first byte of an upload."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(number):
            address = urlsplit(server.url)
            client = socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE)
            clients.append(stack.enter_context(client))
            client.sendall(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx" % path.encode())
        yield clients


def read_to_end(client: socket.socket) -> bytes:
    got = b""
    while piece := client.recv(65536):
        got += piece
    return got


def test_eight_trickled_uploads_hold_up_no_short_request_and_one_of_them_goes_for_a_fast_one() -> None:
    """The fault: they had all the threads."""
    app = make_app()
    app.stream_threads = streams = WatchedStreams(8, 64)
    app.get("/thread", threaded=True)(lambda request: "at once")
    body = bytes(range(256)) * 4096 * 8
    with serving(app) as server, trickling(server, "/digest", 8) as clients:
        streams.await_waits(8)
        with connecting(server) as connection:
            for _ in range(3):
                connection.request("GET", "/thread")
                assert connection.getresponse().read() == b"at once"
        streams.clock.advance(10)
        for client in clients[1:]:
            client.sendall(b"xx")
            streams.await_waits(1)
        status, answer = post(server, "/digest", body)
        assert (status, json.loads(answer)["sha"]) == (200, hashlib.sha256(body).hexdigest())
        got = read_to_end(clients[0])
        assert got.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close\r\n" in got
        for client in clients[1:]:
            client.sendall(bytes(997))
            assert client.recv(17, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK\r\n"


def test_announcements_of_uploads_take_no_thread() -> None:
    app = make_app()
    app.stream_threads = WatchedStreams(1, 0)
    with serving(app) as server, contextlib.ExitStack() as stack:
        for fields in {}, {"Expect": "100-continue"}, {"Transfer-Encoding": "chunked"}:
            silent = stack.enter_context(connecting(server))
            silent.putrequest("POST", "/digest")
            for name, value in {"Content-Length": "10", **fields}.items():
                if name != "Content-Length" or "Transfer-Encoding" not in fields:
                    silent.putheader(name, value)
            silent.endheaders()
        for _ in range(3):
            assert post(server, "/digest", bytes(MEBIBYTE))[0] == 200


def test_who_goes_for_others_is_found_behind_a_mount_and_a_body_limit() -> None:
    inner, outer = make_app(), App()
    inner.stream_threads = streams = WatchedStreams(1, 64)
    outer.middleware(body_limit(10_000))
    outer.mount("/in", inner)

    with serving(outer) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE) as client:
            client.sendall(b"POST /in/digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            streams.await_waits(1)
            streams.clock.advance(10)
            assert post(server, "/in/digest", b"short")[0] == 200
            assert read_to_end(client).startswith(b"HTTP/1.1 408 ")
