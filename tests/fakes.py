"""Fakes: a net whose other end, and a clock whose hands, the test holds.

`FakeNet` is a service on a reactor with fake sockets. Only what touches the kernel is faked, and that
is small: the socket (`FakeSocket`), the selector's question who is ready (`FakeReactor`) and the time
(`FakeClock`). The queue, the interest and the order of a turn are the real transport's and the real
reactor's, so a test sees what a peer would see.

Sockets are level-triggered, as the kernel's are: one that stays ready and is listened to is reported
in every turn, and `FakeNet.settle` fails when the turns do not come to an end. So every test that
settles proves that nothing spins. An exception that a callback lets out fails the test too.
"""

from __future__ import annotations

import errno
import io
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from http.client import HTTPResponse
from typing import Any, NamedTuple, cast

from evloop_http.connection import Application, Connection, Log, Service, State, Timeouts
from evloop_http.http1 import HeadParser, Limits, ResponseEncoder
from evloop_http.messages import Request, RequestHead, Response
from evloop_http.net.reactor import READ, WRITE, FileDescriptor, Reactor, ReadyCallback
from evloop_http.net.transport import HIGH_WATER, FileSpan, Transport

#: Room for whatever a test writes.
PLENTY = 1 << 40
#: Turns after which a test that has not come to rest never will.
MOST_TURNS = 20_000

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


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


class FakeReactor(Reactor):
    """The real reactor, asking fake sockets instead of the kernel who is ready."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.watched: dict[FakeSocket, tuple[int, ReadyCallback]] = {}
        #: how many times the selector was told something
        self.told = 0

    def register(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        assert isinstance(descriptor, FakeSocket)
        assert descriptor not in self.watched
        assert not descriptor.closed
        assert events
        self.told += 1
        self.watched[descriptor] = events, callback

    def modify(self, descriptor: FileDescriptor, events: int, callback: ReadyCallback) -> None:
        self.unregister(descriptor)
        self.register(descriptor, events, callback)
        self.told -= 1

    def unregister(self, descriptor: FileDescriptor) -> None:
        assert isinstance(descriptor, FakeSocket)
        assert not descriptor.closed, "a descriptor is unregistered before it is closed"
        self.told += 1
        del self.watched[descriptor]

    def poll(self, timeout: float | None = None) -> int:
        """One turn that never sleeps; how much was handled."""
        self.now = self.time()
        count = 0
        for sock, (events, callback) in list(self.watched.items()):
            if events & sock.ready() and self.watched.get(sock) == (events, callback):
                count += 1
                callback(events & sock.ready())
        return count + super().poll(0)

    def _log_failure(self, callback: Callable[..., Any]) -> None:
        error = sys.exception()
        assert error is not None
        raise error


class FakeTransport(Transport):
    """A `Transport` over a `FakeSocket`; with `secure`, one that waits for `finish_handshake`."""

    def __init__(self, sock: FakeSocket, reactor: FakeReactor, secure: bool) -> None:
        super().__init__(cast(socket.socket, sock), reactor, "192.0.2.1")
        self.secure = secure

    def _begin(self) -> None:
        if not self.secure:
            super()._begin()

    def finish_handshake(self) -> None:
        self._owner.on_open()
        self.settle()

    def find_plaintext(self) -> None:
        """What the peer sent first is no TLS."""
        self._owner.on_plaintext()
        self.settle()

    def _send_span(self, span: FileSpan) -> int:
        return self._sock.send(span.read(HIGH_WATER))


class Answer(NamedTuple):
    """A response as `http.client` reads it."""

    status: int
    headers: Mapping[str, str]
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
        self.connection = Connection(self.transport, net.service)

    @property
    def state(self) -> State:
        return self.connection.state

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
                 log: Log | None = None, on_closed: Callable[[Connection], None] = lambda connection: None) -> None:
        self.clock = FakeClock()
        self.reactor = FakeReactor(self.clock)
        self.peers: list[Peer] = []
        self.service = Service(application=application, reactor=self.reactor, heads=HeadParser(limits),
                               encoder=ResponseEncoder(""), timeouts=timeouts or Timeouts(), log=log,
                               on_closed=on_closed)

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
        for connection in list(self.service.connections):
            assert connection.state is State.HANDLING, f"{connection!r} does not end by itself"
            connection.close()
        self.settle()
        assert all(peer.state is State.CLOSED and peer.sock.closed for peer in self.peers)
        assert not self.reactor.watched
        assert not self.reactor.timers
        assert not self.service.connections

    def close(self) -> None:
        self.reactor.close()


class Later:
    """An application that answers when the test says so."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.futures: list[Future[Response]] = []

    def __call__(self, request: Request) -> Future[Response]:
        self.requests.append(request)
        self.futures.append(Future())
        return self.futures[-1]

    def answer(self, number: int = -1, text: str = "late") -> None:
        self.futures[number].set_result(Response(text))


class Entry(NamedTuple):
    """A line of an access log."""

    client: str
    head: RequestHead | None
    status: int
    size: int
    seconds: float


class ListLog:
    """An access log that is a list."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, client: str, head: RequestHead | None, status: int, size: int, seconds: float) -> None:
        self.entries.append(Entry(client, head, status, size, seconds))
