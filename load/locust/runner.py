"""A load run from beginning to end: `./scripts/load` in Python.

    ./scripts/load mixed                                   the demo is started and stopped
    ./scripts/load browse --users 200 --time 60s --tls --processes 2
    ./scripts/load mixed --shape table                     10, 50, 100, 500, 1000 users
    ./scripts/load api --host http://192.0.2.1:8080        a server that runs already
    ./scripts/load --worker --master-host 192.0.2.2        a helper of a `--master` elsewhere
    ./scripts/load chaos --time 10m                        another program: clients that misbehave

Options that are not known here are locust's (`--master`, `--expect-workers`, `--stop-timeout`, ...).

It knows processes and files; it never imports locust, which would patch its sockets. The demo is a process
of its own beside locust's, and both are ended whatever happens: each has a session of its own, which is
killed as a whole if it does not end when it should. The status is 0 only if locust's was, the demo was alive at
the end and left in order, and the gate passes what stands in the reports.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gate import CSV_PREFIX, VERDICT_NAME, Rules, judge_report
from raw import trusting_context
from scenarios import SCENARIOS, make_rules
from stages import DEFAULTS, SHAPES, make_stages, user_seconds
from tables import Level, format_levels, read_levels

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Seconds until the demo answers; for a run to end after its time; for a process to end when it is told to.
START, OVERTIME, STOP = 20.0, 90.0, 15.0
#: By its module: the folder of the environment need not be in the path.
LOCUST = (sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"))

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a scenario; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Whoever ends us with SIGTERM wants the others to end as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if "--worker" in arguments:
        return run_to_its_end([*LOCUST, *arguments], None)
    options, more = make_parser().parse_known_args(arguments)
    fill_in(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / VERDICT_NAME).unlink(missing_ok=True)  # of an earlier run: it says nothing of this one
    try:
        found = run_scenario(options, more)
    except NotServed as error:
        found = [str(error)]
    return conclude(options.folder, found, read_levels(options.folder) if options.shape else [])


def run_scenario(options: argparse.Namespace, more: Sequence[str]) -> list[str]:
    """Run locust against the demo, or against the server that was named; returns what is wrong.

    Raises:
        NotServed: nobody answers there.
    """
    with contextlib.ExitStack() as running:
        demo = None
        if options.host is None:
            demo = running.enter_context(Demo(options.folder, tls=options.tls))
            options.host = demo.url
        wait_until_it_answers(options.host)
        print(f"{options.scenario}: {options.users} users, {options.time:g} s, {options.host}", flush=True)
        status = run_to_its_end(locust_command(options, more), options.time + OVERTIME)
        found = judge_report(options.folder, rules_of(options))
        if status and not found:
            found.append(f"locust ended with status {status}")
        if demo is not None:
            found += demo.stop()
        return found


def make_parser() -> argparse.ArgumentParser:
    """The options that this script knows."""
    parser = argparse.ArgumentParser(prog="scripts/load", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description=(__doc__ or "").partition("\n\n")[2], allow_abbrev=False)
    add = parser.add_argument
    add("scenario", choices=list(SCENARIOS), metavar="SCENARIO", help=", ".join(SCENARIOS))
    add("--users", type=int, help="how many, or the most of a shape (default: 50; of a shape its own)")
    add("--time", type=seconds, help="how long, e.g. 45, 90s, 5m (default: 30s; of a shape its own)")
    add("--shape", choices=SHAPES, help="let the number of users change: " + ", ".join(SHAPES))
    add("--rate", type=float, default=0, help="users that come in a second (default: all within two)")
    add("--wait", type=float, default=1.0, help="seconds that a user thinks between two requests (default: 1)")
    add("--processes", type=int, default=0, help="of locust; -1 for one on each processor")
    add("--tls", action="store_true", help="HTTPS")
    add("--new-connections", action="store_true", help="a new connection for every request")
    add("--host", metavar="URL", help="a server that runs already, in the place of the demo")
    add("--p95", type=float, default=1000, metavar="MS", help="the gate's limit (default: 1000)")
    add("--fail-ratio", type=float, default=0, help="the gate's limit (default: 0)")
    add("--answer-within", type=float, default=5, metavar="SECONDS", help="then a request failed (default: 5)")
    add("--report", type=Path, dest="folder", metavar="FOLDER", help="default: load/reports/SCENARIO-TIME")
    return parser


def seconds(text: str) -> float:
    """A time: a number, with `s`, `m` or `h` behind it or nothing."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 30s or 5m")
    return float(match[1]) * _UNITS[match[2]]


def fill_in(options: argparse.Namespace) -> None:
    """What was not said."""
    size = DEFAULTS[options.shape or "steady"]
    options.users = options.users or size.users
    options.time = options.time or size.seconds
    name = f"{options.scenario}-{time.strftime('%Y%m%d-%H%M%S')}"
    options.folder = (options.folder or ROOT / "load" / "reports" / name).absolute()


def rules_of(options: argparse.Namespace) -> Rules:
    """What the run must have done. Worked out here and not taken from the report, which may be wrong."""
    stages = make_stages(options.shape or "steady", options.users, options.time, spawn_rate(options))
    return make_rules(SCENARIOS[options.scenario], user_seconds(stages), wait=options.wait, p95=options.p95,
                      fail_ratio=options.fail_ratio)


