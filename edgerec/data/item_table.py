"""The catalogue, encoded: what never changes of an item is stored once, and gathered wherever the item stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.arrays import load_array, save_array
from edgerec.core.errors import FormatError
from edgerec.data.columns import encode_series
from edgerec.data.schema import ITEM_ID
from edgerec.features.encoder import Encoded, GroupEncoder
from edgerec.features.spec import Embedding, Feature, FeatureSpec, Raw
from edgerec.features.vocabulary import Vocabulary

FIELDS: dict[str, type[np.generic]] = {"ids": np.int32, "codes": np.uint8, "numbers": np.float32}
"""The arrays of `Encoded` and their types."""


def field_of(feature: Feature) -> str:
    """In which array of `Encoded` the feature stands."""
    return "ids" if isinstance(feature, Embedding) else "numbers" if isinstance(feature, Raw) else "codes"


@dataclass(frozen=True)
class ItemTable:
    """Features of origin `catalogue` of all items.

    Attributes:
        item_id: (items,) int64, ascending; a row stands for the item at its place.
        features: all item features, in the specification's order.
        encoded: of those of origin `catalogue`, in that order (items rows).
    """

    item_id: NDArray[np.int64]
    features: tuple[Feature, ...]
    encoded: Encoded

    @classmethod
    def encode(cls, catalogue: pl.DataFrame, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> ItemTable:
        """Encode the catalogue, which is in order of `item_id`.

        Raises:
            SpecificationError: a value that its feature cannot read.
        """
        stacks: dict[str, list[NDArray[Any]]] = {field: [] for field in FIELDS}
        for feature in spec.item:
            if feature.origin == "catalogue":
                column = encode_series(feature, catalogue[feature.source], vocabularies.get(feature.name))
                stacks[field_of(feature)].append(column)
        encoded = Encoded(**{field: stack(columns, len(catalogue), FIELDS[field]) for field, columns in stacks.items()})
        return cls(catalogue[ITEM_ID].to_numpy(), spec.item, encoded)

    def __len__(self) -> int:
        return len(self.item_id)

    def gather(self, rows: NDArray[np.int32], served: Mapping[str, NDArray[Any]]) -> Encoded:
        """All item features of the items at `rows` (n,), in the specification's order.

        Args:
            rows: places in the catalogue.
            served: (n,) encoded, by name, the features of origin `served`.
        """
        gathered = self.encoded[rows]
        columns: dict[str, list[NDArray[Any]]] = {field: [] for field in FIELDS}
        place = dict.fromkeys(FIELDS, 0)
        for feature in self.features:
            field = field_of(feature)
            if feature.origin == "served":
                columns[field].append(served[feature.name])
            else:
                columns[field].append(getattr(gathered, field)[:, place[field]])
                place[field] += 1
        return Encoded(
            **{
                # Nothing served of this kind: it is all there.
                field: getattr(gathered, field)
                if place[field] == len(parts)
                else stack(parts, len(rows), FIELDS[field])
                for field, parts in columns.items()
            }
        )

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`, which is made."""
        folder.mkdir(exist_ok=True)
        save_array(folder / "item_id.npy", self.item_id, what="samples")
        for field in FIELDS:
            save_array(folder / f"{field}.npy", getattr(self.encoded, field), what="samples")

    @classmethod
    def load(cls, folder: Path, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> ItemTable:
        """Open what `save` has written; arrays are memory-mapped.

        Raises:
            FormatError: an array is missing, damaged, of another shape or type, or holds values out of range.
        """
        item_id = load_array(folder / "item_id.npy", what="samples", advice="make the samples again")
        arrays = {
            field: load_array(folder / f"{field}.npy", what="samples", advice="make the samples again")
            for field in FIELDS
        }
        if item_id.dtype != np.int64 or item_id.ndim != 1 or not bool((item_id[1:] > item_id[:-1]).all()):
            raise FormatError(f"samples: {folder}/item_id.npy should be ascending int64 (n,): make the samples again")
        features = tuple(feature for feature in spec.item if feature.origin == "catalogue")
        sizes = GroupEncoder(features, vocabularies).sizes()
        for field, array in arrays.items():
            expected = (len(item_id), len(sizes[field]))
            if array.shape != expected or array.dtype != FIELDS[field]:
                raise FormatError(
                    f"samples: {folder}/{field}.npy should be {np.dtype(FIELDS[field])} {expected}; received "
                    f"{array.dtype} {array.shape}: make the samples again"
                )
            check_range(array, None if field == "numbers" else sizes[field], f"{folder}/{field}.npy")
        return cls(item_id, spec.item, Encoded(**arrays))


def check_range(array: NDArray[Any], sizes: Any, where: str) -> None:
    """Numbers are finite; whole numbers are not negative and below `sizes`, where these are given.

    Raises:
        FormatError: one is not.
    """
    if not array.size:
        return
    if sizes is None:
        faulty = not bool(np.isfinite(array).all())
    else:
        faulty = bool((array.max(axis=0) >= sizes).any()) or bool(array.min() < 0)
    if faulty:
        raise FormatError(f"samples: {where} holds values out of range: make the samples again")


def stack(columns: list[NDArray[Any]], count: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Columns (n,) side by side, (n, columns)."""
    table: NDArray[Any] = np.empty((count, len(columns)), dtype)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table
