"""From names to files: what is refused by its name, and what by where it lies."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.app.static.paths import Missing, Root, is_innocent


@pytest.mark.parametrize("name", [
    "", ".", "..", "a\\b", "C:", "a:b", "\0", "a\n", "\x1b[2J", "\x7f", "\ud800", "a/b",
])
def test_names_that_could_mean_something_else_are_refused_everywhere(name: str) -> None:
    assert not is_innocent(name, windows=False)
    assert not is_innocent(name, windows=True)


@pytest.mark.parametrize("name", [
    "CON", "con", "NUL.txt", "aux.", "COM1", "LPT9.tar.gz", "nul .txt", "COM\xb2", "CONIN$", "file.txt.", "file.txt ",
    "GIT~1", "PROGRA~1.txt", "PRN .",
])
def test_names_that_mean_something_else_on_windows_are_refused_there(name: str) -> None:
    assert not is_innocent(name, windows=True)
    assert is_innocent(name, windows=False)


@pytest.mark.parametrize("name", ["console", "CONTENT.txt", "nullable", "com10", "a~b", "~", "x.con", "comb", "ü",
                                  ".a"])
def test_names_that_only_look_like_devices_are_names(name: str) -> None:
    assert is_innocent(name, windows=True)


@given(st.text())
def test_an_innocent_name_has_no_separator_of_any_system(name: str) -> None:
    if is_innocent(name):
        assert not set("/\\:\0") & set(name)
        assert name not in ("", ".", "..")
        name.encode()


def test_a_path_is_cut_at_slashes_and_empty_names_are_dropped(tmp_path: Path) -> None:
    root = Root(tmp_path, dotfiles=[".well-known"])
    assert root.segments("//a///b c/.well-known/") == ["a", "b c", ".well-known"]
    assert root.segments("") == root.segments("/") == []
    for path in ("/a/../b", "/.a", "/a/.b/c", "/.well-known/.b", "/.well-knownx"):
        with pytest.raises(Missing, match="404"):
            root.segments(path)


def test_what_is_missing_in_another_process_is_missing_here() -> None:
    error = pickle.loads(pickle.dumps(Missing()))
    assert isinstance(error, Missing)
    assert (error.status, str(error)) == (404, str(Missing()))


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    for name in ("static", "static_evil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    root = Root(tmp_path / "static")
    assert root.real(str(tmp_path / "static" / "x")) == str(tmp_path / "static" / "x")
    assert root.real(str(tmp_path / "static")) == root.path
    for place in (tmp_path / "static_evil" / "x", tmp_path / "static_evil", tmp_path, tmp_path / "static" / "y"):
        with pytest.raises(Missing, match="404"):
            root.real(str(place))
    assert Root(tmp_path / "static", follow_symlinks=True).real(str(tmp_path / "static_evil")).endswith("_evil")


def test_the_whole_system_may_be_served() -> None:
    assert Root("/").real("/dev/null") == "/dev/null"
    assert Root("/").location(["a", "b"]) == os.path.join("/", "a", "b")


def test_a_root_that_is_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").touch()
    (tmp_path / "link").symlink_to("real")
    root = Root(tmp_path / "link")
    assert root.path == str(tmp_path / "real")
    assert root.real(root.location(["x"])) == str(tmp_path / "real" / "x")
