#!/usr/bin/env python3
"""How fast the parser is alone, beside h11 and httptools: one process, one thread, no socket.

    python load/parser_bench.py [--rounds N] [--quick] [--json FILE]

All three end with the same things in hand: method, target, path, query and version as `str`, the
fields as pairs of `str`, whether to keep the connection, and the body as the bytes that came. Before
the clock starts they read the same bytes, and what they read must be equal. Each does it in the way
that is fastest for it:

* Ours: one parser for all requests, one cache of lines and heads for the whole run, as in a server, and
  `feed_request`, as a server calls it.
* h11: a new `Connection` for each request. Keeping one costs more, because it has to be given an answer
  before its next cycle starts. Its bytes are decoded; the row "events alone" has ours and h11 without
  anything done to their events.
* httptools: one parser for all requests, Python callbacks, `parse_url` for path and query.

No target here has a percent sign, so nobody decodes any. The collector of garbage is as it is by default.

The cases:

* "new heads": a GET with the 10 fields that a browser sends. In each request the request line, `Referer`,
  `Cookie` and `X-Request-ID` are new, never seen before in the run; the others (`Host`, `User-Agent`,
  `Connection`, three of `Accept`, `Upgrade-Insecure-Requests`) repeat.
* "small POST": a form of 60 bytes with the 11 fields that a browser sends with one. The form, `Referer`
  and `Cookie` are new each time, the request line and the other fields repeat. Head and form come in one piece.
* "same head again": one and the same GET of "new heads".
* "1 MiB chunked": chunks of 4 KiB, fed in pieces of 64 KiB.
* "bytes copied": of a counted body of 1 MiB fed in pieces of 64 KiB, the part that came out in another
  object than it was fed in, by the byte. What is fed together with the head is copied once.

The three take turns within a round, and who begins changes; medians of the rounds are printed. The clock is
that of the process, and a turn takes hundredths of a second, so that other work on the machine changes
little. A ratio above 1 says that ours is faster than the one before it. Bar is what a ratio has to reach, aim what
it should; of the bytes copied, what they must not pass.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

try:
    import h11
    import httptools
except ImportError as error:
    sys.exit(f"This compares with h11 and httptools, and {error.name} is missing: pip install 'evloop-http[test]'")

from evloop_http.http1 import NEED_DATA, BodyData, HeadParser, RequestHead, RequestParser

#: A request as it is fed.
Pieces = Sequence[bytes]
#: Method, target, path, query, version, fields, whether to keep the connection, body
Message = tuple[str, str, str, str, str, list[tuple[str, str]], bool, list[bytes]]
Reader = Callable[[Iterable[Pieces], Callable[[Any], object]], None]

PIECE = 64 * 1024
BODY = 1024 * 1024
HEADS = HeadParser()
#: One for each request of the run; the same head again is number 1.
NUMBERS = itertools.count(2)


# What is read

BROWSER = """\
Host: shop.example.com\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r
Accept-Language: en-US,en;q=0.5\r
Accept-Encoding: gzip, deflate, br, zstd\r
Connection: keep-alive\r
"""


def browser_lines(number: int) -> str:
    """The field lines of the browser's request of this number, of which it says `Referer` and `Cookie` for once."""
    session = f"{number * 2654435761 % 2**32:08x}{number:08x}"
    return (f"{BROWSER}Referer: https://shop.example.com/items/{number - 1}\r\n"
            f"Cookie: session={session}; theme=dark\r\n")


def new_head(number: int) -> Pieces:
    return [(f"GET /items/{number}?page={number % 7}&q=red+shoes HTTP/1.1\r\n{browser_lines(number)}"
             f"Upgrade-Insecure-Requests: 1\r\nX-Request-ID: {number:032x}\r\n\r\n").encode()]


def same_head(number: int) -> Pieces:
    return SAME


def small_post(number: int) -> Pieces:
    form = f"item={number:09}&size=42&colour=red&amount=1&note=as+a+present"
    return [(f"POST /basket HTTP/1.1\r\n{browser_lines(number)}Content-Type: application/x-www-form-urlencoded\r\n"
             f"Content-Length: {len(form)}\r\nOrigin: https://shop.example.com\r\n\r\n{form}").encode()]


def chunked(number: int) -> Pieces:
    return CHUNKED


def upload(*fields: bytes) -> bytes:
    return b"\r\n".join([b"POST /up HTTP/1.1", b"Host: a", *fields, b"", b""])


def cut(raw: bytes) -> Pieces:
    return [raw[start:start + PIECE] for start in range(0, len(raw), PIECE)]


