"""`check_logs` finds an error for every fault that other readers of logs refuse, and in good logs none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import EdgeRecError, FormatError, InputError
from edgerec.data.check.document import check_logs
from edgerec.data.logs import Logs, load_logs, write_logs
from tests.data import (
    test_logs,
    test_odd_types,
    test_ordinals,
    test_part_files,
    test_part_stamps,
    test_partition,
    test_parts,
    test_relation_columns,
    test_repeated_parts,
)
from tests.quicker import some_of
from tests.synthetic import make_logs, make_logs_with_context, unstamp

EVENTS, REQUESTS = "events/part-00000.parquet", "requests/part-00000.parquet"
FILES = {"items": "items.parquet", "events": EVENTS, "requests": REQUESTS}
Maker = Callable[[Path], object]
"""A function that writes logs with a fault to a folder."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Return a function that copies good logs to a folder. Each kind of logs is written only once."""
    root = tmp_path_factory.mktemp("good")
    made: dict[str, Logs] = {
        "small": test_logs.make_logs(),
        "synthetic": make_logs(),
        "context": make_logs_with_context(),
        "fixed": test_odd_types.FIXED,
        "stores": test_ordinals.numbered(make_logs(users=2), stores=2),
        "ordinals": test_ordinals.numbered(make_logs(users=4), skip=2),
        "users": test_partition.LOGS,
    }
    for name, logs in made.items():
        write_logs(logs, root / name)

    def copy(name: str, path: Path) -> Path:
        shutil.copytree(root / name, path)
        return path

    return copy


Copy = Callable[[str, Path], Path]


