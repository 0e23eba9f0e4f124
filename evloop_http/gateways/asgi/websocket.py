"""One WebSocket of an ASGI application, from its scope to the end of its task (ASGI, "HTTP & WebSocket" 2.5).

    START ──websocket.accept──▶ OPEN ──websocket.close, or the client's──▶ CLOSED
      ├─────websocket.close──▶ refused with 403
      └─────websocket.http.response.start──▶ refused with a response, as of any request (`cycle`)

Frames, deadlines, pings and limits are the room `websocket`'s. What waits here for the application is bounded by its
`Inbox`: the client is not read while that is full. `send` waits while the client takes too little.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any, cast

from ...messages import HTTPError, Request, Response
from ...websocket.handshake import Offer
from ...websocket.inbox import Inbox
from ...websocket.listening import Disconnected
from ...websocket.protocol import WebSocketProtocol
from .cycle import DONE, START, Cycle
from .fields import ResponseFields
from .kinds import ClientDisconnected, Message

logger = logging.getLogger("evloop_http.asgi")


class Phase(enum.Enum):
    """How far a WebSocket is, as the application sees it."""

    CONNECTING = "it is neither accepted nor refused"
    OPEN = "it is accepted"
    CLOSED = "the application has closed it"


CONNECTING, OPEN, CLOSED = Phase


class WebSocketCycle(Cycle):
    """What an application is given for one WebSocket: its `receive` and `send`."""

    __slots__ = ("_close", "_inbox", "_is_paused", "_offer", "_phase", "_protocol", "_tells_of_connect")

    def __init__(self, request: Request, known: ResponseFields, offer: Offer) -> None:
        super().__init__(request, known)
        self._offer = offer
        self._phase = CONNECTING
        self._protocol: WebSocketProtocol | None = None  # once it is accepted
        self._inbox = Inbox()
        self._is_paused = False
        self._tells_of_connect = True
        self._close: tuple[int, str] | None = None  # code and reason, once it is closed

    # For the gateway

    def end(self, task: asyncio.Task[None]) -> None:
        """Close, or refuse if the application has done neither."""
        protocol = self._protocol
        if protocol is None:
            super().end(task)
            return
        self._request.on_disconnect = None
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not (isinstance(error, Disconnected) and protocol.ends):
            self._log(error)
        protocol.close(1000 if error is None else 1011)

    # For the application

    async def receive(self) -> Message:
        """Return the next event: that a client connects, its messages, and that it has left."""
        if self._tells_of_connect:
            self._tells_of_connect = False
            return {"type": "websocket.connect"}
        inbox = self._inbox
        while not inbox.messages:
            if self._close is not None:
                return {"type": "websocket.disconnect", "code": self._close[0], "reason": self._close[1]}
            if self._protocol is None and (self._has_left or self.stage is DONE or self._request.disconnected):
                self._told = True
                return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            await self._something()
        message = inbox.take()
        if self._is_paused and self._protocol is not None and inbox.has_room():
            self._is_paused = False
            self._protocol.resume()
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def send(self, message: Message) -> None:
        """Take the next event. Return when it is on its way, and there is room for another one.

        Raises:
            ClientDisconnected: the client has left.
            RuntimeError: it is not the turn of such an event.
            TypeError: it is not what ASGI has it be.
            ValueError: the same, of its values.
        """
        kind = message["type"]
        if kind == "websocket.send" and self._phase is OPEN:
            await self._send_message(_text_or_bytes(message))
        elif kind == "websocket.close" and self._phase is OPEN:
            assert self._protocol is not None  # it is open
            self._protocol.close(message.get("code") or 1000, message.get("reason") or "")
            self._phase = CLOSED
        elif self._phase is CONNECTING:
            await self._decide(kind, message)
        else:
            raise RuntimeError(f"ASGI application sent {kind!r:.60} when {_EXPECTED[self._phase]} was expected")

    async def _decide(self, kind: str, message: Message) -> None:
        """Accept or refuse."""
        if kind.startswith("websocket.http.response."):
            await super().send({**message, "type": kind.removeprefix("websocket.")})
            return
        if self._has_left:
            raise ClientDisconnected
        if kind == "websocket.accept" and self.stage is START:
            self._accept(message)
        elif kind == "websocket.close" and self.stage is START:
            self._phase = CLOSED
            self._settle(HTTPError(403, "The WebSocket was refused.").response(), DONE)
        else:
            raise RuntimeError(f"ASGI application sent {kind!r:.60} when {_EXPECTED[CONNECTING]} was expected")

    def _accept(self, message: Message) -> None:
        headers = [pair for _, pair in self._known.make(message.get("headers") or ())]
        protocol = WebSocketProtocol(self._offer, self)
        response: Response = self._offer.upgrade(protocol, message.get("subprotocol") or "", headers)
        self._protocol = protocol
        self._phase = OPEN
        self._settle(response, DONE)

    async def _send_message(self, data: str | bytes) -> None:
        protocol = self._protocol
        assert protocol is not None  # it is open
        try:
            # While more messages wait for the application, what it sends is collected and leaves together.
            protocol.send(data, hold=bool(self._inbox.messages))
        except Disconnected:
            raise ClientDisconnected from None
        while protocol.full and self._close is None:
            await self._something()

    # As a `websocket.Listener`

    def on_open(self) -> None:
        """The response that accepts is on its way."""

    def on_message(self, message: str | bytes) -> None:
        """A message has arrived."""
        if self._inbox.put(message) and self._protocol is not None:
            self._is_paused = True
            self._protocol.pause()
        self._wake()

    def on_room(self) -> None:
        """There is room to send."""
        self._wake()

    def on_closed(self, code: int, reason: str) -> None:
        """The connection is closed."""
        self._close = code, reason
        self._wake()


_EXPECTED = {CONNECTING: "'websocket.accept' or 'websocket.close'", OPEN: "'websocket.send' or 'websocket.close'",
             CLOSED: "nothing"}


def _text_or_bytes(message: Message) -> str | bytes:
    text: Any = message.get("text")
    data: Any = message.get("bytes")
    if (text is None) == (data is None):
        raise ValueError("'websocket.send' has either text or bytes")
    if not isinstance(text, str | None) or not isinstance(data, bytes | bytearray | memoryview | None):
        raise TypeError("the text of 'websocket.send' is a str, and its bytes are bytes")
    return text if text is not None else bytes(cast("bytes", data))
