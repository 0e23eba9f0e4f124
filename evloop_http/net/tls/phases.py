"""A transport over TLS, from its first byte to the end of its handshake.

Accepting does nothing but wait for the first byte. That byte also tells those who speak in the clear
(`on_plaintext`). A handshake takes several rounds, and a peer may stall in the middle of it: a step is taken
whenever more has arrived and it is this one's turn (`Handshakes`), and the owner learns of `on_open` when the last
has succeeded. How bytes are encrypted then is the engine's affair.
"""

from __future__ import annotations

import enum
import socket
import ssl

from ..reactor import READ, Reactor
from ..transport import Transport
from .handshakes import Handshakes

#: What one record holds (RFC 8446 §5.1).
RECORD = 16 * 1024
#: The first byte of every TLS connection: a record of type handshake.
_HANDSHAKE_RECORD = b"\x16"


class Phase(enum.Enum):
    """How far TLS is."""

    SILENT = "nothing has arrived yet"
    HANDSHAKING = "handshaking"
    SECURE = "secure"
    BARE = "TLS was taken off, or was never there"


SILENT, HANDSHAKING, SECURE, BARE = Phase


class TlsTransport(Transport):
    """A `Transport` whose bytes are encrypted on the way. An engine adds how.

    Args:
        context: one for servers.
        handshakes: those of this reactor.
    """

    __slots__ = ("_context", "_handshakes", "_is_parked", "_phase")

    def __init__(self, sock: socket.socket, reactor: Reactor, context: ssl.SSLContext, handshakes: Handshakes) -> None:
        super().__init__(sock, reactor)
        self._context = context
        self._handshakes = handshakes
        self._phase = SILENT
        self._is_parked = False  # it waits for its turn to shake hands

    def tls_facts(self) -> tuple[str, str, str] | None:
        if self._phase is not SECURE:
            return None
        tls = self._tls()
        cipher = tls.cipher()
        return tls.version() or "", cipher[0] if cipher else "", tls.selected_alpn_protocol() or ""

    def _tls(self) -> ssl.SSLSocket | ssl.SSLObject:
        """Return OpenSSL's side of the connection."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Wait for the first byte: there is nothing to say before it."""

    def _on_ready(self, events: int) -> None:
        """Act on what the selector says, where TLS is not up: not yet, or no longer."""
        if self._phase is BARE:
            super()._on_ready(events)
            return
        try:
            if self._phase is HANDSHAKING or self._hears_tls():
                self._handshakes.ask(self)
        except BaseException:
            self._lose()
            raise

    # The handshake

    def _hears_tls(self) -> bool:
        """Look at the first byte without reading it. A peer that speaks in the clear is let through as such."""
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            first = b""
        if not first:
            self._lose()
        elif first == _HANDSHAKE_RECORD:
            return self._begin_handshake()
        else:
            self._phase = BARE
            self._owner.on_plaintext()
            self._owner.update()
            self.update_interest()
        return False

    def _begin_handshake(self) -> bool:
        try:
            self._start()
        except (OSError, ValueError):  # the peer has gone already
            self._lose()
            return False
        self._phase = HANDSHAKING
        self._handshakes.begin(self)
        return not self.closed

    def _start(self) -> None:
        """Make OpenSSL's side of the connection, now that there is something for it to read."""
        raise NotImplementedError

    def park(self) -> None:
        """Leave the selector until it is this one's turn."""
        self._is_parked = True
        self.update_interest()

    def take_step(self) -> None:
        """Go on with the handshake as far as what has arrived allows."""
        self._is_parked = False
        try:
            self._shake_hands()
            self._owner.update()
            self.update_interest()
        except BaseException:
            self._lose()
            raise

    def _shake_hands(self) -> None:
        """Read what has arrived, and call `_open_up` when that was the last of the handshake."""
        raise NotImplementedError

    def _open_up(self) -> None:
        """Record that the handshake is done."""
        self._handshakes.end(self)
        self._phase = SECURE
        self._owner.on_open()

    def _wanted(self) -> int:
        if self._is_parked:
            return 0
        return READ if self._phase is SILENT else super()._wanted()

    # Ending

    def give_up(self) -> None:
        """End a handshake that makes room for another."""
        self._lose()

    def _say_goodbye(self) -> None:
        """Send close_notify (RFC 8446 §6.1) as far as the socket accepts it, if TLS is up."""
        raise NotImplementedError

    def _end_tls(self) -> None:
        """Use the bare socket from now on."""
        raise NotImplementedError

    def half_close_for_good(self) -> None:
        # What still arrives is ciphertext, which need not be decrypted to be discarded.
        self._say_goodbye()
        self._end_tls()
        Transport.half_close(self)

    def close(self) -> None:
        if not self.closed:
            self._say_goodbye()
            self._end_tls()
            self._handshakes.end(self)
            super().close()

    def abort(self) -> None:
        if not self.closed:
            self._end_tls()
        super().abort()
