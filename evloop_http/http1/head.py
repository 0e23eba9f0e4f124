"""One head: the bytes up to the empty line, made into a `RequestHead` or a `ResponseHead`, or refused.

Whole heads of requests are remembered, from the second time on: a load generator, a browser polling,
a client of an API send the same head byte for byte, and then parsing is one look-up. The memory cannot
be seen from outside: it is bounded, what was refused never enters it, and what is in it cannot be
changed. Heads of responses differ in their `Date` at least, so only their lines are remembered.
"""

from __future__ import annotations

import re

from ..messages import Headers, Index, RequestHead, ResponseHead, is_token
from . import rules
from .body import content_length, is_length
from .fields import Grammar, Memory, SectionParser
from .rules import Limits, ProtocolError
from .target import PATH, QUERY, decode_path, is_host, split_target

#: Whole heads up to this many bytes are remembered; a browser's are 400 to 1,500.
REMEMBERED_HEAD = 2048
_REMEMBERED_HEADS = 512
_SEEN_HEADS = 1024

#: Method, target, version, and of the target: path, query string, and the authority if it names one
RequestLine = tuple[str, str, str, str, str, str | None]
#: Version, status, reason
StatusLine = tuple[str, int, str]

# What nearly every request line looks like, taken apart in one go; `RequestLines` looks closer at the others.
_USUAL_LINE = re.compile(rf"(?!CONNECT )([A-Z]+) (({PATH})(?:\?({QUERY}))?) HTTP/(1\.[01])")
_STATUS_LINE = re.compile(r"HTTP/(1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")

_REQUEST_GRAMMAR: Grammar = {"content-length": (is_length, rules.LENGTH_FORM), "host": (is_host, rules.HOST_FORM)}
_RESPONSE_GRAMMAR: Grammar = {"content-length": (is_length, rules.LENGTH_FORM)}
_SINGLE_IN_REQUESTS = frozenset({
    "authorization", "content-length", "content-type", "from", "host", "if-modified-since", "if-range",
    "if-unmodified-since", "max-forwards", "proxy-authorization", "range", "referer", "user-agent"})
_SINGLE_IN_RESPONSES = frozenset({
    "age", "content-length", "content-location", "content-range", "content-type", "date", "etag", "expires",
    "last-modified", "location", "retry-after", "server"})


class RequestLines(Memory[RequestLine]):
    """Request lines (RFC 9112 §3)."""

    def parse(self, line: str) -> RequestLine:
        usual = _USUAL_LINE.fullmatch(line)
        if usual is None:
            return self._parse_closely(line)
        method, target, path, query, version = usual.groups("")
        return method, target, version, decode_path(path) if "%" in path else path, query, None

    def _parse_closely(self, line: str) -> RequestLine:
        parts = line.split(" ")
        if len(parts) != 3:
            raise ProtocolError(rules.REQUEST_LINE)
        method, target, version = parts
        if not is_token(method):
            raise ProtocolError(rules.METHOD)
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise _unknown_version(version, len(line) - len(version))
        try:
            return method, target, version[5:], *split_target(method, target)
        except ProtocolError as error:
            error.offset += len(method) + 1
            raise


class StatusLines(Memory[StatusLine]):
    """Status lines (RFC 9112 §4)."""

    def parse(self, line: str) -> StatusLine:
        match = _STATUS_LINE.fullmatch(line)
        if match is not None:
            return match[1], int(match[2]), match[3]
        version = line.partition(" ")[0]
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise _unknown_version(version, 0)
        raise ProtocolError(rules.STATUS_LINE, len(version))


def _unknown_version(version: str, offset: int) -> ProtocolError:
    return ProtocolError(rules.VERSION if _VERSION.fullmatch(version) else rules.VERSION_FORM, offset)


class HeadParser(SectionParser):
    """Heads to `RequestHead`s, with a memory; one serves all the parsers of a server."""

    __slots__ = ("_seen", "remembered", "usual")

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits(), RequestLines(), rules.TARGET_LONG, _REQUEST_GRAMMAR, _SINGLE_IN_REQUESTS)
        #: whole heads, the final empty line included
        self.remembered: dict[bytes, RequestHead] = {}
        self._seen: set[int] = set()
        #: bytes of the last head that did not come alone: the next one is likely to be the same, so it need not be
        #: searched for its end
        self.usual = 0

    def parse(self, raw: bytes) -> RequestHead:
        """The head whose bytes, the final empty line included, are `raw`.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        head = self.remembered.get(raw)
        if head is None:
            line, headers, index = self._split(raw)
            head = self._make_head(line, headers, index)
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


class ResponseHeadParser(SectionParser):
    """Heads to `ResponseHead`s; one serves all the connections of a client."""

    __slots__ = ()

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits(), StatusLines(), rules.STATUS_LINE_LONG, _RESPONSE_GRAMMAR,
                         _SINGLE_IN_RESPONSES)

    def parse(self, raw: bytes, method: str) -> ResponseHead:
        """The head whose bytes are `raw`, of a response to a request of this method.

        The method tells what follows (RFC 9112 §6.3): nothing after the answer to a `HEAD`, no
        HTTP any more after that to a `CONNECT` that succeeded.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        (version, status, reason), headers, index = self._split(raw)
        persists = self._options[index["connection"][1]] if "connection" in index else None
        keep_alive = version == "1.1" if persists is None else persists
        if status == 101 or (method == "CONNECT" and 200 <= status <= 299):
            return ResponseHead(status, reason, version, headers, keep_alive=False)
        if status < 200 or status in (204, 304) or method == "HEAD":
            return ResponseHead(status, reason, version, headers, keep_alive=keep_alive)
        if "content-length" not in index and "transfer-encoding" not in index:
            return ResponseHead(status, reason, version, headers, None, ends_with_connection=True, keep_alive=False)
        octets = content_length(headers.get("content-length"), headers.get("transfer-encoding"), version, self.limits)
        return ResponseHead(status, reason, version, headers, octets, keep_alive=keep_alive)
