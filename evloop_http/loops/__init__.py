"""A `Reactor` together with somebody else's loop.

    asyncio     what asyncio programs need: the names below
    one_loop    Loop, DrivenLoop: asyncio on the reactor's own selector
    finishing   how such a loop ends: tasks, generators, threads

Each module imports its host's library; nothing here is loaded by those who do without it.
"""
