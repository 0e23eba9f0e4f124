"""Whose turn it is to shake hands: a budget of time, one queue, and a bound."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evloop_http.net.reactor import Reactor
from evloop_http.net.tls import Handshakes
from fakes import FakeClock
from tls_world import Certificate, World

#: Half a millisecond, in a fraction that adds up.
STEP = 1 / 2048


class Shaker:
    """Shakes hands in steps of half a millisecond."""

    def __init__(self, crowd: Crowd, seconds: float) -> None:
        self._crowd = crowd
        self._seconds = seconds
        self.parked = False
        self.closed = False

    def park(self) -> None:
        self.parked = True

    def take_step(self) -> None:
        self.parked = False
        self._crowd.log.append(self)
        self._crowd.clock.advance(self._seconds)

    def give_up(self) -> None:
        self.closed = True
        self._crowd.handshakes.end(self)


class Crowd:
    """Many that shake hands on one reactor."""

    def __init__(self, most: int = 100) -> None:
        self.clock = FakeClock(0.0)
        self.reactor = Reactor(self.clock)
        self.handshakes = Handshakes(self.reactor, 4 * STEP, most)
        self.log: list[Shaker] = []

    def shaker(self, seconds: float = STEP) -> Shaker:
        return Shaker(self, seconds)

    def turn(self) -> int:
        """Return how many steps were taken in one turn."""
        before = len(self.log)
        self.reactor.poll(0)
        return len(self.log) - before


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.reactor.close()


def test_a_turn_has_time_for_some_and_of_the_others_who_came_last_is_next(crowd: Crowd) -> None:
    everybody = [crowd.shaker() for _ in range(10)]
    for shaker in everybody:
        crowd.handshakes.ask(shaker)
    assert crowd.log == everybody[:4]
    assert [shaker.parked for shaker in everybody] == [False] * 4 + [True] * 6
    assert [crowd.turn() for _ in range(3)] == [4, 2, 0]
    assert crowd.log == everybody[:4] + everybody[:3:-1]
    assert crowd.reactor.next_timeout() is None


def test_cheap_steps_are_charged_what_they_cost(crowd: Crowd) -> None:
    for _ in range(1000):
        crowd.handshakes.ask(crowd.shaker(STEP / 256))
    assert len(crowd.log) == 1000


def test_one_dear_step_is_taken_whatever_it_costs(crowd: Crowd) -> None:
    for _ in range(3):
        crowd.handshakes.ask(crowd.shaker(1.0))
    assert len(crowd.log) == 1
    assert [crowd.turn() for _ in range(3)] == [1, 1, 0]


def test_a_flood_of_first_steps_does_not_shut_out_second_ones() -> None:
    """There are more newcomers than time for them; one of them, now and then, is in earnest."""
    crowd = Crowd(most=20)
    finished = 0
    for _ in range(50):
        honest = crowd.shaker()
        flood = [crowd.shaker() for _ in range(6)]
        for shaker in [*flood, honest]:
            crowd.handshakes.begin(shaker)
            crowd.handshakes.ask(shaker)
        crowd.turn()
        if not honest.closed and honest in crowd.log:
            crowd.handshakes.ask(honest)
            crowd.turn()
            finished += crowd.log.count(honest) == 2 and not honest.closed
    assert finished > 40
    crowd.reactor.close()


def test_those_who_left_are_forgotten_at_once(crowd: Crowd) -> None:
    everybody = [crowd.shaker() for _ in range(12)]
    for shaker in everybody:
        crowd.handshakes.begin(shaker)
        crowd.handshakes.ask(shaker)
    for shaker in everybody[4:11]:
        shaker.give_up()
    assert crowd.turn() == 1
    assert crowd.log[-1] is everybody[11]
    assert len(crowd.handshakes._waiting) == 0


def test_a_step_that_fails_leaves_the_others_their_turn(crowd: Crowd) -> None:
    def fail() -> None:
        raise OSError
    bad = crowd.shaker()
    for shaker in [*(crowd.shaker() for _ in range(4)), crowd.shaker(), bad]:
        crowd.handshakes.ask(shaker)
    bad.take_step = fail  # type: ignore[method-assign]
    crowd.turn()
    assert crowd.turn() == 1


def test_one_more_than_the_bound_takes_the_place_of_the_oldest() -> None:
    crowd = Crowd(most=3)
    everybody = [crowd.shaker() for _ in range(5)]
    for shaker in everybody:
        crowd.handshakes.begin(shaker)
        if shaker is everybody[1]:
            crowd.handshakes.end(shaker)
    assert [shaker.closed for shaker in everybody] == [True, False, False, False, False]
    assert len(crowd.handshakes) == 3
    crowd.reactor.close()


def test_who_waits_for_a_turn_is_not_watched_and_not_read(certificate: Certificate) -> None:
    """Left in the selector, a crowd would be looked at in every turn."""
    world = World(certificate)
    world.handshakes = Handshakes(world.reactor, 1e-9)
    connections = [world.accept() for _ in range(20)]
    for _, client, _ in connections:
        client.shake_hands()
    world.turn()
    assert world.reactor.registrations == 1
    assert world.reactor.next_timeout() == 0
    for number in range(19):
        assert world.reactor.registrations == number + 1
        world.turn()
    assert world.reactor.next_timeout() is None
    for _, client, owner in connections:
        client.pull()
        world.shake_hands(client)
        assert owner.told == ["open"]
    assert len(world.handshakes) == 0
    world.close()


def test_a_handshake_is_under_way_from_its_first_byte_to_its_end(certificate: Certificate) -> None:
    world = World(certificate)
    transport, client, _ = world.accept()
    assert len(world.handshakes) == 0
    client.shake_hands()
    world.turn()
    assert len(world.handshakes) == 1
    transport.close()
    assert len(world.handshakes) == 0
    world.connect()
    assert len(world.handshakes) == 0
    world.close()
