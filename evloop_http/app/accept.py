"""What a client would rather have: the weights in `Accept`, `Accept-Encoding`, `Accept-Language`.

Each is a list of names with a weight from 0 to 1 (RFC 9110 §12.4.2), some of them wildcards:

    text/html, application/xml;q=0.9, */*;q=0.8        gzip, br;q=1.0, *;q=0

The most specific name that covers an item gives its weight; 0 means "not that". An element that is
malformed counts as not sent. Parameters other than `q` are passed over: a client that sends
`application/json; charset=utf-8` means JSON. Of one name sent twice the higher weight counts.

That `identity` is an encoding that goes without saying, only `choose_coding` knows, and that `en`
covers `en-GB`, only the caller.

All of it takes one pass over the header, however long that is. Clients repeat theirs, so what short
ones say is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

#: name to (weight, place): the earlier in the header, the higher the place
Weights = Mapping[str, tuple[float, int]]

# At most three digits by the grammar; ".2" without its zero was the default of Java's for years.
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
#: Characters; what longer headers say is not remembered, or a few clients could fill the memory.
_LONG = 256


def quality(header: str | None, item: str) -> float:
    """The weight that a header gives to an item, from 0 (not that) to 1; a header that was not sent takes everything.

    Args:
        header: `Accept` or one of its kin; None if there is none.
        item: a media type, an encoding, a language.
    """
    return 1.0 if header is None else _rank(_weights(header), item)[0]


def prefers(header: str | None, offers: Sequence[str]) -> str | None:
    """The offer with the highest weight; None if the client takes none of them.

    Of equal ones it is the one that the client named more exactly (`text/html` before `text/*`), then
    the one that it named earlier, then the one that is offered earlier. The RFC gives the order of
    names no meaning, but those who write `application/json, text/plain, */*` mean it.
    """
    if header is None:
        return offers[0] if offers else None
    weights = _weights(header)
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for offer in offers:
        rank = _rank(weights, offer)
        if rank[0] > 0 and (chosen is None or rank > best):
            best, chosen = rank, offer
    return chosen


def choose_coding(accepted: str, offered: tuple[str, ...]) -> str:
    """The content coding to answer with; empty to send the content as it is.

    Args:
        accepted: the value of `Accept-Encoding`.
        offered: the codings there are, the one we like best first: it wins where the client does not mind.
    """
    return _remembered_choice(accepted, offered) if len(accepted) <= _LONG else _choose(accepted, offered)


def _choose(accepted: str, offered: tuple[str, ...]) -> str:
    best, best_weight = "", 0.0
    for coding in offered:
        weight = quality(accepted, coding)
        if weight > best_weight:
            best, best_weight = coding, weight
    # Without a word about it, the identity is acceptable, but nobody's wish (RFC 9110 §12.5.3).
    return best if best_weight >= quality(accepted, "identity") else ""


_remembered_choice = lru_cache(maxsize=64)(_choose)


def _rank(weights: Weights, item: str) -> tuple[float, int, int]:
    """Weight, exactness and place of the most exact name that covers an item."""
    item = item.lower()
    main, slash, _ = item.partition("/")
    for exactness, name in ((2, item), (1, f"{main}/*"), (0, "*/*" if slash else "*")):
        if name in weights:
            weight, place = weights[name]
            return weight, exactness, place
    return 0.0, 0, 0


def _weights(header: str) -> Weights:
    return _remembered(header) if len(header) <= _LONG else _parse(header)


def _parse(header: str) -> Weights:
    weights: dict[str, tuple[float, int]] = {}
    for place, element in enumerate(header.split(",")):
        name, *parameters = element.split(";")
        name = name.strip(" \t").lower()
        weight = _weight(parameters)
        if name and weight is not None and (name not in weights or weights[name][0] < weight):
            weights[name] = (weight, -place)
    return weights


_remembered = lru_cache(maxsize=64)(_parse)


def _weight(parameters: list[str]) -> float | None:
    """What `q` says, 1 if it is not there; None if it is malformed."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" \t") in ("q", "Q"):
            value = value.strip(" \t")
            return min(float(value), 1.0) if _WEIGHT.fullmatch(value) else None
    return 1.0
