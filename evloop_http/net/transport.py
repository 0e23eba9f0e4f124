"""One non-blocking socket and the bytes that it has not accepted yet.

What a transport tells its owner, and nothing more:

    on_open()         bytes can flow (at once here; after the handshake over TLS)
    on_data(data)     bytes arrived; at most one `recv` a wake, so that everybody gets a turn
    on_eof()          the peer sends nothing more; it may well be reading still
    on_progress()     the socket accepted some of what was queued
    on_writable()     there is room in the queue again, or it is empty
    on_lost()         the socket is gone; nothing more is told
    update()          the wake is over: work out what to wait for, and set `reading`

*Try, then wait.* `write` hands the bytes to the socket at once, queues what it does not accept, and only then
asks for the socket's being writable. After a refusal it does not try again before the selector says so.
`enqueue` queues without trying: several pipelined responses then leave in one `send`.

*Small pieces are joined.* A queue of thousands of six-byte pieces costs more to walk through than to send. So
small pieces behind each other share one buffer, and the number of queued bytes is counted, not summed up.

*Half closed is not closed.* EOF says that no more bytes arrive, and a peer that half-closes after
its request waits for the response. We stop listening for it (EOF stays readable for ever) and go on
sending.

The selector is told what to listen for in one place, `update_interest`, at the end of a wake, and only where
that differs from before. Whoever acts from elsewhere, on a timer or a thread's answer, calls it afterwards.

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

logger = logging.getLogger("evloop_http.net")

Moved = TypeVar("Moved", bytes, int)

#: A `recv` takes at most this much.
READ_SIZE = 64 * 1024
#: A producer is told to wait above the first and to go on below the second (bytes).
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
#: Bytes sent from the queue in one wake; then others have their turn.
WRITE_BUDGET = 1024 * 1024
#: A piece up to this size is copied behind the one before it, up to the size of a joined one (bytes).
_SMALL = 4 * 1024
_JOINED = 64 * 1024


class Owner(Protocol):
    """Who is told what happens to a transport."""

    def on_open(self) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_eof(self) -> None: ...
    def on_progress(self) -> None: ...
    def on_writable(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_plaintext(self) -> None: ...
    def update(self) -> None: ...


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
        """Have the kernel send the next bytes. Return how many the socket accepted.

        Raises:
            OSError: as `read`, and what `sendfile` says.
        """
        if not hasattr(os, "sendfile"):
            return sock.send(self.read(HIGH_WATER))
        return self._some(os.sendfile(sock.fileno(), self.file.fileno(), self.offset, min(self.left, WRITE_BUDGET)))

    def _some(self, moved: Moved) -> Moved:
        """Return what was read or sent. Nothing is an error, because the length has been announced."""
        if not moved:
            logger.error("%s has shrunk while it was sent; the connection is closed", self.file.name)
            raise OSError("the file has shrunk while it was sent")
        return moved


#: What waits to be sent: a small piece that may still grow, a large one or what is left of one, part of a file.
Queued = bytearray | bytes | memoryview | FileSpan


class Transport:
    """A connected socket on a reactor."""

    __slots__ = ("_interest", "_owner", "_queue", "_reactor", "_refused", "_sock", "at_eof", "queued", "reading",
                 "sent")

    _would_block: tuple[type[OSError], ...] = (BlockingIOError, InterruptedError)

    def __init__(self, sock: socket.socket, reactor: Reactor) -> None:
        """Take over a connected socket.

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
        self._queue: list[Queued] | tuple[Queued, ...] = ()
        self._interest = 0
        self._refused = False  # the socket accepts nothing until the selector says so
        #: whether the owner wants `on_data`; see `update_interest`
        self.reading = True
        self.at_eof = False
        #: bytes that the socket has accepted
        self.sent = 0
        #: bytes that the socket has not accepted yet
        self.queued = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fd {self._sock.fileno()}, {self.queued} bytes queued"
        return f"<{type(self).__name__} {state}>"

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def tls_facts(self) -> tuple[str, str, str] | None:
        """Return version, cipher and ALPN protocol of the TLS; None without TLS."""
        return None

    def open(self, owner: Owner) -> None:
        """Begin: from now on `owner` is told."""
        self._owner = owner
        self._begin()
        owner.update()
        self.update_interest()

    def _begin(self) -> None:
        self._owner.on_open()

    def poll_now(self) -> None:
        """Tell the owner what has happened by now, not only when the selector says so: for one about to close."""
        self._on_ready(READ | WRITE)

    # Called by the reactor

    def _on_ready(self, events: int) -> None:
        try:
            if self._queue and events & WRITE:
                self._on_writable()
            if self.reading and events & READ:
                try:
                    data = self._sock.recv(READ_SIZE)
                except self._would_block:
                    pass
                except OSError:
                    self._lose()
                else:
                    if data:
                        self._owner.on_data(data)
                    else:
                        self._tell_eof()
            self._owner.update()
            if self._interest != (READ if self.reading else 0) or self._queue or self.at_eof:
                self.update_interest()
        except BaseException:
            self._lose()  # or the owner would be left in the middle of something, waiting for nothing
            raise

    def _tell_eof(self) -> None:
        self.at_eof = True
        self._owner.on_eof()

    def _on_writable(self) -> None:
        before, queued = self.sent, self.queued
        self._refused = False
        if not self._flush() and self.closed:
            return
        if self.sent > before:
            self._owner.on_progress()
        if not self._queue or self.queued <= LOW_WATER < queued:
            self._owner.on_writable()

    def update_interest(self) -> None:
        """Listen for what is wanted now. The reactor is told only where that differs from before."""
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

    def _note_refusal(self, refusal: OSError) -> None:
        """Take note that the socket accepts nothing now. (TLS learns here what it has to wait for.)"""
        self._refused = True

    def _wanted(self) -> int:
        return (READ if self.reading and not self.at_eof else 0) | (WRITE if self._queue else 0)

    # Sending

    def write(self, data: bytes) -> bool:
        """Send `data` behind what is queued.

        Returns:
            Whether nothing is left in the queue. If False, `on_writable` is called when there is room again.
        """
        if self._queue:
            self.enqueue(data)
            return self.flush()
        try:
            sent = self._sock.send(data)
        except self._would_block as refusal:
            self._note_refusal(refusal)
            sent = 0
        except OSError:
            self._lose()
            return False
        self.sent += sent
        left = len(data) - sent
        if not left:
            return True
        self._queue = [memoryview(data)[sent:]]
        self.queued = left
        self._refused = True
        return False

    def enqueue(self, data: bytes) -> None:
        """Queue `data` without trying to send it: more follows in this turn, and then `flush`."""
        size = len(data)
        if not size:
            return
        self.queued += size
        queue = self._queue
        if queue and size <= _SMALL and isinstance(last := queue[-1], bytearray) and len(last) < _JOINED:
            last += data
        else:
            self._append(data if size > _SMALL else bytearray(data))

    def _append(self, piece: Queued) -> None:
        if isinstance(self._queue, list):
            self._queue.append(piece)
        else:
            self._queue = [piece]

    def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send part of a file behind what is queued, by the kernel where it can. The file stays open.

        Returns:
            As `write`.
        """
        if count:
            self._append(FileSpan(file, offset, count))
            self.queued += count
        return self.flush()

    def flush(self) -> bool:
        """Send as much of the queue as the socket accepts. Return True if nothing is left."""
        return not self._queue or (not self._refused and self._flush())

    def _flush(self) -> bool:
        budget = self.sent + WRITE_BUDGET
        try:
            while self._has_more() and self.sent < budget:
                self._send_next()
        except self._would_block as refusal:
            self._note_refusal(refusal)
            return False
        except (OSError, ValueError):  # ValueError: a file of the queue was closed by its owner
            self._lose()
            return False
        return not self._queue

    def _has_more(self) -> bool:
        return bool(self._queue)

    def _send_next(self) -> None:
        """Send as much of the front of the queue as the socket accepts.

        Raises:
            OSError: it accepts nothing now, or the connection or a file is broken.
            ValueError: a file has been closed.
        """
        first = self._queue[0]
        self._take_off(self._send_span(first) if isinstance(first, FileSpan) else self._send_piece(first))

    def _take_off(self, sent: int) -> None:
        """Record that the socket has accepted the first `sent` bytes of the queue."""
        self.sent += sent
        self.queued -= sent
        while sent > (size := len(self._queue[0])):
            self._advance(size)
            sent -= size
        self._advance(sent)

    def _send_piece(self, piece: bytearray | bytes | memoryview) -> int:
        return self._sock.send(piece)

    def _send_span(self, span: FileSpan) -> int:
        return span.send(self._sock)

    def _advance(self, sent: int) -> None:
        """Take `sent` bytes off the first piece of the queue."""
        queue = self._queue
        assert isinstance(queue, list)
        first = queue[0]
        if sent == len(first):
            del queue[0]
            if not queue:
                self._queue = ()
        elif isinstance(first, FileSpan):
            first.advance(sent)
        elif sent:
            # A view, also of a joined piece: that grows no more, since it is not the one to add to any longer.
            queue[0] = memoryview(first)[sent:]

    # Ending

    def half_close(self) -> None:
        """Tell the peer that no more bytes follow, and go on receiving."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def half_close_for_good(self) -> None:
        """The same, where what still arrives is only discarded."""
        self.half_close()

    def close(self) -> None:
        """Close, and tell nobody. May be called twice."""
        if self.closed:
            return
        self._owner = _NOBODY
        self._queue = ()
        self.queued = 0
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
    def on_progress(self) -> None: ...
    def on_writable(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_plaintext(self) -> None: ...
    def update(self) -> None: ...


_NOBODY = _Nobody()
