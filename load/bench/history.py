"""The daily ratios: what they were, and whether they have dropped.

`load/history.jsonl` has a line for each `./scripts/bench --quick`: the commit, the machine and the ratios to the bare
loop with their least and most. A ratio of another machine says little, so only lines of the same processor and Python
are compared, and of those only the ones of a commit as it stands, not of a tree that somebody was working in, on a
machine that had nothing else to do.
"""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .figures import spread
from .peers import BARE, OURS
from .report import Results, number
from .workloads import BY_NAME

#: So many earlier lines are looked at; their median is what a ratio is compared with.
MEMORY = 7
#: What is worse by more than this part is called a drop. Medians of two quick runs of the same code differed by up to
#: 2 % on a machine that had nothing else to do.
DROP = 0.08
#: Above this load average before its start, a run had neighbours and is no measure for later ones.
BUSY = 1.0

Entry = dict[str, Any]


class Change(NamedTuple):
    """A figure beside those before it."""

    workload: str
    now: float
    before: float
    rounds: str

    @property
    def part(self) -> float:
        return self.now / self.before - 1

    @property
    def is_drop(self) -> bool:
        """Whether it is worse by more than chance would have it."""
        worse = -self.part if BY_NAME[self.workload].more else self.part
        return worse > DROP


def entry(results: Results, now: datetime.datetime) -> Entry:
    """The line for a run: ratios to the bare loop, and of memory the KiB themselves."""
    ratios: dict[str, list[float]] = {}
    for workload, conns in results.tables():
        ours = results.find(workload, conns, OURS)
        if ours is None:
            continue
        found = spread(ours.values) if BY_NAME[workload].kind == "idle" \
            else results.ratio(workload, conns, OURS, BARE)
        if found is not None:
            ratios[workload] = [round(value, 3) for value in found]
    return {"date": now.strftime("%Y-%m-%d %H:%M"), "commit": results.commit, "cpu": results.machine["cpu"],
            "python": results.machine["python"], "load": round(results.machine["load"], 2), "rounds": results.rounds,
            "ratios": ratios}


def read(path: Path) -> list[Entry]:
    """All lines; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def append(path: Path, line: Entry) -> None:
    """One more."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def comparable(entries: Sequence[Entry], line: Entry) -> list[Entry]:
    """Those that it can be compared with, the newest last."""
    return [one for one in entries if (one["cpu"], one["python"]) == (line["cpu"], line["python"])
            and not one["commit"].endswith("+") and one["load"] <= BUSY][-MEMORY:]


def changes(entries: Sequence[Entry], line: Entry) -> list[Change]:
    """Each figure of a line beside the median of those before it."""
    found = []
    before = comparable(entries, line)
    for workload, (median, least, most) in line["ratios"].items():
        earlier = [one["ratios"][workload][0] for one in before if workload in one["ratios"]]
        if earlier:
            found.append(Change(workload, median, statistics.median(earlier), f"{number(least)} - {number(most)}"))
    return found


def text(entries: Sequence[Entry], line: Entry) -> str:
    """What is to be said about it."""
    if not (found := changes(entries, line)):
        return "No earlier figures of this processor and Python in the history: nothing to compare with."
    number_of = len(comparable(entries, line))
    lines = [f"Beside the median of the last {number_of} in the history (ours : bare loop; idle in KiB):"]
    for change in found:
        word = "DROP" if change.is_drop else ""
        lines.append(f"  {change.workload:<12}{number(change.before):>8} -> {number(change.now):>6} "
                     f"({change.rounds}){change.part:>+8.0%}  {word}".rstrip())
    drops = [change.workload for change in found if change.is_drop]
    end = f"DROPPED: {', '.join(drops)}. Run it again before you believe it." if drops else "Nothing has dropped."
    return "\n".join([*lines, end])
