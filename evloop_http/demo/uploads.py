"""Files that are sent: in a form, or as they are. What came is looked at and forgotten: nothing is kept.

Both handlers work in a thread. To take a form of megabytes apart and to go over its bytes takes a while, in
which the loop would serve nobody else. A form is gathered before that, so it has the limit of a body; a file
that is put is gone over while it comes, and may be a hundred times as large.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

from evloop_http import App, Request, Response
from evloop_http.app.forms import Upload, safe_filename

from .pages import Pages

#: Bytes that are read in one go.
_PIECE = 64 * 1024


class Received(NamedTuple):
    """What is told of a file."""

    name: str
    type: str
    size: int
    sha256: str


def add_uploads(site: App, page: Pages) -> None:
    """The form, and what came with it."""

    @site.get("/upload", name="upload")
    def upload_form(request: Request) -> Response:
        return page(request, "upload.html")

    @site.post("/upload", threaded=True)
    def upload(request: Request) -> Response:
        # A browser sends a file without a name and content where none was chosen.
        files = [look_at(file) for file in request.files.get_all("file") if file.filename]
        return page(request, "uploaded.html", status=200 if files else 400, files=files)


    @site.put("/upload/{name}", stream=True)
    def put(request: Request, name: str) -> dict[str, object]:
        media_type = request.media_type or "application/octet-stream"
        return look_over(request.stream(), safe_filename(name), media_type)._asdict()


def look_at(file: Upload) -> Received:
    """What can be told of a file, which is closed then: a large one is on the disk, and gone at once."""
    with closing(file):
        pieces = iter(lambda: file.file.read(_PIECE), b"")
        return look_over(pieces, file.safe_filename, file.content_type)


def look_over(pieces: Iterable[bytes], name: str, media_type: str) -> Received:
    """What can be told of content that is gone through once."""
    size, digest = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        digest.update(piece)
    return Received(name, media_type, size, digest.hexdigest())
