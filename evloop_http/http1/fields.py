"""Field lines (RFC 9112 §5), one by one and as the sections that heads and trailers are made of.

Clients and servers repeat themselves: from one head to the next all but a line or two is the same
(a new `Cookie`, a request id). So lines that were found right are remembered with what they mean,
each kind in a table bounded in entries and in the size of an entry, emptied when it is full. What was
refused is never remembered, and what is remembered cannot be changed.

A field line that is not remembered is checked once by `str.isprintable`, which is true only of text
without any control character; only lines that fail it (a tab, an odd byte) are looked at closer.

The order in which errors are found must not depend on how the bytes were cut. A bare LF and an
excess over a limit can be seen before a head is whole, so they are reported first, the earlier
of them if there are both (`check_start`); everything else is reported when the head is whole,
from its first byte on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from ..messages import Field, Headers, Index, index_fields, is_field_value, is_token
from . import rules
from .rules import Limits, ProtocolError, Rule

T = TypeVar("T")

#: The fields whose value is checked where it stands, and the rule that it breaks if it is not sound.
Grammar = Mapping[str, tuple[Callable[[str], bool], Rule]]

_REMEMBERED_LINE = 256
_REMEMBERED_LINES = 512

_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: What a trailer may not say: framing, routing, who asks or answers, conditions, for how long and
#: how to read the content (RFC 9110 §6.5.1).
NOT_IN_TRAILERS = frozenset({
    "age", "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "date", "expect", "expires", "forwarded", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "location", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "range", "retry-after", "set-cookie", "te", "trailer",
    "transfer-encoding", "upgrade", "vary", "www-authenticate", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-proto"})


class Memory(dict[str, T], Generic[T]):
    """A table that works out what it does not hold, and keeps it while there is room."""

    def __missing__(self, line: str) -> T:
        parsed = self.parse(line)
        if len(line) <= _REMEMBERED_LINE:
            if len(self) >= _REMEMBERED_LINES:
                self.clear()
            self[line] = parsed
        return parsed

    def parse(self, line: str) -> T:
        raise NotImplementedError


class FieldLines(Memory[Field]):
    """Field lines: the name in lower case, and name and value as written."""

    def __init__(self, grammar: Grammar) -> None:
        super().__init__()
        self._grammar = grammar
        self._plain: dict[str, str] = {}  # names that may be, of fields without a grammar

    def __missing__(self, line: str) -> Field:
        # As in `Memory`, with the usual line read here: a call less for each line of each new head.
        name, colon, value = line.partition(": ")
        lower = self._plain.get(name)
        if lower is not None and colon and value.isprintable():
            field = lower, (name, value.strip())  # of spaces: no other white space is printable
        else:
            field = self.parse(line)
        if len(line) <= _REMEMBERED_LINE:
            if len(self) >= _REMEMBERED_LINES:
                self.clear()
            self[line] = field
        return field

    def parse(self, line: str) -> Field:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not is_token(name):
            raise ProtocolError(_broken_name(line, name, colon))
        if not is_field_value(value):
            found = _CONTROL_BUT_TAB.search(line)
            raise ProtocolError(rules.FIELD_VALUE, found.start() if found else 0)
        lower = name.lower()
        if lower in self._grammar:
            is_sound, rule = self._grammar[lower]
            if not is_sound(value):
                raise ProtocolError(rule)
        elif len(name) <= _REMEMBERED_LINE:
            if len(self._plain) >= _REMEMBERED_LINES:
                self._plain.clear()
            self._plain[name] = lower
        return lower, (name, value)


def _broken_name(line: str, name: str, colon: str) -> Rule:
    if line[:1] in (" ", "\t"):
        return rules.FIELD_FOLD
    if "\r" in line:
        return rules.LINE_END
    if not colon:
        return rules.FIELD_LINE
    return rules.FIELD_SPACE if is_token(name.rstrip(" \t")) else rules.FIELD_NAME


class ConnectionOptions(Memory["bool | None"]):
    """What a Connection field says of persistence (RFC 9112 §9.3): False to close, True to keep, None nothing."""

    def parse(self, line: str) -> bool | None:
        options = {option.strip(" \t") for option in line.lower().split(",")}
        return False if "close" in options else True if "keep-alive" in options else None


class SectionParser:
    """What the parsers of both kinds of head share: limits, memories, and the way from bytes to fields.

    Args:
        start_lines: the memory of the lines that heads of this kind begin with.
        start_line_long: the rule that too long a one breaks.
        grammar: of the fields that this kind of message may carry.
        single: fields whose joined value would mean something else, or nothing (RFC 9110 §5.3).
    """

    __slots__ = ("_field", "_fields", "_options", "_single", "_start_line_long", "_start_lines", "limits",
                 "surely_short")

    def __init__(self, limits: Limits, start_lines: Memory[Any], start_line_long: Rule, grammar: Grammar,
                 single: frozenset[str]) -> None:
        self.limits = limits
        #: what has no more bytes than this breaks no limit of size
        self.surely_short = min(limits.request_line, limits.head)
        self._start_lines = start_lines
        self._start_line_long = start_line_long
        self._single = single
        self._options = ConnectionOptions()
        self._fields = FieldLines(grammar)
        self._field = self._fields.__getitem__

    def _split(self, raw: bytes) -> tuple[Any, Headers, Index]:
        """Start line and fields of the head whose bytes are `raw`, and the table that its fields are looked up in."""
        lines = raw.decode("latin-1").split("\r\n")
        allowed = self.limits.fields + 1
        has_too_many = len(lines) - 2 > allowed
        field_lines = lines[1:allowed] if has_too_many else lines[1:-2]
        try:
            line = self._start_lines[lines[0]]
            index = dict(map(self._field, field_lines))
        except ProtocolError as error:
            error.offset += _start_of_broken(lines, self._start_lines, self._fields)
            raise
        if has_too_many:
            raise _too_many(lines, allowed)
        if len(index) == len(field_lines):
            return line, Headers.from_fields(None, index), index
        fields = tuple(map(self._field, field_lines))
        index = self._index_repeated(fields)
        return line, Headers.from_fields(fields, index), index

    def _index_repeated(self, fields: Iterable[Field]) -> Index:
        """The look-up table of fields of which some occur more than once."""
        seen: set[str] = set()
        for lower, _ in fields:
            if lower in seen and lower in self._single:
                raise ProtocolError(rules.FIELD_SINGLE)
            seen.add(lower)
        return index_fields(fields)

    def parse_trailers(self, raw: bytes) -> Headers:
        """The fields of a trailer section whose bytes are `raw`, without those that no trailer may carry.

        Raises:
            ProtocolError: a line of it breaks a rule; the offset counts from its first byte.
        """
        lines = raw.decode("latin-1").split("\r\n")
        del lines[-2:]
        try:
            fields = list(map(self._field, lines[:self.limits.fields]))
        except ProtocolError as error:
            error.offset += _start_of_broken(lines, self._fields, self._fields)
            raise
        if len(lines) > self.limits.fields:
            raise _too_many(lines, self.limits.fields)
        self._index_repeated(fields)
        return Headers.from_fields(tuple([field for field in fields if field[0] not in NOT_IN_TRAILERS]))

    def check_start(self, buffer: bytes | bytearray, start: int, searched: int, end: int, is_head: bool) -> None:
        """Refuse the beginning of a head, or of trailers, for what can be said before its end is known.

        Args:
            start: where in `buffer` it begins.
            searched: up to where an earlier call has looked already.
            end: where it ends; 0 if that is not known yet.

        Raises:
            ProtocolError: a bare LF, or too long a start line or a head; of several the one
                that a peer sending byte by byte would have been refused for.
        """
        limits = self.limits
        known = (end or len(buffer)) - start
        breaches: list[tuple[int, int, Rule]] = []  # bytes that show it, its offset, the rule
        bare = _find_bare_lf(buffer, start, max(start, searched - 1), start + min(known, limits.head))
        if bare >= 0:
            breaches.append((bare - start + 1, bare, rules.LINE_END))
        longest = limits.request_line
        if is_head and searched - start < longest + 2 <= known \
                and buffer.find(b"\r\n", start, start + longest + 2) < 0:
            breaches.append((longest + 2, start + longest, self._start_line_long))
        if known > limits.head or (known == limits.head and not end):
            breaches.append((limits.head, start + limits.head, rules.HEAD_LONG))
        if breaches:
            _, offset, rule = min(breaches)
            raise ProtocolError(rule, offset)


def _find_bare_lf(buffer: bytes | bytearray, start: int, begin: int, stop: int) -> int:
    """Where an LF stands without its CR in the lines that begin at `start`; -1 if nowhere."""
    # Counting is the shorter way for the many lines of a sound head.
    if buffer.count(b"\n", begin, stop) == buffer.count(b"\r\n", max(start, begin - 1), stop):
        return -1
    found = buffer.find(b"\n", begin, stop)
    while found > start and buffer[found - 1] == 13:
        found = buffer.find(b"\n", found + 1, stop)
    return found


def _start_of_broken(lines: list[str], first: Memory[Any], others: Memory[Any]) -> int:
    """Where the first line begins that is wrong by itself."""
    start = 0
    memory = first
    for line in lines:
        try:
            memory.parse(line)
        except ProtocolError:
            break
        start += len(line) + 2
        memory = others
    return start


def _too_many(lines: list[str], allowed: int) -> ProtocolError:
    return ProtocolError(rules.FIELDS_MANY, sum(len(line) + 2 for line in lines[:allowed]))
