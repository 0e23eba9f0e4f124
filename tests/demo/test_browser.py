"""A real browser visits the demo site: Debian's chromium, without a window, driven through chromedriver.

It sees what no other client looks for: a style that the page's own policy forbids, a file that does not
load, a form that does not reach its handler, a request to somebody else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asking import PATIENCE
from serving_demo import Site, serve_demo

pytest.importorskip("jinja2", reason="the 'demo' extra is not installed")
pytest.importorskip("ua_parser", reason="the 'demo' extra is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is not installed")

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--no-proxy-server", "--window-size=1280,900",
         "--force-prefers-reduced-motion"]  # a click may come while the page still scrolls to what is clicked


@pytest.fixture(scope="module")
def site(certificate: tuple[Path, Path]) -> Iterator[Site]:
    with serve_demo(certificate) as site:
        yield site


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.accept_insecure_certs = True  # a development certificate is self-signed
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.set_page_load_timeout(PATIENCE)
        yield driver
    finally:
        driver.quit()


class Visit:
    """What the browser sees of the site at one address."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url
        self.asked: list[str] = []
        self.statuses: dict[str, int] = {}

    def open(self, target: str) -> None:
        self.driver.get(self.url + target)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait until it is there."""
        from selenium.webdriver.support.ui import WebDriverWait
        page = self.find("html")
        self.find(selector).click()
        wait = WebDriverWait(self.driver, PATIENCE, 0.02)
        wait.until(lambda driver: driver.find_element("css selector", "html") != page)
        wait.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def wait_for(self, selector: str, holds: Callable[[str], bool]) -> str:
        """The text of an element as soon as something holds of it."""
        from selenium.webdriver.support.ui import WebDriverWait

        def text(driver: Any) -> str:
            shown = str(self.find(selector).text)
            return shown if holds(shown) else ""
        return str(WebDriverWait(self.driver, PATIENCE, 0.05).until(text))

    def fill(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    @property
    def title(self) -> str:
        return str(self.driver.title)

    @property
    def text(self) -> str:
        return str(self.find("body").text)

    def note_requests(self) -> None:
        """Take the requests since the last time out of the browser's log."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.responseReceived":
                response = message["params"]["response"]
                self.statuses[response["url"]] = response["status"]

    def complaints(self) -> list[str]:
        """What the browser has written to its console, but of pages that are meant to fail."""
        said = [str(entry["message"]) for entry in self.driver.get_log("browser")]
        meant = tuple(f"{self.url}{target} - Failed to load resource" for target in ("/nowhere", "/panic", "/login"))
        return [line for line in said if not line.startswith(meant)]


@pytest.fixture(params=["http", "https"])
def visit(request: pytest.FixtureRequest, driver: Any, site: Site) -> Iterator[Visit]:
    """A visit that ends without a word on the console and without a request to anybody else."""
    visit = Visit(driver, site.plain if request.param == "http" else site.secure)
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})  # cookies know no ports, nor https from http
    for log in ("browser", "performance"):
        driver.get_log(log)
    yield visit
    visit.note_requests()
    assert visit.complaints() == []
    assert {urlsplit(url)[:2] for url in visit.asked} == {urlsplit(visit.url)[:2]}


