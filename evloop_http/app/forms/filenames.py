"""A client's file name made harmless.

It may hold `../`, a drive, the name of a device, or characters that only look like a slash (werkzeug had to
fix this four times: GHSA-f9vj-2wh5-fj8j and after). `safe_filename` makes one plain name of it.

Normalising takes quadratic time where many combining marks follow each other, and a client may send thousands
of them. So a name is cut before it is normalised.
"""

from __future__ import annotations

import re
import unicodedata

#: Bytes of a file name that Linux, macOS and Windows all accept.
_NAME_BYTES = 255
#: Characters of a name that are looked at. Composing makes one of four at most, and that one has three bytes.
_NAME_CHARACTERS = 512
_SEPARATORS = re.compile(r"[/\\]")
# What separates, names a drive or a stream, or is forbidden on Windows.
_RESERVED = frozenset('/\\:*?"<>|')
_EDGES = frozenset(" .")
# Windows takes these for devices in every directory, with any suffix.
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$",
                      *[f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789"]})


def safe_filename(name: str, default: str = "file") -> str:
    """Return a plain file name made of what a client sent: safe on every system to join to a directory, if it is new.

    The last part of a path; no separator, drive, control or invisible character, nor one that only looks like
    them; no dot in front; no name of a device; no more than 255 bytes. Of a longer name the suffix is kept.

    Args:
        default: what to return if nothing is left.
    """
    name = _SEPARATORS.split(name)[-1].strip(" .")
    name = unicodedata.normalize("NFC", _cut(name, _NAME_CHARACTERS))
    name = _trimmed("".join([character if _is_plain(character) else "_" for character in name]))
    if unicodedata.normalize("NFKC", name).partition(".")[0].rstrip(" ").upper() in _DEVICES:
        name = f"_{name}"
    return _trimmed(_shortened(name)) or default


def _cut(name: str, characters: int) -> str:
    """Return `name` with no more than this many characters, its suffix kept if that is short."""
    if len(name) <= characters:
        return name
    _, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _NAME_BYTES // 8:
        return name[:characters]
    return name[:characters - len(suffix) - 1] + dot + suffix


def _is_plain(character: str) -> bool:
    """Whether a character may stand in a file name, and so may what others make of it (U+FF0F is a slash to some)."""
    if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
        return False
    return _RESERVED.isdisjoint(unicodedata.normalize("NFKC", character))


def _trimmed(name: str) -> str:
    """Return `name` without dots and blanks of any kind at its ends: there they hide it, or Windows drops them."""
    edges = {character for character in name
             if character.isspace() or _EDGES.issuperset(unicodedata.normalize("NFKC", character))}
    return name.strip("".join(edges)) if edges else name


def _shortened(name: str) -> str:
    """Return `name` cut to what file systems accept, its suffix kept."""
    if len(name.encode()) <= _NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _NAME_BYTES // 8:
        stem, dot, suffix = name, "", ""
    room = _NAME_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + suffix
