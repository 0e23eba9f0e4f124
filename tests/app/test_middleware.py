"""What stands around all handlers: each middleware, for answers at once and later, and what attacks it."""

from __future__ import annotations

import base64
import gzip as oracle
import hmac
import json
import re
import threading
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE, answer, content, make_request
from evloop_http import App, FileBody, HTTPError, Request, Response, Server, StaticFiles
from evloop_http.app.middleware import (
    CallNext,
    authentication,
    basic_auth,
    body_limit,
    compression,
    cors,
    etag,
    gzip,
    method_override,
    request_id,
    security_headers,
)
from evloop_http.app.problems import problem_response
from evloop_http.messages import GATHER, Headers, Pipe, RequestHead
from evloop_http.messages.futures import LATE
from evloop_http.messages.response import AT_ONCE

Make = Callable[[], Response]


def outcome(application: Callable[[Request], Any], request: Request) -> Response:
    """The answer, also to a refusal that is raised: what an `App` makes of it."""
    try:
        return answer(application, request)
    except HTTPError as error:
        return problem_response(request, error)


def delayed(middleware: Any, request: Request, make: Make) -> Response:
    """The answer to a request through a middleware whose handler returns a future that is not done."""
    pending: Future[Response] = Future()
    app = App()
    app.middleware(middleware)
    app.route("/", [request.method])(lambda request: pending)
    answer = app(request)
    if isinstance(answer, LATE):
        assert not answer.done()
        pending.set_result(make())
        return answer.result(0)
    return answer


def through(middleware: Any, request: Request, make: Make = Response) -> Response:
    """The answer to a request through a middleware; the same whether it comes at once or in a future."""
    at_once = outcome(lambda request: middleware(request, lambda request: make()), request)
    in_future = delayed(middleware, request, make)
    assert at_once.status == in_future.status
    varying = re.compile("[0-9a-f]{32}")  # an id that is made up
    assert [(name, varying.sub("", value)) for name, value in at_once.headers.pairs()] == [
        (name, varying.sub("", value)) for name, value in in_future.headers.pairs()]
    in_future.close()
    return at_once


def get(*fields: tuple[str, str], **more: Any) -> Request:
    return make_request("GET", "/", fields, **more)


# -- request_id


@pytest.mark.parametrize("sent", ["a", "7f9c-1", "a" * 128, "Root.1_x~y"])
def test_a_sane_id_is_kept(sent: str) -> None:
    request = get(("X-Request-ID", sent))
    assert through(request_id(), request).headers["X-Request-ID"] == sent == request.id


@pytest.mark.parametrize("fields", [
    [], [("X-Request-ID", "")], [("X-Request-ID", "a" * 129)], [("X-Request-ID", "a b")], [("X-Request-ID", "a\tb")],
    [("X-Request-ID", "\xfc")], [("X-Request-ID", "<script>")], [("X-Request-ID", "a"), ("X-Request-ID", "b")],
])
def test_any_other_id_is_made_up_and_never_twice(fields: list[tuple[str, str]]) -> None:
    made = set()
    for _ in range(2):
        request = get(*fields)
        through(request_id(), request)
        assert re.fullmatch("[0-9a-f]{32}", request.id)
        made.add(request.id)
    assert len(made) == 2


def test_a_handler_and_its_error_page_know_the_id() -> None:
    app = App()
    app.middleware(request_id("X-Trace"))

    @app.get("/")
    def handler(request: Request) -> str:
        raise HTTPError(404, "gone" + request.id)

    response = answer(app, get(("X-Trace", "abc"), ("Accept", "application/json")))
    assert response.headers.get_all("X-Trace") == ["abc"]
    assert json.loads(content(response))["request_id"] == "abc"
    with pytest.raises(ValueError, match="token"):
        request_id("X Trace")


def test_a_request_has_an_empty_id_without_the_middleware() -> None:
    assert make_request().id == ""


# -- gzip

LONG = b"compress me " * 1000
TEXT = {"Content-Type": "text/plain"}


def text() -> Response:
    return Response(LONG, headers=TEXT)


