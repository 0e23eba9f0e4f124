"""The tree of patterns, against trying them one by one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from evloop_http.app.routing.patterns import CONVERTERS, Pattern
from evloop_http.app.routing.tree import Leaf, Tree

SEGMENTS = st.sampled_from(["a", "b", "", "7", "{int}", "{str}", "a{str}"])


def patterns() -> st.SearchStrategy[list[str]]:
    """Distinct patterns, each placeholder with a name of its own."""
    ends = st.sampled_from(["", "/{path}", "/{path}/b", "/{path}/{str}"])
    beginnings = st.lists(SEGMENTS, min_size=1, max_size=4)
    one = st.builds(lambda segments, end: "/" + "/".join(segments) + end, beginnings, ends)
    return st.lists(one.map(number_names), max_size=12, unique=True)


def number_names(pattern: str) -> str:
    parts = re.split(r"\{(\w+)\}", pattern)
    return "".join(f"{{p{index}:{part}}}" if index % 2 else part for index, part in enumerate(parts))


def matches(pattern: str, path: str) -> bool:
    """What the pattern says, as one regular expression."""
    kinds = {"int": "-?[0-9]{1,18}", "str": "[^/]+", "path": ".+"}
    parts = re.split(r"\{\w+:(\w+)\}", pattern)
    expression = "".join(f"({kinds[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.fullmatch(expression, path, re.DOTALL) is not None


def grown(texts: list[str]) -> Tree[str]:
    tree: Tree[str] = Tree()
    for text in texts:
        tree.add(Pattern(text, CONVERTERS))["GET"] = text
    return tree


@given(patterns(), st.lists(st.sampled_from(["a", "b", "", "7", "ab", "x"]), min_size=1, max_size=6))
def test_a_path_is_found_if_and_only_if_some_pattern_matches_it(texts: list[str], segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    matching = [text for text in texts if matches(text, path)]
    found = grown(texts).find(path, "GET", [])
    if found is None:
        assert not matching
    else:
        assert found[0] in matching
        assert len(found[1]) == found[0].count("{")


@given(patterns(), st.lists(st.sampled_from(["a", "7", "ab"]), min_size=1, max_size=6))
def test_what_has_another_key_only_is_told(texts: list[str], segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    missed: list[Leaf[str]] = []
    assert grown(texts).find(path, "PUT", missed) is None
    assert sorted(leaf["GET"] for leaf in missed) == sorted(text for text in texts if matches(text, path))


@given(st.permutations(["/a/b", "/a/{x}", "/{x}/b", "/{x:int}/b", "/{x:int}/{y}", "/{x:path}", "/a/{x:path}",
                        "/{x:path}/c", "/a/x{y}"]))
def test_the_order_of_registration_does_not_matter_between_unequals(texts: list[str]) -> None:
    tree = grown(texts)
    found = [tree.find(path, "GET", []) for path in ("/a/b", "/a/c", "/a/xy", "/7/b", "/7/c", "/x/b", "/x/c",
                                                     "/x/d", "/a/b/c")]
    assert [one and one[0] for one in found] == ["/a/b", "/a/{x}", "/a/x{y}", "/{x:int}/b", "/{x:int}/{y}", "/{x}/b",
                                                 "/{x:path}/c", "/{x:path}", "/a/{x:path}"]
