"""Preconditions: whether the client has it already, or it is still what the client thinks.

For any response that has a tag or a date, not only for files. Five header fields ask; their order
is fixed (RFC 9110 §13.2.2), because each is the fallback of a better witness:

    If-Match ─── else If-Unmodified-Since ──▶ not so: 412
    If-None-Match ─── else If-Modified-Since ──▶ so: 304 (412 where something would be changed)
    If-Range ──▶ not so: the whole, not the range

Tags are compared *strongly* (same octets; a weak tag equals nothing) where the client is to write
or to join parts, and *weakly* (good enough to show) where it only wants to save the download. What
is no tag and no date is as if it were not there, but a list of tags ends where it is malformed: a
tag may hold a comma, so that cutting at commas would find tags that nobody sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from ..messages import Body, Fields, Headers, Request, Response

#: The fields that this module reads, in lower case.
CONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})

#: Seconds from a `Last-Modified` to a `Date` that make the former a strong validator (RFC 9110 §8.8.2.2).
_STRONG_AFTER = 1

# RFC 9110 §8.8.3; before it what may stand between the items of a list (§5.6.1)
_TAG = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')

_MONTHS = {name: number for number, name in enumerate(
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1)}
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DAY_NAME = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
# The one form of today and the two of yesterday (RFC 9110 §5.6.7).
_DATES = tuple(re.compile(form) for form in (
    rf"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
    rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
    rf"{_DAY_NAME} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
))


class Shortened(Response):
    """A 304 or 206, and the 200 that it stands for: the answer to the same request without its conditions or range.

    It must have the fields by which caches tell one 200 from another (RFC 9110 §15.3.7, §15.4.5). A middleware that
    would have changed those of the 200 finds here what it would have changed.

    Attributes:
        whole: the 200. Its body is there to be looked at, and may be closed: it is not sent.
    """

    __slots__ = ("whole",)

    whole: Response

    @classmethod
    def instead_of(cls, whole: Response, body: Body, status: int, fields: Fields) -> Shortened:
        """Make a response of fields that were checked already."""
        response = cls.from_fields(body, status, fields)
        response.whole = whole
        return response


def evaluate(request: Request, etag: str = "", last_modified: float | None = None, *,
             exists: bool = True) -> int | None:
    """The status that the preconditions of a request demand; None to go on as if it had none.

    To be asked only where the answer would otherwise be a success (RFC 9110 §13.2.1), and before
    anything is changed.

    Args:
        etag: the tag of what would be sent or changed, with its quotes; empty if it has none.
        last_modified: when that was last changed, in seconds since 1970; None if nobody knows.
        exists: whether there is anything yet. A `PUT` that would create it says no.

    Returns:
        304 (only for GET and HEAD), 412, or None.
    """
    headers = request.headers
    holds = _if_match(headers, etag, exists)
    if holds is None:
        holds = _if_unmodified_since(headers, last_modified)
    if holds is False:
        return 412
    fetches = request.method in ("GET", "HEAD")
    holds = _if_none_match(headers, etag, exists)
    if holds is None and fetches:
        holds = _if_modified_since(headers, last_modified)
    if holds is False:
        return 304 if fetches else 412
    return None


def range_applies(request: Request, etag: str = "", last_modified: float | None = None, *,
                  now: float | None = None) -> bool:
    """Whether a range may be sent: the client named no version, or this very one (RFC 9110 §13.1.5).

    A date must be this one to the second; a later one is no proof, for it may be of another version. It must also be
    a strong validator: that second must be over (RFC 9110 §8.8.2.2), because there may be another change in it.
    We cannot tell whether a client fetched its copy within that second. Such a client must not use the date, and
    a client that has a tag must use the tag.

    Args:
        now: the `Date` of the response, in seconds since 1970; the default is the time.
    """
    value = request.headers.get("if-range")
    if value is None:
        return True
    if _TAG.fullmatch(value):
        return same_strongly(value.strip(" \t"), etag)
    date = parse_date(value)
    if date is None or last_modified is None or date != int(last_modified):
        return False
    return int(time.time() if now is None else now) - date >= _STRONG_AFTER


def same_strongly(one: str, other: str) -> bool:
    """Whether two tags promise the same octets (RFC 9110 §8.8.3.2)."""
    return one == other and one.startswith('"')


def same_weakly(one: str, other: str) -> bool:
    """Whether two tags stand for what may be shown in each other's place."""
    return bool(one) and one.removeprefix("W/") == other.removeprefix("W/")


def parse_tags(value: str) -> Iterator[str]:
    """The tags of a list, up to where it is malformed."""
    found = _TAG.match(value)
    while found is not None:
        yield found[1]
        found = _TAG.match(value, found.end())


def parse_date(value: str) -> int | None:
    """A date of a header, in seconds since 1970; None if it is no date in one of the three forms, always in GMT."""
    for form in _DATES:
        found = form.fullmatch(value)
        if found is not None:
            return _seconds(found.groupdict())
    return None


def _seconds(parts: dict[str, str]) -> int | None:
    year = int(parts["year"])
    if len(parts["year"]) == 2:  # a form older than 1990: what it can mean are the years 1970 to 2069
        year += 1900 if year >= 70 else 2000
    second = int(parts["second"])
    is_leap = second == 60  # the grammar has it, the calendar of Python has not
    try:
        date = datetime(year, _MONTHS[parts["month"]], int(parts["day"]), int(parts["hour"]), int(parts["minute"]),
                        second - is_leap, tzinfo=UTC)
    except ValueError:
        return None
    return int(date.timestamp()) + is_leap


# One function for each field: True or False if it was asked and answered, None if it was not.


def _if_match(headers: Headers, etag: str, exists: bool) -> bool | None:
    value = headers.get("if-match")
    if value is None:
        return None
    if value == "*":
        return exists
    return exists and any(same_strongly(tag, etag) for tag in parse_tags(value))


def _if_unmodified_since(headers: Headers, last_modified: float | None) -> bool | None:
    date = parse_date(headers.get("if-unmodified-since", ""))
    return None if date is None or last_modified is None else int(last_modified) <= date


def _if_none_match(headers: Headers, etag: str, exists: bool) -> bool | None:
    value = headers.get("if-none-match")
    if value is None:
        return None
    if value == "*":
        return not exists
    return not (exists and any(same_weakly(tag, etag) for tag in parse_tags(value)))


def _if_modified_since(headers: Headers, last_modified: float | None) -> bool | None:
    date = parse_date(headers.get("if-modified-since", ""))
    return None if date is None or last_modified is None else int(last_modified) > date
