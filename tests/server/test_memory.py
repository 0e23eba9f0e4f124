"""What all connections together hold in memory, and who gives way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evloop_http.http1 import Limits
from evloop_http.messages import Response
from evloop_http.server.memory import Memory
from fakes import PLENTY, FakeNet, Later, Peer, always, echo, fake_nets, get, post

Serve = Callable[..., FakeNet]
#: Bytes that all together may hold here.
LIMIT = 10_000


@pytest.fixture
def serve() -> Iterator[Serve]:
    with fake_nets() as make:
        yield lambda *args, **options: make(*args, limits=Limits(gathered=LIMIT), **options)


def begin(net: FakeNet, arrived: int, announced: int = 6000) -> Peer:
    """Return a client that has sent so much of a body."""
    peer = net.connect()
    request = post(bytes(announced))
    peer.send(request[:len(request) - announced])
    peer.send(bytes(arrived))
    return peer


class Gatherer:
    def __init__(self) -> None:
        self.gave_way = 0

    def give_way(self) -> None:
        self.gave_way += 1


def test_whoever_began_last_gives_way_first_and_counts_no_longer() -> None:
    memory = Memory(100)
    first, second, third = (Gatherer() for _ in range(3))
    for each, size in [(first, 40), (second, 10), (third, 30)]:
        memory.gather(each, size)
    memory.gather(first, 25)
    assert [each.gave_way for each in (first, second, third)] == [0, 0, 1]
    assert memory.held == 75
    memory.gather(first, 30)
    assert [each.gave_way for each in (first, second, third)] == [0, 1, 1]
    memory.gather(first, 6)
    assert first.gave_way == 1
    assert memory.held == 0


def test_who_is_at_work_gives_way_no_longer_and_counts_until_the_end() -> None:
    memory = Memory(100)
    first, second = Gatherer(), Gatherer()
    memory.gather(first, 90)
    held = memory.settle(first)
    memory.gather(second, 20)
    assert (first.gave_way, second.gave_way, memory.held) == (0, 1, 90)
    memory.release(held)
    assert memory.held == 0


def test_the_newest_upload_is_refused_when_all_together_are_too_much(serve: Serve) -> None:
    net = serve(echo)
    first, second, third = begin(net, 5000), begin(net, 4000), begin(net, 900)
    assert net.shared.memory.held == 9900
    first.send(bytes(200))
    assert (first.state(), second.state()) == ("reading-body", "reading-body")
    refusal = third.answers()[0]
    assert (refusal.status, refusal.headers["Retry-After"], refusal.headers["Connection"]) == (503, "5", "close")
    assert net.shared.memory.held == 9200
    first.send(bytes(800))
    assert first.answers()[0].status == 200
    second.send(bytes(2000))
    assert second.answers()[0].status == 200
    assert net.shared.memory.held == 0


def test_a_body_that_alone_would_be_too_much_is_refused_while_it_arrives(serve: Serve) -> None:
    peer = begin(serve(echo), 9_999, announced=20_000)
    assert peer.state() == "reading-body"
    peer.send(b"xx")
    assert peer.answers()[0].status == 503


def test_no_body_is_begun_while_there_is_no_room(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    full = net.connect()
    full.send(post(bytes(LIMIT)))
    assert full.state() == "handling"
    for field in ("X: y", "Expect: 100-continue"):  # and no 100 before the refusal
        peer = net.connect()
        peer.send(post(bytes(10), field)[:-10])
        assert [answer.status for answer in peer.answers()] == [503]
    later.answer()
    net.settle()
    assert begin(net, 10).state() == "reading-body"


def test_bodies_count_until_they_have_been_answered(serve: Serve) -> None:
    later = Later()
    net = serve(later)
    gathered = begin(net, 6000)
    at_once = net.connect()
    at_once.send(post(bytes(3000)))  # with its head, in one piece
    assert net.shared.memory.held == 9000
    later.answer(0)
    later.answer(1)
    net.settle()
    assert (gathered.state(), at_once.state(), net.shared.memory.held) == ("idle", "idle", 0)


def test_answers_that_wait_for_their_clients_count(serve: Serve) -> None:
    net = serve(always(Response(bytes(8000))))
    reader = net.connect(room=100)
    reader.send(get("/"))
    assert 7900 < net.shared.memory.held < 8200
    upload = begin(net, 3000)
    assert upload.answers()[0].status == 503
    reader.take(PLENTY)
    assert net.shared.memory.held == 0


def test_an_upload_that_is_complete_before_it_gives_way_is_answered(serve: Serve) -> None:
    """Who gives way learns of it in the next turn."""
    net = serve(echo)
    first, second = begin(net, 5000), begin(net, 4000)
    second.sock.inbox.append(bytes(2000))
    first.sock.inbox.append(bytes(1000))
    net.settle()
    statuses = {first.answers()[0].status, second.answers()[0].status}
    assert 200 in statuses
    assert net.shared.memory.held == 0


@pytest.mark.parametrize("end", ["end", "reset"])
def test_a_client_that_leaves_gives_its_memory_back(serve: Serve, end: str) -> None:
    net = serve(echo)
    peer = begin(net, 5000)
    getattr(peer, end)()
    assert net.shared.memory.held == 0
