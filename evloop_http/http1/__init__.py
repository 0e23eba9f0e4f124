r"""HTTP/1.1 without input or output: bytes in, events out; messages in, bytes out.

This room knows no socket, clock, file or log. It can be used alone, on either side of a connection.

**Reading.** `RequestParser` reads what a client sends, `ResponseParser` what a server sends. `feed(data)`
accepts bytes as they arrive, cut anywhere; `feed_eof()` notes that no more will. `next_event()` returns one
event at a time: a `RequestHead` or `ResponseHead`, any number of `BodyData`, an `EndOfMessage` with the
trailers. Where there is no event it returns a pause: `NEED_DATA` (feed more), `CLOSED` (the peer has finished,
between messages) or `SWITCHED` (no more HTTP on this connection).

    >>> from evloop_http.http1 import RequestParser
    >>> parser = RequestParser()
    >>> parser.feed(b"POST /a?b HTTP/1.1\r\nHost: c\r\nContent-Length: 5\r\n\r\nhel")
    >>> parser.next_event(), parser.next_event(), parser.next_event()
    (<RequestHead POST /a?b HTTP/1.1>, <BodyData 3 bytes>, <Pause.NEED_DATA: 'feed more'>)
    >>> parser.feed(b"lo" + b"GET / HTTP/1.1\r\nHost : c\r\n\r\n")
    >>> parser.next_event(), parser.next_event()
    (<BodyData 2 bytes>, <EndOfMessage>)
    >>> parser.next_event()
    Traceback (most recent call last):
    evloop_http.http1.rules.ProtocolError: 400: RFC 9112 §5.1: no whitespace between field name and colon (at byte 71)

A server may call `feed_request(data)` in place of `feed`: it returns the head if `data` is one request without
a body, the commonest case, and then no event follows for it. `next_request()` does the same for the next
request of a pipeline. Both return None in every other case, and `next_event()` goes on.

A `ResponseParser` must know of each request (`expect(method)`), because what follows the head of a response
depends on it; `awaited` counts those not answered yet. A head that `is_interim` (100, 103) has nothing behind
it; the final one follows. After 101, or a `CONNECT` that succeeded, `next_event()` returns `SWITCHED`;
`detach()` returns the bytes that followed. With a `RequestParser`, `detach()` is the way to leave HTTP.

A head says with `keep_alive` whether another message may follow. To heed that is up to the caller: the parsers
read on, but behind a request with `Connection: close` a server must not process another one, and behind such a
response a client must not send one (RFC 9112 §9.6).

**Writing.** `RequestEncoder` and `ResponseEncoder` make bytes: `encode` of a message whose body is bytes,
`start` of one whose body is sent in pieces. The `BodyEncoder` that `start` returns has `encode` for each
piece and `finish(trailers)` for the end. A body of another length than was announced is refused with a
`RuntimeError` or `ValueError`. `CONTINUE` is the answer to `Expect: 100-continue`, and `encode_upgrade` makes
the 101 (to `CONNECT`, the 200) that ends HTTP on the connection.

    >>> from evloop_http.http1 import RequestEncoder, ResponseParser
    >>> head, body = RequestEncoder().start("POST", "/", {"Host": "a"})
    >>> head + body.encode(b"hello") + body.finish({"Digest": "z"})
    b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: z\r\n\r\n'
    >>> parser = ResponseParser()
    >>> parser.expect("POST")
    >>> parser.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" + b"HTTP/1.1 204 No Content\r\n\r\n")
    >>> parser.next_event(), parser.next_event(), parser.next_event()
    (<ResponseHead 103>, <ResponseHead 204>, <EndOfMessage>)

**Limits.** `Limits` says how much of everything is accepted; a parser receives them, or a `HeadParser`
(`ResponseHeadParser`) that contains them. Connections that share one share its caches. What is beyond a limit
is refused, never cut off. A `ResponseParser` does not bound bodies unless it receives limits.

In reading order: `rules` (every rule that a peer can break, and the limits), `target` (what a request line
asks for), `fields` (field lines), `head` (one head), `body` (where a body ends, and how it is decoded),
`stream` (what both parsers share), `parser` (the two streams), `encoder` (the way back), `strategies`
(messages to test with; they need hypothesis, and nothing here imports them).

The rules
=========

A peer that breaks a rule ends its stream with a `ProtocolError`: `status` is the status to answer with, `rule`
the section and the sentence, `offset` the byte of the stream, `method` that of the request (the answer to a
`HEAD` has no content). No sentence repeats what the peer sent. These are all the rules there are. In a response
every one of them has the status 502, which is what a proxy answers to its client; and a folded line is unfolded
there, as RFC 9112 §5.2 demands of clients, unless it is the first.

Lines:
    400  RFC 9112 §2.2      a line ends with CRLF, and neither CR nor LF stands alone
    400  RFC 9112 §8        the connection ended within a message

The request line:
    400  RFC 9112 §3        a request line is method, target and version, with one space between them
    400  RFC 9110 §9.1      a method is a token
    400  RFC 9112 §3.2      the request target is malformed
    400  RFC 3986 §2.1      a percent sign is followed by two hexadecimal digits
    400  RFC 3986 §7.3      a path has no NUL, CR or LF, percent-encoded or not
    400  RFC 9112 §2.3      a version is HTTP/ and two digits with a dot between them
    505  RFC 9110 §15.6.6   the versions spoken here are HTTP/1.1 and HTTP/1.0
    414  RFC 9112 §3        the request line is too long

The status line, and the responses as a whole; 502 is what a proxy answers that received such a response:
    502  RFC 9112 §4        a status line is version, status and reason, with one space between them
    502  RFC 9112 §4        the status line is too long
    502  RFC 9112 §9.2      a response belongs to a request
    502  RFC 9110 §15.2     there are too many interim responses

Header fields:
    431  RFC 6585 §5        the header fields are too large
    431  RFC 6585 §5        there are too many header fields
    400  RFC 9112 §5        a field line is a name, a colon and a value
    400  RFC 9112 §5.2      a field line is not folded
    400  RFC 9112 §5.1      no whitespace between field name and colon
    400  RFC 9110 §5.1      a field name is a token
    400  RFC 9110 §5.5      a field value has no control characters
    400  RFC 9110 §5.3      a field that is not a list occurs once
    400  RFC 9112 §3.2      a request has a Host field
    400  RFC 9110 §7.2      Host is a host and, if any, a port
    417  RFC 9110 §10.1.1   the only expectation is 100-continue

Framing:
    400  RFC 9110 §8.6      Content-Length is decimal digits
    400  RFC 9112 §6.1      Content-Length and Transfer-Encoding exclude each other
    501  RFC 9112 §6.1      the only transfer coding understood is chunked
    400  RFC 9112 §6.3      the final transfer coding is chunked, applied once
    400  RFC 9112 §6.1      HTTP/1.0 has no Transfer-Encoding
    413  RFC 9110 §15.5.14  the content is too large

Chunks:
    400  RFC 9112 §7.1      a chunk size is hexadecimal digits
    400  RFC 9112 §7.1.1    a chunk extension is a semicolon, a name and, if any, a value
    400  RFC 9112 §7.1      a chunk's data is followed by CRLF
    400  RFC 9112 §7.1.1    a chunk's size line is too long
    400  RFC 9112 §7.1.1    the chunks carry too little beside their own framing
"""

from ..messages import RequestHead, ResponseHead
from .encoder import CONTINUE, WITHOUT_CONTENT, BodyEncoder, RequestEncoder, ResponseEncoder
from .head import HeadParser, ResponseHeadParser
from .parser import RequestEvent, RequestParser, ResponseEvent, ResponseParser
from .rules import Limits, ProtocolError, Rule
from .stream import CLOSED, NEED_DATA, SWITCHED, BodyData, EndOfMessage, Pause

__all__ = ["CLOSED", "CONTINUE", "NEED_DATA", "SWITCHED", "WITHOUT_CONTENT", "BodyData", "BodyEncoder", "EndOfMessage",
           "HeadParser", "Limits", "Pause", "ProtocolError", "RequestEncoder", "RequestEvent", "RequestHead",
           "RequestParser", "ResponseEncoder", "ResponseEvent", "ResponseHead", "ResponseHeadParser", "ResponseParser",
           "Rule"]
