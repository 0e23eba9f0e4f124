"""The command line: `evloop-http demo | serve DIR | run MODULE:APP`.

It turns words into a `Server` and a mistake into one plain line on standard error: exit status 2
for a command that makes no sense, 1 for one that cannot be carried out here (a port in use, a
file that is missing), 3 for an application that fails to start. A traceback means a defect, never a mistake of the
user's.

The process is the command's own, so it also sees to it that the process ends when it should, whatever the threads
and the exit functions of the application do: see `Ending`.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from . import App, Limits, Server, StaticFiles, Timeouts, __version__, tls_context
from .app.hosts import is_loopback_address
from .app.middleware.hosts import LOOPBACK, TrustedHosts
from .ending import GRACE, Ending
from .gateways.guessing import Kind, Undecided, adapted, kind_of
from .messages import Application, StartUpFailed
from .net.binding import bind_address
from .net.certificates import ServerContext
from .observe.access import AccessLog
from .observe.access import logger as access_logger
from .threads.pool import Threads
from .threads.streams import Streams

#: Threads of one kind that may be asked for. Each has a stack, and takes its turn at the interpreter.
MOST_THREADS = 10_000

DESCRIPTION = """\
An HTTP/1.1 and HTTPS server in pure Python.

  evloop-http demo                          the demo site: what this server can do, to click through
  evloop-http serve DIR                     the files of a directory
  evloop-http run shop.web:app              the application `app` of the module shop.web: WSGI, ASGI or an App
  evloop-http run shop.web:create_app       ... or what its function create_app returns
