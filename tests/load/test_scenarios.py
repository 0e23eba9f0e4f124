"""What is asked of a load run: the tables of users and shapes, and the numbers that follow from them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate import Outcome, faults
from scenarios import SCENARIOS, USERS, make_rules
from stages import DEFAULTS, SHAPES, Stage, make_stages, stage_at, user_seconds
from tables import Level, format_levels, read_levels


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_endpoint_of_a_scenario_must_be_asked_for(scenario: str) -> None:
    rules = make_rules(SCENARIOS[scenario], 0, wait=1, p95=1000)
    assert rules.endpoints.keys() == {name for kind in SCENARIOS[scenario] for name in USERS[kind].endpoints}
    assert rules.requests == 1
    assert all(demand.least == 1 for demand in rules.endpoints.values())


def test_no_two_kinds_of_users_share_the_name_of_an_endpoint() -> None:
    names = [name for kind in USERS.values() for name in kind.endpoints]
    assert len(names) == len(set(names))


def test_the_mixed_scenario_has_every_kind_of_user() -> None:
    assert set(SCENARIOS["mixed"]) == set(USERS)


def test_more_users_longer_or_busier_must_ask_more() -> None:
    rules = make_rules(["ApiUser"], 1000, wait=0.8, p95=700, fail_ratio=0.1)
    assert rules.requests == 500  # half of a request a second from each
    assert rules.endpoints["POST /echo"].least == 50  # a fifth of a fourth of all
    assert rules.endpoints["POST /echo"].p95 == 700
    assert rules.fail_ratio == 0.1
    assert make_rules(["ApiUser"], 1000, wait=0.3, p95=700).requests == 1000


def test_users_share_the_time_by_their_weights() -> None:
    both = make_rules(["ApiUser", "LoginUser"], 900, wait=0.8, p95=1)
    assert both.endpoints["POST /echo"].least == make_rules(["ApiUser"], 600, wait=0.8, p95=1).endpoints[
        "POST /echo"].least


def test_only_users_that_are_slow_themselves_may_take_longer() -> None:
    rules = make_rules(SCENARIOS["slow"], 100, wait=1, p95=200)
    slow = {name for name, demand in rules.endpoints.items() if demand.p95 > 200}
    assert slow == {"POST /echo (slow reader)", "POST /echo (slow sender)"}


def test_a_run_of_no_users_at_all_has_rules_that_nothing_fulfils() -> None:
    rules = make_rules([], 100, wait=1, p95=200)
    assert rules.endpoints == {}
    assert faults(rules, Outcome([], (0, 0)))


# -- shapes


def test_the_table_is_the_articles() -> None:
    stages = make_stages("table", 1000, 100)
    assert [stage.users for stage in stages] == [10, 50, 100, 500, 1000]
    assert {stage.seconds for stage in stages} == {20}


def test_the_spike_comes_at_once_and_goes_again() -> None:
    before, spike, behind = make_stages("spike", 300, 60)
    assert (before.users, spike.users, behind.users) == (30, 300, 30)
    assert (spike.users - before.users) / spike.rate == 2
    assert before.seconds == behind.seconds > spike.seconds


def test_a_soak_and_a_steady_run_are_one_stage() -> None:
    for shape in ("soak", "steady"):
        assert make_stages(shape, 50, 60, 5) == [Stage(60, 50, 5)]


def test_a_shape_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_stages("square", 1, 1)


def test_every_shape_knows_how_large_it_is() -> None:
    assert set(SHAPES) == {"table", "spike", "soak"}
    for shape, size in DEFAULTS.items():
        assert make_stages(shape, *size)


shapes = st.builds(make_stages, st.sampled_from([*SHAPES, "steady"]), st.integers(1, 2000), st.floats(1, 1000),
                   st.just(0) | st.floats(0.5, 100))


@given(shapes, st.floats(0, 2000))
def test_a_run_is_in_each_stage_for_its_time_and_then_over(stages: list[Stage], elapsed: float) -> None:
    begun = 0.0
    for stage in stages:
        assert stage_at(stages, begun + stage.seconds / 2) == stage
        begun += stage.seconds
    assert (stage_at(stages, elapsed) is None) == (elapsed >= begun) or elapsed == pytest.approx(begun)


@given(shapes)
def test_user_seconds_are_fewer_than_users_times_seconds_and_never_none(stages: list[Stage]) -> None:
    whole = sum(stage.users * stage.seconds for stage in stages)
    assert 0 < user_seconds(stages) <= whole


def test_user_seconds_leave_out_those_who_are_still_coming() -> None:
    assert user_seconds([Stage(10, 20, 2)]) == 100  # all of them at the very end
    assert user_seconds([Stage(10, 20, 10)]) == 180
    assert user_seconds([Stage(10, 20, 10), Stage(10, 40, 10), Stage(10, 5, 1)]) == 180 + 380 + 50


# -- the table behind a run

HISTORY = ["Timestamp", "User Count", "Type", "Name", "95%", "Total Request Count", "Total Failure Count"]


def write_history(folder: Path, *lines: tuple[int, int, str, int, int]) -> Path:
    with (folder / "requests_stats_history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HISTORY)
        for seconds, users, p95, requests, failures in lines:
            writer.writerow([seconds, users, "GET", "/fast", 1, 1, 1])
            writer.writerow([seconds, users, "GET", "/", p95, 1, 1])
            writer.writerow([seconds, users, "POST", "/echo (slow reader)", 9999, 1, 1])
            writer.writerow([seconds, users, "", "Aggregated", 5000, requests, failures])
    return folder


def test_a_level_is_what_happened_between_its_first_line_and_its_last(tmp_path: Path) -> None:
    write_history(tmp_path, (100, 0, "N/A", 0, 0), (101, 10, "5", 20, 0), (102, 10, "7", 40, 0),
                  (105, 10, "9", 120, 1), (106, 30, "9", 150, 1), (107, 50, "8", 200, 1), (111, 50, "6", 800, 1))
    levels = read_levels(tmp_path)
    assert levels == [Level(10, 100, 1, 25.0, 7.0), Level(50, 600, 0, 150.0, 7.0)]
    assert len({len(line) for line in format_levels(levels).splitlines()}) == 1


def test_a_level_of_slow_users_alone_has_no_times(tmp_path: Path) -> None:
    text: list[list[object]] = [[*HISTORY]]
    for seconds, requests in ((1, 1), (4, 7)):
        text += [[seconds, 5, "GET", "/events (held)", 2000, requests, 0],
                 [seconds, 5, "", "Aggregated", 2000, requests, 0]]
    with (tmp_path / "requests_stats_history.csv").open("w", newline="") as file:
        csv.writer(file).writerows(text)
    (level,) = read_levels(tmp_path)
    assert level[:4] == (5, 6, 0, 2.0)
    assert math.isnan(level.p95)


def test_a_history_that_is_missing_or_cut_off_has_no_levels(tmp_path: Path) -> None:
    assert read_levels(tmp_path) == []
    write_history(tmp_path, (100, 10, "5", 20, 0), (101, 10, "5", 20, 0))
    with (tmp_path / "requests_stats_history.csv").open("a") as file:
        file.write("105,10,,Aggregated")
    assert read_levels(tmp_path) == []
