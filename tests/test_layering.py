"""The walls of the house: which room may import which.

Rooms know only the ground. `server/` alone joins the wire to the net. The roof puts things together and
is imported by nobody. The rules are by folder: a new module needs no new line here, and one that is in
no room is itself a breach.

The imports are read from the source with `ast`: those inside functions and under `TYPE_CHECKING`
count too, because a reader must follow them all the same.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "evloop_http"
#: The package itself as a room: its lazy `__init__`, through which a module could reach everything.
FRONT_DOOR = "__init__"


class Rule(NamedTuple):
    ours: frozenset[str]  # the rooms that may be imported beside one's own
    never: frozenset[str] = frozenset()  # modules of the standard library that may not be
    optional: bool = False  # whether functions may import what only an extra brings


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NO_SOCKETS = names("socket ssl selectors")

RULES = {
    # ground
    "messages": Rule(names(""), NO_SOCKETS | {"threading"}),
    "threads": Rule(names("messages"), NO_SOCKETS),
    # rooms
    "http1": Rule(names("messages"), NO_SOCKETS | names("time os logging threading")),
    "net": Rule(names(""), names("http urllib email")),
    "loops": Rule(names("net")),
    # It registers handlers of WebSockets as routes: the room is loaded when the first one is.
    "app": Rule(names("messages threads websocket"), NO_SOCKETS, optional=True),
    "gateways": Rule(names("messages threads websocket"), NO_SOCKETS),
    "websocket": Rule(names("messages threads"), NO_SOCKETS, optional=True),
    # joint
    "server": Rule(names("messages http1 net loops"), NO_SOCKETS | {"time"}),
    # roof
    "observe": Rule(names("messages"), names("socket ssl")),
    "testing": Rule(names("messages http1 server websocket")),
    "cli": Rule(names("messages threads http1 net app gateways server observe testing demo ending __init__"),
                optional=True),
    "ending": Rule(names("server")),
    "demo": Rule(names("messages threads http1 net app server websocket observe testing __init__"), optional=True),
    "__init__": Rule(names("messages threads http1 net app gateways server websocket observe testing")),
    "__main__": Rule(names("cli")),
}

#: Modules with rules of their own, in the place of their room's.
EXCEPTIONS = {
    # What stands between two threads.
    f"{PACKAGE}.messages.bodies": Rule(names(""), NO_SOCKETS),
    f"{PACKAGE}.messages.pending": Rule(names(""), NO_SOCKETS),
    f"{PACKAGE}.messages.awaiting": Rule(names(""), NO_SOCKETS),
    f"{PACKAGE}.server.server": Rule(names("messages http1 net loops"), names("ssl selectors")),  # the date, addresses
}

#: What needs another package from its first line on, and is imported by nothing of ours when that is imported.
ON_REQUEST = {
    f"{PACKAGE}.http1.strategies": names("hypothesis"),
    f"{PACKAGE}.loops.gevent": names("gevent"),
    f"{PACKAGE}.loops.glib": names("gi"),
    f"{PACKAGE}.loops.qt": names("PySide6 PyQt6"),
    f"{PACKAGE}.loops.trio": names("trio"),
    f"{PACKAGE}.testing.pytest_plugin": names("pytest"),
}
#: What needs an extra too, and is imported by functions of ours: when somebody wants what the extra is for.
ON_DEMAND = {f"{PACKAGE}.websocket.frames": names("websockets")}


class Import(NamedTuple):
    line: int
    target: str  # with the name that is taken from it: "evloop_http.net.reactor.Reactor"
    at_once: bool  # carried out when the module is: not in a function, nor for the type checker only


class ImportReader(ast.NodeVisitor):
    """Collects every import of a module, relative ones resolved against `package`."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self.deferred = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.append(Import(node.lineno, alias.name, not self.deferred))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            above = parents[: len(parents) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        for alias in node.names:
            self.found.append(Import(node.lineno, f"{base}.{alias.name}", not self.deferred))

    def visit_function(self, node: ast.AST) -> None:
        self.deferred += 1
        self.generic_visit(node)
        self.deferred -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
            return
        self.deferred += 1
        for statement in node.body:
            self.visit(statement)
        self.deferred -= 1
        for statement in node.orelse:
            self.visit(statement)


def room_of(dotted: str) -> str:
    """The room that a name of ours is in; the front door for what stands in no room."""
    first = dotted.split(".")[1:2]
    return first[0] if first and first[0] in RULES else FRONT_DOOR


def breaches_of(rule: Rule, room: str, found: Import) -> Iterator[str]:
    top = found.target.partition(".")[0]
    if top == PACKAGE:
        other = room_of(found.target)
        if other != room and other not in rule.ours:
            yield f"{room} imports {other}"
    elif top in sys.stdlib_module_names:
        if top in rule.never:
            yield f"{room} imports {top}"
    elif found.at_once:
        yield f"{top} is not in the standard library, so the package could not be imported without it"
    elif not rule.optional:
        yield f"{room} needs {top}, which is not in the standard library"


def breaches(module: str, source: str, is_package: bool = False) -> list[str]:
    """Every breach of the rules in the source of `module` (its dotted name), with its line."""
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else FRONT_DOOR
    if room not in RULES:
        return [f"{module} belongs to no room"]
    reader = ImportReader(module if is_package else ".".join(parts[:-1]))
    reader.visit(ast.parse(source))
    brought = (ON_REQUEST | ON_DEMAND).get(module, frozenset())
    return [
        f"{module}, line {found.line}: {breach} ({found.target})"
        for found in reader.found
        if found.target.partition(".")[0] not in brought
        for breach in breaches_of(EXCEPTIONS.get(module, RULES[room]), room, found)
    ]


