"""Tests of ASGI frameworks, run with a server in between: on ours, and on uvicorn to compare with."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ._fetching import ROOT, environment, sources

#: What builds the frameworks.
BUILDERS = ("hatchling", "pdm-backend")
#: Beside the framework: both servers have what they need for everything.
PACKAGES = ("uvicorn[standard]", "websockets>=17", "httpx2", "pytest>=8.3")


def run(name: str, server: str, python: Path, folder: Path, arguments: Iterable[str]) -> tuple[int, set[str]]:
    """Run the tests on a server. Return the exit status of pytest, and the names of what passed."""
    print(f"{name} on {server}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        passed = Path(scratch) / "passed"
        passed.touch()
        path = os.pathsep.join(map(str, [ROOT, ROOT / "load", folder]))
        status = subprocess.run(
            [str(python), "-m", "pytest", "-p", "conformance._live_client", "-p", "no:cacheprovider", "-q",
             "--no-header",
             "-o", "addopts=", "--tb=line", "-W", "ignore", *arguments],
            cwd=folder, env={**os.environ, "PYTHONPATH": path, "CONFORMANCE_SERVER": server,
                             "CONFORMANCE_PASSED": str(passed)}).returncode
        return status, set(passed.read_text().splitlines())


def compare(name: str, package: str, packages: Iterable[str], paths: Iterable[str], deselected: Mapping[str, str],
            behind: Mapping[str, str]) -> int:
    """Fetch a framework with its tests, run them on both servers, and print what came of it.

    Args:
        deselected: what is not run, by the beginning of its name, and why.
        behind: what passes on uvicorn and not on ours, and why.

    Returns:
        0 if everything passes on ours that passes on uvicorn, save what is named.
    """
    python = environment(name, package, *packages, *PACKAGES)
    folder = sources(python, package, BUILDERS)
    left_out = [f"--{'ignore' if test.endswith('.py') else 'deselect'}={test}" for test in deselected]
    arguments = sys.argv[1:] or [*paths]
    _, ours = run(name, "ours", python, folder, [*arguments, *left_out])
    _, theirs = run(name, "uvicorn", python, folder, [*arguments, *left_out])
    print(f"{name}: {len(ours)} pass on ours, {len(theirs)} on uvicorn; {len(ours - theirs)} on ours alone, "
          f"{len(theirs - ours)} on uvicorn alone")
    missing = {test for test in theirs - ours if not any(test.startswith(known) for known in behind)}
    for test in sorted(missing):
        print(f"  on uvicorn, and not on ours: {test}")
    return 1 if missing or not ours else 0
