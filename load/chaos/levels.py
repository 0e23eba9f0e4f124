"""The process of a server under chaos, as its clients' process sees it: its ports, its levels, its log."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from .application import make_files
from .client import Ports
from .wires import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
#: Levels that differ a little at every rest, because caches fill and allocators keep a reserve.
APPROXIMATE = frozenset({"memory", "blocks"})
#: Seconds between two looks at a server that is not at rest yet.
_LOOK_AGAIN = 0.1

Levels = dict[str, int]


class Died(Exception):
    """The server has ended by itself, or does nothing any more."""


class Served:
    """A server in a process of its own, from `with` to `stop` or to the end of `with`.

    Args:
        folder: for its files, its certificate and its log.

    Raises:
        Died: it does not start.
    """

    def __init__(self, folder: Path) -> None:
        make_files(folder / "files")
        make_certificate(folder)
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "default", "-m", "chaos.serving", str(folder)], cwd=ROOT, text=True,
                env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        try:
            self.ports = Ports(*json.loads(self._read_line()))
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise Died(f"the server hangs: {self.log.strip() or 'it says nothing'}")
        line = self._process.stdout.readline()
        if not line:
            raise Died(f"the server died: {self.log.strip() or 'it says nothing'}")
        return line

    @property
    def log(self) -> str:
        """Everything that it logged and nobody meant."""
        return self._log.read_text(errors="replace")

    def levels(self) -> Levels:
        """Return how much it holds of everything that comes and goes.

        Raises:
            Died: it does not answer.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write("?\n")
            self._process.stdin.flush()
        levels: Levels = json.loads(self._read_line())
        return levels

    def levels_at_rest(self, base: Levels) -> Levels:
        """Return its levels when none has `risen` above `base`, or what they are when that takes too long."""
        until = time.monotonic() + PATIENCE
        while risen(base, levels := self.levels()) and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN)
        return levels

    def stop(self) -> list[str]:
        """Have it end. Return what is wrong with how it did."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return ["the server did not end when it was told to"]
        return [f"the server ended with status {status}"] if status else []


def risen(base: Levels, levels: Levels) -> list[str]:
    """Return a sentence for each level that is above what it was, except for those that are approximate."""
    return [f"{name}: {levels[name]}, and {base.get(name, 0)} before"
            for name in levels if name not in APPROXIMATE and levels[name] > base.get(name, 0)]


def make_certificate(folder: Path) -> None:
    """Make a certificate and its key in `folder`."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "make_cert.py"), "--force", str(folder)], check=True,
                   stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'load'}"}
