"""The items of logs, as the device reads them and as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.versions import ServedVersion
from edgerec.data.casting import is_text
from edgerec.data.logs import LogsFolder
from edgerec.data.parts import read_parts
from edgerec.data.schema import CATEGORY, ITEM_ID
from edgerec.paging.items import ItemBatch

MOST_ATTRIBUTES = 12
"""Number of columns of the catalogue that are shown. The specification's columns come first."""


@dataclass(frozen=True)
class LoggedItems:
    """The catalogue of logs, and the embedding rows of a bundle.

    Attributes:
        version: the version of the bundle, with its tables.
        catalogue: the catalogue with the columns that the version reads.
        shown: the catalogue with the columns that people read, by item ID.
        main: the column that a short name of an item contains; None if there is none.
    """

    version: ServedVersion
    catalogue: Catalogue
    shown: Mapping[int, Mapping[str, Any]]
    main: str | None

    @classmethod
    def open(cls, logs: LogsFolder, version: ServedVersion) -> LoggedItems:
        """Load the catalogue of `logs` for a version.

        Raises:
            LogsError: the catalogue lacks a column, or a file cannot be read.
        """
        catalogue = Catalogue(logs.items)
        version.prepare(catalogue)
        table = read_parts(logs.catalogue)
        columns = _readable(table, [name for name in logs.items.columns if name in table.columns])
        embedded = [feature.source for feature in version.spec.embeddings if feature.source in columns]
        main = CATEGORY if CATEGORY in columns else next(iter([*embedded, *columns]), None)
        rows = table.select(ITEM_ID, *columns).iter_rows(named=True)
        return cls(version, catalogue, {row.pop(ITEM_ID): _known(row) for row in map(dict, rows)}, main)

    def batch(self, item_ids: Sequence[int], served: Mapping[str, Sequence[Any]]) -> ItemBatch:
        """Return items as the cloud sends them, with the values of the served columns. An item may occur twice."""
        columns = {name: list(served[name]) for name in self.version.served_columns}
        return self.version.batch(self.catalogue, self.catalogue.rows(item_ids), columns)

    def attributes(self, item_id: int) -> dict[str, Any]:
        """Return the values of an item that people can read, by column. Missing values are left out."""
        return dict(self.shown.get(item_id, {}))

    def name(self, item_id: int) -> str:
        """Return the short name of an item, such as ``item 88 (category 4)``."""
        value = self.shown.get(item_id, {}).get(self.main or "")
        return f"item {item_id}" if value is None else f"item {item_id} ({self.main} {text(value)})"


def text(value: Any) -> str:
    """Return a value of the catalogue as text. A float has at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _readable(table: pl.DataFrame, first: Sequence[str]) -> list[str]:
    """Return the columns of texts, numbers and truth values, those in `first` before the others."""
    names = [*first, *(name for name in table.columns if name not in first)]
    plain = [name for name in names if name != ITEM_ID and _is_plain(table.schema[name])]
    return plain[:MOST_ATTRIBUTES]


def _is_plain(dtype: pl.DataType) -> bool:
    return is_text(dtype) or dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that exist. NaN and infinity are no values."""
    known = {name: value for name, value in row.items() if value is not None and value != ""}
    return {name: value for name, value in known.items() if not isinstance(value, float) or abs(value) < float("inf")}
