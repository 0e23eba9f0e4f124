"""The bench, as a program: what is to be measured, in turns, and what is written when.

Results are written after each round, so that Ctrl-C costs no more than the round that it falls into.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import history, idle, installing, pictures, report
from .figures import Series
from .measuring import can, measure
from .peers import BARE, HERE, OURS, PEERS, PYTHONPATH, Peer
from .peers import BY_NAME as PEER
from .report import Results
from .running import Place
from .workloads import ALL, Workload, files_of, make_files
from .workloads import BY_NAME as WORKLOAD

LOAD = HERE.parent
ROOT = LOAD.parent
HISTORY = LOAD / "history.jsonl"
QUICK_SERVERS = (OURS, BARE)
QUICK_WORKLOADS = ("ping", "ping-new", "close", "pipelined", "json", "static-4k", "tls", "idle")
QUICK_CONNS = 100


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name for name in text.split(",") if name]


def counts(text: str) -> list[int]:
    """Numbers with commas between them."""
    found = [int(word) for word in names(text)]
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError("numbers from 1 up")
    return found


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with what is not said filled in."""
    parser = argparse.ArgumentParser(
        prog="./scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure evloop_http beside other servers, in turns, each on one core.",
        epilog="servers:\n" + "\n".join(f"  {peer.name:<16}{peer.what}" for peer in PEERS)
        + "\n\nworkloads:\n" + "\n".join(f"  {workload.name:<16}{workload.what}" for workload in ALL))
    add = parser.add_argument
    add("--servers", type=names, nargs="+", metavar="NAME", help="which (default: all)")
    add("--workloads", type=names, nargs="+", metavar="NAME", help="which (default: all)")
    add("--conns", type=counts, nargs="+", metavar="N", help="connections of wrk (default: each workload's own)")
    add("--rounds", type=positive, metavar="N", help="rounds, of which the median is told (default: 5; 3 if quick)")
    add("--seconds", type=positive, metavar="N", help="that each figure takes (default: 2; 1 if quick)")
    add("--quick", action="store_true", help="ours and the bare loop alone, in two minutes; the ratios go into "
        "load/history.jsonl and are compared with the earlier ones")
    add("--pictures", type=Path, metavar="DIR", help="where the pictures go (default: beside the other results)")
    add("--report", type=Path, metavar="FILE", help="measure nothing: tables and pictures of an earlier results.json")
    options = parser.parse_args(arguments)
    for name, default, known in (("servers", QUICK_SERVERS if options.quick else PEER, PEER),
                                 ("workloads", QUICK_WORKLOADS if options.quick else WORKLOAD, WORKLOAD)):
        given = list(itertools.chain(*getattr(options, name) or [])) or list(default)
        if unknown := [one for one in given if one not in known]:
            parser.error(f"there is no {', '.join(unknown)} among the {name}: {', '.join(known)}")
        setattr(options, name, [one for one in known if one in given])
    options.conns = list(itertools.chain(*options.conns or []))
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    return options


def conns_of(workload: Workload, options: argparse.Namespace) -> Sequence[int]:
    """How many connections, one table for each number."""
    if workload.kind == "closed" and options.conns:
        return list(options.conns)
    if workload.kind == "closed" and options.quick:
        return [min(QUICK_CONNS, max(workload.conns))]
    return workload.conns


