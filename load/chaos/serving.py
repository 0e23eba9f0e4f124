"""The process of the server: `python -m chaos.serving FOLDER`.

It prints where it listens. For each line that it reads it prints its levels: how much it holds of everything that
it must let go again. When its input ends, it stops. What it logs goes to its standard error, except for the
failures that handlers mean, so that nothing should be there.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from evloop_http import READ, Pipe, Reactor, Server, Timeouts, tls_context
from evloop_http.messages import Request, Response

from .application import FAILING, POOLED, Listeners, make_application

#: The server's deadlines, in seconds, short so that they are met.
TIMEOUTS = Timeouts(handshake=3, head=2, body=2, handler=2, write=2, idle=2, linger=0.5)
#: A client that was quicker than this has met none of them.
SHORTEST = 2.0
#: What is counted of the objects in memory. A request holds its body, a pipe what it has not passed on.
COUNTED = (Request, Response, Pipe)


def main() -> None:
    """Serve until the standard input ends."""
    folder = Path(sys.argv[1])
    logging.getLogger().addHandler(Complaints())
    # Up to Python 3.11, `SSLContext.wrap_socket` does not itself close what it has made of a socket that is reset just
    # then. It is closed all the same, when nobody refers to it any more: descriptors are counted.
    warnings.filterwarnings("ignore", "unclosed <ssl.SSLSocket", ResourceWarning)
    with Listeners() as listeners:
        server = Server(make_application(folder / "files", listeners), reactor=Reactor(), timeouts=TIMEOUTS)
        server.listen()
        server.listen(tls=tls_context(folder / "cert.pem", folder / "key.pem"))
        Control(server, listeners)
        print(json.dumps([address[1] for address in server.addresses]), flush=True)
        server.run(grace=0)
        server.reactor.close()


class Control:
    """Answers the process that started this one, on the server's own loop."""

    def __init__(self, server: Server, listeners: Listeners) -> None:
        self._server = server
        self._listeners = listeners
        server.reactor.register(sys.stdin.fileno(), READ, self._on_ready)

    def _on_ready(self, events: int) -> None:
        asked = os.read(sys.stdin.fileno(), 100)
        for _ in range(asked.count(b"\n")):
            print(json.dumps(self._levels()), flush=True)
        if not asked:
            self._server.reactor.unregister(sys.stdin.fileno())
            self._server.stop(grace=0)

    def _levels(self) -> dict[str, int]:
        """Return how much there is of everything that comes and goes."""
        gc.collect()
        objects = Counter(kind.__name__ for thing in gc.get_objects() for kind in COUNTED if isinstance(thing, kind))
        reactor, stats = self._server.reactor, self._server.stats()
        return {
            **{f"connections {name}": count for name, count in _numbers(stats["open"]).items()},
            **{f"objects {kind.__name__}": objects[kind.__name__] for kind in COUNTED},
            "bytes held": int(str(stats["bytes_held"])),
            "blocks": sys.getallocatedblocks(),
            "connections": self._server.connections,
            "descriptors": len(os.listdir("/proc/self/fd")),
            "listeners": len(self._listeners),
            "memory": int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(),
            "registrations": reactor.registrations,
            **_threads(),
            "timers": reactor.timers,
        }


def _threads() -> dict[str, int]:
    """Return how many threads there are beside those of the pools, and how many the pools have too many of.

    A pool starts threads when it needs them, and keeps them: fewer than its bound are no fault.
    """
    pooled = sum(thread.name.startswith("evloop_http.") for thread in threading.enumerate())
    return {"threads": threading.active_count() - pooled, "threads too many": max(0, pooled - POOLED)}


def _numbers(counts: Any) -> dict[str, int]:
    return dict(counts)


class Complaints(logging.StreamHandler[Any]):
    """Writes down what was logged, unless a handler has meant it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.addFilter(lambda record: record.levelno >= logging.WARNING and not is_meant(record))


def is_meant(record: logging.LogRecord) -> bool:
    """Return whether a record is of a handler that fails on purpose."""
    words = record.getMessage().split(" ", 2)
    return (record.name.startswith("evloop_http.") and record.exc_info is not None and len(words) == 3
            and words[1].partition("?")[0] in FAILING)


if __name__ == "__main__":
    main()
