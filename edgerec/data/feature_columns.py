"""The checks that hold a table's columns to what features read."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import is_text
from edgerec.features.kinds.base import BaseFeature, Reads
from edgerec.features.vocabulary import MISSING_ID


def check_features(name: str, table: pl.DataFrame, features: Iterable[BaseFeature]) -> None:
    """Check that the columns that `features` read are there, of a readable type, and without NaN."""
    for feature in features:
        check_column(name, table.columns, feature)
        check_values(name, table[feature.source], feature)


def check_column(name: str, columns: Iterable[str], feature: BaseFeature) -> None:
    """Check that the column that `feature` reads is there."""
    if feature.source not in columns:
        raise LogsError(
            f"logs: table {name!r} has no column {feature.source!r}, which feature {feature.name} reads; "
            f"it has: {', '.join(columns)}. Add it, or leave the feature out of the specification"
        )


def check_values(name: str, values: pl.Series, feature: BaseFeature) -> None:
    """Check that `feature` can read the values: their type, no NaN, no infinity, no integer that is no identity."""
    dtype = values.dtype
    if not _readable(dtype, feature.reads):
        wanted = "integers" if feature.reads == "identities" else feature.reads
        raise LogsError(
            f"logs: {name}.{feature.source} should hold {wanted} (feature {feature.name}, {feature.kind}); "
            f"received {dtype}"
        )
    if feature.reads == "identities" and len(values):
        _check_identities(name, values, feature)
    if dtype.is_float():
        faulty = int((~values.is_finite()).sum() or 0)
        if faulty:
            raise LogsError(
                f"logs: {name}.{feature.source} holds NaN or infinity in {faulty} places (feature {feature.name}); "
                "write an empty value where there is none"
            )


def _readable(dtype: pl.DataType, reads: Reads) -> bool:
    if dtype == pl.Null:
        return True
    if reads == "strings":
        return is_text(dtype)
    return dtype.is_integer() if reads == "identities" else dtype.is_numeric() or dtype == pl.Boolean


def _check_identities(name: str, values: pl.Series, feature: BaseFeature) -> None:
    """Check that the identities fit into 64 bits, and that none of them is the one that stands for a missing value."""
    least, most = values.min(), values.max()
    for odd, why in ((most, f"above the largest identity {2**63 - 1}"), (least, "below the least identity")):
        if isinstance(odd, int) and not MISSING_ID < odd < 2**63:
            why = "which stands for a missing identity" if odd == MISSING_ID else why
            raise LogsError(
                f"logs: {name}.{feature.source} holds {odd}, {why} (feature {feature.name}); hash or renumber it"
            )
