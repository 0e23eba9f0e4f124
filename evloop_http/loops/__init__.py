"""A reactor in somebody else's loop: asyncio, uvloop, trio, gevent, Tk, GLib, Qt.

This room knows `net`, and each host in its own module, which is imported when it is first used:

    from evloop_http import loops

    async with loops.asyncio.serving(server): ...           # and uvloop
    nursery.start_soon(loops.trio.serve, server)
    gevent.spawn(loops.gevent.serve, server)
    guest = loops.tk.attach(root, server.reactor)
    guest = loops.glib.attach(server.reactor)
    guest = loops.qt.attach(server.reactor)

How it works in all of them: the host watches one descriptor, the reactor's own, which is readable while the reactor
has work; and it keeps one timer, for the reactor's next deadline. Whichever comes first, the reactor takes a turn that
does not sleep (`poll(0)`). So an idle server costs the host nothing, and no other thread is needed.

A reactor has one thread, and from `attach` on it is the host's: everything of the server, save `stop`, is called there,
handlers run there, and while one runs the host waits.

The other way round, asyncio can live in the reactor's own turns: one thread and one selector (`one_loop`). That is also
what `async def` handlers need in a host other than asyncio: `with loops.asyncio.DrivenLoop(server.reactor): ...`

How it ends, gently (what is in flight is finished, for `grace` seconds at most):

- Where the host can wait, at the end of the block (`serving`), or when `serve` returns, after `server.stop(5)`.
- Elsewhere `guest.stop(server, 5, root.destroy)` returns at once. The host's loop goes on, and `root.destroy`, or what
  else ends it (`main.quit` of GLib, `app.quit` of Qt), is called when the server has stopped.

What must not happen is that the reactor is closed (by `server.close()`, if the reactor is the server's own) while a
host still watches its descriptor: the number may soon be that of another file. So first `guest.detach()`, then close.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import asyncio, gevent, glib, qt, tk, trio

__all__ = ["asyncio", "gevent", "glib", "qt", "tk", "trio"]


def __getattr__(name: str) -> ModuleType:
    """Import the module of a host when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
