"""A file that came with a form: what a handler holds, and where it is kept.

A file up to `SPOOL_BYTES` stays in memory, a larger one goes into a temporary file that has no name. It is
closed, and gone, when nobody holds it any more; `Upload.close` does it at once.
"""

from __future__ import annotations

import io
import os
import shutil
from typing import BinaryIO, NamedTuple

from .filenames import safe_filename

#: Bytes that are read, copied or parsed in one go.
PIECE = 64 * 1024


class Upload(NamedTuple):
    """A file of a multipart form."""

    #: as the client named it: never to be used as a path; see `safe_filename`
    filename: str
    content_type: str
    file: BinaryIO

    @property
    def safe_filename(self) -> str:
        """The client's name made harmless: one plain file name."""
        return safe_filename(self.filename)

    @property
    def size(self) -> int:
        """The bytes of the file."""
        position = self.file.tell()
        size = self.file.seek(0, os.SEEK_END)
        self.file.seek(position)
        return size

    def read(self) -> bytes:
        """The whole file."""
        self.file.seek(0)
        return self.file.read()

    def copy_to(self, target: BinaryIO) -> None:
        """Write the whole file to another, piece by piece."""
        self.file.seek(0)
        shutil.copyfileobj(self.file, target, PIECE)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file to `path`, which is the application's own choice. What could not be written whole is removed.

        Raises:
            FileExistsError: something is there already, be it a link that leads nowhere, and `overwrite` is False.
            OSError: it cannot be written.
        """
        with open(path, "wb" if overwrite else "xb") as target:
            try:
                self.copy_to(target)
                target.flush()
            except BaseException:
                os.unlink(path)
                raise

    def close(self) -> None:
        """Let go of the file now; it happens by itself when nobody holds it any more."""
        self.file.close()


class Spool(io.BufferedRandom):
    """A temporary file without a name, which closes itself without a warning when nobody holds it any more."""

    def __del__(self) -> None:
        self.close()
