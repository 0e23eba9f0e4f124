"""One head: the bytes up to the empty line, made into a `RequestHead`, or refused.

Three memories make this fast, and none of them can be seen from outside. Clients repeat
themselves: the whole head byte for byte (a load generator, a browser polling), or all but a line
or two (a new `Cookie`, a request id). So we remember whole heads, request lines and field lines
that were found right, each in a table bounded in entries and in the size of an entry, emptied
when it is full. What was refused is never remembered, and what is remembered cannot be changed.

A line that is not remembered is checked once by `str.isprintable`, which is true only of text
without any control character; only lines that fail it (a tab, an odd byte) are looked at closer.

The order in which errors are found must not depend on how the bytes were cut. A bare LF and an
excess over a limit can be seen before the head is whole, so they are reported first, the earlier
of them if there are both (`check_start`); everything else is reported when the head is whole,
from its first byte on.
"""

from __future__ import annotations

import re
from typing import Generic, NamedTuple, TypeVar

from ..messages import Field, Fields, Headers, RequestHead, index_fields, is_field_value, is_token
from . import rules
from .body import content_length
from .rules import Limits, ProtocolError, Rule

T = TypeVar("T")

#: Whole heads up to this many bytes are remembered; a browser's are 400 to 1,500.
REMEMBERED_HEAD = 2048
_REMEMBERED_HEADS = 512
_REMEMBERED_LINE = 256
_REMEMBERED_LINES = 2048

