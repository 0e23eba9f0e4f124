"""The application for socketify: socketify_main.py PORT [CERT KEY]."""

from __future__ import annotations

import json
import sys
from typing import Any

from socketify import App, AppListenOptions, AppOptions

from bench.apps.common import FILES, HTML, JSON, TEXT, render_page


def ping(response: Any, request: Any) -> None:
    response.write_header("Content-Type", TEXT).end("pong")


async def echo(response: Any, request: Any) -> None:
    value = await response.get_json()
    response.write_header("Content-Type", JSON).end(json.dumps(value, separators=(",", ":")))


async def form(response: Any, request: Any) -> None:
    fields = await response.get_form_urlencoded()
    response.write_header("Content-Type", TEXT).end(f"{fields['name']}, {fields['city']}")


def page(response: Any, request: Any) -> None:
    response.write_header("Content-Type", HTML).end(render_page())


def main() -> None:
    port, *pair = sys.argv[1:]
    app = App(AppOptions(cert_file_name=pair[0], key_file_name=pair[1]) if pair else None)
    app.get("/ping", ping)
    app.post("/json", echo)
    app.post("/form", form)
    app.get("/page", page)
    app.static("/static", str(FILES))
    app.listen(AppListenOptions(port=int(port), host="127.0.0.1"))
    app.run()


if __name__ == "__main__":
    main()
