"""Responses of text, compressed for clients that accept it (RFC 9110 §8.4, §12.5.3).

Whether a response *could* be compressed depends on the response alone, and every such response says `Vary`.
Whether it *is* compressed depends on `Accept-Encoding`, where `q=0` means no; a client that does not send it
may not be able to read the compressed form. A strong tag promises octets, so the tag of a compressed response
becomes weak.

A 304 and a 206 say about caching what their 200 would have said (RFC 9110 §15.4.5, §15.3.7): `Vary`, and the tag. So
it must be known beforehand whether a 200 is compressed: it is, even if it gets no smaller, as noise does. Parts are
always those of the content as it is, so nothing is compressed for a request with `Range`.

Bodies in pieces, server-sent events among them, are compressed piece by piece, and each piece is flushed, so that
the client can read it when it arrives. A long body in memory is compressed in steps while it is sent, because
compressing it at once would hold up the loop. Large files are left alone: the kernel sends those without our help.

If a page contains a secret and repeats what a visitor sent, the size of the compressed page gives the secret
away bit by bit (BREACH). Such pages say `Cache-Control: no-transform`, and are left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ...messages import FileBody, Headers, Pipe, Response
from ...messages.response import AT_ONCE
from ..accept import choose_coding
from ..answers import CallNext
from ..conditions import Shortened
from ..later import after
from ..request import Request
from ..responses import vary

#: Bytes of a file up to which it is compressed.
LARGEST_FILE = 1024 * 1024

_WITHOUT = frozenset({204, 205})
_SHORTENED = frozenset({206, 304})
# The last two describe the octets that are sent.
_LEFT_ALONE = frozenset({"content-encoding", "content-range", "content-digest", "repr-digest"})
_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})
_GZIP = 16  # added to the size of the window, as a power of two


def gzip(minimum: int = 1024, level: int = 6) -> Callable[[Request, CallNext], Response]:
    """Compress responses of text.

    Args:
        minimum: bytes below which compressing is not worthwhile.
        level: from 1, quick, to 9, small.

    Raises:
        ValueError: there is no such level, or the minimum is negative.
    """
    if not 1 <= level <= 9 or minimum < 0:
        raise ValueError("the level is between 1 and 9, the minimum not negative")

    def compress(request: Request, call_next: CallNext) -> Response:
        def finish(response: Response) -> Response:
            is_whole = response.status not in _SHORTENED
            could_be = _is_compressible if is_whole else _stands_for_compressible
            if could_be(response, minimum):
                vary(response, "Accept-Encoding")
                if _is_wanted(request):
                    if is_whole:
                        _compress(response, level)
                    _weaken_tag(response)
            return response
        return after(call_next(request), finish)
    return compress


def _is_wanted(request: Request) -> bool:
    headers = request.headers
    return bool(choose_coding(headers.get("accept-encoding", ""), ("gzip",))) and "range" not in headers


def _is_compressible(response: Response, minimum: int) -> bool:
    headers, body = response.headers, response.body
    if response.status in _WITHOUT or headers.has_any(_LEFT_ALONE) or _is_fixed(headers):
        return False
    if not _is_text(headers.get("content-type", "")):
        return False
    if isinstance(body, bytes):
        return len(body) >= max(minimum, 1)
    if isinstance(body, FileBody):
        return minimum <= body.length <= LARGEST_FILE
    return True


def _stands_for_compressible(response: Response, minimum: int) -> bool:
    """Whether the 200 in whose place there is a 304 or 206 could be compressed; if nobody knows, it could."""
    if _is_fixed(response.headers):
        return False
    if isinstance(response, Shortened):
        return _is_compressible(response.whole, minimum)
    return response.status == 304 or _is_text(response.headers.get("content-type", ""))


def _is_fixed(headers: Headers) -> bool:
    return "no-transform" in headers.get("cache-control", "").lower()


def _is_text(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip(" \t").lower()
    return media_type.startswith("text/") or media_type in _TEXT_TYPES or media_type.endswith(("+json", "+xml"))


def _compress(response: Response, level: int) -> None:
    body, headers = response.body, response.headers
    compressor = _make_compressor(level, isinstance(body, Pipe) and bool(body.heartbeat))
    if isinstance(body, bytes) and len(body) <= AT_ONCE:
        response.body = compressor.compress(body) + compressor.flush()
    elif isinstance(body, bytes | FileBody):
        response.transform(compressor.compress, compressor.flush)
    else:
        response.transform(lambda piece: _compress_piece(compressor, piece), compressor.flush)
    headers["Content-Encoding"] = "gzip"
    for name in ("Content-Length", "Accept-Ranges"):
        if name in headers:
            del headers[name]


def _weaken_tag(response: Response) -> None:
    tag = response.headers.get("etag", "")
    if tag.startswith('"'):
        response.headers["ETag"] = f"W/{tag}"


def _make_compressor(level: int, is_long_lived: bool) -> zlib._Compress:
    """Make a compressor of 256 KiB, or one of 32 KiB for a stream of events: there may be thousands, for hours."""
    if is_long_lived:
        return zlib.compressobj(level, zlib.DEFLATED, _GZIP + 12, 5)
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP + zlib.MAX_WBITS)


def _compress_piece(compressor: zlib._Compress, piece: bytes) -> bytes:
    return compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) if piece else b""
