"""How many users there are when, as plain lists of stages: nothing of locust's (see `shapes`).

* `table`: the levels of the article that this server began with, as shares of `users`: 10, 50, 100, 500
  and 1000 of a thousand. Each lasts as long as the others.
* `spike`: a tenth of the users, then in two seconds all of them, then a tenth again: what came in a rush must
  not be felt when it has gone.
* `soak`: all of them, for as long as wanted: what leaks shows with time.
* `steady` is no shape: the given users from the beginning to the end, which locust does by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple


class Stage(NamedTuple):
    """A number of users for a while."""

    seconds: float
    users: int
    #: users that come or go in a second, until there are so many
    rate: float


class Size(NamedTuple):
    """How large a run is that is not told otherwise."""

    users: int
    seconds: float


TABLE_SHARES = (0.01, 0.05, 0.1, 0.5, 1.0)
#: Share of the users, share of the time.
SPIKE_SHARES = ((0.1, 0.4), (1.0, 0.2), (0.1, 0.4))

DEFAULTS: Mapping[str, Size] = MappingProxyType({
    "steady": Size(50, 30),
    "table": Size(1000, 100),
    "spike": Size(300, 60),
    "soak": Size(50, 3600),
})
SHAPES = tuple(name for name in DEFAULTS if name != "steady")


def make_stages(shape: str, users: int, seconds: float, rate: float = 0) -> list[Stage]:
    """The stages of a run.

    Args:
        users: the most that there are at a time.
        seconds: how long it lasts.
        rate: users that come in a second; by default all of a stage within two.

    Raises:
        KeyError: there is no shape of this name.
    """
    if shape == "table":
        shares = [(share, 1 / len(TABLE_SHARES)) for share in TABLE_SHARES]
    elif shape == "spike":
        shares = list(SPIKE_SHARES)
    else:
        DEFAULTS[shape]
        shares = [(1.0, 1.0)]
    stages = []
    before = 0
    for share, part in shares:
        there = max(1, round(users * share))
        stages.append(Stage(seconds * part, there, rate or max(1.0, abs(there - before) / 2)))
        before = there
    return stages


def stage_at(stages: Sequence[Stage], elapsed: float) -> Stage | None:
    """The stage that a run is in; None when it is over."""
    for stage in stages:
        if elapsed < stage.seconds:
            return stage
        elapsed -= stage.seconds
    return None


def user_seconds(stages: Sequence[Stage]) -> float:
    """Users, summed up over the seconds of a run: less than users times seconds, for they come one by one."""
    total = 0.0
    before = 0
    for stage in stages:
        coming = min(stage.seconds, max(0, stage.users - before) / stage.rate)
        total += stage.users * stage.seconds - (stage.users - min(before, stage.users)) * coming / 2
        before = stage.users
    return total
