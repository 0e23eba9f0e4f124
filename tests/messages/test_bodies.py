"""Bodies that are not bytes: a pipe between a writer and a reader, and bodies that go through a function."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import PATIENCE
from evloop_http.messages import PIPE_SIZE, FileBody, FilePieces, HTTPError, Pipe, Response, TooSlow, Transformed
from evloop_http.messages.response import AT_ONCE


class Aside:
    """A call in another thread; what it returned or raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.result: object = None
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.result = error

    def wait(self) -> object:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.result


def wait_for_sleeper(pipe: Pipe) -> None:
    """Return when a thread sleeps at the pipe."""
    while not pipe._sleepers:
        threading.Event().wait(0.0001)


# -- reading and writing in one thread


def test_what_is_written_is_read_and_there_is_nothing_behind_it() -> None:
    pipe = Pipe()
    assert pipe.read() == b""
    assert [pipe.write(b"one"), pipe.write(b""), pipe.write(b"two")] == [True] * 3
    assert (pipe.read(), pipe.read(), pipe.written) == (b"onetwo", b"", 6)
    pipe.write(b"last")
    pipe.end()
    pipe.end(ValueError("too late"))
    assert (pipe.ended, pipe.finished) == (True, False)
    assert pipe.read() == b"last"
    assert (pipe.finished, pipe.read()) == (True, b"")


def test_a_full_pipe_accepts_nothing_until_it_is_read() -> None:
    pipe = Pipe(4)
    assert pipe.write(b"abc")
    assert not pipe.write(b"defgh")  # the write that fills it is accepted whole
    assert pipe.full
    with pytest.raises(BufferError, match="full"):
        pipe.write(b"x")
    room: list[bytes] = []
    pipe.on_writable = lambda: room.append(b"room")
    assert pipe.read() == b"abcdefgh"
    assert (pipe.full, room) == (False, [b"room"])
    pipe.read()
    assert room == [b"room"]
    assert pipe.write(b"x")


def test_a_paused_pipe_is_full_until_somebody_asks() -> None:
    pipe = Pipe(paused=True)
    asked: list[bool] = []
    pipe.on_writable = lambda: asked.append(True)
    with pytest.raises(BufferError):
        pipe.write(b"x")
    assert (pipe.read(), asked) == (b"", [True])
    assert pipe.write(b"x")


def test_nobody_is_told_of_room_in_a_pipe_that_has_ended() -> None:
    pipe = Pipe(1)
    pipe.on_writable = lambda: pytest.fail("there is nothing to write")
    pipe.write(b"x")
    pipe.end()
    assert pipe.read() == b"x"


def test_a_reader_is_told_once_until_it_has_read() -> None:
    pipe = Pipe()
    told: list[bool] = []
    pipe.on_readable = lambda: told.append(True)
    for piece in (b"", b"a", b"b"):
        pipe.write(piece)
    assert len(told) == 1
    pipe.read()
    pipe.write(b"c")
    assert len(told) == 2
    pipe.end()
    assert len(told) == 3


def test_a_writer_learns_that_the_reader_has_gone() -> None:
    closed: list[bool] = []
    pipe = Pipe(on_close=lambda: closed.append(True))
    pipe.write(b"x")
    pipe.close()
    pipe.close()
    assert (pipe.closed, closed, pipe.read()) == (True, [True], b"")
    for write in (pipe.write, pipe.put):
        with pytest.raises(BrokenPipeError):
            write(b"x")
    assert list(pipe) == []
    pipe.end()


def test_nothing_is_written_behind_the_end() -> None:
    pipe = Pipe()
    pipe.end()
    for write in (pipe.write, pipe.put):
        with pytest.raises(ValueError, match="ended"):
            write(b"x")


def test_an_error_is_met_behind_what_was_written_and_by_everybody_who_asks_again() -> None:
    pipe = Pipe()
    pipe.write(b"half")
    pipe.end(HTTPError(400, "The client has left."))
    assert pipe.read() == b"half"
    for _ in range(3):
        with pytest.raises(HTTPError, match="400 The client has left"):
            pipe.read()
    assert not pipe.finished


def test_an_error_that_cannot_be_made_again_is_another_one_the_next_time() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one)

    pipe = Pipe()
    pipe.end(Odd(1, 2))
    with pytest.raises(Odd):
        pipe.read()
    with pytest.raises(RuntimeError, match="broken off"):
        pipe.read()


@pytest.mark.parametrize("piece", ["text", 5, None, [1, 2]])
def test_only_bytes_are_written(piece: bytes) -> None:
    pipe = Pipe()
    for write in (pipe.write, pipe.put):
        with pytest.raises(TypeError, match=f"bytes, not {type(piece).__name__}"):
            write(piece)
    assert (pipe.read(), pipe.written) == (b"", 0)


