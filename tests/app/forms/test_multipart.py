"""Multipart bodies: the framing (RFC 2046 §5.1), however it is cut, beside what others read in it."""

from __future__ import annotations

import doctest
import email
import email.policy
from collections.abc import Iterable, Iterator
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.sansio import multipart as werkzeug

from evloop_http import HTTPError
from evloop_http.app import forms
from evloop_http.app.forms import CLOSED, END_OF_PART, NEED_DATA, FormError, MultipartDecoder, PartHead, decoder, rules
from evloop_http.app.forms.rules import Rule

TYPE = "multipart/form-data; boundary=b"
RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, Rule)}

#: What is read: parts as headers and content, then nothing or the rule that was broken and where.
Told = tuple[list[tuple[tuple[tuple[str, bytes], ...], bytes]], tuple[str, int] | None]


def read(pieces: Iterable[bytes], boundary: str = "b", header_bytes: int = rules.PART_HEADER_BYTES) -> Told:
    """What the decoder says of `pieces`, asked after each; parts that have not ended are not told."""
    decoder = MultipartDecoder(boundary, header_bytes)
    parts: list[tuple[tuple[tuple[str, bytes], ...], bytes]] = []
    head: PartHead | None = None
    content = b""
    try:
        for event in events(decoder, pieces):
            if isinstance(event, PartHead):
                head, content = event, b""
            elif isinstance(event, bytes):
                assert event
                content += event
            else:
                assert event is END_OF_PART
                assert head is not None
                parts.append((head.fields, content))
                head = None
    except FormError as caught:
        error = caught
    else:
        assert decoder.next_event() is CLOSED
        return parts, None
    with pytest.raises(FormError) as again:
        decoder.next_event()
    assert (again.value.rule, again.value.offset, decoder.pending) == (error.rule, error.offset, 0)
    return parts, (error.rule.sentence, error.offset)


def events(decoder: MultipartDecoder, pieces: Iterable[bytes]) -> Iterator[object]:
    """Every event of a body, without the pauses."""
    for piece in pieces:
        decoder.feed(piece)
        while (event := decoder.next_event()) is not NEED_DATA:
            yield event
    decoder.feed_eof()
    while (event := decoder.next_event()) is not CLOSED:
        assert event is not NEED_DATA
        yield event


def byte_by_byte(body: bytes) -> Iterator[bytes]:
    return (body[place:place + 1] for place in range(len(body)))


def check(body: bytes, boundary: str = "b", header_bytes: int = rules.PART_HEADER_BYTES) -> Told:
    """What is read in `body`, which is the same cut at every byte, and cut into bytes."""
    whole = read([body], boundary, header_bytes)
    assert read(byte_by_byte(body), boundary, header_bytes) == whole
    for cut in range(1, len(body)):
        assert read([body[:cut], body[cut:]], boundary, header_bytes) == whole
    return whole


def contents(body: bytes) -> list[bytes]:
    """The content of every part of a body without errors."""
    parts, error = check(body)
    assert error is None
    return [content for _, content in parts]


def refused(body: bytes, header_bytes: int = rules.PART_HEADER_BYTES) -> tuple[Rule, int]:
    """The rule that `body` breaks, and where."""
    _, error = check(body, header_bytes=header_bytes)
    assert error is not None
    return next(rule for rule in RULES.values() if rule.sentence == error[0]), error[1]


def form(body: bytes, content_type: str = TYPE) -> forms.Form:
    """The form in `body`, which is the same cut at every byte, or refused in the same way."""
    whole = outcome([body], content_type)
    for pieces in (byte_by_byte(body), *([body[:cut], body[cut:]] for cut in range(1, len(body)))):
        assert outcome(pieces, content_type) == whole
    return forms.parse("multipart/form-data", content_type, body)


