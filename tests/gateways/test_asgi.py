"""ASGI applications behind the server: what they are told, what they answer, and what becomes of their mistakes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from asgi_world import Message, Receive, Send, Wire, ask, body, get, post, responding, serving, start
from evloop_http import App, Server, tls_context
from evloop_http.gateways.asgi import ASGI

Scope = dict[str, Any]


def scope_of(data: bytes, application: Any = None, mount: str = "", **options: Any) -> Scope:
    """The scope of a request, as an application gets it."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope)
            await send(start())
            await send(body())

    outer: Any = ASGI(app, **options)
    if mount:
        outer = App()
        outer.mount(mount, ASGI(app, **options))
    with serving(outer) as server:
        ask(server, data)
    return seen[0]


# What an application is told


def test_the_scope_says_what_the_request_says() -> None:
    scope = scope_of(get("/a%20b/%C3%A9?x=%201&y", "X-Two: a\r\nX-Two: b\r\nCookie: c=d\r\n"))
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b/é", b"/a%20b/%C3%A9", b"x=%201&y")
    assert scope["root_path"] == ""
    assert scope["headers"] == [(b"host", b"test.example"), (b"x-two", b"a"), (b"x-two", b"b"), (b"cookie", b"c=d")]
    for name in ("client", "server"):
        host, port = scope[name]
        assert host == "127.0.0.1"
        assert isinstance(port, int)
    assert scope["state"] == {}
    assert set(scope["extensions"]) == {"http.response.pathsend", "http.response.zerocopysend",
                                        "http.response.early_hint"}


@pytest.mark.parametrize(
    ("mount", "root_path", "target", "expected"),
    [
        ("", "", "/a", ("", "/a", b"/a")),
        ("/api", "", "/api/a%2Fb", ("/api", "/api/a/b", b"/api/a%2Fb")),
        ("/api", "", "/api", ("/api", "/api", b"/api")),
        ("", "/shop", "/a", ("/shop", "/shop/a", b"/shop/a")),
        ("", "/shop", "/shop/a", ("/shop", "/shop/a", b"/shop/a")),
        ("", "/shop", "/shopping", ("/shop", "/shop/shopping", b"/shop/shopping")),
        ("/api", "/shop", "/api/a", ("/shop/api", "/shop/api/a", b"/shop/api/a")),
        ("", "", "http://test.example/a?b", ("", "/a", b"/a")),
        ("", "", "http://test.example?b", ("", "/", b"/")),
    ],
)
def test_the_path_is_whole_and_begins_with_the_root_path(mount: str, root_path: str, target: str,
                                                         expected: tuple[str, str, bytes]) -> None:
    scope = scope_of(get(target), mount=mount, root_path=root_path)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == expected


@pytest.mark.parametrize("root_path", ["shop", "/shop/", "/"])
def test_a_root_path_that_is_none_is_refused(root_path: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        ASGI(responding(), root_path)


def test_what_an_application_changes_in_its_scope_is_not_in_the_next() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append({**scope, "headers": list(scope["headers"]), "extensions": dict(scope["extensions"]),
                         "asgi": dict(scope["asgi"]), "state": dict(scope["state"])})
            scope["path"] = "/changed"
            scope["headers"].append((b"x", b"y"))
            for name in ("extensions", "asgi", "state"):
                scope[name]["x"] = "y"
            await send(start())
            await send(body())

    with serving(app) as server, Wire(server) as wire:
        for _ in range(3):
            wire.write(get("/a"))
            wire.read()
    assert seen[0] == seen[1] == seen[2]


def test_one_application_in_two_places_is_told_of_each(tmp_path: Path) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope["root_path"])
            await send(start())
            await send(body())

    outer, gateway = App(), ASGI(app)
    outer.mount("/a", gateway)
    outer.mount("/b", gateway)
    with serving(outer) as server, Wire(server) as wire:
        for path in ("/a/x", "/b/x", "/a/x", "/b/x"):
            wire.write(get(path))
            wire.read()
    assert seen == ["/a", "/b", "/a", "/b"]


def test_a_unix_socket_has_no_client_and_a_path(tmp_path: Path) -> None:
    import socket
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(start())
        await send(body())

    path = str(tmp_path / "s")
    server = Server(ASGI(app, lifespan="off"))
    server.listen(path=path)
    with server.in_thread(), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(get())
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    assert (seen[0]["client"], seen[0]["server"]) == (None, (path, None))


