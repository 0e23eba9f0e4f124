"""The life of one WebSocket, from the acceptance of its handshake to its end. No handler, no thread of its own.

    CONNECTING ─▶ OPEN ─▶ CLOSING ─▶ CLOSED        CLOSING: our Close is sent, that of the peer is awaited
                    └──────────────────▲            the peer closes, breaks a rule, is silent or lost

*Work is bounded.* What arrived is given to the frame parser in slices (`SLICE`), its frames are handled one by one,
and after `BUDGET` seconds, or when the listener has enough (`pause`), the rest waits, and the socket is not read. So
what one connection holds of its peer is bounded: one message that is arriving (`Options.max_message`), one read of
the socket (64 KiB), the frames of one slice, and the listener's inbox. A flood of control frames is no exception: a
ping is a frame of a slice, and is answered with no more bytes than it has. If those cannot be sent, the pong to the
latest ping is kept and no other (RFC 6455 §5.5.3).

*Deadlines*, by the one alarm of the channel. OPEN: after `ping_interval` without a byte a ping is sent, and something
must arrive within `ping_timeout`. Bytes count, and not only frames: a large message on a slow line is one frame, and no
pong can overtake it. While we do not read, the clock stands still, for the pong may lie behind what we refuse to read;
a ping is sent all the same, because a peer that has gone is noticed by writing only. CLOSING: `close_timeout`, whatever
arrives. A peer that takes nothing is ended by the channel.

*Sending* is safe from any thread. A message becomes a frame where it is sent, under a lock, because the order of
compression is the order on the wire. Frames are collected, and leave together: at the end of a turn of the connection,
or in the turn that another thread has asked for, once for all that it sent until then.

A method that says "loop" in its docstring is for the thread of the loop.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator
from threading import Lock, get_ident
from typing import TYPE_CHECKING, cast

from ..messages import Channel
from .assembly import Assembly
from .handshake import Offer
from .listening import NO_LISTENER, NOWHERE, Disconnected, Listener
from .options import BEHIND, BUDGET, COMPRESSED_SLICE, HIGH_WATER, SLICE

if TYPE_CHECKING:
    from .frames import Frame, Made, Message, Small

logger = logging.getLogger("evloop_http.websocket")

_PING = b"\x89\x00"
_PONG = 0x8A
# Opcodes (RFC 6455 §11.8): data frames come first.
_CONTINUATION, _TEXT, _BINARY, _PING_FRAME = 0, 1, 2, 9
_WHOLE_BINARY = 0x82


class State(enum.Enum):
    """How far a WebSocket is."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


CONNECTING, OPEN, CLOSING, CLOSED = State


