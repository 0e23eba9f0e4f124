"""The WSGI application under cheroot: cheroot_main.py TARGET PORT [CERT KEY].

A program of its own because cheroot's command line has neither TLS nor the limit of kept connections, which is 10.
"""

from __future__ import annotations

import sys
from importlib import import_module

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server


def main() -> None:
    target, port, *pair = sys.argv[1:]
    module, _, name = target.partition(":")
    app = getattr(import_module(module), name)
    server = Server(("127.0.0.1", int(port)), app, numthreads=10, request_queue_size=2048, timeout=75)
    server.keep_alive_conn_limit = 16384
    if pair:
        server.ssl_adapter = BuiltinSSLAdapter(*pair)
    server.safe_start()


if __name__ == "__main__":
    main()
