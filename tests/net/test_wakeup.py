"""Waking a sleeping loop: one byte while a wake is under way, and signals put back as they were found."""

from __future__ import annotations

import array
import contextlib
import fcntl
import itertools
import os
import select
import signal
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from evloop_http.net.wakeup import Signals, Waker


def bytes_waiting(waker: Waker) -> int:
    waiting = array.array("i", [0])
    fcntl.ioctl(waker.fileno(), termios.FIONREAD, waiting)
    return waiting[0]


def is_readable(waker: Waker) -> bool:
    return bool(select.select([waker], [], [], 0)[0])


@pytest.fixture
def waker() -> Iterator[Waker]:
    with contextlib.closing(Waker()) as waker:
        yield waker


# -- the waker


def test_a_wake_makes_it_readable_until_it_is_drained(waker: Waker) -> None:
    assert not is_readable(waker)
    waker.wake()
    assert is_readable(waker)
    waker.drain()
    assert not is_readable(waker)


def test_a_thousand_wakes_write_one_byte(waker: Waker) -> None:
    for _ in range(1000):
        waker.wake()
    assert bytes_waiting(waker) == 1


def test_after_a_drain_the_next_wake_writes_again(waker: Waker) -> None:
    for _ in range(3):
        waker.wake()
        assert bytes_waiting(waker) == 1
        waker.drain()
        assert bytes_waiting(waker) == 0


def test_wakes_from_threads_leave_at_least_one_byte_and_at_most_one_each(waker: Waker) -> None:
    barrier = threading.Barrier(8)

    def wake() -> None:
        barrier.wait(10)
        for _ in range(200):
            waker.wake()

    threads = [threading.Thread(target=wake) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 1 <= bytes_waiting(waker) <= 8


def test_draining_takes_out_more_than_one_read_holds(waker: Waker) -> None:
    assert os.write(waker.write_fileno(), bytes(10_000)) > 4096
    waker.drain()
    assert bytes_waiting(waker) == 0


def test_draining_what_nobody_woke_does_nothing(waker: Waker) -> None:
    waker.drain()
    assert not is_readable(waker)


def test_a_full_pipe_is_awake_already(waker: Waker) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.write(waker.write_fileno(), bytes(4096)):
            pass
    waker.wake()
    assert is_readable(waker)


def test_a_closed_waker_may_be_woken() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
    waker.close()
    assert waker.fileno() == -1


class InterruptedReader:
    """The reading end, where Ctrl-C comes in the middle of the first `recv`."""

    def __init__(self, reader: socket.socket) -> None:
        self.reader = reader
        self.interrupted = False

    def recv(self, size: int) -> bytes:
        data = self.reader.recv(size)
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        return data


def test_an_interrupt_in_the_middle_of_a_drain_does_not_swallow_later_wakes(waker: Waker,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waker, "_reader", InterruptedReader(waker._reader))
    waker.wake()
    with pytest.raises(KeyboardInterrupt):
        waker.drain()
    monkeypatch.undo()
    waker.wake()
    assert is_readable(waker)


# -- signals


Found = Callable[[int, FrameType | None], object]


@pytest.fixture
def signals_as_found() -> Iterator[None]:
    """What this process does with the signals used here, put back even where a test fails."""
    numbers = signal.SIGUSR1, signal.SIGUSR2
    found = [signal.getsignal(number) for number in numbers]
    wakeup = signal.set_wakeup_fd(-1)
    yield
    for number, handler in zip(numbers, found, strict=True):
        signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)


def wakeup_fd() -> int:
    """The descriptor that is set now; it stays."""
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number, warn_on_full_buffer=False)
    return number


@pytest.fixture
def scheduled() -> list[Callable[[], object]]:
    return []


@pytest.fixture
def signals(waker: Waker, scheduled: list[Callable[[], object]], signals_as_found: None) -> Iterator[Signals]:
    with contextlib.closing(Signals(waker, scheduled.append)) as signals:
        yield signals


def test_a_signal_schedules_its_callback(signals: Signals, scheduled: list[Callable[[], object]]) -> None:
    def callback() -> None: ...

    signals.on(signal.SIGUSR1, callback)
    signal.raise_signal(signal.SIGUSR1)
    assert scheduled == [callback]


