"""Flask for WSGI servers."""

from __future__ import annotations

from typing import Any

from flask import Flask

from .common import TEXT

app: Any = Flask(__name__)


@app.get("/ping")  # type: ignore[untyped-decorator, unused-ignore]
def ping() -> Any:
    return "pong", {"Content-Type": TEXT}