def test_the_home_page_is_whole_with_its_style_and_its_pictures(visit: Visit) -> None:
    visit.open("/")
    assert visit.title == "evloop_http: a web server to look into"
    assert "GET / HTTP/1.1" in visit.find("pre.wire").text
    assert "with Chrome" in visit.text or "with HeadlessChrome" in visit.text
    assert ("HTTPS" if visit.url.startswith("https") else "plain HTTP") in visit.find("footer").text
    assert visit.driver.execute_script("return document.styleSheets[0].cssRules.length") > 10
    assert visit.driver.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")
    visit.note_requests()
    assert visit.statuses[f"{visit.url}/static/site.css"] == 200
    assert visit.statuses[f"{visit.url}/static/favicon.svg"] == 200


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(visit: Visit, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    visit.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for target in ("/", "/welcome?name=" + "x" * 200, "/login", "/nowhere", "/clock", "/chat", "/upload",
                       "/tour/", "/tour/days/2024-02-29", "/tour/ways/" + "x" * 200, "/files/"):
            visit.open(target)
            assert visit.driver.execute_script("return document.documentElement.scrollWidth") <= width, target
    finally:
        visit.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_links_and_the_back_button_lead_around_the_site(visit: Visit) -> None:
    visit.open("/")
    visit.follow('a.button[href="/ping"]')
    assert visit.text == "pong"
    visit.driver.back()
    visit.follow('a[href="/users/42"]')
    assert json.loads(visit.text) == {"id": 42, "name": "User 42"}
    visit.driver.back()
    visit.follow('nav a[href="/welcome"]')
    assert visit.find("h1").text == "Welcome, stranger"
    visit.follow("a.brand")
    assert urlsplit(visit.driver.current_url).path == "/"


def test_logging_in_wrongly_is_refused_and_rightly_welcomed_by_the_browsers_name(visit: Visit) -> None:
    visit.open("/")
    visit.follow('nav a[href="/login"]')
    visit.fill("#username", "admin")
    visit.fill("#password", "guess")
    visit.follow("button[type=submit]")
    assert "not the right name and password" in visit.find("[role=alert]").text
    assert visit.find("#username").get_attribute("value") == ""
    visit.note_requests()
    assert visit.statuses[f"{visit.url}/login"] == 401
    visit.fill("#username", "admin")
    visit.fill("#password", "secret")
    visit.follow("button[type=submit]")
    assert visit.find("h1").text == "Welcome, admin"
    assert "Chrome" in visit.find("p.note.good").text
    [cookie] = visit.driver.get_cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("session", True, "Lax")
    assert cookie["secure"] == visit.url.startswith("https")


def test_who_has_logged_in_has_an_account_until_he_logs_out(visit: Visit) -> None:
    visit.open("/account")
    assert visit.find("h1").text == "Log in"
    visit.fill("#username", "admin")
    visit.fill("#password", "secret")
    visit.follow("button[type=submit]")
    visit.follow('a.button[href="/account"]')
    assert visit.find("h1").text == "The account of admin"
    visit.follow('form[action="/logout"] button')
    assert visit.find("h1").text == "Log in"
    assert visit.driver.get_cookies() == []
    visit.open("/account")
    assert urlsplit(visit.driver.current_url).path == "/login"


def test_the_clock_ticks(visit: Visit) -> None:
    visit.open("/")
    visit.follow('nav a[href="/clock"]')
    first = visit.wait_for("#clock", lambda shown: shown != "--:--:--")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", first)
    assert visit.wait_for("#clock", lambda shown: shown != first) > first or first.startswith("23:59")
    visit.wait_for("#state", lambda shown: shown == "You are the only one who listens.")
    assert visit.find("#wire").text.startswith("event: tick\ndata: {")
    visit.open("/tour/")  # the browser stops to listen


def test_two_tabs_talk_to_each_other(visit: Visit) -> None:
    driver = visit.driver
    first = driver.current_window_handle
    visit.open("/")
    visit.follow('nav a[href="/chat"]')
    visit.wait_for("#state", lambda shown: shown.startswith("You are alone here."))
    driver.switch_to.new_window("tab")
    second = driver.current_window_handle
    try:
        visit.open("/chat")
        visit.wait_for("#state", lambda shown: shown == "2 are here, you among them.")
        visit.fill("#text", "<b>Is there</b> anybody?")
        visit.find("#say button").click()
        visit.wait_for("#room", lambda shown: "(you) <b>Is there</b> anybody?" in shown)
        driver.switch_to.window(first)
        visit.wait_for("#room", lambda shown: "<b>Is there</b> anybody?" in shown)
        assert "(you) <b>" not in visit.find("#room").text
    finally:
        driver.switch_to.window(second)
        driver.close()
        driver.switch_to.window(first)
    visit.wait_for("#room", lambda shown: shown.endswith("has left."))
    visit.open("/tour/")  # the browser leaves the room


def test_a_file_that_is_uploaded_is_told_of(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "hello <b>.txt"
    file.write_bytes(b"hello" * 500_000)
    visit.open("/upload")
    visit.find("#file").send_keys(str(file))
    visit.follow("button[type=submit]")
    assert visit.find("h1").text == "This is what came"
    assert "hello _b_.txt" in visit.text
    assert "2500000 bytes" in visit.text
    assert hashlib.sha256(file.read_bytes()).hexdigest() in visit.text


def test_the_tour_is_a_way_there_and_back(visit: Visit) -> None:
    visit.open("/")
    visit.follow('nav a[href="/tour/"]')
    visit.follow('a[href^="/tour/ways/"]')
    assert visit.find("h1").text == "A way of 4 steps"
    visit.follow("li:nth-child(3) a")
    assert visit.find("h1").text == "A way of 3 steps"
    visit.follow(".actions a.button")
    assert visit.find("h1").text == "What may stand in a path"


def test_markup_in_a_name_is_shown_and_not_obeyed(visit: Visit) -> None:
    name = "<img src=x onerror=\"document.title='obeyed'\"><b>Ada</b>"
    visit.open("/")
    visit.fill("#welcome-name", name)
    visit.follow('form[action="/welcome"] button')
    assert visit.find("h1").text == f"Welcome, {name}"
    assert visit.find("#name").get_attribute("value") == name
    assert visit.title.startswith("Welcome")


def test_a_form_reaches_its_handler(visit: Visit) -> None:
    visit.open("/")
    visit.follow('form[action="/api/create"] button')
    assert json.loads(visit.text) == {"created": {"name": "Ada", "work": "Note G"}}
    visit.open("/")
    visit.follow('form[action="/echo"] button')
    assert visit.text.strip() == "text=Is there anybody there?"


def test_the_404_page_and_the_page_of_a_panic_are_the_sites_own(visit: Visit) -> None:
    visit.open("/")
    visit.follow('a[href="/nowhere"]')
    assert visit.find("h1").text == "There is no such room"
    visit.follow(".actions a.button")
    assert urlsplit(visit.driver.current_url).path == "/"
    visit.follow('a[href="/panic"]')
    assert visit.find("h1").text == "The handler raised an exception"
    visit.note_requests()
    assert (visit.statuses[f"{visit.url}/nowhere"], visit.statuses[f"{visit.url}/panic"]) == (404, 500)


def test_https_is_a_link_away_from_http(driver: Any, site: Site) -> None:
    visit = Visit(driver, site.plain)
    visit.open("/")
    visit.follow(f'footer a[href="{site.secure}/"]')
    assert driver.current_url == f"{site.secure}/"
    assert "encrypted on its way" in visit.find("footer").text