def outcome(pieces: Iterable[bytes], content_type: str = TYPE) -> object:
    try:
        read = forms.parse_stream("multipart/form-data", content_type, iter(pieces))
    except FormError as error:
        return error.rule, error.offset
    except HTTPError as error:
        return error.status, error.message
    return ([(name, read.fields.get_all(name)) for name in read.fields],
            [(name, [(file.filename, file.content_type, file.read()) for file in read.files.get_all(name)])
             for name in read.files])


def status_of(body: bytes, content_type: str = TYPE) -> int:
    with pytest.raises(HTTPError) as caught:
        form(body, content_type)
    return caught.value.status


def fields(body: bytes) -> dict[str, str]:
    return dict(form(body).fields)


def files(body: bytes) -> list[tuple[str, str, bytes]]:
    """Name of the field, name of the file and content of every file."""
    read = form(body).files
    return [(name, file.filename, file.read()) for name in read for file in read.get_all(name)]


def part(name: str, value: bytes = b"x", *more: bytes) -> bytes:
    """A part of a form with its delimiter; `more` are headers."""
    return b"".join([b'\r\n--b\r\nContent-Disposition: form-data; name="', name.encode(), b'"\r\n',
                     *(line + b"\r\n" for line in more), b"\r\n", value])


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts)[2:] + b"\r\n--b--\r\n"


def disposed(value: str) -> bytes:
    """A form of one part with this disposition."""
    return f"--b\r\nContent-Disposition: {value}\r\n\r\nx\r\n--b--\r\n".encode()


# -- what is read


def test_the_examples_of_the_documentation_are_true() -> None:
    done = doctest.testmod(decoder)
    assert (done.failed, done.attempted) == (0, 6)


def test_a_part_without_a_body_ends_at_the_delimiter_behind_its_headers() -> None:  # RFC 2046 §5.1.1: [CRLF *OCTET]
    body = b'--b\r\nContent-Disposition: form-data; name="e"\r\n\r\n--b\r\nContent-Disposition: form-data; ' \
           b'name="a"\r\n\r\n1\r\n--b--\r\n'
    assert fields(body) == {"e": "", "a": "1"}
    last = b'--b\r\nContent-Disposition: form-data; name="e"\r\n\r\n--b--\r\n'
    assert fields(last) == {"e": ""}
    assert fields(last.replace(b"--b--", b"\r\n--b--")) == {"e": ""}
    assert fields(last.replace(b"--b--", b"\r\n\r\n--b--")) == {"e": "\r\n"}


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"This is to be ignored.\r\n", b"a\r\n--", b"--", b"x--b\r\n",
                                      b"\n", b"\r\r\n", b"--a\r\n"])
def test_what_stands_before_the_first_boundary_is_ignored(preamble: bytes) -> None:  # RFC 2046 §5.1.1
    before = preamble if preamble.endswith(b"\r\n") or not preamble else preamble + b"\r\n"
    assert fields(before + body_of(part("a"))) == {"a": "x"}


def test_a_preamble_may_be_longer_than_a_piece() -> None:  # RFC 2046 §5.1.1
    preamble = b"This preamble is to be ignored.\r\n" * 10_000
    assert outcome([preamble + body_of(part("a"))]) == outcome([body_of(part("a"))])


@pytest.mark.parametrize("behind", [b"", b"\r\n", b" \t", b" \t\r\n", b"\r\nepilogue", b"\r\n\n",
                                    b"\r\n\r\n--b\r\nX : \0"])
def test_what_stands_behind_the_last_boundarys_line_is_ignored(behind: bytes) -> None:  # RFC 2046 §5.1.1
    assert contents(b"--b\r\nX: y\r\n\r\n1\r\n--b--" + behind) == [b"1"]


@pytest.mark.parametrize("padding", [b" ", b"\t", b" \t \t"])
def test_blanks_behind_a_boundary_are_padding(padding: bytes) -> None:  # RFC 2046 §5.1.1: transport-padding
    body = body_of(part("a", b"1"), part("c", b"2"))
    assert fields(body.replace(b"--b\r\n", b"--b" + padding + b"\r\n")) == {"a": "1", "c": "2"}
    assert fields(body.replace(b"--b--", b"--b--" + padding)) == {"a": "1", "c": "2"}


