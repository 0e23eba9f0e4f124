"""Who waits for a future, what happens when they stop, and that nothing of them is left."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from evloop_http.messages.futures import Late, give_up, wait_for
from evloop_http.messages.pending import Pending


class Owner:
    """One who waits."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, future: Future[Any]) -> None:
        self.told.append(future.result(0))


@pytest.fixture
def never() -> Iterator[Owner]:
    """One that must not be called."""
    owner = Owner()
    yield owner
    assert owner.told == []


def nothing(future: Future[Any]) -> None:
    pass


def test_everybody_who_waits_is_called_once_and_whoever_has_left_is_not(never: Owner) -> None:
    future: Future[str] = Future()
    owners = [Owner() for _ in range(4)]
    for owner in owners:
        wait_for(future, owner, owner)
    assert give_up(future, owners[1], never)
    assert not give_up(future, owners[1], never)
    future.set_result("x")
    assert [owner.told for owner in owners] == [["x"], [], ["x"], ["x"]]
    assert not give_up(future, owners[0], never)


def test_whoever_waits_for_what_is_done_is_called_at_once() -> None:
    future: Future[str] = Future()
    first, second, third = Owner(), Owner(), Owner()
    wait_for(future, first, first)
    future.set_result("x")
    wait_for(future, second, second)
    assert (first.told, second.told) == (["x"], ["x"])
    done: Future[str] = Future()
    done.set_result("y")
    wait_for(done, third, third)
    assert third.told == ["y"]


def test_a_future_of_an_application_is_not_cancelled_and_an_owned_one_is() -> None:
    theirs: Future[str] = Future()
    ours: Pending[str] = Pending()
    both: list[Late] = [theirs, ours]
    for future in both:
        owner = Owner()
        wait_for(future, owner, nothing)
        give_up(future, owner, nothing)
    assert (theirs.cancelled(), ours.cancelled()) == (False, True)


def test_an_outcome_that_nobody_waits_for_is_disposed_of_by_the_last_who_left() -> None:
    future: Future[str] = Future()
    first, second, disposing = Owner(), Owner(), Owner()
    for owner in (first, second):
        wait_for(future, owner, owner)
        give_up(future, owner, disposing)
    future.set_result("x")
    assert (first.told, second.told, disposing.told) == ([], [], ["x"])


def test_an_outcome_that_somebody_waits_for_is_not_disposed_of(never: Owner) -> None:
    future: Future[str] = Future()
    first, second = Owner(), Owner()
    wait_for(future, first, first)
    wait_for(future, second, second)
    give_up(future, first, never)
    future.set_result("x")
    assert second.told == ["x"]
    other: Future[str] = Future()
    wait_for(other, first, first)
    give_up(other, first, never)
    wait_for(other, second, second)
    other.set_result("y")
    assert second.told == ["x", "y"]


def test_one_that_fails_does_not_keep_the_others_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    def fail(future: Future[Any]) -> None:
        raise ValueError("on purpose")

    future: Future[str] = Future()
    owner = Owner()
    wait_for(future, object(), fail)
    wait_for(future, owner, owner)
    future.set_result("x")
    assert owner.told == ["x"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_future_that_is_shared_for_long_keeps_nothing_of_those_who_came_and_left() -> None:
    future: Future[str] = Future()
    stays = Owner()
    wait_for(future, stays, stays)
    gc.disable()
    try:
        seen = []
        for _ in range(1000):
            owner = Owner()
            wait_for(future, owner, owner)
            give_up(future, owner, nothing)
            seen.append(weakref.ref(owner))
        del owner
        assert not any(ref() for ref in seen)
        assert len(future._done_callbacks) == 1  # type: ignore[attr-defined]
    finally:
        gc.enable()
    future.set_result("x")
    assert stays.told == ["x"]
