"""A client for tests that needs no socket: requests go to an application as a call, responses come back whole.

    client = Client(app)
    assert client.get("/users/1").json() == {"id": 1}

Nothing is faked on the way. A request is written by our `RequestEncoder` and read by the parser of the
server; the response is encoded, checked and read back in the same manner. So a request that no server would
accept is refused here too, a response with a wrong length fails the test, and the response to `HEAD` has no body.
Only the network is missing, and with it deadlines, limits on connections and TLS.

A body always arrives together with its head, so the application is called at once, and never asked to `prepare`.

*A response that goes on* (server-sent events) is read as far as it has been written when the handler returns. Then
the client leaves, as a browser does whose tab is closed: the stream is closed, and its `on_close` is called.
A body that a worker thread produces is read to its end.

What an application raises, other than an `HTTPError`, is raised in the test; an `App` answers its
handlers' errors by itself, with a 500.
"""

from __future__ import annotations

import base64
import http.cookiejar
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.message import Message
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urljoin, urlsplit

from ..http1 import (
    BodyData,
    EndOfMessage,
    Limits,
    RequestEncoder,
    RequestParser,
    ResponseEncoder,
    ResponseHead,
    ResponseParser,
)
from ..messages import (
    Application,
    Contract,
    FileBody,
    FilePieces,
    Headers,
    HeaderSource,
    HTTPError,
    Origin,
    Peer,
    Pipe,
    Request,
    RequestHead,
    Response,
    Upgrade,
    make_field,
)
from ..messages.futures import LATE
from .reply import Reply

if TYPE_CHECKING:
    from .rehearsal import Rehearsal
    from .websocket import WebSocketSession  # which loads asyncio

#: name to content, or to (file name, content) or (file name, content, content type)
Files = Mapping[str, bytes | tuple[str, bytes] | tuple[str, bytes, str]]

#: Statuses that name another address; the first three ask for it with GET (RFC 9110 §15.4).
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 20
_LIMITS = Limits(request_line=1 << 20, head=1 << 20, fields=1000, body=1 << 40)
#: The port that requests come from: the first of those that no service owns (RFC 6335 §6).
_PORT = 49152


