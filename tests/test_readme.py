"""The README: every program in it runs, every figure of its tables is the default, and every name exists.

The program for the parser is run by `http1/test_public.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import pytest

import evloop_http
from evloop_http import App, Limits, Reactor, Request, Response, Server, Timeouts, loops
from evloop_http.messages import Upgrade
from evloop_http.server.places import DEFAULT_PLACES
from evloop_http.testing import Client, WebSocketRefused

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text("utf-8")
PATIENCE = 20


def section(title: str) -> str:
    _, found, rest = README.partition(f"\n{title}\n{'-' * len(title)}\n")
    assert found, title
    return re.split(r"\n[^\n]+\n-{3,}\n", rest)[0]


def programs(title: str) -> list[str]:
    """The Python programs of a section."""
    found = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", section(title))
    return [textwrap.dedent(program) for program in found]


def run(program: str, **names: Any) -> dict[str, Any]:
    """Run a program of the README with these names; return all that it has afterwards."""
    exec(compile(program, "README.rst", "exec"), names)
    return names


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return bytes(response.read())


def test_it_is_as_long_as_a_stranger_reads() -> None:
    assert 220 <= len(README.splitlines()) <= 460


def test_the_first_program_prints_a_url_that_answers_and_ends_in_order() -> None:
    program, = programs("A first program")
    assert "8080" in program
    command = [sys.executable, "-W", "error", "-u", "-c", program.replace("8080", "0")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/users/1\?name=Ada", url)
            assert fetch(url) == b'{"id":1,"name":"Ada"}'
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


# In a program of your own

def hosts() -> dict[str, str]:
    """The programs of "In a program of your own", by what serves in them."""
    thread, game, coroutine = programs("In a program of your own")
    return {"thread": thread, "game": game, "asyncio": coroutine}


class Visit:
    """A client that has its answer once the server has begun to stop: it is what stopping waits for."""

    def __init__(self) -> None:
        self.app = App()
        self.app.get("/")(lambda request: self.answer)
        self.answer: Future[str] = Future()
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self._visit)
        self._url = ""

    def start(self, url: str) -> None:
        self._url = url
        self._thread.start()

    def _visit(self) -> None:
        self.bodies.append(fetch(self._url))

    def end(self) -> bytes:
        self._thread.join(PATIENCE)
        body, = self.bodies
        return body


class AnsweringServer(Server):
    """A server that has the answer of a visit ready as soon as it is to stop."""

    visit: Visit

    def stop(self, grace: float = 10.0) -> None:
        super().stop(grace)
        self.reactor.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        assert self._shared.draining
        if not self.visit.answer.done():
            self.visit.answer.set_result("waited for")


def server_of(visit: Visit, reactor: Reactor | None = None) -> AnsweringServer:
    server = AnsweringServer(visit.app, reactor=reactor)
    server.visit = visit
    return server


def test_it_serves_and_stops_in_a_thread() -> None:
    visit = Visit()
    arrived = threading.Event()

    @visit.app.middleware
    def note(request: Request, call_next: Callable[[Request], Response]) -> Response:
        arrived.set()
        return call_next(request)

    def work_with(url: str) -> None:
        visit.start(url)
        assert arrived.wait(PATIENCE)

    run(hosts()["thread"], Server=lambda app: server_of(visit), app=visit.app, work_with=work_with)
    assert visit.end() == b"waited for"


def test_the_loop_of_a_game_serves_between_its_frames_and_stops() -> None:
    program = hosts()["game"]
    assert "8080" in program
    visit = Visit()
    names: dict[str, Any] = {"evloop_http": evloop_http, "app": visit.app, "playing": True,
                             "Server": lambda app, reactor: server_of(visit, reactor)}

    def draw_a_frame() -> None:
        if not names["server"].in_flight() and not visit._url:
            visit.start(names["server"].url)
        names["playing"] = not names["server"].in_flight()

    names["draw_a_frame"] = draw_a_frame
    exec(program.replace("8080", "0"), names)
    names["reactor"].close()
    assert visit.end() == b"waited for"


def test_it_serves_and_stops_in_asyncio() -> None:
    visit = Visit()
    server = server_of(visit)
    server.listen()

    async def work_with(url: str) -> None:
        visit.start(url)
        while not server.in_flight():
            await asyncio.sleep(0)

    main = run(hosts()["asyncio"], loops=loops, work_with=work_with)["main"]
    asyncio.run(main(server))
    assert visit.end() == b"waited for"


def line_for(host: str) -> str:
    """What the table of hosts has to serve in one; those of Tk, GLib and Qt are run by `loops/test_host_loops.py`."""
    line, = re.findall(rf"^{host}  +``(.+?)``", section("In a program of your own"), re.MULTILINE)
    return str(line)


def test_the_line_for_asyncio_serves_and_stops() -> None:
    async def work() -> None:
        visit.start(server.url)
        while not server.in_flight():
            await asyncio.sleep(0)

    visit = Visit()
    server = server_of(visit)
    server.listen()
    program = f"async def main():\n    {line_for('asyncio, uvloop')}\n        await work()"
    asyncio.run(run(program, loops=loops, server=server, work=work)["main"]())
    assert visit.end() == b"waited for"


def test_the_line_for_trio_serves_and_stops() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            run(line_for("trio"), nursery=nursery, loops=loops, server=server)
            visit.start(server.url)
            while not server.in_flight():
                await trio.sleep(0)
            server.stop(5)

    visit = Visit()
    server = server_of(visit)
    server.listen()
    trio.run(main)
    assert visit.end() == b"waited for"


def test_the_line_for_gevent_serves_and_stops() -> None:
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    visit = Visit()
    server = server_of(visit)
    server.listen()
    run(line_for("gevent"), gevent=gevent, loops=loops, server=server)
    visit.start(server.url)
    while not server.in_flight():
        gevent.sleep(0)
    server.stop(5)
    loops.gevent.stopped(server)
    assert visit.end() == b"waited for"
    gevent.sleep(0)  # the greenlet closes the server


def test_the_reactor_has_what_the_readme_offers() -> None:
    offered = re.findall(r"``(\w+)\(", section("In a program of your own").partition("The reactor also takes")[2])
    assert len(offered) == 5
    assert [name for name in offered if not callable(getattr(Reactor, name, None))] == []


# What a handler sees

@pytest.fixture(scope="module")
def site() -> Iterator[dict[str, Any]]:
    """The names that the programs of this section have made: an application with its middleware, and a protocol."""
    handlers, middleware, echo = programs("What a handler sees")
    found = run(middleware, **run(handlers), statuses=Counter[int]())
    found |= run(echo)
    found["app"].get("/echo")(lambda request: Upgrade(found["Echo"](), "echo"))
    yield found
    found["app"].close()


def test_the_handlers_answer_through_all_the_middleware(site: dict[str, Any]) -> None:
    client, statuses = Client(site["app"]), site["statuses"]
    reply = client.get("/users/1?page=2")
    assert (reply.status, reply.text) == (200, '{"ID":1,"PAGE":2}\n')
    assert reply.headers["X-Served-By"] == "evloop_http"
    assert "X-Request-ID" in reply.headers
    assert client.get("/users/1001").status == 404
    assert (statuses[200], statuses[404]) == (1, 1)
    moved = client.post("/login", form={"id": "7"})
    assert (moved.status, moved.headers["Location"]) == (303, "/users/7")


def test_the_middleware_changes_and_reads_a_response_that_comes_later(site: dict[str, Any]) -> None:
    app, statuses = site["app"], site["statuses"]
    before = statuses[200]
    with ThreadPoolExecutor(1) as pool:
        app.get("/later")(lambda request: pool.submit(lambda: "later"))
        reply = Client(app).get("/later")
    assert (reply.text, reply.headers["X-Served-By"]) == ("LATER\n", "evloop_http")
    assert statuses[200] == before + 1


def test_the_echo_echoes(site: dict[str, Any]) -> None:
    with Server(site["app"]).in_thread() as server:
        address = server.addresses[0]
        assert isinstance(address, tuple)
        with socket.create_connection(address, PATIENCE) as client:
            client.sendall(b"GET /echo HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as answer:
                received = answer.read()
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert rest == b"hello"


def test_the_line_for_tests_is_right() -> None:
    app = App()
    app.get("/users/{id:int}")(lambda request, id: {"id": id})
    line, = re.findall(r"``(evloop_http\.testing\.Client.*?)``", section("What a handler sees"))
    assert eval(line, {"evloop_http": evloop_http, "app": app}) == {"id": 1}


def test_the_websockets_of_the_readme_answer() -> None:
    pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")
    program, = programs("WebSockets")
    found = run(program)
    app = found["app"]
    assert app.needs_loop
    with Client(app) as client:
        with client.websocket("/chat/a") as ws:
            ws.send("x")
            assert ws.receive() == "x"
        with pytest.raises(WebSocketRefused, match="404"), client.websocket("/chat/secret"):
            pass
        with client.websocket("/ask", subprotocols=["v1", "v2"]) as ws:
            assert (ws.subprotocol, ws.headers["X-Chosen"]) == ("v2", "v2")
            ws.send(b"x")
            assert ws.receive() == b"x"
        with client.websocket("/room") as ws:
            ws.send("to all")
            assert ws.receive() == "to all"
        assert found["members"] == set()


def test_the_figures_of_websockets_are_the_defaults() -> None:
    from evloop_http.websocket import options
    chosen = options.Options()
    text = " ".join(section("WebSockets").split())
    assert f"App(websockets={inspect.signature(App).parameters['websockets'].default})" in text
    assert f"up to {options.INBOX_MESSAGES} messages or {options.INBOX_SIZE // 1024} KiB" in text
    assert f"Silence of {chosen.ping_interval} s is answered with a ping, and another {chosen.ping_timeout} s" in text
    assert chosen.max_message == options.BEHIND == 1024 * 1024
    assert f"1 MiB and {chosen.max_fragments} frames at most" in text


def test_the_flask_application_of_the_readme_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    flask_app = flask.Flask("shop")
    flask_app.get("/")(lambda: "from Flask")
    shop = ModuleType("shop")
    shop.flask_app = flask_app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", shop)
    program, = programs("WSGI: Flask, Django and others")
    assert program.rstrip().endswith("\nserver.run()")
    server = run(program.replace("8080", "0").replace("server.run()", ""))["server"]
    with server.in_thread():
        assert fetch(server.url) == b"from Flask"


def test_the_figures_of_wsgi_are_the_defaults() -> None:
    text = " ".join(section("WSGI: Flask, Django and others").split())
    defaults = {name: one.default for name, one in inspect.signature(evloop_http.WSGI).parameters.items()}
    assert f"``WSGI(threads={defaults['threads']}, queue={defaults['queue']})``" in text
    assert f"``streams={defaults['streams']}``" in text
    assert f"up to {defaults['gathered'] // 1024} KiB are gathered" in text


async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"from ASGI"})


def test_the_starlette_application_of_the_readme_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    site = ModuleType("site_of_mine")
    site.app = asgi_application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "site_of_mine", site)
    program, = programs("ASGI: Starlette, FastAPI, Django and others")
    assert program.rstrip().endswith("\nserver.run()")
    server = run(program.replace("8080", "0").replace("server.run()", ""))["server"]
    with server.in_thread():
        assert fetch(server.url) == b"from ASGI"


# Tables and names

def test_the_table_has_every_limit_and_every_deadline() -> None:
    named = set(re.findall(r"``(Limits|Timeouts)\.(\w+)``", section("Limits and deadlines")))
    limits = {field.name for field in fields(Limits)} - {"interim"}  # of responses, which a server does not receive
    assert named == {("Limits", name) for name in limits} | {("Timeouts", field.name) for field in fields(Timeouts)}


def test_the_table_tells_the_defaults() -> None:
    kib = 1024
    limits, timeouts = Limits(), Timeouts()
    parameters = inspect.signature(Server).parameters
    told = {
        "Limits.request_line": ("8 KiB", limits.request_line == 8 * kib),
        "Limits.head": ("32 KiB, 100", (limits.head, limits.fields) == (32 * kib, 100)),
        "Limits.body": ("10 MiB, 1 GiB", (limits.body, parameters["max_stream"].default) == (10 * kib**2, kib**3)),
        "Limits.chunk_line": ("256 bytes, 16 KiB", (limits.chunk_line, limits.chunk_overhead) == (256, 16 * kib)),
        "Limits.gathered": ("256 MiB", limits.gathered == 256 * kib**2),
        "Server(max_connections=)": ("16,384", DEFAULT_PLACES == 16384),
        "Server(max_per_client=)": ("off", parameters["max_per_client"].default is None),
        "Timeouts.head": ("10 s", timeouts.head == 10),
        "Timeouts.body": ("10 s", timeouts.body == 10),
        "Timeouts.body_rate": ("1 KiB/s, 16 KiB/s", (timeouts.body_rate, timeouts.stream_rate) == (kib, 16 * kib)),
        "Timeouts.handler": ("off", timeouts.handler is None),
        "Timeouts.write": ("30 s", timeouts.write == 30),
        "Timeouts.handshake": ("10 s", timeouts.handshake == 10),
        "Timeouts.idle": ("75 s", timeouts.idle == 75),
        "Timeouts.linger": ("2 s", timeouts.linger == 2),
    }
    rows = re.findall(r"^``([\w.()=]+)``.*?  +(\S.*?)  +\S", section("Limits and deadlines"), re.MULTILINE)
    assert dict(rows) == {name: text for name, (text, _) in told.items()}
    assert [name for name, (_, is_right) in told.items() if not is_right] == []


def test_the_threads_of_an_app_are_as_many_as_the_readme_says() -> None:
    parameters = inspect.signature(App).parameters
    assert f"``App(threads={parameters['threads'].default}, queue={parameters['queue'].default})``" in README
    assert f"``App(streams={parameters['streams'].default})``" in README


#: Where the classes are that a request passes through.
HOMES = {"Reactor": "net.reactor", "Transport": "net.transport", "Connection": "server.connection",
         "Exchange": "server.exchange", "HeadParser": "http1", "RequestParser": "http1", "ResponseEncoder": "http1",
         "App": "app.application"}


def test_every_step_of_a_request_has_the_name_that_the_readme_gives_it() -> None:
    steps = re.findall(r"``(\w+)\.(\w+)``", section("The journey of a request"))
    assert len(steps) >= 9
    lost = [f"{owner}.{name}" for owner, name in steps
            if not hasattr(getattr(import_module(f"evloop_http.{HOMES[owner]}"), owner), name)]
    assert lost == []


def test_every_file_and_folder_that_the_readmes_name_is_there() -> None:
    for readme in (ROOT / "README.rst", ROOT / "load/README.rst", ROOT / "load/bench/README.rst"):
        text = readme.read_text("utf-8")
        named = re.findall(r"``((?:tests|load|scripts)/[\w./-]+)``|(?:^    |``)\./(scripts/[\w-]+)|image:: (\S+)", text,
                           re.MULTILINE)
        made = ("load/reports/", "load/results/")  # by the programs that the text is about
        assert named
        for path, script, image in named:
            where = readme.parent / image if image else ROOT / (path or script)
            assert where.exists() or path in made, (readme, path or script or image)


#: Every path that the README of the first edition, or this one, imports from.
PATHS = {
    "evloop_http": "App EventStream FileBody HTTPError Headers Limits READ Reactor Request Response Server StaticFiles "
                   "Templates Timeouts after broadcast tls_context AccessLog AsyncWebSocket CallbackWebSocket "
                   "ASGI WSGI WebSocket",
    "evloop_http.app.cookies": "set_cookie",
    "evloop_http.app.events": "EventStream",
    "evloop_http.app.middleware": "after basic_auth body_limit cors etag gzip method_override request_id "
                                  "security_headers",
    "evloop_http.app.responses": "redirect",
    "evloop_http.http1": "CLOSED NEED_DATA BodyData ProtocolError RequestEncoder RequestHead RequestParser "
                         "ResponseParser",
    "evloop_http.http1.strategies": "cuts mutations pipelines requests streams",
    "evloop_http.messages": "Request Response Upgrade HTTPError",
    "evloop_http.testing": "Client",
    "evloop_http.websocket": "Disconnected Options WebSocketProtocol",
}


@pytest.mark.parametrize("path", PATHS)
def test_what_the_readme_imports_is_still_there(path: str) -> None:
    module = import_module(path)
    assert [name for name in PATHS[path].split() if not hasattr(module, name)] == []


def test_every_import_that_the_readme_shows_is_among_those() -> None:
    shown = re.findall(r"^    from (evloop_http\S*) import (.+)$", README, re.MULTILINE)
    assert shown
    assert {(path, name) for path, names in shown for name in names.split(", ")} <= {
        (path, name) for path, names in PATHS.items() for name in names.split()}
