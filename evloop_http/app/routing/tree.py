"""Which of many patterns matches, segment by segment.

A tree whose levels are the segments of a path. From each node, fixed segments are one look-up away,
however many there are; segments with placeholders are tried in the order of their rank; patterns whose
rest goes over several segments come last. Where a way leads nowhere, the next one is tried. So, on
each level, fixed text goes before placeholders, tight ones before loose ones, and the order of
registration counts only between equals.

*On time.* A node stands at one depth and is reached by one way, so it is visited once for a path at
most, and only where the segments before it match: the work is bounded by what was registered, and
does not grow with the path beyond reading it once. A path is cut only as deep as the tree goes.
"""

from __future__ import annotations

from bisect import insort
from typing import Any, Generic, TypeVar

from .patterns import Match, Pattern, Segment

T = TypeVar("T")

#: What a pattern leads to: values by key (routes by method)
Leaf = dict[str, T]


class Node(Generic[T]):
    """Where the paths are that begin alike."""

    __slots__ = ("_children", "_tails", "fixed", "leaf", "loose", "tails")

    def __init__(self) -> None:
        self.leaf: Leaf[T] = {}
        self.fixed: dict[str, Node[T]] = {}
        #: by rank: segments with placeholders, and patterns for all the rest
        self.loose: list[tuple[tuple[int, int], Match, Node[T]]] = []
        self.tails: list[tuple[tuple[int, int], Match, list[Match], Leaf[T]]] = []
        self._children: dict[Any, Node[T]] = {}
        self._tails: dict[Any, Leaf[T]] = {}

    def child(self, segment: Segment) -> Node[T]:
        """The node behind a segment, made if it is not there."""
        if not segment.names:
            return self.fixed.setdefault(segment.text, Node())
        if segment.key not in self._children:
            self._children[segment.key] = node = Node[T]()
            insort(self.loose, (segment.rank, segment.match, node), key=lambda entry: entry[0])
        return self._children[segment.key]

    def tail(self, segments: list[Segment]) -> Leaf[T]:
        """What a pattern for all the rest leads to, made if it is not there."""
        key = tuple([segment.key for segment in segments])
        if key not in self._tails:
            leaf: Leaf[T] = {}
            self._tails[key] = leaf
            rank = (segments[0].rank[0], sum([segment.rank[1] for segment in segments]))
            entry = (rank, segments[0].match, [segment.match for segment in segments[1:]], leaf)
            insort(self.tails, entry, key=lambda entry: entry[0])
        return self._tails[key]


class Tree(Generic[T]):
    """Patterns and what they lead to."""

    def __init__(self, separator: str = "/") -> None:
        self._separator = separator
        self._root: Node[T] = Node()
        #: segments that any way has at most, without its tail
        self._depth = 0

    def add(self, pattern: Pattern) -> Leaf[T]:
        """What a pattern leads to, to be filled; the same for all patterns that match the same."""
        node = self._root
        for segment in pattern.left:
            node = node.child(segment)
        self._depth = max(self._depth, len(pattern.left))
        return node.tail(pattern.tail) if pattern.tail else node.leaf

    def find(self, path: str, key: str, missed: list[Leaf[T]]) -> tuple[T, tuple[Any, ...]] | None:
        """The first value under `key` that a path leads to, and the values of the placeholders on the way.

        Args:
            path: begins with the separator.
            key: a method, say.
            missed: is given what the path leads to that has no such key.
        """
        # One more than there are levels: the last one holds all the rest, which only a tail can take.
        return self._walk(self._root, path.split(self._separator, self._depth + 1), 1, (), key, missed)

    def _walk(self, node: Node[T], segments: list[str], index: int, values: tuple[Any, ...], key: str,
              missed: list[Leaf[T]]) -> tuple[T, tuple[Any, ...]] | None:
        if index == len(segments):
            return _pick(node.leaf, values, key, missed)
        segment = segments[index]
        child = node.fixed.get(segment)
        if child is not None:
            found = self._walk(child, segments, index + 1, values, key, missed)
            if found is not None:
                return found
        for _, match, child in node.loose:
            taken = match(segment)
            if taken is not None:
                found = self._walk(child, segments, index + 1, values + taken, key, missed)
                if found is not None:
                    return found
        return self._walk_tails(node, segments, index, values, key, missed) if node.tails else None

    def _walk_tails(self, node: Node[T], segments: list[str], index: int, values: tuple[Any, ...], key: str,
                    missed: list[Leaf[T]]) -> tuple[T, tuple[Any, ...]] | None:
        rest = self._separator.join(segments[index:])
        for _, match, behind, leaf in node.tails:
            wide, *last = rest.rsplit(self._separator, len(behind)) if behind else (rest,)
            if len(last) != len(behind):
                continue
            taken = [match(wide), *[match(segment) for match, segment in zip(behind, last, strict=True)]]
            if None not in taken:
                found = _pick(leaf, sum([part for part in taken if part is not None], values), key, missed)
                if found is not None:
                    return found
        return None


def _pick(leaf: Leaf[T], values: tuple[Any, ...], key: str, missed: list[Leaf[T]]) -> tuple[T, tuple[Any, ...]] | None:
    if key in leaf:
        return leaf[key], values
    if leaf:
        missed.append(leaf)
    return None
