"""FastAPI's own tests, with a server between its `TestClient` and its applications.

    ./scripts/conformance fastapi [tests/test_path.py ...]

They are run on ours and on uvicorn, as those of Starlette: what passes on uvicorn must pass on ours.
"""

from __future__ import annotations

import sys

from ._comparing import compare

VERSION = "fastapi==0.165.0"
#: What its tests import.
PACKAGES = ("python-multipart", "jinja2", "dirty-equals", "inline-snapshot", "email-validator", "orjson", "pyyaml",
            "sqlmodel", "pyjwt", "pwdlib[argon2]", "itsdangerous", "httpx", "flask", "anyio", "trio",
            "opentelemetry-sdk", "pydantic-settings", "pydantic-extra-types", "ujson", "a2wsgi", "strawberry-graphql")

#: Not run, and why.
DESELECTED: dict[str, str] = {}
#: What passes on uvicorn, and not on ours, and why.
BEHIND: dict[str, str] = {}


def main() -> int:
    """Run the tests on both servers."""
    return compare("fastapi", VERSION, PACKAGES, ["tests"], DESELECTED, BEHIND)


if __name__ == "__main__":
    sys.exit(main())
