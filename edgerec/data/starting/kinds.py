"""Which feature a column becomes: boundaries at quantiles, values, and sizes of vocabularies, from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from edgerec.data.casting import is_text
from edgerec.data.starting.words import ID_WORDS, words_of

FEW_TEXTS, FEW_NUMBERS = 20, 12
"""Up to this number of different values, a column is one-hot."""
BUCKETS = 8
ROOM = 2
"""A vocabulary has room for this many times the values that were read."""
LONG_TAIL = 5
"""The distance from the median to the 99 % quantile is this many times that from the 1 % quantile to the median."""
_CATEGORIES = frozenset(
    [
        "category",
        "categories",
        "cat",
        "brand",
        "author",
        "artist",
        "seller",
        "shop",
        "store",
        "merchant",
        "publisher",
        "channel",
        "topic",
        "genre",
        "type",
        "class",
        "tag",
        "city",
        "country",
        "region",
        "language",
        "source",
        "section",
        "cuisine",
        "department",
    ]
)


def feature_of(column: str, values: pl.Series, *, embedded: bool, bucketed: bool) -> dict[str, Any] | str:
    """Return the kind of a column's feature with its fields, or why it has none.

    Args:
        column: the name of the column in the file.
        values: its values: numbers, texts, or yes and no.
        embedded: whether the feature may be an embedding.
        bucketed: whether numbers without a long tail are put into buckets. Otherwise they stay numbers.
    """
    known = values.drop_nulls()
    different = known.n_unique()
    if values.dtype == pl.Boolean:
        return {"kind": "binarize"}
    if is_text(values.dtype):
        if different <= FEW_TEXTS:
            return {"kind": "one_hot", "values": _most_frequent_first(known)}
        return _embedding(different, len(known)) if embedded else f"it has {different:,} different texts"
    if values.dtype.is_integer():
        if set(known.unique()) <= {0, 1} and not values.null_count():
            return {"kind": "binarize"}
        named = set(words_of(column))
        if (named & ID_WORDS and different > FEW_NUMBERS) or (named & _CATEGORIES and different > FEW_TEXTS):
            return _embedding(different, len(known)) if embedded else f"it has {different:,} different IDs"
        if different <= FEW_NUMBERS or named & (_CATEGORIES | ID_WORDS):
            small = sorted(int(each) for each in known.unique())
            if all(abs(each) <= 2**53 for each in small):
                return {"kind": "one_hot", "values": small}
    return number_feature(known, bucketed=bucketed)


def number_feature(known: pl.Series, *, bucketed: bool) -> dict[str, Any]:
    """Return the feature of numbers: `raw` with log1p for a long tail, else buckets or `raw`."""
    if has_long_tail(known):
        return {"kind": "raw", "transform": "log1p"}
    boundaries = quantile_boundaries(known) if bucketed else []
    return {"kind": "bucketize", "boundaries": boundaries} if len(boundaries) > 1 else {"kind": "raw"}


def has_long_tail(known: pl.Series) -> bool:
    """Return whether a few values are much larger than all others, and none is negative."""
    low, middle, high = (float(known.quantile(each) or 0) for each in (0.01, 0.5, 0.99))
    return float(known.min() or 0) >= 0 and high - middle > LONG_TAIL * (middle - low) > 0  # type: ignore[arg-type]


def quantile_boundaries(values: pl.Series, buckets: int = BUCKETS) -> list[float | int]:
    """Return rounded boundaries that divide the values into up to `buckets` intervals of about equal size."""
    known = values.drop_nulls()
    if not len(known):
        return []
    smallest = float(known.min())  # type: ignore[arg-type]
    quantiles = [float(known.quantile(number / buckets) or 0) for number in range(1, buckets)]
    # Two digits of the distance between the outer boundaries, so that years stay years.
    spread = quantiles[-1] - quantiles[0] or abs(quantiles[-1]) or 1.0
    digits = 1 - math.floor(math.log10(spread))
    rounded = sorted({round(each, max(digits, 0)) if digits < 10 else each for each in quantiles})
    # Nothing is below the smallest value, so a boundary there would make an empty bucket.
    return [int(each) if each == int(each) else each for each in rounded if each > smallest]


def vocabulary_size(different: int) -> int:
    """Return the size of a vocabulary with room for IDs that were not read: two digits, rounded up."""
    wanted = max(ROOM * different, 10)
    step = 10 ** max(math.floor(math.log10(wanted)) - 1, 0)
    return int(math.ceil(wanted / step) * step)


def embedding_dimension(different: int) -> int:
    """Return the width of the rows: 4 for few IDs, 8 for more, 16 for very many."""
    return 4 if different < 100 else 8 if different < 10_000 else 16


def _embedding(different: int, rows: int) -> dict[str, Any] | str:
    if different > rows // 2:
        return "almost every row has a value of its own, as titles and links have"
    return {
        "kind": "embedding",
        "dimension": embedding_dimension(different),
        "vocabulary": vocabulary_size(different),
    }


def _most_frequent_first(known: pl.Series) -> list[str]:
    counts: Mapping[str, int] = dict(known.cast(pl.String).value_counts().iter_rows())
    return sorted(counts, key=lambda each: (-counts[each], each))


def decay_boundaries(users: pl.Series, times: pl.Series) -> list[float | int]:
    """Return boundaries for the seconds since a user's previous behaviour.

    Args:
        users: the user of each behaviour.
        times: its time in milliseconds.
    """
    instants = pl.DataFrame({"user": users, "time": times}).drop_nulls().unique().sort("user", "time")
    seconds = instants.select((pl.col("time").diff().over("user") / 1000).drop_nulls())["time"]
    logs = seconds.filter(seconds > 0).to_numpy()
    if not len(logs):
        return [60, 3600, 86_400]
    found = np.quantile(logs, [number / 6 for number in range(1, 6)])
    rounded = sorted({float(f"{each:.1g}") if each < 10 else float(f"{each:.2g}") for each in found})
    return [int(each) if each == int(each) else each for each in rounded]
