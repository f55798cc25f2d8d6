"""Rows without an ID or a time are left out, and the user gets to know which."""

from __future__ import annotations

import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.incomplete import drop_incomplete


def test_rows_without_a_value_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pl.DataFrame({"user": [1, 2, None, 4], "item": ["a", None, None, "d"], "price": [None, 1, 2, None]})
    assert drop_incomplete(rows, ["user", "item"], "in/shown.csv")["user"].to_list() == [1, 4]
    assert capsys.readouterr().err.splitlines() == [
        "in/shown.csv: row 3 is left out, because it has no value in column 'user'",
        "in/shown.csv: 2 rows are left out, because they have no value in column 'item' (the first is row 2)",
    ]


def test_complete_rows_give_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pl.DataFrame({"user": [1, 2]})
    assert drop_incomplete(rows, ["user"], "shown.csv").equals(rows)
    assert capsys.readouterr().err == ""


def test_no_complete_row_is_an_error() -> None:
    rows = pl.DataFrame({"user": [None, 2], "item": [1, None]})
    with pytest.raises(InputError, match=r"^shown\.csv: no row has values in all of 'user', 'item'$"):
        drop_incomplete(rows, ["user", "item"], "shown.csv")
