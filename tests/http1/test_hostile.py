"""No broken request, however it is cut, is taken for a sound one; and every sound one is (see `hostile`)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evloop_http.http1 import Limits
from evloop_http.http1.strategies import byte_by_byte, cut_at
from hostile import BEHIND, INCOMPLETE, LINES, START, TABLES, Line, chunks, post, request, to
from reading import read

each_line = pytest.mark.parametrize("line", LINES)


def places(raw: bytes) -> list[int]:
    """Where to cut: at every byte, in very long bytes at some hundred, among them those around the limits."""
    if len(raw) <= 1000:
        return list(range(1, len(raw)))
    near = {at + step for at in (150, 256, START, 8192, 32768, len(raw)) for step in range(-12, 12)}
    return sorted(at for at in {*range(1, 30), *range(30, len(raw), len(raw) // 30), *near} if 0 < at < len(raw))


@each_line
def test_a_line_of_the_table_is_what_it_says(line: Line) -> None:
    *before, last = read([line.raw])
    if isinstance(line.expected, list):
        assert [*before, last] == [*line.expected, ("CLOSED", 0)]
        return
    assert last[:2] == ("error", line.expected)
    if line.at is not None:
        assert last[3] == line.at
    assert not [event for event in before if event[2:3] == ("/behind",)]


@each_line
def test_a_line_cut_anywhere_is_the_same_line(line: Line) -> None:
    whole = read([line.raw])
    for place in places(line.raw):
        assert read(cut_at(line.raw, [place])) == whole
    if len(line.raw) < 10_000:
        assert read(byte_by_byte(line.raw)) == whole


@each_line
def test_a_request_behind_an_error_never_becomes_an_event(line: Line) -> None:
    told = read([line.raw + BEHIND])
    assert read([line.raw, BEHIND]) == told
    behind = [event for event in told if event[2:3] == ("/behind",)]
    if isinstance(line.expected, list):
        assert len(behind) == 1
        assert told[:len(line.expected)] == line.expected
        return
    assert told[-1][0] == "error" or line in INCOMPLETE
    assert not behind
    if line not in INCOMPLETE:
        assert told == read([line.raw])


def test_the_table_is_long_enough_and_names_every_line_once_with_its_source() -> None:
    names = [param.id for param in LINES]
    assert len(names) >= 250
    assert len(set(names)) == len(names)
    for line in [line for lines in TABLES.values() for line in lines]:
        assert line.source.startswith(("RFC ", "CVE-", "cheroot", "gunicorn", "tornado", "waitress")), line.name


# Classes of bytes rather than lines

EVERY_OCTET = [bytes([octet]) for octet in range(256)]


def test_only_space_and_tab_are_trimmed_and_only_field_characters_taken() -> None:
    """CVE-2019-16789, CVE-2023-37276: each byte before, within and behind a value, and in a name."""
    for raw in EVERY_OCTET:
        allowed = raw == b"\t" or (raw >= b" " and raw != b"\x7f")
        for value in (raw + b"v", b"v" + raw + b"v", b"v" + raw):
            told = read([request(b"X: " + value)])
            if not allowed:
                assert told[-1][:2] == ("error", 400)
            else:
                assert told[0][7] == (("Host", "a"), ("X", value.strip(b" \t").decode("latin-1")))
        token = raw in b"!#$%&'*+-.^_`|~" or raw.isalnum()
        for name in (raw + b"X", b"X" + raw + b"X", b"X" + raw):
            told = read([request(name + b": v")])
            assert (told[0][0] == "head") == (token or (raw == b":" and not name.startswith(b":")))


def test_only_the_characters_of_a_target_are_taken() -> None:
    for raw in EVERY_OCTET:
        plain = raw.isalnum() or raw in b"-._~!$&'()*+,;=:@/"
        assert (read([to(b"/a" + raw + b"b")])[0][0] == "head") == (plain or raw in b"?|[]^")
        assert (read([to(b"/?a" + raw + b"b")])[0][0] == "head") == (plain or raw in b"?|[]\\^`{}")
        assert (read([to(b"/", b"G" + raw + b"T")])[0][0] == "head") == (raw.isalnum() or raw in b"!#$%&'*+-.^_`|~")


def test_every_encoded_octet_is_taken_in_a_path_but_nul_cr_and_lf() -> None:
    for raw in EVERY_OCTET:
        for octet in (b"%%%02x" % raw[0], b"%%%02X" % raw[0]):
            for target in (b"/a" + octet + b"b", b"http://a/" + octet):
                assert (read([to(target)])[0][0] == "head") == (raw not in b"\0\r\n")
            assert read([to(b"/?" + octet)])[0][0] == "head"


def test_only_hexadecimal_digits_make_a_chunk_size_and_only_crlf_ends_a_chunk() -> None:
    for raw in EVERY_OCTET:
        if raw in b"0123456789abcdefABCDEF":
            data = b"x" * int(raw, 16)
            told = read([chunks(raw + b"\r\n" + (data + b"\r\n0\r\n" if data else b"") + b"\r\n")])
            assert told[1:] == [*([("data", data)] if data else []), ("end", ()), ("CLOSED", 0)]
        else:
            assert read([chunks(raw + b"\r\n" + b"x" * 16 + b"\r\n")], eof=False)[-1][:2] == ("error", 400)
        for end in (raw + b"\n", b"\r" + raw, raw + raw):
            told = read([chunks(b"1\r\nx" + end + b"0\r\n\r\n")])
            assert (told[-1][0] == "CLOSED") == (end == b"\r\n")


@pytest.mark.parametrize("name", ["LF", "CR", "nothing", "LF LF"])
def test_no_line_end_of_a_valid_request_can_be_another(name: str) -> None:
    """CVE-2019-16785: every CRLF of framing, one after the other."""
    other = {"LF": b"\n", "CR": b"\r", "nothing": b"", "LF LF": b"\n\n"}[name]
    raw = post(b"X: y", b"Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n")
    ends = [at for at in range(len(raw)) if raw.startswith(b"\r\n", at)]
    assert len(ends) == 12
    for at in ends:
        told = read([raw[:at] + other + raw[at + 2:] + BEHIND])
        assert told[-1][0] == "error"
        assert not [event for event in told if event[2:3] == ("/behind",)]


# Work that grows faster than what causes it: what would take hours may not take seconds

WORST = r"""
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from evloop_http.http1 import HeadParser, Limits, ProtocolError, RequestParser, NEED_DATA
n = 1_000_000
limits = Limits(request_line=2 * n, head=4 * n, fields=10 * n, chunk_line=2 * n, chunk_overhead=4 * n)
def to(target): return b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
def field(line): return b"POST / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
def chunk(line): return field(b"Transfer-Encoding: chunked") + line + b"\r\n"
a = b"a" * n
for raw in [
    to(b"/" + a + b"\0"), to(b"/" + b"%41" * (n // 3) + b"%"), to(b"/?" + a + b"#"), to(b"http://" + a + b"#"),
    to(b"http://" + a + b"/" + a[:n // 2] + b"#"), to(b"http://" + b"a:" * (n // 2)), to(b"http://[" + b":" * n + b"/"),
    to(b"http://" + b"%41" * (n // 3) + b"%/"), b"GET" + b" " * n + b"\r\n\r\n", a + b"\0 / HTTP/1.1\r\n\r\n",
    field(b"Host: " + a + b"@").replace(b"Host: a\r\n", b"", 1), field(b"X: " + b" \t" * (n // 2) + b"\0"),
    field(b"X: " + b"a " * (n // 2) + b"\0"), field(b"X" + b" " * n), field(a + b" :"),
        field(b"X: y\r\n" * (n // 10) + b"Z"),
    field(b"Connection: " + b"," * n), field(b"Connection: " + b"close ," * (n // 8)),
        field(b"Expect: " + b" " * n + b"x"),
    field(b"Transfer-Encoding: " + b"," * n), field(b"Transfer-Encoding: " + b"gzip, " * (n // 8) + b"x"),
    field(b"Content-Length: " + b"9" * n), field(b"\r\n".join(b"X: %d" % i for i in range(n // 10))),
    field(b"\r\n".join([b"Cookie: a=b"] * (n // 12))), chunk(b"5" + b" " * n), chunk(b"5" + b" \t" * (n // 2) + b";"),
    chunk(b"5" + b";a" * (n // 2) + b"="), chunk(b'5;a="' + b"\\a" * (n // 2)), chunk(b"5;" + a + b"\0"),
        chunk(b"0" * n),
    chunk(b"5;a" + b" " * n + b"="), chunk(b'5;a="' + a), b"\r" * n + b"\n\r\n", b"\r\n" * n, b"\n" * n]:
    parser = RequestParser(HeadParser(limits))
    parser.feed(raw)
    try:
        while parser.next_event() is not NEED_DATA:
            pass
    except ProtocolError:
        pass
print("done")
"""


def test_no_worst_case_costs_more_than_its_length() -> None:
    """A megabyte of what has made servers backtrack or copy: CVE-2020-5236, CVE-2024-7592, CVE-2025-67725.

    What is linear here takes well under a second together; what is quadratic would take hours, and
    is ended by the kernel's limit on processor time.
    """
    ended = subprocess.run([sys.executable, "-c", WORST], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_an_error_repeats_no_byte_of_the_peer() -> None:
    """aiohttp #13136, CVE-2020-7694: rules are sentences of ours, whatever was sent."""
    for line in [line for lines in TABLES.values() for line in lines]:
        told = read([line.raw.replace(b"hello", b"xyzzy")])
        assert "xyzzy" not in str(told[-1])
        assert str(told[-1][2:3]).isprintable()


def test_limits_are_the_servers_to_choose() -> None:
    small = Limits(request_line=20, head=60, fields=2, body=3, chunk_line=4, chunk_overhead=0)
    assert read([to(b"/" + b"a" * 20)], small)[-1][:2] == ("error", 414)
    assert read([request(b"X: " + b"y" * 60)], small)[-1][:2] == ("error", 431)
    assert read([request(b"X: y", b"Y: z")], small)[-1][:2] == ("error", 431)
    assert read([post(b"Content-Length: 4")], small)[-1][:2] == ("error", 413)
    assert read([post(b"Content-Length: 3", body=b"abc")], small)[-1] == ("CLOSED", 0)
