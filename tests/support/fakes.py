"""Fakes: a net whose other end, and a clock whose hands, the test holds.

`FakeNet` is a service on a reactor with fake sockets. Only what touches the kernel is faked, and that
is small: the socket (`FakeSocket`), the question who is ready (`FakeSelector`) and the time
(`FakeClock`). The queue, the interest and the order of a turn are the real transport's and the real
reactor's, so a test sees what a peer would see.

Sockets are level-triggered, as the kernel's are: one that stays ready and is listened to is reported
in every turn, and `FakeNet.settle` fails when the turns do not come to an end. So every test that
settles proves that nothing spins. An exception that a callback lets out fails the test too.
"""

from __future__ import annotations

import contextlib
import errno
import io
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from email.message import Message
from http.client import HTTPResponse
from typing import Any, NamedTuple, cast

from evloop_http.http1 import HeadParser, Limits, ResponseEncoder
from evloop_http.messages import (
    GATHER,
    STREAM,
    Answered,
    Application,
    Channel,
    Contract,
    Observer,
    Origin,
    Preparation,
    Request,
    Response,
    TlsPeer,
)
from evloop_http.messages import Peer as WirePeer
from evloop_http.messages.futures import Late
from evloop_http.net.reactor import READ, WRITE, FileDescriptor, Reactor
from evloop_http.net.transport import HIGH_WATER, FileSpan, Transport
from evloop_http.server.connection import Connection
from evloop_http.server.memory import Memory
from evloop_http.server.shared import Live, Shared
from evloop_http.server.states import STATE_NAMES, Timeouts
from settling import Kind, settle

#: Room for whatever a test writes.
PLENTY = 1 << 40
#: Turns after which a test that has not come to rest never will.
MOST_TURNS = 5_000

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
GARBAGE = b"\x00garbage\r\n\r\n"


class FakeClock:
    """Seconds that pass when the test says so."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class FakeSocket:
    """A socket that is bytes in memory: what the peer has sent waits in `inbox`, what it got is in `sends`."""

    family = socket.AF_INET

    def __init__(self, number: int, room: int = PLENTY) -> None:
        self.inbox: deque[bytes] = deque()
        #: the peer sends no more
        self.ended = False
        self.was_reset = False
        #: bytes that will be taken before `send` is refused
        self.room = room
        #: what each successful `send` or `sendmsg` took
        self.sends: list[bytes] = []
        self.half_closed = False
        self.closed = False
        #: closed by a reset
        self.aborted = False
        self._number = number

    def ready(self) -> int:
        """What a selector would say; a reset makes everything ready."""
        if self.was_reset:
            return READ | WRITE
        return (READ if self.inbox or self.ended else 0) | (WRITE if self.room else 0)

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, level: int, option: int, value: object) -> None:
        self._check()
        if option == socket.SO_LINGER:
            self.aborted = True

    def recv(self, size: int) -> bytes:
        self._check()
        if self.was_reset:
            raise ConnectionResetError
        if not self.inbox:
            if self.ended:
                return b""
            raise BlockingIOError
        piece = self.inbox.popleft()
        if len(piece) > size:
            self.inbox.appendleft(piece[size:])
        return piece[:size]

    def send(self, data: bytes | memoryview) -> int:
        self._check()
        assert not self.half_closed
        if self.was_reset:
            raise BrokenPipeError
        if data and not self.room:
            raise BlockingIOError
        taken = bytes(data[:self.room])
        self.room -= len(taken)
        self.sends.append(taken)
        return len(taken)

    def sendmsg(self, pieces: Iterable[memoryview]) -> int:
        return self.send(b"".join(pieces))

    def shutdown(self, how: int) -> None:
        self._check()
        assert how == socket.SHUT_WR
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.closed:
            raise OSError(errno.EBADF, "closed")


class FakeSelector(selectors.BaseSelector):
    """Asks fake sockets instead of the kernel who is ready. Never sleeps."""

    def __init__(self) -> None:
        self._keys: dict[int, selectors.SelectorKey] = {}
        #: how many times it was told something
        self.told = 0

    def register(self, fileobj: FileDescriptor, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        assert number not in self._keys
        assert number >= 0, "a closed descriptor is registered"
        assert events
        self.told += 1
        self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return self._keys[number]

    def unregister(self, fileobj: FileDescriptor) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        assert number >= 0, "a descriptor is unregistered after it was closed"
        self.told += 1
        return self._keys.pop(number)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = [(key, key.events & key.fileobj.ready()) for key in self._keys.values()
                 if isinstance(key.fileobj, FakeSocket)]
        return [(key, events) for key, events in found if events]

    def get_map(self) -> Mapping[FileDescriptor, selectors.SelectorKey]:
        return cast(Mapping[FileDescriptor, selectors.SelectorKey], self._keys)


class FakeReactor(Reactor):
    """The real reactor on a `FakeSelector`. What a callback raises is raised by `poll`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._selector.close()
        self.selector = FakeSelector()
        self._selector = self.selector  # type: ignore[assignment]
        self._selector.register(self._waker, READ, self._on_wake)

    def watches(self, sock: FakeSocket) -> int:
        """The events that `sock` is registered for."""
        key = self.selector.get_map().get(sock.fileno())
        return key.events if key else 0

    def _log_failure(self, callback: Callable[..., Any]) -> None:
        error = sys.exception()
        assert error is not None
        raise error


