"""Django's tests of its ASGI handler, with our server in the place of the messages that they make themselves.

    ./scripts/conformance django_asgi [-v 2] [asgi.tests.ASGITest.TEST ...]

`tests/asgi` of Django's source. They speak to the handler by asgiref's `ApplicationCommunicator`; here that is a client
of our server, which writes bytes and reads a response. What is left out, and why, is in `DESELECTED`.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
import unittest
from pathlib import Path
from typing import Any

VERSION = "Django==5.2.8"

#: Not run, by name, and why.
DESELECTED = {
    "test_wrong_connection_type": "a scope of no known type, which no server sends",
    "test_disconnect": "a client that leaves before its request: there is none then",
    "test_disconnect_both_return": "a message behind the end of a body, which no server sends",
    "test_disconnect_with_body": "likewise",
    "test_assert_in_listen_for_disconnect": "likewise",
    "test_delayed_disconnect_with_body": "the handler is looked into, and no response is read",
    "test_non_unicode_query_string": "bytes of a query that are not ASCII are refused with 400",
    "test_headers": "`Referer` twice is refused with 400 (RFC 9110 §5.3)",
    "test_asyncio_cancel_error": "an asyncio.Event between view and test, which are in two threads here",
    "test_asyncio_streaming_cancel_error": "that the start of a response is sent ahead of its body; ours goes with it",
}
#: Seconds after which something that should come has not come.
PATIENCE = 10
#: Fields that are the server's.
_OURS = {b"date", b"server", b"connection", b"transfer-encoding"}


class Communicator:
    """An application behind our server, and a client: with the face of asgiref's `ApplicationCommunicator`."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        self._application = application
        self._scope = scope
        self._body = b""
        self._life: Any = None
        self._server: Any = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._length: int | None = None
        self._at_work = self._ended = 0
        self._has_left = False
        self._head_is_read = False
        self._errors: list[BaseException] = []

    async def _watched(self, scope: Any, receive: Any, send: Any) -> None:
        self._at_work += 1
        try:
            await self._application(scope, receive, send)
        except Exception as error:
            self._errors.append(error)
            raise
        finally:
            self._at_work -= 1
            self._ended += 1

    async def _begin(self) -> None:
        from evloop_http import ASGI, Server
        self._life = Server(ASGI(self._watched, lifespan="off")).in_thread()
        self._server = self._life.__enter__()
        self._reader, self._writer = await asyncio.open_connection(*self._server.addresses[0])

    def _head(self, framing: bytes) -> bytes:
        scope = self._scope
        query = scope.get("query_string", b"")
        query = query.encode() if isinstance(query, str) else query
        target = scope["path"].encode() + (b"?" + query if query else b"")
        lines = [b"%s %s HTTP/1.1" % (scope["method"].encode(), target)]
        names = {name.lower() for name, _ in scope["headers"]}
        if b"host" not in names:
            lines.append(b"Host: testserver")
        lines += [b"%s: %s" % (name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
        return b"\r\n".join([*lines, framing, b"", b""])

    async def send_input(self, message: dict[str, Any]) -> None:
        """Send what a server would have received to be told so."""
        if message["type"] == "http.disconnect":
            if self._server is None:
                await self._begin()
                self._writer.write(self._head(b"Content-Length: 0"))
                await self._writer.drain()
            self._has_left = True
            self._writer.close()
            return
        if self._server is None:
            await self._begin()
            body, more = message.get("body", b""), message.get("more_body", False)
            if more:
                self._writer.write(self._head(b"Transfer-Encoding: chunked"))
                self._chunk(body)
            else:
                self._writer.write(self._head(b"Content-Length: %d" % len(body)) + body)
        else:
            self._chunk(message.get("body", b""))
            if not message.get("more_body", False):
                self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _chunk(self, body: bytes) -> None:
        if body:
            self._writer.write(b"%x\r\n%s\r\n" % (len(body), body))

    async def receive_output(self, timeout: float = 1) -> dict[str, Any]:
        """Return the next event of the response, as it was on the wire."""
        if self._has_left:  # nobody would see it
            raise TimeoutError
        async with asyncio.timeout(timeout):
            return await (self._read_body() if self._head_is_read else self._read_head())

    async def _read_head(self) -> dict[str, Any]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        self._head_is_read = True
        first, *lines = head[:-4].split(b"\r\n")
        pairs = [tuple(line.split(b": ", 1)) for line in lines]
        fields = {name.lower(): value for name, value in pairs}
        self._length = None if b"transfer-encoding" in fields else int(fields.get(b"content-length", b"0"))
        return {"type": "http.response.start", "status": int(first.split()[1]),
                "headers": [pair for pair in pairs if pair[0].lower() not in _OURS]}

    async def _read_body(self) -> dict[str, Any]:
        if self._length is not None:
            body = await self._reader.readexactly(self._length)
            return {"type": "http.response.body", "body": body, "more_body": False}
        size = int(await self._reader.readline(), 16)
        body = await self._reader.readexactly(size)
        await self._reader.readline()
        return {"type": "http.response.body", "body": body, "more_body": size > 0}

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Return whether nothing arrives."""
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(1) == b""
        except TimeoutError:
            return True

    async def wait(self, timeout: float = 1) -> None:
        """Wait until the application has ended."""
        async with asyncio.timeout(PATIENCE):
            while self._at_work or not self._ended:
                await asyncio.sleep(0.005)
        await self._end()
        if self._errors:
            raise self._errors[0]

    async def _end(self) -> None:
        if self._life is not None:
            life, self._life = self._life, None
            self._writer.close()
            await asyncio.to_thread(life.__exit__, None, None, None)

    def stop(self, exceptions: bool = True) -> None:
        """End."""

    def __del__(self) -> None:
        if self._life is not None:
            self._life.__exit__(None, None, None)


def run(arguments: list[str]) -> int:
    """Run the tests. In the environment of Django."""
    import asgiref.testing  # type: ignore[import-not-found]
    asgiref.testing.ApplicationCommunicator = Communicator
    load = unittest.TestLoader.getTestCaseNames

    def names(self: unittest.TestLoader, case: type[unittest.TestCase]) -> list[str]:
        return [name for name in load(self, case) if name not in DESELECTED]
    unittest.TestLoader.getTestCaseNames = names  # type: ignore[method-assign,assignment]
    labels = [] if any("." in argument for argument in arguments) else ["asgi"]
    sys.argv = ["runtests.py", "--parallel=1", *labels, *arguments]
    runpy.run_path("runtests.py", run_name="__main__")
    return 0


def main() -> int:
    """Fetch what is needed, and run the tests there."""
    if "--inside" in sys.argv:
        return run([argument for argument in sys.argv[1:] if argument != "--inside"])
    from ._fetching import environment, run_inside, sources
    python = environment("django", VERSION)
    tests: Path = sources(python, VERSION.lower()) / "tests"
    return run_inside(python, "django_asgi", tests, arguments=sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
