"""A client: its choices, its connections, what it has received and what it has found.

A client that was quicker than the server's shortest deadline has a right to all of its answers (`take`). Of one that
was slower, and of one that has broken a rule, only what it did receive is judged (`take_what_comes`).
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from . import asking
from .asking import ASKS, Ask, choose
from .judging import Answer, Inbox, is_refusal, judge, read_answer
from .serving import SHORTEST
from .wires import PLAIN, Hung, Manner, TlsWire, Wire

#: The application has no thread for a request, or has ended the slowest upload for another. It did not wait for the
#: body, behind which nothing can be found then.
BREAKING_OFF = frozenset({503, 408})
#: Of all connections, so many are over TLS.
TLS_SHARE = 0.4


class Ports(NamedTuple):
    """Where the server listens."""

    plain: int
    tls: int


class Talk:
    """A connection, and what is received on it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.inbox = Inbox(wire.receive)


class Client:
    """One life: its choices, its connections and what it has found."""

    def __init__(self, ports: Ports, context: ssl.SSLContext, seed: int, number: int) -> None:
        self.random = Random(f"{seed}/{number}")
        self.number = number
        self.faults: list[str] = []
        #: answers that were the right ones, and refusals by the server
        self.answers = self.refusals = 0
        #: it was slower than a deadline of the server, and did not get all of its answers
        self.excused = False
        self._ports = ports
        self.context = context
        self._asked = 0
        self._began = time.monotonic()
        self._open = contextlib.ExitStack()

    def live(self, ways: dict[Life, int]) -> str:
        """Live in one of these ways, with weights, and return its name. What went wrong is in `faults`."""
        life = self.random.choices(list(ways), list(ways.values()))[0]
        with self._open:
            try:
                life(self)
            except Hung as error:
                self.faults.append(str(error))
            except OSError as error:
                if not self.is_late():
                    self.faults.append(f"could not connect: {error}")
            except Exception as error:  # a mistake of ours, which must not look like a client that found nothing
                self.faults.append(f"the client failed: {error!r}")
        return life.__name__

    def is_late(self) -> bool:
        """Return whether the server may have lost patience by now."""
        return time.monotonic() - self._began > SHORTEST

    # Connecting

    def connect(self, manner: Manner = PLAIN, tls: bool | None = None) -> Talk:
        """Connect, over TLS if `tls` or the dice say so."""
        if tls is None:
            tls = self.random.random() < TLS_SHARE
        wire = TlsWire(self._ports.tls, self.context, manner) if tls else Wire(self._ports.plain, manner)
        self._open.callback(wire.close)
        if not wire.greet() and not self.is_late():
            self.faults.append("the handshake failed")
        return Talk(wire)

    def connect_raw(self, tls: bool) -> Wire:
        """Connect to a port without speaking its protocol."""
        wire = Wire(self._ports.tls if tls else self._ports.plain)
        self._open.callback(wire.close)
        return wire

    # Asking

    def nonce(self) -> str:
        self._asked += 1
        return f"{self.number}.{self._asked}.{self.random.randrange(1 << 32):08x}"

    def asks(self, least: int, most: int) -> list[Ask]:
        """Return some requests."""
        return [choose(self.random, ASKS, self.nonce()) for _ in range(self.random.randint(least, most))]

    def small_asks(self, least: int, most: int) -> list[Ask]:
        """Return some requests of which none is an upload."""
        return [ask for ask in self.asks(least, most) if len(ask.data) < 4096] or [self.small_ask()]

    def small_ask(self) -> Ask:
        return asking.ask_small(self.random, self.nonce())

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # Receiving

    def take(self, talk: Talk, ask: Ask, *, may_close: bool = False) -> bool:
        """Receive the answer to a request, to which the client has a right. Return whether another one may follow.

        Args:
            may_close: whether the client has said that the request is its last.
        """
        answer = read_answer(talk.inbox, ask.method)
        if isinstance(answer, str):
            self._note_missing(ask, answer)
            return False
        if is_refusal(answer):
            self.refusals += 1
            if not ask.waits:
                self._note_missing(ask, f"was refused with {answer.status}")
            return False
        fault = judge(ask, answer)
        if fault:
            self._accuse(ask, fault)
            return False
        self.answers += 1
        if not answer.whole:
            self._note_missing(ask, f"ends after {len(answer.content)} bytes of content")
        elif answer.closing and not may_close and answer.status not in BREAKING_OFF:
            self._accuse(ask, "is answered for the last time, and nobody knows why")
        return answer.whole and not answer.closing

    def take_all(self, talk: Talk, asks: Sequence[Ask]) -> bool:
        """Receive the answers to requests, in order. Return whether there was none that should not be."""
        for ask in asks:
            if not self.take(talk, ask, may_close=ask is asks[-1]):
                break
        return not self.faults and not self.excused

    def take_what_comes(self, talk: Talk, asks: Sequence[Ask]) -> None:
        """Receive until the connection ends. Each answer is the next request's; behind a refusal there is nothing."""
        for ask in asks:
            answer = read_answer(talk.inbox, ask.method)
            if not isinstance(answer, Answer):
                if answer:
                    self._accuse(ask, answer)
                return
            if is_refusal(answer):
                break
            if fault := judge(ask, answer):
                self._accuse(ask, fault)
                return
            self.answers += 1
        self.take_end(talk)

    def take_end(self, talk: Talk) -> None:
        """Receive the end of the connection: nothing may precede it but one refusal."""
        answer = read_answer(talk.inbox, "GET")
        if isinstance(answer, Answer) and is_refusal(answer):
            self.refusals += 1
            answer = read_answer(talk.inbox, "GET")
        if answer != "":
            self.faults.append(f"something follows the last answer: {answer!r:.200}")

    def _note_missing(self, ask: Ask, how: str) -> None:
        if self.is_late():
            self.excused = True
        elif not ask.breaks:  # an answer that breaks may do so before its first byte
            self._accuse(ask, how or "was not answered")

    def _accuse(self, ask: Ask, fault: str) -> None:
        self.faults.append(f"{ask.method} {ask.path} {fault}")

    # Leaving

    def leave(self, talk: Talk) -> None:
        """End the connection in one of the ways there are."""
        self.random.choice((talk.wire.close, talk.wire.reset, talk.wire.half_close))()

    def cut_anywhere(self, data: bytes) -> bytes:
        """Return the beginning of `data`, without its end."""
        return data[:self.random.randrange(len(data))]

    def pieces(self, largest: int) -> Callable[[int], int]:
        """Return a cut into pieces of at most so many bytes."""
        return lambda left: self.random.randint(1, largest)


#: What a client does, from its first byte to its reset.
Life = Callable[[Client], None]
