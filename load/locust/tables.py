"""The table that is printed behind a load run with several levels of users.

It knows locust's `_stats_history.csv`: a line for every endpoint and then one for the sum, twice a second, with
how many users there were and how much had been counted by then. What a level did is the difference between
its first line and its last, so the time in which users came or went belongs to no level.

The 95th percentile is that of the slowest endpoint at each moment, and of these the median. Over all endpoints
together it would only tell how many of the users are slow themselves; those are left out.
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gate import CSV_PREFIX, TOTAL
from scenarios import SLOW


class Level(NamedTuple):
    """What was measured while there were so many users."""

    users: int
    requests: int
    failures: int
    #: requests in a second
    rate: float
    #: milliseconds
    p95: float


class Moment(NamedTuple):
    """What had been counted at a time."""

    #: since 1970
    seconds: int
    users: int
    requests: int
    failures: int
    #: milliseconds, of the slowest endpoint; NaN where nothing was measured of late
    p95: float


def read_levels(folder: Path) -> list[Level]:
    """The levels of a run, in their order; those of a moment left out."""
    try:
        with (folder / f"{CSV_PREFIX}_stats_history.csv").open(newline="", encoding="utf-8") as file:
            moments = list(read_moments(csv.DictReader(file)))
    except (OSError, csv.Error):
        return []
    groups = (list(group) for _, group in itertools.groupby(moments, key=lambda moment: moment.users))
    return [level for group in groups if (level := make_level(group)) is not None]


def read_moments(lines: Iterable[Mapping[str, str]]) -> Iterator[Moment]:
    """What was written at each time; a line that is cut off ends it."""
    slowest = math.nan
    for line in lines:
        try:
            if line["Name"] != TOTAL:
                if f"{line['Type']} {line['Name']}" not in SLOW and line["95%"] != "N/A":
                    slowest = max(float(line["95%"]), slowest)  # in this order: NaN is not above anything
                continue
            yield Moment(int(line["Timestamp"]), int(line["User Count"]), int(line["Total Request Count"]),
                         int(line["Total Failure Count"]), slowest)
        except (KeyError, TypeError, ValueError):
            return
        slowest = math.nan


def make_level(moments: list[Moment]) -> Level | None:
    """A level of its moments; None if it is one that was only passed through."""
    first, last = moments[0], moments[-1]
    seconds = last.seconds - first.seconds
    times = [moment.p95 for moment in moments if not math.isnan(moment.p95)]
    if not first.users or seconds < 2:
        return None
    made = last.requests - first.requests
    return Level(first.users, made, last.failures - first.failures, made / seconds,
                 statistics.median(times) if times else math.nan)


def format_levels(levels: Iterable[Level]) -> str:
    """The table."""
    lines = [f"{'users':>6} {'requests':>10} {'failed':>8} {'requests/s':>12} {'p95, ms':>9}"]
    lines += [f"{level.users:6d} {level.requests:10d} {level.failures:8d} {level.rate:12.0f} {level.p95:9.0f}"
              for level in levels]
    return "\n".join(lines)
