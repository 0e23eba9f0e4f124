"""Listening sockets, and how connections are taken from them.

Three things about accepting that are easy to get wrong:

*A backlog is drained in portions.* Each `accept` costs some tens of microseconds; taking a
thousand in one wake would keep everybody else waiting. What is left is reported again.

*Out of descriptors is not an error of the connection but of the moment.* The connection stays in
the backlog and the listener stays readable, so trying again at once is a spin. Somebody who waits may be closed to
make room; if nobody can be, the listener is taken out of the selector for a second, and the log has one line for it.
So it is after every other error that is not known to be of one connection only: somebody may have shut the listener
down, for example.

*Stopping takes in what was already accepted by the kernel.* A client whose connection waits in
the backlog believes it is connected; closing the listener would reset it. So the backlog is
emptied first, then the listener is closed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable

from .reactor import READ, Reactor
from .transport import Transport

logger = logging.getLogger("evloop_http.net")

#: Connections accepted in one wake.
ACCEPT_BUDGET = 64
#: Seconds without accepting when there is no room, no descriptor left, or nothing can be accepted for another reason.
FULL_PAUSE = 1.0
#: What may be mended by closing somebody.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: What is wrong with one connection, not with all of them (accept(2)): the next one may be accepted at once.
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN,
                   errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ETIMEDOUT})
#: Addresses of clients whose strings are shared; then the table begins anew.
_MOST_HOSTS = 4096
#: Connections that are taken in at the end: more than any backlog holds.
_WHOLE_BACKLOG = 4 * socket.SOMAXCONN


class Listener:
    """One listening socket on a reactor.

    Args:
        wrap: makes a transport of each accepted socket, such as `Transport` or one over TLS.
        path: the file of a Unix socket, to be removed at the end.
        has_room: asked before each connection is taken.
        make_room: has somebody closed, if that is possible, and returns whether it was.
        adopt: given the transport of each, and the peer's address and port ("" and 0 over a Unix socket).
    """

    def __init__(self, reactor: Reactor, sock: socket.socket, *, has_room: Callable[[], bool],
                 make_room: Callable[[], bool], adopt: Callable[[Transport, str, int], object],
                 wrap: Callable[[socket.socket, Reactor], Transport] = Transport, path: str | None = None) -> None:
        sock.setblocking(False)
        #: (host, port), or the path of a Unix socket; known after closing too
        self.address = address_of(sock)
        self._sock = sock
        self._wrap = wrap
        self._path = path
        self._file = os.stat(path).st_ino if path is not None else 0
        self._has_room = has_room
        self._make_room = make_room
        self._adopt = adopt
        self._reactor = reactor
        self._listening = False
        self._retry = reactor.timer(self.resume)
        self._reported = 0.0
        self._hosts: dict[str, str] = {}

    def resume(self) -> None:
        """Accept, unless it is being done."""
        if not self._listening and self._sock.fileno() >= 0:
            self._reactor.register(self._sock, READ, self._on_ready)
            self._listening = True

    def pause(self) -> None:
        """Let connections wait in the backlog until `resume`."""
        if self._listening:
            self._reactor.unregister(self._sock)
            self._listening = False

    def _on_ready(self, events: int) -> None:
        self._accept(ACCEPT_BUDGET)

    def _accept(self, budget: int) -> None:
        """Take connections out of the backlog, at most so many."""
        for _ in range(budget):
            if not self._has_room():
                self._wait()
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                has_room = error.errno in _EXHAUSTED and self._make_room()
                self._note_failure(error, has_room)
                if has_room:
                    continue
                self._wait()
                return
            self._take(sock, address)

    def _take(self, sock: socket.socket, address: object) -> None:
        try:
            transport = self._wrap(sock, self._reactor)
        except OSError:  # gone already
            sock.close()
            return
        if isinstance(address, tuple):
            self._adopt(transport, self._shared(address[0]), address[1])
        else:
            self._adopt(transport, "", 0)

    def _shared(self, host: str) -> str:
        """Return the one string for this address: a client's connections need not have one each."""
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts.clear()
        return self._hosts.setdefault(host, host)

    def _note_failure(self, error: OSError, is_mended: bool) -> None:
        now = self._reactor.now
        if now >= self._reported:  # else in the same burst
            if is_mended:
                return
            logger.error("cannot accept connections: %s; trying again every %g s", error.strerror, FULL_PAUSE)
        self._reported = now + 2 * FULL_PAUSE

    def _wait(self) -> None:
        """Try again when a connection has ended, or in a while: by then there may be somebody to close."""
        self.pause()
        self._retry.move(self._reactor.now + FULL_PAUSE)

    def close(self, drain: bool = True) -> None:
        """Stop listening; with `drain`, after taking in what waits in the backlog."""
        if self._sock.fileno() < 0:
            return
        if drain:
            self._accept(_WHOLE_BACKLOG)
        self.pause()
        self._retry.cancel()
        self._sock.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                if os.stat(self._path).st_ino == self._file:  # else another server's by now
                    os.unlink(self._path)


def address_of(sock: socket.socket) -> tuple[str, int] | str:
    """Return where a socket is bound: host and port, or the path of a Unix socket."""
    name = sock.getsockname()
    return name[:2] if isinstance(name, tuple) else os.fsdecode(name)
