#!/usr/bin/env python3
"""What it costs to find a route among 10, 100 and 1000: one process, no socket.

    python load/router_bench.py [--rounds N] [--calls N]

Half of the routes are fixed (`/api/users17/list`), half have a placeholder (`/api/users17/{id:int}/posts`).
Asked for is the route that was registered last. The cases:

* "fixed": a path without placeholders.
* "dynamic": one with a placeholder.
* "file name": `/files/{name}.{ext}`, of which there is one.
* "nowhere": a path that is not there, which is asked for again with a slash at its end.
* "app, fixed": the fixed path through the whole `App`, with a handler that returns a response made before.

Printed are microseconds for one request, the medians of the rounds; and what 1000 routes cost beside 10.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable
from functools import partial
from timeit import timeit

from evloop_http import App, Headers, Request, Response
from evloop_http.messages import RequestHead

SIZES = (10, 100, 1000)
RESPONSE = Response("x")


def handler(request: Request, **params: object) -> Response:
    """Answers at once."""
    return RESPONSE


def make_app(routes: int) -> App:
    """An application with so many routes."""
    app = App()
    app.get("/files/{name}.{ext}")(handler)
    for number in range(routes // 2):
        app.get(f"/api/users{number}/list")(handler)
        app.get(f"/api/users{number}/{{id:int}}/posts")(handler)
    return app


def make_request(path: str) -> Request:
    """A request for a path."""
    return Request(RequestHead("GET", path, "1.1", Headers({"Host": "localhost"}), path))


def cases(routes: int) -> dict[str, Callable[[], object]]:
    """What is measured with so many routes, by name."""
    app = make_app(routes)
    last = routes // 2 - 1

    def find(path: str) -> Callable[[], object]:
        request = make_request(path)

        def once() -> object:
            request.params = {}  # of the round before
            return app.router.find(request)
        return once

    return {"fixed": partial(app.router.find, make_request(f"/api/users{last}/list")),
            "dynamic": find(f"/api/users{last}/42/posts"),
            "file name": find("/files/a.tar.gz"),
            "nowhere": find(f"/api/users{last}/42/comments"),
            "app, fixed": partial(app, make_request(f"/api/users{last}/list"))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What it costs to find a route.")
    parser.add_argument("--rounds", type=int, default=15, help="of which the median is taken (default: 15)")
    parser.add_argument("--calls", type=int, default=20_000, help="in each round (default: 20000)")
    options = parser.parse_args()
    measured: dict[str, dict[int, list[float]]] = {}
    prepared = {routes: cases(routes) for routes in SIZES}
    for _ in range(options.rounds):  # in turns, so that a slow moment hits all of them
        for routes, named in prepared.items():
            for name, call in named.items():
                seconds = timeit(call, number=options.calls)
                measured.setdefault(name, {}).setdefault(routes, []).append(seconds / options.calls * 1e6)
    print(f"Python {platform.python_version()}, microseconds for one request, medians of {options.rounds}")
    print(f"{'routes':<12}" + "".join(f"{routes:>8}" for routes in SIZES) + f"{'1000 : 10':>12}")
    for name, by_size in measured.items():
        medians = [statistics.median(by_size[routes]) for routes in SIZES]
        print(f"{name:<12}" + "".join(f"{median:8.2f}" for median in medians) + f"{medians[-1] / medians[0]:12.2f}")


if __name__ == "__main__":
    main()
