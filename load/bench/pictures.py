"""Two pictures of a run, as SVG: rates against connections, and the percentiles of latency.

They are made by matplotlib, the extra `bench`, from the figures alone: the same figures give the same file. Below each
stands the machine and the command that it comes from.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .figures import PERCENTILES, Series, spread
from .peers import OURS
from .report import Results, machine

RATE, LATENCY = "rate.svg", "latency.svg"
#: Where "100" stands: at the latest a step behind the last percentile that is told.
LAST = 3.6


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are figures for.

    Returns:
        The files that were written.

    Raises:
        ImportError: the plotting library is not installed.
    """
    import matplotlib
    matplotlib.use("svg")
    # Text stays text, and nothing in the file depends on when it was made.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "evloop_http", "font.family": "sans-serif",
                                "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    made = []
    for name, workload, plot in ((RATE, "ping", plot_rates), (LATENCY, "latency", plot_latencies)):
        chosen = [series for series in results.series
                  if series.workload == workload and spread(series.values) is not None]
        if chosen and (workload == "latency" or len({series.conns for series in chosen}) > 1):
            made.append(save(results, chosen, plot, folder / name))
    return made


def save(results: Results, chosen: list[Series], plot: Any, path: Path) -> Path:
    """One picture."""
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(8, 5))
    plot(axes, chosen)
    axes.grid(which="major", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.text(0.01, 0.01, f"{machine(results)}; {results.rounds} rounds of {results.seconds} s\n{results.command}",
                fontsize=7, color="#555555")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def look(server: str) -> dict[str, Any]:
    """Ours is the thick one."""
    return {"label": server, "linewidth": 2.8 if server == OURS else 1.3, "zorder": 3 if server == OURS else 2,
            "color": "black" if server == OURS else None, "marker": "o", "markersize": 3}


def ordered(chosen: list[Series]) -> list[str]:
    """Servers, those with the greatest values first, as the lines lie."""
    best = {series.server: spread(series.values) for series in chosen}
    return sorted(best, key=lambda server: -(found.median if (found := best[server]) else 0))


def plot_rates(axes: Any, chosen: list[Series]) -> None:
    """Requests a second against connections; the bars reach from the least to the most of the rounds."""
    for server in ordered(chosen):
        points = [(series.conns, found) for series in chosen
                  if series.server == server and (found := spread(series.values))]
        middle = [found.median for _, found in points]
        low = [found.median - found.least for _, found in points]
        high = [found.most - found.median for _, found in points]
        axes.errorbar([conns for conns, _ in points], middle, yerr=[low, high], capsize=2, **look(server))
    axes.set_xscale("log")
    ticks = sorted({series.conns for series in chosen})
    axes.set_xticks(ticks, [f"{conns:,}" for conns in ticks])
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("keep-alive connections")
    axes.set_ylabel("requests/s")
    axes.set_title("GET /ping, one core for each server")


def position(percentile: str) -> float:
    """Where a percentile stands: each further nine is a step."""
    percent = float(percentile)
    return LAST if percent >= 100 else -math.log10(1 - percent / 100)


def plot_latencies(axes: Any, chosen: list[Series]) -> None:
    """Latency against percentiles, the medians of the rounds."""
    for server in ordered(chosen):
        series = next(series for series in chosen if series.server == server)
        points = [(position(name), found) for name in PERCENTILES
                  if (found := series.latency(name)) is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], **look(server))
    axes.set_xticks([position(name) for name in PERCENTILES],
                    [f"{name} %" if name != "100" else "worst" for name in PERCENTILES], rotation=30, fontsize=8)
    axes.set_yscale("log")
    for formatted in axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter:
        formatted(lambda value, _: f"{value:g}")
    axes.set_ylabel("milliseconds since the request was due")
    axes.set_title("GET /ping at a constant 2000 requests/s, one core for each server")
