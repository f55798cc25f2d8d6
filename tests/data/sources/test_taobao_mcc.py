from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from edgerec.cli import cli
from edgerec.core.errors import LogsError, OutputError
from edgerec.data.build_samples import write_samples
from edgerec.data.log_checks import check_items
from edgerec.data.logs import Logs, LogsHead, load_logs
from edgerec.data.sources._taobao_mcc_files import COLUMNS, FIELDS, TEST, TRAIN, read_contexts
from edgerec.data.sources.importing import import_source
from edgerec.data.sources.logs_writer import logs_writer
from edgerec.data.sources.taobao_mcc import FIRST_TIME_MS, MAX_LIST, STEP_MS, TaobaoMcc
from edgerec.features.spec import FeatureSpec

Row = dict[str, Any]
Place = tuple[int, int, int, int, int, int]
"""pos, pagenum, sex, price_level, age_level, bc_type"""

WINDOW = 5


def row(user: int, candidate: Place, exposures: list[Place], views: list[Place], label: int, score: float) -> Row:
    """Return an invented row in the format of the files. Sequences are padded with zeros to `WINDOW`."""
    head = [user, 1, 2, 3, 4, 23]
    sequences = []
    for kind in (exposures, views):
        padded = [*kind, *[(0,) * len(FIELDS)] * (WINDOW - len(kind))]
        sequences += [",".join(map(str, values)) for values in zip(*padded, strict=True)]
    return dict(zip(COLUMNS, [*head, *candidate, *sequences, label, score], strict=True))


A, B, C = (1, 0, 2, 5, 3, 1), (2, 0, 0, 0, 0, 1), (7, 1, 2, 5, 3, 1)
NIL = (0, 0, 0, 0, 0, 0)

EXAMPLE = {
    TRAIN: [
        row(501, (3, 1, 1, 1, 1, 1), [A, B, C], [A], 0, 0.25),
        row(502, (1, 0, 1, 2, 1, 1), [], [], 1, 0.5),
        # This is another row of the first request, at an earlier position on the page.
        row(501, (9, 0, 2, 5, 3, 1), [A, B, C], [A], 1, 0.125),
        # This is a later request of the same user.
        row(501, (1, 0, 1, 1, 1, 1), [A, B, C, NIL, A], [A, C], 0, 0.75),
        row(502, (0, 0, 1, 1, 1, 1), [], [], 0, 0.0625),
    ],
    TEST: [row(501, (1, 0, 1, 1, 1, 1), [A, B, C], [A], 1, 1.0)],
}