def modules() -> dict[str, Path]:
    """Every module of the package: dotted name to file."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python that sees the package and the standard library, and no installed package."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


# -- the house as it stands


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    path = modules()[module]
    assert breaches(module, path.read_text("utf-8"), path.name == "__init__.py") == []


def test_no_module_imports_itself_by_a_detour_not_even_for_its_types() -> None:
    known = modules()
    wanted: dict[str, set[str]] = {}
    for module, path in known.items():
        reader = ImportReader(module if path.name == "__init__.py" else module.rpartition(".")[0])
        reader.visit(ast.parse(path.read_text("utf-8")))
        named = {found.target if found.target in known else found.target.rpartition(".")[0] for found in reader.found}
        wanted[module] = (named & known.keys()) - {module}
    while leaves := {module for module, needs in wanted.items() if not needs & wanted.keys()}:
        wanted = {module: needs for module, needs in wanted.items() if module not in leaves}
    assert wanted == {}


def test_every_room_of_the_table_stands() -> None:
    assert {room_of(module) for module in modules()} == set(RULES)


def test_the_parser_alone_loads_no_socket_no_ssl_and_no_selector() -> None:
    report = python("-X", "importtime", "-c", "import evloop_http.http1")
    loaded = {line.rpartition("|")[2].strip() for line in report.stderr.splitlines()}
    assert report.returncode == 0, report.stderr
    assert "evloop_http.http1" in loaded
    assert loaded.isdisjoint({"socket", "_socket", "ssl", "_ssl", "selectors"})


def test_everything_but_the_demo_is_imported_without_any_extra() -> None:
    core = [module for module in modules() if room_of(module) not in ("demo", "__main__")
            and module not in ON_REQUEST | ON_DEMAND]
    result = python("-c", "".join(f"import {module}\n" for module in core))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("module", ON_REQUEST)
def test_what_needs_another_package_from_its_first_line_is_imported_at_once_by_nothing_of_ours(module: str) -> None:
    for name, path in modules().items():
        reader = ImportReader(name if path.name == "__init__.py" else name.rpartition(".")[0])
        reader.visit(ast.parse(path.read_text("utf-8")))
        assert not [found for found in reader.found if found.at_once and found.target.startswith(module)]


# -- the checker itself


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("http1.parser", "from ..net import reactor", "http1 imports net"),
        ("http1.parser", "import evloop_http.net.reactor as r", "http1 imports net"),
        ("http1.parser", "def f():\n    from evloop_http.app import App", "http1 imports app"),
        ("http1.parser", "if TYPE_CHECKING:\n    from ..server.connection import Connection", "http1 imports server"),
        ("http1.parser", "try:\n    import ssl\nexcept ImportError:\n    ssl = None", "http1 imports ssl"),
        ("http1.parser", "import re, os.path", "http1 imports os"),
        ("http1.parser", "from time import monotonic", "http1 imports time"),
        ("http1.parser", "from .. import RequestParser", "http1 imports __init__"),
        ("net.transport", "from ..messages import Headers", "net imports messages"),
        ("net.transport", "from http import HTTPStatus", "net imports http"),
        ("net.tls", "def f():\n    import cryptography", "net needs cryptography"),
        ("loops.tk", "from ..server import Server", "loops imports server"),
        ("loops.asyncio", "import uvloop", "uvloop is not in the standard library"),
        ("app.static.files", "import evloop_http", "app imports __init__"),
        ("app.routing.router", "class A:\n    def f(self):\n        import socket", "app imports socket"),
        ("app.templates", "import jinja2", "jinja2 is not in the standard library"),
        ("app.templates", "class A:\n    import jinja2", "jinja2 is not in the standard library"),
        ("http1.parser", "import hypothesis", "hypothesis is not in the standard library"),
        ("messages.request", "from ..http1 import Limits", "messages imports http1"),
        ("messages.request", "from threading import Lock", "messages imports threading"),
        ("server.connection", "from ..app import App", "server imports app"),
        ("server.connection", "import time", "server imports time"),
        ("server.server", "from ..observe import access", "server imports observe"),
        ("cellar", "", "evloop_http.cellar belongs to no room"),
    ],
)
def test_a_breach_in_a_source_is_found(module: str, source: str, breach: str) -> None:
    found = breaches(f"{PACKAGE}.{module}", source)
    assert len(found) == 1
    assert breach in found[0]


def test_a_package_resolves_its_relative_imports_from_itself() -> None:
    assert breaches(f"{PACKAGE}.http1", "from .parser import RequestParser", is_package=True) == []
    assert len(breaches(f"{PACKAGE}.http1", "from ..net import Reactor", is_package=True)) == 1


def test_a_breach_is_told_with_its_module_and_line() -> None:
    assert breaches("evloop_http.http1.body", "import re\n\nimport socket\n") == [
        "evloop_http.http1.body, line 3: http1 imports socket (socket)"
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("http1.parser", "from __future__ import annotations\nimport re\nfrom . import body\nfrom .head import Head"),
        ("http1.parser", "from ..messages import Headers\nfrom .. import messages"),
        ("net.transport", "import socket, ssl, selectors, time\nfrom .reactor import Reactor"),
        ("app.templates", "if TYPE_CHECKING:\n    import jinja2\ndef f():\n    import jinja2"),
        ("server.connection", "from ..http1 import RequestParser\nfrom ..net import Transport\nfrom . import states"),
        ("server.server", "import socket\nfrom .connection import Connection\nfrom ..net.reactor import Reactor"),
        ("demo.app", "from evloop_http import App, Server\nfrom ..app.static import StaticFiles"),
    ],
)
def test_what_a_room_may_import_is_no_breach(module: str, source: str) -> None:
    assert breaches(f"{PACKAGE}.{module}", source) == []
