"""The page that shows what is in a directory: names, sizes and dates, no script, nothing from elsewhere.

It shows what would be served and nothing else: no hidden name, no link that leads out, no FIFO.
Names are escaped twice, as text for HTML and as the path of a link. To read a directory takes its
time, in which nobody else is served; so the page ends after `MOST_LISTED` names, and says so.
"""

from __future__ import annotations

import html
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from ...messages import Response
from .paths import Missing, Root

#: Names on one page.
MOST_LISTED = 5000


class Listed(NamedTuple):
    """A line of the page."""

    name: str
    is_directory: bool
    size: int
    modified: float


def list_directory(root: Root, directory: str, title: str) -> Response:
    """The page of a real directory inside of `root`.

    Args:
        title: the path by which it was asked for.

    Raises:
        Missing: it cannot be read.
    """
    try:
        with os.scandir(directory) as found:
            names = [entry.name for entry in islice(found, MOST_LISTED + 1)]
    except OSError:
        raise Missing from None
    rows = sorted(_listed(root, directory, names[:MOST_LISTED]),
                  key=lambda row: (not row.is_directory, row.name.lower(), row.name))
    body = [_PARENT] if directory != root.path else []
    body += map(_row, rows)
    note = f"<p>Only {MOST_LISTED} names are shown; there are more.</p>\n" if len(names) > MOST_LISTED else ""
    page = _PAGE.format(title=html.escape(title), rows="".join(body), note=note)
    return Response(page, headers=_HEADERS, content_type="text/html; charset=utf-8")


def _listed(root: Root, directory: str, names: list[str]) -> Iterator[Listed]:
    for name in names:
        if not root.shows(name):
            continue
        try:
            status = os.stat(root.real(os.path.join(directory, name)))
        except (OSError, Missing):
            continue
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            yield Listed(name, stat.S_ISDIR(status.st_mode), status.st_size, status.st_mtime)


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
    return f'<time datetime="{date:%Y-%m-%dT%H:%M:%SZ}">{date:%Y-%m-%d %H:%M}</time>'


# Should anything of a name ever get through the escaping, it can still not run.
_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_PARENT = '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'
_PAGE = """<!doctype html>
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
{rows}</tbody>
</table>
{note}</body>
</html>
"""
