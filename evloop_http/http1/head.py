"""One head: the bytes up to the empty line, made into a `RequestHead`, or refused.

Memories make this fast, and none of them can be seen from outside. Clients repeat
themselves: the whole head byte for byte (a load generator, a browser polling), or all but a line
or two (a new `Cookie`, a request id). So we remember whole heads (from the second time on), request
lines and field lines that were found right, each in a table bounded in entries and in the size of
an entry, emptied when it is full. What was refused is never remembered, and what is remembered
cannot be changed.

A field line that is not remembered is checked once by `str.isprintable`, which is true only of text
without any control character; only lines that fail it (a tab, an odd byte) are looked at closer.

The order in which errors are found must not depend on how the bytes were cut. A bare LF and an
excess over a limit can be seen before the head is whole, so they are reported first, the earlier
of them if there are both (`check_start`); everything else is reported when the head is whole,
from its first byte on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from ..messages import Field, Headers, Index, RequestHead, index_fields, is_field_value, is_token
from . import rules
from .body import content_length
from .rules import Limits, ProtocolError, Rule

T = TypeVar("T")

#: Whole heads up to this many bytes are remembered; a browser's are 400 to 1,500.
REMEMBERED_HEAD = 2048
_REMEMBERED_HEADS = 512
_SEEN_HEADS = 1024
_REMEMBERED_LINE = 256
_REMEMBERED_LINES = 512

_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 3986 §3.3 and §3.4, and in the query what browsers send there without encoding it.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/|\[\]]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?|\[\]\\^`{}]|%[0-9A-Fa-f]{2})*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")

#: Fields whose joined value would mean something else, or nothing (RFC 9110 §5.3).
_SINGLE = frozenset({
    "authorization", "content-length", "content-type", "from", "host", "if-modified-since", "if-range",
    "if-unmodified-since", "max-forwards", "proxy-authorization", "range", "referer", "user-agent"})
#: What a trailer may not say: framing, routing, who asks, conditions, and how to read the content (RFC 9110 §6.5.1).
_NOT_IN_TRAILERS = frozenset({
    "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "expect", "forwarded", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "keep-alive", "max-forwards", "pragma", "proxy-authorization", "range", "te",
    "trailer", "transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})


class RequestLine(NamedTuple):
    """A request line that was found right, and the parts of its target."""

    method: str
    target: str
    version: str
    path: str
    query_string: str
    authority: str | None


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
    """Field lines (RFC 9112 §5)."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, str] = {}

    def parse(self, line: str) -> Field:
        name, colon, value = line.partition(":")
        lower = self._names.get(name)
        if lower is None or not colon:
            lower = self._new_name(line, name, colon)
        if line.isprintable():
            value = value.strip()  # of spaces: no other white space is printable
        elif not is_field_value(value := value.strip(" \t")):
            raise ProtocolError(rules.FIELD_VALUE, _control(line))
        if lower in _GRAMMAR:
            is_sound, rule = _GRAMMAR[lower]
            if not is_sound(value):
                raise ProtocolError(rule)
        return lower, (name, value)

    def _new_name(self, line: str, name: str, colon: str) -> str:
        """A name in lower case that is not known, and is if it may be."""
        if not colon or not is_token(name):
            raise ProtocolError(_broken_name(line, name, colon))
        lower = name.lower()
        if len(name) <= _REMEMBERED_LINE:
            if len(self._names) >= _REMEMBERED_LINES:
                self._names.clear()
            self._names[name] = lower
        return lower


class ConnectionOptions(Memory["bool | None"]):
    """What a Connection field says of persistence (RFC 9112 §9.3): False to close, True to keep, None nothing."""

    def parse(self, line: str) -> bool | None:
        options = {option.strip(" \t") for option in line.lower().split(",")}
        return False if "close" in options else True if "keep-alive" in options else None


