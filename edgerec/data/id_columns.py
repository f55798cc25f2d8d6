"""Replace columns of string IDs by integers: numbers of an `IdMap`, or hashes."""

from __future__ import annotations

import polars as pl

from edgerec.core.errors import InputError
from edgerec.data.casting import is_list, is_text, item_type
from edgerec.features.hashed_ids import hash_id
from edgerec.features.id_map import IdMap


def number_ids(values: pl.Series, ids: IdMap) -> pl.Series:
    """Return a column of strings, or of lists of strings, as integers. New strings are added to `ids`; nulls stay null.

    Raises:
        InputError: the column has another type.
    """
    inner = item_type(values.dtype)
    if not is_text(inner) and inner != pl.Null:
        raise InputError(f"number_ids: {values.name} should be strings, or lists of strings; received {values.dtype}")
    flat = values.explode() if is_list(values.dtype) else values
    strings = flat.cast(pl.String).drop_nulls().unique()
    numbers = pl.Series(ids.add(strings.to_list()), dtype=pl.Int64)
    if is_list(values.dtype):
        lists = values.cast(pl.List(pl.String)).to_frame("x")
        found = lists.select(pl.col("x").list.eval(pl.element().replace_strict(strings, numbers, default=None)))["x"]
        changed: pl.Series = found.cast(pl.List(pl.Int64)).alias(values.name)
    else:
        changed = values.cast(pl.String).replace_strict(strings, numbers, default=None, return_dtype=pl.Int64)
    return changed


def hash_ids(strings: str | pl.Expr) -> pl.Expr:
    """Return an expression for the `hash_id` of each string of a column, given by name or expression.

    Nulls stay null. The expression raises an `InputError` if the column has another type.
    """
    column = pl.col(strings) if isinstance(strings, str) else strings
    return column.map_batches(_hashed, return_dtype=pl.Int64)


def _hashed(strings: pl.Series) -> pl.Series:
    if not is_text(strings.dtype) and strings.dtype != pl.Null:
        raise InputError(f"hash_ids: {strings.name} should be strings; received {strings.dtype}")
    different = strings.cast(pl.String).drop_nulls().unique()
    hashes = pl.Series([hash_id(text) for text in different], dtype=pl.Int64)
    hashed: pl.Series = strings.cast(pl.String).replace_strict(different, hashes, default=None, return_dtype=pl.Int64)
    return hashed
