"""Preconditions: their order, and how tags and dates are compared."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import make_request
from evloop_http.app.conditions import evaluate, parse_date, parse_tags, range_applies, same_strongly, same_weakly

NOW = 1_700_000_000
NOW_TEXT, BEFORE, AFTER = (formatdate(NOW + shift, usegmt=True) for shift in (0, -1, +1))
METHODS = ("GET", "HEAD", "PUT", "DELETE", "PATCH")


@pytest.mark.parametrize(("headers", "reading", "writing"), [
    ({}, None, None),
    ({"If-Match": '"a"'}, None, None),
    ({"If-Match": '"b", "a"'}, None, None),
    ({"If-Match": "*"}, None, None),
    ({"If-Match": '"b"'}, 412, 412),
    ({"If-Match": 'W/"a"'}, 412, 412),
    ({"If-Match": "a"}, 412, 412),
    ({"If-Match": ""}, 412, 412),
    ({"If-Unmodified-Since": NOW_TEXT}, None, None),
    ({"If-Unmodified-Since": AFTER}, None, None),
    ({"If-Unmodified-Since": BEFORE}, 412, 412),
    ({"If-Unmodified-Since": "yesterday"}, None, None),
    ({"If-None-Match": '"a"'}, 304, 412),
    ({"If-None-Match": 'W/"a"'}, 304, 412),
    ({"If-None-Match": '"b", W/"a"'}, 304, 412),
    ({"If-None-Match": "*"}, 304, 412),
    ({"If-None-Match": '"b"'}, None, None),
    ({"If-None-Match": '"A"'}, None, None),
    ({"If-Modified-Since": NOW_TEXT}, 304, None),
    ({"If-Modified-Since": AFTER}, 304, None),
    ({"If-Modified-Since": BEFORE}, None, None),
    ({"If-Modified-Since": f"{NOW_TEXT}, {NOW_TEXT}"}, None, None),
    # The better witness is asked alone, and those of writing go first.
    ({"If-Match": '"a"', "If-Unmodified-Since": BEFORE}, None, None),
    ({"If-Match": '"b"', "If-Unmodified-Since": AFTER}, 412, 412),
    ({"If-None-Match": '"b"', "If-Modified-Since": AFTER}, None, None),
    ({"If-None-Match": '"a"', "If-Modified-Since": BEFORE}, 304, 412),
    ({"If-Match": '"b"', "If-None-Match": '"a"'}, 412, 412),
    ({"If-Match": '"a"', "If-None-Match": '"a"'}, 304, 412),
    ({"If-Match": '"a"', "If-Modified-Since": AFTER}, 304, None),
    ({"If-Unmodified-Since": BEFORE, "If-Modified-Since": AFTER}, 412, 412),
    ({"If-Unmodified-Since": AFTER, "If-None-Match": '"a"'}, 304, 412),
])
def test_the_conditions_are_asked_in_their_order(headers: dict[str, str], reading: int | None,
                                                 writing: int | None) -> None:
    for method in METHODS:
        expected = reading if method in ("GET", "HEAD") else writing
        assert evaluate(make_request(method, "/", headers), '"a"', NOW) == expected
        assert evaluate(make_request(method, "/", headers), '"a"', NOW + 0.9) == expected


@pytest.mark.parametrize(("headers", "status"), [
    ({"If-Match": "*"}, 412), ({"If-Match": '"a"'}, 412), ({"If-None-Match": "*"}, None),
    ({"If-None-Match": '"a"'}, None),
    ({"If-Unmodified-Since": BEFORE}, None), ({"If-Modified-Since": AFTER}, None),
])
def test_what_does_not_exist_yet_matches_nothing(headers: dict[str, str], status: int | None) -> None:
    assert evaluate(make_request("PUT", "/", headers), exists=False) == status


def test_without_tag_or_date_only_the_star_matches() -> None:
    for headers, status in [({"If-None-Match": "*"}, 304), ({"If-None-Match": '""'}, None), ({"If-Match": '"a"'}, 412),
                            ({"If-Match": "*"}, None), ({"If-Unmodified-Since": BEFORE}, None),
                            ({"If-Modified-Since": AFTER}, None), ({"If-None-Match": ""}, None)]:
        assert evaluate(make_request("GET", "/", headers)) == status


def test_several_lines_are_one_list() -> None:
    request = make_request("GET", "/", [("If-None-Match", '"b"'), ("If-None-Match", '"a"')])
    assert evaluate(request, '"a"') == 304


def test_a_weak_tag_is_good_enough_to_show_but_not_to_write() -> None:
    assert evaluate(make_request("GET", "/", {"If-None-Match": '"a"'}), 'W/"a"') == 304
    assert evaluate(make_request("PUT", "/", {"If-Match": 'W/"a"'}), 'W/"a"') == 412
    assert evaluate(make_request("PUT", "/", {"If-Match": '"a"'}), 'W/"a"') == 412
    for one, other in itertools.product(('"a"', 'W/"a"', '"b"', 'W/"b"', ""), repeat=2):
        assert same_strongly(one, other) == (one == other and one in ('"a"', '"b"'))
        assert same_weakly(one, other) == (one != "" and one[-3:] == other[-3:])


@pytest.mark.parametrize(("value", "tags"), [
    ('"a"', ['"a"']), ('"a,b" , "c"', ['"a,b"', '"c"']), (',, W/"a",,"b",', ['W/"a"', '"b"']), ('""', ['""']),
    ("", []), ("a", []), ('"a', []), ('"a" "b"', []), ('"a", b, "c"', ['"a"']), ('w/"a"', []), ('"a b"', []),
    ('"\xe4"', ['"\xe4"']), ('"b,"a"', []), ("\t\"a\"\t,", ['"a"']),
])
def test_a_list_of_tags_ends_where_it_is_malformed(value: str, tags: list[str]) -> None:
    assert list(parse_tags(value)) == tags


_TAGS = st.builds("{}\"{}\"".format, st.sampled_from(["", "W/"]),
                  st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7e, exclude_characters='"')))


@given(st.lists(_TAGS, min_size=1, max_size=20))
def test_a_list_of_tags_is_read_back(tags: list[str]) -> None:
    assert list(parse_tags(", ".join(tags))) == tags
    assert list(parse_tags(",".join(tags))) == tags


def test_a_long_list_takes_no_long_time() -> None:
    for value in ('"a",' * 100_000, " ," * 100_000, '"' + "a" * 100_000, '"a" ' * 100_000, "W/" * 100_000):
        assert evaluate(make_request("GET", "/"), '"x"') is None
        assert '"x"' not in parse_tags(value)


# -- dates


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_a_date_is_read_in_all_three_forms(date: datetime) -> None:
    date = date.replace(microsecond=0, tzinfo=UTC)
    seconds = int(date.timestamp())
    assert parse_date(format_datetime(date, usegmt=True)) == seconds
    assert parse_date(f"{date:%a %b} {date.day:2} {date:%H:%M:%S} {date.year:04}") == seconds
    if date.year < 2070:
        assert parse_date(f"{date:%A, %d-%b-%y %H:%M:%S} GMT") == seconds


def test_two_digits_are_a_year_from_1970_to_2069() -> None:
    for digits, year in ((69, 2069), (70, 1970), (99, 1999), (0, 2000)):
        date = datetime(year, 3, 1, tzinfo=UTC)
        assert parse_date(f"Sunday, 01-Mar-{digits:02} 00:00:00 GMT") == int(date.timestamp())


@pytest.mark.parametrize("value", [
    "", "0", "-1", "Tue, 14 Nov 2023 22:13:20", "Tue, 14 Nov 2023 22:13:20 UTC", "Tue, 14 Nov 2023 22:13:20 +0000",
    "tue, 14 nov 2023 22:13:20 gmt", "Tue, 31 Feb 2023 22:13:20 GMT", "Tue, 14 Nov 2023 24:00:00 GMT",
    "Tue, 14 Nov 2023 22:13:20 GMT ", "14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 0000 22:13:20 GMT",
    "2023-11-14T22:13:20Z",
    "Tue, \u0661\u0664 Nov 2023 22:13:20 GMT",
])
def test_what_is_no_date_is_none(value: str) -> None:
    assert parse_date(value) is None


def test_a_leap_second_is_a_second() -> None:
    # RFC 9110 §5.6.7: the second is "00" to "60".
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == parse_date("Sun, 01 Jan 2017 00:00:00 GMT")
    assert parse_date("Sat, 31 Dec 2016 23:59:61 GMT") is None


@given(st.text(st.characters(max_codepoint=255)) | st.from_regex(
    r"\A[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z"))
def test_any_text_is_a_date_or_none(value: str) -> None:
    date = parse_date(value)
    assert date is None or isinstance(date, int)


# -- If-Range


@pytest.mark.parametrize(("value", "applies"), [
    ('"a"', True), ('"b"', False), ('W/"a"', False), ("*", False), ("", False), ("a", False), ('"a", "b"', False),
    (NOW_TEXT, True), (BEFORE, False), (AFTER, False), ("yesterday", False),
])
def test_a_range_is_of_this_very_version(value: str, applies: bool) -> None:
    assert range_applies(make_request("GET", "/", {"If-Range": value}), '"a"', NOW + 0.5) == applies
    assert range_applies(make_request("GET", "/"), '"a"', NOW)
    assert not range_applies(make_request("GET", "/", {"If-Range": value}))
    assert not range_applies(make_request("GET", "/", {"If-Range": 'W/"a"'}), 'W/"a"')


def test_a_date_is_a_strong_validator_when_a_second_has_passed_since() -> None:
    # RFC 9110 §13.1.5, step 1, and §8.8.2.2: within the second of a change there may be another one.
    request = make_request("GET", "/", {"If-Range": NOW_TEXT})
    for now, applies in ((NOW, False), (NOW + 0.9, False), (NOW + 1, True), (NOW + 60, True), (NOW - 60, False)):
        assert range_applies(request, "", NOW + 0.5, now=now) is applies


def test_a_tag_is_a_strong_validator_at_once() -> None:
    assert range_applies(make_request("GET", "/", {"If-Range": '"a"'}), '"a"', NOW, now=NOW)
