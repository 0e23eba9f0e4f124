"""The application for evloop_http: `python -m evloop_http run bench.apps.ours:app`."""

from __future__ import annotations

import time
from typing import Any

from evloop_http import App, Response
from evloop_http.app.request import Request
from evloop_http.app.static import StaticFiles
from evloop_http.app.templates import Templates

from .common import BLOCK, CONTEXT, FILES, TEMPLATES

app = App()
templates = Templates(TEMPLATES)
app.mount("/static", StaticFiles(FILES))


@app.get("/ping")
def ping(request: Request) -> str:
    return "pong"


@app.post("/json")
def echo(request: Request) -> Any:
    return request.json()


@app.post("/form")
def form(request: Request) -> str:
    return f"{request.form['name']}, {request.form['city']}"


@app.get("/page")
def page(request: Request) -> Response:
    return templates.render("page.html", **CONTEXT)


@app.get("/block", threaded=True)
def block(request: Request) -> str:
    time.sleep(BLOCK)
    return "done"
