"""The bodies of responses that are not bytes: a part of a file, and what is pushed while the answer goes on.

Part of the vocabulary, like `messages`: plain values, which the application makes and the connection sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, Self


class FileBody(NamedTuple):
    """Part of an open file as the body of a response: sent by the kernel, closed when done.

    The file must have a descriptor; offset and length are bytes. Otherwise the answer is a 500.
    """

    file: BinaryIO
    offset: int
    length: int

    def close(self) -> None:
        self.file.close()


#: What a `PushedBody` gives when it has nothing to give: not the end, not an error.
NOT_YET: Any = object()


class PushedBody:
    """A body whose pieces come when they come: from a timer, another request, another thread.

    Whoever makes it keeps it and pushes; the connection sends at the pace of the reader. A reader that
    is so slow that too many pieces wait is cut off, for the alternative is a queue without an end.

    Args:
        heartbeat: sent whenever nothing has been for `interval` seconds, so that a peer that has
            gone without a word is found out; empty for none.
        waiting: pieces that may wait.
        on_close: called in the loop's thread when the answer is over, whichever side ended it.
    """

    __slots__ = ("_on_close", "_pieces", "_wake", "_waiting", "closed", "ended", "heartbeat", "interval", "overrun")

    def __init__(self, heartbeat: bytes = b"", interval: float = 15, waiting: int = 1000,
                 on_close: Callable[[], object] = lambda: None) -> None:
        self.heartbeat = heartbeat
        #: seconds
        self.interval = interval
        #: the answer is over: what is pushed goes nowhere
        self.closed = False
        #: no more will be pushed
        self.ended = False
        self.overrun = False
        self._pieces: deque[bytes] = deque()
        self._waiting = waiting
        self._on_close = on_close
        self._wake: Callable[[], object] = lambda: None

    def push(self, piece: bytes) -> bool:
        """Send a piece, from any thread; whether there is still somebody to send it to."""
        if self.closed or self.ended or self.overrun:
            return False
        if len(self._pieces) >= self._waiting:
            self.overrun = True
        else:
            self._pieces.append(piece)
        self._wake()
        return not self.overrun

    def end(self) -> None:
        """Finish the answer behind what was pushed, from any thread."""
        self.ended = True
        self._wake()

    def attach(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, from whatever thread, when there is something new. For the connection."""
        self._wake = wake

    def close(self) -> None:
        """The answer is over. For the connection."""
        if not self.closed:
            self.closed = True
            self._pieces.clear()
            self._on_close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self.overrun:
            raise RuntimeError("the peer reads too slowly for what is pushed to it")
        # The flag before the pieces: they may be pushed and ended between two looks.
        ended = self.ended
        if self._pieces:
            return self._pieces.popleft()
        if ended:
            raise StopIteration
        return NOT_YET  # type: ignore[no-any-return]


#: bytes, or an iterator whose pieces are sent as they come (its `close` is called at the end), or a part of a file
Body = bytes | Iterator[bytes] | FileBody
