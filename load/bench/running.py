"""A server in a process of its own, on a core of its own; what it uses; and its end, whatever happens.

Each server leads a session, so that all that it starts can be found and ended with it. That is also why Ctrl-C at the
terminal does not reach it: it is ended by us, on every way out.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import installing
from .peers import HERE, NGINX_CONF, PYTHONPATH, Peer
from .workloads import Workload, constant_answer

#: Seconds
START, STOP = 15.0, 2.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Trouble(Exception):
    """There is no figure; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where the runs of a bench happen.

    Args:
        work: a folder that is removed in the end.
        server_core: the core that the servers have.
        client_core: the core that all the others have.
        wrk: the program.
    """

    work: Path
    server_core: int
    client_core: int
    wrk: str = "wrk"

    @property
    def files(self) -> Path:
        return self.work / "files"

    def pinned(self, command: list[str], core: int) -> list[str]:
        """The command on one core."""
        return ["taskset", "-c", str(core), *command]

    def shown(self, command: list[str]) -> str:
        """A command without the folders of this machine."""
        text = shlex.join(command).replace(sys.executable, "python").replace(str(self.work), "WORK")
        return text.replace(sys.prefix, "VENV").replace(str(HERE), "load/bench")


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    place: Place
    port: int
    process: subprocess.Popen[bytes]
    command: str

    def seconds(self) -> float:
        """Processor time that it has used."""
        return sum(stat[0] for stat in stats(self.process.pid)) / TICKS

    def resident(self) -> float:
        """Its memory in KiB: of all its processes."""
        return sum(stat[1] for stat in stats(self.process.pid)) * PAGE / 1024

    def verify_alive(self, patience: float = 0.0) -> None:
        """Raise `Trouble` if it has ended by itself, or does so within the time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        if (status := self.process.poll()) is not None:
            said = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            raise Trouble(f"the server ended by itself ({said})")


def stats(session: int) -> Iterator[tuple[int, int]]:
    """Of each process of a session: processor time in ticks, resident pages."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                yield int(fields[11]) + int(fields[12]), int(fields[21])


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def command_of(peer: Peer, workload: Workload, place: Place, port: int) -> list[str]:
    """The command that starts a server for a workload; the files that it needs are written."""
    pair = {"cert": str(place.work / "cert.pem"), "key": str(place.work / "key.pem")}
    words = {"python": sys.executable, "port": str(port), "files": str(place.files), "work": str(place.work),
             "here": str(HERE), "answer": str(place.work / "answer"), "go": "", "nginx": "", **pair}
    command = peer.secure if workload.tls else peer.plain
    if "constant" in peer.does:
        Path(words["answer"]).write_bytes(constant_answer(workload, place.files))
        command += "" if workload.keep else " --close"
    elif peer.program == "go":
        words["go"] = str(installing.build_go())
    elif peer.program == "nginx":
        words["nginx"] = installing.program("nginx")
        write_nginx_conf(words, workload.tls)
    command = command.replace("{target}", peer.target(workload.serves))
    return [word.format(**words) for word in shlex.split(command)]


def write_nginx_conf(words: dict[str, str], tls: bool) -> None:
    """Its settings are a file."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    pair = "ssl_certificate {cert};\n    ssl_certificate_key {key};".format(**words) if tls else ""
    text = NGINX_CONF.format(**words, tls=" ssl" if tls else "", user=user, pair=pair)
    Path(words["work"], "nginx.conf").write_text(text)


@contextlib.contextmanager
def running(peer: Peer, workload: Workload, place: Place) -> Iterator[Running]:
    """The server, as long as the block lasts.

    Raises:
        Trouble: it did not start.
    """
    port = free_port()
    try:
        command = place.pinned(command_of(peer, workload, place, port), place.server_core)
    except installing.Missing as error:
        raise Trouble(str(error)) from None
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "BENCH_FILES": str(place.files),
                   **dict(peer.environment)}
    log = place.work / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                                   cwd=place.work, start_new_session=True)
    try:
        wait_for(process, port, log)
        shown = [f"{name}={value}" for name, value in peer.environment]
        yield Running(place, port, process, " ".join([*shown, place.shown(command)]))
    finally:
        end(process)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.01)
    lines = log.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    raise Trouble(f"did not start: {last[:200]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and all of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP)
    with contextlib.suppress(ProcessLookupError):  # workers that outlived it, or the process itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def crowd(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A client that works beside another, in a session of its own as well."""
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env=environment, start_new_session=True)
    try:
        yield process
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()