"""

EPILOG = f"""\
Ctrl-C or SIGTERM finishes what is in flight, in {GRACE:g} seconds at most, and says what that is. A second one closes
every connection and ends the process within a second, whatever its threads do. A third one ends it at once.
The exit status is 0, or 130 after a second Ctrl-C, or 3 if the application fails to start.
"""


class Mistake(Exception):
    """Something the user has to mend; the text says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    options = make_parser().parse_args(arguments)
    allow_descriptors()
    try:
        return serve(options)
    except Mistake as mistake:
        print(f"evloop-http: {mistake}", file=sys.stderr)
        return 1
    except StartUpFailed as failure:
        print(f"evloop-http: the application failed to start: {one_line(failure)}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def one_line(failure: StartUpFailed) -> str:
    """Return why an application failed to start. Some say it with a whole traceback, the last line of which says it."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"


def make_parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    parser = argparse.ArgumentParser(prog="evloop-http", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"evloop_http {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="serve the demo site", epilog=EPILOG)
    demo.set_defaults(make=make_demo)
    files = commands.add_parser("serve", help="serve the files of a directory", epilog=EPILOG)
    files.add_argument("directory", metavar="DIR", nargs="?", default=".", help="the directory (default: this one)")
    files.set_defaults(make=make_files)
    run = commands.add_parser("run", help="serve an application", epilog=EPILOG)
    run.add_argument("target", metavar="MODULE:APP", help="an application, or a function of no arguments that makes "
                     "one; the module is looked for in this directory first")
    add_kind_options(run)
    run.set_defaults(make=make_target)
    for command in (demo, files, run):
        add_options(command)
    for command in (demo, run):
        add_app_options(command)
    for command in (demo, files):
        add_host_option(command)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1",
                       help="address to listen on (default: %(default)s; 0.0.0.0 or :: for all)")
    where.add_argument("--port", type=port, default=8080,
                       help="port for HTTP; 0 for any free one (default: %(default)s)")
    where.add_argument("--unix", metavar="PATH", help="listen on a Unix socket instead of --host and --port")
    where.add_argument("--unix-mode", metavar="OCTAL", type=permissions,
                       help="permissions of the Unix socket (default: 660, for owner and group)")
    tls = parser.add_argument_group("HTTPS")
    tls.add_argument("--cert", metavar="FILE", help="PEM certificate, with its chain; turns HTTPS on")
    tls.add_argument("--key", metavar="FILE", help="PEM private key, if it is not in the certificate's file")
    tls.add_argument("--tls-port", type=port, default=8443, help="port for HTTPS (default: %(default)s)")
    log = parser.add_argument_group("logging")
    log.add_argument("--access-log", nargs="?", const="common", choices=["common", "json"],
                     help="a line on standard output for every answer, in common log format or JSON (default: none); "
                          "before a name, write --access-log=common")
    limits = parser.add_argument_group("limits")
    defaults = Limits(), Timeouts()
    limits.add_argument("--max-connections", type=positive, metavar="N",
                        help="open at a time; for one more, the longest idle is closed (default: 16384, or as many as "
                             "the system allows)")
    limits.add_argument("--max-body", type=positive, default=defaults[0].body, metavar="BYTES",
                        help="largest request body (default: %(default)s)")
    limits.add_argument("--max-stream", type=positive, default=1 << 30, metavar="BYTES",
                        help="largest body that a handler takes while it comes (default: %(default)s)")
    limits.add_argument("--idle-timeout", type=seconds, default=defaults[1].idle, metavar="SECONDS",
                        help="how long a connection may be idle (default: %(default)s)")


def add_app_options(parser: argparse.ArgumentParser) -> None:
    """The options of the commands whose application may be an `App`."""
    parser.add_argument("--debug", action="store_true",
                        help="show the traceback of an unexpected error to browsers on this machine that ask for it "
                             "by a name such as localhost; never over a Unix socket, nor to what a proxy is seen to "
                             "pass on. Not for use behind a proxy: it may not be seen")
    parser.add_argument("--worker-threads", type=threads, metavar="N",
                        help="threads for handlers with threaded=True (default: the application's own number, or 8)")
    parser.add_argument("--stream-threads", type=threads, metavar="N",
                        help="threads for handlers with stream=True (default: the application's own number, or 16)")


def add_kind_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what an application is."""
    kinds = parser.add_mutually_exclusive_group()
    for kind in Kind:
        kinds.add_argument(f"--{kind.name.lower()}", action="store_const", dest="kind", const=kind,
                           help=f"it is {kind.value} (default: found out by the arguments that it takes)")
    parser.add_argument("--threads", type=threads_or_none, metavar="N",
                        help="threads for a WSGI application; 0 to call it in the loop (default: 8)")


def add_host_option(parser: argparse.ArgumentParser) -> None:
    """The option of the commands whose application we know to need no other hosts."""
    parser.add_argument("--trusted-host", action="append", metavar="NAME", dest="trusted_hosts", default=[],
                        help="answer for this host (or *.example.org), beside --host and the names of this machine, "
                             "and for no other; may be repeated; * for every host (default: where --host is a loopback "
                             "address the names of this machine, else every host)")


def port(text: str) -> int:
    """A port number."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port; ports are 0 to 65535")
    return number


def permissions(text: str) -> int:
    """The mode of a file, in octal digits."""
    mode = int(text, 8)
    if not 0 <= mode <= 0o777:
        raise argparse.ArgumentTypeError(f"{text} is not the mode of a socket; modes are 000 to 777")
    return mode


def threads(text: str) -> int:
    """A number of threads that a machine may have."""
    return _at_most(MOST_THREADS, positive(text))


def threads_or_none(text: str) -> int:
    """The same, or 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("it must be at least 0")
    return _at_most(MOST_THREADS, number)


def _at_most(limit: int, number: int) -> int:
    if number > limit:
        raise argparse.ArgumentTypeError(f"it must be at most {limit:,}")
    return number


def positive(text: str) -> int:
    """A number from 1 up."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def seconds(text: str) -> float:
    """A time that is longer than nothing."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0")
    return number


# The applications


def make_demo(options: argparse.Namespace, tls_port: int | None) -> Application:
    """Return the demo site. It needs Jinja2; without the library that knows browsers it says what it lacks."""
    if not is_installed("jinja2"):
        raise Mistake("the demo needs Jinja2: pip install 'evloop-http[demo]'")
    if not is_installed("ua_parser"):
        print("evloop-http: the demo goes without the names of browsers: pip install 'evloop-http[demo]'",
              file=sys.stderr)
    if not is_installed("websockets"):
        print("evloop-http: the demo goes without its chat: pip install 'evloop-http[demo]'", file=sys.stderr)
    from .demo.app import create_app
    return create_app(tls_port, debug=getattr(options, "debug", False))


