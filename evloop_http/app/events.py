"""Server-sent events: a response that goes on, into which a handler pushes from any thread.

    listeners = set()

    @app.get("/events")
    def events(request):
        stream = EventStream(on_close=lambda: listeners.discard(stream))
        listeners.add(stream)
        return stream.response()

    def tell_everybody(news):
        for stream in list(listeners):
            stream.send(news)

The format is the HTML standard's ("Server-sent events"): lines of `field: value`, and an empty line behind
each event. A line end within a value would begin another field, so data is cut into lines there,
which the browser joins again. Names and ids cannot contain a line end.

*Nobody waits for a listener.* Whoever pushes to all listeners must not wait for the slowest. A stream holds a
bounded number of bytes; a listener that lets it fill up is cut off, and reconnects by itself if it is a browser.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..messages import PIPE_SIZE, HeaderSource, Pipe, Response, TooSlow
from ..threads.pool import home_thread

#: A comment: every client ignores it, and a proxy sees that the connection is in use.
HEARTBEAT = b":\n\n"

_LINE_END = re.compile(r"\r\n|\r|\n")
_FORBIDDEN = re.compile("[\r\n\0]")


class EventStream(Pipe):
    """Events for one client.

    Args:
        heartbeat: seconds of silence after which a comment is sent, so that a client that left without a
            word is noticed.
        size: bytes that may wait for a slow client, beside what its connection holds. A client is cut off when
            something is pushed while so many wait.
        on_close: called in the loop's thread when the client has gone or the stream has ended.
    """

    __slots__ = ()

    def __init__(self, heartbeat: float = 15, size: int = PIPE_SIZE,
                 on_close: Callable[[], object] = lambda: None) -> None:
        super().__init__(size, heartbeat=HEARTBEAT, interval=heartbeat, on_close=on_close, home=home_thread())

    def send(self, data: str, *, event: str = "", id: str | None = None, retry: int | None = None) -> bool:
        """Send an event, from any thread. Return whether there is still a client to send it to.

        Args:
            event: its type; clients assume `message` if it is empty.
            id: what the client sends as `Last-Event-ID` when it reconnects.
            retry: milliseconds after which it reconnects if the connection breaks.

        Raises:
            ValueError: `event` or `id` contains a line end or a NUL.
        """
        return self.push(encode_event(data, event=event, id=id, retry=retry))

    def push(self, piece: bytes) -> bool:
        """Send an encoded event, from any thread. Return whether there is still a client to send it to."""
        try:
            self.write(piece)
        except BufferError:
            self.end(TooSlow("the client reads more slowly than events are sent to it"))
            return False
        except (BrokenPipeError, ValueError):  # the client has gone, or the stream has ended
            return False
        return True

    def response(self, headers: HeaderSource = ()) -> Response:
        """Return the response that carries the stream."""
        answer = Response(self, headers=headers, content_type="text/event-stream")
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


def encode_event(data: str, *, event: str = "", id: str | None = None, retry: int | None = None) -> bytes:
    """Return an event as it goes on the wire.

    Raises:
        ValueError: as `EventStream.send`.
    """
    if _FORBIDDEN.search(event) or _FORBIDDEN.search(id or ""):
        raise ValueError("the type and the id of an event contain no line end and no NUL")
    lines = [f"event: {event}"] if event else []
    if id is not None:
        lines.append(f"id: {id}")
    if retry is not None:
        lines.append(f"retry: {retry:d}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return "\n".join([*lines, "", ""]).encode("utf-8", "replace")
