"""How a body becomes fields and files: `application/x-www-form-urlencoded` and `multipart/form-data`.

The first is the standard library's `parse_qsl`, the second the `multipart` library's (the extra
of that name). What is ours are the limits and whose fault it is.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO, NamedTuple

from ..messages import HTTPError, MultiDict

#: Fields and files of one form; 413 beyond it.
MAX_PARTS = 1000
#: Bytes of all text fields of a multipart form together; 413 beyond it.
MAX_FIELD_BYTES = 1024 * 1024
_PART_HEADERS = 8 * 1024

# A parameter (RFC 9110 §5.6.6). The standard library's parser takes half a second for 32 KiB of semicolons in quotes.
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*(?:([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*)))?""")
_QUOTED_PAIR = re.compile(r"\\(.)")

# Codecs of Python's own: no charset has these names, and the first takes quadratic time.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"})


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
    """A parameter of a header such as Content-Type, unquoted; None if it is not there. Stops at what is malformed."""
    found = _PARAMETER.match(header, max(header.find(";"), 0))
    while found is not None:
        key, quoted, plain = found.groups()
        if key is not None and key.lower() == name:
            return _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else plain or ""
        found = _PARAMETER.match(header, found.end())
    return None


def decode(data: bytes, charset: str) -> str:
    """`data` as text.

    Raises:
        HTTPError: 415 for an unknown charset, 400 where the data does not fit it.
    """
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            raise LookupError
        return data.decode(charset)
    except LookupError:
        raise HTTPError(415, "The charset of the body is unknown.") from None
    except ValueError:
        raise HTTPError(400, "The body does not fit its charset.") from None


def parse(media_type: str, content_type: str, body: bytes) -> Form:
    """The form in `body`.

    Raises:
        HTTPError: 415 if it is no form or its charset is unknown, 400 if it is malformed, 413 if
            it has too many fields.
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
                                          partsize_limit=len(body) + 1, memory_limit=len(body) + 1,
                                          spool_limit=len(body) + 1)  # the body is in memory already: no file on disk
        room = MAX_FIELD_BYTES
        for part in parts:
            if part.filename is None:
                room -= part.size
                if room < 0:
                    raise HTTPError(413, "The form's fields are too large.")
                fields.append((part.name, decode(part.raw, part.charset)))
            else:
                files.append((part.name, Upload(part.filename, part.content_type, part.file)))
    except multipart.ParserLimitReached:
        raise HTTPError(413, "The form has too many parts.") from None
    except multipart.MultipartError:
        raise HTTPError(400, "The multipart form is malformed.") from None
    return Form(MultiDict(fields), MultiDict(files))
