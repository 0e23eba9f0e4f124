"""Where the contexts of a TLS server come from: certificate, key, protocols, and session tickets.

A context encrypts session tickets with keys that it makes when it is made, and no API changes them. Whoever learns
them later can read every session that was resumed by a ticket of that context. So contexts do not live for ever: a
`ServerContext` makes a new one of its files every day.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable

logger = logging.getLogger("evloop_http.net")

#: Seconds until a context is renewed, and until a renewal that failed is tried again.
RENEWAL = 24 * 3600.0
RENEWAL_RETRY = 3600.0


def make_context(certificate: str | os.PathLike[str], key: str | os.PathLike[str] | None = None,
                 password: str | None = None, protocols: Iterable[str] = ()) -> ssl.SSLContext:
    """A context for a server: TLS 1.2 and newer, the library's own choice of ciphers.

    Args:
        certificate: a PEM file with the certificate and the chain behind it.
        key: a PEM file with the private key, if it is not in the first.
        protocols: what to offer by ALPN (RFC 7301).

    Raises:
        ValueError: a file is missing, unreadable or not what it should be; the text says which.
    """
    for path in (certificate, key):
        if path is not None:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ValueError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # TLS 1.2: a handshake that no budget covers
    try:
        # A callback in the place of a missing password: OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password or (lambda: ""))
    except ssl.SSLError as error:
        raise ValueError(f"cannot use {os.fspath(certificate)}{f' with {os.fspath(key)}' if key else ''}: "
                         f"{error.reason or 'not a PEM certificate and its key'}") from None
    if protocols := list(protocols):
        context.set_alpn_protocols(protocols)
    return context


class ServerContext:
    """Contexts for a server, one a day, all made of the same files. A certificate that was replaced is found then.

    Args:
        make: makes one; it raises ValueError if that cannot be done.
        clock: seconds from any origin that never go back.

    Raises:
        ValueError: the first one cannot be made.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._context = make()
        self._renew_at = clock() + RENEWAL

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        now = self._clock()
        if now >= self._renew_at:
            try:
                self.renew()
            except ValueError as error:
                logger.error("the TLS context is not renewed: %s; trying again in an hour", error)
                self._renew_at = now + RENEWAL_RETRY
        return self._context

    def renew(self) -> None:
        """Make a new context of what the files contain now. Connections that are open keep theirs.

        Raises:
            ValueError: that cannot be done, and the former one is used on.
        """
        self._context = self._make()
        self._renew_at = self._clock() + RENEWAL


#: What a server is given for TLS. An `ssl.SSLContext` is used as it is, and as long as the server lives.
AnyContext = ServerContext | ssl.SSLContext


def server_context(context: AnyContext) -> ServerContext:
    """Return where contexts come from, also where that is always the same one.

    Raises:
        ValueError: it is one for clients.
    """
    if isinstance(context, ServerContext):
        return context
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("this TLS context is one for clients; evloop_http.tls_context makes one for servers")
    return ServerContext(lambda: context)


def tls_context(certificate: str | os.PathLike[str], key: str | os.PathLike[str] | None = None,
                password: str | None = None) -> ServerContext:
    """Return what `Server.listen(tls=...)` takes: TLS 1.2 and newer, HTTP/1.1.

    The files are read now and then once a day, which also changes the keys of session tickets.

    Args:
        certificate: a PEM file with the certificate and the chain behind it.
        key: a PEM file with the private key, if it is not in the first.
        password: of the key, if it has one.

    Raises:
        ValueError: a file is missing, unreadable or not what it should be; the text says which.
    """
    return ServerContext(lambda: make_context(certificate, key, password, ["http/1.1"]))
