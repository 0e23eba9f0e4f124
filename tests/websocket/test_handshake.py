"""The opening handshake (RFC 6455 §4.2): what is accepted, what is refused and with which status."""

from __future__ import annotations

from typing import Any

import pytest

from evloop_http import App, HTTPError, Request, Response
from evloop_http.messages import RequestHead
from evloop_http.testing import Client
from evloop_http.websocket import CallbackWebSocket, Options, negotiate
from fakes import FakeNet, read_answers
from wire import ACCEPT, KEY, handshake

pytest.importorskip("websockets", reason="the 'websocket' extra is not installed")


def answer(raw: bytes, **options: Any) -> tuple[int, bytes]:
    """The status of the answer, and its head."""
    app = App()
    app.websocket("/", on_message=lambda ws, message: None, **options)
    net = FakeNet(app)
    peer = net.connect()
    peer.send(raw)
    got = peer.got
    net.finish()
    net.close()
    return int(got.split(b" ", 2)[1]), got.partition(b"\r\n\r\n")[0]


def test_the_handshake_of_the_rfc_is_accepted() -> None:
    status, head = answer(handshake())
    assert status == 101
    assert f"\r\nSec-WebSocket-Accept: {ACCEPT}".encode() in head
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket" in head
    assert b"Sec-WebSocket-Protocol" not in head


