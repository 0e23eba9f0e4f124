"""Thousands of listeners to server-sent events, and how long it takes until the last one has heard one.

Each listener is one connection that has asked for `/events`. Another connection asks for `/tell/N`, which has an event
sent to all of them. A listener only looks for the text of the event in what it receives, so that ten thousand of them
cost less than those who send to them. It looks every few milliseconds and never waits in between for what comes: to
wake it would be the server's expense, again and again, and the more the slower that is.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, cast

from .apps.events import event_bytes
from .checking import Answer, connect, difference, normal_type, read_answer
from .figures import median
from .idle import FIRST, SPARE, raise_limit
from .running import Trouble
from .workloads import LISTEN, TEXT, Ask, Workload, request_bytes

#: Seconds: for all connections to be made, and for an event to reach everybody.
CONNECTING, HEARING = 60.0, 20.0
#: Events at least, however long they take.
LEAST = 3
#: Seconds between two of them, in which the server comes to rest; and between two looks.
PAUSE, LOOKS = 0.05, 0.002
_HEAD = 16 * 1024


class Heard(NamedTuple):
    """What came of it.

    Args:
        times: milliseconds of each event, from the request that tells it until the last listener has it.
        resident: KiB of the server for each listener.
        used: milliseconds of the server's processor time for each event.
        lost: listeners that were cut off.
    """

    times: list[float]
    resident: float
    used: float
    lost: int


def tell_ask(number: int) -> Ask:
    """The request that has an event told."""
    return Ask(f"/tell/{number}", "sse", TEXT, answer=b"told")


def listener(port: int) -> tuple[socket.socket, bytes]:
    """Return a connection that listens, and what has come behind the head already.

    Raises:
        Trouble: the answer is no stream of events.
        OSError: there is none.
    """
    client = connect(port, tls=False)
    try:
        client.sendall(request_bytes(LISTEN))
        received = b""
        while b"\r\n\r\n" not in received:
            piece = client.recv(_HEAD)
            received += piece
            if not piece or len(received) > _HEAD:
                raise Trouble("did not answer a listener")
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content_type = fields.get("content-type", "").partition(";")[0]
        if not first.startswith("HTTP/1.1 200") or content_type != LISTEN.type or "content-length" in fields:
            raise Trouble(f"answers differently: {first!r} with {content_type!r} to a listener")
        return client, rest
    except BaseException:
        client.close()
        raise


def tell(client: socket.socket, number: int) -> None:
    """Ask for an event, without waiting for the answer."""
    client.sendall(request_bytes(tell_ask(number)))


def told(client: socket.socket) -> None:
    """Read the answer of the one who tells.

    Raises:
        Trouble: it is another one.
    """
    with client.makefile("rb", buffering=0) as file:
        answer = read_answer(cast(IO[bytes], file), b"told")
    wanted = Answer(200, normal_type(TEXT), b"told", True)
    if answer != wanted:
        raise Trouble(difference(answer, wanted))


def check(workload: Workload, port: int, files: Path) -> None:
    """See that a listener hears what is told, byte for byte.

    Raises:
        Trouble: it does not.
    """
    wanted = b"".join(event_bytes(f"-{number}") for number in (1, 2))
    try:
        first, received = listener(port)
        with first, connect(port, tls=False) as teller:
            for number in (-1, -2):
                tell(teller, number)
                told(teller)
            first.settimeout(HEARING)
            with contextlib.suppress(TimeoutError):
                while len(unchunked(received)) < len(wanted) and (piece := first.recv(_HEAD)):
                    received += piece
            found = unchunked(received)
            if found != wanted:
                raise Trouble(f"answers differently: a listener hears {found[:60]!r}")
    except OSError as error:
        raise Trouble(f"no answer: {type(error).__name__} {error}".strip()) from None


def unchunked(received: bytes) -> bytes:
    """Return the body as far as its chunks are whole; comments (the heartbeats of a stream) are left out."""
    body = b""
    while received:
        size, end, rest = received.partition(b"\r\n")
        if not end or len(rest) < int(size, 16) + 2:
            break
        body += rest[:int(size, 16)]
        received = rest[int(size, 16) + 2:]
    return body.replace(b":\n\n", b"")


class Crowd:
    """All who listen. `hear` is their only loop."""

    def __init__(self, opened: contextlib.ExitStack, port: int) -> None:
        self._opened, self._port = opened, port
        self._poll = opened.enter_context(select.epoll())
        self._clients: dict[int, socket.socket] = {}
        self._tails: dict[int, bytes] = {}
        self.lost = 0

    def grow(self, count: int) -> None:
        """Have so many more listen.

        Raises:
            Trouble: they are not let in.
        """
        until = time.monotonic() + CONNECTING
        for _ in range(count):
            if time.monotonic() > until:
                raise Trouble(f"has let in {len(self._clients)} listeners after {CONNECTING:.0f} s")
            try:
                client = self._opened.enter_context(listener(self._port)[0])
            except OSError as error:
                raise Trouble(f"does not answer with {len(self._clients)} listeners: {error}") from None
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)

    def hear(self, mark: bytes) -> None:
        """Read until everybody has the mark.

        Raises:
            Trouble: somebody has not, for too long.
        """
        waiting = set(self._clients)
        until = time.monotonic() + HEARING
        while waiting:
            time.sleep(LOOKS)
            events = self._poll.poll(0, len(self._clients))
            for fd, _ in events:
                if self._has(fd, mark):
                    waiting.discard(fd)
            if waiting and time.monotonic() >= until:
                raise Trouble(f"{len(waiting)} listeners have not heard an event after {HEARING:.0f} s")

    def _has(self, fd: int, mark: bytes) -> bool:
        """Read what there is for one. Return True if it has the mark, or is lost."""
        try:
            piece = self._clients[fd].recv(4096)
        except OSError:
            piece = b""
        if mark in piece:
            return True
        if not piece:
            self.lost += 1
            self._poll.unregister(fd)
            del self._clients[fd]  # closed in the end
            return True
        tail = self._tails.get(fd, b"") + piece
        self._tails[fd] = tail[-len(mark):]
        return mark in tail


def listen(port: int, count: int, seconds: float, resident: Callable[[], float],
           used: Callable[[], float]) -> Heard:
    """Have `count` clients listen, and tell them events for so many seconds.

    Raises:
        Trouble: they could not all be made, or have not heard.
    """
    if (limit := raise_limit(count + FIRST + SPARE)) < count + FIRST + SPARE:
        raise Trouble(f"needs {count + FIRST + SPARE} open files, and the system allows {limit} (ulimit -n)")
    times: list[float] = []
    with contextlib.ExitStack() as opened:
        crowd = Crowd(opened, port)
        teller = opened.enter_context(connect(port, tls=False))
        crowd.grow(FIRST)
        before = resident()
        crowd.grow(count)
        start, used_before = time.monotonic(), used()
        while len(times) < LEAST or time.monotonic() < start + seconds:
            number = len(times)
            asked = time.monotonic()
            tell(teller, number)
            crowd.hear(event_bytes(str(number)).rstrip())
            times.append(1000 * (time.monotonic() - asked))
            told(teller)
            time.sleep(PAUSE)
        spent = 1000 * (used() - used_before) / len(times)
        return Heard(times, (resident() - before) / count, spent, crowd.lost)


def middle(heard: Heard) -> float:
    """The event that is told of: the median."""
    return median(heard.times) or 0.0
