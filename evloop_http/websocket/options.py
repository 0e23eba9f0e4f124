"""What may be chosen for a WebSocket route, and the bounds that are fixed. Knows no connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..messages import Headers, HeaderSource, is_token

#: Bytes that wait to be sent. Above it, a thread's `send` blocks, a task's waits, and `try_send` returns False.
HIGH_WATER = 64 * 1024
#: Bytes that wait to be sent to one that takes too little of what is sent without waiting; beyond, it is cut off.
BEHIND = 1024 * 1024
#: Messages, and bytes (of a text, characters), that wait for the handler; then the connection is not read.
INBOX_MESSAGES = 16
INBOX_SIZE = 256 * 1024
#: Bytes that are given to the frame parser at a time: some 680 empty frames, 3 ms. Compressed ones may be messages of
#: a thousand times their size (of 1 KiB, a megabyte), so there are fewer.
SLICE = 4 * 1024
COMPRESSED_SLICE = 1024
#: Seconds that one connection may work on what it received before the others have their turn.
BUDGET = 0.005
#: Seconds from `accept` until the connection is open; beyond, the handshake is lost.
OPENING = 10.0


def check_library() -> None:
    """Check that frames can be read.

    Raises:
        RuntimeError: the extra `websocket` is not installed.
    """
    try:
        import websockets  # noqa: F401
    except ImportError:
        raise RuntimeError("WebSockets need the library websockets: pip install 'evloop-http[websocket]'") from None


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen for a route. Seconds and bytes.

    Raises:
        ValueError: a subprotocol is no token, a number is not above 0, or `origins` is a text other than "*".
    """

    #: in order of preference; the first that the client offers is chosen, and none if it offers none of them
    subprotocols: Iterable[str] = ()
    #: more fields of the response that accepts
    headers: HeaderSource = ()
    #: origins whose pages may connect beside those of the same host, such as "https://example.org"; "*" for all
    origins: Iterable[str] = ()
    #: whether to compress (RFC 7692), with a window of 4 KiB. It costs some 20 KiB of memory for each connection
    compression: bool = False
    #: bytes of the smallest message that is compressed
    compress_from: int = 128
    #: bytes of a message, decompressed; beyond, the connection is closed with 1009
    max_message: int = 1024 * 1024
    #: frames of a message; beyond, 1009
    max_fragments: int = 1024
    #: of silence, after which a ping is sent
    ping_interval: float = 20
    #: for anything to arrive behind a ping; then the connection is lost
    ping_timeout: float = 20
    #: for the other side to answer a Close
    close_timeout: float = 10

    def __post_init__(self) -> None:
        if isinstance(self.origins, str) and self.origins != "*":
            raise ValueError('origins is a list such as ["https://example.org"], or "*"')
        if isinstance(self.subprotocols, str):
            raise ValueError('subprotocols is a list such as ["chat"]')
        object.__setattr__(self, "subprotocols", tuple(self.subprotocols))
        object.__setattr__(self, "headers", Headers(self.headers))
        if self.origins != "*":
            object.__setattr__(self, "origins", frozenset(origin.lower().rstrip("/") for origin in self.origins))
        for name in self.subprotocols:
            if not is_token(name):
                raise ValueError(f"a subprotocol is a token, not {name!r}")
        if self.compress_from < 0:
            raise ValueError(f"compress_from must not be negative, not {self.compress_from}")
        for name in ("max_message", "max_fragments", "ping_interval", "ping_timeout", "close_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


#: What holds if nothing was chosen.
DEFAULTS = Options()