def is_installed(module: str) -> bool:
    """Whether a library of an extra can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # barred: sys.modules has None in its place
        return False


def make_files(options: argparse.Namespace, tls_port: int | None) -> Application:
    """The files of a directory, with listings."""
    try:
        return StaticFiles(options.directory, listing=True)
    except ValueError as error:
        raise Mistake(str(error)) from None


def make_target(options: argparse.Namespace, tls_port: int | None) -> Application:
    """What MODULE:APP names, as an application of ours; what it is goes to `options.kind`."""
    target = find_target(options)
    application: Any = target() if is_factory(target, options.kind is not None) else target
    if not callable(application):
        raise Mistake(f"{options.target} made {type(application).__name__}, which is no application")
    try:
        options.kind = options.kind or kind_of(application)
    except Undecided as doubt:
        raise Mistake(f"cannot tell what {options.target} is: {doubt}; if it is one all the same, say --wsgi, --asgi "
                      "or --native") from None
    if options.threads is not None and options.kind is not Kind.WSGI:
        raise Mistake(f"--threads is for a WSGI application, and {options.target} is {options.kind.value}")
    return adapted(application, options.kind, options.threads)


def find_target(options: argparse.Namespace) -> Callable[..., Any]:
    """Import the module of MODULE:APP, and return what has the name."""
    module_name, colon, name = options.target.partition(":")
    if not module_name or not colon or not name or module_name.startswith("."):
        raise Mistake(f"{options.target!r} is not MODULE:APP, such as shop.web:app")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the user's own imports: a traceback shows where
        raise Mistake(f"there is no module {module_name}") from None
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
    if not callable(target):
        raise Mistake(f"module {module_name} has no application {name!r}")
    return target  # type: ignore[no-any-return]


def is_factory(target: Callable[..., Any], is_known: bool) -> bool:
    """Whether `target` makes an application: an application takes arguments, a factory nothing.

    Args:
        is_known: whether the user has said what it is; then, what takes any arguments takes those of an application.
    """
    import inspect
    try:
        signature = inspect.signature(target)
        signature.bind()
    except (TypeError, ValueError):
        return False
    return not (is_known and any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values()))


# Serving

def serve(options: argparse.Namespace) -> int:
    """Listen, say where, and serve until told to stop."""
    configure_logging(options)
    context = make_context(options)
    if options.unix_mode is not None and not options.unix:
        raise Mistake("--unix-mode needs --unix")
    with contextlib.ExitStack() as opened:
        # The sockets first: the demo wants to know the port that it got.
        plain = None if options.unix else opened.enter_context(bind(options, options.port))
        secure = None if context is None else opened.enter_context(bind(options, options.tls_port))
        application = options.make(options, secure.getsockname()[1] if secure is not None else None)
        set_threads(application, getattr(options, "worker_threads", None), getattr(options, "stream_threads", None))
        if getattr(options, "debug", False):
            as_app("--debug", application).debug = True
        listening = [sock.getsockname()[0] for sock in (plain, secure) if sock is not None]
        application = guard(options, application, listening)
        server = opened.enter_context(contextlib.closing(make_server(options, application)))
        if plain is not None:
            server.listen(sock=plain)
        else:
            listen_at_path(server, options.unix, 0o660 if options.unix_mode is None else options.unix_mode)
        if secure is not None:
            server.listen(sock=secure, tls=context)
        # Said by the loop itself: whoever reads it may stop us at once, and signals are minded by then.
        server.call_when_started(lambda: print_banner(server, options, sys.stdout))
        # What has been loaded stays, so the collector need not look at it again: 3 % of a small request of the demo.
        gc.collect()
        gc.freeze()
        ending = Ending(server)
        ending.run()
    return ending.finish()


def guard(options: argparse.Namespace, application: Application, listening: Sequence[str]) -> Application:
    """Return the application, which answers only for the hosts that the options say.

    Args:
        listening: the IP addresses that connections are accepted at.
    """
    named = getattr(options, "trusted_hosts", None)
    is_private = bool(listening) and all(map(is_loopback_address, listening))
    if named is None or not (named or is_private):
        return application
    own, _, _ = options.host.partition("%")  # the zone of an IPv6 address is never sent
    try:
        return TrustedHosts([*LOOPBACK, *filter(None, [own]), *named], application)
    except ValueError as error:
        raise Mistake(str(error)) from None


def set_threads(application: Application, workers: int | None, streams: int | None) -> None:
    """Give an application as many threads of each kind as the user asks for."""
    if workers is not None:
        app = as_app("--worker-threads", application)
        app.threads = Threads(workers, app.threads.queue)
    if streams is not None:
        app = as_app("--stream-threads", application)
        app.stream_threads = Streams(streams, app.stream_threads.queue)


def as_app(option: str, application: Application) -> App:
    """The application, which must be an `App` for this option."""
    if not isinstance(application, App):
        raise Mistake(f"{option} is for an App, and this application is not one")
    return application


def make_server(options: argparse.Namespace, application: Application) -> Server:
    """A server of an application, as the options say."""
    return Server(
        application,
        limits=Limits(body=options.max_body),
        timeouts=Timeouts(idle=options.idle_timeout),
        max_connections=options.max_connections,
        max_stream=options.max_stream,
        access_log=AccessLog(options.access_log) if options.access_log else None,
    )


def allow_descriptors() -> None:
    """Raise the number of open files to what the system allows: each connection is one."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_context(options: argparse.Namespace) -> ServerContext | None:
    """The TLS context of --cert and --key, if HTTPS is wanted."""
    if options.key and not options.cert:
        raise Mistake("--key needs --cert")
    if not options.cert:
        return None
    try:
        return tls_context(options.cert, options.key)
    except ValueError as error:
        raise Mistake(str(error)) from None


