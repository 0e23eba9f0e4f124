"""What may stand in a path, and the way back: from the name of a route to its path.

The tour is an application of its own. It knows nothing of where it is mounted: its templates ask for
`url_for("tour:day", day=...)`, and the site, which mounted it as `tour`, knows the rest. What it does not
find is answered by its own 404, not by the site's.
"""

from __future__ import annotations

import uuid
from datetime import date, timedelta

from evloop_http import App, Request, Response

from .pages import Pages

#: Steps of a way that are links. Each link has all the steps before it, so a long way would make a huge page.
MOST_STEPS = 20


def make_tour(page: Pages) -> App:
    """The tour."""
    tour = App()
    # "2023-02-30" has the look of a date, but `fromisoformat` raises a ValueError: then the path does not match.
    tour.converter("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat, date.isoformat)

    @tour.get("/")
    def start(request: Request) -> Response:
        return page(request, "tour/start.html", today=date.today(), id=uuid.uuid4())

    @tour.get("/days/{day:date}")
    def day(request: Request, day: date) -> Response:
        return page(request, "tour/day.html", day=day, before=beside(day, -1), after=beside(day, 1))

    @tour.get("/things/{id:uuid}")
    def thing(request: Request, id: uuid.UUID) -> Response:
        return page(request, "tour/thing.html", id=id, other=uuid.uuid4())

    @tour.get("/ways/{way:path}")
    def way(request: Request, way: str) -> Response:
        # A link with steps to here and up would be taken apart by the browser; `url_for` makes none.
        steps = [step for step in way.split("/") if step not in ("", ".", "..")]
        ways = [(step, "/".join(steps[:n])) for n, step in enumerate(steps[:MOST_STEPS], 1)]
        return page(request, "tour/way.html", ways=ways, length=len(steps))

    @tour.error(404)
    def lost(request: Request, error: Exception) -> Response:
        return page(request, "tour/lost.html", status=404)
    return tour


def beside(day: date, step: int) -> date | None:
    """A day before or after; None where the calendar ends."""
    try:
        return day + timedelta(days=step)
    except OverflowError:
        return None