class WebSocketProtocol:
    """A WebSocket as a `messages.SwitchedProtocol`, for the `Upgrade` that `Offer.upgrade` makes.

    Args:
        offer: what was negotiated.
        listener: who is told.

    Raises:
        RuntimeError: the library is not installed.
    """

    __slots__ = ("_assembly", "_at", "_awaiting_close", "_bytes", "_channel", "_encoder", "_flush_due", "_frames",
                 "_frames_left", "_full", "_has_rest", "_heard", "_home", "_listener", "_lock", "_options", "_out",
                 "_out_size", "_paused", "_pinged", "_pong", "_pumping", "_refuses", "_slice", "_yields", "close_code",
                 "close_reason", "state")

    def __init__(self, offer: Offer, listener: Listener) -> None:
        from .frames import Encoder, Frames
        self._listener = listener
        self._options = offer.options
        self._frames = Frames(offer.options, offer.deflate)
        self._slice = SLICE if offer.deflate is None else COMPRESSED_SLICE
        self._channel: Channel = NOWHERE
        self._home = get_ident()
        #: changed in the thread of the loop only
        self.state = CONNECTING
        #: once it is closed; see `Disconnected`
        self.close_code = 0
        self.close_reason = ""
        # What came in
        self._bytes = b""  # not given to the parser yet, from `_at` on
        self._at = 0
        self._frames_left: Iterator[Frame | Small] = iter(())  # of the last slice
        self._assembly: Assembly | None = None  # there is one within a fragmented message
        self._has_rest = False  # there may be frames or bytes that have arrived and were not handled
        self._pumping = False
        self._paused = False  # by the listener
        self._yields = False  # it goes on in a later turn
        self._heard = 0.0  # when anything arrived
        self._pinged = False  # by us, and nothing has arrived since
        # What goes out
        self._lock = Lock()
        self._encoder = Encoder(offer.deflate, offer.options.compress_from)
        self._out: list[bytes] = []
        self._out_size = 0
        self._refuses = False  # it is closed, or about to be
        self._flush_due = True  # a flush will come: `on_start`
        self._full = False  # the channel has said so
        self._pong = b""  # of the latest ping, if there was no room for it
        self._awaiting_close: tuple[int, str] | None = None  # what to close with, when everything has been sent

    def __repr__(self) -> str:
        return f"<WebSocketProtocol {self.state.value}>"

    @property
    def full(self) -> bool:
        """Whether more waits to be sent than should: wait for `on_room`. From any thread."""
        return self._full or self._out_size >= HIGH_WATER

    @property
    def ends(self) -> bool:
        """Whether it is closed, or about to be: nothing can be sent. From any thread."""
        return self._refuses

    @property
    def behind(self) -> int:
        """Bytes that the peer has not taken, as far as we know. From any thread."""
        return self._out_size + self._channel.queued

    def is_home(self) -> bool:
        """Return whether this is the thread of the loop."""
        return get_ident() == self._home

    def later(self, act: Callable[..., object], *args: object) -> None:
        """Have `act` called in the thread of the loop, unless this is closed by now. From any thread."""
        self._channel.later(act, *args)

    # Sending: from any thread

    def send(self, message: Message, *, hold: bool = False) -> None:
        """Send a message, however much is waiting to be sent.

        Args:
            hold: whether another one follows at once; loop. Both leave together then.

        Raises:
            Disconnected: it is closed, or about to be.
            TypeError: the message is neither text nor bytes.
        """
        is_home = get_ident() == self._home
        with self._lock:
            if self._refuses:
                raise self._disconnected()
            frame = self._encoder.encode(message)
            at_once = is_home and not hold and not self._out and not self._pumping and self.state is OPEN
            if not at_once:
                self._out.append(frame)
                self._out_size += len(frame)
                is_due, self._flush_due = self._flush_due, True
        if not at_once:
            self._flush_soon(is_due, hold)
        elif not self._channel.write(frame):
            self._full = True

    def send_shared(self, message: Message, made: Made) -> bool:
        """Send a message that others are sent too; see `Encoder.encode_shared`. One that is far behind is cut off.

        Returns:
            False if it is closed, or has been cut off.
        """
        with self._lock:
            if self._refuses:
                return False
            behind = self._out_size + self._channel.queued > BEHIND
            if not behind:
                frame = self._encoder.encode_shared(message, made)
                self._out.append(frame)
                self._out_size += len(frame)
            is_due, self._flush_due = self._flush_due, True
        if behind:
            self.cut_off()
            return False
        self._flush_soon(is_due, False)
        return True

    def _disconnected(self) -> Disconnected:
        if self._awaiting_close is not None and self.state is not CLOSED:
            return Disconnected(*self._awaiting_close)
        return Disconnected(self.close_code, self.close_reason)

    def _flush_soon(self, is_due: bool, hold: bool) -> None:
        if get_ident() != self._home or hold:
            if not is_due:
                self._channel.later(self.flush)
        elif not self._pumping:
            self.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, behind all that has been sent. The second time it does nothing.

        Raises:
            ValueError: the code may not be sent (RFC 6455 §7.4), or the reason has more than 123 bytes.
        """
        from .frames import close_frame
        close_frame(code, reason)
        with self._lock:
            if self._refuses:
                return
            self._refuses = True
            self._awaiting_close = code, reason
            is_due, self._flush_due = self._flush_due, True
        self._flush_soon(is_due, False)

    def cut_off(self) -> None:
        """End the connection with a reset."""
        if self.state is not CONNECTING and not self.is_home():
            self._channel.later(self.cut_off)
            return
        channel = self._channel
        self._end(1006, "")
        channel.abort()

    def flush(self) -> None:
        """Send what is waiting to be sent. Loop."""
        if self.state is CONNECTING or self.state is CLOSED:
            return
        with self._lock:
            out, self._out = self._out, []
            size, self._out_size = self._out_size, 0
            self._flush_due = False
            wanted = self._awaiting_close
        if out and not self._channel.write(out[0] if len(out) == 1 else b"".join(out)):
            self._full = True
        elif self._pong or size >= HIGH_WATER:
            self.on_writable()
        if wanted is not None and self.state is OPEN:
            self._begin_closing(*wanted)

    # As a `SwitchedProtocol`

    def on_start(self, channel: Channel) -> None:
        with self._lock:  # it may be cut off by another thread before it has begun
            is_wanted = self.state is CONNECTING
            if is_wanted:
                self.state = OPEN
                self._channel = channel
                self._home = get_ident()
        if not is_wanted:
            channel.close()
            return
        self._heard = channel.time()
        channel.wake_in(self._options.ping_interval, self._on_alarm)
        self._listener.on_open()
        self.flush()

    def on_data(self, data: bytes) -> None:
        self._heard = self._channel.time()
        self._pinged = False
        if not self._has_rest and len(data) <= self._slice:
            frames = self._frames.read(data)
            if (len(frames) == 1 and type(frames[0]) is tuple and self.state is OPEN  # the usual: one small message
                    and self._frames.parser_exc is None):  # and no breach behind it
                self._pumping = True
                self._take_small(frames[0])
                self._pumping = False
                if self._out or self._awaiting_close is not None:
                    self.flush()
                return
            self._frames_left = iter(frames)
        else:
            self._bytes = self._bytes[self._at:] + data if self._bytes else data
            self._at = 0
        self._pump()

    def on_eof(self) -> None:
        """The peer sends nothing more, and has sent no Close."""
        channel = self._channel
        self._end(1006, "")
        channel.close()

    def on_writable(self) -> None:
        self._full = False
        if self._pong:
            pong, self._pong = self._pong, b""
            self._full = not self._channel.write(pong)
        self._listener.on_room()

    def on_stop(self) -> None:
        self.close(1001)

    def on_close(self) -> None:
        self._end(1006, "")

    # Receiving: loop

    def pause(self) -> None:
        """Receive no more messages until `resume`. Loop."""
        if not self._paused:
            self._paused = True
            self._channel.pause()

    def resume(self) -> None:
        """Receive again. Loop."""
        if not self._paused or self.state is CLOSED:
            return
        self._paused = self._pinged = False
        self._heard = self._channel.time()
        if self._has_rest or self._pumping:
            self._yield_turn()  # not at once: this may be a listener's call out of the midst of that
        elif not self._yields:
            self._channel.resume()

    def _yield_turn(self) -> None:
        """Let the others go first."""
        if not self._yields:
            self._yields = True
            self._channel.pause()
            self._channel.later(self._take_turn)

    def _take_turn(self) -> None:
        self._yields = False
        if not self._paused and self.state is not CLOSED:
            self._channel.resume()
            self._pump()

    def _pump(self) -> None:
        """Handle what has arrived, until that is all, the listener has enough, or others should have their turn."""
        if self._pumping:
            return
        self._pumping = True
        try:
            until = self._channel.time() + BUDGET
            self._has_rest = True
            while self._take_frames(until):
                answers = self._frames.data_to_send()
                if answers:
                    self._finish(b"".join(answers))
                if not self._bytes:
                    self._has_rest = False
                    break
                self._parse()
        finally:
            self._pumping = False
        if self._out or self._awaiting_close is not None:
            self.flush()

    def _parse(self) -> None:
        """Give the next slice to the parser."""
        data = self._bytes
        if len(data) <= self._slice:
            self._bytes = b""
        else:
            data = data[self._at:self._at + self._slice]
            self._at += self._slice
            if self._at >= len(self._bytes):
                self._bytes, self._at = b"", 0
        self._frames_left = iter(self._frames.read(data))

    def _take_frames(self, until: float) -> bool:
        """Handle the frames of a slice. Return whether all are handled, and more may be."""
        for frame in self._frames_left:
            if type(frame) is tuple:
                self._take_small(frame)
            else:
                self._take(cast("Frame", frame))
            if self._paused or self.state is CLOSED:
                return False
            if self._channel.time() > until:
                self._yield_turn()
                return False
        return self.state is not CLOSED

    def _take_small(self, frame: Small) -> None:
        first, payload = frame
        if self.state is not OPEN:
            return
        if first == _WHOLE_BINARY:
            self._listener.on_message(payload)
            return
        try:
            text = str(payload, "utf-8")
        except UnicodeDecodeError:
            self._fail(1007, "text is UTF-8")
        else:
            self._listener.on_message(text)

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if self.state is not OPEN:
            return  # after our Close, only that of the peer is of interest
        if opcode == _PING_FRAME:
            self._answer_ping(bytes(frame.data))
        elif opcode <= _BINARY:
            try:
                if not frame.fin or opcode == _CONTINUATION:
                    self._add_fragment(frame)
                elif opcode == _TEXT:
                    self._listener.on_message(str(frame.data, "utf-8"))
                else:
                    self._listener.on_message(bytes(frame.data))
            except UnicodeDecodeError:
                self._fail(1007, "text is UTF-8")

    def _add_fragment(self, frame: Frame) -> None:
        assembly = self._assembly
        if assembly is None or frame.opcode != _CONTINUATION:  # the library has checked which it must be
            self._assembly = assembly = Assembly(frame.opcode == _TEXT, self._options.max_fragments)
        if not assembly.add(bytes(frame.data), frame.fin):
            self._fail(1009, "a message of too many fragments")
        elif frame.fin:
            self._assembly = None
            self._listener.on_message(assembly.message())

    def _answer_ping(self, payload: bytes) -> None:
        pong = bytes((_PONG, len(payload))) + payload
        with self._lock:
            if self._out_size + self._channel.queued >= HIGH_WATER:
                self._pong = pong
                return
            self._out.append(pong)
            self._out_size += len(pong)

    # Ending: loop

    def _begin_closing(self, code: int, reason: str) -> None:
        """Send a Close, and wait for that of the peer, whatever else it sends."""
        self.state = CLOSING
        self._channel.wake_in(self._options.close_timeout, self._on_alarm)
        if not self._frames.close_expected():  # the peer's is not among the frames that wait to be handled
            self._frames.send_close(code, reason)
            self._channel.write(b"".join(self._frames.data_to_send()))
        self.resume()

    def _finish(self, answer: bytes) -> None:
        """End as the library says: the peer has closed, or broken a rule."""
        frames = self._frames
        if frames.parser_exc is not None and frames.close_sent is not None:
            logger.debug("%s: %s", self._channel.peer.address, frames.parser_exc)
            self._shut(answer, frames.close_sent.code, frames.close_sent.reason)
        elif frames.close_rcvd is not None:
            self._shut(answer, frames.close_rcvd.code, frames.close_rcvd.reason)
        else:
            self._shut(answer, 1006, "")

    def _fail(self, code: int, reason: str) -> None:
        """End because the peer has broken a rule that the library does not check."""
        from .frames import close_frame
        self._shut(close_frame(code, reason) if self.state is OPEN else b"", code, reason)

    def _shut(self, last_words: bytes, code: int, reason: str) -> None:
        self.flush()
        channel = self._channel
        if last_words and self.state is not CLOSED:
            channel.write(last_words)
        self._end(code, reason)
        channel.close()

    def _end(self, code: int, reason: str) -> None:
        """Record that it is closed, let go of everything, and tell the listener. Once."""
        with self._lock:
            if self.state is CLOSED:
                return
            self.state = CLOSED
            self._refuses = True
            self.close_code, self.close_reason = code, reason
            self._out, self._out_size = [], 0
            self._channel = NOWHERE
        listener, self._listener = self._listener, NO_LISTENER
        self._bytes, self._frames_left, self._assembly = b"", iter(()), None
        listener.on_closed(code, reason)

    # Time

    def _on_alarm(self) -> None:
        options, channel = self._options, self._channel
        now = channel.time()
        if self.state is CLOSING:
            self.cut_off()
        elif self._paused or self._yields:  # `resume` begins the silence anew
            self._pinged = False
            channel.wake_in(options.ping_interval, self._on_alarm)
            if not channel.queued:
                channel.write(_PING)  # its pong may not be read, but only by writing do we learn that the peer has gone
        elif self._pinged:
            self.cut_off()
        elif now < self._heard + options.ping_interval:
            channel.wake_in(self._heard + options.ping_interval - now, self._on_alarm)
        else:
            self._pinged = True
            channel.wake_in(options.ping_timeout, self._on_alarm)
            channel.write(_PING)
