"""A WebSocket for functions that the loop calls: no thread, no task, and no message waits for anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..messages import HeaderSource, Request, Response
from .handshake import Offer
from .options import BEHIND
from .sockets import BaseSocket


class Callbacks(NamedTuple):
    """What to call. Everything is called in the thread of the loop, and must not wait."""

    #: with the socket and the message
    on_message: Callable[[CallbackWebSocket, str | bytes], object]
    #: with the socket, before it is accepted: it may `accept` with a subprotocol, return a response that refuses, or
    #: raise an `HTTPError`. What it sends follows the response that accepts
    on_open: Callable[[CallbackWebSocket], Response | None] | None = None
    #: with the socket, its `close_code` and its `close_reason`, once, unless `on_open` has refused
    on_close: Callable[[CallbackWebSocket, int, str], object] | None = None


class CallbackWebSocket(BaseSocket[Any]):
    """A WebSocket. While a client does not take what it is sent, nothing is received from it either."""

    def __init__(self, request: Request, offer: Offer, callbacks: Callbacks) -> None:
        super().__init__(request, offer)
        self._callbacks = callbacks
        self._is_let_in = False
        self._accepted_with: tuple[str | None, HeaderSource] = None, ()
        #: what the router found in the path
        self.params = request.params

    def accept(self, subprotocol: str | None = None, headers: HeaderSource = ()) -> None:
        """Choose what to accept with, in `on_open`. Without this, the options of the route do.

        Args:
            subprotocol: one of `offered`; empty for none, None for the one by the options of the route.
            headers: more fields of the response.
        """
        self._accepted_with = subprotocol, headers

    def send(self, message: str | bytes) -> bool:
        """Send a message. From any thread; never waits. A client that is more than 1 MiB behind is cut off.

        Returns:
            Whether the client keeps up. If it does not, what is sent is queued.

        Raises:
            Disconnected: it is closed.
            TypeError: the message is neither text nor bytes.
        """
        protocol = self._protocol
        if protocol.full and protocol.behind > BEHIND:
            protocol.cut_off()
        protocol.send(message)
        if not protocol.full:
            return True
        if protocol.is_home():
            protocol.pause()
        return False

    def begin(self) -> Response:
        """Return the response: one that accepts, or the refusal of `on_open`.

        Raises:
            HTTPError: by `on_open`.
        """
        self._is_accepted = True
        on_open = self._callbacks.on_open
        result = on_open(self) if on_open is not None else None
        if isinstance(result, Response):
            return result
        if result is not None:
            raise TypeError(f"on_open returns a Response to refuse, or None, not {type(result).__name__}")
        response = self._offer.upgrade(self._protocol, *self._accepted_with)
        self._is_let_in = True
        return response

    # As a `Listener`

    def on_message(self, message: str | bytes) -> None:
        try:
            self._callbacks.on_message(self, message)
        except Exception as error:
            self.fail(error)

    def on_room(self) -> None:
        self._protocol.resume()

    def on_closed(self, code: int, reason: str) -> None:
        on_close = self._callbacks.on_close
        if on_close is not None and self._is_let_in:
            try:
                on_close(self, code, reason)
            except Exception as error:
                self.fail(error)
