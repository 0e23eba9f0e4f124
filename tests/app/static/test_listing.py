"""The page of a directory: what would be served, escaped, readable."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asking import content
from evloop_http import HTTPError
from evloop_http.app.static import listing
from evloop_http.app.static.listing import Listed, _row, format_size, list_directory
from evloop_http.app.static.paths import Root, is_innocent


def rows(root: Path, follow_symlinks: bool = False) -> list[list[str]]:
    """The text of every row."""
    page = content(list_directory(Root(root, follow_symlinks=follow_symlinks), str(root), "/")).decode()
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
    response = list_directory(Root(tmp_path), str(tmp_path), "/</title><script>alert(1)</script>&\"'")
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
        text = content(list_directory(Root(tmp_path), str(tmp_path), "/")).decode()
        assert text.count("<tr><td>") == min(count + 1, 5)
        assert ("Only 5 names are shown" in text) == (count >= 5)


def test_a_directory_that_cannot_be_read_is_404(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for place in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(HTTPError, match="404"):
            list_directory(root, str(place), "/")


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
