"""What hostile, broken and odd peers send: one table, one line for each thing, each with its source.

A line has a name, the bytes, the status that they are refused with (or the events that they are), and the
source that requires it: a section of an RFC, or the advisory of a server that once accepted the bytes (a CVE,
or an entry of its changelog). A refused line may also name the byte where it is refused.

Every line is fed whole, cut at every byte (sampled in very long lines), and with a valid request behind it:
it is refused with the same rule at the same offset, and the request behind it never becomes an event.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from evloop_http.http1.strategies import Pairs
from reading import Seen

BEHIND = b"GET /behind HTTP/1.1\r\nHost: behind\r\n\r\n"


class Line(NamedTuple):
    name: str
    raw: bytes
    expected: int | list[Seen]
    source: str
    at: int | None = None  # where it is refused, if the line says so


def bad(name: str, raw: bytes, status: int, source: str, at: int | bytes | None = None) -> Line:
    """A line that is refused; `at` is a number, or the bytes that its last occurrence begins at."""
    return Line(name, raw, status, source, raw.rindex(at) if isinstance(at, bytes) else at)


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a", body: bytes = b"") -> bytes:
    """A request of these field lines, `Host` before them unless it is empty."""
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", body])


def to(target: bytes, method: bytes = b"GET") -> bytes:
    return request(line=method + b" " + target + b" HTTP/1.1")


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return request(*fields, line=b"POST / HTTP/1.1", body=body)


def hosted(host: bytes) -> bytes:
    return request(host=b"Host: " + host)


def chunks(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def good(name: str, raw: bytes, source: str, method: str = "GET", target: str = "/", version: str = "1.1",
         path: str = "/", query: str = "", authority: str = "a", fields: Pairs = (("Host", "a"),),
         length: int | None = 0, keep_alive: bool = True, expects: bool = False, body: bytes = b"",
         trailers: Pairs = ()) -> Line:
    """A line that is a request, odd or not."""
    head = ("head", method, target, version, path, query, authority, fields, length, keep_alive, expects)
    return Line(name, raw, [head, *([("data", body)] if body else []), ("end", trailers)], source)


def good_post(name: str, raw: bytes, source: str, field: tuple[str, str], length: int | None, body: bytes = b"",
              trailers: Pairs = ()) -> Line:
    return good(name, raw, source, method="POST", fields=(("Host", "a"), field), length=length, body=body,
                trailers=trailers)


def good_chunks(name: str, coded: bytes, source: str, body: bytes, trailers: Pairs = ()) -> Line:
    return good_post(name, chunks(coded), source, ("Transfer-Encoding", "chunked"), None, body, trailers)


def good_target(name: str, target: str, source: str, path: str, query: str = "", authority: str = "a",
                method: str = "GET") -> Line:
    return good(name, to(target.encode("latin-1"), method.encode()), source, method=method, target=target, path=path,
                query=query, authority=authority)


def good_host(name: str, host: str, source: str) -> Line:
    return good(name, hosted(host.encode()), source, authority=host, fields=(("Host", host),))


def good_field(name: str, line: bytes, source: str, *fields: tuple[str, str], keep_alive: bool = True) -> Line:
    return good(name, request(line), source, fields=(("Host", "a"), *fields), keep_alive=keep_alive)


LINE_ENDS = [
    bad("bare LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "RFC 9112 §2.2; CVE-2019-16785",
        14),
    bad("bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400, "RFC 9112 §2.2; CVE-2019-16785",
        b"\nX"),
    bad("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "RFC 9112 §2.2", 25),
    bad("LF LF ends no head", b"GET / HTTP/1.1\r\nHost: a\n\n", 400, "RFC 9112 §2.2", b"\n\n"),
    bad("all line ends bare LF", b"GET / HTTP/1.1\nHost: a\n\n", 400, "RFC 9112 §2.2", 14),
    bad("LF CR", b"GET / HTTP/1.1\n\rHost: a\r\n\r\n", 400, "RFC 9112 §2.2", 14),
    bad("LF before the request", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 §2.2", 0),
    bad("bare LF in a value", request(b"X: a\nb"), 400, "RFC 9112 §2.2; CVE-2023-37276", b"\nb"),
    bad("bare LF in a name", request(b"X\nY: a"), 400, "RFC 9112 §2.2", b"\nY"),
    bad("bare LF found before a broken name", request(b"X : a", b"Y: a\nb"), 400, "RFC 9112 §2.2", b"\nb"),
    bad("bare CR in a value", request(b"X: a\rb"), 400, "RFC 9110 §5.5; CVE-2023-30589", b"\rb"),
    bad("bare CR as a line end", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "RFC 9112 §2.2"),
    bad("bare CR between fields", request(b"X: a\rContent-Length: 5"), 400, "CVE-2023-30589", b"\rC"),
    bad("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400, "RFC 9112 §2.2"),
    bad("CR CR LF behind a field", request(b"X: a\r"), 400, "RFC 9112 §2.2", b"\r\r\n"),
    bad("CR LF CR X ends no head", b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400, "CVE-2025-23167", b"\rX"),
    bad("CR before the request", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 §2.2", 0),
    bad("two empty lines before the request", b"\r\n\r\n" + request(), 400, "RFC 9112 §2.2", 2),
    good("one empty line before the request", b"\r\n" + request(), "RFC 9112 §2.2"),
]

REQUEST_LINES = [
    bad("an empty head", b"\r\n\r\n\r\n", 400, "RFC 9112 §3", 2),
    bad("a method alone", b"GET\r\n\r\n", 400, "RFC 9112 §3", 0),
    bad("no version (HTTP/0.9)", b"GET /\r\n\r\n", 400, "RFC 9112 §2.3", 0),
    bad("two spaces before the target", request(line=b"GET  / HTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("two spaces before the version", request(line=b"GET /  HTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("a space before the method", request(line=b" GET / HTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("a space behind the version", request(line=b"GET / HTTP/1.1 "), 400, "RFC 9112 §3", 0),
    bad("a tab for a space", request(line=b"GET\t/ HTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("tabs for spaces", request(line=b"GET\t/\tHTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("a vertical tab for a space", request(line=b"GET /\x0bHTTP/1.1"), 400, "RFC 9112 §3", 0),
    bad("a space within the target", request(line=b"GET /a b HTTP/1.1"), 400, "RFC 9112 §3.2", 0),
    bad("an empty method", request(line=b" / HTTP/1.1"), 400, "RFC 9112 §3.1", 0),
    bad("an empty target", request(line=b"GET  HTTP/1.1"), 400, "RFC 9112 §3.2", 4),
    bad("a colon in the method", request(line=b"GET: / HTTP/1.1"), 400, "RFC 9110 §9.1", 0),
    bad("a method in brackets", request(line=b"(GET) / HTTP/1.1"), 400, "RFC 9110 §5.6.2", 0),
    bad("NUL in the method", request(line=b"G\0ET / HTTP/1.1"), 400, "RFC 9110 §5.6.2", 0),
    bad("obs-text in the method", request(line=b"G\xc9T / HTTP/1.1"), 400, "RFC 9110 §5.6.2", 0),
    bad("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400, "RFC 9112 §3", 0),
    bad("a field as the request line", b"Host: a\r\n\r\n", 400, "RFC 9112 §3", 0),
    bad("a response as the request line", b"HTTP/1.1 200 OK\r\n\r\n", 400, "RFC 9112 §3"),
    good("a method in lower case is another method", request(line=b"get / HTTP/1.1"), "RFC 9110 §9.1", method="get"),
    good("any token is a method", request(line=b"!#$%&'*+-.^_`|~09Az / HTTP/1.1"), "RFC 9110 §5.6.2",
         method="!#$%&'*+-.^_`|~09Az"),
    bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RFC 9113 §3.4", 6),
    bad("HTTP/2.0", request(line=b"GET / HTTP/2.0"), 505, "RFC 9110 §15.6.6", 6),
    bad("HTTP/1.2", request(line=b"GET / HTTP/1.2"), 505, "RFC 9110 §15.6.6", 6),
    bad("HTTP/0.9 by name", request(line=b"GET / HTTP/0.9"), 505, "RFC 9110 §15.6.6", 6),
    bad("HTTP/1.10", request(line=b"GET / HTTP/1.10"), 400, "RFC 9112 §2.3", 6),
    bad("HTTP/01.1", request(line=b"GET / HTTP/01.1"), 400, "RFC 9112 §2.3", 6),
    bad("HTTP/1", request(line=b"GET / HTTP/1"), 400, "RFC 9112 §2.3", 6),
    bad("HTTP/1,1", request(line=b"GET / HTTP/1,1"), 400, "RFC 9112 §2.3", 6),
    bad("HTTP/+1.1", request(line=b"GET / HTTP/+1.1"), 400, "RFC 9112 §2.3", 6),
    bad("a version in lower case", request(line=b"GET / http/1.1"), 400, "RFC 9112 §2.3", 6),
    bad("a version with a digit that is none in ASCII", request(line=b"GET / HTTP/1.\xb9"), 400, "CVE-2025-69224", 6),
    bad("another protocol", request(line=b"GET / HTTPS/1.1"), 400, "RFC 9112 §2.3", 6),
    bad("ICY", request(line=b"GET / ICY/1.1"), 400, "RFC 9112 §2.3", 6),
]

TARGETS = [
    good_target("a query", "/a?b=c&d", "RFC 9112 §3.2.1", "/a", "b=c&d"),
    good_target("an empty query", "/a?", "RFC 3986 §3.4", "/a"),
    good_target("a question mark in a query", "/a?b?c/d", "RFC 3986 §3.4", "/a", "b?c/d"),
    good_target("every character of a path", "/-._~!$&'()*+,;=:@aZ0/", "RFC 3986 §3.3", "/-._~!$&'()*+,;=:@aZ0/"),
    good_target("percent-encoded octets", "/%41%2f%C3%a9", "RFC 3986 §2.1", "/A/\xe9"),
    good_target("percent-encoded octets that are no UTF-8", "/%ff", "RFC 3986 §2.5", "/\ufffd"),
    good_target("a percent-encoded percent sign is decoded once", "/%2541", "RFC 3986 §2.4", "/%41"),
    good_target("a percent-encoded query stays", "/?a=%26%00", "RFC 3986 §3.4", "/", "a=%26%00"),
    good_target("percent-encoded line ends in a query", "/?a=%0d%0A", "RFC 3986 §7.3", "/", "a=%0d%0A"),
    good_target("a percent sign before 00 is decoded once", "/%2500%250D", "RFC 3986 §2.4", "/%00%0D"),
    good_target("percent-encoded controls that end nothing", "/%01%09%0b%0C%7f", "RFC 3986 §2.1",
        "/\x01\t\x0b\x0c\x7f"),
    good_target("a percent-encoded question mark is no query", "/a%3fb", "RFC 3986 §2.2", "/a?b"),
    good_target("dot segments are the application's", "/a/../b", "RFC 3986 §3.3", "/a/../b"),
    good_target("two slashes are a path and no authority", "//evil/x", "RFC 9112 §3.2.1; CVE-2023-28370", "//evil/x"),
    good_target("absolute", "http://b/c?d", "RFC 9112 §3.2.2", "/c", "d", "b"),
    good_target("absolute, its Host overruled", "http://b:81/", "RFC 9112 §3.2.2", "/", "", "b:81"),
    good_target("absolute without a path", "http://b", "RFC 9110 §4.2.3", "/", "", "b"),
    good_target("absolute with a query and no path", "http://b?c", "RFC 9110 §4.2.3", "/", "c", "b"),
    good_target("absolute in capitals", "HTTPS://B/", "RFC 3986 §3.1", "/", "", "B"),
    good_target("asterisk", "*", "RFC 9112 §3.2.4", "*", method="OPTIONS"),
    good_target("authority", "b:443", "RFC 9112 §3.2.3", "", "", "b:443", method="CONNECT"),
    good_target("authority with an address", "[::1]:443", "RFC 9112 §3.2.3", "", "", "[::1]:443", method="CONNECT"),
    bad("asterisk for GET", to(b"*"), 400, "RFC 9112 §3.2.4", 4),
    bad("asterisk and more", to(b"*/x", b"OPTIONS"), 400, "RFC 9112 §3.2.4", 8),
    bad("authority for GET", to(b"b:443"), 400, "RFC 9112 §3.2.3", 4),
    bad("origin for CONNECT", to(b"/", b"CONNECT"), 400, "RFC 9112 §3.2.3", 8),
    bad("absolute for CONNECT", to(b"http://b:80/", b"CONNECT"), 400, "RFC 9112 §3.2.3", 8),
    bad("CONNECT without a port", to(b"b", b"CONNECT"), 400, "RFC 9110 §9.3.6", 8),
    bad("CONNECT with an empty port", to(b"b:", b"CONNECT"), 400, "RFC 9110 §9.3.6", 8),
    bad("CONNECT to an address without a port", to(b"[::1]", b"CONNECT"), 400, "RFC 9110 §9.3.6", 8),
    bad("CONNECT with a user", to(b"u@b:443", b"CONNECT"), 400, "RFC 9112 §3.2.3", 8),
    bad("CONNECT with a port too large", to(b"b:65536", b"CONNECT"), 400, "RFC 9110 §9.3.6", 8),
    bad("relative", to(b"a/b"), 400, "RFC 9112 §3.2", 4),
    bad("a query alone", to(b"?a"), 400, "RFC 9112 §3.2.1", 4),
    bad("a fragment", to(b"/a#b"), 400, "RFC 9112 §3.2", 4),
    bad("absolute with a fragment", to(b"http://b/#c"), 400, "RFC 9112 §3.2.2", 4),
    bad("absolute with a user", to(b"http://user@b/"), 400, "RFC 9110 §4.2.4", 4),
    bad("absolute with user and password", to(b"http://user:secret@b/"), 400, "RFC 9110 §4.2.4", 4),
    bad("absolute without a host", to(b"http:///c"), 400, "RFC 9110 §4.2.1", 4),
    bad("absolute with a port that is none", to(b"http://b:x/"), 400, "RFC 3986 §3.2.3", 4),
    bad("absolute with a backslash", to(b"http://b\\@c/"), 400, "RFC 3986 §3.2", 4),
    bad("absolute of another scheme", to(b"ftp://b/"), 400, "RFC 9112 §3.2.2", 4),
    bad("absolute with one slash", to(b"http:/b/"), 400, "RFC 9110 §4.2.1", 4),
    bad("absolute without Host", request(line=b"GET http://b/ HTTP/1.1", host=b""), 400, "RFC 9112 §3.2", 0),
    bad("a lone percent sign", to(b"/%"), 400, "RFC 3986 §2.1", 4),
    bad("a percent sign and one digit", to(b"/%4"), 400, "RFC 3986 §2.1", 4),
    bad("a percent sign and no digits", to(b"/%zz"), 400, "RFC 3986 §2.1", 4),
    bad("a percent sign in a query", to(b"/?100%"), 400, "RFC 3986 §2.1", 4),
    bad("a percent-encoded NUL in the path", to(b"/a%00.png"), 400, "RFC 3986 §7.3", 4),
    *[bad(f"a path with {octet!r}", to(b"/a" + octet + b"Set-Cookie:%20b", b"HEAD"), 400, "RFC 3986 §7.3", 5)
      for octet in (b"%0d", b"%0D", b"%0a", b"%0A", b"%0d%0a", b"/%0D%0A/", b"%2f%00")],
    bad("a percent-encoded NUL in the path, and a query", to(b"/%00?a=b"), 400, "RFC 3986 §7.3", 4),
    bad("a percent-encoded line end in the path of a URL", to(b"http://b/c%0d%0aX:%20y"), 400, "RFC 3986 §7.3", 4),
    bad("NUL in the target", to(b"/a\0b"), 400, "RFC 3986 §2", 4),
    bad("a control byte in the target", to(b"/\x1b[31m"), 400, "RFC 3986 §2; CVE-2020-7694", 4),
    bad("DEL in the target", to(b"/\x7f"), 400, "RFC 3986 §2", 4),
    bad("a tab in the target", to(b"/a\tb"), 400, "RFC 3986 §2", 4),
    bad("raw UTF-8 in the target", to("/\xe9".encode()), 400, "RFC 3986 §2", 4),
    bad("obs-text in a query", to(b"/?\xe9"), 400, "RFC 3986 §2", 4),
    bad("a quote in the target", to(b'/"'), 400, "RFC 3986 §2", 4),
    bad("an angle bracket in the target", to(b"/<script>"), 400, "RFC 3986 §2", 4),
    bad("a backslash in the path", to(b"/a\\..\\b"), 400, "RFC 3986 §3.3", 4),
    good_target("a caret in the path, as Node's fetch sends it", "/a^b", "RFC 9112 §3.2", "/a^b"),
    bad("a percent sign in an authority", to(b"http://a%20b/"), 400, "RFC 9110 §7.2", 4),
    bad("CONNECT with a percent sign", to(b"a%62:1", b"CONNECT"), 400, "RFC 9110 §9.3.6", 8),
    bad("a brace in the path", to(b"/{a}"), 400, "RFC 3986 §3.3", 4),
]

HOSTS = [
    good_host("a name", "example.com", "RFC 9110 §7.2"),
    good_host("a name and a port", "example.com:8080", "RFC 9110 §7.2"),
    good_host("an empty port", "example.com:", "RFC 3986 §3.2.3"),
    good_host("the largest port", "a:65535", "RFC 9110 §7.2"),
    good_host("IPv4", "127.0.0.1:80", "RFC 3986 §3.2.2"),
    good_host("IPv6", "[2001:db8::1]:80", "RFC 3986 §3.2.2"),
    good_host("IPv6 with IPv4 in it", "[::ffff:127.0.0.1]", "RFC 3986 §3.2.2"),
    good("none in HTTP/1.0", request(line=b"GET / HTTP/1.0", host=b""), "RFC 9112 §3.2", version="1.0", authority="",
         fields=(), keep_alive=False),
    bad("none", request(host=b""), 400, "RFC 9112 §3.2", 0),
    bad("two", request(b"Host: a"), 400, "RFC 9112 §3.2; CVE-2026-34525", 0),
    bad("two that differ", request(b"host: b"), 400, "RFC 9112 §3.2; CVE-2026-34525", 0),
    bad("two in HTTP/1.0", request(b"host: b", line=b"GET / HTTP/1.0"), 400, "RFC 9112 §3.2", 0),
    bad("empty", hosted(b""), 400, "RFC 9110 §4.2.1", b"Host"),
    bad("a list", hosted(b"a, b"), 400, "RFC 9110 §7.2", b"Host"),
    bad("two names", hosted(b"a b"), 400, "RFC 9110 §7.2", b"Host"),
    bad("a path", hosted(b"a/b"), 400, "RFC 9110 §7.2; CVE-2026-48710", b"Host"),
    bad("a query", hosted(b"a?b"), 400, "RFC 9110 §7.2; CVE-2026-48710", b"Host"),
    bad("a fragment", hosted(b"a#b"), 400, "RFC 9110 §7.2; CVE-2026-48710", b"Host"),
    bad("a backslash", hosted(b"a\\b"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("a user", hosted(b"u@a"), 400, "RFC 9110 §4.2.4", b"Host"),
    bad("a scheme", hosted(b"http://a"), 400, "RFC 9110 §7.2", b"Host"),
    bad("quotes", hosted(b'"a"'), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("obs-text", hosted(b"\xe9.example"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("a broken percent sign", hosted(b"a%2"), 400, "RFC 3986 §2.1", b"Host"),
    bad("an encoded letter", hosted(b"ex%61mple.com"), 400, "RFC 9110 §7.2", b"Host"),
    bad("an encoded slash", hosted(b"a%2fb"), 400, "RFC 9110 §7.2", b"Host"),
    bad("a percent sign alone", hosted(b"%"), 400, "RFC 9110 §7.2", b"Host"),
    bad("a port that is no number", hosted(b"a:http"), 400, "RFC 3986 §3.2.3", b"Host"),
    bad("a port with a sign", hosted(b"a:-1"), 400, "RFC 3986 §3.2.3", b"Host"),
    bad("a port too large", hosted(b"a:65536"), 400, "RFC 9110 §7.2", b"Host"),
    bad("a port of very many digits", hosted(b"a:" + b"0" * 5000), 400, "RFC 9110 §7.2", b"Host"),
    bad("two ports", hosted(b"a:1:2"), 400, "RFC 3986 §3.2.3", b"Host"),
    bad("a port alone", hosted(b":80"), 400, "RFC 9110 §4.2.1", b"Host"),
    bad("IPv6 without brackets", hosted(b"2001:db8::1"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("an open bracket", hosted(b"[::1"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("a closed bracket", hosted(b"::1]"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("brackets around a name", hosted(b"[a]"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("empty brackets", hosted(b"[]"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("something behind the brackets", hosted(b"[::1]x"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("an IPv6 zone", hosted(b"[fe80::1%25eth0]"), 400, "RFC 6874 §1", b"Host"),
    bad("IPv6 with too many parts", hosted(b"[1:2:3:4:5:6:7:8:9]"), 400, "RFC 3986 §3.2.2", b"Host"),
    bad("IPv6 with two gaps", hosted(b"[1::2::3]"), 400, "RFC 3986 §3.2.2", b"Host"),
]

FIELDS = [
    bad("a space before the colon", request(b"X : y"), 400, "RFC 9112 §5.1; CVE-2021-22959", b"X :"),
    bad("a tab before the colon", request(b"X\t: y"), 400, "RFC 9112 §5.1", b"X\t"),
    bad("a space before the colon of Content-Length", post(b"Content-Length : 5", body=b"hello"), 400, "CVE-2024-27982",
        b"Con"),
    bad("a space before Content-Length", post(b" Content-Length: 5", body=b"hello"), 400, "CVE-2024-27982", b" Con"),
    bad("a folded value", request(b"X: y", b" z"), 400, "RFC 9112 §5.2; CVE-2022-32215", b" z"),
    bad("a value folded with a tab", request(b"X: y", b"\tz"), 400, "RFC 9112 §5.2", b"\tz"),
    bad("a fold with a colon in it", request(b"X: y", b" Z: z"), 400, "RFC 9112 §5.2", b" Z"),
    bad("a line of spaces", request(b"X: y", b"  "), 400, "RFC 9112 §5.2", b"  \r"),
    bad("a first field that is folded", request(b" X: y", host=b""), 400, "RFC 9112 §2.2", b" X"),
    bad("a folded Transfer-Encoding", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), 400,
        "CVE-2019-16786; CVE-2022-35256",
        b" chunked"),
    bad("no colon", request(b"X"), 400, "RFC 9112 §5", b"X\r"),
    bad("no name", request(b": y"), 400, "RFC 9110 §5.1", b": y"),
    bad("a colon alone", request(b":"), 400, "RFC 9110 §5.1", b":\r"),
    bad("a space in a name", request(b"X Y: z"), 400, "RFC 9110 §5.1", b"X Y"),
    bad("a slash in a name", request(b"X/Y: z"), 400, "RFC 9110 §5.6.2", b"X/Y"),
    bad("quotes around a name", request(b'"X": z'), 400, "RFC 9110 §5.6.2", b'"X"'),
    bad("NUL in a name", request(b"X\0: y"), 400, "RFC 9110 §5.1; CVE-2023-37276", b"X\0"),
    bad("DEL in a name", request(b"X\x7f: y"), 400, "RFC 9110 §5.1", b"X\x7f"),
    bad("obs-text in a name", request(b"X\xe9: y"), 400, "RFC 9110 §5.1", b"X\xe9"),
    bad("a non-breaking space behind a name", request(b"X\xa0: y"), 400, "CVE-2019-16789", b"X\xa0"),
    bad("NUL in a value", request(b"X: a\0b"), 400, "RFC 9110 §5.5; CVE-2023-37276", b"\0"),
    bad("ESC in a value", request(b"X: a\x1b[31m"), 400, "RFC 9110 §5.5; CVE-2020-7694", b"\x1b"),
    bad("DEL in a value", request(b"X: a\x7f"), 400, "RFC 9110 §5.5", b"\x7f"),
    bad("a vertical tab before a value", request(b"X: \x0by"), 400, "RFC 9110 §5.5; CVE-2019-16789", b"\x0b"),
    bad("a form feed behind a value", request(b"X: y\x0c"), 400, "RFC 9110 §5.5; CVE-2019-16789", b"\x0c"),
    good_field("whitespace around a value is not part of it", b"X: \t y \t", "RFC 9112 §5.1", ("X", "y")),
    good_field("no whitespace", b"X:y", "RFC 9112 §5.1", ("X", "y")),
    good_field("an empty value", b"X:", "RFC 9110 §5.5", ("X", "")),
    good_field("a value of whitespace", b"X: \t ", "RFC 9110 §5.5", ("X", "")),
    good_field("colons in a value", b"X: a:b:c", "RFC 9112 §5", ("X", "a:b:c")),
    good_field("two colons", b"X:: y", "RFC 9112 §5", ("X", ": y")),
    good_field("a tab in a value", b"X: a\tb", "RFC 9110 §5.5", ("X", "a\tb")),
    good_field("obs-text in a value", b"X: \xe9\xff", "RFC 9110 §5.5", ("X", "\xe9\xff")),
    good_field("only SP and HTAB are trimmed", b"X: \xa0\x85y\x85\xa0", "CVE-2019-16789; tornado 6.4.1",
               ("X", "\xa0\x85y\x85\xa0")),
    good_field("every character of a name", b"!#$%&'*+-.^_`|~09Az: y", "RFC 9110 §5.6.2", ("!#$%&'*+-.^_`|~09Az", "y")),
    good_field("a request line as a value", b"X: GET / HTTP/1.1", "RFC 9110 §5.5", ("X", "GET / HTTP/1.1")),
    good("repeated fields keep their order", request(b"X: 1", b"Y: 2", b"x: 3"), "RFC 9110 §5.3",
         fields=(("Host", "a"), ("X", "1"), ("Y", "2"), ("x", "3"))),
    bad("two Content-Types", request(b"Content-Type: a/b", b"content-type: c/d"), 400, "RFC 9110 §5.3; gunicorn 26.0",
        0),
    bad("two Authorizations", request(b"Authorization: a", b"Authorization: b"), 400, "RFC 9110 §5.3", 0),
    good_field("Connection: close among others, in any case", b"Connection: x, Close", "RFC 9110 §7.6.1; cheroot #721",
               ("Connection", "x, Close"), keep_alive=False),
    good_field("Connection: something that only begins like close", b"Connection: closed", "RFC 9110 §7.6.1",
               ("Connection", "closed")),
    good("Connection twice", request(b"Connection: x", b"Connection: close"), "RFC 9110 §5.3",
         fields=(("Host", "a"), ("Connection", "x"), ("Connection", "close")), keep_alive=False),
    good("HTTP/1.0 stays on request", request(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), "RFC 9112 §9.3",
         version="1.0", fields=(("Host", "a"), ("Connection", "Keep-Alive"))),
    good("HTTP/1.0 that says both is closed", request(b"Connection: keep-alive, close", line=b"GET / HTTP/1.0"),
         "RFC 9112 §9.3", version="1.0", fields=(("Host", "a"), ("Connection", "keep-alive, close")), keep_alive=False),
    bad("an expectation nobody knows", post(b"Expect: 200-ok"), 417, "RFC 9110 §10.1.1", 0),
    bad("an empty expectation", post(b"Expect:"), 417, "RFC 9110 §10.1.1", 0),
    bad("two expectations", post(b"Expect: 100-continue, x=y"), 417, "RFC 9110 §10.1.1", 0),
    good("an expectation in any case", post(b"Expect: 100-Continue", b"Content-Length: 1", body=b"x"),
         "RFC 9110 §10.1.1; cheroot #721", method="POST", length=1, expects=True, body=b"x",
         fields=(("Host", "a"), ("Expect", "100-Continue"), ("Content-Length", "1"))),
    good_field("an expectation without a body", b"Expect: 100-continue", "RFC 9110 §10.1.1", ("Expect",
        "100-continue")),
    good("an expectation of HTTP/1.0", request(b"Expect: 200-ok", line=b"GET / HTTP/1.0"), "RFC 9110 §10.1.1",
         version="1.0", fields=(("Host", "a"), ("Expect", "200-ok")), keep_alive=False),
]

LENGTHS = [
    *[bad(f"Content-Length {value!r}", post(b"Content-Length: " + value, body=b"hello"), 400, source, b"Content-Length")
      for value, source in [
          (b"", "RFC 9110 §8.6"), (b"+5", "RFC 9110 §8.6; CVE-2022-24761"), (b"-5", "RFC 9110 §8.6"),
          (b"-0", "RFC 9110 §8.6"), (b"0x5", "RFC 9110 §8.6; CVE-2022-24761"), (b"5_0",
          "RFC 9110 §8.6; CVE-2022-24761"),
          (b"5.0", "RFC 9110 §8.6"), (b"5e0", "RFC 9110 §8.6"), (b"5 ;", "RFC 9110 §8.6"), (b"5 5", "RFC 9110 §8.6"),
          (b"five", "RFC 9110 §8.6"), (b'"5"', "RFC 9110 §8.6"), (b"\xb2", "CVE-2025-69224"),
          (b"\xd9\xa3", "CVE-2025-69224"), (b"\xa05", "CVE-2019-16789"), (b"5,", "RFC 9110 §8.6"),
          (b"5, 5", "RFC 9110 §8.6; CVE-2019-16792"), (b"5, 6", "RFC 9112 §6.3; CVE-2019-16792")]],
    bad("a vertical tab before a length", post(b"Content-Length: \x0b5", body=b"hello"), 400, "CVE-2019-16789",
        b"\x0b"),
    bad("two lengths", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), 400,
        "RFC 9112 §6.3; CVE-2019-16792", 0),
    bad("two equal lengths", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400, "RFC 9110 §8.6", 0),
    bad("two lengths in two cases", post(b"Content-Length: 0", b"content-length: 5", body=b"hello"), 400,
        "cheroot #275", 0),
    bad("a length of 5,000 digits", post(b"Content-Length: " + b"9" * 5000), 413, "RFC 9110 §15.5.14; h11 0.15 (#181)",
        0),
    bad("a length of 20 digits", post(b"Content-Length: 18446744073709551621"), 413, "RFC 9110 §15.5.14", 0),
    bad("a length above the limit", post(b"Content-Length: 10485761"), 413, "RFC 9110 §15.5.14", 0),
    good_post("zeros before a length", post(b"Content-Length: 0005", body=b"hello"), "RFC 9110 §8.6", ("Content-Length",
        "0005"), 5, b"hello"),
    good_post("no content", post(b"Content-Length: 0"), "RFC 9110 §8.6", ("Content-Length", "0"), 0),
    good_post("a request as content", post(b"Content-Length: %d" % len(BEHIND), body=BEHIND),
        "RFC 9112 §6.3; CVE-2022-29361",
              ("Content-Length", str(len(BEHIND))), len(BEHIND), BEHIND),
    good_post("line ends as content", post(b"Content-Length: 6", body=b"\n\r\r\n\r\n"), "RFC 9112 §6",
        ("Content-Length", "6"), 6, b"\n\r\r\n\r\n"),
    good("no length is no content", post(), "RFC 9112 §6.3", method="POST"),
]

CODINGS = [
    *[bad(f"Transfer-Encoding {value!r}", post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), status, source, 0)
      for value, status, source in [
          (b"", 400, "RFC 9112 §6.3"), (b"identity", 400, "RFC 9112 §7; CVE-2024-6827"),
          (b"gzip", 400, "RFC 9112 §6.3; CVE-2019-16786"), (b"xchunked", 400, "CVE-2019-15605; CVE-2022-32213"),
          (b"chunkedx", 400, "CVE-2022-32213"), (b"chunked;a=b", 400, "RFC 9112 §7"), (b'"chunked"', 400,
          "RFC 9112 §7"),
          (b"chunked, identity", 400, "RFC 9112 §6.3; CVE-2024-1135"), (b"chunked, gzip", 400,
          "RFC 9112 §6.3; CVE-2024-1135"),
          (b"chunked, chunked", 400, "RFC 9112 §6.1"), (b"chunked,", 400, "RFC 9112 §6.3"),
          (b",chunked", 400, "RFC 9112 §6.3"), (b"chunked chunked", 400, "RFC 9112 §6.3"),
          (b"chunked\xa0", 400, "CVE-2019-16789"), (b"\x85chunked", 400, "tornado 6.4.1"),
          (b"gzip, chunked", 501, "RFC 9112 §6.1; CVE-2019-16786"), (b"identity, chunked", 501, "RFC 9112 §6.1"),
          (b"x, CHUNKED", 501, "RFC 9112 §6.1"), (b"gzip, identity", 400, "RFC 9112 §6.3; CVE-2024-6827")]],
    bad("a control byte before chunked", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400,
        "CVE-2019-16786; CVE-2019-15605", b"\x0b"),
    bad("chunked twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400,
        "RFC 9112 §6.1; CVE-2020-8287", 0),
    bad("two codings in two fields", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
        body=b"0\r\n\r\n"), 400,
        "CVE-2020-8287; CVE-2024-1135", 0),
    bad("an unknown coding in its own field", post(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n"), 501,
        "RFC 9112 §6.1", 0),
    bad("length and coding", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400,
        "RFC 9112 §6.1; CVE-2020-10108", 0),
    bad("coding and length", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), 400,
        "RFC 9112 §6.1; waitress #464", 0),
    bad("length and unknown coding: no falling back", post(b"Content-Length: 5", b"Transfer-Encoding: x",
        body=b"hello"), 400,
        "RFC 9112 §6.3; CVE-2024-6827", 0),
    bad("a coding in HTTP/1.0", request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"), 400,
        "RFC 9112 §6.1", 0),
    bad("a coding with a space before its colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400,
        "RFC 9112 §5.1",
        b"Transfer"),
    good_post("chunked in any case", post(b"Transfer-Encoding: ChUnKeD", body=b"1\r\nx\r\n0\r\n\r\n"), "RFC 9112 §7",
              ("Transfer-Encoding", "ChUnKeD"), None, b"x"),
    good_post("a coding that is no field we know", post(b"Transfer_Encoding: x"), "RFC 9110 §5.1", ("Transfer_Encoding",
        "x"), 0),
]

START = len(chunks(b""))
CHUNKS = [
    *[bad(f"a chunk size {size!r}", chunks(size + b"\r\nhello\r\n0\r\n\r\n"), 400, source)
      for size, source in [
          (b"", "RFC 9112 §7.1"), (b"+5", "RFC 9112 §7.1; CVE-2022-24761"), (b"-5", "RFC 9112 §7.1"),
          (b"0x5", "RFC 9112 §7.1; CVE-2022-24761"), (b"5h", "RFC 9112 §7.1"), (b"g", "RFC 9112 §7.1"),
          (b"0_5", "RFC 9112 §7.1; CVE-2022-24761"), (b"5.", "RFC 9112 §7.1"), (b" 5", "RFC 9112 §7.1"),
          (b"5 ", "RFC 9112 §7.1"), (b"5\t", "RFC 9112 §7.1"), (b"5 5", "RFC 9112 §7.1"), (b"\xb5", "CVE-2025-69224"),
          (b"\xd9\xa5", "CVE-2025-69224"), (b"5\0", "RFC 9112 §7.1"), (b"5\x0b", "CVE-2019-16789"), (b"5,",
          "RFC 9112 §7.1"),
          (b"5\r", "RFC 9112 §7.1"), (b"\r5", "RFC 9112 §7.1"), (b"00000000000000005", "RFC 9112 §7.1")]],
    *[bad(f"a chunk extension {extension!r}", chunks(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"), 400, source)
      for extension, source in [
          (b";", "RFC 9112 §7.1.1; CVE-2022-24761"), (b"; ", "RFC 9112 §7.1.1"), (b";;a", "RFC 9112 §7.1.1"),
          (b";a=", "RFC 9112 §7.1.1"), (b";=a", "RFC 9112 §7.1.1"), (b";a b", "RFC 9112 §7.1.1"), (b';a="b',
          "RFC 9112 §7.1.1"),
          (b';a="b"c', "RFC 9112 §7.1.1"), (b";a=b=c", "RFC 9112 §7.1.1"), (b";a\0", "RFC 9112 §7.1.1"),
          (b";a\rb", "CVE-2021-22960"), (b';a="\r"', "CVE-2021-22960"), (b";a\xe9", "RFC 9112 §7.1.1"),
          (b";a ", "RFC 9112 §7.1.1")]],
    bad("a bare LF behind a chunk size", chunks(b"5\nhello\r\n0\r\n\r\n"), 400, "RFC 9112 §2.2; CVE-2025-22871",
        START + 1),
    bad("a bare LF in a chunk extension", chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400, "CVE-2024-52304", START + 3),
    bad("a bare LF in a quoted chunk extension", chunks(b'5;a="\n"\r\nhello\r\n0\r\n\r\n'), 400, "CVE-2024-52304",
        START + 5),
    bad("a bare LF behind the last chunk", chunks(b"0\n\r\n"), 400, "RFC 9112 §2.2; CVE-2025-22871", START + 1),
    *[bad(f"{end!r} behind a chunk's data", chunks(b"5\r\nhello" + end + b"0\r\n\r\n"), 400, source)
      for end, source in [
          (b"\n", "RFC 9112 §7.1"), (b"\r", "RFC 9112 §7.1"), (b"", "RFC 9112 §7.1"), (b"XX", "CVE-2025-43859"),
          (b"\n\r", "CVE-2025-43859"), (b"\r\r", "CVE-2025-43859"), (b"\0\0", "CVE-2025-43859"), (b"!\r\n",
          "RFC 9112 §7.1"),
          (b"\r\n\r\n", "RFC 9112 §7.1"), (b" \r\n", "RFC 9112 §7.1")]],
    bad("a chunk above the limit", chunks(b"a00001\r\n"), 413, "RFC 9110 §15.5.14", START),
    bad("a chunk of 64 bits", chunks(b"ffffffffffffffff\r\n"), 413, "RFC 9110 §15.5.14; CVE-2022-24761", START),
    bad("a chunk size that would wrap at 64 bits", chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400,
        "RFC 9112 §7.1", START + 16),
    bad("chunks that together pass the limit", chunks(b"5\r\nhello\r\n9ffffc\r\n"), 413, "RFC 9110 §15.5.14",
        START + 10),
    bad("a size line of very many zeros", chunks(b"0" * 5000), 400, "RFC 9112 §7.1.1", START + 256),
    bad("a size line of very many extensions", chunks(b"5" + b";a=b" * 100 + b"\r\nhello"), 400, "RFC 9112 §7.1.1",
        START + 256),
    bad("chunks that are mostly extensions", chunks((b"1;" + b"e" * 250 + b"\r\nx\r\n") * 100), 400,
        "RFC 9112 §7.1.1; CVE-2025-69228"),
    good_chunks("chunks", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "RFC 9112 §7.1", b"hello!"),
    good_chunks("no content", b"0\r\n\r\n", "RFC 9112 §7.1", b""),
    good_chunks("sizes with zeros and in capitals", b"000A\r\n0123456789\r\n0000\r\n\r\n", "RFC 9112 §7.1",
        b"0123456789"),
    good_chunks("sixteen digits", b"0000000000000001\r\nx\r\n0\r\n\r\n", "RFC 9112 §7.1", b"x"),
    good_chunks("extensions", b'1;a;b=c;d="e;\\" \xe9\t"\r\nx\r\n0;z\r\n\r\n', "RFC 9112 §7.1.1", b"x"),
    good_chunks("bad whitespace around extensions", b"1 ;\ta = b\r\nx\r\n0\r\n\r\n", "RFC 9112 §7.1.1", b"x"),
    good_chunks("framing as content", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "RFC 9112 §7.1", b"0\r\n\r\n"),
    good_chunks("content that ends with CR", b"1\r\n\r\r\n0\r\n\r\n", "RFC 9112 §7.1", b"\r"),
    good_chunks("very many chunks of one byte", b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", "CVE-2025-69229", b"x" * 5000),
]

END = START + 3
TRAILERS = [
    good_chunks("trailers", b"0\r\nA: b\r\nc:d\r\n\r\n", "RFC 9112 §7.1.2", b"", (("A", "b"), ("c", "d"))),
    good_chunks("a request in a trailer", b"0\r\nX: GET / HTTP/1.1\r\n\r\n", "CVE-2025-53643", b"", (("X",
        "GET / HTTP/1.1"),)),
    *[good_chunks(f"{name} is dropped from trailers", f"0\r\nA: b\r\n{name}: {value}\r\n\r\n".encode(),
        "RFC 9110 §6.5.1", b"",
                  (("A", "b"),))
      for name, value in [
          ("Content-Length", "5"), ("transfer-encoding", "chunked"), ("Host", "evil"), ("Trailer", "A"), ("TE", "gzip"),
          ("Connection", "close"), ("Content-Encoding", "gzip"), ("Content-Type", "text/html"), ("Content-Range",
              "bytes 0-1/2"),
          ("Authorization", "Basic YTpi"), ("Cookie", "admin=1"), ("Expect", "100-continue"), ("Max-Forwards", "1"),
          ("Cache-Control", "no-cache"), ("Pragma", "no-cache"), ("Range", "bytes=0-1"), ("If-Match", "*"),
          ("If-None-Match", "*"), ("If-Modified-Since", "x"), ("If-Unmodified-Since", "x"), ("If-Range", "x"),
          ("Proxy-Authorization", "x"), ("Upgrade", "x"), ("X-Forwarded-For", "127.0.0.1")]],
    bad("a request where trailers stand", chunks(b"0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
        "RFC 9112 §7.1.2; CVE-2025-53643; CVE-2023-41419", END),
    bad("a bare LF behind a trailer", chunks(b"0\r\nA: b\n\r\n\r\n"), 400, "RFC 9112 §2.2", END + 4),
    bad("a bare LF ends no trailers", chunks(b"0\r\nA: b\r\n\n"), 400, "RFC 9112 §2.2", END + 6),
    bad("a bare CR in a trailer", chunks(b"0\r\nA: b\rc\r\n\r\n"), 400, "RFC 9110 §5.5", END + 4),
    bad("a space before the colon of a trailer", chunks(b"0\r\nA: b\r\nC : d\r\n\r\n"), 400, "RFC 9112 §5.1", END + 6),
    bad("a folded trailer", chunks(b"0\r\nA: b\r\n c\r\n\r\n"), 400, "RFC 9112 §5.2", END + 6),
    bad("NUL in a trailer", chunks(b"0\r\nA: \0\r\n\r\n"), 400, "RFC 9110 §5.5", END + 3),
    bad("a trailer without a colon", chunks(b"0\r\nA\r\n\r\n"), 400, "RFC 9112 §5", END),
    bad("a field in trailers twice that occurs once", chunks(b"0\r\nReferer: a\r\nReferer: b\r\n\r\n"), 400,
        "RFC 9110 §5.3"),
    bad("a CR where trailers end", chunks(b"0\r\n\rX\r\n\r\n"), 400, "RFC 9112 §2.2; CVE-2025-23167", END),
    bad("trailers that are too large", chunks(b"0\r\n" + b"A: %b\r\n" % (b"b" * 94) * 400 + b"\r\n"), 431,
        "RFC 6585 §5; CVE-2026-22815", END + 32768),
    bad("one trailer that is too large", chunks(b"0\r\nA: " + b"b" * 40_000 + b"\r\n\r\n"), 431,
        "RFC 6585 §5; CVE-2026-22815", END + 32768),
    bad("too many trailers", chunks(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"), 431, "RFC 6585 §5; CVE-2026-22815",
        END + 600),
]

LIMITS = [
    bad("a target of 70,000 bytes", to(b"/" + b"a" * 70_000), 414, "RFC 9112 §3; httptools #142", 8192),
    bad("a target of 70,000 bytes without an end", b"GET /" + b"a" * 70_000, 414, "RFC 9112 §3", 8192),
    bad("a request line one byte too long", to(b"/" + b"a" * (8192 - 13)), 414, "RFC 9112 §3", 8192),
    good_target("a request line just within the limit", "/" + "a" * (8192 - 14), "RFC 9112 §3",
        "/" + "a" * (8192 - 14)),
    bad("a method of 70,000 bytes", b"A" * 70_000 + b" / HTTP/1.1\r\n\r\n", 414, "RFC 9112 §3", 8192),
    bad("a very long request line that is broken too", b"\0" * 9000 + b"\r\n\r\n", 414, "RFC 9112 §3", 8192),
    bad("a bare LF before the limit", b"GET /" + b"a" * 8000 + b"\n" + b"a" * 1000, 400, "RFC 9112 §2.2", 8005),
    bad("a bare LF behind the limit", b"GET /" + b"a" * 9000 + b"\n", 414, "RFC 9112 §3", 8192),
    bad("one field of 40,000 bytes", request(b"X: " + b"y" * 40_000), 431, "RFC 6585 §5", 32768),
    bad("one field without an end", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000, 431, "RFC 6585 §5", 32768),
    bad("a field name of 40,000 bytes", request(b"X" * 40_000 + b": y"), 431, "RFC 6585 §5", 32768),
    bad("500 fields of 80 bytes", request(*[b"X: " + b"y" * 75] * 500), 431, "RFC 6585 §5", 32768),
    bad("a head that fills the limit and has no end", (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6000)[:32768], 431,
        "RFC 6585 §5", 32768),
    bad("100,000 tiny fields", request(*[b"a:"] * 100_000), 431, "RFC 6585 §5", 32768),
    bad("101 fields", request(*[b"a: b"] * 100), 431, "RFC 6585 §5", 25 + 6 * 99),
    good("100 fields", request(*[b"a: b"] * 99), "RFC 6585 §5", fields=(("Host", "a"), *[("a", "b")] * 99)),
    bad("fields beyond the limit are not hidden but refused", request(*[b"a: b"] * 100, b"Content-Length: 5",
        body=b"hello"), 431,
        "CVE-2026-58044", 25 + 6 * 99),
    good("a long head, and line ends in its content", post(b"X: " + b"y" * 9000, b"Content-Length: 3", body=b"a\nb"),
         "RFC 9112 §6", method="POST", fields=(("Host", "a"), ("X", "y" * 9000), ("Content-Length", "3")), length=3,
             body=b"a\nb"),
    bad("a broken field, and line ends behind it", post(b"X : y", b"Content-Length: 3", body=b"a\nb"), 400,
        "RFC 9112 §5.1; aiohttp #13136", b"X :"),
    bad("content that ends with CR, and LF behind it", post(b"Content-Length: 1", body=b"\r\n" + request()), 400,
        "RFC 9112 §2.2",
        len(post(b"Content-Length: 1", body=b"\r"))),
]

INCOMPLETE = [
    bad("a request line cut off", b"GET / HTT", 400, "RFC 9112 §8", 9),
    bad("a head without its empty line", b"GET / HTTP/1.1\r\nHost: a\r\n", 400, "RFC 9112 §8; CVE-2022-35256", 25),
    bad("half of the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\r", 400, "RFC 9112 §8", 26),
    bad("content cut off", post(b"Content-Length: 50", body=b"hello"), 400, "RFC 9112 §6.3"),
    bad("a chunk cut off", chunks(b"50\r\nhello"), 400, "RFC 9112 §8", START + 9),
    bad("a chunk size cut off", chunks(b"5\r\nhello\r\n5"), 400, "RFC 9112 §8", START + 11),
    bad("no last chunk", chunks(b"5\r\nhello\r\n"), 400, "RFC 9112 §8; gunicorn 26.0", START + 10),
    bad("a last chunk without trailers' end", chunks(b"0\r\n"), 400, "RFC 9112 §8; gunicorn 26.0", START + 3),
    bad("trailers cut off", chunks(b"0\r\nA: b\r\n"), 400, "RFC 9112 §8", START + 9),
]

PIPELINES = [
    bad("a broken first request hides the second", b"GET / HTTP/1.1\r\n\r\n" + BEHIND, 400, "CVE-2024-49768", 0),
    bad("a request hidden in the second of two lengths", post(b"Content-Length: 0", b"Content-Length: %d" % len(BEHIND),
        body=BEHIND),
        400, "CVE-2019-16792", 0),
    bad("a request hidden by a coding nobody knows", post(b"Transfer-Encoding: x, chunked", body=b"0\r\n\r\n" + BEHIND),
        501,
        "CVE-2024-6827", 0),
    bad("a request behind content that is longer than its length", post(b"Content-Length: 4",
        body=b"hello\r\n" + BEHIND),
        400, "RFC 9112 §6.3", b"o\r\nGET"),
]

TABLES = {
    "line ends": LINE_ENDS, "request lines": REQUEST_LINES, "targets": TARGETS, "hosts": HOSTS, "fields": FIELDS,
    "lengths": LENGTHS, "codings": CODINGS, "chunks": CHUNKS, "trailers": TRAILERS, "limits": LIMITS,
    "incomplete": INCOMPLETE, "pipelines": PIPELINES}
LINES = [pytest.param(line, id=f"{table}: {line.name}") for table, lines in TABLES.items() for line in lines]
