"""What a parser says of bytes, as plain tuples that compare; and what it must say of a message that was made."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

from evloop_http.http1 import (
    CLOSED,
    NEED_DATA,
    BodyData,
    EndOfMessage,
    HeadParser,
    Limits,
    Pause,
    ProtocolError,
    RequestEvent,
    RequestHead,
    RequestParser,
    ResponseEvent,
    ResponseHead,
    ResponseHeadParser,
    ResponseParser,
)
from evloop_http.http1.strategies import SentRequest, SentResponse

#: One thing that the parser said, as `read` tells it: its kind, and what it carries.
Seen = tuple[object, ...]


def meant(sent: SentRequest) -> list[Seen]:
    """What `read` must tell of it."""
    length = None if sent.chunked else len(sent.body)
    head = ("head", sent.method, sent.target, sent.version, sent.path, sent.query_string, sent.authority,
            sent.fields, length, sent.keep_alive, sent.expects_continue)
    return [head, *([("data", sent.body)] if sent.body else []), ("end", sent.trailers)]


def meant_response(sent: SentResponse) -> list[Seen]:
    """What `read_responses` must tell of it."""
    length = None if sent.chunked or sent.ends_with_connection else len(sent.body)
    head = ("head", sent.status, sent.reason, sent.version, sent.fields, length, sent.ends_with_connection,
            sent.keep_alive)
    before = [("head", first.status, first.reason, "1.1", first.fields, 0, False, True) for first in sent.interim]
    return [*before, head, *([("data", sent.body)] if sent.body else []), ("end", sent.trailers)]


def read(pieces: Iterable[bytes], heads: HeadParser | Limits | None = None, eof: bool = True) -> list[Seen]:
    """Everything that a fresh parser says of `pieces`, asked after each; data joined, error or pause at the end."""
    return list(joined(_all_seen(pieces, RequestParser(heads), eof)))


def read_responses(pieces: Iterable[bytes], methods: Sequence[str] = ("GET",),
                   heads: ResponseHeadParser | Limits | None = None, eof: bool = True) -> list[Seen]:
    """As `read`, of the answers to requests of these methods, which were all sent beforehand."""
    parser = ResponseParser(heads)
    for method in methods:
        parser.expect(method)
    return list(joined(_all_seen(pieces, parser, eof)))


def _all_seen(pieces: Iterable[bytes], parser: RequestParser | ResponseParser, eof: bool) -> Iterator[Seen]:
    pause: Pause = NEED_DATA
    try:
        for piece in pieces:
            parser.feed(piece)
            pause = yield from _pulled(parser)
        if eof:
            parser.feed_eof()
            pause = yield from _pulled(parser)
    except ProtocolError as error:
        yield "error", error.status, error.rule, error.offset
    else:
        yield pause.name, parser.pending


def _pulled(parser: RequestParser | ResponseParser) -> Generator[Seen, None, Pause]:
    while not isinstance(event := parser.next_event(), Pause):
        yield seen(event)
    return event


def seen(event: RequestEvent | ResponseEvent) -> Seen:
    """One event as a tuple."""
    match event:
        case RequestHead():
            return ("head", event.method, event.target, event.version, event.path, event.query_string, event.authority,
                    tuple(event.headers.pairs()), event.content_length, event.keep_alive, event.expects_continue)
        case ResponseHead():
            return ("head", event.status, event.reason, event.version, tuple(event.headers.pairs()),
                    event.content_length, event.ends_with_connection, event.keep_alive)
        case BodyData():
            return "data", event.data
        case EndOfMessage():
            return "end", tuple(event.trailers.pairs())
        case _:
            return (event.name,)


def joined(events: Iterable[Seen]) -> Iterator[Seen]:
    """The same, where data that follows data is one."""
    data = b""
    for event in events:
        if event[0] == "data":
            assert isinstance(event[1], bytes)
            assert event[1], "no event is of empty data"
            data += event[1]
            continue
        if data:
            yield "data", data
            data = b""
        yield event
    if data:
        yield "data", data


#: How a reading ends that went well.
CLEAN_END: Seen = (CLOSED.name, 0)
