"""The page of a directory: what would be served, escaped, readable."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asking import answer, content, make_request
from evloop_http import HTTPError, Response, StaticFiles
from evloop_http.app.static import listing
from evloop_http.app.static.files import RECHECK, SMALL_FILE
from evloop_http.app.static.listing import Listed, Listings, _row, format_size
from evloop_http.app.static.paths import Root, is_innocent


def listed(root: Path, title: str = "/", follow_symlinks: bool = False) -> Response:
    """The page of a root that nobody has asked for before."""
    return Listings(Root(root, follow_symlinks=follow_symlinks), 0).page(str(root), title)


def rows(root: Path, follow_symlinks: bool = False) -> list[list[str]]:
    """The text of every row."""
    page = content(listed(root, follow_symlinks=follow_symlinks)).decode()
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall("<td>(.*?)</td>", line)] for line in body.splitlines()
            if line]


def test_a_row_has_name_size_and_date_and_directories_go_first(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "b").write_bytes(bytes(4096))
    (tmp_path / "A").write_bytes(bytes(5))
    for name in ("zoo", "b", "A"):
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    date = "2023-11-14 22:13"
    assert rows(tmp_path) == [["zoo/", "", date], ["A", "5 B", date], ["b", "4.0 KiB", date]]


def test_only_what_would_be_served_is_shown(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_text("x")
    for name in ("shown", ".hidden", "back\\slash", "a:b", "line\nend"):
        (root / name).touch()
    os.mkfifo(root / "fifo")
    for name, target in (("in", "shown"), ("out", "../outside"), ("circle", "circle"), ("dangling", "nowhere")):
        (root / name).symlink_to(target)
    assert [row[0] for row in rows(root)] == ["in", "shown"]
    assert [row[0] for row in rows(root, follow_symlinks=True)] == ["in", "out", "shown"]


def test_a_page_has_no_script_fetches_nothing_and_says_so(tmp_path: Path) -> None:
    response = listed(tmp_path, "/</title><script>alert(1)</script>&\"'")
    page = content(response).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|url|@import|http)", page.replace("<meta", ""))
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-cache"
    assert '<meta name="color-scheme" content="light dark">' in page


def test_a_long_listing_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LISTED", 5)
    for count in range(7):
        (tmp_path / str(count)).touch()
        text = content(listed(tmp_path)).decode()
        assert text.count("<tr><td>") == min(count + 1, 5)
        assert ("only 5 names of this directory were read, and there are more" in text) == (count >= 5)


def test_hidden_names_count_as_read_so_that_they_cannot_make_a_page_expensive(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LISTED", 5)
    for count in range(7):
        (tmp_path / f".{count}").touch()
    text = content(listed(tmp_path)).decode()
    assert text.count("<tr><td>") == 0
    assert "only 5 names of this directory were read" in text


def test_links_are_followed_up_to_a_number_and_the_page_says_so(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LINKS", 3)
    (tmp_path / "file").touch()
    for count in range(5):
        (tmp_path / f"link{count}").symlink_to("file")
        text = content(listed(tmp_path)).decode()
        assert text.count("<tr><td>") == 1 + min(count + 1, 3)
        assert ("Only 3 symbolic links of this directory are shown" in text) == (count >= 3)


def test_a_directory_that_cannot_be_read_is_404(tmp_path: Path) -> None:
    listings = Listings(Root(tmp_path), 0)
    for place in (tmp_path / "nowhere", Path(__file__)):
        for head_only in (False, True):
            with pytest.raises(HTTPError, match="404"):
                listings.page(str(place), "/", head_only=head_only)


# -- what a page costs


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Work:
    """How often something expensive was done since this was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = self.scans = self.real_paths = self.stats = 0
        self._count(monkeypatch, listing, "_row", "rows")
        self._count(monkeypatch, os, "scandir", "scans")
        self._count(monkeypatch, os.path, "realpath", "real_paths")
        self._count(monkeypatch, os, "stat", "stats")

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, counter: str) -> None:
        function: Callable[..., object] = getattr(owner, name)

        def counting(*arguments: object, **options: object) -> object:
            setattr(self, counter, getattr(self, counter) + 1)
            return function(*arguments, **options)
        monkeypatch.setattr(owner, name, counting)


