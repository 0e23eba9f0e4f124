"""A WebSocket for a handler that is a coroutine: it awaits messages, and room to send, in the loop's own thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..messages import HeaderSource, Request
from .handshake import Offer
from .inbox import Inbox
from .listening import Disconnected
from .options import OPENING
from .sockets import BaseSocket

if TYPE_CHECKING:
    import asyncio


class AsyncWebSocket(BaseSocket[Any]):
    """A WebSocket. `async for message in ws` ends when it is closed. One task at a time should receive.

    Another thread sends by `try_send`, or has `send` awaited by `asyncio.run_coroutine_threadsafe`.
    """

    def __init__(self, request: Request, offer: Offer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(request, offer)
        self._loop = loop
        self._inbox = Inbox()
        self._is_open = False
        self._is_closed = False
        self._is_paused = False
        self._waiting: list[asyncio.Future[None]] = []  # woken by whatever happens, to look again

    async def accept(self, subprotocol: str | None = None, headers: HeaderSource = ()) -> None:
        """Accept, and wait until it is open. Sending and receiving do that by themselves.

        Args:
            subprotocol: one of `offered`; empty for none, None for the one by the options of the route.
            headers: more fields of the response.

        Raises:
            Disconnected: the client has left.
            RuntimeError: it has been accepted already.
            ValueError: the client does not offer the subprotocol, or a header is malformed.
        """
        self._accept(subprotocol, headers)
        patience = self._loop.call_later(OPENING, self._give_up)
        try:
            while not self._is_open:
                if self._is_closed:
                    raise Disconnected(self.close_code, self.close_reason)
                await self._something()
        finally:
            patience.cancel()

    def _give_up(self) -> None:
        """End it: the response did not get there, because something else was answered in its place."""
        if not self._is_open:
            self._protocol.cut_off()

    async def receive(self) -> str | bytes:
        """Return the next message, and wait for it: text as `str`, binary as `bytes`.

        Raises:
            Disconnected: it is closed.
        """
        inbox = self._inbox
        if not self._is_accepted:
            await self.accept()
        while not inbox.messages:
            if self._is_closed:
                raise Disconnected(self.close_code, self.close_reason)
            await self._something()
        message = inbox.take()
        if self._is_paused and inbox.has_room():
            self._is_paused = False
            self._protocol.resume()
        return message

    def __aiter__(self) -> AsyncWebSocket:
        """Return the messages until it is closed."""
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except Disconnected:
            raise StopAsyncIteration from None

    async def send(self, message: str | bytes) -> None:
        """Send a message. Wait while too much is waiting to be sent.

        Raises:
            Disconnected: it is closed.
            TypeError: the message is neither text nor bytes.
        """
        if not self._is_accepted:
            await self.accept()
        protocol = self._protocol
        # While more messages wait for the handler, its answers are collected and leave together.
        protocol.send(message, hold=bool(self._inbox.messages))
        while protocol.full and not self._is_closed:
            await self._something()

    def _something(self) -> asyncio.Future[None]:
        """Return what is done as soon as anything happens."""
        if len(self._waiting) > 8:  # of tasks that were cancelled while they waited, one after the other
            self._waiting = [future for future in self._waiting if not future.done()]
        future = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    # As a `Listener`

    def on_open(self) -> None:
        self._is_open = True
        self._wake()

    def on_message(self, message: str | bytes) -> None:
        if self._inbox.put(message):
            self._is_paused = True
            self._protocol.pause()
        self._wake()

    def on_room(self) -> None:
        self._wake()

    def on_closed(self, code: int, reason: str) -> None:
        self._is_closed = True
        self._wake()
