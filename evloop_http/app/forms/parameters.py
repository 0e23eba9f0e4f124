"""Parameters of a header such as `text/plain; charset=x` (RFC 9110 §5.6.6), and those of parts of forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes

from ...messages import HTTPError
from . import rules
from .charsets import decode
from .rules import FormError

# The standard library's parser takes half a second for 32 KiB of semicolons in quotes.
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*(?:([^\s=;"]+)=(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^\s;"]*)))?""")
#: Parameters of one header, empty ones too. Three mean something, and a client could write thousands.
_MOST_PARAMETERS = 50
_QUOTED_PAIR = re.compile(r"\\(.)")

# What browsers write (the HTML standard, §4.10.21.8): quotes and line ends in a name are percent-encoded, a backslash
# is one.
_BROWSERS = re.compile(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?')
_KIND = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PERCENT = re.compile(r"%(22|0D|0A)")
_QUOTED_QUOTE = re.compile(r'\\(["\\])')
# RFC 8187 §3.2, and RFC 2231 §3 and §4, where the language may be left out.
_EXTENDED = re.compile(r"([^']*)'[^']*'(.*)")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _parameters(header: str, start: int) -> Iterator[re.Match[str]]:
    """Yield the parameters from `start` on, up to what is malformed; some may be empty."""
    found = _PARAMETER.match(header, start)
    while found is not None:
        yield found
        found = _PARAMETER.match(header, found.end())


def parameter(header: str, name: str) -> str | None:
    """Return the first parameter of this name, unquoted; None if there is none.

    Stops at what is malformed, and behind the fiftieth parameter.
    """
    for found in islice(_parameters(header, max(header.find(";"), 0)), _MOST_PARAMETERS):
        key, quoted, plain = found.groups()
        if key is not None and key.lower() == name:
            return _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else plain or ""
    return None


def parse_boundary(content_type: str) -> str:
    """Return the boundary that the content type of a multipart body names.

    Raises:
        FormError: 400, it names none, or two, or is malformed: others would read another body (RFC 2046 §5.1.1).
    """
    try:
        _each_once(content_type, max(content_type.find(";"), 0))
    except ValueError:
        raise FormError(rules.BOUNDARY) from None
    return parameter(content_type, "boundary") or ""


def parse_disposition(value: str, offset: int) -> tuple[str, str | None, str | None]:
    """Return the kind, in lower case, the name and the file name that a Content-Disposition has (RFC 7578 §4.2).

    Browsers write it in one way. Others quote with backslashes, or write `name*` in place of `name` (RFC 8187)
    or pieces of it (RFC 2231 §3); RFC 7578 forbids both, and mail libraries do it all the same. A plain value
    comes first.

    Raises:
        FormError: 400, it is malformed, or has more than 50 parameters.
    """
    usual = _BROWSERS.fullmatch(value)
    if usual is not None:
        name, filename = usual.groups()
        return "form-data", _unescaped(name), None if filename is None else _without_path(_unescaped(filename))
    kind = _KIND.match(value)
    if kind is None:
        raise FormError(rules.PARAMETERS, offset)
    try:
        found = {key: _unescaped(*raw) for key, raw in _each_once(value, kind.end()).items()}
        name, filename = _value(found, "name"), _value(found, "filename")
    except (ValueError, HTTPError):
        raise FormError(rules.PARAMETERS, offset) from None
    return kind[0].lower(), name, None if filename is None else _without_path(filename)


def _each_once(header: str, end: int) -> dict[str, tuple[str, bool]]:
    """Return the parameters from `end` on by their names in lower case: what is written, and whether in quotes.

    Raises:
        ValueError: one occurs twice, or they are malformed, or there are too many.
    """
    found: dict[str, tuple[str, bool]] = {}
    for each in islice(_parameters(header, end), _MOST_PARAMETERS):
        key, quoted, plain = each.groups()
        if key is not None:
            if key.lower() in found:
                raise ValueError("twice")
            found[key.lower()] = (plain or "", False) if quoted is None else (quoted, True)
        end = each.end()
    if header[end:].strip(" \t"):
        raise ValueError("malformed")
    return found


def _unescaped(value: str, is_quoted: bool = True) -> str:
    r"""Undo what browsers escape, or others if there is a `\"`."""
    if is_quoted and '\\"' in value:
        return _QUOTED_QUOTE.sub(r"\1", value)
    return _PERCENT.sub(lambda found: chr(int(found[1], 16)), value) if "%" in value else value


def _without_path(filename: str) -> str:
    """Return what is left of the file name of a browser that sends the whole path (Internet Explorer)."""
    return filename.rpartition("\\")[2] if filename[1:3] == ":\\" or filename.startswith("\\\\") else filename


def _value(found: dict[str, str], name: str) -> str | None:
    """Return a parameter in whichever way it is written; None if it is not there.

    Raises:
        ValueError: it is malformed.
        HTTPError: its charset is unknown, or it does not fit it.
    """
    if name in found:
        return found[name]
    if f"{name}*" in found:
        return _decoded([(found[f"{name}*"], True)])
    pieces: list[tuple[str, bool]] = []
    while (key := f"{name}*{len(pieces)}") in found or f"{key}*" in found:
        pieces.append((found[key], False) if key in found else (found[f"{key}*"], True))
    return _decoded(pieces) if pieces else None


def _decoded(pieces: list[tuple[str, bool]]) -> str:
    """Join the pieces of a value, some of them percent-encoded: then the first one begins with the charset."""
    if not pieces[0][1]:
        if any(is_encoded for _, is_encoded in pieces):
            raise ValueError("no charset")
        return "".join([text for text, _ in pieces])
    first = _EXTENDED.fullmatch(pieces[0][0])
    if first is None or any(is_encoded and _BAD_PERCENT.search(text) for text, is_encoded in pieces):
        raise ValueError("malformed")
    texts = [(first[2], True), *pieces[1:]]
    octets = [unquote_to_bytes(text) if is_encoded else text.encode() for text, is_encoded in texts]
    return decode(b"".join(octets), first[1] or "us-ascii")