def test_a_head_makes_no_page_and_says_what_a_get_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / str(number)).touch()
    files, work = StaticFiles(tmp_path, listing=True), Work(monkeypatch)
    for _ in range(64):
        response = answer(files, make_request("HEAD", "/"))
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert content(response) == b""
    assert work.rows == 0
    assert work.stats < 64 * 5  # of the directory, never of what is in it
    got = answer(files, make_request("GET", "/"))
    assert got.headers.pairs() == response.headers.pairs()


def test_a_page_asked_for_again_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / str(number)).touch()
    clock = Clock()
    files, work = StaticFiles(tmp_path, listing=True, clock=clock), Work(monkeypatch)
    pages = [content(answer(files, make_request("GET", "/" + "/" * slashes))) for slashes in range(30)]
    assert len({page.partition(b"<tbody>")[2] for page in pages}) == 1
    assert len(set(pages)) == 30  # each has the path in its title, by which it was asked for
    assert (work.rows, work.scans) == (50, 1)


def test_only_links_are_resolved_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / str(number)).touch()
    (tmp_path / "link").symlink_to("1")
    root, work = Root(tmp_path), Work(monkeypatch)
    Listings(root, 0).page(root.path, "/")
    assert (work.rows, work.real_paths) == (51, 1)
    assert work.stats == 2  # of the directory, and of what the link leads to


def test_a_name_that_comes_or_goes_shows_at_once(tmp_path: Path) -> None:
    listings = Listings(Root(tmp_path), 1 << 20, Clock())
    (tmp_path / "a").touch()
    assert b">a<" in content(listings.page(str(tmp_path), "/"))
    (tmp_path / "b").touch()
    os.utime(tmp_path, (1, 1))  # within one tick of the file system's clock the directory may look the same
    assert b">b<" in content(listings.page(str(tmp_path), "/"))
    (tmp_path / "a").unlink()
    os.utime(tmp_path, (2, 2))
    assert b">a<" not in content(listings.page(str(tmp_path), "/"))


def test_a_file_that_grows_without_its_directory_shows_when_the_page_is_a_second_old(tmp_path: Path) -> None:
    clock = Clock()
    listings = Listings(Root(tmp_path), 1 << 20, clock)
    (tmp_path / "a").write_bytes(bytes(5))
    assert b">5 B<" in content(listings.page(str(tmp_path), "/"))
    (tmp_path / "a").write_bytes(bytes(7))
    assert b">5 B<" in content(listings.page(str(tmp_path), "/"))
    clock.now += RECHECK
    assert b">7 B<" in content(listings.page(str(tmp_path), "/"))


def test_what_is_remembered_of_pages_is_bounded_in_bytes(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / ("x" * 200)).touch()
    listings = Listings(Root(tmp_path), 10_000, Clock())
    for number in range(40):
        listings.page(str(tmp_path / str(number)), "/")
    assert 0 < listings._cache.weight <= 10_000


def test_a_long_page_comes_in_pieces_of_the_length_that_was_announced(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number:03}{'x' * 100}").touch()
    listings = Listings(Root(tmp_path), 1 << 20)
    response = listings.page(str(tmp_path), "/")
    assert not isinstance(response.body, bytes)
    page = content(response)
    assert len(page) == int(response.headers["Content-Length"]) > SMALL_FILE
    assert page.count(b"<tr><td>") == 600
    assert page.endswith(b"</html>\n")
    # Once the page is there, a HEAD knows how long it is.
    head = listings.page(str(tmp_path), "/", head_only=True)
    assert head.headers["Content-Length"] == response.headers["Content-Length"]


@pytest.mark.parametrize(("size", "text"), [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (100 * 1024, "100 KiB"),
    (1000 * 1024, "1.0 MiB"), (5 << 30, "5.0 GiB"), (1 << 50, "1.0 PiB"), (1 << 62, "4096 PiB"),
])
def test_a_size_is_told_in_a_few_digits(size: int, text: str) -> None:
    assert format_size(size) == text


def test_a_date_beyond_the_calendar_is_left_out() -> None:
    for seconds in (1e18, -1e18, float("nan")):
        assert "<time" not in _row(Listed("x", False, 1, seconds))


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.text(min_size=1).filter(is_innocent))
def test_any_name_is_one_link_to_itself(name: str) -> None:
    parser = Links()
    parser.feed(_row(Listed(name, False, 1, 0)))
    assert parser.tags == ["tr", "td", "a", "td", "td", "time"]
    [link] = parser.links
    assert unquote(link) == name
    assert re.fullmatch(r"[A-Za-z0-9_.\-~%]+", link)
    assert name.replace("\r", "\n") in parser.text.replace("\r", "\n")