def test_the_first_line_of_content_may_not_begin_with_the_boundary() -> None:  # RFC 2046 §5.1.1
    assert refused(b"--b\r\nX: y\r\n\r\n--b!\r\n--b--") == (rules.DELIMITER, 16)


@pytest.mark.parametrize("content", [
    b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\r\n--", b"\r\n-", b"x--b", b"\n--b", b"\r--b", b"\r\r\n--",
    b"\r\n--\r\n--", b"--", b"\r\n --b", b"\0\xff"])
def test_content_is_kept_to_the_byte(content: bytes) -> None:
    assert contents(b"--b\r\nX: y\r\n\r\n" + content + b"\r\n--b\r\nX: y\r\n\r\n1\r\n--b--") == [content, b"1"]


def test_a_boundary_may_look_like_what_surrounds_it() -> None:
    for boundary in ("-", "--", "-----", "- -", "''()+_,-./:=?", "a" * 70, "\"{}"):
        dashes = b"--" + boundary.encode()
        body = dashes + b"\r\nX: y\r\n\r\n-\r\n-\r\n--\r\n" + dashes[:-1] + b"\r\n" + dashes + b"--\r\n"
        expected = b"-\r\n-\r\n--\r\n" + dashes[:-1]
        if boundary.strip("-"):
            assert check(body, boundary) == ([((("x", b"y"),), expected)], None)
        else:
            check(body, boundary)


def test_a_body_without_parts_is_one() -> None:
    assert contents(b"--b--") == contents(b"--b--\r\n") == contents(b"preamble\r\n--b--\r\n") == []


# -- headers of parts


def test_headers_of_parts_may_be_folded() -> None:  # RFC 5322 §2.2.3, by RFC 2046 §5.1
    body = b'--b\r\nContent-Disposition: form-data;\r\n name="a";\r\n\tfilename="x\r\n y"\r\nContent-Type:\r\n ' \
           b'text/x\r\n\r\n1\r\n--b--\r\n'
    assert files(body) == [("a", "x y", b"1")]
    assert form(body).files["a"].content_type == "text/x"


def test_headers_that_mean_nothing_here_are_ignored() -> None:  # RFC 7578 §4.8: MUST be ignored
    for more in ([b"Content-Length: 99"], [b"Content-Length: 01"], [b"Content-Length: -1"], [b"X.Note: y"],
                 [b"!#$%&'*+-.^_`|~09Az: y"], [b"X: y"] * 200, [b"X:"], [b"X: \xff"], [b"Content-Disposition-X: y"],
                 [b"Content-Transfer-Encoding: binary"]):
        assert outcome([body_of(part("a", b"x", *more))]) == outcome([body_of(part("a"))])
    assert fields(body_of(part("a", b"x", b"Content-Length: 99", b"X.Note: y"))) == {"a": "x"}


@pytest.mark.parametrize(("head", "rule"), [
    (b"X: a\nY: b", rules.LINE_END), (b"X: a\n", rules.LINE_END), (b"X: a\rb", rules.LINE_END),
    (b"X: y\r\nX: a\nb\r\nX: y", rules.LINE_END), (b"X: a\0b", rules.FIELD_VALUE), (b"X: a\x7f", rules.FIELD_VALUE),
    (b"X\0: a", rules.FIELD_LINE), (b"X : a", rules.FIELD_LINE), (b"X", rules.FIELD_LINE), (b": a", rules.FIELD_LINE),
    (b"\xff: a", rules.FIELD_LINE), (b" X: a", rules.FIELD_FOLD), (b"\tX: a\r\nY: b", rules.FIELD_FOLD),
    (b"--b: a", rules.BOUNDARY_IN_HEADER), (b"X: a\r\n--b: c", rules.BOUNDARY_IN_HEADER),
    (b"X: a\r\n--b", rules.BOUNDARY_IN_HEADER)])
