"""Answer only requests for the hosts of this site.

See `app.hosts` for the attack on a server of one's own machine (DNS rebinding). A public site has another reason: if an
application makes links of `Host`, a stranger can choose where they lead, in a mail about a lost password for example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from ...messages import HTTPError, Response
from ..answers import CallNext
from ..hosts import LONGEST, canonical_ipv6, host_of, is_name
from ..request import Request

#: What browsers and programs of this machine call it.
LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")


def trusted_hosts(hosts: str | Iterable[str]) -> Callable[[Request, CallNext], Response]:
    """Answer 421 to a request for any other host, before its body is received (RFC 9110 §7.4, §15.5.20).

    421 says that the target is not of an origin for which this server has been configured. A request that names no
    host, as HTTP/1.0 allows, is refused as well. Ports, case, and a dot at the end of a name are ignored.

    Args:
        hosts: names such as `example.org`; `*.example.org` for all names below it, but not for itself; IP addresses,
            an IPv6 address with or without brackets; or `*` for every host. A name with other letters than those of
            ASCII is written as it is sent: `xn--bcher-kva.example`.

    Raises:
        ValueError: an item is not the name of a host, or there is none.
    """
    listed = [hosts] if isinstance(hosts, str) else list(hosts)
    if not listed:
        raise ValueError("trusted_hosts needs a host, or * for all of them")
    patterns = {_checked(host) for host in listed}
    names = frozenset(pattern for pattern in patterns if not pattern.startswith("*"))
    suffixes = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*"))

    # Clients name the same few hosts again and again. What they may name is bounded in length, and this in number.
    @lru_cache(maxsize=64)
    def is_listed(authority: str) -> bool:
        host = host_of(authority)
        return host in names or (bool(host) and host.endswith(suffixes))

    def refuses(request: Request) -> bool:
        authority = request.host
        return len(authority) > LONGEST or not is_listed(authority)

    def admit(request: Request, call_next: CallNext) -> Response:
        if refuses(request):
            raise HTTPError(421, "This server does not answer for the host that was asked for.")
        return call_next(request)

    def admit_all(request: Request, call_next: CallNext) -> Response:
        return call_next(request)
    admit.refuses = refuses  # type: ignore[attr-defined]
    return admit_all if "*" in patterns else admit


def _checked(host: str) -> str:
    """Return the pattern of a host in one spelling: a name, an address, `*.name`, or `*`."""
    if host == "*":
        return host
    text = host.lower().removesuffix(".")
    address = canonical_ipv6(text.removeprefix("[").removesuffix("]"))
    if address:
        return address
    if not is_name(text.removeprefix("*.")):
        raise ValueError(f"{host!r} is not the name of a host: write it without scheme and port, in ASCII as it is "
                         "sent (xn--...); *.example.org stands for all names below, * for every host")
    return text
