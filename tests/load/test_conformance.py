"""Other people's tests on what is ours; the long ones are left to `./scripts/conformance`."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import asyncio as cpython
from conformance import django_servers, waitress

ROOT = Path(__file__).resolve().parents[2]


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts/conformance", *arguments], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHON": sys.executable})


@pytest.mark.skipif(not importlib.util.find_spec("test") or not importlib.util.find_spec("test.test_asyncio"),
                    reason="this Python was installed without its own tests")
def test_the_loop_passes_cpython_s_own_tests_of_event_loops() -> None:
    done = conformance("asyncio", "test_events")
    assert done.returncode == 0, done.stdout + done.stderr
    reports = done.stdout.splitlines()[1:]
    assert [line.split()[:4] for line in reports] == [["ok", "test_events", "on", "Loop:"],
                                                      ["ok", "test_events", "on", "TurnedLoop:"]]
    assert all(int(line.partition(" tests")[0].split()[-1]) > 70 for line in reports)


def test_every_test_that_is_left_out_has_a_reason() -> None:
    all_left_out = cpython.DESELECTED, cpython.NOT_TURNED, django_servers.DESELECTED, waitress.DESELECTED
    assert all(reason for left_out in all_left_out for reason in left_out.values())


def test_a_request_of_waitress_tests_gets_a_host_only_where_it_has_none() -> None:
    ours, theirs = socket.socketpair()
    with waitress.WithHost(fileno=ours.detach()) as adding, theirs:
        for request, sent in (
                (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                (b"GET / HTTP/1.1\r\nA: b\r\nHost: c\r\n\r\n", None), (b"GET / HTTP/1.0\r\n\r\n", None)):
            assert adding.send(request) == len(request)
            assert theirs.recv(1000) == (sent or request)


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("__init__",), ("../bench",)])
def test_an_unknown_name_is_answered_with_those_that_there_are(arguments: tuple[str, ...]) -> None:
    done = conformance(*arguments)
    assert done.returncode == 2
    assert "    asyncio\n" in done.stderr


def test_an_unknown_module_is_an_error() -> None:
    done = conformance("asyncio", "test_nothing")
    assert done.returncode == 2
    assert "there is no test_nothing here" in done.stderr
