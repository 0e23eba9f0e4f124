"""Files of a directory: no path leaves it, only what is needed is sent, and nothing blocks."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import time
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
from evloop_http.app.static import SMALL_FILE

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
    "/%00", "/file.txt%00.html", "/%c0%ae%c0%ae/secret.txt", "/%ff", "/%252e%252e/secret.txt", "/..%252fsecret.txt",
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
                           "~", "C:", "..\\", "\0", "%2e%2e", ".hidden"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(_PIECES | st.text(max_size=8), max_size=8), st.sampled_from(["/", "\\", "//"]), st.booleans())
def test_no_path_resolves_outside_of_the_root(site: Path, pieces: list[str], separator: str, listing: bool) -> None:
    files = StaticFiles(site, listing=listing)
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


def test_a_mount_without_its_slash_is_redirected_too_so_that_relative_links_hold(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="other.html">')
    app = App()
    app.mount("/docs", StaticFiles(tmp_path))
    assert answer(app, make_request("GET", "/docs")).headers["Location"] == "./docs/"
    assert answer(app, make_request("GET", "/docs/")).status == 200


def names_in(response: Response) -> list[tuple[str, str]]:
    return re.findall(r'<li><a href="([^"]*)">([^<]*)</a></li>', content(response).decode())


def test_a_listing_is_made_only_when_asked_for_and_shows_what_is_served(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "A.txt", ".hidden", "back\\slash", "a:b", "sub/x"):
        (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"not-\xff-utf8")).touch()
    (tmp_path / "circle").symlink_to("circle")
    assert refused(StaticFiles(tmp_path), "/").status == 404
    listed = fetch(StaticFiles(tmp_path, listing=True), "/")
    assert listed.headers["Content-Type"] == "text/html; charset=utf-8"
    assert [href for href, _ in names_in(listed)] == ["sub/", "A.txt", "b.txt", "circle"]
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


def test_a_changed_file_has_another_tag(tmp_path: Path) -> None:
    files = StaticFiles(tmp_path)
    (tmp_path / "x").write_text("one")
    first = fetch(files, "/x").headers["ETag"]
    (tmp_path / "x").write_text("another")
    assert fetch(files, "/x", {"If-None-Match": first}).status == 200


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
])
def test_a_range_is_sent_as_206(files: StaticFiles, asked: str, body: bytes, content_range: str) -> None:
    response = fetch(files, "/file.txt", {"Range": asked})
    assert (response.status, content(response), response.headers["Content-Range"]) == (206, body, content_range)
    assert response.headers["ETag"] == headers_of(files)[0]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416_with_the_length(files: StaticFiles, asked: str) -> None:
    error = refused(files, "/file.txt", {"Range": asked})
    assert (error.status, error.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("asked", [
    "bytes=0-1,3-4", "bytes=0-,0-,0-", "bytes=" + "0-," * 5000 + "0-", "bytes=-", "bytes=", "bytes", "lines=0-1",
    "bytes=4-2",
    "bytes=a-b", "bytes=0-1;", "bytes=-1-2", "bytes=0x0-0x1", "bytes=" + "9" * 4000 + "-", "bytes=\xb2-\xb3",
])
def test_several_ranges_or_none_that_is_one_get_the_whole_file(files: StaticFiles, asked: str) -> None:
    response = fetch(files, "/file.txt", {"Range": asked})
    assert (response.status, content(response)) == (200, b"0123456789")
    assert "Content-Range" not in response.headers


def test_an_empty_file_has_no_ranges(files: StaticFiles) -> None:
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-5"):
        assert fetch(files, "/empty", {"Range": asked}).status == 200


def test_if_range_sends_the_whole_file_unless_it_is_the_one_the_client_knows(files: StaticFiles) -> None:
    etag, _ = headers_of(files)
    for condition, status in [(etag, 206), ('"other"', 200), (f"W/{etag}", 200), (hour(-1), 200), ("", 200)]:
        response = fetch(files, "/file.txt", {"Range": "bytes=2-4", "If-Range": condition})
        assert (response.status, content(response)) == (status, b"234" if status == 206 else b"0123456789")


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
    fetch(files, "/large.bin").close()
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

    monkeypatch.setattr("evloop_http.app.static.os.open", exhausted)
    error = refused(files, "/file.txt")
    assert (error.status, error.headers["Retry-After"]) == (503, "1")
