"""The server on real sockets, with foreign clients, and its limits, its ends and its signals.

Most tests turn the reactor themselves, in the same thread as the client (`serving`, `ask`), so that
nothing depends on when a thread runs. Clients that block are served from a thread (`in_thread`), or
from a process where signals and limits of the process are the subject.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import http.client
import logging
import os
import select
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from evloop_http.http1 import Limits
from evloop_http.messages import FileBody, Request, Response
from evloop_http.net.reactor import Reactor
from evloop_http.net.tls import direct
from evloop_http.server import Server, places, tls_context
from evloop_http.server.states import Timeouts
from fakes import GET, LAST_GET, Answer, Later, echo, get, hello, post, read_answers

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which a test that waits for the other side has failed.
PATIENCE = 20
EXPECTING = post(b"body", "Expect: 100-continue", target="/finish")
Certificate = tuple[Path, Path]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def can_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, contextlib.suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


@contextlib.contextmanager
def serving(application: Callable[[Request], Any] = hello, **options: Any) -> Iterator[Server]:
    """A server on 127.0.0.1 that the test turns itself; afterwards it has given everything back."""
    context = options.pop("tls", None)
    reactor = Reactor()
    server = Server(application, reactor=reactor, **options)
    server.listen(tls=context)
    try:
        yield server
    finally:
        server.close()
        left = reactor.registrations, reactor.timers, server.connections
        reactor.close()
    assert left == (0, 0, 0)


def connect(server: Server) -> socket.socket:
    address = server.addresses[0]
    if isinstance(address, tuple):
        return socket.create_connection(address, PATIENCE)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(address)
    return client


def is_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def turn_until(server: Server, condition: Callable[[], object]) -> None:
    for _ in range(10_000):
        if condition():
            return
        server.reactor.poll(PATIENCE)
    raise AssertionError("it does not happen")


def settle(server: Server) -> None:
    """Turn until nothing happens."""
    for _ in range(10_000):
        if not server.reactor.poll(0):
            return
    raise AssertionError("the loop spins")


def ask(server: Server, client: socket.socket, data: bytes = GET) -> bytes:
    """Send `data`, and turn the server until there is an answer."""
    client.sendall(data)
    turn_until(server, lambda: is_readable(client))
    return client.recv(65536)


def talk(client: ssl.SSLSocket, data: bytes) -> bytes:
    """Send and receive at once, to the end, in one thread: OpenSSL's connections are for one at a time."""
    client.setblocking(False)
    left, received = memoryview(data), b""
    while True:
        with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            if left:
                left = left[client.send(left[:16_384]):]
        try:
            piece = client.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            select.select([client], [client] if left else [], [], PATIENCE)
            continue
        if not piece:
            return received
        received += piece


