"""CPython's own tests of asyncio, run on the loop whose selector is the reactor.

    ./scripts/conformance asyncio [test_events ...]
    PYTHON=python3.13 ./scripts/conformance asyncio

They come with the interpreter, in its package `test` (Debian: `libpython3-testsuite`). Nothing of asyncio is replaced
but the loop: where a test makes a loop, it gets ours. `test_events` is run a second time with the reactor driving. A
module in which no loop of ours was made counts as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import sys
import time
import unittest
import warnings
from collections.abc import Awaitable, Iterator
from types import ModuleType
from typing import TypeVar

from evloop_http.loops.asyncio import DrivenLoop, Loop

T = TypeVar("T")

#: Those in which loops are made and run. Other modules test parts of asyncio on loops that do nothing.
MODULES = ("test_events", "test_streams", "test_subprocess", "test_sock_lowlevel", "test_sendfile", "test_server",
           "test_sslproto", "test_ssl", "test_threads", "test_timeouts", "test_taskgroups", "test_waitfor",
           "test_unix_events")

#: Not run, and why. The tests in `EPollEventLoopTests` and its like all are.
DESELECTED = {
    "SelectEventLoopTests": "the tests of EPollEventLoopTests on another selector; ours is the reactor's",
    "PollEventLoopTests": "likewise",
}
#: How test cases name the method that makes their loop.
MAKERS = ("create_event_loop", "new_loop")
#: Not run where the reactor drives.
NOT_TURNED = {
    "test_run_until_complete_stopped": "nobody runs this loop, so `stop` has nothing to end but the turn",
}


class TurnedLoop(DrivenLoop):
    """A loop that is not run: somebody polls the reactor until the result is there."""

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        """Take turns until a future or a coroutine is done."""
        if self.is_running():
            return super().run_until_complete(future)  # which refuses
        wanted = asyncio.ensure_future(future, loop=self)
        while not wanted.done():
            self.reactor.poll()
        self.reactor.poll(0)  # asyncio's own takes this turn too: the future's callback stops it
        return wanted.result()


class Counting:
    """Makes loops, and counts them."""

    def __init__(self, kind: type[Loop]) -> None:
        self.kind = kind
        self.made = 0

    def __call__(self) -> Loop:
        self.made += 1
        return self.kind()


def use_for_new_loops(make: Counting) -> None:
    """Have `asyncio.new_event_loop` and `unittest.IsolatedAsyncioTestCase` make loops by `make`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # policies go away in Python 3.16, and the tests use them

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self) -> Loop:
                return make()

        asyncio.set_event_loop_policy(Policy())


def cases(module: ModuleType, make: Counting) -> Iterator[type[unittest.TestCase]]:
    """Yield the test cases of a module, those that make their loop themselves with ours."""
    for name, case in list(vars(module).items()):
        if not (isinstance(case, type) and issubclass(case, unittest.TestCase)) or name in DESELECTED:
            continue
        if makers := [maker for maker in MAKERS if hasattr(case, maker)]:
            left_out = dict.fromkeys(NOT_TURNED) if make.kind is TurnedLoop else {}
            ours = dict.fromkeys(makers, lambda self: make())
            case = type(name, (case,), {**ours, **left_out, "__module__": module.__name__})
        elif make.kind is TurnedLoop:
            continue  # they do not depend on who drives
        yield case


def run(name: str, kind: type[Loop]) -> bool:
    """Run the tests of a module, and print what came of it. Return whether all is well."""
    module = importlib.import_module(f"test.test_asyncio.{name}")
    make = Counting(kind)
    use_for_new_loops(make)  # each module puts it back at its end
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    suite = unittest.TestSuite(load(case) for case in cases(module, make))
    log, begun = io.StringIO(), time.perf_counter()
    result = unittest.TextTestRunner(log).run(suite)
    is_well = result.wasSuccessful() and make.made > 0
    print(f"{'ok    ' if is_well else 'FAILED'} {name} on {kind.__name__}: {result.testsRun} tests, "
          f"{len(result.failures) + len(result.errors)} failed, {len(result.skipped)} skipped, {make.made} loops, "
          f"{time.perf_counter() - begun:.1f} s", flush=True)
    if not is_well:
        print(log.getvalue())
    return is_well


def main() -> int:
    """Run the modules that are named, or all."""
    parser = argparse.ArgumentParser(prog="conformance asyncio", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all of them")
    names = parser.parse_args().modules or list(MODULES)
    if unknown := set(names) - set(MODULES):
        parser.error(f"there is no {', '.join(sorted(unknown))} here; choose from {', '.join(MODULES)}")
    try:
        importlib.import_module("test.test_asyncio")
    except ImportError:
        print(f"{sys.executable} was installed without its tests (the package `test`)", file=sys.stderr)
        return 2
    print(f"Python {sys.version.split()[0]}", flush=True)
    wanted = [(name, kind) for name in names for kind in ((Loop, TurnedLoop) if name == "test_events" else (Loop,))]
    failed = sum(not run(name, kind) for name, kind in wanted)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
