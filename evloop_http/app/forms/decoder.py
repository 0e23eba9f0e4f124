r"""A multipart body without input or output: bytes in, parts out (RFC 2046 §5.1).

It knows the framing and nothing of forms: no field, file or charset. It can be used alone.

    >>> decoder = MultipartDecoder("b")
    >>> decoder.feed(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhel')
    >>> decoder.next_event(), decoder.next_event(), decoder.next_event()
    (PartHead(fields=(('content-disposition', b'form-data; name="a"'),), offset=5), b'hel', <Pause.NEED_DATA>)
    >>> decoder.feed(b'lo\r\n--b--')
    >>> decoder.feed_eof()
    >>> decoder.next_event(), decoder.next_event(), decoder.next_event()
    (b'lo', <End.OF_PART>, <Pause.CLOSED>)

The grammar, in which a delimiter is `CRLF "--" boundary`, and the CRLF belongs to it and not to the content::

    [preamble] delimiter padding CRLF part  …  delimiter padding CRLF part  delimiter "--" padding [CRLF epilogue]
    part = *(header CRLF) [CRLF content]

Preamble and epilogue are ignored, and blanks behind a boundary are padding. A part without content has no
empty line of its own: the CRLF behind its headers' last may already be the delimiter's. So content is searched for
a delimiter from that CRLF on. In the same way the body's first line may be a boundary, so the stream begins with
a CRLF that nobody sent.

*Strict.* A line that begins with a boundary is one (RFC 2046 §5.1.1): if anything else follows on it, the body is
refused, for others would read content there. Line ends are CRLF. Headers of parts are those of mail: they may
be folded (RFC 5322 §2.2.3), which HTTP forbids for its own.

*Cut anywhere.* The same bytes are the same events, content joined, and the same error at the same offset,
however they were fed: a header is judged when all headers of its part have arrived, and everything else from
left to right.

*Bounded.* What is kept between two calls is less than a delimiter, or the headers of one part (`header_bytes`).
No byte is searched twice, but for those: where content breaks off within what may become a delimiter, from its
CR on, no more than 74 bytes are looked at again. There can be only one such place, for a boundary has no CR.

`Content-Transfer-Encoding` is not undone: RFC 7578 §4.7 deprecates it, and no browser sends it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import NamedTuple

from . import rules
from .rules import PART_HEADER_BYTES, FormError, Rule

# More than the RFC's characters: which of the visible ones occur changes nothing about where a part ends.
_BOUNDARY = re.compile(r"[\x20-\x7e]{0,69}[\x21-\x7e]")
_PADDING = re.compile(rb"[ \t]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL_BUT_TAB = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Pause(enum.Enum):
    """What `next_event` returns when there is no event."""

    NEED_DATA = "feed more"
    CLOSED = "the body is complete"

    def __repr__(self) -> str:
        return f"<{self}>"


class End(enum.Enum):
    """The end of a part."""

    OF_PART = "the part is complete"

    def __repr__(self) -> str:
        return f"<{self}>"


NEED_DATA = Pause.NEED_DATA
CLOSED = Pause.CLOSED
END_OF_PART = End.OF_PART


class PartHead(NamedTuple):
    """The headers of a part: names in lower case, unfolded values; and the offset of the first."""

    fields: tuple[tuple[str, bytes], ...]
    offset: int


#: A part is one head, any number of pieces of content (never empty), and one end.
Event = PartHead | bytes | End | Pause


class MultipartDecoder:
    """Reads one multipart body.

    Args:
        boundary: without the hyphens in front of it.
        header_bytes: what the headers of one part may have together, with their line ends; 413 beyond it.

    Raises:
        FormError: 400, the boundary is malformed.
    """

    __slots__ = ("_at_eof", "_base", "_buffer", "_delimiter", "_error", "_header_bytes", "_searched", "_start", "_step")

    def __init__(self, boundary: str, header_bytes: int = PART_HEADER_BYTES) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise FormError(rules.BOUNDARY)
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._header_bytes = header_bytes
        self._buffer: bytes | bytearray = b"\r\n"
        self._base = -2         # bytes of the stream before the buffer's first
        self._start = 0         # of the unread part of the buffer
        self._searched = 0      # no head ends before this; not 0 only while a head arrives in pieces
        self._at_eof = False
        self._error: tuple[Rule, int] | None = None  # not the exception: its traceback refers to the decoder
        self._step: Step = _READ_PREAMBLE

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no event yet."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Accept the next bytes of the body. After an error they are dropped.

        Raises:
            RuntimeError: `feed_eof` was called before.
        """
        if self._at_eof:
            raise RuntimeError("feed() after feed_eof()")
        if self._error is not None:
            return
        if isinstance(self._buffer, bytearray):
            self._buffer += data
            return
        rest = self._buffer[self._start:]
        self._base += self._start
        self._start = 0
        if self._searched:
            self._searched = len(rest)
            self._buffer = bytearray(rest)
            self._buffer += data
        else:
            self._buffer = rest + data if rest else data

    def feed_eof(self) -> None:
        """Note that the body has ended."""
        self._at_eof = True

    def next_event(self) -> Event:
        """Return the next event, or the reason why there is none yet.

        Raises:
            FormError: the body breaks a rule. Every later call raises an equal error.
        """
        if self._error is not None:
            raise FormError(*self._error)
        try:
            while (event := self._step(self)) is None:
                pass
        except FormError as error:
            error.offset += self._base
            self._error = error.rule, error.offset
            self._buffer = b""
            self._start = 0
            raise
        return event

    # The steps, one for each thing that is expected. None means that the next one goes on. Offsets of errors count
    # from the buffer's first byte.

    def _read_preamble(self) -> Event | None:
        _, is_over = self._read_up_to_delimiter()
        if not is_over:
            return self._wait()
        self._step = _READ_LINE
        return None

    def _read_head(self) -> Event | None:
        """Read the headers of a part, from the CRLF of the boundary's line on: there may be none."""
        buffer, start = self._buffer, self._start
        first = start + 2
        end = buffer.find(b"\r\n\r\n", max(start, self._searched - 3))
        # All but one byte of an empty line may be there, so the bound is two higher while the end is not known.
        if end - start > self._header_bytes or (end < 0 and len(buffer) - first >= self._header_bytes + 2):
            raise FormError(rules.HEADER_LONG, first + self._header_bytes)
        if end < 0:
            self._searched = len(buffer)
            return self._wait()
        head = PartHead(self._parse_fields(bytes(buffer[first:end]), first), self._base + first)
        # The CRLF of the empty line stays: it may be that of the delimiter.
        if self._searched:
            self._base += end + 2
            self._buffer = bytes(buffer[end + 2:])
            self._start = self._searched = 0
        else:
            self._start = end + 2
        self._step = _BEGIN_CONTENT
        return head

    def _begin_content(self) -> Event | None:
        delimiter = self._delimiter
        begin = self._buffer[self._start:self._start + len(delimiter)]
        if begin == delimiter:
            self._start += len(delimiter)
            return self._end_part()
        if delimiter.startswith(begin):
            return self._wait()
        self._start += 2
        self._step = _READ_CONTENT
        return None

    def _read_content(self) -> Event | None:
        data, is_over = self._read_up_to_delimiter()
        if is_over:
            self._step = _END_PART
        return data or (None if is_over else self._wait())

    def _end_part(self) -> Event:
        self._step = _READ_LINE
        return END_OF_PART

    def _read_line(self) -> Event | None:
        """Read what follows a boundary."""
        begin = self._buffer[self._start:self._start + 2]
        if begin == b"--":
            self._start += 2
            self._step = _READ_LAST_LINE
        elif begin in (b"", b"-"):
            return self._wait()
        else:
            self._step = _READ_PADDING
        return None

    def _read_padding(self) -> Event | None:
        if not self._find_line_end():
            return self._wait()
        self._step = _READ_HEAD
        return None

    def _read_last_line(self) -> Event | None:
        if self._find_line_end():
            self._step = _IGNORE
            return None
        return CLOSED if self._at_eof and not self.pending else self._wait()

    def _ignore(self) -> Event:
        """Pass over the epilogue."""
        self._base += len(self._buffer)
        self._start = 0
        self._buffer = b""
        return CLOSED if self._at_eof else NEED_DATA

    # What the steps share

    def _wait(self) -> Event:
        if self._at_eof:
            raise FormError(rules.INCOMPLETE, len(self._buffer))
        return NEED_DATA

    def _read_up_to_delimiter(self) -> tuple[bytes, bool]:
        """Consume what cannot be part of a delimiter, and the delimiter itself if it is there.

        Returns:
            What stands before the delimiter, and whether it has been found.
        """
        buffer, start, delimiter = self._buffer, self._start, self._delimiter
        found = buffer.find(delimiter, start)
        if found >= 0:
            self._start = found + len(delimiter)
            return bytes(buffer[start:found]), True
        end = buffer.rfind(b"\r", max(start, len(buffer) - len(delimiter) + 1))
        if end < 0 or not delimiter.startswith(buffer[end:]):
            end = len(buffer)
        self._start = end
        return bytes(buffer[start:end]), False

    def _find_line_end(self) -> bool:
        """Pass over blanks. Return False if the line's end has not arrived completely."""
        padding = _PADDING.match(self._buffer, self._start)
        self._start = padding.end() if padding else self._start
        begin = self._buffer[self._start:self._start + 2]
        if not b"\r\n".startswith(begin):
            raise FormError(rules.DELIMITER, self._start)
        return len(begin) == 2

    def _parse_fields(self, block: bytes, offset: int) -> tuple[tuple[str, bytes], ...]:
        """Return the fields of the headers in `block`, which has no last line end and no empty line."""
        if not block:
            return ()
        if block[:1] in (b" ", b"\t"):
            raise FormError(rules.FIELD_FOLD, offset)
        dash_boundary = self._delimiter[2:]
        if block.startswith(dash_boundary) or self._delimiter in block:
            raise FormError(rules.BOUNDARY_IN_HEADER, offset)
        lines = block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").split(b"\r\n")
        return tuple([_parse_field(line, offset) for line in lines])


def _parse_field(line: bytes, offset: int) -> tuple[str, bytes]:
    if b"\n" in line or b"\r" in line:
        raise FormError(rules.LINE_END, offset)
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise FormError(rules.FIELD_LINE, offset)
    if _CONTROL_BUT_TAB.search(value):
        raise FormError(rules.FIELD_VALUE, offset)
    return name.decode("ascii").lower(), value.strip(b" \t")


#: What a decoder does next.
Step = Callable[[MultipartDecoder], "Event | None"]

# Functions, not methods of the instance: it would refer to itself.
_READ_PREAMBLE: Step = MultipartDecoder._read_preamble
_READ_HEAD: Step = MultipartDecoder._read_head
_BEGIN_CONTENT: Step = MultipartDecoder._begin_content
_READ_CONTENT: Step = MultipartDecoder._read_content
_END_PART: Step = MultipartDecoder._end_part
_READ_LINE: Step = MultipartDecoder._read_line
_READ_PADDING: Step = MultipartDecoder._read_padding
_READ_LAST_LINE: Step = MultipartDecoder._read_last_line
_IGNORE: Step = MultipartDecoder._ignore
