"""Many lives at a time, in rounds, after each of which the server must come to rest."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .application import THREADS
from .asking import make
from .client import Client, Ports
from .judging import Inbox, read_answer
from .levels import Levels, Served, risen
from .lives import LIVES
from .wires import Wire

#: How much more there may be after the last round than after the first: bytes of resident memory, of which an
#: allocator keeps a changing reserve, and blocks of the interpreter's allocator, which are counted exactly.
SLACK = {"memory": 32 * 1024 * 1024, "blocks": 20_000}
#: Faults after which a run ends: more of them say nothing new.
ENOUGH_FAULTS = 20
#: The largest share of clients that may be too slow to prove anything.
MOST_EXCUSED = 0.2


@dataclass
class Outcome:
    """What came out."""

    lives: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    refusals: int = 0
    excused: int = 0
    faults: list[str] = field(default_factory=list)
    #: the server's levels after each round
    rests: list[Levels] = field(default_factory=list)

    def note(self, name: str, client: Client) -> None:
        """Add what a client has met."""
        self.lives[name] += 1
        self.answers += client.answers
        self.refusals += client.refusals
        self.excused += client.excused
        self.faults += [f"life {client.number} ({name}): {fault}" for fault in client.faults]

    def judge_memory(self) -> None:
        """Add a fault if the memory has grown from the first round to the last."""
        if not self.rests:
            return
        first, last = self.rests[0], self.rests[-1]
        for name, slack in SLACK.items():
            if last[name] > first[name] + slack:
                self.faults.append(f"{name}: {last[name]} after the last round, and {first[name]} after the first")

    def judge_proof(self) -> None:
        """Add a fault if what was received proves little."""
        if self.excused > MOST_EXCUSED * self.lives.total():
            self.faults.append(f"{self.excused} of {self.lives.total()} clients were too slow: give them less to do, "
                               "with --clients")

    def __str__(self) -> str:
        return (f"{self.lives.total()} lives, {self.answers} answers, {self.refusals} refusals, "
                f"{self.excused} too slow, {len(self.faults)} faults")


class Chaos:
    """Clients that live against a server.

    Args:
        seed: decides what each of them does.
        clients: how many live at a time.
    """

    def __init__(self, served: Served, seed: int, clients: int) -> None:
        self.outcome = Outcome()
        self._served = served
        self._seed = seed
        self._clients = clients
        self._number = 1
        self._lock = threading.Lock()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        warm_up(served.ports)
        self.base = served.levels_at_rest(served.levels())

    def live(self, number: int) -> None:
        """Live one life."""
        client = Client(self._served.ports, self._context, self._seed, number)
        name = client.live(LIVES)
        with self._lock:
            self.outcome.note(name, client)

    def round(self, goes_on: Callable[[int], bool]) -> None:
        """Have clients live for as long as `goes_on` says of the number of the next life; then wait for rest."""
        threads = [threading.Thread(target=self._live_on, args=[goes_on]) for _ in range(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rest()

    def _live_on(self, goes_on: Callable[[int], bool]) -> None:
        while len(self.outcome.faults) < ENOUGH_FAULTS:
            with self._lock:
                number = self._number
                if not goes_on(number):
                    return
                self._number += 1
            self.live(number)

    def rest(self) -> None:
        """Wait until the server is at rest, and record what it has not let go of."""
        levels = self._served.levels_at_rest(self.base)
        self.outcome.rests.append(levels)
        self.outcome.faults += [f"not at rest: {fault}" for fault in risen(self.base, levels)]

    def conclude(self) -> Outcome:
        """Stop the server, and return what came out."""
        outcome = self.outcome
        outcome.judge_memory()
        outcome.judge_proof()
        outcome.faults += self._served.stop()
        if self._served.log:
            outcome.faults.append(f"the server has logged what nobody meant:\n{self._served.log[-5000:]}")
        return outcome


def until(seconds: float) -> Callable[[int], bool]:
    """Return a condition that holds for so many seconds."""
    end = time.monotonic() + seconds
    return lambda number: time.monotonic() < end


def up_to(last: int) -> Callable[[int], bool]:
    """Return a condition that holds for the numbers up to `last`."""
    return lambda number: number <= last


def warm_up(ports: Ports) -> None:
    """Have all threads started, and everything loaded that is loaded when it is first needed."""
    wires = [Wire(ports.plain) for _ in range(2 * THREADS)]
    for wire in wires:
        wire.send(make("warm", "GET", "/threaded?seconds=0.1").data)
    for path in ("/future", "/packed/threaded-pieces", "/threaded-pieces", "/raised", "/broken", "/files/large.bin",
                 "/async-pieces"):
        wires.append(Wire(ports.plain))
        wires[-1].send(make("warm", "GET", path).data)
    for wire in wires:
        read_answer(Inbox(wire.receive), "GET")
        wire.close()
