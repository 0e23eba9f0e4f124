"""Where the certificates of a TLS server come from."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable

#: What a server is given for TLS.
ServerContext = ssl.SSLContext


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
    try:
        # A callback in the place of a missing password: OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password or (lambda: ""))
    except ssl.SSLError as error:
        raise ValueError(f"cannot use {os.fspath(certificate)}{f' with {os.fspath(key)}' if key else ''}: "
                         f"{error.reason or 'not a PEM certificate and its key'}") from None
    if protocols := list(protocols):
        context.set_alpn_protocols(protocols)
    return context


def refuse_client_context(context: ServerContext) -> None:
    """Check that a context is not one for clients.

    Raises:
        ValueError: it is.
    """
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("this TLS context is one for clients; evloop_http.tls_context makes one for servers")


def tls_context(certificate: str | os.PathLike[str], key: str | os.PathLike[str] | None = None,
                password: str | None = None) -> ServerContext:
    """A context for `Server.listen(tls=...)`: TLS 1.2 and newer, HTTP/1.1.

    Args:
        certificate: a PEM file with the certificate and the chain behind it.
        key: a PEM file with the private key, if it is not in the first.
        password: of the key, if it has one.

    Raises:
        ValueError: a file is missing, unreadable or not what it should be; the text says which.
    """
    return make_context(certificate, key, password, ["http/1.1"])
