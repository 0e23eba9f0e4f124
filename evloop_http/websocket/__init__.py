"""WebSocket: messages over one connection, in both directions (RFC 6455), compressed if that is wanted (RFC 7692).

Frames are read by the sans-IO `Protocol` of the library `websockets` (the extra `websocket`). What is here: the
handshake, deadlines, limits, back-pressure in both directions, and three kinds of handlers.

    options       what may be chosen for a route, and the bounds that are fixed
    handshake     negotiate: an HTTP request becomes an offer, or is refused
    frames        the library: frames in; messages out. Loaded when the first route is registered
    listening     Listener, Disconnected: what a connection tells
    assembly      a message in fragments
    protocol      WebSocketProtocol: the life of one connection, for a `Listener`; knows no handler and no thread
    inbox         messages that nobody has taken yet
    sockets       what all three kinds of handlers see
    threaded      WebSocket: `for message in ws`, in a thread
    coroutine     AsyncWebSocket: `async for message in ws`, in a task of the loop
    callbacks     CallbackWebSocket: functions that the loop calls
    endpoints     handlers as functions of a request, for a router
    broadcasting  one message to many

The room knows the vocabulary and threads. It must not know sockets, a reactor, routes or a server: a connection is a
`messages.Channel`, which also tells the time.
"""

from .broadcasting import broadcast
from .callbacks import Callbacks, CallbackWebSocket
from .coroutine import AsyncWebSocket
from .endpoints import async_endpoint, callback_endpoint, threaded_endpoint
from .handshake import Offer, negotiate
from .listening import Disconnected, Listener
from .options import Options, check_library
from .protocol import WebSocketProtocol
from .threaded import WebSocket

__all__ = ["AsyncWebSocket", "CallbackWebSocket", "Callbacks", "Disconnected", "Listener", "Offer", "Options",
           "WebSocket", "WebSocketProtocol", "async_endpoint", "broadcast", "callback_endpoint", "check_library",
           "negotiate", "threaded_endpoint"]
