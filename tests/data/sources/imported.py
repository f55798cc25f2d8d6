"""Import a data source in a test, and read the logs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from edgerec.data.logs import Logs, load_logs
from edgerec.data.sources.importing import import_source
from edgerec.data.sources.source import Source


def imported(source: type[Source], folder: Path, **options: Any) -> tuple[Logs, dict[str, Any]]:
    """Import `folder` and read the logs that were written. Return the logs with the counts and notes of the import."""
    with tempfile.TemporaryDirectory() as scratch:
        counts = import_source(source, folder, Path(scratch) / "logs", **options)
        return load_logs(Path(scratch) / "logs"), counts
