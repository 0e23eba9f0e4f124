"""Which representation is chosen, and what is said of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evloop_http.app.static.representations import Labels, Representation, Resource, validators


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


def test_a_file_is_told_from_what_it_was_and_from_its_copies(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("one")
    os.utime(tmp_path / "x", (1, 1))
    status = os.stat(tmp_path / "x")
    assert validators(status) == ('"3b9aca00-3"', 1)
    assert validators(status, "gzip") == ('"3b9aca00-3-gzip"', 1)
    os.utime(tmp_path / "x", (2, 2))
    assert validators(os.stat(tmp_path / "x")) == ('"77359400-3"', 2)


@pytest.mark.parametrize("seconds", [-5, 2**33])
def test_a_time_that_cannot_be_is_not_told(tmp_path: Path, seconds: int) -> None:
    (tmp_path / "x").touch()
    os.utime(tmp_path / "x", (seconds, seconds))
    assert 0 <= validators(os.stat(tmp_path / "x"))[1] <= time.time()
