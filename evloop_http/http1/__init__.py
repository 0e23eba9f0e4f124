"""HTTP/1.1 without input or output: bytes in, events out; answers in, bytes out.

This room knows no socket, clock, file or log. It can be used for itself::

    from evloop_http.http1 import NEED_DATA, RequestParser

    parser = RequestParser()
    parser.feed(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    while (event := parser.next_event()) is not NEED_DATA:
        print(event)

In reading order: `rules` (every rule that a peer can break, and the limits), `head` (one head),
`body` (where a body ends, and its two codings), `parser` (the stream), `encoder` (the way back).
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
