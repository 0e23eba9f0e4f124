"""What an ASGI application does wrong costs one response, and nothing else."""

from __future__ import annotations

import os
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from evloop_http import Server
from evloop_http.gateways.asgi import ASGI
from evloop_http.gateways.asgi.files import zero_copied


def test_an_application_that_raises_generator_exit_does_not_end_the_loop() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise GeneratorExit

    server = Server(ASGI(application, lifespan="off"))
    server.listen("127.0.0.1", 0)
    with server.in_thread():
        for _ in range(2):
            connection = HTTPConnection(server.urls[0].split("/")[2], timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().status == 500
            connection.close()


def test_a_directory_is_no_file_to_send(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="regular"):
            zero_copied({"file": descriptor})
    finally:
        os.close(descriptor)