def test_a_malformed_header_of_a_part_is_refused_however_it_is_cut(head: bytes, rule: Rule) -> None:  # RFC 2046 §5.1
    assert refused(b"p\r\n--b\r\n" + head + b"\r\n\r\n1\r\n--b--") == (rule, 8)


def test_headers_of_a_part_have_a_bound_that_is_theirs_together() -> None:
    lines = b"X: y\r\nZ: " + b"z" * 9 + b"\r\n"
    body = b"--b\r\n" + lines + b"\r\n1\r\n--b--"
    assert check(body, header_bytes=len(lines))[1] is None
    assert refused(body, len(lines) - 1) == (rules.HEADER_LONG, 5 + len(lines) - 1)
    endless = b"--b\r\nX: " + b"y" * 40
    assert refused(endless, 30) == (rules.HEADER_LONG, 35)
    assert refused(endless, 43) == (rules.INCOMPLETE, 48)


@pytest.mark.parametrize("more", [b'Content-Disposition: form-data; name="b"', b"content-disposition: form-data",
                                  b"Content-Type: a/b\r\nContent-Type: c/d"])
def test_a_part_with_two_dispositions_or_types_is_refused(more: bytes) -> None:  # RFC 7578 §4.2
    assert status_of(body_of(part("a", b"x", more))) == 400


# -- framing that is refused


@pytest.mark.parametrize("behind", [b"x", b"x\r\n", b" x\r\n", b"\n", b" \n", b"\r\r\n", b"-", b"-x", b"- -", b" --",
                                    b"--x", b"-- x\r\n", b"--\n", b"--\r", b"--\rx", b"---", b"\0\r\n"])
@pytest.mark.parametrize("before", [b"", b"p\r\n", b"--b\r\nX: y\r\n\r\n", b"--b\r\nX: y\r\n\r\n1\r\n"])
def test_a_line_that_begins_with_a_boundary_is_one_or_refused(before: bytes, behind: bytes) -> None:
    # RFC 2046 §5.1.1: "it is sufficient that the boundary appear in its entirety following the CRLF"
    rule, offset = refused(before + b"--b" + behind)
    assert rule in (rules.DELIMITER, rules.INCOMPLETE)
    assert len(before) + 3 <= offset <= len(before) + 3 + len(behind)


@pytest.mark.parametrize("boundary", ["", "a" * 71, "a ", " ", "ü", "a\tb", "a\nb"])
def test_what_cannot_be_a_boundary_is_refused(boundary: str) -> None:  # RFC 2046 §5.1.1
    with pytest.raises(FormError, match="boundary") as caught:
        MultipartDecoder(boundary)
    assert caught.value.status == 400


@pytest.mark.parametrize("content_type", [
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b; boundary=c",
    "multipart/form-data; boundary=b; Boundary=b", "multipart/form-data; boundary=b c",
    'multipart/form-data; boundary="b',
    "multipart/form-data, boundary=b", "multipart/form-data; boundary=b" + "; x" * 50])
def test_a_type_that_does_not_name_one_boundary_is_refused(content_type: str) -> None:
    # RFC 2046 §5.1.1: others would take the second, or none
    assert status_of(b"--b--", content_type) == 400


@pytest.mark.parametrize("content_type", [
    "multipart/form-data;boundary=b;", 'Multipart/Form-Data; charset=x; BOUNDARY="b" ',
    r'multipart/form-data; boundary="\b"'])
def test_a_boundary_is_a_parameter_of_the_type(content_type: str) -> None:
    assert fields(body_of(part("a"))) == dict(form(body_of(part("a")), content_type).fields) == {"a": "x"}


def test_a_part_with_more_parameters_than_any_sender_needs_is_refused_before_they_are_all_read() -> None:
    assert status_of(disposed("form-data; name=a" + ";" * 50)) == 400
    assert fields(disposed("form-data; name=a" + ";" * 49)) == {"a": "x"}
    assert fields(body_of(part("a", b"x", b"Content-Type: text/plain" + b";" * 60 + b"charset=klingon"))) == {"a": "x"}


