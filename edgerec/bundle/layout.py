"""The names of files and folders in a bundle (docs/formats.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

NAME = "manifest.json"
DEVICE, CLOUD, GOLDEN = "device", "cloud", "golden"
PEERS = f"{GOLDEN}/peers"
CASES = f"{GOLDEN}/case-"
"""The beginning of the path of every golden case that starts from vectors."""
RAW_CASES = f"{GOLDEN}/raw-"
"""The beginning of the path of every golden case that starts from raw values."""
EMBEDDINGS = "embeddings"
"""The name of a folder in the cloud half. The folder contains one folder for each table."""
SURROUNDINGS = "surroundings.npz"
"""The name of the file in the device half that has the tables of ESAN (`edgerec.mixing.head`)."""
PERSONAL_HEAD = "personal_head.npz"
"""The name of the file in the device half that says how patches are trained (`edgerec.personalization.head`)."""

MAX_PATH, MAX_DEPTH = 200, 8
"""Maximum number of characters and of parts of a path within a bundle. Every file system can store such a path."""


def part_folders(bundle: Path) -> dict[str, Path]:
    """Return the folders that contain a manifest. Each half has its own, because it can be sent separately."""
    return {"bundle": bundle, DEVICE: bundle / DEVICE, CLOUD: bundle / CLOUD}


def check_paths(paths: Iterable[str]) -> None:
    """Check that each path stays inside the bundle and is valid on every system.

    Raises:
        ValueError: a path is too long, too deep, absolute, or leads out of the bundle.
    """
    for path in paths:
        if len(path) > MAX_PATH or path.count("/") >= MAX_DEPTH:
            raise ValueError(
                f"a path should have at most {MAX_PATH} characters and {MAX_DEPTH} parts; received a path with "
                f"{len(path)} characters and {path.count('/') + 1} parts"
            )
        parts = PurePosixPath(path).parts
        plain = all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", part) for part in parts)
        if not parts or not plain or "/".join(parts) != path or os.path.isabs(path):
            raise ValueError(
                f"path {path!r} should be a plain path inside the bundle, of letters, digits, `_`, `.` and `-`"
            )