def write_source(folder: Path, files: dict[str, list[Row]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def imported(folder: Path, files: dict[str, list[Row]], **options: Any) -> tuple[Logs, dict[str, Any]]:
    counts = import_source(TaobaoMcc, write_source(folder / "source", files), folder / "logs", force=True, **options)
    return load_logs(folder / "logs"), counts


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logs, dict[str, Any]]:
    return imported(tmp_path_factory.mktemp("mcc"), EXAMPLE)


@pytest.fixture(scope="module")
def logs(example: tuple[Logs, dict[str, Any]]) -> Logs:
    return example[0]


def at(request: int) -> int:
    return FIRST_TIME_MS + STEP_MS * request


def test_counts(example: tuple[Logs, dict[str, Any]]) -> None:
    logs, counts = example
    assert counts == {
        "requests": 4,
        "exposures": 6,
        "clicks": 3,
        "users": 4,
        "source_users": 2,
        "parts": 1,
        # The page rises from B to C in three sequences, and falls from C to NIL in one sequence.
        "pages_rising": 3 / 4,
    }
    assert {name: counts[name] for name in logs.counts()} == logs.counts()


def test_rows_of_a_user_with_the_same_sequences_are_one_request(logs: Logs) -> None:
    columns = ("request_id", "user_id", "time", "source_user_id", "item_id", "pos", "pagenum", "clicked", "score")
    assert logs.requests.select(columns).rows() == [
        # Candidates are in the order of the page, requests in the order of their first rows.
        (0, 0, at(0), "501", [2050301, 1010101], [9, 3], [0, 1], [1, 0], [0.125, 0.25]),
        (1, 1, at(1), "502", [1010101, 1020101], [0, 1], [0, 0], [0, 1], [0.0625, 0.5]),
        (2, 2, at(2), "501", [1010101], [1], [0], [0], [0.75]),
        (3, 3, at(3), "501", [1010101], [1], [0], [1], [1.0]),
    ]
    user = logs.requests.select("user_os", "user_gender", "user_age_level", "user_purchase_level", "user_hour")
    assert user.unique().rows() == [(1, 2, 3, 4, 23)]


def test_a_request_is_in_one_file_and_the_second_file_is_the_test_period(logs: Logs) -> None:
    assert logs.head.test_from == at(3)


def test_sequences_become_behaviours_just_before_the_request(logs: Logs) -> None:
    columns = ("time", "item_id", "pos", "pagenum", "exposure_count")
    mine = logs.events.filter((pl.col("user_id") == 0) & (pl.col("kind") == "exposure"))
    assert mine.select(columns).rows() == [
        (at(0) - 3, 2050301, 1, 0, 1),
        (at(0) - 2, 1, 2, 0, 1),
        (at(0) - 1, 2050301, 7, 1, 2),
    ]
    mine = logs.events.filter((pl.col("user_id") == 0) & (pl.col("kind") == "page_view"))
    assert mine.select("time", "item_id", "view_count", "exposure_count").rows() == [(at(0) - 1, 2050301, 1, None)]
    assert logs.events["score"].null_count() == len(logs.events)


def test_zeros_at_the_end_of_all_sequences_are_padding(logs: Logs) -> None:
    # Behaviour B is 0 in three of the six sequences, and behaviour NIL is 0 in all six. NIL is not padding, because
    # another behaviour follows it.
    mine = logs.events.filter((pl.col("user_id") == 2) & (pl.col("kind") == "exposure"))
    assert mine["item_id"].to_list() == [2050301, 1, 2050301, 0, 2050301]
    assert logs.events.filter(pl.col("user_id") == 1).is_empty()


def test_sequences_may_start_with_the_latest_behaviour(tmp_path: Path) -> None:
    logs, _ = imported(tmp_path, EXAMPLE, latest="first")
    mine = logs.events.filter((pl.col("user_id") == 0) & (pl.col("kind") == "exposure"))
    assert mine.select("pos", "exposure_count").rows() == [(7, 1), (2, 1), (1, 2)]
    assert mine["time"].to_list() == [at(0) - 3, at(0) - 2, at(0) - 1]


def test_items_are_combinations_of_attributes(logs: Logs) -> None:
    assert logs.items.select("item_id", "item", "sex", "price_level", "age_level", "bc_type").rows() == [
        (0, 0, 0, 0, 0, 0),
        (1, 1, 0, 0, 0, 1),
        (1010101, 1010101, 1, 1, 1, 1),
        (1020101, 1020101, 1, 2, 1, 1),
        (2050301, 2050301, 2, 5, 3, 1),
    ]


def test_a_long_list_is_divided_and_each_piece_has_all_behaviours(tmp_path: Path) -> None:
    long = [row(1, (pos, 0, 1, 1, 1, 1), [A, B], [], pos % 2, 0.5) for pos in range(2 * MAX_LIST + 1)]
    logs, counts = imported(tmp_path, {TRAIN: [*long, *EXAMPLE[TRAIN]], TEST: EXAMPLE[TEST]})
    assert logs.requests["item_id"].list.len().to_list()[:4] == [MAX_LIST, MAX_LIST, 1, 2]
    assert logs.requests["pos"].explode()[: len(long)].to_list() == list(range(len(long)))
    assert logs.events.filter(pl.col("user_id") < 3)["user_id"].to_list() == [0, 0, 1, 1, 2, 2]
    assert (counts["requests"], counts["source_users"]) == (7, 3)
    assert logs.head.test_from == at(6)


def test_samples_can_be_made(tmp_path: Path) -> None:
    imported(tmp_path, random_files(np.random.default_rng(1), 60))
    samples = write_samples(tmp_path / "logs", tmp_path / "samples")
    assert samples.counts()["splits"]["test"]["requests"] > 0


# Tests of streaming: the result does not depend on block sizes, on parts, and on the order of rows in the file.


def random_files(rng: np.random.Generator, rows: int) -> dict[str, list[Row]]:
    def place(most: int) -> Place:
        pos, page, sex, price, age, bc = rng.integers(0, most, 6).tolist()
        return pos, page, sex, price, age, bc

    def file(number: int) -> list[Row]:
        contexts = [
            (int(rng.integers(1, 4)), [place(2) for _ in range(rng.integers(0, 4))], [place(2)] * rng.integers(0, 3))
            for _ in range(max(number // 3, 1))
        ]
        chosen = [contexts[int(rng.integers(0, len(contexts)))] for _ in range(number)]
        return [
            row(user, place(4), exposures, views, int(rng.integers(0, 2)), round(float(rng.random()), 3))
            for user, exposures, views in chosen
        ]

    return {TRAIN: file(rows), TEST: file(rows // 2 + 1)}


def by_the_book(files: dict[str, list[Row]]) -> tuple[list[Any], list[Any]]:
    """Return requests and events as the documentation describes them, with a plain loop over rows."""
    found: dict[Any, list[Row]] = {}
    for name, rows in files.items():
        for each in rows:
            key = (name, each["user_id"], *(each[column] for column in COLUMNS if column.endswith("_seq")))
            found.setdefault(key, []).append(each)
    requests, events = [], []
    for number, rows in enumerate(found.values()):
        rows = sorted(rows, key=lambda each: (each["cand_item_pagenum"], each["cand_item_pos"]))
        item = "{0[cand_item_sex]:02}{0[cand_item_price_level]:02}{0[cand_item_age_level]:02}{0[cand_item_bc_type]:02}"
        requests.append(
            (number, at(number), [int(item.format(each)) for each in rows], [each["label"] for each in rows])
        )
        for kind, prefix in (("exposure", "exp"), ("page_view", "ipv")):
            values = [map(int, rows[0][f"{prefix}_item_{field}_seq"].split(",")) for field in FIELDS]
            places = list(zip(*values, strict=True))
            while places and not any(places[-1]):
                places.pop()
            for place, (pos, page, *attributes) in enumerate(places):
                identity = int("".join(f"{value:02}" for value in attributes))
                events.append((number, at(number) - len(places) + place, kind, identity, pos, page))
    return requests, sorted(events)


@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 25), block=st.integers(1, 2000), part=st.integers(1, 60))
def test_the_result_does_not_depend_on_blocks_and_parts(
    seed: int, rows: int, block: int, part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = random_files(np.random.default_rng(seed), rows)
    folder = tmp_path_factory.mktemp("mcc")
    logs, counts = imported(folder, files, block_bytes=block, part=part)
    requests, events = by_the_book(files)
    assert logs.requests.select("request_id", "time", "item_id", "clicked").rows() == requests
    assert sorted(logs.events.select("user_id", "time", "kind", "item_id", "pos", "pagenum").rows()) == events
    assert counts["parts"] == len(list((folder / "logs" / "events").iterdir()))
    whole, _ = imported(folder, files)
    assert_frame_equal(logs.events, whole.events)
    assert_frame_equal(logs.requests, whole.requests)


def test_each_part_has_a_range_of_users(tmp_path: Path) -> None:
    _, counts = imported(tmp_path, random_files(np.random.default_rng(3), 60), block_bytes=500, part=20)
    assert counts["parts"] > 5
    last = -1
    for number in range(counts["parts"]):
        users = [
            pl.read_parquet(tmp_path / "logs" / table / f"part-{number:05d}.parquet")["user_id"]
            for table in ("events", "requests")
        ]
        assert min(users[1]) > last
        assert set(users[0]) <= set(users[1])
        last = max(users[1])


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        imported(tmp_path / name, EXAMPLE)
    files = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a" / "logs").rglob("*.*"))
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# Tests of faulty sources: each error is one line that names file, line and column.


def refused(folder: Path, *, block_bytes: int = 400) -> str:
    """Return the error of an import. Check that it leaves no file."""
    with pytest.raises(LogsError) as caught:
        import_source(TaobaoMcc, folder, folder.with_name(f"{folder.name}-logs"), block_bytes=block_bytes)
    assert {entry.name for entry in folder.iterdir()} <= {TRAIN, TEST}
    assert not list(folder.parent.glob(f"*{folder.name}-logs*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 2}, "column 'label': should be 0 or 1; received '2'"),
        ({"label": ""}, "column 'label': should be a value; received ''"),
        ({"label": "01"}, "column 'label': should be 0 or 1; received '01'"),
        ({"cand_item_sex": "01"}, "column 'cand_item_sex': should be an integer from 0 to 99; received '01'"),
        ({"cand_item_pos": "+1"}, "column 'cand_item_pos': should be an integer from 0 to 32767; received '+1'"),
        ({"score": "high"}, "column 'score': should be a number; received 'high'"),
        ({"score": "nan"}, "column 'score': should be a number"),
        ({"user_hour": "noon"}, "column 'user_hour': should be an integer from 0 to 32767; received 'noon'"),
        ({"cand_item_pos": 32768}, "column 'cand_item_pos': should be an integer from 0 to 32767; received '32768'"),
        ({"cand_item_pos": -1}, "column 'cand_item_pos': should be an integer from 0 to 32767; received '-1'"),
        ({"cand_item_sex": 100}, "column 'cand_item_sex': should be an integer from 0 to 99; received '100'"),
        ({"exp_item_sex_seq": "1,x,0,0,0"}, "column 'exp_item_sex_seq': should be an integer from 0 to 99"),
        ({"exp_item_sex_seq": "1,,0,0,0"}, "column 'exp_item_sex_seq': should be an integer from 0 to 99"),
        ({"ipv_item_pos_seq": "1.5,0,0,0,0"}, "column 'ipv_item_pos_seq': should be an integer from 0 to 32767"),
        ({"ipv_item_bc_type_seq": "1,2"}, "should be as long as 'ipv_item_pos_seq', 5 values; received '2 values'"),
        ({"user_id": ""}, "column 'user_id': should be a value"),
        ({"user_id": "a\nb"}, "line 5 should have 26 columns; received 1"),
    ],
)
def test_a_faulty_row_is_an_error(tmp_path: Path, change: Row, said: str) -> None:
    rows = [*EXAMPLE[TRAIN][:3], {**EXAMPLE[TRAIN][3], **change}, *EXAMPLE[TRAIN][4:]]
    text = refused(write_source(tmp_path, {**EXAMPLE, TRAIN: rows}))
    assert said in text
    assert text.startswith(f"Taobao-MCC: {tmp_path / TRAIN}: line 5")


@pytest.mark.parametrize(("line", "columns"), [("1,2,3", 3), (",".join("1" * 27), 27), ("", 0)])
def test_a_row_with_other_columns_is_an_error(tmp_path: Path, line: str, columns: int) -> None:
    file = write_source(tmp_path, EXAMPLE) / TEST
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1], line, lines[1]]) + "\n")
    assert f"{TEST}: line 3 should have 26 columns; received {columns}" in refused(tmp_path, block_bytes=1 << 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1 should name 26 columns; received 0"),
        (b"1,2\n", "line 1: column 1 should be 'user_id'; received '1'"),
        (",".join(COLUMNS[:-1]).encode() + b"\n", "line 1 should name 26 columns; received 25"),
        (",".join(COLUMNS).encode() + b"\n", "has no rows"),
        (",".join(COLUMNS).encode() + b"\n" + bytes(range(128, 256)) * 40, "line 2 should have 26 columns"),
        (",".join(COLUMNS).encode() + b"\n" + b"1" * (3 << 20), "line 2 is longer than 1048576 bytes"),
    ],
)
def test_a_faulty_file_is_an_error(tmp_path: Path, text: bytes, said: str) -> None:
    (write_source(tmp_path, EXAMPLE) / TEST).write_bytes(text)
    assert said in refused(tmp_path)


