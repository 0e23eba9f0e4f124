"""The gate: whether a load run proves anything, as plain rules over plain numbers.

It knows counts, times and names. It imports nothing of locust's, so it is tested without it, and runs
twice: over the numbers in the master's memory when a run ends (`hooks`), and over the CSV files that
were written (`runner`, or `python load/locust/gate.py FOLDER` by hand).

locust's own exit status says only that no request failed. It is 0 as well where no request was made,
where the server accepted every connection and never answered (what is under way at the end is thrown
away and counts nowhere), and where a worker died with all that it had counted. So the gate asks for what
must have happened, and never takes silence for success: a minimum of requests in all and of each
endpoint by name, no endpoint that nobody has heard of, a final report from every worker, and a comparison
that a missing number (NaN) cannot pass.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: What `--csv` is given within the folder of a report: locust adds `_stats.csv`, `_exceptions.csv`, ...
CSV_PREFIX = "requests"
VERDICT_NAME = "verdict.json"
#: locust's name for the sum of all rows.
TOTAL = "Aggregated"


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one endpoint."""

    #: requests
    least: int
    #: milliseconds, for 95 of 100 requests
    p95: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a run."""

    #: in all
    requests: int
    endpoints: Mapping[str, Demand]
    #: of all requests, those that may fail
    fail_ratio: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As it stands in the verdict."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: Mapping[str, Any]) -> Rules:
        """The rules that a verdict was spoken by."""
        demands = {name: Demand(**demand) for name, demand in text["endpoints"].items()}
        return cls(text["requests"], demands, text["fail_ratio"])


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one endpoint."""

    #: method and path, e.g. `GET /users/[id]`
    name: str
    requests: int
    failures: int
    #: milliseconds; NaN where there is no answer to measure
    p95: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    rows: Sequence[Row]
    #: requests and failures in all, as the report itself sums them up
    total: tuple[int, int]
    #: raised in the users' code
    exceptions: int = 0
    #: workers that were to take part, and those whose final report came
    workers: tuple[int, int] = (0, 0)
    #: requests without an answer for too long when the run ended, by endpoint
    stuck: Mapping[str, int] = field(default_factory=dict)
    #: what else went wrong
    trouble: Sequence[str] = ()


def faults(rules: Rules, outcome: Outcome) -> list[str]:
    """Why the run does not pass, a sentence each; empty if it does."""
    return [
        *_faults_of_totals(rules, outcome),
        *_faults_of_endpoints(rules, outcome.rows),
        *_faults_of_the_run(outcome),
        *outcome.trouble,
    ]


def _faults_of_totals(rules: Rules, outcome: Outcome) -> Iterator[str]:
    requests = sum(row.requests for row in outcome.rows)
    failures = sum(row.failures for row in outcome.rows)
    if requests < max(1, rules.requests):
        yield f"{requests} requests in all, at least {max(1, rules.requests)} were to be made"
    if failures > rules.fail_ratio * requests:
        yield f"{failures} of {requests} requests failed, {rules.fail_ratio:.2%} may"
    if outcome.total != (requests, failures):
        yield (f"the report contradicts itself: {outcome.total[0]} requests and {outcome.total[1]} failures in all, "
               f"{requests} and {failures} when the rows are summed up")


def _faults_of_endpoints(rules: Rules, rows: Sequence[Row]) -> Iterator[str]:
    measured = {row.name: row for row in rows}
    if len(measured) != len(rows):
        yield "an endpoint stands twice in the report"
    if not rules.endpoints:
        yield "no endpoint was to be asked for"
    for name, demand in rules.endpoints.items():
        row = measured.get(name, Row(name, 0, 0, math.nan))
        least = max(1, demand.least)
        if row.requests < least:
            yield f"{name}: {row.requests} requests, at least {least} were to be made"
        elif row.failures >= row.requests:
            yield f"{name}: every request failed"
        # Not `p95 > limit`: NaN is not above anything.
        elif not row.p95 <= demand.p95:
            yield f"{name}: the 95th percentile is {row.p95:g} ms, {demand.p95:g} ms is allowed"
    for name in sorted(measured.keys() - rules.endpoints.keys()):
        yield f"{name}: not among the endpoints of the scenario"


