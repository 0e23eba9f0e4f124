"""Forms as their makers write them, cut where they should not be, and larger than we take."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tracemalloc
from collections.abc import Iterator
from email.generator import BytesGenerator
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import HTTP
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE, make_request
from evloop_http import App, HTTPError, Request, Server
from evloop_http.app import forms

V = TypeVar("V")

URLENCODED = "application/x-www-form-urlencoded"

# What Firefox sends for a text field, a file and a field left empty.
BY_HAND = (b"-----------------------------9051914041544843365972754266\r\n"
           b'Content-Disposition: form-data; name="text"\r\n'
           b"\r\n"
           b"a line\r\nand \xc3\xbc\r\n"
           b"-----------------------------9051914041544843365972754266\r\n"
           b'Content-Disposition: form-data; name="file"; filename="a \xc3\xbc.bin"\r\n'
           b"Content-Type: application/x-thing\r\n"
           b"\r\n"
           b"\x00\r\n--\xff\r\n"
           b"-----------------------------9051914041544843365972754266\r\n"
           b'Content-Disposition: form-data; name="empty"\r\n'
           b"\r\n"
           b"\r\n"
           b"-----------------------------9051914041544843365972754266--\r\n")
BY_HAND_TYPE = "multipart/form-data; boundary=---------------------------9051914041544843365972754266"


def form(body: bytes, content_type: str) -> Request:
    return make_request("POST", "/", {"Content-Type": content_type}, body)


def streamed(content_type: str, *pieces: bytes) -> Request:
    request = form(b"", content_type)
    request.receive(iter(pieces))
    return request


def status_of(body: bytes, content_type: str) -> int:
    with pytest.raises(HTTPError) as caught:
        _ = form(body, content_type).form
    return caught.value.status


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def field(name: str, value: bytes = b"x", *more: bytes) -> bytes:
    return b"\r\n".join([f'Content-Disposition: form-data; name="{name}"'.encode(), *more, b"", value])


def grouped(pairs: list[tuple[str, V]]) -> dict[str, list[V]]:
    return {name: [value for other, value in pairs if other == name] for name, _ in pairs}


# -- urlencoded


@pytest.mark.parametrize(("body", "pairs"), [
    (b"", []),
    (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
    (b"name=Ada+Lovelace&mark=%C3%BC%26%3D", [("name", "Ada Lovelace"), ("mark", "ü&=")]),
    (b"empty=&bare&=nameless", [("empty", ""), ("bare", ""), ("", "nameless")]),
    (b"a=1;b=2", [("a", "1;b=2")]),
    (b"a=100%&b=%zz", [("a", "100%"), ("b", "%zz")]),
])
def test_an_urlencoded_form_is_read(body: bytes, pairs: list[tuple[str, str]]) -> None:
    fields = form(body, URLENCODED).form
    assert {name: fields.get_all(name) for name in fields} == grouped(pairs)
    assert len(form(body, f"{URLENCODED}; charset=UTF-8").files) == 0


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))))
def test_an_urlencoded_form_of_the_standard_library_is_read_back(pairs: list[tuple[str, str]]) -> None:
    fields = form(urlencode(pairs).encode(), URLENCODED).form
    assert {name: fields.get_all(name) for name in fields} == grouped(pairs)


@pytest.mark.parametrize("body", [b"a=\xfc", b"a=%FC", b"%ff=1"])
def test_an_urlencoded_form_that_is_no_utf8_is_400(body: bytes) -> None:
    assert status_of(body, URLENCODED) == 400


def test_more_urlencoded_fields_than_we_take_are_413() -> None:
    fields = form(b"&".join([b"a=1"] * forms.MAX_PARTS), URLENCODED).form
    assert len(fields.get_all("a")) == forms.MAX_PARTS
    assert status_of(b"&".join([b"a=1"] * (forms.MAX_PARTS + 1)), URLENCODED) == 413


def test_more_than_we_take_in_urlencoded_fields_is_413() -> None:
    assert len(form(b"a=" + b"x" * (forms.MAX_FIELD_BYTES - 2), URLENCODED).form["a"]) == forms.MAX_FIELD_BYTES - 2
    assert status_of(b"a=" + b"x" * (forms.MAX_FIELD_BYTES - 1), URLENCODED) == 413


# -- of another type


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/mixed; boundary=b", ""])
def test_a_body_that_is_no_form_is_415(content_type: str) -> None:
    assert status_of(b"a=1", content_type) == 415


# -- multipart


def check_by_hand(request: Request) -> None:
    assert dict(request.form) == {"text": "a line\r\nand ü", "empty": ""}
    upload = request.files["file"]
    assert (upload.filename, upload.content_type) == ("a ü.bin", "application/x-thing")
    assert upload.read() == b"\x00\r\n--\xff"
    assert isinstance(upload.file, BytesIO)  # no file on disk
    assert upload.read() == upload.file.getvalue()


def test_a_multipart_form_of_a_browser_is_read() -> None:
    check_by_hand(form(BY_HAND, BY_HAND_TYPE))
    check_by_hand(form(BY_HAND, BY_HAND_TYPE.replace("boundary=", 'charset=utf-8; Boundary="') + '"'))


def test_a_multipart_form_of_the_standard_librarys_encoder_is_read() -> None:
    message: Any = MIMEMultipart("form-data", "a boundary", policy=HTTP)
    for name, value in [("text", "a line\r\nand more"), ("empty", "")]:
        part = MIMENonMultipart("text", "plain", policy=HTTP)
        part.add_header("Content-Disposition", "form-data", name=name)
        del part["MIME-Version"]
        part.set_payload(value)
        message.attach(part)
    file = MIMEApplication(b"", "x-thing", _encoder=lambda part: None, policy=HTTP)
    file.set_payload("\x00binary")
    file.add_header("Content-Disposition", "form-data", name="file", filename="a.bin")
    message.attach(file)
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=HTTP).flatten(message)
    _, _, body = written.getvalue().partition(b"\r\n\r\n")
    request = form(body, message["Content-Type"])
    assert dict(request.form) == {"text": "a line\r\nand more", "empty": ""}
    assert (request.files["file"].filename, request.files["file"].read()) == ("a.bin", b"\x00binary")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_multipart_form_of_curl_is_read(tmp_path: Path) -> None:
    app = App()

    @app.post("/")
    def handle(request: Request) -> dict[str, Any]:
        uploads = request.files.get_all("file")
        return {"form": dict(request.form), "files": [[up.filename, up.content_type, len(up.read())] for up in uploads]}

    big, odd = tmp_path / "big.bin", tmp_path / 'odd "name".txt'
    big.write_bytes(bytes(range(256)) * 1024)
    odd.write_text("x")
    with Server(app).in_thread() as server:
        done = subprocess.run(["curl", "-sS", "-F", "text=ü & <b>", "-F", f"file=@{big}", "-F",
                               'file=@"' + str(odd).replace('"', '\\"') + '";type=text/x-odd', server.url],
                              capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == ""
    assert done.stdout == ('{"form":{"text":"ü & <b>"},"files":[["big.bin","application/octet-stream",262144],'
                           '["odd \\"name\\".txt","text/x-odd",1]]}')


@given(st.lists(st.tuples(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), st.binary())),
       st.booleans())
def test_what_is_in_a_multipart_form_comes_out_of_it(pairs: list[tuple[str, bytes]], as_files: bool) -> None:
    boundary = b"=_by-nobody-else"
    more = '"; filename="f' if as_files else ""
    kept = [(name, value if as_files else value.hex().encode()) for name, value in pairs if boundary not in value]
    body = multipart(*(field(name + more, value) for name, value in kept), boundary=boundary)
    request = form(body if kept else b"", f"multipart/form-data; boundary={boundary.decode()}" if kept else URLENCODED)
    if as_files:
        assert {name: [up.read() for up in request.files.get_all(name)] for name in request.files} == grouped(kept)
    else:
        assert {name: [text.encode() for text in request.form.get_all(name)] for name in request.form} == grouped(kept)


def test_a_text_field_may_name_its_charset() -> None:
    latin = field("x", b"\xfc", b"Content-Type: text/plain; charset=latin-1")
    assert form(multipart(latin), "multipart/form-data; boundary=b").form["x"] == "ü"


@pytest.mark.parametrize(("charset", "status"), [
    (b"ascii", 400), (b"utf-8", 400), (b"klingon", 415), (b"hex", 415), (b"punycode", 415), (b"undefined", 415)])
def test_a_text_field_whose_charset_does_not_fit_is_the_peers_fault(charset: bytes, status: int) -> None:
    odd = field("x", b"\xfc", b"Content-Type: text/plain; charset=" + charset)
    assert status_of(multipart(odd), "multipart/form-data; boundary=b") == status


def test_a_multipart_form_cut_at_any_byte_is_400_and_ends() -> None:
    whole = len(BY_HAND) - 2  # the line end behind the last boundary may be missing
    for cut in range(whole):
        assert status_of(BY_HAND[:cut], BY_HAND_TYPE) == 400, cut
    check_by_hand(form(BY_HAND[:whole], BY_HAND_TYPE))


@pytest.mark.parametrize("content_type", [
    "multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary=""',
    "multipart/form-data; boundary=other", "multipart/form-data; charset=x", 'multipart/form-data; boundary="b',
    "multipart/form-data; boundary=" + "b" * 5000, "multipart/form-data; boundary=\xfc",
])
def test_a_multipart_form_without_its_boundary_is_400(content_type: str) -> None:
    assert status_of(multipart(field("a")), content_type) == 400


@pytest.mark.parametrize("body", [
    b"no boundary at all",
    multipart(b"\r\nno headers"),
    multipart(b"Content-Disposition: form-data\r\n\r\nno name"),
    multipart(b'Content-Disposition: attachment; name="a"\r\n\r\nno form-data'),
    multipart(b'Content-Type: text/plain\r\n\r\nno disposition'),
    multipart(b'Content-Disposition form-data; name="a"\r\n\r\nno colon'),
    multipart(b'Content-Disposition: form-data; name="a"\nonly LF\n\nx'),
    multipart(b'Content-Disposition: form-data; name="\xff"\r\n\r\nno UTF-8'),
    multipart(field("a")).replace(b"--b--", b"--b"),
])
def test_a_malformed_multipart_form_is_400(body: bytes) -> None:
    assert status_of(body, "multipart/form-data; boundary=b") == 400


def test_what_stands_before_and_behind_the_parts_is_ignored() -> None:  # RFC 2046 §5.1.1
    body = b"preamble\r\n" + multipart(field("a")) + b"epilogue"
    assert dict(form(body, "multipart/form-data; boundary=b").form) == {"a": "x"}


def test_more_parts_than_we_take_are_413() -> None:
    boundary = "multipart/form-data; boundary=b"
    assert len(form(multipart(*[field("a")] * forms.MAX_PARTS), boundary).form.get_all("a")) == forms.MAX_PARTS
    assert status_of(multipart(*[field("a")] * (forms.MAX_PARTS + 1)), boundary) == 413


def test_text_fields_have_a_bound_that_files_have_not() -> None:
    boundary = "multipart/form-data; boundary=b"
    half = b"x" * (forms.MAX_FIELD_BYTES // 2)
    assert len(form(multipart(field("a", half), field("b", half)), boundary).form["a"]) == len(half)
    assert status_of(multipart(field("a", half), field("b", half), field("c")), boundary) == 413
    assert len(form(multipart(field('a"; filename="f', 3 * half)), boundary).files["a"].read()) == 3 * len(half)


@pytest.mark.parametrize("part", [
    field("a", b"x", b"X-Long: " + b"y" * forms.PART_HEADER_BYTES),
    field("a", b"x", *[b"X-Many: y"] * (forms.PART_HEADER_BYTES // 10)),
])
def test_parts_with_too_much_in_their_heads_are_413(part: bytes) -> None:
    assert status_of(multipart(part), "multipart/form-data; boundary=b") == 413


@given(st.lists(st.sampled_from([b"--b", b"--", b"\r\n", b"\r", b"\n", b"b", b":", b"Content-Disposition: form-data",
                                 b"; name=", b'"', b"\\", b"a", b"; filename=", b"Content-Type: text/plain; charset=",
                                 b"utf-16", b"\xff", b"\x00", b"Content-Length: 1"]), max_size=40).map(b"".join))
def test_any_multipart_body_is_a_form_or_the_peers_fault(body: bytes) -> None:
    request = form(b"--b\r\n" + body + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")
    try:
        found = len(request.form) + len(request.files)
    except HTTPError as error:
        found = error.status
    assert 0 < found <= 20 or found in (400, 413, 415)


# -- files

BOUNDARY = "multipart/form-data; boundary=b"


def upload_of(data: bytes, filename: str = "f", *others: bytes) -> Request:
    return form(multipart(field(f'a"; filename="{filename}', data), *others), BOUNDARY)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_beyond_the_limit_goes_to_the_disk_and_the_body_is_let_go() -> None:
    at, beyond = os.urandom(forms.SPOOL_BYTES), os.urandom(forms.SPOOL_BYTES + 1)
    kept, spooled = upload_of(at), upload_of(beyond, "f", field("x", b"y"))
    assert isinstance(kept.files["a"].file, BytesIO)
    assert isinstance(spooled.files["a"].file, forms.Spool)
    assert (kept.files["a"].read() == at, spooled.files["a"].read() == beyond, spooled.form["x"]) == (True, True, "y")
    assert (kept.files["a"].size, spooled.files["a"].size) == (len(at), len(beyond))
    assert len(kept.body) > len(at)
    assert (spooled.body, spooled.text) == (b"", "")


def test_letting_the_body_go_gives_its_memory_back() -> None:
    def make() -> Request:
        return upload_of(bytes(4 * forms.SPOOL_BYTES))

    assert make().files["a"].size == 4 * forms.SPOOL_BYTES  # whatever is imported and remembered
    tracemalloc.start()
    try:
        request = make()
        before = tracemalloc.get_traced_memory()[0]
        assert request.files["a"].size == 4 * forms.SPOOL_BYTES
        assert tracemalloc.get_traced_memory()[0] < before - 3 * forms.SPOOL_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
def test_a_file_on_the_disk_is_closed_when_nobody_holds_it_any_more() -> None:
    big = bytes(forms.SPOOL_BYTES + 1)
    before = open_descriptors()
    request = upload_of(big)
    upload = request.files["a"]
    assert open_descriptors() == before + 1
    del request
    assert len(upload.read()) == len(big)  # whoever still sends it is not cut off
    del upload
    assert open_descriptors() == before
    request = upload_of(big)
    request.files["a"].close()
    assert open_descriptors() == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
@pytest.mark.parametrize("last", [b"Content-Disposition: nonsense\r\n\r\nx", field("a", b"x", b"X: " + b"y" * 9000),
                                  field("a", b"x" * (forms.MAX_FIELD_BYTES + 1)),
                                  field("a", b"x", b"Content-Type: text/plain; charset=klingon")])
def test_a_form_that_is_refused_in_the_end_leaves_no_file_open(last: bytes) -> None:
    before = open_descriptors()
    request = upload_of(bytes(forms.SPOOL_BYTES + 1), "f", last)
    with pytest.raises(HTTPError) as caught:
        _ = request.form
    assert open_descriptors() == before, caught.value


def test_a_full_disk_is_no_fault_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    request = upload_of(bytes(forms.SPOOL_BYTES + 1))
    with pytest.raises(OSError, match="nowhere"):
        _ = request.form
    assert request.body


@pytest.mark.parametrize("size", [0, 10, forms.SPOOL_BYTES + 1])
def test_an_upload_is_saved_and_copied_whole_as_often_as_one_likes(size: int, tmp_path: Path) -> None:
    upload = upload_of(bytes(range(256)) * (size // 256 + 1)).files["a"]
    upload.file.read(5)
    for path in (tmp_path / "a", str(tmp_path / "b")):
        upload.save(path)
        assert Path(path).read_bytes() == upload.read()
    copy = BytesIO()
    upload.copy_to(copy)
    assert copy.getvalue() == upload.read()


def test_an_upload_overwrites_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    upload = upload_of(b"new").files["a"]
    (tmp_path / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            upload.save(tmp_path / name)
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "outside").exists()
    upload.save(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_text() == "new"


def test_what_could_not_be_saved_whole_is_not_left_behind(tmp_path: Path) -> None:
    upload = upload_of(b"x").files["a"]
    upload.close()
    with pytest.raises(ValueError, match="closed"):
        upload.save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_upload_offers_its_clients_name_made_plain() -> None:
    upload = upload_of(b"x", "../../.profile").files["a"]
    assert (upload.filename, upload.safe_filename) == ("../../.profile", "profile")


# -- parameters of a header


@pytest.mark.parametrize(("header", "value"), [
    ("text/plain", None),
    ("charset=x", None),
    ("text/plain;charset=x", "x"),
    ("text/plain ;\t charset=x ; other=y", "x"),
    ("text/plain; CHARSET=X", "X"),
    ('text/plain; charset="a\\"b;c"', 'a"b;c'),
    ('text/plain; other="; charset=no"; charset=yes', "yes"),
    ("text/plain;; ;charset=x", "x"),
    ("text/plain; charset=first; charset=second", "first"),
    ("text/plain; charset", None),
    ("text/plain; xcharset=x", None),
])
def test_a_parameter_is_found_as_the_grammar_says(header: str, value: str | None) -> None:
    assert forms.parameter(header, "charset") == value


@given(st.text(st.sampled_from(' ;="\\charset\tx'), max_size=60))
def test_any_header_has_a_parameter_or_none(header: str) -> None:
    assert isinstance(forms.parameter(header, "charset"), str | None)


# Forms that come piece by piece

@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_form_that_comes_in_pieces_is_the_same(size: int) -> None:
    for content_type, body in (BY_HAND_TYPE, BY_HAND), (URLENCODED, b"a=1&text=a+line%0D%0A&a=2"):
        whole = form(body, content_type)
        pieces = streamed(content_type, *[body[begin:begin + size] for begin in range(0, len(body), size)])
        assert pieces.form == whole.form
        assert [(name, file.filename, file.content_type, file.read()) for name, file in pieces.files.items()] \
            == [(name, file.filename, file.content_type, file.read()) for name, file in whole.files.items()]


@pytest.mark.parametrize("behind", [b"\r\n", b"\r\nan epilogue", b" " * 200_000, b"\r\n" + BY_HAND])
def test_what_stands_behind_a_form_is_passed_over_wherever_it_is_cut(behind: bytes) -> None:
    body = BY_HAND[:-2] + behind
    for cut in range(len(BY_HAND) - 70, len(BY_HAND)):
        pieces = iter([body[:cut], body[cut:]])
        request = form(b"", BY_HAND_TYPE)
        request.receive(pieces)
        assert len(request.form) == 2
        assert next(pieces, None) is None
    assert len(form(body, BY_HAND_TYPE).form) == 2


def test_an_empty_form_is_one() -> None:
    closing = BY_HAND[-61:]
    assert closing.startswith(b"--")
    assert dict(form(closing, BY_HAND_TYPE).form) == {}
    assert dict(streamed(BY_HAND_TYPE, closing[:-2], closing[-2:]).form) == {}


@pytest.mark.parametrize("filling", range(65_536 - 75, 65_536 - 55))
def test_a_form_whose_end_is_anywhere_within_our_pieces_is_read(filling: int) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * filling + b"\r\n--b--\r\n"
    assert len(form(body, "multipart/form-data; boundary=b").form["a"]) == filling


def test_a_form_without_files_that_comes_in_pieces_is_not_gathered_beyond_what_it_may_have() -> None:
    pieces = iter([b"a=" + bytes(100)] * 1_000_000)
    request = form(b"", URLENCODED)
    request.receive(pieces)
    with pytest.raises(HTTPError) as caught:
        _ = request.form
    assert caught.value.status == 413
    assert next(pieces, None) is not None


@pytest.mark.parametrize(("content_type", "body", "status"), [
    (BY_HAND_TYPE, BY_HAND[:-4], 400), ("multipart/form-data", b"x", 400), ("text/plain", b"x", 415)])
def test_a_form_that_comes_in_pieces_is_refused_like_any_other(content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(HTTPError) as caught:
        _ = streamed(content_type, body).form
    assert caught.value.status == status


def parts(count: int, size: int) -> Iterator[bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    for _ in range(count):
        yield head + bytes(size) + b"\r\n"
    yield b"--b--\r\n"


def test_many_small_files_together_go_to_the_disk(tmp_path: Path) -> None:
    request = streamed("multipart/form-data; boundary=b", *parts(12, 1024 * 1024))
    files = request.files.get_all("f")
    assert [isinstance(file.file, forms.Spool) for file in files] == [False] * 8 + [True] * 4
    assert {file.size for file in files} == {1024 * 1024}
    for file in files:
        file.close()


def test_only_so_many_files_go_to_the_disk() -> None:
    request = streamed("multipart/form-data; boundary=b", *parts(8 + forms.MAX_SPOOLS + 1, 1024 * 1024))
    with pytest.raises(HTTPError) as caught:
        _ = request.files
    assert caught.value.status == 413


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=b", URLENCODED])
def test_a_form_that_was_refused_is_refused_again_and_not_read_on(content_type: str) -> None:
    request = form(b"", content_type)
    request.receive(iter([b"%zz\xff" + bytes(1_100_000), b"a=1", b"--b--\r\n"]))
    for _ in range(2):
        with pytest.raises(HTTPError):
            _ = request.form


def test_the_headers_of_all_parts_together_are_bounded() -> None:
    """Each costs much more than as many bytes of content: 8 MiB of them held a loop for four seconds."""
    ignored = b"".join(b"X-%d: y\r\n" % number for number in range(700))
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n' + ignored + b"\r\n\r\n"
    assert len(ignored) < forms.PART_HEADER_BYTES - 100
    boundary = "multipart/form-data; boundary=b"
    assert len(form(part * 10 + b"--b--\r\n", boundary).form.get_all("a")) == 10
    assert status_of(part * 40 + b"--b--\r\n", boundary) == 413
