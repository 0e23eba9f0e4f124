"""The opening handshake (RFC 6455 §4.2): an HTTP request becomes an offer to be accepted, or is refused.

*Whose page is it?* A browser lets every page open a WebSocket to every server, and sends the cookies of that server
along: the same-origin policy does not hold here. So a request with an `Origin` of another host is refused unless the
route allows it (§10.2). Programs send no `Origin`, and pass. This is no protection against DNS rebinding, where both
names are the attacker's; `trusted_hosts` is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..messages import Headers, HeaderSource, HTTPError, Request, SwitchedProtocol, Upgrade, is_token
from .options import DEFAULTS, Options

if TYPE_CHECKING:
    from .frames import Deflate

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_UPGRADE = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


class Offer:
    """A request for a WebSocket that may be accepted, with what was negotiated."""

    __slots__ = ("_accept", "deflate", "offered", "options", "subprotocol")

    def __init__(self, key: str, offered: tuple[str, ...], deflate: Deflate | None, options: Options) -> None:
        digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
        self._accept = base64.b64encode(digest).decode()
        #: the subprotocols that the client offers, in its order of preference
        self.offered = offered
        #: the one to be used by the options of the route; empty for none
        self.subprotocol = next((name for name in options.subprotocols if name in offered), "")
        self.deflate = deflate
        self.options = options

    def upgrade(self, protocol: SwitchedProtocol, subprotocol: str | None = None,
                headers: HeaderSource = ()) -> Upgrade:
        """Return the response that accepts.

        Args:
            subprotocol: empty for none; None for the one by the options.
            headers: more fields.

        Raises:
            ValueError: the client does not offer the subprotocol, or a header is malformed.
        """
        chosen = self.subprotocol if subprotocol is None else subprotocol
        if chosen and chosen not in self.offered:
            raise ValueError(f"the client does not offer the subprotocol {chosen!r}")
        response = Upgrade(protocol, "websocket", self.options.headers)
        response.headers.update(headers)
        response.headers["Sec-WebSocket-Accept"] = self._accept
        if chosen:
            response.headers["Sec-WebSocket-Protocol"] = chosen
        if self.deflate is not None:
            response.headers["Sec-WebSocket-Extensions"] = self.deflate.field
        self.subprotocol = chosen
        return response


def negotiate(request: Request, options: Options = DEFAULTS) -> Offer:
    """Check the request for a WebSocket.

    Raises:
        HTTPError: 405 if it is no GET; 426 if it does not ask for a WebSocket, or for another version of it; 403 if a
            page of another host asks; 400 if it is malformed.
    """
    headers = request.headers
    if request.method != "GET":
        raise HTTPError(405, "A WebSocket is opened by GET.", {"Allow": "GET"})
    if request.version == "1.0" or "upgrade" not in _tokens(headers, "Connection") \
            or "websocket" not in _tokens(headers, "Upgrade"):
        raise HTTPError(426, "This address speaks WebSocket.", _UPGRADE)
    versions = headers.get_all("Sec-WebSocket-Version")
    if versions != ["13"]:
        raise HTTPError(426, "This server speaks version 13 of WebSocket.", _UPGRADE)
    key = _key_of(headers)
    _check_origin(request, options)
    offered = _offered(headers)
    return Offer(key, offered, _deflate(headers) if options.compression else None, options)


def _tokens(headers: Headers, name: str) -> list[str]:
    return [token.strip().lower() for value in headers.get_all(name) for token in value.split(",")]


def _key_of(headers: Headers) -> str:
    """Return the key: 16 bytes in base64 (§4.2.1)."""
    keys = headers.get_all("Sec-WebSocket-Key")
    try:
        if len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16:
            return keys[0]
    except (binascii.Error, ValueError):
        pass
    raise HTTPError(400, "Sec-WebSocket-Key must be 16 bytes in base64, once.")


def _check_origin(request: Request, options: Options) -> None:
    origins = request.headers.get_all("Origin")
    if not origins or options.origins == "*":
        return
    origin = origins[0].lower()
    if len(origins) == 1 and (origin in options.origins or _is_same_host(origin, request.host.lower())):
        return
    raise HTTPError(403, "Pages of another site may not open this WebSocket.")


def _is_same_host(origin: str, host: str) -> bool:
    """Whether an origin (RFC 6454 §6.2) is of the host and port that the request is for. Both in lower case.

    Not the scheme: behind a proxy that does TLS, the page came over https and the request over http.
    """
    scheme, mark, authority = origin.partition("://")
    port = _PORTS.get(scheme)
    if not mark or port is None:
        return False
    try:
        theirs, ours = urlsplit(f"//{authority}"), urlsplit(f"//{host}")
        same_port = (theirs.port or port) == (ours.port or port)
    except ValueError:
        return False
    return authority == theirs.netloc and theirs.hostname == ours.hostname and same_port and theirs.username is None


def _offered(headers: Headers) -> tuple[str, ...]:
    names = [name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")]
    names = [name for name in names if name]  # RFC 9110 §5.6.1.2: what is empty in a list is ignored
    if not all(map(is_token, names)):
        raise HTTPError(400, "Sec-WebSocket-Protocol is a list of tokens.")
    return tuple(names)


def _deflate(headers: Headers) -> Deflate | None:
    from .frames import negotiate_deflate
    try:
        return negotiate_deflate(headers.get_all("Sec-WebSocket-Extensions"))
    except ValueError:
        raise HTTPError(400, "Sec-WebSocket-Extensions is malformed.") from None
