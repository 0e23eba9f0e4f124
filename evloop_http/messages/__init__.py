"""The vocabulary: what every room says to every other.

A `Request` goes in, a `Response` comes out, and both carry `Headers`. These are plain values:
they know no socket, no clock and no loop, so that the parser, the connection, an application and
a test can all hold the same object.

    headers     Headers, MutableHeaders; what may stand in a field
    multidict   MultiDict: names that may have several values
    cached      cached_property: what is worked out when it is first asked for
    bodies      FileBody, Pipe: bodies that are not plain bytes
    request     RequestHead, Request, Peer
    response    ResponseHead, Response, Upgrade, HTTPError
    contract    Application, Observer: who asks whom, and for what
    switching   SwitchedProtocol, Channel: a connection after HTTP
    pending     Pending: an answer that comes later
    awaiting    what coroutines need; loads asyncio
    producing   bodies that a coroutine produces
    futures     whose a future is, and who waits for it
"""

from .bodies import PIPE_SIZE, Body, FileBody, FilePieces, Pipe, TooSlow, Transformed
from .contract import (
    FOLLOW,
    GATHER,
    STREAM,
    Answer,
    Answered,
    Application,
    ConnectionFacts,
    Contract,
    Observer,
    Preparation,
    PreparingApplication,
    StartUpFailed,
)
from .headers import (
    Field,
    Fields,
    Headers,
    HeaderSource,
    Index,
    MutableHeaders,
    index_fields,
    is_field_value,
    is_token,
    make_field,
)
from .multidict import MultiDict, parse_urlencoded
from .request import NOBODY, Origin, Peer, Request, RequestHead, TlsFacts, TlsPeer, printable
from .response import REASONS, HTTPError, Response, ResponseHead, Upgrade
from .switching import Channel, SwitchedProtocol

__all__ = ["FOLLOW", "GATHER", "NOBODY", "PIPE_SIZE", "REASONS", "STREAM", "Answer", "Answered", "Application", "Body",
           "Channel", "ConnectionFacts", "Contract", "Field", "Fields", "FileBody", "FilePieces", "HTTPError",
           "HeaderSource", "Headers", "Index", "MultiDict", "MutableHeaders", "Observer", "Origin", "Peer", "Pipe",
           "Preparation", "PreparingApplication", "Request", "RequestHead", "Response", "ResponseHead", "StartUpFailed",
           "SwitchedProtocol", "TlsFacts", "TlsPeer", "TooSlow", "Transformed", "Upgrade", "index_fields",
           "is_field_value", "is_token", "make_field", "parse_urlencoded", "printable"]
