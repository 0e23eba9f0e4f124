"""Where the body of a message ends, and how to undo its coding.

RFC 9112 §6.3 knows three kinds of body for a request, and its head alone decides which one it has: chunked,
of a fixed length, or none. A response has a fourth, the body that ends where the connection does, and its
head does not decide alone: the method of the request counts too, because the answer to a `HEAD` has no body.
Every other combination of the two fields is an error, never a guess: a wrong guess turns bytes of one message
into the beginning of another. So it is stricter than the RFCs: `Transfer-Encoding: , chunked` is refused, where
RFC 9110 §5.6.1.2 would ignore the empty member, and so is a response whose last coding is not `chunked`, which
RFC 9112 §6.3 would read until the connection ends.

The decoders keep counts and no bytes. They read the parser's buffer from a position on, and return the data
in it and the position where they stopped. The parser keeps what they could not use.
"""

from __future__ import annotations

import re

from . import rules
from .rules import Limits, ProtocolError

_HEX = b"0123456789abcdefABCDEF"
# Sixteen digits are 64 bits: more than any limit, and no big integers.
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
#: Bytes of a size line that do not count: 16, of which two line ends are 4 (see `Limits.chunk_overhead`).
_FREE_OVERHEAD = 12
# RFC 9112 §7.1.1, with the bad whitespace that it allows around ; and =.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_EXTENSION = re.compile(rb'[ \t]*;[ \t]*' + _TOKEN + rb'(?:[ \t]*=[ \t]*(?:' + _TOKEN +
                        rb'|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?')


def content_length(length: str | None, coding: str | None, version: str, limits: Limits) -> int | None:
    """Return the number of octets in the body of a message that has these fields; None if it is chunked.

    Args:
        length: the value of Content-Length, if there is one; its digits were checked before.
        coding: the joined value of Transfer-Encoding, if there is one.

    Raises:
        ProtocolError: the two fields do not determine where the body ends (RFC 9112 §6.3), or it is too large.
    """
    if coding is not None:
        _check_coding(coding, length, version)
        return None
    if length is None:
        return 0
    # The length of the text first: for 5,000 digits CPython raises another exception.
    digits = length.lstrip("0") or "0"
    if len(digits) > 18:
        raise ProtocolError(rules.BODY_LARGE)
    octets = int(digits)
    if octets > limits.body:
        raise ProtocolError(rules.BODY_LARGE)
    return octets


def is_length(text: str) -> bool:
    """Whether `text` is a Content-Length (RFC 9110 §8.6)."""
    return text.isascii() and text.isdecimal()


def _check_coding(coding: str, length: str | None, version: str) -> None:
    if version == "1.0":
        raise ProtocolError(rules.CODING_1_0)
    if length is not None:
        raise ProtocolError(rules.LENGTH_AND_CODING)
    codings = [name.strip(" \t") for name in coding.lower().split(",")]
    if codings == ["chunked"]:
        return
    if codings[-1] == "chunked" and "chunked" not in codings[:-1] and "" not in codings:
        raise ProtocolError(rules.CODING_UNKNOWN)
    raise ProtocolError(rules.CODING_FINAL)


class FixedLengthDecoder:
    """A body of a known number of octets."""

    __slots__ = ("left",)

    def __init__(self, octets: int) -> None:
        #: octets that have not arrived
        self.left = octets

    @property
    def done(self) -> bool:
        return not self.left

    def decode(self, buffer: bytes, start: int) -> tuple[bytes, int]:
        """Return the data in `buffer` from `start` on, and where it ends.

        Nothing is copied if the data is the whole buffer: then the slice is the buffer itself.
        """
        data = buffer[start:start + self.left]
        self.left -= len(data)
        return data, start + len(data)


class CloseDelimitedDecoder:
    """A body that ends where the connection does (RFC 9112 §6.3); the parser knows when that is."""

    __slots__ = ("_left",)

    def __init__(self, limits: Limits) -> None:
        self._left = limits.body

    done = False

    def decode(self, buffer: bytes, start: int) -> tuple[bytes, int]:
        """Return all of `buffer` from `start` on, and its end; what passes the limit is refused by the next call."""
        data = buffer[start:start + self._left]
        if not data and start < len(buffer):
            raise ProtocolError(rules.BODY_LARGE, start)
        self._left -= len(data)
        return data, start + len(data)


