"""One head: the bytes up to the empty line, parsed into a `RequestHead` or a `ResponseHead`, or refused.

Whole heads of requests are cached when they arrive for the second time: load generators, polling browsers
and clients of an API send the same head byte for byte, and then parsing is one look-up. The cache cannot be
seen from outside: it is bounded, a head that was refused never enters it, and a head in it cannot be changed.
Heads of responses differ in their `Date` at least, so only their lines are cached.

Stricter than the RFCs on purpose, because programs on one path must not read one head differently:

- HTTP/1.2 and later are refused, where RFC 9110 §2.5 would have them read as 1.1: nobody sends them.
- `Expect` is one `100-continue`. An empty one, and one with empty or repeated members, are refused, where RFC 9110
  §5.6.1.2 would ignore the empty ones.
- A field that is not a list and occurs twice is refused, `Age` too, of which RFC 9111 §5.1 would use the first.
  In requests this goes for the fields that mean something there; others, such as `Content-Location`,
  `Content-Range` and `Date`, are joined as lists are (RFC 9110 §5.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from ..messages import Headers, RequestHead, ResponseHead, is_token
from . import rules
from .body import content_length, is_length
from .fields import Cache, Grammar, SectionParser, folded_offset, unfold
from .rules import Limits, ProtocolError
from .target import PATH, QUERY, decode_path, is_host, split_target

T = TypeVar("T")

#: Bytes of the longest head that is cached as a whole; those of browsers have 400 to 1,500.
CACHED_HEAD_SIZE = 2048
#: The last byte of every head.
LF = 10
_CACHED_HEADS = 512
_SEEN_HEADS = 1024

#: Method, target, version, and the parts of the target: path, query string, and the authority if it names one
RequestLine = tuple[str, str, str, str, str, str | None]
#: Version, status, reason
StatusLine = tuple[str, int, str]

# Nearly every request line, split in one go; `RequestLines` looks closer at the others.
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


class RequestLines(Cache[RequestLine]):
    """Request lines (RFC 9112 §3)."""

    def parse(self, line: str) -> RequestLine:
        usual = _USUAL_LINE.fullmatch(line)
        if usual is None:
            return self._parse_closely(line)
        method, target, path, query, version = usual.groups("")
        if "%" in path:
            path = decode_path(path, len(method) + 1)
        return method, target, version, path, query, None

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


class StatusLines(Cache[StatusLine]):
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
    """Parses and caches the heads of requests; one serves all the connections of a server."""

    __slots__ = ("_seen", "cached", "latest", "latest_head", "usual")

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits(), RequestLines(), rules.TARGET_LONG, _REQUEST_GRAMMAR, _SINGLE_IN_REQUESTS)
        #: whole heads, the final empty line included
        self.cached: dict[bytes, RequestHead] = {}
        self._seen: set[int] = set()  # hashes of the heads that arrived once
        #: bytes of the last head with something behind it: the next such head is likely to be as long, and if it is
        #: cached it need not be searched for its end
        self.usual = 0
        #: the last head that was found so, and its bytes: the next one of a pipeline is likely to be the same, and
        #: comparing is quicker than a look-up
        self.latest_head: RequestHead | None = None
        self.latest = b""

    def parse(self, raw: bytes) -> RequestHead:
        """Return the head whose bytes, the final empty line included, are `raw`.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        head = self.cached.get(raw)
        if head is not None:
            return head
        (method, target, version, path, query_string, authority), headers, index = self._split(raw)
        if "host" in index:
            authority = authority or index["host"][1]
        elif version == "1.1":
            raise ProtocolError(rules.HOST_MISSING)
        octets: int | None = 0
        if "content-length" in index or "transfer-encoding" in index:
            octets = content_length(headers.get("content-length"), headers.get("transfer-encoding"), version,
                                    self.limits)
        persists = self._options[index["connection"][1]] if "connection" in index else None
        # RFC 9110 §10.1.1: a server ignores a 100-continue in a request of HTTP/1.0.
        expects = "expect" in index and version == "1.1"
        if expects and index["expect"][1].lower() != "100-continue":
            raise ProtocolError(rules.EXPECT)
        head = RequestHead(method, target, version, headers, path, query_string, authority or "", octets,
                           version == "1.1" if persists is None else persists, expects and octets != 0)
        mark = hash(raw)
        if mark not in self._seen:
            if len(self._seen) >= _SEEN_HEADS:
                self._seen.clear()
            self._seen.add(mark)
        elif len(raw) <= CACHED_HEAD_SIZE:
            self._cache(raw, head)
        return head

    def whole_request(self, data: bytes) -> RequestHead | None:
        """Return the head if `data` is exactly one head without a body, and so a whole request.

        None in every other case, malformed heads among them, and in some where it could be, but is rare: a
        `RequestParser` has the last word.
        """
        if not data or data[-1] != LF:
            return None
        size = len(data)
        head = self.cached.get(data) if size <= CACHED_HEAD_SIZE else None
        if head is None and size <= self.surely_short and data.endswith(b"\r\n\r\n") \
                and (self.latest_head is None or not data.startswith(self.latest)):
            try:
                head = self.parse(data)
            except ProtocolError:
                return None  # there is more than a head, or it is malformed
        if head is None or head.content_length == 0:
            return head
        # So that the parser need not parse it again.
        self.usual, self.latest, self.latest_head = size, data, head
        return None

    def _cache(self, raw: bytes, head: RequestHead) -> None:
        """Keep a head that has arrived for the second time: most heads that arrive once never do again."""
        if len(self.cached) >= _CACHED_HEADS:
            self.cached.clear()
        # A copy: the bytes of a recv lie in the middle of a large block, and would keep all of it.
        self.cached[bytes(memoryview(raw))] = head


class ResponseHeadParser(SectionParser):
    """Parses the heads of responses; one serves all the connections of a client."""

    __slots__ = ()

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits(), StatusLines(), rules.STATUS_LINE_LONG, _RESPONSE_GRAMMAR,
                         _SINGLE_IN_RESPONSES)

    def parse(self, raw: bytes, method: str) -> ResponseHead:
        """Return the head whose bytes are `raw`, of a response to a request of this method.

        The method decides what follows (RFC 9112 §6.3): nothing after the answer to a `HEAD`, and no more HTTP
        after a `CONNECT` that succeeded.

        Raises:
            ProtocolError: it breaks a rule; the offset counts from the head's first byte.
        """
        if b"\r\n " in raw or b"\r\n\t" in raw:
            # Not what follows the status line: that is refused, for it belongs to no field (RFC 9112 §2.2).
            return _unfolded(raw, raw.find(b"\r\n") + 2, lambda plain: self._parse(plain, method))
        return self._parse(raw, method)

    def parse_trailers(self, raw: bytes) -> Headers:
        if b"\r\n " in raw or b"\r\n\t" in raw:
            return _unfolded(raw, 0, super().parse_trailers)
        return super().parse_trailers(raw)

    def _parse(self, raw: bytes, method: str) -> ResponseHead:
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


def _unfolded(raw: bytes, start: int, parse: Callable[[bytes], T]) -> T:
    """Return what `parse` makes of `raw` without the folds of the lines from `start` on."""
    try:
        return parse(unfold(raw, start))
    except ProtocolError as error:
        error.offset = folded_offset(raw, start, error.offset)
        raise
