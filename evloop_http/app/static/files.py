"""Files to be sent: opened with care, and those often asked for remembered.

*Opening.* Only regular files are opened: a FIFO would hold up the loop, and a device may do
something when it is opened. What is known of a file is what `fstat` says of the open one.

*Remembering.* For a file that was asked for a moment ago, nothing need be asked of the system: the
application keeps its answer, a small file's bytes with it, in a `FileCache`, by the path that was
asked for. At most once in `RECHECK` seconds the names that the answer came from are looked at, and
it is forgotten if one of them stands for something else now. A file may change twice within one
tick of the file system's clock, and show it once; so bytes read from a file that was changed just
before are not trusted beyond the first look.

*No descriptor is kept.* Every answer that needs one opens the file anew and compares it with what is
remembered. A descriptor shared between answers could be closed, and its number given to another
file, while the kernel is still sending; a copy of one (`dup`) shares its position with all the
others, which a middleware in a thread may move. To open costs a few microseconds, less than the
first 64 KiB that follow, and a file that is deleted or a disk that is unmounted is let go at once.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO, Generic, TypeVar

from ..problems import busy
from .paths import Missing

#: Files up to this many bytes are read and sent with their head; larger ones go by sendfile.
SMALL_FILE = 64 * 1024
#: Bytes that are read at once of a file that is sent in pieces.
PIECE = 64 * 1024
#: Seconds for which what is remembered is not looked at again.
RECHECK = 1.0
#: Seconds after a change in which another one may not show: twice the coarsest clock of a file system (FAT: 2 s).
SETTLED = 4.0
#: Bytes that an entry is counted for beside its files' content.
OVERHEAD = 2048
#: How often a file that shrinks while it is read is read again.
_TRIES = 3

# Without O_NONBLOCK, opening a FIFO that has come just now waits for somebody to write into it.
_FLAGS = (os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NOCTTY", 0)
          | getattr(os, "O_BINARY", 0))

#: What a file is known by; None if there is none.
Identity = tuple[int, int, int, int, int] | None


def identity_of(status: os.stat_result) -> Identity:
    """What changes when the file does."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def identity_at(path: str) -> Identity:
    """What a path stands for now, all links followed."""
    try:
        return identity_of(os.stat(path))
    except OSError:
        return None


def open_regular(path: str) -> tuple[io.FileIO, os.stat_result]:
    """A regular file, opened, and what `fstat` says of it. The path has no links any more.

    Raises:
        Missing: it cannot be opened or is no regular file.
        HTTPError: 503, too many are open.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Missing
        file = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | _FLAGS))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # the file may well be there
            raise busy("The server has too many files open.") from None
        raise Missing from None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise Missing
    return file, status


def read_exactly(file: BinaryIO, start: int, length: int) -> bytes | None:
    """These bytes of a file; None if they are not all there any more."""
    file.seek(start)
    data = file.read(length)
    while len(data) < length:
        more = file.read(length - len(data))
        if not more:
            return None
        data += more
    return data


def read_piece(file: BinaryIO, start: int, length: int) -> bytes:
    """The first of these bytes of a file, at most `PIECE` of them.

    Raises:
        OSError: there are none: the file is shorter than it was, and the length has been announced.
    """
    file.seek(start)
    piece = file.read(min(length, PIECE))
    if not piece:
        raise OSError("the file has shrunk while it was sent")
    return piece


def examine(path: str) -> tuple[os.stat_result, bytes | None]:
    """What `fstat` says of a file, and its content if that is small.

    Raises:
        Missing, HTTPError: as `open_regular`; 503 also if the file shrinks again and again.
    """
    for _ in range(_TRIES):
        file, status = open_regular(path)
        with file:
            if status.st_size > SMALL_FILE:
                return status, None
            body = read_exactly(file, 0, status.st_size)
            if body is not None:
                return status, body
    raise busy("The file is being changed.")


def is_settled(status: os.stat_result) -> bool:
    """Whether a change from now on would show. (Nobody but the system can set the time of change.)"""
    return time.time() - status.st_ctime > SETTLED


class Entry:
    """Something worth remembering about files.

    Args:
        witnesses: the paths it was made from, and what each stood for; taken before the files were read.
        settled: whether that they still stand for the same means that nothing has changed.
        weight: bytes it holds.
    """

    __slots__ = ("_settled", "_witnesses", "good_until", "weight")

    def __init__(self, witnesses: Iterable[tuple[str, Identity]], settled: bool, weight: int) -> None:
        self._witnesses = tuple(witnesses)
        self._settled = settled
        self.weight = weight + OVERHEAD
        #: when it is to be looked at again, by the clock of its cache
        self.good_until = 0.0

    def is_current(self) -> bool:
        """Whether nothing has changed, as far as can be told without reading."""
        return self._settled and all(identity_at(path) == known for path, known in self._witnesses)


E = TypeVar("E", bound=Entry)


class FileCache(Generic[E]):
    """Entries by the path of a request, bounded in number and weight.

    What was not asked for the longest goes first, to the second: an entry moves to the end when it
    is looked at again, not each time it is used. A look-up takes no lock; threads may use it.

    Args:
        entries: how many at most.
        weight: bytes at most, in all of them.
        clock: seconds from any origin that never go back.
    """

    __slots__ = ("_clock", "_entries", "_lock", "_most", "_most_weight", "weight")

    def __init__(self, entries: int = 1024, weight: int = 16 * 1024 * 1024,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._most = entries
        self._most_weight = weight
        self._clock = clock
        self._entries: dict[str, E] = {}
        self._lock = threading.Lock()
        #: bytes in all
        self.weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> E | None:
        """The entry of a key, if there is one and it still holds."""
        entry = self._entries.get(key)
        if entry is None or self._clock() < entry.good_until:
            return entry
        return self._look_again(key, entry)

    def put(self, key: str, entry: E) -> None:
        """Remember an entry, and forget others for it."""
        with self._lock:
            self._remove(key)
            if entry.weight > self._most_weight:
                return
            self._insert(key, entry)
            while len(self._entries) > self._most or self.weight > self._most_weight:
                self._remove(next(iter(self._entries)))

    def _look_again(self, key: str, entry: E) -> E | None:
        is_current = entry.is_current()
        with self._lock:
            if self._entries.get(key) is entry:
                self._remove(key)
                if is_current:
                    self._insert(key, entry)
        return entry if is_current else None

    def _insert(self, key: str, entry: E) -> None:
        entry.good_until = self._clock() + RECHECK
        self._entries[key] = entry
        self.weight += entry.weight

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.weight -= entry.weight
