"""What was measured, as text, as JSON, and as the README's table. It knows figures and starts nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .figures import Series, Spread, median, ratios, spread
from .peers import BARE, OURS
from .peers import BY_NAME as PEERS
from .workloads import BY_NAME as WORKLOADS

DASH = "-"
HEADINGS = ("server", "median", "least - most", "of the bare loop", "ours : it", "p50 ms", "p99 ms", "its core",
            "client's", "a CPU second", "ours : it, by CPU")
WIDTHS = (12, 10, 20, 21, 21, 8, 8, 9, 9, 12, 21)


@dataclass
class Results:
    """A whole run.

    Args:
        machine: what it ran on: `cpu`, `cores`, `system`, `python`, `load` before the start.
        commit: of the project; with a plus where files had been changed since.
        command: what was typed.
        seconds: that each figure took.
        versions: of each server that was there.
        skipped: why one was not.
        series: the figures.
    """

    machine: dict[str, Any]
    commit: str
    command: str
    rounds: int
    seconds: int
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)

    def find(self, workload: str, conns: int, server: str) -> Series | None:
        """The figures of one server and one workload."""
        return next((series for series in self.series
                     if (series.workload, series.conns, series.server) == (workload, conns, server)), None)

    def tables(self) -> list[tuple[str, int]]:
        """Workloads with their numbers of connections, in the order in which they were measured."""
        return list(dict.fromkeys((series.workload, series.conns) for series in self.series))

    def ratio(self, workload: str, conns: int, server: str, other: str) -> Spread | None:
        """One server beside another, within the rounds."""
        one, two = self.find(workload, conns, server), self.find(workload, conns, other)
        return ratios(one.values, two.values) if one and two else None

    def processor_ratio(self, workload: str, conns: int, server: str, other: str) -> Spread | None:
        """The same for a second of the server's processor time, which others on the machine take nothing of."""
        one, two = self.find(workload, conns, server), self.find(workload, conns, other)
        return ratios(one.rates, two.rates) if one and two and WORKLOADS[workload].is_rate else None

    @property
    def has_trouble(self) -> bool:
        """Whether anything failed or any request met an error."""
        return any(series.errors or series.troubles for series in self.series)

    def save(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """What `save` wrote."""
        said = json.loads(path.read_text("utf-8"))
        return cls(**{**said, "series": [Series.read(one) for one in said["series"]]})


def number(value: float | None) -> str:
    """With three figures, or all that stand before the point."""
    if value is None:
        return DASH
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or not value else f"{value:.2g}"


def spread_text(found: Spread | None) -> str:
    """A ratio with the least and the most of the rounds."""
    return f"{number(found.median)} ({number(found.least)} - {number(found.most)})" if found else DASH


def part(value: float | None) -> str:
    """A part of a core."""
    return DASH if value is None else f"{value:.0%}"


def line(words: Iterable[str]) -> str:
    return " ".join(word.ljust(width) if place == 0 else word.rjust(width)
                    for place, (word, width) in enumerate(zip(words, WIDTHS, strict=True))).rstrip()


def row(results: Results, workload: str, conns: int, server: str) -> list[str]:
    """A server's line of a table, and below it what went wrong."""
    series = results.find(workload, conns, server)
    if series is None:
        return [line([server] + [DASH] * (len(WIDTHS) - 1))]
    values = spread(series.values)
    cells = [server, number(values and values.median),
             f"{number(values.least)} - {number(values.most)}" if values else DASH,
             DASH if server == BARE else spread_text(results.ratio(workload, conns, server, BARE)),
             DASH if server == OURS else spread_text(results.ratio(workload, conns, OURS, server)),
             number(series.latency("50")), number(series.latency("99")),
             part(series.busy("server")), part(series.busy("client")),
             number(median(series.rates)) if WORKLOADS[workload].is_rate else DASH,
             DASH if server == OURS else spread_text(results.processor_ratio(workload, conns, OURS, server))]
    return [line(cells), *(f"    {said}" for said in [*more(results, series), *failures(series)])]


def more(results: Results, series: Series) -> list[str]:
    """What else was measured, each a line below the medians, and what ours takes of it beside the server."""
    ours = results.find(series.workload, series.conns, OURS)
    said = []
    for what in dict.fromkeys(what for figure in series.figures for what in figure.also):
        words = f"{what}: {spread_text(spread(series.also(what)))}"
        if ours is not None and ours is not series:
            words += f"; ours : it {spread_text(ratios(ours.also(what), series.also(what)))}"
        said.append(words)
    return said


def failures(series: Series) -> list[str]:
    """What went wrong, each a line below the medians."""
    said = [f"NO FIGURE: {trouble}" for trouble in series.troubles]
    if series.errors:
        said.append("ERRORS: " + ", ".join(f"{count:,} {kind}" for kind, count in series.errors.items()))
    return said


def remarks(series: Series) -> list[str]:
    """What else has to be known, of which a table says once to whom it applies."""
    said = []
    if series.limited_by_client:
        said.append("the loading program was at its limit: the server might have done more")
    if series.limited_by_nobody and WORKLOADS[series.workload].kind == "closed":
        said.append("neither server nor wrk was at its limit: the machine was busy, or the server waits")
    return said + series.notes


def table(results: Results, workload: str, conns: int) -> str:
    """All servers under one workload."""
    about = WORKLOADS[workload]
    better = "more is better" if about.more else "less is better"
    lines = [f"{workload}: {about.what}; {conns:,} connections; {about.unit}, {better}", line(HEADINGS)]
    remarked: dict[str, list[str]] = {}
    for server in results.versions:
        lines += row(results, workload, conns, server)
        series = results.find(workload, conns, server)
        for remark in remarks(series) if series else []:
            remarked.setdefault(remark, []).append(server)
    lines += [f"    {remark}: {', '.join(servers)}" for remark, servers in remarked.items()]
    commands = (figure.commands[-1] for series in results.series for figure in series.figures
                if (series.workload, series.conns) == (workload, conns) and len(figure.commands) > 1)
    return "\n".join([*lines, f"    $ {next(commands, DASH)}"])


def heading(results: Results) -> str:
    """Where it was measured, what, and how."""
    lines = [machine(results), f"$ {results.command}",
             f"{results.rounds} rounds of {results.seconds} s; commit {results.commit}; "
             f"load average before the start {results.machine['load']:.2f}"]
    if results.machine["load"] > 0.5:
        lines.append("The machine was busy with something else: trust the ratios a little, the rates not at all.")
    lines += ["", "The servers, each on one core:"]
    for name, version in results.versions.items():
        lines += [f"  {name}: {PEERS[name].what}; {version}", f"    $ {settings(name)}"]
    lines += [f"  {name}: skipped: {why}" for name, why in results.skipped.items()]
    return "\n".join(lines)


def settings(name: str) -> str:
    """The command that starts a server, with words for what differs."""
    peer = PEERS[name]
    return " ".join([*(f"{key}={value}" for key, value in peer.environment), peer.plain])


def machine(results: Results) -> str:
    """What it ran on, in a line without names or paths."""
    about = results.machine
    return f"{about['cpu']}, {about['cores']} cores; {about['system']}; CPython {about['python']}"


def text(results: Results) -> str:
    """The whole report."""
    tables = (table(results, workload, conns) for workload, conns in results.tables())
    return "\n\n".join([heading(results), *tables]) + "\n"


# The README's table

def connections_rst(results: Results, others: Sequence[str] = ("go",)) -> str:
    """Rates by the number of connections as a table of reStructuredText: ours and others; empty if there are none."""
    servers = [OURS, *(name for name in others if name in results.versions)]
    headings = ["connections", *(f"{name}, requests/s" for name in servers),
                *(f"p50, p99 of {name}" for name in servers), *(f"ours : {name}" for name in servers[1:])]
    rows = []
    for workload, conns in results.tables():
        found = [series for name in servers if (series := results.find(workload, conns, name))]
        if workload == "ping" and len(found) == len(servers):
            rows.append([f"{conns:,}", *(number(median(series.values)) for series in found),
                         *(f"{number(series.latency('50'))}, {number(series.latency('99'))} ms" for series in found),
                         *(spread_text(results.ratio("ping", conns, OURS, name)) for name in servers[1:])])
    return rst_table(headings, rows) if rows else ""


def rst_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A simple table."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)

    def cells(words: Sequence[str]) -> str:
        return "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()

    return "\n".join([rule, cells(headings), rule, *map(cells, rows), rule]) + "\n"
