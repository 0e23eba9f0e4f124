"""Files opened with care, and a bounded memory of those that were asked for."""

from __future__ import annotations

import errno
import io
import os
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from evloop_http import HTTPError
from evloop_http.app.static.files import (
    OVERHEAD,
    PIECE,
    RECHECK,
    SETTLED,
    SMALL_FILE,
    Entry,
    FileCache,
    examine,
    identity_at,
    is_settled,
    open_regular,
    read_exactly,
    read_piece,
)
from fakes import FakeClock


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    for place in (tmp_path / "fifo", tmp_path, tmp_path / "link", tmp_path / "nowhere", Path("/dev/null")):
        with pytest.raises(HTTPError, match="404"):
            open_regular(str(place))
    file, status = open_regular(str(tmp_path / "file"))
    with file:
        assert (file.read(), status.st_size) == (b"x", 1)
        assert not os.get_inheritable(file.fileno())


def test_what_is_no_file_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    opened: list[object] = []
    monkeypatch.setattr("evloop_http.app.static.files.os.open", lambda *arguments: opened.append(arguments))
    with pytest.raises(HTTPError, match="404"):
        open_regular(str(tmp_path / "fifo"))
    assert opened == []


def test_a_file_that_turns_into_a_fifo_while_we_look_is_not_waited_for(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    before = os.lstat(tmp_path / "x")
    (tmp_path / "x").unlink()
    os.mkfifo(tmp_path / "x")
    monkeypatch.setattr("evloop_http.app.static.files.os.lstat", lambda path: before)
    with pytest.raises(HTTPError, match="404"):
        open_regular(str(tmp_path / "x"))


def test_a_file_that_turns_into_a_link_while_we_look_is_not_followed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").symlink_to(__file__)
    regular = os.stat(__file__)
    monkeypatch.setattr("evloop_http.app.static.files.os.lstat", lambda path: regular)
    with pytest.raises(HTTPError, match="404"):
        open_regular(str(tmp_path / "x"))


@pytest.mark.parametrize(("number", "status"), [(errno.EMFILE, 503), (errno.ENFILE, 503), (errno.EACCES, 404)])
def test_too_many_open_files_are_no_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
                                                 status: int) -> None:
    def fails(*arguments: object) -> int:
        raise OSError(number, "no")

    (tmp_path / "x").touch()
    monkeypatch.setattr("evloop_http.app.static.files.os.open", fails)
    with pytest.raises(HTTPError) as caught:
        open_regular(str(tmp_path / "x"))
    assert caught.value.status == status


def test_small_files_are_read_and_large_ones_only_looked_at(tmp_path: Path) -> None:
    for size, is_read in ((0, True), (SMALL_FILE, True), (SMALL_FILE + 1, False)):
        (tmp_path / "x").write_bytes(bytes(size))
        status, body = examine(str(tmp_path / "x"))
        assert status.st_size == size
        assert body == (bytes(size) if is_read else None)


