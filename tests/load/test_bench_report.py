"""What the bench tells: tables, pictures, the README's table, and the history of daily ratios."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bench import history, report
from bench.figures import Figure, Series
from bench.report import Results

# -- Tables


def results(**values: list[float | None]) -> Results:
    """A run of `ping` with 10 connections; a server that was there and has no values could not be measured."""
    machine = {"cpu": "Some CPU", "cores": 2, "system": "Linux 6.1", "python": "3.11.7", "load": 0.1}
    made = Results(machine, "abc1234", "./scripts/bench", 3, 2, versions=dict.fromkeys(values, "1.0"))
    made.series = [Series("ping", 10, name, [Figure(value, {"50": 1.0, "99": 2.0}, commands=["serve", "wrk"])
                                             for value in given]) for name, given in values.items() if given]
    return made


def test_a_table_has_medians_ratios_with_their_ends_and_dashes() -> None:
    made = results(ours=[100, 200, 300], bare=[200, 200, 200], nginx=[])
    lines = report.table(made, "ping", 10).splitlines()
    assert lines[0].startswith("ping: GET /ping")
    assert " ".join(lines[2].split()) == "ours 200 100 - 300 1.00 (0.50 - 1.50) - 1.00 2.00 - - - -"
    assert " ".join(lines[3].split()) == "bare 200 200 - 200 - 1.00 (0.50 - 1.50) 1.00 2.00 - - - -"
    assert lines[4].split() == ["nginx", *"----------"]
    assert lines[5] == "    $ wrk"


def test_errors_stand_below_the_median_and_no_figure_is_a_sentence() -> None:
    made = results(ours=[100.0], go=[None])
    made.series[0].figures[0].errors = {"timeout": 1200}
    made.series[1].figures[0].trouble = "answers differently"
    lines = report.table(made, "ping", 10).splitlines()
    assert lines[3] == "    ERRORS: 1,200 timeout"
    assert lines[4].split() == ["go", *"----------"]
    assert lines[5] == "    NO FIGURE: answers differently (1 of 1 rounds)"
    assert made.has_trouble
    assert not results(ours=[1.0]).has_trouble


def test_a_remark_is_made_once_for_all_servers_that_it_is_about() -> None:
    made = results(ours=[100.0], go=[50.0])
    for series in made.series:
        series.figures[0].notes = ["it rained"]
    assert report.table(made, "ping", 10).splitlines()[4] == "    it rained: ours, go"


def test_a_report_tells_the_machine_the_commands_the_versions_and_what_was_skipped() -> None:
    made = results(ours=[100.0], go=[50.0])
    made.skipped["granian"] = "pip: no such thing"
    text = report.text(made)
    for words in ("Some CPU, 2 cores; Linux 6.1; CPython 3.11.7", "$ ./scripts/bench\n", "commit abc1234",
                  "granian: skipped: pip: no such thing", "go: Go's net/http; 1.0", "$ GOMAXPROCS=1 {go} -port {port}"):
        assert words in text
    assert "busy with something else" not in text
    made.machine["load"] = 2.0
    assert "busy with something else" in report.text(made)


def test_results_are_the_same_after_json(tmp_path: Path) -> None:
    made = results(ours=[100.0, None], go=[50.0, 2.0])
    made.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_table_for_the_readme_has_a_line_for_each_number_of_connections() -> None:
    made = results(ours=[100, 200, 300], go=[200, 200, 200])
    made.series += [Series("json", 10, "ours", [Figure(1.0)]), Series("ping", 50, "ours", [Figure(1.0)])]  # without go
    assert report.connections_rst(made).splitlines() == [
        "===========  ================  ==============  ================  ==============  ==================",
        "connections  ours, requests/s  go, requests/s  p50, p99 of ours  p50, p99 of go  ours : go",
        "===========  ================  ==============  ================  ==============  ==================",
        "10           200               200             1.00, 2.00 ms     1.00, 2.00 ms   1.00 (0.50 - 1.50)",
        "===========  ================  ==============  ================  ==============  =================="]
    assert report.connections_rst(results(go=[1.0])) == ""


@pytest.mark.parametrize(("value", "text"), [
    (None, "-"), (123456.7, "123,457"), (100, "100"), (12.34, "12.3"), (1.234, "1.23"), (0.1, "0.10"),
    (0.00123, "0.0012"), (0, "0.00")])
def test_a_number_has_the_figures_that_mean_something(value: float | None, text: str) -> None:
    assert report.number(value) == text


def test_pictures_are_the_same_for_the_same_figures_and_rates_need_two_numbers_of_connections(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'bench' is not installed")
    from bench import pictures
    made = results(ours=[100, 200, 300], go=[200, 200, None])
    assert pictures.draw(made, tmp_path) == []
    made.series += [Series("ping", 50, "ours", [Figure(120.0)]),
                    Series("latency", 64, "ours", [Figure(1.0, {"50": 0.1, "99": 0.2, "100": 3.0})])]
    drawn = [path.read_bytes() for path in pictures.draw(made, tmp_path)]
    assert len(drawn) == 2
    assert all(b"Some CPU, 2 cores" in picture and b"./scripts/bench" in picture for picture in drawn)
    assert [path.read_bytes() for path in pictures.draw(made, tmp_path)] == drawn


# -- History


def line(ping: float, idle: float = 1.0, commit: str = "abc", cpu: str = "Some CPU",
         load: float = 0.1) -> history.Entry:
    return {"cpu": cpu, "python": "3.11.7", "commit": commit, "load": load,
            "ratios": {"ping": [ping, ping - 0.1, ping + 0.1], "idle": [idle, idle, idle]}}


def test_an_entry_has_the_ratios_to_the_bare_loop_and_the_memory_itself(tmp_path: Path) -> None:
    made = results(ours=[100, 200, 300], bare=[200, 200, 200])
    made.series += [Series("idle", 10, "ours", [Figure(0.97)]), Series("json", 10, "bare", [Figure(1.0)])]
    entry = history.entry(made, datetime.datetime(2026, 1, 2, 3, 4))
    assert entry["ratios"] == {"ping": [1.0, 0.5, 1.5], "idle": [0.97, 0.97, 0.97]}
    assert (entry["commit"], entry["date"]) == ("abc1234", "2026-01-02 03:04")
    assert history.read(tmp_path / "none") == []
    for _ in range(2):
        history.append(tmp_path / "some", entry)
    assert history.read(tmp_path / "some") == [entry, entry]


def test_a_drop_is_told_and_a_rise_is_none() -> None:
    before = [line(0.6), line(0.7), line(0.62)]
    assert "DROPPED: ping." in history.text(before, line(0.5))
    assert "0.62 ->   0.50 (0.40 - 0.60)    -19%  DROP" in history.text(before, line(0.5))
    for fine in (0.6, 0.58, 0.9):
        assert history.text(before, line(fine)).endswith("Nothing has dropped.")


def test_of_memory_more_is_the_drop() -> None:
    assert "DROPPED: idle." in history.text([line(0.6, 1.0)], line(0.6, 1.2))
    assert "Nothing has dropped." in history.text([line(0.6, 1.0)], line(0.6, 0.5))


def test_only_entries_of_the_same_machine_of_a_commit_and_of_quiet_hours_are_compared_and_the_newest_of_them() -> None:
    others = [line(9, cpu="other"), line(9, commit="abc+"), line(9, load=3.0)]
    assert history.text(others, line(0.5)).startswith("No earlier figures")
    many = [*others, line(5), *[line(0.6) for _ in range(history.MEMORY)], *others]
    assert history.comparable(many, line(0.6)) == [line(0.6)] * history.MEMORY
    assert [change.before for change in history.changes(many, line(0.6))] == [0.6, 1.0]
