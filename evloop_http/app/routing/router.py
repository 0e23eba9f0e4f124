"""Which handler answers a request.

A path without placeholders is found by one look-up, whatever else is registered; a pattern (see
`patterns`) by a walk through a tree (see `tree`). On each level of the path fixed text goes before
placeholders, and tight placeholders before loose ones: `/users/me`, `/users/{id:int}`,
`/users/{name}`, `/{rest:path}`. The first that takes the method has the request; only where some
match and none takes it, the answer is 405. GET takes HEAD too, unless HEAD has a handler of its own.
Mounts come after all routes, the longest prefix first. A host goes before everything.

*Slashes.* A path is matched to the letter: `/users` and `/users/` are two. A request for one of them
that would be a 404, where the other is there, is sent to that (308, which keeps method and body). The
`Location` is relative to the last segment, as it was sent: it is right below any mount or proxy, and
cannot become `//evil.example`, which would be another site. A mount of `/` takes all that has no route,
so that nothing is left to redirect.

There is always a route: for what is not found it is one that raises 404, 405 with `Allow` (RFC 9110
§15.5.6), or 501 for a method that nobody here knows, or redirects. So middleware sees them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any
from urllib.parse import quote, urlencode

from ...messages import HTTPError, Request, Response, is_token
from .patterns import CONVERTERS, Converter, Pattern
from .tree import Tree

__all__ = ["CONVERTERS", "Converter", "Handler", "Route", "Router", "raising"]

Handler = Callable[..., Any]

_KNOWN_METHODS = frozenset(method.value for method in HTTPMethod)


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and how it wants to be called."""

    handler: Handler
    threaded: bool = False
    #: it takes the body while that comes, and so runs in a thread
    stream: bool = False
    #: the route answers in place of one that is not there
    is_refusal: bool = False
    #: as it was registered; for logs and statistics, where paths would be too many
    pattern: str = ""
    #: of the placeholders, in order
    names: tuple[str, ...] = ()
    #: of a mount: who is behind it, and what of the path it does not see
    application: Any = None
    prefix: str = ""


Methods = dict[str, Route]


