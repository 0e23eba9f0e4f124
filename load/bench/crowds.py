"""Those who are in the way of others: crowds.py slow|block PORT COUNT

`slow` asks for a file of 8 MiB on each of COUNT connections and reads 4 KiB of each twenty times a second, with
a small window, so that the server can only keep or wait. `block` asks for a handler that blocks for 50 ms, again and
again on each.

It says `ready` when all have asked, works until SIGTERM, and then says how much it got.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import time

from .workloads import Ask, file_ask, request_bytes

ADDRESS = "127.0.0.1"
PIECE = 4096
#: Seconds between two looks of a slow reader.
PAUSE = 0.05
BLOCK = Ask("/block", "block")


class Stop(Exception):
    """SIGTERM came."""


def connected(port: int, count: int, request: bytes, window: int) -> list[socket.socket]:
    """So many connections that have asked."""
    clients = []
    for _ in range(count):
        client = socket.socket()
        if window:  # before connecting: it is agreed upon then
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client.settimeout(10)
        client.connect((ADDRESS, port))
        client.sendall(request)
        client.setblocking(False)
        clients.append(client)
    return clients


def announce() -> None:
    """Report that all have asked. From here on SIGTERM may come, so whoever calls this is ready to catch `Stop`."""
    print("ready", flush=True)


def read_slowly(clients: list[socket.socket]) -> int:
    """A little of each, a pause, and so on; the bytes read."""
    total = 0
    try:
        announce()
        while True:
            for client in clients:
                try:
                    total += len(client.recv(PIECE))
                except BlockingIOError:
                    pass
            time.sleep(PAUSE)
    except Stop:
        return total


def ask_again(clients: list[socket.socket], request: bytes) -> int:
    """Ask as soon as there is an answer; their number."""
    total = 0
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client, selectors.EVENT_READ, client)
    try:
        announce()
        while True:
            for key, _ in selector.select():
                client = key.data
                data = client.recv(65536)
                if not data:
                    selector.unregister(client)
                elif b"done" in data:
                    total += 1
                    client.send(request)
    except Stop:
        return total


def stop(number: int, frame: object) -> None:
    raise Stop


def main() -> None:
    what, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGTERM, stop)
    slow = what == "slow"
    request = request_bytes(file_ask("8m.bin") if slow else BLOCK)
    clients = connected(port, count, request, PIECE if slow else 0)
    print(read_slowly(clients) if slow else ask_again(clients, request), flush=True)


if __name__ == "__main__":
    main()
