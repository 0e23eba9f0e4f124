"""Parts of something, by their bytes (RFC 9110 §14): what was asked for, and several in one answer.

*Asking for ranges is a known attack*: thousands of tiny or overlapping ones make a server work
for each (CVE-2011-3192, CVE-2025-62727). So a list is counted before it is read, and beyond
`MOST_RANGES` it is no request for ranges at all. What is left is sorted once, and ranges that
overlap, or lie so near that a second part would cost more than the gap, become one: no byte is ever
sent twice. The parts go out in the order in which they were asked for (§15.3.7.2).
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from .files import read_piece

#: Ranges in one request; of more, the whole is the answer. Viewers of PDFs and videos ask for a few.
MOST_RANGES = 16
#: Bytes between two ranges that are sent rather than left out: about what the head of another part costs.
NEAR = 80

# 20 digits are what any client writes for "to the end": 2**64 - 1. The bound keeps `int` quick.
_SPEC = re.compile(r"([0-9]{0,20})-([0-9]{0,20})")


class Range(NamedTuple):
    """Bytes from `start` up to before `stop`; there is always one."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of `Content-Range` for this part of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_ranges(value: str, size: int) -> list[Range] | None:
    """The ranges that a `Range` header asks for, of something of `size` bytes.

    Returns:
        None to send the whole (it is no request for bytes, it is malformed, it asks for too many,
        or there are no bytes at all); an empty list if all of them lie beyond the end (416).
    """
    unit, equals, specs = value.partition("=")
    if not size or not equals or unit.strip(" \t").lower() != "bytes" or specs.count(",") >= MOST_RANGES:
        return None
    found = []
    count = 0
    for text in specs.split(","):
        spec = text.strip(" \t")
        if not spec:  # an empty item of a list is none (RFC 9110 §5.6.1)
            continue
        count += 1
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-" or (all(match.groups()) and int(match[1]) > int(match[2])):
            return None
        one = _placed(match[1], match[2], size)
        if one is not None:
            found.append(one)
    return _joined(found) if count else None


def _placed(first: str, last: str, size: int) -> Range | None:
    """Where a range lies; None if beyond the end."""
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return Range(start, stop) if start < stop else None


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Ranges without overlap, in the order in which the first of each was asked for."""
    joined: list[tuple[int, Range]] = []
    for index, one in sorted(enumerate(ranges), key=lambda item: item[1]):
        if joined and one.start <= joined[-1][1].stop + NEAR:
            earlier, last = joined[-1]
            joined[-1] = (min(earlier, index), Range(last.start, max(last.stop, one.stop)))
        else:
            joined.append((index, one))
    return [one for _, one in sorted(joined)]


class MultipartBody:
    """Several parts of a file as the body of one answer, `multipart/byteranges` (RFC 9110 §14.6).

    An iterator with a `close`: a generator that was never begun would not close its file.

    Args:
        file: is read from, and closed at the end.
        content_type: of the whole.
    """

    __slots__ = ("_file", "_pieces", "content_type", "length")

    def __init__(self, file: BinaryIO, size: int, ranges: Sequence[Range], content_type: str) -> None:
        # Nobody can guess it, so nobody can have put it into the file.
        boundary = secrets.token_hex(16)
        self._file = file
        self._pieces: deque[bytes | Range] = deque()
        for one in ranges:
            head = (f"--{boundary}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Range: {one.content_range(size)}\r\n\r\n")
            self._pieces += (head.encode("latin-1"), one, b"\r\n")
        self._pieces.append(f"--{boundary}--\r\n".encode("ascii"))
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        #: bytes in all
        self.length = sum(piece.length if isinstance(piece, Range) else len(piece) for piece in self._pieces)

    def __iter__(self) -> MultipartBody:
        return self

    def __next__(self) -> bytes:
        """The next piece.

        Raises:
            OSError: as `read_piece`.
        """
        if not self._pieces:
            raise StopIteration
        piece = self._pieces.popleft()
        if isinstance(piece, bytes):
            return piece
        data = read_piece(self._file, piece.start, piece.length)
        if len(data) < piece.length:
            self._pieces.appendleft(Range(piece.start + len(data), piece.stop))
        return data

    def close(self) -> None:
        """Close the file; no more pieces come."""
        self._pieces.clear()
        self._file.close()
