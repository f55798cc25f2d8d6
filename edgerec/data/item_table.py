"""The encoded catalogue. Features that never change are stored once for each item. Samples refer to items by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.arrays import map_array, save_array
from edgerec.core.errors import FormatError
from edgerec.data.columns import encode_series
from edgerec.data.schema import ITEM_ID
from edgerec.features.encoded import FIELDS, Encoded
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import Vocabulary


@dataclass(frozen=True)
class ItemTable:
    """The features of origin `catalogue` of all items.

    Attributes:
        item_id: (items,) int64, the ID of each row, ascending.
        features: all item features, in the specification's order.
        encoded: the features of origin `catalogue` in that order, with one row for each item.
    """

    item_id: NDArray[np.int64]
    features: tuple[Feature, ...]
    encoded: Encoded

    @classmethod
    def encode(cls, catalogue: pl.DataFrame, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> ItemTable:
        """Encode the catalogue, which is sorted by `item_id`.

        Raises:
            SpecificationError: a feature cannot read a value.
        """
        features = of_origin(spec.item, "catalogue")
        columns = [encode_series(one, catalogue[one.source], vocabularies.get(one.name)) for one in features]
        encoded = Encoded.of_columns(features, columns, len(catalogue))
        return cls(catalogue[ITEM_ID].to_numpy(), spec.item, encoded)

    def __len__(self) -> int:
        return len(self.item_id)

    def gather(self, rows: NDArray[np.int32], served: Mapping[str, NDArray[Any]]) -> Encoded:
        """Return all item features of the items at `rows` (n,), in the specification's order.

        Args:
            rows: (n,), rows of the catalogue.
            served: the encoded column (n,) of each feature of origin `served`, by name.
        """
        gathered = self.encoded[rows]
        # An array that has no served feature is complete already.
        mixed = {one.field for one in of_origin(self.features, "served")}
        features = [one for one in self.features if one.field in mixed]
        catalogue = of_origin(self.features, "catalogue")
        known = dict(zip((one.name for one in catalogue), gathered.columns(catalogue), strict=True))
        merged = Encoded.of_columns(features, [(known | dict(served))[one.name] for one in features], len(rows))
        return replace(gathered, **{field: getattr(merged, field) for field in mixed})

    def save(self, folder: Path) -> None:
        """Create `folder` and write the arrays to it."""
        folder.mkdir(exist_ok=True)
        save_array(folder / "item_id.npy", self.item_id, what="samples")
        for field in FIELDS:
            save_array(folder / f"{field}.npy", getattr(self.encoded, field), what="samples")

    @classmethod
    def open(cls, folder: Path, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> ItemTable:
        """Map the table that `save` wrote into memory.

        Raises:
            FormatError: an array is missing or damaged, has another shape or type, or holds values out of range.
        """
        item_id = map_array(folder / "item_id.npy", what="samples", advice="make the samples again")
        arrays = {
            field: map_array(folder / f"{field}.npy", what="samples", advice="make the samples again")
            for field in FIELDS
        }
        if item_id.dtype != np.int64 or item_id.ndim != 1 or not bool((item_id[1:] > item_id[:-1]).all()):
            raise FormatError(f"samples: {folder}/item_id.npy should be ascending int64 IDs: make the samples again")
        sizes = GroupEncoder(of_origin(spec.item, "catalogue"), vocabularies).sizes()
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
    """Check that integers are from 0 to ``sizes - 1``. If `sizes` is None, check only that numbers are finite.

    Raises:
        FormatError: a value is out of range.
    """
    if not array.size:
        return
    if sizes is None:
        faulty = not bool(np.isfinite(array).all())
    else:
        faulty = bool((array.max(axis=0) >= sizes).any()) or bool(array.min() < 0)
    if faulty:
        raise FormatError(f"samples: {where} holds values out of range: make the samples again")
