"""Bodies that a worker produces.

A handler with `threaded=True` may return an iterator that waits: for a database, for an upload, for another
server. Whoever pulls it waits with it, so it is pulled in the handler's own thread. The response is handed to
the server with a `Pipe` in the place of the iterator, and the same worker then fills the pipe as fast as the
client reads, and closes the iterator.

*The worker never holds the pipe while it waits.* Somebody may drop the response instead of closing it; a worker
that waited for the reader of a pipe that it keeps alive itself would wait forever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..messages import FileBody, Pipe, Response
from ..messages.bodies import as_bytes
from .pool import Further, home_thread

logger = logging.getLogger("evloop_http.app")

#: The end of an iterator, which no application can yield.
_NO_MORE: Any = object()


class Feed:
    """The writing end of a body, for a worker, which waits for the reader and never holds the pipe."""

    __slots__ = ("_changed", "_reader")

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._reader: Callable[[], Pipe | None] = _nobody

    def pipe(self) -> Pipe:
        """Return a new pipe, into which this writes while somebody else keeps it."""
        changed = self._changed
        pipe = Pipe(paused=True, on_close=changed.set, home=home_thread())
        pipe.on_writable = changed.set
        self._reader = weakref.ref(pipe, lambda gone: changed.set())
        return pipe

    def wait(self) -> bool:
        """Wait until the reader wants something. Return False if it has gone."""
        while True:
            self._changed.clear()
            pipe = self._reader()
            if pipe is None or pipe.closed:
                return False
            if not pipe.full:
                return True
            del pipe
            self._changed.wait()

    def write(self, piece: bytes) -> None:
        """Hand a piece to the reader, who has room for it."""
        pipe = self._reader()
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # the reader has gone just now
                pipe.write(piece)

    def put(self, piece: bytes) -> None:
        """Wait, and hand a piece to the reader.

        Raises:
            BrokenPipeError: it has gone.
        """
        if not self.wait():
            raise BrokenPipeError("the reader of this body has gone")
        self.write(piece)

    def end(self, error: BaseException | None = None) -> None:
        """Finish the body. With an error, the reader meets it behind what was written."""
        pipe = self._reader()
        if pipe is not None:
            pipe.end(error)


def _nobody() -> None:
    return None


def produced_here(response: Response) -> Response | Further:
    """Return a response for the server, and with it the work that is left: to produce its body in this thread."""
    body = response.body
    if isinstance(body, bytes | FileBody | Pipe):
        return response
    feed = Feed()
    response.body = feed.pipe()
    return Further(response, partial(_produce, body, feed))


def _produce(pieces: Iterator[bytes], feed: Feed) -> None:
    """Write the pieces into a pipe while somebody reads them."""
    try:
        while feed.wait():
            piece = next(pieces, _NO_MORE)
            if piece is _NO_MORE:
                feed.end()
                break
            # Checked here: an error that passes through a frame of the pipe, and is kept by it, would be a cycle.
            feed.write(as_bytes(piece))
    except Exception as error:
        feed.end(error)
    except BaseException as error:  # such as SystemExit: it ends this body, and nothing else
        feed.end(RuntimeError(f"the body ended with {type(error).__name__}"))
    finally:
        _close(pieces)


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    try:
        if close is not None:
            close()
    except BaseException:  # or this thread would be lost
        logger.exception("closing the body of a response failed")
