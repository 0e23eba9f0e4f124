"""Bodies that are not plain bytes: part of a file, and what is produced while it is sent or received.

*A `Pipe` is the one place that says "full".* It stands between a writer and a reader that run at their own
pace, often in different threads: between the loop that receives an upload and the handler that reads it,
between a handler that produces a response and the loop that sends it. It holds a bounded number of bytes.
When it is full the writer must wait, and because every writer here knows how to wait (the loop stops reading
its socket, a thread sleeps, a stream of events gives up on its listener), memory stays bounded however slow
the reader is.

A pipe takes no sides: neither the loop nor a thread is built into it. Whoever must not block uses `read` and
`write` and is called back by `on_readable` and `on_writable`; a thread iterates, or calls `put`, and sleeps.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from .headers import HeaderSource

#: Bytes that a pipe holds before its writer has to wait.
PIPE_SIZE = 256 * 1024
#: Bytes of a file, or of a long body, that are transformed in one step.
STEP_SIZE = 64 * 1024

#: Changes one piece of a body. It may return nothing now and more later.
Each = Callable[[bytes], bytes]
#: Returns what comes after the last piece.
Finish = Callable[[], bytes]


def _nothing() -> bytes:
    return b""


def _ignore() -> None:
    pass


def ignore_wait(waits: bool) -> None:
    pass


class TooSlow(Exception):
    """The error that a pipe ends with when its writer gives up on a reader that cannot keep up."""


class FileBody(NamedTuple):
    """Part of an open file as the body of a response: sent by the kernel, closed when done.

    The file must have a descriptor; offset and length are bytes. Otherwise the response is a 500.
    """

    file: BinaryIO
    offset: int
    length: int

    def close(self) -> None:
        self.file.close()


class Pipe:
    """Bytes from one writer to one reader, in different threads if need be; never more than fit.

    A full pipe accepts nothing. The write that fills it is accepted whole, so a pipe holds at most `size`
    bytes and one write.

    Args:
        size: bytes after which the pipe is full.
        paused: whether the pipe is full until the reader asks for the first time, so that nothing is
            produced for a reader that never comes.
        heartbeat: what the server sends when nothing was written for `interval` seconds, so that a client
            that left without a word is noticed. A body with a heartbeat has no natural end: a client that
            closes its half of the connection has left. Empty for none.
        interval: seconds.
        patient: whether its writer may be silent for as long as a handler may take to answer; otherwise a response that
            has no heartbeat is given up after `Timeouts.write`.
        on_close: called once when the reader has gone or has read everything, in the reader's thread.
        home: identity of a thread (`threading.get_ident()`) that must never wait here: the loop's. Iterating the
            pipe there is an error as soon as there is nothing to read. So a generator over the body of an event
            stream is no way to change it; `transform` is.

    Raises:
        ValueError: size or interval is not above 0.
    """

    __slots__ = ("_buffer", "_closed", "_ended", "_error", "_finished", "_full", "_home", "_lock", "_on_close",
                 "_is_broken", "_sleepers", "_transforms", "__weakref__", "heartbeat", "interval", "on_readable",
                 "on_wait", "on_writable", "patient", "size", "trailers", "written")

    def __init__(self, size: int = PIPE_SIZE, *, paused: bool = False, heartbeat: bytes = b"", interval: float = 15,
                 patient: bool = False, on_close: Callable[[], object] = _ignore, home: int = 0) -> None:
        if size <= 0 or interval <= 0:
            raise ValueError("the size and the interval of a pipe are above 0")
        self.size = size
        self.heartbeat = heartbeat
        self.interval = interval
        self.patient = patient
        #: fields to be sent behind the body, if it is sent in chunks (RFC 9110 §6.5); to be set before `end`
        self.trailers: HeaderSource = ()
        #: bytes written so far
        self.written = 0
        #: called when there is something new to read, in the writer's thread
        self.on_readable: Callable[[], object] = _ignore
        #: called when a full pipe has room again, in the reader's thread
        self.on_writable: Callable[[], object] = _ignore
        #: called in the thread of a reader that iterates, with True before it has to wait and with False when it has
        self.on_wait: Callable[[bool], object] = ignore_wait
        self._on_close = on_close
        self._home = home
        self._lock = threading.Lock()
        self._buffer: bytes | bytearray = b""
        self._full = paused
        self._ended = False
        self._error: BaseException | None = None
        self._closed = False
        self._is_broken = False  # by a third party
        self._finished = False  # everything has been read
        self._transforms: tuple[tuple[Each, Finish], ...] = ()
        self._sleepers: tuple[threading.Event, ...] = ()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "full" if self._full else "open"
        return f"<Pipe {state}, {len(self._buffer)} of {self.size} bytes>"

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return self._full

    @property
    def readable(self) -> bool:
        """Whether `read` has something to return now, or the end to tell."""
        return bool(self._buffer) or (self._ended and not self._finished)

    @property
    def ended(self) -> bool:
        """Whether the writer has finished."""
        return self._ended

    @property
    def closed(self) -> bool:
        """Whether the reader has gone."""
        return self._closed

    @property
    def finished(self) -> bool:
        """Whether the writer has ended and the reader has read everything."""
        return self._finished

    @property
    def given_up(self) -> TooSlow | None:
        """The error by which the writer has given up on a slow reader, if it has: what it wrote need not be sent."""
        return self._error if isinstance(self._error, TooSlow) else None

    # For the writer

    def write(self, data: bytes) -> bool:
        """Hand `data` to the reader.

        Returns:
            Whether the pipe takes more. If not, wait for `on_writable`.

        Raises:
            BrokenPipeError: the reader has gone.
            BufferError: the pipe was full; nothing was accepted.
            TypeError: `data` is not bytes.
            ValueError: the pipe has ended.
        """
        if type(data) is not bytes:
            data = as_bytes(data)
        with self._lock:
            self._check_writable()
            if self._full:
                raise BufferError("the pipe is full; wait for on_writable")
            is_news = self._append(data)
        if is_news:
            self.on_readable()
        return not self._full

    def put(self, data: bytes) -> None:
        """Hand `data` to the reader, and wait first while the pipe is full. For a thread other than the loop's.

        Raises:
            BrokenPipeError: the reader has gone, now or while waiting.
            TypeError: `data` is not bytes.
            ValueError: the pipe has ended.
        """
        if type(data) is not bytes:
            data = as_bytes(data)
        while True:
            with self._lock:
                self._check_writable()
                if self._full:
                    event = self._expect_change()
                else:
                    is_news = self._append(data)
                    break
            event.wait()
        if is_news:
            self.on_readable()

    def _check_writable(self) -> None:
        if self._closed or self._is_broken:
            raise BrokenPipeError("the reader of this body has gone")
        if self._ended:
            raise ValueError("the body has ended")

    def _append(self, data: bytes) -> bool:
        """Add to the buffer. Return whether that is news to a reader that has found it empty."""
        was_empty = not self._buffer
        if was_empty:
            self._buffer = data  # what is written at once is read without a copy
        else:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        self.written += len(data)
        self._full = len(self._buffer) >= self.size
        is_news = was_empty and bool(data)
        if is_news:
            self._wake_sleepers()
        return is_news

    def end(self, error: BaseException | None = None) -> None:
        """Finish the body. With an error, the reader meets it behind what was written. Further calls do nothing."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._error = error
            self._wake_sleepers()
        self.on_readable()

    # For the reader

    def read(self) -> bytes:
        """Return all there is; nothing if there is nothing now, or nothing more (see `finished`).

        Raises:
            BaseException: the error that the writer ended with, once everything before it has been read.
        """
        with self._lock:
            buffer, self._buffer = self._buffer, b""
            was_full, self._full = self._full, False
            ended = self._ended
            if was_full:
                self._wake_sleepers()
        if was_full and not ended:
            self.on_writable()
        data = bytes(buffer)
        if ended:
            return self._read_end(data)
        return self._transformed(data) if self._transforms and data else data

    def _read_end(self, data: bytes) -> bytes:
        if self._error is not None:
            if data:
                return self._transformed(data)
            raise self._take_error(self._error)
        if not self._finished:
            self._finished = True
            data = self._transformed(data)
            for number, (_, finish) in enumerate(self._transforms):
                data += self._transformed(finish(), number + 1)
        return data

    def _take_error(self, error: BaseException) -> BaseException:
        """Keep another error for the next one who asks. No frame that `error` passes through may refer to it."""
        self._error = _another(error)
        return error

    def _transformed(self, data: bytes, first: int = 0) -> bytes:
        for each, _ in self._transforms[first:]:
            data = each(data) if data else data
        return data

    def transform(self, each: Each, finish: Finish = _nothing) -> None:
        """Have everything that is read go through `each`, and end with what `finish` returns."""
        self._transforms += ((each, finish),)

    def beat(self) -> bytes:
        """Return the heartbeat as it goes on the wire now."""
        return self._transformed(self.heartbeat)

    def break_off(self, error: BaseException) -> bool:
        """Have a thread that waits for something to read meet `error` instead. For a third party, from any thread.

        The writer meets a `BrokenPipeError` then, as if the reader had gone.

        Returns:
            False if no reader is waiting: nothing was done.
        """
        with self._lock:
            if not self._sleepers or self._buffer or self._full or self._ended or self._closed:
                return False
            self._ended = self._is_broken = True
            self._error = error
            self._wake_sleepers()
            return True

    def close(self) -> None:
        """Let the writer know that nobody reads any more. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._buffer = b""
            self._error = None
            self._wake_sleepers()
        on_close, self._on_close = self._on_close, _ignore
        self.on_readable = self.on_writable = _ignore
        self.on_wait = ignore_wait
        on_close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """Return all there is, and wait while there is nothing.

        Raises:
            RuntimeError: the loop's own thread would have to wait, which is forever.
            BaseException: as `read`.
        """
        while True:
            data = self.read()
            if data:
                return data
            if self._finished or self._closed:
                raise StopIteration
            with self._lock:
                if self._buffer or self._ended or self._closed:
                    continue
                if threading.get_ident() == self._home:
                    raise RuntimeError("a body that is not there yet cannot be waited for in the loop's own thread: "
                                       "read it in a worker thread, or change it with response.transform")
                event = self._expect_change()
            self.on_wait(True)
            event.wait()
            self.on_wait(False)

    # A reader that is a coroutine

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The same in a coroutine, which awaits what is not there yet."""
        data = await self.take()
        if not data:
            raise StopAsyncIteration
        return data

    async def take(self) -> bytes:
        """Return all there is, and await it while there is nothing; nothing when the pipe has ended.

        Raises:
            BaseException: as `read`.
        """
        change = None
        try:
            while True:
                data = self.read()
                if data or self._finished or self._closed:
                    return data
                if change is None:  # then look again: another thread may have written just now
                    from .awaiting import Change  # loads asyncio, which is there if anybody awaits
                    self.on_readable = change = Change()
                    continue
                self.on_wait(True)
                await change.wait()
                self.on_wait(False)
        finally:
            if change is not None:
                self.on_readable = _ignore

    # Sleeping threads

    def _expect_change(self) -> threading.Event:
        event = threading.Event()
        self._sleepers += (event,)
        return event

    def _wake_sleepers(self) -> None:
        sleepers, self._sleepers = self._sleepers, ()
        for event in sleepers:
            event.set()


