"""One request to an ASGI application, from its scope to the end of its task.

    START ──http.response.start──▶ HELD ──a body that is whole──────────────────▶ DONE
                                    └──the first piece of more──▶ STREAMING ──the last──▶ DONE

The start is held until the first of the body is there. A body that is whole is one `Response` of bytes: the server's
shortest way. Until then nothing is on the wire, and an application that fails is answered for with a 500. A body in
pieces goes through a `Pipe`, whose reader is the server: `send` returns when a piece is in it, and waits first while it
is full. If the application fails behind the first piece, the connection is broken off.

*The client leaves.* The task of the application is not cancelled: it may have work to finish that is not for this
client alone. `receive` says `http.disconnect`, and `send` raises `ClientDisconnected`. A client that has closed only
its half of the connection (a FIN looks the same for both) is still sent what comes.

*Who waits.* Everything here happens in the loop's thread, so that one list of futures is enough: whatever happens wakes
everybody, and each looks again. A task that waits here and is cancelled meets its `CancelledError`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...messages import HTTPError, Pipe, Request, Response, TooSlow
from ...messages.awaiting import running_loop
from ...messages.pending import Pending
from .files import sent_file, zero_copied
from .kinds import ClientDisconnected, Message
from .scope import wants_trailers

if TYPE_CHECKING:
    from .fields import ResponseFields

logger = logging.getLogger("evloop_http.asgi")

#: Bytes of a streamed response that wait for the server to send them.
PIPE_SIZE = 64 * 1024
#: Bytes of a file that go through the pipe at a time.
PIECE_SIZE = 64 * 1024

#: Errors that one was raised because of, which are looked at.
_LONGEST_CHAIN = 16

#: Responses to these have no content, whatever the application sends (RFC 9112 §6.3).
_WITHOUT_CONTENT = frozenset({204, 205, 304})


#: Bound once, for the fast path.
_from_fields = Response.from_fields


class Stage(enum.Enum):
    """How far a response is."""

    START = "nothing was said of it"
    HELD = "its start is known"
    STREAMING = "pieces of its body are on their way"
    TRAILERS = "the body is complete; trailers follow"
    DONE = "nothing more is wanted"

    __hash__ = object.__hash__


START, HELD, STREAMING, TRAILERS, DONE = Stage


class Cycle:
    """What an application is given to answer one request: its `receive` and `send`."""

    __slots__ = ("_body", "_fields", "_has_left", "_incoming", "_known", "_pending", "_pipe", "_request", "_status",
                 "_told", "_trailers", "_waiting", "response", "stage")

    def __init__(self, request: Request, known: ResponseFields) -> None:
        self._request = request
        self._known = known
        self._incoming = request.incoming
        # What `receive` has not told of the request; None when it has told all.
        self._body: bytes | None = request.body if self._incoming is None else None
        self.stage = START
        self._status = 0
        self._fields: Any = ()
        self._trailers: list[Any] | None = None  # a list if they follow
        self._pipe: Pipe | None = None
        #: the answer, if it was given before anybody waited for it
        self.response: Response | None = None
        self._pending: Pending[Response] | None = None
        self._has_left = False
        self._told = False  # the application, that it has
        self._waiting: list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        return f"<Cycle {self._request.head.line}, {self.stage.name}>"

    # For the gateway

    def wait(self) -> Pending[Response]:
        """Return what is settled with the response."""
        self._pending = Pending(self._note_left)
        return self._pending

    def follow(self) -> None:
        """Let the application know when the client leaves; it has not come to its end."""
        if self.stage is not DONE:
            self._request.on_disconnect = self._wake

    def _note_left(self) -> None:
        """Nobody waits for the answer any more."""
        self._has_left = True
        self._wake()

    def end(self, task: asyncio.Task[None]) -> None:
        """Answer for the application if it has not, and log what nobody else will."""
        error: BaseException | None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._request.on_disconnect = None
        if self.stage is DONE or self._has_left:
            self._log(error)
            return
        if error is None and self._told:  # it need not answer whoever has left
            error = TooSlow("the client has left") if self._pipe is not None else HTTPError(500)
        elif error is None:
            error = RuntimeError("the ASGI application returned without completing its response")
        elif isinstance(error, asyncio.CancelledError):
            error = RuntimeError("the ASGI application was cancelled")
        elif isinstance(error, GeneratorExit):  # no Exception: it would end the loop
            error = RuntimeError("the ASGI application raised GeneratorExit")
        self.stage, pipe = DONE, self._pipe
        if pipe is not None:
            pipe.end(error)  # which is logged by whoever reads the pipe
        elif self._pending is not None:
            self._pending.fail(error)
        else:
            raise error

    def _log(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError) and not _tells_of_client(error):
            logger.error("%s: the ASGI application failed", self._request.head.line, exc_info=error)

    # For the application

    async def receive(self) -> Message:
        """Return the next event: the body of the request, whole or piece by piece, then that the client has left."""
        body = self._body
        if body is not None:
            self._body = None
            return {"type": "http.request", "body": body, "more_body": False}
        incoming = self._incoming
        if incoming is not None and self.stage is not DONE and not self._has_left:
            return await self._receive_piece(incoming)
        while not (self.stage is DONE or self._has_left or self._request.disconnected):
            await self._something()
        self._told = True
        return {"type": "http.disconnect"}

    async def _receive_piece(self, incoming: Any) -> Message:
        try:
            piece = await incoming.take() if isinstance(incoming, Pipe) else b"".join([data async for data in incoming])
        except HTTPError:  # the rest does not arrive
            self._incoming, self._has_left, self._told = None, True, True
            return {"type": "http.disconnect"}
        more = isinstance(incoming, Pipe) and not incoming.finished
        if not more:
            self._incoming = None
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(self, message: Message) -> None:
        """Take the next event of the response. Return when it is on its way, and there is room for another one.

        Raises:
            ClientDisconnected: the client has left.
            RuntimeError: it is not the turn of such an event.
            TypeError: it is not what ASGI has it be.
            ValueError: the same, of its values.
        """
        kind = message["type"]
        stage = self.stage
        if stage is DONE:
            return  # what comes behind the end is ignored
        if self._has_left:
            raise ClientDisconnected
        if kind == "http.response.body":
            if stage is HELD and not message.get("more_body") and self._trailers is None:
                body = message.get("body", b"")
                self._answer(body if type(body) is bytes else _as_body(body), DONE)
            else:
                await self._send_body(message)
        elif kind == "http.response.start" and stage is START:
            self._fields = self._known.make(message.get("headers", ()))
            self._status = _checked_status(message["status"])
            if message.get("trailers"):
                self._expect_trailers()
            self.stage = HELD
        else:
            await self._send_other(kind, message)

    async def _send_other(self, kind: str, message: Message) -> None:
        take = _OTHERS.get((kind, self.stage))
        if take is None:
            raise RuntimeError(f"ASGI application sent {kind!r:.60} when {_EXPECTED[self.stage]} was expected")
        await take(self, message)

    # The response

    def _answer(self, body: Any, stage: Stage) -> None:
        self._settle(_from_fields(body, self._status, self._fields), stage)

    def _settle(self, response: Response, stage: Stage) -> None:
        self.stage = stage
        if self._pending is None:
            self.response = response
        else:
            self._pending.settle(response)
        if stage is DONE and self._waiting is not None:
            self._wake()

    def _has_content(self) -> bool:
        return self._request.method != "HEAD" and self._status not in _WITHOUT_CONTENT

    async def _send_body(self, message: Message) -> None:
        if self.stage is START or self.stage is TRAILERS:
            raise RuntimeError(f"ASGI application sent 'http.response.body' when {_EXPECTED[self.stage]} was expected")
        body = _as_body(message.get("body", b""))
        more = bool(message.get("more_body"))
        if self._begin_streaming():
            await self._put(body)
            if not more:
                self._end_body()

    def _begin_streaming(self) -> bool:
        """Have the response begin, unless it has. Return whether it has a body."""
        if self.stage is HELD:
            if self._has_content():
                self._pipe = Pipe(PIPE_SIZE, on_close=self._on_closed, patient=True)
                self._pipe.on_writable = self._wake
                self._answer(self._pipe, STREAMING)
            else:
                self._answer(iter(()), DONE)
        return self._pipe is not None

    def _on_closed(self) -> None:
        """The server reads no more: it has sent everything, or the client has left."""
        if self.stage is not DONE:
            self._has_left = True
        self._wake()

    async def _put(self, piece: bytes) -> None:
        """Hand a piece to the server, and wait until there is room for another one."""
        pipe = self._pipe
        assert pipe is not None  # we are streaming
        if piece:
            while pipe.full and not self._has_left:  # several tasks may send
                await self._something()
            if self._has_left:
                raise ClientDisconnected
            pipe.write(piece)
        while pipe.full and not self._has_left:
            await self._something()

    def _end_body(self) -> None:
        if self._trailers is not None:
            self.stage = TRAILERS
        else:
            self._finish()

    def _finish(self) -> None:
        self.stage = DONE
        if self._pipe is not None:
            self._pipe.end()
        self._wake()

    # Extensions

    def _expect_trailers(self) -> None:
        """Expect trailers, if the client wants them and a body can have any (RFC 9110 §6.5)."""
        if wants_trailers(self._request.head) and not any(lower == "content-length" for lower, _ in self._fields):
            self._trailers = []

    async def _send_trailers(self, message: Message) -> None:
        assert self._trailers is not None  # that is the stage
        assert self._pipe is not None
        self._trailers += [pair for _, pair in self._known.make(message.get("headers", ()))]
        if not message.get("more_trailers"):
            self._pipe.trailers = tuple(self._trailers)
            self._finish()

    async def _send_path(self, message: Message) -> None:
        body = sent_file(message["path"])
        self._answer(body, DONE)

    async def _send_zero_copy(self, message: Message) -> None:
        """Send part of a file. When this returns the application may close it."""
        file, offset, count = zero_copied(message)
        more = bool(message.get("more_body"))
        if self.stage is HELD and not more and self._trailers is None:
            self._answer(file.body(offset, count), DONE)
        elif self._begin_streaming():
            for piece in file.pieces(offset, count, PIECE_SIZE):
                await self._put(piece)
            if not more:
                self._end_body()

    async def _send_early_hint(self, message: Message) -> None:
        links = message.get("links", ())
        self._request.peer.send_interim(103, self._known.make([(b"link", link) for link in links]))

    # Waiting

    async def _something(self) -> None:
        """Wait until something has happened."""
        future = running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _wake(self) -> None:
        for future in self._waiting or ():
            if not future.done():
                future.set_result(None)


_OTHERS: dict[tuple[str, Stage], Callable[[Cycle, Message], Any]] = {
    ("http.response.pathsend", HELD): Cycle._send_path,
    ("http.response.zerocopysend", HELD): Cycle._send_zero_copy,
    ("http.response.zerocopysend", STREAMING): Cycle._send_zero_copy,
    ("http.response.early_hint", START): Cycle._send_early_hint,
    ("http.response.trailers", TRAILERS): Cycle._send_trailers,
}
_EXPECTED = {START: "'http.response.start'", HELD: "'http.response.body'", STREAMING: "'http.response.body'",
             TRAILERS: "'http.response.trailers'"}


def _tells_of_client(error: BaseException) -> bool:
    """Return whether an error is, or was raised because of, a `ClientDisconnected`; frameworks have their own."""
    for _ in range(_LONGEST_CHAIN):
        if isinstance(error, ClientDisconnected):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(map(_tells_of_client, error.exceptions))
        earlier = error.__cause__ or error.__context__
        if earlier is None:
            return False
        error = earlier
    return False


def _as_body(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"the body of 'http.response.body' is bytes, not {type(body).__name__}")


def _checked_status(status: object) -> int:
    if not isinstance(status, int):
        raise TypeError(f"the status of 'http.response.start' is a number, not {type(status).__name__}")
    if not 200 <= status <= 599:
        raise ValueError(f"the status of a response is between 200 and 599, not {status}")
    return int(status)
