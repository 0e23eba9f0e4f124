"""Ctrl-C and SIGTERM, once and again.

The loop acts on a signal, as on everything. But a signal that is meant for a loop that does not answer must not wait
for it: so they are counted where they arrive, in the handler, which Python runs in the main thread between any two
steps of a program. At the second one, what handled signals before is put back, and the third does what it did
before there was a server: Ctrl-C raises `KeyboardInterrupt`, SIGTERM ends the process, unless the program has its own
way with them.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from ..net.reactor import Reactor

#: Called with the number of a signal, and how many have arrived.
OnSignal = Callable[[int, int], object]


@contextlib.contextmanager
def minding_signals(reactor: Reactor, act: Callable[[], object], on_signal: OnSignal | None) -> Iterator[None]:
    """Have the loop call `act` for each of the first two signals, within the `with` block.

    Args:
        on_signal: told of them in the handler itself, after `act` has been scheduled.

    Raises:
        RuntimeError: not in the main thread.
    """
    found: dict[int, Callable[[], object] | None] = {}
    times = 0

    def put_back() -> None:
        while found:  # item by item, because a signal may interrupt this and do it too
            reactor.on_signal(*found.popitem())

    def arrive(number: int) -> None:
        nonlocal times
        times += 1
        if times == 2:
            put_back()
        if on_signal is not None:
            on_signal(number, times)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            found[number] = reactor.on_signal(number, act, arrive)
        yield
    finally:
        put_back()