def change(path: Path, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    how(pl.read_parquet(path)).write_parquet(path)


def in_parts(path: Path, **tables: list[pl.DataFrame]) -> None:
    for name, parts in tables.items():
        (path / name / "part-00000.parquet").unlink()
        for number, part in enumerate(parts):
            part.write_parquet(path / name / f"part-{number:05d}.parquet")


def errors(path: Path, **settings: Any) -> list[dict[str, Any]]:
    document = check_logs(path, **settings)
    found = [each for each in document["findings"] if each["severity"] == "error"]
    assert document["errors"] == len(found)
    json.dumps(document, allow_nan=False)
    return found


def refused(path: Path) -> None:
    """Check that a reader of logs refuses the folder."""
    with pytest.raises(EdgeRecError):
        load_logs(path)


@pytest.mark.parametrize(
    "name",
    some_of(
        ("small", "synthetic", "context", "fixed", "stores", "ordinals", "users"), fast=("small", "context", "stores")
    ),
)
def test_good_logs_have_no_error(tmp_path: Path, written: Copy, name: str) -> None:
    path = written(name, tmp_path / "logs")
    before = sorted(tmp_path.rglob("*"))
    document = check_logs(path)
    logs = load_logs(path)
    assert document["errors"] == 0
    assert document["skipped"] == []
    assert document["rows"] == {table: len(getattr(logs, table)) for table in FILES}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", some_of(test_odd_types.SAME, fast=("lists of a fixed length",)))
def test_other_types_of_the_same_values_are_no_error(tmp_path: Path, written: Copy, name: str) -> None:
    file, how = test_odd_types.SAME[name]
    path = written("fixed", tmp_path / "logs")
    unstamp(path)
    change(path / file, how)
    assert errors(path) == []


QUICK_FAULTS = (
    "missing column", "missing score", "empty user", "ids beyond int64", "item twice", "request twice", "unknown item",
    "unknown candidate", "seconds", "another kind", "label 2", "labels too few", "empty candidate", "NaN",
    "click count",
)  # fmt: skip


@pytest.mark.parametrize("fault", some_of(test_logs.FAULTS, fast=QUICK_FAULTS))
def test_faults_of_tables(tmp_path: Path, written: Copy, fault: str) -> None:
    table, how, _ = test_logs.FAULTS[fault]
    path = written("small", tmp_path / "logs")
    unstamp(path)
    # The order of rows is that of the fault's lists. Written logs are sorted.
    how(getattr(test_logs.make_logs(), table)).write_parquet(path / FILES[table])
    found = errors(path)
    assert found[0]["table"] == table
    # A row is named unless the whole column or the whole table is concerned.
    whole = ("a column", "Int64", "List", "numbers", "String", "strings", "a list", "milliseconds")
    assert found[0]["row"] is not None or found[0]["expected"].startswith(whole)
    # One cause is one finding. A repeated request takes another one's place, so it is one of several.
    assert len(found) == 1 or fault in ("ids beyond int64", "item twice", "the missing id", "no candidates"), found


@pytest.mark.parametrize("fault", test_parts.FAULTS)
def test_faults_of_parts_name_the_file(tmp_path: Path, written: Copy, fault: str) -> None:
    file, how, _ = test_parts.FAULTS[fault]
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    for name in ("events", "requests"):
        rows = pl.read_parquet(path / FILES[name])
        in_parts(path, **{name: [rows[:100], rows[100:]]})
    change(path / file, how)
    [found] = errors(path)
    assert found["file"] == file


@pytest.mark.parametrize(
    "fault",
    some_of(test_odd_types.REFUSED, fast=("users as text", "a label beyond int8", "an ID beyond int64", "decimals")),
)
def test_types_and_values_that_are_refused(tmp_path: Path, written: Copy, fault: str) -> None:
    file, how, said = test_odd_types.REFUSED[fault]
    path = written("fixed", tmp_path / "logs")
    unstamp(path)
    change(path / file, how)
    [found] = errors(path)
    assert found["file"] == file
    if "row " in said:
        assert f"row {found['row']} " in said.replace("\\", "")


@pytest.mark.parametrize("number", range(len(test_partition.faults_of_parts())))
def test_faults_that_no_single_part_shows(tmp_path: Path, written: Copy, number: int) -> None:
    events, requests, _ = test_partition.faults_of_parts()[number]
    path = written("users", tmp_path / "logs")
    unstamp(path)
    in_parts(path, events=events, requests=requests)
    assert errors(path)


@pytest.mark.parametrize("number", range(len(test_ordinals.WRONG)))
def test_ordinals_that_are_refused(tmp_path: Path, written: Copy, number: int) -> None:
    how, _ = test_ordinals.WRONG[number]
    path = written("stores", tmp_path / "logs")
    unstamp(path)
    exposure = pl.col("kind") == "exposure"
    change(
        path / EVENTS,
        lambda events: events.with_columns(pl.when(exposure).then(how).otherwise("ordinal").alias("ordinal")),
    )
    [found] = errors(path)
    assert (found["table"], found["column"], found["file"]) == ("events", "ordinal", EVENTS)


@pytest.mark.parametrize("table", ["events", "requests"])
def test_stores_in_one_table_only(tmp_path: Path, written: Copy, table: str) -> None:
    path = written("stores", tmp_path / "logs")
    unstamp(path)
    change(path / FILES[table], lambda rows: rows.drop("store_id"))
    refused(path)
    [found] = errors(path)
    assert (found["table"], found["column"]) == (table, "store_id")


@pytest.mark.parametrize(
    "name",
    some_of((name for name, _ in test_part_files.OTHER_ENTRIES), fast=("b.csv", "dt=2/old/b.parquet", ".hoodie/x")),
)
def test_entries_that_are_no_parts(tmp_path: Path, written: Copy, name: str) -> None:
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    file = path / "events" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    [found] = errors(path)
    assert found["file"].startswith("events")


def _links(path: Path) -> None:
    (path / "events" / "dt=1").mkdir()
    (path / "events" / "dt=1" / "b.parquet").symlink_to(path / EVENTS)
    (path / "events" / "c.parquet").symlink_to("nowhere")


def _only_in_folder_name(path: Path) -> None:
    rows = pl.read_parquet(path / EVENTS)
    (path / EVENTS).unlink()
    for kind in ("exposure", "page_view"):
        (path / "events" / f"kind={kind}").mkdir()
        rows.filter(pl.col("kind") == kind).drop("kind").write_parquet(path / "events" / f"kind={kind}" / "0.parquet")


def _truncate(path: Path) -> None:
    for file in FILES.values():
        (path / file).write_bytes((path / file).read_bytes()[:-50])


def _repeat_requests(path: Path) -> None:
    shutil.copy(path / REQUESTS, path / "requests" / "b.parquet")


def _repeat_events(path: Path) -> None:
    shutil.copy(path / EVENTS, path / "events" / "b.parquet")


def _two_types(path: Path) -> None:
    items = pl.read_parquet(path / "items.parquet")
    (path / "items.parquet").unlink()
    (path / "items.parquet").mkdir()
    items[:5].with_columns(category=pl.lit(1)).write_parquet(path / "items.parquet" / "a.parquet")
    items[5:].with_columns(category=pl.lit("a")).write_parquet(path / "items.parquet" / "b.parquet")


def _without_rows(path: Path) -> None:
    change(path / EVENTS, lambda rows: rows.clear().cast({"user_id": pl.Float64}))


def _no_request(path: Path) -> None:
    change(path / REQUESTS, lambda rows: rows.clear())


def _json(file: str, **changes: object) -> Maker:
    def make(path: Path) -> None:
        content = json.loads((path / file).read_text()) | changes
        (path / file).write_text(json.dumps(content))

    return make


def _feature(**feature: object) -> Maker:
    def make(path: Path) -> None:
        spec = json.loads((path / "features.json").read_text())
        (path / "features.json").write_text(json.dumps(spec | {"item": [*spec["item"], feature]}))

    return make


SERVED = {"name": "x", "origin": "served", "kind": "raw"}
FOLDERS: dict[str, tuple[Maker, int, str]] = {
    "links": (_links, 2, "events"),
    "only in the folder's name": (_only_in_folder_name, 1, "events"),
    "truncated files": (_truncate, 3, "items"),
    "requests twice": (_repeat_requests, 1, "requests"),
    "events twice": (_repeat_events, 1, "events"),
    "two types": (_two_types, 1, "items"),
    "a type without rows": (_without_rows, 1, "events"),
    "no items": (lambda path: (path / "items.parquet").unlink(), 1, "items"),
    "no events": (lambda path: (path / EVENTS).unlink(), 1, "events"),
    "no head": (lambda path: (path / "logs.json").unlink(), 1, "logs.json"),
    "a head of another format": (_json("logs.json", format=2), 1, "logs.json"),
    "a misspelt key": (_json("logs.json", repeated_item=True), 1, "logs.json"),
    "no specification": (lambda path: (path / "features.json").unlink(), 1, "features.json"),
    "no JSON": (lambda path: (path / "features.json").write_text("{"), 1, "features.json"),
    "two faults of features": (_json("features.json", name=3, item=[]), 2, "features.json"),
    "the label as a feature": (_feature(**SERVED, source="clicked"), 1, "features.json"),
    "a column that is not there": (_feature(**SERVED, source="price"), 2, "events"),
    "a column to compute": (
        _feature(**SERVED, source="opens", as_of={"count": "page_view", "by": ["item_id"]}), 2, "events"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FOLDERS)
def test_faults_of_folders(tmp_path: Path, written: Copy, fault: str) -> None:
    make, count, table = FOLDERS[fault]
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    make(path)
    refused(path)
    found = errors(path)
    assert (len(found), found[0]["table"]) == (count, table), found


def test_logs_without_requests(tmp_path: Path, written: Copy) -> None:
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    _no_request(path)
    [found] = errors(path)
    assert found["found"] == "no request"
    (path / "journal.sqlite").touch()
    [found] = errors(path)
    assert "new rows may still be in journal.sqlite" in found["found"]
    assert "stop `edgerec serve`" in found["advice"]


@pytest.mark.parametrize("parts", some_of(test_repeated_parts.REPEATS, fast=("a copy", "put together")))
def test_parts_that_are_copies(tmp_path: Path, parts: str) -> None:
    path = test_repeated_parts.write_events(tmp_path, **test_repeated_parts.REPEATS[parts][0])
    found = errors(path)
    assert {each["expected"] for each in found} == {"each part once"}


def test_changed_missing_and_additional_files(tmp_path: Path, written: Copy) -> None:
    path = written("synthetic", tmp_path / "logs")
    (path / EVENTS).rename(path / "events" / "x.parquet")
    content = bytearray((path / "items.parquet").read_bytes())
    content[20] ^= 1
    (path / "items.parquet").write_bytes(content)
    refused(path)
    stamps = [each for each in errors(path) if each["table"] == "logs.json"]
    # They have one cause: the folder is not what `logs.json` says.
    assert [each["files"] for each in stamps] == [3]
    assert test_part_stamps.parts_of(path).keys() == {"items.parquet", EVENTS, REQUESTS}


@pytest.mark.parametrize("number", some_of(range(len(test_relation_columns.WRONG)), fast=(0, 5, 6)))
def test_columns_of_relations(tmp_path: Path, written: Copy, number: int) -> None:
    rules, values, _ = test_relation_columns.WRONG[number]
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    spec = test_relation_columns.spec_of(*rules)
    (path / "features.json").write_text(spec.model_dump_json(exclude_none=True))
    if values is not None:
        column = pl.Series("x", values).extend_constant(values[0], 39)
        change(path / "items.parquet", lambda items: items.with_columns(column))
    [found] = errors(path)
    assert (found["table"], found["column"]) == ("items", "x")


def test_values_that_no_feature_can_be_fitted_to(tmp_path: Path, written: Copy) -> None:
    """`edgerec samples` refuses them with a SpecificationError when it fits."""
    path = written("synthetic", tmp_path / "logs")
    unstamp(path)
    change(path / EVENTS, lambda rows: rows.with_columns(duration_s=pl.col("duration_s") - 1e6))
    change(path / REQUESTS, lambda rows: rows.with_columns(score=pl.col("score").list.eval(pl.element() * 1e200)))
    found = errors(path)
    assert [(each["table"], each["column"]) for each in found] == [("events", "duration_s"), ("requests", "score")]


def test_all_faults_are_found_at_once_with_file_and_row(tmp_path: Path, written: Copy) -> None:
    path = written("users", tmp_path / "logs")
    unstamp(path)
    events, requests = pl.read_parquet(path / EVENTS), pl.read_parquet(path / REQUESTS)
    at = pl.int_range(pl.len())
    second = events[300:].with_columns(
        kind=pl.when(at == 4).then(pl.lit("click")).otherwise("kind"),
        item_id=pl.when(at.is_in([9, 11])).then(pl.lit(7)).otherwise("item_id"),
        score=pl.when(at == 20).then(float("nan")).otherwise("score"),
    )
    twice = requests.with_columns(request_id=pl.when(at == 30).then(requests["request_id"][3]).otherwise("request_id"))
    lists = pl.col("clicked").cast(pl.List(pl.Int64))
    wrong = twice.with_columns(
        clicked=pl.when(at == 50).then(lists.list.eval(pl.element() * 0 + 2)).otherwise(lists),
        time=pl.when(at == 60).then(-5).otherwise("time"),
    )
    in_parts(path, events=[events[:300], second], requests=[wrong])
    (path / "events" / "notes.txt").touch()
    found = errors(path)
    places = {(each["table"], each["column"]): (each["file"], each["row"], each["rows"]) for each in found}
    other = "events/part-00001.parquet"
    assert places == {
        ("events", None): ("events/notes.txt", None, None),
        ("events", "kind"): (other, 5, 1),
        ("events", "item_id"): (other, 10, 2),
        ("events", "score"): (other, 21, 1),
        ("requests", "request_id"): (REQUESTS, 31, 1),
        ("requests", "clicked"): (REQUESTS, 51, 1),
        ("requests", "time"): (REQUESTS, 61, 1),
    }


def test_rows_of_later_slices_keep_their_numbers(
    tmp_path: Path, written: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("users", tmp_path / "logs")
    unstamp(path)
    at = pl.int_range(pl.len())
    change(path / EVENTS, lambda rows: rows.with_columns(item_id=pl.when(at % 400 == 399).then(7).otherwise("item_id")))
    change(path / REQUESTS, lambda rows: rows.with_columns(trigger=pl.when(at != 130).then("trigger")))
    for table in FILES:
        monkeypatch.setitem(check_slices(), table, 61)
    found = {each["table"]: (each["row"], each["rows"]) for each in errors(path)}
    rows = len(pl.read_parquet(path / EVENTS))
    assert found == {"events": (400, rows // 400), "requests": (131, 1)}


def check_slices() -> dict[str, int]:
    from edgerec.data.check.scan import SLICE

    return SLICE


def test_ordinals_name_file_and_row(tmp_path: Path, written: Copy) -> None:
    path = written("ordinals", tmp_path / "logs")
    unstamp(path)
    rows = pl.read_parquet(path / EVENTS)
    index = rows.with_row_index().filter(pl.col("kind") == "exposure")["index"][5]
    wrong = rows.with_columns(ordinal=pl.when(pl.int_range(pl.len()) == index).then(0).otherwise("ordinal"))
    in_parts(path, events=[wrong[:3], wrong[3:]])
    [found] = errors(path)
    assert (found["file"], found["row"]) == ("events/part-00001.parquet", index - 3 + 1)


def test_faults_of_ordinals_in_several_partitions_are_one_finding(
    tmp_path: Path, written: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgerec.data.check import users

    path = written("ordinals", tmp_path / "logs")
    unstamp(path)
    change(path / EVENTS, lambda rows: rows.with_columns(ordinal=pl.lit(0)))
    real, placed = users.partitions, []

    def each_twice(*arguments: Any, **more: Any) -> list[Any]:
        return 2 * list(real(*arguments, **more))

    def place(*arguments: Any) -> Any:
        placed.append(arguments)
        return users_placed(*arguments)

    users_placed = users._placed
    monkeypatch.setattr(users, "partitions", each_twice)
    monkeypatch.setattr(users, "_placed", place)
    found = errors(path)
    assert [(each["file"], each["row"] is None, each["files"]) for each in found] == 2 * [(EVENTS, False, 1)]
    assert len(placed) == 2


def test_a_null_in_a_list_is_found_beside_other_faults_of_the_column(tmp_path: Path, written: Copy) -> None:
    path = written("small", tmp_path / "logs")
    unstamp(path)
    lists = pl.read_parquet(path / REQUESTS)["item_id"].to_list()
    lists[0][0], lists[1][0] = 2**63, None
    change(path / REQUESTS, lambda rows: rows.with_columns(item_id=pl.Series(lists, dtype=pl.List(pl.UInt64))))
    assert {(each["found"], each["row"]) for each in errors(path)} == {(str(2**63), 1), ("null in a list", 2)}


def test_the_number_of_findings_is_checked_first(tmp_path: Path) -> None:
    for most in ("x", -1, 0, True):
        with pytest.raises(InputError, match="`most` should be a whole number of at least 1"):
            check_logs(tmp_path / "nowhere", most=most)  # type: ignore[arg-type]


def test_another_specification(tmp_path: Path, written: Copy) -> None:
    path = written("synthetic", tmp_path / "logs")
    (path / "features.json").rename(tmp_path / "other.json")
    assert len(errors(path)) == 1
    assert errors(path, features=tmp_path / "other.json") == []


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no logs\.json"):
        check_logs(tmp_path)
    with pytest.raises(FormatError, match="is not a folder"):
        check_logs(tmp_path / "nowhere")


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.glob(".*edgerec*"))
