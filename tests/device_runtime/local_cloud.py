"""A cloud in the process of the test: it serves pages and items of logs, with the embedding rows of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgerec.core.errors import TransportError
from edgerec.device_runtime.relations import RelationEncoder
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import MISSING_ID
from edgerec.kv.npz import NpzTables
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest


class LocalCloud:
    """Implements `Transport`.

    Args:
        spec: the specification.
        tables: the embedding tables of the model version.
        catalogue: the items: a row of values by item ID.

    Attributes:
        lists: the pages that `page` returns, in this order: page ID, item IDs, and served values by column.
        requests: the requests for pages.
        batches: the delivered log rows.
        fault: if it is set, every call raises a TransportError with this text.
    """

    def __init__(self, spec: FeatureSpec, tables: NpzTables, catalogue: Mapping[int, Mapping[str, Any]]) -> None:
        self._tables, self._catalogue = tables, catalogue
        self._embeddings = {feature.name: feature.source for feature in spec.embeddings}
        coded = [feature.source for feature in spec.item if not feature.has_table]
        read = [name for name in RelationEncoder(spec, Limits()).item_columns if name != "item_id"]
        self._columns = list(dict.fromkeys([*coded, *read]))
        self._served = {feature.source for feature in of_origin(spec.item, "served")}
        self.lists: list[tuple[int, Sequence[int], Mapping[str, Sequence[Any]]]] = []
        self.requests: list[PageRequest] = []
        self.batches: list[LogBatch] = []
        self.fault: str | None = None

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
        return Page(page_id, request.time, items, served=tuple(served), complete=not self.lists)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        self._check()
        unknown = [item_id for item_id in item_ids if item_id not in self._catalogue]
        if unknown:
            raise TransportError(f"the catalogue has no item {unknown[0]}")
        return self._batch(version_id, item_ids, {})

    def send(self, batch: LogBatch) -> None:
        self._check()
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
        known_version = version_id == self._tables.version_id
        embeddings = {name: self._embedding(name, rows) for name in self._embeddings} if known_version else {}
        return ItemBatch(
            version_id if known_version else None, np.array(ids, np.int64), {**columns, **served}, embeddings
        )

    def _embedding(self, name: str, rows: Sequence[Mapping[str, Any]]) -> EmbeddingColumn:
        values = [row[self._embeddings[name]] for row in rows]
        wanted = np.array([MISSING_ID if value is None else value for value in values], np.int64)
        keys, index = np.unique(wanted, return_inverse=True)
        table = self._tables.tables[name]
        stored = np.concatenate([block for block, _ in table.blocks()])
        rows_of_keys = table.get_many(keys).rows
        return EmbeddingColumn(
            np.where(np.isin(keys, stored), keys, UNKNOWN_KEY), rows_of_keys, index.astype(np.int32).reshape(-1)
        )
