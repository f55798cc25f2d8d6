"""Columns of string IDs become columns of integers."""

from __future__ import annotations

import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.id_columns import number_ids
from edgerec.features.id_map import IdMap


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (pl.Series("a", ["z", "b", None, "z"]), [1, 0, None, 1]),
        (pl.Series("a", ["z", None], dtype=pl.Categorical), [0, None]),
        (pl.Series("a", [["z", "b"], [], None, [None, "z"]]), [[1, 0], [], None, [None, 1]]),
        (pl.Series("a", [["z", "b"]], dtype=pl.Array(pl.String, 2)), [[1, 0]]),
        (pl.Series("a", [None, None]), [None, None]),
        (pl.Series("a", [], dtype=pl.List(pl.String)), []),
    ],
)
def test_each_string_becomes_its_number(values: pl.Series, numbers: list[object]) -> None:
    changed = number_ids(values, IdMap())
    assert changed.to_list() == numbers
    assert changed.name == "a"
    wanted = pl.Int64 if changed.dtype == pl.Int64 else pl.List(pl.Int64)
    assert changed.dtype == wanted


def test_later_columns_get_the_same_numbers() -> None:
    ids = IdMap()
    items = number_ids(pl.Series("item_id", ["pasta", "soup"]), ids)
    lists = number_ids(pl.Series("item_id", [["soup", "curry"], ["pasta"]]), ids)
    assert (items.to_list(), lists.to_list()) == ([0, 1], [[1, 2], [0]])


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="number_ids: a should be strings, or lists of strings; received Int64"):
        number_ids(pl.Series("a", [7]), IdMap())
