"""The command line: what it says, what it serves, and how it ends; a mistake is one plain line."""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import pty
import re
import resource
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asking import PATIENCE, answer, make_request
from evloop_http import __version__
from evloop_http.cli import main, make_demo
from programs import fetch, program

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["demo", "serve", "run"]

SHOP = """
from evloop_http import App, Response, StaticFiles

app = App(threads=2)
own = app.threads, app.stream_threads

@app.get("/")
def home(request):
    return f"own threads: {app.threads is own[0]} {app.stream_threads is own[1]}"

def function(request):
    return Response("function")

def factory():
    made = App()
    made.get("/")(lambda request: "factory")
    return made

class Site:
    app = app

nothing = lambda: None
number = 42
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a module `shop` and a page."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "page.txt").write_text("a page")
    return tmp_path


@pytest.fixture
def undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `main` does to its own process, undone: it is meant to have one to itself."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    modules, handlers, path = set(sys.modules), logging.root.handlers[:], sys.path[:]
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    sys.path[:] = path
    logging.root.handlers[:] = handlers
    for name in set(sys.modules) - modules:
        if name == "shop":
            del sys.modules[name]


# -- what it says


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)], ids=" ".join)
def test_help_says_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([*arguments, "--help"])
    assert exit.value.code == 0
    said = capsys.readouterr().out
    assert "Ctrl-C" in said
    wanted = ["--host", "--port", "--unix", "--cert", "--key", "--tls-port", "--access-log", "--max-connections",
              "--max-body", "--max-stream", "--idle-timeout", "127.0.0.1", "8080", "8443"]
    assert [word for word in (wanted if arguments else COMMANDS) if word not in said] == []
    assert "%(" not in said


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert (exit.value.code, capsys.readouterr().out) == (0, f"evloop_http {__version__}\n")


@pytest.mark.parametrize("arguments", [
    [], ["dance"], ["demo", "--port", "http"], ["demo", "--port", "-1"], ["demo", "--port", "65536"],
    ["demo", "--tls-port", "x"],
    ["run"], ["demo", "--access-log", "xml"], ["demo", "--worker-threads", "0"], ["demo", "--max-body", "1.5"],
    ["demo", "--idle-timeout", "0"], ["demo", "--idle-timeout", "inf"], ["demo", "--idle-timeout", "nan"],
    ["demo", "--nope"], ["demo", "--unix", "s", "--unix-mode", "8"], ["demo", "--unix", "s", "--unix-mode", "1777"],
], ids=" ".join)
def test_a_command_that_makes_no_sense_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    said = capsys.readouterr()
    assert (exit.value.code, said.out) == (2, "")
    assert said.err.startswith("usage: evloop-http")
    assert "Traceback" not in said.err


# -- mistakes


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line in which `main` says what is wrong."""
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"evloop-http: [^\n]+\n", said.err)
    return said.err.removeprefix("evloop-http: ").rstrip("\n")


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize(("target", "said"), [
    ("nowhere:app", "there is no module nowhere"),
    ("shop.nowhere:app", "there is no module shop.nowhere"),
    ("shop:nowhere", "module shop has no application 'nowhere'"),
    ("shop:Site.nowhere", "module shop has no application 'Site.nowhere'"),
    ("shop:number", "module shop has no application 'number'"),
    ("shop:nothing", "shop:nothing made NoneType, which is no application"),
    *((text, f"{text!r} is not MODULE:APP, such as shop.web:app")
      for text in ("shop", "shop:", ":app", ":", ".shop:app", "..:x")),
])
def test_a_target_that_is_no_application_is_one_plain_line(
        shop: Path, target: str, said: str, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    assert mistake(capsys, "run", target, "--port", "0") == said


@pytest.mark.usefixtures("undone")
def test_a_module_that_itself_is_broken_shows_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").write_text("import nowhere_at_all")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        main(["run", "shop:app", "--port", "0"])


@pytest.mark.usefixtures("undone")
def test_files_that_are_missing_or_wrong_are_one_plain_line(
        tmp_path: Path, certificate: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    cert, key = certificate
    serve = ("serve", tmp_path, "--port", "0", "--tls-port", "0")
    (tmp_path / "garbage").write_text("no PEM")
    nowhere = tmp_path / "nowhere"
    assert mistake(capsys, "serve", nowhere, "--port", "0") == f"there is no directory {nowhere}"
    assert mistake(capsys, *serve, "--key", key) == "--key needs --cert"
    assert mistake(capsys, *serve, "--unix-mode", "600") == "--unix-mode needs --unix"
    for arguments in (("--cert", tmp_path / "missing.pem"), ("--cert", cert, "--key", tmp_path / "missing.pem"),
                      ("--cert", tmp_path / "garbage"), ("--cert", cert, "--key", tmp_path / "garbage"),
                      ("--cert", cert), ("--cert", tmp_path)):
        said = mistake(capsys, *serve, *arguments)
        assert str(arguments[-1]) in said


@pytest.mark.usefixtures("undone")
def test_places_where_nobody_can_listen_are_one_plain_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve = ("serve", tmp_path, "--port", "0")
    assert mistake(capsys, *serve, "--host", "192.0.2.1").startswith("cannot listen on 192.0.2.1 port 0: ")
    assert mistake(capsys, *serve, "--host", "two..dots").startswith("cannot listen on two..dots port 0: ")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "no" / "such", tmp_path / ("x" * 300)):
        assert mistake(capsys, *serve, "--unix", path).startswith(f"cannot listen on {path}: ")


@pytest.mark.usefixtures("undone")
def test_a_demo_without_templates_says_what_to_install(capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert mistake(capsys, "demo", "--port", "0") == "the demo needs Jinja2: pip install 'evloop-http[demo]'"


def test_a_demo_without_a_lesser_library_goes_without_it(capsys: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    app = make_demo(argparse.Namespace(), None)
    assert capsys.readouterr().err == ("evloop-http: the demo goes without the names of browsers: "
                                       "pip install 'evloop-http[demo]'\n")
    request = make_request("GET", "/", headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
    response = answer(app, request)
    assert response.status == 200
    assert isinstance(response.body, bytes)
    assert "with your browser," in response.body.decode()


def test_a_demo_without_the_library_of_its_chat_goes_without_it(capsys: pytest.CaptureFixture[str],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    app = make_demo(argparse.Namespace(), None)
    assert capsys.readouterr().err == "evloop-http: the demo goes without its chat: pip install 'evloop-http[demo]'\n"
    assert answer(app, make_request("GET", "/chat/room")).status == 404


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("option", ["--worker-threads", "--stream-threads"])
def test_worker_threads_are_for_an_app(shop: Path, capsys: pytest.CaptureFixture[str],
                                       monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.chdir(shop)
    said = mistake(capsys, "run", "shop:function", "--port", "0", option, "3")
    assert said == f"{option} is for an App, and this application is not one"


def test_debug_is_for_an_app(shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    said = mistake(capsys, "run", "shop:function", "--port", "0", "--debug")
    assert said == "--debug is for an App, and this application is not one"


# -- a port in use


@contextmanager
def ports_in_use(number: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """So many ports in a row that somebody listens on: the first one, and their sockets."""
    while True:
        sockets = [socket.create_server(("127.0.0.1", 0))]
        first = sockets[0].getsockname()[1]
        try:
            sockets += [socket.create_server(("127.0.0.1", first + further)) for further in range(1, number)]
            break
        except (OSError, OverflowError):
            for sock in sockets:
                sock.close()
    try:
        yield first, sockets
    finally:
        for sock in sockets:
            sock.close()


@pytest.mark.usefixtures("undone")
def test_a_port_in_use_is_one_plain_line(shop: Path, certificate: tuple[Path, Path], capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate
    monkeypatch.chdir(shop)
    with ports_in_use(2) as (port, _):
        said = f"cannot listen on 127.0.0.1 port {port}: the port is in use"
        assert mistake(capsys, "serve", shop, "--port", str(port)) == said
        assert mistake(capsys, "run", "shop:app", "--port", str(port)) == said
        tls = ("--tls-port", str(port), "--cert", cert, "--key", key)
        assert mistake(capsys, "serve", shop, "--port", "0", *tls) == said
        assert mistake(capsys, "demo", "--port", str(port)) == f"ports {port} and {port + 1} of 127.0.0.1 are in use"


def test_the_demo_takes_the_next_port_where_one_is_in_use(tmp_path: Path) -> None:
    with ports_in_use(2) as (port, sockets):
        sockets[1].close()
        with program("demo", "--port", str(port), folder=tmp_path) as demo:
            demo.read_banner()
            assert demo.urls == [f"http://127.0.0.1:{port + 1}"]
            assert fetch(demo.urls[0], "/ping") == (200, "pong")
            assert demo.end() == (0, "", "")


# -- serving


def test_the_demo_says_where_it_is_over_http_and_https(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with program("demo", "--port", "0", "--tls-port", "0", "--cert", cert, "--key", key, folder=tmp_path) as demo:
        banner = demo.read_banner()
        assert banner[0] == f"evloop_http {__version__}: the demo site"
        assert banner[-1] == "Ctrl-C stops it."
        plain, secure = demo.urls
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", plain)
        assert re.fullmatch(r"https://127\.0\.0\.1:\d+", secure)
        assert "\x1b" not in "".join(banner)  # nobody looks on: this is a pipe
        assert fetch(plain, "/ping") == (200, "pong")
        assert fetch(secure, "/ping", ssl.create_default_context(cafile=cert)) == (200, "pong")
        # The pages that came over HTTP know where HTTPS is.
        assert secure in fetch(plain)[1]
        assert demo.end(signal.SIGINT) == (0, "", "")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_the_banner_is_in_colour_only_on_a_terminal_that_wants_it(shop: Path, environment: dict[str, str],
                                                                  coloured: bool) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal, \
            program("serve", shop, "--port", "0", folder=shop, out=theirs, **environment) as served:
        os.close(theirs)
        shown = b""
        while b"Ctrl-C" not in shown:
            shown += terminal.read(4096)
        assert re.search(rb"\x1b\[1;36mhttp://[0-9.:]+\x1b\[0m" if coloured else rb"\n  http://[0-9.:]+\r\n", shown)
        assert (b"\x1b" in shown) is coloured
        assert served.end()[0] == 0


@pytest.mark.parametrize(("target", "options", "said"), [
    ("shop:app", [], "own threads: True True"),
    ("shop:Site.app", ["--worker-threads", "3"], "own threads: False True"),
    ("shop:Site.app", ["--stream-threads", "3"], "own threads: True False"),
    ("shop:function", [], "function"),
    ("shop:factory", [], "factory"),
])
def test_run_serves_an_app_a_function_and_what_a_factory_makes(shop: Path, target: str, options: list[str],
                                                               said: str) -> None:
    with program("run", target, "--port", "0", *options, folder=shop) as run:
        assert run.read_banner()[0] == f"evloop_http {__version__}: an application of evloop_http, {target}"
        assert fetch(run.urls[0]) == (200, said)
        assert run.end() == (0, "", "")


def test_serve_shows_a_directory_and_logs_in_the_common_format(shop: Path) -> None:
    with program("serve", "--port", "0", "--access-log", folder=shop) as served:
        assert served.read_banner()[0] == f"evloop_http {__version__}: files of {shop}"
        assert fetch(served.urls[0], "/page.txt") == (200, "a page")
        status, listing = fetch(served.urls[0])
        assert (status, "page.txt" in listing) == (200, True)
        assert fetch(served.urls[0], "/../page.txt")[0] == 404
        code, out, err = served.end()
    assert (code, err) == (0, "")
    lines = [re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "GET (\S+) HTTP/1\.1" (\d+) \d+ [0-9.]+ms', line)
             for line in out.splitlines()]
    seen = [found and found.groups() for found in lines]
    assert seen == [("/page.txt", "200"), ("/", "200"), ("/../page.txt", "404")]


def statuses(url: str, *hosts: str) -> list[int]:
    """The statuses of answers to requests for these hosts; of a web page that was led here, say."""
    return [fetch(url, headers={"Host": host})[0] for host in hosts]


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_page_of_another_site_is_not_answered_by_what_listens_on_loopback(command: str, shop: Path) -> None:
    with program(command, "--port", "0", folder=shop) as served:
        served.read_banner()
        assert statuses(served.urls[0], "evil.example", "evil.example:8080", "192.0.2.7") == [421] * 3
        assert statuses(served.urls[0], "localhost:8080", "x.localhost", "127.0.0.1:1", "[::1]") == [200] * 4


@pytest.mark.parametrize(("options", "trusted", "others"), [
    (["--trusted-host", "a.example", "--trusted-host", "*.b.example"], ["a.example", "x.b.example", "localhost"],
     ["b.example", "evil.example"]),
    (["--trusted-host", "*"], ["evil.example", "a"], []),
    (["--host", "localhost"], ["localhost", "127.0.0.1"], ["evil.example"]),
    (["--host", "127.0.0.9"], ["localhost", "127.0.0.9"], ["127.0.0.8", "evil.example"]),
    (["--host", "0.0.0.0"], ["evil.example", "192.0.2.7"], []),
    (["--host", "0.0.0.0", "--trusted-host", "a.example"], ["a.example", "localhost"], ["evil.example"]),
])
def test_the_hosts_that_are_trusted_can_be_chosen(shop: Path, options: list[str], trusted: list[str],
                                                  others: list[str]) -> None:
    with program("serve", "--port", "0", *options, folder=shop) as served:
        served.read_banner()
        url = served.urls[0].replace("0.0.0.0", "127.0.0.1")
        assert statuses(url, *trusted, *others) == [200] * len(trusted) + [421] * len(others)


@pytest.mark.usefixtures("undone")
def test_a_trusted_host_that_is_none_is_one_plain_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistake(capsys, "serve", shop, "--port", "0", "--trusted-host", "http://a.example")
    assert said.startswith("'http://a.example' is not the name of a host: ")


def test_an_application_of_ones_own_is_asked_for_any_host(shop: Path) -> None:
    with program("run", "shop:app", "--port", "0", folder=shop) as served:
        served.read_banner()
        assert statuses(served.urls[0], "evil.example") == [200]


def test_a_log_in_json_is_one_object_a_line(shop: Path) -> None:
    with program("serve", shop, "--port", "0", "--access-log", "json", folder=shop) as served:
        served.read_banner()
        fetch(served.urls[0], "/page.txt")
        code, out, err = served.end()
    assert (code, err) == (0, "")
    [line] = map(json.loads, out.splitlines())
    assert (line["target"], line["status"], line["bytes"], line["user_agent"]) == ("/page.txt", 200, 6, 'tester "1"')


def test_an_error_of_an_application_goes_to_standard_error(shop: Path) -> None:
    (shop / "broken.py").write_text("def app(request):\n    return 1 / 0\n")
    with program("run", "broken:app", "--port", "0", folder=shop) as run:
        run.read_banner()
        assert fetch(run.urls[0], "/x")[0] == 500
        code, out, err = run.end()
    assert (code, out) == (0, "")
    assert "GET /x HTTP/1.1: the application failed" in err
    assert "ZeroDivisionError" in err


def test_a_unix_socket_takes_the_place_of_a_port(shop: Path) -> None:
    path = Path("s.sock")  # a name of its own: the whole path may be too long
    with program("serve", shop, "--unix", path, folder=shop) as served:
        served.read_banner()
        assert served.urls == ["http+unix://s.sock"]
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            descriptor = os.open(shop, os.O_RDONLY)
            try:
                client.connect(f"/proc/self/fd/{descriptor}/s.sock")
            finally:
                os.close(descriptor)
            client.sendall(b"GET /page.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"\r\n\r\na page")
        assert served.end() == (0, "", "")
    assert not (shop / path).exists()


@pytest.mark.parametrize(("options", "mode"), [([], 0o660), (["--unix-mode", "600"], 0o600),
                                               (["--unix-mode", "0777"], 0o777)])
def test_a_unix_socket_has_the_mode_that_the_user_asks_for(shop: Path, options: list[str], mode: int) -> None:
    with program("serve", shop, "--unix", "s.sock", *options, folder=shop) as served:
        served.read_banner()
        assert stat.S_IMODE((shop / "s.sock").stat().st_mode) == mode
        assert served.end() == (0, "", "")


def test_the_limits_reach_the_server(shop: Path) -> None:
    with program("run", "shop:function", "--port", "0", "--max-body", "5", folder=shop) as run:
        run.read_banner()
        for size, status in [(5, 200), (6, 413)]:
            client = http.client.HTTPConnection(run.urls[0].partition("://")[2], timeout=PATIENCE)
            client.request("POST", "/", body=b"x" * size)
            assert client.getresponse().status == status
            client.close()
        assert run.end() == (0, "", "")


def test_it_can_be_called_as_a_function_of_a_program(tmp_path: Path) -> None:
    # What the entry point `evloop-http` does.
    code = "import sys; from evloop_http.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "run", "x"],
                          capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "evloop-http: 'x' is not MODULE:APP, such as shop.web:app\n"


@pytest.mark.parametrize("option", ["--threads", "--worker-threads", "--stream-threads"])
def test_more_threads_than_any_machine_has_are_refused_in_one_line(option: str) -> None:
    """The fault: a traceback, of memory that there is not."""
    result = subprocess.run([sys.executable, "-m", "evloop_http", "run", "x:y", option, "99999999999999999999"],
                            capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("it must be at most 10,000")
