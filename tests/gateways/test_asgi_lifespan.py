"""The life of an ASGI application around those of its requests, and the start that fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_world import Message, Receive, Send, ask, body, get, serving, start
from evloop_http import App, Server
from evloop_http.gateways.asgi import ASGI
from evloop_http.loops import asyncio as loops
from evloop_http.loops.one_loop import Loop
from evloop_http.messages import StartUpFailed

Scope = dict[str, Any]


def living(events: list[str], *, failing: str = "", message: str = "") -> Any:
    """An application that notes its life, and answers with its state."""
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
            for phase in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{phase}"
                await asyncio.sleep(0)
                events.append(phase)
                scope["state"]["events"] = events
                ending = "failed" if phase == failing else "complete"
                event: Message = {"type": f"lifespan.{phase}.{ending}"}
                await send({**event, "message": message} if message else event)
        else:
            events.append("request")
            scope["state"]["mine"] = 1
            await send(start())
            await send(body(",".join(scope["state"]["events"]).encode()))
    return app


def test_it_starts_before_the_first_request_and_ends_behind_the_last() -> None:
    events: list[str] = []
    with serving(living(events)) as server:
        assert events == ["startup"]
        assert ask(server, get())[2] == b"startup,request"
    assert events == ["startup", "request", "shutdown"]


def test_each_request_has_a_copy_of_the_state() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["count"] = 0
            await send({"type": "lifespan.startup.complete"})
        else:
            scope["state"]["count"] += 1
            await send(start())
            await send(body(b"%d" % scope["state"]["count"]))

    with serving(app) as server:
        assert [ask(server, get())[2] for _ in range(2)] == [b"1"] * 2


def test_mounted_applications_live_with_the_one_around_them() -> None:
    events: list[str] = []
    outer, inner = App(), App()
    outer.mount("/a", ASGI(living(events)))
    outer.mount("/b", inner)
    inner.mount("/c", ASGI(living(events)))
    with serving(outer) as server:
        assert events == ["startup"] * 2
        assert ask(server, get("/b/c/x"))[0] == 200
    assert events == ["startup"] * 2 + ["request"] + ["shutdown"] * 2


async def knows_no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send(start())
    await send(body(b"x"))


def test_an_application_without_a_lifespan_is_served(caplog: pytest.LogCaptureFixture) -> None:
    with serving(knows_no_lifespan) as server:
        assert ask(server, get())[2] == b"x"
    assert not caplog.records


def test_an_application_that_must_have_a_lifespan_is_not_served_without() -> None:
    with pytest.raises(StartUpFailed, match="AssertionError"), serving(ASGI(knows_no_lifespan, lifespan="on")):
        pass


def test_a_lifespan_that_is_off_is_not_asked_for() -> None:
    events: list[str] = []
    with serving(ASGI(living(events), lifespan="off")):
        pass
    assert events == []


def test_a_lifespan_is_auto_on_or_off() -> None:
    with pytest.raises(ValueError, match="lifespan"):
        ASGI(knows_no_lifespan, lifespan="of")


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_start_that_fails_is_an_exception_and_nothing_is_accepted(mode: str) -> None:
    events: list[str] = []
    server = Server(ASGI(living(events, failing="startup", message="no database"), lifespan=mode))
    with pytest.raises(StartUpFailed, match="no database"), server.in_thread():
        pass
    assert events == ["startup"]
    assert server.wait_stopped(0)


def test_what_has_started_is_shut_down_if_its_neighbour_fails_to_start() -> None:
    events: list[str] = []
    outer = App()
    outer.mount("/a", ASGI(living(events)))
    outer.mount("/b", ASGI(living([], failing="startup")))
    with pytest.raises(StartUpFailed), serving(outer):
        pass
    assert events == ["startup", "shutdown"]


def test_a_shut_down_that_fails_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    with serving(living([], failing="shutdown", message="no more")):
        pass
    assert [record.getMessage() for record in caplog.records] == ["the ASGI application failed to shut down: no more"]


def test_an_exception_behind_the_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            raise LookupError("here")
        await send(start())
        await send(body(b"x"))

    with serving(app) as server:
        assert ask(server, get())[2] == b"x"
    assert "here" in str(caplog.records[0].exc_info)
    assert len(caplog.records) == 1


def test_what_runs_on_behind_its_answer_is_cancelled_before_the_shut_down() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await living(events)(scope, receive, send)
            return
        await send(start())
        await send(body(b"x"))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    with serving(app) as server:
        assert ask(server, get())[2] == b"x"
    assert events == ["startup", "cancelled", "shutdown"]


def test_what_runs_on_behind_its_answer_may_finish_within_the_grace() -> None:
    events: list[str] = []
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await living(events)(scope, receive, send)
            return
        await send(start())
        await send(body(b"x"))
        await go.wait()
        events.append("finished")

    with serving(app) as server:
        assert ask(server, get())[2] == b"x"
        server.stop(grace=30)
        server.reactor.call_soon_threadsafe(server.reactor.call_soon, go.set)
        assert server.wait_stopped(30)
    assert events == ["startup", "finished", "shutdown"]


def test_nothing_is_accepted_while_the_application_starts() -> None:
    """A connection waits in the backlog until then."""
    events: list[str] = []
    began, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            began.set()
            await go.wait()
            events.append("started")
            await send({"type": "lifespan.startup.complete"})
            return
        events.append("request")
        await send(start())
        await send(body(b"x"))

    import socket
    import threading
    server = Server(ASGI(app))
    server.listen()
    with socket.create_connection(server.addresses[0]) as sock:  # type: ignore[arg-type]
        sock.sendall(get())
        thread = threading.Thread(target=server._run_to_the_end)
        thread.start()
        for _ in range(3):  # turns of the loop
            turned = threading.Event()
            server.reactor.call_soon_threadsafe(turned.set)
            assert turned.wait(30)
        assert events == []
        server.reactor.call_soon_threadsafe(go.set)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        server.stop(0)
        thread.join(30)
    assert events == ["started", "request"]


@pytest.mark.parametrize("own", [False, True])
def test_an_application_lives_in_a_loop_of_asyncio_too(own: bool) -> None:
    """In a foreign loop the reactor is a guest."""
    events: list[str] = []

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        server = Server(ASGI(living(events)), reactor=loop.reactor if isinstance(loop, Loop) else None)
        server.listen()
        async with loops.serving(server):
            assert events == ["startup"]
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(get("/", "Connection: close\r\n"))
            answer = await reader.read()
            writer.close()
        return answer

    with asyncio.Runner(loop_factory=Loop if own else None) as runner:
        assert runner.run(main()).endswith(b"startup,request")
    assert events == ["startup", "request", "shutdown"]


def test_a_start_that_fails_in_a_loop_of_asyncio_is_an_exception() -> None:
    async def main() -> None:
        server = Server(ASGI(living([], failing="startup")))
        server.listen()
        async with loops.serving(server):
            pass

    with pytest.raises(StartUpFailed):
        asyncio.run(main())


def run_command(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "site.py").write_text("")
    (tmp_path / "shop.py").write_text(source)
    root = Path(__file__).resolve().parents[2]
    return subprocess.run([sys.executable, "-m", "evloop_http", "run", "shop:app", "--port", "0"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": str(root)})


def test_the_command_ends_with_3_and_one_plain_line_if_the_start_fails(tmp_path: Path) -> None:
    done = run_command(tmp_path, """
from evloop_http.gateways.asgi import ASGI

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback ...\\nOSError: no database\\n"})

app = ASGI(failing)
""")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == "evloop-http: the application failed to start: OSError: no database\n"