def test_a_text_is_compressed_for_who_takes_it() -> None:
    response = through(gzip(), get(("Accept-Encoding", "gzip, br")), text)
    assert (response.headers["Content-Encoding"], response.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert isinstance(response.body, bytes)
    assert len(response.body) < len(LONG) / 10
    assert oracle.decompress(response.body) == LONG


@pytest.mark.parametrize("accepted", [
    None, "", "br", "identity", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *;q=1", "GZIP;Q=0",
    "identity;q=1, gzip;q=0.5", "identity, *;q=0.5", "gzip;q=x", "gzipped", "deflate",
])
def test_who_does_not_take_it_or_likes_it_less_gets_the_plain_answer(accepted: str | None) -> None:
    fields = [] if accepted is None else [("Accept-Encoding", accepted)]
    response = through(gzip(), get(*fields), text)
    assert response.body == LONG
    assert "Content-Encoding" not in response.headers
    assert response.headers["Vary"] == "Accept-Encoding"  # or a cache would give it to who could take the other


@pytest.mark.parametrize("accepted", ["gzip", "GZip;q=0.001", "*", "*;q=0.5", "identity;q=0, gzip;q=0.1",
                                      "gzip;q=0.5, identity;q=0.5", "br;q=1, gzip;q=0.2"])
def test_who_takes_it_gets_it(accepted: str) -> None:
    assert through(gzip(), get(("Accept-Encoding", accepted)), text).headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "TEXT/CSS", "application/json",
                                          "application/problem+json", "image/svg+xml", "application/javascript"])
def test_what_is_text_is_compressed(content_type: str) -> None:
    response = through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response(LONG, content_type=content_type))
    assert response.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("made", [
    (LONG, 200, {"Content-Type": "image/png"}), (LONG, 200, {"Content-Type": ""}),
    (LONG, 200, {**TEXT, "Content-Encoding": "br"}), (b"", 204, TEXT),
    (LONG, 206, {"Content-Type": "image/png"}), (b"", 304, {"Cache-Control": "no-transform"}),
    (b"", 200, TEXT), (b"x" * 1023, 200, TEXT), (LONG, 200, {**TEXT, "Content-Range": "bytes 0-1/2"}),
    (LONG, 200, {**TEXT, "Cache-Control": "max-age=1, No-Transform"}),
    (LONG, 200, {**TEXT, "Content-Digest": "sha-256=:x:"}), (LONG, 200, {**TEXT, "Repr-Digest": "sha-256=:x:"}),
])
def test_what_is_not_to_be_compressed_is_left_as_it_is(made: tuple[bytes, int, dict[str, str]]) -> None:
    response = through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response(*made))
    assert (response.body, response.headers.pairs()) == (made[0], Response(*made).headers.pairs())


def test_whether_a_text_is_compressed_does_not_depend_on_how_well_that_works() -> None:
    noise = b"".join(hmac.digest(b"", b"%d" % number, "sha256") for number in range(64))
    response = through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response(noise, headers=TEXT))
    assert oracle.decompress(content(response)) == noise  # a 304 must know the tag of its 200 without its body
    assert len(noise) < 2100


def test_a_request_for_a_part_is_never_answered_compressed() -> None:
    response = through(gzip(), get(("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")), text)
    assert (response.body, response.headers["Vary"]) == (LONG, "Accept-Encoding")
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(("before", "after"), [('"t"', 'W/"t"'), ('W/"t"', 'W/"t"')])
def test_a_compressed_answer_has_a_weak_tag_no_ranges_and_its_own_length(before: str, after: str) -> None:
    def made() -> Response:
        return Response(LONG, headers={**TEXT, "ETag": before, "Accept-Ranges": "bytes", "Vary": "Origin",
                                       "Content-Length": str(len(LONG))})

    response = through(gzip(), get(("Accept-Encoding", "gzip")), made)
    assert sorted(response.headers.pairs()) == [("Content-Encoding", "gzip"), ("Content-Type", "text/plain"),
                                                ("ETag", after), ("Vary", "Origin, Accept-Encoding")]
    assert through(gzip(), get(), made).headers["ETag"] == before


def test_who_got_it_compressed_finds_it_again_by_304() -> None:
    def around(request: Request) -> Response:
        return through(lambda request, call_next: gzip()(request, lambda request: etag()(request, call_next)),
                       request, text)

    tag = around(get(("Accept-Encoding", "gzip"))).headers["ETag"]
    assert tag.startswith('W/"')
    again = around(get(("Accept-Encoding", "gzip"), ("If-None-Match", tag)))
    assert (again.status, again.headers["ETag"], again.headers["Vary"]) == (304, tag, "Accept-Encoding")
    plain = around(get(("If-None-Match", tag.removeprefix("W/"))))
    assert (plain.status, plain.headers["ETag"]) == (304, tag.removeprefix("W/"))


def site_of(folder: Path) -> App:
    """Files of several kinds and sizes, and answers with a tag of their own, behind `gzip`."""
    for name, size in (("small.txt", 2000), ("short.txt", 1000), ("middle.txt", 200_000), ("huge.txt", 1_100_000),
                       ("picture.png", 2000)):
        (folder / name).write_bytes(b"x" * size)
    app, tagged = App(), App()
    app.middleware(gzip())
    tagged.middleware(etag())
    tagged.get("/long")(lambda request: Response(LONG, headers=TEXT))
    tagged.get("/brief")(lambda request: Response(b"brief", headers=TEXT))
    tagged.get("/fixed")(lambda request: Response(LONG, headers={**TEXT, "Cache-Control": "no-transform"}))
    app.mount("/tagged", tagged)
    app.mount("/files", StaticFiles(folder))
    return app


