"""The vocabulary: what every room says to every other.

A `Request` goes in, a `Response` comes out, and both carry `Headers`. These are plain values:
they know no socket, no clock and no loop, so that the parser, the connection, an application and
a test can all hold the same object.

    headers     Headers, MutableHeaders; what may stand in a field
    multidict   MultiDict: names that may have several values
    bodies      bodies of responses that are not bytes
    request     RequestHead, Request
    response    ResponseHead, Response, HTTPError
"""

from .bodies import NOT_YET, Body, FileBody, PushedBody
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
from .request import Request, RequestHead
from .response import REASONS, HTTPError, Response, ResponseHead

__all__ = ["NOT_YET", "REASONS", "Body", "Field", "Fields", "FileBody", "HTTPError", "HeaderSource", "Headers", "Index",
           "MultiDict", "MutableHeaders", "PushedBody", "Request", "RequestHead", "Response", "ResponseHead",
           "index_fields", "is_field_value", "is_token", "make_field", "parse_urlencoded"]
