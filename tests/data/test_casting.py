from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import LogsError
from edgerec.data.casting import exact_cast

INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Int128)
INT64, INT8, FLOAT64, STRING = pl.Int64(), pl.Int8(), pl.Float64(), pl.String()
MS = pl.Datetime("ms")
AT = datetime(2024, 1, 8, 7)

Type = pl.DataType | type[pl.DataType]


def cast(values: list[Any], received: Type, wanted: pl.DataType, **options: Any) -> pl.Series:
    table = pl.DataFrame({"a": pl.Series(values, dtype=received), "other": [0.5] * len(values)})
    found = exact_cast(table, {"a": wanted}, where="file: ", **options)
    assert found["other"].to_list() == table["other"].to_list()
    assert found.schema["a"] == wanted
    return found["a"]


EXACT: list[tuple[list[Any], Type, pl.DataType, dict[str, bool], list[Any]]] = [
    ([1, None, -3], pl.Int16, INT64, {}, [1, None, -3]),
    ([2**63 - 1], pl.UInt64, INT64, {}, [2**63 - 1]),
    ([5], pl.Int128, INT8, {}, [5]),
    ([True, False, None], pl.Boolean, INT8, {}, [1, 0, None]),
    ([None, None], pl.Null, INT64, {}, [None, None]),
    ([None], pl.Null, pl.List(INT8), {}, [None]),
    ([[1, 2], [3, None]], pl.Array(pl.Int32, 2), pl.List(INT64), {}, [[1, 2], [3, None]]),
    ([[1, 2], None], pl.Array(pl.Int64, 2), pl.List(INT64), {}, [[1, 2], None]),
    ([[True], [], [None], None], pl.List(pl.Boolean), pl.List(INT8), {}, [[1], [], [None], None]),
    ([[None], []], pl.List(pl.Null), pl.List(INT8), {}, [[None], []]),
    (["b", "a", None], pl.Categorical, STRING, {}, ["b", "a", None]),
    (["b", "a"], pl.Enum(["a", "b"]), STRING, {}, ["b", "a"]),
    ([["b"], ["a"]], pl.List(pl.Categorical), pl.List(STRING), {}, [["b"], ["a"]]),
    ([1.0, None, -0.0], pl.Float32, INT64, {"floats": True}, [1, None, 0]),
    ([[7.0, 8.0]], pl.Array(pl.Float64, 2), pl.List(INT64), {"floats": True}, [[7, 8]]),
    ([2.0**53 - 1], pl.Float64, INT64, {"floats": True}, [2**53 - 1]),
    ([2**53], pl.Int64, FLOAT64, {}, [2.0**53]),
    ([0.1, None], pl.Float32, FLOAT64, {}, [pytest.approx(0.1), None]),
    (["7", "-12", "0", None], pl.String, INT64, {"text": True}, [7, -12, 0, None]),
    (["7.5", "1e3", ".5", None], pl.String, FLOAT64, {"text": True}, [7.5, 1000.0, 0.5, None]),
    ([AT, None], pl.Datetime("us"), MS, {}, [AT, None]),
]


@pytest.mark.parametrize(("values", "received", "wanted", "options", "expected"), EXACT)
def test_a_cast_that_keeps_every_value_is_accepted(
    values: list[Any], received: Type, wanted: pl.DataType, options: dict[str, bool], expected: list[Any]
) -> None:
    assert cast(values, received, wanted, **options).to_list() == expected


WRONG_TYPES: list[tuple[list[Any], Type, pl.DataType, dict[str, bool]]] = [
    ([1.0], pl.Float64, INT64, {}),
    ([[0.9, 1.0]], pl.Array(pl.Float64, 2), pl.List(INT8), {}),
    ([[0.9, 1.0]], pl.List(pl.Float32), pl.List(INT8), {}),
    ([Decimal("1.00")], pl.Decimal(10, 2), INT64, {"floats": True}),
    ([True], pl.Boolean, INT64, {"floats": True}),
    (["7"], pl.String, INT64, {"floats": True}),
    (["7"], pl.Categorical, INT64, {"floats": True, "text": True}),
    (["7"], pl.Enum(["7"]), INT64, {"text": True}),
    ([["7"]], pl.List(pl.Categorical), pl.List(INT64), {}),
    ([b"7"], pl.Binary, INT64, {"text": True}),
    ([b"7"], pl.Binary, STRING, {}),
    ([7], pl.Int64, STRING, {}),
    ([{"x": 1}], pl.Struct({"x": pl.Int64}), INT64, {}),
    ([AT], pl.Datetime("ms"), INT64, {}),
    ([date(2024, 1, 8)], pl.Date, INT64, {}),
    ([timedelta(milliseconds=5)], pl.Duration("ms"), INT64, {}),
    ([AT], pl.Datetime("us", "Europe/Copenhagen"), MS, {}),
    ([date(2024, 1, 8)], pl.Date, MS, {}),
    ([1], pl.Int64, pl.List(INT64), {}),
    ([[1]], pl.List(pl.Int64), INT64, {}),
    ([[[1]]], pl.List(pl.List(pl.Int64)), pl.List(INT64), {}),
    ([[[1]]], pl.List(pl.Array(pl.Int64, 1)), pl.List(INT64), {}),
    ([[[1, 2]]], pl.Array(pl.Int64, (1, 2)), pl.List(INT64), {}),
]


