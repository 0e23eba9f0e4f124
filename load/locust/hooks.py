"""What a load run does beside sending requests: options, a line of progress, and the gate at its end.

It listens to locust's events and hands plain numbers to `gate`; no rule is here. Three things are not to
be had from locust's statistics, and are gathered here:

*What is under way when a run ends.* The users are killed then, and a request that waits is counted
nowhere: a server that stops answering a moment before the end looks perfect. So users say when they begin to
wait (`underway`), and who has waited for longer than an answer may take is reported.

*Whether every worker said its last word.* The master asks its workers to quit, gives them half a second,
and adds up what has come by then; of a worker that was killed nothing is said at all. So each worker
marks the report that it sends when its users have stopped, and the master waits for all of these, a few
seconds at most, before it goes on.

*The last second.* The CSV files are rewritten from time to time, and not once more at the end. So the
verdict waits until they have been.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import locust.log
import locust.stats
from locust.runners import STATE_MISSING, STATE_STOPPED, MasterRunner, WorkerRunner

import locust
from gate import Outcome, Row, Rules, faults, write_verdict
from locust import events
from scenarios import SLOW, USERS, make_rules
from stages import SHAPES, make_stages, user_seconds

logger = logging.getLogger("evloop_http.load")

#: Seconds that the master waits for the final reports of its workers, beside `--stop-timeout`.
LAST_WORDS = 10.0
#: Seconds between two lines of progress.
PROGRESS = 2.0

locust.stats.CSV_STATS_INTERVAL_SEC = 0.5


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """The options of these scenarios; locust hands them on to its workers."""
    add = parser.add_argument
    add("--wait", type=float, default=1.0, help="seconds that a user thinks between two requests, on average")
    add("--new-connections", action="store_true", help="every request on a connection of its own")
    add("--answer-within", type=float, default=5.0, metavar="SECONDS", help="then a request has failed")
    add("--shape", choices=SHAPES, default="soak", help="with load/locust/shapes.py: how the number of users changes")
    add("--stage-rate", type=float, default=0.0, help="of a shape: users that come in a second (0: all within two)")
    add("--p95", type=float, default=1000.0, metavar="MS", help="the gate: the longest 95th percentile")
    add("--fail-ratio", type=float, default=0.0, help="the gate: how many of all requests may fail")
    add("--report", default="", metavar="FOLDER", help="where the verdict is written, beside --csv and --html")


# -- what is under way

_waiting: dict[int, tuple[str, float]] = {}


@contextmanager
def underway(name: str) -> Iterator[None]:
    """For as long as this lasts somebody waits for the answer of an endpoint."""
    token = id(gevent.getcurrent())
    _waiting[token] = (name, time.monotonic())
    try:
        yield
    finally:
        _waiting.pop(token, None)


def overdue(p95: float) -> Counter[str]:
    """How many have waited for longer than they may, by endpoint."""
    limits = {name: max(p95, kind.slowness) for kind in USERS.values() for name in kind.endpoints}
    now = time.monotonic()
    return Counter(name for name, begun in _waiting.values() if (now - begun) * 1000 > limits.get(name, p95))


# -- the last words of the workers


class LastWords:
    """What the master, the workers, or the only process note about the end of a run."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.known: set[str] = set()
        self.final: set[str] = set()
        self.stuck: Counter[str] = Counter()
        self.began = time.monotonic()
        self.seconds = 0.0
        listen = environment.events
        listen.test_start.add_listener(self.on_start)
        listen.test_stopping.add_listener(self.on_stopping)
        listen.worker_connect.add_listener(self.on_connect)
        listen.worker_report.add_listener(self.on_report)
        listen.report_to_master.add_listener(self.mark_final)
        listen.test_stop.add_listener(self.await_reports)

    def on_start(self, **_: Any) -> None:
        """A run begins."""
        self.began = time.monotonic()
        self.stuck.clear()
        self.final.clear()

    def on_stopping(self, **_: Any) -> None:
        """The users are about to be stopped."""
        self.seconds = time.monotonic() - self.began
        self.stuck += overdue(self.environment.parsed_options.p95)

    def mark_final(self, client_id: str, data: dict[str, Any]) -> None:
        """A worker reports to the master."""
        if self.environment.runner.state == STATE_STOPPED:
            data["final"] = dict(self.stuck)

    def on_connect(self, client_id: str) -> None:
        """A worker has come."""
        self.known.add(client_id)

    def on_report(self, client_id: str, data: dict[str, Any]) -> None:
        """A worker has reported."""
        if "final" in data and client_id not in self.final:
            self.final.add(client_id)
            self.stuck.update(data["final"])

    def await_reports(self, environment: Any, **_: Any) -> None:
        """Ask the workers to quit and wait for what they say, before locust does the first and not the second."""
        runner = environment.runner
        if not isinstance(runner, MasterRunner) or not environment.parsed_options.headless:
            return
        told: set[str] = set()
        until = time.monotonic() + LAST_WORDS + environment.stop_timeout
        while not self.known <= self.final and time.monotonic() < until:
            alive = {client.id for client in runner.clients.all if client.state != STATE_MISSING}
            for client_id in alive - told:
                runner.send_message("quit", client_id=client_id)
                told.add(client_id)
            gevent.sleep(0.1)

    def workers(self) -> tuple[int, int]:
        """How many workers were to take part, and how many of them said their last word."""
        if not isinstance(self.environment.runner, MasterRunner):
            return 0, 0
        expected = int(self.environment.parsed_options.expect_workers)
        return max(len(self.known), expected), len(self.known & self.final)


