"""JSON as RFC 8259 has it, in both directions: compact, in UTF-8, and without NaN.

The standard library does the work. Its functions make an encoder or a decoder anew for every call
that wants anything but the defaults, which takes as long as a small document does; here they are
made once.
"""

from __future__ import annotations

import json
from typing import Any

from ..messages import Fields, make_field

#: The header fields of an answer in JSON.
JSON_FIELDS: Fields = (make_field("Content-Type", "application/json"),)


def _refuse_constant(name: str) -> Any:
    """NaN and the infinities are Python's, not JSON's (RFC 8259 §6)."""
    raise ValueError(name)


_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ASCII = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_BLANKS = " \t\r\n"


def encode_json(value: Any) -> bytes:
    """Compact JSON in UTF-8.

    Raises:
        TypeError: the value holds something that JSON has no word for.
        ValueError: it holds itself, or NaN or an infinity.
    """
    text = _COMPACT.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which a peer may have sent: only JSON's own escapes carry it
        return _ASCII.encode(value).encode()


def decode_json(text: str) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is malformed.
        RecursionError: it is nested too deeply.
    """
    if text[:1] in _BLANKS:
        text = text.lstrip(_BLANKS)
    value, end = _DECODER.raw_decode(text)
    if end != len(text) and text[end:].strip(_BLANKS):
        raise ValueError("there is more behind it")
    return value
