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
    """Return a Unix socket at a path, with these permissions. A socket file that nobody serves is replaced.

    The umask has no say in the permissions and is not touched: it belongs to the whole process, in which another
    thread may just be making a file.

    Raises:
        OSError: something else is in its place, or it may not be put there.
        ValueError: the mode has other bits than those of permissions.
    """
    if not 0 <= mode <= 0o777:
        raise ValueError(f"{mode:#o} is not the mode of a socket; modes are 0 to 0o777")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux, the file gets the mode of the socket, less the umask. Elsewhere fchmod may refuse a socket; the file
        # is more open for a moment then, but nobody can connect before `listen`.
        with contextlib.suppress(OSError):
            os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        _open_up(path, mode)
    except OSError:
        sock.close()
        raise
    return sock


def _open_up(path: str, mode: int) -> None:
    """Give a socket file the permissions that the umask has kept from it."""
    try:
        if stat.S_IMODE(os.lstat(path).st_mode) != mode:
            os.chmod(path, mode)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


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


def network_of(address: str) -> str | bytes:
    """Return what belongs to one client: an IPv4 address, or all of the network (/64) of an IPv6 address."""
    if ":" not in address:
        return address
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    is_mapped = packed[:12] == bytes(10) + b"\xff\xff"
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if is_mapped else packed[:8]