def test_a_field_that_the_csv_module_cannot_read_is_an_error(tmp_path: Path) -> None:
    long = "1" * 140_000
    for text, number in ((f"{long}\n", 1), (f"{','.join(COLUMNS)}\n{long},2\n", 2)):
        (tmp_path / TRAIN).write_text(text)
        with pytest.raises(LogsError, match=rf"line {number} cannot be read as CSV \(field larger") as caught:
            list(read_contexts(tmp_path / TRAIN))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [TRAIN, TEST])
def test_a_missing_file_is_an_error(tmp_path: Path, name: str) -> None:
    (write_source(tmp_path, EXAMPLE) / name).unlink()
    assert f"{name} does not exist" in refused(tmp_path)


def test_windows_line_ends_and_no_last_line_end(tmp_path: Path, logs: Logs) -> None:
    source = write_source(tmp_path / "source", EXAMPLE)
    text = (source / TRAIN).read_bytes().replace(b"\n", b"\r\n")
    (source / TRAIN).write_bytes(text.removesuffix(b"\r\n"))
    import_source(TaobaoMcc, source, tmp_path / "logs", block_bytes=300)
    assert_frame_equal(load_logs(tmp_path / "logs").requests, logs.requests)


def test_no_output_is_overwritten(tmp_path: Path) -> None:
    imported(tmp_path, EXAMPLE)
    with pytest.raises(OutputError, match="exists already"):
        import_source(TaobaoMcc, tmp_path / "source", tmp_path / "logs")


