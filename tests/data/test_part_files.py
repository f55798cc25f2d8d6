"""Each entry of a table's folder is a part, has a name that is always skipped, or is refused with an error."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from edgerec.core.errors import LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import load_logs, write_logs
from edgerec.data.part_files import part_files
from tests.data.test_samples import files_of
from tests.synthetic import make_logs, unstamp


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a folder with one part."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "a.parquet").touch()
    return tmp_path / "events"


def listed(table: Path) -> list[str]:
    return [file.relative_to(table).as_posix() for file in part_files(table)]


@pytest.mark.parametrize(
    "name",
    ["b.parquet", "b.parq", "b.pq", "B.PARQUET", "part-0-c000.snappy.parquet", "dt=2/b.parquet", "a=1/b=%2F/c.parquet",
     "b.parquet/part-0.parquet", "dt=__HIVE_DEFAULT_PARTITION__/b.parquet/part-0.parq"],
)  # fmt: skip
def test_parts_are_found(table: Path, name: str) -> None:
    (table / name).parent.mkdir(parents=True, exist_ok=True)
    (table / name).touch()
    assert sorted(listed(table)) == sorted(["a.parquet", name])


@pytest.mark.parametrize(
    "name",
    [".part-0.parquet", ".part-0.parquet.crc", "_SUCCESS", "_metadata", "_temporary/0/part-0.parquet",
     ".hidden/part-0.parquet", "part-1.parquet._COPYING_", "dt=2/_SUCCESS", "dt=2/.part-0.parquet"],
)  # fmt: skip
def test_hidden_and_incomplete_entries_are_skipped(table: Path, name: str) -> None:
    (table / name).parent.mkdir(parents=True, exist_ok=True)
    (table / name).touch()
    assert listed(table) == ["a.parquet"]


OTHER_ENTRIES = [
    ("b.csv", r"file .*/events/b\.csv is not a part of events .*rename it, move it elsewhere"),
    ("b.parquet.gz", "file .* is not a part"),
    ("b.parquet~", "file .* is not a part"),
    ("README", "file .* is not a part"),
    ("2024-03-04/b.parquet", r"folder .*/events/2024-03-04 is not a part of events"),
    ("=1/b.parquet", "folder .* is not a part"),
    ("dt=2/old/b.parquet", r"folder .*/dt=2/old is not a part of events"),
    ("_dt=2/b.parquet", "_dt=2 would be read by Spark and skipped by Arrow"),
    ("_delta_log/0.json", "is a table of Delta Lake"),
    (".hoodie/x", "is a table of Hudi"),
]


@pytest.mark.parametrize(("name", "said"), OTHER_ENTRIES)
def test_other_entries_are_an_error(table: Path, name: str, said: str) -> None:
    (table / name).parent.mkdir(parents=True, exist_ok=True)
    (table / name).touch()
    with pytest.raises(LogsError, match=said) as caught:
        part_files(table)
    assert "\n" not in str(caught.value)


def test_parts_are_sorted_by_path(table: Path) -> None:
    names = ["B.parquet", "a=1/z.parquet", "a=1.parquet", "a=1/b=2/x.parquet", "a=10/a.parquet", "c.pq"]
    for name in names:
        (table / name).parent.mkdir(parents=True, exist_ok=True)
        (table / name).touch()
    assert part_files(table) == sorted(table / name for name in [*names, "a.parquet"])


def test_links_to_the_same_rows_are_an_error(table: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.parquet").touch()
    (table / "b.parquet").symlink_to(elsewhere / "x.parquet")
    assert listed(table) == ["a.parquet", "b.parquet"]
    (table / "dt=1").symlink_to(elsewhere)
    with pytest.raises(LogsError, match=r"dt=1/x\.parquet and .*b\.parquet are links to the same rows"):
        part_files(table)
    (table / "dt=1").unlink()
    os.link(table / "a.parquet", table / "c.parquet")
    with pytest.raises(LogsError, match=r"c\.parquet and .*a\.parquet are links to the same rows"):
        part_files(table)
    (table / "c.parquet").unlink()
    (table / "dt=1").mkdir()
    (table / "dt=1" / "dt=2").symlink_to(table)
    with pytest.raises(LogsError, match=r"dt=2 and .*/events are links to the same rows"):
        part_files(table)
    (table / "dt=1" / "dt=2").unlink()
    (table / "d.parquet").symlink_to("nowhere")
    with pytest.raises(LogsError, match=r"d\.parquet is a broken link \(No such file"):
        part_files(table)
    (table / "d.parquet").unlink()
    (table / "d.parquet").symlink_to("d.parquet")
    with pytest.raises(LogsError, match=r"d\.parquet is a broken link"):
        part_files(table)
    (table / "d.parquet").unlink()
    os.mkfifo(table / "d.parquet")
    with pytest.raises(LogsError, match=r"d\.parquet should be a file or a folder"):
        part_files(table)


def test_parts_in_very_deep_folders_are_found(table: Path) -> None:
    # The path is nearly as long as the system allows.
    deep = table / "/".join(["d=1"] * 900)
    deep.mkdir(parents=True)
    (deep / "b.parquet").touch()
    assert len(part_files(table)) == 2


def test_a_copy_of_a_part_with_a_hidden_name_is_ignored(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    part = tmp_path / "logs" / "events" / "part-00000.parquet"
    part.with_name(".part-0.parquet").write_bytes(part.read_bytes())
    assert len(load_logs(tmp_path / "logs").events) == len(pl.read_parquet(part))


def test_partition_folders_and_file_names_of_spark_give_the_same_samples(tmp_path: Path) -> None:
    """Samples depend on the rows, and not on the folders and names of the parts."""
    write_logs(make_logs(), tmp_path / "flat")
    expected = write_samples(tmp_path / "flat", tmp_path / "expected", logs_path=tmp_path)
    logs = tmp_path / "logs"
    write_logs(make_logs(), logs)
    unstamp(logs)
    for name, (first, second) in {
        "events": ("dt=1/hour=02/part-0.parq", "dt=2/x.PARQUET"),
        "requests": ("all.parquet/part-00000-c000.snappy.parquet", "b.pq"),
    }.items():
        whole = pl.read_parquet(logs / name / "part-00000.parquet")
        (logs / name / "part-00000.parquet").unlink()
        for file, rows in ((first, whole[:100]), (second, whole[100:])):
            (logs / name / file).parent.mkdir(parents=True, exist_ok=True)
            rows.write_parquet(logs / name / file)
        (logs / name / "_SUCCESS").touch()
    items = pl.read_parquet(logs / "items.parquet")
    (logs / "items.parquet").unlink()
    (logs / "items.parquet").mkdir()
    items[:7].write_parquet(logs / "items.parquet" / "part-0.parquet")
    items[7:].write_parquet(logs / "items.parquet" / "part-1.parquet")
    found = write_samples(logs, tmp_path / "samples", logs_path=tmp_path)
    assert files_of(found.path) == files_of(expected.path)
    assert_frame_equal(load_logs(logs).items, items)


def test_a_column_that_only_the_folder_name_contains_is_an_error(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write_logs(make_logs(), logs)
    unstamp(logs)
    part = logs / "events" / "part-00000.parquet"
    events = pl.read_parquet(part)
    part.unlink()
    for kind in ("exposure", "page_view"):
        (logs / "events" / f"kind={kind}").mkdir()
        rows = events.filter(pl.col("kind") == kind)
        rows.write_parquet(logs / "events" / f"kind={kind}" / "part-0.parquet")
    # The files have the column, too. Then EdgeRec reads the values from the files.
    assert len(load_logs(logs).events) == len(events)
    for file in part_files(logs / "events"):
        pl.read_parquet(file).drop("kind").write_parquet(file)
    with pytest.raises(LogsError, match=r"part-0\.parquet has no column 'kind'; only the name of its folder"):
        load_logs(logs)


def test_a_name_that_is_not_utf_8_is_an_error(table: Path) -> None:
    (table / os.fsdecode(b"\xff.parquet")).touch()
    with pytest.raises(LogsError, match=r"udcff\.parquet has a name that is not UTF-8: rename it"):
        part_files(table)
