"""Real data sets that tests use if they are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def real_data(name: str, *, what: str) -> Path:
    """Return the folder `name` of $EDGEREC_DATA or of the folder next to the project. Skip the test if neither has it.

    Args:
        name: the folder's name.
        what: what the folder has, for the reason of the skip.
    """
    for folder in (os.environ.get("EDGEREC_DATA"), SHARED):
        if folder and (Path(folder) / name).is_dir():
            return Path(folder) / name
    pytest.skip(f"needs {what} as {name} in $EDGEREC_DATA or {SHARED}")


def ebnerd_demo() -> Path:
    """Return the folder of the EB-NeRD demo bundle. Skip the test if it is missing."""
    return real_data("ebnerd_demo", what="the EB-NeRD demo bundle")
