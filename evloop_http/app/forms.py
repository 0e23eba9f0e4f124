"""How a body becomes fields and files: `application/x-www-form-urlencoded` and `multipart/form-data`.

The first is the standard library's `parse_qsl`, the second the `multipart` library's (the extra
of that name). What is ours are the limits and whose fault it is.
"""

from __future__ import annotations

import io
from email.message import Message
from typing import BinaryIO, NamedTuple

from ..messages import HTTPError, MultiDict

#: Fields and files of one form; 413 beyond it.
MAX_PARTS = 1000
#: Bytes of all text fields of a multipart form together; 413 beyond it.
MAX_FIELD_BYTES = 1024 * 1024
_PART_HEADERS = 8 * 1024


class Upload(NamedTuple):
    """A file of a multipart form."""

    #: as the client named it: never to be used as a path
    filename: str
    content_type: str
    file: BinaryIO

    def read(self) -> bytes:
        """The whole file."""
        self.file.seek(0)
        return self.file.read()


class Form(NamedTuple):
    """The fields and the files of a form."""

    fields: MultiDict[str]
    files: MultiDict[Upload]


def parameter(header: str, name: str) -> str | None:
    """A parameter of a header such as Content-Type (RFC 9110 §5.6.6), unquoted; None if it is not there."""
    if ";" not in header:
        return None
    message = Message()
    message["Content-Type"] = header
    value = message.get_param(name)
    return value if isinstance(value, str) else None


def parse(media_type: str, content_type: str, body: bytes) -> Form:
    """The form in `body`.

    Raises:
        HTTPError: 415 if it is no form, 400 if it is malformed, 413 if it has too many fields.
        RuntimeError: it is multipart, and the extra `multipart` is not installed.
    """
    if media_type == "application/x-www-form-urlencoded":
        return Form(_parse_urlencoded(body), MultiDict())
    if media_type == "multipart/form-data":
        return _parse_multipart(content_type, body)
    if not body:
        return Form(MultiDict(), MultiDict())
    raise HTTPError(415, "The body is expected to be a form.")


def _parse_urlencoded(body: bytes) -> MultiDict[str]:
    from urllib.parse import parse_qsl
    if body.count(b"&") >= MAX_PARTS:
        raise HTTPError(413, "The form has too many fields.")
    try:
        return MultiDict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise HTTPError(400, "The form is malformed.") from None


def _parse_multipart(content_type: str, body: bytes) -> Form:
    try:
        import multipart
    except ImportError:
        raise RuntimeError("multipart forms need a library: pip install 'evloop-http[multipart]'") from None
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise HTTPError(400, "The multipart form names no boundary.")
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, Upload]] = []
    try:
        parts = multipart.MultipartParser(io.BytesIO(body), boundary, content_length=len(body), strict=True,
                                          headersize_limit=_PART_HEADERS, part_limit=MAX_PARTS,
                                          partsize_limit=max(len(body), 1), memory_limit=len(body) + 1)
        room = MAX_FIELD_BYTES
        for part in parts:
            if part.filename is None:
                room -= part.size
                if room < 0:
                    raise HTTPError(413, "The form's fields are too large.")
                fields.append((part.name, part.value))
            else:
                files.append((part.name, Upload(part.filename, part.content_type, part.file)))
    except multipart.ParserLimitReached:
        raise HTTPError(413, "The form has too many parts.") from None
    except (multipart.MultipartError, UnicodeDecodeError):
        raise HTTPError(400, "The multipart form is malformed.") from None
    return Form(MultiDict(fields), MultiDict(files))
