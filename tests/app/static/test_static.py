"""Files of a directory: no path leaves it, only what is needed is sent, and nothing blocks."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import socket
import time
from email import message_from_bytes
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asking import PATIENCE, Fields, answer, content, make_request, request_for_path
from evloop_http import App, FileBody, HTTPError, Request, Response, Server, StaticFiles
from evloop_http.app.conditions import parse_date
from evloop_http.app.static.files import RECHECK, SMALL_FILE
from evloop_http.app.static.ranges import Range
from evloop_http.app.static.static_files import _part
from fakes import FakeClock

SECRET = b"secret"
MODIFIED = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
MODIFIED_TEXT = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to serve, and around it what must not be served."""
    top = tmp_path_factory.mktemp("static")
    root = top / "static"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "with index").mkdir()
    (root / "leaking").mkdir()
    (top / "static_evil").mkdir()
    (top / "outside").mkdir()
    for secret in (top / "secret.txt", top / "static_evil" / "secret.txt", top / "outside" / "secret.txt",
                   root / ".hidden", root / "sub" / ".env"):
        secret.write_bytes(SECRET)
    (root / "file.txt").write_bytes(b"0123456789")
    (root / "sub" / "page.html").write_bytes(b"<p>page")
    (root / "sub" / "deep" / "data.bin").write_bytes(b"\x00\x01")
    (root / "with index" / "index.html").write_bytes(b"<p>index")
    (root / "empty").touch()
    (root / "large.bin").write_bytes(bytes(range(256)) * 400)
    (root / "link inside").symlink_to("sub/page.html")
    (root / "link out").symlink_to(top / "secret.txt")
    (root / "link to sibling").symlink_to(top / "static_evil")
    (root / "dir link").symlink_to("sub")
    (root / "dir out").symlink_to(top / "outside")
    (root / "circle").symlink_to("circle")
    (root / "dangling").symlink_to("nowhere")
    (root / "leaking" / "index.html").symlink_to(top / "secret.txt")
    os.mkfifo(root / "fifo")
    for file in root.rglob("*"):
        if file.is_file() and not file.is_symlink():
            os.utime(file, (MODIFIED, MODIFIED))
    return root


@pytest.fixture(scope="module")
def files(site: Path) -> StaticFiles:
    return StaticFiles(site)


def fetch(files: StaticFiles, path: str, headers: Fields = (), method: str = "GET") -> Response:
    return files(request_for_path(path, method, headers))


def refused(files: StaticFiles, path: str, headers: Fields = (), method: str = "GET") -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        fetch(files, path, headers, method)
    return caught.value


# -- what is served


@pytest.mark.parametrize(("path", "body", "content_type"), [
    ("/file.txt", b"0123456789", "text/plain; charset=utf-8"),
    ("//file.txt", b"0123456789", "text/plain; charset=utf-8"),
    ("/sub/page.html", b"<p>page", "text/html; charset=utf-8"),
    ("/sub//deep/data.bin", b"\x00\x01", "application/octet-stream"),
    ("/with index/", b"<p>index", "text/html; charset=utf-8"),
    ("/with index/index.html", b"<p>index", "text/html; charset=utf-8"),
    ("/link inside", b"<p>page", "text/html; charset=utf-8"),
    ("/dir link/page.html", b"<p>page", "text/html; charset=utf-8"),
    ("/empty", b"", "application/octet-stream"),
])
def test_a_file_is_served_with_its_type(files: StaticFiles, path: str, body: bytes, content_type: str) -> None:
    response = fetch(files, path)
    assert (response.status, content(response), response.headers["Content-Type"]) == (200, body, content_type)
    assert response.headers["Last-Modified"] == MODIFIED_TEXT
    assert response.headers["Accept-Ranges"] == "bytes"
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', response.headers["ETag"])


@pytest.mark.parametrize(("name", "content_type"), [
    ("x.css", "text/css; charset=utf-8"), ("x.svg", "image/svg+xml"), ("x.json", "application/json"),
    ("x.tar.gz", "application/octet-stream"), ("x.unheard-of", "application/octet-stream"),
    ("x", "application/octet-stream"),
])
def test_a_type_is_told_by_the_files_name(tmp_path: Path, name: str, content_type: str) -> None:
    (tmp_path / name).write_text("x")
    assert fetch(StaticFiles(tmp_path), f"/{name}").headers["Content-Type"] == content_type


def test_a_client_may_be_told_how_long_a_file_keeps(site: Path) -> None:
    assert fetch(StaticFiles(site, max_age=3600), "/file.txt").headers["Cache-Control"] == "max-age=3600"
    assert fetch(StaticFiles(site), "/file.txt").headers["Cache-Control"] == "no-cache"


def test_a_large_file_is_left_to_the_kernel(files: StaticFiles) -> None:
    response = fetch(files, "/large.bin")
    assert isinstance(response.body, FileBody)
    assert response.body.length == 256 * 400 > SMALL_FILE
    assert content(response) == bytes(range(256)) * 400
    part = fetch(files, "/large.bin", {"Range": f"bytes=256-{256 + SMALL_FILE}"})
    assert isinstance(part.body, FileBody)
    assert content(part) == (bytes(range(256)) * 400)[256:][:SMALL_FILE + 1]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_can_only_be_fetched(files: StaticFiles, method: str) -> None:
    error = refused(files, "/file.txt", method=method)
    assert (error.status, error.headers["Allow"]) == (405, "GET, HEAD")


def test_a_directory_that_is_not_there_is_a_mistake(site: Path) -> None:
    for path in (site / "nowhere", site / "file.txt"):
        with pytest.raises(ValueError, match="there is no directory"):
            StaticFiles(path)
    assert repr(StaticFiles(site / "sub" / "..")) == f"<StaticFiles {site}>"


# -- what is not

