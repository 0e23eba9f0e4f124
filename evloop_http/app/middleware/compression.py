"""Answers of text, compressed for who wants that (RFC 9110 §8.4, §12.5.3).

Whether one *could* be compressed is a matter of the answer alone, and every such answer says `Vary`;
whether it *is* depends on `Accept-Encoding`, where `q=0` means no, and without a word nobody is given
what he may not be able to read. A strong tag promises octets, so that of a compressed answer becomes weak.

Bodies in pieces are compressed piece by piece, each flushed, so that it can be read when it comes. A
long body in memory, too, goes out in pieces, for compressing all of it at once would hold up the loop.
Large files are left alone: the kernel sends those without our help.

Where a page holds a secret and repeats what a visitor sent, the size of the compressed page gives the
secret away by and by (BREACH). Such pages say `Cache-Control: no-transform`, and are left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

from ...messages import FileBody, PushedBody, Response
from ..accept import choose_coding
from ..application import Answer, Endpoint, after
from ..request import Request
from ..responses import Converted, vary
from ..static.files import PIECE, read_piece

#: Bytes that are compressed in one go; a longer body goes out in pieces.
AT_ONCE = 256 * 1024
#: Bytes of a file up to which it is compressed.
LARGEST_FILE = 1024 * 1024

_WITHOUT = frozenset({204, 205, 206, 304})
# The last two would be of other octets than those that are sent.
_LEFT_ALONE = frozenset({"content-encoding", "content-range", "content-digest", "repr-digest"})
_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})
_GZIP = 16 + zlib.MAX_WBITS


def gzip(minimum: int = 1024, level: int = 6) -> Callable[[Request, Endpoint], Answer]:
    """Compress answers of text.

    Args:
        minimum: bytes below which it is not worth the while.
        level: from 1, quick, to 9, small.

    Raises:
        ValueError: there is no such level, or the minimum is negative.
    """
    if not 1 <= level <= 9 or minimum < 0:
        raise ValueError("the level is between 1 and 9, the minimum not negative")

    def compress(request: Request, call_next: Endpoint) -> Answer:
        def finish(response: Response) -> Response:
            if response.status == 304:
                _name_as_known(request, response)
            elif _is_compressible(response, minimum):
                vary(response, "Accept-Encoding")
                if choose_coding(request.headers.get("accept-encoding", ""), ("gzip",)):
                    _compress(response, level)
            return response
        return after(call_next(request), finish)
    return compress


def _is_compressible(response: Response, minimum: int) -> bool:
    headers, body = response.headers, response.body
    if response.status in _WITHOUT or headers.has_any(_LEFT_ALONE):
        return False
    if "no-transform" in headers.get("cache-control", "").lower() or not _is_text(headers.get("content-type", "")):
        return False
    if isinstance(body, bytes):
        return len(body) >= minimum
    if isinstance(body, FileBody):
        return minimum <= body.length <= LARGEST_FILE
    return not isinstance(body, PushedBody)  # which others hold and push into; the connection must see it as it is


def _is_text(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip(" \t").lower()
    return media_type.startswith("text/") or media_type in _TEXT_TYPES or media_type.endswith(("+json", "+xml"))


def _compress(response: Response, level: int) -> None:
    body, headers = response.body, response.headers
    compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    if isinstance(body, bytes) and len(body) <= AT_ONCE:
        data = compressor.compress(body) + compressor.flush()
        if len(data) >= len(body):
            return
        response.body = data
    elif isinstance(body, bytes):
        pieces = (body[begin:begin + PIECE] for begin in range(0, len(body), PIECE))
        response.body = _Compressed(pieces, compressor, flushes=False)
    elif isinstance(body, FileBody):
        response.body = _Compressed(_FilePieces(body), compressor, flushes=False)
    else:
        response.body = _Compressed(body, compressor, flushes=True)
    headers["Content-Encoding"] = "gzip"
    for name in ("Content-Length", "Accept-Ranges"):
        if name in headers:
            del headers[name]
    tag = headers.get("etag", "")
    if tag.startswith('"'):
        headers["ETag"] = f"W/{tag}"


def _name_as_known(request: Request, response: Response) -> None:
    """Give a 304 the tag under which the client got the compressed answer, or it would not find it."""
    tag = response.headers.get("etag", "")
    if tag.startswith('"') and f"W/{tag}" in request.headers.get("if-none-match", ""):
        response.headers["ETag"] = f"W/{tag}"
        vary(response, "Accept-Encoding")


class _Compressed(Converted[bytes]):
    """A body in pieces, compressed."""

    __slots__ = ("_compressor", "_flushes", "_is_over")

    def __init__(self, pieces: Iterable[bytes], compressor: zlib._Compress, flushes: bool) -> None:
        super().__init__(pieces)
        self._compressor = compressor
        self._flushes = flushes
        self._is_over = False

    def __next__(self) -> bytes:
        if self._is_over:
            raise StopIteration
        piece = next(self._pieces, None)
        if piece is None:
            self._is_over = True
            return self._compressor.flush()
        data = self._compressor.compress(piece)
        return data + self._compressor.flush(zlib.Z_SYNC_FLUSH) if self._flushes and piece else data


class _FilePieces(Iterator[bytes]):
    """A part of a file, read piece by piece."""

    __slots__ = ("_body", "_left")

    def __init__(self, body: FileBody) -> None:
        self._body = body
        self._left = body.length

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        piece = read_piece(self._body.file, self._body.offset + self._body.length - self._left, self._left)
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._body.close()
