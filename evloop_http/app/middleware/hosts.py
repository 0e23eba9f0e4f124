"""Answer only requests for the hosts of this site.

See `app.hosts` for the attack on a server of one's own machine (DNS rebinding). A public site has another reason: if an
application makes links of `Host`, a stranger can choose where they lead, in a mail about a lost password for example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ... import messages
from ...messages import Answer, Application, Contract, HTTPError, Preparation, Response
from ..answers import CallNext
from ..hosts import LONGEST, canonical_ipv6, host_of, is_name
from ..request import Request

#: What browsers and programs of this machine call it.
LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")
#: Spellings of hosts that are remembered, each of a bounded length.
_REMEMBERED = 64


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
    check = _Check(hosts)

    def admit(request: Request, call_next: CallNext) -> Response:
        if check.refuses(request):
            raise _misdirected()
        return call_next(request)
    admit.refuses = check.refuses  # type: ignore[attr-defined]
    return admit


class TrustedHosts:
    """Any application, with 421 in place of its answer to a request for a host that is not listed.

    The same as `trusted_hosts` for what is not an `App`: `StaticFiles`, a gateway, a function.

    Args:
        hosts: see `trusted_hosts`.

    Raises:
        ValueError: see `trusted_hosts`.
        TypeError: what is given is not an application.
    """

    def __init__(self, hosts: str | Iterable[str], application: Application) -> None:
        self._contract = contract = Contract(application)
        self._check = _Check(hosts)
        self._admitted = self._check.admitted
        self._answer = contract.answer
        self._prepare = contract.prepare
        self.close = contract.close
        self.start_up = contract.start_up
        self.shut_down = contract.shut_down
        self.request_class = contract.request_class
        self.tunnels = contract.tunnels

    @property
    def needs_loop(self) -> bool:
        """Whether the application needs a running asyncio loop."""
        return self._contract.needs_loop

    def __call__(self, request: messages.Request) -> Answer:
        if request.head.authority in self._admitted or not self._check.refuses(request):
            return self._answer(request)  # type: ignore[no-any-return]
        return _misdirected().response()

    def prepare(self, request: messages.Request) -> Preparation | Answer:
        """Decide before the body; see `evloop_http.messages.contract`."""
        if self._check.refuses(request):
            return _misdirected().response()
        return self._prepare(request)  # type: ignore[no-any-return]


class _Check:
    """Which hosts are listed."""

    def __init__(self, hosts: str | Iterable[str]) -> None:
        listed = [hosts] if isinstance(hosts, str) else list(hosts)
        if not listed:
            raise ValueError("trusted_hosts needs a host, or * for all of them")
        patterns = {_checked(host) for host in listed}
        self._admits_all = "*" in patterns
        self._names = frozenset(pattern for pattern in patterns if not pattern.startswith("*"))
        self._suffixes = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*"))
        #: as clients have written them. They name the same few again and again.
        self.admitted: set[str] = set()

    def refuses(self, request: messages.Request) -> bool:
        """Return whether the host that a request asks for is not listed."""
        authority = request.head.authority
        if authority in self.admitted:
            return False
        if not self._admits_all and not self._is_listed(host_of(authority)):
            return True
        if len(authority) <= LONGEST and len(self.admitted) < _REMEMBERED:
            self.admitted.add(authority)
        return False

    def _is_listed(self, host: str) -> bool:
        return host in self._names or (bool(host) and host.endswith(self._suffixes))


def _misdirected() -> HTTPError:
    return HTTPError(421, "This server does not answer for the host that was asked for.")


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
