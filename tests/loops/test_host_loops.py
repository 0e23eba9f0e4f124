"""A server in the loop of every host, with its real library; what is missing here is said and skipped."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evloop_http import App, loops
from evloop_http.loops import guest
from evloop_http.messages import Request, Response
from evloop_http.net.reactor import Reactor
from evloop_http.server import Server
from fakes import LAST_GET, hello, read_answers
from hosting import PATIENCE, WELL, Visit

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.rst").read_text("utf-8")
HOSTING = ROOT / "tests" / "support" / "hosting.py"
#: The Python for which Debian packages PyGObject and Tk.
SYSTEM_PYTHON = "/usr/bin/python3"

Runner = Callable[[Coroutine[Any, Any, None]], None]


# asyncio and uvloop

def run_in_uvloop(main: Coroutine[Any, Any, None]) -> None:
    uvloop = importlib.import_module("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@pytest.fixture(params=[asyncio.run, run_in_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    if request.param is run_in_uvloop:
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    runner: Runner = request.param
    return runner


def address_of(server: Server) -> tuple[str, int]:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return address


async def fetch(server: Server) -> bytes:
    reader, writer = await asyncio.open_connection(*address_of(server))
    writer.write(LAST_GET)
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return b"".join(answer.body for answer in read_answers(data))


def test_asyncio_serves_and_ends_gently(run: Runner) -> None:
    async def main() -> None:
        loop, leave = asyncio.get_running_loop(), asyncio.Event()
        async with loops.asyncio.serving(visit.server, PATIENCE):
            visit.set_timer()
            visit.start(lambda: loop.call_soon_threadsafe(leave.set))
            await leave.wait()

    visit = Visit()
    run(main())
    assert visit.end() == WELL
    assert repr(visit.server.reactor) == "<Reactor closed>"


def test_asyncio_serves_until_the_server_stops_by_itself(run: Runner) -> None:
    async def main() -> None:
        async with loops.asyncio.serving(visit.server, PATIENCE):
            visit.set_timer()
            visit.start(lambda: visit.server.stop(PATIENCE))
            await loops.asyncio.stopped(visit.server)
            await loops.asyncio.stopped(visit.server)  # at once

    visit = Visit()
    run(main())
    assert visit.end() == WELL


def test_tasks_beside_a_server_ask_it(run: Runner) -> None:
    async def main() -> None:
        server = Server(hello)
        server.listen()
        async with loops.asyncio.serving(server):
            assert await asyncio.gather(*[fetch(server) for _ in range(20)]) == [b"hello"] * 20

    run(main())


async def cancel_while_answering(cancels: int) -> bytes:
    """What a client gets whose request is under way when the task that serves is cancelled."""
    arrived, answer = asyncio.Event(), Future[Response]()

    def application(request: Request) -> Future[Response]:
        arrived.set()
        return answer

    async def serve() -> None:
        async with loops.asyncio.serving(server, PATIENCE):
            await asyncio.Event().wait()

    server = Server(application)
    server.listen()
    serving = asyncio.create_task(serve())
    client = asyncio.create_task(fetch(server))
    await arrived.wait()
    for _ in range(cancels):
        serving.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
    assert serving.done() == (cancels == 2)
    if cancels == 1:
        answer.set_result(Response("gently"))
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert server.wait_stopped(0)
    return await client


def test_a_cancelled_block_stops_its_server_gently(run: Runner) -> None:
    async def main() -> None:
        assert await cancel_while_answering(1) == b"gently"

    run(main())


def test_a_block_that_is_cancelled_twice_closes_what_is_left(run: Runner) -> None:
    async def main() -> None:
        assert await cancel_while_answering(2) == b""

    run(main())


def test_a_block_that_fails_ends_its_server_and_its_guest(run: Runner) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with loops.asyncio.serving(Server(hello, reactor=reactor)):
                raise ZeroDivisionError
        loops.asyncio.attach(reactor).detach()  # it has no host any more

    with contextlib.closing(Reactor()) as reactor:
        run(main())


def test_a_server_on_a_reactor_of_the_program_leaves_that_to_it(run: Runner) -> None:
    async def main() -> None:
        for _ in range(2):
            server = Server(hello, reactor=reactor)
            server.listen()
            async with loops.asyncio.serving(server):
                assert await fetch(server) == b"hello"

    with contextlib.closing(Reactor()) as reactor:
        run(main())
        assert (reactor.registrations, reactor.timers) == (0, 0)


def test_two_servers_on_one_reactor_have_one_guest(run: Runner) -> None:
    async def main() -> None:
        attached = loops.asyncio.attach(reactor)
        servers = [Server(hello, reactor=reactor) for _ in range(2)]
        for server in servers:
            server.listen()
        assert [await fetch(server) for server in servers] == [b"hello"] * 2
        with pytest.raises(RuntimeError, match="has a host already"):
            async with loops.asyncio.serving(servers[0]):
                pass
        for server in servers:
            server.stop(PATIENCE)
            await loops.asyncio.stopped(server)
        attached.detach()

    with contextlib.closing(Reactor()) as reactor:
        run(main())


def test_a_guest_may_be_detached_when_its_loop_is_closed(run: Runner) -> None:
    async def main() -> None:
        guests.append(loops.asyncio.attach(reactor))
        reactor.call_later(PATIENCE, print)
        await asyncio.sleep(0)

    guests: list[Any] = []
    with contextlib.closing(Reactor()) as reactor:
        run(main())
        guests.pop().detach()


def test_a_server_that_is_closed_inside_its_block_is_left_in_order(run: Runner) -> None:
    async def main() -> None:
        server = Server(hello)
        server.listen()
        async with loops.asyncio.serving(server):
            assert await fetch(server) == b"hello"
            server.close()

    run(main())


def test_a_task_that_sets_a_timer_wakes_the_loop_and_one_that_waits_in_vain_harms_nobody(
        run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        fired = asyncio.Event()
        server = Server(hello, reactor=reactor)
        server.listen()
        async with loops.asyncio.serving(server):
            waiting = asyncio.create_task(loops.asyncio.stopped(server))
            await fetch(server)
            reactor.call_later(0.001, fired.set)
            await asyncio.wait_for(fired.wait(), PATIENCE)
            waiting.cancel()

    with contextlib.closing(Reactor()) as reactor:
        run(main())
    assert caplog.text == ""


def test_a_loop_that_is_on_the_reactor_needs_no_guest_and_keeps_its_reactor() -> None:
    async def main() -> None:
        loop, leave = asyncio.get_running_loop(), asyncio.Event()
        async with loops.asyncio.serving(visit.server, PATIENCE):
            assert reactor not in guest._hosted
            visit.set_timer()
            visit.start(lambda: loop.call_soon_threadsafe(leave.set))
            await leave.wait()

    visit = Visit()
    reactor = visit.server.reactor
    with asyncio.Runner(loop_factory=lambda: loops.asyncio.Loop(reactor)) as runner:
        runner.run(main())
        assert visit.end() == WELL
        assert "closed" not in repr(reactor)
    reactor.close()


async def hello_later(request: Request) -> str:
    await asyncio.sleep(0)
    return "hello"


def test_async_handlers_are_tasks_of_the_loop_that_their_server_lives_in(run: Runner) -> None:
    async def main() -> None:
        app = App()
        app.get("/")(hello_later)
        server = Server(app)
        server.listen()
        async with loops.asyncio.serving(server):
            assert await fetch(server) == b"hello"

    run(main())


def test_async_handlers_in_another_host_have_a_loop_that_the_reactor_drives() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    app = App()
    app.get("/")(hello_later)
    with contextlib.closing(Reactor()) as reactor, loops.asyncio.DrivenLoop(reactor), ThreadPoolExecutor(1) as pool:
        server = Server(app, reactor=reactor)
        server.listen()
        answer = pool.submit(asyncio.run, fetch(server))
        answer.add_done_callback(lambda answer: server.stop(PATIENCE))
        trio.run(loops.trio.serve, server)
        assert answer.result() == b"hello"


def test_a_loop_that_knows_no_descriptors_serves_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Proactor(asyncio.SelectorEventLoop):
        def add_reader(self, *arguments: Any) -> None:  # type: ignore[override]
            raise NotImplementedError

    async def main() -> None:
        loop, leave = asyncio.get_running_loop(), asyncio.Event()
        async with loops.asyncio.serving(visit.server, PATIENCE):
            visit.set_timer()
            visit.start(lambda: loop.call_soon_threadsafe(leave.set))
            await leave.wait()

    visit = Visit()
    with asyncio.Runner(loop_factory=Proactor) as runner:
        runner.run(main())
    assert visit.end() == WELL
    assert "cannot watch descriptors" in caplog.text


# trio

def test_trio_serves_until_the_server_stops_by_itself() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loops.trio.serve, visit.server)
            await trio.sleep(0)
            visit.set_timer()
            visit.start(lambda: visit.server.stop(PATIENCE))

    visit = Visit()
    trio.run(main)
    assert visit.end() == WELL
    assert repr(visit.server.reactor) == "<Reactor closed>"


def test_trio_ends_gently_when_it_is_cancelled() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loops.trio.serve, visit.server, PATIENCE)
            await trio.sleep(0)
            visit.set_timer()
            visit.start(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))

    visit = Visit()
    trio.run(main)
    assert visit.end() == WELL


def test_trio_is_told_before_the_reactor_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    told: list[int] = []
    monkeypatch.setattr(trio.lowlevel, "notify_closing", told.append)
    server = Server(hello)
    server.listen()
    descriptor = server.reactor.fileno()
    monkeypatch.setattr(server, "close", lambda: told.append(-1))
    server.stop(0)
    trio.run(loops.trio.serve, server)
    assert told == [descriptor, -1]
    monkeypatch.undo()
    server.close()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_trio_ends_gently_when_ctrl_c_comes_in_a_turn() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    visit = Visit()
    visit.set_timer()
    visit.start(partial(visit.server.reactor.call_soon_threadsafe, interrupt))
    with pytest.raises(KeyboardInterrupt):
        trio.run(loops.trio.serve, visit.server)
    assert visit.end() == WELL


def test_trio_attends_to_a_reactor_with_several_servers() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loops.trio.attend, reactor)
            await trio.sleep(0)
            for visit in visits:
                visit.set_timer()
                visit.start(partial(visit.server.stop, PATIENCE))
            for visit in visits:
                await loops.trio.stopped(visit.server)
            nursery.cancel_scope.cancel()

    with contextlib.closing(Reactor()) as reactor:
        visits = [Visit(reactor) for _ in range(2)]
        trio.run(main)
        assert [visit.end() for visit in visits] == [WELL] * 2


# gevent

def test_gevent_serves_until_the_server_stops_by_itself() -> None:
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    visit = Visit()
    serving = gevent.spawn(loops.gevent.serve, visit.server)
    gevent.sleep(0)
    visit.set_timer()
    visit.start(lambda: visit.server.stop(PATIENCE))
    serving.get()
    assert visit.end() == WELL
    assert repr(visit.server.reactor) == "<Reactor closed>"


def test_gevent_ends_gently_when_its_greenlet_is_killed() -> None:
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    visit = Visit()
    serving = gevent.spawn(loops.gevent.serve, visit.server, PATIENCE)
    gevent.sleep(0)
    visit.set_timer()
    hub = gevent.get_hub()
    visit.start(lambda: hub.loop.run_callback_threadsafe(serving.kill, gevent.GreenletExit, False))
    serving.join()
    assert visit.end() == WELL


def test_gevent_ends_gently_when_ctrl_c_comes_in_a_turn() -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    visit = Visit()
    visit.set_timer()
    visit.start(partial(visit.server.reactor.call_soon_threadsafe, interrupt))
    with pytest.raises(KeyboardInterrupt):
        loops.gevent.serve(visit.server)
    assert visit.end() == WELL


def test_a_handler_in_gevent_may_wait_while_other_greenlets_run() -> None:
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    event, seen = importlib.import_module("gevent.event").Event(), []

    def application(request: Request) -> Response:
        seen.append("asked")
        event.wait()
        return Response("waited")

    server = Server(application)
    server.listen()
    serving = gevent.spawn(loops.gevent.serve, server)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asyncio.run, fetch(server))
        while not seen:
            gevent.sleep(0)
        event.set()
        server.stop(PATIENCE)
        serving.get()
        assert answer.result() == b"waited"


def test_gevent_attends_to_a_reactor_with_several_servers() -> None:
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    with contextlib.closing(Reactor()) as reactor:
        visits = [Visit(reactor) for _ in range(2)]
        attending = gevent.spawn(loops.gevent.attend, reactor)
        gevent.sleep(0)
        for visit in visits:
            visit.set_timer()
            visit.start(partial(visit.server.stop, PATIENCE))
        for visit in visits:
            loops.gevent.stopped(visit.server)
        attending.kill()
        assert [visit.end() for visit in visits] == [WELL] * 2


PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, json
from evloop_http import App, loops
from evloop_http.loops import guest
from hosting import PATIENCE, Visit
visit = Visit()
serving = gevent.spawn(loops.gevent.serve, visit.server, PATIENCE)
gevent.sleep(0)  # it sleeps in its first turn now
visit.set_timer()
visit.start(END)
serving.join()
print(json.dumps(visit.end()))
"""


