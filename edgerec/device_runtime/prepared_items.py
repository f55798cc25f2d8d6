"""What the model reads of items: made once when a page arrives, and kept until the page is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import SessionError, TransportError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.rows import Behaviour, StoredItem
from edgerec.features.behaviours import BehaviourKind
from edgerec.features.encoder import Values
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import ITEM_ID
from edgerec.features.spec import of_origin
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch

_POSITIVE = np.int64(2**63 - 1)


@dataclass(frozen=True)
class PreparedItems:
    """n items as one model version reads them.

    Attributes:
        version_id: the model version. Another version must not read these items.
        vectors: (n, d_x) float32, the item vectors.
        ids: (n, identities) int64, the IDs for exact matches (`SeenItems`). A model without them has 0 columns.
        facts: n rows, what relations read of the items.
    """

    version_id: str
    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    facts: Facts

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Sequence[int]) -> PreparedItems:
        """Return the items at the indices `rows`, in this order."""
        index = np.array(rows, np.int64)
        return PreparedItems(self.version_id, self.vectors.take(index, 0), self.ids.take(index, 0), self.facts[index])

    def append(self, other: PreparedItems) -> PreparedItems:
        """Return these items, then the `other` ones.

        Raises:
            SessionError: the items were made for different model versions.
        """
        if self.version_id != other.version_id:
            raise SessionError(
                f"items of model version {self.version_id} should not be joined with items of version "
                f"{other.version_id}: no model can read both"
            )
        facts = Facts(
            np.concatenate([self.facts.keys, other.facts.keys]),
            np.concatenate([self.facts.numbers, other.facts.numbers]),
        )
        return PreparedItems(
            self.version_id,
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.ids, other.ids]),
            facts,
        )


class ItemPreparer:
    """Makes `PreparedItems` and `StoredItem` from what the cloud sends.

    Args:
        model: the device models.
    """

    def __init__(self, model: DeviceModel) -> None:
        spec = model.spec
        self._version_id = model.version_id
        self._items, self._relations = model.items, model.candidates.relations
        self._identities = model.ranker.identities
        self._embeddings = [feature.name for feature in spec.embeddings]
        self._coded = tuple(dict.fromkeys(feature.source for feature in spec.item if not feature.has_table))
        self._of_catalogue = [name for name in self._relations.item_columns if name != ITEM_ID]
        self._served = frozenset(feature.source for feature in of_origin(spec.item, "served"))
        self._served_embeddings = any(feature.source in self._served for feature in spec.embeddings)

    def prepare(self, batch: ItemBatch) -> PreparedItems:
        """Return the items of a batch as the model reads them.

        Raises:
            TransportError: the batch has no embedding rows of this model version.
            SpecificationError: the batch lacks a column or an embedding, or a value has a wrong type.
        """
        self._check_version(batch)
        columns: dict[str, Sequence[Any]] = dict(batch.columns)
        for name in self._served - columns.keys():
            columns[name] = [None] * len(batch)
        columns[ITEM_ID] = batch.item_id.tolist()
        embedded = {name: column.rows.take(column.index, axis=0) for name, column in batch.embeddings.items()}
        return PreparedItems(
            self._version_id,
            self._items.vectors(_rows(columns, self._coded, len(batch)), embedded),
            self._ids(batch),
            self._relations.items(_rows(columns, self._relations.item_columns, len(batch))),
        )

    def offered_again(self, batch: ItemBatch, offered: Mapping[str, Sequence[Any]]) -> ItemBatch | None:
        """Return items that a page offered to another model version, with the columns that this version reads.

        Args:
            batch: the items, from `Transport.items`. Their served values are not those of the page.
            offered: the columns of the page. Served values are taken from it.

        Returns:
            The items; None if an embedding depends on a served value, because only a page has such an embedding.
        """
        if self._served_embeddings:
            return None
        columns = {name: column for name, column in batch.columns.items() if name not in self._served}
        served = {name: offered[name] for name in self._served if name in offered}
        return ItemBatch(batch.version_id, batch.item_id, {**columns, **served}, batch.embeddings)

    def stored(self, items: PreparedItems, row: int, kind: BehaviourKind, values: Values, action: Values) -> StoredItem:
        """Return what the model reads of the item of a behaviour.

        Args:
            items: the items of a page.
            row: the index of the item.
            kind: the kind of behaviour.
            values: the item's raw values by column, as the page has them.
            action: the raw values of the action.
        """
        item = {name: values.get(name) for name in self._relations.item_columns}
        facts = self._relations.behaviour(kind, item, action)
        return StoredItem(self._version_id, items.vectors[row], items.ids[row], facts)

    def stored_of(self, batch: ItemBatch, behaviours: Sequence[Behaviour]) -> list[StoredItem]:
        """Return what the model reads of the items of behaviours. Their served values are those of the behaviours.

        Args:
            batch: the items, from `Transport.items`. It has the item of every behaviour.
            behaviours: behaviours that were recorded without an item, or for another model version.

        Raises:
            TransportError, SpecificationError: as for `prepare`.
        """
        self._check_version(batch)
        index = {item_id: row for row, item_id in enumerate(batch.item_id.tolist())}
        rows = [index[behaviour.item_id] for behaviour in behaviours]
        columns: dict[str, Sequence[Any]] = {
            name: [column[row] for row in rows] for name, column in batch.columns.items() if name not in self._served
        }
        for name in self._served:
            columns[name] = [behaviour.served.get(name) for behaviour in behaviours]
        embeddings = {
            name: EmbeddingColumn(column.keys, column.rows, column.index.take(rows))
            for name, column in batch.embeddings.items()
        }
        chosen = ItemBatch(batch.version_id, batch.item_id.take(rows), columns, embeddings)
        items = self.prepare(chosen)
        found = []
        for row, behaviour in enumerate(behaviours):
            values = {name: column[row] for name, column in columns.items()} | {ITEM_ID: behaviour.item_id}
            found.append(self.stored(items, row, behaviour.kind, values, behaviour.action))
        return found

    def _ids(self, batch: ItemBatch) -> NDArray[np.int64]:
        """Return the IDs for exact matches: the item's own one, then its key of each embedding. Unknown keys are -1."""
        ids = np.empty((len(batch), self._identities), np.int64)
        if self._identities:
            ids[:, 0] = batch.item_id & _POSITIVE
            for column, name in enumerate(self._embeddings, 1):
                keys = batch.embeddings[name].keys.take(batch.embeddings[name].index)
                ids[:, column] = np.where(keys == UNKNOWN_KEY, UNKNOWN_KEY, keys & _POSITIVE)
        return ids

    def _check_version(self, batch: ItemBatch) -> None:
        if batch.version_id != self._version_id:
            raise TransportError(
                f"the cloud sent items of model version {batch.version_id}, but the device has version "
                f"{self._version_id}: publish the tables of this version"
            )


def _rows(columns: Mapping[str, Sequence[Any]], names: Iterable[str], count: int) -> list[dict[str, Any]]:
    """Return `count` rows with those of the columns `names` that exist."""
    known = [name for name in names if name in columns]
    if not known:
        return [{} for _ in range(count)]
    return [dict(zip(known, values, strict=True)) for values in zip(*(columns[name] for name in known), strict=True)]
