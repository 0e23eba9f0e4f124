"""WSGI applications (PEP 3333) as ours: Flask, Django, Bottle, Pyramid and others.

    server = Server(WSGI(flask_app))
    app.mount("/shop", WSGI(shop))          # SCRIPT_NAME is /shop

*Where it runs.* A WSGI application waits: for a database, for other servers. So it is called in a thread of a pool, and
the loop serves the others. `threads=0` calls it in the loop instead, where nobody else is served meanwhile: for
applications that never wait, one process beside another.

*A slow client holds no thread*, as far as that is possible. A body of moderate size is gathered by the loop before the
application is called. A large one, or one whose size nobody knows, is read while it arrives, in a thread of another
pool (see `threads.streams`). A response that is whole is the loop's to send, and the thread goes on to the next
request. A thread that produces a response at the pace of its client leaves its place to another one.

    environ     what an application is told of a request
    inputs      the body of a request as a file
    starting    what it says of its response, checked
    calling     one call, from its arguments to `close`
    blocks      its response, held to what it announced
    files       files that the kernel sends

Knows the vocabulary and the threads; it does not know sockets.
"""

from __future__ import annotations

from contextvars import Context

from ...messages import GATHER, STREAM, Answer, HTTPError, Pipe, Preparation, Request, Response
from ...threads.pool import Further, Threads, is_worker
from ...threads.streams import Streams
from .calling import Application, Call
from .environ import Environ, Environs
from .files import FileWrapper
from .inputs import Input

#: Bytes of the largest body that is gathered before the application is called, unless another number is given.
GATHERED = 256 * 1024


class WSGI:
    """A WSGI application as one of ours.

    Args:
        application: a callable of `environ` and `start_response`.
        threads: how many requests it answers at a time, each in a thread of its own; 0 to call it in the loop's thread.
            With 1, an application that is no good for several threads is never called in two at a time: all bodies are
            gathered, and a client that reads slowly holds up the others.
        queue: requests that may wait for a thread, and as many uploads for one of `streams`; others are answered with
            503.
        script_name: where the application's site begins, if a proxy in front says so: `SCRIPT_NAME`. A path that begins
            with it is cut, for a proxy that leaves it there.
        streams: threads for bodies that are read while they arrive. While others wait for one of them, the slowest
            upload is answered with 408.
        gathered: bytes; a larger body, and one in chunks, is read while it arrives. None to gather them all, within
            `Limits.body`: for applications that ignore a body without `CONTENT_LENGTH`, as Django does.
        multiprocess: what `wsgi.multiprocess` says: whether other processes serve the same application.

    Raises:
        TypeError: the application cannot be called.
        ValueError: a number is negative, or the script name is not a path without a slash at its end.
    """

    def __init__(self, application: Application, threads: int = 8, queue: int = 64, script_name: str = "", *,
                 streams: int = 16, gathered: int | None = GATHERED, multiprocess: bool = False) -> None:
        if not callable(application):
            raise TypeError(f"a WSGI application is a callable, not {type(application).__name__}")
        if threads < 0 or (gathered is not None and gathered < 0):
            raise ValueError("a number of threads or bytes is not negative")
        self.application = application
        self._gathered = gathered if threads > 1 else None
        self._environs = Environs(script_name, {
            "wsgi.multithread": threads > 1, "wsgi.multiprocess": multiprocess, "wsgi.file_wrapper": FileWrapper})
        self._threads: Threads | None = None
        self._streams: Streams | None = None
        if threads:
            # The one thread of an application for one thread keeps its place while it produces a body.
            self._threads = Threads(threads, queue) if threads > 1 else Threads(1, queue, producing=0)
            self._streams = Streams(streams, queue)

    def __repr__(self) -> str:
        return f"<WSGI {self.application!r}>"

    def prepare(self, request: Request) -> Preparation:
        """Gather the body of a request if it is of moderate size, and stream it otherwise."""
        length, gathered = request.head.content_length, self._gathered
        return GATHER if gathered is None or (length is not None and length <= gathered) else STREAM

    def __call__(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            HTTPError: 503, all threads are busy and the queue is full.
            RuntimeError: there is no thread, and none can be started.
            Exception: in the loop's thread, what the application raises.
        """
        environ = self._environs.make(request)
        incoming = request.incoming
        environ["wsgi.input"] = Input(request.body) if incoming is None else Input(b"", incoming)
        if self._threads is None or self._streams is None:
            context = Context()
            return context.run(Call(request, context, False).answer, self.application, environ)  # type: ignore[return-value]
        if incoming is None:
            job = self._threads.submit(self._work, request, environ,
                                       call_soon=None if is_worker() else request.peer.call_soon)
        else:
            pipe = getattr(request, "pipe", incoming)
            pipe = pipe if isinstance(pipe, Pipe) else None
            job = self._streams.submit_reader(pipe, self._work, request, environ)
        if job is None:
            raise HTTPError(503, "The server is busy.", {"Retry-After": "1"})
        return job

    def _work(self, request: Request, environ: Environ) -> Response | Further | None:
        context = Context()
        return context.run(Call(request, context, True).answer, self.application, environ)

    def close(self) -> None:
        """End the threads. They are started anew if a request comes."""
        if self._threads is not None and self._streams is not None:
            self._threads.close()
            self._streams.close()
