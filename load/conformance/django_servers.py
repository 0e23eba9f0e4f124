"""Django's tests of its live server, run on our WSGI gateway in the place of Django's own server.

    ./scripts/conformance django_servers [-v 2] [servers.tests.TEST ...]

`tests/servers` of Django's source: requests over sockets, static files, keep-alive, databases that threads share, and
the end of it all. What is left out, and why, is in `DESELECTED`.
"""

from __future__ import annotations

import runpy
import sys
import threading
import unittest
from pathlib import Path
from typing import Any

VERSION = "Django==5.2.8"

#: Those that have a live server. The third one is of Django's own server.
MODULES = ["servers.tests", "servers.test_liveserverthread"]
#: Not run, by name, and why.
DESELECTED = {
    "test_server_class": "that `server_class` is used, by the method whose place we take",
    "test_closes_connection_without_content_length":
        "Django's server closes behind a streamed response; ours sends chunks and keeps the connection",
    "test_keep_alive_on_connection_with_content_length":
        "keeps a connection of which the client has said `Connection: close` (RFC 9112 §9.6)",
    "test_keep_alive_connection_clears_previous_request_data": "likewise",
}


class LiveServer:
    """Our server, with the methods that Django's live server has."""

    def __init__(self, address: tuple[str, int], connections: dict[str, Any] | None) -> None:
        from evloop_http import Server
        from evloop_http.gateways.wsgi import WSGI
        self._application: Any = None
        self._connections = connections or {}
        # Django ignores a body without CONTENT_LENGTH, so chunks are gathered.
        self._server = Server(WSGI(self._answer, gathered=None))
        self._server.listen(*address)
        self._ending, self._ended = threading.Event(), threading.Event()
        self.server_address = self._server.addresses[0]

    def _answer(self, environ: Any, start_response: Any) -> Any:
        from django.db import connections  # type: ignore[import-not-found]
        for alias, connection in self._connections.items():
            connections[alias] = connection
        return self._application(environ, start_response)

    def set_app(self, application: Any) -> None:
        """Serve this application."""
        self._application = application

    def serve_forever(self) -> None:
        """Serve until `shutdown`."""
        with self._server.in_thread():  # `run` minds signals, which only the main thread may
            self._ending.wait()
        self._ended.set()

    def shutdown(self) -> None:
        """End, from another thread."""
        self._ending.set()
        self._ended.wait()

    def server_close(self) -> None:
        """Close."""
        self._server.close()


def create_server(self: Any, connections_override: dict[str, Any] | None = None) -> LiveServer:
    """Make the server of a live test, in the place of `LiveServerThread._create_server`."""
    return LiveServer((self.host, self.port), connections_override)


def run(arguments: list[str]) -> int:
    """Run the tests. In the environment of Django."""
    from django.test import testcases  # type: ignore[import-not-found]
    testcases.LiveServerThread._create_server = create_server
    load = unittest.TestLoader.getTestCaseNames

    def names(self: unittest.TestLoader, case: type[unittest.TestCase]) -> list[str]:
        return [name for name in load(self, case) if name not in DESELECTED]
    unittest.TestLoader.getTestCaseNames = names  # type: ignore[method-assign,assignment]
    labels = [] if any("." in argument for argument in arguments) else MODULES
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
    return run_inside(python, "django_servers", tests, arguments=sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