@pytest.mark.parametrize(("values", "received", "wanted", "options"), WRONG_TYPES)
@pytest.mark.parametrize("rows", [0, 1])
def test_wrong_types_are_an_error_for_any_values(
    values: list[Any], received: Type, wanted: pl.DataType, options: dict[str, bool], rows: int
) -> None:
    with pytest.raises(LogsError, match=r"^file: a should be .*; received ") as caught:
        cast(values[:rows], received, wanted, **options)
    assert "\n" not in str(caught.value)


WRONG_VALUES: list[tuple[list[Any], Type, pl.DataType, dict[str, bool], str]] = [
    ([1, 2**63], pl.UInt64, INT64, {}, "row 12 .* holds 9223372036854775808"),
    ([-(2**70)], pl.Int128, INT64, {}, "row 11 .* holds -1180591620717411303424"),
    ([[1], [], [0, 300]], pl.List(pl.Int64), pl.List(INT8), {}, "row 13 .* holds 300"),
    ([[1, 2], None, [0, 300]], pl.Array(pl.Int64, 2), pl.List(INT8), {}, "row 13 .* holds 300"),
    ([1.0, 0.9], pl.Float64, INT64, {"floats": True}, r"row 12 .* holds 0\.9"),
    ([[1.0, 0.9]], pl.Array(pl.Float64, 2), pl.List(INT8), {"floats": True}, r"row 11 .* holds 0\.9"),
    ([None, float("nan")], pl.Float32, INT64, {"floats": True}, "row 12 .* holds nan"),
    ([float("inf")], pl.Float64, INT64, {"floats": True}, "holds inf"),
    ([1e300], pl.Float64, INT64, {"floats": True}, r"holds 1e\+300"),
    ([2.0**53], pl.Float64, INT64, {"floats": True}, r"holds 9007199254740992\.0"),
    ([2.0**24], pl.Float32, INT64, {"floats": True}, r"holds 16777216\.0"),
    ([2**53 + 1], pl.Int64, FLOAT64, {}, "holds 9007199254740993"),
    ([2**63 - 1], pl.Int64, FLOAT64, {}, "holds 9223372036854775807"),
    (["7", "007"], pl.String, INT64, {"text": True}, "row 12 .* holds '007'"),
    (["+7"], pl.String, INT64, {"text": True}, r"holds '\+7'"),
    (["-0"], pl.String, INT64, {"text": True}, "holds '-0'"),
    ([" 7"], pl.String, INT64, {"text": True}, "holds ' 7'"),
    (["7\n"], pl.String, INT64, {"text": True}, r"holds '7\\n'"),
    (["7.0"], pl.String, INT64, {"text": True}, r"holds '7\.0'"),
    ([""], pl.String, INT64, {"text": True}, "holds ''"),
    (["\x1b[31m"], pl.String, INT64, {"text": True}, r"holds '\\x1b\[31m'"),
    (["9223372036854775808"], pl.String, INT64, {"text": True}, "holds '9223372036854775808'"),
    (["nan"], pl.String, FLOAT64, {"text": True}, "holds 'nan'"),
    (["1e999"], pl.String, FLOAT64, {"text": True}, "holds '1e999'"),
    ([AT + timedelta(microseconds=1)], pl.Datetime("us"), MS, {}, "row 11 .* holds datetime"),
]


@pytest.mark.parametrize(("values", "received", "wanted", "options", "said"), WRONG_VALUES)
def test_a_value_that_a_cast_would_change_is_an_error(
    values: list[Any], received: Type, wanted: pl.DataType, options: dict[str, bool], said: str
) -> None:
    with pytest.raises(LogsError, match=said) as caught:
        cast(values, received, wanted, first_row=11, **options)
    assert str(caught.value).startswith("file: a should be ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_long_type_is_shortened_in_an_error() -> None:
    with pytest.raises(LogsError) as caught:
        cast(["\x1b[31m\n" + "x" * 500], pl.Enum(["\x1b[31m\n" + "x" * 500]), INT64)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_column_of_the_right_type_is_not_copied() -> None:
    table = pl.DataFrame({"a": [1], "b": [[1]]})
    assert exact_cast(table, {"a": INT64, "b": pl.List(INT64), "absent": STRING}, where="") is table


@settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**66), 2**66)), max_size=6), st.sampled_from(INTEGERS))
def test_any_integer_is_kept_or_refused(values: list[int | None], wanted: type[pl.DataType]) -> None:
    table = pl.DataFrame({"a": pl.Series(values, dtype=pl.Int128)})
    try:
        found = exact_cast(table, {"a": wanted()}, where="")["a"].to_list()
    except LogsError:
        bits = int(str(wanted).removeprefix("U").removeprefix("Int"))
        low, high = (0, 2**bits) if str(wanted).startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        assert any(value is not None and not low <= value < high for value in values)
    else:
        assert found == values


@settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**60), 2**60).map(float), st.floats()), max_size=6))
def test_any_float_is_kept_or_refused(values: list[float | None]) -> None:
    exact = all(v is None or (abs(v) < 2**53 and v.is_integer()) for v in values)
    try:
        found = cast(values, pl.Float64, INT64, floats=True).to_list()
    except LogsError:
        assert not exact
    else:
        assert exact
        assert found == values
