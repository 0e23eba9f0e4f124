"""What an ASGI application is, and what it gets to hear from the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: Called with the scope of each connection, in ASGI's sense: a request, a WebSocket, or the life of the server.
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnected(ConnectionError):
    """What `send` raises when the client has left: nothing reaches it any more. Nobody logs it."""

    def __init__(self) -> None:
        super().__init__("the client has left")
