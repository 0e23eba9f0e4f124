"""The applications for evloop_http: `python -m evloop_http run bench.apps.ours:app`.

`app` answers nearly everything, `threaded` in worker threads; `callbacks` echoes by functions that the loop calls. What
is answered by coroutines is in `ours_async`.
"""

from __future__ import annotations

import time
from typing import Any

from evloop_http import App, EventStream, Response
from evloop_http.app.events import encode_event
from evloop_http.app.request import Request
from evloop_http.app.static import StaticFiles
from evloop_http.app.templates import Templates

from .common import BLOCK, CONTEXT, FILES, QUEUE, TEMPLATES
from .events import event_text

app = App()
threaded = App(queue=QUEUE)
callbacks = App()
listeners: set[EventStream] = set()
templates = Templates(TEMPLATES)
app.mount("/static", StaticFiles(FILES))


@app.get("/ping")
@threaded.get("/ping", threaded=True)
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


@app.get("/events")
def events(request: Request) -> Response:
    stream = EventStream(on_close=lambda: listeners.discard(stream))
    listeners.add(stream)
    return stream.response()


@app.get("/tell/{number}")
def tell(request: Request, number: str) -> str:
    event = encode_event(event_text(number))
    for stream in list(listeners):
        stream.push(event)
    return "told"


callbacks.websocket("/ws", on_message=lambda ws, message: ws.send(message))