class Client:
    """Asks an application as a browser would: cookies are kept, and redirects followed if that is wanted.

    Args:
        application: an `App`, or any callable from `Request` to `Response` or to a future of one.
        base: scheme, host and port that requests are sent to.
        headers: sent with every request that does not set them itself.
        address: the IP address that the application sees.
        follow: whether to follow redirects, unless a request says otherwise.
        patience: seconds to wait for a future, or for the rest of a body that a thread produces.
    """

    def __init__(self, application: Application, *, base: str = "http://localhost",
                 headers: HeaderSource = (), address: str = "127.0.0.1", follow: bool = False,
                 patience: float = 30) -> None:
        self.application = application
        self._contract = Contract(application)
        self.base = base
        self.headers = Headers(headers)
        self.address = address
        self.follow = follow
        self.patience = patience
        #: the cookies that were set, as the standard library keeps them
        self.cookies = http.cookiejar.CookieJar()
        self._writer = RequestEncoder(_LIMITS)
        self._rehearsal: Rehearsal | None = None  # for an application with coroutines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End what the application has running: the worker threads of an `App`, and its tasks."""
        if self._rehearsal is not None:
            self._rehearsal.close()
            self._rehearsal = None
        self._contract.close()

    def get(self, url: str, **options: Any) -> Reply:
        """`request` with GET."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> Reply:
        """`request` with HEAD."""
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Any) -> Reply:
        """`request` with OPTIONS."""
        return self.request("OPTIONS", url, **options)

    def post(self, url: str, **options: Any) -> Reply:
        """`request` with POST."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Reply:
        """`request` with PUT."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Reply:
        """`request` with PATCH."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Reply:
        """`request` with DELETE."""
        return self.request("DELETE", url, **options)

    def request(self, method: str, url: str, *, query: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
                headers: HeaderSource = (), body: str | bytes = b"", json: Any = None,
                form: Mapping[str, Any] | None = None, files: Files | None = None,
                follow: bool | None = None) -> Reply:
        """Send a request and return what is answered.

        Args:
            url: a path, or a whole URL for another host.
            query: parameters to put behind the path; a value may be a list of several.
            body: content as it is; text goes as UTF-8.
            json: content as JSON.
            form: the fields of a form, urlencoded, or multipart if there are `files`.
            follow: whether to follow redirects; None for what the client was made with.

        Raises:
            ValueError: no server would take this request.
            RuntimeError: the application's answer cannot be sent, or switches protocols; or redirects have no end.
            TimeoutError: the answer, or the rest of its body, is not there after `patience` seconds.
        """
        content, content_type = _content(body, json, form, files)
        fields = [*([("Content-Type", content_type)] if content_type else []), *self.headers.pairs()]
        own = Headers(headers)
        fields = [pair for pair in fields if pair[0].lower() not in own] + own.pairs()
        url = urljoin(self.base + "/", url)
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query, doseq=True)
        history: list[Reply] = []
        while True:
            reply = self._ask(method, url, fields, content)
            reply.history = history.copy()
            if not (self.follow if follow is None else follow) or reply.status not in _REDIRECTS \
                    or "location" not in reply.headers:
                return reply
            history.append(reply)
            if len(history) > _MAX_REDIRECTS:
                raise RuntimeError(f"more than {_MAX_REDIRECTS} redirects, the last one to {url}")
            url = urljoin(url, reply.headers["location"])
            if reply.status <= 303 and method != "HEAD":
                method, content = "GET", b""
                fields = [pair for pair in fields if not pair[0].lower().startswith("content-")]

    def websocket(self, url: str, *, headers: HeaderSource = (), subprotocols: Iterable[str] = (),
                  query: Mapping[str, Any] | Sequence[tuple[str, Any]] = ()) -> WebSocketSession:
        """Open a WebSocket, for a `with` statement: it is closed at the end of the block. Needs the extra `websocket`.

            with client.websocket("/chat/a") as ws:
                ws.send("hello")
                assert ws.receive() == "hello"

        Args:
            url: a path, or a whole URL for another host.
            headers: such as `Origin`.
            subprotocols: offered, in order of preference.
            query: as in `request`.

        Raises:
            WebSocketRefused: at the beginning of the block; it has the `reply`.
        """
        offered = [("Sec-WebSocket-Protocol", ", ".join(subprotocols))] if subprotocols else []
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                  ("Sec-WebSocket-Key", key), *offered]
        url = urljoin(self.base + "/", url)
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query, doseq=True)
        own = [*Headers(headers).pairs(), *self.headers.pairs()]
        head, request, _ = self._make_request("GET", url, [*fields, *own], b"")
        from .websocket import WebSocketSession
        refusal = partial(_refusal, head, url, self.patience)
        return WebSocketSession(self._contract.answer, request, refusal, self.patience)

    def _ask(self, method: str, url: str, fields: list[tuple[str, str]], content: bytes) -> Reply:
        head, request, asked = self._make_request(method, url, fields, content)
        answer = self._answer(request)
        reply = _read_reply(_encode(head, answer, self.patience), method, url)
        self.cookies.extract_cookies(_CookieSource(reply.headers), asked)  # type: ignore[arg-type]
        return reply

    def _make_request(self, method: str, url: str, fields: list[tuple[str, str]],
                      content: bytes) -> tuple[RequestHead, Request, urllib.request.Request]:
        """Return the request as the server reads it, and as the standard library's cookies want it."""
        parts = urlsplit(url)
        target = "*" if parts.path == "/*" and method == "OPTIONS" else (parts.path or "/")
        target += f"?{parts.query}" if parts.query else ""
        if not any(name.lower() == "host" for name, _ in fields):
            fields = [("Host", parts.netloc), *fields]
        asked = urllib.request.Request(f"{parts.scheme}://{parts.netloc}{parts.path or '/'}")
        self.cookies.add_cookie_header(asked)
        cookies = asked.get_header("Cookie")
        if cookies and not any(name.lower() == "cookie" for name, _ in fields):
            fields = [*fields, ("Cookie", cookies)]
        head, body = _read_request(self._writer.encode(method, target, fields, content))
        port = _PORT if self.address else 0
        peer = Peer(self.address, port, Origin((parts.hostname or "", parts.port or 0), parts.scheme))
        return head, self._contract.request_class(head, body, peer), asked

    def _answer(self, request: Request) -> Response:
        try:
            answer = self._ask_application(request)
        except HTTPError as error:
            return error.response()
        if not isinstance(answer, Response):
            raise TypeError(f"an application returns a Response, not {type(answer).__name__}")
        if isinstance(answer, Upgrade):
            answer.close()
            raise RuntimeError("this client cannot switch protocols, except by `websocket`: ask a server")
        return answer

    def _ask_application(self, request: Request) -> object:
        if getattr(self.application, "needs_loop", False):
            if self._rehearsal is None:
                from .rehearsal import Rehearsal
                self._rehearsal = Rehearsal(self.patience)
            answer, content = self._rehearsal.run(partial(self._contract.answer, request))
            if content is not None:
                answer.close()
                answer.body = iter([content])
            return answer
        answer = self._contract.answer(request)
        return answer.result(self.patience) if isinstance(answer, LATE) else answer