def as_bytes(data: object) -> bytes:
    """Return `data` as bytes: a copy, so that whoever wrote it may use the same buffer again."""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"a piece of a body is bytes, not {type(data).__name__}")


def _another(error: BaseException) -> BaseException:
    """Return an error like `error`, which has not been raised yet.

    An error that was raised refers to the frames that it passed through, and they to the pipe. If the pipe
    kept it, that would be a cycle, which only the garbage collector ends.
    """
    try:
        return type(error)(*error.args)
    except Exception:  # a class whose arguments are not what it was made with
        return RuntimeError("the body was broken off")


class Whole(Iterator[bytes]):
    """A body that is there, for whoever reads one while it arrives: piece by piece, here or in a coroutine."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __next__(self) -> bytes:
        body, self._body = self._body, b""
        if not body:
            raise StopIteration
        return body

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self:
            return piece
        raise StopAsyncIteration


class Transformed(Iterator[bytes]):
    """An iterator body whose pieces go through a function. It closes the original with itself.

    It is not a generator: one that was never started would not close what it reads.
    """

    __slots__ = ("_each", "_finish", "_is_over", "_pieces")

    def __init__(self, pieces: Iterable[bytes], each: Each, finish: Finish = _nothing) -> None:
        self._pieces = iter(pieces)
        self._each = each
        self._finish = finish
        self._is_over = False

    def __next__(self) -> bytes:
        if self._is_over:
            raise StopIteration
        for piece in self._pieces:
            return self._each(piece)
        self._is_over = True
        return self._finish()

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class FilePieces(Iterator[bytes]):
    """Part of a file as an iterator of its bytes. The file must have a descriptor, and is closed with this."""

    __slots__ = ("_body", "_left")

    def __init__(self, body: FileBody) -> None:
        self._body = body
        self._left = body.length

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        body = self._body
        piece = os.pread(body.file.fileno(), min(self._left, STEP_SIZE), body.offset + body.length - self._left)
        if not piece:
            raise OSError("the file has shrunk while it was read")
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._body.close()


class Incoming(Protocol):
    """A body while it arrives: for `for` in a thread, for `async for` in a coroutine."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __anext__(self) -> bytes: ...


#: What a response carries: bytes, part of a file, an iterator whose pieces are sent as they come (and which is
#: closed at the end if it has a `close`), or a pipe.
Body = bytes | FileBody | Iterator[bytes] | Pipe
