"""Unix socket files: their permissions, whatever the umask is, and without a touch of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from evloop_http.net.binding import bind_path

UMASKS = [0, 0o022, 0o077, 0o777]
MODES = [0o600, 0o660, 0o666, 0o777, 0]


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The umask of the process, which nobody may touch meanwhile."""
    set_umask = os.umask

    def fail(mask: int) -> int:
        raise AssertionError("the umask is the whole process's")

    found = set_umask(request.param)
    monkeypatch.setattr(os, "umask", fail)
    yield request.param
    kept = set_umask(found)
    assert kept == request.param


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_umask_has_no_say_in_the_mode(umask: int, tmp_path: Path) -> None:
    for mode in MODES:
        path = tmp_path / f"{mode:o}"
        with bind_path(str(path), mode):
            assert mode_of(path) == mode


def test_it_is_never_more_open_than_it_will_be(umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket"
    born: list[tuple[int, int]] = []
    change = os.chmod

    def note(name: str, mode: int) -> None:
        born.append((mode_of(path), mode))
        change(name, mode)

    monkeypatch.setattr(os, "chmod", note)
    for mode in MODES:
        bind_path(str(path), mode).close()
        path.unlink()
    assert [(oct(found), oct(mode)) for found, mode in born if found & ~mode] == []
    assert bool(born) is (umask != 0)


def test_where_a_socket_has_no_mode_of_its_own_the_file_gets_it(umask: int, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fchmod", refuse)
    for mode in MODES:
        path = tmp_path / f"{mode:o}"
        with bind_path(str(path), mode):
            assert mode_of(path) == mode


def test_a_file_that_cannot_get_its_mode_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(os, "fchmod", refuse)
    path = tmp_path / "socket"
    with pytest.raises(PermissionError):
        bind_path(str(path), 0)
    assert not path.exists()


@pytest.mark.parametrize("mode", [-1, 0o1000, 0o2660, 0o10000])
def test_what_is_no_mode_of_a_socket_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the mode of a socket"), \
            contextlib.closing(bind_path(str(tmp_path / "socket"), mode)):
        pass
    assert list(tmp_path.iterdir()) == []
