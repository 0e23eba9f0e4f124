"""Frames and messages as bytes: the one module that knows the library `websockets`, from its first line on.

*In*, frames are parsed, unmasked, decompressed and checked by the library's `Protocol`. Two habits of it are changed
here. It answers each ping as it parses it, while we want to answer when there is room, and the latest only if there is
not (RFC 6455 §5.5.3). And it fails a connection whose peer closes it within a fragmented message, though control
frames may stand there (§5.4).

*Out*, a message is one frame of two, four or ten bytes and the payload, so that is written here. Compression of what
goes out is here too, because a broadcast compresses once for many connections. That is possible although each
connection has a window of its own: a stream that begins anew refers to nothing before itself, so every receiver can
read it. But its window has moved on by that, so the next message to it begins anew as well: `Encoder.forget`.
"""

from __future__ import annotations

import logging
import zlib
from struct import pack
from typing import TypeAlias, cast

from websockets.exceptions import InvalidHeader, NegotiationError, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Close, Frame
from websockets.headers import build_extension, parse_extension
from websockets.protocol import Protocol, Side, State

from .options import Options

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it was not compiled
    from websockets.utils import apply_mask

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT", "Deflate", "Encoder", "Frame", "Frames", "Made",
           "Message", "Small", "client_frames", "close_frame", "frame", "negotiate_deflate"]

Message: TypeAlias = str | bytes
#: Frames of one message, by the bits of the window (0 without compression) and the smallest size that is compressed.
Made: TypeAlias = dict[tuple[int, int], bytes]

#: The library logs every frame at level DEBUG: not under a name that somebody turns on to debug a server.
_logger = logging.getLogger("evloop_http.websocket.frames")

#: Bits of the window, and the memory level.
_WINDOW, _MEMORY = 12, 5
_FACTORY = ServerPerMessageDeflateFactory(server_max_window_bits=_WINDOW, client_max_window_bits=_WINDOW,
                                          compress_settings={"memLevel": _MEMORY})

_FIN, _RSV1 = 0x80, 0x40
_WHOLE_TEXT, _WHOLE_BINARY = _FIN | TEXT, _FIN | BINARY
#: A whole small message, by the first byte of its frame.
Small: TypeAlias = tuple[int, bytes]
#: The heads of small messages.
_TEXT_HEADS = [bytes((_FIN | TEXT, size)) for size in range(126)]
_BINARY_HEADS = [bytes((_FIN | BINARY, size)) for size in range(126)]


class Deflate:
    """Compression as it was negotiated (RFC 7692 §7.1).

    Args:
        field: what the response says of it.
        negotiated: by the library.
    """

    __slots__ = ("_their_bits", "_they_forget", "bits", "field", "forgets")

    def __init__(self, field: str, negotiated: PerMessageDeflate) -> None:
        self.field = field
        #: of the window of what we send
        self.bits = negotiated.local_max_window_bits
        #: whether each message that we send begins anew
        self.forgets = negotiated.local_no_context_takeover
        self._their_bits = negotiated.remote_max_window_bits
        self._they_forget = negotiated.remote_no_context_takeover

    def extension(self) -> PerMessageDeflate:
        """Return what the library decompresses with. Compressing is ours, so it need not keep a compressor."""
        return PerMessageDeflate(self._they_forget, True, self._their_bits, self.bits)


def negotiate_deflate(values: list[str]) -> Deflate | None:
    """Accept the first of the offers that can be accepted, if there is one.

    Raises:
        ValueError: the field is malformed.
    """
    try:
        offers = [offer for value in values for offer in parse_extension(value)]
    except InvalidHeader:
        raise ValueError("the field is malformed") from None
    for name, parameters in offers:
        if name == PerMessageDeflate.name:
            try:
                chosen, extension = _FACTORY.process_request_params(parameters, [])
            except NegotiationError:
                continue
            return Deflate(build_extension([(name, chosen)]), extension)
    return None


