"""WebSocket as a client writes and reads it: RFC 6455 §5.2 done by hand, so that every rule can be broken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from evloop_http import App
from evloop_http.http1 import RequestParser
from evloop_http.messages import NOBODY, Request, RequestHead
from evloop_http.websocket import CallbackWebSocket, Offer, negotiate
from fakes import FakeNet, Peer

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
#: the answer to it, as in RFC 6455 §1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x37\xfa\x21\x3d"

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def handshake(target: str = "/", *fields: str, key: str = KEY, version: str = "13", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket",
             f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {version}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK,
           size: bytes | None = None) -> bytes:
    """A frame of a client.

    Args:
        rsv: the reserved bits, as a number of three bits.
        mask: None for none.
        size: the length as it is to be written, with the bit for the mask.
    """
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if size is None:
        length = len(payload)
        size = bytes([bit | length]) if length < 126 else (
            struct.pack("!BH", bit | 126, length) if length < 65536 else struct.pack("!BQ", bit | 127, length))
    if mask is None:
        return bytes([first]) + size + payload
    return bytes([first]) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def closing(code: int | None = None, reason: bytes = b"") -> bytes:
    return masked(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Got(NamedTuple):
    """A frame of a server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int:
        """Of a Close; 1005 if there is none."""
        assert self.opcode == CLOSE
        return int(struct.unpack("!H", self.payload[:2])[0]) if self.payload else 1005


def read_frames(data: bytes) -> list[Got]:
    """All frames of a server, which never masks (§5.1) and says lengths in as few bytes as it can."""
    frames, at = [], 0
    while at < len(data):
        first, size = data[at], data[at + 1]
        assert size < 128, "a server does not mask"
        at += 2
        if size == 126:
            size, at = struct.unpack_from("!H", data, at)[0], at + 2
            assert size >= 126
        elif size == 127:
            size, at = struct.unpack_from("!Q", data, at)[0], at + 8
            assert size >= 65536
        assert len(data) >= at + size, "a frame was cut"
        frames.append(Got(first & 15, data[at:at + size], first >= 128, first >> 4 & 7))
        at += size
    return frames


def texts(*messages: str) -> list[Got]:
    return [Got(TEXT, message.encode()) for message in messages]


def asked_for(raw: bytes = b"") -> tuple[Request, Offer]:
    """A request for a WebSocket, and what was negotiated."""
    parser = RequestParser()
    parser.feed(raw or handshake())
    head = parser.next_event()
    assert isinstance(head, RequestHead)
    request = Request(head)
    return request, negotiate(request)


class LoneChannel:
    """A `messages.Channel` that leads nowhere: what was written, and what is to be called in a later turn."""

    def __init__(self) -> None:
        self.peer = NOBODY
        self.queued = 0
        self.written: list[bytes] = []
        self.paused = False
        self.due: list[Callable[[], object]] = []

    def time(self) -> float:
        return 0.0

    def wake_in(self, seconds: float, callback: Callable[[], object]) -> None: ...

    def later(self, act: Callable[..., object], *args: object) -> None:
        self.due.append(partial(act, *args))

    def settle(self) -> None:
        """Take turns until nothing is to be called."""
        while self.due:
            self.due.pop(0)()

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def end(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Wire:
    """A WebSocket over a fake net, to an application with callbacks: `/` echoes, and all is written down.

    Args:
        room: bytes that the client takes before it takes no more.
        options: of the route.
    """

    def __init__(self, *, room: int = 1 << 40, fields: tuple[str, ...] = (), **options: Any) -> None:
        self.messages: list[str | bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.sockets: list[CallbackWebSocket] = []
        self.echoes = True
        app = App()
        app.websocket("/", on_open=self.sockets.append, on_message=self.on_message,
                      on_close=lambda ws, code, reason: self.closed.append((code, reason)), **options)
        self.net = FakeNet(app)
        self.peer: Peer = self.net.connect(room)
        self.peer.send(handshake("/", *fields))
        self.head, _, rest = self.peer.got.partition(b"\r\n\r\n")
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head
        assert not rest
        self._seen = len(self.peer.got)

    def on_message(self, ws: CallbackWebSocket, message: str | bytes) -> None:
        self.messages.append(message)
        if self.echoes:
            ws.send(message)

    @property
    def ws(self) -> CallbackWebSocket:
        return self.sockets[0]

    def send(self, *pieces: bytes) -> list[Got]:
        """Send pieces, each of them one `recv`; return the frames that came since the last time."""
        self.peer.send(*pieces)
        return self.got()

    def got(self) -> list[Got]:
        data = self.peer.got[self._seen:]
        self._seen += len(data)
        return read_frames(data)

    def end(self) -> None:
        self.net.finish()
        self.net.close()
