"""What a WSGI application says of its response by `start_response`, checked once and remembered.

PEP 3333 has the server refuse what would break its framing or another's: control characters, and fields that concern
the connection (RFC 9110 §7.6.1), which is the server's. The mistake is raised in the application, at the line where it
was made. The reason phrase is checked and dropped: the server has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ...messages import Fields, make_field

#: What `start_response` accepts.
HeaderList = list[tuple[str, str]]

_STATUS = re.compile(r"[2-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
#: Of the connection, not of the response: `wsgiref.util.is_hop_by_hop`, and what RFC 9110 §7.6.1 adds.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
                        "te", "trailer", "trailers", "transfer-encoding", "upgrade"})
#: Responses that are kept, and the characters in the fields of the longest.
_KEPT = 512
_LONGEST = 2048
_WITHOUT_CONTENT = frozenset({204, 205, 304})


class Start(NamedTuple):
    """The beginning of a response. Others may share it."""

    status: int
    fields: Fields
    #: what the application announced, in bytes; None if nothing
    length: int | None
    #: whether a response of this status may have content (RFC 9112 §6.3)
    has_content: bool


class _Starts(dict[tuple[str, tuple[tuple[str, str], ...]], Start]):
    """The beginnings of responses, by what applications passed."""

    def __missing__(self, key: tuple[str, tuple[tuple[str, str], ...]]) -> Start:
        status, headers = key
        start = checked_start(status, headers)
        if sum([len(name) + len(value) for name, value in headers]) <= _LONGEST:
            if len(self) >= _KEPT:
                self.clear()
            self[key] = start
        return start


_STARTS = _Starts()


def start_of(status: str, headers: HeaderList) -> Start:
    """Return the checked beginning of a response.

    Raises:
        TypeError: the status is not text, or the headers are not a list of pairs of text.
        ValueError: the status is not three digits, a space and a reason, or not one of 200 to 599; a field holds a
            character that none may hold, or belongs to the connection; or `Content-Length` is not one number.
    """
    try:
        return _STARTS[status, tuple(headers)]
    except TypeError:  # something in it has no hash, or is not iterable: say which
        return checked_start(status, headers)


def checked_start(status: str, headers: Iterable[tuple[str, str]]) -> Start:
    """Check it; see `start_of`."""
    if type(status) is not str:
        raise TypeError(f"the status of a WSGI response is text, not {type(status).__name__}")
    if _STATUS.fullmatch(status) is None:
        raise ValueError('the status of a WSGI response is three digits, 200 to 599, a space and a reason: "200 OK"')
    fields = tuple([_checked_field(header) for header in headers])
    lengths = [value for lower, (_, value) in fields if lower == "content-length"]
    if lengths and (len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None):
        raise ValueError("the Content-Length of a response is one number")
    code = int(status[:3])
    return Start(code, fields, int(lengths[0]) if lengths else None, code not in _WITHOUT_CONTENT)


def _checked_field(header: tuple[str, str]) -> tuple[str, tuple[str, str]]:
    if type(header) is not tuple or [type(part) for part in header] != [str, str]:
        raise TypeError("the headers of a WSGI response are a list of tuples (name, value), both text")
    field = make_field(*header)
    if field[0] in HOP_BY_HOP:
        raise ValueError(f"{header[0]} belongs to the connection, so a WSGI application may not set it")
    return field
