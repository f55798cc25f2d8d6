"""Counts of the values that each feature reads: nulls, buckets, values that are not listed, lists of one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.columns import encode_series
from edgerec.data.log_faults import Fault, Found, Place
from edgerec.data.octaves import LARGEST
from edgerec.features.kinds import Feature
from edgerec.features.kinds.bucketize import Bucketize
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.kinds.raw import Raw


@dataclass
class ColumnCounts:
    """The counts of one feature.

    Attributes:
        table: name of the table.
        feature: the feature.
        rows: number of values.
        nulls: number of nulls.
        codes: (codes,), how often each code occurred. Nulls are not counted. Empty for features without codes.
        unlisted: the first value that a `one_hot` does not list, with the file and the index of its row.
        lists: number of lists with at least two values.
        varied: number of these lists whose values differ.
    """

    table: str
    feature: Feature
    rows: int = 0
    nulls: int = 0
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    unlisted: tuple[str, Path, int] | None = None
    lists: int = 0
    varied: int = 0

    def add(self, values: pl.Series, file: Path, rows: NDArray[np.int64]) -> None:
        """Count `values` (n,), which are in the `rows` (n,) of `file`."""
        feature = self.feature
        self.rows += len(values)
        self.nulls += values.null_count()
        if not isinstance(feature, (Bucketize, OneHot)):
            return
        there = values.is_not_null()
        present = values.filter(there)
        codes = encode_series(feature, present)
        counts = np.bincount(codes, minlength=feature.codes)
        self.codes = counts if not len(self.codes) else self.codes + counts
        if isinstance(feature, OneHot) and self.unlisted is None and counts[0]:
            first = int(np.flatnonzero(codes == 0)[0])
            self.unlisted = repr(present[first]), file, int(rows[there.to_numpy()][first])

    def add_lists(self, lists: pl.Series) -> None:
        """Count the lists whose values differ."""
        present = lists.list.drop_nulls()
        several = present.list.len() > 1
        self.lists += int(several.sum() or 0)
        self.varied += int((several & (present.list.min() < present.list.max())).sum() or 0)


def find_unreadable(feature: Feature, values: pl.Series, lengths: pl.Series | None = None) -> Found[None]:
    """Find values that a `raw` feature cannot transform or be fitted to. `edgerec samples` refuses them when it fits.

    Args:
        feature: the feature.
        values: its values.
        lengths: if the values are exploded lists: the length of each list.
    """
    if not isinstance(feature, Raw) or values.dtype == pl.Null:
        return
    numbers = values.cast(pl.Float64)
    wrong, expected, advice = None, "", ""
    if feature.transform == "log1p" and (numbers <= -1).any():
        wrong, expected = numbers <= -1, f"values above -1 (feature {feature.name}, log1p)"
        advice = "correct the values, or remove the transform"
    elif feature.fits_numbers and None in (feature.low, feature.high) and (numbers.abs() > LARGEST).any():
        wrong, expected = numbers.abs() > LARGEST, f"values up to {LARGEST:g} (feature {feature.name})"
        advice = "set the feature's low and high"
    if wrong is not None:
        place = Place.of(wrong, lengths)
        received = numbers.filter(wrong)[0]
        yield Fault(
            f"feature {feature.name}: expected {expected}; received {received:g}: {advice}",
            expected=expected,
            found=f"{received:g}",
            advice=advice,
            column=feature.source,
            row=place.row,
            rows=place.rows,
        )
