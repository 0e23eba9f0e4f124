"""The public names: each is where the package says that it is, and nothing is loaded before it is asked for."""

from __future__ import annotations

import doctest
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

import evloop_http
from evloop_http import http1


@pytest.mark.parametrize("name", evloop_http.__all__)
def test_every_public_name_is_where_the_package_says(name: str) -> None:
    home = import_module(f"evloop_http.{evloop_http._HOME[name]}")
    assert getattr(evloop_http, name) is getattr(home, name)


def test_every_name_that_can_be_had_is_public_and_there_is_no_other() -> None:
    assert sorted(evloop_http.__all__) == sorted(evloop_http._HOME)
    assert len(set(evloop_http.__all__)) == len(evloop_http.__all__)


def test_dir_shows_the_public_names() -> None:
    assert {*evloop_http.__all__, "__version__"} <= set(dir(evloop_http))


def test_a_star_brings_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from evloop_http import *", names)
    assert set(evloop_http.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'evloop_http' has no attribute 'Sever'"):
        _ = evloop_http.Sever
    with pytest.raises(ImportError, match="cannot import name 'Sever'"):
        exec("from evloop_http import Sever")


def test_the_first_program_of_the_docstring_is_right() -> None:
    assert evloop_http.__doc__ is not None
    _, _, rest = evloop_http.__doc__.partition("\n\n")
    program = "\n".join(line.removeprefix("    ") for line in rest.partition("\n\nThe house")[0].splitlines())
    compile(program, "docstring", "exec")
    names: dict[str, object] = {}
    exec(program.partition("server = Server")[0], names)
    app = names["app"]
    assert isinstance(app, evloop_http.App)


def test_the_map_in_the_docstring_names_every_room() -> None:
    assert evloop_http.__doc__ is not None
    here = Path(evloop_http.__file__).parent
    words = set(evloop_http.__doc__.replace("/", " ").split())
    rooms = [path.stem for path in here.iterdir() if not path.name.startswith("_") and path.name != "py.typed"]
    assert [room for room in rooms if room not in words] == []


def test_the_parser_alone_loads_no_sockets_and_no_tls() -> None:
    program = ("import sys, evloop_http.http1\n"
               "print(sorted({'socket', 'ssl', 'selectors', '_socket', '_ssl'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_map_in_the_docstring_names_every_module_of_the_parser() -> None:
    here = Path(http1.__file__).parent
    modules = sorted(path.stem for path in here.glob("*.py") if path.stem != "__init__")
    room = (evloop_http.__doc__ or "").partition("    http1/")[2].partition("    net/")[0]
    assert sorted(line.split()[0] for line in room.splitlines()[1:] if line.strip()) == modules
    order = (http1.__doc__ or "").partition("In reading order:")[2].partition("The rules")[0]
    assert sorted(order.split("`")[1::2]) == modules


def test_the_examples_of_the_parsers_docstring_are_right() -> None:
    done = doctest.testmod(http1)
    assert done.failed == 0
    assert done.attempted > 10


# The README

README = (Path(__file__).parents[2] / "README.rst").read_text("utf-8")


def test_the_program_for_the_parser_alone_prints_what_the_readme_says() -> None:
    section = README.partition("\nThe parser alone\n")[2].partition("\n---")[0]
    _, _, block = section.partition(".. code-block:: python\n\n")
    code, _, rest = block.partition("\n\nIt prints ")
    done = subprocess.run([sys.executable, "-W", "error", "-X", "utf8", "-c", textwrap.dedent(code)],
                          capture_output=True, text=True, timeout=30, encoding="utf-8")
    said, _, printed = " ".join(rest.split()).partition("``")
    assert said == "an empty line, then "
    assert (done.stdout, done.stderr) == ("\n" + printed.partition("``")[0] + "\n", "")
