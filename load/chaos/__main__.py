"""Chaos, as a program: `./scripts/load chaos`."""

from __future__ import annotations

import argparse
import re
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .levels import Died, Served
from .running import Chaos, Outcome, until, up_to

#: Seconds of a round, between whose end and the next one's beginning the server must come to rest.
ROUND = 60.0
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status: 0 if nothing was found."""
    options = make_parser().parse_args(arguments)
    # Whoever ends us with SIGTERM wants the server to end as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print(f"Chaos with the seed {options.seed}, {options.clients} clients at a time", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Served(Path(folder)) as served:
                outcome = run(served, options)
        except Died as error:
            print(f"FAILED  {error}")
            return 1
    return conclude(outcome, options)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/load chaos", description="Clients that misbehave in every way they "
                                     "can, on this machine. It ends with status 1 if anything was found.")
    parser.add_argument("--time", type=seconds, help="how long, e.g. 45, 90s, 10m, 1h (default: 30s)")
    parser.add_argument("--lives", type=int, help="how many lives, in the place of a time")
    parser.add_argument("--clients", type=int, default=24, help="how many live at a time (default: 24)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000),
                        help="decides what each client does (default: another one each time)")
    parser.add_argument("--life", type=int, metavar="NUMBER", help="live this one life again, alone")
    return parser


def seconds(text: str) -> float:
    """Return a time: a number, with `s`, `m` or `h` behind it or nothing."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time, such as 30s or 5m")
    return float(match[1]) * _UNITS[match[2]]


def run(served: Served, options: argparse.Namespace) -> Outcome:
    """Let clients live in rounds."""
    chaos = Chaos(served, options.seed, options.clients)
    if options.life is not None:
        chaos.live(options.life)
        chaos.rest()
    elif options.lives is not None:
        for last in (options.lives // 2, options.lives):
            chaos.round(up_to(last))
            tell(chaos.outcome)
    else:
        end = time.monotonic() + (options.time or 30)
        while (left := end - time.monotonic()) > 0 and not chaos.outcome.faults:
            chaos.round(until(min(left, ROUND)))
            tell(chaos.outcome)
    return chaos.conclude()


def tell(outcome: Outcome) -> None:
    """Print how far it is."""
    rest = outcome.rests[-1]
    print(f"{time.strftime('%H:%M:%S')}  {outcome}; at rest {rest['memory'] / 1024 / 1024:.1f} MiB, "
          f"{rest['blocks']} blocks", flush=True)


def conclude(outcome: Outcome, options: argparse.Namespace) -> int:
    """Print what came out. Return the exit status."""
    print(", ".join(f"{name} {count}" for name, count in sorted(outcome.lives.items())))
    for fault in outcome.faults:
        print(f"FAILED  {fault}")
    if outcome.faults:
        print(f"To live a life again: ./scripts/load chaos --seed {options.seed} --life NUMBER")
        return 1
    print(f"PASSED  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