_BARE_LF = re.compile(rb"(?<!\r)\n")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 3986 §3.3 and §3.4, and in the query what browsers send there without encoding it.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/|\[\]]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?|\[\]\\^`{}]|%[0-9A-Fa-f]{2})*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")

#: Fields whose joined value would mean something else, or nothing (RFC 9110 §5.3).
_SINGLE = frozenset({
    "authorization", "content-length", "content-type", "from", "host", "if-modified-since", "if-range",
    "if-unmodified-since", "max-forwards", "proxy-authorization", "range", "referer", "user-agent"})
#: What a trailer may not say: framing, routing, authority, and how to read the content (RFC 9110 §6.5.1).
_NOT_IN_TRAILERS = frozenset({
    "authorization", "connection", "content-encoding", "content-length", "content-range", "content-type", "cookie",
    "expect", "host", "keep-alive", "max-forwards", "proxy-authorization", "range", "te", "trailer",
    "transfer-encoding", "upgrade"})
#: The fields that decide how the message is read; most heads have only the first two.
_DECIDING = frozenset({"connection", "content-length", "expect", "transfer-encoding"})


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

    def parse(self, line: str) -> Field:
        name, colon, value = line.partition(":")
        if not is_token(name) or not colon:
            raise ProtocolError(_broken_name(line, name, colon))
        value = value.strip(" \t")
        if not line.isprintable() and not is_field_value(value):
            raise ProtocolError(rules.FIELD_VALUE, _control(line))
        lower = name.lower()
        if lower == "host" and not is_host(value):
            raise ProtocolError(rules.HOST_FORM)
        if lower == "content-length" and not (value.isascii() and value.isdecimal()):
            raise ProtocolError(rules.LENGTH_FORM)
        return lower, name, value


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
        if not is_host(target) or ":" not in target.rpartition("]")[2]:
            raise ProtocolError(rules.TARGET, offset)
        return "", "", target
    if target == "*" and method == "OPTIONS":
        return "*", "", None
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        authority, rest = absolute.groups()
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


class HeadParser:
    """Heads to `RequestHead`s, with a memory; one serves all the parsers of a server."""

    __slots__ = ("_fields", "_request_lines", "limits", "remembered")

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        #: whole heads, the final empty line included
        self.remembered: dict[bytes, RequestHead] = {}
        self._fields = FieldLines()
        self._request_lines = RequestLines()

    def parse(self, raw: bytes) -> RequestHead:
        """The head whose bytes, the final empty line included, are `raw`.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        head = self.remembered.get(raw)
        if head is None:
            head = self._parse_new(raw)
            if len(raw) <= REMEMBERED_HEAD:
                if len(self.remembered) >= _REMEMBERED_HEADS:
                    self.remembered.clear()
                self.remembered[raw] = head
        return head

    def _parse_new(self, raw: bytes) -> RequestHead:
        lines = raw.decode("latin-1").split("\r\n")
        del lines[-2:]
        try:
            return self._make_head(self._request_lines[lines[0]], self._headers(lines[1:]))
        except ProtocolError as error:
            error.offset += self._start_of_broken(lines)
            raise

    def _start_of_broken(self, lines: list[str]) -> int:
        """Where the first line begins that is wrong by itself; 0 if the head is wrong as a whole."""
        start = 0
        memory: Memory[RequestLine] | Memory[Field] = self._request_lines
        for line in lines:
            try:
                memory.parse(line)
            except ProtocolError:
                return start
            start += len(line) + 2
            memory = self._fields
        return 0

    def parse_trailers(self, raw: bytes) -> Headers:
        """The fields of a trailer section whose bytes are `raw`, without those that no trailer may carry."""
        lines = raw.decode("latin-1").split("\r\n")
        del lines[-2:]
        headers = self._headers(lines)
        return Headers.from_fields(tuple([field for field in headers.fields if field[0] not in _NOT_IN_TRAILERS]))

    def _headers(self, lines: list[str]) -> Headers:
        if len(lines) > self.limits.fields:
            raise ProtocolError(rules.FIELDS_MANY)
        fields = tuple(map(self._fields.__getitem__, lines))
        index = {lower: value for lower, _, value in fields}
        if len(index) != len(fields):
            index = _index_repeated(fields)
        return Headers.from_fields(fields, index)

    def _make_head(self, line: RequestLine, headers: Headers) -> RequestHead:
        method, target, version, path, query_string, authority = line
        if authority is None:
            authority = headers.get("host", "")
            if not authority and version == "1.1":
                raise ProtocolError(rules.HOST_MISSING)
        elif version == "1.1" and "host" not in headers:
            raise ProtocolError(rules.HOST_MISSING)
        head = RequestHead(method, target, version, headers, path=path, query_string=query_string,
                           authority=authority, keep_alive=version == "1.1")
        if headers.mentions(_DECIDING):
            self._decide(head)
        return head

    def _decide(self, head: RequestHead) -> None:
        """Read the fields that say how long the message is and what happens after it."""
        get = head.headers.get
        head.content_length = content_length(get("content-length"), get("transfer-encoding"), head.version, self.limits)
        options = {option.strip(" \t") for option in get("connection", "").lower().split(",")}
        head.keep_alive = "close" not in options and (head.version == "1.1" or "keep-alive" in options)
        # RFC 9110 §10.1.1: a server ignores a 100-continue that comes with HTTP/1.0.
        if (expectation := get("expect")) is not None and head.version == "1.1":
            if expectation.lower() != "100-continue":
                raise ProtocolError(rules.EXPECT)
            head.expects_continue = head.content_length != 0

    def check_start(self, buffer: bytes | bytearray, start: int, searched: int, first_line: int) -> None:
        """Refuse the beginning of a head, or of trailers, for what can be said before its end is known.

        Args:
            start: where in `buffer` it begins.
            searched: up to where an earlier call has looked already.
            first_line: how many bytes its first line may have.

        Raises:
            ProtocolError: a bare LF, or too long a first line or a head; of several the one that
                a peer sending byte by byte would have been refused for.
        """
        searched = max(start, searched)
        line, whole = start + first_line, start + self.limits.head
        breaches: list[tuple[int, Rule]] = []
        if (bare := _BARE_LF.search(buffer, max(start, searched - 1), whole)) is not None:
            breaches.append((bare.start(), rules.LINE_END))
        if len(buffer) >= line + 2 and buffer.find(b"\r\n", start, line + 2) < 0:
            breaches.append((line, rules.TARGET_LONG))
        if len(buffer) >= whole and buffer.find(b"\r\n\r\n", max(start, searched - 3), whole) < 0:
            breaches.append((whole, rules.HEAD_LONG))
        if breaches:
            offset, rule = min(breaches)
            raise ProtocolError(rule, offset)


def _index_repeated(fields: Fields) -> dict[str, str]:
    """The look-up table of fields of which some occur more than once."""
    seen: set[str] = set()
    for lower, _, _ in fields:
        if lower in seen and lower in _SINGLE:
            raise ProtocolError(rules.FIELD_SINGLE)
        seen.add(lower)
    return index_fields(fields)
