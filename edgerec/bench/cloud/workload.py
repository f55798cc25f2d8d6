"""What the server serves while it is measured: a bundle's cloud half, and a catalogue with events."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.bundle.files import stamp_files
from edgerec.bundle.layout import CLOUD, EMBEDDINGS
from edgerec.bundle.manifest_file import read_cloud_manifest, write_manifest
from edgerec.core.console import stage
from edgerec.core.errors import InputError
from edgerec.data.logs import TABLES, LogsFolder, LogsHead, open_logs, write_heads, write_table
from edgerec.data.parts import read_parts
from edgerec.data.schema import EVENTS, ITEM_ID, ITEMS, REQUESTS, USER_ID
from edgerec.features.kinds.embedding import Embedding
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.kv.shard_writer import BLOCK_ROWS, write_shards
from edgerec.kv.table_entry import TableEntry

ZIPF = 1.0
"""Exponent of the popularity of brands and items: the r-th most popular one is drawn in proportion to r ** -ZIPF."""
MOST_EVENTS = 500_000
SEED = 1


@dataclass(frozen=True)
class Workload:
    """What the server serves.

    Attributes:
        bundle: a folder with a cloud half.
        catalogue: a folder of logs.
        version_id: the version of the bundle.
        spec: its specification.
        users: (u,), users of the events.
        items: number of items of the catalogue.
        tables: the embedding tables: number of rows and dimension by feature.
    """

    bundle: Path
    catalogue: Path
    version_id: str
    spec: FeatureSpec
    users: NDArray[np.int64]
    items: int
    tables: dict[str, dict[str, int]]


def open_workload(bundle: Path, logs: Path) -> Workload:
    """Return the bundle and the logs as they are."""
    from edgerec.cloud.versions import open_version

    version, folder = open_version(bundle), open_logs(logs)
    manifest = read_cloud_manifest(bundle / CLOUD)
    users = read_parts(folder.events, [USER_ID])[USER_ID].unique().sort().to_numpy()
    tables = {name: {"rows": entry.keys, "dimension": entry.dimension} for name, entry in manifest.tables.items()}
    return Workload(bundle, logs, manifest.version_id, version.spec, users, len(folder.items), tables)


def large_workload(bundle: Path, logs: Path, work: Path, *, brands: int, items: int) -> Workload:
    """Write a larger catalogue and a larger table to `work`, and return them.

    The largest table of the bundle gets `brands` rows of random numbers. The catalogue gets `items` items: each has
    the values of a random item of `logs`, and a brand by Zipf's law. The events of `logs` keep their users and values;
    their items are drawn by Zipf's law.

    Args:
        bundle: the bundle.
        logs: the folder of logs.
        work: an existing folder.
        brands: number of rows of the largest table.
        items: number of items of the catalogue.

    Raises:
        InputError: the bundle has no table whose keys come from the catalogue, or a number is less than one.
    """
    if brands < 1 or items < 1:
        raise InputError(f"bench: --brands and --items should be at least 1; received {brands} and {items}")
    folder = open_logs(logs)
    spec = open_workload(bundle, logs).spec
    feature = _largest(bundle, spec)
    with stage("write a larger catalogue and table"):
        keys = np.arange(brands, dtype=np.int64) * 7 + 1
        cloud = _write_tables(bundle, work / "bundle", feature.name, keys)
        catalogue = _write_catalogue(folder, work / "logs", feature.source, keys, items)
    return open_workload(cloud, catalogue)


def _largest(bundle: Path, spec: FeatureSpec) -> Embedding:
    tables = read_cloud_manifest(bundle / CLOUD).tables
    known = {feature.name for feature in of_origin(spec.item, "catalogue")}
    found = [one for one in spec.embeddings if one.name in known and one.source != ITEM_ID]
    if not found:
        raise InputError("bench: --brands needs a bundle with an embedding of a column of the catalogue")
    return max(found, key=lambda one: tables[one.name].keys)


def _write_tables(bundle: Path, target: Path, name: str, keys: NDArray[np.int64]) -> Path:
    """Write the cloud half with a larger table `name`. The other tables are those of `bundle`."""
    manifest = read_cloud_manifest(bundle / CLOUD)
    tables: dict[str, TableEntry] = dict(manifest.tables)
    for other in tables.keys() - {name}:
        (target / CLOUD / EMBEDDINGS / other).mkdir(parents=True)
        for file in (bundle / CLOUD / EMBEDDINGS / other).iterdir():
            (target / CLOUD / EMBEDDINGS / other / file.name).write_bytes(file.read_bytes())
    rng, width = np.random.default_rng(SEED), tables[name].dimension
    blocks = (min(BLOCK_ROWS, len(keys) - start) for start in range(0, len(keys), BLOCK_ROWS))
    values = (rng.standard_normal((rows, width), np.float32) for rows in blocks)
    tables[name] = write_shards(target / CLOUD / EMBEDDINGS / name, keys, values, np.zeros(width, np.float32))
    files = stamp_files(target / CLOUD, (target / CLOUD).rglob("*.npz"))
    write_manifest(manifest.model_copy(update={"tables": tables, "files": files}), target / CLOUD)
    return target


def _write_catalogue(folder: LogsFolder, target: Path, column: str, keys: NDArray[np.int64], items: int) -> Path:
    rng = np.random.default_rng(SEED)
    known = read_parts(folder.catalogue)
    chosen = known[rng.integers(0, len(known), items)]
    table = chosen.with_columns(
        pl.Series(ITEM_ID, np.arange(items, dtype=np.int64)), pl.Series(column, keys[zipf(rng, len(keys), items)])
    )
    events = read_parts(folder.events)[:MOST_EVENTS]
    events = events.with_columns(pl.Series(ITEM_ID, zipf(rng, items, len(events)).astype(np.int64)))
    for name in (EVENTS, REQUESTS):
        os.makedirs(target / TABLES[name])
    write_table(table.sort(ITEM_ID), target / TABLES[ITEMS])
    write_table(events, target / TABLES[EVENTS] / "part-00000.parquet")
    write_table(folder.requests.schema.to_frame(), target / TABLES[REQUESTS] / "part-00000.parquet")
    write_heads(target, LogsHead(name="bench"), folder.spec)
    return target


def zipf(rng: np.random.Generator, size: int, count: int) -> NDArray[np.int64]:
    """Draw `count` numbers from 0 to `size` - 1 by Zipf's law. The order of popularity is random."""
    total = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -ZIPF)
    ranks = np.searchsorted(total, rng.random(count) * total[-1])
    order: NDArray[np.int64] = np.random.default_rng(SEED + 1).permutation(size)
    drawn: NDArray[np.int64] = order[np.minimum(ranks, size - 1)]
    return drawn


def document(workload: Workload) -> dict[str, Any]:
    """Return what the document of the measurement says of a workload."""
    return {"items": workload.items, "users": len(workload.users), "tables": workload.tables}