def test_a_buffer_that_is_used_again_does_not_change_what_was_written() -> None:
    pipe, buffer = Pipe(), bytearray(b"old")
    pipe.write(buffer)  # type: ignore[arg-type]
    buffer[:] = b"new"
    pipe.put(memoryview(b"!"))  # type: ignore[arg-type]
    assert pipe.read() == b"old!"


def test_a_pipe_shows_its_state() -> None:
    pipe = Pipe(10)
    assert repr(pipe) == "<Pipe open, 0 of 10 bytes>"
    pipe.write(b"x" * 10)
    assert repr(pipe) == "<Pipe full, 10 of 10 bytes>"
    pipe.end()
    assert repr(pipe) == "<Pipe ended, 10 of 10 bytes>"
    pipe.close()
    assert repr(pipe) == "<Pipe closed, 0 of 10 bytes>"


def test_everything_that_is_read_goes_through_the_functions_in_order() -> None:
    pipe = Pipe(heartbeat=b"beat")
    pipe.transform(bytes.upper, lambda: b" end")
    pipe.transform(lambda piece: b"<" + piece + b">", lambda: b".")
    pipe.write(b"one")
    assert pipe.read() == b"<ONE>"
    assert pipe.read() == b""
    assert pipe.beat() == b"<BEAT>"
    pipe.write(b"two")
    pipe.end()
    assert pipe.read() == b"<TWO>< end>."
    assert pipe.read() == b""


def test_an_error_of_a_reader_leaves_no_cycle_behind() -> None:
    gc.collect()
    gc.disable()
    try:
        pipe = Pipe()
        seen = weakref.ref(pipe)
        pipe.write(b"x")
        pipe.end(HTTPError(400))
        for _ in range(3):
            try:
                list(pipe)
            except HTTPError:
                pass
        del pipe
        assert seen() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


# -- with threads


def test_a_thread_waits_while_there_is_nothing_to_read() -> None:
    pipe = Pipe()
    reading = Aside(lambda: list(pipe))
    for piece in (b"one", b"two"):
        wait_for_sleeper(pipe)
        pipe.write(piece)
        while pipe._buffer:
            pass
    wait_for_sleeper(pipe)
    pipe.end()
    assert reading.wait() == [b"one", b"two"]


def test_a_thread_waits_while_the_pipe_is_full() -> None:
    pipe = Pipe(3)
    pipe.put(b"one")

    def write() -> None:
        pipe.put(b"two")
        pipe.put(b"three")
        pipe.end()

    writing = Aside(write)
    wait_for_sleeper(pipe)
    assert pipe.read() == b"one"
    assert b"".join(pipe) == b"twothree"
    writing.wait()


def test_a_thread_that_waits_for_room_learns_that_the_reader_has_gone() -> None:
    pipe = Pipe(1)
    pipe.put(b"x")
    writing = Aside(lambda: pipe.put(b"y"))
    wait_for_sleeper(pipe)
    pipe.close()
    assert isinstance(writing.wait(), BrokenPipeError)


@pytest.mark.parametrize("act", [Pipe.close, Pipe.end, lambda pipe: pipe.end(TooSlow("behind"))])
def test_a_thread_that_waits_for_more_learns_of_the_end(act: Callable[[Pipe], object]) -> None:
    pipe = Pipe()
    reading = Aside(lambda: list(pipe))
    wait_for_sleeper(pipe)
    act(pipe)
    result = reading.wait()
    assert result == [] or isinstance(result, TooSlow)


def test_a_third_party_ends_a_wait_with_an_error_and_the_writer_learns_of_it() -> None:
    pipe = Pipe()
    reader = Aside(lambda: next(pipe))
    wait_for_sleeper(pipe)
    assert pipe.break_off(HTTPError(408))
    error = reader.wait()
    assert isinstance(error, HTTPError)
    assert error.status == 408
    with pytest.raises(BrokenPipeError):
        pipe.write(b"more")
    pipe.end()
    with pytest.raises(HTTPError, match="408"):  # whoever asks again
        next(pipe)


def test_a_third_party_ends_nothing_but_a_wait() -> None:
    def check(pipe: Pipe) -> None:
        assert not pipe.break_off(HTTPError(408))

    pipe = Pipe(1)
    check(pipe)
    pipe.write(b"x")
    check(pipe)
    writer = Aside(lambda: pipe.put(b"y"))
    wait_for_sleeper(pipe)
    check(pipe)
    assert (next(pipe), next(pipe), writer.wait()) == (b"x", b"y", None)
    pipe.end()
    check(pipe)
    assert next(pipe, None) is None
    paused = Pipe(paused=True)
    writer = Aside(lambda: paused.put(b"z"))
    wait_for_sleeper(paused)
    check(paused)
    paused.close()
    assert isinstance(writer.wait(), BrokenPipeError)
    check(paused)


