"""Flask over a real server: what people do with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import flask.logging
import pytest

from asking import PATIENCE
from evloop_http import App, FileBody, Server
from evloop_http.gateways.wsgi import WSGI
from evloop_http.testing import Client
from wsgi_world import BOTH, connected

DATA = bytes(range(256)) * 2000


@pytest.fixture
def site(tmp_path: Path) -> Any:
    site = flask.Flask("site")
    site.secret_key = "a secret of this test"
    (tmp_path / "data.bin").write_bytes(DATA)

    @site.get("/")
    def home() -> str:
        return "home"

    @site.get("/hello/<name>")
    def hello(name: str) -> dict[str, str]:
        return {"hello": name, "url": flask.url_for("hello", name="x"), "root": flask.request.root_url}

    @site.post("/upload")
    def upload() -> dict[str, Any]:
        file = flask.request.files["file"]
        return {"name": file.filename, "size": len(file.read()), "field": flask.request.form["field"]}

    @site.post("/raw")
    def raw() -> dict[str, int]:
        return {"size": len(flask.request.get_data())}

    @site.get("/count")
    def count() -> str:
        flask.session["count"] = flask.session.get("count", 0) + 1
        return str(flask.session["count"])

    @site.get("/stream")
    def stream() -> Any:
        def lines() -> Iterator[str]:
            for number in range(3):
                yield f"{number} {flask.request.args['name']}\n"
        return flask.Response(flask.stream_with_context(lines()), mimetype="text/plain")

    @site.get("/file")
    def file() -> Any:
        return flask.send_file(tmp_path / "data.bin", conditional=True)

    @site.get("/fail")
    def fail() -> str:
        raise LookupError("a defect")

    @site.get("/log")
    def log() -> str:
        print("to wsgi.errors", file=flask.request.environ["wsgi.errors"])
        return "logged"
    return site


@pytest.mark.parametrize("threads", BOTH)
def test_pages_errors_and_urls(site: Any, threads: int, caplog: pytest.LogCaptureFixture) -> None:
    with Client(WSGI(site, threads), follow=True) as client:
        assert client.get("/").text == "home"
        assert client.get("/hello/J%C3%BCrgen").json() == {
            "hello": "J\xfcrgen", "url": "/hello/x", "root": "http://localhost/"}
        assert client.get("/missing").status == 404
        assert client.post("/").status == 405
        assert client.get("/fail").status == 500
        head = client.head("/")
        assert (head.headers["content-length"], head.body) == ("4", b"")
        assert client.get("/log").text == "logged"
    assert "a defect" in caplog.text
    assert "to wsgi.errors" in [record.getMessage() for record in caplog.records if record.name == "evloop_http.wsgi"]


def test_below_a_mount_urls_lead_back(site: Any) -> None:
    app = App()
    app.mount("/shop", WSGI(site))
    with Client(app) as client:
        assert client.get("/shop/hello/x").json() == {
            "hello": "x", "url": "/shop/hello/x", "root": "http://localhost/shop/"}


@pytest.mark.parametrize("threads", BOTH)
def test_sessions_last(site: Any, threads: int) -> None:
    with Client(WSGI(site, threads)) as client:
        assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("threads", BOTH)
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_uploads_of_any_size(site: Any, threads: int, size: int, serve: Callable[..., Server]) -> None:
    body = (b'--frontier\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
            b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
            + bytes(size) + b"\r\n--frontier--\r\n")
    client = connected(serve(WSGI(site, threads)))
    fields = {"Content-Type": "multipart/form-data; boundary=frontier"}
    for chunked in False, True:
        client.request("POST", "/upload", iter([body[:100], body[100:]]) if chunked else body, fields,
                       encode_chunked=chunked)
        answer = client.getresponse()
        assert flask.json.loads(answer.read()) == {"name": "a.bin", "size": size, "field": "value"}
    client.request("POST", "/raw", iter([b"abc", b"de"]), encode_chunked=True)
    assert flask.json.loads(client.getresponse().read()) == {"size": 5}
    client.close()


@pytest.mark.parametrize("threads", BOTH)
def test_streams_keep_their_context(site: Any, threads: int) -> None:
    with Client(WSGI(site, threads)) as client:
        reply = client.get("/stream?name=Ada")
    assert reply.text == "0 Ada\n1 Ada\n2 Ada\n"
    assert reply.headers["transfer-encoding"] == "chunked"


def test_a_file_goes_by_sendfile_and_a_part_of_it_is_a_part(site: Any, serve: Callable[..., Server]) -> None:
    bodies: list[type] = []

    class Watched(WSGI):
        def _work(self, *arguments: Any) -> Any:
            result: Any = super()._work(*arguments)
            bodies.append(type(getattr(result, "result", result).body))
            return result
    client = connected(serve(Watched(site)))
    client.request("GET", "/file")
    answer = client.getresponse()
    etag = answer.getheader("ETag", "")
    assert answer.read() == DATA
    client.request("GET", "/file", headers={"Range": "bytes=100-299"})
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (206, DATA[100:300])
    client.request("GET", "/file", headers={"If-None-Match": etag})
    assert client.getresponse().status == 304
    client.close()
    assert bodies == [FileBody, bytes, bytes]


def test_a_log_that_flask_sends_to_wsgi_errors_is_no_circle(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stream: Any = flask.logging.wsgi_errors_stream
    handler = logging.StreamHandler(stream)  # as its documentation shows
    logging.getLogger().addHandler(handler)
    try:
        with Client(WSGI(site)) as client:
            assert client.get("/log").status == 200
            assert client.get("/fail").status == 500
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err.count("to wsgi.errors") == 1


def test_requests_at_the_same_time_do_not_meet(site: Any, serve: Callable[..., Server]) -> None:
    server = serve(WSGI(site, 4))
    wrong: list[str] = []

    def ask(name: str) -> None:
        client = connected(server)
        for _ in range(20):
            client.request("GET", f"/stream?name={name}")
            if client.getresponse().read().decode() != f"0 {name}\n1 {name}\n2 {name}\n":
                wrong.append(name)
        client.close()
    threads = [threading.Thread(target=ask, args=[f"n{number}"]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
