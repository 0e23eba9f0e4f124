"""What a WSGI application is told of a request."""

from __future__ import annotations

import http.client
import logging
import socket
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from wsgiref import validate
from wsgiref.util import request_uri

import pytest

from asking import make_request
from evloop_http import App, Server
from evloop_http.gateways.wsgi import WSGI
from evloop_http.gateways.wsgi.environ import _KEPT, _KEPT_NAMES, _VARIABLES, ERRORS, Environs, ErrorLog
from evloop_http.messages import Origin, Peer, Request
from evloop_http.testing import Client
from wsgi_world import BOTH, PLAIN, Environ, Start, answering, client_of, environ_of, reporting, validated


def make(request: Request, script_name: str = "") -> Environ:
    return Environs(script_name, {}).make(request)


@pytest.mark.parametrize("threads", BOTH)
def test_an_environ_is_one_that_pep_3333_describes(threads: int) -> None:
    with client_of(reporting, threads) as client:
        environ = environ_of(client, "POST", "/a/b?c=d", body="hello", headers={"Content-Type": "text/x"})
    assert type(environ) is dict
    assert {name: value for name, value in environ.items() if name.isupper()} == {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a/b", "QUERY_STRING": "c=d",
        "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "5", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "evloop_http", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "49152", "HTTP_HOST": "localhost",
        "REQUEST_URI": "/a/b?c=d", "RAW_URI": "/a/b?c=d"}
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.multithread"] is (threads > 1)
    assert environ["wsgi.input_terminated"] is True
    assert (environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (False, False)
    assert request_uri(environ) == "http://localhost/a/b?c=d"


def test_each_request_has_an_environ_of_its_own() -> None:
    environs = Environs("", {})
    request = make_request()
    first = environs.make(request)
    first["mine"] = True
    assert "mine" not in environs.make(request)


@pytest.mark.parametrize(("target", "info"), [
    ("/caf%C3%A9", "/caf\xc3\xa9"), ("/caf%E9", "/caf\xe9"), ("/%E9?a=%E9", "/\xe9"), ("/a%2Fb%25", "/a/b%"),
    ("http://test.example:8080/%E9/x?y", "/\xe9/x"), ("http://test.example:8080", "/"),
    ("/%EF%BF%BD", "/\xef\xbf\xbd")])
def test_a_path_is_bytes_read_as_latin_1(target: str, info: str) -> None:
    assert make(make_request("GET", target))["PATH_INFO"] == info


def test_the_target_of_options_for_the_server_is_no_path() -> None:
    environ = make(make_request("OPTIONS", "*"))
    assert (environ["PATH_INFO"], environ["REQUEST_URI"]) == ("", "*")


def test_fields_are_variables_and_repeated_ones_are_joined() -> None:
    fields = [("X-One", "1"), ("x-one", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Latin", "caf\xe9")]
    environ = make(make_request(headers=fields))
    assert environ["HTTP_X_ONE"] == "1, 2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_LATIN"] == "caf\xe9"


def test_fields_that_could_be_taken_for_others_are_dropped() -> None:
    fields = [("X_User", "root"), ("X-User", "me"), ("Proxy", "http://evil.example"), ("Script_Name", "/admin"),
              ("Content_Length", "7")]
    environ = make(make_request(headers=fields))
    assert environ["HTTP_X_USER"] == "me"
    assert "HTTP_PROXY" not in environ
    assert "HTTP_SCRIPT_NAME" not in environ
    assert not [name for name in environ if "CONTENT_LENGTH" in name]
    assert "HTTP_CONTENT_TYPE" not in make(make_request(headers=[("Content-Type", "a/b")]))


@pytest.mark.parametrize(("target", "script", "info"), [
    ("/shop", "/shop", ""), ("/shop/", "/shop", "/"), ("/shop/a", "/shop", "/a"), ("/shop/%E9", "/shop", "/\xe9"),
    ("/sh%6Fp/a%2Fb", "/shop", "/a/b"), ("/other/x", "/other", "/x")])
def test_below_a_mount_the_script_name_is_the_mount(target: str, script: str, info: str) -> None:
    app = App()
    app.mount("/shop", validated(reporting))
    app.mount("/other", validated(reporting, 0))
    with Client(app) as client:
        environ = environ_of(client, target=target)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, info)


def test_mounts_add_up() -> None:
    inner, outer = App(), App()
    inner.mount("/b\xe9", WSGI(reporting))
    outer.mount("/a", inner)
    with Client(outer) as client:
        environ = environ_of(client, target="/a/b%C3%A9/c")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/a/b\xc3\xa9", "/c")


def test_a_path_that_a_middleware_has_put_in_place_is_the_path() -> None:
    request = make_request("GET", "/old")
    request.path = "/new/caf\xe9"
    environ = make(request)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/new/caf\xc3\xa9")


@pytest.mark.parametrize(("target", "info"), [
    ("/shop/a", "/a"), ("/a", "/a"), ("/shop", ""), ("/shopping", "/shopping")])
def test_a_script_name_holds_whether_the_proxy_in_front_cuts_it_or_not(target: str, info: str) -> None:
    environ = make(make_request("GET", target), "/shop")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", info)


@pytest.mark.parametrize("script_name", ["shop", "/shop/", "/"])
def test_a_script_name_that_is_no_prefix_is_refused(script_name: str) -> None:
    with pytest.raises(ValueError, match="script_name"):
        WSGI(reporting, script_name=script_name)


@pytest.mark.parametrize(("origin", "name", "port"), [
    (Origin(("::1", 8443), "https"), "::1", "8443"), (Origin("/run/web.sock", "http"), "localhost", "80"),
    (Origin("/run/web.sock", "https"), "localhost", "443"), (Origin(), "localhost", "80")])
def test_the_server_has_a_name_and_a_port_wherever_it_listens(origin: Origin, name: str, port: str) -> None:
    environ = make(Request(make_request().head, b"", Peer("", 0, origin)))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert environ["wsgi.url_scheme"] == origin.scheme
    assert environ.get("HTTPS") == ("on" if origin.scheme == "https" else None)


def test_over_a_unix_socket_an_application_is_told_all_that_it_must_be() -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Server(validated(answering(b"ok")))) as server:
        path = str(Path(folder, "s"))  # pytest's own folders are too deep for a socket
        server.listen(path=path)
        with server.in_thread(), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")


