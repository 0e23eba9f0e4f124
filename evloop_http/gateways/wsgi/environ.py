"""What a WSGI application is told of a request: the `environ` of PEP 3333.

*Bytes in the clothes of text.* Every value is a `str` whose characters are bytes (PEP 3333, "Unicode Issues"). A path
is unquoted to bytes and read as Latin-1, whatever its encoding; the application decodes it again. So it is made of the
target as it was sent where that is not UTF-8: `request.path` has lost those bytes.

*Which names are dropped.* `X-User` and `X_User` are one variable. A proxy that removes the first one from what its
clients send does not think of the second (CVE-2015-0219), so a field with `_` in its name is dropped. `Proxy` would be
`HTTP_PROXY`, by which programs find the proxy of their own requests (httpoxy).

*A template for each head.* Clients repeat their heads, and the parser hands out the same `RequestHead` for each of
them, so what follows from the head is worked out once and copied. The number of templates is bounded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from logging import getLogger
from typing import Any
from urllib.parse import unquote_to_bytes

from ...messages import Origin, Request, RequestHead

Environ = dict[str, Any]

logger = getLogger("evloop_http.wsgi")

#: Templates that are kept, and the characters of the longest: those of browsers have about 1,500.
_KEPT = 512
_LONGEST = 4096
#: Names of fields whose variables are kept, and the characters of the longest.
_KEPT_NAMES = 1024
_LONGEST_NAME = 128


class ErrorLog:
    """`wsgi.errors`: a text stream whose lines go to the logger `evloop_http.wsgi`, as errors.

    One serves all requests. What a thread has written of a line waits for its end, or for a `flush`.

    A program may send what is logged to `wsgi.errors`, Flask's documentation shows how; that would be a circle. So what
    is written while a line is being logged goes to `sys.stderr`.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        #: of lines that have no end yet, by thread
        self.partial: dict[int, str] = {}
        self._logging: set[int] = set()

    def write(self, text: str) -> int:
        """Log the lines that this ends."""
        if not isinstance(text, str):
            raise TypeError(f"what is written to wsgi.errors is text, not {type(text).__name__}")
        whole, newline, rest = text.rpartition("\n")
        thread = threading.get_ident()
        if newline:
            self._log(self.partial.pop(thread, "") + whole)
        if rest:
            self.partial[thread] = self.partial.get(thread, "") + rest
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log several lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log what the calling thread has written of a line."""
        rest = self.partial.pop(threading.get_ident(), "")
        if rest:
            self._log(rest)

    def _log(self, text: str) -> None:
        thread = threading.get_ident()
        if thread in self._logging:
            import sys
            print(text, file=sys.stderr)
            return
        self._logging.add(thread)
        try:
            logger.error("%s", text)
        finally:
            self._logging.discard(thread)


ERRORS = ErrorLog()


class _Names(dict[str, str]):
    """Variables by the names of fields in lower case; empty for those that are dropped."""

    def __missing__(self, lower: str) -> str:
        name = _variable(lower)
        if len(lower) <= _LONGEST_NAME:
            if len(self) >= _KEPT_NAMES:
                self.clear()
            self[lower] = name
        return name


def _variable(lower: str) -> str:
    if lower == "content-type":
        return "CONTENT_TYPE"
    # Content-Length is said elsewhere.
    is_dropped = "_" in lower or lower == "proxy" or lower == "content-length"
    return "" if is_dropped else f"HTTP_{lower.upper().replace('-', '_')}"


_VARIABLES = _Names()


class Environs:
    """Makes the environ of requests.

    Args:
        script_name: where the site of the application begins, for its own URLs; a path that begins with it is cut.
        extra: variables that are the same for all requests.

    Raises:
        ValueError: the script name is neither empty nor a path that begins with a slash and does not end with one.
    """

    def __init__(self, script_name: str, extra: Environ) -> None:
        if script_name and (script_name[0] != "/" or script_name[-1] == "/"):
            raise ValueError(f"script_name is empty, or begins with a slash and does not end with one: {script_name!r}")
        self._script_name = script_name.encode().decode("latin-1")
        self._extra = {"wsgi.version": (1, 0), "wsgi.errors": ERRORS, "wsgi.run_once": False,
                       "wsgi.input_terminated": True, "SERVER_SOFTWARE": "evloop_http", **extra}
        self._templates: dict[tuple[RequestHead, Origin, str], Environ] = {}

    def make(self, request: Request) -> Environ:
        """Return a new environ for a request; `wsgi.input` is still missing."""
        head, peer = request.head, request.peer
        key = head, peer.origin, request.path
        template = self._templates.get(key)
        if template is None:
            template = self._make_template(*key)
        environ = template.copy()
        environ["REMOTE_ADDR"] = peer.address
        if peer.port:  # there is none over a Unix socket
            environ["REMOTE_PORT"] = str(peer.port)
        if head.content_length is None and request.incoming is None:  # the chunks have been joined
            environ["CONTENT_LENGTH"] = str(len(request.body))
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        if "HTTPS" in environ and (tls := peer.tls) is not None:
            environ["SSL_PROTOCOL"] = tls.version
            environ["SSL_CIPHER"] = tls.cipher
        return environ

    def _make_template(self, head: RequestHead, origin: Origin, path: str) -> Environ:
        variables = _VARIABLES
        template: Environ = {variable: value for lower, (_, value) in head.headers.index.items()
                             if (variable := variables[lower])}
        is_short = sum([len(name) + len(value) for name, value in template.items()]) + len(head.target) <= _LONGEST
        template.update(self._extra)
        template["REQUEST_METHOD"] = head.method
        template["SCRIPT_NAME"], template["PATH_INFO"] = self._paths(head, path)
        template["QUERY_STRING"] = head.query_string
        template["REQUEST_URI"] = template["RAW_URI"] = head.target
        template["SERVER_PROTOCOL"] = f"HTTP/{head.version}"
        template["SERVER_NAME"], template["SERVER_PORT"] = _server(origin)
        template["wsgi.url_scheme"] = origin.scheme
        if head.content_length:
            template["CONTENT_LENGTH"] = str(head.content_length)
        if origin.scheme == "https":
            template["HTTPS"] = "on"
        if is_short:
            if len(self._templates) >= _KEPT:
                self._templates.clear()
            self._templates[head, origin, path] = template
        return template

    def _paths(self, head: RequestHead, path: str) -> tuple[str, str]:
        """Return SCRIPT_NAME and PATH_INFO.

        Args:
            path: what a mount has left of the path; "/" if nothing.
        """
        raw = _raw_path(head)
        if path == head.path:
            script, info = b"", raw
        elif path == "/" or head.path.endswith(path):  # of "/shop", a mount there leaves "/", which was not sent
            script = head.path.removesuffix(path).encode()
            info = raw[len(script):] if raw.startswith(script) else path.encode()
        else:  # a middleware has put another path in its place
            script, info = b"", path.encode("utf-8", "replace")
        below, text = script.decode("latin-1"), info.decode("latin-1")
        name = self._script_name
        if name and not below and (text == name or text.startswith(f"{name}/")):  # a proxy in front has not cut it
            text = text[len(name):]
        return name + below, text


def _raw_path(head: RequestHead) -> bytes:
    """Return the path as bytes, with its percent-encoding undone and nothing else."""
    if "\ufffd" not in head.path:  # it was UTF-8
        return b"" if head.path == "*" else head.path.encode()
    target = head.target.partition("?")[0]
    if not target.startswith("/"):  # a whole URL
        target = "/" + target.partition("://")[2].partition("/")[2]
    return unquote_to_bytes(target)


def _server(origin: Origin) -> tuple[str, str]:
    """Return SERVER_NAME and SERVER_PORT, neither of which may be empty; a Unix socket has none."""
    host, port = origin.address if isinstance(origin.address, tuple) else ("", 0)
    return host or "localhost", str(port or (443 if origin.scheme == "https" else 80))
