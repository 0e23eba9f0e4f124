"""Names of hosts, as requests have them: which host it is, whatever its spelling, and whether it is this machine.

Why a server looks at `Host` at all: *DNS rebinding*. A page of another site asks for `http://evil.example:8080/`, its
owner's name server now answers `127.0.0.1`, and the browser connects to a server of this machine, on behalf of
a page that may then read the answer: for the browser it is the same site. The connection comes from this machine, and
only `Host` still says `evil.example`. A page cannot choose that field.

Knows text and `ipaddress`, and no request.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

#: Characters of a name at most: 255 octets on the wire of DNS (RFC 1035 §2.3.4), two of which are not written.
_LONGEST_NAME = 253
#: Characters of an authority that are looked at: the longest name with its last dot, and a port.
LONGEST = _LONGEST_NAME + 1 + 6

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]*)?", re.IGNORECASE)
# RFC 1034 §3.5, and the underscore, which names have in local networks.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


def host_of(authority: str) -> str:
    """Return the host of an authority (`Host`), without its port, in one spelling; empty if it names none.

    Names are in lower case, without the dot of the root at their end (RFC 3986 §3.2.2). An IPv6 address has
    no brackets, and is written as RFC 5952 has it.
    """
    found = _AUTHORITY.fullmatch(authority) if len(authority) <= LONGEST else None
    if found is None:
        return ""
    host = found[1].lower()
    if host.startswith("["):
        return canonical_ipv6(host[1:-1])
    name = host.removesuffix(".")
    return name if is_name(name) else ""


def canonical_ipv6(text: str) -> str:
    """Return an IPv6 address in its one spelling (RFC 5952 §4); empty if it is not one, or has a zone."""
    try:
        address = IPv6Address("" if "%" in text else text)
    except AddressValueError:
        return ""
    mapped = address.ipv4_mapped  # §5: such an address is written with dots, as some versions of Python do
    return str(address) if mapped is None else f"::ffff:{mapped}"


def is_name(text: str) -> bool:
    """Whether `text` is the name of a host in lower case, or an IPv4 address."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a host, as `host_of` returns it, is this machine: `localhost`, a name below it, or a loopback address."""
    # RFC 6761 §6.3: no resolver asks others about these names.
    return host == "localhost" or host.endswith(".localhost") or is_loopback_address(host)


def is_loopback_address(text: str) -> bool:
    """Whether an IP address is one of this machine alone: `127.0.0.0/8` or `::1`, also as a peer that came by IPv6."""
    text = text.removeprefix("::ffff:")
    if text == "::1":
        return True
    try:
        return IPv4Address(text).is_loopback
    except AddressValueError:
        return False