def about_caching(response: Response) -> dict[str, str]:
    """The fields that a 206 and a 304 must have if their 200 has them (RFC 9110 §15.3.7, §15.4.5)."""
    response.close()
    names = ("Cache-Control", "Content-Location", "ETag", "Expires", "Vary")
    return {name: response.headers[name] for name in names if name in response.headers}


@pytest.mark.parametrize("accepted", ["gzip", "identity", "gzip;q=0"])
@pytest.mark.parametrize("target", [
    "/files/small.txt", "/files/short.txt", "/files/middle.txt", "/files/huge.txt", "/files/picture.png",
    "/tagged/long", "/tagged/brief", "/tagged/fixed",
])
def test_a_304_and_a_206_say_about_caching_what_their_200_says(tmp_path: Path, target: str, accepted: str) -> None:
    app = site_of(tmp_path)

    def ask(**fields: str) -> Response:
        sent = {name.replace("_", "-"): value for name, value in fields.items()}
        return answer(app, make_request("GET", target, {"Accept-Encoding": accepted, **sent}))

    plain = ask()
    whole, tag = about_caching(plain), plain.headers["ETag"].removeprefix("W/")
    varies = target in ("/files/small.txt", "/files/middle.txt", "/tagged/long")
    assert ("Vary" in whole) is varies
    assert whole["ETag"] == (f"W/{tag}" if varies and accepted == "gzip" else tag)
    conditions = [{"If_None_Match": tag}, {"If_None_Match": f"W/{tag}"}, {"If_None_Match": f'"x", W/{tag}, {tag}'}]
    if "Last-Modified" in plain.headers:
        conditions.append({"If_Modified_Since": plain.headers["Last-Modified"]})
    for condition in conditions:
        unchanged = ask(**condition)
        assert (unchanged.status, about_caching(unchanged)) == (304, whole)
    if target.startswith("/files/"):
        ignored = ask(Range="bytes=0-9", If_Range='"another"')
        assert ignored.status == 200
        for ranges in ("bytes=0-9", "bytes=0-9,500-509"):
            part = ask(Range=ranges)
            assert part.status == 206
            assert about_caching(part) == about_caching(ignored)


def test_an_answer_in_the_place_of_an_unknown_200_is_taken_to_depend_on_the_coding() -> None:
    tagged = {"ETag": '"t"'}
    for accepted, tag in (("gzip", 'W/"t"'), ("identity", '"t"')):
        request = get(("Accept-Encoding", accepted))
        unchanged = through(gzip(), request, lambda: Response(status=304, headers=tagged))
        assert about_caching(unchanged) == {"ETag": tag, "Vary": "Accept-Encoding"}
    part = through(gzip(), get(("Range", "bytes=0-1")), lambda: Response(
        b"ab", 206, {**TEXT, **tagged, "Content-Range": "bytes 0-1/5000"}))
    assert about_caching(part) == {"ETag": '"t"', "Vary": "Accept-Encoding"}


def test_pieces_are_compressed_one_by_one_so_that_each_can_be_read_when_it_comes() -> None:
    ended = []

    def pieces() -> Iterator[bytes]:
        try:
            yield from (b"first ", b"", b"second")
        finally:
            ended.append("yes")

    response = through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response(pieces(), headers=TEXT))
    assert not isinstance(response.body, bytes | FileBody)
    reader = zlib.decompressobj(31)
    assert [reader.decompress(piece) for piece in response.body] == [b"first ", b"", b"second", b""]
    assert reader.eof
    assert list(response.body) == []
    response.close()
    assert ended


def test_pieces_that_nobody_asked_for_are_let_go(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LONG)
    lines = open(tmp_path / "a", "rb")  # noqa: SIM115
    gzip()(get(("Accept-Encoding", "gzip")), lambda request: Response(lines, headers=TEXT)).close()
    assert lines.closed
    through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response([b"x"], headers=TEXT)).close()


