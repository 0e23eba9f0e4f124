"""What a client would rather have: the weights in `Accept`, `Accept-Encoding`, `Accept-Language`.

Each is a list of names with a weight from 0 to 1 (RFC 9110 §12.4.2), some of them wildcards:

    text/html, application/xml;q=0.9, */*;q=0.8        gzip, br;q=1.0, *;q=0

The most specific name that covers an item gives its weight; 0 means "not that". An element that is
malformed counts as not sent. Of one name sent twice the higher weight counts.

*Parameters of media types* (RFC 9110 §12.5.1). `text/plain;format=flowed` covers only what has this parameter, and
`text/plain` whatever parameters it has, `text/html; charset=utf-8` of `text/html` for example. The more parameters, the
more specific. There are two allowances. `charset` is passed over: a client that sends `application/json;
charset=utf-8` means JSON. And where a header names a type only with parameters, and nothing else covers it, the
type is taken for it: better than to answer 406.

That `identity` is an encoding that goes without saying, only `choose_coding` knows, and that `en`
covers `en-GB`, only the caller.

All of it takes one pass over the header, however long that is. Clients repeat theirs, so what short
ones say is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

Parameters = frozenset[str]
#: name, then parameters, to (weight, place): the earlier in the header, the higher the place
Weights = Mapping[str, Mapping[Parameters, tuple[float, int]]]
#: how well an item is covered: weight, exactness of the name, number of parameters, place
Rank = tuple[float, int, int, int]

# At most three digits by the grammar; ".2" without its zero was the default of Java's for years.
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_PASSED_OVER = frozenset({"", "q", "charset"})
_NONE: Parameters = frozenset()
_UNCOVERED: Rank = (0.0, -1, 0, 0)
#: Characters; what longer headers say is not remembered, or a few clients could fill the memory.
_LONG = 256


def quality(header: str | None, item: str) -> float:
    """The weight that a header gives to an item, from 0 (not that) to 1; a header that was not sent takes everything.

    Args:
        header: `Accept` or one of its kin; None if there is none.
        item: a media type, with parameters or without; an encoding; a language.
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
    best = _UNCOVERED
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


def _rank(weights: Weights, item: str) -> Rank:
    """Return how well the most specific name covers an item."""
    name, parameters = item.lower(), _NONE
    if ";" in name:
        name, *words = name.split(";")
        name, parameters = name.strip(" \t"), _parameters(words)
    main, slash, _ = name.partition("/")
    for exactness, known in ((2, name), (1, f"{main}/*"), (0, "*/*" if slash else "*")):
        named = weights.get(known)
        covering = [] if named is None else [words for words in named if words <= parameters]
        if named is not None and covering:
            most = max(covering, key=len)
            weight, place = named[most]
            return weight, exactness, len(most), place
    if not parameters and name in weights:
        weight, place = max(weights[name].values())
        return weight, -1, 0, place
    return _UNCOVERED


def _weights(header: str) -> Weights:
    return _remembered(header) if len(header) <= _LONG else _parse(header)


def _parse(header: str) -> Weights:
    weights: dict[str, dict[Parameters, tuple[float, int]]] = {}
    for place, element in enumerate(header.split(",")):
        name, *words = element.lower().split(";")
        name = name.strip(" \t")
        weight = _weight(words)
        if not name or weight is None:
            continue
        named = weights.setdefault(name, {})
        parameters = _parameters(words) if words else _NONE
        if parameters not in named or named[parameters][0] < weight:
            named[parameters] = (weight, -place)
    return weights


_remembered = lru_cache(maxsize=64)(_parse)


def _weight(words: list[str]) -> float | None:
    """Return what `q` says, 1 if it is not there; None if it is malformed."""
    for word in words:
        name, _, value = word.partition("=")
        if name.strip(" \t") == "q":
            value = value.strip(" \t")
            return min(float(value), 1.0) if _WEIGHT.fullmatch(value) else None
    return 1.0


def _parameters(words: list[str]) -> Parameters:
    """Return the parameters that tell types apart, each in one spelling."""
    pairs = [word.partition("=") for word in words]
    named = [(name.strip(" \t"), value.strip(" \t").strip('"')) for name, _, value in pairs]
    return frozenset([f"{name}={value}" for name, value in named if name not in _PASSED_OVER])
