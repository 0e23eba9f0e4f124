"""An answer that comes later: settled once, in whatever order, and everybody who waits is called once."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from asking import PATIENCE
from evloop_http.messages import Pipe, Response
from evloop_http.messages.pending import Pending


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


class Interrupted(list[Any]):
    """Those who wait, with something that happens in another thread at a certain moment."""

    def __init__(self, moment: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._moment = moment
        self._act = act

    def _happen(self, moment: str) -> None:
        if moment == self._moment:
            self._moment = ""
            in_thread(self._act)

    def append(self, item: Any) -> None:
        self._happen("before it is said who waits")
        super().append(item)
        self._happen("when it has been said who waits")

    def pop(self, *arguments: Any) -> Any:
        self._happen("when somebody looks who waits")
        return super().pop(*arguments)


def test_who_waits_is_called_with_what_was_settled() -> None:
    told: list[Any] = []
    pending: Pending[str] = Pending()
    pending.add_done_callback(lambda done: told.append(done.result(0)))
    assert not pending.done()
    assert pending.settle("x")
    pending.add_done_callback(lambda done: told.append(done.result(0) + "!"))
    assert (told, pending.done(), pending.cancelled(), pending.exception(0)) == (["x", "x!"], True, False, None)


def test_what_fails_is_met_by_who_asks() -> None:
    pending: Pending[str] = Pending()
    error = ValueError("no")
    assert pending.fail(error)
    assert pending.exception(0) is error
    with pytest.raises(ValueError, match="no"):
        pending.result(0)


@pytest.mark.parametrize("moment", ["before it is said who waits", "when it has been said who waits"])
def test_a_worker_that_is_done_while_it_is_said_who_waits_calls_them_once(moment: str) -> None:
    told: list[Any] = []
    pending: Pending[str] = Pending()
    pending._callbacks = Interrupted(moment, lambda: pending.settle("x"))
    pending.add_done_callback(lambda done: told.append(done.result(0)))
    assert told == ["x"]


def test_when_both_sides_see_who_waits_only_one_calls() -> None:
    told: list[int] = []
    pending: Pending[str] = Pending()
    pending._callbacks = Interrupted("when somebody looks who waits", lambda: pending._call_back())
    pending.add_done_callback(lambda done: told.append(threading.get_ident()))
    pending.settle("x")
    assert len(told) == 1
    assert told[0] != threading.get_ident()


def test_it_is_settled_once_and_what_comes_too_late_is_closed() -> None:
    closed: list[str] = []
    pending: Pending[Response] = Pending()
    first = Response("first")
    assert pending.settle(first)
    assert not pending.settle(Response(Pipe(on_close=lambda: closed.append("second"))))
    assert not pending.fail(ValueError())
    assert not pending.cancel()
    assert (pending.result(0), closed) == (first, ["second"])


def test_who_cancels_is_told_and_so_is_who_works_on_it() -> None:
    told: list[str] = []
    pending: Pending[Response] = Pending(lambda: told.append("on_cancel"))
    pending.add_done_callback(lambda done: told.append(f"cancelled {done.cancelled()}"))
    assert pending.cancel()
    assert pending.cancel()
    assert told == ["on_cancel", "cancelled True"]
    assert not pending.settle(Response(Pipe(on_close=lambda: told.append("closed"))))
    assert told[2:] == ["closed"]
    for ask in (pending.result, pending.exception):
        with pytest.raises(CancelledError):
            ask(0)


def test_nobody_is_told_of_a_cancel_behind_the_outcome() -> None:
    told: list[str] = []
    pending: Pending[str] = Pending(lambda: told.append("on_cancel"))
    pending.settle("x")
    assert not pending.cancel()
    assert told == []


def test_another_thread_may_wait_for_it() -> None:
    got: list[str] = []
    pending: Pending[str] = Pending()
    with pytest.raises(TimeoutError):
        pending.result(0)
    thread = threading.Thread(target=lambda: got.append(pending.result(PATIENCE)))
    thread.start()
    pending.settle("x")
    thread.join(PATIENCE)
    assert got == ["x"]


def test_a_callback_that_fails_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    pending: Pending[str] = Pending()
    pending.add_done_callback(lambda done: told.append("one"))
    pending.add_done_callback(lambda done: told[7])
    with caplog.at_level(logging.ERROR, "evloop_http"):
        pending.settle("x")
    assert told == ["one"]
    assert "what waits for an answer failed" in caplog.text


def test_a_coroutine_may_await_it() -> None:
    async def main() -> list[str]:
        there: Pending[str] = Pending()
        there.settle("there")
        later: Pending[str] = Pending()
        asyncio.get_running_loop().call_soon(later.settle, "later")
        threaded: Pending[str] = Pending()
        threading.Timer(0, threaded.settle, ["threaded"]).start()
        failed: Pending[str] = Pending()
        failed.fail(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await failed
        return [await there, await later, await threaded]

    assert asyncio.run(main()) == ["there", "later", "threaded"]


def test_a_coroutine_that_is_cancelled_cancels_what_it_awaits() -> None:
    pending: Pending[str] = Pending()
    cancelled: Pending[str] = Pending()
    cancelled.cancel()

    async def wait_for_it() -> str:
        return await pending

    async def main() -> None:
        task = asyncio.create_task(wait_for_it())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    asyncio.run(main())
    assert pending.cancelled()


def test_nothing_is_left_of_one_that_was_settled_or_forgotten() -> None:
    gc.disable()
    try:
        for end in (lambda one: one.settle("x"), lambda one: one.fail(ValueError()), lambda one: one.cancel(),
                    lambda one: None):
            pending: Pending[str] = Pending()
            seen = weakref.ref(pending)
            pending.add_done_callback(lambda done: None)
            end(pending)
            del pending
            assert seen() is None
    finally:
        gc.enable()


def test_it_can_be_shown() -> None:
    pending: Pending[str] = Pending()
    assert repr(pending) == "<Pending open>"
    pending.settle("x")
    assert repr(pending) == "<Pending settled>"


def test_what_fails_when_it_is_told_of_a_cancel_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[bool] = []

    def fail() -> None:
        raise OSError("the query cannot be given up")

    pending: Pending[str] = Pending(fail)
    pending.add_done_callback(lambda done: told.append(done.cancelled()))
    with caplog.at_level(logging.ERROR, "evloop_http"):
        assert pending.cancel()
    assert told == [True]
    assert "the query cannot be given up" in caplog.text
