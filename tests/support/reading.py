"""What a parser reads in bytes, as plain tuples that compare; and what it must read in a message that was made."""

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
Parser = RequestParser | ResponseParser


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
    return read_from(RequestParser(heads), pieces, eof)


def read_responses(pieces: Iterable[bytes], methods: Sequence[str] = ("GET",),
                   heads: ResponseHeadParser | Limits | None = None, eof: bool = True) -> list[Seen]:
    """As `read`, of the answers to requests of these methods, which were all sent beforehand."""
    return read_from(awaiting(methods, heads), pieces, eof)


def awaiting(methods: Iterable[str], heads: ResponseHeadParser | Limits | None = None) -> ResponseParser:
    """A parser that waits for the answers to these methods."""
    parser = ResponseParser(heads)
    for method in methods:
        parser.expect(method)
    return parser


def read_from(parser: Parser, pieces: Iterable[bytes], eof: bool = True) -> list[Seen]:
    """As `read`, of this parser."""
    return list(joined(_to_the_end(parser, _fed(parser, pieces, eof))))


def read_fast(pieces: Iterable[bytes], heads: HeadParser | Limits | None = None, eof: bool = True) -> list[Seen]:
    """As `read`, by a parser that is driven as a server drives it: with `feed_request` and `next_request`."""
    parser = RequestParser(heads)
    return list(joined(_to_the_end(parser, _fed_fast(parser, pieces, eof))))


def read_late(parser: Parser, pieces: Iterable[tuple[bytes, int]]) -> list[Seen]:
    """As `read_from`, but after each piece the parser is asked only so many times; at the end, for all the rest."""
    return list(joined(_to_the_end(parser, _fed_faster(parser, pieces))))


def _to_the_end(parser: Parser, events: Generator[Seen, None, Pause]) -> Iterator[Seen]:
    try:
        pause = yield from events
    except ProtocolError as error:
        yield told_of(error)
    else:
        yield pause.name, parser.pending


def _fed(parser: Parser, pieces: Iterable[bytes], eof: bool) -> Generator[Seen, None, Pause]:
    pause: Pause = NEED_DATA
    for piece in pieces:
        parser.feed(piece)
        pause = yield from _pulled(parser)
    if eof:
        parser.feed_eof()
        pause = yield from _pulled(parser)
    return pause


def _fed_fast(parser: RequestParser, pieces: Iterable[bytes], eof: bool) -> Generator[Seen, None, Pause]:
    pause: Pause = NEED_DATA
    for piece in pieces:
        yield from _whole(parser.feed_request(piece))
        pause = yield from _pulled_fast(parser)
    if eof:
        parser.feed_eof()
        pause = yield from _pulled_fast(parser)
    return pause


def _pulled_fast(parser: RequestParser) -> Generator[Seen, None, Pause]:
    while True:
        while (head := parser.next_request()) is not None:
            yield from _whole(head)
        if isinstance(event := parser.next_event(), Pause):
            return event
        yield seen(event)


def _whole(head: RequestHead | None) -> list[Seen]:
    """The events of a request that was returned as a whole."""
    return [seen(head), ("end", ())] if head is not None else []


def _fed_faster(parser: Parser, pieces: Iterable[tuple[bytes, int]]) -> Generator[Seen, None, Pause]:
    for piece, times in pieces:
        parser.feed(piece)
        for _ in range(times):
            if not isinstance(event := parser.next_event(), Pause):
                yield seen(event)
            assert parser.has_pending() == (parser.pending > 0)
    parser.feed_eof()
    return (yield from _pulled(parser))


def _pulled(parser: Parser) -> Generator[Seen, None, Pause]:
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


def told_of(error: ProtocolError) -> Seen:
    return "error", error.status, error.rule, error.offset


def joined(events: Iterable[Seen]) -> Iterator[Seen]:
    """The same, where data that follows data is one."""
    data = b""
    for event in events:
        if event[0] == "data":
            # Not `assert`: the fuzzer, too, reads with this, and may run under `python -O`.
            if not isinstance(event[1], bytes) or not event[1]:
                raise AssertionError("an event is of empty data")
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
