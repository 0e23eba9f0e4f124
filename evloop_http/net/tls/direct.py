"""TLS by an `ssl.SSLSocket`: OpenSSL reads and writes the socket itself.

For peers that one trusts, and where the kernel does the encryption (`OP_ENABLE_KTLS`). *A peer can keep it busy*: one
`recv` works off records without data for as long as they arrive, and the loop stands still meanwhile, with its
deadlines and its signals. Whoever serves the internet wants `guarded`.

Three habits of OpenSSL reach the loop:

*Decrypted bytes hide from the selector.* A record is decrypted as a whole; if only part of it was read, the rest waits
inside OpenSSL while the socket is silent. A read is larger than a record, so that nothing is left; after one that is
filled to the brim, and whenever reading is resumed, `pending()` is asked, and the reactor told to come back without
waiting for the selector.

*Reading may need to write, and writing to read* (a key update). What the last `recv` and the last `send` were refused
for is kept, and `_wanted` listens for that.

*Closing has a word of its own*, close_notify. It is sent as far as the socket accepts it, and no answer is waited
for. After it OpenSSL is taken off and the bare socket is used.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from ..reactor import READ, WRITE, Reactor
from ..transport import READ_SIZE, FileSpan, Transport
from .handshakes import Handshakes
from .phases import BARE, HANDSHAKING, RECORD, SECURE, TlsTransport


class DirectTransport(TlsTransport):
    """A `Transport` over TLS, whose OpenSSL has the socket."""

    __slots__ = ("_coming_back", "_recv_wants", "_send_wants")

    _would_block = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

    def __init__(self, sock: socket.socket, reactor: Reactor, context: ssl.SSLContext, handshakes: Handshakes) -> None:
        super().__init__(sock, reactor, context, handshakes)
        self._recv_wants = READ
        self._send_wants = WRITE
        self._coming_back = False

    def _start(self) -> None:
        # Not watched meanwhile: where that fails, the interpreter has closed the descriptor.
        self.park()
        self._sock = self._context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)

    def _tls(self) -> ssl.SSLSocket:
        assert isinstance(self._sock, ssl.SSLSocket)
        return self._sock

    # Called by the reactor

    def _on_ready(self, events: int) -> None:
        if self._phase is not SECURE:
            super()._on_ready(events)
            return
        try:
            if self._queue and events & self._send_wants:
                self._on_writable()
            if self.reading and events & self._recv_wants:
                self._on_readable()
            self._owner.update()
            if self._interest != (READ if self.reading else 0) or self._queue or self.at_eof \
                    or self._recv_wants != READ:
                self.update_interest()
        except BaseException:
            self._lose()
            raise

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except self._would_block as refusal:
            self._recv_refused(refusal)
            return
        except ssl.SSLZeroReturnError:  # close_notify, behind our own
            data = b""
        except OSError:
            self._lose()
            return
        self._recv_wants = READ
        if data:
            self._owner.on_data(data)
            if len(data) >= READ_SIZE:
                self._come_back_for_pending()
        else:
            self._tell_eof()

    def _come_back_for_pending(self) -> None:
        """If decrypted bytes are left, read on in the next turn; the selector will not say so."""
        if not self._coming_back and self.reading and not self.closed \
                and self._phase is SECURE and self._tls().pending():
            self._coming_back = True
            self._reactor.call_soon(self._come_back)

    def _come_back(self) -> None:
        self._coming_back = False
        if not self.closed:
            self._on_ready(self._recv_wants)

    def update_interest(self) -> None:
        super().update_interest()
        self._come_back_for_pending()

    def _recv_refused(self, refusal: OSError) -> None:
        self._recv_wants = WRITE if isinstance(refusal, ssl.SSLWantWriteError) else READ

    def _note_refusal(self, refusal: OSError) -> None:
        self._refused = True
        self._send_wants = READ if isinstance(refusal, ssl.SSLWantReadError) else WRITE

    def _wanted(self) -> int:
        if self._is_parked:
            return 0
        if self._phase is HANDSHAKING:
            return self._recv_wants
        return (self._recv_wants if self.reading and not self.at_eof else 0) | (self._send_wants if self._queue else 0)

    # The handshake

    def _shake_hands(self) -> None:
        try:
            self._tls().do_handshake()
        except self._would_block as refusal:
            self._recv_refused(refusal)
        except (OSError, ValueError):
            # Port scans, wrong protocols, alerts: the peer's affair, and OpenSSL has told them.
            self._lose()
        else:
            self._recv_wants = READ
            self._open_up()

    # Sending

    def write(self, data: bytes) -> bool:
        # OpenSSL says nothing of what it has sent before it has sent all that it was given. So that
        # progress is seen, and the budget kept, it is given a record at a time.
        if len(data) <= RECORD or self._phase is BARE:
            return Transport.write(self, data)
        self.enqueue(data)
        return self.flush()

    def _flush(self) -> bool:
        self._send_wants = WRITE
        return super()._flush()

    def _send_piece(self, piece: bytearray | bytes | memoryview) -> int:
        if self._phase is BARE or len(piece) <= RECORD:
            return super()._send_piece(piece)
        with memoryview(piece) as view, view[:RECORD] as record:
            return self._sock.send(record)

    def _send_span(self, span: FileSpan) -> int:
        if self._phase is BARE:
            return super()._send_span(span)
        return self._sock.send(span.read(RECORD))

    # Ending

    def _end_tls(self) -> None:
        # The descriptor, and what is registered for it, stay.
        if isinstance(wrapped := self._sock, ssl.SSLSocket):
            self._sock = socket.socket(wrapped.family, wrapped.type, wrapped.proto, wrapped.detach())
            self._sock.setblocking(False)
        self._phase = BARE
        self._recv_wants = READ
        self._send_wants = WRITE

    def _say_goodbye(self) -> None:
        if self._phase is SECURE:
            with contextlib.suppress(OSError, ValueError):
                self._tls().unwrap()

    def half_close(self) -> None:
        # close_notify ends our half only (RFC 8446 §6.1), so what the peer still sends is decrypted. The interpreter's
        # `unwrap` also looks for the peer's own close_notify: a record with data that arrives in that very moment
        # is an error to OpenSSL, and lost.
        self._say_goodbye()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)  # that of `SSLSocket` would take OpenSSL off