class Router:
    """Finds the route of a request.

    Args:
        redirect_slashes: whether a path with a slash too many or too few at its end is redirected.
    """

    def __init__(self, *, redirect_slashes: bool = True) -> None:
        self.converters: dict[str, Converter] = dict(CONVERTERS)
        self._redirect_slashes = redirect_slashes
        #: there may be routes that take their body while it comes
        self.has_streams = False
        self._fixed: dict[str, Methods] = {}
        #: where `find` looks first: the fixed paths, or nowhere once there are hosts, which go before them
        self._shortcuts = self._fixed
        self._tree: Tree[Route] = Tree()
        self._hosts: Tree[Route] = Tree(".")
        self._mounts: dict[str, Route] = {}
        self._mount_depth = 0
        self._applications: list[Any] = []
        self._methods = set(_KNOWN_METHODS)
        self._names: dict[str, Pattern] = {}
        self._default_names: dict[str, dict[str, Pattern]] = {}
        self._named_mounts: dict[str, Route] = {}

    # Registering

    def add(self, pattern: str, methods: Iterable[str], handler: Handler, threaded: bool = False,
            name: str | None = None, stream: bool = False) -> None:
        """Register a handler.

        Args:
            name: what `url_for` calls it; the default is the function's name.

        Raises:
            ValueError: the pattern does not begin with a slash or is malformed, a method is no
                token, the two are registered already, or another pattern has the name.
        """
        if not pattern.startswith("/"):
            raise ValueError(f"a route begins with a slash: {pattern!r}")
        parsed = Pattern(pattern, self.converters)
        methods = [methods] if isinstance(methods, str) else list(methods)
        for method in methods:
            if not is_token(method):
                raise ValueError(f"{method!r} is no method")
        if name is not None:
            self._check_name(name, pattern)
        routes = self._tree.add(parsed) if parsed.names else self._fixed.setdefault(pattern, {})
        for method in methods:
            # GET brings HEAD along, which one of its own replaces.
            if method in routes and not (method == "HEAD" and routes[method] is routes.get("GET")):
                raise ValueError(f"{method} {pattern} is registered twice")
            routes[method] = route = Route(handler, threaded or stream, stream, pattern=pattern, names=parsed.names)
            if method == "GET":
                routes.setdefault("HEAD", route)
            self._methods.add(method)
        self.has_streams |= stream
        if name is not None:
            self._names[name] = parsed
        else:
            self._default_names.setdefault(getattr(handler, "__name__", ""), {})[pattern] = parsed

    def _check_name(self, name: str, pattern: str) -> None:
        if not name or ":" in name:
            raise ValueError(f"the name of a route is not empty and has no colon: {name!r}")
        taken = self._names.get(name)
        if taken is not None and taken.text != pattern:
            raise ValueError(f"{name!r} is the name of another route")

    def mount(self, prefix: str, application: Callable[[Any], Any], name: str | None = None) -> None:
        """Hand everything below `prefix` that has no route to another application; below `/` that is all the rest.

        Args:
            name: what stands before the colon in `url_for("blog:post")`.

        Raises:
            ValueError: the prefix does not begin with a slash, ends with one, has a placeholder or
                is mounted already, or the name is taken.
        """
        if not prefix.startswith("/") or prefix[1:].endswith("/") or set("{}") & set(prefix):
            raise ValueError(f"a mount begins with a slash, does not end with one and has no placeholder: {prefix!r}")
        prefix = prefix.rstrip("/")
        if prefix in self._mounts:
            raise ValueError(f"{prefix or '/'} is mounted twice")
        route = _entrance(application, prefix)
        if name is not None:
            below = Pattern(f"{prefix}/{{path:path}}", CONVERTERS)
            self._check_name(name, below.text)
            self._names[name] = below
            self._named_mounts[name] = route
        self._mounts[prefix] = route
        self._mount_depth = max(self._mount_depth, prefix.count("/"))
        self._let_in(application)

    def host(self, pattern: str, application: Callable[[Any], Any]) -> None:
        """Hand all requests for a host to another application.

        Args:
            pattern: `api.example.com`, or with placeholders `{sub}.example.com`, each of which takes one
                label, or `path` several. Their values are parameters of the handlers behind it.

        Raises:
            ValueError: the pattern is malformed, names a port or is registered already.
        """
        parsed = Pattern(f".{pattern}", self.converters, ".")
        text = "".join([segment.text for segment in (*parsed.left, *parsed.tail)])
        if not pattern or "/" in text or (":" in text and not text.startswith("[")) or text != text.lower():
            raise ValueError(f"a host is a name in lower case without scheme, port and path: {pattern!r}")
        leaf = self._hosts.add(parsed)
        if leaf:
            raise ValueError(f"the host {pattern} is registered twice")
        route = _entrance(application, "")
        leaf[""] = Route(route.handler, names=parsed.names, application=application)
        self._let_in(application)
        self._shortcuts = {}

    def _let_in(self, application: Callable[[Any], Any]) -> None:
        self._applications.append(application)
        self.has_streams |= hasattr(application, "destination")  # an `App`, now or later

    def mounted(self) -> list[Callable[[Any], Any]]:
        """The applications that are mounted, or answer for a host."""
        return list(self._applications)

    # Finding

    def find(self, request: Request) -> Route:
        """The route of a request, whose `params` are set; one that refuses if there is none."""
        methods = self._shortcuts.get(request.path)
        if methods is not None:
            route = methods.get(request.method)
            if route is not None:
                return route
        return self._find_host(request) or self._find_path(request)

    def _find_host(self, request: Request) -> Route | None:
        if self._shortcuts is self._fixed:
            return None
        # Names know no upper and lower case, and may end with the dot of the root (RFC 3986 §3.2.2).
        host = request.host.lower()
        host = host[:host.find("]") + 1] if host.startswith("[") else host.partition(":")[0].removesuffix(".")
        found = self._hosts.find(f".{host}", "", [])
        if found is None:
            return None
        route, values = found
        if values:
            _take(request, route, values)
        return route

    def _find_path(self, request: Request) -> Route:
        path, method = request.path, request.method
        missed: list[Methods] = []
        methods = self._fixed.get(path)
        if methods:
            if method in methods:
                return methods[method]
            missed.append(methods)
        if path.startswith("/"):
            found = self._tree.find(path, method, missed)
            if found is not None:
                route, values = found
                _take(request, route, values)
                return route
        if missed:
            return self._other_method(missed, method)
        return self._find_mount(path) or self._stand_in(request)

    def _find_mount(self, path: str) -> Route | None:
        if not self._mounts or path[:1] not in ("", "/"):
            return None
        segments = path.split("/", self._mount_depth + 1)[:self._mount_depth + 1]
        while segments:
            route = self._mounts.get("/".join(segments))
            if route is not None:
                return route
            segments.pop()
        return None

    def _other_method(self, missed: list[Methods], method: str) -> Route:
        """The route for a method that none of the matching ones takes."""
        allow = {"Allow": ", ".join(sorted({"OPTIONS"}.union(*missed)))}
        if method == "OPTIONS":
            return Route(lambda request, **params: Response(status=204, headers=allow))
        if method not in self._methods:
            return _UNKNOWN_METHOD
        return raising(HTTPError(405, "This address does not take the method.", allow))

    def _stand_in(self, request: Request) -> Route:
        """The route for a path where nothing is."""
        if request.path == "*":  # OPTIONS asks about the server as a whole (RFC 9110 §9.3.7)
            return _SERVER_OPTIONS
        if request.method not in self._methods:
            return _UNKNOWN_METHOD
        if self._redirect_slashes:
            location = self._other_slash(request)
            if location is not None:
                headers = {"Location": location}
                return Route(lambda request, **params: Response(status=308, headers=headers), is_refusal=True)
        return _MISSING

    def _other_slash(self, request: Request) -> str | None:
        """Where the path without its last slash, or with one more, is; None if there is nothing either."""
        path = request.path
        other = path[:-1] if path.endswith("/") else f"{path}/"
        missed: list[Methods] = []
        if not other.startswith("/") or not (
                other in self._fixed or self._tree.find(other, request.method, missed) or missed):
            return None
        # Of what was sent: in the decoded path, a slash may have been %2F.
        sent, mark, query = request.target.partition("?")
        if sent.endswith("/") != path.endswith("/"):
            return None
        last = sent.removesuffix("/").rpartition("/")[2]
        return (f"../{last}" if path.endswith("/") else f"./{last}/") + mark + query

    # Back to a path

    def url_for(self, name: str, values: Mapping[str, Any]) -> str:
        """The path of a named route with these values; see `App.url_for`."""
        first, colon, rest = name.partition(":")
        if not colon:
            pattern = self._pattern_named(name)
            extra = {key: value for key, value in values.items() if key not in pattern.names and value is not None}
            query = f"?{urlencode(extra, doseq=True)}" if extra else ""
            return _on_this_site(pattern.path(values)) + query
        mount = self._named_mounts.get(first)
        inner = getattr(mount.application, "url_for", None) if mount is not None else None
        if mount is None or inner is None:
            raise LookupError(f"no application with routes is mounted under the name {first!r}")
        return _on_this_site(quote(mount.prefix) + inner(rest, **values))

    def _pattern_named(self, name: str) -> Pattern:
        if name in self._names:
            return self._names[name]
        patterns = self._default_names.get(name, {})
        if len(patterns) == 1:
            return next(iter(patterns.values()))
        if patterns:
            raise LookupError(f"{name!r} stands for {' and '.join(patterns)}: register them with name=")
        raise LookupError(f"no route has the name {name!r}")


