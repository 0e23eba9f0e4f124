"""Starlette's own tests, with a server between its `TestClient` and its applications.

    ./scripts/conformance starlette [tests/test_responses.py ...]

They are run on ours and on uvicorn: what passes on uvicorn must pass on ours. What fails on both is what no server can
do: a `TestClient` has addresses of its own, sees the context of templates, and knows how a WebSocket was refused.
"""

from __future__ import annotations

import sys

from ._comparing import compare

VERSION = "starlette==1.10.0"
#: What its tests import.
PACKAGES = ("itsdangerous", "jinja2", "python-multipart", "pyyaml", "anyio", "trio", "opentelemetry-sdk", "zstandard")

#: Not run, and why.
DESELECTED = {
    "tests/test_testclient.py": "of the TestClient, in whose place we are",
    "tests/middleware/test_opentelemetry.py": "of a library that watches; its tests import an older client",
}
#: What passes on uvicorn, and not on ours, and why.
_HOST = "a `Host` whose port is above 65535 or has zeros in front, or whose address is none, is refused with 400"
BEHIND = {
    "tests/middleware/test_https_redirect.py::test_https_redirect_middleware_without_server[asyncio-[:::]]": _HOST,
    "tests/middleware/test_https_redirect.py::test_https_redirect_middleware_without_server[asyncio-testserver:65536]":
        _HOST,
    "tests/middleware/test_trusted_host.py::test_trusted_host_middleware_ipv6": _HOST,
    "tests/test_routing.py::test_host_routing_ignores_port": _HOST,
    "tests/test_routing.py::test_host_routing_ip_literals": _HOST,
    "tests/test_routing.py::test_host_routing_rejects_invalid_hosts": _HOST,
    "tests/test_staticfiles.py::test_staticfiles_null_byte_in_path": "a NUL in a path is refused with 400",
}


def main() -> int:
    """Run the tests on both servers."""
    return compare("starlette", VERSION, PACKAGES, ["tests", "-k", "not trio"], DESELECTED, BEHIND)


if __name__ == "__main__":
    sys.exit(main())
