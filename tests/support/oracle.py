"""What must hold of any bytes at all, whoever made them: the checks that the properties and the fuzzer share.

Two programs that read the same bytes as different messages are how requests are smuggled. So the
parser is asked again and again about the same bytes, cut in other ways, and must not contradict
itself (`check`). And h11 and httptools (which is llhttp), written from the same RFCs by others, are
asked too. They need not agree with us: we refuse much that they take. But wherever they do not, it is
on the list `DIFFERENCES`, with the words of the RFC that decide.

A check that fails raises `AssertionError`. Nothing here is drawn by hypothesis: there are only bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import h11
import httptools

from evloop_http.http1 import (
    BodyData,
    EndOfMessage,
    HeadParser,
    Limits,
    Pause,
    ProtocolError,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseHeadParser,
    rules,
)
from evloop_http.http1.strategies import Pairs, byte_by_byte, cut_at
from reading import Parser, Seen, awaiting, read_fast, read_from, told_of

Heads = HeadParser | ResponseHeadParser

STATUSES = frozenset({400, 413, 414, 417, 431, 501, 505})
#: Responses of every kind, for the properties and the fuzzer to begin with.
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 204 \r\n\r\n", b"HTTP/1.1 200 \r\n\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: </a>\r\n\r\nHTTP/1.1 205 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
    b"HTTP/1.1 304 \r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0\1",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a \r\n\t b\r\nContent-Length:\r\n 0\r\n\r\n",
    b"HTTP/1.1 999 \xe9\r\nX: y\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
BEHIND = b"GET /behind HTTP/1.1\r\nHost: behind\r\n\r\n"


def must(is_so: bool, reason: str, *told: object) -> None:
    """Fail unless `is_so`. Not `assert`, which is not checked under `python -O`, and says less of what was told."""
    if not is_so:
        raise AssertionError("\n  ".join([reason, *map(repr, told)]))


# Reading

def new_heads(limits: Limits, methods: Sequence[str] | None) -> Heads:
    """A parser of heads: of requests, or where `methods` were asked with, of their responses."""
    return HeadParser(limits) if methods is None else ResponseHeadParser(limits)


def new_parser(heads: Heads, methods: Sequence[str] | None) -> Parser:
    return RequestParser(heads) if isinstance(heads, HeadParser) else awaiting(methods or (), heads)


def read(pieces: Iterable[bytes], heads: Heads, methods: Sequence[str] | None = None, eof: bool = True) -> list[Seen]:
    """Everything that a fresh parser says of `pieces`, asked after each; data joined, error or pause at the end."""
    parser = new_parser(heads, methods)
    told = read_from(parser, pieces, eof)
    if told[-1][0] == "error":
        _check_that_it_is_over(parser, told[-1])
    return told


def _check_that_it_is_over(parser: Parser, error: Seen) -> None:
    must(parser.pending == 0, "a parser keeps bytes behind an error", error)
    try:
        event = parser.next_event()
    except ProtocolError as again:
        must(told_of(again) == error, "an error changed when it was asked for again", error, again)
    else:
        raise AssertionError(f"behind {error} came {event}")


class Message(NamedTuple):
    """A whole message that the parser took; an interim response is one by itself."""

    head: RequestHead | ResponseHead
    body: bytes
    trailers: Pairs
    start: int  # in the stream; an empty line that was passed over belongs to the message behind it
    end: int
    method: str  # that it was asked with


class Rest(NamedTuple):
    """Where the last whole message ends, and what comes then: an error or the lack of bytes."""

    start: int
    error: ProtocolError | None
    method: str
    switched: bool = False


def messages(raw: bytes, methods: Sequence[str] | None = None, eof: bool = False) -> tuple[list[Message], Rest]:
    """The messages in `raw`, and what is behind them."""
    parser = new_parser(new_heads(Limits(), methods), methods)
    parser.feed(raw)
    if eof:
        parser.feed_eof()
    whole: list[Message] = []
    start = 0
    asked = list(methods or ())
    head: RequestHead | ResponseHead | None = None
    body = b""
    try:
        while not isinstance(event := parser.next_event(), Pause):
            if isinstance(event, BodyData):
                body += event.data
                continue
            trailers: Pairs = ()
            if isinstance(event, EndOfMessage):
                trailers = tuple(event.trailers.pairs())
            else:
                head, body = event, b""
                if isinstance(event, RequestHead) or not event.is_interim:
                    continue
            assert head is not None  # an end has a beginning, or `check` fails
            end = parser.received - parser.pending
            method = head.method if isinstance(head, RequestHead) else asked[0]
            whole.append(Message(head, body, trailers, start, end, method))
            if isinstance(event, EndOfMessage) and isinstance(head, ResponseHead):
                asked.pop(0)
            start = end
    except ProtocolError as error:
        return whole, Rest(start, error, asked[0] if asked else "")
    return whole, Rest(start, None, asked[0] if asked else "", event is Pause.SWITCHED)


# The parser against itself

def check(raw: bytes, places: Sequence[int] = (), limits: Limits | None = None,
          methods: Sequence[str] | None = None) -> None:
    """Everything that must hold of `raw`, as requests, or as the responses to requests of these methods.

    Args:
        places: where else to cut, in any order; those outside of `raw` do not count.
    """
    limits = limits or Limits()
    cut = cut_at(raw, sorted({place for place in places if 0 < place < len(raw)}))
    for eof in (True, False):
        whole = read([raw], new_heads(limits, methods), methods, eof)
        check_total(raw, whole, limits, methods)
        for pieces in (byte_by_byte(raw), cut):
            told = read(pieces, new_heads(limits, methods), methods, eof)
            must(told == whole, "it depends on the cuts", whole, told, pieces)
    heads = new_heads(limits, methods)
    for _ in range(3):
        told = read([raw], heads, methods, eof=False)
        must(told == whole, "it depends on what was read before", whole, told)
    told = read(cut, heads, methods, eof=False)
    must(told == whole, "it depends on what was read before and the cuts", whole, told)
    if isinstance(heads, HeadParser):
        for pieces in ([raw], cut):
            for known in (heads, HeadParser(limits)):
                told = read_fast(pieces, known, eof=False)
                must(told == whole, "it depends on which methods are called", whole, told, pieces)
    check_order(raw, whole, limits, methods)


def check_total(raw: bytes, told: Sequence[Seen], limits: Limits, methods: Sequence[str] | None) -> None:
    """Any bytes are events, or events and a `ProtocolError`: in order, within limits, and at a place that there is."""
    *events, last = told
    kinds = "".join(str(event[0])[0] for event in events)
    if last[0] == "error":
        must(last[1] in STATUSES if methods is None else last[1] == 502, "an error of another status", last)
        must(isinstance(last[3], int) and 0 <= last[3] <= len(raw), "an error outside of the stream", last)
    open_end = kinds.rpartition("e")[2]
    if methods is None:
        must(set(kinds.replace("hde", "").replace("he", "")) <= set(open_end), "events out of order", told)
    must(open_end.lstrip("h") in ("", "d"), "events out of order", told)
    if last[0] == "CLOSED":
        must(not last[1] and (methods is not None or not open_end), "closed within a message", told)
    body = 0
    for event in events:
        if event[0] == "head":
            body = 0
            fields = event[7 if methods is None else 4]
            must(isinstance(fields, tuple) and len(fields) <= limits.fields, "too many fields", event)
        elif event[0] == "data":
            must(isinstance(event[1], bytes) and len(event[1]) + body <= limits.body, "too large a body", event)


def check_order(raw: bytes, told: list[Seen], limits: Limits, methods: Sequence[str] | None) -> None:
    """What comes behind changes nothing before, and what comes before changes nothing behind."""
    *events, last = told
    behind = read([raw + BEHIND], new_heads(limits, methods), methods, eof=False)
    if last[0] == "error":
        must(behind == told, "an error depends on what comes behind it", told, behind)
    elif events and events[-1][0] == "data":
        before, after = events[-1], behind[len(events) - 1]
        must(behind[:len(events) - 1] == events[:-1] and isinstance(after[1], bytes) and isinstance(before[1], bytes)
             and after[1].startswith(before[1]), "an event depends on what comes behind it", told, behind)
    else:
        must(behind[:len(events)] == events, "an event depends on what comes behind it", told, behind)
    if limits != Limits():
        return
    whole, _ = messages(raw, methods)
    count = asked = 0
    for message in whole:
        head = message.head
        final = isinstance(head, RequestHead) or not head.is_interim
        count += (3 if message.body else 2) if final else 1
        asked += isinstance(head, ResponseHead) and final
        first = read([raw[:message.end]], new_heads(limits, methods), methods, eof=False)
        must(first[:-1] == told[:count], "a message depends on what comes behind it", told, first)
        if isinstance(head, ResponseHead) and (head.status == 101 or message.method == "CONNECT"):
            continue  # what is behind it may be no HTTP any more
        rest = read([raw[message.end:]], new_heads(limits, methods), methods and methods[asked:], eof=False)
        must(_moved(rest, message.end) == told[count:] or _has_many_interim(told), "a message depends on those before",
             told, rest)


def _moved(told: list[Seen], by: int) -> list[Seen]:
    *events, last = told
    return [*events, (*last[:3], last[3] + by) if last[0] == "error" and isinstance(last[3], int) else last]


def _has_many_interim(told: list[Seen]) -> bool:
    return told[-1][0] == "error" and told[-1][2] == str(rules.INTERIM_MANY)


# The parser against others

class Read(NamedTuple):
    """What one reader made of the first message of some bytes."""

    line: tuple[str, ...]
    fields: Pairs
    body: bytes
    trailers: Pairs
    end: int  # in those bytes


class Refused(NamedTuple):
    """That one reader took them for no message, and why."""

    why: str


class Waits(NamedTuple):
    """That one reader wants more before it says anything."""

    body: bytes = b""


Verdict = Read | Refused | Waits


def _pairs(fields: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return _compared((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _compared(fields: Iterable[tuple[str, str]]) -> Pairs:
    """Fields as they are compared: httptools leaves whitespace behind a value, h11 writes codings in lower case."""
    return tuple((name.lower(), value.lower() if name.lower() == "transfer-encoding" else value)
                 for name, value in ((name, value.strip(" \t")) for name, value in fields))


def ask_h11(raw: bytes, method: str | None, eof: bool = False) -> Verdict:
    """What h11 makes of the request that `raw` begins with, or of the response to a request of this method."""
    reader = h11.Connection(h11.SERVER if method is None else h11.CLIENT, max_incomplete_event_size=1 << 24)
    try:
        if method is not None:
            # It takes a 101 only where one was asked for.
            asked = h11.Request(method=method, target="a:1" if method == "CONNECT" else "/",
                                headers=[("Host", "a"), ("Upgrade", "x"), ("Connection", "upgrade")])
            reader.send(asked)
            reader.send(h11.EndOfMessage())
        reader.receive_data(raw)
        if eof and raw:
            reader.receive_data(b"")
        return _h11_message(reader, len(raw))
    except h11.ProtocolError as error:
        return Refused(str(error))


def _h11_message(reader: h11.Connection, size: int) -> Verdict:
    line: tuple[str, ...] = ()
    fields: Pairs = ()
    trailers: Pairs = ()
    body = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        match event:
            case h11.Request():
                line = (event.method.decode(), event.target.decode("latin-1"), event.http_version.decode())
                fields = _pairs(event.headers)
            case h11.Response() | h11.InformationalResponse():
                line = (event.http_version.decode(), str(event.status_code), event.reason.decode("latin-1"))
                fields = _pairs(event.headers)
                if event.status_code < 200:
                    break
            case h11.Data():
                body += bytes(event.data)
            case h11.PAUSED if line:
                break  # no HTTP any more
            case _:
                return Waits(body)
    if isinstance(event, h11.EndOfMessage):
        trailers = _pairs(event.headers)
    return Read(line, fields, body, trailers, size - len(reader.trailing_data[0]))


class _Told:
    """What httptools calls."""

    def __init__(self) -> None:
        self.line = b""
        self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.in_head = 0
        self.done = False

    def on_url(self, url: bytes) -> None:
        self.line += url

    def on_status(self, reason: bytes) -> None:
        self.line += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = len(self.fields)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done = True


def ask_httptools(raw: bytes, method: str | None) -> Verdict:
    """What httptools makes of the request that `raw` begins with, or of a response."""
    told = _Told()
    reader = httptools.HttpRequestParser(told) if method is None else httptools.HttpResponseParser(told)
    end = 0
    try:
        # Byte by byte: it tells nowhere else which was the last of a message.
        while not told.done and end < len(raw):
            end += 1
            reader.feed_data(raw[end - 1:end])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if not told.done:
            return Refused(str(error))
    if not told.done:
        return Waits(told.body)
    line: tuple[str, ...] = (reader.get_http_version(),)
    if isinstance(reader, httptools.HttpRequestParser):
        line = (reader.get_method().decode(), told.line.decode("latin-1"), *line)
    else:
        line = (*line, str(reader.get_status_code()), told.line.decode("latin-1"))
    return Read(line, _pairs(told.fields[:told.in_head]), told.body, _pairs(told.fields[told.in_head:]), end)


def _ours(message: Message) -> Read:
    head = message.head
    line = ((head.method, head.target, head.version) if isinstance(head, RequestHead)
            else (head.version, str(head.status), head.reason))
    return Read(line, _compared(head.headers.pairs()), message.body, _compared(message.trailers),
                message.end - message.start)


class Case(NamedTuple):
    """A message that one reader and we do not read the same way."""

    reader: str
    raw: bytes               # from the message's first byte on
    message: Message | None  # if we took it
    rule: str                # that we refused it with; empty if we took it, or wait for more
    verdict: Verdict         # of the other reader


def _always(case: Case) -> bool:
    return True


class Difference(NamedTuple):
    """A way to differ that the RFCs leave to us, or where they are on our side."""

    name: str
    readers: str
    words: str
    #: that we refuse with what these readers take; empty: it is about what we take, or wait for more of
    rules: tuple[rules.Rule, ...] = ()
    when: Callable[[Case], bool] = _always


def _why(case: Case) -> str:
    return case.verdict.why if isinstance(case.verdict, Refused) else ""


def _ends_with_its_head(case: Case) -> bool:
    """Whether the reader left HTTP behind the head of a `CONNECT` or an `Upgrade`."""
    if not isinstance(case.verdict, Read) or case.verdict.body:
        return False
    head = case.raw[:case.verdict.end].lstrip(b"\r\n")
    return head.endswith(b"\n") and (head.startswith(b"CONNECT ") or "upgrade" in dict(case.verdict.fields))


def _has_no_content(case: Case) -> bool:
    if case.message is None or not isinstance(case.message.head, ResponseHead):
        return False
    head = case.message.head
    bodiless = head.status < 200 or head.status in (204, 304) or case.message.method in ("HEAD", "CONNECT")
    return bodiless and ("transfer-encoding" in head.headers or "content-length" in head.headers)


def _is_bad_whitespace(case: Case) -> bool:
    chunk_line = re.search(rb"\r\n[0-9a-fA-F]+[^\r]*?([ \t];|;[ \t]|[ \t]=|=[ \t])", case.raw)
    return chunk_line is not None and ("chunk size" in _why(case) or "chunk extension" in _why(case)
                                       or "illegal chunk header" in _why(case))


def _is_folded_response(case: Case) -> bool:
    message = case.message
    return message is not None and isinstance(message.head, ResponseHead) \
        and re.search(rb"\r\n[ \t]", case.raw[:message.end - message.start]) is not None \
        and _why(case) in ("Unexpected whitespace after header value", "Invalid header value char")


def _framing_in_trailers(case: Case) -> bool:
    coded = case.raw.partition(b"\r\n\r\n")[2][:case.message.end - case.message.start if case.message else None]
    named = re.search(rb"(?i)\r\n(content-length|transfer-encoding):", coded)
    return case.message is not None and named is not None \
        and ("Transfer-Encoding" in _why(case) or "Content-Length" in _why(case))


DIFFERENCES = (
    # What we refuse and another takes
    Difference(
        "line ends", "h11 httptools",
        "RFC 9112 §2.2: a recipient MAY recognize a single LF as a line terminator and ignore any preceding CR",
        (rules.LINE_END,)),
    Difference(
        "CR before a request", "httptools",
        "RFC 9112 §2.2: a server SHOULD ignore at least one empty line (CRLF) received prior to the request-line",
        (rules.METHOD,)),
    Difference(
        "whitespace in the request line, HTTP/0.9", "httptools",
        "RFC 9112 §3: recipients MAY instead parse on whitespace-delimited word boundaries; lenient parsing can "
        "result in security vulnerabilities",
        (rules.REQUEST_LINE,)),
    Difference(
        "what is no target", "h11 httptools",
        "RFC 9112 §3.2: recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) "
        "error or a 301",
        (rules.TARGET, rules.PERCENT)),
    Difference(
        "NUL and line ends in a path", "h11 httptools",
        "RFC 3986 §7.3: the \"%00\" percent-encoding (NUL) may require special handling and should be rejected if the "
        "application is not expecting to receive raw data within a component",
        (rules.PATH_CONTROL,)),
    Difference(
        "versions", "h11 httptools",
        "RFC 9110 §2.5: a server can send a 505 (HTTP Version Not Supported) response if it wishes, for any "
        "reason, to refuse service of the client's major protocol version",
        (rules.VERSION,)),
    Difference(
        "no Host", "httptools",
        "RFC 9112 §3.2: a server MUST respond with a 400 to any HTTP/1.1 request message that lacks a Host header "
        "field",
        (rules.HOST_MISSING,)),
    Difference(
        "what is no Host", "h11 httptools",
        "RFC 9112 §3.2: a server MUST respond with a 400 to any request message that contains a Host header field "
        "with an invalid field value",
        (rules.HOST_FORM,)),
    Difference(
        "repeated fields", "h11 httptools",
        "RFC 9110 §5.3: a sender MUST NOT generate multiple field lines with the same name unless they can be "
        "recombined as a comma-separated list",
        (rules.FIELD_SINGLE,)),
    Difference(
        "folded lines", "h11",
        "RFC 9112 §5.2: a server that receives an obs-fold MUST either reject the message or replace each "
        "received obs-fold with SP",
        (rules.FIELD_FOLD,)),
    Difference(
        "control characters in values", "h11",
        "RFC 9110 §5.5: field values containing other CTL characters are also invalid; recipients MAY retain such "
        "characters",
        (rules.FIELD_VALUE,)),
    Difference(
        "one length twice, or folded", "h11",
        "RFC 9110 §8.6: the recipient MUST either reject the message as invalid or replace the duplicated field "
        "values with a single valid Content-Length",
        (rules.LENGTH_FORM,)),
    Difference(
        "length and coding", "h11",
        "RFC 9112 §6.1: a server MAY reject a request that contains both Content-Length and Transfer-Encoding",
        (rules.LENGTH_AND_CODING,)),
    Difference(
        "codings in HTTP/1.0", "h11 httptools",
        "RFC 9112 §6.1: an HTTP/1.0 message containing a Transfer-Encoding MUST be treated as if the framing is "
        "faulty",
        (rules.CODING_1_0,)),
    Difference(
        "other codings", "httptools",
        "RFC 9112 §6.1: a server that receives a request message with a transfer coding it does not understand "
        "SHOULD respond with 501",
        (rules.CODING_UNKNOWN,)),
    Difference(
        "empty members of Transfer-Encoding", "httptools",
        "RFC 9110 §5.6.1.2: a recipient MUST parse and ignore a reasonable number of empty list elements; where "
        "it frames a message, none is reasonable to us",
        (rules.CODING_FINAL,)),
    Difference(
        "chunk sizes", "h11 httptools",
        "RFC 9112 §7.1: chunk-size = 1*HEXDIG, without whitespace behind it; recipients MUST anticipate "
        "potentially large hexadecimal numerals",
        (rules.CHUNK_SIZE,)),
    Difference(
        "chunk extensions", "h11 httptools",
        "RFC 9112 §7.1.1: chunk-ext = *( BWS ; BWS chunk-ext-name [ BWS = BWS chunk-ext-val ] )",
        (rules.CHUNK_EXTENSION,)),
    Difference(
        "expectations", "h11 httptools",
        "RFC 9110 §10.1.1: a server that receives an Expect field value containing a member other than "
        "100-continue MAY respond with a 417",
        (rules.EXPECT,)),
    Difference(
        "limits of heads", "h11 httptools",
        "RFC 9110 §5.4: a server that receives a set of fields larger than it wishes to process MUST respond with "
        "an appropriate 4xx; RFC 9112 §3: and with a 414 to a request-target longer than any URI it wishes to "
        "parse",
        (rules.TARGET_LONG, rules.HEAD_LONG, rules.FIELDS_MANY)),
    Difference(
        "limits of chunks", "h11 httptools",
        "RFC 9112 §7.1.1: a server ought to limit the total length of chunk extensions received in a request",
        (rules.CHUNK_LINE_LONG, rules.CHUNK_OVERHEAD)),
    Difference(
        "limit of interim responses", "h11 httptools",
        "RFC 9110 §15.2: a client MUST be able to parse one or more 1xx responses",
        (rules.INTERIM_MANY,)),
    Difference(
        "status lines without a reason", "h11 httptools",
        "RFC 9112 §4: a server MUST send the space that separates the status-code from the reason-phrase even "
        "when the reason-phrase is absent",
        (rules.STATUS_LINE,)),
    Difference(
        "empty lines before a response", "httptools",
        "RFC 9112 §2.2: it is a server that SHOULD ignore one",
        (rules.VERSION_FORM,)),
    # What we take and another refuses or reads differently
    Difference(
        "an empty line before the request", "h11",
        "RFC 9112 §2.2: a server SHOULD ignore at least one empty line (CRLF) received prior to the request-line",
        when=lambda case: case.raw.startswith(b"\r\n")),
    Difference(
        "methods of one's own", "httptools",
        "RFC 9110 §9.1: method = token; §16.1: additional methods have been specified for use in HTTP",
        when=lambda case: _why(case).startswith(("Invalid method", "Expected space after method"))),
    Difference(
        "whitespace in chunk extensions", "h11 httptools",
        "RFC 9110 §5.6.3: a recipient MUST parse for such bad whitespace and remove it",
        when=_is_bad_whitespace),
    Difference(
        "folded lines of responses", "httptools",
        "RFC 9112 §5.2: a user agent that receives an obs-fold in a response message MUST replace each received "
        "obs-fold with one or more SP octets prior to interpreting the field value",
        when=_is_folded_response),
    Difference(
        "whitespace behind chunked", "httptools",
        "RFC 9110 §5.5: a field value does not include leading or trailing whitespace",
        when=lambda case: "`Transfer-Encoding`" in _why(case)
        and re.search(rb"(?i)chunked[ \t]+\r\n", case.raw) is not None),
    Difference(
        "framing in trailers", "h11 httptools",
        "RFC 9112 §7.1.2: a recipient that removes the chunked coding from a message MAY selectively retain or "
        "discard the received trailer fields",
        when=_framing_in_trailers),
    # RFC 9110 §9.3.6 says that CONNECT has no content. Whoever announces some all the same means to send it.
    Difference(
        "content of CONNECT and Upgrade", "httptools",
        "RFC 9112 §6: the presence of a message body in a request is signaled by a Content-Length or "
        "Transfer-Encoding header field; RFC 9110 §7.8: a client cannot begin using an upgraded protocol until it has "
        "completely sent the request message",
        when=_ends_with_its_head),
    Difference(
        "codings where nothing is coded", "h11 httptools",
        "RFC 9112 §6.3: a response to HEAD, or with 1xx, 204 or 304, is always terminated by the first empty "
        "line, regardless of the header fields present",
        when=_has_no_content),
)


READERS = ("h11", "httptools")


def check_against(reader: str, raw: bytes, methods: Sequence[str] | None = None, eof: bool = False) -> set[str]:
    """Compare what one of `READERS` and we make of `raw`, message by message.

    Returns:
        The names of the differences that were met.
    """
    whole, rest = messages(raw, methods, eof)
    met = set()
    for message in whole:
        behind = raw[message.start:]
        if _can_be_told(reader, message.method, methods):
            verdict = _ask(reader, behind, methods and message.method, eof)
            if not _is_same(reader, message, verdict):
                met.add(_on_the_list(Case(reader, behind, message, "", verdict)))
    behind = raw[rest.start:]
    unasked = methods is not None and not rest.method
    if not (rest.switched or unasked) and _can_be_told(reader, rest.method, methods):
        verdict = _ask(reader, behind, methods and rest.method, eof)
        if isinstance(verdict, Read):
            met.add(_on_the_list(Case(reader, behind, None, rest.error.rule if rest.error else "", verdict)))
    return met


def _can_be_told(reader: str, method: str, methods: Sequence[str] | None) -> bool:
    """Whether the reader can know what was asked, where it matters: httptools cannot be told."""
    return methods is None or reader == "h11" or method not in ("HEAD", "CONNECT")


def _ask(reader: str, raw: bytes, method: str | Sequence[str] | None, eof: bool) -> Verdict:
    assert method is None or isinstance(method, str)
    return ask_h11(raw, method, eof) if reader == "h11" else ask_httptools(raw, method)


def _is_same(reader: str, message: Message, verdict: Verdict) -> bool:
    ours = _ours(message)
    if isinstance(verdict, Waits):
        # httptools cannot be told of the end of a connection.
        return reader == "httptools" and isinstance(message.head, ResponseHead) and message.head.ends_with_connection \
            and verdict.body == ours.body
    if isinstance(verdict, Read):
        # We drop what no trailer may carry (RFC 9110 §6.5.1); they do not.
        names = {name for name, _ in ours.trailers}
        verdict = verdict._replace(trailers=tuple(pair for pair in verdict.trailers if pair[0] in names))
    return verdict == ours


def _on_the_list(case: Case) -> str:
    for difference in DIFFERENCES:
        if case.reader in difference.readers.split() and difference.when(case) \
                and (case.rule in map(str, difference.rules) if difference.rules else True):
            return difference.name
    raise AssertionError(f"{case.reader} reads it differently, and it is not on the list\n  {case}")
