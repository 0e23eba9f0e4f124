"""Every rule of HTTP/1.1 that a peer can break, and the limits of what is accepted.

Being generous with framing helps only attackers: requests are smuggled where two programs on one path
read the same bytes as different messages. So whatever breaks the grammar is refused, with the status that
RFC 9110 gives it and a sentence that names the rule, and the rest of that stream is not parsed. No sentence
repeats a byte that the peer sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Rule(NamedTuple):
    """A rule, where it is written, and the status for breaking it."""

    status: int
    section: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.section}: {self.sentence}"


# Lines
LINE_END = Rule(400, "RFC 9112 §2.2", "a line ends with CRLF, and neither CR nor LF stands alone")
INCOMPLETE = Rule(400, "RFC 9112 §8", "the connection ended within a message")

# The request line
REQUEST_LINE = Rule(400, "RFC 9112 §3", "a request line is method, target and version, with one space between them")
METHOD = Rule(400, "RFC 9110 §9.1", "a method is a token")
TARGET = Rule(400, "RFC 9112 §3.2", "the request target is malformed")
PERCENT = Rule(400, "RFC 3986 §2.1", "a percent sign is followed by two hexadecimal digits")
PATH_CONTROL = Rule(400, "RFC 3986 §7.3", "a path has no NUL, CR or LF, percent-encoded or not")
VERSION_FORM = Rule(400, "RFC 9112 §2.3", "a version is HTTP/ and two digits with a dot between them")
VERSION = Rule(505, "RFC 9110 §15.6.6", "the versions spoken here are HTTP/1.1 and HTTP/1.0")
TARGET_LONG = Rule(414, "RFC 9112 §3", "the request line is too long")

# The status line, and the responses as a whole; 502 is what a proxy answers that received such a response
STATUS_LINE = Rule(502, "RFC 9112 §4", "a status line is version, status and reason, with one space between them")
STATUS_LINE_LONG = Rule(502, "RFC 9112 §4", "the status line is too long")
UNASKED = Rule(502, "RFC 9112 §9.2", "a response belongs to a request")
INTERIM_MANY = Rule(502, "RFC 9110 §15.2", "there are too many interim responses")

# Header fields
HEAD_LONG = Rule(431, "RFC 6585 §5", "the header fields are too large")
FIELDS_MANY = Rule(431, "RFC 6585 §5", "there are too many header fields")
FIELD_LINE = Rule(400, "RFC 9112 §5", "a field line is a name, a colon and a value")
FIELD_FOLD = Rule(400, "RFC 9112 §5.2", "a field line is not folded")
FIELD_SPACE = Rule(400, "RFC 9112 §5.1", "no whitespace between field name and colon")
FIELD_NAME = Rule(400, "RFC 9110 §5.1", "a field name is a token")
FIELD_VALUE = Rule(400, "RFC 9110 §5.5", "a field value has no control characters")
FIELD_SINGLE = Rule(400, "RFC 9110 §5.3", "a field that is not a list occurs once")
HOST_MISSING = Rule(400, "RFC 9112 §3.2", "a request has a Host field")
HOST_FORM = Rule(400, "RFC 9110 §7.2", "Host is a host and, if any, a port")
EXPECT = Rule(417, "RFC 9110 §10.1.1", "the only expectation is 100-continue")

# Framing
LENGTH_FORM = Rule(400, "RFC 9110 §8.6", "Content-Length is decimal digits")
LENGTH_AND_CODING = Rule(400, "RFC 9112 §6.1", "Content-Length and Transfer-Encoding exclude each other")
CODING_UNKNOWN = Rule(501, "RFC 9112 §6.1", "the only transfer coding understood is chunked")
CODING_FINAL = Rule(400, "RFC 9112 §6.3", "the final transfer coding is chunked, applied once")
CODING_1_0 = Rule(400, "RFC 9112 §6.1", "HTTP/1.0 has no Transfer-Encoding")
BODY_LARGE = Rule(413, "RFC 9110 §15.5.14", "the content is too large")

# Chunks
CHUNK_SIZE = Rule(400, "RFC 9112 §7.1", "a chunk size is hexadecimal digits")
CHUNK_EXTENSION = Rule(400, "RFC 9112 §7.1.1", "a chunk extension is a semicolon, a name and, if any, a value")
CHUNK_END = Rule(400, "RFC 9112 §7.1", "a chunk's data is followed by CRLF")
CHUNK_LINE_LONG = Rule(400, "RFC 9112 §7.1.1", "a chunk's size line is too long")
CHUNK_OVERHEAD = Rule(400, "RFC 9112 §7.1.1", "the chunks carry too little beside their own framing")


class ProtocolError(Exception):
    """The peer broke a rule; its stream cannot be read any further.

    Attributes:
        status: the status to answer with (400, 413, 414, 417, 431, 501 or 505; 502 if a response was read).
        rule: the rule, with its RFC section.
        message: the rule's sentence alone, fit for an answer.
        offset: bytes of the stream before the place where the rule was broken.
        method: the method of the request that broke it, as far as it can be read: the answer to a `HEAD` has no
            content (RFC 9110 §9.3.2), not even if it is a refusal. Empty if unknown, and if a response was read.
            The peer chose it, so it is in no sentence.
    """

    def __init__(self, rule: Rule, offset: int = 0) -> None:
        super().__init__(rule, offset)
        self.status = rule.status
        self.rule = str(rule)
        self.message = rule.sentence
        self.offset = offset
        self.method = ""

    @property
    def sentence(self) -> str:
        """The rule and where it is written, as a sentence for the peer."""
        return f"{self.message[0].upper()}{self.message[1:]} ({self.rule.partition(':')[0]})."

    def copy(self) -> ProtocolError:
        """Return an equal error that was never raised: it has no traceback, so keeping it keeps no frames alive."""
        error = ProtocolError(self.args[0], self.offset)
        error.status = self.status
        error.method = self.method
        return error

    def __str__(self) -> str:
        return f"{self.status}: {self.rule} (at byte {self.offset})"

    def __repr__(self) -> str:
        return f"<ProtocolError {self}>"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each thing is accepted, in bytes unless said otherwise; a message beyond a limit is refused."""

    #: the request line, or the status line of a response. 414 beyond it
    request_line: int = 8 * 1024
    #: start line and header fields; also the trailer section. 431 beyond it
    head: int = 32 * 1024
    #: fields, not bytes. 431 beyond it
    fields: int = 100
    #: content after the transfer coding is undone. 413 beyond it
    body: int = 10 * 1024 * 1024
    #: what all connections of a server may hold together when the body of one more is gathered: bodies, and responses
    #: that wait for their clients. Beyond it, the newest request whose body is still arriving gets 503. (It
    #: means nothing for a parser.)
    gathered: int = 256 * 1024 * 1024
    #: a chunk's size and extensions. 400 beyond it
    chunk_line: int = 256
    #: what all chunks of a body may cost beyond 16 bytes each and twice their data (after Go's net/http):
    #: extensions are allowed, abuse is not. 400 beyond it
    chunk_overhead: int = 16 * 1024
    #: interim responses (1xx), not bytes, before the final one
    interim: int = 16
