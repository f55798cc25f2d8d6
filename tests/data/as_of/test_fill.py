"""As-of columns: in memory and streamed, they equal a slow loop over all events."""

from __future__ import annotations

import json
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.atomic import write_json
from edgerec.core.errors import InputError, LogsError, OutputError
from edgerec.data.as_of import fill, sorted_files
from edgerec.data.as_of.folder import write_as_of
from edgerec.data.logs import Logs, LogsHead, load_logs, write_logs
from edgerec.data.sources.logs_writer import logs_writer
from edgerec.features.as_of import AsOf
from edgerec.features.spec import FeatureSpec
from tests.data.as_of import brute_force
from tests.full_disk import files_up_to

COLUMNS: dict[str, dict[str, Any]] = {
    "views": {"count": "page_view", "by": ["item_id"]},
    "views_10s": {"count": "page_view", "by": ["item_id"], "within_s": 0.01},
    "listed": {"count": "listed", "by": ["category"], "within_s": 0.02},
    "seen": {"count": "exposure", "by": ["user_id", "item_id"], "time": "shown_at"},
    "taste": {"count": "page_view", "where": "bought", "by": ["user_id", "category"], "half_life_s": 0.005},
    "hot": {"count": "behaviour", "by": ["category", "level"], "half_life_s": 0.004},
    "rate": {"count": "page_view", "per": "exposure", "by": ["item_id"], "prior": 0.1, "prior_weight": 2},
    "hot_rate": {
        "count": "page_view", "per": "listed", "by": ["category"], "half_life_s": 0.01, "prior": 0.1, "prior_weight": 3,
    },
    "hot_share": {
        "count": "listed", "by": ["item_id"], "half_life_s": 0.01, "prior": 0.5, "prior_weight": 1,
        "per": {"count": "listed", "by": []},
    },
    "total_spent": {"count": "page_view", "weight": "spent", "by": ["category"], "within_s": 0.02},
    "spent_here": {"count": "behaviour", "weight": "spent", "where": "bought", "by": ["user_id", "category"]},
    "expected": {
        "count": "exposure", "where": "bought", "by": ["item_id"], "half_life_s": 0.01, "prior": 1, "prior_weight": 1,
        "per": {"count": "exposure", "weight": "spent"},
    },
    "last": {"since_last": "behaviour", "by": ["user_id"]},
    "age": {"since_first": "listed", "by": ["item_id"], "unit_s": 60},
}  # fmt: skip

CATALOGUE = pl.DataFrame(
    {"item_id": [1, 2, 3, 2**40], "category": ["a", "b", "a", None], "level": [1, 1, None, 2]},
    schema={"item_id": pl.Int64, "category": pl.String, "level": pl.Int64},
)


def spec_of(columns: dict[str, dict[str, Any]], actions: dict[str, dict[str, Any]] | None = None) -> FeatureSpec:
    """Return a specification that computes served `columns`, and the columns `actions` for exposures."""
    plain = {"kind": "raw", "source": "seconds"}
    made = [{"name": name, "source": name, "kind": "raw", "as_of": as_of} for name, as_of in (actions or {}).items()]
    return FeatureSpec.model_validate(
        {
            "name": "test",
            "ie_action": [{"name": "seconds", **plain}, *made],
            "ipv_action": [{"name": "seconds", **plain}],
            "item": [
                {"name": name, "source": name, "kind": "raw", "origin": "served", "as_of": as_of}
                for name, as_of in columns.items()
            ],
        }
    )


