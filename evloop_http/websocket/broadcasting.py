"""One message to many, encoded once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .sockets import BaseSocket

if TYPE_CHECKING:
    from .frames import Made


def broadcast(sockets: Iterable[BaseSocket[Any]], message: str | bytes) -> int:
    """Send a message to all that are open. From any thread; never waits.

    It is encoded once for all with the same settings of compression. Who is more than 1 MiB behind is cut off: what is
    said to many waits for nobody.

    Returns:
        To how many it was sent.

    Raises:
        TypeError: the message is neither text nor bytes.
    """
    made: Made = {}
    return sum([socket.protocol.send_shared(message, made) for socket in list(sockets)])
