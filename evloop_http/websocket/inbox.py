"""Messages that have arrived, and that nobody has taken yet: a bounded number of a bounded size."""

from __future__ import annotations

from .options import INBOX_MESSAGES, INBOX_SIZE


class Inbox:
    """A queue that says when it is full, and when there is room again: below the half, so that it does not flutter.

    It holds one message more than fits by its size: what is full is no longer filled, but nothing is refused.
    """

    __slots__ = ("_size", "messages")

    def __init__(self) -> None:
        #: in order
        self.messages: list[str | bytes] = []
        self._size = 0

    def put(self, message: str | bytes) -> bool:
        """Add a message. Return whether the inbox is full now."""
        self.messages.append(message)
        self._size += len(message)
        return len(self.messages) >= INBOX_MESSAGES or self._size >= INBOX_SIZE

    def take(self) -> str | bytes:
        """Remove and return the oldest message.

        Raises:
            IndexError: there is none.
        """
        message = self.messages.pop(0)
        self._size -= len(message)
        return message

    def has_room(self) -> bool:
        """Return whether it is at most half full."""
        return len(self.messages) <= INBOX_MESSAGES // 2 and self._size <= INBOX_SIZE // 2

    def clear(self) -> None:
        """Drop everything."""
        self.messages.clear()
        self._size = 0
