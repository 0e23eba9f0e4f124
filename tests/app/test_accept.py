"""Weights in Accept and its kin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import make_request
from evloop_http.app.accept import choose_coding, prefers, quality

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
OFFERS = ("text/plain", "application/json", "text/html")
BOTH = ("br", "gzip")


@pytest.mark.parametrize(("header", "chosen"), [
    (None, "text/plain"),
    ("*/*", "text/plain"),
    (BROWSER, "text/html"),
    ("application/json", "application/json"),
    ("APPLICATION/JSON", "application/json"),
    ("application/json; charset=utf-8", "application/json"),
    ("application/json, text/plain, */*", "application/json"),
    ("text/html;q=0.5, application/json;q=0.8", "application/json"),
    ("text/*;q=0.5, application/*;q=0.4", "text/plain"),
    ("text/*, text/html;q=0.9", "text/plain"),
    ("text/*, text/html", "text/html"),
    ("text/*, text/plain;q=0", "text/html"),
    ("*/*, application/json", "application/json"),
    ("text/html, image/gif, *; q=.2, */*; q=.2", "text/html"),
    ("*/*;q=0", None),
    ("image/png", None),
    ("", None),
    (",,;q=1, ;", None),
    ("text/html;q=x, application/json;q=0.1", "application/json"),
    ("text/html;q=, text/plain;q=0.001", "text/plain"),
])
def test_the_client_gets_what_it_would_rather_have(header: str | None, chosen: str | None) -> None:
    assert prefers(header, OFFERS) == chosen


def test_of_nothing_nothing_is_chosen() -> None:
    assert prefers(None, ()) is None
    assert prefers("*/*", ()) is None


@pytest.mark.parametrize(("header", "item", "weight"), [
    (None, "gzip", 1.0),
    ("", "gzip", 0.0),
    ("gzip, br;q=0.5", "br", 0.5),
    ("gzip, br;q=0.5", "zstd", 0.0),
    ("gzip, *;q=0.3", "zstd", 0.3),
    ("*, gzip;q=0", "gzip", 0.0),
    ("gzip;q=1.0", "GZIP", 1.0),
    ("gzip ; Q=0.7", "gzip", 0.7),
    ("gzip;q=7", "gzip", 0.0),
    ("gzip;q=1.9", "gzip", 1.0),
    ("gzip;q=0.1, gzip;q=0.6", "gzip", 0.6),
    ("text/html;level=1;q=0.4", "text/html", 0.4),
    ("*", "text/html", 0.0),
    ("de-AT;q=0.4, *;q=0.1", "de-at", 0.4),
])
def test_an_item_has_the_weight_of_the_most_exact_name(header: str | None, item: str, weight: float) -> None:
    assert quality(header, item) == weight


# RFC 9110 §12.5.1, its example and its table
TABLE = ("text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed,\n"
         "       text/plain;format=fixed;q=0.4, */*;q=0.5").replace("\n", "")


@pytest.mark.parametrize(("item", "weight"), [
    ("text/plain;format=flowed", 1.0), ("text/plain", 0.7), ("text/html", 0.3), ("image/jpeg", 0.5),
    ("text/plain;format=fixed", 0.4), ("text/html;level=3", 0.3),
    ("text/plain; Format=Flowed; charset=utf-8", 1.0), ('text/plain;format="flowed"', 1.0),
    ("text/plain;format=other", 0.7), ("text/plain; charset=utf-8", 0.7),
])
def test_parameters_count_as_in_the_table_of_the_rfc(item: str, weight: float) -> None:
    assert quality(TABLE, item) == weight


@pytest.mark.parametrize(("header", "item", "weight"), [
    # RFC 9110 §12.5.1: a range without parameters covers a type with any.
    ("text/html", "text/html; charset=utf-8", 1.0), ("text/html;q=0.5", "text/html;level=1", 0.5),
    ("text/*;q=0.5", "text/html;level=1", 0.5),
    ("text/html;level=1;q=0.4, text/html;level=1;x=y;q=0.2", "text/html;x=y;level=1;z=0", 0.2),
    ("text/html;level=1", "text/html;level=2", 0.0), ("text/html;level=1, */*;q=0.1", "text/html;level=2", 0.1),
    ("text/html;level=1, */*;q=0.1", "text/html", 0.1),
    # Whatever its place, `q` is the weight.
    ("text/html;q=0.4;level=1", "text/html;level=1", 0.4),
    # What the client means.
    ("application/json; charset=utf-8, */*;q=0.1", "application/json", 1.0),
    ("text/html;level=1;q=0.4, text/html;level=2;q=0.6", "text/html", 0.6),
    ("text/html;;", "text/html", 1.0),
])
def test_a_range_with_parameters_covers_what_has_them(header: str, item: str, weight: float) -> None:
    assert quality(header, item) == weight
    assert quality(header + " " * 300, item) == weight


def test_an_offer_with_a_parameter_is_chosen_as_it_was_offered() -> None:
    assert prefers("text/html, */*;q=0.1", ("text/plain", "text/html; charset=utf-8")) == "text/html; charset=utf-8"
    assert make_request(headers={"Accept": "text/html"}).accepts("text/html; charset=utf-8")


@given(st.text(st.sampled_from("ab/*;q=,.01 \t\"\\"), max_size=300))
def test_any_header_is_read_and_what_is_chosen_was_offered_and_is_wanted(header: str) -> None:
    offers = ("a/b", "b/a", "a", "a/b;a=0", "a/*;b=a")
    chosen = prefers(header, offers)
    weights = {offer: quality(header, offer) for offer in offers}
    assert all(0 <= weight <= 1 for weight in weights.values())
    assert (chosen is None) == (max(weights.values()) == 0)
    if chosen is not None:
        assert weights[chosen] == max(weights.values())


def test_a_header_of_any_length_is_read_in_one_pass() -> None:
    header = "a/b;" * 50_000 + "q=0.5," * 50_000 + "a/b;x=y;z=1," * 10_000 + "text/html"
    assert prefers(header, OFFERS) == "text/html"
    assert quality(header, "text/html") == 1.0


# Content codings

@pytest.mark.parametrize(("accepted", "chosen"), [
    ("", ""), ("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("gzip;q=1, br;q=0.9", "gzip"), ("*", "br"),
    ("br;q=0, *", "gzip"), ("gzip;q=0", ""), ("*;q=0", ""), ("identity;q=0", ""), ("identity", ""),
    ("identity;q=0.5, gzip;q=0.5", "gzip"), ("identity, gzip;q=0.9", ""), ("deflate, zstd", ""),
    ("gzip;q=0.001", "gzip"),
    ("gzip;q=nonsense", ""), ("GZIP", "gzip"), (";q=1,,=", ""),
])
def test_the_coding_is_the_one_the_client_likes_best(accepted: str, chosen: str) -> None:
    assert choose_coding(accepted, BOTH) == chosen
    assert choose_coding(accepted, ()) == ""


_CODINGS = st.dictionaries(st.sampled_from(["br", "gzip", "identity", "*"]), st.integers(0, 10))


@given(_CODINGS)
def test_what_the_client_refuses_is_never_chosen(weights: dict[str, int]) -> None:
    chosen = choose_coding(", ".join(f"{name};q={weight / 10}" for name, weight in weights.items()), BOTH)
    if chosen:
        assert weights.get(chosen, weights.get("*", 0)) > 0


def test_a_coding_is_chosen_alike_whether_the_answer_is_remembered_or_too_long_for_that() -> None:
    for accepted, chosen in (("br;q=0.5, gzip", "gzip"), ("gzip;q=0.5, identity", "")):
        assert choose_coding(accepted, BOTH) == choose_coding(accepted + " " * 1000, BOTH) == chosen
