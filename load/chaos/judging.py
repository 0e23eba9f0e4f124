"""Answers, read by `http.client`, and whether each is the one to its request."""

from __future__ import annotations

import http.client
import io
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from .asking import Ask

#: Statuses with which the server itself refuses, without the application and so without a nonce.
REFUSALS = frozenset({400, 408, 413, 414, 417, 431, 501, 503, 505})


class Inbox(io.BufferedReader):
    """What a client receives, as a file that `http.client` reads answer by answer, and does not close."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        super().__init__(_Received(receive))

    def makefile(self, mode: str) -> Inbox:
        return self

    def close(self) -> None:
        pass


class _Received(io.RawIOBase):
    """What a function returns, as a file."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._receive(len(buffer))
        buffer[:len(data)] = data
        return len(data)


class Answer(NamedTuple):
    """A response, as far as it arrived."""

    status: int
    nonce: str
    content: bytes
    #: all of it has arrived
    whole: bool
    #: the server says that it is the last one
    closing: bool


def read_answer(inbox: Inbox, method: str) -> Answer | str:
    """Read the next answer.

    Returns:
        The answer; nothing if the connection ended before its first line; a sentence if it is not HTTP.
    """
    response = http.client.HTTPResponse(inbox, method=method)  # type: ignore[arg-type]
    try:
        response.begin()
    except (http.client.RemoteDisconnected, OSError):
        return ""
    except http.client.HTTPException as error:
        return f"the answer is not HTTP: {error!r}"
    content, whole = _read_content(response)
    nonce = response.headers.get("X-Nonce", "")
    if response.headers.get("Content-Encoding") == "gzip" and content:
        content = zlib.decompressobj(31).decompress(content)
    closing = response.headers.get("Connection", "").lower() == "close"
    return Answer(response.status, nonce, content, whole, closing)


def _read_content(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """Return what there is of the content, and whether that is all."""
    content = bytearray()
    try:
        while piece := response.read(8192):
            content += piece
    except http.client.IncompleteRead as error:
        return bytes(content + error.partial), False
    except OSError:
        return bytes(content), False
    return bytes(content), not response.length


def judge(ask: Ask, answer: Answer) -> str:
    """Return what is wrong with an answer that the application gave; nothing if it is right as far as it goes."""
    if answer.nonce != ask.nonce:
        return f"was answered {answer.status} with the nonce {answer.nonce!r}"
    if answer.status not in ask.statuses:
        return f"was answered {answer.status}, not {' or '.join(map(str, sorted(ask.statuses)))}"
    if answer.status >= 300 or ask.content is None:
        return ""
    if answer.whole and answer.content != ask.content:
        return f"has {len(answer.content)} bytes of content, which are not its {len(ask.content)}"
    if not ask.content.startswith(answer.content):
        return "has a content that is not its own"
    if answer.whole and ask.breaks:
        return "is whole, although its handler failed in the middle"
    return ""


def is_refusal(answer: Answer) -> bool:
    """Return whether the server itself refused: without the application, and for the last time."""
    return answer.status in REFUSALS and not answer.nonce and answer.closing