def test_a_body_that_breaks_off_is_refused_wherever() -> None:  # RFC 2046 §5.1.1
    body = b"p\r\n--b\r\nX: y\r\n\r\n1\r\n--b \r\nX: y\r\n\r\n--b--"
    for stop in range(len(body)):
        assert refused(body[:stop]) == (rules.INCOMPLETE, stop)
    assert contents(body) == [b"1", b""]


def test_a_rule_has_a_status_a_section_and_a_sentence_that_becomes_the_message() -> None:
    assert len({rule.sentence for rule in RULES.values()}) == len(RULES) > 10
    for rule in RULES.values():
        assert rule.status in (400, 413)
        assert FormError(rule, 3).message == f"{rule.sentence[0].upper()}{rule.sentence[1:]} ({rule.section})."


# -- Content-Disposition


@pytest.mark.parametrize(("disposition", "name", "filename"), [
    ('form-data; name="a"', "a", None), ("form-data; name=a", "a", None), ('form-data;name="a"', "a", None),
    ('FORM-DATA ; NAME=a;', "a", None), ('form-data; filename=x; name=a', "a", "x"), ('form-data; name=""', "", None),
    ('form-data; name="a"; filename=""', "a", ""), ("form-data; name=a; x=y; ; size=3", "a", None),
    # The HTML standard, §4.10.21.8
    ('form-data; name="%22a%0D%0A"; filename="%22%41"', '"a\r\n', '"%41'), (r'form-data; name="a\"', "a\\", None),
    (r'form-data; name="a"; filename="x\"', "a", "x\\"), (r'form-data; name="a\b\\c"', r"a\b\\c", None),
    # RFC 2183 §2, RFC 2045 §5.1
    (r'form-data; name="\"a\""; filename="x\\\".txt"', '"a"', '\\".txt'.replace('\\"', 'x\\"')),
    ('form-data; name="ü"; filename="ü.txt"', "ü", "ü.txt"),
    # Internet Explorer
    (r'form-data; name="a"; filename="C:\dir\x.txt"', "a", "x.txt"),
    (r'form-data; name="a"; filename="\\h\x"', "a", "x"),
    # RFC 7578 §4.2 forbids it, and it is a file all the same; RFC 8187 §3.2.1
    ("form-data; name=a; filename*=UTF-8''%C3%BC%20x.txt", "a", "ü x.txt"),
    ("form-data; name=a; filename*=iso-8859-1'de'%FC", "a", "ü"),
    ("form-data; name=a; filename=plain; filename*=UTF-8''other", "a", "plain"),
    ("form-data; name*=utf-8''%C3%BC", "ü", None),
    # RFC 2231 §3 and §4.1
    ("form-data; name=a; filename*0=\"x \"; filename*1=y", "a", "x y"),
    ("form-data; name=a; filename*1=y; filename*0*=us-ascii''%78; filename*2*=%7A", "a", "xyz"),
])
def test_a_disposition_is_read_as_its_writer_meant_it(disposition: str, name: str, filename: str | None) -> None:
    read = form(disposed(disposition))
    if filename is None:
        assert (dict(read.fields), len(read.files)) == ({name: "x"}, 0)
    else:
        assert (list(read.files), read.files[name].filename, len(read.fields)) == ([name], filename, 0)


@pytest.mark.parametrize("disposition", [
    "", "form-data", "attachment; name=a", "form-data name=a", "form-data; name=a; name=b",
    'form-data; name="a"; name="b"',
    'form-data; name="a', 'form-data; name="a"b', "form-data; name=a b", "form-data; name", '; name="a"',
    "form-data; name=a; filename=x; filename=y", "form-data; name=a; filename*=x",
    "form-data; name=a; filename*=UTF-8''%zz",
    "form-data; name=a; filename*=UTF-8''%FF", "form-data; name=a; filename*=klingon''x",
    "form-data; name=a; filename*0=x; filename*1*=%41", 'form-data; name="a"; filename="x"; name="b"'])