def test_a_long_body_goes_out_in_pieces_and_is_the_same() -> None:
    long = b"0123456789abcdef" * (AT_ONCE // 16) + b"end"
    response = through(gzip(), get(("Accept-Encoding", "gzip")), lambda: Response(long, headers=TEXT))
    assert not isinstance(response.body, bytes | FileBody)
    pieces = list(response.body)
    assert len(pieces) > 4
    assert oracle.decompress(b"".join(pieces)) == long


def test_a_file_is_compressed_if_it_is_small_and_left_to_the_kernel_if_it_is_large(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" + LONG * 20 + b"y")

    def made(length: int) -> Callable[[], Response]:
        return lambda: Response(FileBody(open(path, "rb"), 1, length), headers=TEXT)

    request = get(("Accept-Encoding", "gzip"))
    assert oracle.decompress(content(through(gzip(), request, made(len(LONG) * 20)))) == LONG * 20
    large = through(gzip(), request, made(compression.LARGEST_FILE + 1))
    assert isinstance(large.body, FileBody)
    large.close()
    short = through(gzip(), request, made(1023))
    assert isinstance(short.body, FileBody)
    short.close()
    shrunk = through(gzip(), request, made(len(LONG) * 20 + 2))
    with pytest.raises(OSError, match="shrunk"):  # cut off without a word, it would be taken for whole
        content(shrunk)


def test_a_pipe_is_compressed_so_that_each_piece_can_be_read_when_it_is_written() -> None:
    pipe = Pipe(heartbeat=b":\n\n")
    request = get(("Accept-Encoding", "gzip"))
    response = gzip()(request, lambda request: Response(pipe, headers=TEXT))
    assert response.body is pipe
    assert response.headers["Content-Encoding"] == "gzip"
    reader = zlib.decompressobj(31)
    for piece in (b"first ", b"second"):
        pipe.write(piece)
        assert reader.decompress(pipe.read()) == piece
    assert reader.decompress(pipe.beat()) == b":\n\n"
    pipe.write(b"last")
    pipe.end()
    assert reader.decompress(pipe.read()) == b"last"
    assert reader.eof
    assert pipe.finished


@given(st.binary(max_size=5000), st.integers(1, 9))
def test_whatever_is_compressed_is_read_back(body: bytes, level: int) -> None:
    response = through(gzip(0, level), get(("Accept-Encoding", "gzip")), lambda: Response(body, headers=TEXT))
    data = content(response)
    assert (oracle.decompress(data) if "Content-Encoding" in response.headers else data) == body


def test_compression_over_the_wire_is_what_a_client_reads() -> None:
    app = App()
    app.middleware(gzip())
    app.get("/bytes")(lambda request: text())
    app.get("/pieces")(lambda request: Response(iter([LONG, LONG]), headers=TEXT))
    with Server(app).in_thread() as server:
        client = HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=PATIENCE)
        for path, expected in (("/bytes", LONG), ("/pieces", LONG * 2)):
            client.request("GET", path, headers={"Accept-Encoding": "gzip"})
            assert oracle.decompress(client.getresponse().read()) == expected
        client.request("HEAD", "/bytes", headers={"Accept-Encoding": "gzip"})
        assert client.getresponse().headers["Content-Encoding"] == "gzip"
        client.close()


@pytest.mark.parametrize("arguments", [{"level": 0}, {"level": 10}, {"minimum": -1}])
def test_gzip_takes_no_other_level(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="level"):
        gzip(**arguments)


# -- security_headers


def test_the_usual_headers_are_said() -> None:
    assert through(security_headers(), get()).headers.pairs() == [
        ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "strict-origin-when-cross-origin"), ("Cross-Origin-Opener-Policy", "same-origin")]


def test_what_a_handler_says_stands_and_is_said_once() -> None:
    response = through(security_headers(content_security_policy="default-src 'self'"), get(),
                       lambda: Response(headers={"content-security-policy": "x", "X-FRAME-OPTIONS": "SAMEORIGIN"}))
    assert response.headers.get_all("Content-Security-Policy") == ["x"]
    assert response.headers.get_all("X-Frame-Options") == ["SAMEORIGIN"]


def test_hsts_is_only_said_over_tls() -> None:
    protect = security_headers(hsts=31_536_000, hsts_subdomains=True, hsts_preload=True)
    assert "Strict-Transport-Security" not in through(protect, get()).headers
    told = through(protect, get(scheme="https")).headers["Strict-Transport-Security"]
    assert told == "max-age=31536000; includeSubDomains; preload"
    assert "Strict-Transport-Security" not in through(security_headers(), get(scheme="https")).headers
    only = through(security_headers(hsts=5), get(scheme="https")).headers
    assert only["Strict-Transport-Security"] == "max-age=5"


def test_headers_may_be_left_out_and_others_said() -> None:
    protect = security_headers(frame_options=None, referrer_policy=None, opener_policy=None,
                               permissions_policy="camera=()")
    assert through(protect, get()).headers.pairs() == [("X-Content-Type-Options", "nosniff"),
                                                       ("Permissions-Policy", "camera=()")]


@pytest.mark.parametrize("wrong", [{"hsts": -1}, {"hsts": 100, "hsts_subdomains": True, "hsts_preload": True},
                                   {"hsts": 31_536_000, "hsts_preload": True},
                                   {"content_security_policy": "a\r\nX-Evil: 1"}, {"frame_options": "\0"}])