@pytest.mark.parametrize("end", ["lambda: visit.server.stop(PATIENCE)", "lambda: serving.kill(block=False)"])
def test_gevent_serves_in_a_program_that_it_has_patched(end: str) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    assert found_by(sys.executable, "-c", PATCHED.replace("END", end)) == WELL


# Hosts that call back, each in a process of its own

def found_by(*command: str, **variables: str) -> Any:
    """What a program prints, as JSON."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HOSTING.parent}", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3 * PATIENCE, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def python_with(module: str) -> str:
    """This Python, or the system's, whichever can import the module; skip if neither can."""
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    program = f"import sys, {module}; sys.exit(sys.version_info < (3, 11))"
    if os.path.exists(SYSTEM_PYTHON) and not subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True,
                                                            timeout=PATIENCE).returncode:
        return SYSTEM_PYTHON
    pytest.skip(f"neither this Python nor {SYSTEM_PYTHON}, if it is 3.11 or newer, has {module}")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb, which Tk needs")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server, open(reader) as number:
        os.close(writer)
        try:
            yield f":{number.readline().strip()}"  # once it is ready
        finally:
            server.terminate()


@pytest.fixture(params=["tk", "glib", "qt"])
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def play(host: str, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Plays a scene of `hosting.py` in a host."""
    name = host
    python = python_with({"tk": "tkinter", "glib": "gi", "qt": "PySide6"}[name])
    variables = {"DISPLAY": request.getfixturevalue("display")} if name == "tk" else {}
    command = (python, "-W", "error::ResourceWarning", str(HOSTING), name)
    return lambda *scene: found_by(*command, *scene, **variables)


def lines_for(host: str) -> tuple[str, str]:
    """How to serve in a host and how to stop, as the README has it."""
    table = re.findall(r"^[\w, ]+?  +``(guest = .+?)``  +``(.+?)``$", README, re.MULTILINE)
    (attach, stop), = [lines for lines in table if f"loops.{host}." in lines[0]]
    return attach, stop


def test_a_host_that_calls_back_serves_and_ends_gently_by_the_lines_of_the_readme(
        host: str, play: Callable[..., Any]) -> None:
    assert play("serve", *lines_for(host)) == WELL


def test_a_handler_that_runs_the_loop_of_its_host_holds_the_others_up_and_nothing_spins(
        play: Callable[..., Any]) -> None:
    asked, other = play("dialog")["answers"]
    assert asked in ("0 calls, 0 turns in 50 rounds", "1 calls, 0 turns in 50 rounds")
    assert other == "answered"


def test_a_host_draws_while_the_reactor_always_has_work(play: Callable[..., Any]) -> None:
    assert play("drawing") == {"drawn": [True, True]}


@pytest.mark.parametrize("host", ["tk"], indirect=True)
def test_a_window_that_is_destroyed_has_no_guest_any_more(play: Callable[..., Any]) -> None:
    assert play("destroyed") == {"attached": [True, False]}


# What is missing

@pytest.mark.parametrize(("name", "library", "words"), [
    ("gevent", "gevent", "needs gevent: python3 -m pip install gevent"),
    ("glib", "gi", "needs PyGObject (on Debian: python3-gi; on PyPI: PyGObject)"),
    ("qt", "PySide6", "needs PySide6 (or import PyQt6 first): python3 -m pip install PySide6-Essentials"),
    ("trio", "trio", "needs trio: python3 -m pip install trio"),
])
def test_a_host_that_is_not_installed_is_named_with_what_to_install(name: str, library: str, words: str) -> None:
    program = f"import sys; sys.modules[{library!r}] = None\nfrom evloop_http import loops\nloops.{name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == f"ImportError: evloop_http.loops.{name} {words}"


def test_qt_without_an_application_says_what_to_make_first() -> None:
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    with (contextlib.closing(Reactor()) as reactor,
          pytest.raises(RuntimeError, match="make a QApplication or QCoreApplication, then attach")):
        loops.qt.attach(reactor)
