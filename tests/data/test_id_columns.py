"""Columns of string IDs become columns of integers."""

from __future__ import annotations

import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.id_columns import hash_ids, number_ids
from edgerec.features.hashed_ids import hash_id
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


def test_a_hash_is_63_bits_of_blake2b() -> None:
    # These 8 bytes are what `b2sum -l 64` prints for this text.
    assert hash_id("soup-7") == 0xB3CD_F90C_5E19_EFB8 >> 1


def test_a_column_is_hashed_as_its_strings() -> None:
    table = pl.DataFrame({"a": ["z", None, "b", "z"]})
    wanted = [hash_id("z"), None, hash_id("b"), hash_id("z")]
    assert table.select(hash_ids("a"))["a"].to_list() == wanted
    assert table.select(x=hash_ids(pl.col("a").cast(pl.Categorical)))["x"].to_list() == wanted


@pytest.mark.parametrize("column", [pl.Series("a", [1]), pl.Series("a", [["x"]])])
def test_only_strings_are_hashed(column: pl.Series) -> None:
    with pytest.raises(InputError, match="hash_ids: a should be strings; received"):
        column.to_frame().select(hash_ids("a"))


@pytest.mark.parametrize("text", [7, "\ud800"])
def test_a_text_that_has_no_bytes_is_refused(text: object) -> None:
    with pytest.raises(InputError, match="`text` should be"):
        hash_id(text)  # type: ignore[arg-type]
