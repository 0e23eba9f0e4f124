"""The bench, as far as it starts nothing: requests, servers, figures, the schedule, the command line."""

from __future__ import annotations

import json
import os
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as program
from bench import peers, report, workloads, wrk
from bench.figures import Figure, Series, percentile, percentiles, ratios, spread
from bench.measuring import can
from bench.open_model import Schedule
from bench.running import Trouble
from bench.workloads import BY_NAME, Ask, Workload
from evloop_http.http1 import (
    NEED_DATA,
    BodyData,
    EndOfMessage,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
)
from evloop_http.testing import Client

ROOT = Path(__file__).resolve().parents[2]


# -- Requests and answers


def test_the_json_is_one_kibibyte_and_says_something() -> None:
    assert len(workloads.json_body()) == 1024
    assert json.loads(workloads.json_body())["items"][15] == {"amount": 15, "name": "item 15"}


@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda workload: workload.name)
def test_each_request_is_one_that_a_strict_parser_takes(workload: Workload) -> None:
    raw = workloads.request_bytes(workload.ask, workload.keep, workload.new)
    assert raw.count(b"{n}") == (2 if workload.new else 0)
    parser = RequestParser()
    parser.feed(raw.replace(b"{n}", b"7") * 2)
    for _ in range(2):
        head = parser.next_event()
        assert isinstance(head, RequestHead)
        assert (head.method, head.path) == (workload.ask.method, workload.ask.target)
        assert head.headers["connection"] == ("keep-alive" if workload.keep else "close")
        body = b""
        while isinstance(event := parser.next_event(), BodyData):
            body += event.data
        assert isinstance(event, EndOfMessage)
        assert body == workload.ask.body
        if not workload.keep:
            return
    assert parser.next_event() is NEED_DATA


@pytest.mark.parametrize("name", ["ping", "pipelined", "static-4k", "page"])
def test_the_bare_loop_sends_what_the_others_are_expected_to_answer(name: str, tmp_path: Path) -> None:
    workload = BY_NAME[name]
    workloads.make_files(tmp_path, ["4k.bin"])
    wanted = workloads.expected(workload.ask, tmp_path)
    parser = ResponseParser()
    for _ in range(workload.depth):
        parser.expect("GET")
    parser.feed(workloads.constant_answer(workload, tmp_path))
    for _ in range(workload.depth):
        head = parser.next_event()
        assert isinstance(head, ResponseHead)
        assert (head.status, head.headers["content-type"]) == (200, workload.ask.type)
        body = b""
        while isinstance(event := parser.next_event(), BodyData):
            body += event.data
        assert body == (wanted.read_bytes() if isinstance(wanted, Path) else wanted)
    assert parser.next_event() is NEED_DATA


def test_only_the_files_that_are_asked_for_are_made(tmp_path: Path) -> None:
    assert workloads.files_of([BY_NAME["ping"], BY_NAME["static-1m"], BY_NAME["slow-readers"]]) == {"1m.bin", "8m.bin"}
    workloads.make_files(tmp_path, ["4k.bin", "1m.bin"])
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"4k.bin": 4096, "1m.bin": 1024 * 1024}


# -- The servers


def test_every_command_has_only_names_that_are_known() -> None:
    known = {"target", "python", "port", "files", "work", "here", "answer", "go", "nginx", "cert", "key"}
    for peer in peers.PEERS:
        assert ("tls" in peer.does) <= bool(peer.secure), peer.name
        for command in (peer.plain, peer.secure):
            assert {name for _, name, _, _ in string.Formatter().parse(command) if name} <= known


def test_every_server_is_named_once_and_does_what_some_workload_needs() -> None:
    assert len(peers.BY_NAME) == len(peers.PEERS)
    needed = frozenset[str]().union(*(workload.needs for workload in workloads.ALL)) | {"constant"}
    for peer in peers.PEERS:
        assert peer.can_serve <= needed, peer.name
    assert peers.BY_NAME["ours"].can_serve == needed - {"constant"}


