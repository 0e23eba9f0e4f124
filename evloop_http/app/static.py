"""Files of a directory as an application.

*No path leaves the directory.* The path of the request is already decoded; it is cut at slashes,
and a segment that is `..`, hidden (a leading dot), or holds a backslash, a colon or NUL is refused
before the file system is asked. Then the real path, all symbolic links followed, must lie in the
real directory, compared segment by segment: `static_evil` is not inside of `static`
(CVE-2023-29159). Only regular files are opened, so a FIFO or a device cannot hold up the loop.

*Only what is needed is sent.* `ETag` and `Last-Modified` come from the file's size and times, and
a client that has it already gets 304 (RFC 9110 §13.2.2). One range is honoured with 206; of a
request for several, which is mostly an attack (CVE-2025-62727), the whole file is the answer. A
file goes by the kernel's `sendfile`; a small one, with its head, in one `send`.
"""

from __future__ import annotations

import errno
import html
import mimetypes
import os
import re
import stat
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from ..messages import FileBody, HTTPError, Request, Response

#: Files up to this many bytes are read and sent with their head; larger ones go by sendfile.
SMALL_FILE = 64 * 1024

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
# Separators and drives of other systems, NUL, and what stands in Python for bytes that are not UTF-8.
_FORBIDDEN = re.compile("[\\\\:\0\ud800-\udfff]")


class StaticFiles:
    """Serves the files of a directory.

    Args:
        directory: what is served; it must exist.
        index: the file that stands for a directory.
        listing: whether a directory without one is answered with a list of what is in it.
        max_age: seconds for which a client may use a file without asking again.

    Raises:
        ValueError: there is no such directory.
    """

    def __init__(self, directory: str | os.PathLike[str], *, index: str = "index.html", listing: bool = False,
                 max_age: int = 0) -> None:
        self._root = Path(directory).resolve()
        if not self._root.is_dir():
            raise ValueError(f"there is no directory {os.fspath(directory)}")
        self._index = index
        self._listing = listing
        self._cache_control = f"max-age={max_age}" if max_age else "no-cache"

    def __repr__(self) -> str:
        return f"<StaticFiles {self._root}>"

    def __call__(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise HTTPError(405, "Files can only be fetched.", {"Allow": "GET, HEAD"})
        path = self._resolve(request.path)
        if os.path.isdir(path):
            # Of the whole path: where a mount's own prefix was asked for, what is left of it is "/" all the same.
            if not request.head.path.endswith("/"):
                return _redirect_into(request)
            if not os.path.isfile(path / self._index):
                return self._list(request, path)
            path = self._inside(path / self._index)
        return self._send(request, path)

    def _resolve(self, path: str) -> Path:
        """The real path of a request's path.

        Raises:
            HTTPError: 404, whatever the reason; the peer need not know what is outside.
        """
        segments = [segment for segment in path.split("/") if segment]
        if not all(map(_is_plain, segments)):
            raise HTTPError(404, "There is no such file.")
        real = self._inside(self._root.joinpath(*segments))
        if path.endswith("/") and not os.path.isdir(real):
            raise HTTPError(404, "There is no such file.")
        return real

    def _inside(self, path: Path) -> Path:
        """`path` with all links followed, which may not have led out of the directory."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # not there; links in a circle; a name too long or not encodable
            raise HTTPError(404, "There is no such file.") from None
        if not real.is_relative_to(self._root):
            raise HTTPError(404, "There is no such file.")
        return real

    def _send(self, request: Request, path: Path) -> Response:
        file, status = _open(path)
        try:
            headers = {"Content-Type": _media_type(path), "Cache-Control": self._cache_control,
                       "Accept-Ranges": "bytes",
                       "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
                       "Last-Modified": formatdate(int(status.st_mtime), usegmt=True)}
            if _is_fresh(request, headers["ETag"], int(status.st_mtime)):
                file.close()
                return Response(status=304, headers=headers)
            offset, length, code = 0, status.st_size, 200
            wanted = _range(request, headers["ETag"], status.st_size)
            if wanted is not None:
                offset, length = wanted
                code = 206
                headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{status.st_size}"
            if length > SMALL_FILE:
                return Response(FileBody(file, offset, length), code, headers)
            with file:
                file.seek(offset)
                return Response(file.read(length), code, headers)
        except BaseException:
            file.close()
            raise

    def _list(self, request: Request, path: Path) -> Response:
        if not self._listing:
            raise HTTPError(404, "There is no such file.")
        try:
            entries = sorted((not entry.is_dir(), entry.name.lower(), entry.name)
                             for entry in path.iterdir() if _is_plain(entry.name))
        except OSError:
            raise HTTPError(404, "There is no such file.") from None
        names = [name if is_file else f"{name}/" for is_file, _, name in entries]
        if path != self._root:
            names.insert(0, "../")
        items = "".join(f'<li><a href="{html.escape(quote(name))}">{html.escape(name)}</a></li>\n' for name in names)
        page = _LISTING.format(title=html.escape(request.head.path), items=items)
        return Response(page, content_type="text/html; charset=utf-8")


_LISTING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<h1>{title}</h1>
<ul>
{items}</ul>
</html>
"""


def _is_plain(name: str) -> bool:
    """Whether a file of this name is shown: not if it is hidden, could lead elsewhere, or is no text."""
    return not name.startswith(".") and not _FORBIDDEN.search(name)


def _open(path: Path) -> tuple[BinaryIO, os.stat_result]:
    """A regular file, opened, and what `stat` says of it."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # the file may well be there
            raise HTTPError(503, "The server has too many files open.", {"Retry-After": "1"}) from None
        raise HTTPError(404, "There is no such file.") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise HTTPError(404, "There is no such file.")
    return os.fdopen(descriptor, "rb"), status


def _media_type(path: Path) -> str:
    guessed, encoding = mimetypes.guess_type(path.name)
    if encoding is not None or guessed is None:
        return "application/octet-stream"
    is_text = guessed.startswith("text/") or guessed == "application/javascript"
    return f"{guessed}; charset=utf-8" if is_text else guessed


def _redirect_into(request: Request) -> Response:
    # Relative to the last segment: it can neither leave the site nor miss a mount's prefix.
    last = quote(request.head.path.rstrip("/").rpartition("/")[2])
    return Response(status=301, headers={"Location": f"./{last}/"})


def _is_fresh(request: Request, etag: str, modified: int) -> bool:
    """Whether the client has this very file: by its tags if it sent some, else by the date (RFC 9110 §13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    since = _http_date(request.headers.get("if-modified-since"))
    return since is not None and modified <= since


def _range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Offset and length of the one range asked for; None to send the whole file.

    Raises:
        HTTPError: 416, it begins beyond the end.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if asked is None or not size or request.method != "GET" or (condition is not None and condition != etag):
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    begin = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if first and last and int(last) < begin:
        return None
    if begin > end:
        raise HTTPError(416, "The range lies outside of the file.", {"Content-Range": f"bytes */{size}"})
    return begin, end - begin + 1


def _http_date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        # One of the three forms of a date names no zone, for it is always GMT (RFC 9110 §5.6.7).
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