def test_a_header_that_is_none_is_found_when_the_middleware_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        security_headers(**wrong)


# -- cors

APP = "https://app.example"


def cross(origin: str = APP, method: str = "GET", *more: tuple[str, str]) -> Request:
    return make_request(method, "/", [("Origin", origin), *more])


def preflight(origin: str = APP, wanted: str = "PUT") -> Request:
    return cross(origin, "OPTIONS", ("Access-Control-Request-Method", wanted),
                 ("Access-Control-Request-Headers", "x-evil"))


def said(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.pairs() if name.startswith("Access-Control-")}


def test_a_listed_origin_is_admitted() -> None:
    share = cors([APP, "http://[::1]:8080"], expose=["X-A", "X-B"], credentials=True)
    response = through(share, cross())
    assert said(response) == {"Access-Control-Allow-Origin": APP, "Access-Control-Allow-Credentials": "true",
                              "Access-Control-Expose-Headers": "X-A, X-B"}
    assert response.headers["Vary"] == "Origin"
    assert said(through(cors(APP), cross())) == {"Access-Control-Allow-Origin": APP}
    assert said(through(share, cross("http://[::1]:8080")))["Access-Control-Allow-Origin"] == "http://[::1]:8080"


@pytest.mark.parametrize("origin", [
    "null", "", "*", "https://evil.example", "http://app.example", "https://app.example.evil.example",
    "https://evilapp.example", "https://app.example:443", "https://app.example/", "HTTPS://APP.EXAMPLE",
    "https://app.example, https://evil.example", "https://app.example https://evil.example", "file://",
    "https://app_example", "https://app.example\t.evil", "app.example", "\xfc"])
def test_no_other_origin_is_ever_sent_back(origin: str) -> None:
    share = cors([APP, "https://other.example"], credentials=True, headers=["X-A"])
    response = through(share, cross(origin))
    assert (response.status, said(response), response.headers["Vary"]) == (200, {}, "Origin")
    refused = through(share, preflight(origin))
    assert (refused.status, said(refused)) == (403, {})
    assert "Origin" in refused.headers["Vary"]
    assert "evil" not in content(refused).decode()


def test_two_origins_in_one_request_are_none() -> None:
    request = make_request("GET", "/", [("Origin", APP), ("Origin", APP)])
    assert said(through(cors([APP]), request)) == {}


def test_an_answer_without_origin_varies_all_the_same() -> None:
    response = through(cors([APP]), get())
    assert (said(response), response.headers["Vary"]) == ({}, "Origin")


def test_every_origin_may_read_what_is_open_to_all_but_without_credentials() -> None:
    for origin in (APP, "null", "https://evil.example"):
        response = through(cors("*"), cross(origin))
        assert said(response) == {"Access-Control-Allow-Origin": "*"}
        assert "Vary" not in response.headers


