"""Which host a request names, and the middleware that answers only for some."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import answer, content, make_request
from evloop_http import App, Request, Response, StaticFiles
from evloop_http.app.hosts import host_of, is_loopback
from evloop_http.app.middleware import TrustedHosts, trusted_hosts
from evloop_http.app.middleware.hosts import LOOPBACK
from evloop_http.messages import GATHER, NOBODY, STREAM, Application, Headers, RequestHead

SITE = ["example.org", "*.example.org", "10.0.0.7", "[2001:DB8::1]", "xn--bcher-kva.example."]


@pytest.mark.parametrize(("authority", "host"), [
    ("a.example", "a.example"), ("A.Example:80", "a.example"), ("a.example.:80", "a.example"),
    ("a.example:", "a.example"),
    ("127.0.0.1:8080", "127.0.0.1"), ("[::1]:8080", "::1"), ("[0:0:0::1]", "::1"), ("[2001:DB8::A]", "2001:db8::a"),
    ("a_b.example", "a_b.example"), ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"), ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
    ("", ""), (":80", ""), ("a..example", ""), ("a.example..", ""), (".example", ""), (".", ""), ("[::1", ""),
    ("[:::]", ""), ("[]", ""), ("::1", ""), ("a.example:80:80", ""), ("a%2eexample", ""), ("user@a.example", ""),
    ("a" * 64, ""), ("a." * 127, ".".join("a" * 127)), ("a." * 128, ""), ("a." * 5000, ""),
])
def test_a_host_has_one_spelling(authority: str, host: str) -> None:
    assert host_of(authority) == host


@given(st.text(max_size=30) | st.text(st.sampled_from("[]:.a1-"), max_size=30))
def test_any_authority_has_a_host_or_none(authority: str) -> None:
    host = host_of(authority)
    assert host == host.lower()
    assert host_of(f"[{host}]" if ":" in host else host) == host
    assert not is_loopback(host) or host in ("localhost", "::1") or host.endswith(".localhost") \
        or host.startswith("127.")


# -- trusted_hosts


def site(hosts: str | Iterable[str] = SITE) -> App:
    app = App()
    app.middleware(trusted_hosts(hosts))

    @app.get("/")
    def home(request: Request) -> str:
        return "home"

    @app.post("/")
    def take(request: Request) -> str:
        return "taken"
    return app


@pytest.mark.parametrize("host", [
    "example.org", "EXAMPLE.org", "example.org:8443", "example.org.", "www.example.org", "a.b.example.org:80",
    "10.0.0.7", "[2001:db8::1]", "[2001:db8:0:0::1]:8080", "xn--bcher-kva.example",
])
def test_a_host_of_the_site_is_answered(host: str) -> None:
    assert content(answer(site(), make_request("GET", "/", host=host))) == b"home"


@pytest.mark.parametrize("host", [
    "evil.example", "example.org.evil.example", "xexample.org", "example.org..", ".example.org", "..example.org",
    "10.0.0.71", "[2001:db8::2]", "[::ffff:10.0.0.7]", "localhost", "www.xn--bcher-kva.example", "a" * 5000,
    "a." * 2000 + "example.org",
])
def test_any_other_host_is_misdirected(host: str) -> None:
    # RFC 9110 §15.5.20: "a target URI that does not match an origin for which the server has been configured".
    response = answer(site(), make_request("GET", "/", host=host))
    assert response.status == 421
    assert b"evil" not in content(response)


def test_a_request_without_host_is_refused() -> None:
    request = Request(RequestHead("GET", "/", "1.0", Headers(), "/"))
    assert answer(site(), request).status == 421


def test_the_host_of_an_absolute_target_counts_and_not_the_header() -> None:
    # RFC 9112 §3.2.2: a server "MUST ignore the received Host header field".
    for target, host, status in (("http://evil.example/", "example.org", 421), ("http://example.org/", "evil", 200)):
        assert answer(site(), make_request("GET", target, host=host)).status == status


def test_it_refuses_before_a_body_is_received() -> None:
    app = site()
    refusal = app.prepare(make_request("POST", "/", host="evil.example", body=b"x"))
    assert isinstance(refusal, Response)
    assert refusal.status == 421
    assert app.prepare(make_request("POST", "/", host="example.org", body=b"x")) is GATHER


def test_a_star_is_every_host() -> None:
    for host in ("evil.example", "a" * 5000):
        assert answer(site("*"), make_request("GET", "/", host=host)).status == 200
    assert answer(site(["a.example", "*"]), make_request("GET", "/", host="b.example")).status == 200


def test_one_name_may_stand_alone() -> None:
    for host, status in (("a.example", 200), ("b.example", 421), ("a", 421)):
        assert answer(site("a.example"), make_request("GET", "/", host=host)).status == status


@pytest.mark.parametrize("wrong", [
    "", "http://example.org", "example.org:80", "[::1]:80", "example.org/", "b\xfccher.example", "a b", "*.", "**",
    "*.*", "a.*.example", ".example.org", "*example.org", "a..b", "fe80::1%eth0",
])
def test_what_is_not_the_name_of_a_host_is_a_mistake(wrong: str) -> None:
    with pytest.raises(ValueError, match="not the name of a host"):
        trusted_hosts(["a.example", wrong])


def test_no_host_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a host"):
        trusted_hosts([])


@pytest.mark.parametrize("how", ["mounted", "wrapped"])
def test_files_are_served_behind_it(tmp_path: Path, how: str) -> None:
    files = StaticFiles(tmp_path, listing=True)
    app: Application = TrustedHosts(LOOPBACK, files)
    if how == "mounted":
        app = outer = App()
        outer.middleware(trusted_hosts(LOOPBACK))
        outer.mount("/", files)
    for host, status in (("localhost:8080", 200), ("x.localhost", 200), ("127.0.0.1", 200), ("[::1]", 200),
                         ("127.0.0.2", 421), ("evil.example", 421)):
        assert answer(app, make_request("GET", "/", host=host)).status == status


def test_an_application_behind_it_decides_itself_how_it_takes_a_body() -> None:
    app = App()

    @app.post("/upload", stream=True)
    def upload(request: Request) -> str:
        return "taken"

    guarded = TrustedHosts("a.example", app)
    assert guarded.prepare(make_request("POST", "/upload", body=b"x", host="a.example")) is STREAM
    assert guarded.request_class is app.request_class
    refusal = guarded.prepare(make_request("POST", "/upload", body=b"x", host="evil.example"))
    assert isinstance(refusal, Response)
    assert refusal.status == 421


def test_what_clients_call_the_site_is_remembered_up_to_a_bound() -> None:
    app = TrustedHosts("*", lambda request: Response("home"))
    for number in range(1000):
        assert answer(app, make_request("GET", "/", host=f"h{number}.example")).status == 200
    assert answer(app, make_request("GET", "/", host="a" * 5000)).status == 200
    assert len(app._admitted) <= 64
    assert max(map(len, app._admitted)) < 300


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40))
def test_no_text_is_a_trusted_host_but_those_listed(text: str) -> None:
    request = Request(RequestHead("GET", "/", "1.1", Headers(), "/", authority=text), b"", NOBODY)
    trusted = answer(site(["a.example"]), request).status == 200
    assert trusted == (host_of(text) == "a.example")