def bind(options: argparse.Namespace, port: int) -> socket.socket:
    """A listening socket at a port; the demo tries the next one where the port is taken."""
    try:
        return listen_at(options.host, port)
    except OSError as error:
        if options.command == "demo" and error.errno == errno.EADDRINUSE and port < 65535:
            try:
                return listen_at(options.host, port + 1)
            except OSError:
                raise Mistake(f"ports {port} and {port + 1} of {options.host} are in use") from None
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise Mistake(f"cannot listen on {options.host} port {port}: {reason}") from None


def listen_at(host: str, port: int) -> socket.socket:
    """A listening socket: that a port is taken shows only at `listen` where the other has just bound it."""
    sock = bind_address(host, port)
    try:
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def listen_at_path(server: Server, path: str, mode: int) -> None:
    """Listen on a Unix socket."""
    try:
        server.listen(path=path, mode=mode)
    except OSError as error:
        raise Mistake(f"cannot listen on {path}: {error.strerror or error}") from None


def configure_logging(options: argparse.Namespace) -> None:
    """Errors go to standard error; the access log, being data, to standard output."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if options.access_log:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        access_logger.addHandler(handler)
        access_logger.setLevel(logging.INFO)
        access_logger.propagate = False


def print_banner(server: Server, options: argparse.Namespace, out: TextIO) -> None:
    """Say what is served and where; in colour only where somebody looks on."""
    what = {"demo": "the demo site", "serve": f"files of {os.path.abspath(getattr(options, 'directory', '.'))}",
            "run": f"{options.kind.value}, {options.target}" if options.command == "run" else ""}[options.command]
    coloured = out.isatty() and "NO_COLOR" not in os.environ
    before, behind = ("\x1b[1;36m", "\x1b[0m") if coloured else ("", "")
    print(f"evloop_http {__version__}: {what}", file=out)
    for url in server.urls:
        print(f"  {before}{url}{behind}", file=out)
    print("Ctrl-C stops it.", file=out, flush=True)
