"""Shared fixtures: a folder of logs, and cloud halves of bundles with tables of known content."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.data.logs import write_logs
from tests.cloud.bundles import write_bundle
from tests.synthetic import make_logs_with_context


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of logs whose specification has a context and relations."""
    path = tmp_path_factory.mktemp("cloud") / "logs"
    write_logs(make_logs_with_context(), path)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that has only its cloud half. Its table lacks some of the keys."""
    return write_bundle(tmp_path_factory.mktemp("bundle"), "v1")
