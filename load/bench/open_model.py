"""Users who come at fixed times: the open model. open_model.py PORT RATE SECONDS CONNS [--tls]

A closed loop waits for a slow answer before it asks again, and so asks least while a server is stuck: the stall is
seen by one request for each connection, and the percentiles hide it. Here request number i is due i / RATE seconds
after the start, whatever became of those before it. It goes out on a connection that is free; if none is, it waits,
and its time runs. *Latency is counted from the moment at which it was due.*

What is not answered when all is over, is an error, and counts among the latencies with the time that it has waited.
The client must itself be on time: how late it was in noticing that a request was due is measured too.

It prints one line of JSON. `select` and not `epoll`: only that one can wait for parts of a millisecond.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import select
import socket
import ssl
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from .checking import client_context, connect
from .figures import percentile, percentiles
from .workloads import PING, request_bytes

#: Seconds that are waited for answers when the last request is out.
PATIENCE = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Schedule:
    """Which requests are due; times are seconds since the start."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.total = max(1, round(rate * seconds))
        self.rate = rate
        self.waiting: deque[float] = deque()
        self.late: list[float] = []
        self.latencies: list[float] = []
        self._next = 0

    def until_next(self, now: float) -> float | None:
        """Seconds until another is due; None after the last."""
        return max(0.0, self._next / self.rate - now) if self._next < self.total else None

    def admit(self, now: float) -> None:
        """Those that are due by now begin to wait."""
        while self._next < self.total and (due := self._next / self.rate) <= now:
            self.late.append(now - due)
            self.waiting.append(due)
            self._next += 1

    def answered(self, due: float, now: float) -> None:
        """One is done with."""
        self.latencies.append(now - due)

    @property
    def is_over(self) -> bool:
        """Whether all have been admitted and have an answer."""
        return len(self.latencies) >= self.total


class Line:
    """One connection and the request that is under way on it."""

    def __init__(self, port: int, tls: bool, context: ssl.SSLContext) -> None:
        self.port, self.tls, self.context = port, tls, context
        self.sock = self._open()
        self.due = 0.0
        self._received = b""

    def _open(self) -> socket.socket:
        sock = connect(self.port, self.tls, self.context)
        sock.setblocking(False)
        return sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Ask; the request is small and the line is empty, so it goes in one piece.

        Raises:
            OSError: the server has closed the connection.
        """
        if select.select([self.sock], [], [], 0)[0]:
            self._verify_open()
        self.due = due
        self._received = b""
        self.sock.send(request)

    def _verify_open(self) -> None:
        """What comes while nothing is asked is the end, or a session ticket of TLS 1.3, which is nobody's business."""
        try:
            if not self.sock.recv(1):
                raise ConnectionResetError
        except (BlockingIOError, ssl.SSLWantReadError):
            pass

    def receive(self) -> int | None:
        """The status of the answer if it is complete.

        Raises:
            OSError: the connection broke.
        """
        try:
            data = self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        if not data:
            raise ConnectionResetError
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return None
        return int(head[9:12])

    def reopen(self) -> None:
        """A new connection in the place of a broken one.

        Raises:
            OSError: there is none to be had.
        """
        self.sock.close()
        self.sock = self._open()


class Users:
    """All lines, driven by the schedule."""

    def __init__(self, lines: list[Line], schedule: Schedule, request: bytes,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.schedule, self.request, self.clock = schedule, request, clock
        self.lines = lines
        self.idle = list(lines)
        self.busy: set[Line] = set()
        self.errors: Counter[str] = Counter()

    def run(self) -> None:
        """Until all are answered, or nobody is patient any more."""
        start = self.clock()
        patience = self.schedule.total / self.schedule.rate + PATIENCE
        while not self.schedule.is_over:
            now = self.clock() - start
            if now > patience:
                self._give_up(now)
                return
            self.schedule.admit(now)
            while self.idle and self.schedule.waiting:
                self._send(self.idle.pop(), self.schedule.waiting.popleft(), start)
            wait = self.schedule.until_next(self.clock() - start)
            for line in select.select(self.busy, [], [], patience - now if wait is None else wait)[0]:
                self._receive(line, start)

    def _send(self, line: Line, due: float, start: float) -> None:
        try:
            line.send(self.request, due)
        except OSError:
            # Closed while it was idle, which is a server's right: once more, on a new connection.
            try:
                line.reopen()
                line.send(self.request, due)
            except OSError:
                self._fail(line, due, start, "connect")
                return
        self.busy.add(line)

    def _receive(self, line: Line, start: float) -> None:
        try:
            status = line.receive()
        except OSError:
            self._fail(line, line.due, start, "read")
            return
        if status is not None:
            self.schedule.answered(line.due, self.clock() - start)
            self.errors["status"] += status != 200
            self._rest(line)

    def _fail(self, line: Line, due: float, start: float, kind: str) -> None:
        self.errors[kind] += 1
        self.schedule.answered(due, self.clock() - start)
        try:
            line.reopen()
        except OSError:
            self.errors["connect"] += 1
            self.busy.discard(line)  # one line fewer
            return
        self._rest(line)

    def _rest(self, line: Line) -> None:
        self.busy.discard(line)
        self.idle.append(line)

    def _give_up(self, now: float) -> None:
        self.schedule.admit(now)
        for due in [*self.schedule.waiting, *(line.due for line in self.busy)]:
            self.errors["unanswered"] += 1
            self.schedule.answered(due, now)


def users(port: int, rate: float, seconds: float, conns: int, tls: bool) -> dict[str, object]:
    """Be the users; what they met, in milliseconds."""
    context = client_context()
    request = request_bytes(PING)
    lines = [Line(port, tls, context) for _ in range(conns)]
    made = Users(lines, Schedule(rate, seconds), request)
    try:
        made.run()
    finally:
        for line in lines:
            line.sock.close()
    return {"requests": made.schedule.total,
            "latency": percentiles(1000 * latency for latency in made.schedule.latencies),
            "late": 1000 * percentile(sorted(made.schedule.late), 99),
            "errors": {kind: number for kind, number in made.errors.items() if number}}


def be_precise() -> None:
    """Wake up when asked and not up to 50 µs later (prctl(2), PR_SET_TIMERSLACK); a kernel without it is as it is."""
    import ctypes
    try:
        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass
    gc.disable()


def main() -> None:
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name)
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("conns", type=int)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    be_precise()
    try:
        print(json.dumps(users(options.port, options.rate, options.seconds, options.conns, options.tls)))
    except OSError as error:
        sys.exit(f"no connection: {error}")


if __name__ == "__main__":
    main()