times = st.integers(0, 30)
users = st.sampled_from([5, -7, 2**50])
items = st.sampled_from(CATALOGUE["item_id"].to_list())
event = st.fixed_dictionaries(
    {
        "user_id": users,
        "time": times,
        "kind": st.sampled_from(["exposure", "page_view"]),
        "item_id": items,
        "shown_at": st.none() | times,
        "bought": st.sampled_from([None, 0, 1]),
        "spent": st.sampled_from([None, 0.1, 0.7, 3.0]),
    }
)
request = st.fixed_dictionaries(
    {
        "user_id": users,
        "time": times,
        "page_id": st.integers(0, 3),
        "item_id": st.lists(items, min_size=1, max_size=4, unique=True),
    }
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    events = pl.DataFrame(
        draw(st.lists(event, max_size=25)),
        schema={
            "user_id": pl.Int64, "time": pl.Int64, "kind": pl.String, "item_id": pl.Int64, "shown_at": pl.Int64,
            "bought": pl.Int8, "spent": pl.Float64,
        },
    ).with_columns(seconds=pl.int_range(pl.len()).cast(pl.Float64))  # fmt: skip
    requests = pl.DataFrame(
        draw(st.lists(request, min_size=1, max_size=12)),
        schema={"user_id": pl.Int64, "time": pl.Int64, "page_id": pl.Int64, "item_id": pl.List(pl.Int64)},
    )
    requests = requests.with_row_index("request_id").with_columns(
        pl.col("request_id").cast(pl.Int64),
        trigger=pl.lit("page"),
        model_version=pl.lit(None, pl.String),
        clicked=pl.col("item_id").list.eval(pl.lit(0, pl.Int8).repeat_by(pl.len()).explode()),
    )
    if draw(st.booleans()):
        offered = pl.when(pl.col("time") % 3 > 0).then(pl.col("time") - pl.col("time") % 3)
        events = events.with_columns(offered_at=offered)
    if draw(st.booleans()):
        requests = requests.drop("page_id")
    return events, requests


def written(tables: tuple[pl.DataFrame, pl.DataFrame], spec: FeatureSpec, path: Path) -> Logs:
    """Write the logs with `write_logs`, and load them."""
    write_logs(Logs(LogsHead(name="test"), spec, CATALOGUE, *tables), path)
    return load_logs(path)


def streamed(tables: tuple[pl.DataFrame, pl.DataFrame], spec: FeatureSpec, folder: Path, *, files: int) -> Logs:
    """Write logs without as-of columns in some files, compute the columns with `write_as_of`, and load the logs."""
    bare = folder / "bare"
    write_logs(Logs(LogsHead(name="test"), spec.model_copy(update={"item": ()}), CATALOGUE, *tables), bare)
    write_json(bare / "features.json", spec.model_dump(mode="json", exclude_none=True))
    write_json(bare / "logs.json", {**json.loads((bare / "logs.json").read_text()), "parts": None})
    for name in ("events", "requests"):
        whole = bare / name / "part-00000.parquet"
        table = pl.read_parquet(whole)
        whole.unlink()
        size = -(-len(table) // files) or 1
        for number in range(files):
            table[number * size : (number + 1) * size].write_parquet(bare / name / f"part-{number:05d}.parquet")
    write_as_of(bare, folder / "filled", target=10)
    return load_logs(folder / "filled")


@settings(max_examples=8, deadline=None)
@given(tables=logs(), files=st.integers(1, 3))
def test_columns_equal_a_loop_in_memory_and_streamed(tables: tuple[pl.DataFrame, pl.DataFrame], files: int) -> None:
    spec = spec_of(COLUMNS)
    small = {"MERGED": 4, "SAMPLE": 1}
    with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(sorted_files, **small):
        in_memory = written(tables, spec, Path(folder, "memory"))
        with mock.patch.object(fill, "BLOCK", 3):
            from_files = streamed(tables, spec, Path(folder), files=files)
    for name, column in COLUMNS.items():
        in_requests, in_events = brute_force.columns(in_memory.events, in_memory.requests, CATALOGUE, AsOf(**column))
        for table, expected in ((in_memory.requests, list(chain(*in_requests))), (in_memory.events, in_events)):
            received = table[name].explode() if table is in_memory.requests else table[name]
            np.testing.assert_allclose(floats(received.to_list()), floats(expected), rtol=1e-6, err_msg=name)
    assert from_files.events.equals(in_memory.events)
    assert from_files.requests.equals(in_memory.requests)


def floats(values: list[float | None]) -> np.ndarray:
    return np.array(values, float)


def tables(events: list[dict[str, Any]], requests: list[dict[str, Any]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return tables with default values for the columns that a test does not give."""
    behaviours = [{"kind": "exposure", "item_id": 1, "user_id": 5, "seconds": 1.0, **row} for row in events]
    asked = [
        {"request_id": number, "user_id": 5, "trigger": "page", "item_id": [1], "clicked": [0], **row}
        for number, row in enumerate(requests)
    ]
    return pl.DataFrame(behaviours), pl.DataFrame(asked).with_columns(model_version=pl.lit(None, pl.String))


def test_an_event_at_the_time_of_the_request_does_not_count(tmp_path: Path) -> None:
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"]}})
    made = tables([{"time": 10}, {"time": 11}], [{"time": 10}, {"time": 11}, {"time": 12}])
    assert written(made, spec, tmp_path / "logs").requests["seen"].to_list() == [[0], [1], [2]]


def test_a_window_includes_its_start(tmp_path: Path) -> None:
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"], "within_s": 1}})
    made = tables([{"time": 1000}], [{"time": 2000}, {"time": 2001}])
    assert written(made, spec, tmp_path / "logs").requests["seen"].to_list() == [[1], [0]]


def test_events_have_the_value_of_the_request_that_offered_the_item(tmp_path: Path) -> None:
    """The second exposure belongs to the second request. An item that no request offered has no value."""
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"]}})
    events = [{"time": 11}, {"time": 21}, {"time": 22, "item_id": 2}]
    made = tables(events, [{"time": 10}, {"time": 20}])
    assert written(made, spec, tmp_path / "logs").events["seen"].to_list() == [0, 1, None]


def test_an_action_is_as_of_its_own_time_and_does_not_count_itself(tmp_path: Path) -> None:
    actions = {
        "before": {"count": "exposure", "by": ["user_id", "item_id"]},
        "decay": {"since_last": "exposure", "by": ["user_id"]},
    }
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"]}}, actions)
    made = tables(
        [{"time": 1000}, {"time": 3000, "item_id": 2}, {"time": 3000}, {"time": 4000, "kind": "page_view"}], []
    )
    made = made[0], tables([], [{"time": 10}])[1]
    filled = written(made, spec, tmp_path / "logs").events
    assert filled["before"].to_list() == [0, 0, 1, None]
    assert filled["decay"].to_list() == [None, 2.0, 2.0, None]


def test_columns_that_the_logs_have_are_kept(tmp_path: Path) -> None:
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"]}})
    events, requests = tables([{"time": 10, "seen": 7}], [{"time": 20, "seen": [8]}])
    kept = written((events, requests), spec, tmp_path / "logs")
    assert (kept.events["seen"].to_list(), kept.requests["seen"].to_list()) == ([7], [[8]])
    with pytest.raises(LogsError, match="requests has the column 'seen', but events lacks it"):
        written((events.drop("seen"), requests), spec, tmp_path / "other")
    with pytest.raises(InputError, match="there is no column to compute"):
        write_as_of(tmp_path / "logs", tmp_path / "again")


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        ({"count": "exposure", "by": ["brand"]}, "'items' has no column 'brand'"),
        ({"count": "exposure", "by": ["item_id"], "where": "bought"}, "'events' has no column 'bought'"),
        ({"count": "exposure", "by": ["item_id"], "where": "kind"}, "events.kind should hold numbers"),
        ({"count": "exposure", "by": ["item_id"], "time": "kind"}, "events.kind"),
    ],
)
def test_columns_that_do_not_exist_are_an_error(tmp_path: Path, as_of: dict[str, Any], message: str) -> None:
    with pytest.raises(LogsError, match=message):
        written(tables([{"time": 10}], [{"time": 20}]), spec_of({"seen": as_of}), tmp_path / "logs")


@pytest.mark.parametrize(
    ("weight", "rate"),
    [(1e300, {}), (-1.0, {"per": {"count": "exposure", "weight": "spent"}, "prior": 0, "prior_weight": 1})],
)
def test_a_value_that_is_not_finite_is_an_error(tmp_path: Path, weight: float, rate: dict[str, Any]) -> None:
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"], "weight": "spent", **rate}})
    with pytest.raises(LogsError, match="the computed column 'seen' has NaN or infinity"):
        written(tables([{"time": 10, "spent": weight}], [{"time": 20}]), spec, tmp_path / "logs")


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    spec = spec_of({"row": {"count": "exposure", "by": ["item_id"]}})
    made = written(tables([{"time": 10}], [{"time": 10}, {"time": 20}]), spec, tmp_path / "logs")
    assert made.requests["row"].to_list() == [[0], [1]]


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    count = 1000
    run = sorted_files.Run(tmp_path / "run.npy", weighted=False)
    extremes = sorted_files.write_run(run, np.arange(count) % 7, np.arange(count), None)
    with files_up_to(8 * count), pytest.raises(OutputError, match=r"as-of: cannot write .*\.npy .*: free some space"):
        sorted_files.merge_runs([run], [extremes], tmp_path / "sorted", [None])


def test_an_event_that_was_offered_later_is_an_error(tmp_path: Path) -> None:
    made = tables([{"time": 10, "offered_at": 11}], [{"time": 20}])
    with pytest.raises(LogsError, match="offered_at should not be after the event's time; received 11"):
        written(made, spec_of({"seen": {"count": "exposure", "by": ["item_id"]}}), tmp_path / "logs")


def test_parts_are_filled_from_the_rows_of_all_parts(tmp_path: Path) -> None:
    spec = spec_of({"seen": {"count": "exposure", "by": ["item_id"]}})
    with logs_writer(tmp_path / "logs", head=LogsHead(name="test"), spec=spec, items=CATALOGUE) as writer:
        for user in (5, 6):
            number = {"user_id": user, "time": 20 + user, "request_id": user}
            writer.write(*tables([{"time": 10 + user, "user_id": user}], [number]))
    assert load_logs(tmp_path / "logs").requests["seen"].to_list() == [[2], [2]]
