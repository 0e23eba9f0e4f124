"""Sockets to listen on: TCP addresses and Unix socket files."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat


def bind_address(host: str, port: int) -> socket.socket:
    """A TCP socket at an address, for `Server.listen(sock=...)`.

    Raises:
        OSError: the address is in use, not ours, or may not be used.
        ValueError: the port is not one of 0 to 65535.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is no port; ports are 0 to 65535")
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):  # UnicodeError: a name with an empty or too long label
        raise OSError(errno.EADDRNOTAVAIL, "there is no address for this host", host) from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it lets two programs have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def bind_path(path: str, mode: int) -> socket.socket:
    """A Unix socket at a path, with these permissions; a socket file that nobody serves is replaced.

    Raises:
        OSError: something else is in its place, or it may not be put there.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Born without permissions for others, so that nobody connects before they are set.
    umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(umask)
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody serves. Anything else in its place is left, and `bind` refuses it."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.setblocking(False)  # somebody serves it whose backlog is full
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass
