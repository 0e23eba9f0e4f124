"""Files that an ASGI application has sent: by their path, or by their descriptor while it keeps them open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...messages import FileBody
from .kinds import Message


def sent_file(path: object) -> FileBody:
    """Return the body of `http.response.pathsend`: a whole file, which the server closes.

    Raises:
        ValueError: the path is not absolute.
        OSError: it cannot be read, or is not a regular file.
    """
    if not isinstance(path, str | os.PathLike) or not os.path.isabs(path):
        raise ValueError(f"the path of 'http.response.pathsend' is absolute, which {path!r:.200} is not")
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe may take for ever
        raise OSError(f"{path!r:.200} is not a regular file")
    file = open(path, "rb")  # noqa: SIM115 - the server closes it
    return FileBody(file, 0, os.fstat(file.fileno()).st_size)


class OpenFile(NamedTuple):
    """A file that belongs to the application."""

    descriptor: int

    def body(self, offset: int, count: int) -> FileBody:
        """Return part of it as the body of a response, which has a descriptor of its own."""
        return FileBody(os.fdopen(os.dup(self.descriptor), "rb"), offset, count)

    def pieces(self, offset: int, count: int, size: int) -> Iterator[bytes]:
        """Yield part of it in pieces.

        Raises:
            OSError: it has shrunk meanwhile.
        """
        while count:
            piece = os.pread(self.descriptor, min(size, count), offset)
            if not piece:
                raise OSError("the file has shrunk while it was sent")
            yield piece
            offset += len(piece)
            count -= len(piece)


def zero_copied(message: Message) -> tuple[OpenFile, int, int]:
    """Return file, offset and count of `http.response.zerocopysend`. Its position moves behind what is sent.

    Raises:
        TypeError: the file has no descriptor, or a number is none.
        ValueError: a number is negative.
        OSError: it is not a regular file, which can be read in any order.
    """
    file: Any = message["file"]
    descriptor = file if isinstance(file, int) else file.fileno()
    offset, count = message.get("offset"), message.get("count")
    for number in (offset, count):
        if number is not None and (not isinstance(number, int) or number < 0):
            raise ValueError(f"offset and count of 'http.response.zerocopysend' are not negative: {number!r}")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("the file of 'http.response.zerocopysend' is not a regular file")
    left = status.st_size
    start = os.lseek(descriptor, 0, os.SEEK_CUR) if offset is None else offset
    length = max(0, left - start) if count is None else min(count, max(0, left - start))
    if offset is None:
        os.lseek(descriptor, start + length, os.SEEK_SET)
    return OpenFile(descriptor), start, length
