"""Chaos: a server lives through it, and what it would do wrong would be found.

The seed of the long run is fixed, so each run has the same clients. To live one life of it again:
`./scripts/load chaos --seed 20 --life NUMBER`.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import sys
from pathlib import Path
from random import Random

import pytest

from chaos import __main__ as program
from chaos import client as clients
from chaos import lives, wires
from chaos.application import Meant, content
from chaos.asking import ASKS, UPLOADS, Ask, ask_breaking, ask_never, choose, expecting, last, make
from chaos.client import Client, Ports, Talk
from chaos.judging import Answer, Inbox, is_refusal, judge, read_answer
from chaos.levels import Served, risen
from chaos.lives import LIVES
from chaos.running import Chaos, Outcome, up_to
from chaos.serving import is_meant
from evloop_http.http1 import HeadParser, RequestParser
from evloop_http.messages import RequestHead

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads levels from /proc")

#: About twenty seconds of chaos, where nothing else is running.
LIVES_LIVED = 2400
SEED = 20


@needs_proc
def test_a_server_answers_in_chaos_and_is_as_before_when_it_is_over(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the 'cert' extra is not installed")
    with Served(tmp_path) as served:
        chaos = Chaos(served, SEED, clients=16)
        chaos.round(up_to(LIVES_LIVED // 2))
        chaos.round(up_to(LIVES_LIVED))
        outcome = chaos.conclude()
    assert outcome.faults == []
    assert outcome.lives.total() == LIVES_LIVED
    assert outcome.lives.keys() == {life.__name__ for life in LIVES}
    assert outcome.answers > LIVES_LIVED


@needs_proc
def test_one_life_can_be_lived_again(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography", reason="the 'cert' extra is not installed")
    assert program.main(["--seed", "20", "--life", "7"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Chaos with the seed 20")
    assert said[-1].startswith("PASSED  1 lives")


@pytest.mark.parametrize("arguments", [["--time", "soon"], ["--time", "0s"], ["--life", "first"]])
def test_a_wrong_option_is_an_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(arguments)
    assert caught.value.code == 2


# -- what clients do


def client(seed: int = 1, number: int = 1, ports: Ports = Ports(0, 0)) -> Client:  # noqa: B008
    return Client(ports, ssl.create_default_context(), seed, number)


def test_seed_and_number_decide_what_a_client_asks() -> None:
    assert client(1, 2).asks(20, 20) == client(1, 2).asks(20, 20)
    assert client(1, 2).asks(20, 20) != client(1, 3).asks(20, 20)
    assert client(1, 2).asks(20, 20) != client(2, 2).asks(20, 20)


def test_every_request_is_one_that_our_parser_takes_whole() -> None:
    random = Random(1)
    heads = HeadParser()
    made = [kind(random, "1.2") for kind in (*ASKS, ask_breaking, ask_never)]
    made += [change(choose(random, UPLOADS, "1.2")) for change in (last, expecting)]
    for ask in made:
        parser = RequestParser(heads)
        parser.feed(ask.data)
        events = [parser.next_event()]
        while parser.has_pending():
            events.append(parser.next_event())
        head = events[0]
        assert isinstance(head, RequestHead)
        assert (head.method, head.target, head.headers["x-nonce"]) == (ask.method, ask.path, "1.2")
        assert ask.data[:ask.head_size].endswith(b"\r\n\r\n")


# -- whether an answer is the one


ASK = make("1.2", "GET", "/bytes?n=100", answer=content("1.2", 100))
RIGHT = Answer(200, "1.2", content("1.2", 100), whole=True, closing=False)


def test_the_content_of_a_nonce_is_no_other_s() -> None:
    assert len(content("1.2", 100)) == 100
    assert content("1.2", 100) != content("1.3", 100)


@pytest.mark.parametrize(("ask", "answer", "fault"), [
    (ASK, RIGHT, ""),
    (ASK, RIGHT._replace(nonce="1.3"), "was answered 200 with the nonce '1.3'"),
    (ASK, RIGHT._replace(status=404), "was answered 404, not 200"),
    (ASK, RIGHT._replace(content=content("1.3", 100)), "has 100 bytes of content, which are not its 100"),
    (ASK, RIGHT._replace(content=b""), "has 0 bytes of content, which are not its 100"),
    (ASK, RIGHT._replace(content=content("1.2", 10), whole=False), ""),
    (ASK, RIGHT._replace(content=content("1.3", 10), whole=False), "has a content that is not its own"),
    (ASK._replace(breaks=True), RIGHT, "is whole, although its handler failed in the middle"),
    (ASK._replace(statuses=frozenset({200, 503})), RIGHT._replace(status=503, content=b"busy"), ""),
])
def test_an_answer_is_judged(ask: Ask, answer: Answer, fault: str) -> None:
    assert judge(ask, answer) == fault


@pytest.mark.parametrize(("answer", "refused"), [
    (Answer(400, "", b"no", whole=True, closing=True), True),
    (Answer(400, "1.2", b"no", whole=True, closing=True), False),
    (Answer(400, "", b"no", whole=True, closing=False), False),
    (Answer(200, "", b"no", whole=True, closing=True), False),
])
def test_only_the_server_refuses_without_a_nonce_and_for_the_last_time(answer: Answer, refused: bool) -> None:
    assert is_refusal(answer) is refused


class Said(wires.Wire):
    """A wire on which this has arrived, and nothing else does."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def receive(self, size: int) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data


