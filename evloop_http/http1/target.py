"""What a request line asks for: its target, in the form that its method may have (RFC 9112 §3.2).

Most targets are a path and a query. A proxy receives a whole URL, `CONNECT` names a host and a port,
and `OPTIONS *` asks about the server as a whole. Routers, files and URLs use what a target names, so it
is split once, here, by its grammar, and never again by guessing.

A decoded path contains no NUL, CR or LF. Nobody asks for such a path in good faith, and whoever uses one is
in danger: a C library ends a file name at NUL, and a line end in a path forges a line of a log, or a header
field of a redirect. A query is not decoded here, so it may contain them.
"""

from __future__ import annotations

import re

from . import rules
from .rules import ProtocolError

# RFC 3986 §3.3 and §3.4, and what browsers and Node send there without encoding it. A run of plain
# characters is one step for the expression's engine, and `+` behind a quantifier keeps it from trying twice.
_ENCODED = r"(?:%[0-9A-Fa-f]{2}"
_IN_PATH = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/|\[\]^]*+"
_IN_QUERY = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?|\[\]\\^`{}]*+"
PATH = rf"/{_IN_PATH}{_ENCODED}{_IN_PATH})*+"
QUERY = rf"{_IN_QUERY}{_ENCODED}{_IN_QUERY})*+"

_PATH_AND_QUERY = re.compile(rf"({PATH})(?:\?({QUERY}))?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUL_OR_LINE_END = re.compile(r"[\0\r\n]")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9\-._~!$&'()*+,;=]+)(?::([0-9]{0,5}))?")


def split_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Return the path (decoded), the query string and the authority of a request target.

    Raises:
        ProtocolError: the target does not have a form that `method` may have; the offset counts from the
            target's first character.
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


def decode_path(path: str, offset: int = 0) -> str:
    """Undo the percent-encoding of `path`; octets that are not UTF-8 become U+FFFD.

    Raises:
        ProtocolError: the path contains an encoded NUL, CR or LF; at this offset.
    """
    if "%" not in path:
        return path
    # Imported here: most targets have no percent sign, and a parser alone starts sooner without it.
    from urllib.parse import unquote
    decoded = unquote(path)
    if _NUL_OR_LINE_END.search(decoded) is not None:
        raise ProtocolError(rules.PATH_CONTROL, offset)
    return decoded


def is_host(text: str) -> bool:
    """Whether `text` is a host, with or without a port (RFC 9110 §7.2, RFC 3986 §3.2.2); no user, no zone.

    No percent-encoding either, which RFC 3986 has for names outside of the DNS: one program would decode it and
    another would not, and so find another host.
    """
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
