"""Answers that are often given: texts, JSON, redirects, files, downloads; and what is said about them to caches.

Each is a function that returns a `Response` (or changes one), to be changed further. What could be
turned against the visitor is refused here, not left to the handler:

*A redirect stays on the site.* `/login?next=...` with whatever stands there is an invitation to
phishers (CVE-2023-28370). A browser takes `//host`, `/\\host` and `http:host` for another site, drops tabs
and line ends inside of an address and blanks before it. So a `Location` is a path from one slash, or
relative to this page, and whoever wants to leave says `external=True`.

*A download's name is a plain file name*, written twice: as ASCII for old clients, and in UTF-8 as
RFC 8187 has it.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from functools import cache
from typing import Any
from urllib.parse import quote

from ..messages import FileBody, HeaderSource, HTTPError, Request, Response, is_token
from .conditions import Shortened, evaluate, parse_date
from .forms import safe_filename
from .json import JSON_FIELDS, encode_json
from .later import after
from .problems import busy
from .static.files import SMALL_FILE, open_regular, read_exactly
from .static.representations import Labels, validators

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Blanks and controls, which browsers drop or cut off, and the backslash, which they read as a slash.
_NOT_IN_ADDRESS = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_SCHEME = re.compile(r"[^/?#]*:")
# All that an address may hold, `%` among it: what is encoded already stays as it is.
_ADDRESS = "!#$%&'()*+,/:;=?@[]~"
# RFC 8187 §3.2.1, beside letters, digits and `-._~`, which `quote` never touches
_ATTRIBUTE = "!#$&+^`|"
# Of a quoted file name; `%` because some clients decode it there, the others as in `forms`.
_NOT_IN_NAME = re.compile(r'[^\x20-\x7e]|[%"\\/:*?<>|]')

# RFC 9111 §5.2.2, RFC 5861, RFC 8246: what each directive takes
_SECONDS = frozenset({"max_age", "s_maxage", "stale_while_revalidate", "stale_if_error"})
_FLAGS = frozenset({"no_cache", "no_store", "no_transform", "must_revalidate", "must_understand", "proxy_revalidate",
                    "private", "public", "immutable"})

#: Of a 304 only what a 200 would have said to a cache; these describe a content that is not sent (RFC 9110 §15.4.5).
_OF_CONTENT = frozenset({"content-type", "content-length", "content-encoding", "content-language", "content-range"})

def text(body: str, status: int = 200, headers: HeaderSource = ()) -> Response:
    """Plain text, in UTF-8."""
    return Response(body, status, headers)


def html(body: str, status: int = 200, headers: HeaderSource = ()) -> Response:
    """A page, in UTF-8. Nothing is escaped: what a visitor sent goes through `html.escape` or a template first."""
    return Response(body.encode(), status, headers, content_type="text/html; charset=utf-8")


def json(value: Any, status: int = 200, headers: HeaderSource = ()) -> Response:
    """Compact JSON, in UTF-8.

    Raises:
        TypeError: the value holds something that JSON has no word for.
        ValueError: it holds itself, or NaN or an infinity (RFC 8259 §6).
    """
    response = Response.from_fields(encode_json(value), status, JSON_FIELDS)
    if headers:
        response.headers.update(headers)
    return response


def redirect(location: str, status: int = 303, *, external: bool = False) -> Response:
    """Send the client to another address of this site.

    Args:
        location: `/path?query` or relative to this page (`../list`, `?page=2`). What is not ASCII is encoded.
        status: 303 for "fetch that instead"; 307 and 308 keep method and body; 301 and 308 are for good.
        external: whether it may lead elsewhere. Never for an address that a visitor sent.

    Raises:
        ValueError: it leads elsewhere, or is no address; the status is no redirect.
    """
    if status not in _REDIRECTS:
        raise ValueError("the status of a redirect is 301, 302, 303, 307 or 308")
    if not location or _NOT_IN_ADDRESS.search(location):
        raise ValueError("an address is not empty and has no blank, backslash or control character")
    if not external and (location.startswith("//") or _SCHEME.match(location)):
        raise ValueError("the redirect would leave the site; if it is meant to: external=True")
    return Response(status=status, headers={"Location": quote(location, safe=_ADDRESS)})


def file(path: str | os.PathLike[str], *, content_type: str | None = None, status: int = 200,
         headers: HeaderSource = ()) -> Response:
    """A file that the application chose. (For files that the client chooses, see `StaticFiles`.)

    Carries `ETag` and `Last-Modified`, so that `conditional` and the middleware `etag` can answer 304.

    Args:
        content_type: the default is guessed from the name.

    Raises:
        HTTPError: 404, there is no such regular file; 503, too many are open or it is being changed.
    """
    opened, known = open_regular(os.path.realpath(path))
    size = known.st_size
    try:
        body: bytes | FileBody | None = FileBody(opened, 0, size)
        if size <= SMALL_FILE:
            with opened:
                body = read_exactly(opened, 0, size)
        if body is None:
            raise busy("The file is being changed.")
        tag, modified = validators(known)
        response = Response(body, status, {"ETag": tag, "Last-Modified": formatdate(modified, usegmt=True)},
                            content_type or _labels().content_type(os.path.basename(path)))
        response.headers.update(headers)
        return response
    except BaseException:
        opened.close()
        raise


def attachment(content: bytes | str | os.PathLike[str], filename: str | None = None, *,
               content_type: str | None = None) -> Response:
    """Something to be saved, not shown.

    Args:
        content: bytes, or the path of a file that the application chose.
        filename: the name to suggest; the default is the file's own. Made a plain name first (see `safe_filename`).
        content_type: the default is guessed from the name.

    Raises:
        HTTPError: as `file`.
    """
    if filename is None:
        filename = "file" if isinstance(content, bytes) else os.path.basename(os.fspath(content))
    name = safe_filename(filename)
    content_type = content_type or _labels().content_type(name)
    if isinstance(content, bytes):
        response = Response(content, content_type=content_type)
    else:
        response = file(content, content_type=content_type)
    response.headers["Content-Disposition"] = _disposition(name)
    return response


def stream(pieces: Iterable[bytes | str], status: int = 200, headers: HeaderSource = (), *,
           content_type: str | None = None) -> Response:
    """An answer that is made while it is sent, at the pace of the reader; text goes out in UTF-8.

    `close` of the iterator (of a generator, its `finally`) is called at the end, sent or not.

    Raises:
        TypeError: it is one text or bytes: those would be sent by the character.
    """
    if isinstance(pieces, bytes | str):
        raise TypeError("a stream is an iterable of pieces; text or bytes are a response of their own")
    return Response(_Encoded(pieces), status, headers, content_type)


class _Encoded(Iterator[bytes]):
    """Pieces of bytes or text, as bytes.

    It is not a generator: one that was never started would not close what it reads.
    """

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self._pieces = iter(pieces)

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        return piece.encode() if isinstance(piece, str) else piece

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


# What is said to caches


def vary(response: Response, *names: str) -> None:
    """Say that the response depends on these fields of the request, beside those that were named already.

    Raises:
        ValueError: a name is not the name of a field.
    """
    if not all(map(is_token, names)):
        raise ValueError("Vary lists names of header fields")
    after(response, lambda response: _add_to_vary(response, names))


def _add_to_vary(response: Response, names: tuple[str, ...]) -> None:
    said = [name.strip(" \t") for value in response.headers.get_all("Vary") for name in value.split(",")]
    for name in names:
        if name.lower() not in [other.lower() for other in said]:
            said.append(name)
    # "Depends on things beyond the request" says it all (RFC 9110 §12.5.5).
    response.headers["Vary"] = "*" if "*" in said else ", ".join(filter(None, said))


def cache_control(response: Response, **directives: bool | int) -> None:
    """Say how long, and by whom, the answer may be kept: `cache_control(response, private=True, max_age=60)`.

    Args:
        directives: those of RFC 9111 §5.2.2, RFC 5861 and RFC 8246, with `_` for `-`; seconds or True.

    Raises:
        ValueError: there is no such directive, its value is not of its kind, or `public` stands beside `private`.
    """
    pieces = []
    for name, value in directives.items():
        word = name.replace("_", "-")
        if name in _FLAGS and isinstance(value, bool):
            pieces += [word] if value else []
        elif name in _SECONDS and not isinstance(value, bool) and value >= 0:
            pieces.append(f"{word}={value:d}")
        else:
            raise ValueError(f"{word} is no directive of Cache-Control with a value of this kind")
    if "public" in pieces and "private" in pieces:
        raise ValueError("an answer is public or private, not both")
    if not pieces:
        raise ValueError("Cache-Control says something or is left out")
    response.headers["Cache-Control"] = ", ".join(pieces)


def conditional(request: Request, response: Response, *, weak: bool = False) -> Response:
    """Return the response, or 304 if the client has it already (RFC 9110 §13).

    Only for a response of 200 to GET and HEAD: before something is *changed*, ask `conditions.evaluate`.

    Args:
        weak: whether the tag that is made of the body, where the answer has none, says "as good as" and not "the same".

    Raises:
        HTTPError: 412, the client asked for another version.
    """
    return after(response, lambda response: _conditional(request, response, weak))


def _conditional(request: Request, response: Response, weak: bool) -> Response:
    if response.status != 200 or request.method not in ("GET", "HEAD"):
        return response
    if "etag" not in response.headers and isinstance(response.body, bytes) and response.body:
        digest = hashlib.blake2b(response.body, digest_size=16).hexdigest()
        response.headers["ETag"] = f'W/"{digest}"' if weak else f'"{digest}"'
    tag = response.headers.get("etag", "")
    status = evaluate(request, tag, parse_date(response.headers.get("last-modified", "")))
    if status is None:
        return response
    response.close()
    if status == 412:
        raise HTTPError(412, "This is not the version that was asked for.")
    kept = tuple([field for field in response.headers.fields if field[0] not in _OF_CONTENT])
    return Shortened.instead_of(response, b"", status, kept)


@cache
def _labels() -> Labels:
    """Made when somebody asks, for it reads the library's table."""
    return Labels({}, 0, ())


def _disposition(name: str) -> str:
    """`Content-Disposition` for a plain file name (RFC 6266 §4.3, appendix D)."""
    # Accents fall off; what a letter is taken apart into may be a slash (U+2105).
    apart = [mark for mark in unicodedata.normalize("NFKD", name) if not unicodedata.combining(mark)]
    plain = _NOT_IN_NAME.sub("_", "".join(apart))
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE)}"
