"""What is asked for in a load run, how often, and how fast the answer has to be: plain tables.

It knows names and numbers, not locust: `locustfile` has a class for each kind of user here, and the
gate works out from the same tables what must have been asked for. That the two agree is seen at every
run: the gate fails for a name that is only here, and for one that is only there.

A user asks for one thing after the other and thinks in between, so with `wait` seconds of thought it makes
about one request in `wait + turn` seconds. Of that the gate asks for half, in all, and a fifth of each endpoint's
share: enough to notice that something stood still, and little enough for a slow machine. How slow an
answer may be is asked separately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gate import Demand, Rules


class Kind(NamedTuple):
    """A kind of user."""

    #: how many there are beside the others
    weight: int
    endpoints: tuple[str, ...]
    #: seconds that a request takes at most, if all is well, beside the user's thinking
    turn: float = 0.2
    #: milliseconds that are allowed because the user itself is slow; 0 where the server is to be fast
    slowness: float = 0


USERS: Mapping[str, Kind] = MappingProxyType({
    "BrowseUser": Kind(8, (
        "GET /", "GET /static/site.css", "GET /static/site.css (304)", "GET /static/favicon.svg",
        "GET /welcome?name=[name]",
    )),
    "ApiUser": Kind(6, ("GET /users/[id]", "GET /data?id=[id]", "POST /api/create", "POST /echo")),
    "LoginUser": Kind(3, (
        "GET /account (nobody)", "GET /login", "POST /login (wrong)", "POST /login", "GET /account",
    )),
    "UploadUser": Kind(2, ("GET /upload", "POST /upload")),
    "NewConnectionUser": Kind(3, ("GET /ping (new connection)", "POST /echo (new connection)")),
    "EventsUser": Kind(2, ("GET /events (first)", "GET /events (held)"), turn=2.5, slowness=5000),
    "SlowReaderUser": Kind(1, ("POST /echo (slow reader)",), turn=6, slowness=15_000),
    "SlowSenderUser": Kind(1, ("POST /echo (slow sender)",), turn=6, slowness=15_000),
})

SCENARIOS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "browse": ("BrowseUser",),
    "api": ("ApiUser",),
    "login": ("LoginUser",),
    "upload": ("UploadUser",),
    "events": ("EventsUser",),
    "connect": ("NewConnectionUser",),
    "slow": ("ApiUser", "SlowReaderUser", "SlowSenderUser"),
    "mixed": tuple(USERS),
})


#: Endpoints whose times tell of the user and not of the server.
SLOW = frozenset(name for kind in USERS.values() if kind.slowness for name in kind.endpoints)


def make_rules(kinds: Iterable[str], user_seconds: float, *, wait: float, p95: float, fail_ratio: float = 0) -> Rules:
    """What a run of so many users for so long must have done.

    Args:
        kinds: the names of the user classes that took part.
        user_seconds: users, summed up over the seconds of the run.
        wait: seconds that a user thinks between two requests.
        p95: milliseconds that 95 of 100 answers may take, where the user is not slow itself.
        fail_ratio: of all requests, those that may fail.
    """
    users = {name: USERS[name] for name in kinds}
    weights = sum(kind.weight for kind in users.values())
    endpoints = {}
    requests = 0.0
    for kind in users.values():
        made = user_seconds * kind.weight / weights / (wait + kind.turn)
        requests += made
        least = max(1, int(made / len(kind.endpoints) / 5))
        endpoints.update({name: Demand(least, max(p95, kind.slowness)) for name in kind.endpoints})
    return Rules(max(1, int(requests / 2)), endpoints, fail_ratio)
