"""Patterns to handlers.

A pattern is a path in which `{name}` stands for a segment and `{name:converter}` for what the
converter takes: `int`, `float`, `uuid`, `path` (slashes too), or one of your own. A path without
braces is found by one look-up and goes before any pattern, whatever the order of registration;
patterns are tried in theirs; mounts come last, the longest prefix first.

There is always a route: for what is not found it is one whose handler raises 404, 405 with
`Allow` (RFC 9110 §15.5.6), or 501 for a method that nobody here knows. So middleware sees them too.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any, NamedTuple

from ..messages import HTTPError, Request, Response, is_token

Handler = Callable[..., Any]

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?\}")
_KNOWN_METHODS = frozenset(method.value for method in HTTPMethod)


class Converter(NamedTuple):
    """What a placeholder takes, and what is made of it. A `ValueError` from `convert` means no match."""

    pattern: str
    convert: Callable[[str], Any]


CONVERTERS: Mapping[str, Converter] = {
    "str": Converter(r"[^/]+", str),
    "int": Converter(r"-?[0-9]{1,18}", int),
    "float": Converter(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", float),
    "uuid": Converter(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uuid.UUID),
    "path": Converter(r".+", str),
}


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and how it wants to be called."""

    handler: Handler
    threaded: bool = False
    #: the route answers in place of one that is not there
    is_refusal: bool = False


Methods = dict[str, Route]


class Pattern:
    """A path with placeholders."""

    def __init__(self, pattern: str, converters: Mapping[str, Converter]) -> None:
        self.converts: dict[str, Callable[[str], Any]] = {}
        expression = ""
        end = 0
        for placeholder in _PLACEHOLDER.finditer(pattern):
            name, kind = placeholder[1], placeholder[2] or "str"
            if kind not in converters:
                raise ValueError(f"there is no converter {kind!r}; known: {', '.join(sorted(converters))}")
            if name in self.converts:
                raise ValueError(f"{pattern!r} names {name!r} twice")
            expression += f"{re.escape(pattern[end:placeholder.start()])}(?P<{name}>{converters[kind].pattern})"
            self.converts[name] = converters[kind].convert
            end = placeholder.end()
        rest = pattern[end:]
        if "{" in rest or "}" in rest or not self.converts:
            raise ValueError(f"{pattern!r} has a brace that is no part of a placeholder: {{name}} or {{name:int}}")
        self._match = re.compile(expression + re.escape(rest), re.DOTALL).fullmatch

    def match(self, path: str) -> dict[str, Any] | None:
        """The converted parameters in `path`; None if it does not match."""
        found = self._match(path)
        if found is None:
            return None
        try:
            return {name: convert(found[name]) for name, convert in self.converts.items()}
        except ValueError:
            return None


class Router:
    """Finds the route of a request."""

    def __init__(self) -> None:
        self.converters: dict[str, Converter] = dict(CONVERTERS)
        self._fixed: dict[str, Methods] = {}
        self._patterns: dict[str, tuple[Pattern, Methods]] = {}
        self._mounts: list[tuple[str, Route, Callable[[Any], Any]]] = []
        self._methods = set(_KNOWN_METHODS)

    def add(self, pattern: str, methods: Iterable[str], handler: Handler, threaded: bool = False) -> None:
        """Register a handler.

        Raises:
            ValueError: the pattern does not begin with a slash or is malformed, a method is no
                token, or the two are registered already.
        """
        if not pattern.startswith("/"):
            raise ValueError(f"a route begins with a slash: {pattern!r}")
        if "{" in pattern or "}" in pattern:
            if pattern not in self._patterns:
                self._patterns[pattern] = (Pattern(pattern, self.converters), {})
            routes = self._patterns[pattern][1]
        else:
            routes = self._fixed.setdefault(pattern, {})
        for method in [methods] if isinstance(methods, str) else methods:
            if not is_token(method):
                raise ValueError(f"{method!r} is no method")
            if method in routes:
                raise ValueError(f"{method} {pattern} is registered twice")
            routes[method] = Route(handler, threaded)
            self._methods.add(method)

    def mount(self, prefix: str, application: Callable[[Any], Any]) -> None:
        """Hand everything below `prefix` that has no route to another application; below `/` that is all the rest.

        Raises:
            ValueError: the prefix does not begin with a slash, ends with one, has a placeholder or
                is mounted already.
        """
        if not prefix.startswith("/") or prefix[1:].endswith("/") or set("{}") & set(prefix):
            raise ValueError(f"a mount begins with a slash, does not end with one and has no placeholder: {prefix!r}")
        prefix = prefix.rstrip("/")
        if any(prefix == mounted for mounted, _, _ in self._mounts):
            raise ValueError(f"{prefix or '/'} is mounted twice")

        def enter(request: Request) -> Any:
            request.path = request.path[len(prefix):] or "/"
            return application(request)

        self._mounts.append((prefix, Route(enter), application))
        self._mounts.sort(key=lambda mount: -len(mount[0]))

    def mounted(self) -> list[Callable[[Any], Any]]:
        """The applications that are mounted."""
        return [application for _, _, application in self._mounts]

    def find(self, request: Request) -> Route:
        """The route of a request, whose `params` are set; one that refuses if there is none."""
        methods = self._fixed.get(request.path)
        if methods is not None:
            return methods.get(request.method) or self._other_method(methods, request.method)
        return self._find_pattern(request)

    def _find_pattern(self, request: Request) -> Route:
        path, method = request.path, request.method
        others: Methods = {}
        for pattern, methods in self._patterns.values():
            params = pattern.match(path)
            if params is not None:
                if method in methods:
                    request.params = params
                    return methods[method]
                if method == "HEAD" and "GET" in methods:
                    request.params = params
                    return methods["GET"]
                others = {**methods, **others}
        if others:
            return self._other_method(others, method)
        for prefix, route, _ in self._mounts:
            if path.startswith(prefix) and path[len(prefix):len(prefix) + 1] in ("", "/"):
                return route
        if path == "*":  # OPTIONS asks about the server as a whole (RFC 9110 §9.3.7)
            return Route(lambda request: Response(status=204))
        if method not in self._methods:
            return _unknown_method()
        return _refusal(HTTPError(404, "There is nothing at this address."))

    def _other_method(self, methods: Methods, method: str) -> Route:
        """The route for a method that a path does not list."""
        if method == "HEAD" and "GET" in methods:
            return methods["GET"]
        allow = {"Allow": ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))}
        if method == "OPTIONS":
            return Route(lambda request: Response(status=204, headers=allow))
        if method not in self._methods:
            return _unknown_method()
        return _refusal(HTTPError(405, "This address does not take the method.", allow))


def _refusal(error: HTTPError) -> Route:
    def refuse(request: Request, **params: Any) -> Any:
        raise error
    return Route(refuse, is_refusal=True)


def _unknown_method() -> Route:
    return _refusal(HTTPError(501, "This server does not know the method."))