@pytest.mark.parametrize(("server", "workload", "answer"), [
    ("ours", "blocking", True), ("nginx", "ping", True), ("nginx", "json", False), ("nginx", "slow-readers", True),
    ("waitress", "close", True), ("waitress", "tls", False), ("waitress", "handshake-storm", False),
    ("socketify", "close", False), ("bare", "json", True), ("bare", "static-4k", True), ("bare", "static-1m", False),
    ("bare", "blocking", False), ("bare", "idle", True)])
def test_a_server_is_measured_only_under_what_it_can_do(server: str, workload: str, answer: bool) -> None:
    assert can(peers.BY_NAME[server], BY_NAME[workload]) is answer


def test_our_application_and_the_one_for_wsgi_answer_the_same() -> None:
    from bench.apps import ours, wsgi
    with Client(ours.app) as client:
        block = Ask("/block", "block", answer=b"done")
        for ask in (workloads.PING, workloads.ECHO, workloads.POST, workloads.PAGE, block):
            response = client.request(ask.method, ask.target, body=ask.body,
                                      headers={"Content-Type": ask.body_type} if ask.body else {})
            assert response.status == 200
            assert response.body == workloads.expected(ask, Path())
            assert response.headers["content-type"] == ask.type
            content_type, body = wsgi.ROUTES[ask.method, ask.target](environ(ask))
            assert (content_type, body) == (ask.type, response.body)


def environ(ask: Ask) -> dict[str, object]:
    import io
    return {"wsgi.input": io.BytesIO(ask.body), "CONTENT_LENGTH": str(len(ask.body))}


# -- wrk


SAID = ('Running 1s test @ http://127.0.0.1:1/ping\nfigures {"requests":3000,"duration":2000000,'
        '"latency":{"50":1500,"99":0,"100":9000},"errors":{"connect":0,"read":2,"write":0,"status":1,"timeout":0}}\n')


def test_what_wrk_counted_is_read_with_its_errors() -> None:
    counted = wrk.parse(SAID)
    assert counted.rate == 1500
    assert counted.latency == {"50": 1.5, "100": 9.0}  # nothing is no latency
    assert counted.errors == {"read": 2, "status": 1}


@pytest.mark.parametrize(("said", "words"), [("", "nothing"), ("unable to connect\n\n", "unable to connect")])
def test_wrk_that_counted_nothing_is_trouble_and_its_last_words_are_told(said: str, words: str) -> None:
    with pytest.raises(Trouble, match=words):
        wrk.parse(said)


# -- Figures


def test_ratios_are_taken_within_the_rounds() -> None:
    # The medians are 20 and 20; but in two of the three rounds ours was half as fast.
    assert ratios([10, 20, 30], [20, 40, 15]) == (0.5, 0.5, 2.0)


def test_a_round_without_a_figure_counts_for_neither() -> None:
    assert ratios([None, 20, 30], [20, 0, 15]) == (2.0, 2.0, 2.0)
    assert ratios([None], [20]) is None
    assert spread([None, None]) is None
    assert spread([3, None, 1]) == (2, 1, 3)


@given(st.lists(st.integers(0, 100), min_size=1), st.sampled_from([1, 50, 75, 90, 99, 99.9, 100]))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[int], percent: float) -> None:
    found = percentile(sorted(values), percent)

    def within(value: float) -> float:
        return 100 * sum(one <= value for one in values) / len(values)

    assert found in values
    assert within(found) >= percent - 1e-9
    assert all(within(value) < percent for value in values if value < found)


def test_of_no_values_there_are_no_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([3.0, 1.0, 2.0]) == dict(zip(
        ("50", "75", "90", "95", "99", "99.5", "99.9", "100"), (2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0), strict=True))


def test_errors_are_added_up_and_troubles_are_told_with_their_rounds() -> None:
    series = Series("ping", 10, "x", [
        Figure(5.0, errors={"read": 1}), Figure(trouble="no"), Figure(7.0, errors={"read": 2, "status": 4})])
    assert series.errors == {"read": 3, "status": 4}
    assert series.troubles == ["no (1 of 3 rounds)"]
    assert report.failures(series) == ["NO FIGURE: no (1 of 3 rounds)", "ERRORS: 3 read, 4 status"]