def test_whoever_measures_is_told_of_every_wait_of_a_reader() -> None:
    pipe, told = Pipe(), list[tuple[bool, int]]()
    pipe.on_wait = lambda waits: told.append((waits, pipe.written))
    pipe.write(b"there")
    reader = Aside(lambda: list(pipe))
    wait_for_sleeper(pipe)
    pipe.write(b"later")
    pipe.end()
    assert reader.wait() == [b"there", b"later"]
    assert told[:2] == [(True, 5), (False, 10)]
    assert told[2:] in ([], [(True, 10), (False, 10)])


def test_the_loops_own_thread_does_not_wait() -> None:
    pipe = Pipe(home=threading.get_ident())
    pipe.write(b"x")
    assert next(pipe) == b"x"
    with pytest.raises(RuntimeError, match=r"response\.transform"):
        next(pipe)
    reading = Aside(lambda: next(pipe))
    wait_for_sleeper(pipe)
    pipe.write(b"y")
    assert reading.wait() == b"y"


# -- properties


@given(st.lists(st.binary(max_size=20) | st.none()), st.integers(1, 30))
def test_whatever_is_written_is_read_in_order_and_never_more_is_held_than_fits(
        steps: list[bytes | None], size: int) -> None:
    """None stands for a look of the reader."""
    pipe, got, given_ = Pipe(size), b"", b""
    for piece in steps:
        if piece is None or pipe.full:
            got += pipe.read()
        if piece is not None:
            assert pipe.write(piece) is not pipe.full
            given_ += piece
        assert len(pipe._buffer) < size + 20
    pipe.end()
    got += pipe.read()
    assert got == given_
    assert pipe.finished
    assert pipe.written == len(got)


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 60))
def test_whatever_one_thread_puts_another_reads(pieces: list[bytes], size: int) -> None:
    pipe = Pipe(size)

    def put_all() -> None:
        for piece in pieces:
            pipe.put(piece)
        pipe.end()

    writing = Aside(put_all)
    assert b"".join(pipe) == b"".join(pieces)
    writing.wait()


@given(st.binary(min_size=1, max_size=20))
def test_a_transformed_body_is_the_same_for_every_kind(whole: bytes) -> None:
    def transformed(response: Response) -> bytes:
        calls: list[bytes] = []

        def turn(piece: bytes) -> bytes:
            calls.append(piece)
            return piece[::-1].upper()

        response.transform(turn, lambda: b"|%d" % sum(map(len, calls)))
        body = response.body
        if isinstance(body, Pipe):
            body.end()
            return body.read()
        assert not isinstance(body, FileBody)
        return body if isinstance(body, bytes) else b"".join(body)

    pipe = Pipe()
    pipe.write(whole)
    expected = whole[::-1].upper() + b"|%d" % len(whole)
    assert transformed(Response(whole)) == expected
    assert transformed(Response(iter([whole]))) == expected
    assert transformed(Response(pipe)) == expected


# -- bodies that go through a function


def test_a_long_body_is_transformed_in_steps_while_it_is_sent() -> None:
    sizes: list[int] = []
    response = Response(bytes(AT_ONCE + 1), headers={"Content-Length": str(AT_ONCE + 1)})

    def count(piece: bytes) -> bytes:
        sizes.append(len(piece))
        return piece

    response.transform(count)
    assert sizes == []
    assert isinstance(response.body, Iterator)
    assert len(b"".join(response.body)) == sum(sizes) == AT_ONCE + 1
    assert max(sizes) < AT_ONCE / 2
    assert "Content-Length" not in response.headers


def test_an_empty_body_is_only_finished() -> None:
    response = Response()
    response.transform(lambda piece: pytest.fail("there is no piece"), lambda: b"end")
    assert response.body == b"end"


def test_part_of_a_file_is_transformed_and_closed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    file = (tmp_path / "f").open("rb")
    response = Response(FileBody(file, 2, 5))
    response.transform(lambda piece: piece * 2, lambda: b".")
    assert isinstance(response.body, Transformed)
    assert list(response.body) == [b"2345623456", b"."]
    assert list(response.body) == []
    response.close()
    assert file.closed


def test_a_file_that_has_shrunk_is_an_error_and_not_a_short_body(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    pieces = FilePieces(FileBody((tmp_path / "f").open("rb"), 5, 10))
    assert next(pieces) == b"56789"
    with pytest.raises(OSError, match="shrunk"):
        next(pieces)
    pieces.close()


def test_what_was_never_started_is_closed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    lines = (tmp_path / "f").open("rb")
    Transformed(lines, bytes.upper).close()
    assert lines.closed
    Transformed([b"x"], bytes.upper).close()


def test_a_pipe_holds_what_its_size_says() -> None:
    assert Pipe().size == PIPE_SIZE
