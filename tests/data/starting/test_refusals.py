"""Bad input of `edgerec init` is one line that says what to do, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.command_line import edgerec_here, error_line
from tests.data.starting.tables_of_feeds import CASES

SHOP = CASES["a shop"].columns
Change = Callable[[Path], list[str]]


def table(change: dict[str, object] | None = None, *, drop: tuple[str, ...] = ()) -> Change:
    """Return a function that writes the shop's table with changed or without some columns."""

    def write(folder: Path) -> list[str]:
        columns = {name: values for name, values in SHOP.items() if name not in drop}
        columns |= {name: list(values) for name, values in (change or {}).items()}  # type: ignore[call-overload]
        pl.DataFrame(columns).write_csv(folder / "t.csv")
        return ["t.csv"]

    return write


def text(content: str | bytes, name: str = "t.csv") -> Change:
    """Return a function that writes a file."""

    def write(folder: Path) -> list[str]:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return [name]

    return write


def files(*names: str) -> Change:
    """Return a function that writes the shop's table under several names."""

    def write(folder: Path) -> list[str]:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            pl.DataFrame(SHOP).write_csv(folder / name)
        return list(names)

    return write


COUNT = len(SHOP["sku"])


def large(folder: Path) -> list[str]:
    """Write users whose IDs need 64 bits without a sign."""
    users = pl.Series("user", [2**64 - 1] * COUNT, dtype=pl.UInt64)
    pl.DataFrame({**SHOP, "customerId": users}).drop("device").write_parquet(folder / "t.parquet")
    return ["t.parquet"]


def events(folder: Path) -> list[str]:
    """Write the shop's table with a row for each impression and another row for each click."""
    shown = pl.DataFrame(SHOP).with_columns(at=pl.col("shown_at").str.to_datetime(time_zone="UTC"))
    clicks = shown.filter(is_clicked=1).with_columns(pl.col("at").dt.offset_by("5s"), event=pl.lit("click"))
    rows = pl.concat([shown.with_columns(event=pl.lit("view")), clicks]).sort("at")
    rows.with_columns(shown_at="at").drop("at", "is_clicked").write_csv(folder / "t.csv")
    return ["t.csv"]


FAULTS: dict[str, tuple[Change, tuple[str, ...], str]] = {
    "no file": (lambda _: ["t.csv"], (), "should be a CSV or Parquet file; received a path that is no file"),
    "a name that would end a text": (text("a,b\n1,2\n", 'a""" b.csv'), (), "without quotes, backslashes"),
    "another kind of file": (text("{}", "t.json"), (), "should be CSV (.csv"),
    "an empty file": (text(""), (), "is empty: give a file"),
    "only names": (text("user,item,time,click\n"), (), "has no rows"),
    "binary data": (text(b"\x00\x01\x02,\x03\n\x00"), (), "its first line has binary data"),
    "text that is not UTF-8": (text(b"user,item\n\xff\xfe,1\n"), (), "line 2 is not UTF-8, near"),
    "no Parquet": (text("PAR1 nothing", "t.parquet"), (), "cannot be read as Parquet"),
    "one column": (text("a b c\n1 2 3\n"), (), "received only 'a b c'"),
    "too many columns": (text(",".join(f"c{n}" for n in range(1001)) + "\n" + "1," * 1000 + "1\n"), (), "at most 1000"),
    "no click": (
        table(drop=("is_clicked",)),
        (),
        "whether it was clicked: name it with --clicked COLUMN, or give a second",
    ),
    "no user": (
        table(drop=("customerId", "device")),
        (),
        "no column is seen to have the user: name it with --user COLUMN",
    ),
    "users with IDs that are too large": (
        large,
        (),
        "'customerId' are no such values, for example 18446744073709551615",
    ),
    "no click happened": (table({"is_clicked": [0] * COUNT}), (), "no row was clicked"),
    "only clicks": (table({"is_clicked": [1] * COUNT}), (), "every row was clicked"),
    "times that are none": (
        table({"shown_at": ["soon"] * COUNT}),
        (),
        "'shown_at' are no such values, for example 'soon'): write the times as 2024-03-04 17:12:58, or name another",
    ),
    "times that are none in a named column": (
        table({"shown_at": ["soon"] * COUNT}),
        ("--time", "shown_at"),
        "for example 'soon': write the times as 2024-03-04 17:12:58",
    ),
    "a row for each event": (events, (), "the column 'event' says what each row is. If a click has a row of its own, "),
    "a row for each event, with a named column": (
        events,
        ("--clicked", "event"),
        "repeat an earlier row of their user and item that is not clicked, so a click has a row of its own: split the ",
    ),
    "one odd time": (
        table({"shown_at": ["soon", *SHOP["shown_at"][1:]]}),
        (),
        "column 'shown_at' has a value that is no time: row 1 has 'soon', and row 2 has",
    ),
    "one odd time in a named column": (
        table({"shown_at": [*SHOP["shown_at"][:-1], "soon"]}),
        ("--time", "shown_at"),
        f"column 'shown_at' has a value that is no time: row {COUNT} has 'soon', and row 1 has",
    ),
    "two users": (
        table({"viewer": SHOP["customerId"]}),
        (),
        "may be in 'customerId' or 'viewer': say which with --user",
    ),
    "two clicks": (
        table({"opened": SHOP["is_clicked"]}),
        (),
        "may be in 'is_clicked' or 'opened': say which with --clicked",
    ),
    "an unknown column": (table(), ("--user", "customer"), "no column 'customer' (did you mean customerId?)"),
    "one column for two roles": (
        table(),
        ("--user", "sku", "--item", "sku"),
        "--user and --item both name the column 'sku'",
    ),
    "a role that does not fit": (table(), ("--time", "sku"), "--time: the column 'sku' of t.csv should have times"),
    "numbers of a click": (table(), ("--clicked", "price"), "'price' has other values than yes and no"),
    "no click but an ignored one": (table(), ("--ignore", "is_clicked"), "model_score, device, dwell_ms, purchased"),
    "an unknown column to ignore": (table(), ("--ignore", "prize"), "--ignore: there is no column 'prize'"),
    "two folders": (files("a/t.csv", "b/u.csv"), (), "all files should be in one folder"),
    "two files of impressions": (files("t.csv", "u.csv"), (), "cannot see which of t.csv, u.csv has the impressions"),
    "four files": (files("t.csv", "u.csv", "v.csv", "w.csv"), (), "received 4 files"),
    "a file of clicks that is not given": (table(), ("--clicks-file", "u.csv"), "give the file as FILE, too"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_line(fault: str, tmp_path: Path) -> None:
    write, options, said = FAULTS[fault]
    names = write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    line = error_line(edgerec_here("init", *names, "--out", "start", *options, cwd=tmp_path))
    assert said in line
    assert len(line) < 500
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_changed_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    names = table()(tmp_path)
    line = error_line(edgerec_here("init", *names, "--out", "start", cwd=tmp_path))
    assert line == (
        "edgerec: output start exists already: choose another name; what you changed there is never replaced"
    )
