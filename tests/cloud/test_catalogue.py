from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.cloud.catalogue import Catalogue
from edgerec.features.vocabulary import MISSING_ID
from edgerec.paging import columns
from edgerec.paging.body import ArrayWriter, open_body
from edgerec.paging.columns import read_column, write_column

COLUMNS: dict[str, tuple[pl.Series, list[Any]]] = {
    "integers": (pl.Series([3, None, -1], dtype=pl.Int8), [3, None, -1]),
    "floats": (pl.Series([0.5, None, 2], dtype=pl.Float32), [0.5, None, 2.0]),
    "booleans": (pl.Series([True, None, False]), [True, None, False]),
    "strings": (pl.Series(["b", None, "a"]), ["b", None, "a"]),
    "categories": (pl.Series(["b", None, "b"], dtype=pl.Categorical), ["b", None, "b"]),
    "decimals": (pl.Series([Decimal("1.5"), None, Decimal(2)]), [1.5, None, 2.0]),
    "large": (pl.Series([2**63, None, 1], dtype=pl.UInt64), [float(2**63), None, 1.0]),
    "nothing": (pl.Series([None, None, None], dtype=pl.Null), [None, None, None]),
    "full": (pl.Series([7, 8, 9]), [7, 8, 9]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_raw_values_are_plain_python_values(name: str) -> None:
    series, expected = COLUMNS[name]
    catalogue = Catalogue(pl.DataFrame({"item_id": [10, 20, 30]}).with_columns(series.alias(name)))
    catalogue.load([name, name])
    rows = catalogue.rows([30, 10, 20, 10])
    column = catalogue.values(name, rows)
    values = list(column)
    wanted = [expected[row] for row in rows]
    assert values == wanted
    assert [type(value) for value in values] == [type(value) for value in wanted]
    for each in (column, values):
        writer = ArrayWriter()
        header, reader = open_body(writer.body({"column": write_column(name, each, writer)}))
        assert read_column(header["column"], len(rows), reader, what="it") == wanted


def test_a_page_has_only_the_words_that_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "FEW_WORDS", 2)
    catalogue = Catalogue(pl.DataFrame({"item_id": [10, 20, 30, 40], "shop": ["a", "b", None, "c"]}))
    catalogue.load(["shop"])
    column = catalogue.values("shop", catalogue.rows([40, 30, 10, 40]))
    assert write_column("shop", column, ArrayWriter())["words"] == ["c", "a"]


def test_keys_and_rows_of_items() -> None:
    catalogue = Catalogue(pl.DataFrame({"item_id": [-5, 10, 2**62], "shop": [4, None, 2**62]}))
    assert (len(catalogue), catalogue.rows([10, 11, -5, 2**62]).tolist()) == (3, [1, -1, 0, 2])
    catalogue.load_keys(["shop"])
    np.testing.assert_array_equal(catalogue.keys("shop", catalogue.rows([2**62, 10])), [2**62, MISSING_ID])
