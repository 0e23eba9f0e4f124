"""A WebSocket for tests, without a socket: what the client sends are frames, and what the handler sends are read back.

An asyncio loop turns while the test waits, and at no other time: in it runs what runs in the loop of a server,
tasks of `async def` handlers included. Handlers in threads run in threads. Only the network is missing, and with it
back-pressure: what is sent has been taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from ..messages import HTTPError, Peer, Request, Response, SwitchedProtocol, Upgrade
from ..websocket.listening import Disconnected
from .reply import Reply


class WebSocketRefused(Exception):
    """The WebSocket was not accepted.

    Args:
        reply: what was answered instead.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the WebSocket was refused: {reply.status}")
        self.reply = reply


class _Line:
    """A connection in memory, as a `messages.Channel` for the handler's side."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: Peer, on_bytes: Callable[[bytes], None]) -> None:
        self.peer = peer
        self.queued = 0
        self.protocol: SwitchedProtocol | None = None
        self._loop = loop
        self._on_bytes = on_bytes
        self._waiting = b""
        self._paused = False
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, protocol: SwitchedProtocol) -> None:
        self.protocol = protocol
        protocol.on_start(self)

    def deliver(self, data: bytes) -> None:
        """Hand on what the client has sent, unless the protocol wants nothing now."""
        self._waiting += data
        if self._waiting and not self._paused and self.protocol is not None:
            data, self._waiting = self._waiting, b""
            self.protocol.on_data(data)

    def time(self) -> float:
        return self._loop.time()

    def wake_in(self, seconds: float, callback: Callable[[], object]) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(seconds, callback)

    def later(self, act: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(act, *args)
        except RuntimeError:  # the test is over, and a thread of the handler is not
            pass

    def write(self, data: bytes) -> bool:
        self._on_bytes(data)
        return True

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self.deliver(b"")

    def end(self) -> None:
        self._on_bytes(b"")

    def close(self) -> None:
        protocol, self.protocol = self.protocol, None
        if self._alarm is not None:
            self._alarm.cancel()
        if protocol is not None:
            self._on_bytes(b"")
            protocol.on_close()

    abort = close


class WebSocketSession:
    """The client's end of a WebSocket; see `Client.websocket`. `subprotocol` and `headers` are those of the response.

    Args:
        answer: the application.
        request: that asks for the WebSocket.
        refusal: makes a reply of a response.
        patience: seconds to wait for anything.
    """

    def __init__(self, answer: Callable[[Request], Any], request: Request, refusal: Callable[[Response], Reply],
                 patience: float) -> None:
        from ..websocket.frames import client_frames
        self._answer = answer
        self._request = request
        self._refusal = refusal
        self._patience = patience
        self._frames = client_frames()
        self._messages: list[str | bytes] = []
        self._closed: tuple[int, str] | None = None
        self._loop = asyncio.new_event_loop()
        self._line = _Line(self._loop, request.peer, self._receive)
        self._changed = asyncio.Event()
        self.headers = Response().headers

    @property
    def subprotocol(self) -> str:
        """The subprotocol that was chosen; empty for none."""
        return self.headers.get("Sec-WebSocket-Protocol", "")

    @property
    def close_code(self) -> int | None:
        """The code that the other side has closed with; None before the end, 1006 if it did not say."""
        return self._closed[0] if self._closed is not None else None

    def __enter__(self) -> Self:
        try:
            self._loop.run_until_complete(self._open())
        except BaseException:
            self._loop.run_until_complete(self._end_tasks())
            self._loop.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            if self._closed is None:
                self.close()
        finally:
            self._loop.run_until_complete(self._end_tasks())
            self._loop.close()

    async def _open(self) -> None:
        response = await self._response()
        if not isinstance(response, Upgrade):
            raise WebSocketRefused(self._refusal(response))
        self.headers = response.headers
        self._line.begin(response.take())

    async def _response(self) -> Response:
        try:
            answer = self._answer(self._request)
            if not isinstance(answer, Response):  # it comes later
                done = asyncio.Event()
                answer.add_done_callback(lambda answer: self._loop.call_soon_threadsafe(done.set))
                await asyncio.wait_for(done.wait(), self._patience)
                answer = answer.result()
        except HTTPError as error:
            return error.response()
        response: Response = answer
        return response

    async def _end_tasks(self) -> None:
        """Let the handler come to its end, if it is a task."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=self._patience)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    # Messages

    def send(self, message: str | bytes) -> None:
        """Send a message.

        Raises:
            Disconnected: it is closed.
        """
        if self._closed is not None:
            raise Disconnected(*self._closed)
        if isinstance(message, str):
            self._frames.send_text(message.encode())
        else:
            self._frames.send_binary(message)
        self._run(self._pass_on)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message, and wait for it.

        Args:
            timeout: seconds; None for the patience of the client.

        Raises:
            Disconnected: it is closed, with the code that the other side has given.
            TimeoutError: there is none.
        """
        self._wait(lambda: bool(self._messages) or self._closed is not None, timeout)
        if self._messages:
            return self._messages.pop(0)
        assert self._closed is not None
        raise Disconnected(*self._closed)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and wait until the other side has answered.

        Raises:
            TimeoutError: it does not.
        """
        if self._closed is None:
            self._frames.send_close(code, reason)
            self._run(self._pass_on)
            self._wait(lambda: self._closed is not None, None)

    def _pass_on(self) -> None:
        self._line.deliver(b"".join(self._frames.data_to_send()))

    def _run(self, act: Callable[[], None]) -> None:
        """Do something in the loop, and let it turn once."""
        async def run() -> None:
            act()
        self._loop.run_until_complete(run())

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> None:
        async def wait() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        patience = self._patience if timeout is None else timeout
        try:
            self._loop.run_until_complete(asyncio.wait_for(wait(), patience))
        except TimeoutError:
            raise TimeoutError(f"nothing for {patience} seconds") from None

    def _receive(self, data: bytes) -> None:
        """Read what the other side has sent; nothing for its end."""
        from ..websocket.frames import BINARY, CLOSE, TEXT, Frame
        frames = self._frames
        if data:
            frames.receive_data(data)
        for frame in frames.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is TEXT:
                self._messages.append(bytes(frame.data).decode())
            elif frame.opcode is BINARY:
                self._messages.append(bytes(frame.data))
            elif frame.opcode is CLOSE and frames.close_rcvd is not None:
                self._closed = frames.close_rcvd.code, frames.close_rcvd.reason
        if not data and self._closed is None:
            self._closed = 1006, ""
        replies = [reply for reply in frames.data_to_send() if reply]
        if replies and self._line.protocol is not None:
            self._loop.call_soon(self._line.deliver, b"".join(replies))
        self._changed.set()