@pytest.mark.parametrize(("server", "client", "limit", "nobody"), [
    (0.6, 0.99, True, False), (0.99, 0.99, False, False), (0.99, 0.5, False, False), (0.5, 0.5, False, True)])
def test_it_is_told_who_was_at_the_limit(server: float, client: float, limit: bool, nobody: bool) -> None:
    series = Series("ping", 10, "x", [Figure(1.0, server=server, client=client)])
    assert (series.limited_by_client, series.limited_by_nobody) == (limit, nobody)
    assert len(report.remarks(series)) == limit + nobody


def test_what_was_not_looked_at_is_nobodys_limit() -> None:
    series = Series("idle", 10, "x", [Figure(1.0)])
    assert series.busy("server") is None
    assert report.remarks(series) == []


# -- The open model


def test_a_stall_is_met_by_everybody_who_was_due_in_it() -> None:
    schedule = Schedule(rate=10, seconds=1)
    schedule.admit(0.0)
    schedule.answered(schedule.waiting.popleft(), 0.001)
    schedule.admit(1.0)  # nobody was let in for a second
    assert len(schedule.waiting) == 9
    while schedule.waiting:
        schedule.answered(schedule.waiting.popleft(), 1.0)
    assert schedule.is_over
    assert [round(latency, 3) for latency in schedule.latencies] == [0.001, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


@given(st.lists(st.floats(0, 2), max_size=20), st.sampled_from([1, 3, 7.5]))
def test_at_each_moment_exactly_those_are_admitted_that_are_due(moments: list[float], rate: float) -> None:
    schedule = Schedule(rate, 1.5)
    for now in sorted(moments):
        schedule.admit(now)
        assert list(schedule.waiting) == [i / rate for i in range(schedule.total) if i / rate <= now]
        wait = schedule.until_next(now)
        assert (wait is None) == (len(schedule.waiting) == schedule.total)
        assert wait is None or wait >= 0
    assert all(late >= 0 for late in schedule.late)


# -- The command line


def test_quick_is_ours_and_the_bare_loop() -> None:
    options = program.parse(["--quick"])
    assert options.servers == ["ours", "bare"]
    assert (options.rounds, options.seconds) == (3, 1)
    assert set(options.workloads) == set(program.QUICK_WORKLOADS)
    assert program.conns_of(BY_NAME["ping"], options) == [100]
    assert program.conns_of(BY_NAME["idle"], options) == (10_000,)


def test_everything_is_measured_if_nothing_is_said() -> None:
    options = program.parse([])
    assert options.servers == list(peers.BY_NAME)
    assert options.workloads == list(BY_NAME)
    assert program.conns_of(BY_NAME["ping"], options) == (10, 50, 100, 500, 1000)


@pytest.mark.parametrize("words", [["go,ours"], ["go", "ours"], ["ours", "go,ours"]])
def test_names_are_given_with_commas_or_spaces_and_each_counts_once(words: list[str]) -> None:
    assert program.parse(["--servers", *words]).servers == ["ours", "go"]


def test_connections_are_those_of_the_closed_loop() -> None:
    options = program.parse(["--conns", "1,2", "3"])
    assert program.conns_of(BY_NAME["json"], options) == [1, 2, 3]
    assert program.conns_of(BY_NAME["latency"], options) == (64,)


@pytest.mark.parametrize("words", [["--servers", "iis"], ["--workloads", "pong"], ["--conns", "0"], ["--conns", ","],
                                   ["--rounds", "0"], ["--seconds", "x"]])
def test_what_makes_no_sense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        program.parse(words)
    assert refused.value.code == 2
    assert words[0].removeprefix("--") in capsys.readouterr().err


def test_bash_can_read_and_run_the_script() -> None:
    assert subprocess.run(["bash", "-n", ROOT / "scripts/bench"], capture_output=True).stderr == b""
    assert os.access(ROOT / "scripts/bench", os.X_OK)