def received(data: bytes) -> Inbox:
    return Talk(Said(data)).inbox


def test_answers_are_read_one_by_one_as_far_as_they_go() -> None:
    inbox = received(b"HTTP/1.1 200 OK\r\nX-Nonce: 1\r\nContent-Length: 2\r\n\r\nab"
                     b"HTTP/1.1 200 OK\r\nX-Nonce: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert read_answer(inbox, "GET") == Answer(200, "1", b"ab", whole=True, closing=False)
    assert read_answer(inbox, "GET") == Answer(200, "2", b"abc", whole=False, closing=False)
    assert read_answer(inbox, "GET") == ""
    assert str(read_answer(received(b"nonsense\r\n"), "GET")).startswith("the answer is not HTTP")


# -- faults of servers are found


def faults_in(said: str, count: int = 2) -> list[str]:
    """Return what a client finds that has sent so many requests at once and is told this."""
    one = client()
    asks = [make(f"1.{number}", "GET", f"/{number}") for number in range(count)]
    data = re.sub(r"<([\d.]*)( close)?>", answer_of, said).encode()
    one.take_all(Talk(Said(data)), asks)
    return one.faults


def answer_of(match: re.Match[str]) -> str:
    """Return an answer with this nonce; one without is a refusal."""
    status = "200 OK" if match[1] else "408 Request Timeout"
    lines = [f"HTTP/1.1 {status}", f"X-Nonce: {match[1]}", "Content-Length: 2"]
    return "\r\n".join([*lines, *(["Connection: close"] if match[2] else []), "", "ab"])


@pytest.mark.parametrize(("said", "faults"), [
    ("<1.0><1.1>", []),
    ("<1.0><1.1 close>", []),
    ("<1.1><1.0>", ["GET /0 was answered 200 with the nonce '1.1'"]),
    ("<1.0>", ["GET /1 was not answered"]),
    ("<1.0>HTTP/1.1 200 OK\r\nX-Nonce: 1.1\r\nContent-Length: 9\r\n\r\nab", ["GET /1 ends after 2 bytes of content"]),
    ("<1.0>ab", ["GET /1 the answer is not HTTP: BadStatusLine('ab')"]),
    ("<1.0 close>", ["GET /0 is answered for the last time, and nobody knows why"]),
    ("<1.0>< close>", ["GET /1 was refused with 408"]),
    ("<1.0><>", ["GET /1 was answered 408 with the nonce ''"]),
])
def test_what_is_wrong_with_answers_is_found(said: str, faults: list[str]) -> None:
    assert faults_in(said) == faults


def test_a_client_that_was_slower_than_a_deadline_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SHORTEST", 0)
    assert faults_in("<1.0>< close>") == []
    assert faults_in("<1.0><1.0>") == ["GET /1 was answered 200 with the nonce '1.0'"]


def test_a_server_that_does_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "PATIENCE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = client(ports=Ports(silent.getsockname()[1], silent.getsockname()[1]))
        assert one.live({lives.ask_and_half_close: 1}) == "ask_and_half_close"
    assert one.faults == ["the server neither read nor wrote nor closed for 0.01 s"]


def test_a_level_that_has_risen_is_found_but_not_how_much_an_allocator_keeps() -> None:
    base = {"timers": 1, "threads": 9, "memory": 100}
    assert risen(base, {"timers": 1, "threads": 8, "memory": 200}) == []
    assert risen(base, {"timers": 2, "threads": 9, "objects": 1}) == ["timers: 2, and 1 before",
                                                                       "objects: 1, and 0 before"]


def test_memory_that_grows_from_the_first_round_to_the_last_is_found() -> None:
    outcome = Outcome(rests=[{"memory": 50_000_000, "blocks": 90_000}, {"memory": 99_000_000, "blocks": 91_000}])
    outcome.judge_memory()
    assert outcome.faults == ["memory: 99000000 after the last round, and 50000000 after the first"]


def test_a_run_whose_clients_were_too_slow_to_prove_anything_fails() -> None:
    outcome = Outcome(excused=30)
    outcome.lives["ask_at_once"] = 100
    outcome.judge_proof()
    assert outcome.faults


@pytest.mark.parametrize(("path", "logger", "raises", "meant"), [
    ("/raised", "evloop_http.app", True, True),
    ("/broken?n=10", "evloop_http.server", True, True),
    ("/bytes?n=10", "evloop_http.app", True, False),
    ("/raised", "evloop_http.app", False, False),
    ("/raised", "asyncio", True, False),
])
def test_the_log_may_contain_only_what_handlers_raise_on_purpose(path: str, logger: str, raises: bool,
                                                                 meant: bool) -> None:
    try:
        raise Meant
    except Meant:
        failure = sys.exc_info()
    record = logging.LogRecord(logger, logging.ERROR, "", 0, "%s: the handler failed", (f"GET {path} HTTP/1.1",),
                               failure if raises else None)
    assert is_meant(record) is meant
