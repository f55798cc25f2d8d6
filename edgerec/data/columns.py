"""Convert columns of a table to the arrays that features read, and encode them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.features.encoder import encode_column
from edgerec.features.kinds.base import BaseFeature, Reads
from edgerec.features.vocabulary import Vocabulary

TYPES: dict[Reads, pl.DataType] = {"numbers": pl.Float64(), "strings": pl.String(), "identities": pl.Int64()}
"""The column type for each type of values that features read."""


def to_array(series: pl.Series, feature: BaseFeature) -> NDArray[Any]:
    """Return the series as the array (n,) that `feature` reads. Nulls become the missing value that it expects."""
    values = series.cast(TYPES[feature.reads])
    if feature.reads == "strings":
        return np.asarray(values.to_list(), dtype=object)
    column: NDArray[Any] = values.fill_null(feature.missing).to_numpy()
    return column


def encode_series(feature: BaseFeature, series: pl.Series, vocabulary: Vocabulary | None = None) -> NDArray[Any]:
    """Return the same encoded column (n,) as `feature.encode`. This function is also fast for strings."""
    if not len(series) or feature.reads != "strings":
        return encode_column(feature, to_array(series, feature), vocabulary)
    # Python strings are slow, so each distinct string is encoded only once.
    words = series.cast(pl.String)
    different = words.unique()
    codes = pl.Series(encode_column(feature, to_array(different, feature), vocabulary))
    encoded: NDArray[Any] = words.replace_strict(different, codes, return_dtype=codes.dtype).to_numpy()
    return encoded