def _on_this_site(path: str) -> str:
    """A path that is no `//host`: the second slash is encoded, and read as a slash all the same."""
    return f"/%2F{path[2:]}" if path.startswith("//") else path


def _take(request: Request, route: Route, values: tuple[Any, ...]) -> None:
    """Give a request what was found in its path, beside what was found in its host."""
    params = dict(zip(route.names, values, strict=True))
    request.params = {**request.params, **params} if request.params else params


def _entrance(application: Callable[[Any], Any], prefix: str) -> Route:
    """The route into another application, which sees what is left of the path."""
    def enter(request: Request, **params: Any) -> Any:
        if prefix or not request.path:
            request.path = request.path[len(prefix):] or "/"
        return application(request)
    return Route(enter, application=application, prefix=prefix)


def raising(error: Exception) -> Route:
    """A route whose handler raises `error`."""
    def refuse(request: Request, **params: Any) -> Any:
        raise error
    return Route(refuse, is_refusal=True)


def _refusing(status: int, message: str) -> Route:
    """The same for every request; each gets an error of its own, for a traceback grows with every raise."""
    def refuse(request: Request, **params: Any) -> Any:
        raise HTTPError(status, message)
    return Route(refuse, is_refusal=True)


_MISSING = _refusing(404, "There is nothing at this address.")
_UNKNOWN_METHOD = _refusing(501, "This server does not know the method.")
_SERVER_OPTIONS = Route(lambda request, **params: Response(status=204))