def read_to_end(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def only_answer(data: bytes) -> Answer:
    answer, = read_answers(data)
    return answer


def wait_until_refused(address: tuple[str, int]) -> None:
    """Until nobody listens any more."""
    for _ in range(100_000):
        try:
            socket.create_connection(address, PATIENCE).close()
        except OSError:
            return
    raise AssertionError("it goes on listening")


def count_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def host_and_port(server: Server) -> tuple[str, int]:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    return address


# Foreign clients

def test_http_client_gets_posts_and_keeps_its_connection() -> None:
    with Server(echo).in_thread() as server:
        client = http.client.HTTPConnection(*host_and_port(server), timeout=PATIENCE)
        for method, body in [("GET", None), ("POST", b"body"), ("PUT", b""), ("HEAD", None), ("DELETE", None)]:
            client.request(method, "/path?a=b", body)
            response = client.getresponse()
            assert response.status == 200
            expected = b"%b /path?a=b %b" % (method.encode(), body or b"")
            assert response.read() == (b"" if method == "HEAD" else expected)
        assert server.stats()["connections"] == 1
        client.close()


def test_http_client_sends_chunks_and_is_sent_chunks() -> None:
    with Server(lambda request: Response(iter([request.body, b" again"]))).in_thread() as server:
        client = http.client.HTTPConnection(*host_and_port(server), timeout=PATIENCE)
        client.request("POST", "/", iter([b"one", b"two"]), encode_chunked=True)
        assert client.getresponse().read() == b"onetwo again"
        client.close()


def test_an_answer_has_a_date_and_says_who_made_it() -> None:
    for name in ("evloop_http", "other", ""):
        with serving(server_header=name) as server, connect(server) as client:
            answer = only_answer(ask(server, client))
            assert parsedate_to_datetime(answer.headers["date"]).tzname() == "UTC"
            assert answer.headers.get("server", "") == name


def test_an_early_413_arrives_at_a_client_that_sends_first_and_reads_later() -> None:
    with Server(echo, limits=Limits(body=1000)).in_thread() as server:
        for _ in range(10):
            client = http.client.HTTPConnection(*host_and_port(server), timeout=PATIENCE)
            client.request("POST", "/", bytes(8_000_000))
            response = client.getresponse()
            assert (response.status, response.headers["connection"]) == (413, "close")
            assert b"too large" in response.read()
            client.close()


def test_large_bodies_go_up_and_come_down() -> None:
    body = os.urandom(3_000_000)
    with Server(lambda request: Response(request.body)).in_thread() as server:
        client = http.client.HTTPConnection(*host_and_port(server), timeout=PATIENCE)
        for _ in range(2):
            client.request("POST", "/", body)
            assert client.getresponse().read() == body
        client.close()


def test_a_large_file_is_sent_whole(tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    (tmp_path / "file").write_bytes(content)

    def application(request: Request) -> Response:
        return Response(FileBody((tmp_path / "file").open("rb"), 100, len(content) - 100))

    with Server(application).in_thread() as server:
        client = http.client.HTTPConnection(*host_and_port(server), timeout=PATIENCE)
        client.request("GET", "/")
        assert client.getresponse().read() == content[100:]
        client.close()


def curl(*arguments: str) -> bytes:
    command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


@needs_curl
def test_curl_is_served() -> None:
    with Server(echo).in_thread() as server:
        assert curl(f"{server.url}/a", f"{server.url}/b") == b"GET /a GET /b "
        assert curl("--http1.0", "--data", "x=1", f"{server.url}/") == b"POST / x=1"
        assert curl("--http2", f"{server.url}/") == b"GET / "
        assert b"HTTP/1.1 200" in curl("--head", f"{server.url}/")


@needs_curl
def test_curl_that_expects_100_continue_sends_its_body(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(2_000_000))
    with Server(lambda request: Response(str(len(request.body)))).in_thread() as server:
        upload = ["--data-binary", f"@{tmp_path / 'body'}", "--header", "Expect: 100-continue"]
        assert curl(*upload, "--verbose", server.url) == b"2000000"
        assert curl(*upload, "--header", "Transfer-Encoding: chunked", server.url) == b"2000000"


@needs_curl
def test_curl_is_served_over_a_unix_socket(tmp_path: Path) -> None:
    server = Server(echo)
    server.listen(path=tmp_path / "socket")
    with server.in_thread():
        assert curl("--unix-socket", str(tmp_path / "socket"), "http://a/path") == b"GET /path "


@needs_curl
def test_curl_is_served_over_tls(certificate: Certificate) -> None:
    server = Server(lambda request: Response(request.url))
    server.listen(tls=tls_context(*certificate))
    with server.in_thread():
        assert curl("--cacert", str(certificate[0]), f"{server.url}/a") == f"{server.url}/a".encode()


# Addresses

def test_a_free_port_is_found_and_told() -> None:
    server = Server(hello)
    assert repr(server) == "<Server not listening>"
    with pytest.raises(RuntimeError, match="listen"):
        server.url  # noqa: B018
    server.listen()
    server.listen("0.0.0.0")
    ports = [int(address[1]) for address in server.addresses]
    assert server.addresses == [("127.0.0.1", ports[0]), ("0.0.0.0", ports[1])]
    assert len({0, *ports}) == 3
    assert server.url == f"http://127.0.0.1:{ports[0]}"
    assert server.urls == [server.url, f"http://127.0.0.1:{ports[1]}"]
    assert repr(server) == f"<Server {' '.join(server.urls)}>"
    server.close()


def test_every_address_is_served(tmp_path: Path, certificate: Certificate) -> None:
    server = Server(lambda request: Response(f"{request.scheme} {request.client}"))
    server.listen()
    server.listen("localhost")
    server.listen(path=tmp_path / "socket")
    ready = socket.socket()
    ready.bind(("127.0.0.1", 0))
    server.listen(sock=ready)
    server.listen(tls=tls_context(*certificate))
    assert [url.partition(":")[0] for url in server.urls] == ["http", "http", "http+unix", "http", "https"]
    with server.in_thread():
        for address in server.addresses[:4]:
            with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
                client.settimeout(PATIENCE)
                client.connect(address)
                client.sendall(LAST_GET)
                client_address = "" if isinstance(address, str) else "127.0.0.1"
                assert only_answer(read_to_end(client)).body == f"http {client_address}".encode()
    assert ready.fileno() == -1


@pytest.mark.skipif(not can_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_served() -> None:
    server = Server(lambda request: Response(request.client))
    server.listen("::1")
    assert server.url == f"http://[::1]:{server.addresses[0][1]}"
    server.listen("::")
    assert server.urls[1] == f"http://[::1]:{server.addresses[1][1]}"
    with server.in_thread(), connect(server) as client:
        client.sendall(LAST_GET)
        assert only_answer(read_to_end(client)).body == b"::1"


@pytest.mark.skipif(not can_ipv6(), reason="this machine has no IPv6")
def test_one_port_can_be_had_on_ipv4_and_ipv6() -> None:
    server = Server(hello)
    server.listen("0.0.0.0")
    server.listen("::", host_and_port(server)[1])
    server.close()


def test_a_port_in_use_is_an_error_and_harms_nobody() -> None:
    with serving() as server:
        before = count_descriptors()
        with pytest.raises(OSError) as caught:  # noqa: PT011
            server.listen("127.0.0.1", host_and_port(server)[1])
        assert caught.value.errno == errno.EADDRINUSE
        assert count_descriptors() == before
        assert len(server.addresses) == 1
        with connect(server) as client:
            assert only_answer(ask(server, client)).status == 200


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with serving() as server:
        for host in ("192.0.2.1", "no-such-host.invalid"):
            with pytest.raises(OSError):  # noqa: PT011
                server.listen(host)


def test_a_port_can_be_had_again_at_once() -> None:
    with serving() as server, connect(server) as client:
        address = host_and_port(server)
        ask(server, client)
    with contextlib.closing(Server(hello)) as again:
        again.listen(*address)
        assert again.addresses == [address]


def test_a_unix_socket_has_its_permissions_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    umask = os.umask(0)
    os.umask(umask)
    for mode in (0o660, 0o600, 0o666):
        server = Server(hello)
        server.listen(path=path, mode=mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert server.addresses == [str(path)]
        server.close()
        assert not path.exists()
    assert os.umask(umask) == umask


def test_a_unix_socket_that_another_server_has_put_in_its_place_is_left(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    first, second = Server(hello), Server(hello)
    with contextlib.closing(second):
        with contextlib.closing(first):
            first.listen(path=path)
            path.unlink()
            second.listen(path=path)
        assert path.exists()


def test_a_unix_socket_is_for_owner_and_group_by_default(tmp_path: Path) -> None:
    with contextlib.closing(Server(hello)) as server:
        server.listen(path=tmp_path / "socket")
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o660


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    server = Server(hello)
    server.listen(path=path)
    with server.in_thread(), connect(server) as client:
        client.sendall(LAST_GET)
        assert only_answer(read_to_end(client)).status == 200


def test_a_unix_socket_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        server = Server(hello)
        for _ in range(3):  # more often than its backlog has places
            with pytest.raises(OSError) as caught:  # noqa: PT011
                server.listen(path=path)
            assert caught.value.errno == errno.EADDRINUSE
        server.close()
        assert path.is_socket()


def test_a_file_in_the_place_of_a_unix_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("precious")
    (tmp_path / "link").symlink_to(path)
    with contextlib.closing(Server(hello)) as server:
        for place in (path, tmp_path / "link", tmp_path):
            with pytest.raises(OSError):  # noqa: PT011
                server.listen(path=place)
    assert path.read_text() == "precious"
    assert (tmp_path / "link").is_symlink()


# Limits

def test_one_connection_too_many_waits_and_is_served_when_another_ends() -> None:
    with serving(max_connections=2) as server:
        first, second, third = (connect(server) for _ in range(3))
        with first, second, third:
            ask(server, first)
            ask(server, second)
            third.sendall(GET)
            settle(server)
            assert server.connections == 2
            assert not is_readable(third)
            first.close()
            turn_until(server, lambda: is_readable(third))
            assert only_answer(third.recv(65536)).status == 200
            assert server.connections == 2


def test_where_all_places_are_taken_by_silent_clients_one_of_them_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LEAST_AGE", 0.0)
    with serving(max_connections=2) as server, connect(server) as first, connect(server) as second:
        ask(server, second)
        ask(server, first)
        with connect(server) as third:
            ask(server, third)
            assert server.connections == 2
            assert second.recv(1) == b""
            ask(server, first)


def test_a_client_has_no_more_connections_than_it_may_have() -> None:
    with serving(max_per_client=2) as server:
        first, second, third = (connect(server) for _ in range(3))
        with first, second, third:
            turn_until(server, lambda: is_readable(third))
            assert third.recv(1) == b""
            first.close()
            turn_until(server, lambda: server.connections == 1)
            with connect(server) as fourth:
                ask(server, fourth)


def test_connections_that_come_in_a_crowd_are_all_served() -> None:
    with serving(max_connections=50) as server:
        clients = [connect(server) for _ in range(200)]
        for client in clients:
            client.sendall(LAST_GET)
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            turn_until(server, lambda client=client: is_readable(client))  # type: ignore[misc]
            assert only_answer(client.recv(65536)).status == 200
            client.close()


EXHAUSTED = """
import logging, resource, sys
from concurrent.futures import Future
from evloop_http.messages import Response
import evloop_http.net.listener as module
from evloop_http.server import Server

module.FULL_PAUSE = 0.1
logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")

def application(request):
    future = Future()
    wait = 0.5 if request.path == "/half-a-second" else 0
    server.reactor.call_later(wait, lambda: future.set_result(Response(str(server.reactor.turn))))
    return future

server = Server(application)
server.listen()
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
print(server.addresses[0][1], flush=True)
server.run()
"""


@contextlib.contextmanager
def child(script: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """A process that runs `script`, and the address that it prints first. It is ended, if it has not ended."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, ("127.0.0.1", int(process.stdout.readline()))
        finally:
            process.kill()


def test_a_client_that_is_refused_closes_nobody_elses_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LEAST_AGE", 0.0)
    with serving(max_connections=1, max_per_client=1) as server, connect(server) as first:
        ask(server, first)
        with connect(server) as second:
            turn_until(server, lambda: is_readable(second))
            assert second.recv(1) == b""
        ask(server, first)


@pytest.mark.parametrize("option", ["max_connections", "max_per_client"])
def test_no_connections_at_all_is_a_mistake(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is at least 1"):
        Server(hello, **{option: 0})  # type: ignore[arg-type]


def test_without_descriptors_silent_clients_make_room() -> None:
    at_once = "import evloop_http.server.places as places; places.LEAST_AGE = 0"
    script = EXHAUSTED.replace("module.FULL_PAUSE = 0.1", at_once)
    with child(script) as (_, address), contextlib.ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(socket.create_connection(address, PATIENCE))
            client.sendall(GET)
            assert only_answer(client.recv(65536)).status == 200


def test_without_descriptors_it_pauses_says_so_once_and_recovers() -> None:
    nobody_goes = "import evloop_http.server.places as places; places.LEAST_AGE = 1e9; module.FULL_PAUSE = 0.1"
    script = EXHAUSTED.replace("module.FULL_PAUSE = 0.1", nobody_goes)
    with child(script) as (process, address), contextlib.ExitStack() as stack:
        assert process.stderr is not None
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(40)]
        for client in clients:
            client.sendall(GET)
        assert process.stderr.readline().startswith("ERROR cannot accept connections: Too many open files")
        first = clients[0]
        before = int(only_answer(first.recv(65536)).body)
        first.sendall(get("/half-a-second"))
        turns = int(only_answer(first.recv(65536)).body) - before
        assert turns < 100, "the loop spins"
        served = [client for client in clients if is_readable(client)]
        waiting = [client for client in clients[1:] if client not in served]
        assert len(waiting) >= 10
        for client in (first, *served):
            client.close()
        for client in waiting:
            assert only_answer(client.recv(65536)).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


def test_clients_that_reset_at_once_leave_nothing() -> None:
    with serving() as server:
        before = count_descriptors(), server.reactor.registrations
        for number in range(1000):
            with socket.create_connection(host_and_port(server), PATIENCE) as client:
                if number % 2:
                    client.sendall(GET)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 100 == 0:
                settle(server)
        settle(server)
        assert server.connections == 0
        assert (count_descriptors(), server.reactor.registrations) == before
        with connect(server) as client:
            assert only_answer(ask(server, client)).status == 200


def test_a_slow_reader_stops_the_producer_and_others_are_served() -> None:
    asked = 0

    def produce() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(10_000):
            asked += 1
            yield bytes(65536)

    with serving(lambda request: Response(produce() if request.path == "/all" else b"small")) as server:
        with connect(server) as slow, connect(server) as quick:
            slow.sendall(get("/all"))
            settle(server)
            assert 0 < asked < 1000
            before = asked
            assert only_answer(ask(server, quick)).body == b"small"
            taken = 0
            while taken < 10_000_000:
                turn_until(server, lambda: is_readable(slow))
                taken += len(slow.recv(65536))
            assert before < asked < before + 500
        settle(server)
        assert server.connections == 0


def test_a_client_that_half_closes_is_answered_later_without_a_spin() -> None:
    later = Later()
    with serving(later) as server, connect(server) as client:
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        settle(server)
        assert server.stats()["open"]["handling"] == 1  # type: ignore[index]
        later.answer()
        settle(server)
        assert only_answer(read_to_end(client)).body == b"late"
        assert server.connections == 0


def test_a_deadline_comes_on_real_time() -> None:
    with Server(hello, timeouts=Timeouts(head=0.05)).in_thread() as server, connect(server) as client:
        client.sendall(GET[:5])
        assert only_answer(read_to_end(client)).status == 408


# TLS

def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@contextlib.contextmanager
def secure_client(server: Server, certificate: Certificate) -> Iterator[ssl.SSLSocket]:
    # A connection that ends without close_notify is an error for this client.
    with connect(server) as bare, trusting(certificate).wrap_socket(
            bare, server_hostname="localhost", suppress_ragged_eofs=False) as client:
        yield client


@contextlib.contextmanager
def secure_server(certificate: Certificate, application: Callable[[Request], Any] = hello,
                  **options: Any) -> Iterator[Server]:
    engine = options.pop("engine", "guarded")
    server = Server(application, **options)
    server.listen(tls=tls_context(*certificate), engine=engine)
    with server.in_thread():
        yield server


def https_client(server: Server, certificate: Certificate) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(*host_and_port(server), timeout=PATIENCE, context=trusting(certificate))


def test_https_is_served_to_http_client(certificate: Certificate) -> None:
    body = os.urandom(1_000_000)
    with secure_server(certificate, lambda request: Response(request.body or request.scheme)) as server:
        client = https_client(server, certificate)
        client.request("GET", "/")
        assert client.getresponse().read() == b"https"
        for _ in range(2):
            client.request("POST", "/", body)
            assert client.getresponse().read() == body
        assert server.stats()["connections"] == 1
        client.close()


def test_an_early_413_arrives_over_tls_too(certificate: Certificate) -> None:
    with secure_server(certificate, limits=Limits(body=1000)) as server:
        for _ in range(3):
            client = https_client(server, certificate)
            client.request("POST", "/", bytes(4_000_000))
            assert client.getresponse().status == 413
            client.close()


def test_pipelined_requests_in_one_record_are_all_answered(certificate: Certificate) -> None:
    with secure_server(certificate, echo) as server, secure_client(server, certificate) as client:
        client.sendall(get("/1") + get("/2") + get("/3", "Connection: close"))
        assert [answer.body for answer in read_answers(read_to_end(client))] == [b"GET /1 ", b"GET /2 ", b"GET /3 "]


def test_more_pipelined_requests_than_a_read_takes_are_all_answered_over_tls(certificate: Certificate) -> None:
    with secure_server(certificate) as server, secure_client(server, certificate) as client:
        assert len(read_answers(talk(client, GET * 20_000 + LAST_GET))) == 20_001


def test_what_a_small_read_leaves_decrypted_is_not_stranded(certificate: Certificate,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "READ_SIZE", 100)
    with secure_server(certificate, echo, engine="socket") as server, secure_client(server, certificate) as client:
        client.sendall(post(bytes(5000)) + GET * 20)
        assert len(read_answers(client.recv(65536))) >= 1
        client.sendall(LAST_GET)
        read_to_end(client)
        assert server.stats()["requests"] == 22


def test_bodies_of_every_kind_are_sent_over_tls(certificate: Certificate, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    pieces = [content[:10], b"", content[10:200_000], content[200_000:]]
    bodies: dict[str, Callable[[], Response]] = {
        "/bytes": lambda: Response(content),
        "/chunks": lambda: Response(iter(pieces)),
        "/counted": lambda: Response(iter(pieces), headers={"Content-Length": "300000"}),
        "/file": lambda: Response(FileBody((tmp_path / "file").open("rb"), 0, 300_000)),
    }
    with secure_server(certificate, lambda request: bodies[request.path]()) as server:
        client = https_client(server, certificate)
        for path in bodies:
            client.request("GET", path)
            assert client.getresponse().read() == content, path
        assert server.stats()["connections"] == 1
        client.close()


def test_plain_http_on_the_tls_port_is_told_so(certificate: Certificate) -> None:
    with secure_server(certificate) as server:
        for request in (GET, post(bytes(1_000_000))):
            with connect(server) as client:
                client.sendall(request)
                answer = only_answer(read_to_end(client))
            assert answer.status == 400
            assert b"HTTPS" in answer.body


def test_tls_clients_that_say_nothing_or_half_a_word_stall_nobody(certificate: Certificate) -> None:
    with secure_server(certificate) as server, contextlib.ExitStack() as stack:
        for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            stack.enter_context(connect(server)).sendall(said)
        with secure_client(server, certificate) as client:
            client.sendall(LAST_GET)
            assert only_answer(read_to_end(client)).status == 200
        assert server.connections >= 3


def test_tls_clients_that_never_finish_the_handshake_are_closed(certificate: Certificate) -> None:
    with secure_server(certificate, timeouts=Timeouts(handshake=0.05)) as server:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with connect(server) as client:
                client.sendall(said)
                assert client.recv(100) == b""


def test_tls_clients_that_go_during_the_handshake_leave_nothing(certificate: Certificate) -> None:
    with serving(tls=tls_context(*certificate)) as server:
        before = count_descriptors()
        alert = b"\x15\x03\x01\x00\x02\x02\x28"
        for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16" + b"nonsense" * 10, alert) * 20:
            for resets in (False, True):
                with connect(server) as client:
                    client.sendall(said)
                    if resets:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                settle(server)
        settle(server)
        assert (server.connections, count_descriptors()) == (0, before)


# Counting

def test_connections_requests_and_bytes_are_counted() -> None:
    with serving() as server:
        with connect(server) as first, connect(server) as second:
            received = len(ask(server, first)) + len(ask(server, first)) + len(ask(server, second))
            second.sendall(GET[:3])
            settle(server)
            stats = server.stats()
            assert stats["open"] == {
                "handshaking": 0, "idle": 1, "reading-headers": 1, "reading-body": 0, "handling": 0, "writing": 0,
                "lingering": 0, "switched": 0,
            }
            assert server.connections == 2
        settle(server)
        ended = server.stats()
        for counters in (stats, ended):
            assert (counters["connections"], counters["requests"]) == (2, 3)
            assert counters["bytes_in"] == 3 * len(GET) + 3
        assert stats["bytes_out"] == received
        assert set(ended["open"].values()) == {0}  # type: ignore[union-attr]


# Ends

def test_stopping_from_another_thread_finishes_what_is_in_flight() -> None:
    ends: list[str] = []

    class Closing:
        def __call__(self, request: Request) -> Response:
            return Response(request.body)

        def close(self) -> None:
            ends.append("closed")

    with Server(Closing()).in_thread() as server, connect(server) as busy, connect(server) as idle:
        busy.sendall(EXPECTING[:-4])
        assert busy.recv(100).startswith(b"HTTP/1.1 100")
        server.stop(grace=PATIENCE)
        wait_until_refused(host_and_port(server))
        assert read_to_end(idle) == b""
        assert not server.wait_stopped(0)
        busy.sendall(b"body")
        answer = only_answer(read_to_end(busy))
        assert (answer.headers["connection"], answer.body) == ("close", b"body")
        busy.close()
        assert server.wait_stopped(PATIENCE)
        assert ends == ["closed"]


def test_what_takes_longer_than_the_grace_is_closed() -> None:
    later = Later()
    with Server(later).in_thread() as server, connect(server) as client:
        client.sendall(EXPECTING)
        with connect(server) as other:
            other.sendall(EXPECTING[:-4])
            assert other.recv(100).startswith(b"HTTP/1.1 100")
            server.stop(grace=0.05)
            assert read_to_end(other) == b""
        assert read_to_end(client) == b""
        assert server.wait_stopped(PATIENCE)
        assert later.requests[0].disconnected


def test_connections_that_wait_in_the_backlog_are_served_before_the_end() -> None:
    with serving() as server, connect(server) as client:
        client.sendall(GET)
        server.stop(grace=PATIENCE)
        turn_until(server, lambda: is_readable(client))
        answer = only_answer(read_to_end(client))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        client.close()
        turn_until(server, lambda: server.wait_stopped(0))


def test_a_server_without_connections_stops_at_once_and_may_be_stopped_again() -> None:
    with serving() as server:
        server.stop()
        server.stop()
        settle(server)
        assert server.wait_stopped(0)
        server.stop()
        settle(server)


def test_a_closed_server_still_has_a_repr() -> None:
    server = Server(hello)
    server.listen()
    server.close()
    assert repr(server).startswith("<Server ")


def test_run_needs_the_main_thread() -> None:
    caught: list[Exception] = []
    server = Server(hello)
    server.listen()

    def run() -> None:
        try:
            server.run()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    server.close()
    assert "main thread" in str(caught[0])


SIGNALLED = """
from concurrent.futures import Future
from evloop_http.messages import Response
from evloop_http.server import Server

slow = Future()

def application(request):
    if request.path == "/slow":
        return slow
    slow.set_result(Response("slow"))
    return Response("finished")

server = Server(application)
server.listen()
print(server.addresses[0][1], flush=True)
server.run()
print("ended", flush=True)
"""


@contextlib.contextmanager
def under_way(address: tuple[str, int]) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A request that is handled, and one whose body is awaited and will finish the first."""
    with socket.create_connection(address, PATIENCE) as slow, socket.create_connection(address, PATIENCE) as upload:
        slow.sendall(get("/slow"))
        upload.sendall(EXPECTING[:-4])
        assert upload.recv(100).startswith(b"HTTP/1.1 100")
        yield slow, upload


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals) -> None:
    with child(SIGNALLED) as (process, address), under_way(address) as (slow, upload):
        process.send_signal(number)
        wait_until_refused(address)
        upload.sendall(b"body")
        for client, body in ((upload, b"finished"), (slow, b"slow")):
            answer = only_answer(read_to_end(client))
            assert (answer.body, answer.headers["connection"]) == (body, "close")
            client.close()
        out, errors = process.communicate(timeout=PATIENCE)
        assert (out, errors, process.returncode) == ("ended\n", "", 0)


def test_a_second_signal_ends_it_at_once() -> None:
    with child(SIGNALLED) as (process, address), under_way(address) as (slow, upload):
        process.send_signal(signal.SIGTERM)
        wait_until_refused(address)
        assert not is_readable(slow)
        process.send_signal(signal.SIGTERM)
        assert read_to_end(slow) == read_to_end(upload) == b""
        out, errors = process.communicate(timeout=PATIENCE)
        assert (out, errors, process.returncode) == ("ended\n", "", 0)


# Misuse

def test_an_application_that_cannot_be_closed_stops_no_server(caplog: pytest.LogCaptureFixture) -> None:
    class Clinging:
        def __call__(self, request: Request) -> Response:
            return Response("on")

        def close(self) -> None:
            raise ValueError("not now")

    with caplog.at_level(logging.CRITICAL, "evloop_http.server"), Server(Clinging()).in_thread() as server:
        assert server.url
    assert server.wait_stopped(0)


def test_a_server_serves_once() -> None:
    server = Server(hello)
    server.close()
    for again in (server.listen, server.run, server.in_thread().__enter__):
        with pytest.raises(RuntimeError, match="make a new one"):
            again()


def test_what_nobody_can_listen_with_is_refused() -> None:
    with contextlib.closing(Server(hello)) as server:
        for port in (-1, 65536):
            with pytest.raises(ValueError, match="no port"):
                server.listen("127.0.0.1", port)
        with pytest.raises(ValueError, match="for clients"):
            server.listen(tls=ssl.create_default_context())


def test_a_ready_made_unix_socket_has_its_whole_address(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    with contextlib.closing(Server(hello)) as server:
        server.listen(sock=sock)
        assert (server.addresses, server.url) == ([path], f"http+unix://{path}")


def test_the_host_s_own_callback_for_a_signal_is_put_back() -> None:
    told: list[str] = []
    with contextlib.closing(Reactor()) as reactor:
        reactor.on_signal(signal.SIGTERM, lambda: told.append("host"))
        server = Server(hello, reactor=reactor)
        server.listen()
        reactor.call_soon(os.kill, os.getpid(), signal.SIGTERM)
        server.run()
        os.kill(os.getpid(), signal.SIGTERM)
        while not told:
            reactor.poll(0)
    assert told == ["host"]
