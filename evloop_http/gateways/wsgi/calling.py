"""One call of a WSGI application: from its arguments to the `close` of what it returned.

*When is a response whole?* Only then can it be sent in one go, without a pipe and a thread that waits. But PEP 3333
forbids asking for the next block before the last one is on its way: the application may work on it for a minute. So a
response is whole if nothing of the application has to run to know that: it is a list or a tuple, or an iterator of one;
it says that it has one block; or its first block is as long as the `Content-Length` that was announced. All other
responses are sent while they are produced, beginning with the first block that is not empty.

*One thread and one context.* The application, its generator and its `close` run in the same thread, and in one fresh
`contextvars.Context`: what a framework keeps there (Flask its request, Django its connections) is found again at the
end, and belongs to this request only. A body is produced by the thread that called the application, which leaves its
place to others meanwhile (see `threads.producing`).

*`write`* is older than iterables and sends while the application is still at work, so the response is handed over from
within the call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Any

from ...messages import Request, Response
from ...threads.pool import Further, hand_over
from ...threads.producing import Feed, produced_here
from .blocks import Blocks, Measure, checked, close
from .environ import ERRORS, Environ
from .files import FileWrapper, Lent, file_body, has_own_close
from .starting import HeaderList, Start, start_of

#: A WSGI application (PEP 3333).
Application = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

#: Iterators of which nothing is the application's: the blocks are there already.
_AT_HAND: tuple[type[object], ...] = (type(iter([])), type(iter(())))
_from_fields = Response.from_fields


class Call:
    """What a WSGI application says while it is called.

    Args:
        context: what the application runs in. The caller sees to that for `answer`.
        is_threaded: whether it runs in a worker, and may wait.
    """

    __slots__ = ("_context", "_feed", "_has_returned", "_is_taken", "_is_threaded", "_measure", "_request", "_start",
                 "_written")

    def __init__(self, request: Request, context: Context, is_threaded: bool) -> None:
        self._request = request
        self._context = context
        self._is_threaded = is_threaded
        self._start: Start | None = None
        self._has_returned = False  # the application
        self._is_taken = False  # what the application returned is closed by somebody else
        self._feed: Feed | None = None  # once `write` has handed the response over
        self._measure: Measure  # of the feed
        self._written: list[bytes] = []  # by `write`, where nobody may wait

    def is_disconnected(self) -> bool:
        """Return whether the client has left, so that the response will reach nobody."""
        return self._request.disconnected

    # What the application calls

    def start_response(self, status: str, headers: HeaderList, exc_info: ExcInfo | None = None
                       ) -> Callable[[bytes], None]:
        """Begin the response; begin it anew if an error has come in between and nothing has been sent.

        Raises:
            RuntimeError: it was begun before, and there is no error.
            TypeError, ValueError: as `start_of`.
            BaseException: the one of `exc_info`, if the head has been sent.
        """
        if exc_info:
            try:
                if self._feed is not None or self._is_taken:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it refers to this frame
        elif self._start is not None:
            raise RuntimeError("start_response was called twice; the second call needs exc_info")
        self._start = start_of(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a block, and wait first while the client takes no more. For old applications: others return blocks.

        Raises:
            BrokenPipeError: the client has left.
            RuntimeError: the application has returned: its iterable yields blocks.
            TypeError: it is not bytes.
        """
        block, start = checked(data), self._begun()
        if self._has_returned:
            raise RuntimeError("write() is for the application, and its iterable yields blocks (PEP 3333)")
        if not block or not self._has_content(start):
            return
        if not self._is_threaded:
            self._written.append(block)
            return
        if self._feed is None:
            self._measure = Measure(start.length, self._request)
            self._feed = feed = Feed()
            hand_over(_from_fields(feed.pipe(), start.status, start.fields))
        self._feed.put(self._measure.cut(block))

    # What the gateway calls

    def answer(self, application: Application, environ: Environ) -> Response | Further | None:
        """Call the application, and return its response as far as it is there. In the context.

        Returns:
            None if the response has been handed over.

        Raises:
            RuntimeError: the application has broken its protocol.
            Exception: what the application raises.
        """
        environ["evloop_http.disconnected"] = self.is_disconnected
        try:
            iterable = application(environ, self.start_response)
            self._has_returned = True
            if type(iterable) is list and len(iterable) == 1 and self._feed is None and not self._written:
                return self._whole(checked(iterable[0]))
            try:
                return self._respond(iterable)
            finally:
                if not self._is_taken:
                    close(iterable, self._request)
        except BaseException as error:
            if self._feed is None:
                raise
            self._feed.end(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
            return None
        finally:
            if ERRORS.partial:
                ERRORS.flush()

    def _respond(self, iterable: Iterable[bytes]) -> Response | Further | None:
        """Return the response of what the application returned."""
        if self._feed is not None:
            self._pour(iterable, self._feed)
            return None
        if type(iterable) is FileWrapper and not self._written and (sent := self._file(iterable)) is not None:
            return sent
        blocks = iter(iterable)
        first = b"".join(self._written)
        if type(blocks) in _AT_HAND:
            return self._whole(b"".join([first, *map(checked, blocks)]))
        while not first:
            block = next(blocks, None)
            if block is None:
                return self._whole(b"")
            first = checked(block)
        start = self._begun()
        if (start.length is not None and len(first) >= start.length) or _says_one(iterable):
            return self._whole(first)
        if not self._has_content(start):
            return self._without_content(start, b"")
        body = Blocks(first, blocks, iterable, self._context, Measure(start.length, self._request), self._request)
        self._is_taken = True
        response = _from_fields(body, start.status, start.fields)
        return produced_here(response) if self._is_threaded else response

    def _begun(self) -> Start:
        if self._start is None:
            raise RuntimeError("the application did not call start_response before its first block")
        return self._start

    def _has_content(self, start: Start) -> bool:
        return start.has_content and self._request.method != "HEAD"

    def _whole(self, body: bytes) -> Response:
        """Return a response whose body is there."""
        start = self._begun()
        if not self._has_content(start):
            return self._without_content(start, body)
        if start.length is not None and start.length != len(body):
            measure = Measure(start.length, self._request)
            body = measure.cut(body)
            measure.finish()
        return _from_fields(body, start.status, start.fields)

    def _without_content(self, start: Start, body: bytes) -> Response:
        """Return a response of which the head is sent; to HEAD, it says of the body what is known."""
        if not start.has_content or start.length is not None:
            return _from_fields(b"", start.status, start.fields)
        return _from_fields(body or iter(()), start.status, start.fields)  # no length is not a length of 0

    def _file(self, wrapper: FileWrapper) -> Response | Further | None:
        """Return a response that the kernel sends; None if it cannot."""
        span = file_body(wrapper)
        if span is None:
            return None
        start = self._begun()
        if start.length is not None:
            if self._has_content(start) and start.length > span.length:
                Measure(start.length - span.length, self._request).finish()
            span = span._replace(length=min(start.length, span.length))
        self._is_taken = True
        if not has_own_close(span.file):
            return _from_fields(span, start.status, start.fields)
        end = partial(self._context.run, close, wrapper, self._request)
        returned = threading.Event()
        lent: Any = Lent(span.file, returned.set if self._is_threaded else end)
        response = _from_fields(span._replace(file=lent), start.status, start.fields)
        return Further(response, partial(_end_behind, returned, end)) if self._is_threaded else response

    def _pour(self, iterable: Iterable[bytes], feed: Feed) -> None:
        """Send the blocks behind what was written."""
        for block in iterable:
            if self._measure.is_full():
                break
            feed.put(self._measure.cut(checked(block)))
        self._measure.finish()
        feed.end()


def _says_one(iterable: object) -> bool:
    return hasattr(type(iterable), "__len__") and len(iterable) == 1  # type: ignore[arg-type]


def _end_behind(returned: threading.Event, end: Callable[[], object]) -> None:
    returned.wait()
    end()