@pytest.mark.parametrize("raw", [
    handshake().replace(b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE"),
    handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c, WebSocket"),
    handshake("/", "Origin: http://a"), handshake("/", "Origin: HTTP://A:80"), handshake("/", "Origin: https://a"),
])
def test_what_means_the_same_is_accepted_too(raw: bytes) -> None:
    assert answer(raw)[0] == 101


@pytest.mark.parametrize(("raw", "status"), [
    (handshake(method="POST"), 405), (handshake(method="HEAD"), 405),
    (handshake().replace(b"Upgrade: websocket\r\n", b""), 426),
    (handshake().replace(b"Connection: Upgrade\r\n", b""), 426),
    (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
    (handshake(version="8"), 426), (handshake(version="13, 8"), 426),
    (handshake("/", "Sec-WebSocket-Version: 13"), 426),
    (handshake().replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426),
    (handshake(key="dGhl"), 400), (handshake(key="not base64!"), 400), (handshake(key=KEY + "AAAA"), 400),
    (handshake().replace(f"Sec-WebSocket-Key: {KEY}\r\n".encode(), b""), 400),
    (handshake("/", f"Sec-WebSocket-Key: {KEY}"), 400),
    (handshake("/", "Sec-WebSocket-Protocol: a b"), 400),
], ids=str)
def test_what_is_no_handshake_is_refused(raw: bytes, status: int) -> None:
    got, head = answer(raw)
    assert got == status
    if status == 426:
        assert b"Sec-WebSocket-Version: 13" in head
        assert b"Upgrade: websocket" in head


@pytest.mark.parametrize("origin", ["http://b", "http://a:81", "https://a.b", "null", "a", "http://", "http://a@b",
                                    "http://b@a", "file://a", "http://a:port", "http://a/", "http://[a"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    assert answer(handshake("/", f"Origin: {origin}"))[0] == 403


def test_two_origins_are_refused() -> None:
    assert answer(handshake("/", "Origin: http://a", "Origin: http://b"))[0] == 403


def test_origins_may_be_allowed() -> None:
    allowed = {"origins": ["https://Example.org", "null"]}
    for origin, status in (("https://example.org", 101), ("http://example.org", 403), ("null", 101), ("http://a", 101),
                           ("https://b", 403)):
        assert answer(handshake("/", f"Origin: {origin}"), **allowed)[0] == status
    assert answer(handshake("/", "Origin: https://b"), origins="*")[0] == 101


def test_an_origin_with_the_port_of_the_host_is_the_same() -> None:
    raw = handshake("/", "Origin: http://localhost:8080").replace(b"Host: a", b"Host: LOCALHOST:8080")
    assert answer(raw)[0] == 101
    assert answer(raw.replace(b":8080\r\nOrigin", b":8081\r\nOrigin").replace(b"Host: LOCALHOST:8080",
                                                                             b"Host: localhost"))[0] == 403


@pytest.mark.parametrize(("offered", "chosen"), [
    ("b, a", b"a"), ("b", b"b"), ("c", None), ("c,b", b"b"), ("c,,b", b"b"),
])
def test_the_subprotocol_that_the_server_prefers_is_chosen(offered: str, chosen: bytes | None) -> None:
    status, head = answer(handshake("/", f"Sec-WebSocket-Protocol: {offered}"), subprotocols=["a", "b"])
    assert status == 101
    assert (b"\r\nSec-WebSocket-Protocol: %s" % chosen in head) if chosen else b"Sec-WebSocket-Protocol" not in head


def test_on_open_chooses_a_subprotocol_and_headers() -> None:
    app = App()

    def choose(ws: CallbackWebSocket) -> None:
        ws.accept(ws.offered[-1], {"X-Note": "chosen"})
    app.websocket("/", on_open=choose, on_message=lambda ws, message: None, headers={"X-Route": "yes"})
    net = FakeNet(app)
    peer = net.connect()
    peer.send(handshake("/", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"))
    for line in (b"Sec-WebSocket-Protocol: b", b"X-Note: chosen", b"X-Route: yes"):
        assert b"\r\n" + line + b"\r\n" in peer.got
    net.finish()
    net.close()


def test_a_subprotocol_that_is_not_offered_is_a_mistake() -> None:
    request = Request(RequestHead("GET", "/", "1.1", Client(App()).headers, "/"))
    with pytest.raises(HTTPError):
        negotiate(request)
    offer = negotiate(parsed(handshake("/", "Sec-WebSocket-Protocol: a")))
    with pytest.raises(ValueError, match="does not offer"):
        offer.upgrade(None, "b")  # type: ignore[arg-type]


def parsed(raw: bytes) -> Request:
    from evloop_http.http1 import RequestParser
    parser = RequestParser()
    parser.feed(raw)
    head = parser.next_event()
    assert isinstance(head, RequestHead)
    return Request(head)


@pytest.mark.parametrize(("field", "says"), [
    ("permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
    ("permessage-deflate; server_max_window_bits=10", b"permessage-deflate; server_max_window_bits=10"),
    ("permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=9",
     b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
     b"client_max_window_bits=9"),
    ("permessage-deflate; server_max_window_bits=8, permessage-deflate",
     b"permessage-deflate; server_max_window_bits=12"),
    ("x-other, permessage-deflate; unknown=1", b""),
    ("permessage-deflate; server_max_window_bits=16", b""),
])
def test_compression_is_negotiated(field: str, says: bytes) -> None:
    status, head = answer(handshake("/", f"Sec-WebSocket-Extensions: {field}"), compression=True)
    assert status == 101
    lines = [line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Extensions")]
    assert lines == ([b"Sec-WebSocket-Extensions: " + says] if says else [])


def test_malformed_extensions_are_refused_where_they_matter() -> None:
    raw = handshake("/", 'Sec-WebSocket-Extensions: permessage-deflate; "')
    assert answer(raw, compression=True)[0] == 400
    assert answer(raw)[0] == 101


# -- refusals by the handler


def test_a_refusal_is_an_ordinary_response_and_http_goes_on() -> None:
    app = App()

    def refuse(ws: CallbackWebSocket) -> Response:
        return Response("not today", 409)
    app.websocket("/refused", on_open=refuse, on_message=lambda ws, message: None)

    def fail(ws: CallbackWebSocket) -> None:
        raise HTTPError(404, "no such room")
    app.websocket("/rooms/{name}", on_open=fail, on_message=lambda ws, message: None)
    net = FakeNet(app)
    peer = net.connect()
    peer.send(handshake("/refused") + handshake("/rooms/a") + handshake("/nowhere"))
    assert [got.status for got in read_answers(peer.got)] == [409, 404, 404]
    net.finish()
    net.close()


# -- options


@pytest.mark.parametrize("options", [{"subprotocols": ["a b"]}, {"subprotocols": "chat"}, {"origins": "http://a"},
                                     {"max_message": 0}, {"ping_interval": 0}, {"close_timeout": -1},
                                     {"headers": {"X": "a\nb"}}])
def test_a_bad_option_is_refused_when_the_route_is_registered(options: dict[str, Any]) -> None:
    name, = options
    with pytest.raises(ValueError, match="character" if name == "headers" else name[:-1]):
        App().websocket("/", **options)


def test_a_mistake_in_registering_is_told_at_once() -> None:
    app = App()
    with pytest.raises(TypeError, match="max_mesage"):
        app.websocket("/", max_mesage=1)
    with pytest.raises(TypeError, match="on_message"):
        app.websocket("/", on_open=lambda ws: None)
    with pytest.raises(TypeError, match="decorate"):
        app.websocket("/", on_message=lambda ws, message: None)(lambda request, ws: None)
    with pytest.raises(ValueError, match="slash"):
        app.websocket("chat")(lambda request, ws: None)


def test_a_missing_library_is_told_by_the_name_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(RuntimeError, match=r"evloop-http\[websocket\]"):
        App().websocket("/")


def test_options_keep_what_iterators_gave() -> None:
    options = Options(subprotocols=iter(["a", "b"]), origins=iter(["http://a/"]))
    assert (options.subprotocols, options.origins) == (("a", "b"), frozenset({"http://a"}))
