"""Which representation is chosen, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.app.representations import Labels, Representation, Resource, choose_coding

BOTH = ("br", "gzip")


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


def labels(types: dict[str, str] | None = None, max_age: int = 0, immutable: str | tuple[str, ...] = ()) -> Labels:
    return Labels(types or {}, max_age, immutable)


@pytest.mark.parametrize(("names", "kind"), [
    (("a.css",), "text/css; charset=utf-8"), (("a.CSS",), "text/css; charset=utf-8"),
    (("a.mjs",), "text/javascript; charset=utf-8"),
    (("a.webp",), "image/webp"), (("a.wasm",), "application/wasm"), (("link", "real.png"), "image/png"),
    (("a.css", "store/123"), "text/css; charset=utf-8"), (("x", "y"), "application/octet-stream"),
    (("a.svgz",), "application/octet-stream"), (("data:text/html,x",), "application/octet-stream"),
    (("a.tar.gz",), "application/octet-stream"),
])
def test_a_type_is_told_by_the_first_name_that_tells_it(names: tuple[str, ...], kind: str) -> None:
    assert labels().content_type(*names) == kind


def test_the_longest_suffix_wins() -> None:
    known = labels({".b": "x/b", ".a.b": "x/ab", ".c.a.b": "x/cab"})
    assert [known.content_type(name) for name in ("x.b", "x.a.b", "x.c.a.b", "xb")] == [
        "x/b", "x/ab", "x/cab", "application/octet-stream"]


def test_a_pattern_with_a_slash_is_matched_with_the_whole_path() -> None:
    known = labels(immutable=("/fonts/*", "*.v[0-9].js"))
    forever = "public, max-age=31536000, immutable"
    assert [known.cache_control(path) == forever for path in (
        "fonts/a", "fonts/sub/a", "a/fonts/b", "x.v1.js", "sub/x.v1.js", "x.v1.js.map", "x.V1.js")] == [
        True, True, False, True, True, False, False]
    assert labels(immutable="*").cache_control("x") == forever


def test_a_resource_weighs_what_it_keeps_and_is_settled_if_all_of_it_is(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    status = os.stat(tmp_path / "x")
    small, large = (Representation(labels(), "x", "/x", "/x", status, body, coding)
                    for body, coding in ((bytes(100), ""), (None, "gzip")))
    assert (small.settled, large.settled) == (False, True)
    assert Resource([], small, [large]).weight == Resource([], small).weight == Resource([], large).weight + 100
    assert Resource([], large).is_current()
    assert not Resource([], large, [small]).is_current()
    assert small.etag != large.etag
    assert dict(large.unchanged) == {name: pair for name, pair in large.fields
                                     if name in ("cache-control", "etag", "last-modified")}
