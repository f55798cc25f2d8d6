"""The facts that relations read, from the tables of logs."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.columns import TYPES
from edgerec.features.relations.facts import Facts, keys_of
from edgerec.features.relations.rule import ITEM_ID, number_columns, same_columns
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import MISSING_ID


def catalogue_facts(items: pl.DataFrame, spec: FeatureSpec) -> Facts:
    """Return the facts of all items. Columns that are served or belong to actions are missing."""
    columns = [_keys(items[name]) for name in same_columns(spec.rules.values())]
    keys = np.stack(columns, axis=1) if columns else np.zeros((len(items), 0), np.int64)
    names = number_columns(spec.rules.values())
    numbers = np.full((len(items), len(names)), np.nan)
    from_catalogue = {rule.column for rule in spec.rules.values() if spec.column_origin(rule) == "catalogue"}
    for index, name in enumerate(names):
        if name in from_catalogue:
            numbers[:, index] = _floats(items[name])
    return Facts(keys, numbers)


def _keys(values: pl.Series) -> NDArray[np.int64]:
    if values.name == ITEM_ID or values.dtype.is_integer():
        keys: NDArray[np.int64] = values.cast(pl.Int64).fill_null(MISSING_ID).to_numpy()
        return keys
    words = values.cast(pl.String)
    different = words.unique(maintain_order=True)
    codes = pl.Series(keys_of(different.to_list()), dtype=pl.Int64)
    keys = words.replace_strict(different, codes, return_dtype=pl.Int64).to_numpy()
    return keys


def _floats(values: pl.Series) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = values.cast(TYPES["numbers"]).fill_null(np.nan).to_numpy()
    return numbers


def row_facts(table: pl.DataFrame, item: NDArray[np.int32], catalogue: Facts, spec: FeatureSpec) -> Facts:
    """Return the facts of n behaviours or candidates.

    Args:
        table: n rows. It has the columns that are served, and for behaviours those of their actions.
        item: (n,) their rows of the catalogue.
        catalogue: the facts of all items.
        spec: the specification.
    """
    facts = catalogue[item]
    from_logs = {rule.column for rule in spec.rules.values() if spec.column_origin(rule) != "catalogue"}
    for index, name in enumerate(number_columns(spec.rules.values())):
        if name in from_logs and name in table.columns:
            facts.numbers[:, index] = _floats(table[name])
    return facts


def candidate_facts(requests: pl.DataFrame, item: NDArray[np.int32], catalogue: Facts, spec: FeatureSpec) -> Facts:
    """Return the facts of all candidates of `requests`, one request after the other. `item` (c,) has their rows."""
    columns = [name for name in number_columns(spec.rules.values()) if name in requests.columns]
    lists = requests.select(pl.col(columns).explode()) if columns else pl.DataFrame()
    return row_facts(lists, item, catalogue, spec)
