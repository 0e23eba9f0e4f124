"""The parts of a multipart form as fields and files (RFC 7578), within their limits.

A part with a file name is a file, and any other a text field. One exception: a part of the type `multipart/mixed`
without a file name holds several files of one field, in the older way of RFC 7578 §4.3, and is read by a decoder
of its own. What is in it is a file, whatever its type: nothing is nested deeper.

Of the headers of a part, Content-Disposition and Content-Type mean something. All others are ignored, as RFC 7578
§4.8 requires, if they are headers at all.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import NamedTuple, Protocol

from . import rules
from .charsets import decode
from .decoder import CLOSED, END_OF_PART, NEED_DATA, MultipartDecoder, PartHead
from .parameters import parameter, parse_boundary, parse_disposition
from .rules import FormError
from .uploads import Spool, Upload


class Part(NamedTuple):
    """What the headers of a part say."""

    kind: str  # of the disposition
    name: str | None
    filename: str | None
    content_type: str  # as it was sent, with its parameters

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.content_type.partition(";")[0].strip(" \t").lower()


def read_head(head: PartHead) -> Part:
    """Return what the headers of a part say.

    Raises:
        FormError: 400, they contradict each other, or are malformed.
    """
    texts = {"content-disposition": "", "content-type": ""}
    seen = set()
    for name, value in head.fields:
        if name not in texts:
            continue
        if name in seen:
            raise FormError(rules.FIELD_SINGLE, head.offset)
        seen.add(name)
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            raise FormError(rules.ENCODING, head.offset) from None
    disposition, content_type = texts["content-disposition"], texts["content-type"]
    if not disposition:
        return Part("", None, None, content_type)
    return Part(*parse_disposition(disposition, head.offset), content_type)


class Content(Protocol):
    """Receives the content of one part."""

    def add(self, data: bytes) -> None: ...
    def end(self) -> None: ...


class Gathered:
    """The fields and files of one form, and what they may still take up."""

    __slots__ = ("_header_bytes", "_parts", "fields", "files", "memory", "room", "spools")

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, Upload]] = []
        self.spools: list[Spool] = []
        self.room = rules.MAX_FIELD_BYTES
        self.memory = 0  # bytes of files that are kept there
        self._parts = 0
        self._header_bytes = 0

    def open(self, head: PartHead) -> Content:
        """Return what receives the content of a part of the form."""
        self._count(head)
        part = read_head(head)
        if part.kind != "form-data" or part.name is None:
            raise FormError(rules.DISPOSITION, head.offset)
        if part.filename is not None:
            return _File(self, part.name, part, part.filename)
        if part.media_type == "multipart/mixed":
            name = part.name
            return PartsReader(part.content_type, lambda head: self._open_nested(head, name))
        return _Text(self, part.name, part)

    def _open_nested(self, head: PartHead, name: str) -> Content:
        """Return what receives one of several files of a field: there it need not say that it is one."""
        self._count(head)
        part = read_head(head)
        return _File(self, name, part, part.filename or "")

    def _count(self, head: PartHead) -> None:
        self._parts += 1
        if self._parts > rules.MAX_PARTS:
            raise FormError(rules.PARTS_MANY, head.offset)
        self._header_bytes += sum(len(name) + len(value) for name, value in head.fields)
        if self._header_bytes > rules.FORM_HEADER_BYTES:
            raise FormError(rules.HEADERS_LARGE, head.offset)

    def close(self) -> None:
        """Let go of the files on the disk."""
        for file in self.spools:
            file.close()


class PartsReader:
    """Reads the parts of a multipart body, and gives the content of each to what `open_part` returns for its head.

    Raises:
        FormError: 400, the content type names no boundary.
    """

    __slots__ = ("_content", "_decoder", "_open_part")

    def __init__(self, content_type: str, open_part: Callable[[PartHead], Content]) -> None:
        self._decoder = MultipartDecoder(parse_boundary(content_type))
        self._open_part = open_part
        self._content: Content | None = None

    def add(self, data: bytes) -> None:
        """Read the next bytes of the body."""
        self._decoder.feed(data)
        self._read()

    def end(self) -> None:
        """Read the body's end."""
        self._decoder.feed_eof()
        self._read()

    def _read(self) -> None:
        next_event = self._decoder.next_event
        while (event := next_event()) is not NEED_DATA and event is not CLOSED:
            if isinstance(event, PartHead):
                self._content = self._open_part(event)
                continue
            assert self._content is not None  # the decoder's to keep: a head comes before all else
            if isinstance(event, bytes):
                self._content.add(event)
            elif event is END_OF_PART:
                self._content.end()


class _Text:
    """A text field."""

    __slots__ = ("_charset", "_data", "_gathered", "_name")

    def __init__(self, gathered: Gathered, name: str, part: Part) -> None:
        self._gathered = gathered
        self._name = name
        self._charset = parameter(part.content_type, "charset") or "utf-8"
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._gathered.room -= len(data)
        if self._gathered.room < 0:
            raise FormError(rules.FIELDS_LARGE)
        self._data += data

    def end(self) -> None:
        self._gathered.fields.append((self._name, decode(bytes(self._data), self._charset)))


class _File:
    """A file, in memory or on the disk."""

    __slots__ = ("_content_type", "_file", "_filename", "_gathered", "_name")

    def __init__(self, gathered: Gathered, name: str, part: Part, filename: str) -> None:
        self._gathered = gathered
        self._name = name
        self._filename = filename
        self._content_type = part.media_type or "application/octet-stream"
        self._file: io.BytesIO | Spool = io.BytesIO()

    def add(self, data: bytes) -> None:
        gathered, file = self._gathered, self._file
        if isinstance(file, io.BytesIO):
            gathered.memory += len(data)
            if gathered.memory > rules.MEMORY_BYTES or file.tell() + len(data) > rules.SPOOL_BYTES:
                gathered.memory -= file.tell() + len(data)
                self._spool(file)
        self._file.write(data)

    def _spool(self, file: io.BytesIO) -> None:
        """Go on on the disk."""
        spools = self._gathered.spools
        if len(spools) == rules.MAX_SPOOLS:
            raise FormError(rules.FILES_MANY)
        self._file = Spool(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        spools.append(self._file)
        self._file.write(file.getbuffer())

    def end(self) -> None:
        self._file.seek(0)
        self._gathered.files.append((self._name, Upload(self._filename, self._content_type, self._file)))
