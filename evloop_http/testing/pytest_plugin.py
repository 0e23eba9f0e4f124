"""Fixtures for pytest: `serve` serves an application on a free port in a thread, `server` the one of a fixture `app`.

pytest loads this by itself where evloop_http is installed, so it imports nothing else until it is used.

    def test_it_answers(serve):
        server = serve(app)
        with urllib.request.urlopen(f"{server.url}/ping") as answer:
            assert answer.read() == b"pong"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..server import Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """A function that serves an application until the test is over.

    Its first argument is the application, the others are those of `Server`. The server has a free port
    of 127.0.0.1: see its `url`.
    """
    from ..server import Server
    with ExitStack() as running:
        def start(application: Any, **options: Any) -> Server:
            return running.enter_context(Server(application, **options).in_thread())
        yield start


@pytest.fixture
def server(serve: Callable[..., Server], app: Any) -> Server:
    """The application that a fixture of your own, `app`, gives, served until the test is over."""
    return serve(app)
