"""Names to values where a name may have several: the parameters of a URL, the fields of a form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")


class MultiDict(Mapping[str, V], Generic[V]):
    """Names to values in order, where a name may have several: `[name]` is the first."""

    __slots__ = ("_lists",)

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._lists: dict[str, list[V]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> V:
        return self._lists[name][0]

    @overload
    def get(self, name: str) -> V | None: ...
    @overload
    def get(self, name: str, default: D) -> V | D: ...
    @overload
    def get(self, name: str, default: D, type: Callable[[Any], D]) -> D: ...
    def get(self, name: str, default: Any = None, type: Callable[[Any], Any] | None = None) -> Any:
        """The first value of `name`, through `type` if given; `default` if it is missing or `type` refuses it."""
        try:
            value = self._lists[name][0]
            return value if type is None else type(value)
        except (KeyError, ValueError, TypeError):
            return default

    def get_all(self, name: str) -> list[V]:
        """Every value of `name`, in order."""
        return list(self._lists.get(name, ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __repr__(self) -> str:
        return f"MultiDict({[(name, value) for name, values in self._lists.items() for value in values]!r})"


def parse_urlencoded(text: str) -> MultiDict[str]:
    """`a=1&b=2` as a `MultiDict`; what is not UTF-8 becomes U+FFFD."""
    if not text:
        return MultiDict()
    # Inside the function: whoever imports only the parser need not load it.
    from urllib.parse import parse_qsl
    return MultiDict(parse_qsl(text, keep_blank_values=True, separator="&"))
