"""Answers that are often given: what they say, where they lead, what they are called, what caches are told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asking import content, make_request
from evloop_http import FileBody, HTTPError, Response
from evloop_http.app import responses
from evloop_http.app.conditions import parse_date
from evloop_http.app.forms import safe_filename
from evloop_http.app.responses import attachment, cache_control, conditional, redirect, stream, vary
from evloop_http.app.static.files import SMALL_FILE

# -- texts


def test_texts_say_what_they_are() -> None:
    plain, page = responses.text("ü", 418, {"X-A": "1"}), responses.html("<p>ü", headers={"X-A": "1"})
    assert (plain.status, plain.body, plain.headers["Content-Type"]) == (418, "ü".encode(), "text/plain; charset=utf-8")
    assert (page.status, page.body, page.headers["Content-Type"]) == (200, "<p>ü".encode(), "text/html; charset=utf-8")
    assert plain.headers["X-A"] == page.headers["X-A"] == "1"


@pytest.mark.parametrize("value", [None, 1, "ü", [], {"a": [1, {"b": None}]}, True])
def test_json_is_compact_and_read_back(value: Any) -> None:
    response = responses.json(value, 201, {"X-A": "1"})
    body = content(response)
    assert json.loads(body) == value
    assert b" " not in body
    assert (response.status, response.headers["X-A"]) == (201, "1")
    assert response.headers["Content-Type"] == "application/json"


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError):
        responses.json({1, 2})
    with pytest.raises(ValueError, match=r"."):
        responses.json(float("nan"))


# -- redirects

HERE = "https://site.example/a/b?c"


@pytest.mark.parametrize(("location", "there"), [
    ("/", "/"), ("/x/y?z=1#f", "/x/y?z=1#f"), ("x", "x"), ("../x", "../x"), ("?page=2", "?page=2"), ("#f", "#f"),
    ("./a:b", "./a:b"), ("/a:b", "/a:b"), ("?next=http://x//y", "?next=http://x//y"), ("/@x", "/@x"),
    ("/ü?q=ü", "/%C3%BC?q=%C3%BC"), ("/%2F%0d", "/%2F%0d"), ("/a'b\"<c>", "/a'b%22%3Cc%3E"),
])
def test_a_redirect_on_the_site_is_sent_encoded(location: str, there: str) -> None:
    response = redirect(location)
    assert (response.status, response.headers["Location"], response.body) == (303, there, b"")


ELSEWHERE = ["//evil.example", "///evil.example", "http://evil.example", "https:evil.example", "http:/evil.example",
             "HTTPS://evil.example", "javascript:alert(1)", "data:,x", "x:y", "evil.example:80/x"]
NO_ADDRESS = ["", " //evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\t/evil.example",
              "/\n/evil.example", "\x01//evil.example", "/x\r\nSet-Cookie: a=b", "/x\0", "/x y", "\xa0//evil.example",
              "/\x85x"]


@pytest.mark.parametrize("location", [*ELSEWHERE, *NO_ADDRESS])
def test_a_redirect_does_not_leave_the_site(location: str) -> None:
    with pytest.raises(ValueError, match=r"address|leave"):
        redirect(location)


@pytest.mark.parametrize("location", ELSEWHERE)
def test_a_redirect_leaves_the_site_if_it_is_meant_to(location: str) -> None:
    assert redirect(location, 307, external=True).headers["Location"] == location


@pytest.mark.parametrize("location", NO_ADDRESS)
def test_no_address_at_all_is_refused_even_so(location: str) -> None:
    with pytest.raises(ValueError, match="address"):
        redirect(location, external=True)


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 404])
def test_a_redirect_has_the_status_of_one(status: int) -> None:
    with pytest.raises(ValueError, match="redirect"):
        redirect("/", status)
    assert [redirect("/", good).status for good in (301, 302, 303, 307, 308)] == [301, 302, 303, 307, 308]


def as_a_browser_reads_it(location: str) -> str:
    """The address as the URL standard has it: blanks in front dropped, tabs and line ends too, backslashes turned."""
    for dropped in "\t\r\n":
        location = location.replace(dropped, "")
    return location.strip("".join(map(chr, range(33)))).replace("\\", "/")


@given(st.text(st.sampled_from("/\\:.@?#%ahtps \t\n\rü\x00[]"), max_size=12) | st.text(max_size=12))
@example("/.//evil.example")
@example("[//evil")
def test_wherever_a_redirect_leads_it_is_on_the_site(location: str) -> None:
    try:
        sent = redirect(location).headers["Location"]
    except ValueError:
        return
    assert sent.isascii()
    there = urlsplit(urljoin(HERE, as_a_browser_reads_it(sent)))
    assert (there.scheme, there.netloc) == ("https", "site.example")


# -- files


def test_a_small_file_is_read_and_a_large_one_left_to_the_kernel(tmp_path: Path) -> None:
    small, large = tmp_path / "a.txt", tmp_path / "b.bin"
    small.write_bytes(b"x" * SMALL_FILE)
    large.write_bytes(b"y" * (SMALL_FILE + 1))
    first, second = responses.file(small), responses.file(str(large), headers={"X-A": "1"})
    assert isinstance(first.body, bytes)
    assert isinstance(second.body, FileBody)
    assert (content(first), content(second)) == (small.read_bytes(), large.read_bytes())
    assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (second.headers["Content-Type"], second.headers["X-A"]) == ("application/octet-stream", "1")
    assert first.headers["ETag"].startswith('"')
    assert first.headers["Last-Modified"].endswith("GMT")


def test_a_file_of_the_future_was_changed_now(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (2**33, 2**33))
    modified = parse_date(responses.file(tmp_path / "a").headers["Last-Modified"])
    assert modified is not None
    assert modified <= time.time()


def test_a_file_that_shrinks_while_it_is_read_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("long")
    fstat = os.fstat

    def shrinks(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        os.truncate(tmp_path / "a", 1)
        return status

    monkeypatch.setattr("evloop_http.app.static.files.os.fstat", shrinks)
    with pytest.raises(HTTPError, match="503") as caught:
        responses.file(tmp_path / "a")
    assert caught.value.headers["Retry-After"] == "1"


def test_a_link_to_a_file_is_followed_for_the_application_chose_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "link.html").symlink_to(tmp_path / "a.txt")
    response = responses.file(tmp_path / "link.html")
    assert (response.body, response.headers["Content-Type"]) == (b"x", "text/html; charset=utf-8")
    assert responses.file(tmp_path / "a.txt", content_type="x/y", status=203).headers["Content-Type"] == "x/y"


def test_what_is_no_regular_file_is_404(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing", Path("/dev/null")):
        with pytest.raises(HTTPError) as caught:
            responses.file(path)
        assert caught.value.status == 404


def test_a_file_is_closed_where_its_answer_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(SMALL_FILE + 1))
    with pytest.raises(ValueError, match="header"):  # a file left open would be a warning, and so an error
        responses.file(tmp_path / "a", headers={"X-A": "\n"})


# -- attachments


def disposition(response: Response) -> str:
    return response.headers["Content-Disposition"]


def saved_as(response: Response) -> str:
    """The name under which the standard library would save it (it reads RFC 2231, of which RFC 8187 is a part)."""
    message = Message()
    message["Content-Disposition"] = disposition(response)
    name = message.get_filename()
    assert name is not None
    return name


@pytest.mark.parametrize(("filename", "value"), [
    ("report.pdf", 'attachment; filename="report.pdf"'),
    ("résumé.pdf", "attachment; filename=\"resume.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf"),
    ("日本.txt", "attachment; filename=\"__.txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt"),
    ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
    ("it's (1).txt", 'attachment; filename="it\'s (1).txt"'),
    ("ü's.txt", "attachment; filename=\"u's.txt\"; filename*=UTF-8''%C3%BC%27s.txt"),
    ('a"; filename="b.exe', 'attachment; filename="a_; filename=_b.exe"'),
    ("a\r\nX-Evil: 1.txt", 'attachment; filename="a__X-Evil_ 1.txt"'),
    ("../../etc/passwd", 'attachment; filename="passwd"'),
])
def test_an_attachment_has_a_plain_name_in_two_spellings(filename: str, value: str) -> None:
    assert disposition(attachment(b"x", filename)) == value


@given(st.text())
@example("a\u2105b")  # taken apart, it holds a slash
@example("\uff0e\uff0e\uff0f\uff02")
def test_any_name_is_one_line_and_the_same_for_a_client_that_reads_it(filename: str) -> None:
    response = attachment(b"x", filename)
    value = disposition(response)
    assert value.isascii()
    assert value.isprintable()
    plain = value.split('"')[1]
    assert not set('/\\:"%') & set(plain)
    if "filename*" in value:
        assert value.count('"') == 2
        assert unquote(value.rpartition("''")[2]) == safe_filename(filename)
        response.headers["Content-Disposition"] = value.replace(f'filename="{plain}"; ', "")
        assert saved_as(response) == safe_filename(filename)


def test_bytes_and_files_are_attached_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    as_file, as_bytes = attachment(tmp_path / "a.csv"), attachment(b"1,2", "x.csv")
    assert (as_file.body, as_bytes.body) == (b"1,2", b"1,2")
    assert (saved_as(as_file), saved_as(as_bytes), saved_as(attachment(b""))) == ("a.csv", "x.csv", "file")
    assert as_file.headers["Content-Type"] == as_bytes.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert attachment(b"", "x.tar.gz").headers["Content-Type"] == "application/octet-stream"
    assert attachment(b"", "x.csv", content_type="a/b").headers["Content-Type"] == "a/b"


# -- streams


def test_a_stream_sends_bytes_and_text_and_closes_what_it_reads() -> None:
    ended = []

    def pieces() -> Iterator[bytes | str]:
        try:
            yield from (b"a", "ü", b"")
        finally:
            ended.append("yes")

    response = stream(pieces(), 201, {"X-A": "1"}, content_type="text/plain")
    assert (response.status, response.headers["Content-Type"], response.headers["X-A"]) == (201, "text/plain", "1")
    assert (content(response), ended) == ("aü".encode(), ["yes"])


def test_a_stream_that_was_never_begun_closes_what_it_would_have_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("line\n")
    lines = open(tmp_path / "a", encoding="utf-8")  # noqa: SIM115
    response = stream(lines)
    response.close()
    assert lines.closed
    stream(["a"]).close()


@pytest.mark.parametrize("pieces", ["text", b"bytes"])
def test_a_text_is_no_stream(pieces: Any) -> None:
    with pytest.raises(TypeError, match="iterable of pieces"):
        stream(pieces)


# -- Vary and Cache-Control


@pytest.mark.parametrize(("before", "names", "value"), [
    ([], ["Origin"], "Origin"),
    (["Accept"], ["Origin", "Accept-Encoding"], "Accept, Origin, Accept-Encoding"),
    (["accept, ORIGIN", "X"], ["Origin", "Accept", "x"], "accept, ORIGIN, X"),
    (["*"], ["Origin"], "*"), (["Origin"], ["*"], "*"), ([""], ["Origin"], "Origin"),
])
def test_vary_grows_and_says_nothing_twice(before: list[str], names: list[str], value: str) -> None:
    response = Response(headers=[("Vary", one) for one in before])
    vary(response, *names)
    assert response.headers.get_all("Vary") == [value]


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a\r\nb"])
def test_vary_lists_only_names(name: str) -> None:
    with pytest.raises(ValueError, match="names"):
        vary(Response(), name)


@pytest.mark.parametrize(("directives", "value"), [
    ({"no_store": True}, "no-store"),
    ({"private": True, "max_age": 60}, "private, max-age=60"),
    ({"public": True, "s_maxage": 0, "immutable": True, "no_cache": False}, "public, s-maxage=0, immutable"),
    ({"stale_while_revalidate": 5, "stale_if_error": 6}, "stale-while-revalidate=5, stale-if-error=6"),
])
def test_cache_control_says_what_it_is_told(directives: dict[str, Any], value: str) -> None:
    response = Response(headers=[("Cache-Control", "a"), ("Cache-Control", "b")])
    cache_control(response, **directives)
    assert response.headers.get_all("Cache-Control") == [value]


@pytest.mark.parametrize("directives", [
    {}, {"maxage": 3}, {"max_age": True}, {"max_age": -1}, {"no_store": 1}, {"public": True, "private": True},
    {"no_cache": False}, {"max-age\r\nX": 1},
])
def test_a_directive_that_nobody_knows_is_refused(directives: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        cache_control(Response(), **directives)


# -- conditional


def asked(*fields: tuple[str, str], method: str = "GET") -> Any:
    return make_request(method, "/", fields)


def test_a_body_gets_a_tag_of_its_own_and_the_same_again() -> None:
    first, second = conditional(asked(), Response("x")), conditional(asked(method="HEAD"), Response("x"))
    other = conditional(asked(), Response("y"))
    assert first.status == 200
    assert first.headers["ETag"] == second.headers["ETag"] != other.headers["ETag"]
    assert conditional(asked(), Response("x"), weak=True).headers["ETag"] == f"W/{first.headers['ETag']}"


def test_who_has_it_already_gets_304_without_what_describes_the_body() -> None:
    def made() -> Response:
        return Response("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Vary", "Accept"),
                                      ("Content-Language", "en"), ("Cache-Control", "no-cache"), ("ETag", '"t"')])

    response = conditional(asked(("If-None-Match", '"other", W/"t"')), made())
    assert (response.status, response.body) == (304, b"")
    assert response.headers.pairs() == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Vary", "Accept"),
                                        ("Cache-Control", "no-cache"), ("ETag", '"t"')]
    assert conditional(asked(("If-None-Match", '"other"')), made()).status == 200


def test_a_date_counts_too() -> None:
    def made() -> Response:
        return Response(iter([b"x"]), headers={"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})

    assert conditional(asked(("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")), made()).status == 304
    assert conditional(asked(("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")), made()).status == 200
    assert "ETag" not in conditional(asked(), made()).headers


def test_another_version_than_was_asked_for_is_412() -> None:
    with pytest.raises(HTTPError) as caught:
        conditional(asked(("If-Match", '"other"')), Response("x"))
    assert caught.value.status == 412
    assert conditional(asked(("If-Match", "*")), Response("x")).status == 200


@pytest.mark.parametrize(("method", "status"), [("POST", 200), ("GET", 404), ("GET", 206), ("GET", 201)])
def test_what_is_no_plain_answer_to_a_fetch_is_left_alone(method: str, status: int) -> None:
    made = Response("x", status)
    assert conditional(asked(("If-Match", '"other"'), method=method), made) is made
    assert "ETag" not in made.headers


def test_an_answer_that_is_not_sent_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(SMALL_FILE + 1))
    made = responses.file(tmp_path / "a")
    assert isinstance(made.body, FileBody)
    assert conditional(asked(("If-None-Match", made.headers["ETag"])), made).status == 304
    assert made.body.file.closed