def test_a_preflight_is_answered_without_a_handler() -> None:
    def never() -> Response:
        raise AssertionError("a preflight is no request")

    share = cors([APP], methods=["GET", "PUT"], headers=["Content-Type"], expose=["X-A"], credentials=True, max_age=5)
    response = through(share, preflight(), never)
    assert (response.status, response.body) == (204, b"")
    assert said(response) == {"Access-Control-Allow-Origin": APP, "Access-Control-Allow-Credentials": "true",
                              "Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Max-Age": "5",
                              "Access-Control-Allow-Headers": "Content-Type"}  # what was asked for is not sent back
    assert response.headers["Vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert "Access-Control-Allow-Headers" not in said(through(cors("*"), preflight(), never))


def test_options_that_is_no_preflight_goes_to_the_handler() -> None:
    for request in (cross(method="OPTIONS"), make_request("OPTIONS", "/", {"Access-Control-Request-Method": "PUT"})):
        assert through(cors([APP]), request, lambda: Response(status=299)).status == 299


def test_what_a_handler_said_of_origins_is_not_said_twice() -> None:
    response = through(cors([APP]), cross(), lambda: Response(headers={"access-control-allow-origin": "*",
                                                                      "Vary": "Origin, Accept"}))
    assert response.headers.get_all("Access-Control-Allow-Origin") == [APP]
    assert response.headers.get_all("Vary") == ["Origin, Accept"]


@pytest.mark.parametrize("origins", ["null", "https://app.example/", "https://App.example", "https://app.example:443",
                                     "http://app.example:80", "app.example", "https://*.example", ["*", APP],
                                     "https://app.example\r\nX: y", "", "https://a@b.example"])
def test_an_origin_that_no_browser_sends_is_refused(origins: Any) -> None:
    with pytest.raises(ValueError, match="browser"):
        cors(origins)


@pytest.mark.parametrize("wrong", [
    {"origins": "*", "credentials": True}, {"origins": APP, "credentials": True, "headers": ["*"]},
    {"origins": APP, "credentials": True, "methods": ["*"]}, {"origins": APP, "credentials": True, "expose": "*"},
    {"origins": APP, "headers": ["a\r\nb"]}, {"origins": APP, "methods": ["a b"]}, {"origins": APP, "max_age": -1}])
def test_credentials_never_go_with_a_star(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"credentials|negative"):
        cors(**wrong)


def test_an_origin_is_admitted_to_errors_and_refusals_too() -> None:
    app = App()
    app.middleware(cors([APP]))
    app.middleware(basic_auth({"a": "b"}, "x"))
    response = answer(app, cross())
    assert (response.status, said(response)) == (401, {"Access-Control-Allow-Origin": APP})
    assert answer(app, preflight()).status == 204  # a browser sends no password with it


# -- basic_auth

USERS = {"ada": "secret", "jörg": "pä:ß", "nobody": ""}


def basic(name: str, password: str, scheme: str = "Basic") -> Request:
    return get(("Authorization", f"{scheme} {base64.b64encode(f'{name}:{password}'.encode()).decode()}"))


def whoami(request: Request, call_next: CallNext) -> Any:
    return basic_auth(USERS, "x")(request, lambda request: Response(request.user))


@pytest.mark.parametrize(("name", "password"), [*USERS.items(), (unicodedata.normalize("NFD", "jörg"), "pä:ß")])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
def test_who_knows_the_password_is_let_in_by_name(name: str, password: str, scheme: str) -> None:
    response = whoami(basic(name, password, scheme), lambda request: Response())
    assert (response.status, response.body.decode()) == (200, unicodedata.normalize("NFC", name))


def authorization(*values: str) -> Request:
    """Made without our parser, which takes only one such field."""
    headers = Headers([("Authorization", value) for value in values])
    return Request(RequestHead("GET", "/", "1.1", headers, "/"))


GOOD = base64.b64encode(b"ada:secret").decode()


@pytest.mark.parametrize("request_", [
    basic("ada", "Secret"), basic("ada", ""), basic("ada", "secretx"), basic("Ada", "secret"), basic("", ""),
    basic("eve", "secret"), basic("eve", ""), basic("", "secret"), basic("ada", "secret", "Bearer"),
    get(), authorization(""), authorization("Basic"), authorization("Basic " + GOOD[:-1]),
    authorization(f"Basic {GOOD}", f"Basic {GOOD}"), authorization(f"Basic {GOOD}, x"), authorization(f"Basic\t{GOOD}"),
    authorization(f"Basic {GOOD[:4]} {GOOD[4:]}"), authorization(f"Basic {GOOD[:4]}!{GOOD[4:]}"),
    authorization("Basic " + base64.b64encode(b"nobody").decode()), authorization("Basic \xfc"),
    authorization("Basic " + base64.b64encode(b"ada:secret\x00").decode()),
    authorization("Basic " + base64.b64encode("jörg:pä:ß".encode("latin-1")).decode()),
])
def test_anybody_else_is_challenged(request_: Request) -> None:
    def never() -> Response:
        raise AssertionError("nobody is to get here")

    response = through(basic_auth(USERS, 'the "back" \\office'), request_, never)
    assert response.status == 401
    assert response.headers.get_all("WWW-Authenticate") == [
        'Basic realm="the \\"back\\" \\\\office", charset="UTF-8"']
    assert not hasattr(request_, "user")


def test_a_function_may_check() -> None:
    asked = []

    def check(name: str, password: str) -> bool:
        asked.append((name, password))
        return password == "x:y"

    assert through(basic_auth(check, "x"), basic("ü", "x:y")).status == 200
    assert through(basic_auth(check, "x"), basic("ü", "z")).status == 401
    assert asked == [("ü", "x:y")] * 2 + [("ü", "z")] * 2
    assert through(basic_auth(check, "x"), get()).status == 401
    assert len(asked) == 4


def test_digests_are_compared_in_constant_time_whether_the_name_is_known_or_not(
        monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def recording(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    check = basic_auth(USERS, "x")
    for name, password in (("ada", "secret"), ("ada", "x"), ("eve", "x" * 700), ("eve", "")):
        outcome(lambda request: check(request, lambda request: Response()), basic(name, password))
    assert len(compared) == 4
    assert {len(side) for pair in compared for side in pair} == {32}
    assert b"secret" not in b"".join(side for pair in compared for side in pair)


@given(st.text(st.characters(exclude_categories=["C"]), max_size=10),
       st.text(st.characters(exclude_categories=["C"]), max_size=10))
def test_any_name_and_password_are_read_as_they_were_sent(name: str, password: str) -> None:
    header = basic(name, password).headers["authorization"]
    expected = unicodedata.normalize("NFC", f"{name}:{password}").partition(":")
    assert authentication.credentials(header) == (expected[0], expected[2])


@pytest.mark.parametrize("control", ["\0", "\t", "\n", "\x7f", "\x85"])
def test_a_name_or_password_with_a_control_character_is_none(control: str) -> None:
    for name, password in ((f"a{control}", "b"), ("a", f"b{control}")):
        assert authentication.credentials(basic(name, password).headers["authorization"]) is None


def test_a_password_is_the_same_however_its_accents_are_written() -> None:
    composed, apart = "pä", unicodedata.normalize("NFD", "pä")
    for kept in (composed, apart):
        guard = basic_auth({kept: kept}, "x")
        assert [through(guard, basic(sent, sent)).status for sent in (composed, apart)] == [200, 200]


def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the texts that are normalized from now on."""
    lengths = []
    real = unicodedata.normalize

    def recording(form: Any, text: str) -> str:
        lengths.append(len(text))
        return real(form, text)
    monkeypatch.setattr(unicodedata, "normalize", recording)
    return lengths


def test_credentials_of_any_length_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"a": "\u0316\u0301" * 7000, "b": "b" * 700}
    guard = basic_auth(users, "x")
    lengths = normalized(monkeypatch)
    # Combining marks in this order are put in another one, which takes time quadratic in their number.
    assert outcome(lambda request: guard(request, lambda request: Response()), basic("a", users["a"])).status == 401
    assert lengths == []
    assert outcome(lambda request: guard(request, lambda request: Response()), basic("b", users["b"])).status == 200
    assert lengths == []  # ASCII is normal already


def test_credentials_are_read_up_to_1024_bytes() -> None:
    for length, is_read in ((1024, True), (1025, False)):
        header = "Basic" + " " * (length - 5 - len(GOOD)) + GOOD
        assert len(header) == length
        assert (authentication.credentials(header) is not None) is is_read


@given(st.binary(max_size=30))
def test_any_header_holds_a_name_or_none(data: bytes) -> None:
    found = authentication.credentials("Basic " + base64.b64encode(data).decode())
    assert found is None or ":" not in found[0]


@pytest.mark.parametrize("realm", ["a\r\nX: y", "ü", "\0"])
def test_a_realm_that_no_header_can_carry_is_refused(realm: str) -> None:
    with pytest.raises(ValueError, match="realm"):
        basic_auth({}, realm)
    with pytest.raises(ValueError, match="colon"):
        basic_auth({"a:b": "c"}, "x")


# -- body_limit


@pytest.mark.parametrize(("size", "status"), [(0, 200), (10, 200), (11, 413)])
def test_a_body_beyond_the_limit_is_refused(size: int, status: int) -> None:
    assert through(body_limit(10), make_request("POST", body=bytes(size))).status == status


def test_a_body_is_measured_announced_or_not() -> None:
    chunked = RequestHead("POST", "/", "1.1", make_request().headers, "/", content_length=None)
    assert through(body_limit(10), Request(chunked, bytes(11))).status == 413
    assert through(body_limit(10), Request(chunked, bytes(10))).status == 200
    announced = RequestHead("POST", "/", "1.1", make_request().headers, "/", content_length=11)
    assert through(body_limit(10), Request(announced)).status == 413  # before it is invited
    with pytest.raises(ValueError, match="negative"):
        body_limit(-1)


# -- method_override


def overriding(**named: Any) -> App:
    app = App(threads=1, queue=1)
    app.middleware(method_override(app, **named))
    app.post("/{a}")(lambda request, a: f"POST {a}")
    app.put("/{b}")(lambda request, b: f"PUT {b} {request.method}")
    app.delete("/gone")(lambda request: "DELETE")
    app.get("/gone")(lambda request: "GET")
    app.route("/connect", ["CONNECT", "POST"])(lambda request: request.method)
    return app


def posted(*fields: tuple[str, str], path: str = "/x", method: str = "POST", form: bytes = b"") -> Request:
    more = [("Content-Type", "application/x-www-form-urlencoded")] if form else []
    return make_request(method, path, [*fields, *more], form)


@pytest.mark.parametrize(("request_", "status", "body"), [
    (posted(), 200, b"POST x"),
    (posted(("X-Method", "PUT")), 200, b"PUT x PUT"),
    (posted(("X-Method", "put")), 200, b"PUT x PUT"),
    (posted(("X-Method", "DELETE"), path="/gone"), 200, b"DELETE"),
    (posted(form=b"_method=PUT"), 200, b"PUT x PUT"),
    (posted(("X-Method", "DELETE"), path="/gone", form=b"_method=PUT"), 200, b"DELETE"),
    (posted(form=b"method=PUT"), 200, b"POST x"),
    (posted(form=b"_method=%FF"), 200, b"POST x"),
    (posted(("X-HTTP-Method-Override", "PUT")), 200, b"POST x"),
    (posted(("X-Method", "GET"), path="/gone"), 400, None),
    (posted(("X-Method", "CONNECT"), path="/connect"), 400, None),
    (posted(("X-Method", "")), 400, None),
    (posted(("X-Method", "PUT"), ("X-Method", "DELETE")), 400, None),
    (posted(("X-Method", "PATCH")), 405, None),
    (posted(("X-Method", "DELETE"), path="/gone", method="GET"), 200, b"GET"),
    (make_request("POST", "/x", {"Content-Type": "application/json"}, b'{"_method": "PUT"}'), 200, b"POST x"),
])
def test_a_post_stands_for_what_it_says_where_it_was_told_to(request_: Request, status: int,
                                                             body: bytes | None) -> None:
    response = answer(overriding(header="X-Method", field="_method"), request_)
    assert response.status == status
    assert body is None or response.body == body


def test_only_what_was_named_on_purpose_is_read() -> None:
    by_header, by_field = overriding(header="X-Method"), overriding(field="_method")
    assert answer(by_header, posted(form=b"_method=PUT")).body == b"POST x"
    assert answer(by_field, posted(("X-Method", "PUT"))).body == b"POST x"
    for wrong in ({}, {"header": "a b"}, {"header": "", "field": ""}):
        with pytest.raises(ValueError, match="name"):
            method_override(App(), **wrong)


def test_a_handler_that_wants_a_thread_gets_one_by_its_other_name_too() -> None:
    app = App(threads=1, queue=0)
    app.middleware(method_override(app, header="X-Method"))
    go_on, begun = threading.Event(), threading.Event()

    @app.put("/x", threaded=True)
    def handler(request: Request) -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        return threading.current_thread().name

    def failing(request: Request) -> str:
        raise HTTPError(418)

    app.route("/both", ["POST", "PUT"], threaded=True)(lambda request: request.method)
    app.patch("/x", threaded=True)(failing)
    try:
        waiting = app(posted(("X-Method", "PUT")))
        assert begun.wait(PATIENCE)
        assert answer(app, posted(("X-Method", "PUT"))).status == 503
        go_on.set()
        assert b"worker" in content(answer(lambda request: waiting, posted()))
        assert answer(app, posted(("X-Method", "PATCH"))).status == 418
        assert answer(app, posted(("X-Method", "PUT"), path="/both")).body == b"PUT"  # in the one thread it has already
    finally:
        go_on.set()
        app.close()


# -- etag


def test_every_answer_of_bytes_gets_a_tag_and_is_not_sent_twice() -> None:
    first = through(etag(), get(), text)
    again = through(etag(), get(("If-None-Match", first.headers["ETag"])), text)
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert through(etag(), get(("If-Match", '"x"')), text).status == 412
    assert through(etag(weak=True), get(), text).headers["ETag"] == "W/" + first.headers["ETag"]
    assert "ETag" not in through(etag(), make_request("POST"), text).headers


@pytest.mark.parametrize(("target", "fields", "status"), [
    ("/put", [("X-Method", "PUT")], GATHER), ("/put", [("Content-Type", "application/x-www-form-urlencoded")], GATHER),
    ("/put", [], 405), ("/put", [("X-Method", "BREW")], 400), ("/put", [("X-Method", "DELETE")], 405),
    ("/nowhere", [], 404)])
def test_a_method_that_is_read_elsewhere_calls_no_handler_before_the_body_has_come(
        target: str, fields: list[tuple[str, str]], status: Any) -> None:
    app = App()
    app.middleware(method_override(app, header="X-Method", field="_method"))
    called: list[Request] = []
    app.put("/put")(called.append)
    decision = app.prepare(make_request("POST", target, fields))
    assert (decision.status if isinstance(decision, Response) else decision, called) == (status, [])


# -- all together


def test_all_of_them_together_answer_a_request() -> None:
    app = App()
    for layer in (request_id(), security_headers(), cors([APP]), gzip(), etag(), body_limit(100)):
        app.middleware(layer)
    app.get("/")(lambda request: LONG.decode())
    request = cross(APP, "GET", ("Accept-Encoding", "gzip"))
    response = answer(app, request)
    assert oracle.decompress(content(response)) == LONG
    assert sorted(name.lower() for name, _ in response.headers.pairs()) == [
        "access-control-allow-origin", "content-encoding", "content-type", "cross-origin-opener-policy", "etag",
        "referrer-policy", "vary", "x-content-type-options", "x-frame-options", "x-request-id"]
    assert response.headers["Vary"] == "Accept-Encoding, Origin"
    refused = answer(app, make_request("POST", "/", {"Origin": APP}, bytes(101)))
    assert (refused.status, refused.headers["X-Frame-Options"]) == (413, "DENY")
