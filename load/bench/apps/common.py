"""What the applications share: where the files are, what the page shows, how long a blocking handler blocks."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
#: Seconds
BLOCK = 0.05
#: Requests that may wait for a thread.
QUEUE = 1024
FILES = Path(os.environ.get("BENCH_FILES", "."))
TEMPLATES = Path(__file__).parent / "templates"
CONTEXT: dict[str, Any] = {
    "title": "Twenty <rows>", "rows": [{"id": n, "name": f"Row {n} & \"co\"", "price": n * 7} for n in range(20)]}


@functools.cache
def template() -> Template:
    """The page, for applications without templates of their own: as evloop_http.Templates sets Jinja2 up."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, auto_reload=False,
                              trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html")


def render_page() -> str:
    """The page as text."""
    return template().render(CONTEXT)
