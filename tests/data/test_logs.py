from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from edgerec.core.errors import EdgeRecError, FormatError, LogsError, OutputError, SpecificationError
from edgerec.data.log_checks import check_tables
from edgerec.data.logs import Logs, LogsHead, load_logs, write_logs, write_table
from edgerec.features.spec import FeatureSpec
from tests.synthetic import unstamp

NOW = 1_700_000_000_000

SPEC = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "small",
        "ie_action": [{"name": "e1", "source": "duration_s", "kind": "bucketize", "boundaries": [1]}],
        "ipv_action": [{"name": "d7", "source": "buy", "kind": "binarize"}],
        "item": [
            {"name": "p1", "source": "category", "origin": "catalogue", "kind": "embedding", "dimension": 2,
             "vocabulary": 9},
            {"name": "p3", "source": "gender", "origin": "catalogue", "kind": "one_hot", "values": ["female", "male"]},
            {"name": "p7", "source": "score", "origin": "served", "kind": "raw"},
        ],
    }
)  # fmt: skip


def make_logs() -> Logs:
    items = pl.DataFrame({"item_id": [30, 10, 20], "category": [1, 2, None], "gender": ["male", None, "female"]})
    events = pl.DataFrame(
        {
            "user_id": [2, 1, 1, 1],
            "time": [NOW, NOW + 5, NOW + 1, NOW + 1],
            "kind": ["exposure", "page_view", "page_view", "exposure"],
            "item_id": [10, 20, 30, 10],
            "duration_s": [0.5, None, None, 2.0],
            "buy": [None, True, False, None],
            "score": [0.1, 0.2, None, 0.4],
        }
    )
    requests = pl.DataFrame(
        {
            "request_id": [5, 4],
            "user_id": [1, 2],
            "time": [NOW + 9, NOW],
            "trigger": ["page", "click"],
            "model_version": [None, "v1"],
            "item_id": [[10, 20, 30], [20]],
            "clicked": [[1, 0, None], [0]],
            "score": [[0.5, 0.25, None], [1.0]],
        }
    )
    return Logs(
        head=LogsHead(name="small", test_from=NOW + 7), spec=SPEC, items=items, events=events, requests=requests
    )


def test_counts() -> None:
    assert make_logs().counts() == {"requests": 2, "exposures": 3, "clicks": 1, "users": 2}


def test_counts_include_several_clicks_on_one_item() -> None:
    logs = make_logs()
    column = pl.Series("click_count", [[3, 0, None], [0]], dtype=pl.List(pl.Int16))
    assert replace(logs, requests=logs.requests.with_columns(column)).counts()["clicks"] == 3


def test_written_logs_are_read_with_every_value_and_in_order(tmp_path: Path) -> None:
    logs = make_logs()
    write_logs(logs, tmp_path / "logs")
    back = load_logs(tmp_path / "logs")
    assert (back.head, back.spec) == (logs.head, logs.spec)
    assert back.items["item_id"].to_list() == [10, 20, 30]
    # Events of the same time stay in the order in which they were written.
    assert back.events["item_id"].to_list() == [30, 10, 20, 10]
    assert back.requests["request_id"].to_list() == [4, 5]
    assert back.requests["clicked"].to_list() == [[0], [1, 0, None]]
    assert back.requests.schema["clicked"] == pl.List(pl.Int8)
    write_logs(back, tmp_path / "again")
    assert_frame_equal(load_logs(tmp_path / "again").events, back.events)
    for part in ("items.parquet", "events/part-00000.parquet", "requests/part-00000.parquet", "logs.json"):
        assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "logs" / part).read_bytes()


