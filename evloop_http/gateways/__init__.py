"""Other people's applications as ours: each gateway is a callable from `Request` to an answer, so it nests and mounts.

    wsgi/       WSGI(application): PEP 3333, in threads or in the loop
    asgi/       ASGI(application): ASGI 3, in the loop
    guessing    which kind of application an object is

Knows the vocabulary and the threads. It does not know sockets, and imports no framework.
"""
