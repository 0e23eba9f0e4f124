"""Messages to test with, as hypothesis strategies: valid ones of every kind and what they mean, mutations, and cuts.

For whoever tests a server, a client or a parser; it needs `evloop-http[testing]`. Everything here is
written from the RFCs' grammar and not from the parser, so that the two can disagree.

`requests()` and `pipelines()` make a `SentRequest`: the bytes, and what a server must read in them.
`responses()` and `response_pipelines()` make a `SentResponse`: the same for a client, with the method
of the request that it answers, without which nobody can read it. `mutations(raw)` breaks bytes in the ways
that peers and attackers do; what that means is not known beforehand, only that every way of feeding
it must mean the same. `streams()` and `response_streams()` mix good, broken and noise, and `cuts(raw)`
says how the network might deliver it::

    @given(streams(), st.data())
    def test_however_it_is_cut_it_is_read_the_same(raw, data):
        assert read(data.draw(cuts(raw))) == read([raw])
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import NamedTuple

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy, composite
except ImportError as error:
    raise ImportError("evloop_http.http1.strategies needs evloop-http[testing]") from error

from .rules import Limits

Pairs = tuple[tuple[str, str], ...]

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
# RFC 9110 §5.5: VCHAR and obs-text; SP and HTAB only between them.
VISIBLE_CHARACTERS = "".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)]))
UNRESERVED = string.ascii_letters + string.digits + "-._~"
PATH_CHARACTERS = UNRESERVED + "!$&'()*+,;=:@"

#: Fields that mean something to a parser of either kind, or may not be in trailers: drawn on purpose or not at all.
SPECIAL = frozenset({
    "age", "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-location",
    "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "forwarded", "from", "host",
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive",
    "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "range", "referer", "retry-after", "server", "set-cookie", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "vary", "via", "www-authenticate", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-proto"})


class SentRequest(NamedTuple):
    """A request as bytes, and what it means."""

    raw: bytes
    method: str
    target: str
    version: str
    path: str
    query_string: str
    authority: str
    fields: Pairs
    chunked: bool
    body: bytes
    trailers: Pairs
    keep_alive: bool
    expects_continue: bool


class SentInterim(NamedTuple):
    """An interim response (RFC 9110 §15.2): a head of HTTP/1.1 and nothing more."""

    status: int
    reason: str
    fields: Pairs


class SentResponse(NamedTuple):
    """A response as bytes, and what it means."""

    #: those of the interim responses before it included
    raw: bytes
    #: of the request that it answers
    method: str
    status: int
    reason: str
    version: str
    fields: Pairs
    chunked: bool
    body: bytes
    trailers: Pairs
    #: the body is neither counted nor chunked (RFC 9112 §6.3)
    ends_with_connection: bool
    keep_alive: bool
    interim: tuple[SentInterim, ...]

    @property
    def switches(self) -> bool:
        """Whether what follows it is another protocol (RFC 9110 §7.8, §9.3.6)."""
        return _switches(self.method, self.status)


# Words

def tokens(max_size: int = 12) -> SearchStrategy[str]:
    """A token (RFC 9110 §5.6.2)."""
    return st.text(TOKEN_CHARACTERS, min_size=1, max_size=max_size)


def field_names() -> SearchStrategy[str]:
    """A field name that means nothing to a parser."""
    return tokens().filter(lambda name: name.lower() not in SPECIAL)


def field_values() -> SearchStrategy[str]:
    """A field value without the whitespace around it (RFC 9110 §5.5): may be empty, may hold obs-text and tabs."""
    edge = st.text(VISIBLE_CHARACTERS, max_size=6)
    return st.one_of(
        st.sampled_from(["", "*/*", "gzip, deflate, br", 'W/"x"', "a\tb", "GET / HTTP/1.1", ":", "a:b", "\xe9t\xe9"]),
        st.tuples(edge, st.sampled_from([" ", "\t", "  ", ","]), edge).map(
            lambda parts: "".join(parts) if parts[0] and parts[2] else parts[0]))


def whitespace() -> SearchStrategy[str]:
    """OWS (RFC 9110 §5.6.3)."""
    return st.sampled_from([" ", "", "  ", "\t", " \t "])


def as_cased(text: str) -> SearchStrategy[str]:
    """`text` in one case or another."""
    return st.sampled_from([text, text.lower(), text.upper(), text.swapcase()])


def hosts() -> SearchStrategy[str]:
    """A host and maybe a port (RFC 3986 §3.2.2): a name without percent-encoding, an IPv4 or IPv6 address."""
    name = st.sampled_from(["example.com", "a", "127.0.0.1", "[::1]", "[2001:db8::7]", "[::ffff:10.0.0.1]",
                            "xn--bcher-kva.example", "a_b", "localhost.", "a!$&'()*+,;=b", "1.2.3"])
    port = st.sampled_from(["", "", ":80", ":8443", ":0", ":65535", ":"])
    return st.builds(str.__add__, name, port)


class Target(NamedTuple):
    """A request target, and what it means."""

    method: str
    text: str
    path: str
    query_string: str
    authority: str | None


@composite
def paths(draw: DrawFn) -> tuple[str, str]:
    """A path as written and as meant; some of its octets are percent-encoded, but no NUL, CR or LF."""
    encoded = st.sampled_from([octet for octet in range(256) if octet not in b"\0\r\n"])
    octets = draw(st.lists(st.one_of(
        st.sampled_from([ord(c) for c in "/" + PATH_CHARACTERS]).map(lambda n: (chr(n), bytes([n]))),
        encoded.map(lambda n: (f"%{n:02x}", bytes([n]))),
        encoded.map(lambda n: (f"%{n:02X}", bytes([n]))),
        st.just(("%C3%A9", b"\xc3\xa9"))), max_size=12))
    written = "/" + "".join(text for text, _ in octets)
    return written, (b"/" + b"".join(octet for _, octet in octets)).decode("utf-8", "replace")


def queries() -> SearchStrategy[str]:
    """A query string, which the parser leaves as it is."""
    return st.one_of(st.sampled_from(["", "a=1&b=2", "q=%7e%00", "a=b?c/d", "x[]=1|2"]),
                     st.text(PATH_CHARACTERS + "/?", max_size=8))


@composite
def targets(draw: DrawFn) -> Target:
    """A method and a target in a form that it may have (RFC 9112 §3.2)."""
    form = draw(st.sampled_from(["origin", "origin", "origin", "absolute", "authority", "asterisk"]))
    if form == "asterisk":
        return Target("OPTIONS", "*", "*", "", None)
    if form == "authority":
        host = draw(st.sampled_from(["example.com:443", "[::1]:8443", "127.0.0.1:65535", "a:1"]))
        return Target("CONNECT", host, "", "", host)
    method = draw(st.one_of(st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]),
                            tokens().filter(lambda word: word != "CONNECT")))
    written, path = draw(paths())
    query = draw(queries())
    rest = written + ("?" + query if query or draw(st.booleans()) else "")
    if form == "origin":
        return Target(method, rest, path, query, None)
    if draw(st.booleans()):
        rest, path, query = draw(st.sampled_from([("", "/", ""), ("?a=b", "/", "a=b")]))
    host = draw(hosts())
    return Target(method, draw(st.sampled_from(["http://", "https://", "HTTP://"])) + host + rest, path, query, host)


# Bodies

def extensions() -> SearchStrategy[str]:
    """Chunk extensions (RFC 9112 §7.1.1)."""
    return st.sampled_from(["", "", "", ";a", ";a=b", ';a="b;c\\" d"', "; a = b", ";a;b=c", "\t;\ta"])


@composite
def chunked(draw: DrawFn, pieces: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """`pieces`, none of them empty, in the chunked coding (RFC 9112 §7.1), with sizes written in every way."""
    parts = []
    for piece in [*pieces, b""]:
        size = draw(st.sampled_from(["%x", "%X", "0%x", "%08X"])) % len(piece)
        parts.append(size.encode() + draw(extensions()).encode() + b"\r\n" + (piece + b"\r\n" if piece else b""))
    return b"".join(parts) + trailer + b"\r\n"


def bodies() -> SearchStrategy[bytes]:
    """Some content: any bytes, or such as look like framing."""
    return st.one_of(st.binary(min_size=1, max_size=60), st.sampled_from([
        b"\r\n", b"\r", b"\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: inside\r\n\r\n", b"a=1&b=2\n", b"\r\n\r\n" * 5]))


# Fields

def lines_of(fields: Iterable[tuple[str, str, str, str]]) -> bytes:
    """The bytes of some field lines, of which each is (name, whitespace, value, whitespace)."""
    return "".join(f"{name}:{before}{value}{after}\r\n" for name, before, value, after in fields).encode("latin-1")


def written_fields(names: SearchStrategy[str], max_size: int) -> SearchStrategy[list[tuple[str, str, str, str]]]:
    """Some field lines, each (name, whitespace, value, whitespace)."""
    return st.lists(st.tuples(names, whitespace(), field_values(), whitespace()), max_size=max_size)


def pairs_of(lines: Iterable[tuple[str, str, str, str]]) -> Pairs:
    """What some field lines mean: (name, value) of each."""
    return tuple((name, value) for name, _, value, _ in lines)


def connection_options() -> SearchStrategy[str]:
    """The value of a Connection field (RFC 9110 §7.6.1), empty for none."""
    return st.sampled_from(["", "", "keep-alive", "Keep-Alive, x", "close", "x, CLOSE", ", close,", "upgrade"])


def persists(options: str, version: str) -> bool:
    """Whether a connection stays open after a message with these options (RFC 9112 §9.3)."""
    named = [option.strip().lower() for option in options.split(",")]
    return "close" not in named and (version == "1.1" or "keep-alive" in named)


# Requests

@composite
def requests(draw: DrawFn) -> SentRequest:
    """A valid request: any target form, any framing, with whatever fields."""
    target = draw(targets())
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
    lines = draw(written_fields(field_names(), 4))
    authority = target.authority
    if version == "1.1" or draw(st.booleans()):
        host = draw(hosts())
        authority = host if authority is None else authority
        lines.append((draw(as_cased("Host")), " ", host, draw(whitespace())))
    options = draw(connection_options())
    if options:
        lines.append((draw(as_cased("Connection")), " ", options, ""))

    framing = draw(st.sampled_from(["none", "none", "zero", "counted", "chunked"]))
    body, trailers, content = b"", [], b""
    if framing == "zero":
        lines.append(("content-length", "", draw(st.sampled_from(["0", "000"])), " "))
    elif framing == "counted" or (framing == "chunked" and version == "1.0"):
        content = body = draw(bodies())
        length = draw(st.sampled_from(["%d", "0%d"])) % len(body)
        lines.append((draw(as_cased("Content-Length")), draw(whitespace()), length, ""))
    elif framing == "chunked":
        pieces = draw(st.lists(bodies(), max_size=4))
        body = b"".join(pieces)
        trailers = draw(written_fields(field_names(), 2))
        content = draw(chunked(pieces, lines_of(trailers)))
        lines.append((draw(as_cased("Transfer-Encoding")), " ", draw(as_cased("chunked")), "\t"))
    is_chunked = framing == "chunked" and version == "1.1"
    expects = draw(st.sampled_from([False, False, True]))
    if expects:
        lines.append(("Expect", " ", draw(as_cased("100-continue")), ""))

    lines = draw(st.permutations(lines))
    head = f"{target.method} {target.text} HTTP/{version}\r\n".encode() + lines_of(lines) + b"\r\n"
    return SentRequest(
        draw(st.sampled_from([b"", b"", b"\r\n"])) + head + content, target.method, target.text, version, target.path,
        target.query_string, authority or "", pairs_of(lines), is_chunked, body, pairs_of(trailers),
        persists(options, version), expects and version == "1.1" and (is_chunked or bool(body)))


def pipelines(max_size: int = 4) -> SearchStrategy[list[SentRequest]]:
    """Requests to send one behind the other; `Connection: close` stops no parser, only a connection."""
    return st.lists(requests(), min_size=1, max_size=max_size)


# Responses

def statuses() -> SearchStrategy[int]:
    """The status of a final response (RFC 9110 §15), those that change the framing more often than others; or 101."""
    return st.sampled_from([200, 200, 200, 101, 204, 205, 206, 304, 404, 503]) | st.integers(200, 599)


def reasons() -> SearchStrategy[str]:
    """A reason phrase (RFC 9112 §4), which may be empty."""
    return st.one_of(st.sampled_from(["OK", "", "Not Found", "\xe9t\xe9", "a\tb", "  spaces  ", ":", "HTTP/1.1 200"]),
                     st.text(VISIBLE_CHARACTERS + " \t", max_size=6))


def status_line(status: int, reason: str, version: str) -> bytes:
    """A status line with its line end."""
    return f"HTTP/{version} {status} {reason}\r\n".encode("latin-1")


@composite
def interims(draw: DrawFn) -> tuple[bytes, SentInterim]:
    """An interim response, and what it means."""
    status = draw(st.sampled_from([100, 102, 103, 199]))
    reason = draw(reasons())
    lines = draw(written_fields(field_names(), 2))
    return (status_line(status, reason, "1.1") + lines_of(lines) + b"\r\n",
            SentInterim(status, reason, pairs_of(lines)))


class Framing(NamedTuple):
    """How a body is delimited: by which fields, what goes behind the head, and what that means."""

    lines: list[tuple[str, str, str, str]]
    content: bytes = b""
    body: bytes = b""
    trailers: Pairs = ()
    chunked: bool = False
    ends_with_connection: bool = False


@composite
def framings(draw: DrawFn, method: str, status: int, version: str) -> Framing:
    """What may follow the head of a response (RFC 9112 §6.3)."""
    if status in (101, 204) or (method == "CONNECT" and 200 <= status <= 299):
        return Framing([])
    length = (draw(as_cased("Content-Length")), draw(whitespace()))
    coding = (draw(as_cased("Transfer-Encoding")), draw(whitespace()), draw(as_cased("chunked")), draw(whitespace()))
    if method == "HEAD" or status == 304:
        # RFC 9110 §8.6, RFC 9112 §6.1: they may say how the content that they do not have would come.
        announced = draw(st.sampled_from(["", "0", "5", "007", "123456789012", "chunked"]))
        if announced == "chunked" and version == "1.1":
            return Framing([coding])
        return Framing([(*length, announced, "")] if announced.isdecimal() else [])
    # RFC 9110 §15.3.6: there is no content behind 205, but it has to be delimited.
    pieces = [] if status == 205 else draw(st.lists(bodies(), max_size=3))
    body = b"".join(pieces)
    kind = draw(st.sampled_from(["counted", "chunked", "until close"]))
    if kind == "until close":
        return Framing([], body, body, ends_with_connection=True)
    if kind == "counted" or version == "1.0":
        return Framing([(*length, draw(st.sampled_from(["%d", "0%d"])) % len(body), " ")], body, body)
    trailers = draw(written_fields(field_names(), 2))
    return Framing([coding], draw(chunked(pieces, lines_of(trailers))), body, pairs_of(trailers), chunked=True)


def exchanges(switches: bool | None) -> SearchStrategy[tuple[str, int]]:
    """The method of a request and the status of its response; see `responses`."""
    methods = st.sampled_from(["GET", "GET", "POST", "HEAD", "CONNECT", "OPTIONS"])
    if switches:
        # Drawn on purpose: filtered out of all, they would be one in six.
        return st.tuples(methods, st.just(101)) | st.tuples(st.just("CONNECT"), st.integers(200, 299))
    pairs = st.tuples(methods, statuses())
    return pairs if switches is None else pairs.filter(lambda pair: not _switches(*pair))


def _switches(method: str, status: int) -> bool:
    return status == 101 or (method == "CONNECT" and 200 <= status <= 299)


@composite
def responses(draw: DrawFn, switches: bool | None = None) -> SentResponse:
    """A valid response: any status, any framing that it may have, interim ones before it, with whatever fields.

    Args:
        switches: whether another protocol begins behind it; None for any response.
    """
    method, status = draw(exchanges(switches))
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"])) if status != 101 else "1.1"
    reason = draw(reasons())
    # RFC 9110 §15.2: HTTP/1.0 has none.
    before = draw(st.lists(interims(), max_size=2)) if version == "1.1" else []
    lines = draw(written_fields(field_names(), 4))
    options = "upgrade" if status == 101 else draw(connection_options())
    if options:
        lines.append((draw(as_cased("Connection")), " ", options, ""))
    if status == 101:
        lines.append(("Upgrade", " ", "websocket", ""))
    framing = draw(framings(method, status, version))
    lines = draw(st.permutations([*lines, *framing.lines]))
    raw = b"".join([raw for raw, _ in before]) + status_line(status, reason, version) + lines_of(lines) + b"\r\n"
    sent = SentResponse(
        raw + framing.content, method, status, reason, version, pairs_of(lines), framing.chunked, framing.body,
        framing.trailers, framing.ends_with_connection, persists(options, version), tuple([seen for _, seen in before]))
    return sent._replace(keep_alive=sent.keep_alive and not sent.ends_with_connection and not sent.switches)


def response_pipelines(max_size: int = 4) -> SearchStrategy[list[SentResponse]]:
    """Responses to send one behind the other: only the last may end with the connection, or switch protocols."""
    delimited = responses(switches=False).filter(lambda sent: not sent.ends_with_connection)
    return st.builds(lambda before, last: [*before, last], st.lists(delimited, max_size=max_size - 1), responses())


# What breaks them, and what cuts them

#: Pieces that have fooled parsers, put anywhere.
POISONS = [
    b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b"\0", b" ", b"\t", b"\x0b", b"\x0c", b"\x7f",
    b"\x85", b"\xa0", b":", b"::", b",", b";", b"%", b"%0", b"%00", b"%0d%0A", b"#", b"?", b"*", b"//", b"@", b"[",
    b"]", b'"', b"\\",
    b"0", b"-1", b"+1", b"0x10", b"1_0", b"Content-Length: 5\r\n", b"Content-Length: 6, 6\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding:\x0bchunked\r\n",
    b"Host: b\r\n", b"Host: a@b\r\n", b" folded: x\r\n", b"Expect: 200-ok\r\n", b"Connection: close\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"0\r\n\r\n", b"5\r\nabcde\r\n", b"HTTP/1.1", b"HTTP/2.0", b"a" * 50,
    b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 \r\n\r\n"]


@composite
def mutations(draw: DrawFn, raw: bytes) -> bytes:
    """`raw` after one to three accidents, each at any place: the ways in which peers and attackers break a message.

    Up to twelve bytes are lost, doubled or swapped with the rest; one byte is changed; the end is cut off; the
    next line end is made another one (bare LF, bare CR, CR CR LF, none); or one of `POISONS` is put in:
    a control byte, a second framing field, half of a chunk, a whole message.

    Nothing is said of what comes of it: it may even be valid still, or mean something else. So test with
    it what must hold for any bytes: that a program says the same however they are cut (`cuts`), that it ends,
    that it raises nothing but what it promises, that two programs which both accept them read the same::

        @given(requests().flatmap(lambda sent: mutations(sent.raw)))
        def test_whatever_is_broken_the_server_answers_or_closes(raw):
            ...
    """
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        to = draw(st.integers(at, min(len(raw), at + 12)))
        match draw(st.sampled_from(["poison", "poison", "lose", "change", "double", "cut off", "line end", "move"])):
            case "poison":
                raw = raw[:at] + draw(st.sampled_from(POISONS)) + raw[at:]
            case "lose":
                raw = raw[:at] + raw[to:]
            case "change":
                raw = raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1:]
            case "double":
                raw = raw[:to] + raw[at:to] + raw[to:]
            case "cut off":
                raw = raw[:at]
            case "line end":
                before, _, behind = raw[at:].partition(b"\r\n")
                other = draw(st.sampled_from([b"\n", b"\r", b"\n\r", b"\r\r\n", b""]))
                raw = raw[:at] + before + other + behind
            case "move":
                raw = raw[:at] + raw[to:] + raw[at:to]
    return raw


@composite
def streams(draw: DrawFn) -> bytes:
    """Bytes that a client might send: good, broken, or noise."""
    return draw(good_or_not(b"".join(sent.raw for sent in draw(pipelines(2)))))


@composite
def response_streams(draw: DrawFn) -> tuple[str, bytes]:
    """Bytes that a server might send to answer a request, good, broken, or noise; before them the method of that."""
    sent = draw(responses())
    return sent.method, draw(good_or_not(sent.raw))


def good_or_not(raw: bytes) -> SearchStrategy[bytes]:
    """`raw` as it is, more often broken, or something else altogether."""
    noise = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(POISONS), max_size=12).map(b"".join))
    return st.sampled_from([st.just(raw), *[mutations(raw)] * 3, noise]).flatmap(lambda chosen: chosen)


@composite
def cuts(draw: DrawFn, raw: bytes) -> list[bytes]:
    """`raw` in up to nine pieces, none of them empty, cut anywhere."""
    places = sorted(draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=8)))
    return [piece for piece in cut_at(raw, places) if piece]


def limits() -> SearchStrategy[Limits]:
    """Limits: the defaults, or so small that nearly every message meets them."""
    return st.one_of(st.just(Limits()), st.builds(
        Limits, request_line=st.integers(1, 60), head=st.integers(4, 120), fields=st.integers(0, 5),
        body=st.integers(0, 60), chunk_line=st.integers(1, 12), chunk_overhead=st.integers(0, 12),
        interim=st.integers(0, 2)))


def cut_at(raw: bytes, places: Sequence[int]) -> list[bytes]:
    """`raw` cut at `places`, which ascend."""
    return [raw[start:stop] for start, stop in zip([0, *places], [*places, len(raw)], strict=True)]


def byte_by_byte(raw: bytes) -> list[bytes]:
    """`raw` cut at every byte."""
    return [raw[i:i + 1] for i in range(len(raw))]