# -- progress, and the verdict


@events.init.add_listener
def on_init(environment: Any, runner: Any, **_: Any) -> None:
    """Watch a run, if it is to end by itself; with locust's own pages there is nobody to tell."""
    words = LastWords(environment)
    options = environment.parsed_options
    if not isinstance(runner, WorkerRunner) and options.headless:
        environment.events.quitting.add_listener(lambda **_: conclude(environment, words))
        progress = gevent.spawn(show_progress, environment, words)
        environment.events.quitting.add_listener(lambda **_: progress.kill(block=False))


def show_progress(environment: Any, words: LastWords) -> None:
    """A line from time to time."""
    while True:
        gevent.sleep(PROGRESS)
        total, entries = environment.stats.total, list(environment.stats.entries.values())
        # Not of all together, which would tell how many of the users are slow themselves.
        slowest = max((entry.get_current_response_time_percentile(0.95) or 0 for entry in entries
                       if f"{entry.method} {entry.name}" not in SLOW), default=0)
        print(f"{time.monotonic() - words.began:6.0f} s  {environment.runner.user_count:5d} users  "
              f"{total.num_requests:8d} requests  {total.current_rps:7.0f}/s  {total.num_failures:5d} failed  "
              f"slowest p95 {slowest:.0f} ms", flush=True)


def conclude(environment: Any, words: LastWords) -> None:
    """Judge the run, write the verdict, and make it the exit status."""
    options = environment.parsed_options
    if options.csv_prefix:
        finish_csv()
    rules, outcome = rules_of(environment, words.seconds), outcome_of(environment, words)
    about = {"scenario": [kind.__name__ for kind in environment.user_classes], "host": environment.host,
             "users": options.num_users, "seconds": round(words.seconds, 1), "wait": options.wait,
             "new_connections": options.new_connections, "locust": locust.__version__,
             "python": platform.python_version(), "processors": os.cpu_count()}
    folder = options.report or (os.path.dirname(options.csv_prefix) if options.csv_prefix else "")
    found = write_verdict(Path(folder), rules, outcome, about) if folder else faults(rules, outcome)
    for fault in found:
        logger.error("the gate: %s", fault)
    if getattr(environment.runner, "worker_cpu_warning_emitted", False):
        logger.warning("locust itself was short of processor time: its times are too long, and it asked too little")
    environment.process_exit_code = 1 if found else 0


def finish_csv() -> None:
    """Let the CSV files be written once more, and then no more: locust closes them under its own writer."""
    interval = locust.stats.CSV_STATS_INTERVAL_SEC
    gevent.sleep(2 * interval)
    locust.stats.CSV_STATS_INTERVAL_SEC = 3600
    gevent.sleep(2 * interval)


def rules_of(environment: Any, seconds: float) -> Rules:
    """What the run must have done, by what was planned; by the time it took where none was."""
    options = environment.parsed_options
    shaped = environment.shape_class is not None
    stages = make_stages(options.shape if shaped else "steady", options.num_users or 1, options.run_time or seconds,
                         (options.stage_rate if shaped else options.spawn_rate) or 0)
    return make_rules([kind.__name__ for kind in environment.user_classes], user_seconds(stages),
                      wait=options.wait, p95=options.p95, fail_ratio=options.fail_ratio)


def outcome_of(environment: Any, words: LastWords) -> Outcome:
    """What the run has done."""
    stats, runner = environment.stats, environment.runner
    rows = [Row(f"{entry.method} {entry.name}", entry.num_requests, entry.num_failures,
                float(entry.get_response_time_percentile(0.95)) if entry.num_requests else math.nan)
            for entry in stats.entries.values()]
    trouble = []
    if locust.log.unhandled_greenlet_exception:
        trouble.append("locust itself, or a listener of ours, raised an exception: see above")
    return Outcome(
        rows,
        (stats.total.num_requests, stats.total.num_failures),
        exceptions=sum(raised["count"] for raised in runner.exceptions.values()),
        workers=words.workers(),
        stuck=dict(words.stuck),
        trouble=trouble,
    )

