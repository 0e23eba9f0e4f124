"""waitress' functional tests, run on our WSGI gateway in the place of waitress.

    ./scripts/conformance waitress [-v] [TEST ...]

They start a server in a process of its own and speak to it over sockets, TCP and Unix, with applications of every kind:
wrong lengths, none, `write()`, files, errors. Two things are not compared, because they are waitress' own and no rule:

    the version of the status line: waitress repeats that of the request; ours is always HTTP/1.1 (RFC 9110 §2.5)
    the name in `Server`

What is left out, and why, is in `DESELECTED`.
"""

from __future__ import annotations

import re
import socket
import sys
import unittest
from collections.abc import Iterator
from importlib import import_module
from typing import Any

VERSION = "waitress==3.0.2"

#: Not run, by name, and why.
DESELECTED = {
    **dict.fromkeys(("test_short_body", "test_notfilelike_longcl_http11", "test_filelike_longcl_http11"),
                    "what is shorter than announced is a 500 where the head is not out, and a reset where it is; "
                    "waitress sends what there is, and closes"),
    **dict.fromkeys(("test_after_write_cb", "test_in_generator"),
                    "an error before the first block is a 500; waitress sends the head of the 200, and closes"),
    **dict.fromkeys(("test_before_start_response_http_10", "test_before_start_response_http_11",
                     "test_before_start_response_http_11_close", "test_after_start_response_http10",
                     "test_after_start_response_http11", "test_after_start_response_http11_close",
                     "test_expose_tracebacks_http_10", "test_expose_tracebacks_http_11"),
                    "the words of waitress' error page, which it can fill with a traceback"),
    **dict.fromkeys(("test_broken_chunked_encoding_invalid_extension", "test_broken_chunked_encoding_invalid_hex",
                     "test_broken_chunked_encoding_missing_chunk_end"), "the words of waitress' error page"),
    "test_bad_host_header": "the name in `Server` of an answer that is not the application's",
    **dict.fromkeys(("test_keepalive_http10_explicit", "test_http10_list"),
                    "`Connection: Keep-Alive` has another case; options have none (RFC 9110 §7.6.1)"),
    **dict.fromkeys(("test_http10_listlentwo", "test_http11_listlentwo"),
                    "a list of two blocks is known, so it is announced; waitress does that for one block only"),
    "test_http11_generator": "blocks that are there at the same time are one chunk; waitress makes one of each",
    "test_expect_continue": "no 100 is sent for a body that has arrived (RFC 9110 §10.1.1)",
    "test_request_body_too_large_chunked_encoding": "its chunks have an empty extension, which is malformed: 400",
    "test_proxy_headers": "`X-Forwarded-*`, which the gateway does not read",
}


def start_server(application: Any, fixture: Any, queue: Any, **options: Any) -> None:
    """Serve an application as waitress' options say, and tell where. In a process of its own."""
    import logging
    import os

    from evloop_http import Limits, Server
    from evloop_http.gateways.wsgi import WSGI
    logging.disable()
    limits = Limits(head=options.get("max_request_header_size", Limits().head),
                    body=options.get("max_request_body_size", Limits().body))
    server = Server(WSGI(as_waitress_calls(application), 4), limits=limits, max_stream=limits.body)
    if fixture.family == socket.AF_UNIX:
        server.listen(path=f"/tmp/evloop_http.test-{os.getpid()}.sock")
    else:
        server.listen()
    queue.put(server.addresses[0])
    server.run()


def as_waitress_calls(application: Any) -> Any:
    """Add what waitress tells an application beyond PEP 3333, and what it says of itself."""
    def call(environ: dict[str, Any], start_response: Any) -> Any:
        environ["REMOTE_HOST"] = environ["REMOTE_ADDR"]

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("Server", "waitress")], exc_info)
        return application(environ, start)
    return call


class WithHost(socket.socket):
    """A socket that adds the `Host` which HTTP/1.1 demands where a test leaves it out."""

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it."""
        self.sendall(_LINE.sub(rb"\1Host: localhost\r\n", data), flags)
        return len(data)


#: A request line of HTTP/1.1 and no `Host` behind it.
_LINE = re.compile(rb"([A-Z]+ \S+ HTTP/1\.1\r\n)(?!(?:[^\r\n]+\r\n)*Host:)")


def chosen(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the tests of a suite that are run."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from chosen(test)
        elif test.id().rpartition(".")[2] not in DESELECTED:
            yield test


def run(arguments: list[str]) -> int:
    """Run the tests. In the environment of waitress."""
    test_functional: Any = import_module("tests.test_functional")

    def assertline(self: Any, line: bytes, status: str, reason: str, version: str) -> None:
        got_version, got_status, got_reason = line.decode("latin-1").strip().split(None, 2)
        assert (got_version, got_status, got_reason) == ("HTTP/1.1", status, reason)
    test_functional.start_server = start_server
    test_functional.SubprocessTests.assertline = assertline
    test_functional.SubprocessTests.create_socket = lambda self: WithHost(self.server.family, socket.SOCK_STREAM)
    names = [argument for argument in arguments if not argument.startswith("-")]
    load = unittest.defaultTestLoader
    suite = load.loadTestsFromNames(names, test_functional) if names else load.loadTestsFromModule(test_functional)
    tests = unittest.TestSuite(chosen(suite))
    result = unittest.TextTestRunner(verbosity=2 if "-v" in arguments else 1).run(tests)
    print(f"{result.testsRun} tests, {len(result.failures) + len(result.errors)} failed; "
          f"{len(DESELECTED)} left out by name")
    return 0 if result.wasSuccessful() else 1


def main() -> int:
    """Fetch what is needed, and run the tests there."""
    if "--inside" in sys.argv:
        return run([argument for argument in sys.argv[1:] if argument != "--inside"])
    from ._fetching import environment, run_inside, sources
    python = environment("waitress", VERSION)
    return run_inside(python, "waitress", sources(python, VERSION), arguments=sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
