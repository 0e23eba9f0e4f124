r"""Patterns: paths, and names of hosts, in which placeholders stand for what differs.

    /users/{id:int}     /files/{name}.{ext}     /{code:re([A-Z]{3}[0-9]+)}     /wiki/{page:path}/edit

`{name}` is any text within a segment, one character at least. `{name:converter}` is what the
converter takes, and the handler is given what that makes of it. `{name:re(EXPRESSION)}` is what a
regular expression matches as a whole. They take parts of one segment; only `path`, and converters
registered with `slashes=True`, go over several, and there may be one of these in a pattern.

Of several placeholders `{name}` in one segment each takes as much as it can, from the left:
`{name}.{ext}` of `a.tar.gz` is `a.tar` and `gz`.

A pattern also works backwards: from values to a path that it matches (`Pattern.path`).

*On time.* Whoever sends a path must not be able to make it expensive. A segment of `{name}`s and text
is cut with one search for each text. Beside other converters, a segment may have only one placeholder
of open length, and the ones of our own are short, so that a regular expression goes over it at most
once for each character. Python's `re` promises nothing of the kind for expressions in general: for
`{x:re((a+)+)}` and its like, which take exponential time, nobody but their author can care.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

#: What may stand in a segment of a URL beside letters, digits and `_.-~` (RFC 3986 §3.3); not the apostrophe, for HTML.
_SAFE = "!$&()*+,;=:@"
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::(?:(re)\(|([A-Za-z_][A-Za-z0-9_]*)\})|\})")

#: What no request has in its path: the parser refuses it.
_NEVER = frozenset("\0\r\n")

Texts = tuple[str, ...]
#: From a segment to the texts of its placeholders; None if it does not match.
Split = Callable[[str], Texts | None]
#: From a segment to the values of its placeholders.
Match = Callable[[str], tuple[Any, ...] | None]


class Converter(NamedTuple):
    """What a placeholder takes, and what is made of it. A `ValueError` from `convert` means no match."""

    #: a regular expression for the whole text
    pattern: str
    convert: Callable[[str], Any]
    #: the way back, for `url_for`
    to_text: Callable[[Any], str] = str
    #: whether it goes over several segments
    slashes: bool = False
    #: of two that match, the one with the lower number is asked first
    looseness: int = 2


def _float_text(value: Any) -> str:
    from decimal import Decimal
    return format(Decimal(repr(float(value))), "f")  # `repr` alone would say 1e-07


ANY = Converter(r"[^/]+", str, str, False, 3)
REST = Converter(r".+", str, str, True, 4)

CONVERTERS: Mapping[str, Converter] = {
    "str": ANY,
    "int": Converter(r"-?[0-9]{1,18}", int, looseness=0),
    "float": Converter(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", float, _float_text, looseness=1),
    "uuid": Converter(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uuid.UUID, looseness=0),
    "path": REST,
}


class Placeholder(NamedTuple):
    """A named gap in a pattern."""

    name: str
    converter: Converter


Piece = str | Placeholder


def parse(pattern: str, converters: Mapping[str, Converter]) -> Iterator[Piece]:
    """Fixed text and placeholders of a pattern, in turn.

    Raises:
        ValueError: a brace that belongs to no placeholder, an unknown converter, a malformed expression.
    """
    end = 0
    while (brace := pattern.find("{", end)) >= 0:
        text = pattern[end:brace]
        found = _PLACEHOLDER.match(pattern, brace)
        if found is None or "}" in text:
            break
        name, is_expression, kind = found.groups()
        end = found.end()
        if is_expression:
            expression, end = _read_expression(pattern, end)
            converter = Converter(expression, str)
        elif (kind or "str") in converters:
            converter = converters[kind or "str"]
        else:
            raise ValueError(f"there is no converter {kind!r}; known: {', '.join(sorted(converters))}, re(...)")
        if text:
            yield text
        yield Placeholder(name, converter)
    rest = pattern[end:]
    if "{" in rest or "}" in rest:
        raise ValueError(f"{pattern!r} has a brace that is no part of a placeholder: {{name}} or {{name:int}}")
    if rest:
        yield rest


def _read_expression(pattern: str, start: int) -> tuple[str, int]:
    """The regular expression from `start` to the first `)}` behind which it is whole, and where that ends."""
    reason = "it does not end with )}"
    end = pattern.find(")}", start)
    while end >= 0:
        try:
            re.compile(pattern[start:end])
            return pattern[start:end], end + 2
        except re.error as error:  # `)}` may stand in a class of characters
            reason = str(error)
        end = pattern.find(")}", end + 1)
    raise ValueError(f"{pattern!r} holds no regular expression in {{name:re(...)}}: {reason}")


class Segment:
    """What stands between two separators of a pattern.

    Attributes:
        key: equal for segments that match the same and make the same of it, whatever they call it.
        rank: the lower, the earlier it is tried: first the tighter converters, then the more fixed text.
        match: from a segment of a path to the values of the placeholders; None if it does not match.
    """

    __slots__ = ("converters", "key", "match", "names", "pieces", "rank", "slashes", "split")

    def __init__(self, pieces: list[Piece], separator: str = "/") -> None:
        placeholders = [piece for piece in pieces if isinstance(piece, Placeholder)]
        self.pieces = pieces
        self.names = [placeholder.name for placeholder in placeholders]
        self.converters = [placeholder.converter for placeholder in placeholders]
        self.key = tuple([piece if isinstance(piece, str) else piece.converter for piece in pieces])
        fixed = sum([len(piece) for piece in pieces if isinstance(piece, str)])
        self.rank = (max([converter.looseness for converter in self.converters], default=-1), -fixed)
        self.slashes = any(converter.slashes for converter in self.converters)
        self.split = self._splitter(separator)
        self.match = _matcher(self.split, [converter.convert for converter in self.converters])

    @property
    def text(self) -> str:
        """The fixed text."""
        return "".join([piece for piece in self.pieces if isinstance(piece, str)])

    def _splitter(self, separator: str) -> Split:
        converters = self.converters
        if len(self.pieces) == 1 and converters:
            return _whole(converters[0])
        if any(converter.slashes for converter in converters[1:]):
            raise ValueError("before a placeholder that takes slashes there may be no other in its segment")
        is_open = [converter is ANY or converter.slashes for converter in converters]
        if all(converter is ANY or converter is REST for converter in converters):
            split = _by_texts(self.pieces)
        elif sum(is_open) > 1:
            raise ValueError("a segment with several placeholders of open length may have no other converter")
        else:
            split = _by_expression(self.pieces)
        return _within(split, separator) if self.slashes else split

    def encode(self, values: Mapping[str, Any], separator: str) -> str:
        """The segment with these values, percent-encoded.

        Raises:
            ValueError: it would not be read as these values again.
        """
        texts = [converter.to_text(values[name])
                 for name, converter in zip(self.names, self.converters, strict=True)]
        filled = iter(texts)
        text = "".join([piece if isinstance(piece, str) else next(filled) for piece in self.pieces])
        if not _NEVER.isdisjoint(text):
            raise ValueError("no path contains a NUL or a line end, percent-encoded or not")
        if (separator in text and not self.slashes) or self.split(text) != tuple(texts) or self.match(text) is None:
            raise ValueError(f"{', '.join(map(repr, texts))} would not be understood there")
        # Whatever their encoding, clients take these for steps to here and up (RFC 3986 §5.2.4).
        if self.names and not {".", ".."}.isdisjoint(text.split(separator)):
            raise ValueError(f"{text!r} would lead elsewhere")
        return quote(text, safe=_SAFE + separator)


def _whole(converter: Converter) -> Split:
    """For one placeholder that takes all of a segment."""
    if converter is ANY or converter is REST:
        return lambda text: (text,) if text else None
    fullmatch = re.compile(converter.pattern, re.DOTALL).fullmatch
    return lambda text: None if fullmatch(text) is None else (text,)


def _by_texts(pieces: list[Piece]) -> Split:
    """For placeholders of any text: each text between them is looked for once, from the right."""
    texts = [""]
    for piece in pieces:
        if isinstance(piece, str):
            texts[-1] = piece
        else:
            texts.append("")
    first, *middle, last = texts if len(texts) > 1 else [*texts, ""]
    middle.reverse()
    if len(texts) == 1:
        return lambda text: () if text == first else None

    def split(text: str) -> Texts | None:
        begin, end = len(first), len(text) - len(last)
        if begin >= end or not text.startswith(first) or not text.endswith(last):
            return None
        found = []
        for between in middle:
            at = text.rfind(between, begin + 1, end - 1)
            if at < 0:
                return None
            found.append(text[at + len(between):end])
            end = at
        found.append(text[begin:end])
        found.reverse()
        return tuple(found)
    return split


def _by_expression(pieces: list[Piece]) -> Split:
    expression = ""
    groups = []
    for piece in pieces:
        if isinstance(piece, str):
            expression += re.escape(piece)
        else:
            groups.append(re.compile(expression).groups + 1)
            expression += f"({piece.converter.pattern})"
    fullmatch = re.compile(expression, re.DOTALL).fullmatch

    def split(text: str) -> Texts | None:
        found = fullmatch(text)
        return None if found is None else tuple([found[group] for group in groups])
    return split


def _within(split: Split, separator: str) -> Split:
    """Of several placeholders only the first may take separators."""
    def split_within(text: str) -> Texts | None:
        texts = split(text)
        return None if texts is None or any(separator in text for text in texts[1:]) else texts
    return split_within


def _matcher(split: Split, converts: list[Callable[[str], Any]]) -> Match:
    if all(convert is str for convert in converts):
        return split
    if len(converts) == 1:
        return _single_matcher(split, converts[0])

    def match(text: str) -> tuple[Any, ...] | None:
        texts = split(text)
        if texts is None:
            return None
        try:
            return tuple([convert(text) for convert, text in zip(converts, texts, strict=True)])
        except ValueError:
            return None
    return match


def _single_matcher(split: Split, convert: Callable[[str], Any]) -> Match:
    """The same for one placeholder, as most segments have, in half of the time."""
    def match(text: str) -> tuple[Any] | None:
        texts = split(text)
        if texts is None:
            return None
        try:
            return (convert(texts[0]),)
        except ValueError:
            return None
    return match


class Pattern:
    """A path or the name of a host, with placeholders or without.

    Attributes:
        left: its segments up to the one that goes over several; all, if there is none.
        tail: that one and those behind it.

    Raises:
        ValueError: it is malformed.
    """

    __slots__ = ("left", "names", "separator", "tail", "text")

    def __init__(self, text: str, converters: Mapping[str, Converter], separator: str = "/") -> None:
        self.text = text
        self.separator = separator
        try:
            segments = [Segment(pieces, separator) for pieces in _cut(parse(text, converters), separator)]
        except re.error as error:
            raise ValueError(f"{text!r}: its regular expressions do not go together: {error}") from None
        #: of the placeholders, in order
        self.names = tuple([name for segment in segments for name in segment.names])
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"{text!r} has a name twice")
        wide = [index for index, segment in enumerate(segments) if segment.slashes]
        if len(wide) > 1:
            raise ValueError(f"{text!r} has more than one placeholder that takes slashes")
        cut = wide[0] if wide else len(segments)
        self.left, self.tail = segments[:cut], segments[cut:]

    def path(self, values: Mapping[str, Any]) -> str:
        """The path with these values, percent-encoded.

        Raises:
            ValueError: one is missing, or is none that the pattern takes.
        """
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ValueError(f"{self.text!r} needs {', '.join(missing)}")
        try:
            encoded = [segment.encode(values, self.separator) for segment in (*self.left, *self.tail)]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.text!r} cannot have these values: {error}") from error
        return self.separator + self.separator.join(encoded)

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"


def _cut(pieces: Iterator[Piece], separator: str) -> list[list[Piece]]:
    """The pieces of each segment; what stands before the first separator is none."""
    segments: list[list[Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, str):
            first, *more = piece.split(separator)
            if first:
                segments[-1].append(first)
            segments += [[text] if text else [] for text in more]
        else:
            segments[-1].append(piece)
    return segments[1:]
