"""Checks that a table has the columns and values that its features read."""

from __future__ import annotations

import math
from collections.abc import Iterable

import polars as pl

from edgerec.data.casting import is_text
from edgerec.data.log_faults import Fault, Found, Place, refuse
from edgerec.features.kinds.base import BaseFeature, Reads
from edgerec.features.relations.rule import ITEM_ID
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import MISSING_ID, STRING_IDS

FINITE = "finite numbers, or null"


def find_features(name: str, table: pl.DataFrame, features: Iterable[BaseFeature]) -> Found[None]:
    """Find columns that `features` read and that do not exist, have a wrong type, or have a wrong value."""
    for feature in features:
        there = yield from find_column(name, table.columns, feature)
        if there:
            yield from find_values(name, table[feature.source], feature)


def find_column(name: str, columns: Iterable[str], feature: BaseFeature) -> Found[bool]:
    """Find out whether `columns` does not contain the column that `feature` reads. Return whether it does."""
    columns = list(columns)
    if feature.source in columns:
        return True
    advice = "add the column, or remove the feature from the specification"
    text = f"which feature {feature.name} reads; its columns are: {', '.join(columns)}. {advice[0].upper()}{advice[1:]}"
    if feature.as_of is not None:
        advice = "run `edgerec as-of LOGS --out NEW` and use the new logs"
        text = f"which feature {feature.name} computes (as_of): {advice}"
    yield Fault(
        f"logs: table {name!r} has no column {feature.source!r}, {text}",
        expected=f"a column {feature.source!r}, which feature {feature.name} reads",
        found=f"the columns {', '.join(columns)}",
        advice=advice,
        column=feature.source,
    )
    return False


def find_values(name: str, values: pl.Series, feature: BaseFeature, lengths: pl.Series | None = None) -> Found[bool]:
    """Find values of a type that `feature` cannot read, NaN, infinity and wrong IDs. Return whether the type fits.

    Args:
        name: name of the table.
        values: the values.
        feature: the feature that reads them.
        lengths: if the values are exploded lists: the length of each list.
    """
    dtype = values.dtype
    if not _readable(dtype, feature.reads):
        wanted = "integers" if feature.reads == "identities" else feature.reads
        strings = feature.reads == "identities" and is_text(dtype)
        yield Fault(
            f"logs: {name}.{feature.source} should hold {wanted} (feature {feature.name}, {feature.kind}); "
            f"received {dtype}{f'; {STRING_IDS}' if strings else ''}",
            expected=f"{wanted} (feature {feature.name}, {feature.kind})",
            found=str(dtype),
            advice=STRING_IDS if strings else f"write {wanted}",
            column=feature.source,
        )
        return False
    if feature.reads == "identities" and len(values):
        yield from _find_identities(name, values, feature, lengths)
    # The sum of finite numbers is finite, if it does not overflow. It takes a tenth of the time of the check of each.
    if dtype.is_float() and not math.isfinite(values.sum() or 0.0):
        wrong = ~values.is_finite()
        faulty = int(wrong.sum() or 0)
        if faulty:
            place = Place.of(wrong, lengths)
            yield Fault(
                f"logs: {name}.{feature.source} holds NaN or infinity in {faulty} rows (feature {feature.name}); "
                "write a missing value as null",
                expected=FINITE,
                found=str(values.filter(wrong)[0]),
                advice="write a missing value as null; in polars fill_nan(None)",
                column=feature.source,
                row=place.row,
                rows=place.rows,
            )
    return True


def check_relations(items: pl.DataFrame, spec: FeatureSpec) -> None:
    """Raise LogsError if a column of the catalogue that relations read does not exist or has a wrong type."""
    refuse(find_relations(items, spec))


def find_relations(items: pl.DataFrame, spec: FeatureSpec) -> Found[None]:
    """Find columns of the catalogue that relations read and that do not exist or have a wrong type."""
    for feature in spec.relations:
        rule = feature.relation
        same, numbers = (rule.same, rule.column) if rule else (None, None)
        if same == ITEM_ID:
            same = None
        if rule is None or spec.column_origin(rule) != "catalogue":
            numbers = None
        for column, wanted in ((same, "integers or strings"), (numbers, "numbers")):
            if column is not None:
                yield from _find_relation(items, column, wanted, feature.name)


def _find_relation(items: pl.DataFrame, column: str, wanted: str, relation: str) -> Found[None]:
    if column not in items.columns:
        yield Fault(
            f"logs: table 'items' has no column {column!r}, which relation {relation} reads; its columns "
            f"are: {', '.join(items.columns)}. Add the column, or remove the relation from the specification",
            expected=f"a column {column!r}, which relation {relation} reads",
            found=f"the columns {', '.join(items.columns)}",
            advice="add the column, or remove the relation from the specification",
            column=column,
        )
        return
    dtype, values = items.schema[column], items[column]
    number = dtype.is_numeric() or dtype == pl.Boolean
    fits = number if wanted == "numbers" else dtype.is_integer() or is_text(dtype)
    if dtype != pl.Null and not fits:
        yield Fault(
            f"logs: items.{column} should hold {wanted} (relation {relation}); received {dtype}",
            expected=f"{wanted} (relation {relation})",
            found=str(dtype),
            advice=f"write {wanted}",
            column=column,
        )
        return
    if dtype.is_integer():
        wrong = values.cast(pl.Int64, strict=False).is_null() & values.is_not_null()
        if wrong.any():
            place = Place.of(wrong)
            yield Fault(
                f"logs: items.{column} (relation {relation}) holds integers that are too large for int64",
                expected="integers of 64 bits",
                found=str(values[place.row]),
                advice="hash or renumber the values",
                column=column,
                row=place.row,
                rows=place.rows,
            )
    if dtype.is_float() and not bool(values.drop_nulls().is_finite().all()):
        place = Place.of(~values.is_finite())
        yield Fault(
            f"logs: items.{column} holds NaN or infinity (relation {relation}); write a missing value as null",
            expected=FINITE,
            found=str(values[place.row]),
            advice="write a missing value as null; in polars fill_nan(None)",
            column=column,
            row=place.row,
            rows=place.rows,
        )


def _readable(dtype: pl.DataType, reads: Reads) -> bool:
    if dtype == pl.Null:
        return True
    if reads == "strings":
        return is_text(dtype)
    return dtype.is_integer() if reads == "identities" else dtype.is_numeric() or dtype == pl.Boolean


def _find_identities(name: str, values: pl.Series, feature: BaseFeature, lengths: pl.Series | None) -> Found[None]:
    """Find IDs that do not fit into 64 bits, or are the number that is used for missing IDs."""
    least, most = values.min(), values.max()
    for value, why in ((most, f"above the largest ID {2**63 - 1}"), (least, "below the smallest ID")):
        if isinstance(value, int) and not MISSING_ID < value < 2**63:
            why = "which stands for a missing ID" if value == MISSING_ID else why
            place = Place.of(values == value, lengths)
            yield Fault(
                f"logs: {name}.{feature.source} holds {value}, {why} (feature {feature.name}); hash or renumber it",
                expected=f"IDs above {MISSING_ID} and below 2^63",
                found=f"{value}, {why}",
                advice="hash or renumber it",
                column=feature.source,
                row=place.row,
                rows=place.rows,
            )
