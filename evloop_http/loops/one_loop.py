"""An asyncio event loop whose selector is the reactor: one thread, one `epoll`, and nothing handed over.

An asyncio loop does one thing that lasts: it asks its selector to `select(timeout)`. Ours takes a turn of the reactor
there, which sleeps until the earlier of both deadlines and calls back what is the reactor's, and then returns what is
asyncio's. So a coroutine and a connection live in the same thread, and each calls the other directly:

    loop = Loop(reactor)                                    with asyncio.Runner(loop_factory=Loop) as runner:
    loop.run_until_complete(main())                             runner.run(main())

Only public API is used. What had to be got right:

*Two owners of one selector.* asyncio's descriptors are registered with the reactor, each with a callback that only
notes its events; the keys with asyncio's data are kept here. So neither side sees what is the other's, and a number
that both want is an error. asyncio acts on its batch after the reactor has acted on its own, and a handler may have
closed what is in it: whatever was changed since is taken out again. Selectors are level-triggered, so nothing is lost.

*Nobody is asleep while asyncio calls back.* It always comes back to `select` before it sleeps. The reactor is told so
(`awake`); otherwise each `reactor.call_soon` in a task would write to its own waker.

*Who takes the turns?* asyncio does. Where somebody else does, see `driven_loop`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple

from ..net.reactor import FileDescriptor, Reactor
from .beginning import BEGINNING
from .finishing import Finishing

if TYPE_CHECKING:
    from concurrent.futures import Executor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Keys(Mapping[FileDescriptor, selectors.SelectorKey]):
    """Keys by the number of their descriptor, found by what has such a number too, and by what had it."""

    def __init__(self) -> None:
        self.by_number: dict[int, selectors.SelectorKey] = {}

    def number_of(self, descriptor: FileDescriptor) -> int:
        """Return the number of a descriptor.

        Raises:
            ValueError: it is closed and not registered, or not a descriptor.
        """
        if isinstance(descriptor, int):
            return descriptor
        try:
            number = int(descriptor.fileno())
        except (AttributeError, TypeError, ValueError):
            number = -1
        if number >= 0:
            return number
        for key in self.by_number.values():
            if key.fileobj is descriptor:
                return key.fd
        raise ValueError(f"Invalid file object: {descriptor!r}")

    def __getitem__(self, descriptor: FileDescriptor) -> selectors.SelectorKey:
        try:
            return self.by_number[self.number_of(descriptor)]
        except ValueError:
            raise KeyError(descriptor) from None

    def __iter__(self) -> Iterator[int]:
        return iter(self.by_number)

    def __len__(self) -> int:
        return len(self.by_number)


class SharedSelector(selectors.BaseSelector):
    """The part of a reactor's selector that belongs to somebody else."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        #: how much there was to do in the last turn, on both sides
        self.count = 0
        self._keys = _Keys()
        self._ready: dict[int, int] = {}

    def register(self, fileobj: FileDescriptor, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor.

        Raises:
            KeyError: it is registered already, here or with the reactor.
            ValueError: it is closed, or `events` is nothing.
        """
        number = self._keys.number_of(fileobj)
        self._reactor.register(number, events, partial(self._ready.__setitem__, number))
        return self._keep(selectors.SelectorKey(fileobj, number, events, data))

    def _keep(self, key: selectors.SelectorKey) -> selectors.SelectorKey:
        self._keys.by_number[key.fd] = key
        return key

    def modify(self, fileobj: FileDescriptor, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change what a descriptor is watched for, and its data.

        Raises:
            KeyError: it is not registered here.
            ValueError: `events` is nothing.
        """
        key = self._keys[fileobj]
        if events != key.events:
            self._reactor.modify(key.fd, events, partial(self._ready.__setitem__, key.fd))
        self._ready.pop(key.fd, None)
        return self._keep(key._replace(events=events, data=data))

    def unregister(self, fileobj: FileDescriptor) -> selectors.SelectorKey:
        """Watch a descriptor no more.

        Raises:
            KeyError: it is not registered here.
        """
        key = self._keys.by_number.pop(self._keys[fileobj].fd)
        self._reactor.unregister(key.fd)
        self._ready.pop(key.fd, None)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Take a turn of the reactor, and return what is ready of the descriptors that are registered here."""
        self._ready.clear()  # of turns that others took
        self._reactor.awake = False
        try:
            self.count = self._reactor.poll(timeout)
        finally:
            self._reactor.awake = True
        keys = self._keys.by_number
        return [(keys[number], events) for number, events in self._ready.items()]

    def get_map(self) -> Mapping[FileDescriptor, selectors.SelectorKey]:
        """Return the keys by descriptor."""
        return self._keys

    def close(self) -> None:
        """Unregister everything that is registered here. The reactor stays open."""
        for number in list(self._keys):
            self.unregister(number)


class Loop(asyncio.SelectorEventLoop):
    """An asyncio event loop that sleeps, and is woken, in the turns of a reactor.

    While it runs, the reactor is served: nobody else need call its `poll`. Everything of asyncio works: streams,
    subprocesses, threads, signal handlers.

    Args:
        reactor: one that outlives the loop and is its owner's to close; without one, the loop makes one and closes it.
    """

    def __init__(self, reactor: Reactor | None = None) -> None:
        self._owns_reactor = reactor is None
        #: the one in whose turns it sleeps
        self.reactor = Reactor() if reactor is None else reactor
        self._executor: ThreadPoolExecutor | None = None
        self._finishing: Finishing | None = None
        super().__init__(self._make_selector())
        #: runs a coroutine in a task whose first step is taken at once, if that can be had; see `beginning`
        self.begin = BEGINNING(self).begin

    def _make_selector(self) -> SharedSelector:
        return SharedSelector(self.reactor)

    def time(self) -> float:
        """Return the time of the reactor's clock, in seconds."""
        return self.reactor.time()

    def run_forever(self) -> None:
        """Run until `stop`.

        Raises:
            RuntimeError: it runs already, another loop does, or a callback of the reactor calls this.
        """
        if self.reactor.awake and not self.is_running():
            raise RuntimeError("a callback of the reactor cannot run a loop that sleeps in the reactor's turns")
        self.reactor.awake = True
        try:
            super().run_forever()
        finally:
            self.reactor.awake = self.is_running()

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove the handler of a signal. Return whether there was one."""
        removed = super().remove_signal_handler(sig)
        if removed:  # with its last one, asyncio takes away what wakes the reactor too
            self.reactor.retake_signals()
        return removed

    # Ending

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:  # type: ignore[override]
        """Set the executor that `run_in_executor` and `asyncio.to_thread` use."""
        super().set_default_executor(executor)
        self._executor = executor

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T],
                        *args: *Ts) -> asyncio.Future[T]:
        """Call `func` in a thread of an executor; None is the default one."""
        if executor is None and self._executor is None:
            # What asyncio would do itself, but then only it would know whom to wait for at the end.
            self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
        return super().run_in_executor(executor, func, *args)

    def finish(self, seconds: float = 1.0) -> None:
        """End what is left: cancel tasks and wait for them, close asynchronous generators, wait for the executor.

        To be called between `run_forever` and `close`. What does not end in time is logged and left behind. A thread
        that is left behind keeps the interpreter from exiting, as every thread of a `ThreadPoolExecutor` does.

        Args:
            seconds: for all of it. Each of the three has a tenth of a second in any case.

        Raises:
            RuntimeError: the loop runs or is closed.
        """
        if self.is_running() or self.is_closed():
            raise RuntimeError(f"a loop that is {'running' if self.is_running() else 'closed'} cannot be finished")
        self._finishing = Finishing(self, self._executor, seconds)
        try:
            ending = self.create_task(self._finishing.run())
            ending.add_done_callback(lambda ending: self.stop())
            while not ending.done():  # whatever else stops the loop: a task may, when it is cancelled
                self.run_forever()
            ending.result()
        finally:
            self._finishing = None

    def hurry(self) -> None:
        """If `finish` waits, have it wait no longer than it would with no seconds. In the loop's thread."""
        if self._finishing is not None:
            self._finishing.hurry()

    def close(self) -> None:
        """Close the loop, and the reactor if the loop has made it.

        Raises:
            RuntimeError: the loop runs.
        """
        super().close()
        if self._owns_reactor:
            self.reactor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """`finish` and `close`."""
        try:
            if not self.is_closed():
                self.finish()
        finally:
            self.close()
