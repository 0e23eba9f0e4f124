"""Which handler answers a request.

A path without placeholders is found by one look-up, whatever else is registered; a pattern (see
`patterns`) by a walk through a tree (see `tree`). On each level of the path fixed text goes before
placeholders, and tight placeholders before loose ones: `/users/me`, `/users/{id:int}`,
`/users/{name}`, `/{rest:path}`. The first that accepts the method receives the request; only if some
match and none accepts it, the answer is 405. GET accepts HEAD too, unless HEAD has a handler of its own.
Mounts come after all routes, the longest prefix first. A host comes before everything.

*Slashes.* A path is matched to the letter: `/users` and `/users/` are two. A request for one of them that would
be a 404, while the other one exists, is redirected there (308, which keeps method and body). The
`Location` is relative to the last segment, as it was sent: it is right below any mount or proxy, and
cannot become `//evil.example`, which would be another site. A mount at `/` receives what has no route
even with another slash. `CONNECT` is never redirected: its target is not a path.

There is always a route: for what is not found it is one that raises 404, 405 with `Allow` (RFC 9110
§15.5.6), or 501 for a method that nobody here knows, or redirects. So middleware sees them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from ...messages import Contract, HeaderSource, HTTPError, Request, Response, is_token
from .patterns import CONVERTERS, Converter, Pattern
from .tree import Tree

__all__ = ["CONVERTERS", "Converter", "Found", "Handler", "Route", "Router", "refusing"]

Handler = Callable[..., Any]

_KNOWN_METHODS = frozenset(method.value for method in HTTPMethod)


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and how it wants to be called."""

    handler: Handler
    threaded: bool = False
    #: it reads the body while that arrives, and so runs in a thread
    stream: bool = False
    #: the route answers in place of one that is not there
    is_refusal: bool = False
    #: as it was registered; for logs and statistics, where paths would be too many
    pattern: str = ""
    #: of the placeholders, in order
    names: tuple[str, ...] = ()
    #: of a mount: the application behind it, and the part of the path that it does not see
    mounted: Contract | None = None
    prefix: str = ""

    def path_below(self, path: str) -> str:
        """Return what the application behind a mount sees of a path."""
        return _below(self.prefix, path)


class Found(NamedTuple):
    """What an application found out about a request before its body. It holds while path and method are the same."""

    application: object
    method: str
    path: str
    route: Route
    params: Mapping[str, Any]


Methods = dict[str, Route]


class Router:
    """Finds the route of a request.

    Args:
        redirect_slashes: whether a path with a slash too many or too few at its end is redirected.
    """

    def __init__(self, *, redirect_slashes: bool = True) -> None:
        self.converters: dict[str, Converter] = dict(CONVERTERS)
        self._redirect_slashes = redirect_slashes
        self._fixed: dict[str, Methods] = {}
        #: where `find` looks first: the fixed paths, or nowhere once there are hosts, which go before them
        self._shortcuts = self._fixed
        self._tree: Tree[Route] = Tree()
        self._hosts: Tree[Route] = Tree(".")
        self._mounts: dict[str, Route] = {}
        self._mount_depth = 0
        self._mounted: list[Contract] = []
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
            routes[method] = route = Route(handler, threaded, stream, pattern=pattern, names=parsed.names)
            if method == "GET":
                routes.setdefault("HEAD", route)
            self._methods.add(method)
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
        contract = Contract(application)
        route = _entrance(contract, prefix)
        if name is not None:
            below = Pattern(f"{prefix}/{{path:path}}", CONVERTERS)
            self._check_name(name, below.text)
            self._names[name] = below
            self._named_mounts[name] = route
        self._mounts[prefix] = route
        self._mount_depth = max(self._mount_depth, prefix.count("/"))
        self._mounted.append(contract)

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
        contract = Contract(application)
        leaf[""] = Route(_entrance(contract, "").handler, names=parsed.names, mounted=contract)
        self._mounted.append(contract)
        self._shortcuts = {}

    def mounted(self) -> list[Contract]:
        """Return the applications that are mounted, or answer for a host."""
        return list(self._mounted)

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
        mount = self._find_mount(path)
        if mount is not None:
            # Below a longer prefix everything belongs to the other application; a mount at `/` is for the rest.
            return mount if mount.prefix else self._redirect(request) or mount
        return self._stand_in(request)

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
        return refusing(405, "This address does not take the method.", allow)

    def _stand_in(self, request: Request) -> Route:
        """The route for a path where nothing is."""
        if request.path == "*":  # OPTIONS asks about the server as a whole (RFC 9110 §9.3.7)
            return _SERVER_OPTIONS
        if request.method not in self._methods:
            return _UNKNOWN_METHOD
        return self._redirect(request) or _MISSING

    def _redirect(self, request: Request) -> Route | None:
        """The route for a path that exists with another slash; None if it does not."""
        if not self._redirect_slashes or request.method == "CONNECT" or request.method not in self._methods:
            return None
        location = self._other_slash(request)
        if location is None:
            return None
        headers = {"Location": location}
        return Route(lambda request, **params: Response(status=308, headers=headers), is_refusal=True)

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
        inner = getattr(mount.mounted.application, "url_for", None) if mount and mount.mounted else None
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


def _entrance(contract: Contract, prefix: str) -> Route:
    """The route into another application, which sees what is left of the path."""
    def enter(request: Request, **params: Any) -> Any:
        if prefix or not request.path:
            request.path = _below(prefix, request.path)
        return contract.answer(request)
    return Route(enter, mounted=contract, prefix=prefix)


def _below(prefix: str, path: str) -> str:
    return path[len(prefix):] or "/"


def refusing(status: int, message: str, headers: HeaderSource = ()) -> Route:
    """A route that refuses every request. Each gets an error of its own: an error keeps the frames that it passed."""
    def refuse(request: Request, **params: Any) -> Any:
        raise HTTPError(status, message, headers)
    return Route(refuse, is_refusal=True)


_MISSING = refusing(404, "There is nothing at this address.")
_UNKNOWN_METHOD = refusing(501, "This server does not know the method.")
_SERVER_OPTIONS = Route(lambda request, **params: Response(status=204))