def spawn_rate(options: argparse.Namespace) -> float:
    """Users that come in a second; 0 leaves it to the shape."""
    return float(options.rate or (0 if options.shape else max(1, options.users / 2)))


def locust_command(options: argparse.Namespace, more: Sequence[str]) -> list[str]:
    """How locust is called."""
    shapes = ["-f", f"{LOCUST[-1]},{HERE / 'shapes.py'}", "--shape", options.shape] if options.shape else []
    return [
        *(LOCUST if not shapes else LOCUST[:-2]), *shapes,
        "--headless", "--only-summary", "--loglevel", "WARNING", "--host", options.host,
        "--users", str(options.users), "--run-time", f"{options.time:g}s",
        "--stage-rate" if options.shape else "--spawn-rate", f"{spawn_rate(options):g}",
        *(process_options(options.processes) if options.processes else []),
        *(["--new-connections"] if options.new_connections else []),
        "--wait", str(options.wait), "--answer-within", str(options.answer_within),
        "--p95", str(options.p95), "--fail-ratio", str(options.fail_ratio),
        "--report", str(options.folder), "--html", str(options.folder / "report.html"),
        "--csv", str(options.folder / CSV_PREFIX), "--csv-full-history",
        *more, *SCENARIOS[options.scenario],
    ]


def process_options(number: int) -> list[str]:
    """For a master and its workers on this machine: on a port of their own, which nobody else can reach."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    return ["--processes", str(number), "--expect-workers-max-wait", "60", "--master-bind-host", "127.0.0.1",
            "--master-bind-port", port, "--master-host", "127.0.0.1", "--master-port", port]


def conclude(folder: Path, found: Sequence[str], levels: Sequence[Level]) -> int:
    """Say how it went; the exit status."""
    if levels:
        print(format_levels(levels))
    for fault in found:
        print(f"FAILED  {fault}")
    if not found:
        print("PASSED  the gate")
    print(f"Reports: {os.path.relpath(folder)}")
    return 1 if found else 0


# -- processes


class NotServed(Exception):
    """Nobody answers."""


def run_to_its_end(command: Sequence[str], limit: float | None) -> int:
    """Run a program that may have children; all of them are killed after `limit` seconds. Returns the status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        try:
            return process.wait(limit)
        except KeyboardInterrupt:
            # Ctrl-C did not reach it, as it has no terminal: it ends the run and writes its reports.
            process.send_signal(signal.SIGINT)
            return process.wait(STOP)
    except subprocess.TimeoutExpired:
        print(f"{Path(command[0]).name} {' '.join(command[1:3])} did not end and is killed", file=sys.stderr)
        return 124
    finally:
        kill_session(process)


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, if there are any left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Demo:
    """The demo site on a free port, from `with` to `stop`, or to the end of `with`.

    Args:
        folder: where its messages go, and for HTTPS its certificate.
        tls: whether `url` is to be HTTPS.
    """

    def __init__(self, folder: Path, *, tls: bool) -> None:
        self._log_path = folder / "demo.log"
        self._tls = tls
        more: list[str] = []
        if tls:
            certificate = make_certificate(folder / "tls")
            more = ["--tls-port", "0", "--cert", str(certificate / "cert.pem"), "--key", str(certificate / "key.pem")]
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "evloop_http", "demo", "--port", "0", *more], cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        kill_session(self._process)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it is, once it has said so.

        Raises:
            NotServed: it ended, or says nothing.
        """
        scheme = "https" if self._tls else "http"
        until = time.monotonic() + START
        while self._process.poll() is None and time.monotonic() < until:
            if match := re.search(rf"^ +({scheme}://\S+)\s.*^Ctrl-C", self.log, re.MULTILINE | re.DOTALL):
                return match[1]
            time.sleep(0.05)
        raise NotServed(f"the demo does not start: {self.log.strip() or 'it says nothing'}")

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log_path.read_text(errors="replace")

    def stop(self) -> list[str]:
        """Tell it to end; returns what was wrong with it."""
        status = self._process.poll()
        if status is not None:
            return [f"the demo died during the run, with status {status}: see {self._log_path}"]
        self._process.terminate()
        try:
            status = self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            return ["the demo did not end when it was told to"]
        faults = [] if status == 0 else [f"the demo ended with status {status}: see {self._log_path}"]
        if re.search(r"^\S+ \S+ (ERROR|CRITICAL) |^Traceback", self.log, re.MULTILINE):
            faults.append(f"the demo logged an error: see {self._log_path}")
        return faults


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate, made once for each report."""
    if not (folder / "key.pem").exists():
        subprocess.run([sys.executable, str(ROOT / "scripts" / "make_cert.py"), "--force", str(folder)], check=True,
                       stdout=subprocess.DEVNULL)
    return folder


def wait_until_it_answers(url: str) -> None:
    """Ask until there is an answer.

    Raises:
        NotServed: there is none for a while.
    """
    until = time.monotonic() + START
    while True:
        try:
            with contextlib.closing(connect(url)) as connection:
                connection.request("GET", "/ping")
                connection.getresponse().read()
                return
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise NotServed(f"{url} does not answer: {error}") from None
        time.sleep(0.1)


def connect(url: str) -> http.client.HTTPConnection:
    """A connection to the server of a URL."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.netloc, timeout=START, context=trusting_context())
    return http.client.HTTPConnection(parts.netloc, timeout=START)


if __name__ == "__main__":
    sys.exit(main())
