"""The same transport over TLS.

TLS puts a second machine between the socket and us, and four of its habits reach the loop:

*The handshake takes several rounds*, and a peer may stall in the middle of it. So accepting only
wraps the socket; `do_handshake` is tried whenever the socket is ready, and the owner learns of
`on_open` when it has succeeded. A step costs up to half a millisecond of arithmetic, so only a
few are taken in a turn (`HandshakeBudget`); the selector reports the others again in the next.

*Decrypted bytes hide from the selector.* A record is decrypted as a whole; when we took only part
of it, the rest waits inside OpenSSL while the socket is silent. A read takes more than a record
holds, so it leaves nothing as long as it is not made smaller; after one that is filled to the brim,
and whenever reading is resumed, `pending()` is asked, and the reactor told to come back without
being told by the selector.

*Reading may need to write, and writing to read* (a key update, a renegotiation). What the last
`recv` and the last `send` were refused for is kept, and `_wanted` listens for that.

*Closing has a word of its own*, close_notify. It is sent as far as the socket takes it and no
answer is waited for. After it, or where the peer never spoke TLS at all, OpenSSL is taken off and
the bare socket is used.

Nothing above this file knows which kind of transport it has.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import ssl

from .reactor import READ, WRITE, Reactor
from .transport import READ_SIZE, FileSpan, Transport

#: What one record holds (RFC 8446 §5.1). Small pieces are joined up to it.
_RECORD = 16 * 1024
#: The first byte of every TLS connection: a record of type handshake.
_HANDSHAKE_RECORD = b"\x16"


class HandshakeBudget:
    """How many steps of handshakes are taken in one turn of the reactor, for all connections together."""

    def __init__(self, reactor: Reactor, steps: int = 8) -> None:
        self._reactor = reactor
        self._steps = steps
        self._left = steps
        self._turn = -1

    def take(self) -> bool:
        """Whether one more step may be taken now."""
        if self._turn != self._reactor.turn:
            self._turn = self._reactor.turn
            self._left = self._steps
        self._left -= 1
        return self._left >= 0


class Phase(enum.Enum):
    """How far TLS is."""

    SILENT = "nothing has come yet"
    HANDSHAKING = "handshaking"
    SECURE = "secure"
    BARE = "TLS was taken off, or was never there"


SILENT, HANDSHAKING, SECURE, BARE = Phase


class TlsTransport(Transport):
    """A `Transport` whose bytes are encrypted on the way."""

    __slots__ = ("_budget", "_coming_back", "_phase", "_recv_wants", "_send_wants")

    _would_block = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

    def __init__(self, sock: socket.socket, reactor: Reactor, *, context: ssl.SSLContext,
                 budget: HandshakeBudget) -> None:
        super().__init__(sock, reactor)
        # Raises OSError where the peer has gone already, instead of a socket without OpenSSL on it.
        sock.getpeername()
        self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._budget = budget
        self._phase = SILENT
        self._recv_wants = READ
        self._send_wants = WRITE
        self._coming_back = False

    @property
    def _ssl(self) -> ssl.SSLSocket:
        assert isinstance(self._sock, ssl.SSLSocket)
        return self._sock

    def _begin(self) -> None:
        """Wait for the first byte: there is nothing to say before it."""

    def tls_facts(self) -> tuple[str, str, str] | None:
        if self._phase is not SECURE:
            return None
        cipher = self._ssl.cipher()
        return self._ssl.version() or "", cipher[0] if cipher else "", self._ssl.selected_alpn_protocol() or ""

    # Called by the reactor

    def _on_ready(self, events: int) -> None:
        try:
            if self._phase is SILENT or self._phase is HANDSHAKING:
                self._advance_handshake()
            else:
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
                and self._phase is SECURE and self._ssl.pending():
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
        if self._phase is SILENT or self._phase is HANDSHAKING:
            return self._recv_wants
        return (self._recv_wants if self.reading and not self.at_eof else 0) | (self._send_wants if self._queue else 0)

    # The handshake

    def _advance_handshake(self) -> None:
        if self._phase is SILENT and not self._first_byte_is_tls():
            return
        if not self._budget.take():
            return
        try:
            self._ssl.do_handshake()
        except self._would_block as refusal:
            self._recv_refused(refusal)
        except (OSError, ValueError):
            # Port scans, wrong protocols, alerts: the peer's affair, and it has been told by OpenSSL.
            self._lose()
        else:
            self._phase = SECURE
            self._recv_wants = READ
            self._owner.on_open()

    def _first_byte_is_tls(self) -> bool:
        """Look at the first byte without taking it; one that speaks in the clear is let through as such."""
        try:
            first = socket.socket.recv(self._sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            first = b""
        if not first:
            self._lose()
        elif first == _HANDSHAKE_RECORD:
            self._phase = HANDSHAKING
            return True
        else:
            self._take_off()
            self._owner.on_plaintext()
        return False

    # Sending

    def write(self, data: bytes) -> bool:
        # OpenSSL says nothing of what it has sent before it has sent all that it was given. So that
        # progress is seen, and the budget kept, it is given a record at a time.
        if len(data) <= _RECORD or self._phase is BARE:
            return Transport.write(self, data)
        self.enqueue(data)
        return self.flush()

    def _flush(self) -> bool:
        self._send_wants = WRITE
        return super()._flush()

    def _send_piece(self, piece: bytearray | bytes | memoryview) -> int:
        if self._phase is BARE or len(piece) <= _RECORD:
            return super()._send_piece(piece)
        with memoryview(piece) as view, view[:_RECORD] as record:
            return self._sock.send(record)

    def _send_span(self, span: FileSpan) -> int:
        if self._phase is BARE:
            return super()._send_span(span)
        return self._sock.send(span.read(_RECORD))

    # Ending

    def _take_off(self) -> None:
        """Use the bare socket from now on. Its descriptor, and what is registered for it, stay."""
        wrapped = self._sock
        self._sock = socket.socket(wrapped.family, wrapped.type, wrapped.proto, wrapped.detach())
        self._sock.setblocking(False)
        self._phase = BARE
        self._recv_wants = READ
        self._send_wants = WRITE

    def _notify_close(self) -> None:
        if self._phase is SECURE:
            with contextlib.suppress(OSError, ValueError):
                self._ssl.unwrap()
            self._take_off()

    def half_close(self) -> None:
        # close_notify ends our half only (RFC 8446 §6.1), so what the peer still sends is decrypted. The interpreter's
        # `unwrap` also looks for the peer's own close_notify: a record with data that arrives in that very moment
        # is an error to OpenSSL, and lost.
        if self._phase is SECURE:
            with contextlib.suppress(OSError, ValueError):
                self._ssl.unwrap()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)  # that of `SSLSocket` would take OpenSSL off

    def half_close_for_good(self) -> None:
        # What still arrives is ciphertext, which need not be decrypted to be discarded.
        self._notify_close()
        super().half_close()

    def close(self) -> None:
        if not self.closed:
            self._notify_close()
            super().close()

    def abort(self) -> None:
        if self._phase is SECURE:
            self._take_off()
        super().abort()