def test_the_command_writes_logs(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", EXAMPLE)
    arguments = ["import", "taobao-mcc", str(source), "--out", str(tmp_path / "logs"), "--latest", "first", "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    document = json.loads(result.output)
    assert {name: document[name] for name in ("schema", "requests", "exposures", "clicks", "users")} == {
        "schema": 1,
        "requests": 4,
        "exposures": 6,
        "clicks": 3,
        "users": 4,
    }
    assert document["seconds"] > 0


# Tests of `logs_writer`, which writes logs part by part.


def write_parts(logs: Logs, path: Path, parts: list[pl.DataFrame]) -> dict[str, int]:
    with logs_writer(path, head=LogsHead(name="x"), spec=TaobaoMcc.spec(), items=logs.items) as writer:
        for requests in parts:
            writer.write(logs.events.clear(), requests)
    return writer.counts()


def test_the_catalogue_is_checked_once(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = pl.concat([logs.items, logs.items])
    with (
        pytest.raises(LogsError, match=r"items\.item_id should be unique"),
        logs_writer(tmp_path / "logs", head=LogsHead(name="x"), spec=TaobaoMcc.spec(), items=twice),
    ):
        pass
    assert not list(tmp_path.iterdir())
    calls = []

    def checked(items: pl.DataFrame, spec: FeatureSpec) -> pl.DataFrame:
        calls.append(len(items))
        return check_items(items, spec)

    monkeypatch.setattr("edgerec.data.sources.logs_writer.check_items", checked)
    parts = [logs.requests.filter(pl.col("user_id") == user) for user in (0, 1)]
    write_parts(replace(logs, items=logs.items.reverse()), tmp_path / "logs", parts)
    assert calls == [len(logs.items)]
    assert_frame_equal(pl.read_parquet(tmp_path / "logs" / "items.parquet"), logs.items)


def test_parts_are_in_order_of_users(logs: Logs, tmp_path: Path) -> None:
    first, second = (logs.requests.filter(pl.col("user_id") == user) for user in (0, 1))
    with pytest.raises(LogsError, match="write users in ascending order"):
        write_parts(logs, tmp_path / "logs", [second, first])
    with pytest.raises(LogsError, match="nothing to write"):
        write_parts(logs, tmp_path / "logs", [logs.requests.clear()])
    assert not list(tmp_path.iterdir())
    counts = write_parts(logs, tmp_path / "logs", [first, second])
    assert counts == {"requests": 2, "exposures": 4, "clicks": 2, "users": 2}
    assert_frame_equal(load_logs(tmp_path / "logs").requests, pl.concat([first, second]))
