"""Header fields between their two forms: ours, checked text with its case, and ASGI's, pairs of bytes.

Clients and applications repeat their headers, so each conversion is remembered, in a dict that is bounded and begins
anew when it is full. One that is long is made each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...messages import Fields, Headers, make_field

#: Entries of each dict, and characters of the longest.
_KEPT = 1024
_LONGEST = 1024


class RequestNames(dict[tuple[str, ...], tuple[bytes, ...]]):
    """Names of all fields of a request as bytes, made of ours when they are looked up. Few clients vary them."""

    def __missing__(self, lowers: tuple[str, ...]) -> tuple[bytes, ...]:
        names = tuple([lower.encode("latin-1") for lower in lowers])
        if sum(map(len, names)) <= _LONGEST:
            if len(self) >= _KEPT:
                self.clear()
            self[lowers] = names
        return names


    def pairs(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the fields of a request as ASGI has them: names in lower case, and values."""
        pairs, index = headers.pairs(), headers.index
        lowers = tuple(index) if len(index) == len(pairs) else tuple([lower for lower, _ in headers.fields])
        # All values in one go, which is quicker. None of them contains a line end.
        values = "\n".join([value for _, value in pairs]).encode("latin-1").split(b"\n")
        return list(zip(self[lowers], values, strict=False))


class ResponseFields(dict[tuple[Any, ...], Fields]):
    """Whole sets of fields of responses, checked, made of ASGI's when they are looked up.

    `Transfer-Encoding` is left out: framing is the server's, and ASGI has it ignored.
    """

    def __missing__(self, headers: tuple[Any, ...]) -> Fields:
        pairs = [_checked(header) for header in headers]
        fields = tuple([make_field(name, value) for name, value in pairs if name.lower() != "transfer-encoding"])
        if sum([len(name) + len(value) for name, value in pairs]) <= _LONGEST:
            if len(self) >= _KEPT:
                self.clear()
            self[headers] = fields
        return fields

    def make(self, headers: Iterable[Any]) -> Fields:
        """Return our fields of ASGI's headers.

        Raises:
            TypeError: they are not pairs of bytes.
            ValueError: a name is not a token, or a value holds a character that no header may carry (RFC 9110 §5.5).
        """
        if isinstance(headers, str | bytes):
            raise TypeError("headers are pairs of bytes")
        key = tuple(headers)
        try:
            return self[key]
        except TypeError:  # pairs that are lists, or no pairs
            return self[tuple([_as_tuple(header) for header in key])]


def _as_tuple(header: Any) -> tuple[Any, ...]:
    return tuple(header) if isinstance(header, Iterable) and not isinstance(header, str | bytes) else (header,)


def _checked(header: Any) -> tuple[str, str]:
    if not isinstance(header, tuple) or len(header) != 2 or not all(isinstance(part, bytes) for part in header):
        raise TypeError(f"a header is a pair of bytes, name and value, not {header!r:.100}")
    return header[0].decode("latin-1"), header[1].decode("latin-1")
