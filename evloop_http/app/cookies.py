"""Cookies that an answer sets (RFC 6265, and what browsers added to it since: RFC 6265bis, CHIPS).

Reading them is `Request.cookies`. A cookie is a line of `name=value; Attribute=...`, and whoever can
put a semicolon into any piece of it can add attributes, or another domain. So every piece is held
against its grammar, and what a browser would drop without a word is an error here.

The defaults are those of a session: not for scripts (`HttpOnly`), not with requests that other sites
cause (`SameSite=Lax`), for the whole site, until the browser is closed. `secure` is the one to add
wherever the site has TLS.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from ..messages import Response, is_token

SameSite = Literal["Strict", "Lax", "None"]

# RFC 6265 §4.1.1: printable ASCII without space, quote, comma, semicolon and backslash
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_SAME_SITE = ("Strict", "Lax", "None")
#: Beyond these many bytes of name and value, or of one attribute, browsers drop the cookie (RFC 6265bis §5.6).
_COOKIE_BYTES = 4096
_ATTRIBUTE_BYTES = 1024
_LONG_AGO = datetime.fromtimestamp(0, UTC)


def set_cookie(response: Response, name: str, value: str, *, max_age: int | None = None,
               expires: datetime | None = None, path: str = "/", domain: str | None = None, secure: bool = False,
               http_only: bool = True, same_site: SameSite | None = "Lax", partitioned: bool = False) -> None:
    """Have the client keep a cookie.

    Args:
        value: printable ASCII without space, quote, comma, semicolon and backslash; for anything
            else, `urllib.parse.quote` it.
        max_age: seconds; 0 or less deletes it. Without it and `expires`, it ends with the browser.
        expires: with its time zone.
        domain: shares it with all hosts below; without it, only this host gets it.
        http_only: scripts do not see it.
        same_site: whether it comes with requests that another site causes; None to leave it to the browser.
        partitioned: another jar for each site that embeds this one.

    Raises:
        ValueError: a piece is not in its grammar, or a browser would drop the whole.
    """
    if not is_token(name):
        raise ValueError("the name of a cookie must be a token (RFC 6265 §4.1.1)")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of cookie {name} holds a character that no cookie may carry; quote it first")
    if len(name) + len(value) > _COOKIE_BYTES:
        raise ValueError(f"cookie {name} is too long: a browser drops what has more than {_COOKIE_BYTES} bytes")
    if same_site is not None and same_site not in _SAME_SITE:
        raise ValueError("same_site is one of Strict, Lax, None (a word), or None (no word about it)")
    if not secure and (same_site == "None" or partitioned):
        raise ValueError("SameSite=None and Partitioned are only heeded with secure=True")
    _check_prefix(name, secure, path, domain)
    pieces = [f"{name}={value}", *_lifetime(max_age, expires), *_reach(path, domain)]
    flags = {"Secure": secure, "HttpOnly": http_only, f"SameSite={same_site}": same_site is not None,
             "Partitioned": partitioned}
    response.headers.add("Set-Cookie", "; ".join([*pieces, *[flag for flag, is_set in flags.items() if is_set]]))


def delete_cookie(response: Response, name: str, *, path: str = "/", domain: str | None = None, secure: bool = False,
                  http_only: bool = True, same_site: SameSite | None = "Lax", partitioned: bool = False) -> None:
    """Have the client forget a cookie, which must have been set with the same path and domain.

    The other attributes, too, are best those it was set with: `secure` is part of what the name
    promises (`__Host-`), and a browser may refuse the deletion without it.

    Raises:
        ValueError: as `set_cookie`.
    """
    set_cookie(response, name, "", max_age=0, expires=_LONG_AGO, path=path, domain=domain, secure=secure,
               http_only=http_only, same_site=same_site, partitioned=partitioned)


def _check_prefix(name: str, secure: bool, path: str, domain: str | None) -> None:
    """What a name may promise, whatever its case (RFC 6265bis §4.1.3)."""
    lower = name.lower()
    if lower.startswith(("__secure-", "__host-")) and not secure:
        raise ValueError(f"cookie {name} must be secure, as its name says")
    if lower.startswith("__host-") and (path != "/" or domain is not None):
        raise ValueError(f"cookie {name} must have the path / and no domain, as its name says")


def _lifetime(max_age: int | None, expires: datetime | None) -> list[str]:
    pieces = []
    if expires is not None:
        if expires.tzinfo is None:
            raise ValueError("expires needs a time zone: without one, nobody knows when it is")
        pieces.append(f"Expires={format_datetime(expires.astimezone(UTC), usegmt=True)}")
    if max_age is not None:
        pieces.append(f"Max-Age={int(max_age)}")
    return pieces


def _reach(path: str, domain: str | None) -> list[str]:
    if not _PATH.fullmatch(path) or len(path) > _ATTRIBUTE_BYTES:
        raise ValueError("the path of a cookie is ASCII from a slash on, without semicolons and control characters")
    pieces = [f"Path={path}"]
    if domain is not None:
        if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
            raise ValueError("the domain of a cookie is a host name")
        pieces.append(f"Domain={domain}")
    return pieces
