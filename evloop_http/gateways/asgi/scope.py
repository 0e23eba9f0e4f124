"""What an ASGI application is told of a request: the scope (ASGI, "HTTP & WebSocket" 2.5, "TLS" 0.2).

*A template for each head.* Clients repeat their heads, and the parser hands out the same `RequestHead` for each of
them. What follows from the head is kept with it when it is seen for the second time, for as long as it lives, and
copied for each request: an application may change its scope.

*Paths.* `path` is the whole path, decoded, and begins with `root_path` (ASGI 2.3). Below a mount, `root_path` is where
the mount is. The `root_path` that the user names is where a proxy in front has put the whole site: it comes before
both, unless the proxy has left it in the path.
"""

from __future__ import annotations

from typing import Any

from ...messages import Origin, Peer, Request, RequestHead
from .ciphers import CIPHER_SUITES, TLS_VERSIONS
from .fields import RequestNames
from .kinds import Scope

#: ASGI's version of the HTTP part.
SPEC_VERSION = "2.5"


_SECURE = frozenset({"https", "wss"})


class Scopes:
    """Makes the scopes of requests.

    Args:
        root_path: where a proxy has put the site of the application: empty, or a path without a slash at its end.
        websockets: whether a request for a WebSocket has a scope of that kind. Otherwise it is like any other.

    Raises:
        ValueError: the root path is neither.
    """

    def __init__(self, root_path: str, websockets: bool = True) -> None:
        if root_path and (root_path[0] != "/" or root_path[-1] == "/"):
            raise ValueError(f"root_path is empty, or begins with a slash and does not end with one: {root_path!r}")
        self._root_path = root_path
        self._websockets = websockets
        self._names = RequestNames()

    def make(self, request: Request, state: dict[str, Any]) -> Scope:
        """Return a new scope of a request.

        Args:
            state: what the application has put into the state of its lifespan.
        """
        head, peer = request.head, request.peer
        kept = head.kept
        # Compared by identity first: another mount, or another listener, has another template.
        if type(kept) is _Kept and kept.maker is self and kept.origin is peer.origin and kept.path == request.path:
            scope = kept.template.copy()
            scope["asgi"] = {"version": "3.0", "spec_version": SPEC_VERSION}
            scope["headers"] = scope["headers"].copy()
            scope["extensions"] = scope["extensions"].copy()
        else:
            scope = self._build(head, peer.origin, request.path)
            if kept is None:
                head.kept = _SEEN  # most heads that are new are never seen again
            else:
                template = {**scope, "headers": scope["headers"].copy(), "extensions": scope["extensions"].copy()}
                head.kept = _Kept(self, peer.origin, request.path, template)
        scope["client"] = (peer.address, peer.port) if peer.address else None
        scope["state"] = state.copy()
        if scope["scheme"] in _SECURE:
            _add_tls(scope["extensions"], peer)
        return scope

    def _build(self, head: RequestHead, origin: Origin, path: str) -> Scope:
        """Return a scope without client and state."""
        raw_path = head.target.partition("?")[0]
        if raw_path[:1] != "/":
            raw_path = _path_of_url(raw_path)
        root_path, whole = "", path
        if self._root_path or path != head.path:
            root_path, whole, raw_path = self._paths(head.path, path, raw_path)
        address, headers = origin.address, head.headers
        extensions: dict[str, dict[str, Any]] = {"http.response.pathsend": {}, "http.response.zerocopysend": {},
                                                 "http.response.early_hint": {}}
        if head.version == "1.0":  # which knows no interim responses
            del extensions["http.response.early_hint"]
        elif "te" in headers.index and wants_trailers(head):
            extensions["http.response.trailers"] = {}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "http_version": head.version,
            "server": address if type(address) is tuple else (address, None),
            "client": None,
            "scheme": origin.scheme,
            "method": head.method,
            "root_path": root_path,
            "path": whole,
            "raw_path": raw_path.encode("latin-1"),
            "query_string": head.query_string.encode("latin-1"),
            "headers": self._names.pairs(headers),
            "extensions": extensions,
        }
        if self._websockets and "upgrade" in headers.index and _wants_websocket(head):
            _make_websocket(scope)
        return scope

    def _paths(self, whole: str, below: str, raw: str) -> tuple[str, str, str]:
        """Return root path, whole path and the latter as it was sent.

        Args:
            below: what a mount has left of the path; "/" if nothing.
        """
        if below == whole:
            mounted = ""
        elif whole.endswith(below):
            mounted = whole[:len(whole) - len(below)]
        elif below == "/":
            mounted = whole
        else:  # a middleware has put another path in its place
            mounted, whole, raw = "", below, _quoted(below)
        root = self._root_path
        if root and not mounted and (whole == root or whole.startswith(f"{root}/")):
            return root, whole, raw  # the proxy has not cut it off
        return root + mounted, root + whole, _quoted(root) + raw


#: Kept with a head that has been seen once.
_SEEN = object()


class _Kept:
    """A template, and what it holds for."""

    __slots__ = ("maker", "origin", "path", "template")

    def __init__(self, maker: Scopes, origin: Origin, path: str, template: Scope) -> None:
        self.maker = maker
        self.origin = origin
        self.path = path
        self.template = template


def _path_of_url(target: str) -> str:
    """Return the path of an absolute target; "*" is its own."""
    _, mark, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if mark else target


def _quoted(path: str) -> str:
    from urllib.parse import quote
    return quote(path, safe="/:@!$&'()*+,;=~") if path else ""


def _wants_websocket(head: RequestHead) -> bool:
    """Return whether a client asks for a WebSocket. Whether it does so by the rules is another question."""
    headers = head.headers
    return (head.method == "GET" and "websocket" in _tokens(headers.get("upgrade", ""))
            and "upgrade" in _tokens(headers.get("connection", "")))


def _make_websocket(scope: Scope) -> None:
    """Make the scope of a request one of a WebSocket. It lacks the subprotocols."""
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["extensions"] = {"websocket.http.response": {}}


def _tokens(value: str) -> list[str]:
    return [token.strip(" \t").lower() for token in value.split(",")]


def wants_trailers(head: RequestHead) -> bool:
    """Return whether the client reads trailers (RFC 9110 §10.1.4). They need chunks, which HTTP/1.0 does not know."""
    index = head.headers.index
    if "te" not in index or head.version == "1.0":
        return False
    return "trailers" in _tokens(index["te"][1])


def _add_tls(extensions: dict[str, dict[str, Any]], peer: Peer) -> None:
    facts = peer.tls
    if facts is not None:
        extensions["tls"] = {"server_cert": None, "client_cert_chain": [], "client_cert_name": None,
                             "client_cert_error": None, "tls_version": TLS_VERSIONS.get(facts.version),
                             "cipher_suite": CIPHER_SUITES.get(facts.cipher)}
