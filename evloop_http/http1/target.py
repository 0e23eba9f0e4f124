"""What a request line asks for: its target, in the form that its method may have (RFC 9112 §3.2).

Most targets are a path and a query. Proxies are asked with a whole URL, `CONNECT` with a host and
a port, `OPTIONS` may ask of the server as such. Whatever a target names goes on to routers, to files
and into URLs, so it is taken apart once, here, by its grammar, and never again by guessing.
"""

from __future__ import annotations

import re

from . import rules
from .rules import ProtocolError

# RFC 3986 §3.3 and §3.4, and in the query what browsers send there without encoding it. A run of plain
# characters is one step for the expression's engine, and `+` behind a quantifier keeps it from trying twice.
_ENCODED = r"(?:%[0-9A-Fa-f]{2}"
_IN_PATH = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/|\[\]]*+"
_IN_QUERY = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?|\[\]\\^`{}]*+"
PATH = rf"/{_IN_PATH}{_ENCODED}{_IN_PATH})*+"
QUERY = rf"{_IN_QUERY}{_ENCODED}{_IN_QUERY})*+"

_PATH_AND_QUERY = re.compile(rf"({PATH})(?:\?({QUERY}))?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?")


def split_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Path (decoded), query string and authority of a request target.

    Raises:
        ProtocolError: the target has no form that `method` may have, or is none; the offset
            counts from the target's first character.
    """
    authority: str | None = None
    rest = target
    if method == "CONNECT":
        # RFC 9110 §9.3.6: a server refuses an empty port.
        if not is_host(target) or not target.rpartition("]")[2].rpartition(":")[2].isdecimal():
            raise ProtocolError(rules.TARGET)
        return "", "", target
    if target == "*" and method == "OPTIONS":
        return "*", "", None
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        authority, rest = absolute[1], absolute[2] or ""
        if not is_host(authority):
            raise ProtocolError(rules.TARGET)
        if not rest.startswith("/"):
            rest = "/" + rest
    parts = _PATH_AND_QUERY.fullmatch(rest)
    if parts is None:
        raise ProtocolError(rules.PERCENT if _BAD_PERCENT.search(rest) else rules.TARGET)
    path, query = parts.groups("")
    return decode_path(path), query, authority


def decode_path(path: str) -> str:
    """`path` with its percent-encoding undone; what is not UTF-8 becomes U+FFFD."""
    if "%" not in path:
        return path
    # Inside the function: most targets have none, and a parser alone starts the faster.
    from urllib.parse import unquote
    return unquote(path)


def is_host(text: str) -> bool:
    """Whether `text` is a host and, if any, a port (RFC 9110 §7.2, RFC 3986 §3.2.2); no user, no zone."""
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    address, port = match.groups()
    if port and int(port) > 65535:
        return False
    return address is None or _is_ipv6(address)


def _is_ipv6(address: str) -> bool:
    from ipaddress import AddressValueError, IPv6Address
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True
