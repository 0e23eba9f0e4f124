"""Header fields: what may stand in them, and the two kinds of collections that carry them.

*A line end in a header is a second header.* Whoever can put CR or LF into a name or a value can
forge fields, or whole responses (CVE-2018-1000164 and its many kin). So both classes refuse CR,
LF and NUL at birth, wherever the text came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

#: name in lower case, and (name as written, value): an item of the table that headers are looked up in
Field = tuple[str, tuple[str, str]]
Fields = tuple[Field, ...]
Index = dict[str, tuple[str, str]]
HeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# VCHAR, obs-text, SP and HTAB: RFC 9110 §5.5. One character is one byte on the wire.
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 §5.6.2), as methods and field names must be."""
    return _TOKEN.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Whether every character of `text` may stand in a field value (RFC 9110 §5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None


def make_field(name: str, value: str) -> Field:
    """A checked header field.

    Raises:
        ValueError: the name is no token, or the value holds a control character (CR, LF and NUL
            among them) or one beyond U+00FF.
    """
    if not is_token(name):
        raise ValueError("a header name must be a token (RFC 9110 §5.1)")
    value = value.strip(" \t")
    if not is_field_value(value):
        raise ValueError(f"the value of header {name} holds a character that no header may carry (RFC 9110 §5.5)")
    return name.lower(), (name, value)


class Headers(Mapping[str, str]):
    """Header fields in order, with their case, looked up without regard to case; unchangeable.

    A name that occurs more than once reads as its values joined by a comma (RFC 9110 §5.3), save
    `Cookie`, joined by a semicolon (RFC 6265 §5.4), and `Set-Cookie`, which cannot be joined: it
    reads as the first. `get_all` tells them apart, and `fields` is the list as it was written.
    """

    __slots__ = ("_fields", "_index")

    def __init__(self, source: HeaderSource = ()) -> None:
        # Either is made of the other when it is asked for.
        self._fields: Fields | None = tuple([make_field(name, value) for name, value in _pairs(source)])
        self._index: Index | None = None

    @classmethod
    def from_fields(cls, fields: Fields | None, index: Index | None = None) -> Self:
        """Headers of fields that were checked already; of the table alone if no name in it is repeated."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._index = index
        return headers

    @property
    def fields(self) -> Fields:
        """The fields as they were written."""
        if self._fields is None:
            self._fields = tuple((self._index or {}).items())
        return self._fields

    @property
    def index(self) -> Index:
        """Each name once, in lower case, with its field: those of one name are joined. Not to be changed."""
        if self._index is None:
            self._index = index_fields(self.fields)
        return self._index

    def __getitem__(self, name: str) -> str:
        if self._index is None:
            self._index = index_fields(self.fields)
        return self._index[name.lower()][1]

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether a field of one of these names, in lower case, is there; quicker than asking for each."""
        if self._index is None:
            self._index = index_fields(self.fields)
        return not names.isdisjoint(self._index)

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        name = name.lower()
        return [value for lower, (_, value) in self.fields if lower == name]

    def pairs(self) -> list[tuple[str, str]]:
        """(name, value) of every field, repeated ones too, in order and with their case."""
        if self._fields is None:
            return list((self._index or {}).values())
        return [pair for _, pair in self._fields]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(field[0] == name.lower() for field in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in index_fields(self.fields).values()])

    def __len__(self) -> int:
        return len(index_fields(self.fields))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(lower, pair[1]) for lower, pair in self.fields] == [(lower, pair[1]) for lower, pair in other.fields]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pairs()!r})"


def index_fields(fields: Iterable[Field]) -> Index:
    """Fields by their lower-case name, those of one name made one: named like the first, joined as `Headers` says."""
    found: dict[str, list[tuple[str, str]]] = {}
    for lower, pair in fields:
        found.setdefault(lower, []).append(pair)
    return {lower: (pairs[0][0], _join(lower, pairs)) for lower, pairs in found.items()}


def _join(lower: str, pairs: list[tuple[str, str]]) -> str:
    if lower == "set-cookie":
        return pairs[0][1]
    return ("; " if lower == "cookie" else ", ").join([value for _, value in pairs])


def _pairs(source: HeaderSource) -> Iterable[tuple[str, str]]:
    if isinstance(source, Headers):
        return source.pairs()
    return source.items() if isinstance(source, Mapping) else source


class MutableHeaders(Headers):
    """The headers of a response, changed until it is sent."""

    __slots__ = ()

    def __setitem__(self, name: str, value: str) -> None:
        """Put `name` in the place of all fields of that name, or at the end."""
        field = make_field(name, value)
        kept = tuple([other for other in self.fields if other[0] != field[0]])
        self._change((*kept, field))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._change(tuple([field for field in self.fields if field[0] != name.lower()]))

    def add(self, name: str, value: str) -> None:
        """Add a field, keeping others of that name (`Set-Cookie`, `Vary`)."""
        self._change((*self.fields, make_field(name, value)))

    def setdefault(self, name: str, value: str) -> str:
        """The value of `name`, which is set to `value` if it was missing."""
        if name not in self:
            self[name] = value
        return self[name]

    def complete(self, fields: Fields) -> None:
        """Add those of `fields`, which were checked already, whose names are missing."""
        present = {lower for lower, _ in self.fields}
        self._change((*self.fields, *[field for field in fields if field[0] not in present]))

    def update(self, source: HeaderSource) -> None:
        """Put the fields of `source` in the place of all fields of their names."""
        fields = [make_field(name, value) for name, value in _pairs(source)]
        replaced = {lower for lower, _ in fields}
        self._change((*[field for field in self.fields if field[0] not in replaced], *fields))

    def _change(self, fields: Fields) -> None:
        self._fields = fields
        self._index = None