TRAVERSALS = [
    "/..", "/../", "/../secret.txt", "/../static_evil/secret.txt", "/../outside/secret.txt", "//../secret.txt",
    "/sub/../../secret.txt", "/sub/../file.txt", "/./file.txt", "/sub/./page.html", "/...", "/.../secret.txt",
    "/sub/deep/../../../secret.txt", "/../../../../../../etc/passwd", "/..//..//etc/passwd", "//etc/passwd",
    "///etc/passwd", "/etc/passwd", "/proc/self/environ", "/\\..\\secret.txt", "/..\\secret.txt", "/sub\\page.html",
    "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/%252e%252e/secret.txt", "/..;/secret.txt", "/ ../secret.txt",
    "/.. /secret.txt", "/../static/file.txt", "/\0", "/file.txt\0", "/file.txt\0.html", "/../secret.txt\0.txt",
    "/C:/Windows/win.ini", "/C:\\Windows\\win.ini", "/C:file.txt", "/file.txt::$DATA", "/\\\\?\\C:\\", "/CON",
    "/NUL.txt",
    "/aux", "/COM1", "/LPT1.txt", "/~root", "/~/.ssh", "/.hidden", "/sub/.env", "/.", "/sub/.", "/file.txt/",
    "/file.txt/x",
    "/file.txt/..", "/empty/", "/link out", "/link to sibling/secret.txt", "/dir out/secret.txt", "/dir out/",
    "/dir out",
    "/circle", "/circle/x", "/dangling", "/fifo", "/fifo/", "/leaking/", "/leaking/index.html",
    "/" + "x" * 300, "/" + "x/" * 5000, "/" + "y" * 5000, "/\ud800", "/\udcff", "/\ufffd", "/\uff0e\uff0e/secret.txt",
    "/\u2025/secret.txt", "/..\u2215secret.txt", "/\n", "/\r\n", "/file.txt ", "/file.txt.", "/FILE.TXT", "/nowhere",
    "/sub/x",
]


@pytest.mark.parametrize("path", TRAVERSALS, ids=ascii)
def test_what_leads_elsewhere_or_nowhere_is_404(files: StaticFiles, path: str) -> None:
    error = refused(files, path)
    assert (error.status, error.message) == (404, "There is no such file.")


@pytest.mark.parametrize("target", [
    "/..%2Fsecret.txt", "/%2E%2E/secret.txt", "/%2e%2e%2fsecret.txt", "/sub/%2e%2e/%2e%2e/secret.txt",
    "/%5C..%5Csecret.txt",
    "/%c0%ae%c0%ae/secret.txt", "/%ff", "/%252e%252e/secret.txt", "/..%252fsecret.txt",
    "/%2Fetc%2Fpasswd", "//secret.txt/../../secret.txt", "/static/../../secret.txt", "/link%20out",
])
@pytest.mark.parametrize("prefix", ["", "/mount"])
def test_no_encoding_of_a_target_leads_out(files: StaticFiles, target: str, prefix: str) -> None:
    app = App()
    app.mount(prefix or "/", files)
    response = answer(app, make_request("GET", prefix + target))
    assert response.status == 404
    assert SECRET not in content(response)


