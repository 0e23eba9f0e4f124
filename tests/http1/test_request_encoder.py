"""Requests on the wire: what the encoder says, what readers of ours and of others make of it, and what it refuses.

A client's danger is the same as a server's: whoever puts a line end into a target or a value makes two
requests of one (CVE-2019-9740 and its kin), and a length that does not hold makes the next request begin
inside this one. So the first half is what goes out, and the second what never does.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evloop_http.http1 import BodyEncoder, Limits, RequestEncoder
from evloop_http.http1.strategies import (
    SentRequest,
    Target,
    as_cased,
    bodies,
    byte_by_byte,
    cuts,
    field_names,
    field_values,
    hosts,
    requests,
    targets,
    tokens,
)
from evloop_http.messages import Headers, HeaderSource
from reading import CLEAN_END, Seen, read

HOST = {"Host": "a"}
#: What ends a line, or did in some program.
LINE_ENDS = ["\r\n", "\r", "\n", "\r\n\r\n", "\n\n", "\r\n ", "\0"]
SMUGGLED = " HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled"


def encoded(method: str = "GET", target: str = "/", headers: HeaderSource = (("Host", "a"),), body: bytes = b"",
            limits: Limits | None = None) -> bytes:
    return RequestEncoder(limits).encode(method, target, headers, body)


def in_pieces(pieces: list[bytes], headers: HeaderSource = (("Host", "a"),), length: int | None = None,
              trailers: HeaderSource = (), method: str = "POST", target: str = "/") -> bytes:
    """What is sent of a request whose body is these pieces."""
    head, body = RequestEncoder().start(method, target, headers, length)
    return head + b"".join([body.encode(piece) for piece in pieces]) + body.finish(trailers)


# What it says

def test_a_request_is_a_request_line_and_fields_in_the_order_given() -> None:
    raw = encoded("GET", "/a?b=c", [("X", "y"), ("Host", "a"), ("x", "z"), ("Cookie", "d=e")])
    assert raw == b"GET /a?b=c HTTP/1.1\r\nX: y\r\nHost: a\r\nx: z\r\nCookie: d=e\r\n\r\n"


@pytest.mark.parametrize("source", [{"Host": "a", "X": "y"}, [("Host", "a"), ("X", "y")],
                                    Headers([("Host", "a"), ("X", "y")]), iter([("Host", "a"), ("X", "y")])])
def test_headers_are_a_mapping_or_pairs(source: Any) -> None:
    assert encoded(headers=source) == b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"


def test_a_body_is_announced_and_follows_the_head() -> None:
    assert encoded("PUT", body=b"hello") == b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    assert encoded("QUERY", body=b"hi") == b"QUERY / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(("method", "announced"), [
    ("GET", False), ("HEAD", False), ("DELETE", False), ("OPTIONS", False), ("post", False), ("POST", True),
    ("PUT", True), ("PATCH", True)])
def test_no_body_is_announced_where_the_method_means_one(method: str, announced: bool) -> None:
    """RFC 9110 §8.6."""
    assert (b"Content-Length: 0\r\n" in encoded(method)) == announced
    assert (b"Content-Length" in encoded(method)) == announced


@pytest.mark.parametrize("written", ["5", "005", " 5\t"])
def test_a_length_that_is_given_and_right_is_told_once(written: str) -> None:
    raw = encoded("POST", headers={"Host": "a", "content-length": written}, body=b"hello")
    assert raw.lower().count(b"content-length") == 1
    assert read([raw])[1:] == [("data", b"hello"), ("end", ()), CLEAN_END]
    assert encoded(headers={"Host": "a", "Content-Length": "0"}).count(b"Content-Length: 0") == 1


@pytest.mark.parametrize(("method", "target"), [
    ("GET", "http://b:81/c?d"), ("CONNECT", "b:443"), ("CONNECT", "[::1]:443"), ("OPTIONS", "*"), ("GET", "/%41%ff?"),
    ("M-SEARCH", "/|[]")])
def test_every_form_of_a_target_goes_out_as_it_is(method: str, target: str) -> None:
    """RFC 9112 §3.2."""
    assert encoded(method, target).splitlines()[0] == f"{method} {target} HTTP/1.1".encode()


def test_obs_text_in_a_value_is_one_byte_for_each_character() -> None:
    assert b"X: \xe9t\xe9\r\n" in encoded(headers={"Host": "a", "X": "\xe9t\xe9"})


def test_a_body_in_pieces_is_chunked_or_counted() -> None:
    pieces = [b"hel", b"", b"lo"]
    assert in_pieces(pieces) == (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert in_pieces(pieces, length=5) == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    assert in_pieces([], length=0) == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    assert in_pieces([]) == b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


def test_trailers_go_behind_the_last_chunk() -> None:
    raw = in_pieces([b"x"], trailers=[("Digest", "y"), ("Sig", "\xe9")])
    assert raw.endswith(b"1\r\nx\r\n0\r\nDigest: y\r\nSig: \xe9\r\n\r\n")
    assert read([raw])[1:] == [("data", b"x"), ("end", (("Digest", "y"), ("Sig", "\xe9"))), CLEAN_END]
    assert in_pieces([b"x"], trailers={"A": "b"}).endswith(b"0\r\nA: b\r\n\r\n")


def test_one_encoder_makes_many_requests_and_none_is_that_of_another() -> None:
    encoder = RequestEncoder()
    for _ in range(3):
        for body in (b"", b"hi", b"hello"):
            raw = encoder.encode("POST", "/", HOST, body)
            assert raw == encoded("POST", body=body)
            with pytest.raises(ValueError, match="no server"):
                encoder.encode("POST", "/", {}, body)


def test_to_wait_for_100_continue_is_the_clients_to_ask() -> None:
    head, _ = RequestEncoder().start("POST", "/", {"Host": "a", "Expect": "100-continue"}, 5)
    assert b"Expect: 100-continue\r\n" in head


# What it never says

def refused(match: str = ".", **request: Any) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        encoded(**request)
    assert "smuggled" not in str(caught.value)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_no_line_end_in_a_method(end: str) -> None:
    for method in (end, "GET" + end, end + "GET", f"G{end}T", f"GET / HTTP/1.1{end}X: y{end}GET",
                   f"GET / HTTP/1.1{end}X: y", f"GET / HTTP/1.1{end}Host: a{end}{end}GET", f"GET / HTTP/1.1{end}X:"):
        refused(method=method)
        refused(method=method, headers={})


@pytest.mark.parametrize("end", LINE_ENDS)
def test_no_line_end_in_a_target(end: str) -> None:
    for target in (end, "/" + end, end + "/", f"/{end}x", f"/ HTTP/1.1{end}X: y", f"/ HTTP/1.1{end}X:",
                   f"/ HTTP/1.1{end}Host: a{end}{end}GET /smuggled", f"/ HTTP/1.1{end}Content-Length: 5{end}X: y"):
        refused(target=target)
        refused(target=target, headers={})
    refused(target="/" + SMUGGLED)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_no_line_end_in_a_field_or_in_a_trailer(end: str) -> None:
    for name, value in (("X", f"a{end}b"), ("X", f"a{end}Y: smuggled"), (f"X{end}Y", "a"), (f"X: a{end}Y", "b")):
        refused(headers=[("Host", "a"), (name, value)])
        with pytest.raises(ValueError, match="RFC 9110"):
            in_pieces([b"x"], trailers=[(name, value)])
    refused(headers={"Host": f"a{end}b"})


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_a_line_end_at_the_edge_of_a_value_is_no_whitespace(end: str) -> None:
    """CVE-2019-16789: only spaces and tabs are trimmed."""
    for value in (end, "a" + end, end + "a"):
        refused(headers=[("Host", "a"), ("X", value)])
        with pytest.raises(ValueError, match="RFC 9110"):
            in_pieces([b"x"], trailers=[("X", value)])


@pytest.mark.parametrize(("headers", "rule"), [
    ({}, "has a Host"), ({"X": "y"}, "has a Host"), ([("Host", "a"), ("Host", "a")], "occurs once"),
    ([("Host", "a"), ("host", "b")], "occurs once"), ({"Host": "a b"}, "Host is"), ({"Host": "a@b"}, "Host is"),
    ({"Host": "a:x"}, "Host is"), ({"Host": ""}, "Host is"), ({"Host": "a/b"}, "Host is")])
def test_a_request_has_one_sound_host(headers: HeaderSource, rule: str) -> None:
    """RFC 9112 §3.2."""
    refused(f"no server would accept this request: .*{rule}", headers=headers)


@pytest.mark.parametrize("value", ["chunked", "identity", "", "gzip, chunked"])
@pytest.mark.parametrize("name", ["Transfer-Encoding", "transfer-encoding"])
def test_a_transfer_coding_is_not_the_clients_to_set(name: str, value: str) -> None:
    headers = {"Host": "a", name: value}
    refused("for the encoder to set", headers=headers, body=b"x")
    for length in (None, 0, 1):
        with pytest.raises(ValueError, match="for the encoder to set"):
            RequestEncoder().start("POST", "/", headers, length)


@pytest.mark.parametrize("announced", [
    "0", "4", "6", "-5", "+5", "5, 5", "5.0", "0x5", "", "five", "\u0665", "9" * 30, "5 5", "50"])
def test_a_length_that_is_wrong_or_none_is_refused(announced: str) -> None:
    refused(method="POST", headers={"Host": "a", "Content-Length": announced}, body=b"hello")
    with pytest.raises(ValueError, match=r"."):
        RequestEncoder().start("POST", "/", {"Host": "a", "Content-Length": announced}, 5)


def test_a_length_for_no_body_and_two_lengths_and_a_length_of_chunks_are_refused() -> None:
    refused("another length", headers={"Host": "a", "Content-Length": "5"})
    refused("once", headers=[("Host", "a"), ("Content-Length", "5"), ("Content-Length", "5")], body=b"hello")
    with pytest.raises(ValueError, match="exclude each other"):
        RequestEncoder().start("POST", "/", {"Host": "a", "Content-Length": "5"})
    with pytest.raises(ValueError, match="decimal digits"):
        RequestEncoder().start("POST", "/", HOST, -1)


@pytest.mark.parametrize("method", ["", " ", "G T", "GET /", "G:T", "(GET)", "G\xc9T", "GET ", " GET", "\u0130"])
def test_a_method_is_a_token(method: str) -> None:
    refused(method=method)


@pytest.mark.parametrize(("method", "target"), [
    ("GET", ""), ("GET", " "), ("GET", "a"), ("GET", "/a b"), ("GET", "/\xe9"), ("GET", "/\u20ac"), ("GET", "/#x"),
    ("GET", "/%"), ("GET", "/%zz"), ("GET", "*"), ("GET", "a:80"), ("GET", "ftp://a/"), ("GET", "http://a@b/"),
    ("CONNECT", "/"), ("CONNECT", "a"), ("CONNECT", "a:"), ("OPTIONS", "**"), ("GET", "/ HTTP/1.1"),
    ("GET", "/ HTTP/1.0"), ("GET", "/\t"), ("GET", "/\x7f"), ("GET", "/\x85"), ("GET", "/\u2028"), ("GET", "/\ud800")])
def test_a_target_has_a_form_that_its_method_may_have(method: str, target: str) -> None:
    """RFC 9112 §3.2. What is beyond ASCII has to be percent-encoded by whoever knows how."""
    refused(method=method, target=target)


@pytest.mark.parametrize("beyond", ["\u0100", "\u20ac", "\ud800"])
def test_what_is_no_byte_in_a_request_line_is_refused_in_a_sentence(beyond: str) -> None:
    refused(r"^a request line has no character beyond U\+00FF$", target="/" + beyond)
    refused(r"^a request line has no character beyond U\+00FF$", method="G" + beyond)


@pytest.mark.parametrize("value", ["\u20ac", "a\u2028b", "\ud800", "a\x7f", "\x1b[2J"])
def test_no_character_that_no_field_may_carry(value: str) -> None:
    refused("RFC 9110", headers={"Host": "a", "X": value})
    with pytest.raises(ValueError, match="RFC 9110"):
        in_pieces([b"x"], trailers={"X": value})


@pytest.mark.parametrize("name", ["", "X Y", "X:", "\xe9", "X\t", " X", "(X)"])
def test_a_field_name_is_a_token(name: str) -> None:
    refused("token", headers=[("Host", "a"), (name, "b")])
    with pytest.raises(ValueError, match="token"):
        in_pieces([b"x"], trailers=[(name, "b")])


def test_an_expectation_that_nobody_knows_is_refused() -> None:
    refused("100-continue", method="POST", headers={"Host": "a", "Expect": "x"}, body=b"y")


@pytest.mark.parametrize(("limits", "request_"), [
    (Limits(request_line=20), {"target": "/" + "a" * 7}),
    (Limits(head=40), {"headers": {"Host": "a", "X": "y" * 9}}),
    (Limits(fields=2), {"headers": {"Host": "a", "X": "y", "Y": "z"}}),
    (Limits(body=4), {"method": "PUT", "body": b"hello"})])
def test_what_is_beyond_the_limits_of_the_server_is_refused_and_not_cut(
        limits: Limits, request_: dict[str, Any]) -> None:
    refused("RFC", limits=limits, **request_)
    wider = Limits(request_line=limits.request_line + 1, head=limits.head + 1, fields=limits.fields + 1,
                   body=limits.body + 1)
    assert read([encoded(limits=wider, **request_)], wider)[-1] == CLEAN_END


def test_a_body_in_pieces_that_is_not_as_long_as_announced_is_an_error() -> None:
    for pieces in ([b"hell"], [b"hello", b"!"], [], [b"hello!"]):
        with pytest.raises(RuntimeError, match="Content-Length"):
            in_pieces(pieces, length=5)


def test_nothing_of_a_body_that_is_too_long_leaves_the_encoder() -> None:
    _, body = RequestEncoder().start("POST", "/", HOST, 5)
    assert body.encode(b"hel") == b"hel"
    with pytest.raises(RuntimeError):
        body.encode(b"lo!")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host", "Set-Cookie"])
def test_what_frames_or_routes_is_no_trailer(name: str) -> None:
    with pytest.raises(ValueError, match=r"§6\.5\.1"):
        in_pieces([b"x"], trailers=[("Digest", "y"), (name, "0")])


def test_only_a_chunked_body_has_trailers() -> None:
    """RFC 9110 §6.5."""
    for length, pieces in ((0, []), (1, [b"x"])):
        with pytest.raises(RuntimeError, match="trailers"):
            in_pieces(pieces, length=length, trailers={"X": "y"})
    assert BodyEncoder(0).finish({}) == b""


# Properties


def some_headers() -> st.SearchStrategy[list[tuple[str, str]]]:
    host = st.tuples(as_cased("Host"), hosts())
    return st.builds(lambda others, own: [*others, own],
                     st.lists(st.tuples(field_names(), field_values()), max_size=4), host)


def told_of(target: Target, headers: list[tuple[str, str]], length: int | None, framing: list[tuple[str, str]],
            content: bytes, trailers: tuple[tuple[str, str], ...] = ()) -> list[Seen]:
    """What our parser must tell of a request."""
    authority = headers[-1][1] if target.authority is None else target.authority
    head = ("head", target.method, target.text, "1.1", target.path, target.query_string, authority,
            (*headers, *framing), length, True, False)
    return [head, *([("data", content)] if content else []), ("end", trailers), CLEAN_END]


@given(targets(), some_headers(), st.just(b"") | bodies(), st.data())
def test_our_own_parser_reads_what_was_meant(
        target: Target, headers: list[tuple[str, str]], body: bytes, data: st.DataObject) -> None:
    raw = encoded(target.method, target.text, headers, body)
    announced = body or target.method in ("POST", "PUT", "PATCH")
    framing = [("Content-Length", str(len(body)))] if announced else []
    expected = told_of(target, headers, len(body), framing, body)
    assert read([raw]) == expected
    assert read(data.draw(cuts(raw))) == expected


@given(targets(), some_headers(), st.lists(bodies() | st.just(b""), max_size=4),
       st.lists(st.tuples(field_names(), field_values()), max_size=3))
def test_our_own_parser_reads_chunks_and_trailers(
        target: Target, headers: list[tuple[str, str]], pieces: list[bytes], trailers: list[tuple[str, str]]) -> None:
    raw = in_pieces(pieces, headers, None, trailers, target.method, target.text)
    expected = told_of(target, headers, None, [("Transfer-Encoding", "chunked")], b"".join(pieces), tuple(trailers))
    assert read([raw]) == expected
    assert read(byte_by_byte(raw)) == expected


@given(st.lists(st.tuples(st.sampled_from(["GET", "POST"]), st.just(b"") | bodies()), min_size=1, max_size=4))
def test_requests_joined_are_the_same_requests_in_order(several: list[tuple[str, bytes]]) -> None:
    encoder = RequestEncoder()
    raw = b"".join([encoder.encode(method, f"/{number}", HOST, body) for number, (method, body) in enumerate(several)])
    told = read([raw])
    assert [event[1:3] for event in told if event[0] == "head"] == [
        (method, f"/{number}") for number, (method, _) in enumerate(several)]
    assert [event[1] for event in told if event[0] == "data"] == [body for _, body in several if body]


@given(requests())
def test_whatever_a_parser_read_can_be_sent_on(sent: SentRequest) -> None:
    """What a proxy does: the framing and the version are its own, all else is as it came."""
    kept = [(name, value) for name, value in sent.fields
            if name.lower() not in ("transfer-encoding", "content-length", "host")]
    headers = [*kept, ("Host", sent.authority or "a")]
    if sent.target.startswith("http") and not sent.authority:
        return
    raw = encoded(sent.method, sent.target, headers, sent.body)
    told = read([raw])
    assert told[-1] == CLEAN_END
    assert told[0][1:3] == (sent.method, sent.target)
    assert told[0][4:7] == (sent.path, sent.query_string, sent.authority or "a")
    assert [event[1] for event in told if event[0] == "data"] == ([sent.body] if sent.body else [])


@given(st.text(max_size=12) | tokens(), st.text(max_size=20) | st.just("/"),
       st.lists(st.tuples(st.text(max_size=6) | field_names(), st.text(max_size=12) | field_values()), max_size=2))
def test_whatever_is_asked_for_one_request_goes_out_or_a_value_error(
        method: str, target: str, headers: list[tuple[str, str]]) -> None:
    try:
        raw = encoded(method, target, [*headers, ("Host", "a")])
    except ValueError:
        return
    told = read([raw])
    assert [event[0] for event in told] == ["head", "end", "CLOSED"]
    assert told[0][1:3] == (method, target)
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")


@given(st.sampled_from([*LINE_ENDS, " ", "\t", "\x0b", "\x85", "\u2028", ":"]), st.sampled_from([
    "", "X: y", " HTTP/1.1", "GET /smuggled HTTP/1.1", "Host: b", "Content-Length: 5"]), st.data())
def test_what_line_ends_build_is_never_a_second_request(end: str, rest: str, data: st.DataObject) -> None:
    words = st.lists(st.sampled_from([end, rest, "/", "GET", " HTTP/1.1", "Host: a", "\r\n"]), max_size=6).map("".join)
    try:
        raw = encoded(data.draw(words | st.just("GET")), data.draw(words | st.just("/")), HOST)
    except ValueError:
        return
    told = read([raw])
    assert [event[0] for event in told] == ["head", "end", "CLOSED"]
    assert raw.count(b"\r\n") <= 4


# Readers that are not ours

@given(targets().filter(lambda target: target.method != "CONNECT"), some_headers(),
       st.lists(bodies(), max_size=3), st.booleans(), st.lists(st.tuples(field_names(), field_values()), max_size=2))
def test_h11_reads_what_was_meant(target: Target, headers: list[tuple[str, str]], pieces: list[bytes], chunked: bool,
                                  trailers: list[tuple[str, str]]) -> None:
    h11 = pytest.importorskip("h11")
    body = b"".join(pieces)
    if chunked:
        raw = in_pieces(pieces, headers, None, trailers, target.method, target.text)
    else:
        raw = encoded(target.method, target.text, headers, body)
    server = h11.Connection(h11.SERVER)
    server.receive_data(raw)
    request = server.next_event()
    assert (request.method.decode(), request.target.decode(), request.http_version) == (
        target.method, target.text, b"1.1")
    told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw_items()]
    assert told[:len(headers)] == headers
    content = b""
    while isinstance(event := server.next_event(), h11.Data):
        content += bytes(event.data)
    assert content == body
    assert isinstance(event, h11.EndOfMessage)
    if chunked:
        assert [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()] \
            == trailers
    assert server.trailing_data == (b"", False)


@given(targets(), some_headers(), st.just(b"") | bodies())
def test_the_standard_library_reads_what_was_meant(
        target: Target, headers: list[tuple[str, str]], body: bytes) -> None:
    """As `http.server` does: the request line is words, the fields are read by `http.client`."""
    raw = encoded(target.method, target.text, headers, body)
    file = io.BytesIO(raw)
    assert file.readline().decode("latin-1").split(" ") == [target.method, target.text, "HTTP/1.1\r\n"]
    told = http.client.parse_headers(file)
    assert told.items()[:len(headers)] == headers
    assert file.read(int(told.get("Content-Length", "0"))) == body
    assert file.read() == b""
