"""The blocks of a WSGI response, held to what the application announced, and closed once whatever happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import Context

from ...messages import Request
from .environ import logger


def checked(block: object) -> bytes:
    """Return a block.

    Raises:
        TypeError: it is not bytes.
    """
    if not isinstance(block, bytes):
        raise TypeError(f"a block of a WSGI response is bytes, not {type(block).__name__}")
    return block


def close(iterable: object, request: Request) -> None:
    """Close what an application returned. What goes wrong then is logged: the response may have been sent."""
    end = getattr(iterable, "close", None)
    if end is None:
        return
    try:
        end()
    except BaseException:  # or a thread of the pool would be lost
        logger.exception("%s: closing the response failed", request.head.line)


class Measure:
    """How much of a body may follow.

    Args:
        length: bytes that the application announced; None if it did not say.
    """

    __slots__ = ("_left", "_request")

    def __init__(self, length: int | None, request: Request) -> None:
        self._left = length
        self._request = request

    def is_full(self) -> bool:
        """Return whether nothing may follow."""
        return self._left == 0

    def cut(self, block: bytes) -> bytes:
        """Return as much of a block as may follow. That there was more is logged."""
        left = self._left
        if left is None:
            return block
        if len(block) > left:
            logger.error("%s: the response is longer than its Content-Length, and was cut", self._request.head.line)
            block = block[:left]
        self._left = left - len(block)
        return block

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            RuntimeError: something is.
        """
        if self._left:
            raise RuntimeError(f"the response is {self._left} bytes shorter than its Content-Length")


class Blocks(Iterator[bytes]):
    """A response that is produced while it is sent.

    Args:
        first: its beginning, which is there.
        blocks: the rest, an iterator over `iterable`.
        iterable: what the application returned.
        context: what the application runs in.
    """

    __slots__ = ("_blocks", "_context", "_first", "_is_closed", "_iterable", "_measure", "_request")

    def __init__(self, first: bytes, blocks: Iterator[bytes], iterable: Iterable[bytes], context: Context,
                 measure: Measure, request: Request) -> None:
        self._first = first
        self._blocks = blocks
        self._iterable = iterable
        self._context = context
        self._measure = measure
        self._request = request
        self._is_closed = False

    def __next__(self) -> bytes:
        """Return the next block.

        Raises:
            RuntimeError: the application has produced less than it announced.
            TypeError: a block is not bytes.
            Exception: what the application raises.
        """
        if self._first:
            block, self._first = self._first, b""
            return self._measure.cut(block)
        if self._measure.is_full():
            raise StopIteration
        try:
            block = self._context.run(next, self._blocks)
        except StopIteration:
            self._measure.finish()
            raise
        return self._measure.cut(checked(block))

    def close(self) -> None:
        """Close what the application returned. Further calls do nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._context.run(close, self._iterable, self._request)
