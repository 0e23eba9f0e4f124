"""The application for Tornado: tornado_main.py PORT [CERT KEY]."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, StaticFileHandler

from bench.apps.common import BLOCK, FILES, HTML, JSON, TEXT, render_page


class Ping(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", TEXT)
        self.write("pong")


class Echo(RequestHandler):
    def post(self) -> None:
        self.set_header("Content-Type", JSON)
        self.write(json.dumps(json.loads(self.request.body), separators=(",", ":")))


class Form(RequestHandler):
    def post(self) -> None:
        self.set_header("Content-Type", TEXT)
        self.write(f"{self.get_body_argument('name')}, {self.get_body_argument('city')}")


class Page(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", HTML)
        self.write(render_page())


class Block(RequestHandler):
    async def get(self) -> None:
        await asyncio.to_thread(time.sleep, BLOCK)
        self.set_header("Content-Type", TEXT)
        self.write("done")


async def main() -> None:
    port, *pair = sys.argv[1:]
    app = Application([("/ping", Ping), ("/json", Echo), ("/form", Form), ("/page", Page), ("/block", Block),
                       ("/static/(.*)", StaticFileHandler, {"path": str(FILES)})],
                      log_function=lambda handler: None)
    context = None
    if pair:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
    HTTPServer(app, ssl_options=context).listen(int(port), "127.0.0.1", backlog=2048)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