def _faults_of_the_run(outcome: Outcome) -> Iterator[str]:
    expected, reported = outcome.workers
    if outcome.exceptions:
        yield f"{outcome.exceptions} exceptions in the users' code"
    if reported < expected:
        yield f"{expected - reported} of {expected} workers sent no final report: what they counted is lost"
    for name, number in outcome.stuck.items():
        yield f"{name}: {number} requests were still without an answer when the run ended"


# -- reading what was written


class BadReport(Exception):
    """A report that is missing, cut off or no report; the text says which."""


def read_csv(folder: Path) -> Outcome:
    """The outcome as locust's CSV files tell it.

    Raises:
        BadReport: they are not all there, or not whole.
    """
    rows = []
    total = None
    for fields in _read_table(folder / f"{CSV_PREFIX}_stats.csv"):
        row = _row(fields)
        if fields["Name"] == TOTAL and not fields["Type"]:
            total = row.requests, row.failures
        else:
            rows.append(row)
    if total is None:
        raise BadReport(f"{CSV_PREFIX}_stats.csv has no line for the sum: it was not written to its end")
    raised = _read_table(folder / f"{CSV_PREFIX}_exceptions.csv")
    return Outcome(rows, total, exceptions=sum(_count(fields, "Count") for fields in raised))


def _read_table(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)  # bytes: a traceback is one field
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, table = reader.fieldnames, list(reader)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise BadReport(f"{path.name} cannot be read: {error}") from None
    if not columns:
        raise BadReport(f"{path.name} is empty")
    return table


def _row(fields: Mapping[str, str]) -> Row:
    name = f"{fields.get('Type') or ''} {fields.get('Name') or ''}".strip()
    return Row(name, _count(fields, "Request Count"), _count(fields, "Failure Count"), _milliseconds(fields, "95%"))


def _count(fields: Mapping[str, str], column: str) -> int:
    try:
        number = int(fields[column])
    except (KeyError, TypeError, ValueError):
        raise BadReport(f"there is no number in the column {column!r}") from None
    if number < 0:
        raise BadReport(f"{number} in the column {column!r}")
    return number


def _milliseconds(fields: Mapping[str, str], column: str) -> float:
    """A time; NaN for `N/A`, which locust writes where nothing was measured."""
    try:
        return float(fields[column])
    except (KeyError, TypeError, ValueError):
        return math.nan


# -- the verdict


def write_verdict(folder: Path, rules: Rules, outcome: Outcome, more: Mapping[str, Any]) -> list[str]:
    """Judge a run and write everything that was known of it; returns its faults."""
    found = faults(rules, outcome)
    rows = [asdict(row) | {"p95": None if math.isnan(row.p95) else row.p95} for row in outcome.rows]
    verdict = {"passed": not found, "faults": found, "requests": outcome.total[0], "failures": outcome.total[1],
               "endpoints": rows, "exceptions": outcome.exceptions, "workers": outcome.workers[0],
               "rules": rules.as_json(), **more}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERDICT_NAME).write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
    return found


def judge_report(folder: Path, rules: Rules | None = None) -> list[str]:
    """Judge a run again, by what it left in a folder.

    Args:
        rules: those in the verdict, if none are given.
    """
    try:
        verdict = json.loads((folder / VERDICT_NAME).read_text(encoding="utf-8"))
        spoken, passed, requests = list(verdict["faults"]), verdict["passed"], verdict["requests"]
        rules = rules or Rules.from_json(verdict["rules"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return [f"there is no verdict in {folder}: the run did not come to its end"]
    if passed is not True and not spoken:
        spoken = ["the verdict is against the run and does not say why"]
    try:
        outcome = read_csv(folder)
    except BadReport as error:
        return [*spoken, str(error)]
    found = faults(rules, outcome)
    if outcome.total[0] != requests:
        found.append(f"the CSV counts {outcome.total[0]} requests and the verdict {requests}")
    return spoken + [fault for fault in found if fault not in spoken]


def main(arguments: Sequence[str]) -> int:
    """Judge the reports in the folders that are named."""
    if not arguments:
        print("Usage: python load/locust/gate.py FOLDER ...", file=sys.stderr)
        return 2
    status = 0
    for folder in arguments:
        found = judge_report(Path(folder))
        for line in found or ["passed"]:
            print(f"{folder}: {line}")
        status = 1 if found else status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
