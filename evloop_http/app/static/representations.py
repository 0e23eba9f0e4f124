"""A file as it goes out: its bytes, and the header fields that say what they are.

The fields are made once, when the file is found, and handed out as the same tuple ever after: the
encoder remembers whole heads by it. A file may have several representations, itself and compressed
copies beside it, each with a tag of its own (RFC 9110 §8.8.3.3).
"""

from __future__ import annotations

import fnmatch
import mimetypes
import os
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import formatdate

from ...messages import Fields, make_field
from ..accept import choose_coding
from .files import Entry, Identity, identity_of, is_settled

#: Content codings, the smaller first, and how a file's compressed copy is named behind the file's own name.
SIDE_FILES = (("br", ".br"), ("gzip", ".gz"))
_OCTETS = "application/octet-stream"
_YEAR = 31_536_000

# Where Python 3.11 does not know better: what RFC 9239 renamed, and what has come since.
_TYPES = {".avif": "image/avif", ".js": "text/javascript", ".map": "application/json", ".md": "text/markdown",
          ".mjs": "text/javascript", ".otf": "font/otf", ".ttf": "font/ttf", ".wasm": "application/wasm",
          ".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff",
          ".woff2": "font/woff2"}


class Labels:
    """What is said of a file by its name alone: the type, and for how long it keeps.

    The types are the library's own, not those of the machine, so that a site is the same everywhere.

    Args:
        types: suffixes, with their dot, to content types; go before all others, the longest first.
        max_age: seconds for which a file may be used without asking again.
        immutable: patterns of names that never change their content; one with a slash is matched
            with the whole path below the directory.

    Raises:
        ValueError: a suffix has no dot, a type is no header value, or `max_age` is negative.
    """

    __slots__ = ("_cache_control", "_immutable", "_library", "_types")

    def __init__(self, types: Mapping[str, str], max_age: int, immutable: str | Iterable[str]) -> None:
        if max_age < 0:
            raise ValueError("max_age is not negative")
        self._cache_control = f"max-age={max_age}" if max_age else "no-cache"
        patterns = [immutable] if isinstance(immutable, str) else list(immutable)
        self._immutable = [("/" in pattern, re.compile(fnmatch.translate(pattern.lstrip("/")))) for pattern in patterns]
        self._library = mimetypes.MimeTypes()
        for suffix, kind in _TYPES.items():
            self._library.add_type(kind, suffix)
        for suffix, kind in types.items():
            if not suffix.startswith(".") or "/" in suffix:
                raise ValueError(f"types are told by suffixes such as '.txt', not {suffix!r}")
            make_field("Content-Type", kind)
        self._types = sorted(((suffix.lower(), kind) for suffix, kind in types.items()), key=lambda item: -len(item[0]))

    def content_type(self, *names: str) -> str:
        """The type of a file, by the first of its names that tells it."""
        for name in names:
            for suffix, kind in self._types:
                if name.lower().endswith(suffix):
                    return kind
            guessed, encoding = self._library.guess_type("/" + name)  # the slash: "data:" begins no name of a file
            if encoding is not None:
                return _OCTETS
            if guessed is not None:
                return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
        return _OCTETS

    def cache_control(self, path: str) -> str:
        """The `Cache-Control` of a file, by its path below the directory."""
        for whole, pattern in self._immutable:
            if pattern.match(path if whole else path.rpartition("/")[2]):
                return f"public, max-age={_YEAR}, immutable"
        return self._cache_control


def validators(status: os.stat_result, coding: str = "") -> tuple[str, int]:
    """What tells a file from what it was: its tag, and when it was changed, in seconds since 1970.

    Args:
        coding: how it is compressed: a copy has a tag of its own.
    """
    # RFC 9110 §8.8.2.1: never in the future, whatever the file says
    modified = max(0, min(int(status.st_mtime), int(time.time())))
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}{"-" if coding else ""}{coding}"', modified


class Representation:
    """A file, or a compressed copy of one, that can be sent.

    Args:
        path: the path of the file itself below the directory, by which its labels are chosen.
        location: where this file is, links not followed, and `real`, where it is found.
        status: what `fstat` said of it.
        body: its content, if that is small.
        coding: how it is compressed; empty if it is not.
        vary: the request's fields that decided that it is sent (RFC 9110 §12.5.5).
    """

    __slots__ = ("_labels", "body", "coding", "content_type", "etag", "fields", "identity", "location", "modified",
                 "path", "real", "settled", "size", "unchanged", "vary")

    def __init__(self, labels: Labels, path: str, location: str, real: str, status: os.stat_result,
                 body: bytes | None = None, coding: str = "", vary: tuple[str, ...] = ()) -> None:
        self._labels = labels
        self.path = path
        self.location = location
        self.real = real
        self.coding = coding
        self.vary = vary
        self.body = body
        self.size = status.st_size
        self.identity: Identity = identity_of(status)
        # Bytes that are not kept cannot be those of yesterday.
        self.settled = body is None or is_settled(status)
        #: the tag, and when it was changed, in seconds since 1970
        self.etag, self.modified = validators(status, coding)
        self.content_type = labels.content_type(path, real.removesuffix(_suffix(coding)))
        #: the header fields that go with it, and those that go without it, in a 304 (RFC 9110 §15.4.5)
        self.fields, self.unchanged = self._make_fields()

    def _make_fields(self) -> tuple[Fields, Fields]:
        kept = [make_field("Cache-Control", self._labels.cache_control(self.path)), make_field("ETag", self.etag),
                make_field("Last-Modified", formatdate(self.modified, usegmt=True))]
        if self.vary:
            kept.append(make_field("Vary", ", ".join(self.vary)))
        said = [make_field("Content-Type", self.content_type), make_field("Accept-Ranges", "bytes")]
        if self.coding:
            said.append(make_field("Content-Encoding", self.coding))
        return (*said, *kept), tuple(kept)

    def renewed(self, real: str, status: os.stat_result) -> Representation:
        """The same for the file that is there now."""
        return Representation(self._labels, self.path, self.location, real, status, None, self.coding, self.vary)


def _suffix(coding: str) -> str:
    return dict(SIDE_FILES).get(coding, "")


class Resource(Entry):
    """What a path stands for: a file in all its representations.

    Args:
        witnesses: as for `Entry`.
        plain: the file itself.
        encoded: compressed copies of it.
        is_index: whether the path names a directory, which the file stands for.
    """

    __slots__ = ("_codings", "_encoded", "is_index", "is_single", "plain")

    def __init__(self, witnesses: Iterable[tuple[str, Identity]], plain: Representation,
                 encoded: Iterable[Representation] = (), is_index: bool = False) -> None:
        self.plain = plain
        self._encoded = {one.coding: one for one in encoded}
        self._codings = tuple(self._encoded)
        self.is_index = is_index
        #: whether there is nothing to choose from
        self.is_single = not self._encoded
        every = [plain, *self._encoded.values()]
        super().__init__(witnesses, all(one.settled for one in every), sum(len(one.body or b"") for one in every))

    def choose(self, accepted: str) -> Representation:
        """The representation that suits an `Accept-Encoding` best."""
        return self._encoded.get(choose_coding(accepted, self._codings), self.plain)
