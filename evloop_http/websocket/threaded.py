"""A WebSocket for a handler in a thread: it waits for messages, and for room to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Condition
from typing import Any

from ..messages import HeaderSource, Request
from .handshake import Offer
from .inbox import Inbox
from .listening import Disconnected
from .options import BEHIND, OPENING
from .sockets import BaseSocket


class WebSocket(BaseSocket[Any]):
    """A WebSocket. `for message in ws` ends when it is closed. Any thread may send; one at a time should receive."""

    def __init__(self, request: Request, offer: Offer) -> None:
        super().__init__(request, offer)
        self._changed = Condition()  # guards what follows
        self._inbox = Inbox()
        self._is_open = False
        self._is_closed = False
        self._is_paused = False

    def accept(self, subprotocol: str | None = None, headers: HeaderSource = ()) -> None:
        """Accept, and wait until it is open. Sending and receiving do that by themselves.

        Args:
            subprotocol: one of `offered`; empty for none, None for the one by the options of the route.
            headers: more fields of the response.

        Raises:
            Disconnected: the client has left.
            RuntimeError: it has been accepted already, or this is the thread of the loop.
            ValueError: the client does not offer the subprotocol, or a header is malformed.
        """
        self._refuse_to_wait()
        self._accept(subprotocol, headers)
        with self._changed:
            self._changed.wait_for(lambda: self._is_open or self._is_closed, OPENING)
            if self._is_open:
                return
        self._protocol.cut_off()  # the response did not get there: something else was answered in its place
        raise Disconnected(1006)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message, and wait for it: text as `str`, binary as `bytes`.

        Args:
            timeout: seconds; None to wait until it is closed.

        Raises:
            Disconnected: it is closed.
            TimeoutError: there is none.
            RuntimeError: this is the thread of the loop.
        """
        if not self._is_accepted:
            self.accept()
        with self._changed:
            if not self._inbox.messages:
                self._wait(lambda: bool(self._inbox.messages) or self._is_closed, timeout)
                if not self._inbox.messages:
                    raise Disconnected(self.close_code, self.close_reason)
            message = self._inbox.take()
            resumes = self._is_paused and self._inbox.has_room()
            if resumes:
                self._is_paused = False
        if resumes:
            self._protocol.later(self._protocol.resume)
        return message

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> None:
        self._refuse_to_wait()
        if not self._changed.wait_for(condition, timeout):
            raise TimeoutError(f"nothing for {timeout} seconds")

    def _refuse_to_wait(self) -> None:
        if self._protocol.is_home():
            raise RuntimeError("this WebSocket waits, and nobody may wait in the thread of the loop")

    def __iter__(self) -> Iterator[str | bytes]:
        """Return the messages until it is closed."""
        try:
            while True:
                yield self.receive()
        except Disconnected:
            return

    def send(self, message: str | bytes, timeout: float | None = None) -> None:
        """Send a message. Wait while too much is waiting to be sent. From any thread.

        In the thread of the loop it does not wait, and a client that is more than 1 MiB behind is cut off.

        Args:
            timeout: seconds to wait for room; None for as long as it takes (the server's `Timeouts.write` ends it).

        Raises:
            Disconnected: it is closed.
            TimeoutError: there is no room.
            TypeError: the message is neither text nor bytes.
        """
        if not self._is_accepted:
            self.accept()
        protocol = self._protocol
        if protocol.full:
            if protocol.is_home():
                if protocol.behind > BEHIND:
                    protocol.cut_off()
            else:
                with self._changed:
                    self._wait(lambda: not protocol.full or self._is_closed, timeout)
        protocol.send(message)

    # As a `Listener`

    def on_open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def on_message(self, message: str | bytes) -> None:
        with self._changed:
            pauses = self._inbox.put(message)
            self._is_paused = self._is_paused or pauses
            self._changed.notify_all()
        if pauses:
            self._protocol.pause()

    def on_room(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def on_closed(self, code: int, reason: str) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


