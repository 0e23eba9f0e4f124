"""What is distributed: an sdist with all that its tests and its README need, and a package with its data.

Both are built by setuptools in a copy of the tree, without a network, so nothing is written here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Made by tools, or by the scripts; never copied and never distributed.
MADE = shutil.ignore_patterns(".git", ".venv*", ".dev", ".fuzz", ".hypothesis", ".*_cache", "__pycache__", "*.egg-info",
                              "build", "dist", "htmlcov", ".coverage*", "reports", "results")
#: Whose files must all be in an sdist.
FOLDERS = ("evloop_http", "tests", "load", "scripts", ".ci")


def tracked_files(*folders: str) -> list[str]:
    """The files under version control, or all files where there is none (in an unpacked sdist)."""
    listing = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True)
    if (ROOT / ".git").exists() and listing.returncode == 0:
        return [name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]
    return [str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts]


def run_setuptools(program: str, folder: Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools builds the distributions")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=folder, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, built in a copy of the tree and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "copy", ignore=MADE)
    run_setuptools("from setuptools import build_meta; build_meta.build_sdist('..')", folder / "copy")
    archive, = folder.glob("*.tar.gz")
    (folder / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", folder / "unpacked"], check=True)
    inside, = (folder / "unpacked").iterdir()
    return inside


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_sdist_holds_every_file_of_the_folder(unpacked: Path, folder: str) -> None:
    names = tracked_files(folder)
    assert names
    assert [name for name in names if not (unpacked / name).is_file()] == []


def test_an_sdist_holds_what_stands_beside_the_folders(unpacked: Path) -> None:
    names = ["README.rst", "CHANGELOG.rst", "LICENSE", "MANIFEST.in", "setup.cfg", "pyproject.toml", "PKG-INFO"]
    assert [name for name in names if not (unpacked / name).is_file()] == []


def test_the_scripts_of_an_sdist_can_be_run(unpacked: Path) -> None:
    for name in tracked_files("scripts", ".ci"):
        assert (unpacked / name).stat().st_mode & 0o111 == (ROOT / name).stat().st_mode & 0o111, name


def test_the_readmes_of_an_sdist_show_their_pictures(unpacked: Path) -> None:
    shown = [(readme, picture) for readme in unpacked.rglob("README.rst")
             for picture in re.findall(r"^\.\. image:: (\S+)$", readme.read_text("utf-8"), re.MULTILINE)]
    assert len(shown) > 1
    assert [picture for readme, picture in shown if not (readme.parent / picture).is_file()] == []


def test_an_sdist_holds_nothing_that_tools_have_made(unpacked: Path) -> None:
    made = MADE(str(unpacked), [part for path in unpacked.rglob("*") for part in path.relative_to(unpacked).parts])
    assert {name for name in made if not name.endswith(".egg-info")} == set()
    assert list(unpacked.rglob("*.py[cod]")) == []


def test_the_package_is_installed_with_its_types_its_pages_and_its_templates(unpacked: Path, tmp_path: Path) -> None:
    # This is what a wheel contains. Building the wheel itself needs another package where setuptools is old.
    program = f"import setuptools; setuptools.setup(script_args=['-q', 'build_py', '--build-lib', {str(tmp_path)!r}])"
    run_setuptools(program, unpacked)
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"evloop_http/py.typed", "evloop_http/demo/pages/site.css",
            "evloop_http/demo/templates/tour/start.html"} <= installed
    assert installed == set(tracked_files("evloop_http")) | {name for name in installed if name.endswith(".py")}


def test_the_metadata_describe_the_package_by_its_readme(unpacked: Path) -> None:
    metadata = (unpacked / "PKG-INFO").read_text("utf-8")
    assert metadata.startswith("Metadata-Version: ")
    assert "\nName: evloop-http\n" in metadata.replace("evloop_http\n", "evloop-http\n")
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert (ROOT / "README.rst").read_text("utf-8").strip() in metadata