SAME = new_head(1)
CHUNKED = cut(upload(b"Transfer-Encoding: chunked") + b"1000\r\n%b\r\n" % (b"x" * 4096) * (BODY // 4096) + b"0\r\n\r\n")
COUNTED = upload(b"Content-Length: %d" % BODY)


# Who reads it

def read_with_ours(requests: Iterable[Pieces], keep: Callable[[Message], object]) -> None:
    parser = RequestParser(HEADS)
    head: RequestHead
    for pieces in requests:
        body: list[bytes] = []
        for piece in pieces:
            if (whole := parser.feed_request(piece)) is not None:
                keep(our_message(whole, body))
                continue
            while (event := parser.next_event()) is not NEED_DATA:
                if type(event) is RequestHead:
                    head = event
                elif type(event) is BodyData:
                    body.append(event.data)
                else:
                    keep(our_message(head, body))


def our_message(head: RequestHead, body: list[bytes]) -> Message:
    return (head.method, head.target, head.path, head.query_string, head.version, head.headers.pairs(),
            head.keep_alive, body)


def read_with_h11(requests: Iterable[Pieces], keep: Callable[[Message], object]) -> None:
    head: h11.Request
    for pieces in requests:
        connection = h11.Connection(h11.SERVER)
        body: list[bytes] = []
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if type(event) is h11.Request:
                    head = event
                elif type(event) is h11.Data:
                    body.append(event.data)
                else:
                    keep(message_of(head, connection.their_state is h11.DONE, body))
                    break  # the next event would be h11.PAUSED


def message_of(head: h11.Request, keep_alive: bool, body: list[bytes]) -> Message:
    target = head.target.decode("ascii")
    path, _, query = target.partition("?")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items()]
    return (head.method.decode("ascii"), target, path, query, head.http_version.decode("ascii"), fields, keep_alive,
            body)


class Collector:
    """The callbacks of httptools."""

    def __init__(self, keep: Callable[[Message], object]) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.keep = keep

    def on_message_begin(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        parser = self.parser
        url = httptools.parse_url(self.target)
        self.head = (parser.get_method().decode("ascii"), self.target.decode("ascii"), url.path.decode("ascii"),
                     url.query.decode("ascii") if url.query else "", parser.get_http_version())
        self.keep_alive = parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.keep((*self.head, self.fields, self.keep_alive, self.body))


def read_with_httptools(requests: Iterable[Pieces], keep: Callable[[Message], object]) -> None:
    parser = Collector(keep).parser
    for pieces in requests:
        for piece in pieces:
            parser.feed_data(piece)


def our_events(requests: Iterable[Pieces], keep: Callable[[object], object]) -> None:
    parser = RequestParser(HEADS)
    for pieces in requests:
        for piece in pieces:
            parser.feed(piece)
            while (event := parser.next_event()) is not NEED_DATA:
                keep(event)


def h11_events(requests: Iterable[Pieces], keep: Callable[[object], object]) -> None:
    for pieces in requests:
        connection = h11.Connection(h11.SERVER)
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                keep(event)
                if type(event) is h11.EndOfMessage:
                    break


READERS: dict[str, Reader] = {"ours": read_with_ours, "h11": read_with_h11, "httptools": read_with_httptools}
EVENTS: dict[str, Reader] = {"ours": our_events, "h11": h11_events}


# Whether they read the same

# Not among them: keep-alive with HTTP/1.0, which h11 closes after, and white space behind a value, which
# httptools keeps.
ODD = [[b"GET / HTTP/1.0\r\n\r\n"], [b"GET /?a HTTP/1.1\r\nHost: a\r\n\r\n"],
       [b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nx:\t z\r\nConnection: close\r\n\r\n"]]


def check() -> None:
    """Let all three read some of everything; end the program if they disagree.

    Each request three times: ours parses it, caches it the second time, and may then answer from the cache.
    """
    samples: list[Pieces] = [new_head(-1), new_head(-2), small_post(-1), CHUNKED, [COUNTED, *cut(b"x" * BODY)], *ODD]
    for pieces in samples:
        for _ in range(3):
            told = {name: told_by(reader, pieces) for name, reader in READERS.items()}
            for name in told:
                if told[name] != told["ours"]:
                    sys.exit(f"{name} and ours do not read the same in {pieces[0][:200]!r}")


def told_by(reader: Reader, pieces: Pieces) -> list[Message]:
    """What `reader` makes of one request, in one form: the body joined."""
    kept: list[Message] = []
    reader([pieces], kept.append)
    return [(*message[:-1], [b"".join(message[-1])]) for message in kept]


# How long it takes

class Case(NamedTuple):
    """What is read, by whom, how much of it, and what the ratios to the others have to be: bar and aim."""

    name: str
    make: Callable[[int], Pieces]
    amount: int  # of requests in a round
    wanted: Mapping[str, tuple[float, float]]
    octets: int = 0  # of body in each; with them the unit is MB/s
    readers: Mapping[str, Reader] = READERS


CASES = [
    Case("new heads", new_head, 1000, {"h11": (5, 8), "httptools": (0.45, 0.8)}),
    Case("new heads, events alone", new_head, 1000, {}, readers=EVENTS),
    Case("small POST", small_post, 1000, {}),
    Case("same head again", same_head, 1000, {"httptools": (3, 6)}),
    Case("1 MiB chunked", chunked, 10, {"h11": (3, 6)}, octets=BODY),
]


def measure(case: Case, rounds: int, part: int) -> dict[str, float]:
    """Seconds of the processor that each takes for a request: the median of rounds of a `part` of the amount."""
    seconds: dict[str, list[float]] = {name: [] for name in case.readers}
    count = case.amount // part
    for number in range(rounds):
        requests = [case.make(next(NUMBERS)) for _ in range(count)]
        names = list(case.readers)
        for name in names[number % len(names):] + names[:number % len(names)]:
            seconds[name].append(clocked(case.readers[name], requests) / count)
    return {name: statistics.median(times) for name, times in seconds.items()}


def clocked(reader: Reader, requests: Iterable[Pieces]) -> float:
    last: deque[Message] = deque(maxlen=1)  # a server does not keep what it has read either
    begin = time.process_time()
    reader(requests, last.append)
    return time.process_time() - begin


def copied(pieces: Pieces) -> float:
    """Of a counted body in these pieces, how much came out as another object than it was fed in."""
    parser = RequestParser()
    octets = 0
    for piece in pieces:
        parser.feed(piece)
        while (event := parser.next_event()) is not NEED_DATA:
            if type(event) is BodyData and event.data is not piece:
                octets += len(event.data)
    return octets / BODY


# What is said of it

class Row(NamedTuple):
    case: str
    unit: str
    figures: Mapping[str, float]
    ratios: Mapping[str, float]  # how many times as fast ours is
    wanted: Mapping[str, tuple[float, float]]


def row_of(case: Case, seconds: Mapping[str, float]) -> Row:
    ratios = {name: seconds[name] / seconds["ours"] for name in seconds if name != "ours"}
    if case.octets:
        return Row(case.name, "MB/s", {name: case.octets / 1e6 / each for name, each in seconds.items()}, ratios,
                   case.wanted)
    return Row(case.name, "µs", {name: each * 1e6 for name, each in seconds.items()}, ratios, case.wanted)


AT_MOST = {"ours": (1, 0)}


def copies() -> list[Row]:
    body = b"x" * BODY
    return [Row("bytes copied", "per byte", {"ours": copied([COUNTED, *cut(body)])}, {}, AT_MOST),
            Row("bytes copied, head and body", "per byte", {"ours": copied(cut(COUNTED + body))}, {}, AT_MOST)]


HEADINGS = ("case", "unit", "ours", "bar (aim)", "h11", "ratio", "bar (aim)", "httptools", "ratio", "bar (aim)")
WIDTHS = (28, 9, 7, 10, 7, 7, 10, 10, 7, 12)


def line(words: Iterable[str]) -> str:
    return "".join(word.ljust(width) for word, width in zip(words, WIDTHS, strict=True)).rstrip()


def cells(row: Row) -> list[str]:
    found = [row.case, row.unit, figure(row.figures["ours"]), bar(row, "ours")]
    for name in ("h11", "httptools"):
        found += [figure(row.figures.get(name)), figure(row.ratios.get(name)), bar(row, name)]
    return found


def bar(row: Row, name: str) -> str:
    return "{:g} ({:g})".format(*row.wanted[name]) if name in row.wanted else ""


def figure(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}" if number >= 100 else f"{number:.2f}"


def save(path: Path, rounds: int, rows: Iterable[Row]) -> None:
    path.write_text(json.dumps({
        "python": platform.python_version(), "h11": version("h11"), "httptools": version("httptools"),
        "rounds": rounds, "rows": [row._asdict() for row in rows]}, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description="How fast the parser is alone, beside h11 and httptools.")
    options.add_argument("--rounds", type=int, default=50, metavar="N", help="rounds of each case (50)")
    options.add_argument("--quick", action="store_true", help="a tenth of the requests, 3 rounds: does it run at all?")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = options.parse_args()
    rounds, part = (3, 10) if given.quick else (max(1, given.rounds), 1)
    check()
    print(f"CPython {platform.python_version()}, h11 {version('h11')}, httptools {version('httptools')}; "
          f"medians of {rounds} rounds")
    print(line(HEADINGS))
    rows = []
    for case in CASES:
        rows.append(row_of(case, measure(case, rounds, part)))
        print(line(cells(rows[-1])), flush=True)
    for row in copies():
        rows.append(row)
        print(line(cells(row)))
    if given.json:
        save(given.json, rounds, rows)


if __name__ == "__main__":
    main()
