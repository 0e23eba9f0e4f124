"""The same transport over TLS.

In reading order: `handshakes` (whose turn it is), `phases` (from the first byte to the end of the handshake), and the
two *engines*, which encrypt and decrypt from then on:

    guarded   OpenSSL works in memory and sees only what one `recv` has read. The default.
    socket    OpenSSL reads and writes the socket itself (`direct`): for peers that one trusts.

Nothing above this room knows which kind of transport it has.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..certificates import ServerContext
from ..reactor import Reactor
from ..transport import Transport
from .direct import DirectTransport
from .guarded import GuardedTransport
from .handshakes import Handshakes
from .phases import TlsTransport

__all__ = ["Handshakes", "TlsTransport", "securing"]

ENGINES: dict[str, type[TlsTransport]] = {"guarded": GuardedTransport, "socket": DirectTransport}


def securing(context: ServerContext, handshakes: Handshakes,
             engine: str = "guarded") -> Callable[[socket.socket, Reactor], Transport]:
    """Return what makes a transport over TLS of an accepted socket.

    Raises:
        ValueError: there is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"there is no TLS engine {engine!r}; there are {' and '.join(ENGINES)}")
    make = ENGINES[engine]

    def wrap(sock: socket.socket, reactor: Reactor) -> Transport:
        return make(sock, reactor, context.current(), handshakes)
    return wrap
