"""Random embedding tables for a measurement without a bundle."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerec.bundle.files import stamp_files
from edgerec.bundle.layout import EMBEDDINGS
from edgerec.bundle.manifest import CloudManifest
from edgerec.bundle.manifest_file import write_manifest
from edgerec.core.console import stage
from edgerec.core.errors import InputError
from edgerec.core.leftovers import temporary_folder
from edgerec.kv.shard_writer import BLOCK_ROWS, SHARD_ROWS, TableDtype, write_shards
from edgerec.kv.table_entry import TableEntry

TAOBAO = {"category": (10_000, 16), "shop": (500_000, 16), "city": (400, 8), "style": (2_000, 8), "tag": (50_000, 16)}
"""Number of rows and dimension of each table, except `brand`."""
BRAND_DIMENSION = 40
SEED = 1


@dataclass(frozen=True)
class TemporaryTables:
    """The tables of six features, as large as those of a large shop.

    Attributes:
        brands: number of rows of the table `brand`.
        dtype: data type of the tables.
        shard_rows: number of rows in a shard.

    Raises:
        InputError: `brands` is less than one.
    """

    brands: int
    dtype: TableDtype = "float32"
    shard_rows: int = SHARD_ROWS

    def __post_init__(self) -> None:
        if self.brands < 1:
            raise InputError(f"bench: --brands should be at least 1; received {self.brands}")

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """For the block, write the tables to a temporary cloud folder. Yield its path."""
        with temporary_folder(Path(tempfile.gettempdir(), "edgerec-kv"), "partial") as cloud:
            with stage("write temporary tables"):
                sizes = {"brand": (self.brands, BRAND_DIMENSION), **TAOBAO}
                entries = {
                    feature: self._write(cloud / EMBEDDINGS / feature, number, *size)
                    for number, (feature, size) in enumerate(sizes.items())
                }
                files = stamp_files(cloud, cloud.rglob("*.npz"))
                write_manifest(CloudManifest(version_id="temporary", spec={}, tables=entries, files=files), cloud)
            yield cloud

    def _write(self, folder: Path, seed: int, rows: int, width: int) -> TableEntry:
        rng = np.random.default_rng((SEED, seed))
        # Keys have gaps, as IDs have in practice.
        keys = np.cumsum(rng.integers(1, 1000, rows))
        starts = range(0, rows, BLOCK_ROWS)
        values = (rng.standard_normal((min(BLOCK_ROWS, rows - start), width), np.float32) for start in starts)
        unknown = np.zeros(width, np.float32)
        return write_shards(folder, keys, values, unknown, dtype=self.dtype, shard_rows=self.shard_rows)
