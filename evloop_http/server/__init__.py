"""The joint between the wire and the net: the one room that knows both `http1` and `net`.

    states       both machines as tables, and what follows from a state; Timeouts
    connection   Connection: the life of one socket
    exchange     Exchange: the life of one request
    receiving    the body of a request while it arrives
    sending      the body of a response while it is sent
    line         what the parts of a connection know of each other
    switching    a connection after HTTP
    lingering    the last moments of a connection
    places       who has a place, and who makes room
    memory       what all connections hold together
    failures     what becomes of an application's mistakes
    in_flight    what a server waits for when it stops
    interrupts   Ctrl-C and SIGTERM, once and again
    shared       what the connections of a server share
    server       Server: listen, accept, limit, drain, stop
"""

from ..net.certificates import tls_context
from .in_flight import InFlight
from .server import Server

__all__ = ["InFlight", "Server", "tls_context"]
