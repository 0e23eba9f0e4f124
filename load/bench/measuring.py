"""One figure: a server is started, compared with the others, loaded, and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import checking, idle, listening, talking, wrk
from .figures import Figure, percentiles
from .peers import PYTHONPATH, Peer
from .running import Place, Running, Trouble, crowd, running
from .workloads import MIB, Workload

#: Milliseconds: the client of the open model was at most so late, 99 times of 100, or it is said.
LATE = 0.5
#: How many are in the way (see `crowds`).
CROWDS = {"slow": 50, "block": 8, "storm": 8}
#: Seconds that the crowd has before anybody is timed, and that it stays beyond.
HEAD_START = 0.5
#: Seconds that a server takes to die after it has lost its connections.
DYING = 0.5
#: Seconds that are waited for the crowd to go.
PATIENCE = 60.0


def can(peer: Peer, workload: Workload) -> bool:
    """Whether a server does what the workload needs."""
    if "constant" in peer.does:
        return workload.is_constant
    return workload.needs <= peer.can_serve


def measure(peer: Peer, workload: Workload, conns: int, seconds: int, place: Place) -> Figure:
    """The figure of one round; what went wrong is in it."""
    try:
        with running(peer, workload, place) as server:
            figure = Figure(commands=[server.command])
            try:
                load(server, workload, conns, seconds, figure)
            except Trouble as trouble:
                figure.trouble, figure.value = str(trouble), None
            return figure
    except Trouble as trouble:
        return Figure(trouble=str(trouble))


def load(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Compare, warm up and measure. A server that has died is told of as such, whatever its clients made of it."""
    try:
        CHECKS.get(workload.kind, checking.check)(workload, server.port, server.place.files)
        KINDS[workload.kind](server, workload, conns, seconds, figure)
    except Trouble:
        server.verify_alive(DYING)
        raise
    server.verify_alive()


