"""The page that shows what is in a directory: names, sizes and dates, no script, nothing from elsewhere.

It shows what would be served and nothing else: no hidden name, no link that leads out, no FIFO.
Names are escaped twice, as text for HTML and as the path of a link.

*Cost.* While a directory is read, nobody else is served. So of one directory at most `MOST_LISTED` names are
read and at most `MOST_LINKS` symbolic links are followed, each of which costs as much as ten other names; the
page says at its end what it leaves out. The rows are remembered, bounded in bytes, so that a page that is asked
for again costs one `stat`. A `HEAD` never makes them.

*Age.* A directory whose `stat` has changed is read again at once, so a name that was added or removed shows in the
next page. A file that grows does not change its directory. Nothing short of a `stat` of every file would tell,
so rows are made anew when they are a second old (`RECHECK`), as files are looked at again. A size or a date in
the page is at most that old.
"""

from __future__ import annotations

import html
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from ...messages import Fields, Headers, Response, make_field
from .files import PIECE, SMALL_FILE, Entry, FileCache, Identity, identity_at
from .paths import Missing, Root

#: Names that are read of one directory. The page says so if there are more.
MOST_LISTED = 5000
#: Symbolic links that are followed for one page. The page says so if there are more.
MOST_LINKS = 1000

#: A name in a directory, as `scandir` finds it.
Found: TypeAlias = "os.DirEntry[str]"


class Listed(NamedTuple):
    """A line of the page."""

    name: str
    is_directory: bool
    size: int
    modified: float


class Listing(Entry):
    """The rows of a page, and what follows them.

    Args:
        identity: of the directory, taken before it was read.
        rows: HTML, in UTF-8.
        notes: what the page leaves out.
    """

    __slots__ = ("identity", "notes", "rows")

    def __init__(self, identity: Identity, rows: bytes, notes: str) -> None:
        # Never settled: that the directory is the same does not mean that the files inside are.
        super().__init__((), False, len(rows))
        self.identity = identity
        self.rows = rows
        self.notes = notes


class Listings:
    """The pages of the directories below a root.

    Args:
        weight: bytes of rows to remember at most; 0 for none.
        clock: seconds from any origin that never go back.
    """

    __slots__ = ("_cache", "_root")

    def __init__(self, root: Root, weight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._cache: FileCache[Listing] = FileCache(weight=weight, clock=clock)

    def page(self, directory: str, title: str, *, head_only: bool = False) -> Response:
        """Return the page of a real directory inside of the root.

        Args:
            title: the path by which it was asked for.
            head_only: whether nobody wants the content. Then its length is left out if it would have to be
                worked out (RFC 9110 §9.3.2).

        Raises:
            Missing: the directory cannot be read.
        """
        identity = identity_at(directory)
        listing = self._cache.get(directory)
        if listing is None or listing.identity != identity:
            if head_only:
                _check_readable(directory)
                return Response.from_fields(iter(()), 200, _FIELDS)
            listing = make_listing(self._root, directory, identity)
            self._cache.put(directory, listing)
        return _respond(html.escape(title), listing)


def _check_readable(directory: str) -> None:
    try:
        os.scandir(directory).close()
    except OSError:
        raise Missing from None


def _respond(title: str, listing: Listing) -> Response:
    """Return a page. A long one is sent in pieces, so that all who read it slowly share the same rows."""
    before = _BEFORE.format(title=title).encode()
    after = _AFTER.format(notes=listing.notes).encode()
    length = len(before) + len(listing.rows) + len(after)
    if length <= SMALL_FILE:
        return Response.from_fields(before + listing.rows + after, 200, _FIELDS)
    fields = (*_FIELDS, make_field("Content-Length", str(length)))
    return Response.from_fields(_pieces(before, listing.rows, after), 200, fields)


def _pieces(before: bytes, rows: bytes, after: bytes) -> Iterator[bytes]:
    yield before
    for start in range(0, len(rows), PIECE):
        yield rows[start:start + PIECE]
    yield after


def make_listing(root: Root, directory: str, identity: Identity = None) -> Listing:
    """Read a directory.

    Raises:
        Missing: it cannot be read.
    """
    try:
        with os.scandir(directory) as found:
            entries = list(islice(found, MOST_LISTED + 1))
    except OSError:
        raise Missing from None
    shown = [entry for entry in entries[:MOST_LISTED] if root.shows(entry.name)]
    links = [entry for entry in shown if entry.is_symlink()]
    plain = [entry for entry in shown if not entry.is_symlink()]
    found_there = [*_listed(plain, _look), *_listed(links[:MOST_LINKS], lambda link: os.stat(root.real(link.path)))]
    rows = [_PARENT] if directory != root.path else []
    rows += map(_row, sorted(found_there, key=lambda row: (not row.is_directory, row.name.lower(), row.name)))
    notes = _NOTE_NAMES.format(most=MOST_LISTED) if len(entries) > MOST_LISTED else ""
    notes += _NOTE_LINKS.format(most=MOST_LINKS) if len(links) > MOST_LINKS else ""
    return Listing(identity, "".join(rows).encode(), notes)


def _look(entry: Found) -> os.stat_result:
    """Return what is known of a name that is not a link. In a real directory, it is nowhere else."""
    return entry.stat(follow_symlinks=False)


def _listed(entries: Iterable[Found], look: Callable[[Found], os.stat_result]) -> Iterator[Listed]:
    for entry in entries:
        try:
            status = look(entry)
        except (OSError, Missing):
            continue
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            yield Listed(entry.name, stat.S_ISDIR(status.st_mode), status.st_size, status.st_mtime)


def _row(row: Listed) -> str:
    name = row.name + "/" if row.is_directory else row.name
    size = "" if row.is_directory else format_size(row.size)
    return (f'<tr><td><a href="{html.escape(quote(name))}">{html.escape(name)}</a></td>'
            f"<td>{size}</td><td>{_format_date(row.modified)}</td></tr>\n")


def format_size(size: int) -> str:
    """Bytes for a reader: three digits and a unit."""
    if size < 1000:
        return f"{size} B"
    value, units = size / 1024, ["PiB", "TiB", "GiB", "MiB", "KiB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1024
        units.pop()
    return f"{value:.1f} {units[-1]}" if value < 99.95 else f"{value:.0f} {units[-1]}"


def _format_date(seconds: float) -> str:
    try:
        date = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # a file system may hold years that no calendar has
        return ""
    text = date.isoformat()  # far quicker than `strftime`
    return f'<time datetime="{text[:19]}Z">{text[:10]} {text[11:16]}</time>'


# Should anything of a name ever get through the escaping, it can still not run.
_FIELDS: Fields = Headers({
    "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}).fields
_PARENT = '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'
_NOTE_NAMES = "<p>This list is not complete: only {most} names of this directory were read, and there are more.</p>\n"
_NOTE_LINKS = "<p>Only {most} symbolic links of this directory are shown; there are more.</p>\n"
_BEFORE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th {{ text-align: left; font-weight: 600; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }}
td:first-child {{ overflow-wrap: anywhere; }}
th:nth-child(n+2), td:nth-child(n+2) {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
tbody tr:hover {{ background: color-mix(in srgb, currentColor 7%, transparent); }}
</style>
</head>
<body>
<h1>{title}</h1>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
"""
_AFTER = """</tbody>
</table>
{notes}</body>
</html>
"""
