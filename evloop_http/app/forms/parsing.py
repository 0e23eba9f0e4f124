"""A body as a form: whole, or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...messages import HTTPError, MultiDict
from . import rules
from .parts import Gathered, PartsReader
from .uploads import PIECE, Upload

#: The types of forms.
URLENCODED, MULTIPART = FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Form(NamedTuple):
    """The fields and the files of a form."""

    fields: MultiDict[str]
    files: MultiDict[Upload]
    #: whether a file was too large for memory
    is_spooled: bool = False


def parse(media_type: str, content_type: str, body: bytes) -> Form:
    """Return the form in `body`.

    Raises:
        HTTPError: 415 if it is not a form or its charset is unknown, 400 if it is malformed, 413 if
            it has too many fields or they are too large.
    """
    if media_type == URLENCODED:
        return Form(_parse_urlencoded(body), MultiDict())
    if media_type == MULTIPART:
        return _parse_multipart(content_type, (body[begin:begin + PIECE] for begin in range(0, len(body), PIECE)))
    if not body:
        return Form(MultiDict(), MultiDict())
    raise HTTPError(415, "The body is expected to be a form.")


def parse_stream(media_type: str, content_type: str, pieces: Iterator[bytes]) -> Form:
    """Return the form in a body that comes piece by piece. It is never there as a whole: large files go to the disk.

    Raises:
        HTTPError: as `parse`, and what the pieces raise.
    """
    if media_type == MULTIPART:
        return _parse_multipart(content_type, pieces)
    # One byte more than a form may have, to see whether there is one.
    body = bytearray()
    while len(body) <= rules.MAX_FIELD_BYTES and (piece := next(pieces, b"")):
        body += piece
    return parse(media_type, content_type, bytes(body))


def _parse_urlencoded(body: bytes) -> MultiDict[str]:
    from urllib.parse import parse_qsl
    if len(body) > rules.MAX_FIELD_BYTES:
        raise rules.FormError(rules.FIELDS_LARGE, rules.MAX_FIELD_BYTES)
    if body.count(b"&") >= rules.MAX_PARTS:
        raise rules.FormError(rules.PARTS_MANY)
    try:
        return MultiDict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise HTTPError(400, "The form is malformed.") from None


def _parse_multipart(content_type: str, pieces: Iterator[bytes]) -> Form:
    gathered = Gathered()
    try:
        reader = PartsReader(content_type, gathered.open)
        for piece in pieces:
            reader.add(piece)
        reader.end()
    except BaseException:  # a malformed form, or a full disk
        gathered.close()
        raise
    return Form(MultiDict(gathered.fields), MultiDict(gathered.files), bool(gathered.spools))