class _CookieSource:
    """A reply as the standard library's cookies want it."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for name, value in headers.pairs():
            self._message[name] = value

    def info(self) -> Message:
        return self._message


def _refusal(head: RequestHead, url: str, patience: float, response: Response) -> Reply:
    return _read_reply(_encode(head, response, patience), head.method, url)


def _read_request(raw: bytes) -> tuple[RequestHead, bytes]:
    parser = RequestParser(_LIMITS)
    parser.feed(raw)
    head = parser.next_event()
    assert isinstance(head, RequestHead)  # the encoder has read it back already
    return head, parser.take_body() or b""


def _encode(head: RequestHead, response: Response, patience: float) -> bytes:
    """Return the response as it would go on the wire.

    Raises:
        RuntimeError: it cannot be sent.
    """
    encoder = ResponseEncoder("")
    try:
        if isinstance(response.body, bytes):
            return encoder.encode(response, head, True)[0]
        length = response.body.length if isinstance(response.body, FileBody) else None
        raw, framing, _ = encoder.start(response, head, length, True)
        if framing is None:
            return raw
        return b"".join([raw, *map(framing.encode, _pieces(response, patience)), framing.finish()])
    finally:
        response.close()


def _pieces(response: Response, patience: float) -> Iterable[bytes]:
    body = response.body
    if isinstance(body, bytes):
        return [body]
    if isinstance(body, FileBody):
        return FilePieces(body)
    return read_pipe(body, patience) if isinstance(body, Pipe) else body


def read_pipe(pipe: Pipe, patience: float) -> Iterator[bytes]:
    """Read a pipe to its end; one with a heartbeat, which has no natural end, as far as it has been written.

    Raises:
        TimeoutError: there is no end after so many seconds.
        BaseException: the error that the writer ended with.
    """
    changed = threading.Event()
    pipe.on_readable = changed.set
    deadline = time.monotonic() + patience
    while True:
        changed.clear()
        data = pipe.read()
        if data:
            yield data
        elif pipe.finished or pipe.heartbeat:
            return
        elif not changed.wait(deadline - time.monotonic()):
            raise TimeoutError(f"the body has no end after {patience} seconds")


def _read_reply(raw: bytes, method: str, url: str) -> Reply:
    parser = ResponseParser()
    parser.expect(method)
    parser.feed(raw)
    parser.feed_eof()
    head = parser.next_event()
    assert isinstance(head, ResponseHead)  # of our own encoder
    pieces = []
    while isinstance(event := parser.next_event(), BodyData):
        pieces.append(event.data)
    assert isinstance(event, EndOfMessage)
    return Reply(head, b"".join(pieces), event.trailers, url)


def _content(body: str | bytes, json_value: Any, form: Mapping[str, Any] | None,
             files: Files | None) -> tuple[bytes, str]:
    """The content of a request, and its type if the way of giving it says one.

    Raises:
        ValueError: it is given in several ways.
    """
    if sum([bool(body), json_value is not None, form is not None or files is not None]) > 1:
        raise ValueError("a request has one content: body, json, or form and files")
    if json_value is not None:
        return json.dumps(json_value).encode(), "application/json"
    if files is not None:
        return _multipart(form or {}, files)
    if form is not None:
        return urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    return body.encode() if isinstance(body, str) else body, ""


def _multipart(form: Mapping[str, Any], files: Files) -> tuple[bytes, str]:
    """A form with files (RFC 7578)."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, value in form.items():
        parts += [_part(boundary, name, one if isinstance(one, bytes) else str(one).encode())
                  for one in (value if isinstance(value, list | tuple) else [value])]
    for name, file in files.items():
        filename, content, *kind = (name, file) if isinstance(file, bytes) else file
        parts.append(_part(boundary, name, content, filename, kind[0] if kind else "application/octet-stream"))
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, name: str, content: bytes, filename: str | None = None, content_type: str = "") -> bytes:
    disposition = f'form-data; name="{_quoted(name)}"'
    if filename is not None:
        disposition += f'; filename="{_quoted(filename)}"'
    lines = [f"--{boundary}", f"Content-Disposition: {disposition}"]
    if content_type:
        lines.append(f"Content-Type: {make_field('Content-Type', content_type)[1][1]}")
    return "\r\n".join([*lines, "", ""]).encode() + content + b"\r\n"


def _quoted(text: str) -> str:
    """As browsers write names of fields and files (the HTML standard, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
