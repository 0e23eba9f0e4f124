"""One non-blocking socket and the bytes that it has not taken yet.

What a transport tells its owner, and nothing more:

    on_open()         bytes can flow (at once here; after the handshake over TLS)
    on_data(data)     bytes came; at most one `recv` a wake, so that everybody gets a turn
    on_eof()          the peer will send no more; it may well be reading still
    on_room()         the queue has shrunk below the low-water mark: produce more
    on_drained()      the queue is empty
    on_progress()     the socket took some of what was queued
    on_lost()         the socket is gone; nothing more will be told

*Try, then wait.* `write` hands the bytes to the socket at once, queues what it does not take,
and only then asks to be told of room. `hold` queues without trying: several pipelined answers
then leave in one `sendmsg`.

*Half closed is not closed.* EOF says that no more bytes come, and a peer that half-closes after
its request waits for the answer. We stop listening for it (EOF stays readable for ever) and go on
sending.

What is listened for is worked out in one place, `settle`, at the end of a wake, and the reactor
is told only what differs. Whoever changes `reading` from elsewhere, a timer or a thread's answer,
calls `settle` behind it.

The errors of the net end here: an `OSError` becomes `on_lost`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from typing import BinaryIO, Protocol, TypeVar

from .reactor import READ, WRITE, Reactor

logger = logging.getLogger("evloop_http.server")

Found = TypeVar("Found", bytes, int)

#: A `recv` takes at most this much.
READ_SIZE = 64 * 1024
#: A producer is told to wait above the first and to go on below the second (bytes).
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
#: Bytes sent from the queue in one wake; then others have their turn.
WRITE_BUDGET = 1024 * 1024
#: A `sendmsg` takes at most this many pieces (IOV_MAX is 1024 nearly everywhere).
_MOST_PIECES = 64


class Owner(Protocol):
    """Who is told what happens to a transport."""

    def on_open(self) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_eof(self) -> None: ...
    def on_room(self) -> None: ...
    def on_drained(self) -> None: ...
    def on_progress(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_plaintext(self) -> None: ...


class FileSpan:
    """Part of an open file, waiting in the queue to be sent."""

    __slots__ = ("file", "left", "offset")

    def __init__(self, file: BinaryIO, offset: int, left: int) -> None:
        self.file = file
        self.offset = offset
        self.left = left

    def __len__(self) -> int:
        return self.left

    def advance(self, sent: int) -> None:
        self.offset += sent
        self.left -= sent

    def read(self, size: int) -> bytes:
        """The next bytes, without moving.

        Raises:
            OSError: there are none: the file is shorter than it was.
        """
        return self._some(os.pread(self.file.fileno(), min(size, self.left), self.offset))

    def send(self, sock: socket.socket) -> int:
        """Have the kernel send the next bytes; how many the socket took.

        Raises:
            OSError: as `read`, and what `sendfile` says.
        """
        return self._some(os.sendfile(sock.fileno(), self.file.fileno(), self.offset, min(self.left, WRITE_BUDGET)))

    def _some(self, found: Found) -> Found:
        """What was found; nothing is an error, for the length has been announced."""
        if not found:
            logger.error("%s has shrunk while it was sent; the connection is closed", self.file.name)
            raise OSError("the file has shrunk while it was sent")
        return found


class Transport:
    """A connected socket on a reactor."""

    __slots__ = ("_interest", "_owner", "_queue", "_reactor", "_sock", "at_eof", "client", "reading", "secure", "sent")

    _would_block: tuple[type[OSError], ...] = (BlockingIOError, InterruptedError)

    def __init__(self, sock: socket.socket, reactor: Reactor, client: str = "") -> None:
        """Take over a connected socket.

        Args:
            client: the peer's address, as `accept` gave it.

        Raises:
            OSError: the socket is dead already; it is left to the caller.
        """
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            # Without it a second small write waits for the ACK of the first: 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._reactor = reactor
        self._owner: Owner = _NOBODY
        self._queue: list[memoryview | FileSpan] | tuple[()] = ()
        self._interest = 0
        self.client = client
        #: whether nobody on the way can read along
        self.secure = False
        #: whether the owner wants `on_data`; see `settle`
        self.reading = True
        self.at_eof = False
        #: bytes that the socket has taken
        self.sent = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fd {self._sock.fileno()}, {self.queued} bytes queued"
        return f"<{type(self).__name__} {self.client} {state}>"

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    @property
    def queued(self) -> int:
        """Bytes that the socket has not taken yet."""
        return sum(map(len, self._queue))

    def open(self, owner: Owner) -> None:
        """Begin: from now on `owner` is told."""
        self._owner = owner
        self._begin()
        self.settle()

    def _begin(self) -> None:
        self._owner.on_open()

    def look(self) -> None:
        """Tell the owner of what has come by now, and not only when the selector says so: for one about to close."""
        self._on_ready(READ | WRITE)

    # Being told by the reactor

    def _on_ready(self, events: int) -> None:
        if self._queue and events & WRITE:
            self._on_writable()
        if self.reading and events & READ:
            try:
                data = self._sock.recv(READ_SIZE)
            except self._would_block:
                return
            except OSError:
                self._lose()
                return
            if data:
                self._owner.on_data(data)
            else:
                self._end_of_stream()
        if self._interest != (READ if self.reading else 0) or self._queue:
            self.settle()

    def _end_of_stream(self) -> None:
        self.at_eof = True
        self._owner.on_eof()
        self.settle()  # EOF stays readable for ever

    def _on_writable(self) -> None:
        before = self.sent
        queued = self.queued
        if not self._flush() and self.closed:
            return
        if self.sent > before:
            self._owner.on_progress()
        if not self._queue:
            self._owner.on_drained()
        elif self.queued <= LOW_WATER < queued:
            self._owner.on_room()

    def settle(self) -> None:
        """Listen for what is wanted now, and tell the reactor where that differs from before."""
        if self.closed:
            return
        wanted = self._wanted()
        if wanted == self._interest:
            return
        if not self._interest:
            self._reactor.register(self._sock, wanted, self._on_ready)
        elif not wanted:
            self._reactor.unregister(self._sock)
        else:
            self._reactor.modify(self._sock, wanted, self._on_ready)
        self._interest = wanted

    def _send_refused(self, refusal: OSError) -> None:
        """There is no room to send. (TLS learns here what it has to wait for.)"""

    def _wanted(self) -> int:
        return (READ if self.reading and not self.at_eof else 0) | (WRITE if self._queue else 0)

    # Sending

    def write(self, data: bytes) -> bool:
        """Send `data` behind what is queued.

        Returns:
            Whether nothing is left in the queue. If not, `on_drained` is told one day.
        """
        if self._queue:
            self.hold(data)
            return self.flush()
        try:
            sent = self._sock.send(data)
        except self._would_block as refusal:
            self._send_refused(refusal)
            sent = 0
        except OSError:
            self._lose()
            return False
        self.sent += sent
        if sent == len(data):
            return True
        self._queue = [memoryview(data)[sent:]]
        return False

    def hold(self, data: bytes) -> None:
        """Queue `data` without trying to send it: more is coming in this turn, and then `flush`."""
        if self._queue:
            self._queue.append(memoryview(data))
        elif data:
            self._queue = [memoryview(data)]

    def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send part of a file behind what is queued, by the kernel where it can. The file stays open.

        Returns:
            As `write`.
        """
        span = FileSpan(file, offset, count)
        if count:
            self._queue = [*self._queue, span]
        return self.flush()

    def flush(self) -> bool:
        """Send what the socket takes; whether nothing is left."""
        return not self._queue or self._flush()

    def _flush(self) -> bool:
        budget = self.sent + WRITE_BUDGET
        try:
            while self._queue and self.sent < budget:
                first = self._queue[0]
                sent = self._send_span(first) if isinstance(first, FileSpan) else self._send_pieces()
                self.sent += sent
                self._advance(sent)
        except self._would_block as refusal:
            self._send_refused(refusal)
            return False
        except (OSError, ValueError):  # ValueError: a file of the queue was closed by its owner
            self._lose()
            return False
        return not self._queue

    def _send_pieces(self) -> int:
        pieces: list[memoryview] = []
        for piece in self._queue[:_MOST_PIECES]:
            if isinstance(piece, FileSpan):
                break
            pieces.append(piece)
        return self._sock.sendmsg(pieces) if len(pieces) > 1 else self._sock.send(pieces[0])

    def _send_span(self, span: FileSpan) -> int:
        return span.send(self._sock) if hasattr(os, "sendfile") else self._sock.send(span.read(HIGH_WATER))

    def _advance(self, sent: int) -> None:
        """Take `sent` bytes off the queue."""
        queue = self._queue
        done = 0
        for piece in queue:
            if sent < len(piece):
                break
            sent -= len(piece)
            done += 1
        rest = list(queue[done:])
        if rest and sent:
            first = rest[0]
            if isinstance(first, FileSpan):
                first.advance(sent)
            else:
                rest[0] = first[sent:]
        self._queue = rest or ()

    # Ending

    def half_close(self) -> None:
        """Say that no more bytes follow, and go on listening."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close, and tell nobody. May be called twice."""
        if self.closed:
            return
        self._owner = _NOBODY
        self._queue = ()
        if self._interest:
            self._reactor.unregister(self._sock)
            self._interest = 0
        self._sock.close()

    def abort(self) -> None:
        """Close at once with a reset: the kernel drops what it has not sent."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def _lose(self) -> None:
        owner = self._owner
        self.close()
        owner.on_lost()


class _Nobody:
    """The owner of a transport that has not begun, or has ended."""

    def on_open(self) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_eof(self) -> None: ...
    def on_room(self) -> None: ...
    def on_drained(self) -> None: ...
    def on_progress(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_plaintext(self) -> None: ...


_NOBODY = _Nobody()
