"""Embedding tables with known content, and cloud folders that contain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.bundle.files import stamp_files
from edgerec.bundle.manifest import CloudManifest
from edgerec.bundle.manifest_file import write_manifest
from edgerec.kv.npz import Table
from edgerec.kv.shard_writer import SHARD_ROWS, TableDtype, write_shards
from edgerec.kv.table_entry import TableEntry


def make(keys: Sequence[int], *, width: int = 3, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    return Table(
        keys=np.array(keys, np.int64),
        values=rng.normal(size=(len(keys), width)).astype(np.float32),
        unknown=rng.normal(size=width).astype(np.float32),
    )


def write(
    table: Table, folder: Path, *, block: int = 7, dtype: TableDtype = "float32", shard_rows: int = SHARD_ROWS
) -> TableEntry:
    blocks = (table.values[start : start + block] for start in range(0, len(table.values), block))
    return write_shards(folder, table.keys, blocks, table.unknown, dtype=dtype, shard_rows=shard_rows)


def expected(table: Table, keys: Sequence[int]) -> np.ndarray:
    """Return the expected rows of `keys`, looked up one by one in a dictionary."""
    by_key = dict(zip(table.keys.tolist(), table.values, strict=True))
    rows = [by_key.get(key, table.unknown) for key in keys]
    return np.reshape(np.array(rows, np.float32), (len(keys), len(table.unknown)))


def write_cloud(
    cloud: Path,
    tables: Mapping[str, Table],
    *,
    version_id: str = "v1",
    dtype: TableDtype = "float32",
    rows: int = 8,
    spec: Mapping[str, Any] | None = None,
) -> Path:
    """Write a cloud folder with `tables` in shards of `rows` rows."""
    entries = {
        name: write(table, cloud / "embeddings" / name, dtype=dtype, shard_rows=rows) for name, table in tables.items()
    }
    files = stamp_files(cloud, cloud.rglob("*.npz"))
    spec = {"name": "a"} if spec is None else dict(spec)
    write_manifest(CloudManifest(version_id=version_id, spec=spec, tables=entries, files=files), cloud)
    return cloud
