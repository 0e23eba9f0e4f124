"""Tools for the tests of applications: a client that needs no socket, and fixtures for pytest.

    client          Client: requests go to an application as a call, answers come back whole
    pytest_plugin   fixtures that serve an application on a free port

`Client` is loaded when it is first used: pytest loads the fixtures in every run, also where nobody uses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client, Files, Reply

__all__ = ["Client", "Files", "Reply"]


def __getattr__(name: str) -> Any:
    """Load a public name from the module of the client (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client
    value = getattr(client, name)
    globals()[name] = value
    return value