def machine() -> dict[str, object]:
    """What this is, without its name."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = " ".join(line.partition(":")[2].split())
            break
    return {"cpu": cpu, "cores": os.cpu_count(), "system": f"Linux {'.'.join(platform.release().split('.')[:2])}",
            "python": platform.python_version(), "load": os.getloadavg()[0]}


def commit() -> str:
    """Which version this is; with a plus if the server has been changed since."""
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    try:
        changed = "+" if git("status", "--porcelain", "evloop_http") else ""
        return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
    except OSError:
        return "unknown"


def get_servers(options: argparse.Namespace, results: Results) -> list[Peer]:
    """Those that can be had; of the others it is said why not."""
    found = []
    for name in options.servers:
        try:
            results.versions[name] = installing.install(PEER[name])
            found.append(PEER[name])
        except installing.Missing as missing:
            results.skipped[name] = str(missing)
            print(f"Skipped {name}: {missing}", file=sys.stderr)
    return found


def get_workloads(options: argparse.Namespace, results: Results) -> tuple[list[Workload], str]:
    """Those that can be measured, and where wrk is."""
    chosen = [WORKLOAD[name] for name in options.workloads]
    try:
        return chosen, installing.program("wrk")
    except installing.Missing as missing:
        needing = [workload for workload in chosen if workload.kind == "closed"]
        for workload in needing:
            results.skipped[workload.name] = str(missing)
            print(f"Skipped {workload.name}: {missing}", file=sys.stderr)
        return [workload for workload in chosen if workload not in needing], ""


def measure_all(options: argparse.Namespace, peers: Sequence[Peer], workloads: Sequence[Workload], place: Place,
                results: Results, folder: Path) -> None:
    """In turns, and who begins changes from round to round."""
    for workload in workloads:
        able = [peer for peer in peers if can(peer, workload)]
        for conns in conns_of(workload, options):
            rows = {peer.name: Series(workload.name, conns, peer.name) for peer in able}
            results.series += rows.values()
            for number in range(options.rounds):
                first = number % max(1, len(able))
                for peer in [*able[first:], *able[:first]]:
                    figure = measure(peer, workload, conns, options.seconds, place)
                    rows[peer.name].figures.append(figure)
                    said = figure.trouble or f"{report.number(figure.value)} {workload.unit}"
                    print(f"{workload.name}, {conns} connections, round {number + 1}: {peer.name}: {said}",
                          file=sys.stderr)
                results.save(folder / "results.json")
            print(report.table(results, workload.name, conns) + "\n", flush=True)


def bench(options: argparse.Namespace, results: Results, folder: Path) -> None:
    """Make everything ready, measure, put everything away."""
    peers = get_servers(options, results)
    workloads, wrk = get_workloads(options, results)
    most = max((conns for workload in workloads for conns in conns_of(workload, options)), default=0)
    idle.raise_limit(most + idle.FIRST + idle.SPARE)  # for the servers as well, which we start
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("This needs two cores: one for the server and one for those who load it.")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Place(Path(name), cores[0], cores[1], wrk)
        place.work.chmod(0o755)  # nginx reads as another user
        place.files.mkdir()
        make_files(place.files, files_of(workloads) | {"4k.bin"})
        if any("tls" in workload.needs for workload in workloads):
            installing.run([sys.executable, str(ROOT / "scripts" / "make_cert.py"), name])
        os.sched_setaffinity(0, {place.client_core})  # ours too
        print(report.heading(results) + "\n", flush=True)
        measure_all(options, peers, workloads, place, results, folder)


def finish(options: argparse.Namespace, results: Results, folder: Path) -> None:
    """Write what there is to be seen."""
    (folder / "report.txt").write_text(report.text(results), "utf-8")
    if rst := report.connections_rst(results):
        (folder / "connections.rst").write_text(rst, "utf-8")
    shown = options.pictures or folder
    shown.mkdir(parents=True, exist_ok=True)
    try:
        made = pictures.draw(results, shown)
    except ImportError:
        made = []
        print("No pictures: the plotting library is not installed (pip install 'evloop-http[bench]')", file=sys.stderr)
    written = [folder / "results.json", folder / "report.txt", *made]
    print(f"Written: {', '.join(os.path.relpath(path) for path in written)}")


def remember(results: Results) -> None:
    """The ratios of a quick run, beside those before them."""
    line = history.entry(results, datetime.datetime.now())
    if line["ratios"]:
        print(history.text(history.read(HISTORY), line))
        history.append(HISTORY, line)
        print(f"A line more in {os.path.relpath(HISTORY)}, for commit {results.commit}.")


def stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Measure; the exit status is 1 where anything failed or met an error."""
    options = parse(arguments)
    if options.report:
        results = Results.load(options.report)
        print(report.text(results))
        finish(options, results, options.report.parent)
        return 0
    for name in ("taskset", "nice"):
        if not shutil.which(name):
            sys.exit(f"{name} is missing (Debian has it in util-linux and coreutils)")
    os.environ["PYTHONPATH"] = PYTHONPATH
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    command = shlex.join(["./scripts/bench", *arguments])
    results = Results(machine(), commit(), command, options.rounds, options.seconds)
    folder = LOAD / "results" / f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{results.commit}"
    folder.mkdir(parents=True)
    try:
        bench(options, results, folder)
        if options.quick:
            remember(results)
    except KeyboardInterrupt:
        print("Stopped; what was measured until now is written.", file=sys.stderr)
        return 130
    finally:
        finish(options, results, folder)
    return 1 if results.has_trouble else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