def test_the_interpreter_itself_writes_to_the_pair_when_a_signal_comes(signals: Signals, waker: Waker) -> None:
    signals.on(signal.SIGUSR1, lambda: None)
    signal.raise_signal(signal.SIGUSR1)
    assert signal.SIGUSR1 in os.read(waker.fileno(), 100)


def test_no_signal_is_touched_unless_asked(signals: Signals, waker: Waker) -> None:
    assert wakeup_fd() == -1
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_second_callback_takes_the_place_of_the_first_and_what_was_found_is_kept(
        signals: Signals, scheduled: list[Callable[[], object]]) -> None:
    def first() -> None: ...
    def second() -> None: ...

    signals.on(signal.SIGUSR1, first)
    signals.on(signal.SIGUSR1, second)
    signal.raise_signal(signal.SIGUSR1)
    assert scheduled == [second]
    signals.off(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_handler_and_wakeup_descriptor_are_put_back(signals: Signals, waker: Waker) -> None:
    def handler(number: int, frame: FrameType | None) -> None: ...

    mine, other = socket.socketpair()
    with mine, other:
        mine.setblocking(False)
        signal.set_wakeup_fd(mine.fileno())
        signal.signal(signal.SIGUSR1, handler)
        signals.on(signal.SIGUSR1, lambda: None)
        signals.on(signal.SIGUSR2, lambda: None)
        assert wakeup_fd() == waker.write_fileno()
        signals.off(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is handler
        assert wakeup_fd() == waker.write_fileno()
        signals.close()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
        assert signal.set_wakeup_fd(-1) == mine.fileno()


def test_a_handler_set_back_is_not_set_back_again(signals: Signals) -> None:
    def handler(number: int, frame: FrameType | None) -> None: ...

    signals.on(signal.SIGUSR1, lambda: None)
    signals.off(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, handler)
    signals.off(signal.SIGUSR1)
    signals.close()
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_a_handler_that_does_the_same_in_the_middle_of_it_harms_nothing(signals: Signals) -> None:
    class Interrupted(dict[int, object]):
        """Where a signal comes between the look and the removal."""

        def __contains__(self, number: object) -> bool:
            signals._found = dict(self)
            signals.off(signal.SIGUSR1)
            signals._found = self
            self.clear()
            return True

    signals.on(signal.SIGUSR1, lambda: None)
    signals._found = Interrupted(signals._found)
    signals.off(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert wakeup_fd() == -1


def test_where_the_descriptor_found_was_closed_since_none_is_left_behind(signals: Signals) -> None:
    found, other = socket.socketpair()
    found.setblocking(False)
    signal.set_wakeup_fd(found.fileno())
    signals.on(signal.SIGUSR1, lambda: None)
    found.close()
    other.close()
    signals.close()
    assert wakeup_fd() == -1


def test_of_two_loops_the_first_to_close_leaves_the_signals_of_the_other_alone(signals_as_found: None) -> None:
    first_waker, second_waker = Waker(), Waker()
    calls: list[Callable[[], object]] = []
    first, second = Signals(first_waker, calls.append), Signals(second_waker, calls.append)
    first.on(signal.SIGUSR1, lambda: None)
    second.on(signal.SIGUSR2, lambda: None)
    first.close()
    first_waker.close()
    assert wakeup_fd() == second_waker.write_fileno()
    second.close()
    second_waker.close()
    assert wakeup_fd() == -1


def in_a_thread(function: Callable[[], object]) -> BaseException | None:
    """What `function` raises in another thread."""
    raised: list[BaseException | None] = []

    def call() -> None:
        try:
            function()
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    return raised[0]


def test_only_the_main_thread_may_ask_for_signals_and_is_told_what_else_to_do(signals: Signals) -> None:
    error = in_a_thread(lambda: signals.on(signal.SIGUSR1, lambda: None))
    assert isinstance(error, RuntimeError)
    assert "stop()" in str(error)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_only_the_main_thread_may_put_them_back(signals: Signals, waker: Waker) -> None:
    signals.on(signal.SIGUSR1, lambda: None)
    assert isinstance(in_a_thread(lambda: signals.off(signal.SIGUSR1)), RuntimeError)
    assert wakeup_fd() == waker.write_fileno()
    signals.off(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


# -- others who want the descriptor too


@pytest.fixture
def foreign(signals_as_found: None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The pair of somebody who reads the numbers of signals, as asyncio does, and has set the descriptor first."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        yield reader, writer


def read_numbers(reader: socket.socket) -> bytes:
    try:
        return reader.recv(100)
    except BlockingIOError:
        return b""


@pytest.fixture
def usr2() -> Iterator[None]:
    """A handler that leaves all to the descriptor."""
    found = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    yield
    signal.signal(signal.SIGUSR2, found)


def test_numbers_are_passed_on_to_the_descriptor_found_and_wakes_are_not(
        foreign: tuple[socket.socket, socket.socket], waker: Waker, signals: Signals, usr2: None) -> None:
    signals.on(signal.SIGUSR1, lambda: None)
    waker.wake()
    signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGUSR1)
    assert read_numbers(foreign[0]) == b""
    waker.drain()
    assert read_numbers(foreign[0]) == bytes([signal.SIGUSR2, signal.SIGUSR1])
    waker.wake()
    waker.drain()
    assert read_numbers(foreign[0]) == b""


def test_the_number_of_a_descriptor_that_was_closed_is_another_s_and_gets_nothing(
        foreign: tuple[socket.socket, socket.socket], waker: Waker, signals: Signals, usr2: None) -> None:
    signals.on(signal.SIGUSR1, lambda: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        os.dup2(ours.fileno(), foreign[1].fileno())  # as a new connection gets the number of one that was closed
        signal.raise_signal(signal.SIGUSR2)
        waker.drain()
        assert read_numbers(theirs) == b""
        signals.close()
        assert wakeup_fd() == -1


def test_a_reader_that_is_full_is_awake(foreign: tuple[socket.socket, socket.socket], waker: Waker, signals: Signals,
                                        usr2: None) -> None:
    signals.on(signal.SIGUSR1, lambda: None)
    with contextlib.suppress(BlockingIOError):
        while foreign[1].send(bytes(4096)):
            pass
    signal.raise_signal(signal.SIGUSR2)
    waker.drain()
    assert not is_readable(waker)


def test_a_descriptor_that_was_set_after_ours_stays(signals: Signals, waker: Waker) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signals.on(signal.SIGUSR1, lambda: None)
        signal.set_wakeup_fd(writer.fileno())
        signals.on(signal.SIGUSR2, lambda: None)
        assert wakeup_fd() == writer.fileno()
        signals.retake()
        assert wakeup_fd() == writer.fileno()
        signals.close()
        assert signal.set_wakeup_fd(-1) == writer.fileno()


def test_after_somebody_has_cleared_the_descriptor_it_is_taken_again(
        foreign: tuple[socket.socket, socket.socket], signals: Signals, waker: Waker) -> None:
    signals.retake()
    assert wakeup_fd() == foreign[1].fileno()  # there are no signals to be woken by
    signals.on(signal.SIGUSR1, lambda: None)
    signal.set_wakeup_fd(-1)
    signals.retake()
    assert wakeup_fd() == waker.write_fileno()
    signals.close()
    assert wakeup_fd() == -1  # what was found was cleared too


def test_loops_pass_signals_on_along_the_chain_in_any_order_and_never_in_a_circle(
        foreign: tuple[socket.socket, socket.socket], usr2: None) -> None:
    """Whatever three loops do: a number arrives once at the one who set the descriptor before them all."""
    wakers = [Waker() for _ in range(3)]
    loops = [Signals(waker, lambda callback: None) for waker in wakers]
    numbers = [signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH]
    for steps in itertools.product(range(3), repeat=5):
        is_on = [False] * 3
        for loop in steps:  # each step switches one of them on or off
            if is_on[loop]:
                loops[loop].off(numbers[loop])
            else:
                loops[loop].on(numbers[loop], lambda: None)
            is_on[loop] = not is_on[loop]
            signal.raise_signal(signal.SIGUSR2)
            for _ in range(3):
                for waker in wakers:
                    waker.drain()
            assert read_numbers(foreign[0]) == bytes([signal.SIGUSR2])
            assert not any(is_readable(waker) for waker in wakers)
        for signals in loops:
            signals.close()
        assert wakeup_fd() == foreign[1].fileno()
    for waker in wakers:
        waker.close()