def test_a_file_that_shrinks_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"long")
    looks = iter([b"short"[:2], b""])
    fstat = os.fstat

    def shrinks(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        path.write_bytes(next(looks, b""))
        return status

    monkeypatch.setattr("evloop_http.app.static.files.os.fstat", shrinks)
    assert examine(str(path))[1] == b""


def test_a_file_that_shrinks_again_and_again_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    fstat = os.fstat

    def shrinks(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        os.truncate(path, path.stat().st_size - 1)
        return status

    monkeypatch.setattr("evloop_http.app.static.files.os.fstat", shrinks)
    with pytest.raises(HTTPError, match="503"):
        examine(str(path))


def test_bytes_that_are_not_all_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with open_regular(str(tmp_path / "x"))[0] as file:
        assert read_exactly(file, 2, 3) == b"234"
        assert read_exactly(file, 8, 2) == b"89"
        assert read_exactly(file, 8, 3) is None
        assert read_exactly(file, 20, 0) == b""


def test_a_file_is_read_in_pieces_until_there_is_no_more_of_it() -> None:
    file = io.BytesIO(bytes(PIECE) + b"0123456789")
    assert read_piece(file, 1, PIECE + 5) == bytes(PIECE - 1) + b"0"
    assert read_piece(file, PIECE + 2, 3) == b"234"
    assert read_piece(file, PIECE + 8, 3) == b"89"
    with pytest.raises(OSError, match="shrunk"):
        read_piece(file, PIECE + 10, 1)


def test_a_file_is_known_by_what_changes_with_it(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    seen = [identity_at(path)]
    assert seen == [None]
    Path(path).write_text("a")
    seen.append(identity_at(path))
    Path(path).write_text("ab")
    seen.append(identity_at(path))
    os.utime(path, (1, 1))
    seen.append(identity_at(path))
    os.rename(path, path + "old")
    Path(path).write_text("ab")
    os.utime(path, (1, 1))
    seen.append(identity_at(path))
    assert len(set(seen)) == len(seen)


def test_what_was_changed_a_moment_ago_is_not_settled(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    os.utime(tmp_path / "x", (1, 1))  # this can be set, the time of change cannot
    status = os.stat(tmp_path / "x")
    assert not is_settled(status)
    values = list(status)
    values[9] = int(time.time() - SETTLED - 2)
    assert is_settled(os.stat_result(values))


# -- the cache


def entry(path: Path, settled: bool = True, weight: int = 0) -> Entry:
    return Entry([(str(path), identity_at(str(path)))], settled, weight)


def test_an_entry_is_looked_at_once_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    cache: FileCache[Entry] = FileCache(clock=clock)
    kept = entry(tmp_path / "x")
    cache.put("x", kept)
    (tmp_path / "x").touch()
    clock.advance(RECHECK * 0.99)
    assert cache.get("x") is kept
    clock.advance(RECHECK)
    assert cache.get("x") is None
    assert cache.weight == len(cache) == 0
    assert cache.get("y") is None


def test_an_entry_that_still_holds_stays_and_is_good_for_another_second(tmp_path: Path) -> None:
    clock = FakeClock()
    cache: FileCache[Entry] = FileCache(clock=clock)
    kept = entry(tmp_path)
    cache.put("x", kept)
    for _ in range(3):
        clock.advance(RECHECK)
        assert cache.get("x") is kept
        assert kept.good_until == clock() + RECHECK
    assert (len(cache), cache.weight) == (1, OVERHEAD)


def test_an_entry_that_is_not_settled_is_good_for_one_second_only(tmp_path: Path) -> None:
    clock = FakeClock()
    cache: FileCache[Entry] = FileCache(clock=clock)
    cache.put("x", entry(tmp_path, settled=False))
    assert cache.get("x") is not None
    clock.advance(RECHECK)
    assert cache.get("x") is None


def test_what_was_asked_for_last_is_kept_longest(tmp_path: Path) -> None:
    clock = FakeClock()
    cache: FileCache[Entry] = FileCache(entries=3, clock=clock)
    for key in "abc":
        cache.put(key, entry(tmp_path))
    clock.advance(RECHECK)
    assert cache.get("a")
    cache.put("d", entry(tmp_path))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]


def test_what_is_too_heavy_is_not_kept_and_pushes_nothing_out(tmp_path: Path) -> None:
    cache: FileCache[Entry] = FileCache(weight=3 * OVERHEAD)
    cache.put("a", entry(tmp_path))
    cache.put("b", entry(tmp_path, weight=2 * OVERHEAD + 1))
    assert cache.get("a")
    assert cache.get("b") is None
    cache.put("a", entry(tmp_path, weight=5 * OVERHEAD))
    assert cache.get("a") is None


class Caching(RuleBasedStateMachine):
    """Whatever is put and asked for, the bounds hold and the sum is right."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache: FileCache[Entry] = FileCache(entries=4, weight=8 * OVERHEAD, clock=self.clock)
        self.last: dict[str, Entry] = {}

    @rule(key=st.sampled_from("abcdefg"), weight=st.integers(0, 9 * OVERHEAD), settled=st.booleans())
    def put(self, key: str, weight: int, settled: bool) -> None:
        self.last[key] = Entry([("/", identity_at("/"))], settled, weight)
        self.cache.put(key, self.last[key])

    @rule(key=st.sampled_from("abcdefg"))
    def get(self, key: str) -> None:
        assert self.cache.get(key) in (None, self.last.get(key))

    @rule()
    def wait(self) -> None:
        self.clock.advance(RECHECK)

    @invariant()
    def the_bounds_hold(self) -> None:
        kept = self.cache._entries
        assert len(kept) <= 4
        assert self.cache.weight == sum(entry.weight for entry in kept.values()) <= 8 * OVERHEAD
        assert all(self.last[key] is entry for key, entry in kept.items())


TestCaching = Caching.TestCase
