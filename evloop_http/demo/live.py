"""A clock that tells the time by itself: server-sent events, and a page that listens to them."""

from __future__ import annotations

import json
import threading
import time

from evloop_http import App, EventStream, HTTPError, Request, Response
from evloop_http.app.events import encode_event

from .pages import POLICY, Pages

#: Beyond these many listeners, whoever else comes is asked to come again.
MOST_LISTENERS = 1000
#: Bytes of events that may wait for a slow listener: about ten, which are as many seconds.
_WAITING = 600


class Clock:
    """Tells the time to all who listen, at every full second.

    One thread tells all of them, and is there only while somebody listens: an application that nobody
    asks anything has no threads. Streams take what is pushed from any thread.

    Args:
        most: listeners at a time.
    """

    def __init__(self, most: int = MOST_LISTENERS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._listeners: set[EventStream] = set()
        #: set when nobody listens any more; each thread has one of its own
        self._deserted = threading.Event()
        self._deserted.set()

    def listen(self) -> EventStream:
        """A stream for one more listener, with the time in it already.

        Raises:
            HTTPError: 503, there are too many.
        """
        stream = EventStream(size=_WAITING, on_close=lambda: self._leave(stream))
        with self._lock:
            if len(self._listeners) >= self._most:
                raise HTTPError(503, "Too many are listening.", {"Retry-After": "10"})
            if self._deserted.is_set():
                self._start()
            self._listeners.add(stream)
            stream.push(self._tick())
        return stream

    def _start(self) -> None:
        deserted = threading.Event()
        threading.Thread(target=self._run, args=[deserted], name="evloop_http.demo.clock", daemon=True).start()
        self._deserted = deserted

    def _leave(self, stream: EventStream) -> None:
        with self._lock:
            self._listeners.discard(stream)
            if not self._listeners:
                self._deserted.set()

    def _run(self, deserted: threading.Event) -> None:
        # A moment behind the full second: a wait may end a little early, and would tell the last one again.
        while not deserted.wait(1.01 - time.time() % 1):
            with self._lock:
                tick, listeners = self._tick(), list(self._listeners)
            for stream in listeners:
                stream.push(tick)

    def _tick(self) -> bytes:
        """The event that all are sent, encoded once."""
        told = {"time": time.strftime("%H:%M:%S", time.gmtime()), "listeners": len(self._listeners)}
        return encode_event(json.dumps(told), event="tick")


def add_clock(site: App, page: Pages) -> None:
    """The events, and the page that shows them."""
    clock = Clock()

    @site.get("/events")
    def events(request: Request) -> Response:
        return clock.listen().response()

    @site.get("/clock", name="clock")
    def clock_page(request: Request) -> Response:
        shown = page(request, "clock.html")
        # The one page with a script, which may ask this site and nobody else. `protect` lets this stand.
        shown.headers["Content-Security-Policy"] = f"{POLICY}; script-src 'self'; connect-src 'self'"
        return shown
