"""Responses on the wire: what the encoder sends, and what readers that are not ours read in it."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answering import Answer, answers, asked, in_pieces, unframed
from evloop_http.http1 import (
    CONTINUE,
    SWITCHED,
    EndOfMessage,
    HeadParser,
    RequestHead,
    ResponseEncoder,
    ResponseHead,
    ResponseParser,
)
from evloop_http.http1.strategies import as_cased, bodies, field_names, field_values, tokens
from evloop_http.messages import Headers, HeaderSource, HTTPError, MutableHeaders, Response, SwitchedProtocol, Upgrade
from reading import read


def encoded(response: Response, request: RequestHead | None = None, keep_alive: bool = True,
            encoder: ResponseEncoder | None = None) -> tuple[bytes, bool]:
    return (encoder or ResponseEncoder("")).encode(response, request or asked(), keep_alive)


def head_of(raw: bytes) -> list[bytes]:
    """The lines of a head, in order."""
    return raw.partition(b"\r\n\r\n")[0].split(b"\r\n")


# Heads

def test_a_response_is_a_status_line_fields_and_a_body() -> None:
    raw, kept = encoded(Response("hello", headers={"X-Y": "z"}))
    assert raw == (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Y: z\r\n"
                   b"Content-Length: 5\r\n\r\nhello")
    assert kept


def test_server_and_date_are_told_unless_the_application_tells_them() -> None:
    encoder = ResponseEncoder("me", date=lambda: "Thu, 01 Jan 1970 00:00:00 GMT")
    raw, _ = encoded(Response(b""), encoder=encoder)
    assert head_of(raw)[1:] == [b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"Server: me", b"Content-Length: 0"]
    raw, _ = encoded(Response(b"", headers={"date": "today", "SERVER": "you"}), encoder=encoder)
    assert sorted(head_of(raw)[1:]) == [b"Content-Length: 0", b"SERVER: you", b"date: today"]


def test_no_server_and_no_clock_are_no_fields() -> None:
    raw, _ = encoded(Response(b""))
    assert head_of(raw) == [b"HTTP/1.1 200 OK", b"Content-Length: 0"]


def test_the_date_is_asked_for_once_and_again_when_it_is_forgotten() -> None:
    hours = iter(["one", "two", "three"])
    encoder = ResponseEncoder("", date=lambda: next(hours))
    for name in ("x", "y", "x"):
        assert b"Date: one" in head_of(encoded(Response(name, headers={"X": name}), encoder=encoder)[0])
    encoder.forget_date()
    for name in ("x", "y", "x"):
        assert b"Date: two" in head_of(encoded(Response(name, headers={"X": name}), encoder=encoder)[0])
    encoder.forget_date()
    raw, _, _ = encoder.start(Response(iter([])), asked(), None, True)
    assert b"Date: three" in head_of(raw)


def test_a_status_without_a_known_reason_has_one_all_the_same() -> None:
    assert head_of(encoded(Response(b"", 299))[0])[0] == b"HTTP/1.1 299 Unknown"
    assert head_of(encoded(Response(b"", 404))[0])[0] == b"HTTP/1.1 404 Not Found"


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000, -200])
def test_a_status_that_ends_no_request_is_misuse(status: int) -> None:
    """`Response` refuses it at birth; the encoder has the last look at what was assigned later."""
    response = Response(b"")
    response.status = status
    with pytest.raises(RuntimeError, match="between 200 and 599"):
        encoded(response)
    with pytest.raises(RuntimeError, match="between 200 and 599"):
        in_pieces(response, [])


def test_repeated_fields_are_sent_each_on_its_line_and_in_order() -> None:
    response = Response(b"")
    response.headers.add("Set-Cookie", "a=1")
    response.headers.add("Vary", "x")
    response.headers.add("set-cookie", "b=2")
    assert head_of(encoded(response)[0])[1:4] == [b"Set-Cookie: a=1", b"Vary: x", b"set-cookie: b=2"]


def test_continue_is_an_interim_response_and_nothing_more() -> None:
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_an_error_that_answers_no_request_is_a_whole_response() -> None:
    raw, kept = ResponseEncoder("").encode(HTTPError(400, "no").response(), None, False)
    assert not kept
    assert raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close" in head_of(raw)
    assert raw.endswith(b"\r\n\r\n400 Bad Request\n\nno\n")


# Staying and closing

@pytest.mark.parametrize(("version", "wanted", "option", "kept", "line"), [
    ("1.1", True, None, True, None),
    ("1.1", False, None, False, b"Connection: close"),
    ("1.1", True, "close", False, b"Connection: close"),
    ("1.1", True, "x, CLOSE", False, b"Connection: close"),
    ("1.1", True, "closed", True, None),
    ("1.1", False, "keep-alive", False, b"Connection: close"),
    ("1.0", True, None, True, b"Connection: keep-alive"),
    ("1.0", True, "close", False, b"Connection: close"),
    ("1.0", False, None, False, b"Connection: close")])
def test_the_connection_is_kept_only_if_both_sides_will(
        version: str, wanted: bool, option: str | None, kept: bool, line: bytes | None) -> None:
    response = Response("x", headers={} if option is None else {"Connection": option})
    for raw, stays in (encoded(response, asked(version=version), wanted),
                       in_pieces(response, [b"x"], asked(version=version), 1, wanted)):
        assert stays is kept
        assert [found for found in head_of(raw) if found.lower().startswith(b"connection:")] == ([line] if line else [])


def test_every_connection_field_of_the_application_is_heard() -> None:
    for options in (["close", "x"], ["x", "close"]):
        response = Response("x")
        for option in options:
            response.headers.add("Connection", option)
        assert encoded(response)[1] is False


# Bodies

@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 304), ("HEAD",
    404)])
def test_what_has_no_body_is_sent_none(method: str, status: int) -> None:
    whole, kept = encoded(Response("hello", status), asked(method))
    pieces, kept_too = in_pieces(Response(iter([b"hello"]), status), [b"hello"], asked(method))
    assert whole.endswith(b"\r\n\r\n")
    assert pieces.endswith(b"\r\n\r\n")
    assert kept
    assert kept_too


def test_head_announces_what_get_would_send() -> None:
    assert head_of(encoded(Response("hello"), asked("HEAD"))[0]) == head_of(encoded(Response("hello"))[0])


def test_204_announces_no_length_and_304_only_what_it_was_told() -> None:
    assert head_of(encoded(Response(b"", 204))[0]) == [b"HTTP/1.1 204 No Content"]
    assert head_of(encoded(Response(b"", 204, {"Content-Length": "0"}))[0]) == [b"HTTP/1.1 204 No Content"]
    assert head_of(encoded(Response(b"", 304))[0]) == [b"HTTP/1.1 304 Not Modified"]
    assert head_of(encoded(Response(b"", 304, {"Content-Length": "9"}))[0])[1:] == [b"Content-Length: 9"]
    for status in (204, 304):
        assert head_of(in_pieces(Response(iter([]), status), [])[0])[1:] == [b"Content-Type: application/octet-stream"]


def test_head_may_announce_what_was_not_made_for_it() -> None:
    """RFC 9110 §8.6: a handler of its own for HEAD need not make the body to tell its length."""
    announced = Response(b"", headers={"Content-Length": "100"})
    for version in ("1.1", "1.0"):
        raw, kept = encoded(announced, asked("HEAD", version))
        assert b"Content-Length: 100" in head_of(raw)
        assert raw.endswith(b"\r\n\r\n")
        assert kept
    with pytest.raises(RuntimeError):
        encoded(announced, asked("GET"))
    with pytest.raises(RuntimeError):
        encoded(Response("hello", headers={"Content-Length": "100"}), asked("HEAD"))


def test_205_has_no_content_and_says_so() -> None:
    """RFC 9110 §15.3.6: otherwise the next response would begin in its body."""
    for raw in (encoded(Response("hello", 205))[0], in_pieces(Response(iter([b"x"]), 205), [b"x"])[0]):
        assert head_of(raw)[-1] == b"Content-Length: 0"
        assert raw.endswith(b"\r\n\r\n")


def test_an_unknown_length_is_chunked_for_http_1_1() -> None:
    raw, kept = in_pieces(Response(iter([])), [b"hello", b"", b"x" * 16])
    assert head_of(raw)[-1] == b"Transfer-Encoding: chunked"
    assert raw.partition(b"\r\n\r\n")[2] == b"5\r\nhello\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
    assert kept


def test_an_unknown_length_ends_with_the_connection_for_http_1_0() -> None:
    raw, kept = in_pieces(Response(iter([])), [b"hello", b"", b"x"], asked(version="1.0"))
    assert b"Connection: close" in head_of(raw)
    assert not [line for line in head_of(raw) if line.startswith((b"Transfer-Encoding", b"Content-Length"))]
    assert raw.endswith(b"\r\n\r\nhellox")
    assert not kept


def test_an_unknown_length_that_is_not_sent_closes_nothing() -> None:
    assert in_pieces(Response(iter([])), [], asked("HEAD", "1.0"))[1] is True


def test_a_known_length_is_announced_and_pieces_are_sent_as_they_are() -> None:
    for version in ("1.1", "1.0"):
        raw, kept = in_pieces(Response(iter([])), [b"hel", b"lo"], asked(version=version), 5)
        assert b"Content-Length: 5" in head_of(raw)
        assert raw.endswith(b"\r\n\r\nhello")
        assert kept


def test_a_length_that_the_application_announced_is_believed_and_held_to() -> None:
    raw, _ = in_pieces(Response(iter([]), headers={"content-length": "5"}), [b"hello"])
    assert b"Content-Length: 5" in head_of(raw)
    assert raw.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("pieces", [[b"hell"], [b"hello!"], [b"hello", b"!"], []])
def test_a_body_in_pieces_that_is_not_as_long_as_announced_is_an_error(pieces: list[bytes]) -> None:
    with pytest.raises(RuntimeError):
        in_pieces(Response(iter([]), headers={"Content-Length": "5"}), pieces)
    with pytest.raises(RuntimeError):
        in_pieces(Response(iter([])), pieces, length=5)


def test_nothing_of_a_body_that_is_too_long_leaves_the_encoder() -> None:
    _, body, _ = ResponseEncoder("").start(Response(iter([])), asked(), 5, True)
    assert body is not None
    assert body.encode(b"hello") == b"hello"
    with pytest.raises(RuntimeError):
        body.encode(b"\r\nHTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize("announced", ["4", "6", "0", "-5", "+5", "5.0", "5, 5", "", "five", "\xb2", "5" * 5000])
def test_a_body_that_is_not_as_long_as_announced_is_an_error(announced: str) -> None:
    with pytest.raises(RuntimeError):
        encoded(Response("hello", headers={"Content-Length": announced}))


def test_a_length_is_told_once_however_the_application_wrote_it() -> None:
    raw, _ = encoded(Response("hello", headers={"content-LENGTH": "5"}))
    assert [line.lower() for line in head_of(raw)].count(b"content-length: 5") == 1


def test_a_transfer_coding_is_not_the_applications_to_set() -> None:
    for value in ("chunked", "identity"):
        for keep_alive in (True, False):
            with pytest.raises(RuntimeError, match="Transfer-Encoding"):
                encoded(Response("hello", headers={"transfer-encoding": value}), keep_alive=keep_alive)
            with pytest.raises(RuntimeError, match="Transfer-Encoding"):
                in_pieces(Response(iter([]), headers={"Transfer-Encoding": value}), [], keep_alive=keep_alive)


def test_what_is_refused_is_refused_again() -> None:
    encoder = ResponseEncoder("")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            encoded(Response("hello", headers={"Content-Length": "4"}), encoder=encoder)
        assert encoded(Response("hell", headers={"Content-Length": "4"}), encoder=encoder)[1]


# No header puts a line end on the wire

@pytest.mark.parametrize("evil", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "\r\n\r\n<html>", "a\x0bb", "a\x7f",
                                  "\u0100", "\u560a\u560d", "\ud800"])
def test_no_value_with_a_control_byte_gets_past_the_headers_or_past_the_encoder(evil: str) -> None:
    for make in (lambda: Response("x", headers={"X": evil}), lambda: Response("x", content_type=evil),
                 lambda: Response("x").headers.add("X", evil), lambda: Response("x").headers.setdefault("X", evil),
                 lambda: Response("x", headers={evil: "x"}), lambda: Headers([("X", evil)]),
                 lambda: HTTPError(400, headers={"X": evil}).response()):
        with pytest.raises(ValueError, match="header"):
            make()
    for fields in ((("x", ("X", evil)),), (("x", (evil, "x")),),
                   (("connection", ("Connection", "close")), (evil, ("X", evil)))):
        response = Response("x")
        response._headers = MutableHeaders.from_fields(fields)
        with pytest.raises(RuntimeError):
            encoded(response)
        response.body = iter([b""])
        with pytest.raises(RuntimeError):
            in_pieces(response, [])


@pytest.mark.parametrize("evil", ["a\r\nb", "a\nb", "a\0"])
def test_no_line_end_comes_from_the_servers_name_or_from_the_clock(evil: str) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        encoded(Response("x"), encoder=ResponseEncoder(evil))
    with pytest.raises((ValueError, RuntimeError)):
        encoded(Response("x"), encoder=ResponseEncoder("", date=lambda: evil))


@given(st.text(max_size=8) | field_names(), st.text(max_size=20) | st.text("\r\n\0\t \x7f\x85\u2028ab:", max_size=8))
def test_a_field_is_one_line_or_no_field(name: str, value: str) -> None:
    try:
        response = Response("x", headers=[(name, value)])
    except ValueError:
        return
    raw, _ = encoded(response)
    lines = head_of(raw)
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n") == len(lines) + 1
    if name.lower() not in ("connection", "content-length", "content-type"):
        assert f"{name}: ".encode() + value.strip(" \t").encode("latin-1") in lines
        assert len(lines) == 4


# The end of HTTP

def upgrade(name: str = "echo", headers: HeaderSource = ()) -> Upgrade:
    """A response that switches protocols. Nobody speaks the other one here: these tests are about the head."""
    return Upgrade(cast(SwitchedProtocol, object()), name, headers)


def test_an_upgrade_names_its_protocol_and_frames_nothing() -> None:
    encoder = ResponseEncoder("me", date=lambda: "now")
    raw = encoder.encode_upgrade(upgrade("websocket", {"Sec-WebSocket-Accept": "x", "Set-Cookie": "a=b"}), asked())
    assert raw == (b"HTTP/1.1 101 Switching Protocols\r\nDate: now\r\nServer: me\r\nSec-WebSocket-Accept: x\r\n"
                   b"Set-Cookie: a=b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")


def test_a_tunnel_is_opened_by_a_200_that_names_no_protocol() -> None:
    for name in ("", "echo"):
        raw = ResponseEncoder("").encode_upgrade(upgrade(name, {"X": "y"}), tunnel())
        assert raw == b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_the_application_does_not_frame_an_upgrade(method: str) -> None:
    request = tunnel() if method == "CONNECT" else asked(method)
    headers = {"Connection": "close", "Content-Length": "5", "upgrade": "h2c"}
    assert ResponseEncoder("").encode_upgrade(upgrade("echo", headers), request) \
        == ResponseEncoder("").encode_upgrade(upgrade("echo"), request)
    with pytest.raises(RuntimeError, match="Transfer-Encoding"):
        ResponseEncoder("").encode_upgrade(upgrade("echo", {"Transfer-Encoding": "chunked"}), request)


def test_an_upgrade_without_a_name_or_of_http_1_0_is_misuse() -> None:
    encoder = ResponseEncoder("")
    with pytest.raises(RuntimeError, match="names its protocol"):
        encoder.encode_upgrade(upgrade(""), asked())
    for request in (asked(version="1.0"), HeadParser().parse(b"CONNECT a:1 HTTP/1.0\r\n\r\n")):
        with pytest.raises(RuntimeError, match=r"HTTP/1\.0"):
            encoder.encode_upgrade(upgrade(), request)


@pytest.mark.parametrize("evil", ["a\r\nSet-Cookie: b", "a\nb", "a\0", "\u0100"])
def test_no_line_end_comes_from_the_name_or_a_header_of_an_upgrade(evil: str) -> None:
    named, headed = upgrade(), upgrade()
    named.name = evil
    headed._headers = MutableHeaders.from_fields((("x", ("X", evil)),))
    for response in (named, headed):
        with pytest.raises(RuntimeError, match="no header may contain"):
            ResponseEncoder("").encode_upgrade(response, asked())
    with pytest.raises(ValueError, match="no header may carry"):
        upgrade(evil)


def tunnel() -> RequestHead:
    return HeadParser().parse(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")


@given(tokens(), st.lists(st.tuples(field_names(), field_values()), max_size=4), st.sampled_from(["GET", "CONNECT"]),
       st.binary(max_size=20))
def test_our_parser_reads_an_upgrade_and_gives_away_what_follows(
        name: str, fields: list[tuple[str, str]], method: str, behind: bytes) -> None:
    request = tunnel() if method == "CONNECT" else asked(method)
    raw = ResponseEncoder("").encode_upgrade(upgrade(name, fields), request)
    parser = ResponseParser()
    parser.expect(method)
    parser.feed(raw + behind)
    head = parser.next_event()
    assert isinstance(head, ResponseHead)
    assert head.status == (200 if method == "CONNECT" else 101)
    assert head.headers.get("upgrade", "") == ("" if method == "CONNECT" else name)
    assert unframed((lower, value) for lower, value in head.headers.pairs() if lower != "Upgrade") == fields
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is SWITCHED
    assert parser.detach() == behind


def test_http_client_reads_an_upgrade() -> None:
    wire = Wire(ResponseEncoder("").encode_upgrade(upgrade("echo", {"X": "y"}), asked()) + b"behind")
    response = http.client.HTTPResponse(wire, method="GET")  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.reason) == (101, "Switching Protocols")
    assert (response.getheader("upgrade"), response.getheader("connection"), response.getheader("x")) \
        == ("echo", "Upgrade", "y")
    assert response.read() == b""
    assert wire.read() == b"behind"


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_h11_reads_an_upgrade_and_switches(method: str) -> None:
    h11 = pytest.importorskip("h11")
    client = h11.Connection(h11.CLIENT)
    headers = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "echo")]
    client.send(h11.Request(method=method, target="a:1" if method == "CONNECT" else "/", headers=headers))
    client.send(h11.EndOfMessage())
    request = tunnel() if method == "CONNECT" else asked(method)
    client.receive_data(ResponseEncoder("").encode_upgrade(upgrade("echo", {"X": "y"}), request) + b"behind")
    response = client.next_event()
    assert response.status_code == (200 if method == "CONNECT" else 101)
    assert (b"x", b"y") in response.headers
    assert client.next_event() is h11.PAUSED
    assert client.their_state is h11.SWITCHED_PROTOCOL
    assert client.trailing_data[0] == b"behind"


# The cache of heads

@given(st.lists(st.tuples(st.sampled_from(["hello", "", "x" * 5]), st.sampled_from([200, 204, 304, 404]),
                          st.sampled_from([{}, {"X": "y"}, {"Connection": "close"}, {"Content-Length": "5"}]),
                          st.sampled_from(["GET", "HEAD"]), st.sampled_from(["1.1", "1.0"]), st.booleans()),
                              max_size=12))
def test_nobody_can_see_that_heads_are_cached(
        answers: list[tuple[str, int, dict[str, str], str, str, bool]]) -> None:
    encoder = ResponseEncoder("me", date=lambda: "now")

    def outcome(answer: tuple[str, int, dict[str, str], str, str, bool], by: ResponseEncoder) -> object:
        body, status, headers, method, version, keep_alive = answer
        try:
            whole = by.encode(Response(body, status, headers), asked(method, version), keep_alive)
            head, pieces, kept = by.start(Response(body, status, headers), asked(method, version), len(body),
                keep_alive)
        except RuntimeError as error:
            return str(error)
        return whole, head, type(pieces), kept
    for answer in [*answers, *answers]:
        assert outcome(answer, encoder) == outcome(answer, ResponseEncoder("me", date=lambda: "now"))


def test_answers_that_never_repeat_cost_a_bounded_memory() -> None:
    encoder = ResponseEncoder("")
    for number in range(1000):
        encoded(Response("x", headers={"X": str(number)}), encoder=encoder)
    assert len(encoder._heads) <= 256
    encoder.forget_date()
    assert not encoder._heads


# Readers that are not ours

class Wire(io.BytesIO):
    """Bytes in memory that `http.client` takes for a socket, left open so that what follows can be read."""

    def makefile(self, mode: str) -> Wire:
        return self

    def close(self) -> None:
        pass


@given(answers(), answers("1.1"))
def test_http_client_reads_what_was_meant_and_where_it_ends(answer: Answer, behind: Answer) -> None:
    raw, kept = answer.encode()
    after = behind.encode()[0] if kept else b""
    wire = Wire(raw + after)
    response = http.client.HTTPResponse(wire, method=answer.method)  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.version) == (answer.status, 11)
    assert unframed(response.getheaders()) == answer.headers
    assert response.read() == answer.content
    # A client of HTTP/1.0 stays only if it is told so; one of HTTP/1.1 unless it is told otherwise.
    says_close = (response.getheader("Connection") or "") == "close"
    assert says_close == (not kept)
    if answer.version == "1.0":
        assert ((response.getheader("Connection") or "") == "keep-alive") == kept
    assert wire.read() == after


@given(answers("1.1"), answers("1.1"))
def test_h11_reads_what_was_meant_and_where_it_ends(answer: Answer, behind: Answer) -> None:
    h11 = pytest.importorskip("h11")
    raw, kept = answer.encode()
    after = behind.encode()[0] if kept else b""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=answer.method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw + after)
    if not kept:
        client.receive_data(b"")
    response = client.next_event()
    assert response.status_code == answer.status
    told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw_items()]
    assert unframed(told) == answer.headers
    content = b""
    while isinstance(event := client.next_event(), h11.Data):
        content += event.data
    assert content == answer.content
    assert isinstance(event, h11.EndOfMessage)
    assert (client.their_state is h11.MUST_CLOSE or client.their_state is h11.CLOSED) == (not kept)
    assert client.trailing_data[0] == after


@given(st.lists(bodies() | st.just(b""), max_size=5))
def test_our_own_decoder_reads_what_our_chunks_say(pieces: list[bytes]) -> None:
    raw, _ = in_pieces(Response(iter(pieces)), pieces)
    coded = raw.partition(b"\r\n\r\n")[2]
    told = read([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + coded])
    content = b"".join(pieces)
    assert told[1:] == [*([("data", content)] if content else []), ("end", ()), ("CLOSED", 0)]


@given(as_cased("connection"), as_cased("close"))
def test_close_is_heard_in_any_case(name: str, option: str) -> None:
    assert encoded(Response("x", headers={name: option}))[1] is False


def refuses(make: Callable[[], object]) -> bool:
    try:
        make()
    except RuntimeError:
        return True
    return False


@given(st.integers(0, 8), st.lists(st.binary(max_size=4), max_size=4))
def test_a_body_is_sent_whole_exactly_if_its_length_is_the_one_announced(length: int, pieces: list[bytes]) -> None:
    total = len(b"".join(pieces))
    announced = {"Content-Length": str(length)}
    assert refuses(lambda: encoded(Response(b"".join(pieces), headers=announced))) == (length != total)
    assert refuses(lambda: in_pieces(Response(iter(pieces), headers=announced), pieces)) == (length != total)
    assert refuses(lambda: in_pieces(Response(iter(pieces)), pieces, length=length)) == (length != total)
