"""`read_csv` names the row and the column of what it cannot read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec import read_csv
from edgerec.core.errors import InputError

COLUMNS = {"user": pl.Int64, "price": pl.Float64, "seen": pl.Boolean, "at": pl.String, "name": pl.String}
TIMES = {"at": "%Y-%m-%d %H:%M:%S"}
NAMES = b"user,price,seen,at,name,more\n"
ROW = b'7,1.5,true,2024-03-04 17:00:00,"a\nb",x\n'


def read(folder: Path, content: bytes, name: str = "t.csv") -> pl.DataFrame:
    (folder / name).write_bytes(content)
    return read_csv(folder / name, COLUMNS, nulls=["NULL"], nulls_of={"price": ["-"]}, times=TIMES)


def test_values_have_the_types_of_the_columns(tmp_path: Path) -> None:
    rows = read(tmp_path, NAMES + ROW + b"NULL,-,false,,,x\n")
    first = {"user": 7, "price": 1.5, "seen": True, "at": 1_709_571_600_000, "name": "a\nb"}
    assert rows.to_dicts() == [first, {"user": None, "price": None, "seen": False, "at": None, "name": None}]
    compressed = tmp_path / "t.csv.gz"
    compressed.write_bytes(gzip.compress(NAMES + ROW))
    assert read_csv(str(compressed), {"user": pl.Int64}, separator=",").to_dicts() == [{"user": 7}]


FAULTS = {
    "a text among numbers": (b"guest,1,true,,,\n", "row 3, column 'user': 'guest' is no whole number"),
    "a fraction": (b"1.5,1,true,,,\n", "row 3, column 'user': '1.5' is no whole number"),
    "a price": (b"1,free,true,,,\n", "row 3, column 'price': 'free' is no number"),
    "yes": (b"1,2,yes,,,\n", "row 3, column 'seen': 'yes' is no true or false"),
    "a time": (b"1,2,true,yesterday,,\n", "row 3, column 'at': 'yesterday' is no time of the format %Y-%m-%d"),
    "several": (
        b"a,b,true,,,\nc,1,true,,,\n",
        r"'a' is no whole number \(and 1 more\); row 3, column 'price': 'b'",
    ),
    "too many values": (b"1,2,true,,,,8,9\n", "row 3 has 8 values, and the line of names has 6"),
    "another encoding": ("1,2,true,,Größe,\n".encode("latin-1"), "line 6 is not UTF-8, near '1,2,true,,Größe,'"),
    "an open quote": (b'1,2,true,,"a,\n2,3,true,,,\n', "row 3.*is a quote not closed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_with_its_row(fault: str, tmp_path: Path) -> None:
    content, said = FAULTS[fault]
    with pytest.raises(InputError, match=said) as error:
        read(tmp_path, NAMES + ROW + ROW + content)
    assert "\n" not in str(error.value)
    assert "t.csv" in str(error.value)


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no column 'price'; its columns are: user, name"):
        read(tmp_path, b"user,name\n1,a\n")
    with pytest.raises(InputError, match="does not exist"):
        read_csv(tmp_path / "nothing.csv", COLUMNS)


def test_a_column_of_truths_may_have_its_own_nulls(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("seen,n\ntrue,1\n?,2\nFalse,3\n")
    rows = read_csv(tmp_path / "t.csv", {"seen": pl.Boolean}, nulls_of={"seen": ["?"]})
    assert rows["seen"].to_list() == [True, None, False]
    (tmp_path / "t.csv").write_text("seen,n\ntrue,1\n?,2\nyes,3\n")
    with pytest.raises(InputError, match="row 3, column 'seen': 'yes' is no true or false"):
        read_csv(tmp_path / "t.csv", {"seen": pl.Boolean}, nulls_of={"seen": ["?"]})


WRONG: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "an empty file": (b"", {}, "t.csv is empty: give a file with a line of names"),
    "no date": (b"user,day\n1,tomorrow\n", {"columns": {"day": pl.Date}}, "t.csv: .*tomorrow.*date"),
    "a long separator": (b"user\n1\n", {"separator": ";;"}, "`separator` should be one character.*received ';;'"),
    "a quote between values": (b"user\n1\n", {"separator": '"'}, "`separator` should be one character"),
    "times of another column": (b"user\n1\n", {"times": {"at": "%Y"}}, "`times` has the column 'at', which"),
    "nulls of another column": (b"user\n1\n", {"nulls_of": {"at": ["-"]}}, "`nulls_of` has the column 'at', which"),
    "a type of Python": (b"user\n1\n", {"columns": {"user": int}}, "should have polars types.*<class 'int'>"),
    "no format": (
        b"user\nx\n",
        {"columns": {"user": pl.String}, "times": {"user": 7}},
        "should have formats.*received 7",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_files_and_arguments_are_input_errors(wrong: str, tmp_path: Path) -> None:
    content, arguments, said = WRONG[wrong]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_csv(tmp_path / "t.csv", **{"columns": {"user": pl.Int64}, **arguments})
    assert "\n" not in str(error.value)
