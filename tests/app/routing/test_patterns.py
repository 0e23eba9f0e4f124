"""Patterns: what is read from a text, how a segment is cut, and the way back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.app.routing.patterns import CONVERTERS, Converter, Pattern, Placeholder, Segment, parse


def segment(text: str, separator: str = "/") -> Segment:
    """The one segment of a pattern."""
    pattern = Pattern(separator + text, CONVERTERS, separator)
    [only] = [*pattern.left, *pattern.tail]
    return only


def pieces(text: str) -> list[Any]:
    return [(piece.name, piece.converter.pattern) if isinstance(piece, Placeholder) else piece
            for piece in parse(text, CONVERTERS)]


@pytest.mark.parametrize(("text", "read"), [
    ("/", ["/"]),
    ("/{a:re(x)}", ["/", ("a", "x")]),
    ("/{a:re(x)}-{b:re(y)}", ["/", ("a", "x"), "-", ("b", "y")]),
    ("/{a:re([)}]+)}/z", ["/", ("a", "[)}]+"), "/z"]),
    ("/{a:re((x){2}(y))}", ["/", ("a", "(x){2}(y)")]),
    (r"/{a:re(\(\))}", ["/", ("a", r"\(\)")]),
    ("/{a:re()}", ["/", ("a", "")]),
])
def test_a_pattern_is_text_and_placeholders_in_turn(text: str, read: list[Any]) -> None:
    assert pieces(text) == read


@pytest.mark.parametrize(("text", "says"), [
    ("/{a:re(}", r"does not end with"), ("/{a:re(()}", "no regular expression"), ("/{a:re}", "no converter 're'"),
    ("/{a:re(x)", "does not end"), ("/{a:nope}", "known: .*int"), ("/a}/{b}", "brace"), ("/{a", "brace"),
])
def test_what_is_no_pattern_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(parse(text, CONVERTERS))


@pytest.mark.parametrize(("text", "says"), [
    ("/{a:path}/{b:path}", "more than one"), ("/{a}.{b:path}", "no other"), ("/{a}/{a}", "twice"),
    ("/{a}-{b}-{c:int}", "several placeholders of open length"), ("/{a:path}-{b}-{c:int}", "open length"),
    (r"/{a:re((?P<n>x))}{b:re((?P<n>y))}", "do not go together"),
])
def test_what_could_take_long_or_is_ambiguous_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Pattern(text, CONVERTERS)


@pytest.mark.parametrize(("text", "path", "values"), [
    ("v{a:int}.{b:int}", "v1.2", (1, 2)),
    ("v{a:int}.{b:int}", "v1.x", None),
    ("{name}-{id:int}.html", "a-b-7.html", ("a-b", 7)),
    ("{a:re((x)(y))}{b:re(([0-9])+)}", "xy12", ("xy", "12")),
    (r"{a:re((x)\1)}", "xx", ("xx",)),
    ("{a}{b}", "xyz", ("xy", "z")),
    ("{a}{b}", "x", None),
    ("-{a}", "-", None),
    ("{page:path}.{ext}", "a/b.c/d.txt", ("a/b.c/d", "txt")),
    ("{page:path}.{ext}", "a.b/c", None),
    ("x{page:path}y", "xa/by", ("a/b",)),
    ("{page:path}-{id:int}", "a/b-7", ("a/b", 7)),
    ("fixed", "fixed", ()),
    ("fixed", "fixes", None),
    ("{x:re([a-z]*)}", "", ("",)),
])
def test_a_segment_is_cut_into_values(text: str, path: str, values: tuple[Any, ...] | None) -> None:
    assert segment(text).match(path) == values


@given(st.lists(st.text("-.x", max_size=2), min_size=2, max_size=5), st.text("-.xy", max_size=20))
def test_texts_are_cut_as_a_greedy_regular_expression_cuts_them(texts: list[str], path: str) -> None:
    names = [f"p{index}" for index in range(len(texts) - 1)]
    pattern = texts[0] + "".join(f"{{{name}}}{text}" for name, text in zip(names, texts[1:], strict=True))
    expected = re.fullmatch("([^/]+)".join(map(re.escape, texts)), path)
    assert segment(pattern).match(path) == (None if expected is None else expected.groups())


def test_many_placeholders_in_a_long_segment_take_one_pass() -> None:
    # A regular expression would try 10 ** 25 ways.
    assert segment("{a}-{b}-{c}-{d}-{e}.x").match("-" * 100_000) is None
    found = segment("{a}-{b}-{c}-{d}-{e}.x").match("-" * 100_000 + ".x")
    assert found is not None
    assert "-".join(found) == "-" * 100_000


def test_a_converter_that_refuses_a_text_with_value_error_does_not_match_and_other_errors_pass() -> None:
    def convert(text: str) -> int:
        return {"a": 1}[text] if text < "c" else int(text)

    converters = {**CONVERTERS, "own": Converter("[a-z]", convert)}
    only = Pattern("/{x:own}", converters).left[0]
    assert only.match("a") == (1,)
    assert only.match("d") is None
    with pytest.raises(KeyError):
        only.match("b")
    assert Pattern("/{x:own}-{y:own}", converters).left[0].match("a-d") is None


def test_a_converter_has_a_way_back() -> None:
    months = ["jan", "feb"]
    texts = [*months, "xyz"]  # the last of which is text that the expression takes and the converter refuses
    converters = {**CONVERTERS, "month": Converter("[a-z]{3}", months.index, lambda index: texts[index])}
    pattern = Pattern("/{m:month}/{x:float}", converters)
    assert pattern.path({"m": 1, "x": 1e-7}) == "/feb/0.0000001"
    for wrong in ({"m": "feb", "x": 1}, {"m": 1, "x": "nan"}, {"m": 1, "x": None}, {"m": 1, "x": 1e300},
                  {"m": 2, "x": 1}):
        with pytest.raises(ValueError, match="cannot have these values"):
            pattern.path(wrong)


def test_a_converter_with_slashes_goes_over_several_segments() -> None:
    converters = {**CONVERTERS, "date": Converter("[0-9]{4}/[0-9]{2}", lambda text: text.split("/"),
                                                  "/".join, slashes=True)}
    pattern = Pattern("/on/{d:date}/x", converters)
    assert [only.text for only in pattern.left] == ["on"]
    assert pattern.tail[0].match("2024/05") == (["2024", "05"],)
    assert pattern.path({"d": ["2024", "05"]}) == "/on/2024/05/x"
    assert repr(pattern) == "<Pattern /on/{d:date}/x>"


@pytest.mark.parametrize("separator", ["/", "."])
def test_the_separator_cuts_the_pattern(separator: str) -> None:
    pattern = Pattern(separator.join(["", "a", "{b}", "c"]), CONVERTERS, separator)
    assert [only.text for only in pattern.left] == ["a", "", "c"]
    assert pattern.names == ("b",)
