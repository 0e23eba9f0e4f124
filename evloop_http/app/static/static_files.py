"""Files of a directory as an application.

The way of a request:

    path ─▶ FileCache ──────────────────────────────▶ Resource ─▶ Representation ─▶ Response
             └─▶ paths (never out) ─▶ files (opened) ─┘   └ Accept-Encoding  └ conditions, ranges

*A file asked for again costs little more than any answer*: one look-up by the path, and a look
whether the request has one of the few fields that matter here. `files` says how a change is noticed.

*Only what is needed is sent.* A client that has it already gets 304; one that asks for parts gets
206, several parts as `multipart/byteranges`, unless it asks for absurdly many. A large file goes by
the kernel's `sendfile`; a small one, with its head, in one `send`. For a large one the tag, the date
and the length are those of the very file that was opened for this answer; should it shrink
meanwhile, the connection is closed rather than another length sent.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from ...messages import GATHER, Body, FileBody, HTTPError, Preparation, Request, Response, make_field
from ..accept import quality
from ..conditions import CONDITIONAL, Shortened, evaluate, range_applies
from ..problems import busy
from .files import SMALL_FILE, FileCache, examine, identity_at, identity_of, open_regular, read_exactly
from .listing import Listings
from .paths import Missing, Root, is_innocent
from .ranges import MultipartBody, Range, parse_ranges
from .representations import SIDE_FILES, Labels, Representation, Resource

_FETCHING = frozenset({"GET", "HEAD"})
# Without any of them in the request, a file is sent as it is.
_ASKING = CONDITIONAL | {"range"}
# What is said of a file that is not said of a page in its place.
_NOT_OF_A_STATUS = frozenset({"accept-ranges", "cache-control", "etag", "last-modified"})
_NO_CACHE = make_field("Cache-Control", "no-cache")
_PAGE = re.compile(r"\btext/(?:html|\*)", re.IGNORECASE)
# Keys of the cache that are no paths.
_FALLBACK, _NOT_FOUND = "\0fallback", "\0not_found"


class StaticFiles:
    """Serves the files of a directory.

    Args:
        directory: what is served; it must exist.
        index: the file that stands for a directory; empty for none.
        listing: whether a directory without one is answered with a list of what is in it.
        max_age: seconds for which a client may use a file without asking again.
        immutable: patterns (`*.[0-9a-f]*.css`) of files that never change, which a client need
            never ask for again; one with a slash is matched with the whole path.
        types: suffixes to content types (`{".x": "text/x"}`), where the library's do not serve.
        dotfiles: hidden names that are served all the same (`".well-known"`), files or
            directories. All other names that begin with a dot are not there.
        follow_symlinks: whether a symbolic link may lead out of the directory.
        precompressed: whether `x.br` or `x.gz` is sent in the place of `x` to a client that
            accepts it. Such a copy is used only if it is not older than the file.
        not_found: a file of the directory that is sent, with status 404, where there is none.
        fallback: a file of the directory that is sent where there is none, if the path's last
            name has no dot and the client names HTML as what it wants: for single-page applications.
        cache_bytes: how much to remember of files that are asked for, and half as much again of listings; 0 for
            nothing.
        clock: seconds from any origin that never go back. A file is looked at for changes once in a second.

    Raises:
        ValueError: there is no such directory, or file in it, or an argument makes no sense.
    """

    __slots__ = ("_cache", "_fallback", "_index", "_labels", "_listings", "_not_found", "_root", "_side_files")

    def __init__(self, directory: str | os.PathLike[str], *, index: str = "index.html", listing: bool = False,
                 max_age: int = 0, immutable: str | Iterable[str] = (), types: Mapping[str, str] | None = None,
                 dotfiles: str | Iterable[str] = (), follow_symlinks: bool = False, precompressed: bool = False,
                 not_found: str = "", fallback: str = "", cache_bytes: int = 16 * 1024 * 1024,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._root = Root(directory, dotfiles, follow_symlinks)
        self._labels = Labels(types or {}, max_age, immutable)
        self._cache: FileCache[Resource] = FileCache(weight=cache_bytes, clock=clock)
        self._side_files = SIDE_FILES if precompressed else ()
        if index and not is_innocent(index):
            raise ValueError(f"the index is the name of a file, not {index!r}")
        self._index = index
        self._listings = Listings(self._root, cache_bytes // 2, clock) if listing else None
        self._not_found = self._names_of(not_found)
        self._fallback = self._names_of(fallback)

    def __repr__(self) -> str:
        return f"<StaticFiles {self._root.path}>"

    def prepare(self, request: Request) -> Preparation:
        """Refuse a request whose method no file takes, before its body is received.

        Raises:
            HTTPError: 405.
        """
        if request.method not in _FETCHING:
            raise _wrong_method()
        return GATHER

    def __call__(self, request: Request) -> Response:
        """The answer to a request.

        Raises:
            HTTPError: 404, there is no such file; 405, it is to be more than fetched; 412, 416,
                it is not as the client wants it; 503, it cannot be read now.
        """
        kept = self._cache.get(request.path)
        # A mount that was asked for without its slash has the path "/" too, but must be redirected.
        if kept is not None and request.method in _FETCHING \
                and (not kept.is_index or request.head.path.endswith("/")):
            return self._send(request, kept)
        if request.method not in _FETCHING:
            raise _wrong_method()
        try:
            found = self._find(request)
        except Missing:
            other = self._send_instead(request)
            if other is None:
                raise
            return other
        return found if isinstance(found, Response) else self._send(request, found)

    # Finding

    def _find(self, request: Request) -> Resource | Response:
        """What a path stands for: a file, or a directory's answer."""
        path = request.path
        names = self._root.segments(path)
        location = self._root.location(names)
        real = self._root.real(location)
        if not os.path.isdir(real):
            if path.endswith("/"):
                raise Missing
            return self._load("/" + "/".join(names), names)
        # Of the whole path: where a mount's own prefix was asked for, what is left of it is "/" all the same.
        if not request.head.path.endswith("/"):
            return _redirect_into(request)
        if self._index and os.path.lexists(os.path.join(location, self._index)):
            return self._load("/".join(["", *names, ""]), [*names, self._index], is_index=True)
        if self._listings is None:
            raise Missing
        return self._listings.page(real, request.head.path, head_only=request.method == "HEAD")

    def _load(self, key: str, names: list[str], is_index: bool = False, vary: tuple[str, ...] = ()) -> Resource:
        """The resource of a file; remembered by `key`, and by no other spelling of the path."""
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        location = self._root.location(names)
        sides = [(coding, location + suffix) for coding, suffix in self._side_files]
        # Before anything is read: what changes while we read must be seen as a change.
        witnesses = [(place, identity_at(place)) for place in (location, *[side for _, side in sides])]
        real = self._root.real(location)
        status, body = examine(real)
        found = [(side, coding, copy) for coding, side in sides if (copy := self._copy(side, status))]
        if found:
            vary = (*vary, "Accept-Encoding")
        labels, path = self._labels, "/".join(names)
        plain = Representation(labels, path, location, real, status, body, "", vary)
        copies = [Representation(labels, path, side, *copy, coding, vary) for side, coding, copy in found]
        resource = Resource(witnesses, plain, copies, is_index)
        self._cache.put(key, resource)
        return resource

    def _copy(self, location: str, original: os.stat_result) -> tuple[str, os.stat_result, bytes | None] | None:
        """A compressed copy of a file, if there is one that is not older than the file."""
        try:
            real = self._root.real(location)
            status, body = examine(real)
        except Missing:
            return None
        return (real, status, body) if int(status.st_mtime) >= int(original.st_mtime) else None

    def _names_of(self, path: str) -> list[str]:
        """The names in the path of a file that is to be sent in the place of others; none if there is no path."""
        if not path:
            return []
        try:
            names = self._root.segments(path)
            if os.path.isfile(self._root.real(self._root.location(names))):
                return names
        except Missing:
            pass
        raise ValueError(f"there is no file {path} in {self._root.path}")

    # Sending

    def _send(self, request: Request, resource: Resource) -> Response:
        """The answer with a file."""
        shown = resource.plain
        if not resource.is_single:
            shown = self._choose(request, resource)
        body = shown.body
        if body is not None and not request.headers.has_any(_ASKING):
            return Response.from_fields(body, 200, shown.fields)
        if body is not None:
            return _answer(request, shown, io.BytesIO(body))
        file, shown = self._open(shown)
        try:
            return _answer(request, shown, file)
        except BaseException:
            file.close()
            raise

    def _choose(self, request: Request, resource: Resource) -> Representation:
        """The file itself or a compressed copy. Parts are always those of the file: of a copy they are of no use."""
        headers = request.headers
        return resource.plain if "range" in headers else resource.choose(headers.get("accept-encoding", ""))

    def _open(self, shown: Representation) -> tuple[io.FileIO, Representation]:
        """A file, open, and what it is now: where it is no longer what it was, all is found out anew."""
        file, status = open_regular(shown.real)
        if identity_of(status) == shown.identity:
            return file, shown
        file.close()
        real = self._root.real(shown.location)
        file, status = open_regular(real)
        return file, shown.renewed(real, status)

    def _send_instead(self, request: Request) -> Response | None:
        """Return the response where there is no file: another file; None if there is none for that."""
        if self._fallback and self._is_page(request):
            page = self._load_instead(_FALLBACK, self._fallback, ("Accept",))
            if page is not None:
                return self._send(request, page)
        page = self._load_instead(_NOT_FOUND, self._not_found) if self._not_found else None
        if page is None:
            return None
        shown = self._choose(request, page)
        # Conditions and ranges are of what was asked for, and that is not there (RFC 9110 §13.2.1).
        fields = (*[field for field in shown.fields if field[0] not in _NOT_OF_A_STATUS], _NO_CACHE)
        if shown.body is not None:
            return Response.from_fields(shown.body, 404, fields)
        file, shown = self._open(shown)
        return Response.from_fields(FileBody(file, 0, shown.size), 404, fields)

    def _load_instead(self, key: str, names: list[str], vary: tuple[str, ...] = ()) -> Resource | None:
        try:
            return self._load(key, names, vary=vary)
        except Missing:
            return None  # it was there when we began

    def _is_page(self, request: Request) -> bool:
        """Whether a path may be one of a single-page application, and a page is wanted."""
        names = request.path.split("/")
        return "." not in names[-1] and all(self._root.shows(name) for name in names if name) \
            and _wants_page(request.headers.get("accept", ""))


