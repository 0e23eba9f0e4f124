"""Handlers that read a body while it arrives: who has to go when there are too few threads for them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE
from evloop_http.messages import HTTPError, Pipe
from evloop_http.messages.pending import Pending
from evloop_http.threads.pool import Further
from evloop_http.threads.streams import FAST, GRACE, HALF_LIFE, Pace
from uploading import WatchedStreams


@pytest.fixture
def streams() -> Iterator[WatchedStreams]:
    streams = WatchedStreams(3, 8)
    yield streams
    streams.close()


def read_all(pipe: Pipe) -> int:
    return sum(len(piece) for piece in pipe)


class Upload:
    """A client that uploads, and the handler that reads it."""

    def __init__(self, streams: WatchedStreams, function: Any = read_all) -> None:
        self.pipe = Pipe()
        future = streams.submit_reader(self.pipe, function, self.pipe)
        assert future is not None
        self.future: Pending[Any] = future

    def status(self) -> int:
        """What the handler met instead of more."""
        error = self.future.exception(PATIENCE)
        assert isinstance(error, HTTPError)
        return error.status

    def finish(self) -> int:
        """Send the last of it; how much the handler has read."""
        self.pipe.end()
        return self.future.result(PATIENCE)  # type: ignore[no-any-return]


def trickling(streams: WatchedStreams, sizes: list[int], seconds: float = 10.0) -> list[Upload]:
    """Uploads of so many bytes in so many seconds, whose handlers wait for more."""
    uploads = [Upload(streams) for _ in sizes]
    streams.await_waits(len(sizes))
    streams.clock.advance(seconds)
    for upload, size in zip(uploads, sizes, strict=True):
        upload.pipe.write(bytes(size))
        streams.await_waits(1)
    return uploads


# -- how fast


@given(st.integers(1, 10**9), st.lists(st.floats(0.01, 30), min_size=1, max_size=50))
def test_a_steady_flow_has_its_own_rate_from_the_beginning(rate: int, waits: list[float]) -> None:
    pace = Pace()
    for seconds in waits:
        # What arrives during a wait counts as if it had done so at its end, so the waits are taken in small steps.
        for _ in range(100):
            pace = pace.after(seconds / 100, 0)
            pace = Pace(pace.waited, pace.weight + rate * seconds / 100)
    assert pace.rate() == pytest.approx(rate, rel=0.03)


def test_nobody_buys_leave_to_be_slow() -> None:
    pace = Pace().after(1, 100 << 20)
    assert pace.rate() > FAST
    for _ in range(90):
        pace = pace.after(1, 16 * 1024)
    assert pace.rate() < 20 * 1024


def test_the_time_of_the_handler_does_not_count() -> None:
    pace = Pace().after(0, 1000).after(0, 1000)
    assert pace.rate() == float("inf")
    assert pace.after(HALF_LIFE, 0).weight == 1000


# -- who goes


def test_while_others_wait_the_slowest_goes_and_one_for_each(streams: WatchedStreams) -> None:
    uploads = trickling(streams, [300, 100, 200])
    first = Upload(streams)
    assert uploads[1].status() == 408
    first.pipe.write(bytes(FAST * 10))
    streams.await_waits(1)
    assert [upload.future.done() for upload in uploads] == [False, True, False]
    second = Upload(streams)
    assert uploads[2].status() == 408
    second.pipe.write(b"x")
    streams.await_waits(2)
    assert not uploads[0].future.done()
    assert uploads[0].finish() == 300
    assert (first.finish(), second.finish()) == (FAST * 10, 1)


def test_an_upload_is_never_ended_while_nobody_waits(streams: WatchedStreams) -> None:
    uploads = trickling(streams, [1, 1, 1], 100_000)
    streams.clock.advance(100_000)
    assert [upload.finish() for upload in uploads] == [1, 1, 1]


def test_a_fast_upload_is_not_ended_whoever_waits(streams: WatchedStreams) -> None:
    uploads = trickling(streams, [FAST * 20] * 3)
    waiting = Upload(streams)
    assert not any(upload.future.done() for upload in uploads)
    assert uploads[0].finish() == FAST * 20
    assert waiting.finish() == 0
    assert [upload.finish() for upload in uploads[1:]] == [FAST * 20] * 2


def test_it_takes_a_while_to_be_slow_and_the_next_byte_is_met_by_the_question_again(streams: WatchedStreams) -> None:
    uploads = [Upload(streams) for _ in range(3)]
    streams.await_waits(3)
    streams.clock.advance(GRACE - 0.5)
    waiting = Upload(streams)
    uploads[0].pipe.write(b"xx")
    streams.await_waits(1)
    assert not any(upload.future.done() for upload in uploads)
    streams.clock.advance(1)
    uploads[1].pipe.write(b"x")  # no other request has to come
    assert uploads[2].status() == 408
    assert (uploads[0].finish(), uploads[1].finish(), waiting.finish()) == (2, 1, 0)


def test_what_was_sent_quickly_long_ago_does_not_help(streams: WatchedStreams) -> None:
    burst, steady, other = trickling(streams, [10 << 20, 500_000, 500_000])
    for _ in range(100):
        streams.clock.advance(1)
        for upload, size in (burst, 20_000), (steady, 60_000), (other, 60_000):
            upload.pipe.write(bytes(size))
            streams.await_waits(1)
    waiting = Upload(streams)
    assert burst.status() == 408
    assert (steady.finish(), other.finish(), waiting.finish()) == (6_500_000, 6_500_000, 0)


def test_a_handler_at_work_makes_no_client_slow(streams: WatchedStreams) -> None:
    go_on, at_work = threading.Event(), threading.Semaphore(0)

    def read_with_pauses(pipe: Pipe) -> int:
        size = len(next(pipe))
        at_work.release()
        assert go_on.wait(PATIENCE)
        return size + read_all(pipe)

    uploads = [Upload(streams, read_with_pauses) for _ in range(3)]
    streams.await_waits(3)
    for upload in uploads:
        upload.pipe.write(b"x")
        assert at_work.acquire(timeout=PATIENCE)
    streams.clock.advance(1000)
    waiting = Upload(streams)
    go_on.set()
    streams.await_waits(3)
    assert not any(upload.future.done() for upload in uploads)
    assert [upload.finish() for upload in uploads] == [1, 1, 1]
    assert waiting.finish() == 0


def test_no_second_goes_while_the_first_is_still_leaving(streams: WatchedStreams) -> None:
    met, go_on = threading.Event(), threading.Event()

    def stubborn(pipe: Pipe) -> None:
        try:
            read_all(pipe)
        except HTTPError:
            met.set()
            assert go_on.wait(PATIENCE)
            raise

    slowest = Upload(streams, stubborn)
    streams.await_waits(1)
    streams.clock.advance(10)
    others = [Upload(streams) for _ in range(2)]
    streams.await_waits(2)
    streams.clock.advance(10)
    waiting = Upload(streams)
    assert met.wait(PATIENCE)
    for upload in others:
        upload.pipe.write(b"x")
        streams.await_waits(1)
    assert not any(upload.future.done() for upload in others)
    go_on.set()
    assert slowest.status() == 408
    assert [upload.finish() for upload in others] == [1, 1]
    assert waiting.finish() == 0


def test_a_job_that_no_client_is_waited_for_in_is_not_ended_and_may_wait(streams: WatchedStreams) -> None:
    gate = threading.Event()
    held = [streams.submit_reader(None, gate.wait, PATIENCE) for _ in range(2)]
    upload, = trickling(streams, [1])
    queued = streams.submit_reader(None, int)
    assert queued is not None
    assert upload.status() == 408
    assert queued.result(PATIENCE) == 0
    gate.set()
    assert all(future is not None and future.result(PATIENCE) for future in held)


def test_a_thread_that_has_left_its_place_to_another_is_not_ended(streams: WatchedStreams) -> None:
    done: list[int] = []

    def produce(pipe: Pipe) -> Further:
        return Further("known", lambda: done.append(read_all(pipe)))

    producing = [Upload(streams, produce) for _ in range(3)]
    assert [upload.future.result(PATIENCE) for upload in producing] == ["known"] * 3
    uploads = trickling(streams, [1, 2, 3])
    waiting = Upload(streams)
    assert uploads[0].status() == 408
    for upload in producing:
        upload.pipe.write(b"x")
        upload.pipe.end()
    assert (uploads[1].finish(), uploads[2].finish(), waiting.finish()) == (2, 3, 0)
    streams.close()
    assert done == [1, 1, 1]


def test_where_nobody_may_wait_one_goes_for_whoever_is_refused_and_comes_again() -> None:
    streams = WatchedStreams(2, 0)
    uploads = trickling(streams, [2, 1])
    for _ in range(3):
        if streams.submit_reader(None, int) is not None:
            break
        assert uploads[1].status() == 408
    else:
        pytest.fail("there is no room")
    assert not uploads[0].future.done()
    assert uploads[0].finish() == 2
    streams.close()


def test_a_job_that_is_cancelled_in_the_queue_makes_nobody_go(streams: WatchedStreams) -> None:
    uploads = trickling(streams, [1, 2, 3], GRACE - 1)
    waiting = Upload(streams)
    assert waiting.future.cancel()
    streams.clock.advance(10)
    for upload in uploads:
        upload.pipe.write(b"x")
        streams.await_waits(1)
    assert [upload.finish() for upload in uploads] == [2, 3, 4]


def test_a_pipe_that_was_read_in_a_thread_is_not_kept(streams: WatchedStreams) -> None:
    gc.collect()
    gc.disable()
    try:
        for act in (Upload.finish, lambda upload: upload.pipe.end(HTTPError(400))):
            upload = Upload(streams)
            streams.await_waits(1)
            act(upload)
            upload.future.exception(PATIENCE)
            reader = weakref.ref(upload.pipe)
            del upload
            streams.close()  # a thread that has ended keeps nothing
            assert reader() is None
    finally:
        gc.enable()
