"""Load runs by locust: one that passes, what it leaves with the server, and those that must not pass.

They need the environment of `./scripts/load`, which is made here if it is not there; without a network the tests
that need it say so and skip. The demo of the first run lives in this process, so that what is left of it
can be counted. The runs that must fail go on side by side, as they mostly wait.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

import runner
from asking import PATIENCE
from bad_servers import MISDEEDS, dawdling, serve_badly
from evloop_http import Server
from evloop_http.demo.app import create_app
from gate import VERDICT_NAME, judge_report

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds; nothing here takes half of it
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


class Ended(NamedTuple):
    """A load run that is over."""

    status: int
    output: str
    folder: Path

    @property
    def faults(self) -> list[str]:
        """What was found wrong."""
        return [line.removeprefix("FAILED  ") for line in self.output.splitlines() if line.startswith("FAILED  ")]


class Run:
    """A load run: `load/locust/runner.py` in a process of its own, which is read by a thread."""

    def __init__(self, python: Path, folder: Path, *options: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [python, ROOT / "load" / "locust" / "runner.py", *options, "--report", folder], cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what it says, when it has said so."""
        def said() -> re.Match[str] | None:
            return re.search(pattern, "".join(self.lines))
        with self._news:
            match = self._news.wait_for(said, LIMIT)
        assert match, self.lines
        return match

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> Ended:
        """Wait until it is over."""
        try:
            status = self._process.wait(LIMIT)
        finally:
            self._process.terminate()
            self._process.wait()
            self._reader.join()
        return Ended(status, "".join(self.lines), self.folder)


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the environment for load runs."""
    quick = {"VENV": ".venv-load", "PIP_RETRIES": "1", "PIP_TIMEOUT": "10", "PYTHON": sys.executable}
    made = subprocess.run([ROOT / "scripts" / "venv", "load"], env={**os.environ, **quick}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        why = re.search(r"ERROR: (.*)", made.stdout) or re.search(r"(.*)\n*\Z", made.stdout)
        pytest.skip(f"there is no environment with locust, and none can be made: {why and why[1]}")
    return ROOT / ".venv-load" / "bin" / "python"


# -- a run that passes


class Counted(NamedTuple):
    """What a server holds."""

    connections: int
    descriptors: int
    timers: int
    registrations: int


def count(server: Server) -> Counted:
    return Counted(server.connections, len(os.listdir("/proc/self/fd")), server.reactor.timers,
                   server.reactor.registrations)


def settle(server: Server, at_rest: Callable[[Counted], bool]) -> Counted:
    """What is left when all has come to rest, or time is up."""
    until = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not at_rest(now := count(server)) and time.monotonic() < until:
        pause.wait(0.05)
    return now


@needs_proc
def test_fifty_mixed_users_pass_the_gate_and_leave_nothing_with_the_server(python: Path, tmp_path: Path) -> None:
    with Server(create_app()).in_thread() as server:
        runner.wait_until_it_answers(server.url)
        base = settle(server, lambda now: now.connections == now.timers == 0)
        run = Run(python, tmp_path, "mixed", "--users", "50", "--time", "15s", "--wait", "0.3", "--host", server.url)
        ended = run.end()
        assert ended.faults == [], ended.output
        assert ended.status == 0
        assert judge_report(tmp_path) == []
        left = settle(server, lambda now: now == base)
        served = server.stats()["requests"]
    assert left == base
    assert isinstance(served, int)
    assert served >= requests_in(tmp_path)  # those under way at the end count for the server alone
    assert (tmp_path / "report.html").stat().st_size > 1000


def requests_in(folder: Path) -> int:
    with (folder / "requests_stats.csv").open(newline="") as file:
        # A stream of events has a line for its first event and another one for the others.
        return sum(int(row["Request Count"]) for row in csv.DictReader(file)
                   if row["Name"] not in ("Aggregated", "/events (held)"))


# -- runs that must not pass

FEW = ("--users", "4", "--wait", "0.1", "--answer-within", "1")


class Batch(NamedTuple):
    """Runs that went on side by side."""

    ended: dict[str, Ended]
    #: how many requests came to the bad servers
    asked: dict[str, int]


@pytest.fixture(scope="module")
def batch(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Runs against servers that are not as they should be, two that go wrong by themselves, and a good one."""
    def run(url: str, time: str, *options: str) -> Run:
        where = ("--host", url) if url else ()
        return Run(python, tmp_path_factory.mktemp("run"), "api", *where, "--time", time, *FEW, *options)

    with ExitStack() as up, ThreadPoolExecutor() as pool:
        bad = {name: up.enter_context(serve_badly(misdeed)) for name, misdeed in MISDEEDS.items()}
        runs = {name: run(server.url, "4s") for name, server in bad.items()}
        runs["answers late"] = run(up.enter_context(dawdling(0.5, 60)), "4s", "--p95", "400")
        runs["answers no more"] = run(up.enter_context(dawdling(0, 3)), "8s", "--answer-within", "7")
        good = up.enter_context(Server(create_app()).in_thread())
        runs["nobody asks"] = run(good.url, "4s", "--tags", "none")
        runs["a worker is killed"] = run(good.url, "7s", "--processes", "2")
        runs["good"] = run("", "7s", "--processes", "2", "--tls", "--new-connections", "--p95", "5000",
                           "--answer-within", "7")
        pool.submit(kill_a_worker, runs["a worker is killed"])
        ended = {name: run.end() for name, run in runs.items()}
        return Batch(ended, {name: len(server.asked) for name, server in bad.items()})


