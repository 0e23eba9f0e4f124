"""Which kind of application is this? WSGI, ASGI, or one of ours; told by how it wants to be called.

    (environ, start_response)                   WSGI (PEP 3333)
    (scope, receive, send)                      ASGI
    (scope), returning another callable         ASGI 2, which nothing here speaks
    (request)                                   ours

Only the signature is looked at. Nothing is called and no framework is imported: an instance is what its `__call__`
takes, a class what its constructor takes. Where the number of arguments leaves a doubt, their names decide; where those
do too, nobody guesses: the user says it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from ..messages import Application

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Kind(Enum):
    """Kinds of applications, in words for users."""

    WSGI = "a WSGI application"
    ASGI = "an ASGI application"
    NATIVE = "an application of evloop_http"


class Undecided(Exception):
    """It cannot be told, or is of a kind that nothing here speaks; the text says why."""


def kind_of(application: Callable[..., Any]) -> Kind:
    """Return what an application is.

    Raises:
        Undecided: its signature does not say it, or it is written for ASGI 2.
    """
    if hasattr(application, "prepare") and hasattr(application, "close"):  # nobody else has these
        return Kind.NATIVE
    names, takes_any = _arguments(application)
    is_async = _is_async(application)
    if takes_any and not names:
        raise Undecided("it takes any arguments")
    if len(names) == 3 and (is_async or names == ["scope", "receive", "send"]):
        return Kind.ASGI
    if len(names) == 2 and not is_async:
        return Kind.WSGI
    if len(names) == 1:
        return _kind_of_one(names[0], is_async)
    how = "a coroutine function " if is_async else ""
    raise Undecided(f"it is {how}of {len(names)} arguments ({', '.join(names)})" if names else "it takes no argument")


def _kind_of_one(name: str, is_async: bool) -> Kind:
    if name == "scope":
        raise Undecided("it is written for ASGI 2, which has two calls: wrap it, asgiref.compatibility has "
                        "guarantee_single_callable")
    if is_async:
        raise Undecided("it is a coroutine function of one argument: register it as a handler of an App")
    return Kind.NATIVE


def adapted(application: Callable[..., Any], kind: Kind, threads: int | None = None) -> Application:
    """Return an application of this kind as one of ours.

    Args:
        threads: of a WSGI application; None for as many as usual.
    """
    if kind is Kind.WSGI:
        from .wsgi import WSGI
        return WSGI(application) if threads is None else WSGI(application, threads)
    if kind is Kind.ASGI:
        from .asgi import ASGI
        return ASGI(application)
    return application


def _arguments(application: Callable[..., Any]) -> tuple[list[str], bool]:
    """Return the names of the arguments that must be passed by position, and whether there may be any number."""
    try:
        parameters = inspect.signature(application).parameters.values()
    except (TypeError, ValueError):
        raise Undecided("it does not say which arguments it takes") from None
    names = [one.name for one in parameters if one.kind in _POSITIONAL and one.default is one.empty]
    return names, any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)


def _is_async(application: Callable[..., Any]) -> bool:
    """Return whether calling it makes a coroutine."""
    while isinstance(application, partial):
        application = application.func
    if isinstance(application, type):
        return False
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(type(application).__call__)
