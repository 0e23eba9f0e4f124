"""`wsgi.file_wrapper`: a file that a WSGI application returns as it is, for the kernel to send.

*Which files are their descriptors?* A `GzipFile` has one too, of the compressed bytes below it, and whatever wraps a
file may change what is read. So the kernel sends only what `open` itself returns, if it is a regular file. All others
are read.

*Whose `close` is it?* Django puts the end of its request there, which belongs to the thread that the request had. So a
file with a `close` of its own is lent to the server and closed by whoever opened it.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ...messages import FileBody

_PLAIN = (io.BufferedReader, io.FileIO, io.BufferedRandom)


class FileWrapper:
    """An iterable of the blocks of a file, from its position on.

    Args:
        file: has `read(size)`; its `close`, if there is one, is this one's too.
        block_size: bytes to read at a time.
    """

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block


def file_body(wrapper: FileWrapper) -> FileBody | None:
    """Return what is left of a file, for the kernel to send; None if it has to be read."""
    file = wrapper.file
    if type(file) not in _PLAIN:
        return None
    try:
        status = os.fstat(file.fileno())
        offset = file.tell()
    except (OSError, ValueError):
        return None
    return FileBody(file, offset, max(0, status.st_size - offset)) if stat.S_ISREG(status.st_mode) else None


def has_own_close(file: BinaryIO) -> bool:
    """Return whether somebody has put another `close` in the place of the file's."""
    return "close" in getattr(file, "__dict__", ())


class Lent:
    """A file that is lent to whoever sends it.

    Args:
        on_return: called when it is closed, or let go of, once.
    """

    __slots__ = ("_file", "_on_return")

    def __init__(self, file: BinaryIO, on_return: Callable[[], object]) -> None:
        self._file = file
        self._on_return: Callable[[], object] | None = on_return

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Return the file. Further calls do nothing."""
        on_return, self._on_return = self._on_return, None
        if on_return is not None:
            on_return()

    __del__ = close
