"""Connections that were answered once and wait: what each costs the server in memory."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable

from .running import Trouble
from .workloads import PING, request_bytes

#: Descriptors that the process needs beside those of the clients.
SPARE = 64
#: Seconds for one answer, and for all.
TIMEOUT, AT_MOST = 10.0, 60.0
#: Clients that are there before the memory is looked at for the first time: what is made once is made then.
FIRST = 100


def raise_limit(wanted: int = 0) -> int:
    """Allow as many descriptors as the system does, to us and to the servers that we start.

    Args:
        wanted: how many are needed; where the system allows fewer, it is asked for these, which only root may do.

    Returns:
        How many there may be.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def growth(port: int, count: int, resident: Callable[[], float]) -> float:
    """What each of `count` idle connections adds to the memory of the server, in KiB.

    Raises:
        Trouble: they could not all be made, or were not all kept.
    """
    if (limit := raise_limit(count + FIRST + SPARE)) < count + FIRST + SPARE:
        raise Trouble(f"needs {count + FIRST + SPARE} open files, and the system allows {limit} (ulimit -n)")
    request = request_bytes(PING)
    with contextlib.ExitStack() as opened:
        kept: list[socket.socket] = []
        until = time.monotonic() + AT_MOST

        def more(number: int) -> None:
            for _ in range(number):
                if time.monotonic() > until:
                    raise Trouble(f"has answered {len(kept)} connections after {AT_MOST:.0f} s")
                kept.append(opened.enter_context(answered(port, request, len(kept) - FIRST)))

        more(FIRST)
        before = resident()
        more(count)
        after = resident()
        lost = sum(map(is_closed, kept))
        if lost:
            raise Trouble(f"closed {lost} of {count} idle connections")
    return (after - before) / count


def answered(port: int, request: bytes, held: int) -> socket.socket:
    """A connection whose request was answered.

    Raises:
        Trouble: it was not.
    """
    try:
        client = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        client.sendall(request)
        received = b""
        while not received.endswith(b"pong"):
            data = client.recv(65536)
            if not data:
                raise ConnectionResetError("closed")
            received += data
        return client
    except OSError as error:
        raise Trouble(f"does not answer with {max(held, 0)} idle connections: {error}") from None


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended it."""
    client.setblocking(False)
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
