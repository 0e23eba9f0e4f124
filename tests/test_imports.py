"""What importing the package costs those who use only a part of it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("program", [
    "import evloop_http",
    "from evloop_http import App, Server; App().get('/')(lambda request: 'x'); App().get('/t', threaded=True)(len)",
    "from evloop_http import App, EventStream, Server, StaticFiles; Server(StaticFiles('.')).close()",
])
def test_asyncio_is_not_loaded_for_those_who_have_no_coroutines(program: str) -> None:
    shown = "; import sys; print([name for name in sys.modules if name.partition('.')[0] == 'asyncio'])"
    done = subprocess.run([sys.executable, "-c", program + shown], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
