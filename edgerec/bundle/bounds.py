"""Limits on the sizes of a bundle's files. The sizes in the manifest are checked before any file is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgerec.device_runtime.interpreter import MAX_MODEL_BYTES
from edgerec.kv.table_entry import TableEntry

MAX_CASE_BYTES = 16 * 1024 * 1024
"""Maximum size of a golden case in bytes. Three sequences of at most 1,000 vectors with about 100 numbers take a few
MB."""
MAX_CASES = 100
"""Maximum number of golden cases in a bundle. An export writes 16."""
SHARD_OVERHEAD = 4096
"""Bytes of a shard in addition to its numbers: headers, padding and the zip directory of three arrays."""


def check_sizes(
    sizes: Mapping[str, int], tables: Mapping[str, TableEntry], *, embeddings: str, cases: tuple[str, ...] = ()
) -> None:
    """Check that no file and no table is larger than the limit for its kind.

    Args:
        sizes: the size of each file in bytes, by path, from a manifest.
        tables: the tables by name, from the same manifest.
        embeddings: the folder that contains one folder for each table.
        cases: the texts with which the paths of golden cases begin.

    Raises:
        ValueError: a file or a table is too large, or there are too many golden cases.
    """
    table_sizes: dict[str, int] = {}
    golden = 0
    for path, size in sizes.items():
        folder, _, name = path.removeprefix(f"{embeddings}/").partition("/")
        if path.startswith(f"{embeddings}/") and name and folder in tables:
            table_sizes[folder] = table_sizes.get(folder, 0) + size
            continue
        case = path.startswith(cases)
        golden += case
        most = MAX_CASE_BYTES if case else MAX_MODEL_BYTES
        if size > most:
            raise ValueError(f"{path} should have at most {most} bytes; received {size}")
    if golden > MAX_CASES:
        raise ValueError(f"there should be at most {MAX_CASES} golden cases; received {golden}")
    for name, size in table_sizes.items():
        if size > table_bytes(tables[name]):
            raise ValueError(
                f"the shards of {name} should have at most {table_bytes(tables[name])} bytes for {tables[name].keys} "
                f"keys; received {size}"
            )


def table_bytes(entry: TableEntry) -> int:
    """Return the maximum size in bytes of all shards of a table together.

    Each key takes an int64 and a row. Each shard also has a row for unknown keys, and `SHARD_OVERHEAD` bytes.
    """
    row = entry.dimension * np.dtype(entry.dtype).itemsize
    return entry.keys * (8 + row) + entry.shards * (row + SHARD_OVERHEAD)
