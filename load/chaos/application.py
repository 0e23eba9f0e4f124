"""An application with every kind of handler: they return, raise, produce, wait, listen, switch and fail.

Each answer repeats the nonce of its request, in the header `X-Nonce`, and its content is made of it by `content`,
so that a client can tell its own answer from everybody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evloop_http import App, EventStream, HTTPError, Request, Response, StaticFiles, Upgrade, after
from evloop_http.app.middleware import gzip
from evloop_http.messages import Channel
from evloop_http.websocket import AsyncWebSocket

#: Threads of the application, and requests that wait for one; more are answered with 503.
THREADS, STREAMS, QUEUE = 6, 8, 24
#: Threads that all pools together keep.
POOLED = THREADS + STREAMS + 1
#: Bytes of a piece of a body that is produced.
PIECE = 5000
#: Seconds between two events.
TICK = 0.02
#: Files that are served, with their sizes in bytes. Their names are the nonces of their content.
FILES = {"small.txt": 1000, "middle.txt": 70_000, "large.bin": 700_000}


class Meant(Exception):
    """What a handler raises on purpose."""


def content(nonce: str, size: int) -> bytes:
    """Return `size` bytes that belong to this nonce and to no other."""
    line = f"{nonce}\n".encode()
    return (line * (size // len(line) + 1))[:size]


def digest(nonce: str, data: bytes) -> str:
    """Return what a handler says of a body that it has read."""
    return f"{nonce} {len(data)} {hashlib.sha256(data).hexdigest()}"


def make_files(folder: Path) -> None:
    """Write the files that are served."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in FILES.items():
        (folder / name).write_bytes(content(name, size))


def make_application(folder: Path, listeners: Listeners) -> App:
    """Return the application. `folder` contains the files of `make_files`."""
    inner = App(threads=THREADS, streams=STREAMS, queue=QUEUE)
    for register in (register_plain, register_produced, register_bodies, register_coroutines, register_failing):
        register(inner)
    inner.get("/events")(listeners.listen)
    inner.mount("/packed", make_packed())
    inner.mount("/files", StaticFiles(folder))
    # Another one around it, so that the answers of the first one's queue and router have the nonce as well.
    outer = App()
    outer.middleware(repeat_nonce)
    outer.mount("/", inner)
    return outer


def repeat_nonce(request: Request, call_next: Any) -> Response:
    """Be the middleware that sends the nonce back."""
    nonce = nonce_of(request)

    def stamp(response: Response) -> None:
        response.headers["X-Nonce"] = nonce
    response: Response = call_next(request)
    return after(response, stamp)


def nonce_of(request: Request) -> str:
    return request.headers.get("x-nonce", "none")


def size_of(request: Request) -> int:
    return request.query.get("n", 100, type=int)


def pieces_of(request: Request) -> Iterator[bytes]:
    data = content(nonce_of(request), size_of(request))
    for begin in range(0, len(data), PIECE):
        yield data[begin:begin + PIECE]


# -- answers that are there at once, or later


def register_plain(app: App) -> None:
    answering = ThreadPoolExecutor(1, "chaos-answering")

    @app.get("/text")
    def text(request: Request) -> str:
        return content(nonce_of(request), size_of(request)).decode()

    @app.get("/bytes")
    def plain(request: Request) -> bytes:
        return content(nonce_of(request), size_of(request))

    @app.get("/json")
    def as_json(request: Request) -> dict[str, str]:
        return {"nonce": nonce_of(request)}

    @app.get("/none")
    def none(request: Request) -> None:
        return None

    @app.get("/threaded", threaded=True)
    def threaded(request: Request) -> bytes:
        time.sleep(request.query.get("seconds", 0.0, type=float))
        return content(nonce_of(request), size_of(request))

    @app.get("/future")
    def future(request: Request) -> Future[bytes]:
        return answering.submit(content, nonce_of(request), size_of(request))

    @app.get("/never")
    def never(request: Request) -> Future[bytes]:
        return Future()

    @app.get("/switch")
    def switch(request: Request) -> Response:
        return Upgrade(Echo(), "echo")


def register_produced(app: App) -> None:
    @app.get("/pieces")
    def pieces(request: Request) -> Response:
        return Response(pieces_of(request))

    @app.get("/threaded-pieces", threaded=True)
    def threaded_pieces(request: Request) -> Response:
        return Response(pieces_of(request))


class Echo:
    """A protocol after HTTP that sends everything back, no faster than the client reads."""

    def on_start(self, channel: Channel) -> None:
        self.channel = channel

    def on_data(self, data: bytes) -> None:
        if not self.channel.write(data):
            self.channel.pause()

    def on_writable(self) -> None:
        self.channel.resume()

    def on_eof(self) -> None:
        self.channel.end()

    def on_stop(self) -> None:
        self.channel.close()

    def on_close(self) -> None:
        del self.channel


