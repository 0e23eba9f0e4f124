"""Answers that are no page: one to be saved, one that is made while it is sent, one that leads elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from http import HTTPStatus

from evloop_http import App, Request, Response
from evloop_http.app.responses import attachment, conditional, redirect, stream

#: The last number that is told.
MOST_NUMBERS = 100_000
# Lines of one piece: a piece for each line would cost more than the line.
_LINES = 1000


def add_answers(site: App) -> None:
    """A download, a stream, a redirect."""

    @site.get("/report.csv")
    def report(request: Request) -> Response:
        # The bytes are the same each time, so whoever has them need not get them again.
        return conditional(request, attachment(statuses_as_csv(), "report.csv"))

    @site.get("/numbers")
    def numbers(request: Request) -> Response:
        last = min(request.query.get("to", 100, type=int), MOST_NUMBERS)
        return stream(count_to(last), content_type="text/plain; charset=utf-8")

    @site.get("/old")
    def old(request: Request) -> Response:
        return redirect(site.url_for("welcome", name="wanderer"), 301)


def statuses_as_csv() -> bytes:
    """The statuses of HTTP that the standard library knows, as a table (RFC 4180)."""
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["status", "phrase", "description"])
    rows.writerows([status.value, status.phrase, status.description] for status in HTTPStatus)
    return table.getvalue().encode()


def count_to(last: int) -> Iterator[str]:
    """The numbers from 1, a line each, made when they are asked for."""
    for first in range(1, last + 1, _LINES):
        yield "".join([f"{number}\n" for number in range(first, min(first + _LINES, last + 1))])
