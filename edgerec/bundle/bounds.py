"""How large the files of a bundle may be. Sizes come from the manifest and are checked before a file is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgerec.device_runtime.session import MAX_MODEL_BYTES
from edgerec.kv.table_entry import TableEntry

MAX_CASE_BYTES = 16 * 1024 * 1024
"""Largest golden case, in bytes: three sequences of at most 1,000 vectors of some hundred numbers are a few MB."""
MAX_CASES = 100
"""Most golden cases of a bundle. An export writes 13."""
SHARD_OVERHEAD = 4096
"""Bytes of a shard beside its numbers: headers, padding and the zip directory of three arrays."""


def check_sizes(
    sizes: Mapping[str, int], tables: Mapping[str, TableEntry], *, embeddings: str, cases: str = ""
) -> None:
    """Check that no file is larger than a file of its kind can be.

    Args:
        sizes: bytes of each file by path, from a manifest.
        tables: the tables by name, from the same manifest.
        embeddings: the folder in which each table has a folder.
        cases: the path of every golden case begins with this; empty if there are no cases.

    Raises:
        ValueError: a file or a table is too large, or there are too many golden cases.
    """
    under: dict[str, int] = {}
    golden = 0
    for path, size in sizes.items():
        folder, _, name = path.removeprefix(f"{embeddings}/").partition("/")
        if path.startswith(f"{embeddings}/") and name and folder in tables:
            under[folder] = under.get(folder, 0) + size
            continue
        case = bool(cases) and path.startswith(cases)
        golden += case
        most = MAX_CASE_BYTES if case else MAX_MODEL_BYTES
        if size > most:
            raise ValueError(f"{path} should have at most {most} bytes; received {size}")
    if golden > MAX_CASES:
        raise ValueError(f"there should be at most {MAX_CASES} golden cases; received {golden}")
    for name, size in under.items():
        if size > table_bytes(tables[name]):
            raise ValueError(
                f"the shards of {name} should have at most {table_bytes(tables[name])} bytes for {tables[name].keys} "
                f"keys; received {size}"
            )


def table_bytes(entry: TableEntry) -> int:
    """Return the most bytes of a table's shards: an int64 and a row for each key, an unknown row for each shard."""
    row = entry.dimension * np.dtype(entry.dtype).itemsize
    return entry.keys * (8 + row) + entry.shards * (row + SHARD_OVERHEAD)
