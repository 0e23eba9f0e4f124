"""A TLS server without HTTP, and clients whose ciphertext is handed over when the test says so."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

from evloop_http.net.certificates import make_context
from evloop_http.net.reactor import Reactor
from evloop_http.net.tls import ENGINES, Handshakes, TlsTransport
from recording import Recorder

Pair = tuple[socket.socket, socket.socket]
Certificate = tuple[Path, Path]


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def small_pair() -> Pair:
    """A pair that holds a few kilobytes only."""
    pair = socket.socketpair()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return pair


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Client:
    """The other end. OpenSSL works in memory; `push` and `pull` carry its ciphertext to and from the socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.closed_by_peer = False

    def push(self) -> None:
        """Put on the wire what OpenSSL has to say; it has to fit."""
        if data := self.outgoing.read():
            assert self.sock.send(data) == len(data)

    def pull(self) -> int:
        """Take from the wire what has come; how many bytes that was."""
        count = 0
        try:
            while data := self.sock.recv(1 << 20):
                count += self.incoming.write(data)
            self.incoming.write_eof()
            self.closed_by_peer = True
        except BlockingIOError:
            pass
        return count

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what has come allows; whether it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.push()
        return True

    def send(self, data: bytes) -> None:
        assert self.tls.write(data) == len(data)
        self.push()

    def received(self) -> bytes:
        """What the peer has said so far, up to its end, with or without close_notify."""
        self.pull()
        pieces = []
        try:
            while data := self.tls.read(1 << 20):
                pieces.append(data)
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            pass
        return b"".join(pieces)

    def say_goodbye(self) -> None:
        """Send close_notify, wait for nothing."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.push()

    def heard_goodbye(self) -> bool:
        """Whether the peer sent close_notify: where it only closed, that is an error here."""
        self.pull()
        try:
            return self.tls.read(1) == b""
        except ssl.SSLEOFError:
            return False


class World:
    """A reactor, a server's context, and clients of it."""

    def __init__(self, certificate: Certificate, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
                 engine: str = "guarded") -> None:
        self.reactor = Reactor()
        self.engine = ENGINES[engine]
        self.context = make_context(*certificate)
        self.client_context = ssl.create_default_context(cafile=certificate[0])
        self.client_context.maximum_version = newest
        self.handshakes = Handshakes(self.reactor)
        self._made: list[TlsTransport | socket.socket] = []

    def accept(self, pair: Pair | None = None, owner: Recorder | None = None) -> tuple[TlsTransport, Client, Recorder]:
        """A transport that waits for the first byte of its client."""
        sock, peer = pair or socket.socketpair()
        transport = self.engine(sock, self.reactor, self.context, self.handshakes)
        self._made += transport, peer
        owner = owner or Recorder()
        transport.open(owner)
        return transport, Client(peer, self.client_context), owner

    def connect(self, pair: Pair | None = None, owner: Recorder | None = None) -> tuple[TlsTransport, Client, Recorder]:
        """The same with the handshake behind it."""
        transport, client, owner = self.accept(pair, owner)
        self.shake_hands(client)
        assert owner.told == ["open"]
        client.received()  # session tickets
        return transport, client, owner

    def shake_hands(self, client: Client) -> None:
        while not client.shake_hands():
            assert self.reactor.poll(10)
            client.pull()
        self.reactor.poll(0)

    def turn(self) -> int:
        return self.reactor.poll(0)

    def is_quiet(self) -> bool:
        return self.reactor.poll(0) == 0 and self.reactor.next_timeout() is None

    def watched(self) -> int:
        """What the one transport is watched for."""
        keys = [key for key in self.reactor._selector.get_map().values() if key.fileobj is not self.reactor._waker]
        return keys[0].events if keys else 0

    def drain(self, transport: TlsTransport, client: Client) -> bytes:
        pieces = [client.received()]
        while transport.queued:
            assert self.reactor.poll(10)
            pieces.append(client.received())
        return b"".join([*pieces, client.received()])

    def close(self) -> None:
        for each in self._made:
            each.close()
        assert self.reactor.registrations == 0
        self.reactor.close()
