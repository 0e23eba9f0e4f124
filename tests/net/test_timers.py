"""Deadlines on a heap: fired in order, moved lazily, let go of when cancelled."""

from __future__ import annotations

import gc
import itertools
import weakref

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from evloop_http.net.timers import NEVER, Timer, TimerQueue


def nothing() -> None: ...


def fire(queue: TimerQueue, now: float) -> list[Timer]:
    """What a turn of the reactor does: everything due is taken out and called."""
    fired = []
    mark = queue.mark()
    while (timer := queue.pop_due(now, mark)) is not None:
        fired.append(timer)
        timer.callback()
    return fired


def entries(queue: TimerQueue) -> int:
    return len(queue._heap)


# -- setting and firing


def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    queue = TimerQueue()
    late, early, middle = Timer(queue, nothing, 3), Timer(queue, nothing, 1), Timer(queue, nothing, 2)
    assert fire(queue, 10) == [early, middle, late]


def test_of_equal_deadlines_the_first_set_fires_first() -> None:
    queue = TimerQueue()
    timers = [Timer(queue, nothing, 5) for _ in range(50)]
    assert fire(queue, 5) == timers


def test_a_timer_fires_at_its_deadline_and_not_before() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 5)
    assert fire(queue, 4.999) == []
    assert fire(queue, 5) == [timer]


def test_a_timer_fires_once_and_may_be_set_again() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 1)
    assert timer.active
    assert fire(queue, 1) == [timer]
    assert (timer.active, fire(queue, 100)) == (False, [])
    timer.move(200)
    assert fire(queue, 200) == [timer]


def test_a_timer_without_a_deadline_is_not_set() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing)
    assert not timer.active
    assert (len(queue), queue.next_deadline()) == (0, NEVER)
    assert fire(queue, 1e12) == []


def test_repr_tells_the_deadline_or_that_there_is_none() -> None:
    queue = TimerQueue()
    assert repr(Timer(queue, nothing, 1.5)) == "<Timer at 1.500>"
    assert repr(Timer(queue, nothing)) == "<Timer, not set>"


# -- moving


def test_a_move_to_a_later_time_leaves_the_heap_alone() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 10)
    for deadline in range(11, 10_000):
        timer.move(deadline)
    assert entries(queue) == 1
    assert fire(queue, 9_998) == []
    assert fire(queue, 9_999) == [timer]


def test_next_deadline_may_be_early_for_a_moved_timer_and_is_right_after_it_surfaced() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 10)
    timer.move(30)
    assert queue.next_deadline() <= 30
    assert fire(queue, 10) == []
    assert queue.next_deadline() == 30


def test_a_move_to_an_earlier_time_counts_at_once() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 100)
    timer.move(5)
    assert queue.next_deadline() == 5
    assert fire(queue, 5) == [timer]
    assert fire(queue, 100) == []


def test_a_timer_moved_earlier_and_later_again_fires_once_at_the_last_deadline() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 100)
    timer.move(5)
    timer.move(200)
    assert fire(queue, 199) == []
    assert fire(queue, 200) == [timer]
    assert fire(queue, 1000) == []


def test_a_late_turn_fires_a_moved_timer_in_its_new_place() -> None:
    queue = TimerQueue()
    moved, other = Timer(queue, nothing, 1), Timer(queue, nothing, 10)
    moved.move(20)
    assert fire(queue, 30) == [other, moved]


def test_moving_to_never_unsets_a_timer_until_it_is_moved_again() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 5)
    timer.move(NEVER)
    assert not timer.active
    assert queue.next_deadline() == NEVER
    timer.move(7)
    assert fire(queue, 6) == []
    assert fire(queue, 7) == [timer]


# -- cancelling


def test_a_cancelled_timer_never_fires() -> None:
    queue = TimerQueue()
    timer = Timer(queue, nothing, 5)
    timer.cancel()
    assert not timer.active
    assert (len(queue), queue.next_deadline()) == (0, NEVER)
    assert fire(queue, 5) == []


def test_cancelling_twice_or_after_firing_does_nothing() -> None:
    queue = TimerQueue()
    timer, fired = Timer(queue, nothing, 5), Timer(queue, nothing, 1)
    fire(queue, 1)
    for each in (timer, timer, fired, fired):
        each.cancel()
    assert fire(queue, 10) == []


def test_a_cancelled_timer_lets_go_of_its_callback_at_once() -> None:
    class Client:
        def on_deadline(self) -> None: ...

    queue = TimerQueue()
    client = Client()
    timer = Timer(queue, client.on_deadline, 5)
    gone = weakref.ref(client)
    timer.cancel()
    del client
    gc.collect()
    assert gone() is None


def test_cancelled_timers_do_not_fill_the_heap() -> None:
    queue = TimerQueue()
    alive = [Timer(queue, nothing, 1000 + n) for n in range(100)]
    for n in range(10_000):
        Timer(queue, nothing, 100 + n).cancel()
        assert entries(queue) <= 400
    assert len(queue) == 100
    assert fire(queue, 5000) == alive


