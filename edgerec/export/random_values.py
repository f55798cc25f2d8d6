"""Random raw values of a column, such that every feature of the column can read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from edgerec.core.errors import EdgeRecError
from edgerec.data.columns import TYPES, to_array
from edgerec.features.kinds import Feature
from edgerec.features.kinds.base import Reads
from edgerec.features.kinds.bucketize import Bucketize
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.kinds.raw import Raw

MISSING = 0.1
"""Share of missing values."""
LARGEST_KEY = 2**40


def random_series(
    name: str,
    features: Sequence[Feature],
    count: int,
    *,
    rng: np.random.Generator,
    keys: Mapping[str, npt.NDArray[np.int64]],
    whole: bool = False,
    different: int | None = None,
) -> pl.Series:
    """Return `count` random values of the column `name`.

    Args:
        name: the column.
        features: the features that read the column.
        count: the number of values.
        rng: the source of random numbers.
        keys: the keys in the table of each embedding feature, by name.
        whole: whether numbers should be whole, because relations compare them.
        different: the largest number of different values.
    """
    reads = {feature.reads for feature in features} or {"numbers"}
    if "strings" in reads and len(reads) > 1:
        # No value is a string and a number.
        return pl.Series(name, [None] * count, TYPES["strings"])
    kind: Reads = next(one for one in ("identities", "strings", "numbers") if one in reads)
    pool = [value for feature in features for value in _values(feature, rng, keys)] or list(range(count))
    if whole and kind == "numbers":
        kind, pool = "identities", sorted({int(value) for value in pool})
    elif kind == "numbers":
        pool = [float(value) for value in pool]
    dtype = TYPES[kind]
    readable = [value for value in pool if all(_can_read(feature, value, dtype) for feature in features)]
    if different is not None and len(readable) > different:
        readable = [readable[index] for index in rng.choice(len(readable), different, replace=False).tolist()]
    drawn = [
        readable[index] if readable and not missing else None
        for index, missing in zip(
            rng.integers(0, max(len(readable), 1), count).tolist(), (rng.random(count) < MISSING).tolist(), strict=True
        )
    ]
    return pl.Series(name, drawn, dtype)


def _values(feature: Feature, rng: np.random.Generator, keys: Mapping[str, npt.NDArray[np.int64]]) -> list[Any]:
    """Return some values that the feature may read. They include values that it treats in a special way."""
    if feature.reads == "identities":
        known = keys.get(feature.name, np.zeros(0, np.int64))
        some = rng.choice(known, min(len(known), 20), replace=False).tolist()
        return [*some, *rng.integers(0, LARGEST_KEY, 5).tolist()]
    if isinstance(feature, OneHot):
        return [*feature.values, "unlisted" if feature.reads == "strings" else len(feature.values)]
    if feature.reads == "strings":
        return [*feature.listed, "unlisted"]
    if isinstance(feature, Bucketize):
        return [edge + step for edge in feature.boundaries for step in (-0.5, 0.0, 0.5)]
    if isinstance(feature, Raw):
        low, high = (end if bound is None else bound for bound, end in ((feature.low, -3.0), (feature.high, 3.0)))
        margin = 0.2 * (high - low) + 0.1
        numbers = rng.uniform(low - margin, high + margin, 40)
        with np.errstate(over="ignore"):
            return list(np.expm1(numbers) if feature.transform == "log1p" else numbers)
    return [*range(5), *rng.normal(size=20).tolist()]


def _can_read(feature: Feature, value: Any, dtype: pl.DataType) -> bool:
    if feature.has_table:
        return True
    try:
        feature.encode(to_array(pl.Series([value], dtype=dtype), feature))
    except EdgeRecError:
        return False
    return True
