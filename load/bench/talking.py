"""Clients of WebSockets, each of which waits for its message to come back: talking.py PORT TARGET SIZE SECONDS CONNS

What a client sends is made once, masked as the standard demands (RFC 6455 §5.3), and what must come back is known to
the byte, so that a message costs the client one `recv`, a comparison and one `send`. No client reads a frame otherwise.

It prints `ready` when all have shaken hands, and one line of JSON at the end.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from pathlib import Path

from .checking import TIMEOUT, WARM_UP, connect
from .figures import percentiles
from .running import Trouble
from .workloads import Workload

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Bytes of an answer to a handshake, at most.
_HEAD = 16 * 1024
#: Every how many messages one is timed, which costs the client something.
_TIMED = 8


def frame(first: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Return a frame (RFC 6455 §5.2), masked if there is a mask of four bytes."""
    size, marked = len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes([first, marked | size])
    elif size < 1 << 16:
        head = bytes([first, marked | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, marked | 127]) + size.to_bytes(8, "big")
    return head + mask + (masked(payload, mask) if mask else payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return the payload under a mask, or what was under it."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def text_of(size: int) -> bytes:
    """A text of so many bytes."""
    words = b"The quick brown fox jumps over the lazy dog. "
    return (words * (size // len(words) + 1))[:size]


def shake_hands(port: int, target: str) -> socket.socket:
    """Return a connection that is a WebSocket (RFC 6455 §4.1), without any extension.

    Raises:
        Trouble: the answer is another.
        OSError: there is none.
    """
    key = base64.b64encode(os.urandom(16))
    client = connect(port, tls=False)
    try:
        client.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % (target.encode(), key))
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # nothing follows it before we have spoken
            piece = client.recv(_HEAD)
            head += piece
            if not piece or len(head) > _HEAD:
                raise Trouble("did not answer the handshake of a WebSocket")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
            raise Trouble(f"answers differently: {head.partition(bytes([13]))[0]!r} to the handshake of a WebSocket")
        return client
    except BaseException:
        client.close()
        raise


def expect(client: socket.socket, wanted: bytes, what: str) -> None:
    """Read exactly that.

    Raises:
        Trouble: it is something else.
        OSError: the connection broke.
    """
    found = b""
    while len(found) < len(wanted) and (piece := client.recv(len(wanted) - len(found))):
        found += piece
    if found != wanted:
        raise Trouble(f"answers differently: {found[:20]!r} is no {what}")


def check(workload: Workload, port: int, files: Path) -> None:
    """See that a server echoes, in frames of the same bytes as the others, answers pings, and closes as it should.

    Raises:
        Trouble: it does not.
    """
    mask, text = os.urandom(4), text_of(workload.size)
    until = time.monotonic() + WARM_UP
    try:
        with shake_hands(port, workload.ask.target) as client:
            while True:
                client.sendall(frame(TEXT, text, mask))
                expect(client, frame(TEXT, text), "echo")
                if time.monotonic() >= until:
                    break
            client.sendall(frame(PING, b"here?", mask))
            expect(client, frame(PONG, b"here?"), "pong")
            client.sendall(frame(CLOSE, b"\x03\xe8", mask))
            expect(client, frame(CLOSE, b"\x03\xe8"), "closing frame with 1000")
            expect(client, b"", "end")
    except OSError as error:
        raise Trouble(f"no answer: {type(error).__name__} {error}".strip()) from None


class Talker:
    """One connection, which waits for one message at a time."""

    def __init__(self, port: int, target: str, text: bytes) -> None:
        self.sock = shake_hands(port, target)
        self.sock.settimeout(TIMEOUT)  # of a message that the kernel does not take at once
        self.sent, self.wanted = frame(TEXT, text, os.urandom(4)), frame(TEXT, text)
        self.count = 0
        self.times: list[float] = []
        self._asked = 0.0
        self._received = b""

    def say(self) -> None:
        if not self.count % _TIMED:
            self._asked = time.monotonic()
        self.sock.sendall(self.sent)

    def on_readable(self) -> None:
        """Take what there is of an echo, and say it again when it is whole.

        Raises:
            OSError: the connection broke.
            ValueError: something else came back.
        """
        found = self.sock.recv(65536)
        if self._received:
            found = self._received + found
        if found != self.wanted:
            if not found or not self.wanted.startswith(found) or found is self._received:
                raise (ValueError if found else ConnectionResetError)
            self._received = found
            return
        self._received = b""
        if not self.count % _TIMED:
            self.times.append(time.monotonic() - self._asked)
        self.count += 1
        self.say()


def talk(port: int, target: str, size: int, seconds: float, conns: int) -> dict[str, object]:
    """Have as many messages sent back as can be in that time."""
    talkers = {one.sock.fileno(): one for one in (Talker(port, target, text_of(size)) for _ in range(conns))}
    errors: Counter[str] = Counter()
    print("ready", flush=True)
    start, used = time.monotonic(), time.process_time()
    with select.epoll() as poll:
        for fd, talker in talkers.items():
            poll.register(fd, select.EPOLLIN)
            talker.say()
        open_ones = len(talkers)
        while open_ones and (left := start + seconds - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                try:
                    talkers[fd].on_readable()
                except (OSError, ValueError) as error:
                    errors["read" if isinstance(error, OSError) else "message"] += 1
                    poll.unregister(fd)
                    open_ones -= 1
    taken, used = time.monotonic() - start, time.process_time() - used
    for talker in talkers.values():
        talker.sock.close()
    times = [1000 * one for talker in talkers.values() for one in talker.times]
    return {"messages": sum(talker.count for talker in talkers.values()), "seconds": taken,
            "latency": percentiles(times), "errors": dict(errors), "client": used / taken}


def main() -> None:
    port, target, size, seconds, conns = sys.argv[1:]
    print(json.dumps(talk(int(port), target, int(size), float(seconds), int(conns))))


if __name__ == "__main__":
    main()
