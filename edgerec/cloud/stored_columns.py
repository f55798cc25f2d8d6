"""The columns of logs that earlier servers wrote. A version that needs others cannot be served with these logs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from edgerec.cloud.followed_folder import FollowedFolder
from edgerec.cloud.log_parts import part_path
from edgerec.cloud.log_rows import ADDED, LogTables
from edgerec.cloud.versions import ServedVersion
from edgerec.core.errors import OutputError
from edgerec.data.logs import TABLES
from edgerec.data.parts import count_rows, read_schema
from edgerec.data.schema import EVENTS, REQUESTS
from edgerec.features.spec import FeatureSpec


def log_specs(
    versions: Iterable[ServedVersion], followed: FollowedFolder | None, stored: StoredColumns | None
) -> list[FeatureSpec]:
    """Return the specifications that choose the columns of the logs.

    Args:
        versions: what is served.
        followed: its retired versions count if the files have their columns. Others were never served with these logs.
        stored: the columns of the files; None: there are no files yet.
    """
    specs = [version.spec for version in versions]
    if followed is None or stored is None:
        return specs
    return specs + [spec for spec in followed.retired_specs() if stored.fits(spec)]


class StoredColumns:
    """The columns of the files in a folder of logs.

    Attributes:
        fixed: whether files have rows, so that no column can be added.

    Raises:
        LogsError: a file cannot be read.
    """

    def __init__(self, logs: Path) -> None:
        # Part 0 has the types of all columns and no rows.
        heads = {name: part_path(logs, name, 0) for name in (EVENTS, REQUESTS)}
        self._schemas = {name: read_schema(path) for name, path in heads.items() if path.exists()}
        files = [file for name in heads for file in (logs / TABLES[name]).glob("*.parquet")]
        self.fixed = any(count_rows(file) for file in files)

    def fits(self, spec: FeatureSpec) -> bool:
        """Return whether the files have all columns that a specification needs."""
        return self._missing(spec) is None

    def check(self, version: ServedVersion) -> None:
        """Check that the logs of a version can be written to the folder.

        Raises:
            OutputError: the files have rows, and they lack a column or have another type.
        """
        column = self._missing(version.spec) if self.fixed else None
        if column is not None:
            raise OutputError(
                f"logs: the version needs the column {column}, which the logs of this server do not have, or with "
                "another type: restart the server with another --logs"
            )

    def _missing(self, spec: FeatureSpec) -> str | None:
        for name, needed in LogTables([spec], np.empty(0, np.int64)).schemas.items():
            found = self._schemas.get(name, pl.Schema())
            for column, dtype in needed.items():
                # If one specification reads numbers and another one IDs, the column has IDs.
                accepted = {dtype, _AS_IDS.get(dtype, dtype)}
                if found.get(column) not in accepted and not (column in ADDED and column not in found):
                    return f"{name}.{column}"
        return None


_AS_IDS: dict[pl.DataType, pl.DataType] = {
    pl.Float64(): pl.Int64(),
    pl.List(pl.Float64()): pl.List(pl.Int64()),
}
