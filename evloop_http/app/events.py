"""Server-sent events: an answer that goes on, into which a handler pushes from any thread.

    listeners = set()

    @app.get("/events")
    def events(request):
        stream = EventStream(on_close=lambda: listeners.discard(stream))
        listeners.add(stream)
        return stream.response()

    def tell_everybody(news):
        for stream in list(listeners):
            stream.send(news)

The format is the HTML standard's ("Server-sent events"): lines of `field: value`, an empty line behind
each event. A line end within a value would begin another field, so data is cut there into lines,
which the browser joins again, and names and ids may not have any.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..messages import HeaderSource, PushedBody, Response

#: A comment: every client passes it over, and a proxy sees that the connection is in use.
HEARTBEAT = b":\n\n"

_LINE_END = re.compile(r"\r\n|\r|\n")
_FORBIDDEN = re.compile("[\r\n\0]")


class EventStream(PushedBody):
    """Events for one client.

    Args:
        heartbeat: seconds of silence after which a comment is sent; that finds out who has gone
            without a word.
        waiting: events that may wait for a slow client, which is cut off beyond it.
        on_close: called in the loop's thread when the client has gone or the stream has ended.
    """

    __slots__ = ()

    def __init__(self, heartbeat: float = 15, waiting: int = 1000,
                 on_close: Callable[[], object] = lambda: None) -> None:
        super().__init__(HEARTBEAT, heartbeat, waiting, on_close)

    def send(self, data: str, *, event: str = "", id: str | None = None, retry: int | None = None) -> bool:
        """Send an event, from any thread; whether there is still somebody to send it to.

        Args:
            event: its type; clients take none for `message`.
            id: what the client sends as `Last-Event-ID` when it comes again.
            retry: milliseconds after which it should, if the connection breaks.

        Raises:
            ValueError: `event` or `id` has a line end or a NUL.
        """
        return self.push(encode_event(data, event=event, id=id, retry=retry))

    def response(self, headers: HeaderSource = ()) -> Response:
        """The answer that carries the stream."""
        answer = Response(self, headers=headers, content_type="text/event-stream")
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


def encode_event(data: str, *, event: str = "", id: str | None = None, retry: int | None = None) -> bytes:
    """An event as it goes on the wire.

    Raises:
        ValueError: as `EventStream.send`.
    """
    if _FORBIDDEN.search(event) or _FORBIDDEN.search(id or ""):
        raise ValueError("the type and the id of an event have no line end and no NUL")
    lines = [f"event: {event}"] if event else []
    if id is not None:
        lines.append(f"id: {id}")
    if retry is not None:
        lines.append(f"retry: {retry:d}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return "\n".join([*lines, "", ""]).encode("utf-8", "replace")
