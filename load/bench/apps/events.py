"""What all listeners are told. It needs nothing, so that those who listen can know it as well."""

from __future__ import annotations


def event_text(number: str) -> str:
    """The data of an event. Whoever asks for `/tell/{number}` has it sent to all who have asked for `/events`."""
    return f"event {number} for everybody"


def event_bytes(number: str) -> bytes:
    """The event on the wire, for servers that leave that to the application."""
    return f"data: {event_text(number)}\n\n".encode()