class FakeTransport(Transport):
    """A `Transport` over a `FakeSocket`; with `secure`, one that waits for `finish_handshake`."""

    def __init__(self, sock: FakeSocket, reactor: FakeReactor, secure: bool) -> None:
        super().__init__(cast(socket.socket, sock), reactor)
        self._secure = secure

    def _begin(self) -> None:
        if not self._secure:
            super()._begin()

    def finish_handshake(self) -> None:
        self._owner.on_open()
        self._owner.update()
        self.update_interest()

    def find_plaintext(self) -> None:
        """What the peer sent first is no TLS."""
        self._owner.on_plaintext()
        self._owner.update()
        self.update_interest()

    def tls_facts(self) -> tuple[str, str, str] | None:
        return ("TLSv1.3", "FAKE", "http/1.1") if self._secure else None

    def _send_span(self, span: FileSpan) -> int:
        return self._sock.send(span.read(HIGH_WATER))


class Answer(NamedTuple):
    """A response as `http.client` reads it."""

    status: int
    headers: Message
    body: bytes
    version: int


class _Stream(io.BytesIO):
    """Bytes that `http.client` reads response by response; it closes its file after each."""

    def makefile(self, mode: str) -> _Stream:
        return self

    def close(self) -> None:
        pass


def read_answers(data: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """All the responses in `data`, read by an independent client; `methods` are those of the requests, GET if none."""
    stream = _Stream(data)
    remaining = iter(methods)
    answers = []
    while stream.tell() < len(data):
        response = HTTPResponse(cast(socket.socket, stream), method=next(remaining, "GET"))
        response.begin()
        answers.append(Answer(response.status, response.headers, response.read(), response.version))
    return answers


class Peer:
    """The other end of a connection."""

    def __init__(self, net: FakeNet, sock: FakeSocket, secure: bool) -> None:
        self._net = net
        self.sock = sock
        self.transport = FakeTransport(sock, net.reactor, secure)
        origin = Origin(("192.0.2.2", 80), "https" if secure else "http")
        peer = TlsPeer("192.0.2.1", 50_000, origin, self.transport.tls_facts) if secure \
            else WirePeer("192.0.2.1", 50_000, origin)
        self.connection = Connection(self.transport, peer, net.shared)

    def state(self) -> str:
        """What the connection waits for, in a word."""
        return self.connection.state_name

    @property
    def got(self) -> bytes:
        """Every byte that the server sent."""
        return b"".join(self.sock.sends)

    def answers(self, *methods: str) -> list[Answer]:
        return read_answers(self.got, methods)

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers()]

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each of which is one `recv`, and let everything happen that follows."""
        self.sock.inbox.extend(pieces)
        self._net.settle()

    def end(self) -> None:
        """Close this half."""
        self.sock.ended = True
        self._net.settle()

    def reset(self) -> None:
        self.sock.was_reset = True
        self._net.settle()

    def take(self, size: int = PLENTY) -> None:
        """Read so many bytes, which makes room for as many."""
        self.sock.room += size
        self._net.settle()


class FakeNet:
    """A service, its reactor, its clock, and peers that connect to it."""

    def __init__(self, application: Application, *, timeouts: Timeouts | None = None, limits: Limits | None = None,
                 observer: Observer | None = None,
                 on_closed: Callable[[Live], None] = lambda connection: None) -> None:
        self.clock = FakeClock()
        self.reactor = FakeReactor(self.clock)
        self.peers: list[Peer] = []
        self.shared = Shared(contract=Contract(application), reactor=self.reactor, heads=HeadParser(limits),
                             encoder=ResponseEncoder(""), timeouts=timeouts or Timeouts(), observer=observer,
                             on_closed=on_closed, memory=Memory((limits or Limits()).gathered))

    def connect(self, room: int = PLENTY, secure: bool = False) -> Peer:
        peer = Peer(self, FakeSocket(1000 + len(self.peers), room), secure)
        self.peers.append(peer)
        return peer

    def turn(self) -> int:
        """One turn of the reactor; how much was handled."""
        return self.reactor.poll()

    def settle(self) -> None:
        """Turn until nothing happens any more."""
        for _ in range(MOST_TURNS):
            if not self.reactor.poll():
                return
        raise AssertionError(f"the loop spins: {[peer.connection for peer in self.peers]}")

    def advance(self, seconds: float) -> None:
        """Let time pass, and let happen what is due."""
        self.clock.advance(seconds)
        self.settle()

    def finish(self) -> None:
        """Let every peer close its half and take what there is, and time pass: everything ends, nothing is left."""
        for peer in self.peers:
            peer.sock.ended = True
            peer.sock.room = PLENTY
        for _ in range(4):
            self.settle()
            self.clock.advance(1000)
        for connection in list(self.shared.connections):
            assert connection.state_name == "handling", f"{connection!r} does not end by itself"
            connection.close()
        self.settle()
        assert all(peer.state() == "closed" and peer.sock.closed for peer in self.peers)
        assert not self.reactor.registrations
        assert not self.reactor.timers
        assert not self.shared.connections
        assert self.shared.memory.held == 0

    def close(self) -> None:
        self.reactor.close()


class Later:
    """An application that answers when the test says so.

    Args:
        kind: of the futures that it answers with.
    """

    def __init__(self, kind: Kind = Future) -> None:
        self._kind = kind
        self.requests: list[Request] = []
        self.futures: list[Any] = []  # as `kind` says

    def __call__(self, request: Request) -> Late:
        self.requests.append(request)
        self.futures.append(self._kind())
        late: Late = self.futures[-1]
        return late

    def answer(self, number: int = -1, text: str = "late") -> None:
        settle(self.futures[number], Response(text))


class Taker(Later):
    """The same, and it reads the bodies sent to `/take` while they arrive."""

    def __init__(self, kind: Kind = Future) -> None:
        super().__init__(kind)
        self.taken: list[bytes] = []

    def prepare(self, request: Request) -> Preparation:
        return STREAM if request.path == "/take" else GATHER

    def take(self, number: int = -1) -> bytes:
        """Return all of a body that has arrived and was not taken yet; nothing if all of it was."""
        self.taken.append(next(self.requests[number].stream(), b""))
        return self.taken[-1]


class Watcher(Observer):
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self.states: list[str] = []
        self.told: list[str] = []

    def opened(self, connection: object) -> None:
        self.told.append("opened")

    def entered(self, connection: object, state: str) -> None:
        self.states.append(state)

    def answered(self, answer: Answered) -> None:
        self.answers.append(answer)

    def refused(self, peer: WirePeer, reason: str) -> None:
        self.told.append(f"refused: {reason}")

    def closed(self, connection: object) -> None:
        self.told.append("closed")


# Requests and applications

def hello(request: Request) -> Response:
    return Response("hello")


def echo(request: Request) -> Response:
    return Response(f"{request.method} {request.target} ".encode() + request.body)


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def post(body: bytes, *fields: str, target: str = "/") -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def always(response: object) -> Application:
    return lambda request: cast(Response, response)


def raising(error: BaseException) -> Application:
    def application(request: Request) -> Response:
        raise error
    return application


class SwitchedEcho:
    """What speaks behind `Upgrade` here: it sends back what it receives, and stops receiving while it cannot send."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_start(self, channel: Channel) -> None:
        self.channel = channel

    def on_data(self, data: bytes) -> None:
        if not self.channel.write(data):
            self.channel.pause()

    def on_writable(self) -> None:
        self.channel.resume()

    def on_eof(self) -> None:
        self.channel.end()

    def on_stop(self) -> None:
        self.channel.close()

    def on_close(self) -> None:
        self.events.append("closed")