def test_a_disposition_that_can_be_read_in_two_ways_or_none_is_refused(disposition: str) -> None:  # RFC 7578 §4.2
    assert status_of(disposed(disposition)) == 400


# -- several files of one field


MIXED = b"Content-Type: multipart/mixed; boundary=inner"
TWO = (b'preamble\r\n--inner\r\nContent-Disposition: attachment; filename="1.bin"\r\nContent-Type: x/y\r\n\r\n'
       b"\xff\r\n-\r\n"
       b"--inner \r\nContent-Disposition: file; filename=2\r\nContent-Type: multipart/mixed; boundary=deep\r\n\r\n"
       b"--deep--\r\n--inner\r\n\r\nno headers\r\n--inner--\r\nepilogue")


def test_nested_parts_are_files_of_the_outer_name() -> None:  # RFC 7578 §4.3
    body = body_of(part("a"), part("f", TWO, MIXED), part("z", b"y"))
    assert files(body) == [("f", "1.bin", b"\xff\r\n-"), ("f", "2", b"--deep--"), ("f", "", b"no headers")]
    assert [file.content_type for file in form(body).files.get_all("f")] == ["x/y", "multipart/mixed",
                                                                            "application/octet-stream"]
    assert fields(body) == {"a": "x", "z": "y"}


def test_a_file_of_the_type_multipart_mixed_is_a_file() -> None:
    body = body_of(part('f"; filename="x', TWO, MIXED))
    assert files(body) == [("f", "x", TWO)]


@pytest.mark.parametrize("inner", [b"", b"--inner", TWO[:-20], b"--inner\r\nX : y\r\n\r\n\r\n--inner--", b"--inner--x"])
def test_a_malformed_nested_body_is_refused(inner: bytes) -> None:
    assert status_of(body_of(part("f", inner, MIXED))) == 400
    assert status_of(body_of(part("f", TWO, b"Content-Type: multipart/mixed"))) == 400


def test_nested_parts_count_among_the_parts_of_a_form() -> None:
    half = rules.MAX_PARTS // 2
    inner = b"--inner\r\n\r\n\r\n" * (half - 1) + b"--inner--"
    assert outcome([body_of(part("f", inner, MIXED), *[part("a")] * half)]) == outcome(
        [body_of(*[part("a")] * half, part("f", inner, MIXED))])
    assert outcome([body_of(*[part("a")] * (half + 1), part("f", inner, MIXED))])[0] == rules.PARTS_MANY  # type: ignore[index]


# -- properties


TOKENS = [b"--b", b"\r\n--b", b"--", b"\r\n", b"\r", b"\n", b"b", b":", b" ", b"\t", b"-", b'"', b"\\", b"a", b"x" * 30,
          b"\r\n\r\n", b"--b--", b"Content-Disposition: form-data; name=a\r\n\r\n", b"; filename=", b"; filename*=",
          b"Content-Type: text/plain; charset=", b"utf-16", b"klingon", b"\xff", b"\x00", b"Content-Length: 1",
          b"Content-Type: multipart/mixed; boundary=c\r\n", b"--c\r\n", b"\r\n--c--"]
SOUP = st.lists(st.sampled_from(TOKENS), max_size=25).map(b"".join)


@given(SOUP, st.lists(st.integers(0, 400), max_size=8), st.sampled_from([8, 40, rules.PART_HEADER_BYTES]))
@example(b"--b\r\nX: a\nb", [], 8)
def test_any_bytes_are_parts_or_an_error_and_the_same_however_they_are_cut(soup: bytes, places: list[int],
                                                                           header_bytes: int) -> None:
    for body in (soup, b"--b\r\n" + soup + b"\r\n--b--\r\n"):
        places = sorted({0, *(place for place in places if place < len(body)), len(body)})
        pieces = [body[begin:end] for begin, end in pairwise(places)]
        whole = read([body], header_bytes=header_bytes)
        assert read(pieces, header_bytes=header_bytes) == whole
        assert read(byte_by_byte(body), header_bytes=header_bytes) == whole
        assert whole[1] is None or 0 <= whole[1][1] <= len(body)
        told = outcome([body])
        assert outcome(pieces) == outcome(byte_by_byte(body)) == told
        assert not isinstance(told, tuple) or told[0] not in range(600) or told[0] in (400, 413, 415)


