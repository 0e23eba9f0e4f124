"""wrk, the closed loop: each connection asks again as soon as it is answered.

It knows how wrk is called and what it says. Its arithmetic is done in `lua/request.lua`, which prints one line of
JSON, so that nothing is read out of prose.
"""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .peers import HERE
from .running import Place, Trouble
from .workloads import Workload, request_bytes

SCRIPT = HERE / "lua" / "request.lua"
#: Seconds. wrk counts what takes longer, and goes on waiting for it.
TIMEOUT = 10


class Counted(NamedTuple):
    """What wrk counted: latencies in milliseconds by percentile, only the errors that there were."""

    requests: int
    seconds: float
    latency: dict[str, float]
    errors: dict[str, int]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def command(place: Place, workload: Workload, port: int, conns: int, seconds: int) -> list[str]:
    """How wrk is called for a workload; the file with the request is written."""
    request = place.work / f"request-{workload.name}"
    request.write_bytes(request_bytes(workload.ask, workload.keep, workload.new))
    url = f"http{'s' if workload.tls else ''}://127.0.0.1:{port}{workload.ask.target}"
    return place.pinned([place.wrk, "-t1", f"-c{conns}", f"-d{seconds}s", f"--timeout={TIMEOUT}s", "-s", str(SCRIPT),
                         url, "--", str(request), str(workload.depth)], place.client_core)


def parse(output: str) -> Counted:
    """What the script printed. A latency of nothing is wrk's way to say that it does not know.

    Raises:
        Trouble: it printed nothing that makes sense.
    """
    for line in output.splitlines():
        if line.startswith("figures "):
            said = json.loads(line.removeprefix("figures "))
            return Counted(said["requests"], said["duration"] / 1e6,
                           {percentile: micros / 1000 for percentile, micros in said["latency"].items() if micros},
                           nonzero(said["errors"].items()))
    last = [line for line in output.splitlines() if line.strip()][-1:]
    raise Trouble(f"wrk said: {''.join(last) or 'nothing'}")


def nonzero(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Only what happened."""
    return {name: number for name, number in pairs if number}


def load(argv: list[str], folder: Path) -> tuple[Counted, float]:
    """Run wrk to its end.

    Returns:
        What it counted, and which part of its core it used.

    Raises:
        Trouble: it failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counted = parse(done.stdout + done.stderr)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return counted, used / counted.seconds
