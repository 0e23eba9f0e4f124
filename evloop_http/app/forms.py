"""How a body becomes fields and files: `application/x-www-form-urlencoded` and `multipart/form-data`.

The first is the standard library's `parse_qsl`, the second the `multipart` library's (the extra
of that name). What is ours are the limits, whose fault it is, and where a file is kept.

*Fields are small, files may be large.* The text fields of a form together have a bound. A file up
to `SPOOL_BYTES` stays in memory, a larger one goes into a temporary file that has no name. It is
closed, and gone, when nobody holds it any more; `Upload.close` does it at once.

*A client's file name is a wish.* It may hold `../`, a drive, the name of a device or characters
that only look like a slash (werkzeug had to fix this four times: GHSA-f9vj-2wh5-fj8j and after).
`safe_filename` makes one plain name of it.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ..messages import HTTPError, MultiDict

#: The types of forms.
URLENCODED, MULTIPART = FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

#: Fields and files of one form; 413 beyond it.
MAX_PARTS = 1000
#: Bytes of all text fields of a form together; 413 beyond it.
MAX_FIELD_BYTES = 1024 * 1024
#: Bytes of a file that are kept in memory; a larger one goes to the disk.
SPOOL_BYTES = 1024 * 1024
#: Bytes of all files of a form together that are; beyond it, small ones go to the disk too.
MEMORY_BYTES = 8 * 1024 * 1024
#: Files of one form on the disk, each with a descriptor; 413 beyond it.
MAX_SPOOLS = 64
# Of one part: the bytes of a header, and how many there may be (RFC 7578 §4.8 knows three); 413 beyond it.
_PART_HEADER_BYTES = 8 * 1024
_PART_HEADERS = 8
_PIECE = 64 * 1024

# A parameter (RFC 9110 §5.6.6). The standard library's parser takes half a second for 32 KiB of semicolons in quotes.
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*(?:([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*)))?""")
_QUOTED_PAIR = re.compile(r"\\(.)")

# Codecs of Python's own: no charset has these names, and the first takes quadratic time.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"})

