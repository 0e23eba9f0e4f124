"""What `./scripts/load` does around locust: the demo, processes that do not end, and servers that are not there."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import runner
from asking import PATIENCE
from gate import Outcome, Row, judge_report, write_verdict
from runner import Demo, NotServed, run_to_its_end
from scenarios import SCENARIOS, make_rules

ROOT = Path(__file__).resolve().parents[2]

# Connects to the port it is given, has a child with the same connection, and waits for somebody to end it.
STUBBORN = """
import signal, socket, subprocess, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.set_inheritable(True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "input()"], close_fds=False, stdin=subprocess.PIPE)
if len(sys.argv) > 2:
    sys.exit(int(sys.argv[2]))
signal.pause()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.mark.parametrize(("arguments", "status"), [((), 124), (("3",), 3)])
def test_of_a_program_that_ended_or_should_have_no_child_is_left(
        listener: socket.socket, arguments: tuple[str, ...], status: int) -> None:
    port = str(listener.getsockname()[1])
    assert run_to_its_end([sys.executable, "-c", STUBBORN, port, *arguments], 1.5) == status
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b""  # the child held it as well


@pytest.mark.parametrize(("text", "number"), [("30", 30), ("45s", 45), ("1.5m", 90), ("2h", 7200)])
def test_a_time_may_have_a_unit(text: str, number: float) -> None:
    assert runner.seconds(text) == number


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "1d", "s", "1m30s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        runner.seconds(text)


def test_a_run_is_as_large_as_its_shape_says_unless_told_otherwise() -> None:
    def options(*arguments: str) -> argparse.Namespace:
        parsed = runner.make_parser().parse_args(["browse", *arguments])
        runner.fill_in(parsed)
        return parsed

    assert (options().users, options().time) == (50, 30)
    assert (options("--shape", "table").users, options("--shape", "table").time) == (1000, 100)
    told = options("--shape", "spike", "--users", "20", "--time", "10s")
    assert (told.users, told.time) == (20, 10)
    assert runner.rules_of(told).requests < runner.rules_of(options("--shape", "spike")).requests


def test_what_is_not_ours_is_handed_to_locust() -> None:
    parser = runner.make_parser()
    options, more = parser.parse_known_args(["mixed", "--master", "--expect-workers", "2", "--users", "9"])
    runner.fill_in(options)
    options.host = "http://127.0.0.1"
    command = runner.locust_command(options, more)
    assert command[-2 - 8 - 1:-8] == ["--master", "--expect-workers", "2"]
    assert command[-8:] == list(SCENARIOS["mixed"])


def test_a_scenario_that_there_is_not_is_told_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        runner.make_parser().parse_args(["brwose"])
    assert "brwose" in capsys.readouterr().err


# -- the demo


def test_the_demo_is_served_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with Demo(tmp_path, tls=False) as demo:
        url = demo.url
        runner.wait_until_it_answers(url)
        assert demo.stop() == []
    assert url.startswith("http://127.0.0.1:")


def test_the_demo_is_served_over_tls(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the 'cert' extra is not installed")
    with Demo(tmp_path, tls=True) as demo:
        assert demo.url.startswith("https://127.0.0.1:")
        runner.wait_until_it_answers(demo.url)
        assert demo.stop() == []


def test_a_demo_that_died_is_a_fault(tmp_path: Path) -> None:
    with Demo(tmp_path, tls=False) as demo:
        runner.wait_until_it_answers(demo.url)
        os.kill(demo.pid, signal.SIGKILL)
        os.waitid(os.P_PID, demo.pid, os.WEXITED | os.WNOWAIT)
        (fault,) = demo.stop()
    assert fault.startswith("the demo died during the run, with status -9")


def test_a_demo_that_logged_an_error_is_a_fault(tmp_path: Path) -> None:
    with Demo(tmp_path, tls=False) as demo:
        connection = runner.connect(demo.url)
        connection.request("GET", "/panic")
        assert connection.getresponse().status == 500
        connection.close()
        (fault,) = demo.stop()
    assert fault.startswith("the demo logged an error")


def test_a_demo_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    (tmp_path / "evloop_http.py").write_text("raise SystemExit('no such luck')")
    with Demo(tmp_path, tls=False) as demo, pytest.raises(NotServed, match="no such luck"):
        _ = demo.url


def test_a_server_that_is_not_there_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runner, "START", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert runner.main(["api", "--host", url, "--report", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert f"FAILED  {url} does not answer" in capsys.readouterr().out


def test_a_report_of_an_earlier_run_says_nothing_of_one_that_did_not_take_place(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rules = make_rules(["ApiUser"], 1, wait=1, p95=1000)
    outcome = Outcome([Row(name, 9, 0, 1) for name in rules.endpoints], (36, 0))
    lines = ["Type,Name,Request Count,Failure Count,95%", *(f"{name.replace(' ', ',')},9,0,1" for name in
             rules.endpoints), ",Aggregated,36,0,1"]
    (tmp_path / "requests_stats.csv").write_text("\n".join(lines))
    (tmp_path / "requests_exceptions.csv").write_text("Count\n")
    write_verdict(tmp_path, rules, outcome, {})
    assert judge_report(tmp_path, rules) == []
    monkeypatch.setattr(runner, "LOCUST", (sys.executable, "-c", "pass", "-f", ""))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert runner.main(["api", "--users", "1", "--time", "1s", "--report", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "FAILED  there is no verdict" in capsys.readouterr().out


def test_the_script_tells_how_it_is_used() -> None:
    told = subprocess.run([sys.executable, ROOT / "load" / "locust" / "runner.py", "--help"], capture_output=True,
                          text=True, check=True).stdout
    assert told.startswith("usage: scripts/load")
    assert all(scenario in told for scenario in SCENARIOS)