# -- requests with bodies


def register_bodies(app: App) -> None:
    @app.post("/echo")
    def echo(request: Request) -> bytes:
        return request.body

    @app.post("/stream", stream=True)
    def stream(request: Request) -> str:
        return digest(nonce_of(request), b"".join(request.stream()))

    @app.post("/stream-echo", stream=True)
    def stream_echo(request: Request) -> Response:
        return Response(request.stream())

    @app.post("/form")
    def form(request: Request) -> str:
        return digest(request.form["nonce"], form_content(request))

    @app.post("/form-stream", stream=True)
    def form_stream(request: Request) -> str:
        return digest(request.form["nonce"], form_content(request))


def form_content(request: Request) -> bytes:
    """Return what a form contains: its file, or its text."""
    if "file" not in request.files:
        return request.form["text"].encode()
    upload = request.files["file"]
    data = upload.read()
    upload.close()
    return data


# -- coroutines, and WebSockets


def register_coroutines(app: App) -> None:
    @app.get("/async")
    async def in_a_task(request: Request) -> bytes:
        await asyncio.sleep(request.query.get("seconds", 0.0, type=float))
        return content(nonce_of(request), size_of(request))

    @app.get("/async-pieces")
    async def async_pieces(request: Request) -> Response:
        return Response(pieces_in_turns(request))

    @app.post("/async-stream", stream=True)
    async def async_stream(request: Request) -> str:
        assert request.incoming is not None
        return digest(nonce_of(request), b"".join([piece async for piece in request.incoming]))

    @app.websocket("/websocket", compression=True)
    async def websocket(request: Request, ws: AsyncWebSocket) -> None:
        async for message in ws:
            await ws.send(message)


async def pieces_in_turns(request: Request) -> AsyncIterator[bytes]:
    for piece in pieces_of(request):
        await asyncio.sleep(0)
        yield piece


# -- handlers that fail


def register_failing(app: App) -> None:
    @app.get("/refused")
    def refused(request: Request) -> str:
        raise HTTPError(409, content(nonce_of(request), 50).decode())

    @app.get("/raised")
    def raised(request: Request) -> str:
        raise Meant

    @app.get("/raised-threaded", threaded=True)
    def raised_threaded(request: Request) -> str:
        raise Meant

    @app.get("/raised-later")
    def raised_later(request: Request) -> Future[str]:
        future: Future[str] = Future()
        future.set_exception(Meant())
        return future

    @app.get("/no-memory")
    def no_memory(request: Request) -> str:
        raise MemoryError("meant")

    @app.get("/wrong")
    def wrong(request: Request) -> object:
        return object()

    @app.get("/wrong-piece")
    def wrong_piece(request: Request) -> Response:
        return Response(iter(["text"]))  # type: ignore[arg-type]

    @app.get("/broken")
    def broken(request: Request) -> Response:
        return Response(broken_pieces(request))

    @app.get("/broken-threaded", threaded=True)
    def broken_threaded(request: Request) -> Response:
        return Response(broken_pieces(request))


def broken_pieces(request: Request) -> Iterator[bytes]:
    yield from pieces_of(request)
    raise Meant


#: The paths above at which a failure is written to the log.
FAILING = frozenset({"/raised", "/raised-threaded", "/raised-later", "/no-memory", "/wrong", "/wrong-piece", "/broken",
                     "/broken-threaded"})


# -- bodies that are changed, and events


def make_packed() -> App:
    """Return an application whose answers are compressed while they are sent."""
    packed = App(threads=1, queue=QUEUE)
    packed.middleware(gzip())

    @packed.get("/text")
    def text(request: Request) -> str:
        return content(nonce_of(request), size_of(request)).decode()

    @packed.get("/pieces")
    def pieces(request: Request) -> Response:
        return Response(pieces_of(request), content_type="text/plain")

    @packed.get("/threaded-pieces", threaded=True)
    def threaded_pieces(request: Request) -> Response:
        return Response(pieces_of(request), content_type="text/plain")

    return packed


class Listeners:
    """The clients that listen to events, and a thread that sends one to each of them now and then."""

    def __init__(self) -> None:
        self._streams: dict[EventStream, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="chaos-ticking")

    def __len__(self) -> int:
        return len(self._streams)

    def __enter__(self) -> Listeners:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def listen(self, request: Request) -> Response:
        """Be the handler: every event of a stream contains the nonce of its request."""
        def leave() -> None:
            self._streams.pop(stream, None)
        stream = EventStream(heartbeat=0.5, on_close=leave)
        self._streams[stream] = nonce_of(request)
        return stream.response()

    def _send_all(self) -> None:
        while not self._over.wait(TICK):
            self._send_each()

    def _send_each(self) -> None:
        # On its own, so that no variable keeps the last stream between two ticks.
        for stream, nonce in list(self._streams.items()):
            stream.send(nonce)
