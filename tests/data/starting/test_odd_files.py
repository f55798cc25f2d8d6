"""Values that `edgerec init` must not misread: leading zeros, long IDs, texts among numbers, times and clicks."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.starting.attributes import useless
from edgerec.data.starting.clicks import click_rule
from edgerec.data.starting.tables import Table, read_table
from edgerec.data.starting.times import precision_check, time_fault, time_rule


def table(folder: Path, values: list[Any], **more: Any) -> Table:
    (folder / "t.csv").write_text("user,value\n" + "".join(f"{number},{each}\n" for number, each in enumerate(values)))
    return read_table(folder / "t.csv", **more)


@pytest.mark.parametrize(
    "values",
    [["007", "7", "12"], [str(2**64 - 1), "5"], ["9" * 30, "5"], ["1" + "0" * 45, "5"], ["0012", "12"]],
    ids=["zeros", "64 bits", "30 digits", "46 digits", "the same number twice"],
)
def test_digits_that_are_no_numbers_stay_texts(values: list[str], tmp_path: Path) -> None:
    assert table(tmp_path, values).rows["value"].to_list() == values


def test_texts_among_numbers_mean_that_there_is_no_value(tmp_path: Path) -> None:
    found = table(tmp_path, ["1.5", "N/A", "2.5", "-", "7"])
    assert found.rows["value"].to_list() == [1.5, None, 2.5, None, 7.0]
    assert found.nulls_of == {"value": ("-", "N/A")}
    assert table(tmp_path, ["1", "NA", "2"]).rows["value"].to_list() == [1, None, 2]
    mixed = table(tmp_path, [*map(str, range(20)), "free"])
    assert (mixed.rows["value"].dtype, mixed.mixed) == (pl.String(), {"value": "free"})


def test_a_later_row_with_another_type_does_not_change_the_types(tmp_path: Path) -> None:
    values = [*map(str, range(300)), "free"]
    assert table(tmp_path, values, rows=100).rows["value"].to_list() == list(range(100))


def test_decimals_become_numbers(tmp_path: Path) -> None:
    columns = {
        "user": pl.Series([Decimal(7), Decimal(8)], dtype=pl.Decimal(18, 0)),
        "price": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found.rows.to_dict(as_series=False) == {"user": [7, 8], "price": [1.5, None]}
    assert found.decimals == ("user", "price")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08", "it is compressed: let its name end in .csv.gz"),
        (b"PAR1abc", "it is a Parquet file"),
        ("user,value\n1,2\n".encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (
            b"1,2024-03-04 17:00:00,7\n2,2024-03-04 17:00:01,8\n",
            "should have the names of the columns in its first line",
        ),
        (b"# made by x\nuser,value\n1,2\n", "row 1 has 2 values, and the line of names has 1"),
    ],
)
def test_files_of_another_form_are_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / "t.csv")


FIRST = 1_709_571_600_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-03-04T17:00", FIRST),
        ("2024-03-04 19:00:00+02", FIRST),
        ("04.03.2024 17:00", FIRST),
        ("Mon, 04 Mar 2024 17:00:00 GMT", FIRST),
        ("04/Mar/2024:17:00:00 +0000", FIRST),
        ("Mar 04, 2024 17:00:00", FIRST),
        (20_240_304_170_000, FIRST),
        (20_240_304, FIRST - 17 * 3_600_000),
    ],
)
def test_more_formats_of_times_are_read(value: str | int, expected: int) -> None:
    rule = time_rule(pl.Series("t", [value]))
    assert rule is not None
    assert rule.of_texts
    assert pl.DataFrame({"t": [value]}).select(rule.milliseconds)["t"].to_list() == [expected]


@pytest.mark.parametrize(
    ("times", "said"),
    [([FIRST, None], "all times are whole minutes"), ([FIRST, FIRST + 1000], "all times are whole seconds"),
     ([FIRST, FIRST + 1], None), ([None], None)],
)  # fmt: skip
def test_times_without_milliseconds_are_noticed(times: list[int | None], said: str | None) -> None:
    check = precision_check(pl.Series(times, dtype=pl.Int64))
    assert check is None if said is None else check is not None and check.startswith(said)


def test_a_value_that_is_no_time_is_named_with_its_row() -> None:
    good = "2024-03-04 17:00:00"
    assert time_fault(pl.Series([good, good, "unknown"])) == f"row 3 has 'unknown', and row 1 has {good!r}"
    assert time_fault(pl.Series([FIRST, 0, FIRST])) == f"row 2 has 0, and row 1 has {FIRST}"
    assert time_fault(pl.Series(["2024-03-04", good, good])) == f"row 1 has '2024-03-04', and row 2 has {good!r}"
    assert time_fault(pl.Series([str(FIRST), "x"])) == f"row 2 has 'x', and row 1 has '{FIRST}'"
    # Most rows fit days before months. The first row fits months before days, too.
    days = ["03/04/2024 10:00:00", "13/04/2024 10:00:00", "14/04/2024 10:00:00", "soon"]
    assert (time_fault(pl.Series(days)) or "").startswith("row 4 has 'soon', and row 1 has")
    assert time_fault(pl.Series(["a", "b"])) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 1], [True, False, True]),
        ([1, -1], [True, False]),
        (["x", "", None], [True, False, False]),
        (["ja", "nein"], [True, False]),
    ],
)
def test_more_ways_to_say_that_an_item_was_clicked(values: list[Any], expected: list[bool]) -> None:
    rule = click_rule(pl.Series("c", values))
    assert rule is not None
    rows = pl.DataFrame({"c": values})
    assert rows.select(rule.clicked)["c"].to_list() == expected
    assert rows.select(eval(rule.code, {"pl": pl}))["c"].to_list() == expected


def test_numbers_in_another_notation_are_no_categories() -> None:
    for values in (["12,50", "7,99"], ["$12.50", "$7"], ["1.234,5", "7"]):
        assert "look like numbers" in str(useless("price", pl.Series(values * 3)))
    assert useless("size", pl.Series(["10 cm", "12 cm"] * 3)) is None
