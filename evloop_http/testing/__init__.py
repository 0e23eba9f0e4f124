"""Tools for the tests of applications: a client that needs no socket, and fixtures for pytest.

    client          Client: requests go to an application as a call, answers come back whole
    reply           Reply: such an answer
    websocket       WebSocketSession: the same for a WebSocket
    pytest_plugin   fixtures that serve an application on a free port

`Client` is loaded when it is first used: pytest loads the fixtures in every run, also where nobody uses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client, Files
    from .reply import Reply
    from .websocket import WebSocketRefused, WebSocketSession

_HOME = {"Client": "client", "Files": "client", "Reply": "reply", "WebSocketRefused": "websocket",
         "WebSocketSession": "websocket"}

__all__ = ["Client", "Files", "Reply", "WebSocketRefused", "WebSocketSession"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
