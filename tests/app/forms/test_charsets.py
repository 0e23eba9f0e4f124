"""The charset that a client names: a fixed table, and nothing that is remembered of a name that is not in it."""

from __future__ import annotations

import codecs
import logging
import sys
from collections.abc import Iterator

import pytest

from asking import answer, make_request
from evloop_http import App, HTTPError
from evloop_http.app import forms
from evloop_http.app.forms import charsets

TYPE = "multipart/form-data; boundary=b"


@pytest.fixture
def searched() -> Iterator[list[str]]:
    """The names that Python is asked for as a codec and does not know."""
    names: list[str] = []

    def search(name: str) -> None:
        names.append(name)

    codecs.register(search)
    try:
        yield names
    finally:
        codecs.unregister(search)


@pytest.mark.parametrize(("name", "data", "text"), [
    ("utf-8", b"\xc3\xbc", "\xfc"), ("UTF8", b"\xc3\xbc", "\xfc"), ("Utf_8", b"\xc3\xbc", "\xfc"),
    ("us-ascii", b"a", "a"), ("ANSI_X3.4-1968", b"a", "a"), ("ISO-8859-1", b"\xfc", "\xfc"),
    ("latin1", b"\xfc", "\xfc"),
    ("ISO_8859-1:1987", b"\xfc", "\xfc"), ("iso-8859-15", b"\xa4", "\u20ac"), ("windows-1252", b"\x80", "\u20ac"),
    ("cp1251", b"\xe4", "\u0434"), ("KOI8-R", b"\xc4", "\u0434"), ("Shift_JIS", b"\x82\xa0", "\u3042"),
    ("EUC-JP", b"\xa4\xa2", "\u3042"), ("ISO-2022-JP", b"\x1b$B$\"\x1b(B", "\u3042"), ("gb18030", b"\xa1\xa4", "\xb7"),
    ("Big5", b"\xa4\x40", "\u4e00"), ("euc-kr", b"\xb0\xa1", "\uac00"), ("utf-16", b"\xff\xfea\0", "a"),
    ("UTF-16BE", b"\0a", "a"), ("utf-32le", b"a\0\0\0", "a"), ("macintosh", b"\x80", "\xc4")])
def test_the_charsets_that_clients_write_are_known_by_their_names(name: str, data: bytes, text: str) -> None:
    assert forms.decode(data, name) == text


def test_every_name_of_the_table_is_a_codec_of_python_that_makes_text() -> None:
    assert len(charsets._CODECS) > 60
    for name in charsets._CODECS:
        assert isinstance(b"".decode(name), str)
        assert charsets.find_codec(name) == name


@pytest.mark.parametrize("name", [
    "klingon", "", " ", "hex", "hex_codec", "base64", "zlib", "bz2", "rot13", "uu", "quopri", "punycode", "idna",
    "undefined", "unicode_escape", "raw-unicode-escape", "utf-7", "mbcs", "oem", "cp037", "os", "utf-8" * 20,
    "\xfctf-8", "../x"])
def test_what_is_not_a_charset_is_415(name: str) -> None:
    with pytest.raises(HTTPError) as caught:
        forms.decode(b"a", name)
    assert caught.value.status == 415


def test_python_is_never_asked_for_a_codec_by_a_clients_name(searched: list[str]) -> None:
    """It would keep what it does not know for ever, 30 KB of every request."""
    loaded = set(sys.modules)
    start = "--b\r\nContent-Disposition: form-data; name"
    for name in ("klingon", "x" * 30_000, "evloop_http.cli", "this"):
        for content_type in (f"text/plain; charset={name}", f'application/json; charset="{name}"'):
            request = make_request("POST", "/", {"Content-Type": content_type}, b"a")
            with pytest.raises(HTTPError):
                _ = request.json() if "json" in content_type else request.text
        for rest in (f"=a\r\nContent-Type: text/plain; charset={name[:99]}", f"*={name[:99]}''a"):
            with pytest.raises(HTTPError):
                forms.parse("multipart/form-data", TYPE, f"{start}{rest}\r\n\r\nx\r\n--b--".encode())
    assert searched == []
    assert set(sys.modules) == loaded
    with pytest.raises(LookupError):
        codecs.lookup("klingon-of-the-test")
    assert searched  # it would have been seen


def test_a_form_with_many_bad_parts_is_no_more_than_one_record(caplog: pytest.LogCaptureFixture) -> None:
    # CVE-2025-47287: a record for each made a log grow by what a client sent.
    app = App()
    app.post("/")(lambda request: dict(request.form))
    caplog.set_level(logging.DEBUG)
    body = b"--b\r\nContent-Disposition: nonsense\r\nContent-Type: a; charset=klingon\r\n\r\n\xff\r\n" * 500 + b"--b--"
    assert answer(app, make_request("POST", "/", {"Content-Type": TYPE}, body)).status == 400
    assert len(caplog.records) <= 1
