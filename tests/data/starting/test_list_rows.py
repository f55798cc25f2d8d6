"""A row with a whole list becomes a row for each item, and the script does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec import write_start
from edgerec.core.errors import InputError
from tests.data.starting.tables_of_feeds import impressions
from tests.data.starting.test_start import check_format, converted

SHOWN = impressions()
LISTS = [[row for row in SHOWN if row.list == number] for number in dict.fromkeys(row.list for row in SHOWN)]
BASE: dict[str, list[Any]] = {
    "request_id": [rows[0].list for rows in LISTS],
    "user_id": [rows[0].user for rows in LISTS],
    "time": [rows[0].time for rows in LISTS],
    "device": [("phone", "tablet")[rows[0].list % 2] for rows in LISTS],
}
ITEMS = [[row.item for row in rows] for rows in LISTS]
CLICKED = [[row.item for row in rows if row.clicked] for rows in LISTS]
FLAGS = [[int(row.clicked) for row in rows] for rows in LISTS]
SCORES = [[0.9 - row.place / 10 for row in rows] for rows in LISTS]


def _texts(lists: list[list[int]], separator: str = " ", edge: str = "{}") -> list[str]:
    return [edge.format(separator.join(map(str, each))) for each in lists]


FORMS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "IDs of the clicked items": ("parquet", {"inview": ITEMS, "chosen": CLICKED}),
    "yes and no, and scores": ("parquet", {"articles": ITEMS, "clicked": FLAGS, "score": SCORES}),
    "texts with spaces": ("csv", {"shown": _texts(ITEMS), "clicks": _texts(CLICKED)}),
    "texts as JSON": ("csv", {"shown": _texts(ITEMS, ", ", "[{}]"), "clicks": _texts(CLICKED, ", ", "[{}]")}),
    "texts as IDs with labels": (
        "tsv",
        {"Impressions": [" ".join(f"N{row.item}-{int(row.clicked)}" for row in rows) for rows in LISTS]},
    ),
}


def _write(folder: Path, kind: str, columns: dict[str, list[Any]]) -> Path:
    folder.mkdir()
    table = pl.DataFrame({**BASE, **columns})
    if kind == "parquet":
        table.write_parquet(folder / "t.parquet")
    else:
        table.write_csv(folder / f"t.{kind}", separator="\t" if kind == "tsv" else ",")
    return folder / f"t.{kind}"


@pytest.mark.parametrize("form", FORMS)
def test_a_row_for_each_item_is_made(form: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "raw", *FORMS[form])
    found = write_start([path], tmp_path / "start", told={"list": ["request_id"]})
    assert (found["impressions"], found["clicks"]) == (len(SHOWN), sum(row.clicked for row in SHOWN))
    check_format(tmp_path / "start")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    requests = logs.requests.sort("request_id")
    assert requests["clicked"].to_list() == FLAGS
    if form != "texts as IDs with labels":
        assert requests["item_id"].to_list() == ITEMS
    if "score" in FORMS[form][1]:
        assert requests["score"].list.get(1).to_list() == pytest.approx([each[1] for each in SCORES])
    views = logs.events.filter(kind="page_view")
    assert len(views) == sum(row.clicked for row in SHOWN)
    assert requests["device"].to_list() == BASE["device"]


def test_a_row_without_a_user_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "raw", "parquet", {"inview": ITEMS, "chosen": CLICKED})
    write_start([path], tmp_path / "start", told={"list": ["request_id"]})
    rows = pl.read_parquet(path).with_columns(
        user_id=pl.when(pl.col("request_id") != BASE["request_id"][4]).then("user_id"),
        inview=pl.when(pl.col("request_id") != BASE["request_id"][6]).then("inview"),
    )
    rows.write_parquet(path)
    capsys.readouterr()
    assert len(converted(tmp_path / "start", tmp_path / "raw").requests) == len(LISTS) - 2
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"{path}: row 5 is left out, because it has no value in column 'user_id'",
        f"{path}: row 7 is left out, because it has no value in column 'inview'",
    ]


def test_the_one_clicked_item_may_have_its_own_column(tmp_path: Path) -> None:
    first = [each[0] if each else None for each in CLICKED]
    path = _write(tmp_path / "raw", "parquet", {"inview": ITEMS, "clicked_item": first})
    write_start([path], tmp_path / "start")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    assert logs.requests.sort("request_id")["clicked"].list.sum().to_list() == [int(bool(each)) for each in CLICKED]


def test_what_came_after_a_whole_list_is_no_feature(tmp_path: Path) -> None:
    later = [30.0 + number for number in range(len(LISTS))]
    columns = {"inview": ITEMS, "chosen": CLICKED, "read_time": later, "next_read_time": later, "scroll": later}
    found = write_start([_write(tmp_path / "raw", "parquet", columns)], tmp_path / "start")
    assert {each["column"] for each in found["left_out"]} == {"next_read_time", "scroll"}
    assert any("--dwell next_read_time" in each for each in found["check"])


def test_lists_of_tags_stay_as_they_are(tmp_path: Path) -> None:
    columns = {name: [getattr(row, name) for row in SHOWN] for name in ("user", "item", "time", "list", "clicked")}
    (tmp_path / "raw").mkdir()
    table = pl.DataFrame({**columns, "tags": [["a", "b"][: row.item % 3] for row in SHOWN]})
    table.write_parquet(tmp_path / "raw" / "t.parquet")
    found = write_start([tmp_path / "raw" / "t.parquet"], tmp_path / "start")
    assert found["left_out"] == [{"file": "t.parquet", "column": "tags", "why": "its type is List(String)"}]


FAULTS: dict[str, tuple[dict[str, list[Any]], dict[str, list[str]], str]] = {
    "no clicks": ({"inview": ITEMS}, {"item": ["inview"]}, "but no column has the clicked ones of them"),
    "two lists": (
        {"inview": ITEMS, "others": ITEMS, "clicked": FLAGS},
        {},
        "may be in 'inview' or 'others': say which",
    ),
    "two lists with labels": (
        {"shown": ["N1-0 N2-1"] * len(LISTS), "others": ["N3-0 N4-1"] * len(LISTS)},
        {},
        "may be in 'shown' or 'others': say which",
    ),
    "records": ({"items": [[{"id": 1, "clicked": 0}]] * len(LISTS)}, {}, "has lists of records"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_lists_that_cannot_be_used_are_refused(fault: str, tmp_path: Path) -> None:
    columns, told, said = FAULTS[fault]
    with pytest.raises(InputError, match=said):
        write_start([_write(tmp_path / "raw", "parquet", columns)], tmp_path / "start", told=told)
