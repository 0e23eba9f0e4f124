"""What all three kinds of handlers see of a WebSocket, and how a handshake is answered that waits for its handler."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Generic, TypeVar

from ..messages import HeaderSource, HTTPError, Request
from ..messages.pending import Pending
from .handshake import Offer
from .listening import Disconnected
from .protocol import WebSocketProtocol

R = TypeVar("R", bound=Request)

logger = logging.getLogger("evloop_http.websocket")


class BaseSocket(Generic[R]):
    """A WebSocket, as a handler sees it.

    Args:
        request: that asked for it.
        offer: what was negotiated.
    """

    def __init__(self, request: R, offer: Offer) -> None:
        self.request = request
        self._offer = offer
        self._protocol = WebSocketProtocol(offer, self)
        #: the answer to the request: a response, which accepts or refuses
        self.answer: Pending[Any] = Pending()
        self.answer.add_done_callback(partial(_note_answer, self._protocol))
        self._is_accepted = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.head.line}, {self._protocol.state.value}>"

    @property
    def protocol(self) -> WebSocketProtocol:
        """What speaks on the connection."""
        return self._protocol

    @property
    def offered(self) -> tuple[str, ...]:
        """The subprotocols that the client offers."""
        return self._offer.offered

    @property
    def subprotocol(self) -> str:
        """The subprotocol; empty for none."""
        return self._offer.subprotocol

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._protocol.close_code)

    @property
    def close_code(self) -> int:
        """The code of the Close that the client sent: 1005 if it named none, 1006 if there was none. 0 before the end.

        If the client broke a rule, it is the code that it was told: 1002, 1007 or 1009.
        """
        return self._protocol.close_code

    @property
    def close_reason(self) -> str:
        """The reason that the client gave."""
        return self._protocol.close_reason

    def try_send(self, message: str | bytes) -> bool:
        """Send a message unless too much is waiting to be sent. From any thread; never waits.

        Returns:
            Whether it was sent.

        Raises:
            Disconnected: it is closed.
            TypeError: the message is neither text nor bytes.
        """
        if self._protocol.full:
            return False
        self._protocol.send(message)
        return True

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, behind what has been sent. From any thread; never waits. Before `accept`, it refuses with 403.

        Raises:
            ValueError: the code may not be sent (RFC 6455 §7.4), or the reason has more than 123 bytes.
        """
        if not self._is_accepted:
            self._is_accepted = True
            self.answer.fail(HTTPError(403, "The WebSocket was refused."))
            self._protocol.on_close()
        self._protocol.close(code, reason)

    # For handlers

    def _accept(self, subprotocol: str | None, headers: HeaderSource) -> None:
        """Have the handshake answered.

        Raises:
            RuntimeError: it has been answered.
            Disconnected: the client has left.
            ValueError: the client does not offer the subprotocol, or a header is malformed.
        """
        if self._is_accepted:
            raise RuntimeError("the WebSocket has been accepted, or refused")
        response = self._offer.upgrade(self._protocol, subprotocol, headers)
        self._is_accepted = True
        if not self.settle(response):
            raise Disconnected(1006)

    def settle(self, result: Any) -> bool:
        """Answer the request. Return False if nobody waits for that any more."""
        return self.answer.settle(result)

    def finish(self, result: Any) -> None:
        """The handler has returned: close, or refuse with what it returned."""
        if self._is_accepted:
            self._protocol.close()
            return
        self._is_accepted = True
        if result is None:
            self.answer.fail(HTTPError(403, "The WebSocket was refused."))
        else:
            self.settle(result)

    def fail(self, error: BaseException) -> None:
        """The handler has raised an error: log it and close with 1011, or refuse with it."""
        if not self._is_accepted:
            self._is_accepted = True
            self.answer.fail(error)
        elif not (isinstance(error, Disconnected) and self._protocol.ends):  # or it is that of another WebSocket
            logger.error("%s: the handler of the WebSocket failed", self.request.head.line, exc_info=error)
            self._protocol.close(1011)

    # As a `Listener`

    def on_open(self) -> None:
        """The connection is open."""

    def on_message(self, message: str | bytes) -> None:
        """A message has arrived."""

    def on_room(self) -> None:
        """There is room to send."""

    def on_closed(self, code: int, reason: str) -> None:
        """The connection is closed."""


def _note_answer(protocol: WebSocketProtocol, answer: Pending[Any]) -> None:
    """The server has cancelled the answer: the client left before the handler decided."""
    if answer.cancelled():
        protocol.on_close()