BOUNDARY = "=_a-b"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\\%"), min_size=1)
DASHES = st.lists(st.sampled_from([b"\r\n", b"\r", b"-", b"--", b"--=_a-", b"x"]), max_size=12).map(b"".join)
CONTENT = (st.binary(max_size=50) | DASHES).filter(lambda content: b"\r\n--=_a-b" not in b"\r\n" + content)
MORE = st.lists(st.sampled_from(["X-Note: y", "Content-Length: 7", "Content-Type: text/x"]), unique=True)
PARTS = st.lists(st.tuples(NAMES, NAMES | st.just("") | st.none(), CONTENT, MORE))


def written(parts: list[tuple[str, str | None, bytes, list[str]]], as_folded: bool, is_short: bool) -> bytes:
    """A multipart body, written by hand."""
    fold = "\r\n " if as_folded else " "
    body = b"preamble"
    for name, filename, content, more in parts:
        quoted = name.replace('"', "%22")
        disposition = f'Content-Disposition: form-data;{fold}name="{quoted}"'
        if filename is not None:
            disposition += f';{fold}filename="' + filename.replace('"', "%22") + '"'
        head = "\r\n".join([f"\r\n--{BOUNDARY}", disposition, *more])
        body += head.encode() + b"\r\n" + (b"" if is_short and not content else b"\r\n" + content)
    return body + f"\r\n--{BOUNDARY}--\r\nepilogue".encode()


@given(PARTS, st.booleans(), st.booleans())
def test_what_is_written_is_read_and_by_others_too(parts: list[tuple[str, str | None, bytes, list[str]]],
                                                   as_folded: bool, is_short: bool) -> None:
    body = written(parts, as_folded, is_short)
    told, error = read(byte_by_byte(body), BOUNDARY)
    assert (error, [content for _, content in told]) == (None, [content for _, _, content, _ in parts])
    ours = [(dict(fields)["content-disposition"].decode().replace('"', ""), content) for fields, content in told]
    assert ours == read_by_werkzeug(body)
    assert ours == read_by_email(body)


def read_by_werkzeug(body: bytes) -> list[tuple[str, bytes]]:
    """Dispositions and contents that werkzeug's decoder reads."""
    decoder = werkzeug.MultipartDecoder(BOUNDARY.encode())
    decoder.receive_data(body)
    decoder.receive_data(None)
    found: list[tuple[str, bytes]] = []
    while not isinstance(event := decoder.next_event(), werkzeug.Epilogue):
        if isinstance(event, werkzeug.Field | werkzeug.File):
            found.append((event.headers["Content-Disposition"].replace('"', ""), b""))
        elif isinstance(event, werkzeug.Data):
            found[-1] = found[-1][0], found[-1][1] + event.data
    return found


def read_by_email(body: bytes) -> list[tuple[str, bytes]]:
    """Dispositions and contents that Python's `email` reads."""
    head = f'Content-Type: multipart/form-data; boundary="{BOUNDARY}"\r\n\r\n'.encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP.clone(utf8=True))
    found = []
    for each in message.iter_parts() if message.is_multipart() else []:
        content = each.get_payload(decode=True)
        assert isinstance(content, bytes)
        raw = dict(each.raw_items())["Content-Disposition"]
        text = str(raw).encode("utf-8", "surrogateescape").decode()
        found.append((text.replace("\r\n", "").replace('"', ""), content))
    return found


@given(st.lists(st.tuples(st.text(st.sampled_from("abcü "), min_size=1, max_size=60), st.binary(max_size=99))),
       st.sampled_from([email.policy.HTTP, email.policy.SMTP, email.policy.SMTPUTF8]))
