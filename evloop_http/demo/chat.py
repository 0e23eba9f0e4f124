"""A chat: a WebSocket for each who is there, and what one says is sent to all.

It has no thread and no task: the loop calls `on_message`, which must not wait, and `broadcast` never does. What was
said is not kept, so whoever comes later begins with an empty page.

Whatever visitors say is text on the pages of the others, never markup: the script sets `textContent`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count

from evloop_http import App, CallbackWebSocket, HTTPError, Request, Response, broadcast

from .pages import POLICY, Pages

#: Beyond these many in the room, whoever else comes is asked to come again.
MOST_MEMBERS = 200
#: Bytes that one may say at a time.
LONGEST = 2000
#: What one may say in a second: who says more is shown out (1008, RFC 6455 §7.4.1).
MOST_SAID = 10


class Member:
    """Who is in the room, and how much they have said in this second."""

    __slots__ = ("name", "said", "second")

    def __init__(self, name: str) -> None:
        self.name = name
        self.second = 0
        self.said = 0

    def may_speak(self, second: int) -> bool:
        if second != self.second:
            self.second, self.said = second, 0
        self.said += 1
        return self.said <= MOST_SAID


class Room:
    """All who are there. Only the loop's thread comes in here, so nothing is locked.

    Args:
        most: members at a time.
        clock: tells seconds.
    """

    def __init__(self, most: int = MOST_MEMBERS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._numbers = count(1)
        self._members: dict[CallbackWebSocket, Member] = {}

    def on_open(self, ws: CallbackWebSocket) -> None:
        """Let somebody in.

        Raises:
            HTTPError: 503, there are too many.
        """
        if len(self._members) >= self._most:
            raise HTTPError(503, "The room is full.", {"Retry-After": "10"})
        member = self._members[ws] = Member(f"Guest {next(self._numbers)}")
        ws.send(json.dumps({"you": member.name}))
        self._tell(member, "has come in.")

    def on_message(self, ws: CallbackWebSocket, message: str | bytes) -> None:
        """Repeat to all what one says."""
        member = self._members[ws]
        if isinstance(message, bytes):
            ws.close(1003, "This room speaks text.")
        elif not member.may_speak(int(self._clock())):
            ws.close(1008, "One at a time, please.")
        elif message.strip():
            broadcast(self._members, json.dumps({"who": member.name, "says": message}))

    def on_close(self, ws: CallbackWebSocket, code: int, reason: str) -> None:
        """Somebody has left, or is lost."""
        self._tell(self._members.pop(ws), "has left.")

    def _tell(self, member: Member, event: str) -> None:
        broadcast(self._members, json.dumps({"who": member.name, "event": event, "here": len(self._members)}))


def add_chat(site: App, page: Pages) -> None:
    """The room, and the page that leads there."""
    room = Room()
    try:
        site.websocket("/chat/room", name="chat-room", on_open=room.on_open, on_message=room.on_message,
                       on_close=room.on_close, max_message=LONGEST)
        is_open = True
    except RuntimeError:  # its library is not installed
        is_open = False

    @site.get("/chat", name="chat")
    def chat_page(request: Request) -> Response:
        shown = page(request, "chat.html", is_open=is_open, longest=LONGEST)
        # For its script, as on the page of the clock; 'self' is this site's WebSockets too (CSP 3).
        shown.headers["Content-Security-Policy"] = f"{POLICY}; script-src 'self'; connect-src 'self'"
        return shown