def kill_a_worker(run: Run) -> None:
    """Kill one of locust's two workers in the middle of a run."""
    run.wait_for(r"[1-9]\d* requests")
    (locust,) = children(run.pid)
    os.kill(children(locust)[0], signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_proc
@pytest.mark.parametrize(("name", "fault"), [
    ("accepts and never answers", "every request failed"),
    ("hangs up without an answer", "every request failed"),
    ("hangs up in the middle of an answer", "every request failed"),
    ("stops in the middle of an answer", "every request failed"),
    ("answers that it is broken", "every request failed"),
    ("answers with something else", "every request failed"),
    ("answers late", "the 95th percentile is"),
    ("answers no more", "requests were still without an answer when the run ended"),
    ("nobody asks", "0 requests in all"),
    ("a worker is killed", "1 of 2 workers sent no final report"),
])
def test_a_run_that_proves_nothing_does_not_pass(batch: Batch, name: str, fault: str) -> None:
    ended = batch.ended[name]
    assert ended.status == 1, ended.output
    assert any(fault in found for found in ended.faults), ended.output
    assert judge_report(ended.folder)


def test_where_a_worker_was_killed_nothing_else_was_wrong(batch: Batch) -> None:
    assert all("worker" in fault or "at least" in fault for fault in batch.ended["a worker is killed"].faults)


@needs_proc
@pytest.mark.parametrize("name", MISDEEDS)
def test_every_request_to_a_bad_server_fails_and_is_not_sent_again_behind_our_back(batch: Batch, name: str) -> None:
    verdict = json.loads((batch.ended[name].folder / VERDICT_NAME).read_text())
    assert verdict["failures"] == verdict["requests"]
    assert verdict["requests"] <= batch.asked[name] <= verdict["requests"] + verdict["users"]


@needs_proc
def test_two_processes_with_a_new_tls_connection_for_every_request_pass(batch: Batch) -> None:
    ended = batch.ended["good"]
    assert (ended.status, ended.faults) == (0, []), ended.output
    verdict = json.loads((ended.folder / VERDICT_NAME).read_text())
    assert verdict["workers"] == 2
    assert verdict["new_connections"]
    assert verdict["host"].startswith("https://")


# -- the end of a server under load


def test_a_server_that_is_told_to_stop_fails_no_request_that_it_took(python: Path, tmp_path: Path) -> None:
    with runner.Demo(tmp_path, tls=False) as demo:
        url = demo.url
        run = Run(python, tmp_path / "report", "mixed", "--users", "30", "--time", "9s", "--wait", "0.1",
                  "--host", url)
        run.wait_for(r"[5-9]\d\d requests")
        assert demo.stop() == []
        ended = run.end()
    with (tmp_path / "report" / "requests_failures.csv").open(newline="") as file:
        errors = {(row["Name"], row["Error"]) for row in csv.DictReader(file)}
    assert any("refused" in error.lower() for _, error in errors), ended.output
    # A stream of events has no end of its own: that it is ended is what stopping means.
    unexpected = {(name, error) for name, error in errors
                  if "refused" not in error.lower() and not (name == "/events (held)" and "stream ended" in error)}
    assert unexpected == set()
    assert ended.status == 1