def test_a_form_of_pythons_email_package_is_read(pairs: list[tuple[str, bytes]],
                                                 policy: email.policy.EmailPolicy) -> None:
    # RFC 5322 §2.2.3: it folds a header beyond 78 columns, which is a file name of 23 characters.
    message = EmailMessage(policy=policy)
    message["Content-Type"] = "multipart/form-data; boundary=b-b"
    for filename, content in pairs:
        attached = EmailMessage(policy=policy)
        attached["Content-Type"] = "application/x-thing"
        attached["Content-Transfer-Encoding"] = "8bit"
        attached.add_header("Content-Disposition", "form-data", name="file", filename=filename.strip() or "f")
        attached.set_payload(content.hex())
        message.attach(attached)
    if not pairs:
        return
    body = message.as_bytes(policy=policy).partition(b"\r\n\r\n")[2]
    read = forms.parse("multipart/form-data", 'multipart/form-data; boundary="b-b"', body)
    assert [(file.filename, file.read()) for file in read.files.get_all("file")] \
        == [(filename.strip() or "f", content.hex().encode()) for filename, content in pairs]


def test_a_long_file_name_of_pythons_older_classes_is_read() -> None:  # RFC 5322 §2.2.3
    message: Any = MIMEMultipart("form-data", "b")
    file: Message = MIMEApplication(b"x", _encoder=lambda part: None)
    file.add_header("Content-Disposition", "form-data", name="file", filename="n" * 20 + ".bin")
    message.attach(file)
    body = message.as_bytes(policy=message.policy.clone(linesep="\r\n")).partition(b"\r\n\r\n")[2]
    assert b";\r\n " in body
    assert files(body) == [("file", "n" * 20 + ".bin", b"x")]


# -- work and memory


def test_a_peer_that_sends_byte_by_byte_makes_no_more_than_a_delimiter_be_looked_at_again() -> None:
    """The most that is pending between two bytes bounds what can be searched again."""
    boundary = "-" * 70
    dense = b"\r\n--" * 2000 + b"\r\n--" + b"-" * 69 + b"\r" * 500 + b"\r\n" + b"-" * 71
    decoder = MultipartDecoder(boundary)
    decoder.feed(b"--" + boundary.encode() + b"\r\nX: y\r\n\r\n")
    assert isinstance(decoder.next_event(), PartHead)
    assert decoder.next_event() is NEED_DATA
    content = b""
    most = 0
    for byte in byte_by_byte(dense + b" " + b"\r\n--"):
        decoder.feed(byte)
        while (event := decoder.next_event()) is not NEED_DATA:
            assert isinstance(event, bytes)
            content += event
        most = max(most, decoder.pending)
    assert most < len("\r\n--" + boundary)
    assert content == dense + b" "


@pytest.mark.parametrize("filling", [b"", b"--b", b"--b\r\n", b"--b--", b"--b--\r\n"])
def test_blanks_preamble_and_epilogue_are_not_kept(filling: bytes) -> None:
    decoder = MultipartDecoder("b")
    decoder.feed(filling)
    if filling == b"--b\r\n":
        decoder.feed(b"X:")
    for _ in range(1000):
        decoder.feed(b" " * 7)
        assert decoder.next_event() is NEED_DATA
        assert decoder.pending <= 7 * 1000 + 10
    assert decoder.pending <= (7010 if filling == b"--b\r\n" else 2)


def test_a_head_that_arrives_in_bytes_is_gathered_in_place() -> None:
    decoder = MultipartDecoder("b")
    decoder.feed(b"--b\r\nX: ")
    assert decoder.next_event() is NEED_DATA
    decoder.feed(b"y")
    buffer = decoder._buffer
    for _ in range(5000):
        decoder.feed(b"y")
        assert decoder.next_event() is NEED_DATA
        assert decoder._buffer is buffer
    decoder.feed(b"\r\n\r\n1\r\n--b--")
    head, content = decoder.next_event(), decoder.next_event()
    assert isinstance(head, PartHead)
    assert (len(head.fields[0][1]), content) == (5001, b"1")
