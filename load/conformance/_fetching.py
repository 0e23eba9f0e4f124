"""Where other people's tests come from: PyPI, at the moment they are run, into an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(name: str, *packages: str) -> Path:
    """Return the Python of `.venv-NAME`, which is made and filled if it is not there."""
    folder = ROOT / f".venv-{name}"
    python = folder / "bin" / "python"
    stamp = folder / "packages.txt"
    wanted = " ".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, with_pip=True)
        pip(python, "install", *packages)
        stamp.write_text(wanted)
    return python


def sources(python: Path, package: str, built_with: Iterable[str] = ("setuptools>=77", "wheel")) -> Path:
    """Return the folder of the sources of a package, `name==version`, with its tests; fetched if they are not there.

    Args:
        built_with: what builds it.
    """
    folder = python.parents[1] / "sources"
    name, _, version = package.partition("==")
    found = folder / f"{name}-{version}"
    if not found.exists():
        # It is asked for its metadata, for which it is built: with what is in the environment.
        pip(python, "install", *built_with)
        pip(python, "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder),
            package)
        [archive] = folder.glob(f"{name}-{version}.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    return found


def pip(python: Path, *arguments: str) -> None:
    """Run pip.

    Raises:
        subprocess.CalledProcessError: it failed; it has said why.
    """
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def run_inside(python: Path, module: str, *paths: Path, arguments: list[str]) -> int:
    """Run a module of ours in an environment, with these folders on its path; its exit status."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "load", *paths]))
    command = [str(python), "-m", f"conformance.{module}", "--inside", *arguments]
    sys.stdout.flush()
    return subprocess.run(command, cwd=paths[0], env={**os.environ, "PYTHONPATH": path}).returncode
