"""The access log: a line for every answer, and no way for a peer to write one of its own."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asking import PATIENCE
from evloop_http import AccessLog, App, HTTPError, Request, Response, Server
from evloop_http.messages import Answered, Headers, Peer, RequestHead

COMMON = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*)" '
                    r"(\d{3}) (\d+) (\d+\.\d)ms")
NOON = 1_700_000_000.0


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def take(self) -> str:
        """The one line that there is, which is then gone."""
        [line] = self.lines
        self.lines.clear()
        return line


@pytest.fixture
def log() -> Iterator[Lines]:
    logger = logging.getLogger("evloop_http.access")
    handler = Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


def head(method: str = "GET", target: str = "/x?y=1", agent: str | None = "test/1") -> RequestHead:
    # Unchecked, as no parser would let it through.
    fields = (("user-agent", ("User-Agent", agent)),) if agent is not None else ()
    return RequestHead(method, target, "1.1", Headers.from_fields(fields), target)


def answered(client: str, head: RequestHead | None, status: int, size: int, seconds: float,
             complete: bool = True) -> Answered:
    return Answered(Peer(client), head, status, size, seconds, complete)


def read_json(line: str) -> dict[str, Any]:
    read = json.loads(line)
    assert isinstance(read, dict)
    return read


def test_a_common_line_says_who_when_what_and_how(log: Lines) -> None:
    AccessLog("common", lambda: NOON).answered(answered("192.0.2.7", head(), 200, 1234, 0.01234))
    found = COMMON.fullmatch(log.take())
    assert found is not None
    assert (found[1], *found.groups()[2:]) == ("192.0.2.7", "GET /x?y=1 HTTP/1.1", "200", "1234", "12.3")


def test_a_json_line_says_the_same_and_who_the_client_says_it_is(log: Lines) -> None:
    AccessLog("json", lambda: NOON).answered(answered("192.0.2.7", head(), 404, 0, 0.0005))
    line = read_json(log.take())
    assert re.fullmatch(r"2023-11-1[45]T\d\d:\d\d:20[+-]\d{4}", line.pop("time"))
    assert line == {"client": "192.0.2.7", "method": "GET", "target": "/x?y=1", "version": "1.1",
                    "user_agent": "test/1",
                    "status": 404, "bytes": 0, "ms": 0.5, "complete": True}


def test_a_line_says_that_a_client_did_not_get_everything(log: Lines) -> None:
    AccessLog().answered(answered("192.0.2.7", head(), 499, 0, 0.1, complete=False))
    assert log.take().endswith(" 499 0 100.0ms incomplete")
    AccessLog("json").answered(answered("192.0.2.7", head(), 200, 10, 0.1, complete=False))
    assert read_json(log.take())["complete"] is False


def test_what_could_not_be_read_and_came_from_nowhere_has_a_line_too(log: Lines) -> None:
    AccessLog().answered(answered("", None, 400, 50, 0))
    line = log.take()
    found = COMMON.fullmatch(line)
    assert found is not None, line
    assert (found[1], found[3]) == ("-", "-")
    AccessLog("json").answered(answered("", None, 400, 50, 0))
    read = read_json(log.take())
    assert (read["client"], read["method"], read["target"], read["user_agent"]) == ("-", None, None, None)


def test_without_a_listener_nothing_is_formatted() -> None:
    assert not logging.getLogger("evloop_http.access").isEnabledFor(logging.INFO)

    def never() -> float:
        raise AssertionError("the time was asked for")

    AccessLog("common", never).answered(answered("", None, 200, 0, 0))


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="'common' or 'json', not 'combined'"):
        AccessLog("combined")


FORGED = '/ HTTP/1.1" 200 0 0.0ms\n192.0.2.66 - - [now] "GET /admin'


@pytest.mark.parametrize("format", ["common", "json"])
@pytest.mark.parametrize("text",
                         [FORGED, "\\", '\\"', '"', "\\\\\"", "\r\n", "\x1b[2J", "\x85\u2028\u2029", "\x00\x7f", "ü",
                          "%s %d"])
def test_a_peer_cannot_forge_a_line_or_a_field(log: Lines, format: str, text: str) -> None:
    check_one_line(log, format, text)


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_at_all_can(log: Lines, text: str) -> None:
    check_one_line(log, "common", text)
    check_one_line(log, "json", text)


def check_one_line(log: Lines, format: str, text: str) -> None:
    AccessLog(format).answered(answered("192.0.2.7", head(text, text, text), 200, 1, 0.001))
    line = log.take()
    assert line.isascii()
    assert line.isprintable()  # no line end, no escape of a terminal
    if format == "common":
        found = COMMON.fullmatch(line)
        assert found is not None, line
        assert found.groups()[3:] == ("200", "1", "1.0")
    else:
        read = read_json(line)
        assert (read["method"], read["target"], read["user_agent"], read["status"]) == (text, text, text, 200)


# -- once with the world


def exchange(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_over_a_socket_every_answer_has_one_line(log: Lines) -> None:
    app = App()
    app.get("/text")(lambda request: "12345")
    app.get("/stream")(lambda request: Response(iter([b"123", b"45"])))
    app.get("/thread", threaded=True)(lambda request: "12345")

    @app.get("/refused")
    def refuse(request: Request) -> None:
        raise HTTPError(418, headers={"Content-Type": "text/plain"})

    requests = ["GET /text", "HEAD /text", "GET /stream", "GET /thread", "GET /refused", "GET /nowhere", "GET text"]
    with Server(app, access_log=AccessLog()).in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        sizes = [len(exchange(port, f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).partition(b"\r\n\r\n")[2])
                 for line in requests]
    seen = [COMMON.fullmatch(line) for line in log.lines]
    assert [found and (found[1], found[3], int(found[4])) for found in seen] == [
        ("127.0.0.1", "GET /text HTTP/1.1", 200), ("127.0.0.1", "HEAD /text HTTP/1.1", 200),
        ("127.0.0.1", "GET /stream HTTP/1.1", 200), ("127.0.0.1", "GET /thread HTTP/1.1", 200),
        ("127.0.0.1", "GET /refused HTTP/1.1", 418), ("127.0.0.1", "GET /nowhere HTTP/1.1", 404),
        ("127.0.0.1", "-", 400)]
    sizes[2] = 5  # the content, without the frames of its chunks
    assert [int(found[5]) for found in seen if found] == sizes
