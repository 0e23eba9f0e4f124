"""The scripts that a stranger runs first: the development certificate, and filling .venv once.

`scripts/venv` is run in a folder of its own with a stand-in for Python that writes down what it was
asked to do, so that nothing is installed here.
"""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("venv", "serve", "test", "check", "make-cert", "fuzz", "load", "conformance")
BASH_SCRIPTS = [".ci/run", *(f"scripts/{name}" for name in SCRIPTS)]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


@pytest.mark.parametrize("script", BASH_SCRIPTS)
def test_bash_can_read_and_run_the_script(script: str) -> None:
    assert run("bash", "-n", ROOT / script).stderr == ""
    assert os.access(ROOT / script, os.X_OK)


# -- make-cert


def make_cert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, ROOT / "scripts/make_cert.py", *arguments)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("cryptography", reason="the 'cert' extra is not installed")
    folder = tmp_path_factory.mktemp("made") / "new"
    result = make_cert(folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Made {folder / 'cert.pem'} and {folder / 'key.pem'}: ")
    assert len(result.stdout.splitlines()) == 1
    return folder


def shake_hands(pair: Path, name: str) -> None:
    """A TLS handshake in memory with a client that trusts only this certificate and asks for `name`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pair / "cert.pem", pair / "key.pem")
    client_context = ssl.create_default_context(cafile=str(pair / "cert.pem"))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    assert client.getpeercert()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_certificate_accepts_this_machine_by_each_name(pair: Path, name: str) -> None:
    shake_hands(pair, name)


def test_the_certificate_names_nobody_else(pair: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(pair, "example.com")


def test_the_key_is_for_its_owner_only_and_nothing_else_is_left_in_the_folder(pair: Path) -> None:
    assert stat.S_IMODE((pair / "key.pem").stat().st_mode) == 0o600
    assert {path.name for path in pair.iterdir()} == {"cert.pem", "key.pem"}


def test_the_key_is_p256_and_the_certificate_lasts_no_longer_than_825_days(pair: Path) -> None:
    x509 = pytest.importorskip("cryptography.x509")
    certificate = x509.load_pem_x509_certificate((pair / "cert.pem").read_bytes())
    assert certificate.public_key().curve.name == "secp256r1"
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 825


@pytest.mark.parametrize("there", ["cert.pem", "key.pem"])
def test_a_pair_or_half_of_one_is_replaced_only_by_force(tmp_path: Path, pair: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    refused = make_cert(tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == f"{tmp_path} holds {there} already; --force replaces the pair\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "precious")]
    assert make_cert("--force", tmp_path).returncode == 0
    shake_hands(tmp_path, "localhost")


# -- venv

STAND_IN = """#!/usr/bin/env bash
echo "$*" >>"$RECORD"
case "$*" in
    -c*) [[ $VERSION == new ]] ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"pip install"*) [[ $NETWORK == up ]] ;;
esac
"""


class Tree:
    """A copy of what `scripts/venv` needs, with a stand-in for Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/venv", root / "scripts/venv")
        for name in ("setup.cfg", "pyproject.toml"):
            (root / name).write_text(f"# {name}\n")
        (root / "python").write_text(STAND_IN)
        (root / "python").chmod(0o755)

    def fill(self, extra: str, version: str = "new", network: str = "up",
             **more: str) -> subprocess.CompletedProcess[str]:
        record = self.root / "record"
        record.write_text("")
        python = str(self.root / "python")
        said = {"PYTHON": python, "RECORD": str(record), "VERSION": version, "NETWORK": network, **more}
        return run(self.root / "scripts/venv", extra, **said)

    @property
    def installed(self) -> list[str]:
        """What the last fill handed to pip."""
        lines = (self.root / "record").read_text().splitlines()
        return [line.split()[-1] for line in lines if "pip install" in line]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_venv_fills_once_and_then_asks_nothing_of_python(tree: Tree) -> None:
    assert tree.fill("test").returncode == 0
    assert tree.installed == [".[test]"]
    again = tree.fill("test")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert (tree.root / "record").read_text() == ""


