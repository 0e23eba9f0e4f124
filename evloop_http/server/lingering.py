"""The last moments of a connection, so that its last response arrives (RFC 9112 §9.6).

A socket that is closed while bytes wait in its receive buffer is reset by the kernel, and a reset destroys
what the peer has not read yet: the error that explains why its upload was refused, for example. So we close
our half, and read and discard what still arrives until the peer closes its half, for a short while and up to
a bound.
"""

from __future__ import annotations

from collections.abc import Callable

#: Bytes discarded. A client that has not finished its upload by then gets a reset.
LINGER_BYTES = 64 * 1024 * 1024


class Lingering:
    """Discards what arrives.

    Args:
        close: ends the connection.
        deadline: when it ends at the latest, in seconds of the reactor's clock.
    """

    __slots__ = ("_close", "_deadline", "_left")

    def __init__(self, close: Callable[[], None], deadline: float) -> None:
        self._close = close
        self._deadline = deadline
        self._left = LINGER_BYTES

    def wants(self) -> tuple[bool, float]:
        """Return whether the socket is to be read, and until when."""
        return True, self._deadline

    def receive(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._close()

    def receive_eof(self) -> None:
        self._close()

    def note_progress(self) -> None:
        pass

    def write_on(self) -> None:
        pass

    def expire(self) -> None:
        self._close()

    def drain(self) -> None:
        pass

    def note_closed(self) -> None:
        pass
