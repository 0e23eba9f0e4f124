"""Which kind of application is this?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest

from evloop_http import App, StaticFiles
from evloop_http.app.middleware.hosts import TrustedHosts
from evloop_http.gateways.guessing import Kind, Undecided, kind_of
from evloop_http.gateways.wsgi import WSGI


def wsgi(environ: Any, start_response: Any) -> Any:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    return


def returns_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


def native(request: Any) -> Any:
    return None


class Wsgi:
    """Like Flask, and Django's WSGIHandler."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return []

    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        return []


class WsgiClass:
    """The class of PEP 3333: to call it is to make an instance, which is the iterable."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        pass


class Asgi:
    """Like Starlette, FastAPI, and Django's ASGIHandler."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        return


class Native:
    def __call__(self, request: Any) -> Any:
        return None


class Asgi2:
    def __init__(self, scope: Any) -> None:
        pass

    async def __call__(self, receive: Any, send: Any) -> None:
        return


def configured(setting: Any, environ: Any, start_response: Any, *, debug: bool = False) -> Any:
    return []


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)
    return call


def with_options(environ: Any, start_response: Any, options: Any = None) -> Any:
    return []


@pytest.mark.parametrize(("application", "kind"), [
    (wsgi, Kind.WSGI), (Wsgi(), Kind.WSGI), (Wsgi().wsgi_app, Kind.WSGI), (WsgiClass, Kind.WSGI),
    (functools.partial(configured, 1), Kind.WSGI), (functools.partial(configured, 1, debug=True), Kind.WSGI),
    (decorated(wsgi), Kind.WSGI), (with_options, Kind.WSGI), (lambda e, s: [], Kind.WSGI),
    (asgi, Kind.ASGI), (Asgi(), Kind.ASGI), (Asgi().__call__, Kind.ASGI), (returns_awaitable, Kind.ASGI),
    (functools.partial(asgi), Kind.ASGI), (functools.partial(Asgi()), Kind.ASGI), (decorated(asgi), Kind.ASGI),
    (native, Kind.NATIVE), (Native(), Kind.NATIVE), (App(), Kind.NATIVE), (StaticFiles("."), Kind.NATIVE),
    (TrustedHosts(["a"], App()), Kind.NATIVE), (WSGI(wsgi), Kind.NATIVE), (functools.partial(native), Kind.NATIVE),
])
def test_an_application_is_what_it_takes(application: Any, kind: Kind) -> None:
    assert kind_of(application) is kind


def test_frameworks_are_what_they_are() -> None:
    flask = pytest.importorskip("flask")
    assert kind_of(flask.Flask("shop")) is Kind.WSGI


async def coroutine_of_one(request: Any) -> Any:
    return None


async def coroutine_of_two(environ: Any, start_response: Any) -> Any:
    return []


def three(a: Any, b: Any, c: Any) -> Any:
    return None


@pytest.mark.parametrize(("application", "reason"), [
    (validator(wsgi), "any arguments"), (Asgi2, "ASGI 2"), (lambda scope: asgi, "ASGI 2"),
    (coroutine_of_one, "handler of an App"), (coroutine_of_two, "coroutine function of 2"),
    (three, "3 arguments (a, b, c)"), (lambda: None, "no argument"),
    (max, "does not say|any arguments")])
def test_what_cannot_be_told_is_not_guessed(application: Any, reason: str) -> None:
    with pytest.raises(Undecided) as caught:
        kind_of(application)
    assert any(part in str(caught.value) for part in reason.split("|"))