def closed(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Requests a second, with wrk."""
    place = server.place
    argv = wrk.command(place, workload, server.port, conns, seconds)
    figure.commands.append(place.shown(argv))
    started, before = time.monotonic(), server.seconds()
    counted, figure.client = wrk.load(argv, place.work)
    figure.server = (server.seconds() - before) / (time.monotonic() - started)
    figure.errors = counted.errors
    if workload.depth == 1:  # wrk does not know which answer of a piece it waited for
        figure.latency = counted.latency
    if not counted.requests:
        raise Trouble("answered nothing")
    figure.value = counted.rate


def drained(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Requests or bytes a second, with a client that throws the bodies away."""
    argv = [sys.executable, "-m", "bench.sink", str(server.port), workload.ask.target, str(seconds), str(conns)]
    argv = server.place.pinned(argv, server.place.client_core)
    figure.commands.append(server.place.shown(argv))
    said, _ = ask_client(argv, server, figure)
    figure.client, figure.latency = said["client"], said["latency"]
    figure.value = said["octets"] / MIB if workload.unit == "MiB/s" else said["requests"]
    if not figure.value:
        raise Trouble("answered nothing")


def opened(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Latency at a constant rate of arrivals."""
    place = server.place
    argv = [sys.executable, "-m", "bench.open_model", str(server.port), str(workload.rate), str(seconds), str(conns),
            *(["--tls"] if workload.tls else [])]
    argv = place.pinned(argv, place.client_core)
    figure.commands.append(place.shown(argv))
    said, _ = ask_client(argv, server, figure)
    figure.latency = said["latency"]
    figure.value = figure.latency["99"]
    if said["late"] > LATE:
        figure.notes.append("the client was itself late: the machine was busy with something else")


def ask_client(argv: list[str], server: Running, figure: Figure) -> tuple[dict[str, Any], float]:
    """Run a client of ours to its end.

    Returns:
        What it said, and the processor time that the server used meanwhile.

    Raises:
        Trouble: it failed.
    """
    started, before = time.monotonic(), server.seconds()
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": PYTHONPATH})
    if done.returncode:
        raise Trouble(done.stderr.strip().rpartition("\n")[2][:200] or f"the client ended with {done.returncode}")
    used = server.seconds() - before
    figure.server = used / (time.monotonic() - started)
    said: dict[str, Any] = json.loads(done.stdout)
    figure.errors = said["errors"]
    return said, used


def beside(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """The same while a crowd is in the way. The crowd shares the client's core, and is nice to it."""
    place = server.place
    argv = crowd_command(server, workload, seconds)
    figure.commands.append(place.shown(argv))
    with crowd(argv) as others:
        assert others.stdout is not None
        if workload.crowd != "storm" and others.stdout.readline() != b"ready\n":
            raise Trouble("those who are in the way were not let in")
        time.sleep(HEAD_START)
        opened(server, workload, conns, seconds, figure)
        if workload.crowd != "storm":
            others.terminate()
        said = last_words(others)
    done, what = json.loads(said or "0"), {"slow": "bytes to slow readers", "block": "blocking answers"}
    if workload.crowd == "storm":
        figure.errors |= {f"in the crowd: {kind}": number for kind, number in done["errors"].items()}
        done = done["done"]
    if not done:
        figure.notes.append(f"no {what.get(workload.crowd, 'handshakes')} in that time")


def last_words(others: subprocess.Popen[bytes]) -> str:
    """What the crowd says when it goes."""
    try:
        return others.communicate(timeout=PATIENCE)[0].decode()
    except subprocess.TimeoutExpired:
        raise Trouble("those who were in the way were not answered") from None


def crowd_command(server: Running, workload: Workload, seconds: int) -> list[str]:
    """Those who are in the way, as a command."""
    place, count = server.place, CROWDS[workload.crowd]
    if workload.crowd == "storm":
        argv = handshakes_command(server, seconds + 2 * HEAD_START, count)
    else:
        argv = [sys.executable, "-m", "bench.crowds", workload.crowd, str(server.port), str(count)]
        argv = place.pinned(argv, place.client_core)
    return ["nice", "-n", "19", *argv]


def handshakes_command(server: Running, seconds: float, threads: int) -> list[str]:
    """So many strangers at a time."""
    argv = [sys.executable, "-m", "bench.handshakes", str(server.port), str(seconds), str(threads)]
    return server.place.pinned(argv, server.place.client_core)


def handshakes(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Handshakes in a second of the server's processor time."""
    argv = handshakes_command(server, seconds, conns)
    figure.commands.append(server.place.shown(argv))
    said, used = ask_client(argv, server, figure)
    if not said["done"] or not used:
        raise Trouble("no handshake")
    figure.value = said["done"] / used


def kept(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Memory for each idle connection."""
    figure.commands.append(f"{conns} connections, one GET {workload.ask.target} on each, none closed (bench.idle)")
    figure.value = idle.growth(server.port, conns, server.resident)


def echoed(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Messages a second that came back over WebSockets."""
    argv = [sys.executable, "-m", "bench.talking", str(server.port), workload.ask.target, str(workload.size),
            str(seconds), str(conns)]
    argv = server.place.pinned(argv, server.place.client_core)
    figure.commands.append(server.place.shown(argv))
    with crowd(argv) as client:
        assert client.stdout is not None
        if client.stdout.readline() != b"ready\n":
            raise Trouble("did not shake hands with all")
        before = server.seconds()  # the handshakes are over
        said = json.loads(last_words(client))
    figure.client, figure.latency, figure.errors = said["client"], said["latency"], said["errors"]
    figure.server = (server.seconds() - before) / said["seconds"]
    figure.value = said["messages"] / said["seconds"]
    if not figure.value:
        raise Trouble("sent nothing back")


def heard(server: Running, workload: Workload, conns: int, seconds: int, figure: Figure) -> None:
    """Milliseconds until the last of so many has an event; the memory and the processor time that it takes."""
    figure.commands.append(f"{conns} connections ask for /events; GET /tell/N on another, until all have it, for "
                           f"{seconds} s (bench.listening)")
    found = listening.listen(server.port, conns, seconds, server.resident, server.seconds)
    figure.value, figure.latency = listening.middle(found), percentiles(found.times)
    figure.also = {"KiB for each": found.resident, "ms of the processor for an event": found.used}
    figure.errors = {"listeners lost": found.lost} if found.lost else {}


CHECKS: dict[str, Callable[[Workload, int, Path], None]] = {"echo": talking.check, "listen": listening.check}
KINDS: dict[str, Callable[[Running, Workload, int, int, Figure], None]] = {
    "closed": closed, "open": opened, "beside": beside, "handshakes": handshakes, "idle": kept, "sink": drained,
    "echo": echoed, "listen": heard}
