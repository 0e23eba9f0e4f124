"""Name and password in every request (RFC 7617). Only for use over TLS: they are as good as in plain text.

Digests are compared, by a comparison that takes the same time whatever differs, for an unknown name as for a known
one. So the time of an answer tells neither a name nor how much of a password was right. It does not slow down
anybody who guesses: for passwords that people chose, give a function that uses `hashlib.scrypt`, and register
the handlers with `threaded=True`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable, Mapping

from ...messages import HTTPError, Response, is_field_value
from ..answers import CallNext
from ..request import Request

#: Bytes of `Authorization` that are looked at: the time that Unicode normalization takes grows with their square.
LONGEST_CREDENTIALS = 1024

Check = Callable[[str, str], bool]


def basic_auth(check: Check | Mapping[str, str], realm: str) -> Callable[[Request, CallNext], Response]:
    """Answer 401 to everybody who does not know a password. The name of whoever does is `request.user`.

    An `Authorization` header of more than 1,024 bytes is refused unread.

    A request with a body is refused before its body is received, if that can be decided quickly: without
    credentials at all, or against a mapping. A function may be slow, so it is asked only once, in the handler's thread.

    Args:
        check: passwords by name, or a function of name and password that returns whether they are right.
        realm: what the browser shows when it asks for the password.

    Raises:
        ValueError: the realm cannot stand in a header, or a name contains a colon.
    """
    if not realm.isascii() or not is_field_value(realm):
        raise ValueError("the realm is ASCII without control characters")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    challenge = {"WWW-Authenticate": f'Basic realm="{quoted}", charset="UTF-8"'}
    is_quick = isinstance(check, Mapping)
    is_right = _checking(check) if isinstance(check, Mapping) else check

    def refuses(request: Request) -> bool:
        found = credentials(request.headers.get("authorization", ""))
        return found is None or (is_quick and not is_right(*found))

    def authenticate(request: Request, call_next: CallNext) -> Response:
        found = credentials(request.headers.get("authorization", ""))
        if found is None or not is_right(*found):
            raise HTTPError(401, "This needs a name and a password.", challenge)
        request.user = found[0]  # type: ignore[attr-defined]
        return call_next(request)
    authenticate.refuses = refuses  # type: ignore[attr-defined]
    return authenticate


def credentials(authorization: str) -> tuple[str, str] | None:
    """Return the name and password of an `Authorization` header; None if it has none, has two, or is too long."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > LONGEST_CREDENTIALS:
        return None
    try:
        text = base64.b64decode(encoded.strip(" "), validate=True).decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are both of this kind
        return None
    name, colon, password = _normalized(text).partition(":")
    # RFC 7617 §2: neither may hold control characters
    if not colon or any(unicodedata.category(character) == "Cc" for character in text):
        return None
    return name, password


def _checking(users: Mapping[str, str]) -> Check:
    if any(":" in name for name in users):
        raise ValueError("a name in Basic authentication holds no colon (RFC 7617 §2)")
    known = {_digest(name): _digest(password) for name, password in users.items()}
    nobody = _digest("")

    def check(name: str, password: str) -> bool:
        # Found by its digest: how long that takes says nothing about the names there are.
        key = _digest(name)
        is_same = hmac.compare_digest(known.get(key, nobody), _digest(password))
        return is_same and key in known
    return check


def _digest(text: str) -> bytes:
    return hashlib.sha256(_normalized(text).encode()).digest()


def _normalized(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