class ChunkedDecoder:
    """A chunked body (RFC 9112 §7.1) up to its last chunk; the parser reads the trailer section."""

    __slots__ = ("_excess", "_left", "_limits", "_room", "_size", "_size_line", "_within", "done")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = 0          # octets of the current chunk that have not arrived
        self._within = False    # the current chunk's data has begun, its closing CRLF is due
        self._size_line = b"\r\n"  # the last one, and its size: a sender's chunks are mostly of one size
        self._size = 0
        self._room = limits.body
        self._excess = 0
        self.done = False

    def decode(self, buffer: bytes, start: int) -> tuple[bytes, int]:
        """Return the data of every chunk in `buffer` from `start` on, joined, and where it stopped.

        The next call raises an error that follows some data.
        """
        pieces: list[bytes] = []
        while True:
            if self._left:
                piece = buffer[start:start + self._left]
                pieces.append(piece)
                start += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            try:
                stop = self._next_chunk(buffer, start)
            except ProtocolError:
                if not pieces:
                    raise
                break
            if stop == start:
                break
            start = stop
            if self.done:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), start

    def _next_chunk(self, buffer: bytes, start: int) -> int:
        """Read the end of the last chunk and the size line of the next.

        Returns:
            The position behind them, or `start` if they have not arrived completely.
        """
        limits = self._limits
        first = start
        if self._within:
            if not buffer.startswith(b"\r\n", start):
                return self._wait_for_end(buffer, start)
            first += 2
        last = buffer.find(b"\r\n", first, first + limits.chunk_line + 2)
        if last < 0:
            self._check_unended(buffer, first)
            return start
        line = buffer[first:last]
        if line != self._size_line:
            self._size = _chunk_size(line, first)
            self._size_line = line
        size = self._size
        if size > self._room:
            raise ProtocolError(rules.BODY_LARGE, first)
        excess = self._excess + len(line) - _FREE_OVERHEAD - 2 * size
        if excess > limits.chunk_overhead:
            raise ProtocolError(rules.CHUNK_OVERHEAD, first)
        self._excess = excess if excess > 0 else 0
        self._room -= size
        self._left = size
        self._within = True
        if not size:
            self.done = True
        return last + 2

    def _wait_for_end(self, buffer: bytes, start: int) -> int:
        """Return `start`, where a CRLF is due and has not arrived completely; raise if it cannot arrive any more."""
        if not b"\r\n".startswith(buffer[start:start + 2]):
            raise ProtocolError(rules.CHUNK_END, start)
        return start

    def _check_unended(self, buffer: bytes, first: int) -> None:
        """Raise if a size line is malformed although its end has not arrived."""
        limit = first + self._limits.chunk_line
        bare = buffer.find(b"\n", first, limit + 1)
        if bare >= 0:
            raise ProtocolError(rules.LINE_END, bare)
        if len(buffer) >= limit + 2:
            raise ProtocolError(rules.CHUNK_LINE_LONG, limit)


def _chunk_size(line: bytes, offset: int) -> int:
    """Return the size in a chunk's size line. Its extensions are checked and ignored."""
    if not line.translate(None, _HEX) and 0 < len(line) <= 16:
        return int(line, 16)
    if (bare := line.find(b"\n")) >= 0:
        raise ProtocolError(rules.LINE_END, offset + bare)
    size = _SIZE.match(line)
    if size is None:
        raise ProtocolError(rules.CHUNK_SIZE, offset)
    position = size.end()
    while position < len(line):
        extension = _EXTENSION.match(line, position)
        if extension is None:
            begun = position > size.end() or line[position:].lstrip(b" \t").startswith(b";")
            raise ProtocolError(rules.CHUNK_EXTENSION if begun else rules.CHUNK_SIZE, offset + position)
        position = extension.end()
    return int(size[0], 16)
