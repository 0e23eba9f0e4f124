"""How the command ends: real processes and real signals, however their threads and their loops behave."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asking import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM

#: Every handler says when it has been called, and none of them returns.
SITE = """
import asyncio, atexit, re, threading, time
from concurrent.futures import Future, ThreadPoolExecutor
from evloop_http import App

app, pool, forever = App(), ThreadPoolExecutor(1), threading.Event()

def block():
    print("at work", flush=True)
    forever.wait()

@app.get("/report", threaded=True)
def report(request):
    block()

@app.get("/executor")  # the interpreter waits for the threads of an executor
def executor(request):
    return pool.submit(block)

@app.get("/later")
def later(request):
    print("at work", flush=True)
    return Future()

app.get("/deep/{path:path}")(lambda request, path: later(request))

@app.get("/spin")
def spin(request):
    print("at work", flush=True)
    while True:
        pass

@app.get("/sleep")
def sleep(request):
    print("at work", flush=True)
    time.sleep(1000)

@app.get("/match")  # holds the interpreter's lock, so that no thread runs
def match(request):
    print("at work", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")

class Clinging(App):
    def close(self):
        forever.wait()

clinging = Clinging()
clinging.get("/later")(later)

class Coroutines:
    needs_loop = True

    def __init__(self):
        self.tasks = []

    def __call__(self, request):
        task = asyncio.get_running_loop().create_task(getattr(self, request.path[1:])())
        self.tasks.append(task)
        return Future()

    async def wait(self):
        print("at work", flush=True)
        await asyncio.sleep(1000)

    async def go_on(self):
        print("at work", flush=True)
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

    async def thread(self):
        await asyncio.to_thread(block)

    async def spin(self):
        print("at work", flush=True)
        while True:
            pass

coroutines = Coroutines()

def lasting():
    atexit.register(forever.wait)
    return app
"""

#: The command, with 10 seconds made short.
HURRIED = """
import sys
from evloop_http import cli, ending
ending.GRACE = ending._LAST_WORDS = 0.1
sys.exit(cli.main())
"""


class Site:
    """The command that serves an application of SITE."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process, self.out, self.err = process, process.stdout, process.stderr
        self.out.readline()
        self.port = int(self.out.readline().rpartition(":")[2])
        assert self.out.readline() == "Ctrl-C stops it.\n"

    def ask(self, target: str) -> socket.socket:
        """Send a request and return when its handler is at work."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert self.out.readline() == "at work\n"
        return client

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int) -> tuple[int, str]:
        """Send a last signal. Return the exit status, and what standard error says."""
        self.send(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@contextlib.contextmanager
def serving(folder: Path, name: str = "app", command: tuple[str, ...] = ("-m", "evloop_http")) -> Iterator[Site]:
    (folder / "site_of_blocks.py").write_text(SITE)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    arguments = [sys.executable, *command, "run", f"site_of_blocks:{name}", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                          env={**os.environ, "PYTHONPATH": path}) as process:
        bound = threading.Timer(PATIENCE, process.kill)  # whoever reads what is never written reads an end then
        bound.start()
        try:
            yield Site(process)
        finally:
            bound.cancel()
            bound.join()
            process.kill()


@pytest.mark.parametrize("first", [SIGINT, SIGTERM])
@pytest.mark.parametrize(("second", "status"), [(SIGINT, 130), (SIGTERM, 0)])
def test_the_first_signal_says_what_is_waited_for_and_the_second_closes_it(tmp_path: Path, first: int, second: int,
                                                                           status: int) -> None:
    with serving(tmp_path) as site, site.ask("/later?token=a") as later, site.ask("/report?token=a") as report:
        site.send(first)
        assert site.err.readline() == \
            "evloop-http: waiting for 2 requests, 1 in a thread: /report; again to close them\n"
        code, err = site.end(second)
        assert code == status
        assert re.fullmatch(r"\S+ \S+ WARNING the server has stopped, but handlers are still at work in threads: "
                            r"/report\n", err)
        assert later.recv(1) == report.recv(1) == b""


def test_connections_without_a_request_are_counted(tmp_path: Path) -> None:
    with serving(tmp_path) as site, socket.create_connection(("127.0.0.1", site.port)) as half, site.ask("/later"):
        half.sendall(b"GET /half HTTP/1.1\r\n")
        with site.ask("/later"):
            site.send(SIGTERM)
            assert site.err.readline() == \
                "evloop-http: waiting for 2 requests: /later (2 times); 1 other connection; again to close them\n"
            assert site.end(SIGTERM) == (0, "")


def test_a_long_path_and_a_query_do_not_reach_the_terminal(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.ask("/deep/" + 5000 * "x" + "?token=secret"):
        site.send(SIGTERM)
        line = site.err.readline()
        assert line.endswith("; again to close it\n")
        assert "token" not in line
        assert len(line) < 200
        site.end(SIGTERM)


@pytest.mark.parametrize("target", ["/report", "/executor"])
@pytest.mark.parametrize(("number", "status"), [(SIGINT, 130), (SIGTERM, 0)])
def test_no_thread_keeps_the_process_after_the_second_signal(tmp_path: Path, target: str, number: int,
                                                             status: int) -> None:
    with serving(tmp_path) as site, site.ask(target) as client:
        site.send(number)
        assert site.err.readline()
        assert site.end(number)[0] == status
        assert client.recv(1) == b""


@pytest.mark.parametrize("target", ["/wait", "/go_on", "/thread"])
@pytest.mark.parametrize(("number", "status"), [(SIGINT, 130), (SIGTERM, 0)])
def test_neither_does_a_coroutine(tmp_path: Path, target: str, number: int, status: int) -> None:
    with serving(tmp_path, "coroutines") as site, site.ask(target) as client:
        site.send(number)
        assert site.err.readline() == f"evloop-http: waiting for 1 request: {target}; again to close it\n"
        assert site.end(number)[0] == status
        assert client.recv(1) == b""


@pytest.mark.parametrize("name", ["clinging", "lasting"])
def test_nor_an_application_that_does_not_close_nor_an_exit_function(tmp_path: Path, name: str) -> None:
    with serving(tmp_path, name) as site, site.ask("/later"):
        site.send(SIGINT)
        assert site.err.readline()
        assert site.end(SIGINT) == (130, "")


@pytest.mark.parametrize(("name", "target"), [("app", "/executor"), ("clinging", "/later"), ("lasting", "/later"),
                                              ("app", "/spin"), ("coroutines", "/wait"), ("coroutines", "/go_on"),
                                              ("coroutines", "/thread"), ("coroutines", "/spin")])
def test_after_its_grace_the_process_ends_by_itself(tmp_path: Path, name: str, target: str) -> None:
    with serving(tmp_path, name, ("-c", HURRIED)) as site, site.ask(target) as client:
        assert site.end(SIGTERM)[0] == 0
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


@pytest.mark.parametrize("target", ["/spin", "/sleep"])
@pytest.mark.parametrize(("number", "status"), [(SIGINT, 130), (SIGTERM, 0)])
def test_a_loop_that_does_not_answer_is_said_not_to_and_ended(tmp_path: Path, target: str, number: int,
                                                              status: int) -> None:
    with serving(tmp_path) as site, site.ask(target):
        site.send(number)
        assert site.err.readline() == \
            "evloop-http: the loop does not answer: a handler has not returned; again to end it\n"
        assert site.end(number) == (status, "")


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_the_third_signal_ends_a_loop_beside_which_no_thread_runs(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as site, site.ask("/match"):
        for _ in range(200):  # Python may not have seen one before the next comes, and counts them as one
            site.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                site.process.wait(0.1)
                break
        assert site.process.returncode == -number  # which a shell reports as 130 or 143


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_one_signal_with_nothing_to_wait_for_says_nothing(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as site, socket.create_connection(("127.0.0.1", site.port)):
        assert site.end(number) == (0, "")
