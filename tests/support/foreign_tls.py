"""A TLS client that is not OpenSSL: it can be made to send what OpenSSL would not."""

from __future__ import annotations

import socket
import threading
import warnings
from typing import Any

from tls_world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore, if there is one
    from tlslite.api import TLSConnection  # type: ignore[import-untyped]


class Tap:
    """The socket of a client that can be told to keep what it would send."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.kept: bytearray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if self.kept is None:
            return self._sock.send(data)
        self.kept += data
        return len(data)


class Foreigner:
    """A client that is not OpenSSL, and can send what OpenSSL would not."""

    def __init__(self, world: World) -> None:
        ours, self.sock = socket.socketpair()
        for sock in (ours, self.sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._tap = Tap(self.sock)
        self.tls = TLSConnection(self._tap)
        self.transport, _, self.owner = world.accept((ours, self.sock))
        self.sock.setblocking(True)
        thread = threading.Thread(target=self.tls.handshakeClientCert)
        thread.start()
        while "open" not in self.owner.told:
            assert world.reactor.poll(10)
        thread.join()

    def key_updates(self, count: int, wants_answer: bool = False) -> bytes:
        """Return records that change the key (RFC 8446 §4.6.3) and carry no data."""
        self._tap.kept = bytearray()
        for _ in range(count):
            for _ in self.tls.send_keyupdate_request(int(wants_answer)):
                pass
        data, self._tap.kept = bytes(self._tap.kept), None
        return data
