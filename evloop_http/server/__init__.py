"""The joint between the wire and the net: the one room that knows both `http1` and `net`.

    server       Server: listen, accept, limit, drain, stop
    connection   Connection: the life of one socket, and the half that listens
    answering    the half of a connection that speaks
    exchange     one answer, from its request to its last byte
    receiving    a body on its way to the application
    states       the states of a connection, and how long each may last
    shared       what the connections of a server share
"""

from .server import Server, tls_context

__all__ = ["Server", "tls_context"]