def _broken_name(line: str, name: str, colon: str) -> Rule:
    if line[:1] in (" ", "\t"):
        return rules.FIELD_FOLD
    if "\r" in line:
        return rules.LINE_END
    if not colon:
        return rules.FIELD_LINE
    return rules.FIELD_SPACE if is_token(name.rstrip(" \t")) else rules.FIELD_NAME


def _control(line: str) -> int:
    found = _CONTROL_BUT_TAB.search(line)
    return found.start() if found else 0


class RequestLines(Memory[RequestLine]):
    """Request lines (RFC 9112 §3)."""

    def parse(self, line: str) -> RequestLine:
        parts = line.split(" ")
        if len(parts) != 3:
            raise ProtocolError(rules.REQUEST_LINE)
        method, target, version = parts
        if not is_token(method):
            raise ProtocolError(rules.METHOD)
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            known = _VERSION.fullmatch(version)
            raise ProtocolError(rules.VERSION if known else rules.VERSION_FORM, len(line) - len(version))
        return RequestLine(method, target, version[5:], *_split_target(method, target))


def _split_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Path, query string and authority of a request target, in the form that its method may have (RFC 9112 §3.2)."""
    offset = len(method) + 1
    authority: str | None = None
    rest = target
    if method == "CONNECT":
        # RFC 9110 §9.3.6: a server refuses an empty port.
        if not is_host(target) or not target.rpartition("]")[2].rpartition(":")[2].isdecimal():
            raise ProtocolError(rules.TARGET, offset)
        return "", "", target
    if target == "*" and method == "OPTIONS":
        return "*", "", None
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        authority, rest = absolute[1], absolute[2] or ""
        if not is_host(authority):
            raise ProtocolError(rules.TARGET, offset)
        if not rest.startswith("/"):
            rest = "/" + rest
    path, _, query = rest.partition("?")
    if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
        raise ProtocolError(rules.PERCENT if _BAD_PERCENT.search(rest) else rules.TARGET, offset)
    return decode_path(path), query, authority


def decode_path(path: str) -> str:
    """`path` with its percent-encoding undone; what is not UTF-8 becomes U+FFFD."""
    if "%" not in path:
        return path
    # Inside the function: most targets have none, and a parser alone starts the faster.
    from urllib.parse import unquote
    return unquote(path)


def is_host(text: str) -> bool:
    """Whether `text` is a host and, if any, a port (RFC 9110 §7.2, RFC 3986 §3.2.2); no user, no zone."""
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    address, port = match.groups()
    if port and int(port) > 65535:
        return False
    return address is None or _is_ipv6(address)


def _is_ipv6(address: str) -> bool:
    from ipaddress import AddressValueError, IPv6Address
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal()


#: Fields whose value is checked where it stands, and the rule that it breaks if it is not sound.
_GRAMMAR: dict[str, tuple[Callable[[str], bool], Rule]] = {
    "content-length": (_is_length, rules.LENGTH_FORM),
    "host": (is_host, rules.HOST_FORM),
}


class HeadParser:
    """Heads to `RequestHead`s, with a memory; one serves all the parsers of a server."""

    __slots__ = ("_field", "_fields", "_options", "_request_lines", "_seen", "limits", "remembered",
                 "surely_short")

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        #: what has no more bytes than this breaks no limit of size
        self.surely_short = min(self.limits.request_line, self.limits.head)
        #: whole heads, the final empty line included
        self.remembered: dict[bytes, RequestHead] = {}
        self._seen: set[int] = set()
        self._request_lines = RequestLines()
        self._options = ConnectionOptions()
        self._fields = FieldLines()
        self._field = self._fields.__getitem__

    def parse(self, raw: bytes) -> RequestHead:
        """The head whose bytes, the final empty line included, are `raw`.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        head = self.remembered.get(raw)
        if head is None:
            head = self._parse_new(raw)
            mark = hash(raw)
            if mark not in self._seen:
                if len(self._seen) >= _SEEN_HEADS:
                    self._seen.clear()
                self._seen.add(mark)
            elif len(raw) <= REMEMBERED_HEAD:
                self._remember(raw, head)
        return head

    def _remember(self, raw: bytes, head: RequestHead) -> None:
        """Keep a head that has come a second time: most that come once never come again."""
        if len(self.remembered) >= _REMEMBERED_HEADS:
            self.remembered.clear()
        # A copy: the bytes of a recv sit in the midst of a large block, and would pin it.
        self.remembered[bytes(memoryview(raw))] = head

    def _parse_new(self, raw: bytes) -> RequestHead:
        lines = raw.decode("latin-1").split("\r\n")
        del lines[-2:]
        allowed = self.limits.fields + 1
        try:
            line = self._request_lines[lines[0]]
            field_lines = lines[1:allowed]
            index = dict(map(self._field, field_lines))
        except ProtocolError as error:
            error.offset += _start_of_broken(lines, self._request_lines, self._fields)
            raise
        if len(lines) > allowed:
            raise _too_many(lines, allowed)
        if len(index) == len(field_lines):
            return self._make_head(line, Headers.from_fields(None, index), index)
        fields = tuple(map(self._field, field_lines))
        index = _index_repeated(fields)
        return self._make_head(line, Headers.from_fields(fields, index), index)

    def _make_head(self, line: RequestLine, headers: Headers, index: Index) -> RequestHead:
        method, target, version, path, query_string, authority = line
        if "host" not in index and version == "1.1":
            raise ProtocolError(rules.HOST_MISSING)
        if authority is None:
            authority = index["host"][1] if "host" in index else ""
        octets: int | None = 0
        if "content-length" in index or "transfer-encoding" in index:
            octets = content_length(headers.get("content-length"), headers.get("transfer-encoding"), version,
                                    self.limits)
        persists = self._options[index["connection"][1]] if "connection" in index else None
        expects_continue = False
        # RFC 9110 §10.1.1: a server ignores a 100-continue that comes with HTTP/1.0.
        if "expect" in index and version == "1.1":
            if index["expect"][1].lower() != "100-continue":
                raise ProtocolError(rules.EXPECT)
            expects_continue = octets != 0
        return RequestHead(method, target, version, headers, path, query_string, authority, octets,
                           version == "1.1" if persists is None else persists, expects_continue)

    def parse_trailers(self, raw: bytes) -> Headers:
        """The fields of a trailer section whose bytes are `raw`, without those that no trailer may carry.

        Raises:
            ProtocolError: as for `parse`.
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
        _index_repeated(fields)
        return Headers.from_fields(tuple([field for field in fields if field[0] not in _NOT_IN_TRAILERS]))

    def check_start(self, buffer: bytes | bytearray, start: int, searched: int, end: int,
                    has_request_line: bool) -> None:
        """Refuse the beginning of a head, or of trailers, for what can be said before its end is known.

        Args:
            start: where in `buffer` it begins.
            searched: up to where an earlier call has looked already.
            end: where it ends; 0 if that is not known yet.

        Raises:
            ProtocolError: a bare LF, or too long a request line or a head; of several the one
                that a peer sending byte by byte would have been refused for.
        """
        limits = self.limits
        known = (end or len(buffer)) - start
        breaches: list[tuple[int, int, Rule]] = []  # bytes that show it, its offset, the rule
        bare = _find_bare_lf(buffer, start, max(start, searched - 1), start + min(known, limits.head))
        if bare >= 0:
            breaches.append((bare - start + 1, bare, rules.LINE_END))
        longest = limits.request_line
        if has_request_line and searched - start < longest + 2 <= known \
                and buffer.find(b"\r\n", start, start + longest + 2) < 0:
            breaches.append((longest + 2, start + longest, rules.TARGET_LONG))
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


def _index_repeated(fields: Iterable[Field]) -> Index:
    """The look-up table of fields of which some occur more than once."""
    seen: set[str] = set()
    for lower, _ in fields:
        if lower in seen and lower in _SINGLE:
            raise ProtocolError(rules.FIELD_SINGLE)
        seen.add(lower)
    return index_fields(fields)
