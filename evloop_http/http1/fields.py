"""Field lines (RFC 9112 §5), one by one and in the sections that heads and trailers consist of.

Clients and servers repeat themselves: all but a line or two of a head are the same as in the one before (a
new `Cookie`, a request id). So valid lines are cached with their meaning, each kind in a cache that is bounded
in entries and in the size of an entry, and cleared when it is full. A line that was refused is never cached,
and a cached line cannot be changed.

A field line that is not cached is checked once by `str.isprintable`, which is true only of text without any
control character; only lines that fail it (a tab, an odd byte) are examined closely.

A client must unfold the folded fields of a response (RFC 9112 §5.2): `unfold` puts one space in the place of each
fold before the lines are read. A request with one is refused, because programs in front of a server may have
read it in another way.

The order in which errors are found must not depend on how the bytes were cut. A bare LF and an excess over a
limit can be seen before a head is complete, so they are reported first, the earlier one if there are both
(`check_start`). Everything else is reported when the head is complete, from its first byte on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NoReturn, TypeVar

from ..messages import Field, Headers, Index, index_fields, is_field_value, is_token
from . import rules
from .rules import Limits, ProtocolError, Rule

T = TypeVar("T")

#: The fields whose value is checked line by line, and the rule that an invalid value breaks.
Grammar = Mapping[str, tuple[Callable[[str], bool], Rule]]

_CACHED_LINE_SIZE = 256  # characters; a longer line is parsed each time
_CACHED_LINES = 512      # of each kind; one more clears the cache

_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FOLD = re.compile(rb"\r\n[ \t]+")

#: Fields that no trailer may be: of framing, routing, authentication, conditions, caching, and those that
#: describe how to read the content (RFC 9110 §6.5.1).
NOT_IN_TRAILERS = frozenset({
    "age", "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "date", "expect", "expires", "forwarded", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "location", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "range", "retry-after", "set-cookie", "te", "trailer",
    "transfer-encoding", "upgrade", "vary", "www-authenticate", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-proto"})


class Cache(dict[str, T], Generic[T]):
    """A dict of parsed lines that parses a missing one, and keeps it within the bounds."""

    def __missing__(self, line: str) -> T:
        parsed = self.parse(line)
        if len(line) <= _CACHED_LINE_SIZE:
            if len(self) >= _CACHED_LINES:
                self.clear()
            self[line] = parsed
        return parsed

    def parse(self, line: str) -> T:
        raise NotImplementedError


class FieldLines(Cache[Field]):
    """Field lines: the name in lower case, and name and value as they were sent."""

    def __init__(self, grammar: Grammar) -> None:
        super().__init__()
        self._grammar = grammar
        self._plain: dict[str, str] = {}  # valid names of fields without a grammar, and their lower case

    def __missing__(self, line: str) -> Field:
        # As in `Cache`, but the usual line is parsed here: a call less for each line of each new head.
        name, colon, value = line.partition(": ")
        lower = self._plain.get(name)
        if lower is not None and colon and value.isprintable():
            field = lower, (name, value.strip())  # of spaces: no other white space is printable
        else:
            field = self.parse(line)
        if len(line) <= _CACHED_LINE_SIZE:
            if len(self) >= _CACHED_LINES:
                self.clear()
            self[line] = field
        return field

    def parse(self, line: str) -> Field:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not is_token(name):
            raise ProtocolError(_rule_of_name(line, name, colon))
        if not is_field_value(value):
            found = _CONTROL_BUT_TAB.search(line)
            raise ProtocolError(rules.FIELD_VALUE, found.start() if found else 0)
        lower = name.lower()
        if lower in self._grammar:
            is_sound, rule = self._grammar[lower]
            if not is_sound(value):
                raise ProtocolError(rule)
        elif len(name) <= _CACHED_LINE_SIZE:
            if len(self._plain) >= _CACHED_LINES:
                self._plain.clear()
            self._plain[name] = lower
        return lower, (name, value)


def _rule_of_name(line: str, name: str, colon: str) -> Rule:
    if line[:1] in (" ", "\t"):
        return rules.FIELD_FOLD
    if "\r" in line:
        return rules.LINE_END
    if not colon:
        return rules.FIELD_LINE
    return rules.FIELD_SPACE if is_token(name.rstrip(" \t")) else rules.FIELD_NAME


class ConnectionOptions(Cache["bool | None"]):
    """The meaning of Connection fields for persistence (RFC 9112 §9.3): False to close, True to keep, None neither."""

    def parse(self, line: str) -> bool | None:
        options = {option.strip(" \t") for option in line.lower().split(",")}
        return False if "close" in options else True if "keep-alive" in options else None


def unfold(raw: bytes, start: int) -> bytes:
    """Return `raw` with a space for each fold of the field lines that begin at `start`; a first line has none."""
    return raw[:start] + _FOLD.sub(b" ", raw[start:])


def folded_offset(raw: bytes, start: int, offset: int) -> int:
    """Return where in `raw` the byte is that `unfold` moved to `offset`."""
    for fold in _FOLD.finditer(raw, start):
        if fold.start() >= offset:
            break
        offset += len(fold[0]) - 1
    return offset


class SectionParser:
    """What the parsers of both kinds of head share: limits, caches, and the way from bytes to fields.

    Args:
        start_lines: the cache of the first lines of heads of this kind.
        start_line_long: the rule that a start line over the limit breaks.
        grammar: the fields of this kind of message whose value is checked.
        single: the fields that may occur once: joined, their values would mean something else (RFC 9110 §5.3).
    """

    __slots__ = ("_field", "_fields", "_most_lines", "_options", "_single", "_start_line_long", "_start_lines",
                 "limits", "surely_short")

    def __init__(self, limits: Limits, start_lines: Cache[Any], start_line_long: Rule, grammar: Grammar,
                 single: frozenset[str]) -> None:
        self.limits = limits
        #: bytes; a head that is not longer breaks no limit of size
        self.surely_short = min(limits.request_line, limits.head)
        self._most_lines = limits.fields + 3  # the start line, and two ends
        self._start_lines = start_lines
        self._start_line_long = start_line_long
        self._single = single
        self._options = ConnectionOptions()
        self._fields = FieldLines(grammar)
        self._field = self._fields.__getitem__

    def _split(self, raw: bytes) -> tuple[Any, Headers, Index]:
        """Return start line and fields of the head whose bytes are `raw`, and the table to look its fields up in."""
        lines = raw.decode("latin-1").split("\r\n")
        if len(lines) > self._most_lines:
            self._refuse_lines(lines)
        field_lines = lines[1:-2]
        try:
            line = self._start_lines[lines[0]]
            index = dict(map(self._field, field_lines))
        except ProtocolError as error:
            error.offset += _start_of_malformed(lines, self._start_lines, self._fields)
            raise
        if len(index) == len(field_lines):
            return line, Headers.from_fields(None, index), index
        fields = tuple(map(self._field, field_lines))
        index = self._index_repeated(fields)
        return line, Headers.from_fields(fields, index), index

    def _refuse_lines(self, lines: list[str]) -> NoReturn:
        """Refuse a head with too many fields: for the first that is too many, or for a malformed line before it."""
        allowed = self.limits.fields + 1
        self._split("\r\n".join([*lines[:allowed], "", ""]).encode("latin-1"))
        raise _too_many(lines, allowed)

    def _index_repeated(self, fields: Iterable[Field]) -> Index:
        """Return the look-up table of fields of which some occur more than once."""
        seen: set[str] = set()
        for lower, _ in fields:
            if lower in seen and lower in self._single:
                raise ProtocolError(rules.FIELD_SINGLE)
            seen.add(lower)
        return index_fields(fields)

    def parse_trailers(self, raw: bytes) -> Headers:
        """Return the fields of a trailer section whose bytes are `raw`, without those that no trailer may be.

        Raises:
            ProtocolError: a line breaks a rule; the offset counts from the section's first byte.
        """
        lines = raw.decode("latin-1").split("\r\n")
        del lines[-2:]
        try:
            fields = list(map(self._field, lines[:self.limits.fields]))
        except ProtocolError as error:
            error.offset += _start_of_malformed(lines, self._fields, self._fields)
            raise
        if len(lines) > self.limits.fields:
            raise _too_many(lines, self.limits.fields)
        self._index_repeated(fields)
        return Headers.from_fields(tuple([field for field in fields if field[0] not in NOT_IN_TRAILERS]))

    def check_start(self, buffer: bytes | bytearray, start: int, searched: int, end: int, is_head: bool) -> None:
        """Refuse the beginning of a head, or of trailers, for errors that show before its end is known.

        Args:
            start: where in `buffer` it begins.
            searched: the end of what an earlier call has checked.
            end: where it ends; 0 if that is not known yet.

        Raises:
            ProtocolError: there is a bare LF, or the start line or the head is too long. Of several errors, the
                one that a peer that sends byte by byte would have been refused for.
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
    """Return where an LF without its CR is in the lines that begin at `start`; -1 if there is none."""
    # Counting is faster for the many lines of a valid head.
    if buffer.count(b"\n", begin, stop) == buffer.count(b"\r\n", max(start, begin - 1), stop):
        return -1
    found = buffer.find(b"\n", begin, stop)
    while found > start and buffer[found - 1] == 13:
        found = buffer.find(b"\n", found + 1, stop)
    return found


def _start_of_malformed(lines: list[str], first: Cache[Any], others: Cache[Any]) -> int:
    """Return where the first line begins that is malformed by itself."""
    start = 0
    cache = first
    for line in lines:
        try:
            cache.parse(line)
        except ProtocolError:
            break
        start += len(line) + 2
        cache = others
    return start


def _too_many(lines: list[str], allowed: int) -> ProtocolError:
    return ProtocolError(rules.FIELDS_MANY, sum(len(line) + 2 for line in lines[:allowed]))
