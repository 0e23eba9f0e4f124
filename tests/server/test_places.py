"""Places: who makes room for whom."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Iterator

import pytest

from evloop_http.messages import Answer, Request, Upgrade
from evloop_http.net.binding import network_of
from evloop_http.server.places import DEFAULT_PLACES, RESERVE, Claim, Places, allowed_places
from fakes import GET, FakeNet, Later, SwitchedEcho, fake_nets, reach

Serve = Callable[..., FakeNet]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with fake_nets() as make:
        yield make


class Seated:
    """Somebody with a place."""

    def __init__(self, occupants: set[Seated], claim: Claim | None, *, stays: bool = False) -> None:
        self._occupants = occupants
        self.now = claim
        self.stays = stays
        self.asked = 0
        occupants.add(self)

    def claim(self) -> Claim | None:
        self.asked += 1
        return self.now

    def give_way(self) -> bool:
        if not self.stays:
            self._occupants.discard(self)
        return not self.stays


def test_there_is_room_until_all_places_are_taken() -> None:
    occupants: set[Seated] = set()
    places = Places(2, None, occupants)
    Seated(occupants, None)
    assert places.has_room(100)
    second = Seated(occupants, None)
    assert not places.has_room(100)
    second.now = (0, 1.0)
    assert not places.has_room(100)  # to look through all of them takes a while, so that is not done again at once
    assert places.has_room(101)
    assert second in occupants  # until somebody has come


def test_the_one_that_has_waited_longest_goes_first_and_idle_ones_before_all_others() -> None:
    occupants: set[Seated] = set()
    claims: list[Claim | None] = [(0, 3.0), (1, 1.0), (0, 2.0), None, (0, 99.5), (1, 0.5)]
    seated = [Seated(occupants, claim) for claim in claims]
    places = Places(1, None, occupants)
    gone = []
    while places.make_room(100):
        gone += [each for each in seated if each not in occupants and each not in gone]
    assert gone == [seated[2], seated[0], seated[5], seated[1]]
    assert occupants == {seated[3], seated[4]}  # one is at work, and one younger than a second


def test_who_has_been_served_meanwhile_or_has_a_request_stays() -> None:
    occupants: set[Seated] = set()
    first, second, third, fourth = (Seated(occupants, (0, float(number))) for number in range(4))
    places = Places(4, None, occupants)
    assert places.make_room(100)
    second.now = (0, 99.9)
    third.stays = True
    assert places.make_room(100)
    assert occupants == {second, third}
    assert not {first, fourth} & occupants


def test_looking_for_the_longest_is_done_once_for_many() -> None:
    occupants: set[Seated] = set()
    seated = [Seated(occupants, (0, float(number))) for number in range(1000)]
    places = Places(1000, None, occupants)
    for _ in range(100):
        assert places.make_room(5000)
    assert sum(each.asked for each in seated) <= 1000 + 2 * 100


def test_where_those_looked_out_have_all_been_served_others_are_looked_for() -> None:
    occupants: set[Seated] = set()
    first = [Seated(occupants, (0, 1.0)) for _ in range(3)]
    places = Places(3, None, occupants)
    assert places.make_room(100)
    for each in first:
        each.now = (0, 99.9)
    other = Seated(occupants, (0, 50.0))
    assert places.make_room(100)
    assert other not in occupants


def test_for_one_newcomer_only_a_few_are_asked() -> None:
    """Each may have a request, which is handled there and then."""
    occupants: set[Seated] = set()
    for number in range(1000):
        Seated(occupants, (0, float(number)), stays=True)
    assert not Places(1000, None, occupants).make_room(5000)
    assert sum(each.asked for each in occupants) <= 1000 + 8


# Connections

@pytest.mark.parametrize("state", ["handshaking", "idle", "reading-headers", "reading-body"])
def test_a_connection_that_waits_for_its_client_makes_room(serve: Serve, state: str) -> None:
    net = serve()
    peer = reach(net, state)
    net.clock.advance(2)
    assert Places(1, None, net.shared.connections).make_room(net.clock())
    assert peer.state() == "closed"


@pytest.mark.parametrize("state", ["handling", "writing", "switched"])
def test_a_connection_whose_request_is_in_work_does_not(serve: Serve, state: str) -> None:
    later = Later()

    def application(request: Request) -> Answer:
        return Upgrade(SwitchedEcho(), "echo") if request.path == "/switch" else later(request)

    net = serve(application)
    peer = reach(net, state)
    net.clock.advance(2)
    assert not Places(1, None, net.shared.connections).make_room(net.clock())
    assert peer.state() == state
    if later.futures:
        later.answer()


def test_a_request_that_has_just_arrived_is_answered_instead(serve: Serve) -> None:
    net = serve()
    asking, silent = net.connect(), net.connect()
    net.advance(2)
    asking.sock.inbox.append(GET)  # the selector has not said so yet
    assert Places(2, None, net.shared.connections).make_room(net.clock())
    assert not Places(2, None, {asking.connection}).make_room(net.clock())
    assert (asking.answers()[0].status, asking.state(), silent.state()) == (200, "idle", "closed")


def test_a_pipeline_that_waits_for_its_turn_stays(serve: Serve) -> None:
    net = serve()
    peer = net.connect()
    peer.sock.inbox.append(GET * 200)
    net.turn()
    net.clock.advance(2)
    assert not Places(1, None, net.shared.connections).make_room(net.clock())
    net.settle()
    assert len(peer.answers()) == 200


# How many there are

@pytest.fixture
def descriptors() -> Iterator[Callable[[int], None]]:
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (number, found[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, found)


@pytest.mark.parametrize(("wanted", "level"), [(None, logging.INFO), (2000, logging.WARNING)])
def test_there_are_no_more_places_than_descriptors_and_the_log_says_so_once(
        descriptors: Callable[[int], None], caplog: pytest.LogCaptureFixture, wanted: int | None, level: int) -> None:
    descriptors(1024)
    caplog.set_level(logging.INFO)
    assert allowed_places(wanted) == 1024 - RESERVE
    assert [record.levelno for record in caplog.records] == [level]
    assert "1024 files" in caplog.text


def test_where_there_are_descriptors_enough_nothing_is_said(
        descriptors: Callable[[int], None], caplog: pytest.LogCaptureFixture) -> None:
    descriptors(512)
    caplog.set_level(logging.INFO)
    assert allowed_places(400) == 400
    assert not caplog.records
    assert DEFAULT_PLACES == 16_384


# Clients

@pytest.mark.parametrize(("first", "second", "same"), [
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("fe80::1%eth0", "fe80::2", True),
    ("::ffff:192.0.2.1", "192.0.2.1", True),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
])
def test_a_client_is_an_address_or_a_network_of_version_6(first: str, second: str, same: bool) -> None:
    assert (network_of(first) == network_of(second)) is same


def test_a_client_has_so_many_places_and_others_have_theirs() -> None:
    places = Places(100, 2, set())
    assert [places.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert places.admit("192.0.2.2")
    places.dismiss("192.0.2.1")
    assert places.admit("192.0.2.1")
    assert not places.admit("192.0.2.1")


def test_who_has_no_address_is_not_counted() -> None:
    """All clients of a Unix socket are a proxy, as a rule."""
    places = Places(100, 1, set())
    assert [places.admit("") for _ in range(2)] == [True, True]
