"""Logs of the real data set EB-NeRD. They are imported once for all worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerec.data.logs import Logs, load_logs
from edgerec.data.sources.ebnerd import Ebnerd
from edgerec.data.sources.importing import import_source
from tests.data.real_data import ebnerd_demo
from tests.shared_folders import shared_folder


@pytest.fixture(scope="session")
def ebnerd_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """The logs of the EB-NeRD demo bundle. Tests that use them are skipped if the bundle is missing."""
    source = ebnerd_demo()

    def make(root: Path) -> None:
        import_source(Ebnerd, source, root / "logs")

    for root in shared_folder(tmp_path_factory, "ebnerd", make):
        yield load_logs(root / "logs")
