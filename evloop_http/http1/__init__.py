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

from ..messages import RequestHead
from .encoder import CONTINUE, WITHOUT_CONTENT, BodyEncoder, ResponseEncoder
from .head import HeadParser
from .parser import CLOSED, NEED_DATA, BodyData, EndOfMessage, Event, Pause, RequestParser
from .rules import Limits, ProtocolError, Rule

__all__ = ["CLOSED", "CONTINUE", "NEED_DATA", "WITHOUT_CONTENT", "BodyData", "BodyEncoder", "EndOfMessage", "Event",
           "HeadParser", "Limits", "Pause", "ProtocolError", "RequestHead", "RequestParser", "ResponseEncoder", "Rule"]
