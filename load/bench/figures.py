"""What many figures say: medians, ratios within the rounds, percentiles. Numbers in, numbers out."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

#: Of which latencies are told: enough for a line whose right half is the slowest hundredth.
PERCENTILES = ("50", "75", "90", "95", "99", "99.5", "99.9", "100")
#: The part of a core from which on a program counts as being at its limit, and below which it is not.
LIMIT, SPARE = 0.95, 0.85


@dataclass
class Figure:
    """One server, one workload, one round.

    Args:
        value: in the workload's unit; None if there is none, and then `trouble` says why.
        latency: milliseconds by percentile.
        errors: what went wrong, counted by kind.
        server, client: the part of its core that each used.
        commands: what was run.
        notes: what else has to be known about it.
        also: what else was measured, by what it is; less of it is better.
    """

    value: float | None = None
    latency: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    server: float = 0.0
    client: float = 0.0
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    also: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """What a rate is for each second of the server's processor time: of all its processes and threads."""
        return self.value / self.server if self.value is not None and self.server else None


@dataclass
class Series:
    """The figures of one server and one workload, a round after the other; what the JSON holds."""

    workload: str
    conns: int
    server: str
    figures: list[Figure] = field(default_factory=list)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Series:
        """Of what `asdict` made."""
        return cls(said["workload"], said["conns"], said["server"], [Figure(**figure) for figure in said["figures"]])

    def write(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def values(self) -> list[float | None]:
        return [figure.value for figure in self.figures]

    @property
    def rates(self) -> list[float | None]:
        """The same by the processor time of the server, where the values are rates."""
        return [figure.rate for figure in self.figures]

    def also(self, what: str) -> list[float | None]:
        """What else was measured."""
        return [figure.also.get(what) for figure in self.figures]

    @property
    def errors(self) -> dict[str, int]:
        """Of all rounds, added up by kind."""
        total: Counter[str] = Counter()
        for figure in self.figures:
            total.update(figure.errors)
        return dict(total)

    @property
    def troubles(self) -> list[str]:
        """Each once, with the number of rounds that it took."""
        counted = Counter(figure.trouble for figure in self.figures if figure.trouble)
        return [f"{trouble} ({rounds} of {len(self.figures)} rounds)" for trouble, rounds in counted.items()]

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(note for figure in self.figures for note in figure.notes))

    def latency(self, percentile: str) -> float | None:
        """The median of the rounds."""
        return median(figure.latency.get(percentile) for figure in self.figures if figure.value is not None)

    def busy(self, who: str) -> float | None:
        """The part of its core that the server or the client used: the median of where it was looked at."""
        return median(getattr(figure, who) or None for figure in self.figures if figure.value is not None)

    @property
    def limited_by_client(self) -> bool:
        """Whether the loading program was at its limit, so that the server might have done more."""
        server, client = self.busy("server"), self.busy("client")
        return server is not None and client is not None and client >= LIMIT > server

    @property
    def limited_by_nobody(self) -> bool:
        """Whether neither was: somebody else had the cores, or the server waits where it should not."""
        server, client = self.busy("server"), self.busy("client")
        return server is not None and client is not None and max(server, client) < SPARE


class Spread(NamedTuple):
    """A median and how far the rounds lie apart."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of those that there are."""
    known = [value for value in values if value is not None]
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def median(values: Iterable[float | None]) -> float | None:
    """Of those that there are."""
    found = spread(values)
    return found and found.median


def ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Spread | None:
    """What ours is beside theirs, round by round; a round in which either has no figure does not count."""
    return spread(mine / other for mine, other in zip(ours, theirs, strict=False)
                  if mine is not None and other)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest rank: the least value that so many percent do not exceed."""
    rank = max(1, math.ceil(len(ordered) * percent / 100 - 1e-9))
    return ordered[rank - 1]


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """All of `PERCENTILES`; none if there are no values."""
    ordered = sorted(values)
    return {name: percentile(ordered, float(name)) for name in PERCENTILES} if ordered else {}