def test_a_socket_file_is_404(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(str(tmp_path / "s"))
        except OSError as error:
            if error.errno is None or error.errno == errno.EINVAL:
                pytest.skip("the path is too long for a Unix socket")
            raise
        assert refused(StaticFiles(tmp_path), "/s").status == 404


def test_files_that_become_unreadable_are_404(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").touch(mode=0)
    (tmp_path / "closed").chmod(0)
    for path in ("/file", "/closed/", "/closed/x"):
        assert refused(StaticFiles(tmp_path, listing=True), path).status == 404
    (tmp_path / "closed").chmod(0o700)


_PIECES = st.sampled_from(["..", ".", "", "sub", "deep", "file.txt", "page.html", "secret.txt", "static",
                           "static_evil", "outside",
                           "link out", "dir out", "dir link", "link to sibling", "leaking", "circle", "fifo",
                           "with index",
                           "~", "C:", "..\\", "\0", "%2e%2e", ".hidden", ".well-known", "CON", "NUL.txt", "\udcff",
                           "file.txt.gz", "file.txt::$DATA", "x" * 300])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(_PIECES | st.text(max_size=8), max_size=8), st.sampled_from(["/", "\\", "//"]), st.booleans())
def test_no_path_resolves_outside_of_the_root(site: Path, pieces: list[str], separator: str, listing: bool) -> None:
    files = StaticFiles(site, listing=listing, dotfiles=".well-known", precompressed=listing)
    allowed = {file.read_bytes() for file in site.rglob("*") if file.is_file() and not file.is_symlink()
               and not file.name.startswith(".")}
    assert SECRET not in allowed
    try:
        response = fetch(files, "/" + separator.join(pieces))
    except HTTPError as error:
        response = error.response()
    body = content(response)
    assert SECRET not in body
    if response.status == 200 and not body.startswith(b"<!doctype html>"):
        assert body in allowed
    else:
        assert response.status in (200, 301, 404)


# -- directories


@pytest.mark.parametrize(("prefix", "target", "location"), [
    ("/", "/sub", "/sub/"),
    ("/", "/with%20index", "/with%20index/"),
    ("/", "/sub/deep?x=1", "/sub/deep/"),
    ("/", "//sub", "/sub/"),
    ("/", "/dir%20link", "/dir%20link/"),
    ("/m", "/m", "/m/"),
    ("/m/n", "/m/n", "/m/n/"),
    ("/m", "/m/sub", "/m/sub/"),
    ("/m", "/m//sub", "/m/sub/"),
    ("/m", "/m%2Fsub", "/sub/"),
])
def test_a_directory_without_its_slash_is_redirected_within_the_site(files: StaticFiles, prefix: str, target: str,
                                                                     location: str) -> None:
    app = App()
    app.mount(prefix, files)
    response = answer(app, make_request("GET", target))
    assert response.status == 301
    assert response.headers["Location"].startswith("./")  # so that no host can come of it
    assert urljoin(f"http://here{target}", response.headers["Location"]) == f"http://here{location}"


@pytest.mark.parametrize("name", ["evil.example", "a b", "x?y", "x#y", "%2e", "ü", "a&b", '"', "x@y"])
@pytest.mark.parametrize("slashes", ["/", "//", "///"])
def test_a_redirect_never_becomes_another_host(tmp_path: Path, name: str, slashes: str) -> None:
    (tmp_path / name).mkdir()
    response = fetch(StaticFiles(tmp_path), slashes + name)
    location = response.headers["Location"]
    assert location == f"./{quote(name)}/"
    # (`urljoin` drops empty segments.)
    assert urljoin(f"http://here{slashes}{quote(name)}", location) == f"http://here/{quote(name)}/"


def test_a_directory_shows_its_index_or_nothing(files: StaticFiles, site: Path) -> None:
    assert content(fetch(files, "/with index/")) == b"<p>index"
    assert refused(files, "/sub/").status == 404
    other = StaticFiles(site, index="page.html")
    assert content(fetch(other, "/sub/")) == b"<p>page"
    assert refused(other, "/with index/").status == 404


def test_an_index_that_cannot_be_shown_does_not_open_the_list(site: Path, tmp_path: Path) -> None:
    assert refused(StaticFiles(site, listing=True), "/leaking/").status == 404
    (tmp_path / "index.html").symlink_to("nowhere")
    assert refused(StaticFiles(tmp_path, listing=True), "/").status == 404


def test_a_mount_without_its_slash_is_redirected_too_so_that_relative_links_hold(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="other.html">')
    app = App()
    app.mount("/docs", StaticFiles(tmp_path))
    assert answer(app, make_request("GET", "/docs")).headers["Location"] == "./docs/"
    assert answer(app, make_request("GET", "/docs/")).status == 200


def names_in(response: Response) -> list[tuple[str, str]]:
    return re.findall(r'<td><a href="([^"]*)">([^<]*)</a></td>', content(response).decode())


def test_a_listing_is_made_only_when_asked_for_and_shows_what_is_served(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "A.txt", ".hidden", "back\\slash", "a:b", "sub/x"):
        (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"not-\xff-utf8")).touch()
    (tmp_path / "circle").symlink_to("circle")
    assert refused(StaticFiles(tmp_path), "/").status == 404
    listed = fetch(StaticFiles(tmp_path, listing=True), "/")
    assert listed.headers["Content-Type"] == "text/html; charset=utf-8"
    assert [href for href, _ in names_in(listed)] == ["sub/", "A.txt", "b.txt"]
    assert names_in(fetch(StaticFiles(tmp_path, listing=True), "/sub/")) == [("../", "../"), ("x", "x")]


def test_a_listing_escapes_names_and_its_title(tmp_path: Path) -> None:
    name = '<img src=x onerror=alert(1)> & "quoted" \'ü\' ?#%'
    (tmp_path / name).mkdir()
    (tmp_path / name / name).touch()
    files = StaticFiles(tmp_path, listing=True)
    [(href, text)] = names_in(fetch(files, "/"))
    assert href == quote(name) + "/"
    assert text == name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;") \
        .replace("'", "&#x27;") + "/"
    page = content(fetch(files, f"/{name}/")).decode()
    assert page.count("&lt;img src=x") == 3
    assert "<img" not in page
    # And what it links to is there.
    assert answer(files, make_request("GET", f"/{href}{quote(name)}")).status == 200


# -- conditions


def headers_of(files: StaticFiles) -> tuple[str, str]:
    response = fetch(files, "/file.txt")
    return response.headers["ETag"], response.headers["Last-Modified"]


def hour(shift: int) -> str:
    return formatdate(MODIFIED + 3600 * shift, usegmt=True)


@pytest.mark.parametrize(("condition", "status"), [
    ({"If-None-Match": "ETAG"}, 304),
    ({"If-None-Match": "W/ETAG"}, 304),
    ({"If-None-Match": '"other", ETAG , "more"'}, 304),
    ({"If-None-Match": '"other",W/ETAG'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-None-Match": ""}, 200),
    ({"If-Modified-Since": MODIFIED_TEXT}, 304),
    ({"If-Modified-Since": hour(+1)}, 304),
    ({"If-Modified-Since": hour(-1)}, 200),
    ({"If-Modified-Since": "Tuesday, 14-Nov-23 22:13:20 GMT"}, 304),
    ({"If-Modified-Since": "Tue Nov 14 22:13:20 2023"}, 304),
    ({"If-Modified-Since": "Tue Nov 14 22:13:19 2023"}, 200),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Modified-Since": "Tue, 99 Nov 2023 22:13:20 GMT"}, 200),
    ({"If-Modified-Since": "Tue, 14 Nov 99999 22:13:20 GMT"}, 200),
    # The tag is the better witness: the date is not even looked at (RFC 9110 §13.2.2).
    ({"If-None-Match": '"other"', "If-Modified-Since": hour(+1)}, 200),
    ({"If-None-Match": "ETAG", "If-Modified-Since": hour(-1)}, 304),
    # A file that the client has need not be sent in part either.
    ({"If-None-Match": "ETAG", "Range": "bytes=0-1"}, 304),
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_the_client_has_is_304(files: StaticFiles, condition: dict[str, str], status: int,
                                           method: str) -> None:
    etag, modified = headers_of(files)
    sent = {name: value.replace("ETAG", etag) for name, value in condition.items()}
    response = fetch(files, "/file.txt", sent, method)
    assert response.status == status
    assert (response.headers["ETag"], response.headers["Last-Modified"]) == (etag, modified)
    assert content(response) == (b"" if status == 304 else b"0123456789")


def test_dates_without_a_zone_are_gmt_wherever_we_are(files: StaticFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        for second, status in [(19, 200), (20, 304)]:
            asked = {"If-Modified-Since": f"Tue Nov 14 22:13:{second} 2023"}
            assert fetch(files, "/file.txt", asked).status == status
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)
       | st.lists(st.sampled_from(["Tue", ",", " ", "14", "Nov", "2023", "22:13:20", "GMT", "-0000", "99", "+9999",
                                   "-"]),
                  max_size=9).map("".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_date_range_or_tag_is_understood_or_ignored(files: StaticFiles, text: str) -> None:
    for name in ("If-Modified-Since", "If-None-Match", "If-Range", "Range"):
        asked = {name: text} if name != "If-Range" else {name: text, "Range": "bytes=0-0"}
        assert fetch(files, "/file.txt", asked).status in (200, 206, 304)


@pytest.mark.parametrize(("condition", "status"), [
    ({"If-Match": "ETAG"}, 200), ({"If-Match": "*"}, 200),
    ({"If-Match": '"other"'}, 412), ({"If-Match": "W/ETAG"}, 412),
    ({"If-Unmodified-Since": MODIFIED_TEXT}, 200), ({"If-Unmodified-Since": hour(-1)}, 412),
    ({"If-Match": '"other"', "Range": "bytes=0-1"}, 412), ({"If-Match": "ETAG", "If-None-Match": "ETAG"}, 304),
])
@pytest.mark.parametrize("path", ["/file.txt", "/large.bin"])
def test_a_file_that_is_not_the_expected_one_is_412(files: StaticFiles, condition: dict[str, str], status: int,
                                                    path: str) -> None:
    known = fetch(files, path)
    known.close()
    etag = known.headers["ETag"]
    sent = {name: value.replace("ETAG", etag) for name, value in condition.items()}
    if status == 412:
        assert refused(files, path, sent).status == 412
    else:
        response = fetch(files, path, sent)
        response.close()
        assert response.status == status


def test_a_changed_file_has_another_tag_within_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    files = StaticFiles(tmp_path, clock=clock)
    (tmp_path / "x").write_text("one")
    first = fetch(files, "/x").headers["ETag"]
    (tmp_path / "x").write_text("another")
    assert fetch(files, "/x", {"If-None-Match": first}).status == 304
    clock.advance(RECHECK)
    assert content(fetch(files, "/x", {"If-None-Match": first})) == b"another"


def test_a_date_of_the_future_is_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for seconds in (time.time() + 9999, -5, 2**33):
        os.utime(tmp_path / "x", (seconds, seconds))
        said = parse_date(fetch(StaticFiles(tmp_path), "/x").headers["Last-Modified"])
        assert said is not None
        assert 0 <= said <= time.time()


# -- ranges


@pytest.mark.parametrize(("asked", "body", "content_range"), [
    ("bytes=0-0", b"0", "bytes 0-0/10"),
    ("bytes=2-4", b"234", "bytes 2-4/10"),
    ("bytes=7-", b"789", "bytes 7-9/10"),
    ("bytes=0-", b"0123456789", "bytes 0-9/10"),
    ("bytes=8-100", b"89", "bytes 8-9/10"),
    ("bytes=-3", b"789", "bytes 7-9/10"),
    ("bytes=-100", b"0123456789", "bytes 0-9/10"),
    ("bytes=009-0010", b"9", "bytes 9-9/10"),
    ("bytes=0-1,3-4", b"01234", "bytes 0-4/10"),
    ("bytes=0-,0-,0-", b"0123456789", "bytes 0-9/10"),
    ("bytes=3-4, 20-30", b"34", "bytes 3-4/10"),
    ("BYTES= 3-4 ", b"34", "bytes 3-4/10"),
])
def test_a_range_is_sent_as_206(files: StaticFiles, asked: str, body: bytes, content_range: str) -> None:
    response = fetch(files, "/file.txt", {"Range": asked})
    assert (response.status, content(response), response.headers["Content-Range"]) == (206, body, content_range)
    assert response.headers["ETag"] == headers_of(files)[0]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=999999-", "bytes=-0", "bytes=10-,20-30"])
def test_a_range_beyond_the_end_is_416_with_the_length(files: StaticFiles, asked: str) -> None:
    error = refused(files, "/file.txt", {"Range": asked})
    assert (error.status, error.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("asked", [
    "bytes=" + "0-0," * 16 + "5-5", "bytes=" + "0-," * 5000 + "0-", "bytes=" + "," * 16 + "0-0",
    "bytes=-", "bytes=", "bytes", "lines=0-1",
    "bytes=4-2",
    "bytes=a-b", "bytes=0-1;", "bytes=-1-2", "bytes=0x0-0x1", "bytes=" + "9" * 4000 + "-", "bytes=\xb2-\xb3",
])
def test_too_many_ranges_or_none_that_is_one_get_the_whole_file(files: StaticFiles, asked: str) -> None:
    response = fetch(files, "/file.txt", {"Range": asked})
    assert (response.status, content(response)) == (200, b"0123456789")
    assert "Content-Range" not in response.headers


def test_an_empty_file_has_no_ranges(files: StaticFiles) -> None:
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-5"):
        assert fetch(files, "/empty", {"Range": asked}).status == 200


def test_if_range_sends_the_whole_file_unless_it_is_the_one_the_client_knows(files: StaticFiles) -> None:
    etag, _ = headers_of(files)
    for condition, status in [(etag, 206), (MODIFIED_TEXT, 206), (hour(+1), 200),
                              ('"other"', 200), (f"W/{etag}", 200), (hour(-1), 200), ("", 200)]:
        response = fetch(files, "/file.txt", {"Range": "bytes=2-4", "If-Range": condition})
        assert (response.status, content(response)) == (status, b"234" if status == 206 else b"0123456789")


def test_a_range_by_date_is_not_sent_in_the_second_of_a_change(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 9110 §8.8.2.2: the client may have the first of two versions of one second.
    path = tmp_path / "a"
    path.write_bytes(b"second version")
    now = 1_700_000_000.5
    monkeypatch.setattr(time, "time", lambda: now)
    for age, status in ((0, 200), (60, 206)):
        os.utime(path, (now - age, now - age))
        asked = {"Range": "bytes=0-5", "If-Range": formatdate(now - age, usegmt=True)}
        assert fetch(StaticFiles(tmp_path), "/a", asked).status == status


def parts_of(response: Response) -> list[tuple[str, str, bytes]]:
    """Type, place and bytes of every part, as the standard library's mail parser reads them."""
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + content(response))
    assert message.is_multipart()
    assert not message.defects
    parts = []
    for part in message.walk():
        data = part.get_payload(decode=True)
        if part is not message:
            assert isinstance(data, bytes)
            parts.append((part["Content-Type"], part["Content-Range"], data))
    return parts


LARGE = bytes(range(256)) * 400


def test_several_ranges_are_sent_as_parts_in_the_order_asked_for(files: StaticFiles) -> None:
    response = fetch(files, "/large.bin", {"Range": "bytes=90000-90002,-3, 65-70 ,5-9"})
    assert response.status == 206
    assert "Content-Range" not in response.headers
    length = int(response.headers["Content-Length"])
    parts = parts_of(response)
    assert {kind for kind, _, _ in parts} == {"application/octet-stream"}
    assert [(place, data) for _, place, data in parts] == [
        ("bytes 90000-90002/102400", LARGE[90000:90003]), ("bytes 102397-102399/102400", LARGE[-3:]),
        ("bytes 5-70/102400", LARGE[5:71])]
    again = fetch(files, "/large.bin", {"Range": "bytes=0-69999,90000-"})
    assert [data for _, _, data in parts_of(again)] == [LARGE[:70000], LARGE[90000:]]
    response = fetch(files, "/large.bin", {"Range": "bytes=90000-90002,-3, 65-70 ,5-9"})
    assert len(content(response)) == length


def test_parts_of_a_small_file_come_from_memory(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(LARGE[:1000])
    response = fetch(StaticFiles(tmp_path), "/x.txt", {"Range": "bytes=0-9,900-"})
    assert parts_of(response) == [("text/plain; charset=utf-8", "bytes 0-9/1000", LARGE[:10]),
                                  ("text/plain; charset=utf-8", "bytes 900-999/1000", LARGE[900:1000])]


def test_head_is_not_asked_in_parts(files: StaticFiles) -> None:
    response = fetch(files, "/file.txt", {"Range": "bytes=2-4"}, "HEAD")  # RFC 9110 §14.2
    assert (response.status, content(response)) == (200, b"0123456789")


# -- nothing is left open


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to count open files in")
def test_no_answer_leaves_a_file_open(files: StaticFiles) -> None:
    etag, _ = headers_of(files)
    before = open_descriptors()
    fetch(files, "/file.txt")
    fetch(files, "/file.txt", {"If-None-Match": etag})
    refused(files, "/large.bin", {"Range": "bytes=9999999-"})
    refused(files, "/fifo")
    refused(files, "/large.bin", {"If-Match": '"other"'})
    fetch(files, "/large.bin", {"If-None-Match": "*"})
    fetch(files, "/large.bin", {"Range": "bytes=5-9"})
    fetch(files, "/large.bin").close()
    fetch(files, "/large.bin", {"Range": "bytes=0-0,9000-9000"}).close()
    assert open_descriptors() == before


# -- once with the world


def ask(port: int, method: str, target: str, headers: Any = None) -> tuple[int, dict[str, str], bytes]:
    client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        client.request(method, target, headers=headers or {})
        reply = client.getresponse()
        return reply.status, dict(reply.headers), reply.read()
    finally:
        client.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to count open files in")
def test_over_a_socket_files_come_whole_in_part_and_as_heads(files: StaticFiles) -> None:
    large = bytes(range(256)) * 400
    before = open_descriptors()
    with Server(files).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        status, headers, body = ask(port, "GET", "/large.bin")
        assert (status, body, headers["Content-Length"]) == (200, large, str(len(large)))
        status, headers, body = ask(port, "HEAD", "/large.bin")
        assert (status, body, headers["Content-Length"]) == (200, b"", str(len(large)))
        status, headers, body = ask(port, "GET", "/large.bin", {"Range": "bytes=1000-101999"})
        assert (status, body, headers["Content-Range"]) == (206, large[1000:102000], "bytes 1000-101999/102400")
        status, headers, body = ask(port, "GET", "/large.bin", {"If-None-Match": headers["ETag"]})
        assert (status, body) == (304, b"")
        assert ask(port, "GET", "/fifo")[0] == 404
        assert ask(port, "GET", "/../secret.txt")[0] == 404
        assert ask(port, "POST", "/file.txt")[0] == 405
        assert ask(port, "GET", "/file.txt")[2] == b"0123456789"
    assert open_descriptors() == before


def test_a_directory_may_vanish_while_it_is_served(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    files = StaticFiles(root, listing=True)
    shutil.rmtree(root)
    request: Request = request_for_path("/")
    with pytest.raises(HTTPError, match="404"):
        files(request)


def test_a_file_that_cannot_be_opened_just_now_is_not_said_to_be_missing(
        files: StaticFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("evloop_http.app.static.files.os.open", exhausted)
    for path in ("/large.bin", "/sub/../file.txt", "//sub//page.html"):
        error = refused(StaticFiles(files._root.path), path)
        assert (error.status, error.headers.get("Retry-After")) == ((404, None) if ".." in path else (503, "1"))


@pytest.mark.parametrize("name", ["x", "x.gz", "404.html", "index.html"])
def test_nothing_stands_for_what_cannot_be_opened_just_now(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def exhausted(path: str, *arguments: int) -> int:
        if os.path.basename(path) == name:
            raise OSError(errno.EMFILE, "Too many open files")
        return opens(path, *arguments)

    for known in ("x", "x.gz", "404.html", "index.html"):
        (tmp_path / known).write_text(known)
    opens = os.open
    files = StaticFiles(tmp_path, precompressed=True, not_found="404.html", fallback="index.html")
    monkeypatch.setattr("evloop_http.app.static.files.os.open", exhausted)
    path, accepted = {"404.html": ("/y", "*/*"), "index.html": ("/y", "text/html")}.get(name, ("/x", "text/html"))
    assert refused(files, path, {"Accept": accepted, "Accept-Encoding": "gzip"}).status == 503


# -- compressed copies beside the file


@pytest.fixture
def compressed(tmp_path: Path) -> Path:
    for name, data in {"x.css": b"plain", "x.css.gz": b"gz", "x.css.br": b"br", "y.css": b"plain", "y.css.gz": b"gz",
                       "z.css": b"plain"}.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (MODIFIED, MODIFIED))
    return tmp_path


@pytest.mark.parametrize(("accepted", "x", "y"), [
    ("gzip, deflate, br", b"br", b"gz"), ("gzip", b"gz", b"gz"), ("br", b"br", b"plain"), ("*", b"br", b"gz"),
    ("br;q=0, gzip", b"gz", b"gz"), ("br;q=0.5, gzip;q=0.8", b"gz", b"gz"), ("gzip;q=0", b"plain", b"plain"),
    ("*;q=0", b"plain", b"plain"), ("identity, gzip;q=0.5", b"plain", b"plain"), ("*, br;q=0", b"gz", b"gz"),
    ("identity;q=0, *", b"br", b"gz"), ("deflate", b"plain", b"plain"), ("", b"plain", b"plain"),
    ("GZIP;Q=1", b"gz", b"gz"), ("a," * 2000 + "gzip", b"gz", b"gz"),
])
def test_a_compressed_copy_goes_to_who_accepts_it(compressed: Path, accepted: str, x: bytes, y: bytes) -> None:
    files = StaticFiles(compressed, precompressed=True)
    for path, expected in (("/x.css", x), ("/y.css", y), ("/z.css", b"plain")):
        response = fetch(files, path, {"Accept-Encoding": accepted})
        assert content(response) == expected
        assert response.headers["Content-Type"] == "text/css; charset=utf-8"
        assert response.headers.get("Content-Encoding") == {b"br": "br", b"gz": "gzip"}.get(expected)
        assert response.headers.get("Vary") == (None if path == "/z.css" else "Accept-Encoding")


def test_every_copy_has_its_own_tag_and_its_own_304(compressed: Path) -> None:
    files = StaticFiles(compressed, precompressed=True)
    tags = {accepted: fetch(files, "/x.css", {"Accept-Encoding": accepted}).headers["ETag"]
            for accepted in ("", "gzip", "br")}
    assert len(set(tags.values())) == 3
    for accepted in tags:
        for other, tag in tags.items():
            response = fetch(files, "/x.css", {"Accept-Encoding": accepted, "If-None-Match": tag})
            assert response.status == (304 if accepted == other else 200)
            assert response.headers["Vary"] == "Accept-Encoding"


def test_parts_are_those_of_the_file_and_never_of_a_copy(compressed: Path) -> None:
    files = StaticFiles(compressed, precompressed=True)
    plain, packed = (fetch(files, "/x.css", {"Accept-Encoding": accepted}).headers["ETag"] for accepted in ("", "br"))
    for tag, status, body in ((plain, 206, b"pl"), (packed, 200, b"plain")):
        response = fetch(files, "/x.css", {"Accept-Encoding": "br", "Range": "bytes=0-1", "If-Range": tag})
        assert (response.status, content(response)) == (status, body)
        assert "Content-Encoding" not in response.headers


def test_a_copy_is_not_used_unless_asked_for_nor_when_it_is_older_or_leads_out(compressed: Path) -> None:
    assert content(fetch(StaticFiles(compressed), "/x.css", {"Accept-Encoding": "br"})) == b"plain"
    os.utime(compressed / "x.css.br", (MODIFIED - 1, MODIFIED - 1))
    (compressed / "z.css.br").symlink_to(__file__)
    files = StaticFiles(compressed, precompressed=True)
    assert content(fetch(files, "/x.css", {"Accept-Encoding": "br, gzip;q=0.1"})) == b"gz"
    assert content(fetch(files, "/z.css", {"Accept-Encoding": "br"})) == b"plain"


def test_a_copy_has_the_type_of_its_file_also_behind_links(compressed: Path) -> None:
    (compressed / "named").symlink_to("y.css")
    (compressed / "named.gz").symlink_to("y.css.gz")
    for accepted in ("", "gzip"):
        response = fetch(StaticFiles(compressed, precompressed=True), "/named", {"Accept-Encoding": accepted})
        assert response.headers["Content-Type"] == "text/css; charset=utf-8"


def test_a_copy_that_comes_or_goes_is_noticed(compressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evloop_http.app.static.files.SETTLED", -9999.0)  # or the files are too young to trust
    clock = FakeClock()
    files = StaticFiles(compressed, precompressed=True, clock=clock)
    asked = {"Accept-Encoding": "br"}
    assert content(fetch(files, "/z.css", asked)) == b"plain"
    (compressed / "z.css.br").write_bytes(b"br")
    clock.advance(RECHECK)
    assert content(fetch(files, "/z.css", asked)) == b"br"
    (compressed / "z.css.br").unlink()
    clock.advance(RECHECK)
    assert content(fetch(files, "/z.css", asked)) == b"plain"


def test_a_large_copy_goes_by_the_kernel_too(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "x.gz").write_bytes(LARGE)
    response = fetch(StaticFiles(tmp_path, precompressed=True), "/x", {"Accept-Encoding": "gzip"})
    assert isinstance(response.body, FileBody)
    assert (content(response), response.headers["Content-Encoding"]) == (LARGE, "gzip")


# -- hidden names and links


def test_hidden_names_are_shown_only_by_name(tmp_path: Path) -> None:
    for name in (".well-known", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    (tmp_path / ".well-known" / ".env").write_bytes(SECRET)
    files = StaticFiles(tmp_path, dotfiles=".well-known", listing=True)
    assert content(fetch(files, "/.well-known/x")) == b"x"
    for path in ("/.git/x", "/.well-known/.env", "/.well-known/../.git/x", "/.", "/..", "/.well-known/."):
        assert refused(files, path).status == 404
    assert names_in(fetch(files, "/")) == [(".well-known/", ".well-known/")]
    for bad in (".", "..", "x", ".a/b", "", ".a\\b"):
        with pytest.raises(ValueError, match="dotfiles"):
            StaticFiles(tmp_path, dotfiles=[bad])


def test_links_lead_out_only_if_that_is_allowed(site: Path) -> None:
    for path in ("/link out", "/dir out/secret.txt", "/link to sibling/secret.txt"):
        assert refused(StaticFiles(site), path).status == 404
        assert content(fetch(StaticFiles(site, follow_symlinks=True), path)) == SECRET
    follows = StaticFiles(site, follow_symlinks=True)
    for path in ("/../secret.txt", "/dir out/../secret.txt", "/circle", "/dangling", "/fifo", "/.hidden"):
        assert refused(follows, path).status == 404


def test_a_link_that_is_moved_is_noticed_even_if_it_then_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, data in (("root/..one", b"one"), ("root/..two", b"two"), ("outside", SECRET)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_bytes(data)
        (tmp_path / name / "large").write_bytes(data * 30_000)
    (root / "now").symlink_to("..one")  # as Kubernetes mounts what may change
    (root / "x").symlink_to("now/x")
    (root / "large").symlink_to("now/large")
    clock = FakeClock()
    files = StaticFiles(root, clock=clock)
    assert content(fetch(files, "/x")) == b"one"
    assert content(fetch(files, "/large")) == b"one" * 30_000
    (root / "now").unlink()
    (root / "now").symlink_to("..two")
    clock.advance(RECHECK)
    assert content(fetch(files, "/x")) == b"two"
    assert content(fetch(files, "/large")) == b"two" * 30_000
    (root / "now").unlink()
    (root / "now").symlink_to("../outside")
    clock.advance(RECHECK)
    assert refused(files, "/x").status == 404
    assert refused(files, "/large").status == 404


def test_a_directory_that_becomes_a_link_out_is_noticed_before_a_large_file_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for place, data in ((root / "sub", b"x"), (tmp_path / "outside", SECRET)):
        place.mkdir(parents=True)
        (place / "large").write_bytes(data * 100_000)
    files = StaticFiles(root, clock=FakeClock())
    fetch(files, "/sub/large").close()
    (root / "sub").rename(root / "old")
    (root / "sub").symlink_to("../outside")
    assert refused(files, "/sub/large").status == 404


# -- labels


def test_a_type_may_be_given_for_a_suffix(tmp_path: Path) -> None:
    types = {".x": "text/x", ".TAR.GZ": "application/gzip", ".html": "text/html"}
    files = StaticFiles(tmp_path, types=types)
    for name, kind in (("a.x", "text/x"), ("a.X", "text/x"), ("a.tar.gz", "application/gzip"), ("a.html", "text/html"),
                       ("a.js", "text/javascript; charset=utf-8"), ("a.woff2", "font/woff2"),
                       ("x", "application/octet-stream"), ("a.br", "application/octet-stream")):
        (tmp_path / name).touch()
        assert fetch(files, f"/{name}").headers["Content-Type"] == kind
    for bad in ({"x": "text/x"}, {".x": "a\r\nb"}, {".a/b": "x"}):
        with pytest.raises(ValueError, match=r"suffixes|header"):
            StaticFiles(tmp_path, types=bad)


def test_names_that_match_a_pattern_never_change(tmp_path: Path) -> None:
    (tmp_path / "fonts").mkdir()
    files = StaticFiles(tmp_path, max_age=60, immutable=["*.[0-9a-f]*.css", "fonts/*"])
    for name, kept in (("a.3f2a.css", True), ("a.css", False), ("fonts/x", True), ("a.3f2a.css.map", False)):
        (tmp_path / name).touch()
        expected = "public, max-age=31536000, immutable" if kept else "max-age=60"
        response = fetch(files, f"/{name}")
        assert response.headers["Cache-Control"] == expected
        again = fetch(files, f"/{name}", {"If-None-Match": response.headers["ETag"]})
        assert (again.status, again.headers["Cache-Control"]) == (304, expected)
    with pytest.raises(ValueError, match="max_age"):
        StaticFiles(tmp_path, max_age=-1)


# -- in the place of what is not there


@pytest.fixture
def spa(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("app")
    (tmp_path / "404.html").write_text("lost")
    (tmp_path / "assets").mkdir()
    return tmp_path


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_a_page_may_be_sent_where_there_is_no_file(spa: Path) -> None:
    files = StaticFiles(spa, not_found="404.html", max_age=60)
    for path in ("/x", "/x/y.css", "/../x", "/.git/config", "/assets/"):
        response = fetch(files, path, {"If-None-Match": "*", "Range": "bytes=0-1"})
        assert (response.status, content(response)) == (404, b"lost")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert {"etag", "last-modified", "accept-ranges"}.isdisjoint(name.lower() for name in response.headers)
    assert refused(files, "/x", method="POST").status == 405
    assert fetch(files, "/404.html").status == 200


def test_a_large_page_may_stand_for_what_is_not_there_and_may_vanish_itself(spa: Path) -> None:
    (spa / "404.html").write_bytes(LARGE)
    files = StaticFiles(spa, not_found="404.html", clock=(clock := FakeClock()))
    response = fetch(files, "/x")
    assert (response.status, content(response)) == (404, LARGE)
    (spa / "404.html").unlink()
    clock.advance(RECHECK)
    assert refused(files, "/x").status == 404


def test_a_single_page_application_answers_for_its_paths(spa: Path) -> None:
    files = StaticFiles(spa, fallback="index.html", not_found="404.html")
    for path in ("/users/1", "/x", "/assets/", "/assets/y", "/x/"):
        response = fetch(files, path, BROWSER)
        assert (response.status, content(response), response.headers["Vary"]) == (200, b"app", "Accept")
        assert fetch(files, path, {**BROWSER, "If-None-Match": response.headers["ETag"]}).status == 304
    refusals: list[tuple[str, dict[str, str]]] = [
        ("/x.css", BROWSER), ("/x", {}), ("/x", {"Accept": "*/*"}), ("/x", {"Accept": "application/json"}),
        ("/x", {"Accept": "text/html;q=0, */*"}), ("/x", {"Accept": "text/plain, */*"}), ("/x.y/z.", BROWSER),
        ("/.git/config", BROWSER), ("/../x", BROWSER), ("/x\\y", BROWSER), ("/x\0", BROWSER)]
    for path, headers in refusals:
        assert fetch(files, path, headers).status == 404
    assert "Vary" not in fetch(files, "/index.html").headers


def test_where_the_page_of_an_application_has_vanished_there_is_the_other_one(spa: Path) -> None:
    files = StaticFiles(spa, fallback="index.html", not_found="404.html")
    (spa / "index.html").unlink()
    response = fetch(files, "/x", BROWSER)
    assert (response.status, content(response)) == (404, b"lost")


def test_a_page_that_is_not_there_is_a_mistake(spa: Path) -> None:
    for bad in ("nowhere.html", "assets", "../x", ".hidden"):
        with pytest.raises(ValueError, match="there is no file"):
            StaticFiles(spa, not_found=bad)
        with pytest.raises(ValueError, match="there is no file"):
            StaticFiles(spa, fallback=bad)
    with pytest.raises(ValueError, match="the index"):
        StaticFiles(spa, index="../x")
    assert refused(StaticFiles(spa, index=""), "/").status == 404


# -- what is remembered


def test_a_file_asked_for_again_hands_out_the_same_fields_and_bytes(files: StaticFiles) -> None:
    first, second = fetch(files, "/file.txt"), fetch(files, "/file.txt")
    assert first.final_fields() is second.final_fields()
    assert first.body is second.body
    first.headers["X"] = "of this answer only"
    assert "X" not in fetch(files, "/file.txt").headers


def test_an_index_that_is_remembered_still_redirects_who_lacks_the_slash(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("index")
    app = App()
    app.mount("/docs", StaticFiles(tmp_path))
    for _ in range(2):
        assert answer(app, make_request("GET", "/docs/")).status == 200
        assert answer(app, make_request("GET", "/docs")).status == 301
    assert answer(app, make_request("POST", "/docs/")).status == 405


def test_other_spellings_of_a_path_are_not_remembered(site: Path) -> None:
    files = StaticFiles(site)
    for slashes in range(1, 50):
        assert content(fetch(files, "/" * slashes + "sub//page.html")) == b"<p>page"
    assert len(files._cache) == 1


def test_nothing_is_remembered_where_there_is_no_room(site: Path) -> None:
    files = StaticFiles(site, cache_bytes=0)
    assert content(fetch(files, "/file.txt")) == content(fetch(files, "/file.txt")) == b"0123456789"
    assert len(files._cache) == 0


def test_a_large_file_that_was_replaced_is_what_its_head_says_even_within_the_second(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LARGE)
    files = StaticFiles(tmp_path, clock=FakeClock())
    old = fetch(files, "/x")
    (tmp_path / "new").write_bytes(LARGE + b"more")
    (tmp_path / "new").replace(tmp_path / "x")
    new = fetch(files, "/x", {"If-None-Match": old.headers["ETag"]})
    assert (new.status, content(new)) == (200, LARGE + b"more")
    assert content(old) == LARGE
    (tmp_path / "x").unlink()
    assert refused(files, "/x").status == 404


# -- a file that changes while it is sent


def test_a_part_that_is_not_there_any_more_is_not_sent_short() -> None:
    with pytest.raises(HTTPError, match="503"):
        _part(io.BytesIO(b"short"), Range(0, 10))


class Download:
    """A raw connection that has sent a request, and reads slowly."""

    def __init__(self, port: int, headers: str = "") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.sendall(f"GET /huge HTTP/1.1\r\nHost: h\r\n{headers}\r\n".encode())
        self.file = self.sock.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            assert line
            head += line
        [length] = re.findall(rb"Content-Length: ([0-9]+)", head)
        self.announced = int(length)

    def rest(self, most: int) -> int:
        """How many bytes come until the connection is closed, or `most` have come."""
        count = 0
        try:
            while count < most and (data := self.file.read(min(1 << 20, most - count))):
                count += len(data)
        except ConnectionResetError:
            pass
        self.file.close()
        self.sock.close()
        return count


HUGE = 64 << 20


@pytest.mark.parametrize("headers", ["", "Range: bytes=1-\r\n", "Range: bytes=0-0,99-30000000,40000000-60000000\r\n"])
def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(tmp_path: Path, headers: str) -> None:
    (tmp_path / "small").write_text("still here")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(HUGE)
    with Server(StaticFiles(tmp_path)).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        download = Download(port, headers)
        os.truncate(tmp_path / "huge", 1000)
        assert download.rest(HUGE * 2) < download.announced
        assert ask(port, "GET", "/small")[2] == b"still here"
        status, sent, body = ask(port, "GET", "/huge")
        assert (status, sent["Content-Length"], len(body)) == (200, "1000", 1000)


def test_a_file_that_vanishes_or_is_replaced_while_it_is_sent_comes_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(HUGE)
    with Server(StaticFiles(tmp_path)).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        download = Download(port)
        (tmp_path / "huge").unlink()
        (tmp_path / "huge").write_text("another")
        assert download.rest(download.announced) == HUGE
        assert ask(port, "GET", "/huge")[2] == b"another"
