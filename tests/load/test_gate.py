"""The gate of the load runs: what it lets pass and what not, told by numbers and by the files of a run."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gate
from gate import BadReport, Demand, Outcome, Row, Rules, faults, judge_report, read_csv, write_verdict

RULES = Rules(100, {"GET /": Demand(20, 500), "POST /echo": Demand(5, 1000)}, fail_ratio=0.01)
GOOD = Outcome([Row("GET /", 90, 0, 12.0), Row("POST /echo", 10, 0, 30.0)], (100, 0), workers=(2, 2))


def with_rows(*rows: Row) -> Outcome:
    """An outcome with these rows and their sum."""
    return replace(GOOD, rows=rows, total=(sum(row.requests for row in rows), sum(row.failures for row in rows)))


def test_a_run_that_did_what_it_should_passes() -> None:
    assert faults(RULES, GOOD) == []


def test_a_run_without_a_request_fails_whatever_was_asked_of_it() -> None:
    nothing = Outcome([], (0, 0))
    assert "0 requests in all, at least 100 were to be made" in faults(RULES, nothing)
    assert faults(Rules(0, {}), nothing) == [
        "0 requests in all, at least 1 were to be made", "no endpoint was to be asked for"]
    assert "GET /: 0 requests, at least 1 were to be made" in faults(Rules(0, {"GET /": Demand(0, 1)}), nothing)


@pytest.mark.parametrize(("rows", "fault"), [
    ([Row("GET /", 100, 0, 12)], "POST /echo: 0 requests, at least 5 were to be made"),
    ([Row("GET /", 96, 0, 12), Row("POST /echo", 4, 0, 30)], "POST /echo: 4 requests, at least 5 were to be made"),
    ([Row("GET /", 500, 0, 12), Row("POST /echo", 5, 5, 30)], "POST /echo: every request failed"),
    ([Row("GET /", 90, 0, 501), Row("POST /echo", 10, 0, 30)],
     "GET /: the 95th percentile is 501 ms, 500 ms is allowed"),
    ([Row("GET /", 90, 0, math.nan), Row("POST /echo", 10, 0, 30)],
     "GET /: the 95th percentile is nan ms, 500 ms is allowed"),
    ([Row("GET /", 90, 0, 12), Row("POST /echo", 9, 0, 30)], "99 requests in all, at least 100 were to be made"),
    ([Row("GET /", 90, 2, 12), Row("POST /echo", 10, 0, 30)], "2 of 100 requests failed, 1.00% may"),
    ([*GOOD.rows, Row("GET /admin", 1, 0, 1)], "GET /admin: not among the endpoints of the scenario"),
    ([*GOOD.rows, Row("GET /", 50, 0, 1)], "an endpoint stands twice in the report"),
])
def test_each_number_that_is_off_is_a_fault_of_its_own(rows: list[Row], fault: str) -> None:
    assert faults(RULES, with_rows(*rows)) == [fault]


@pytest.mark.parametrize(("change", "fault"), [
    ({"exceptions": 3}, "3 exceptions in the users' code"),
    ({"workers": (2, 1)}, "1 of 2 workers sent no final report: what they counted is lost"),
    ({"stuck": {"GET /": 7}}, "GET /: 7 requests were still without an answer when the run ended"),
    ({"trouble": ["the roof is on fire"]}, "the roof is on fire"),
    ({"total": (120, 0)}, "the report contradicts itself: 120 requests and 0 failures in all, "
                          "100 and 0 when the rows are summed up"),
    ({"total": (100, 1)}, "the report contradicts itself: 100 requests and 1 failures in all, "
                          "100 and 0 when the rows are summed up"),
])
def test_what_no_row_tells_is_a_fault_too(change: dict[str, Any], fault: str) -> None:
    assert faults(RULES, replace(GOOD, **change)) == [fault]


def test_just_enough_is_enough() -> None:
    rules = Rules(100, {"GET /": Demand(95, 500), "POST /echo": Demand(5, 30)}, fail_ratio=0.01)
    assert faults(rules, with_rows(Row("GET /", 95, 1, 500), Row("POST /echo", 5, 0, 30))) == []


numbers = st.integers(0, 200)
rows = st.lists(st.builds(Row, st.sampled_from(["GET /", "POST /echo", "GET /else"]), numbers, numbers,
                          st.floats(0, 2000) | st.just(math.nan)), max_size=4)


@given(rows, st.tuples(numbers, numbers), numbers, st.tuples(numbers, numbers))
def test_whatever_passes_has_all_that_the_rules_name(
        rows: list[Row], total: tuple[int, int], exceptions: int, workers: tuple[int, int]) -> None:
    outcome = Outcome(rows, total, exceptions, workers)
    if faults(RULES, outcome):
        return
    measured = {row.name: row for row in rows}
    assert measured.keys() == RULES.endpoints.keys()
    for name, demand in RULES.endpoints.items():
        assert measured[name].requests >= demand.least
        assert measured[name].p95 <= demand.p95
    assert sum(row.requests for row in rows) >= RULES.requests
    assert sum(row.failures for row in rows) <= RULES.fail_ratio * total[0]
    assert exceptions == 0
    assert workers[1] >= workers[0]


# -- reports

STATS = ["Type", "Name", "Request Count", "Failure Count", "Median Response Time", "95%", "100%"]


def write_table(path: Path, *lines: list[Any]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def write_report(folder: Path, outcome: Outcome = GOOD, rules: Rules = RULES) -> Path:
    """A report as a run leaves it."""
    lines = [[*row.name.split(" ", 1), row.requests, row.failures, 1, "N/A" if math.isnan(row.p95) else row.p95, 99]
             for row in outcome.rows]
    write_table(folder / "requests_stats.csv", STATS, *lines, ["", "Aggregated", *outcome.total, 1, 50, 99])
    raised = [[outcome.exceptions, "boom", "Traceback,\n...", "local"]] if outcome.exceptions else []
    write_table(folder / "requests_exceptions.csv", ["Count", "Message", "Traceback", "Nodes"], *raised)
    write_verdict(folder, rules, outcome, {"host": "http://127.0.0.1"})
    return folder


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    outcome = replace(GOOD, workers=(0, 0), exceptions=2)
    assert read_csv(write_report(tmp_path, outcome)) == outcome


def test_a_report_of_a_good_run_passes_again(tmp_path: Path) -> None:
    assert judge_report(write_report(tmp_path)) == []
    assert judge_report(tmp_path, RULES) == []


def test_a_report_is_judged_by_the_rules_that_are_handed_in_and_not_by_its_own(tmp_path: Path) -> None:
    write_report(tmp_path, rules=replace(RULES, requests=1))
    assert judge_report(tmp_path) == []
    assert judge_report(tmp_path, replace(RULES, requests=101)) == ["100 requests in all, at least 101 were to be made"]


@pytest.mark.parametrize("change", [{"exceptions": 3}, {"workers": (2, 1)}, {"stuck": {"GET /": 7}}])
def test_a_verdict_against_the_run_stands_whatever_the_csv_says(tmp_path: Path, change: dict[str, Any]) -> None:
    outcome = replace(GOOD, **change)
    assert judge_report(write_report(tmp_path, outcome), RULES) == faults(RULES, outcome)


def spoil_verdict(change: dict[str, Any]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        path = folder / "verdict.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return spoil


@pytest.mark.parametrize(("spoil", "fault"), [
    (lambda folder: (folder / "verdict.json").unlink(), "there is no verdict in"),
    (lambda folder: (folder / "verdict.json").write_text('{"passed": true'), "there is no verdict in"),
    (lambda folder: (folder / "verdict.json").write_text("[]"), "there is no verdict in"),
    (spoil_verdict({"passed": None}), "the verdict is against the run and does not say why"),
    (spoil_verdict({"requests": 99}), "the CSV counts 100 requests and the verdict 99"),
    (lambda folder: (folder / "requests_stats.csv").unlink(), "requests_stats.csv cannot be read"),
    (lambda folder: (folder / "requests_stats.csv").write_text(""), "requests_stats.csv is empty"),
    (lambda folder: (folder / "requests_stats.csv").write_bytes(b"\xff\xfe"), "requests_stats.csv cannot be read"),
    (lambda folder: write_table(folder / "requests_stats.csv", STATS), "requests_stats.csv has no line for the sum"),
    (lambda folder: write_table(folder / "requests_stats.csv", STATS, ["GET", "/", "many", 0, 1, 1, 1]),
     "there is no number in the column 'Request Count'"),
    (lambda folder: write_table(folder / "requests_stats.csv", STATS, ["GET", "/", -1, 0, 1, 1, 1]),
     "-1 in the column 'Request Count'"),
    (lambda folder: write_table(folder / "requests_stats.csv", ["Name", "Type"], ["/", "GET"]),
     "there is no number in the column 'Request Count'"),
    (lambda folder: (folder / "requests_exceptions.csv").unlink(), "requests_exceptions.csv cannot be read"),
    (lambda folder: write_table(folder / "requests_exceptions.csv", ["Count"], ["2"]),
     "2 exceptions in the users' code"),
])
def test_a_report_that_is_not_whole_never_passes(
        tmp_path: Path, spoil: Callable[[Path], object], fault: str) -> None:
    write_report(tmp_path)
    spoil(tmp_path)
    (found,) = judge_report(tmp_path)
    assert found.startswith(fault)
    assert judge_report(tmp_path, RULES) == [found]


def test_a_report_without_times_does_not_pass(tmp_path: Path) -> None:
    write_report(tmp_path, with_rows(Row("GET /", 90, 0, math.nan), GOOD.rows[1]))
    assert judge_report(tmp_path) == ["GET /: the 95th percentile is nan ms, 500 ms is allowed"]


def test_a_report_cut_off_at_any_byte_never_passes(tmp_path: Path) -> None:
    write_report(tmp_path)
    path = tmp_path / "requests_stats.csv"
    whole = path.read_bytes()
    needed = len(whole) - len(b",1,50,99\r\n")  # of the last line only the counts are read
    for size in range(needed):
        path.write_bytes(whole[:size])
        assert judge_report(tmp_path), size
    path.write_bytes(whole[:1])
    with pytest.raises(BadReport):
        read_csv(tmp_path)


def test_by_hand_the_gate_says_what_is_wrong_with_each_folder(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    write_report(good)
    assert gate.main([str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: passed\n"
    assert gate.main([str(bad), str(good)]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}: there is no verdict in {bad}")
    assert gate.main([]) == 2