@contextlib.contextmanager
def fake_nets() -> Iterator[Callable[..., FakeNet]]:
    """A function that makes nets. In the end every connection of theirs must end by itself."""
    nets: list[FakeNet] = []

    def make(application: Any = hello, **options: Any) -> FakeNet:
        nets.append(FakeNet(application, **options))
        return nets[-1]

    yield make
    try:
        for net in nets:
            net.finish()
    finally:
        for net in nets:
            net.close()


# A connection in any state

#: What is sent to get there, the room that the peer has, and whether it speaks TLS.
_WAYS: dict[str, tuple[bytes, int, bool]] = {
    "handshaking": (b"", PLENTY, True),
    "idle": (b"", PLENTY, False),
    "reading-headers": (GET[:10], PLENTY, False),
    "reading-body": (post(b"0123456789")[:-5], PLENTY, False),
    "handling": (get("/later"), PLENTY, False),
    "writing": (GARBAGE, 0, False),
    "lingering": (GARBAGE, PLENTY, False),
    "switched": (get("/switch"), PLENTY, False),
    "closed": (b"", PLENTY, False),
}
STATES = tuple(_WAYS)
assert {*STATES} == {*STATE_NAMES, "closed"}


def reach(net: FakeNet, state: str) -> Peer:
    """Return a new connection in `state`. The application must answer `/later` later, and switch at `/switch`."""
    data, room, secure = _WAYS[state]
    peer = net.connect(room, secure)
    if data:
        peer.send(data)
    if state == "closed":
        peer.end()
    assert peer.state() == state
    return peer