def _wrong_method() -> HTTPError:
    return HTTPError(405, "Files can only be fetched.", {"Allow": "GET, HEAD"})


def _wants_page(accepted: str) -> bool:
    """Whether an `Accept` names HTML, or text: `*/*` comes from scripts and tools, for whatever they fetch."""
    return _PAGE.search(accepted) is not None and quality(accepted, "text/html") > 0


def _redirect_into(request: Request) -> Response:
    # Relative to the last segment: it can neither leave the site nor miss a mount's prefix.
    last = quote(request.head.path.rstrip("/").rpartition("/")[2])
    return Response(status=301, headers={"Location": f"./{last}/"})


def _answer(request: Request, shown: Representation, file: io.FileIO | io.BytesIO) -> Response:
    """The answer to a request that may have conditions and ranges; closes the file if that is not needed for it.

    Raises:
        HTTPError: 412, 416, or 503 if the file is no longer as long as it was.
    """
    status = evaluate(request, shown.etag, shown.modified)
    if status == 304:
        file.close()
        return Shortened.instead_of(_whole(shown, file), b"", 304, shown.unchanged)
    if status is not None:
        raise HTTPError(status, "The file is not the one that was expected.")
    value = request.headers.get("range")
    # RFC 9110 §14.2: for no other method is there such a thing as a range.
    ranges = None
    if value is not None and request.method == "GET" and range_applies(request, shown.etag, shown.modified):
        ranges = parse_ranges(value, shown.size)
    if ranges is None:
        return Response.from_fields(_part(file, Range(0, shown.size)), 200, shown.fields)
    if not ranges:
        raise HTTPError(416, "The range lies outside of the file.", {"Content-Range": f"bytes */{shown.size}"})
    if len(ranges) == 1:
        field = make_field("Content-Range", ranges[0].content_range(shown.size))
        return Shortened.instead_of(_whole(shown, file), _part(file, ranges[0]), 206, (*shown.fields, field))
    parts = MultipartBody(file, shown.size, ranges, shown.content_type)
    fields = [field for field in shown.fields if field[0] != "content-type"]
    fields += [make_field("Content-Type", parts.content_type), make_field("Content-Length", str(parts.length))]
    return Shortened.instead_of(_whole(shown, file), parts, 206, tuple(fields))


def _whole(shown: Representation, file: io.FileIO | io.BytesIO) -> Response:
    """The answer with all of a file, not to be sent."""
    body = FileBody(file, 0, shown.size) if shown.body is None else shown.body
    return Response.from_fields(body, 200, shown.fields)


def _part(file: io.FileIO | io.BytesIO, part: Range) -> Body:
    """A part of a file as a body: read now if it is small, which also closes the file."""
    if part.length > SMALL_FILE:
        assert isinstance(file, io.FileIO)
        return FileBody(file, part.start, part.length)
    with file:
        data = read_exactly(file, part.start, part.length)
    if data is None:
        raise busy("The file is being changed.")
    return data
