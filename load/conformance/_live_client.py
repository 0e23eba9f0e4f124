"""A pytest plugin: Starlette's `TestClient` over a real socket, with a server behind it.

The tests of Starlette and FastAPI call their applications by a `TestClient`, without a server. Here it is replaced by
one that has a server serve the application for as long as it lives, and asks it by HTTP. `CONFORMANCE_SERVER` names the
server: ours, or uvicorn to compare with. What passed is written to the file that `CONFORMANCE_PASSED` names.

What a `TestClient` does and no client can: it raises the application's exceptions. So the application is wrapped, the
same for both servers: its exceptions are noted, and a request is over when the application is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest
import starlette.testclient as original
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

#: Seconds after which something that should come has not come.
PATIENCE = 5.0

_OUR_HANDSHAKE = ("host", "connection", "upgrade", "accept", "accept-encoding")


class Watched:
    """An application whose exceptions are noted, and of which we know when it is at work."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.errors: list[BaseException] = []
        self._at_work = 0
        self._changed = threading.Condition()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        counts = scope["type"] != "lifespan"
        with self._changed:
            self._at_work += counts
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            with self._changed:
                self._at_work -= counts
                self._changed.notify_all()

    def wait(self) -> None:
        """Wait until it is not at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, PATIENCE)

    def raise_first(self) -> None:
        """Raise the exception that came first, if there was one."""
        errors, self.errors = self.errors, []
        if errors:
            raise errors[0]


@contextlib.contextmanager
def ours(app: Any, root_path: str, lifespan: str) -> Iterator[int]:
    """Serve with ours. Yield the port."""
    from evloop_http import ASGI, Server
    with Server(ASGI(app, root_path, lifespan)).in_thread() as server:
        yield server.addresses[0][1]  # type: ignore[misc]


@contextlib.contextmanager
def uvicorn(app: Any, root_path: str, lifespan: str) -> Iterator[int]:
    """Serve with uvicorn."""
    from uvicorn import Config, Server  # type: ignore[import-not-found]
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(app, root_path=root_path, lifespan=lifespan, log_config=None))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("uvicorn has not started")
            time.sleep(0.005)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


SERVE: Callable[[Any, str, str], Any] = {"ours": ours, "uvicorn": uvicorn}[os.environ["CONFORMANCE_SERVER"]]


class Transport(httpx.BaseTransport):
    """Asks the server, which is started for the first request."""

    def __init__(self, app: Watched, raises: bool, root_path: str) -> None:
        self.app = app
        self.raises = raises
        self._root_path = root_path
        self._inner = httpx.HTTPTransport()
        self._life = contextlib.ExitStack()
        self._port = 0

    def start(self, lifespan: str) -> None:
        """Have the application served, unless it is."""
        if not self._port:
            try:
                self._port = self._life.enter_context(SERVE(self.app, self._root_path, lifespan))
            except Exception:
                self.app.raise_first()
                raise

    def stop(self) -> None:
        """End the server, if there is one. Another request starts it anew."""
        if self._port:
            self._port = 0
            self._inner.close()
            self._inner = httpx.HTTPTransport()
            self._life.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.start("off")
        if request.url.scheme in ("ws", "wss"):
            raise original._Upgrade(Session(self, request))
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        asked = httpx.Request(request.method, url, headers=request.headers, stream=request.stream,
                              extensions=request.extensions)
        asked.headers["host"] = request.headers["host"]
        try:
            response = self._inner.handle_request(asked)
            content = b"".join(response.stream)  # type: ignore[arg-type]
        except httpx.TransportError:
            self.settle()
            raise
        self.settle()
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content),
                              request=request, extensions=response.extensions)

    def settle(self) -> None:
        """Wait until the application has ended, and raise what it raised."""
        self.app.wait()
        if self.raises:
            self.app.raise_first()
        self.app.errors.clear()

    def connect(self, request: httpx.Request) -> ClientConnection:
        """Open a WebSocket."""
        protocols = request.headers.get("sec-websocket-protocol")
        headers = [(name, value) for name, value in request.headers.multi_items()
                   if name not in _OUR_HANDSHAKE and not name.startswith("sec-websocket-")]
        sock = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        sock.settimeout(None)
        return connect(str(request.url), sock=sock, additional_headers=headers, user_agent_header=None,
                       subprotocols=protocols.split(", ") if protocols else None, ssl=None, proxy=None,
                       max_size=None, open_timeout=PATIENCE, close_timeout=PATIENCE)


class Session(original.WebSocketTestSession):
    """A WebSocket, with the face of Starlette's own."""

    def __init__(self, transport: Transport, request: httpx.Request) -> None:
        self._transport_ = transport
        self._request = request

    def __enter__(self) -> Session:
        try:
            self._client = client = self._transport_.connect(self._request)
        except InvalidStatus as refusal:
            self._transport_.settle()
            response = refusal.response
            if response.status_code == 403 and response.headers.get("x-refused") is None and (
                    not response.body or b"WebSocket" in response.body):
                raise WebSocketDisconnect(1000) from None
            raise original.WebSocketDenialResponse(
                status_code=response.status_code, headers=list(response.headers.raw_items()),
                content=bytes(response.body or b"")) from None
        self.accepted_subprotocol = client.subprotocol
        assert client.response is not None
        self.extra_headers = [(name.lower().encode(), value.encode())
                              for name, value in client.response.headers.raw_items()
                              if not name.lower().startswith(("sec-", "date", "server", "connection", "upgrade"))]
        return self

    def __exit__(self, *error: Any) -> None:
        self._client.close(1000)
        if error[0] is None:
            self._transport_.settle()

    def send(self, message: Any) -> None:
        if message["type"] == "websocket.disconnect":
            self._client.close(message["code"], message.get("reason") or "")
            return
        data = message.get("text")
        self._client.send(message["bytes"] if data is None else data)

    def receive(self) -> Any:
        try:
            data = self._client.recv(PATIENCE)
        except ConnectionClosed as closed:
            if self._transport_.raises and self._client.close_code == 1011:
                self._transport_.settle()
            received = closed.rcvd
            return {"type": "websocket.close", "code": received.code if received else 1006,
                    "reason": received.reason if received else ""}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}


class LiveClient(original.TestClient):
    """A `TestClient` with a server in between."""

    def __init__(self, app: Any, base_url: str = "http://testserver", raise_server_exceptions: bool = True,
                 root_path: str = "", *arguments: Any, **options: Any) -> None:
        super().__init__(app, base_url, raise_server_exceptions, root_path, *arguments, **options)
        self._transport: Transport = Transport(Watched(self.app), raise_server_exceptions, root_path)
        _clients.add(self)

    def __enter__(self) -> LiveClient:
        self._transport.start("on")
        return self

    def __exit__(self, *error: Any) -> None:
        self._transport.stop()
        if error[0] is None and self._transport.raises:
            self._transport.app.raise_first()

    def close(self) -> None:
        """End the server."""
        self._transport.stop()


#: Some live as long as a module of tests.
_clients: weakref.WeakSet[LiveClient] = weakref.WeakSet()

original.TestClient = LiveClient  # type: ignore[misc]


@pytest.fixture(autouse=True, scope="module")
def live_clients() -> Iterator[None]:
    """End the servers of a module of tests."""
    yield
    for client in list(_clients):
        client._transport.stop()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down what has passed."""
    if report.when == "call" and report.passed:
        with open(os.environ["CONFORMANCE_PASSED"], "a") as file:
            file.write(report.nodeid + "\n")
