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
from collections.abc import Iterator
from functools import partial
from typing import Any

from ..messages import FileBody, Pipe, Response
from ..messages.bodies import as_bytes
from .pool import Further, home_thread

logger = logging.getLogger("evloop_http.app")

#: The end of an iterator, which no application can yield.
_NO_MORE: Any = object()


def produced_here(response: Response) -> Response | Further:
    """Return a response for the server, and with it the work that is left: to produce its body in this thread."""
    body = response.body
    if isinstance(body, bytes | FileBody | Pipe):
        return response
    changed = threading.Event()
    pipe = Pipe(paused=True, on_close=changed.set, home=home_thread())
    pipe.on_writable = changed.set
    response.body = pipe
    return Further(response, partial(_produce, body, weakref.ref(pipe, lambda gone: changed.set()), changed))


def _produce(pieces: Iterator[bytes], reader: weakref.ref[Pipe], changed: threading.Event) -> None:
    """Write the pieces into a pipe while somebody reads them."""
    try:
        while _has_room(reader, changed):
            piece = next(pieces, _NO_MORE)
            if piece is _NO_MORE:
                _end(reader, None)
                break
            # Checked here: an error that passes through a frame of the pipe, and is kept by it, would be a cycle.
            _write(reader, as_bytes(piece))
    except Exception as error:
        _end(reader, error)
    except BaseException as error:  # such as SystemExit: it ends this body, and nothing else
        _end(reader, RuntimeError(f"the body ended with {type(error).__name__}"))
    finally:
        _close(pieces)


def _has_room(reader: weakref.ref[Pipe], changed: threading.Event) -> bool:
    """Wait until the reader wants something. Return False if it has gone."""
    while True:
        changed.clear()
        pipe = reader()
        if pipe is None or pipe.closed:
            return False
        if not pipe.full:
            return True
        del pipe
        changed.wait()


def _write(reader: weakref.ref[Pipe], piece: bytes) -> None:
    pipe = reader()
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):  # the reader has gone just now
            pipe.write(piece)


def _end(reader: weakref.ref[Pipe], error: BaseException | None) -> None:
    pipe = reader()
    if pipe is not None:
        pipe.end(error)


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    try:
        if close is not None:
            close()
    except BaseException:  # or this thread would be lost
        logger.exception("closing the body of a response failed")
