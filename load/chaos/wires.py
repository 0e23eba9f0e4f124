"""A client's end of a connection, over TCP and over TLS.

Bytes are sent in pieces of the client's choice, over TLS too: there the ciphertext is cut, so within records.
What the server sends meanwhile is received, unless the client is deaf. So nobody waits for somebody who waits for
them. A wire that breaks while it sends does not say so before everything has been received that arrived.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

#: Seconds after which a server that neither sends nor closes has hung. All of its deadlines are much shorter.
PATIENCE = 30.0


class Hung(Exception):
    """The server does nothing, for longer than any of its deadlines."""


def whole(left: int) -> int:
    """Be a cut that makes one piece of everything."""
    return left


class Manner(NamedTuple):
    """How a client sends and receives."""

    #: returns the size of the next piece, of so many bytes that are left
    cut: Callable[[int], int] = whole
    #: seconds between two pieces, and how many pauses a client makes at most
    pause: float = 0
    pauses: int = 0
    #: bytes that are received at a time
    portion: int = 65536
    #: of the receive buffer; 0 for the system's choice
    window: int = 0
    #: nothing is received while something is sent
    deaf: bool = False


PLAIN = Manner()


class Wire:
    """A connection over TCP."""

    def __init__(self, port: int, manner: Manner = PLAIN) -> None:
        """Connect.

        Raises:
            OSError: the server does not accept connections.
        """
        self._manner = manner
        self._sock = socket.socket()
        self._arrived = bytearray()
        self._ended = False
        self._broken = False
        self._pauses = manner.pauses
        if manner.window:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, manner.window)
        self._sock.settimeout(PATIENCE)
        try:
            self._sock.connect(("127.0.0.1", port))
        except OSError:
            self._sock.close()
            raise
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)

    def greet(self) -> bool:
        """Do what precedes the first byte. Return False if the connection ended meanwhile."""
        return True

    # Sending

    def send(self, data: bytes) -> bool:
        """Send all of `data`. Return False if the connection broke."""
        return self._push(data)

    def _push(self, data: bytes) -> bool:
        left = memoryview(data)
        while left and not self._broken:
            size = max(1, self._manner.cut(len(left)))
            self._push_piece(left[:size])
            left = left[size:]
            if left:
                self._take_a_pause()
        return not self._broken

    def _push_piece(self, piece: memoryview) -> None:
        hears = 0 if self._manner.deaf else select.POLLIN
        while piece and not self._broken:
            ready = self._wait(select.POLLOUT | (0 if self._ended else hears))
            if ready & select.POLLIN & hears:
                self._pull()
            if ready & ~select.POLLIN:
                try:
                    piece = piece[self._sock.send(piece):]
                except BlockingIOError:
                    pass
                except OSError:
                    self._broken = True

    def _take_a_pause(self) -> None:
        if self._pauses:
            self._pauses -= 1
            time.sleep(self._manner.pause)

    def _wait(self, events: int) -> int:
        """Wait until the socket is ready.

        Raises:
            Hung: it is not, for a long time.
        """
        poll = select.poll()
        poll.register(self._sock, events)
        ready = poll.poll(PATIENCE * 1000)
        if not ready:
            raise Hung(f"the server neither read nor wrote nor closed for {PATIENCE:g} s")
        return ready[0][1]

    # Receiving

    def receive(self, size: int) -> bytes:
        """Return some of what arrived, at most `size` bytes, and wait for it; nothing at the end, or after a reset.

        Raises:
            Hung: nothing arrives, for a long time.
        """
        while not self._arrived and not self._ended:
            self._wait(select.POLLIN)
            self._pull()
        self._take_a_pause()
        size = min(size, self._manner.portion)
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        return data

    def _pull(self) -> None:
        try:
            data = self._sock.recv(self._manner.portion)
        except BlockingIOError:
            return
        except OSError:
            self._ended = self._broken = True
            return
        self._ended = not data
        self._arrived += data

    # Ending

    def half_close(self) -> None:
        """Say that nothing more follows."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        """Close. May be called twice."""
        self._sock.close()


class TlsWire(Wire):
    """A connection over TLS, whose records are made in memory."""

    def __init__(self, port: int, context: ssl.SSLContext, manner: Manner = PLAIN) -> None:
        super().__init__(port, manner)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def greet(self) -> bool:
        while True:
            try:
                self._tls.do_handshake()
                return self._flush()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    return False
            except ssl.SSLError:
                return False

    def send(self, data: bytes) -> bool:
        try:
            self._tls.write(data)
        except ssl.SSLError:
            return False
        return self._flush()

    def receive(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    return b""
            except ssl.SSLError:  # the peer has said that it ends, or has not
                return b""

    def _flush(self) -> bool:
        data = self._outgoing.read()
        return not data or self._push(data)

    def _feed(self) -> bool:
        """Hand some ciphertext to TLS. Return False at the end."""
        data = super().receive(65536)
        self._incoming.write(data)
        return bool(data)

    def half_close(self) -> None:
        self.notify()
        super().half_close()

    def notify(self) -> None:
        """Say by TLS alone that nothing more follows."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
