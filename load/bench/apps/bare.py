"""The bare loop: what one thread of Python can do at most. bare.py PORT ANSWER [--close] [--tls CERT KEY]

Every `recv` is answered with one `send` of the bytes of the file ANSWER. It knows no HTTP, looks at nothing that
it received and has no error handling to speak of: it is a yardstick and no server.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

READ = selectors.EVENT_READ


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    return listener


def serve_plain(selector: selectors.BaseSelector, client: socket.socket, answer: bytes, close: bool) -> None:
    """Answer whatever comes, from now on."""
    recv, send = client.recv, client.send

    def on_readable() -> None:
        try:
            data = recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if data:
            send(answer)
        if close or not data:
            selector.unregister(client)
            client.close()

    selector.register(client, READ, on_readable)


def serve_tls(selector: selectors.BaseSelector, client: ssl.SSLSocket, answer: bytes, close: bool) -> None:
    """Shake hands, then the same."""
    def on_readable() -> None:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError:
            selector.unregister(client)
            client.close()
            return
        selector.unregister(client)
        serve_plain(selector, client, answer, close)

    selector.register(client, READ, on_readable)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--close", action="store_true")
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    answer = options.answer.read_bytes()
    selector = selectors.DefaultSelector()
    listener = listen(options.port)
    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*options.tls)

    def accept() -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            serve_plain(selector, client, answer, options.close)
        else:
            wrapped = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            serve_tls(selector, wrapped, answer, options.close)

    selector.register(listener, READ, accept)
    while True:
        for key, _ in selector.select():
            callback: Callable[[], None] = key.data
            callback()


if __name__ == "__main__":
    main()
