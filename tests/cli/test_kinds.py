"""`evloop-http run` tells WSGI, ASGI and our own applications apart, and says which it serves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evloop_http import __version__
from evloop_http.cli import main
from programs import fetch, program

SITE = """
import threading

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['wsgi.multithread']} {threading.current_thread() is threading.main_thread()}".encode()]

def make_wsgi():
    return wsgi

def anything(*args):
    return wsgi(*args)

async def asgi(scope, receive, send):
    pass

def asgi_2(scope):
    return asgi

def native(request):
    from evloop_http import Response
    return Response("native")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a module `site_of_kinds`."""
    (tmp_path / "site_of_kinds.py").write_text(SITE)
    return tmp_path


@pytest.mark.parametrize(("name", "options", "what", "page"), [
    ("wsgi", [], "a WSGI application", "True False"), ("make_wsgi", [], "a WSGI application", "True False"),
    ("wsgi", ["--threads", "1"], "a WSGI application", "False False"),
    ("wsgi", ["--threads", "0"], "a WSGI application", "False True"),
    ("anything", ["--wsgi"], "a WSGI application", "True False"),
    ("native", [], "an application of evloop_http", "native"),
    ("native", ["--native"], "an application of evloop_http", "native")])
def test_an_application_is_served_as_what_it_is(site: Path, name: str, options: list[str], what: str,
                                                page: str) -> None:
    with program("run", f"site_of_kinds:{name}", "--port", "0", *options, folder=site) as run:
        assert run.read_banner()[0] == f"evloop_http {__version__}: {what}, site_of_kinds:{name}"
        assert fetch(run.urls[0]) == (200, page)
        assert run.end() == (0, "", "")


@pytest.mark.parametrize(("name", "options", "said"), [
    ("asgi_2", [], "cannot tell what site_of_kinds:asgi_2 is: it is written for ASGI 2, which has two calls: wrap it, "
     "asgiref.compatibility has guarantee_single_callable; if it is one all the same, say --wsgi, --asgi or --native"),
    ("native", ["--threads", "2"],
     "--threads is for a WSGI application, and site_of_kinds:native is an application of evloop_http"),
    ("wsgi", ["--worker-threads", "2"], "--worker-threads is for an App, and this application is not one"),
    ("wsgi", ["--debug"], "--debug is for an App, and this application is not one")])
def test_what_cannot_be_served_is_one_plain_line(site: Path, name: str, options: list[str], said: str,
                                                 capsys: pytest.CaptureFixture[str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site)
    monkeypatch.setattr(sys, "path", sys.path[:])
    assert main(["run", f"site_of_kinds:{name}", "--port", "0", *options]) == 1
    assert capsys.readouterr().err == f"evloop-http: {said}\n"


@pytest.mark.parametrize("options", [["--wsgi", "--asgi"], ["--native", "--wsgi"], ["--threads", "-1"]])
def test_options_that_make_no_sense_together_are_refused(options: list[str],
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "a:b", *options])
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err
