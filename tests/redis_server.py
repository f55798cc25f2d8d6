"""Whether the tests can start Redis."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest


def need_redis() -> None:
    """Skip the test if Redis is not installed. With EDGEREC_REQUIRE_REDIS=1, fail it instead."""
    missing = []
    if shutil.which("redis-server") is None:
        missing.append("apt-get install redis-server")
    if importlib.util.find_spec("redis") is None:
        missing.append("pip install '.[cloud]'")
    if missing:
        stop = pytest.fail if os.environ.get("EDGEREC_REQUIRE_REDIS") == "1" else pytest.skip
        stop(f"Redis is not installed: {' and '.join(missing)}")
