"""From a table's columns to what the encoder reads, and to its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.features.encoder import encode_feature
from edgerec.features.spec import Embedding, Feature, OneHot
from edgerec.features.vocabulary import MISSING_ID, Vocabulary


def to_array(series: pl.Series, feature: Feature) -> NDArray[Any]:
    """The column (n,) that `feature` reads, with missing values as the encoder expects them."""
    if isinstance(feature, Embedding):
        column: NDArray[Any] = series.cast(pl.Int64).fill_null(MISSING_ID).to_numpy()
    elif _of_strings(feature):
        column = np.asarray(series.cast(pl.String).to_list(), dtype=object)
    else:
        column = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return column


def encode_series(feature: Feature, series: pl.Series, vocabulary: Vocabulary | None = None) -> NDArray[Any]:
    """What `edgerec.features.encoder.encode_feature` makes of the column (n,)."""
    if not len(series) or not _of_strings(feature):
        return encode_feature(feature, to_array(series, feature), vocabulary)
    # Python's strings are slow: each different one is encoded once.
    words = series.cast(pl.String)
    different = words.unique()
    codes = pl.Series(encode_feature(feature, to_array(different, feature)), dtype=pl.UInt8)
    encoded: NDArray[Any] = words.replace_strict(different, codes, return_dtype=pl.UInt8).to_numpy()
    return encoded


def _of_strings(feature: Feature) -> bool:
    return isinstance(feature, OneHot) and isinstance(feature.values[0], str)
