"""Whole TLS handshakes, one after the other: handshakes.py PORT SECONDS THREADS

wrk keeps the session of a connection and resumes it with the next, which spares the server its signature. Here
each connection begins with nothing, as a stranger's does: handshake, one request, end. It costs the client more than
the server, so what can be said of the server is how many it does in a second *of its own processor time*.

It prints one line of JSON. OpenSSL lets the other threads run while it computes.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter

from .checking import client_context, connect
from .workloads import PING, request_bytes


def visit(port: int, context: ssl.SSLContext, request: bytes) -> str:
    """One stranger's visit; what came of it."""
    try:
        with connect(port, True, context) as client:
            assert isinstance(client, ssl.SSLSocket)
            if client.session_reused:
                return "resumed"
            client.sendall(request)
            answer = client.recv(65536)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no port waits for long
            return "done" if answer.startswith(b"HTTP/1.1 200") else "status"
    except OSError as error:
        return "connect" if isinstance(error, ConnectionRefusedError) else "read"


def visits(port: int, seconds: float, threads: int) -> Counter[str]:
    """As many as there can be in that time, counted by what came of them."""
    context = client_context()
    request = request_bytes(PING, keep=False)
    until = time.monotonic() + seconds
    counts = [Counter[str]() for _ in range(threads)]

    def stay(counted: Counter[str]) -> None:
        while time.monotonic() < until:
            counted[visit(port, context, request)] += 1

    staying = [threading.Thread(target=stay, args=(counted,)) for counted in counts]
    for thread in staying:
        thread.start()
    for thread in staying:
        thread.join()
    return sum(counts, Counter())


def main() -> None:
    counted = visits(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    done = counted.pop("done", 0)
    print(json.dumps({"done": done, "errors": dict(counted)}))


if __name__ == "__main__":
    main()