def test_a_table_may_have_several_parts(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    part = tmp_path / "logs" / "events" / "part-00000.parquet"
    unstamp(tmp_path / "logs")
    events = pl.read_parquet(part)
    events[2:].write_parquet(part)
    events[:2].write_parquet(part.with_name("part-00001.parquet"))
    assert_frame_equal(load_logs(tmp_path / "logs").events, events)


def test_logs_are_not_overwritten_and_an_error_leaves_no_output(tmp_path: Path) -> None:
    logs = make_logs()
    write_logs(logs, tmp_path / "logs")
    with pytest.raises(OutputError, match="--force"):
        write_logs(logs, tmp_path / "logs")
    write_logs(logs, tmp_path / "logs", force=True)
    with pytest.raises(LogsError):
        write_logs(replace(logs, items=logs.items[:1]), tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


Change = Callable[[pl.DataFrame], pl.DataFrame]


def put(column: str, values: list[object], dtype: pl.DataType | None = None) -> Change:
    return lambda table: table.with_columns(pl.Series(column, values, dtype=dtype, strict=False))


FAULTS: dict[str, tuple[str, Change, str]] = {
    "missing column": ("events", lambda t: t.drop("kind"), "table 'events' has no column 'kind'"),
    "renamed column": ("requests", lambda t: t.rename({"user_id": "uid"}), "table 'requests' has no column 'user_id'"),
    "missing feature": ("items", lambda t: t.drop("category"), "no column 'category', which feature p1 reads"),
    "missing score": ("requests", lambda t: t.drop("score"), "no column 'score', which feature p7 reads"),
    "empty user": ("events", put("user_id", [1, None, 1, 1]), "events.user_id has no value in 1 row"),
    "words for ids": (
        "events", put("user_id", ["a", "b", "c", "d"]),
        "events.user_id should be Int64; received String",
    ),
    "fractions for ids": ("items", put("item_id", [1.5, 2.0, 3.0]), "items.item_id should be Int64"),
    "ids beyond int64": ("items", put("item_id", [2**63, 1, 2], pl.UInt64()), "items.item_id should be Int64"),
    "the missing id": ("items", put("item_id", [-(2**63), 10, 20]), "stands for a missing ID"),
    "identity beyond int64": ("items", put("category", [2**63, 1, 2], pl.UInt64()), "above the largest ID"),
    "item twice": ("items", put("item_id", [10, 10, 20]), "items.item_id should be unique; 10 occurs more than once"),
    "request twice": ("requests", put("request_id", [4, 4]), "requests.request_id should be unique; 4"),
    "unknown item": ("events", put("item_id", [10, 20, 30, 77]), "names 1 items that items does not have.* 77"),
    "unknown candidate": ("requests", put("item_id", [[10, 20, 77], [20]]), "requests.item_id names 1 items"),
    "seconds": ("events", put("time", [NOW // 1000] * 4), "milliseconds since 1970.*received 1700000000: .*unit"),
    "microseconds": ("requests", put("time", [NOW * 1000] * 2), "milliseconds since 1970.*received 1700000000000000"),
    "before 1970": ("events", put("time", [-1, NOW, NOW, NOW]), "received -1"),
    "another kind": ("events", put("kind", ["click"] * 4), "should be 'exposure' or 'page_view'; received 'click'"),
    "label 2": (
        "requests", put("clicked", [[1, 2, 0], [0]]),
        "clicked should be 0, 1, or null if not exposed; received 2",
    ),
    "label 0.5": ("requests", put("clicked", [[1.0, 0.5, 0.0], [0.0]]), "requests.clicked should be List"),
    "label 300": ("requests", put("clicked", [[300, 0, 0], [0]]), "requests.clicked should be List"),
    "labels too few": ("requests", put("clicked", [[1, 0], [0]]), "request 5: clicked .* 3 candidates; received 2"),
    "scores too many": (
        "requests", put("score", [[0.1, 0.2, 0.3], [0.4, 0.5]]),
        "request 4: score .* 1 candidates; received 2",
    ),
    "no scores": ("requests", put("score", [[0.1, 0.2, 0.3], None]), "request 4: score .* 1 candidates; received 0"),
    "no candidates": ("requests", put("item_id", [[10, 20, 30], []], pl.List(pl.Int64)), "request 4 has no item"),
    "empty candidate": ("requests", put("item_id", [[10, None, 30], [20]]), "has a null in a list"),
    "one score": ("requests", put("score", [0.1, 0.2]), "score should be a list with one value for each candidate"),
    "NaN": (
        "requests", put("score", [[0.1, float("nan"), 0.3], [0.4]]),
        "requests.score holds NaN or infinity in 1 rows",
    ),
    "infinity": ("events", put("score", [0.1, 0.2, 0.3, float("inf")]), "events.score holds NaN or infinity"),
    "text for numbers": ("events", put("duration_s", ["a"] * 4), "events.duration_s should hold numbers"),
    "numbers for text": ("items", put("gender", [1, 2, 3]), "items.gender should hold strings"),
    "click count": ("requests", put("click_count", [[0, 0, 0], [0]]), "click_count should have one value for each"),
    "click count type": ("requests", put("click_count", [1, 2]), "click_count should be a list of whole numbers"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_an_error(fault: str) -> None:
    name, change, said = FAULTS[fault]
    logs = make_logs()
    tables = {"items": logs.items, "events": logs.events, "requests": logs.requests}
    with pytest.raises(LogsError, match=said) as caught:
        check_tables(tables | {name: change(tables[name])}, SPEC)
    assert "\n" not in str(caught.value)


def test_empty_tables_are_valid() -> None:
    logs = make_logs()
    tables = {"items": logs.items, "events": logs.events[:0], "requests": logs.requests[:0]}
    assert [len(table) for table in check_tables(tables, SPEC).values()] == [3, 0, 0]


def test_times_that_count_from_zero_are_accepted() -> None:
    logs = make_logs()
    events = logs.events.with_columns(time=pl.Series([0, 10, 20, 30 * 86_400_000]))
    check_tables({"items": logs.items, "events": events, "requests": logs.requests}, SPEC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of logs. Its `logs.json` does not list the sizes and hashes of the tables."""
    write_logs(make_logs(), tmp_path / "logs")
    unstamp(tmp_path / "logs")
    return tmp_path / "logs"


PARTS = ["items.parquet", "events/part-00000.parquet", "requests/part-00000.parquet"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_truncated_file_is_an_error(folder: Path, part: str, keep: float) -> None:
    data = (folder / part).read_bytes()
    (folder / part).write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(LogsError, match="cannot be read as Parquet") as caught:
        load_logs(folder)
    assert "\n" not in str(caught.value)


def test_a_panic_of_polars_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some damaged pages make polars panic. `PanicException` is not a subclass of `Exception`.
    def panic(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("called `Result::unwrap()`\non an `Err` value")

    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(LogsError, match="cannot be read as Parquet") as caught:
        load_logs(folder)
    assert "\n" not in str(caught.value)


def test_the_name_of_a_folder_is_not_a_glob_pattern(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "a[b]*")
    assert len(load_logs(tmp_path / "a[b]*").items) == 3


def test_a_table_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*nowhere/x\.parquet \(.*No such file") as caught:
        write_table(pl.DataFrame({"a": [1]}), tmp_path / "nowhere" / "x.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_table_is_an_error(folder: Path, part: str) -> None:
    (folder / part).unlink()
    with pytest.raises(LogsError, match="does not exist"):
        load_logs(folder)


def test_parts_with_different_columns_are_an_error(folder: Path) -> None:
    pl.DataFrame({"user_id": [1]}).write_parquet(folder / "events" / "part-00001.parquet")
    with pytest.raises(
        LogsError, match=r"part-00001.parquet and .*part-00000.parquet are parts of one table"
    ) as caught:
        load_logs(folder)
    assert "\n" not in str(caught.value)


def test_parts_may_have_another_order_of_columns_and_smaller_integers(folder: Path) -> None:
    first = folder / "events" / "part-00000.parquet"
    whole = pl.read_parquet(first)
    expected = load_logs(folder).events
    half = len(whole) // 2
    whole[:half].write_parquet(first)
    rest = whole[half:].select(reversed(whole.columns)).with_columns(pl.col("item_id").cast(pl.Int32))
    rest.write_parquet(folder / "events" / "part-00001.parquet")
    assert load_logs(folder).events.select(expected.columns).equals(expected)


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no logs.json"):
        load_logs(tmp_path)
    with pytest.raises(FormatError, match="is not a folder"):
        load_logs(tmp_path / "nowhere")


@pytest.mark.parametrize("number", [0, 2, "1", None, True, 1.5])
def test_another_format_number_is_an_error(folder: Path, number: object) -> None:
    head = json.loads((folder / "logs.json").read_text())
    (folder / "logs.json").write_text(json.dumps({**head, "format": number}))
    with pytest.raises(FormatError, match="this version of EdgeRec reads format 1"):
        load_logs(folder)


def test_a_misspelt_key_of_the_head_is_an_error_and_other_keys_are_ignored(folder: Path) -> None:
    head = json.loads((folder / "logs.json").read_text())
    (folder / "logs.json").write_text(json.dumps({**head, "licence": "CC-BY", "2027": None}))
    assert load_logs(folder).head.repeated_items is False
    (folder / "logs.json").write_text(json.dumps({**head, "repeated_item": True}))
    known = "format, kind, name, test_from, repeated_items, parts"
    said = rf"repeated_item is not a known key \(did you mean repeated_items\?\); the known keys are: {known}"
    with pytest.raises(FormatError, match=said):
        load_logs(folder)


def test_a_damaged_head_or_specification_is_an_error(folder: Path) -> None:
    (folder / "features.json").write_text("{")
    with pytest.raises(SpecificationError, match="not valid JSON"):
        load_logs(folder)
    (folder / "logs.json").write_text('{"format": 1}')
    with pytest.raises(FormatError, match="name"):
        load_logs(folder)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_gives_an_edgerec_error_or_does_no_harm(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "logs"
    write_logs(make_logs(), folder)
    file = folder / data.draw(st.sampled_from(["logs.json", "features.json"]))
    content = bytearray(file.read_bytes())
    start = data.draw(st.integers(0, len(content)))
    content[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    file.write_bytes(bytes(content))
    try:
        load_logs(folder)
    except EdgeRecError as error:
        assert "\n" not in str(error)  # noqa: PT017 - whatever is raised has to be one line