@pytest.mark.parametrize("changed", ["setup.cfg", "pyproject.toml"])
def test_venv_fills_again_when_the_project_asks_for_something_else(tree: Tree, changed: str) -> None:
    tree.fill("demo")
    (tree.root / changed).write_text("# other\n")
    tree.fill("demo")
    assert tree.installed == [".[demo]"]


def test_venv_filled_for_the_tests_serves_the_demo_and_stays_so(tree: Tree) -> None:
    tree.fill("demo")
    tree.fill("test")
    assert tree.installed == [".[test]"]
    tree.fill("demo")
    assert tree.installed == []
    (tree.root / "setup.cfg").write_text("# other\n")
    tree.fill("demo")
    assert tree.installed == [".[test]"]


def test_venv_filled_for_the_tests_and_the_fuzzer_is_filled_for_each(tree: Tree) -> None:
    tree.fill("test")
    tree.fill("test,fuzz")
    assert tree.installed == [".[test,fuzz]"]
    for extra in ("test", "demo", "test,fuzz", "fuzz"):
        tree.fill(extra)
        assert tree.installed == []
    (tree.root / "setup.cfg").write_text("# other\n")
    tree.fill("demo")
    assert tree.installed == [".[test,fuzz]"]


def test_a_fill_that_was_cut_off_is_thrown_away_and_made_again(tree: Tree) -> None:
    assert tree.fill("test", network="down").returncode != 0
    half = tree.root / ".venv/lib/half"
    half.parent.mkdir()
    half.touch()
    assert tree.fill("test").returncode == 0
    assert tree.installed == [".[test]"]
    assert not half.exists()


def test_venv_fills_the_folder_that_is_named_and_no_other(tree: Tree) -> None:
    tree.fill("test")
    assert tree.fill("load", VENV=".venv-load").returncode == 0
    assert tree.installed == [".[load]"]
    assert (tree.root / ".venv-load/bin/python").exists()
    for extra, folder in (("load", ".venv-load"), ("demo", ".venv-load"), ("test", ".venv"), ("test", "")):
        again = tree.fill(extra, VENV=folder)
        assert (again.returncode, again.stdout, again.stderr, tree.installed) == (0, "", "", [])
    assert tree.fill("load", network="down", VENV=".venv-other").returncode != 0
    assert tree.fill("load", VENV=".venv-other").returncode == 0
    assert tree.fill("load", VENV=".venv-load").stderr == ""


def test_a_folder_that_is_no_environment_is_left_as_it_is(tree: Tree) -> None:
    precious = tree.root / "precious/lib/file"
    precious.parent.mkdir(parents=True)
    precious.touch()
    for folder in ("precious", str(tree.root / "precious")):
        result = tree.fill("load", VENV=folder)
        assert result.returncode == 1
        assert result.stderr == f"{folder} is there and is no environment: it stays as it is. " \
                                "Name another one: VENV=FOLDER\n"
    assert precious.exists()
    (tree.root / "empty").mkdir()
    assert tree.fill("load", VENV="empty").returncode == 0


def test_an_older_python_is_told_so_in_one_line(tree: Tree) -> None:
    result = tree.fill("test", version="old")
    assert result.returncode == 1
    assert result.stderr.startswith("This needs Python 3.11 or newer")
    assert len(result.stderr.splitlines()) == 1
    assert not (tree.root / ".venv").exists()


# -- fuzz


@pytest.mark.parametrize("options", [["--minutes"], ["--minutes", "0"], ["--minutes", "x"], ["-h"], ["--deep", "5"]])
def test_fuzz_tells_how_it_is_used(options: list[str]) -> None:
    result = run(ROOT / "scripts/fuzz", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Usage: scripts/fuzz [--minutes N] [--deep]\n"
