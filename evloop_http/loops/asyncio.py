"""A reactor and asyncio in one thread.

`Loop` and `DrivenLoop` are asyncio event loops that have no selector of their own: they sleep in the reactor's turns.
See `evloop_http.loops.one_loop`.
"""

from .one_loop import DrivenLoop, Loop

__all__ = ["DrivenLoop", "Loop"]
