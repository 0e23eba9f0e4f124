"""How the command ends: what Ctrl-C and SIGTERM do to the process, once, again, and a third time.

This is for a process that is the server's own. `Server.run` in a program of one's own returns, and ends nothing.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from .server import Server
from .server.in_flight import describe

#: Seconds to finish what is in flight.
GRACE = 10.0
#: Seconds after that in which the application's threads and exit functions may come to their end.
_LAST_WORDS = 0.5
#: Seconds after which a loop that has not begun to stop is said not to answer.
_NO_ANSWER = 1.0
#: Seconds to close every connection. With those for flushing, the process has ended within a second.
_FORCED = 0.5
_FLUSHING = 0.25


class Ending:
    """Ends the process when signals ask for it.

    `Server.run` returns when every connection is closed, but a process goes on for as long as a thread of the
    application does that is no daemon, or an exit function; and a loop may not answer at all. So each signal starts a
    thread that ends the process some time later, if nothing else has.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._forced: int | None = None  # the exit status, once there has been a second signal
        self._has_answered = False       # the loop, to the first signal

    def run(self) -> None:
        """Serve until the signals have it end."""
        # What the third signal does, for nothing in Python can stand in its way; and Ctrl-C once `run` has returned.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._server.run(GRACE, self.on_signal)

    def on_signal(self, number: int, times: int) -> None:
        """Note a signal. It interrupts the main thread anywhere, so nothing here waits for a lock."""
        if times == 1:
            self._server.reactor.call_soon_threadsafe(self._answer)
            _start_thread(self._complain)
            _start_thread(_end_after, GRACE + _LAST_WORDS, 0)
        else:
            self._forced = 130 if number == signal.SIGINT else 0
            _start_thread(_end_after, _FORCED, self._forced)

    def _answer(self) -> None:
        self._has_answered = True
        print_waiting(self._server, sys.stderr)

    def _complain(self) -> None:
        time.sleep(_NO_ANSWER)
        if not self._has_answered:
            with contextlib.suppress(OSError):
                os.write(2, b"evloop-http: the loop does not answer: a handler has not returned; again to end it\n")

    def finish(self) -> int:
        """Return the exit status. After a second signal, end the process instead."""
        if self._forced is not None:
            _flush_and_end(self._forced)
        return 0


def _start_thread(function: Callable[..., object], *arguments: object) -> None:
    """Start a daemon thread from the handler of a signal.

    `threading.Thread` would take a lock that the main thread may have been interrupted with.
    """
    with contextlib.suppress(RuntimeError):  # there is no thread to be had: the third signal ends the process
        _thread.start_new_thread(function, arguments)


def _end_after(seconds: float, status: int) -> None:
    time.sleep(seconds)
    # In another thread, because a stream may be locked by somebody who waits for ever.
    _start_thread(_flush_and_end, status)
    time.sleep(_FLUSHING)
    os._exit(status)


def _flush_and_end(status: int) -> None:
    """End the process without waiting for threads or exit functions."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def print_waiting(server: Server, out: TextIO) -> None:
    """Say what a server that stops waits for, unless that is nothing."""
    requests, states = server.in_flight(), server.stats()["open"]
    assert isinstance(states, dict)
    others = sum(states.values()) - states["idle"] - states["lingering"] - len(requests)  # those end by themselves
    waited = [describe(requests)] if requests else []
    if others:
        waited.append(f"{others} {'other ' if requests else ''}connection{'s' if others != 1 else ''}")
    if waited:
        them = "them" if len(requests) + others > 1 else "it"
        print(f"evloop-http: waiting for {'; '.join(waited)}; again to close {them}", file=out, flush=True)
