"""`wsgi.input`: the body of a request as a file, whether it is there already or still arrives.

*It ends where the body ends*, and says so by `wsgi.input_terminated`: an application may read without a size, and need
not know `CONTENT_LENGTH`, which a chunked body does not have.

*A body that will not arrive* is an `OSError` for frameworks, which know that clients leave, and an `HTTPError` for us
if the application lets it pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...messages import HTTPError


class BodyLost(HTTPError, OSError):
    """The rest of the body will not arrive: the client left, broke a rule of HTTP, or was too slow."""


class Input:
    """The body of a request, to be read once and from its beginning to its end.

    Args:
        data: what has arrived.
        pieces: the rest, while it arrives: to read may be to wait, so not in the loop's thread.

    Raises:
        BodyLost: by everything that reads, if the rest will not arrive.
    """

    __slots__ = ("_data", "_pieces", "_start")

    def __init__(self, data: bytes, pieces: Iterator[bytes] | None = None) -> None:
        self._data: bytes | bytearray = data
        self._start = 0  # what is before it has been read
        self._pieces = pieces

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, or fewer at the end; all that is left if it is None or negative."""
        if size is None or size < 0:
            while self._receive():
                pass
            return self._take(len(self._data))
        while len(self._data) - self._start < size and self._receive():
            pass
        return self._take(self._start + size)

    def readline(self, size: int | None = -1) -> bytes:
        """Return a line with its end, or what is left; `size` bytes at most unless it is None or negative."""
        limit = float("inf") if size is None or size < 0 else size
        searched = 0  # of what is left, to begin where the last search ended
        while True:
            end = self._data.find(b"\n", self._start + searched) + 1
            searched = len(self._data) - self._start
            if end or searched >= limit or not self._receive():
                end = end or len(self._data)
                return self._take(end if size is None or size < 0 else min(end, self._start + size))

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """Return the lines that are left; whole lines of `hint` bytes or a little more, if that is above 0."""
        lines, total = [], 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Input:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def close(self) -> None:
        """Do nothing: the body belongs to the server. (Frameworks close what they read.)"""

    def _take(self, end: int) -> bytes:
        start, data = self._start, self._data
        if end < len(data):
            self._start = end
            return bytes(data[start:end])
        self._data, self._start = b"", 0
        return bytes(data[start:])

    def _receive(self) -> bool:
        """Wait for more. Return False at the end."""
        if self._pieces is None:
            return False
        try:
            piece = next(self._pieces, b"")
        except HTTPError as error:
            raise BodyLost(error.status, error.message, error.headers) from None
        if not piece:
            self._pieces = None
            return False
        if self._start == len(self._data):
            self._data = piece
        else:
            if not isinstance(self._data, bytearray):
                self._data = bytearray(memoryview(self._data)[self._start:])
            else:
                del self._data[:self._start]
            self._data += piece
        self._start = 0
        return True