class Frames(Protocol):
    """The frames of one connection. After `read`, `data_to_send` has what the library has to say: only of the end."""

    def __init__(self, options: Options, deflate: Deflate | None) -> None:
        super().__init__(Side.SERVER, state=State.OPEN, max_size=options.max_message, logger=_logger)
        if deflate is not None:
            self.extensions = [deflate.extension()]
        self._small = min(125, options.max_message)
        self._is_between = True  # what comes next is the beginning of a frame, and of a message

    def read(self, data: bytes) -> list[Frame | Small]:
        """Return the frames that are complete.

        Most messages are one small frame, and those are read here: it takes a tenth of the time. All others are for
        the library, and so is everything behind them, until it is between two messages again.
        """
        found: list[Frame | Small] = []
        if self._is_between:
            at, end = 0, len(data)
            while end - at >= 6:
                first, size = data[at], data[at + 1] - 0x80  # masked, or it is below 0
                begin = at + 6
                if (first != _WHOLE_TEXT and first != _WHOLE_BINARY) or not 0 <= size <= self._small \
                        or begin + size > end:
                    break
                found.append((first, apply_mask(data[begin:begin + size], data[at + 2:begin])))
                at = begin + size
            if at == end:
                return found
            data = data[at:]
        self.receive_data(data)
        found += cast("list[Frame]", self.events_received())  # of HTTP there is nothing in it
        # The library has no word for it. Should the name ever change, we are slower, and as right as before.
        waits_for = getattr(getattr(self.parser, "gi_yieldfrom", None), "__name__", "")
        self._is_between = waits_for == "at_eof" and self.current_size is None and not self.close_expected()
        return found

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is PING:
            self.events.append(frame)
            return
        if frame.opcode is CLOSE:
            self.current_size = None  # a fragmented message may be left unfinished
        super().recv_frame(frame)


def client_frames() -> Protocol:
    """Return the other end, for a client in a test."""
    return Protocol(Side.CLIENT, state=State.OPEN, max_size=None, logger=_logger)


class Encoder:
    """Makes frames of messages. One at a time: the compressor remembers what was sent.

    Args:
        least: bytes of the smallest message that is compressed.
    """

    __slots__ = ("_compressor", "_deflate", "_least")

    def __init__(self, deflate: Deflate | None, least: int) -> None:
        self._deflate = deflate
        self._least = least
        self._compressor: zlib._Compress | None = None  # made for the first large message, and anew after `forget`

    def encode(self, message: Message | bytearray | memoryview) -> bytes:
        """Return the frame of a message.

        Raises:
            TypeError: it is neither text nor bytes.
            UnicodeEncodeError: a text with half of a surrogate pair.
        """
        if isinstance(message, str):
            payload, heads, first = message.encode(), _TEXT_HEADS, _FIN | TEXT
        else:
            payload, heads, first = _checked_bytes(message), _BINARY_HEADS, _FIN | BINARY
        size = len(payload)
        if self._deflate is not None and size >= self._least:
            return frame(first | _RSV1, self._compress(self._deflate, payload))
        return heads[size] + payload if size < 126 else frame(first, payload)

    def _compress(self, deflate: Deflate, payload: bytes) -> bytes:
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(wbits=-deflate.bits, memLevel=_MEMORY)
            self._compressor = None if deflate.forgets else compressor
        # RFC 7692 §7.2.1: the four bytes that end every flush are left out.
        return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def encode_shared(self, message: Message, made: Made) -> bytes:
        """Return a frame that others with the same settings are sent too.

        Args:
            made: the frames of this message, by settings.
        """
        settings = (self._deflate.bits, self._least) if self._deflate is not None else (0, 0)
        shared = made.get(settings)
        if shared is None:
            made[settings] = shared = Encoder(self._deflate, self._least).encode(message)
        if shared[0] & _RSV1:
            self.forget()
        return shared

    def forget(self) -> None:
        """Begin anew with the next message: the other side has received what this has not compressed."""
        self._compressor = None


def _checked_bytes(message: object) -> bytes:
    if isinstance(message, bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    raise TypeError(f"a message is text or bytes, not {type(message).__name__}")


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame that is not masked (RFC 6455 §5.2); `first` is its first byte."""
    size = len(payload)
    if size < 126:
        return pack("!BB", first, size) + payload
    return pack("!BBH", first, 126, size) + payload if size < 65536 else pack("!BBQ", first, 127, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a Close frame (§5.5.1).

    Raises:
        ValueError: the code may not be sent (§7.4), or the reason has more than 123 bytes.
    """
    try:
        payload = Close(code, reason).serialize()
    except ProtocolError:
        raise ValueError(f"{code} is no code to close with: 1000 to 1003, 1007 to 1014, 3000 to 4999") from None
    if len(payload) > 125:
        raise ValueError("the reason of a Close has 123 bytes at most")
    return frame(_FIN | CLOSE, payload)
