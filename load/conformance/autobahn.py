"""Autobahn's test suite of WebSocket (RFC 6455, RFC 7692), run on an echo of ours.

    ./scripts/conformance autobahn                          # all cases: minutes
    ./scripts/conformance autobahn --exclude '9.*' '12.*' '13.*'    # seconds

The cases are those of the Autobahn testsuite, in the runner `kosoku` from PyPI, which has an environment of its own,
`.venv-autobahn`. It ends with 1 if a case fails, or if more than `--non-strict` are passed only by a lenient reading.

Two things are as no server should have them. Messages of 16 MiB in any number of fragments are allowed, for that is
what the cases of 9 send. And small messages are compressed too: the runner does not understand that a message on a
connection with compression may be sent without (RFC 7692 §6).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from evloop_http import App, CallbackWebSocket, Server

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv-autobahn"
RUNNER = "kosoku==0.1.0"

#: Behaviours that are in order, in the words of the suite.
PASSED = ("OK", "INFORMATIONAL", "UNIMPLEMENTED")
NON_STRICT = "NON-STRICT"

Cases = dict[str, dict[str, str]]


def make_echo() -> App:
    """The application under test."""
    app = App()

    def echo(ws: CallbackWebSocket, message: str | bytes) -> None:
        ws.send(message)
    app.websocket("/", on_message=echo, compression=True, compress_from=0, max_message=16 << 20, max_fragments=1 << 20)
    return app


def install() -> Path:
    """Return the runner, fetched if it is not there."""
    runner = ENVIRONMENT / "bin" / "kosoku"
    if not runner.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", RUNNER], check=True)
    return runner


def run(runner: Path, exclude: list[str], include: list[str], parallel: int, folder: Path) -> Cases:
    """Run the cases; return what became of each, by its number."""
    with Server(make_echo()).in_thread() as server:
        address = server.url.removeprefix("http://")
        command = [str(runner), "-p", str(parallel), "-o", str(folder), address]
        for pattern in exclude:
            command += ["-x", pattern]
        for pattern in include:
            command += ["-i", pattern]
        subprocess.run(command, check=False)  # it ends with 1 if a case fails; what counts is in the report
        server.stop(grace=1)
    report: dict[str, Cases] = json.loads((folder / "index.json").read_text("utf-8"))
    cases, = report.values()
    return cases


def order(number: str) -> list[int]:
    """Sort cases by this."""
    return [int(part) for part in number.split(".")]


def summary(cases: Cases) -> str:
    """The cases by section and behaviour, and the numbers of those that are not in order."""
    lines = ["section     OK  non-strict  informational  failed"]
    for section in sorted({number.partition(".")[0] for number in cases}, key=int):
        counted = Counter(case["behavior"] for number, case in cases.items() if number.partition(".")[0] == section)
        failed = counted.total() - sum(counted[word] for word in (*PASSED, NON_STRICT))
        informational = counted["INFORMATIONAL"] + counted["UNIMPLEMENTED"]
        lines.append(f"{section:>7}  {counted['OK']:>5}  {counted[NON_STRICT]:>10}  {informational:>13}  {failed:>6}")
    for title, numbers in (("failed", failures(cases)), ("non-strict", non_strict(cases))):
        if numbers:
            lines.append(f"{title}: {' '.join(numbers)}")
    return "\n".join(lines)


def failures(cases: Cases) -> list[str]:
    """The numbers of the cases that failed, by what was answered or by how it was closed."""
    return sorted([number for number, case in cases.items() if case["behavior"] not in (*PASSED, NON_STRICT)
                   or case["behaviorClose"] not in PASSED], key=order)


def non_strict(cases: Cases) -> list[str]:
    """The numbers of the cases that are in order by a lenient reading only."""
    return sorted([number for number, case in cases.items() if case["behavior"] == NON_STRICT], key=order)


def main(arguments: list[str]) -> int:
    """Run the suite; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/conformance autobahn", description="Autobahn's tests of WebSocket.")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="CASES", help="such as '9.*'")
    parser.add_argument("--include", nargs="*", default=[], metavar="CASES", help="these alone")
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="cases at a time (default: %(default)s)")
    parser.add_argument("--non-strict", type=int, default=4, metavar="N", help="that are tolerated (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the report stays")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        cases = run(install(), chosen.exclude, chosen.include, chosen.parallel, folder)
    print(summary(cases))
    return 1 if failures(cases) or len(non_strict(cases)) > chosen.non_strict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
