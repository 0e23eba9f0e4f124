"""What the conformance run of WebSocket makes of a report of the suite. The suite itself is run by hand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from conformance import autobahn
from evloop_http.testing import Client


def case(behavior: str = "OK", close: str = "OK") -> dict[str, str]:
    return {"behavior": behavior, "behaviorClose": close}


CASES = {"1.1.1": case(), "6.4.10": case("NON-STRICT"), "6.4.3": case("NON-STRICT"), "7.1.6": case("INFORMATIONAL"),
         "10.1.1": case("FAILED"), "9.1.1": case("OK", "WRONG CODE")}


def test_failures_and_lenient_passes_are_told_in_the_order_of_the_suite() -> None:
    assert autobahn.failures(CASES) == ["9.1.1", "10.1.1"]
    assert autobahn.non_strict(CASES) == ["6.4.3", "6.4.10"]
    lines = autobahn.summary(CASES).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["1", "6", "7", "9", "10"]
    assert lines[2].split() == ["6", "0", "2", "0", "0"]
    assert lines[-2:] == ["failed: 9.1.1 10.1.1", "non-strict: 6.4.3 6.4.10"]


@pytest.mark.parametrize(("cases", "tolerated", "status"), [
    ({"1.1.1": case()}, 0, 0), ({"1.1.1": case("FAILED")}, 4, 1), ({"6.4.3": case("NON-STRICT")}, 1, 0),
    ({"6.4.3": case("NON-STRICT")}, 0, 1)])
def test_the_exit_status_says_whether_the_bar_is_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     cases: autobahn.Cases, tolerated: int, status: int) -> None:
    pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")
    report, runner = tmp_path / "report", tmp_path / "runner"
    report.mkdir()
    (report / "index.json").write_text(json.dumps({"evloop_http": cases}))
    runner.write_text("#!/bin/sh\nexit 1\n")
    runner.chmod(runner.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(autobahn, "install", lambda: runner)
    assert autobahn.main(["--keep", str(report), "--non-strict", str(tolerated), "--exclude", "9.*"]) == status


def test_what_is_tested_is_an_echo() -> None:
    pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")
    with Client(autobahn.make_echo()).websocket("/") as ws:
        ws.send("x")
        assert ws.receive() == "x"
