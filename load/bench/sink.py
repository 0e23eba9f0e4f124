"""A client that throws away what it gets: sink.py PORT TARGET SECONDS CONNS

wrk reads 8 KiB at a time and parses what it reads, so with large files it is at its limit before the server is. Here a
body is discarded by the kernel (tcp(7), MSG_TRUNC), which costs the client next to nothing; that it is the right one
has been checked before. Each connection asks again when it has all of it.

It prints one line of JSON.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable

from .checking import connect
from .figures import percentiles
from .workloads import BYTES, MIB, Ask, request_bytes

_HEAD = re.compile(rb"HTTP/1\.1 200 .*?\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
#: How a chunked body ends; its answer is the last thing on the connection, so nothing comes behind it.
_END = b"0\r\n\r\n"


class Sink:
    """One connection. The end of a chunked body has to be looked for, so that one is not discarded unseen."""

    def __init__(self, port: int, request: bytes) -> None:
        self.sock = connect(port, tls=False)
        self.sock.setblocking(False)
        self.request = request
        self.octets = 0
        self.times: list[float] = []
        self._buffer = bytearray(MIB)
        self._ask()

    def _ask(self) -> None:
        self._asked = time.monotonic()
        self._read: Callable[[], tuple[int, bool]] = self._read_head
        self._left = 0
        self._tail = b""
        self.sock.send(self.request)

    def on_readable(self) -> None:
        """Take what there is.

        Raises:
            OSError: the connection broke.
            ValueError: the answer is not what it should be.
        """
        got, is_whole = self._read()
        self.octets += got
        if is_whole:
            self.times.append(time.monotonic() - self._asked)
            self._ask()

    def _receive(self, most: int, flags: int = 0) -> int:
        got = self.sock.recv_into(self._buffer, most, flags)
        if not got:
            raise ConnectionResetError
        return got

    def _read_head(self) -> tuple[int, bool]:
        """The head, which ends within the first bytes or with a later piece; how much of the body came with it."""
        self._tail += self._buffer[:self._receive(2048)]
        found = _HEAD.match(self._tail)
        if found is None:
            if b"\r\n\r\n" in self._tail:
                raise ValueError("no 200")
            return 0, False
        body = self._tail[found.end():]
        if length := _LENGTH.search(found[0]):
            self._read = self._discard
            self._left = int(length[1]) - len(body)
            return len(body), self._left == 0
        if not _CHUNKED.search(found[0]):
            raise ValueError("a body without a length")
        self._read = self._look_for_end
        self._tail = body[-len(_END):]
        return len(body), self._tail == _END

    def _discard(self) -> tuple[int, bool]:
        got = self._receive(min(self._left, MIB), socket.MSG_TRUNC)
        self._left -= got
        return got, self._left == 0

    def _look_for_end(self) -> tuple[int, bool]:
        got = self._receive(MIB)
        self._tail = (self._tail + self._buffer[max(0, got - len(_END)):got])[-len(_END):]
        return got, self._tail == _END


def drain(port: int, target: str, seconds: float, conns: int) -> dict[str, object]:
    """Get as much as there is to be had in that time."""
    request = request_bytes(Ask(target, "static", BYTES))
    sinks = [Sink(port, request) for _ in range(conns)]
    errors: Counter[str] = Counter()
    start, used = time.monotonic(), time.process_time()
    with selectors.DefaultSelector() as selector:
        for sink in sinks:
            selector.register(sink.sock, selectors.EVENT_READ, sink)
        while selector.get_map() and (left := start + seconds - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                try:
                    key.data.on_readable()
                except BlockingIOError:
                    pass
                except (OSError, ValueError) as error:
                    errors["read" if isinstance(error, OSError) else "status"] += 1
                    selector.unregister(key.fileobj)
    taken = time.monotonic() - start
    for sink in sinks:
        sink.sock.close()
    times = [1000 * one for sink in sinks for one in sink.times]
    return {"requests": len(times) / taken, "octets": sum(sink.octets for sink in sinks) / taken,
            "latency": percentiles(times), "errors": dict(errors), "client": (time.process_time() - used) / taken}


def main() -> None:
    port, target, seconds, conns = sys.argv[1:]
    print(json.dumps(drain(int(port), target, float(seconds), int(conns))))


if __name__ == "__main__":
    main()