#: Bytes of a file name that Linux, macOS and Windows all take.
_NAME_BYTES = 255
_SEPARATORS = re.compile(r"[/\\]")
# What separates, names a drive or a stream, or is forbidden on Windows.
_RESERVED = frozenset('/\\:*?"<>|')
_EDGES = frozenset(" .")
# Windows takes these for devices in every directory, with any suffix.
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$",
                      *[f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789"]})


class Upload(NamedTuple):
    """A file of a multipart form."""

    #: as the client named it: never to be used as a path; see `safe_filename`
    filename: str
    content_type: str
    file: BinaryIO

    @property
    def safe_filename(self) -> str:
        """The client's name made harmless: one plain file name."""
        return safe_filename(self.filename)

    @property
    def size(self) -> int:
        """The bytes of the file."""
        position = self.file.tell()
        size = self.file.seek(0, os.SEEK_END)
        self.file.seek(position)
        return size

    def read(self) -> bytes:
        """The whole file."""
        self.file.seek(0)
        return self.file.read()

    def copy_to(self, target: BinaryIO) -> None:
        """Write the whole file to another, piece by piece."""
        self.file.seek(0)
        shutil.copyfileobj(self.file, target, _PIECE)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file to `path`, which is the application's own choice. What could not be written whole is removed.

        Raises:
            FileExistsError: something is there already, be it a link that leads nowhere, and `overwrite` was not asked.
            OSError: it cannot be written.
        """
        with open(path, "wb" if overwrite else "xb") as target:
            try:
                self.copy_to(target)
                target.flush()
            except BaseException:
                os.unlink(path)
                raise

    def close(self) -> None:
        """Let go of the file now; it happens by itself when nobody holds it any more."""
        self.file.close()


class Form(NamedTuple):
    """The fields and the files of a form."""

    fields: MultiDict[str]
    files: MultiDict[Upload]
    #: whether a file was too large for memory
    is_spooled: bool = False


class Spool(io.BufferedRandom):
    """A temporary file without a name, which closes itself without a warning when nobody holds it any more."""

    def __del__(self) -> None:
        self.close()


def safe_filename(name: str, default: str = "file") -> str:
    """A plain file name made of what a client sent: safe on every system to join to a directory, as long as it is new.

    The last part of a path; no separator, drive, control or invisible character, nor one that
    only looks like them; no dot in front; no name of a device; no more than 255 bytes.

    Args:
        default: what to answer where nothing is left.
    """
    name = unicodedata.normalize("NFC", _SEPARATORS.split(name)[-1])
    name = _trimmed("".join([character if _is_plain(character) else "_" for character in name]))
    if unicodedata.normalize("NFKC", name).partition(".")[0].rstrip(" ").upper() in _DEVICES:
        name = f"_{name}"
    return _trimmed(_shortened(name)) or default


def _is_plain(character: str) -> bool:
    """Whether a character may stand in a file name, and so may what others make of it (U+FF0F is a slash to some)."""
    if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
        return False
    return _RESERVED.isdisjoint(unicodedata.normalize("NFKC", character))


def _trimmed(name: str) -> str:
    """`name` without dots and blanks, of whatever kind, at its ends: there they hide it, or fall off on Windows."""
    edges = {character for character in name
             if character.isspace() or _EDGES.issuperset(unicodedata.normalize("NFKC", character))}
    return name.strip("".join(edges)) if edges else name


def _shortened(name: str) -> str:
    """`name` cut to what file systems take, its suffix kept."""
    if len(name.encode()) <= _NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _NAME_BYTES // 8:
        stem, dot, suffix = name, "", ""
    room = _NAME_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + suffix


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
        if charset != "utf-8" and codecs.lookup(charset).name in _NO_CHARSETS:
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
            it has too many fields or they are too large.
        RuntimeError: it is multipart, and the extra `multipart` is not installed.
    """
    if media_type == URLENCODED:
        return Form(_parse_urlencoded(body), MultiDict())
    if media_type == MULTIPART:
        return _parse_multipart(content_type, (body[begin:begin + _PIECE] for begin in range(0, len(body), _PIECE)))
    if not body:
        return Form(MultiDict(), MultiDict())
    raise HTTPError(415, "The body is expected to be a form.")


def parse_stream(media_type: str, content_type: str, pieces: Iterator[bytes]) -> Form:
    """The same of a body that comes piece by piece. It is never there as a whole: large files go to the disk.

    Raises:
        HTTPError: as `parse`, and what the pieces raise.
        RuntimeError: as `parse`.
    """
    if media_type == MULTIPART:
        return _parse_multipart(content_type, pieces)
    # One byte more than a form may have, to see whether there is one.
    body = bytearray()
    while len(body) <= MAX_FIELD_BYTES and (piece := next(pieces, b"")):
        body += piece
    return parse(media_type, content_type, bytes(body))


def _parse_urlencoded(body: bytes) -> MultiDict[str]:
    from urllib.parse import parse_qsl
    if len(body) > MAX_FIELD_BYTES:
        raise HTTPError(413, "The form's fields are too large.")
    if body.count(b"&") >= MAX_PARTS:
        raise HTTPError(413, "The form has too many fields.")
    try:
        return MultiDict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise HTTPError(400, "The form is malformed.") from None


def _parse_multipart(content_type: str, pieces: Iterator[bytes]) -> Form:
    try:
        import multipart
    except ImportError:
        raise RuntimeError("multipart forms need a library: pip install 'evloop-http[multipart]'") from None
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise HTTPError(400, "The multipart form names no boundary.")
    parts = _Parts()
    try:
        with multipart.PushMultipartParser(boundary, max_header_size=_PART_HEADER_BYTES,
                                           max_header_count=_PART_HEADERS, max_segment_count=MAX_PARTS,
                                           strict=True) as parser:
            for piece in _without_epilogue(pieces, parser.boundary):
                for event in parser.parse(piece):
                    parts.take(event)
    except multipart.ParserLimitReached:
        parts.close()
        raise HTTPError(413, "The form has too many parts.") from None
    except multipart.MultipartError:
        parts.close()
        raise HTTPError(400, "The multipart form is malformed.") from None
    except BaseException:  # a full disk, say
        parts.close()
        raise
    return Form(MultiDict(parts.fields), MultiDict(parts.files), bool(parts.spools))


def _without_epilogue(pieces: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """The pieces up to the one that ends the form; those behind it are passed over (RFC 2046 §5.1.1).

    The library passes over what stands in the same piece, and takes the line end of the last line, where
    that comes alone, for an error.
    """
    closing = b"\r\n--" + boundary + b"--"
    before = b"\r\n"
    for piece in pieces:
        yield piece
        before += piece
        if closing in before:
            break
        before = before[-len(closing):]
    for _ in pieces:
        pass


class _Parts:
    """Gathers the parts of a multipart form as the library tells of them: a head, pieces, an end."""

    __slots__ = ("_file", "_head", "_memory", "_room", "fields", "files", "spools")

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, Upload]] = []
        self.spools: list[Spool] = []
        self._room = MAX_FIELD_BYTES
        self._memory = 0  # bytes of files that are kept there
        self._head: Any = None
        self._file: io.BytesIO | Spool = io.BytesIO()

    def take(self, event: Any) -> None:
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            self._add(event)
        else:
            self._head = event
            self._file = io.BytesIO()

    def _add(self, data: bytes | bytearray) -> None:
        file = self._file
        if self._head.filename is None:
            self._room -= len(data)
            if self._room < 0:
                raise HTTPError(413, "The form's fields are too large.")
        elif isinstance(file, io.BytesIO):
            self._memory += len(data)
            if self._memory > MEMORY_BYTES or file.tell() + len(data) > SPOOL_BYTES:
                self._memory -= file.tell() + len(data)
                self._spool(file)
        self._file.write(data)

    def _spool(self, file: io.BytesIO) -> None:
        """Go on on the disk."""
        if len(self.spools) == MAX_SPOOLS:
            raise HTTPError(413, "The form has too many files.")
        self._file = Spool(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        self.spools.append(self._file)
        self._file.write(file.getbuffer())

    def _end(self) -> None:
        head, file = self._head, self._file
        file.seek(0)
        if head.filename is None:
            self.fields.append((head.name, decode(file.read(), head.charset or "utf-8")))
        else:
            self.files.append((head.name, Upload(head.filename, head.content_type or "application/octet-stream", file)))

    def close(self) -> None:
        for file in self.spools:
            file.close()
