"""A cloud in the process of the test: it serves pages and items of logs, with the embedding rows of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgerec import open_tables
from edgerec.core.errors import RefusedError, TransportError
from edgerec.device_runtime.relations import RelationEncoder
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import MISSING_ID
from edgerec.kv.npz import Table
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest


class LocalCloud:
    """Implements `Transport`.

    Args:
        spec: the specification.
        version_id: the model version.
        tables: the embedding tables of this version.
        catalogue: the items: a row of values by item ID.
        columns: further columns of the items that pages contain.

    Attributes:
        lists: the pages that `page` returns, in this order: page ID, item IDs, and served values by column.
        requests: the requests for pages.
        batches: the delivered log rows.
        complete: whether pages say that the cloud has no more items.
        refused: the items whose events raise a RefusedError.
        context: values of the request that pages contain.
        fault: if it is set, every call raises a TransportError with this text.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        version_id: str,
        tables: Mapping[str, Table],
        catalogue: Mapping[int, Mapping[str, Any]],
        *,
        columns: Sequence[str] = (),
    ) -> None:
        self.version_id, self._tables, self._catalogue = version_id, tables, catalogue
        self._embeddings = {feature.name: feature.source for feature in spec.embeddings}
        coded = [feature.source for feature in spec.item if not feature.has_table]
        read = [name for name in RelationEncoder(spec, Limits()).item_columns if name != "item_id"]
        self._columns = list(dict.fromkeys([*coded, *read, *columns]))
        self._served = {feature.source for feature in of_origin(spec.item, "served")}
        self.lists: list[tuple[int, Sequence[int], Mapping[str, Sequence[Any]]]] = []
        self.requests: list[PageRequest] = []
        self.batches: list[LogBatch] = []
        self.complete = True
        self.fault: str | None = None
        self.refused: set[int] = set()
        self.context: dict[str, Any] = {}

    def page(self, request: PageRequest) -> Page:
        self._check()
        self.requests.append(request)
        if not self.lists:
            return Page(0, request.time, self._batch(request.version_id, [], {}), complete=True)
        page_id, ids, served = self.lists.pop(0)
        chosen = [row for row, item_id in enumerate(ids) if item_id not in request.held][: request.count]
        items = self._batch(
            request.version_id,
            [ids[row] for row in chosen],
            {name: [values[row] for row in chosen] for name, values in served.items()},
        )
        return Page(
            page_id,
            request.time,
            items,
            served=tuple(served),
            context=dict(self.context),
            complete=self.complete,
        )

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        self._check()
        unknown = [item_id for item_id in item_ids if item_id not in self._catalogue]
        if unknown:
            raise RefusedError(f"the catalogue has no item {unknown[0]}")
        return self._batch(version_id, item_ids, {})

    def send(self, batch: LogBatch) -> None:
        self._check()
        wrong = [row["item_id"] for row in batch.events if row["item_id"] in self.refused]
        if wrong:
            raise RefusedError(f"item {wrong[0]} is wrong")
        self.batches.append(batch)

    def sent(self, table: str) -> list[dict[str, Any]]:
        """Return the delivered rows of `events` or `requests`."""
        return [dict(row) for batch in self.batches for row in getattr(batch, table)]

    def _check(self) -> None:
        if self.fault is not None:
            raise TransportError(self.fault)

    def _batch(self, version_id: str | None, ids: Sequence[int], served: Mapping[str, Sequence[Any]]) -> ItemBatch:
        rows = [self._catalogue[item_id] for item_id in ids]
        columns = {name: [row[name] for row in rows] for name in self._columns if name not in self._served}
        known_version = version_id == self.version_id
        embeddings = {name: self._embedding(name, rows) for name in self._embeddings} if known_version else {}
        return ItemBatch(
            version_id if known_version else None, np.array(ids, np.int64), {**columns, **served}, embeddings
        )

    def _embedding(self, name: str, rows: Sequence[Mapping[str, Any]]) -> EmbeddingColumn:
        values = [row[self._embeddings[name]] for row in rows]
        wanted = np.array([MISSING_ID if value is None else value for value in values], np.int64)
        keys, index = np.unique(wanted, return_inverse=True)
        table = self._tables[name]
        at = np.minimum(table.keys.searchsorted(keys), len(table.keys) - 1)
        known = table.keys[at] == keys
        found = np.where(known[:, None], table.values[at], table.unknown)
        return EmbeddingColumn(np.where(known, keys, UNKNOWN_KEY), found, index.astype(np.int32).reshape(-1))


def read_tables(bundle: Path) -> dict[str, Table]:
    """Return the embedding tables of a bundle by feature."""
    found = {}
    for name, table in open_tables(bundle / "cloud").tables.items():
        keys, values = (np.concatenate(part) for part in zip(*table.blocks(), strict=True))
        found[name] = Table(keys, values, table.unknown)
    return found