def test_the_tls_extension_says_what_was_negotiated(certificate: tuple[Path, Path]) -> None:
    import socket
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(start())
        await send(body())

    server = Server(ASGI(app, lifespan="off"))
    server.listen(tls=tls_context(*certificate))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with (server.in_thread(), socket.create_connection(server.addresses[0]) as raw,  # type: ignore[arg-type]
          context.wrap_socket(raw) as sock):
        sock.sendall(get())
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        cipher = sock.cipher()
    tls = seen[0]["extensions"]["tls"]
    assert seen[0]["scheme"] == "https"
    assert set(tls) == {"server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version",
                        "cipher_suite"}
    assert tls["tls_version"] == 0x0304
    assert cipher is not None
    assert tls["cipher_suite"] == {"TLS_AES_256_GCM_SHA384": 0x1302, "TLS_AES_128_GCM_SHA256": 0x1301,
                                   "TLS_CHACHA20_POLY1305_SHA256": 0x1303}[cipher[0]]


# Bodies of requests


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, and how many events it took."""
    if scope["type"] != "http":
        raise RuntimeError
    whole, events, more = b"", 0, True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        whole, events, more = whole + message["body"], events + 1, message["more_body"]
    await send(start(200, (b"x-events", b"%d" % events)))
    await send(body(whole))


def test_a_body_that_is_small_is_one_event_however_it_arrives() -> None:
    with serving(echo) as server, Wire(server) as wire:
        wire.write(post(b"abc"))
        assert wire.read()[1:][0]["x-events"] == "1"
        request = post(b"defghi")
        wire.write(request[:-3])
        wire.write(request[-3:])
        status, fields, got = wire.read()
        assert (status, fields["x-events"], got) == (200, "1", b"defghi")
        wire.write(get())
        assert wire.read()[2] == b""


def test_a_body_that_is_large_or_in_chunks_arrives_in_pieces() -> None:
    large = bytes(range(256)) * 4096
    with serving(echo) as server, Wire(server) as wire:
        wire.write(post(large))
        assert wire.read()[2] == large
        wire.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wire.write(b"2\r\nde\r\n0\r\n\r\n")
        assert wire.read()[2] == b"abcde"
        wire.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert wire.read()[2] == b""


def test_a_client_that_waits_to_be_asked_is_asked_when_the_body_is_wanted() -> None:
    with serving(echo) as server, Wire(server) as wire:
        wire.write(post(b"abc", fields="Expect: 100-continue\r\n")[:-3])
        assert wire.head()[0] == 100
        wire.write(b"abc")
        assert wire.read()[2] == b"abc"


def test_a_client_that_waits_to_be_asked_is_not_if_nobody_reads_the_body() -> None:
    with serving(responding(b"no thanks")) as server, Wire(server) as wire:
        wire.write(post(b"abc", fields="Expect: 100-continue\r\n")[:-3])
        status, fields, got = wire.read()
        assert (status, got, fields["connection"]) == (200, b"no thanks", "close")


def test_a_response_may_begin_before_the_body_has_arrived() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            if message["body"]:
                await send(body(message["body"].upper(), True))
        await send(body(b"."))

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert wire.head()[0] == 200
        chunks = wire.chunks()
        assert next(chunks) == b"ABC"
        wire.write(b"2\r\nde\r\n")
        assert next(chunks) == b"DE"
        wire.write(b"0\r\n\r\n")
        assert list(chunks) == [b"."]


def test_behind_the_response_the_client_is_said_to_have_left() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"x"))
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        for _ in range(2):  # and the connection goes on
            wire.write(get())
            wire.read()
    assert seen == ["http.disconnect"] * 4


def test_a_body_that_breaks_off_is_a_client_that_has_left() -> None:
    seen: list[str] = []
    over = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await over.wait()
            await send(start())
            await send(body(",".join(seen).encode()))
            return
        try:
            while seen[-1:] != ["http.disconnect"]:
                seen.append((await receive())["type"])
            await send(start())
        except OSError as error:
            seen.append(type(error).__name__)
        over.set()

    with serving(ASGI(app, lifespan="off")) as server:
        with Wire(server) as wire:
            wire.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert ask(server, get("/wait"))[2] == b"http.request,http.disconnect,ClientDisconnected"


# Responses


def test_a_body_that_is_whole_has_its_length_and_the_connection_goes_on() -> None:
    app = responding(b"hello", 201, (b"x-a", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
    with serving(app) as server, Wire(server) as wire:
        for _ in range(2):
            wire.write(get())
            status, fields, got = wire.read()
            assert (status, fields["x-a"], fields["content-length"], got) == (201, "1", "5", b"hello")
            assert "content-type" not in fields
        wire.write(get())
        raw = wire.file.readline() + wire.file.readline()
        while not raw.endswith(b"\r\n\r\n"):
            raw += wire.file.readline()
        assert b"set-cookie: a=1\r\nset-cookie: b=2\r\n" in raw


def test_an_answer_that_comes_later_is_sent_like_one_that_comes_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await send(start())
        await asyncio.sleep(0)
        await send(body(b"late"))

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get() * 3)
        assert [wire.read()[2] for _ in range(3)] == [b"late"] * 3


def test_pieces_are_sent_as_they_come_in_chunks_or_counted_or_to_the_end() -> None:
    def app_with(*headers: tuple[bytes, bytes]) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start(200, *headers))
            await send(body(b"one", True))
            await send(body(b"", True))
            await asyncio.sleep(0)
            await send(body(b"two"))
        return ASGI(app, lifespan="off")

    with serving(app_with()) as server, Wire(server) as wire:
        wire.write(get())
        assert wire.read()[2] == b"onetwo"
        wire.write(b"GET / HTTP/1.0\r\n\r\n")
        _, fields, got = wire.read()
        assert ("transfer-encoding" not in fields, got) == (True, b"onetwo")
    with serving(app_with((b"content-length", b"6"), (b"transfer-encoding", b"chunked"))) as server:
        _, fields, got = ask(server, get())
        assert ("transfer-encoding" in fields, fields["content-length"], got) == (False, "6", b"onetwo")


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_answer_to_head_has_no_body(pieces: int) -> None:
    after: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", b"%d" % pieces)))
        for number in range(pieces):
            await send(body(b"x", number + 1 < pieces))
        after.append((await receive())["type"])

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get().replace(b"GET", b"HEAD"))
        status, fields, _ = wire.read(is_head=True)
        assert (status, fields["content-length"]) == (200, str(pieces))
        wire.write(get())
        assert wire.read()[2] == b"x" * pieces  # nothing stood in between
    assert after == ["http.request"] * 2


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_has_none(status: int) -> None:
    with serving(responding(b"x", status)) as server, Wire(server) as wire:
        wire.write(get() * 2)
        assert [wire.read()[0] for _ in range(2)] == [status] * 2


def test_send_waits_while_the_client_does_not_read() -> None:
    sent: list[int] = []
    most = 400

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/sent":
            await send(start())
            await send(body(b"%d" % len(sent)))
            return
        await send(start())
        for number in range(most):
            await send(body(b"x" * 65536, number + 1 < most))
            sent.append(number)

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get())
        wire.head()
        next(chunks := wire.chunks())
        counts = [int(ask(server, get("/sent"))[2]) for _ in range(50)]
        assert counts[-1] < most  # what it sends waits in the kernel and in our buffers, and they are full
        assert sum(map(len, chunks)) <= most * 65536
        assert int(ask(server, get("/sent"))[2]) == most


def test_messages_behind_the_end_are_ignored() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x"))
        await send(body(b"y"))
        await send(start())
        await send({"type": "http.nonsense"})

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get() * 2)
        assert [wire.read()[2] for _ in range(2)] == [b"x", b"x"]


def test_a_task_runs_on_behind_its_answer_and_the_connection_goes_on() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if scope["path"] == "/first":
            await send(body(b"first"))
            await go.wait()
            done.set()
        else:
            go.set()
            await done.wait()
            await send(body(b"second"))

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get("/first"))
        assert wire.read()[2] == b"first"
        wire.write(get("/second"))
        assert wire.read()[2] == b"second"


# Mistakes


def mistaken(*messages: Any, then: Exception | None = None, first: bool = True) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not first:
            await asyncio.sleep(0)
        for message in messages:
            await send(message)
        if then is not None:
            raise then
    return ASGI(app, lifespan="off")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("app", "words"),
    [
        ((), "without completing its response"),
        ((start(),), "without completing its response"),
        ((body(b"x"),), "'http.response.body' when 'http.response.start'"),
        ((start(), start()), "'http.response.start' when 'http.response.body'"),
        ((start(), {"type": "http.nonsense"}), "'http.nonsense' when 'http.response.body'"),
        ((start(99),), "between 200 and 599"),
        ((start(101),), "between 200 and 599"),
        ((start("200"),), "is a number"),  # type: ignore[arg-type]
        ((start(200, (b"x-a", b"b\r\nc: d")),), "no header may carry"),
        ((start(200, (b"x a", b"b")),), "must be a token"),
        ((start(200, ("x-a", "b")),), "a pair of bytes"),  # type: ignore[arg-type]
        ((start(200, (b"x-a",)),), "a pair of bytes"),  # type: ignore[arg-type]
        ((start(), body("text")), "is bytes, not str"),  # type: ignore[arg-type]
        ((start(200, (b"content-length", b"9")), body(b"x")), "another length"),
        ((start(200, (b"content-length", b"1"), (b"content-length", b"1")), body(b"x")), "decimal digits"),
        ((start(), {"type": "http.response.pathsend", "path": "relative"}), "is absolute"),
        ((start(), {"type": "http.response.pathsend", "path": "/nowhere/at/all"}), "No such file"),
        ((start(), {"type": "http.response.trailers", "headers": []}), "when 'http.response.body'"),
        (({"no": "type"},), "type"),
    ],
)
def test_a_mistake_before_the_body_is_a_500_and_is_logged_once(app: tuple[Any, ...], words: str, first: bool,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    with serving(mistaken(*app, first=first)) as server, Wire(server) as wire:
        wire.write(get("/wrong"))
        assert wire.read()[0] == 500
        wire.write(get("/wrong"))  # the connection goes on
        assert wire.read()[0] == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all(record.getMessage().startswith("GET /wrong HTTP/1.1: ") for record in caplog.records)
    assert words in str(caplog.records[0].exc_info)


@pytest.mark.parametrize("first", [True, False])
def test_an_exception_before_the_body_is_a_500_and_its_start_is_forgotten(first: bool,
                                                                          caplog: pytest.LogCaptureFixture) -> None:
    with serving(mistaken(start(), then=LookupError("here"), first=first)) as server:
        assert ask(server, get())[0] == 500
    assert len(caplog.records) == 1
    assert "here" in str(caplog.records[0].exc_info)


@pytest.mark.parametrize("first", [True, False])
def test_an_exception_behind_the_response_is_logged(first: bool, caplog: pytest.LogCaptureFixture) -> None:
    with serving(mistaken(start(), body(b"x"), then=LookupError("here"), first=first)) as server, Wire(server) as wire:
        wire.write(get())
        assert wire.read()[2] == b"x"
        wire.write(get())
        assert wire.read()[2] == b"x"
    assert [record.name for record in caplog.records] == ["evloop_http.asgi"] * 2


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("then", [None, LookupError("here")])
def test_a_failure_within_the_body_breaks_the_connection_off(first: bool, then: Exception | None,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    with serving(mistaken(start(), body(b"x", True), then=then, first=first)) as server, Wire(server) as wire:
        wire.write(get())
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.read()
    assert len(caplog.records) == 1
    assert ("here" if then is not None else "without completing") in str(caplog.records[0].exc_info)


@pytest.mark.parametrize("app", [lambda scope: None, lambda scope, receive, send: None,
                                 lambda environ, start_response: [b""]])
def test_what_is_no_asgi_application_says_so(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serving(ASGI(app, lifespan="off")) as server:
        assert ask(server, get())[0] == 500
    assert len(caplog.records) == 1


def test_what_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="callable"):
        ASGI("module:app")  # type: ignore[arg-type]


def test_a_task_that_waits_for_the_client_can_be_cancelled() -> None:
    """`CancelledError` passes through `receive`, so that what a framework cleans up then is cleaned up."""
    seen: list[str] = []

    async def listen(receive: Receive) -> None:
        await receive()
        try:
            await receive()
        finally:
            seen.append("cleaned up")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.create_task(listen(receive))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await send(start())
        await send(body(",".join(seen).encode()))

    with serving(ASGI(app, lifespan="off")) as server:
        assert ask(server, get())[2] == b"cleaned up"


# Extensions


def test_pathsend_sends_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"file" * 100_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-type", b"x/y")))
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "f")})

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        for _ in range(2):
            wire.write(get())
            status, fields, got = wire.read()
            assert (status, fields["content-type"], fields["content-length"]) == (200, "x/y", "400000")
            assert got == b"file" * 100_000


def test_zerocopysend_sends_parts_of_files_which_stay_the_applications(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789" * 30_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with open(tmp_path / "f", "rb") as file:
            piece: Message = {"type": "http.response.zerocopysend", "file": file}
            if scope["path"] == "/whole":
                await send({**piece, "offset": 5, "count": 10})
            else:
                file.seek(3)
                await send({**piece, "count": 4, "more_body": True})
                await send(body(b"-", True))
                await send({**piece, "more_body": True})  # on from there
                await send({**piece, "offset": 0, "count": 1})

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get("/whole"))
        _, fields, got = wire.read()
        assert (fields["content-length"], got) == ("10", b"5678901234")
        wire.write(get("/parts"))
        assert wire.read()[2] == b"3456-" + (b"0123456789" * 30_000)[7:] + b"0"


def test_trailers_are_sent_to_who_wants_them() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered = "http.response.trailers" in scope["extensions"]
        await send(start(200, (b"x-offered", b"%d" % offered), trailers=True))
        await send(body(b"one", True))
        await send(body(b"two"))
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-b", b"2")]})

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get("/", "TE: trailers\r\n"))
        _, fields, got = wire.read()
        assert (fields["x-offered"], got, wire.trailers) == ("1", b"onetwo", [b"x-a: 1", b"x-b: 2"])
        wire.write(get())
        _, fields, got = wire.read()
        assert (fields["x-offered"], got, wire.trailers) == ("0", b"onetwo", [])


@pytest.mark.parametrize("pause", [False, True])
def test_early_hints_precede_the_response(pause: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if pause:
            await asyncio.sleep(0)
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
        if pause:
            await asyncio.sleep(0)
        await send(start())
        await send(body(b"x"))

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        for _ in range(2):
            wire.write(get())
            raw = b"".join([wire.file.readline() for _ in range(4)])
            assert raw == (b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n"
                           b"link: </b.js>; rel=preload\r\n\r\n")
            assert wire.read()[2] == b"x"


def test_send_to_a_client_that_has_left_raises_an_oserror_that_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()
    over: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/ended":
            await ended.wait()
            await send(start())
            await send(body(",".join(over).encode()))
            return
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, True))
        except OSError as error:
            over.append(type(error).__name__)
            over.append((await receive())["type"])
            over.append((await receive())["type"])
            raise ValueError("a framework has an error of its own") from error
        finally:
            ended.set()

    with serving(ASGI(app, lifespan="off")) as server:
        with Wire(server) as wire:
            wire.write(get())
            wire.head()
        assert ask(server, get("/ended"))[2] == b"ClientDisconnected,http.request,http.disconnect"
    assert not caplog.records


def test_the_client_that_closes_while_it_waits_is_said_to_have_left() -> None:
    waits, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await receive()
            waits.set()
            assert (await receive())["type"] == "http.disconnect"
            left.set()
        await (waits if scope["path"] == "/waits" else left).wait()
        await send(start())
        await send(body(b"x"))

    with serving(ASGI(app, lifespan="off")) as server:
        with Wire(server) as wire:
            wire.write(get("/wait"))
            assert ask(server, get("/waits"))[2] == b"x"
        assert ask(server, get("/left"))[2] == b"x"


def test_a_client_that_closes_its_half_is_answered_all_the_same() -> None:
    import socket

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send(start())
        await send(body(b"one", True))
        await asyncio.sleep(0)
        await send(body(b"two"))

    with serving(ASGI(app, lifespan="off")) as server, Wire(server) as wire:
        wire.write(get())
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.read()[2] == b"onetwo"