def test_chunks_that_were_gathered_have_a_length() -> None:
    def echo(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [PLAIN])
        return [environ["wsgi.input"].read(), environ["CONTENT_LENGTH"].encode(),
                str("HTTP_TRANSFER_ENCODING" in environ).encode()]
    for threads, gathered in (0, 1), (1, 1), (2, None):
        with Server(WSGI(echo, threads, gathered=gathered)).in_thread() as server:
            client = http.client.HTTPConnection(*server.addresses[0])
            client.request("POST", "/", iter([b"ab", b"cde"]), encode_chunked=True)
            assert client.getresponse().read() == b"abcde5False"
            client.close()


def test_the_templates_of_an_environ_are_bounded_and_no_long_one_is_kept() -> None:
    environs = Environs("", {})
    for number in range(_KEPT + 10):
        environs.make(make_request("GET", f"/{number}"))
    assert 0 < len(environs._templates) <= _KEPT
    environs._templates.clear()
    environs.make(make_request(headers=[("X-Long", "x" * 5000)]))
    assert environs._templates == {}


def test_one_head_at_two_listeners_has_the_facts_of_each() -> None:
    environs, head = Environs("", {}), make_request().head
    ports = [environs.make(Request(head, b"", Peer("192.0.2.1", 5, Origin(("127.0.0.1", port)))))["SERVER_PORT"]
             for port in (8080, 8081, 8080)]
    assert ports == ["8080", "8081", "8080"]


# -- wsgi.errors


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "evloop_http.wsgi"]


def test_what_is_written_to_wsgi_errors_is_logged_by_lines(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        print("one", 2, file=environ["wsgi.errors"])
        environ["wsgi.errors"].writelines(["th", "ree\nfo"])
        start_response("200 OK", [PLAIN])
        return [b"ok"]
    with client_of(application) as client:
        client.get("/")
    assert logged(caplog) == ["one 2", "three", "fo"]
    assert ERRORS.partial == {}


def test_wsgi_errors_takes_text_only() -> None:
    with pytest.raises(TypeError, match="text"):
        ErrorLog().write(b"x")  # type: ignore[arg-type]


def test_lines_of_two_threads_are_not_mixed(caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorLog()
    errors.write("mine ")
    other = threading.Thread(target=lambda: errors.write("theirs\n"))
    other.start()
    other.join()
    errors.write("too\n")
    assert logged(caplog) == ["theirs", "mine too"]


def test_a_log_that_is_sent_to_wsgi_errors_is_no_circle(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ErrorLog()
    handler = logging.StreamHandler(errors)
    logger = logging.getLogger("evloop_http.wsgi")
    logger.addHandler(handler)
    try:
        errors.write("once\n")
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().err.count("once") == 1


def test_the_validator_of_the_standard_library_accepts_the_environ_of_every_scheme() -> None:
    for scheme in "http", "https":
        environ = Environs("/x", {"wsgi.multithread": True, "wsgi.multiprocess": False}).make(
            Request(make_request().head, b"", Peer("192.0.2.1", 5, Origin(("127.0.0.1", 1), scheme))))
        environ["wsgi.input"] = sys.stdin
        validate.check_environ(environ)  # type: ignore[attr-defined]


def test_no_number_of_strange_names_changes_what_the_known_ones_mean() -> None:
    def make_with(name: str) -> Environ:
        return make(make_request(headers={"Content-Type": "text/x", name: "1"}))

    for number in range(_KEPT_NAMES + 1):
        make_with(f"X-{number}")
    environ = make_with("X-Last")
    assert environ["CONTENT_TYPE"] == "text/x"
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()


def test_long_names_are_not_kept() -> None:
    environs, name = Environs("", {}), "x-" + "y" * 5000
    assert environs.make(make_request(headers={name: "1"}))[f"HTTP_X_{'Y' * 5000}"] == "1"
    assert name not in _VARIABLES
    assert not environs._templates
