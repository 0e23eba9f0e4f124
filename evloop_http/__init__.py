"""An HTTP/1.1 and HTTPS server that lives inside any Python program.

    from evloop_http import App, Server

    app = App()

    @app.get("/ping")
    def ping(request):
        return "pong"

    server = Server(app)
    server.listen("127.0.0.1", 8080)
    server.run()

The house, in the order in which it is best read:

    GROUND              known to every room, and knows none
    messages/           the vocabulary
        headers           Headers, MutableHeaders
        multidict         MultiDict
        cached            cached_property
        bodies            FileBody, Pipe: bodies that are not plain bytes
        request           RequestHead, Request, Peer
        response          ResponseHead, Response, Upgrade, HTTPError
        contract          what applications and observers owe the server
        switching         what other protocols owe it
        pending           Pending: an answer that comes later
        awaiting          what coroutines need: to begin at once, to wait
        producing         bodies that a coroutine produces
        futures           whose a future is, and who waits for it
    threads/            what has to wait, away from the loop
        pool              Threads: so many at most, and a bounded queue
        producing         bodies that a thread produces
        streams           threads that read a body while it arrives

    ROOMS               each knows the ground and itself
    http1/              bytes <-> messages; no socket, clock, file or log
        rules             every rule a peer can break; Limits; ProtocolError
        target            what a request line asks for
        fields            field lines, and the caches of them
        head              one head
        body              where a body ends, and its two codings
        stream            what both parsers share: a buffer, one step for each state
        parser            RequestParser, ResponseParser: bytes in, events out
        encoder           RequestEncoder, ResponseEncoder: messages in, bytes out
        strategies        messages to test with; imported by nothing here
    net/                readiness, time, sockets, ciphertext; no HTTP
        timers            deadlines on a heap
        wakeup            other threads and signals
        reactor           Reactor: one selector, one loop
        transport         one non-blocking socket and its send queue
        tls/              the same, over TLS: handshakes, phases, two engines
        certificates      TLS contexts
        binding           sockets to listen on
        listener          where connections come from
    loops/              a reactor in somebody else's loop
        guest             Guest: a descriptor and a timer in a host that calls back
        asyncio tk glib qt trio gevent    one host each, loaded when it is used
        one_loop          the other way round: an asyncio loop whose selector is the reactor
        driven_loop       the same, where somebody else takes the turns
        finishing         how it ends
    app/                Request in, Response out; no sockets
    gateways/           other people's applications as ours
        wsgi/             WSGI applications, in threads or in the loop: environ, input, calls, responses
        asgi/             ASGI applications, in the loop: scope, cycle, lifespan, WebSockets
        guessing          which kind of application an object is
    websocket/          messages both ways: handshake, frames, deadlines, handlers of three kinds; no sockets

    JOINT               the one room that knows http1 and net
    server/
        states            both machines as tables, and what follows from a state
        connection        Connection: the life of one socket
        exchange          Exchange: the life of one request
        receiving         a request's body while it arrives
        sending           a response's body while it is sent
        line              what the parts of a connection know of each other
        switching         a connection after HTTP
        lingering         the last moments of a connection
        places            who has a place, and who makes room
        memory            what all connections hold together
        failures          what becomes of an application's mistakes
        in_flight         what a server that stops waits for
        lifetime          the application's start-up and shut-down
        interrupts        Ctrl-C and SIGTERM, once and again
        shared            what the connections share
        server            Server: listen, accept, limit, drain, stop

    ROOF                puts things together, and is imported by nobody
    observe/            the access log
    testing/            a client without sockets, and fixtures that serve
    cli                 evloop-http demo | serve DIR | run MODULE:APP
    ending              what signals do to the process of the command
    demo/               the demo site

Rooms know only the ground. `server/` alone joins the wire to the net.

The names below are loaded when they are first used, so that `import evloop_http.http1` loads
neither sockets nor TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app.application import App, after
    from .app.events import EventStream
    from .app.request import Request
    from .app.static import StaticFiles
    from .app.templates import Templates
    from .gateways.asgi import ASGI
    from .gateways.wsgi import WSGI
    from .http1 import Limits, ProtocolError
    from .messages import FileBody, Headers, HTTPError, Observer, Peer, Pipe, Response, Upgrade
    from .messages.pending import Pending
    from .net.certificates import tls_context
    from .net.reactor import READ, WRITE, Reactor
    from .net.timers import Timer
    from .observe.access import AccessLog
    from .server import Server
    from .server.states import Timeouts
    from .websocket import AsyncWebSocket, CallbackWebSocket, WebSocket, broadcast

__version__ = "0.1.0"

_HOME = {
    "AccessLog": "observe.access",
    "App": "app.application",
    "after": "app.application",
    "EventStream": "app.events",
    "Request": "app.request",
    "StaticFiles": "app.static",
    "Templates": "app.templates",
    "Timeouts": "server.states",
    "ASGI": "gateways.asgi",
    "WSGI": "gateways.wsgi",
    "Limits": "http1",
    "ProtocolError": "http1",
    "FileBody": "messages",
    "HTTPError": "messages",
    "Headers": "messages",
    "Observer": "messages",
    "Peer": "messages",
    "Pipe": "messages",
    "Response": "messages",
    "Upgrade": "messages",
    "Pending": "messages.pending",
    "READ": "net.reactor",
    "WRITE": "net.reactor",
    "Reactor": "net.reactor",
    "Timer": "net.timers",
    "Server": "server",
    "tls_context": "net.certificates",
    "AsyncWebSocket": "websocket",
    "CallbackWebSocket": "websocket",
    "WebSocket": "websocket",
    "broadcast": "websocket",
}

__all__ = ["ASGI", "READ", "WRITE", "WSGI", "AccessLog", "App", "AsyncWebSocket", "CallbackWebSocket", "EventStream",
           "FileBody", "HTTPError", "Headers", "Limits", "Observer", "Peer", "Pending", "Pipe", "ProtocolError",
           "Reactor", "Request", "Response", "Server", "StaticFiles", "Templates", "Timeouts", "Timer", "Upgrade",
           "WebSocket", "after", "broadcast", "tls_context"]


def __getattr__(name: str) -> Any:
    """Load a public name from where it lives (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
