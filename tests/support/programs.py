"""The command of this project as a program of its own, and what its server answers."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from asking import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """`python -m evloop_http`, started, and the lines that it has printed so far."""

    def __init__(self, arguments: tuple[str | Path, ...], folder: Path, out: int = subprocess.PIPE,
                 **environment: str) -> None:
        known = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "evloop_http", *map(str, arguments)],
            stdout=out, stderr=subprocess.PIPE, text=True, cwd=folder,
            env={**known, "PYTHONPATH": path, **environment})
        self.lines: list[str] = []

    def read_banner(self) -> list[str]:
        """The lines up to the last one of the banner; it is served by then."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                return self.lines
        raise AssertionError(f"ended without a banner: {self.lines}, {self.end()}")

    @property
    def urls(self) -> list[str]:
        return [line.strip() for line in self.lines if "://" in line]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Its exit status, and what it wrote since the banner on standard output and standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def program(*arguments: str | Path, folder: Path, out: int = subprocess.PIPE, **environment: str) -> Iterator[Program]:
    started = Program(arguments, folder, out, **environment)
    try:
        yield started
    finally:
        if started.process.returncode is None:
            started.process.kill()
            started.process.communicate()


def fetch(url: str, target: str = "/", context: ssl.SSLContext | None = None,
          headers: Mapping[str, str] = MappingProxyType({})) -> tuple[int, str]:
    """Status and text of an answer."""
    address = url.partition("://")[2]
    client = http.client.HTTPConnection(address, timeout=PATIENCE) if context is None \
        else http.client.HTTPSConnection(address, timeout=PATIENCE, context=context)
    try:
        client.request("GET", target, headers={"User-Agent": 'tester "1"', **headers})
        reply = client.getresponse()
        return reply.status, reply.read().decode()
    finally:
        client.close()
