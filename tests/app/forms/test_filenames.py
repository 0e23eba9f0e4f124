"""A client's file name made plain, however long it is and whatever looks like what."""

from __future__ import annotations

import ntpath
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evloop_http.app import forms
from evloop_http.app.forms import filenames


def is_reserved_on_windows(name: str) -> bool:
    """Whether a name is none for a file there; `pathlib` no longer likes to say so from 3.13 on."""
    ask = getattr(ntpath, "isreserved", None)
    return bool(ask(name) if ask is not None else PureWindowsPath(name).is_reserved())


@pytest.mark.parametrize(("name", "safe"), [
    ("photo.jpg", "photo.jpg"), ("Bericht 2024 (Entwurf).odt", "Bericht 2024 (Entwurf).odt"), ("日本.txt", "日本.txt"),
    ("../../etc/passwd", "passwd"), ("..\\..\\boot.ini", "boot.ini"), ("C:\\x\\y.txt", "y.txt"), ("/etc/", "file"),
    ("C:evil.exe", "C_evil.exe"), ("a:b", "a_b"), ("\\\\?\\C:\\x", "x"), ("a\0b\r\nc\x7f\x85", "a_b__c__"),
    (".bashrc", "bashrc"), ("...", "file"), ("..", "file"), (". . a", "a"), ("a. .", "a"), ("", "file"), (" ", "file"),
    ("CON", "_CON"), ("nul.txt", "_nul.txt"), ("NUL .tar.gz", "_NUL .tar.gz"), ("com1", "_com1"), ("LPT¹.x", "_LPT¹.x"),
    ("COM10", "COM10"), ("console.log", "console.log"), ("aux.", "_aux"), ("conin$", "_conin$"),
    ("a.\xa0\u3000", "a"), ("\u2025x\u2026", "x"), ("a b.c", "a b.c"), ("x" * 254 + " " + "y" * 9, "x" * 254),
    ("a\u1680", "a"), (" CON.x", "_CON.x"), (".nul", "_nul"),
    ("\uff23ON", "_\uff23ON"),
    ("..\uff0fpasswd", "_passwd"), ("a\uff1ab", "a_b"), ("\u2026x", "x"), ("\uff0e\uff0ex", "x"), ("\u2100", "_"),
    ("photo\u202egpj.exe", "photo_gpj.exe"), ("a\u200bb\ufeff\u2028c", "a_b__c"), ("\ud800x", "_x"),
    ("u\u0308", "\xfc"), ('<a>|"b"?*', "_a___b___"), ("-rf", "-rf"),
])
def test_a_file_name_is_made_plain(name: str, safe: str) -> None:
    assert forms.safe_filename(name) == safe


def test_a_file_name_is_cut_where_file_systems_would_refuse_it_and_keeps_its_suffix() -> None:
    assert forms.safe_filename("x" * 300 + ".jpeg") == "x" * 250 + ".jpeg"
    assert forms.safe_filename("ü" * 200 + ".txt") == "ü" * 125 + ".txt"
    assert forms.safe_filename("x." + "y" * 300) == "x." + "y" * 253
    assert len(forms.safe_filename("z" * 10_000)) == 255
    assert forms.safe_filename("", default="upload") == "upload"


@given(st.text() | st.text(st.sampled_from("./\\: CONcom1\0\uff0f\uff0e\u2025\u2105¹ü\u0308")))
def test_any_file_name_becomes_one_that_every_system_takes(name: str) -> None:
    safe = forms.safe_filename(name)
    assert safe
    assert len(safe.encode()) <= 255
    assert forms.safe_filename(safe) == safe
    for read in (safe, unicodedata.normalize("NFKC", safe)):  # as others may read it
        assert not set('/\\:*?"<>|\0') & set(read)
        assert PureWindowsPath(read).name == read == PurePosixPath(read).name
        assert not read.startswith(".")
        assert not is_reserved_on_windows(read)
    assert not [character for character in safe if unicodedata.category(character)[0] == "C"]


class CountingUnicode:
    """Python's `unicodedata`, and how many characters it was asked to normalise in one go."""

    category = staticmethod(unicodedata.category)

    def __init__(self) -> None:
        self.most = 0

    def normalize(self, form: str, text: str) -> str:
        self.most = max(self.most, len(text))
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [
    "a" + "\u0300\u0316" * 50_000, "a" + "\u0300\u0316" * 50_000 + ".txt", "." * 50_000 + "\u0316\u0300" * 50_000,
    "x." + "\u0300\u0316" * 50_000, "C:\\" + "\u0300\u0316" * 50_000 + ".a\u0300"])
def test_a_long_name_is_cut_before_it_is_normalised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalising takes quadratic time where combining marks follow each other."""
    counting = CountingUnicode()
    monkeypatch.setattr(filenames, "unicodedata", counting)
    safe = forms.safe_filename(name)
    assert 0 < counting.most <= 512
    assert 0 < len(safe.encode()) <= 255
    assert (safe.endswith(".txt"), forms.safe_filename(safe)) == (name.endswith(".txt"), safe)


COMPOSED = ["a", "\xfc", "u\u0308", "\u03b1\u0313\u0300\u0345", "\u1112\u1161\u11ab", "\U0001f600"]


@given(st.lists(st.sampled_from(COMPOSED), min_size=200, max_size=400).map("".join), st.sampled_from(["", ".txt"]))
@example(COMPOSED[3] * 100, "")
@example(COMPOSED[3] * 100, ".txt")
def test_cutting_it_first_makes_no_other_name(name: str, suffix: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filenames, "_NAME_CHARACTERS", 10_000)
        uncut = forms.safe_filename(name + suffix)
    assert forms.safe_filename(name + suffix) == uncut
