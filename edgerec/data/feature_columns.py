"""Checks that a table has the columns and values that its features read."""

from __future__ import annotations

import math
from collections.abc import Iterable

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import is_text
from edgerec.features.kinds.base import BaseFeature, Reads
from edgerec.features.relations.rule import ITEM_ID
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import MISSING_ID, STRING_IDS


def check_features(name: str, table: pl.DataFrame, features: Iterable[BaseFeature]) -> None:
    """Raise LogsError if a column that `features` read does not exist, has a wrong type, or has a wrong value."""
    for feature in features:
        check_column(name, table.columns, feature)
        check_values(name, table[feature.source], feature)


def check_column(name: str, columns: Iterable[str], feature: BaseFeature) -> None:
    """Raise LogsError if `columns` does not contain the column that `feature` reads."""
    if feature.source not in columns:
        if feature.as_of is not None:
            raise LogsError(
                f"logs: table {name!r} has no column {feature.source!r}, which feature {feature.name} computes "
                "(as_of): run `edgerec as-of LOGS --out NEW` and use the new logs"
            )
        raise LogsError(
            f"logs: table {name!r} has no column {feature.source!r}, which feature {feature.name} reads; "
            f"its columns are: {', '.join(columns)}. Add the column, or remove the feature from the specification"
        )


def check_values(name: str, values: pl.Series, feature: BaseFeature) -> None:
    """Raise LogsError if the values have a type that `feature` cannot read, or contain NaN, infinity or a wrong ID."""
    dtype = values.dtype
    if not _readable(dtype, feature.reads):
        wanted = "integers" if feature.reads == "identities" else feature.reads
        advice = f"; {STRING_IDS}" if feature.reads == "identities" and is_text(dtype) else ""
        raise LogsError(
            f"logs: {name}.{feature.source} should hold {wanted} (feature {feature.name}, {feature.kind}); "
            f"received {dtype}{advice}"
        )
    if feature.reads == "identities" and len(values):
        _check_identities(name, values, feature)
    # The sum of finite numbers is finite, if it does not overflow. It takes a tenth of the time of the check of each.
    if dtype.is_float() and not math.isfinite(values.sum() or 0.0):
        faulty = int((~values.is_finite()).sum() or 0)
        if faulty:
            raise LogsError(
                f"logs: {name}.{feature.source} holds NaN or infinity in {faulty} rows (feature {feature.name}); "
                "write a missing value as null"
            )


def check_relations(items: pl.DataFrame, spec: FeatureSpec) -> None:
    """Raise LogsError if a column of the catalogue that relations read does not exist or has a wrong type."""
    for feature in spec.relations:
        rule = feature.relation
        same, numbers = (rule.same, rule.column) if rule else (None, None)
        if same == ITEM_ID:
            same = None
        if rule is None or spec.column_origin(rule) != "catalogue":
            numbers = None
        for column, wanted in ((same, "integers or strings"), (numbers, "numbers")):
            if column is None:
                continue
            if column not in items.columns:
                raise LogsError(
                    f"logs: table 'items' has no column {column!r}, which relation {feature.name} reads; its columns "
                    f"are: {', '.join(items.columns)}. Add the column, or remove the relation from the specification"
                )
            dtype = items.schema[column]
            number = dtype.is_numeric() or dtype == pl.Boolean
            fits = number if wanted == "numbers" else dtype.is_integer() or is_text(dtype)
            if dtype != pl.Null and not fits:
                raise LogsError(
                    f"logs: items.{column} should hold {wanted} (relation {feature.name}); received {dtype}"
                )
            if (
                dtype.is_integer()
                and items[column].cast(pl.Int64, strict=False).null_count() > items[column].null_count()
            ):
                raise LogsError(
                    f"logs: items.{column} (relation {feature.name}) holds integers that are too large for int64"
                )
            if dtype.is_float() and not bool(items[column].drop_nulls().is_finite().all()):
                raise LogsError(
                    f"logs: items.{column} holds NaN or infinity (relation {feature.name}); "
                    "write a missing value as null"
                )


def _readable(dtype: pl.DataType, reads: Reads) -> bool:
    if dtype == pl.Null:
        return True
    if reads == "strings":
        return is_text(dtype)
    return dtype.is_integer() if reads == "identities" else dtype.is_numeric() or dtype == pl.Boolean


def _check_identities(name: str, values: pl.Series, feature: BaseFeature) -> None:
    """Raise LogsError if an ID does not fit into 64 bits, or is the number that is used for missing IDs."""
    least, most = values.min(), values.max()
    for value, why in ((most, f"above the largest ID {2**63 - 1}"), (least, "below the smallest ID")):
        if isinstance(value, int) and not MISSING_ID < value < 2**63:
            why = "which stands for a missing ID" if value == MISSING_ID else why
            raise LogsError(
                f"logs: {name}.{feature.source} holds {value}, {why} (feature {feature.name}); hash or renumber it"
            )
