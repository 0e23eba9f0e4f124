"""What several test files share: a certificate of our own, and how long hypothesis searches.

`HYPOTHESIS_PROFILE=deep` makes it search for minutes; `ci`, the default, for seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from certificates import make_certificate

settings.register_profile("ci", max_examples=60, deadline=None, derandomize=False,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("ci"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The paths of a certificate for localhost, 127.0.0.1 and ::1, and of its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