def test_what_earlier_moves_leave_behind_does_not_fill_the_heap() -> None:
    queue = TimerQueue()
    alive = [Timer(queue, nothing, 1000 + n) for n in range(100)]
    for _ in range(10_000):
        timer = Timer(queue, nothing, 75)
        timer.move(10)
        timer.cancel()
        assert entries(queue) <= 600
    assert fire(queue, 5000) == alive


def test_compaction_keeps_a_timer_that_was_unset_and_is_set_again() -> None:
    queue = TimerQueue()
    resting = Timer(queue, nothing, 50)
    resting.move(NEVER)
    for _ in range(1000):
        Timer(queue, nothing, 60).cancel()
    resting.move(70)
    assert queue.next_deadline() <= 70
    assert fire(queue, 70) == [resting]


# -- callbacks that change the queue under our feet


def test_a_callback_may_cancel_the_next_one() -> None:
    queue = TimerQueue()
    second = Timer(queue, nothing, 2)
    first = Timer(queue, second.cancel, 1)
    assert fire(queue, 10) == [first]


def test_a_callback_may_move_the_next_one_away() -> None:
    queue = TimerQueue()
    second = Timer(queue, nothing, 2)
    first = Timer(queue, lambda: second.move(50), 1)
    assert fire(queue, 10) == [first]
    assert fire(queue, 50) == [second]


def test_a_timer_set_by_a_callback_waits_for_the_next_turn() -> None:
    queue = TimerQueue()
    turns = itertools.count()

    def again() -> None:
        next(turns)
        Timer(queue, again, 10)

    Timer(queue, again, 10)
    assert len(fire(queue, 10)) == 1
    assert len(fire(queue, 10)) == 1
    assert next(turns) == 2


def test_a_timer_that_moves_itself_to_now_waits_for_the_next_turn() -> None:
    queue = TimerQueue()
    timer = Timer(queue, lambda: timer.move(10), 10)
    assert fire(queue, 10) == [timer]
    assert fire(queue, 10) == [timer]


def test_len_counts_each_set_timer_once() -> None:
    queue = TimerQueue()
    timers = [Timer(queue, nothing, 100) for _ in range(3)]
    timers[0].move(50)
    timers[1].move(200)
    timers[2].cancel()
    assert len(queue) == 2


# -- property: the queue against a sorted list


class AgainstASortedList(RuleBasedStateMachine):
    """Every timer's deadline in a plain dict; whatever is due there, sorted, is what fires."""

    timers = Bundle("timers")
    delays = st.integers(-2, 30)

    def __init__(self) -> None:
        super().__init__()
        self.queue = TimerQueue()
        self.now = 0
        self.deadlines: dict[Timer, float] = {}

    @rule(target=timers, delay=delays)
    def set(self, delay: int) -> Timer:
        timer = Timer(self.queue, nothing, self.now + delay)
        self.deadlines[timer] = self.now + delay
        return timer

    @rule(timer=timers, delay=delays)
    def move(self, timer: Timer, delay: int) -> None:
        timer.move(self.now + delay)
        self.deadlines[timer] = self.now + delay

    @rule(timer=timers)
    def unset(self, timer: Timer) -> None:
        timer.move(NEVER)
        self.deadlines.pop(timer, None)

    @rule(timer=consumes(timers), twice=st.booleans())
    def cancel(self, timer: Timer, twice: bool) -> None:
        timer.cancel()
        if twice:
            timer.cancel()
        self.deadlines.pop(timer, None)

    @rule(count=st.integers(1, 200), delay=st.integers(1, 30), earlier=st.booleans())
    def come_and_go(self, count: int, delay: int, earlier: bool) -> None:
        for _ in range(count):
            timer = Timer(self.queue, nothing, self.now + delay)
            if earlier:
                timer.move(self.now + delay / 2)
            timer.cancel()

    @rule(seconds=st.integers(0, 40))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds
        fired = fire(self.queue, self.now)
        due = {timer: deadline for timer, deadline in self.deadlines.items() if deadline <= self.now}
        assert len(fired) == len(due)
        assert [due[timer] for timer in fired] == sorted(due.values())
        for timer in due:
            del self.deadlines[timer]
        assert self.queue.next_deadline() > self.now

    @invariant()
    def the_next_deadline_is_never_late(self) -> None:
        if self.deadlines:
            assert self.queue.next_deadline() <= min(self.deadlines.values())
        else:
            assert self.queue.next_deadline() == NEVER

    @invariant()
    def exactly_the_set_timers_are_active(self) -> None:
        assert len(self.queue) == len(self.deadlines)
        assert all(timer.active and timer.deadline == deadline for timer, deadline in self.deadlines.items())


test_the_queue_fires_what_a_sorted_list_would = AgainstASortedList.TestCase
