"""TLS that no peer can keep busy: OpenSSL works in memory, on what one `recv` has read.

One `SSL_read` on a socket is not one record. OpenSSL goes on to the next while records without data arrive (key
updates, fragments of hellos, warnings), and a peer that sends nothing else, at 7 Mbit/s, holds the whole loop for as
long as it likes: deadlines and signals included. So OpenSSL is not given the socket. Ciphertext is read here, at most
16 KiB in a wake, and handed to it through a `ssl.MemoryBIO`: that is all it can work on, and then the others have
their turn. And since a peer may go on like that for ever, ciphertext that carries no data is counted: a connection
with more of it than `MOST_BARREN` is closed.

What OpenSSL wants to send comes out of a second `MemoryBIO`. Bytes to send stay in the queue of the transport until
the socket has accepted the ciphertext that stands for them, so `queued` and `sent` mean what they mean elsewhere. No
more than `_BATCH` of them are encrypted ahead of the socket.

It also costs less than an `SSLSocket`: there are fewer layers between.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl

from ..reactor import READ, WRITE, Reactor
from ..transport import FileSpan
from .handshakes import Handshakes
from .phases import BARE, HANDSHAKING, RECORD, SECURE, TlsTransport

logger = logging.getLogger("evloop_http.net")

#: Bytes of ciphertext without data that a connection may send, during the handshake and after it.
MOST_BARREN = 64 * 1024
#: What a record with data has beside it. Up to the first, there is no room for another record of any kind. In TLS 1.3
#: it is a header and a tag (RFC 8446 §5.2), so little that a key update beside every byte counts. TLS 1.2 has no
#: key updates, but ciphers with padding (RFC 5246 §6.2.3.2).
_LEAST_OVERHEAD = 30
_OVERHEAD = {"TLSv1.3": 24}
_OVERHEAD_BEFORE = 96
#: Bytes that are encrypted for one `send`.
_BATCH = 4 * RECORD


class GuardedTransport(TlsTransport):
    """A `Transport` over TLS, whose OpenSSL never sees the socket."""

    __slots__ = ("_barren", "_cipher", "_incoming", "_outgoing", "_sealed", "_ssl")

    def __init__(self, sock: socket.socket, reactor: Reactor, context: ssl.SSLContext, handshakes: Handshakes) -> None:
        super().__init__(sock, reactor, context, handshakes)
        self._barren = 0  # bytes of ciphertext that brought no data
        self._cipher: bytes | memoryview = b""  # ciphertext that the socket has not accepted yet
        self._sealed = 0  # how many bytes at the front of the queue it stands for

    def _start(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _tls(self) -> ssl.SSLObject:
        return self._ssl

    # Called by the reactor

    def _on_ready(self, events: int) -> None:
        if self._phase is not SECURE:
            super()._on_ready(events)
            return
        try:
            if events & WRITE and self._has_more():
                self._on_writable()
            if events & READ and self.reading and self._phase is SECURE:  # TLS may have ended just now
                self._receive()
            self._owner.update()
            if self._interest != (READ if self.reading else 0) or self._queue or self._cipher or self.at_eof:
                self.update_interest()
        except BaseException:
            self._lose()
            raise

    def _wanted(self) -> int:
        if self._phase is HANDSHAKING and self._cipher and not self._is_parked:
            return WRITE  # the peer has to read before there is more to answer
        return super()._wanted() | (WRITE if self._cipher and not self._is_parked else 0)

    # Receiving

    def _receive(self) -> None:
        try:
            cipher = self._sock.recv(RECORD)
        except self._would_block:
            return
        except OSError:
            self._lose()
            return
        if cipher:
            self._incoming.write(cipher)
            self._hand_on(len(cipher))
        else:
            self._tell_eof()

    def _hand_on(self, arrived: int) -> None:
        """Decrypt what has arrived, so many bytes of ciphertext, and tell the owner."""
        pieces = []
        is_over = False
        try:
            while data := self._ssl.read(RECORD):
                pieces.append(data)
                if not self._incoming.pending:
                    break
            else:
                is_over = True  # the peer's close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the same, behind our own
            is_over = True
        except (OSError, ValueError):  # a record that was tampered with, or is not a record
            self._lose()
            return
        if len(pieces) == 1 and not self._barren and not is_over and arrived - len(pieces[0]) <= _LEAST_OVERHEAD:
            self._owner.on_data(pieces[0])  # the usual: one record with data
        else:
            self._hand_on_counted(pieces, arrived, is_over)

    def _hand_on_counted(self, pieces: list[bytes], arrived: int, is_over: bool) -> None:
        """The same where there may have been records without data."""
        whole = b"".join(pieces)
        overhead = _OVERHEAD.get(self._ssl.version() or "", _OVERHEAD_BEFORE)
        self._barren = max(0, self._barren + arrived - len(whole) - overhead * len(pieces))
        if self._barren > MOST_BARREN:
            self._refuse_barren()
            return
        if self._outgoing.pending:
            self._send_answer()
        if whole:
            self._owner.on_data(whole)
        if is_over and not self.closed:
            self._tell_eof()

    def _refuse_barren(self) -> None:
        logger.debug("more than %d bytes of TLS without data; the connection is closed", MOST_BARREN)
        self._lose()

    def _send_answer(self) -> None:
        """Send what OpenSSL has to say by itself: the answer to a key update, or what the handshake asks for."""
        self._cipher = bytes(self._cipher) + self._outgoing.read()
        if not self._refused:
            self._flush()
        if len(self._cipher) > _BATCH + MOST_BARREN:  # the peer asks for answers, and reads none
            self._refuse_barren()

    # The handshake

    def _shake_hands(self) -> None:
        if self._cipher:
            self._refused = False
            if not self._flush():
                return
        try:
            cipher = self._sock.recv(RECORD)
        except self._would_block:
            return
        except OSError:
            cipher = b""
        self._barren += len(cipher)
        if not cipher:
            self._lose()
        elif self._barren > MOST_BARREN:
            self._refuse_barren()
        else:
            self._incoming.write(cipher)
            self._answer_handshake()

    def _answer_handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._send_answer()
        except (OSError, ValueError):  # port scans, wrong protocols, alerts: the peer's affair
            self._lose()
        else:
            self._barren = 0
            self._send_answer()
            if not self.closed:
                self._open_up()
            # A request may have arrived with the last of the handshake.
            if self._phase is SECURE and (left := self._incoming.pending):
                self._hand_on(left)

    # Sending

    def write(self, data: bytes) -> bool:
        if self._queue or self._cipher or self._phase is not SECURE or not 0 < len(data) <= RECORD:
            self.enqueue(data)
            return self.flush()
        try:
            self._ssl.write(data)
            cipher = self._outgoing.read()
            sent = self._sock.send(cipher)
        except self._would_block:
            sent = 0
        except OSError:
            self._lose()
            return False
        if sent == len(cipher):
            self.sent += len(data)
            return True
        self._queue = [memoryview(data)]
        self.queued = self._sealed = len(data)
        self._cipher = cipher
        self._note_sent(sent)
        self._refused = True
        return False

    def _has_more(self) -> bool:
        return bool(self._queue or self._cipher)

    def _send_next(self) -> None:
        if self._phase is not SECURE and not self._cipher:
            super()._send_next()
            return
        if not self._cipher:
            self._seal()
        self._note_sent(self._sock.send(self._cipher))

    def _note_sent(self, sent: int) -> None:
        """Record that the socket has accepted so much ciphertext, and take off the queue what that stands for."""
        if sent == len(self._cipher):
            self._cipher, taken = b"", self._sealed
        else:
            # As long as some ciphertext is left, so is some of what it stands for.
            self._cipher, taken = memoryview(self._cipher)[sent:], min(sent, max(0, self._sealed - 1))
        self._sealed -= taken
        if taken:
            self._take_off(taken)

    def _seal(self) -> None:
        """Encrypt the front of the queue."""
        for piece in self._queue:
            data = piece.read(_BATCH - self._sealed) if isinstance(piece, FileSpan) else piece
            with memoryview(data)[:_BATCH - self._sealed] as view:
                offset = 0
                while offset < len(view):
                    offset += self._ssl.write(view[offset:])  # a record at a time
            self._sealed += offset
            if offset < len(piece) or self._sealed >= _BATCH:
                break
        self._cipher = self._outgoing.read()

    # Ending

    def _say_goodbye(self) -> None:
        # Or the alert to what went wrong; and nothing if something is missing that was to be sent before.
        if (self._phase is not SECURE and self._phase is not HANDSHAKING) or self._has_more():
            return
        if self._phase is SECURE:
            with contextlib.suppress(OSError, ValueError):
                self._ssl.unwrap()
        if self._outgoing.pending:
            with contextlib.suppress(OSError):
                self._sock.send(self._outgoing.read())

    def _end_tls(self) -> None:
        if self._phase is HANDSHAKING or self._phase is SECURE:
            self._cipher = b""
            del self._ssl, self._incoming, self._outgoing  # others may keep the transport, and need not keep these
        self._phase = BARE

    def half_close(self) -> None:
        # close_notify ends our half only (RFC 8446 §6.1): what the peer still sends is decrypted.
        self._say_goodbye()
        super().half_close()
