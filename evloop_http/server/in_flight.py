"""What a server waits for when it stops, in words for a terminal or a log.

Nothing here is as the client sent it: it is escaped, cut, and listed up to a bound, and the query is left out,
because it may contain secrets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple, Self

from ..messages import RequestHead, printable

#: Characters of a method or a path; the rest is cut off.
_LONGEST = 60
#: Paths that are named; the rest is counted.
_MOST_NAMES = 5


class InFlight(NamedTuple):
    """A request whose response has not been sent as a whole. It is safe to print."""

    #: such as `GET`
    method: str
    #: as the client sent it, without the query
    path: str
    #: `reading-body`, `handling` or `writing`, as in `Server.stats`
    state: str
    #: whether a thread works on the answer (of `threaded=True`, `stream=True` or an executor): nothing interrupts it
    in_thread: bool

    @classmethod
    def of(cls, head: RequestHead, state: str, in_thread: bool) -> Self:
        """Return what may be said of the request with this head."""
        return cls(_printable(head.method), _printable(head.target.partition("?")[0]), state, in_thread)


def _printable(text: str) -> str:
    text = printable(text[:_LONGEST + 1])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def describe(requests: Collection[InFlight]) -> str:
    """Return how many they are, how many of them are in threads, and the paths of those, or else of all."""
    in_threads = [request for request in requests if request.in_thread]
    count = f"{len(requests)} request{'s' if len(requests) != 1 else ''}"
    if in_threads:
        count = f"{count}, {len(in_threads)} in {'a thread' if len(in_threads) == 1 else 'threads'}"
    return f"{count}: {name_paths(in_threads or requests)}"


def name_paths(requests: Collection[InFlight]) -> str:
    """Return the paths, the commonest first, each once."""
    counts = Counter(request.path for request in requests)
    names = [path if times == 1 else f"{path} ({times} times)" for path, times in counts.most_common(_MOST_NAMES)]
    others = len(counts) - len(names)
    return ", ".join(names) + (f" and {others} other{'s' if others != 1 else ''}" if others else "")
