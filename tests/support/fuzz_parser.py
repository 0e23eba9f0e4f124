"""The fuzzer: bytes that grow towards new branches of the parser, each held against `oracle`.

`scripts/fuzz` runs it. It is no test file, because atheris has no wheels for every Python that the tests
run with. The first bytes of an input say how to read the rest: as requests or as responses, to which
methods, within which limits, cut where. What reaches a new branch is kept in `.fuzz/corpus`, so the next
run begins where this one ended. It stops at the first input that the oracle finds wrong, and prints it
as Python would write it; the input is kept too, and tried first by the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import atheris

with atheris.instrument_imports(include=["evloop_http"]):
    import evloop_http.http1

import hostile
import oracle
from evloop_http.http1 import Limits
from evloop_http.http1.strategies import POISONS

FOLDER = Path(__file__).resolve().parents[2] / ".fuzz"
HEADER = 5
MAX_LENGTH = 600
#: Of the processor, not of the clock: a machine that is paused or busy is no hang. A sound input takes thousandths.
HANG_SECONDS = 30
LIMITS = (Limits(), Limits(),
          Limits(request_line=30, head=90, fields=3, body=20, chunk_line=8, chunk_overhead=4, interim=1),
          Limits(request_line=60, head=40, fields=2, body=0, chunk_line=1, chunk_overhead=0, interim=0))
METHODS = ("GET", "HEAD", "CONNECT", "POST")
TOKENS = [
    *POISONS, b"GET ", b"POST ", b"HEAD ", b"CONNECT a:1 ", b"OPTIONS * ", b" HTTP/1.0\r\n", b" HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n", b"HTTP/1.1 304 \r\n", b"Host: ", b"Connection: ",
    b"Upgrade: x\r\n", b"keep-alive", b"chunked", b"gzip, ", b"100-continue", b"http://a", b"[::1]", b";a=b",
    b';a="b"', b" ; a = b", b"%41", b"\xe9", b"Trailer: A\r\n", b"TE: trailers\r\n", b"Referer: a\r\n",
    b"1;a\r\nx\r\n"]


class Input(NamedTuple):
    """What the bytes of the fuzzer mean."""

    raw: bytes
    places: tuple[int, ...]
    limits: Limits
    methods: tuple[str, ...] | None
    eof: bool

    @classmethod
    def of(cls, data: bytes) -> Input:
        how, asked, *places = data[:HEADER].ljust(HEADER, b"\0")
        raw = data[HEADER:]
        methods = tuple(METHODS[asked >> shift & 3] for shift in (0, 2, 4, 6)) if how & 1 else None
        near_end = [len(raw) - place for place in places[1:]]
        return cls(raw, (places[0], sum(places[:2]), *near_end), LIMITS[how >> 1 & 3], methods, bool(how & 8))

    def check(self) -> None:
        oracle.check(self.raw, self.places, self.limits, self.methods)
        if self.limits == Limits():
            for reader in oracle.READERS:
                oracle.check_against(reader, self.raw, self.methods, self.eof and self.methods is not None)


class Fuzzer:
    """Checks one input after the other until one is wrong, the time is over or somebody stops it."""

    def __init__(self, minutes: float) -> None:
        self.began = self.told = time.monotonic()
        self.ends = self.began + minutes * 60
        self.executions = 0
        self.stopped = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        # Only noted: raised from here, it would end inside a callback of httptools, which would call it its own.
        self.stopped = True

    def check(self, data: bytes) -> None:
        now = time.monotonic()
        if self.stopped or now > self.ends:
            self.end(0)
        if now - self.told > 60:
            self.told = now
            print(self, flush=True)
        self.executions += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
        try:
            Input.of(data).check()
        except Exception as error:
            self.report(data, error)

    def report(self, data: bytes, error: Exception) -> NoReturn:
        """Print what was found, so that it can be tried by hand, and end."""
        keep = FOLDER / "found" / hashlib.sha256(data).hexdigest()[:16]
        keep.write_bytes(data)
        shown = Input.of(data)
        traceback.print_exception(error, limit=-6, file=sys.stdout)
        print(f"\nWrong: {error}\n\nraw = {shown.raw!r}\n{shown._replace(raw=b'')}\nKept as {keep}")
        self.end(1)

    def end(self, status: int) -> NoReturn:
        print(self, flush=True)
        os._exit(status)  # libFuzzer has its own ways to end, none of which is quiet

    def __str__(self) -> str:
        corpus = sum(1 for _ in (FOLDER / "corpus").iterdir())
        seconds = time.monotonic() - self.began
        return (f"{self.executions} executions, {corpus} inputs in the corpus, {seconds:.0f} seconds, "
                f"{self.executions / max(seconds, 1):.0f} a second")


def hang(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"an input took more than {HANG_SECONDS} seconds of the processor")


def seeds() -> Iterator[bytes]:
    """Where to begin: the hostile lines, alone, cut, joined, and within small limits; and some responses."""
    lines = [line.raw for lines in hostile.TABLES.values() for line in lines if len(line.raw) < MAX_LENGTH]
    for number, raw in enumerate(lines):
        yield bytes([0, 0, number % 40, 7, 3]) + raw
        yield bytes([4 + number % 2 * 2, 0, 9, 4, 3]) + raw
    for first, second in zip(lines[::5], lines[2::5], strict=False):
        yield bytes([0, 0, 20, 5, 30]) + first + second
    for number, raw in enumerate(oracle.RESPONSES):
        for how in (1, 5, 7, 9):
            yield bytes([how, number * 37 % 256, 18, 5, 3]) + raw + oracle.RESPONSES[number - 1]


def prepare() -> None:
    """Make the corpus and the dictionary."""
    for name in ("corpus", "found"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        (FOLDER / "corpus" / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    quoted = ['"' + "".join(f"\\x{octet:02x}" for octet in token) + '"' for token in TOKENS]
    (FOLDER / "tokens").write_text("\n".join(quoted) + "\n")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Fuzz the parser of evloop_http.http1.")
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: 10)")
    parser.add_argument("--verbose", action="store_true", help="what libFuzzer says of its progress, on standard error")
    options = parser.parse_args(arguments)
    prepare()
    fuzzer = Fuzzer(options.minutes)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, fuzzer.stop)
    signal.signal(signal.SIGVTALRM, hang)
    print(f"Fuzzing {evloop_http.http1.__name__} for {options.minutes:g} minutes; Ctrl-C ends it", flush=True)
    atheris.Setup([sys.argv[0], f"-max_len={MAX_LENGTH}", f"-dict={FOLDER / 'tokens'}", "-handle_int=0",
                   "-handle_term=0", "-timeout=100000", "-report_slow_units=100000",
                   f"-artifact_prefix={FOLDER / 'found'}/", f"-verbosity={int(options.verbose)}",
                   str(FOLDER / "corpus"), str(FOLDER / "found")], fuzzer.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
