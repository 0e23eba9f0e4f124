"""Other people's applications as ours: each gateway is a callable from `Request` to an answer, so it nests and mounts.

    wsgi        WSGI(application): PEP 3333, in threads or in the loop
    environ     what a WSGI application is told of a request
    inputs      the body of a request as a file
    starting    what a WSGI application says of its response, checked
    calling     one call of a WSGI application, from its arguments to `close`
    guessing    which kind of application an object is
    asgi/       ASGI(application): ASGI 3, in the loop

Knows the vocabulary and the threads. It does not know sockets, and imports no framework.
"""
