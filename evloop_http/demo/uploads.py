"""Forms with files. What came is looked at and forgotten: nothing is written where it could be found again.

The handler works in a thread. To take a form of megabytes apart and to go over its bytes takes a while, in
which the loop would serve nobody else.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import NamedTuple

from evloop_http import App, Request, Response
from evloop_http.app.forms import Upload

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


def look_at(file: Upload) -> Received:
    """What can be told of a file, which is closed then: a large one is on the disk, and gone at once."""
    with closing(file):
        digest = hashlib.sha256()
        while piece := file.file.read(_PIECE):
            digest.update(piece)
        return Received(file.safe_filename, file.content_type, file.size, digest.hexdigest())
