"""A/B tests from simulated users to the folder of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from edgerec.core.errors import ConfigurationError
from edgerec.core.written import layout_of
from edgerec.data.logs import load_logs
from edgerec.simulation.ab_test.run import run_ab_test
from edgerec.simulation.closed_loop import blocks, simulate_buckets
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.simulate_buckets import read_table
from tests.small_world import CONFIG, SEED

WORLD = LoopWorld(CONFIG, SEED)
PAGE: dict[str, Any] = {"page": 12, "prefetch": 3}


def buckets(bundle: Path, **more: Any) -> list[Bucket]:
    return [Bucket(CONTROL, **PAGE), Bucket("ranked", bundle, fetch=24, **PAGE, **more)]


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory, small_world_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the document of a paired test."""
    out = tmp_path_factory.mktemp("paired") / "test"
    return out, run_ab_test(WORLD, buckets(small_world_path / "bundle"), out, users=20, processes=1)


def test_every_user_of_a_paired_test_is_in_every_bucket(paired: tuple[Path, dict[str, Any]]) -> None:
    out, found = paired
    users, exposures = read_table(out, "users"), read_table(out, "exposures")
    planned = users.pivot("bucket", index="user_id", values="planned_sessions")
    counted = exposures.group_by("bucket", "user_id").agg(pl.len().cast(pl.Int32).alias("n"), pl.col("clicked").sum())
    joined = users.join(counted, on=["bucket", "user_id"], how="left")

    assert users.group_by("bucket").len().sort("bucket").rows() == [("cloud", 20), ("ranked", 20)]
    assert users["user_id"].min() == CONFIG.users + 1
    assert planned["cloud"].to_list() == planned["ranked"].to_list()
    assert joined.filter(pl.col("pv") != pl.col("n").fill_null(0)).is_empty()
    assert joined.filter(pl.col("clicks") != pl.col("clicked").fill_null(0)).is_empty()
    assert set(found["uplift"]) == {"pv", "ctr", "click", "gmv"}
    assert found["design"] == "paired"
    assert "personal" not in found
    assert not any(name.startswith("patch_") for name in users.columns)


def test_the_folder_has_tables_a_document_and_pages(paired: tuple[Path, dict[str, Any]]) -> None:
    out, found = paired
    document = json.loads((out / "ab_test.json").read_text())
    layout = layout_of(out)

    assert document["buckets"]["ranked"]["version_id"]
    assert document["uplift"] == found["uplift"]
    assert layout is not None
    assert layout.foreign(out) is None
    assert (out / "ab_test.html").read_text().startswith("<!DOCTYPE html>")
    assert "ranked" in (out / "ab_test.md").read_text()


@pytest.mark.slow
def test_a_split_test_assigns_each_user_to_one_bucket(tmp_path: Path, small_world_path: Path) -> None:
    out = tmp_path / "test"
    found = run_ab_test(
        WORLD, buckets(small_world_path / "bundle"), out, users=40, design="split", splits=20, processes=1
    )
    users = read_table(out, "users")

    assert len(users) == 40 == users["user_id"].n_unique()
    assert 8 < users.filter(bucket="cloud").height < 32
    assert users.filter(pl.col("pre_pv") > 0).height > 5
    assert found["sample_ratio"]["p"] > 1e-6
    assert found["pre_days"] == 2


@pytest.mark.slow
def test_an_interrupted_test_is_resumed_with_the_same_result(
    paired: tuple[Path, dict[str, Any]], tmp_path: Path, small_world_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = buckets(small_world_path / "bundle"), tmp_path / "test"
    plain, played = simulate_buckets.play_block, []

    def interrupted(*arguments: Any) -> Any:
        played.append(arguments[-1].name)
        if len(played) == 4:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(blocks, "BLOCK", 5)
    monkeypatch.setattr(simulate_buckets, "play_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_ab_test(WORLD, plan, out, users=20, processes=1)
    assert not out.exists()
    resumed = run_ab_test(WORLD, plan, out, users=20, processes=1, resume=True)

    # There are four blocks of each bucket, and only the fourth block was played twice.
    assert len(played) == 9
    assert len(set(played)) == 8
    assert resumed["uplift"] == paired[1]["uplift"]
    for table in ("users", "exposures"):
        first, second = (read_table(folder, table).sort(pl.all()) for folder in (out, paired[0]))
        assert_frame_equal(first, second)


@pytest.mark.slow
def test_servers_and_this_process_keep_the_same_logs(
    paired: tuple[Path, dict[str, Any]], tmp_path: Path, small_world_path: Path
) -> None:
    plan = buckets(small_world_path / "bundle")
    served = run_ab_test(WORLD, plan, tmp_path / "served", users=20, processes=1, servers=True)
    kept = run_ab_test(WORLD, plan, tmp_path / "kept", users=20, processes=1, logs=True)
    first, second = (load_logs(tmp_path / name / "logs" / "ranked") for name in ("served", "kept"))
    users = read_table(tmp_path / "served", "users").filter(bucket="ranked")
    # IDs of pages and stores are random.
    chance = ("page_id", "store_id", "duration_ms")

    assert served["uplift"] == kept["uplift"] == paired[1]["uplift"]
    for table, order in (("events", ["user_id", "time"]), ("requests", ["request_id"])):
        one, other = (getattr(logs, table).drop(chance, strict=False).sort(order) for logs in (first, second))
        assert_frame_equal(one, other, check_column_order=False)
    assert first.events.filter(kind="exposure").height == users["pv"].sum()
    assert first.events.filter(opened_from="feed").height == users["clicks"].sum()
    assert first.events.filter(opened_from="search").height == users["searches"].sum()
    assert set(first.requests["model_version"]) == {served["buckets"]["ranked"]["version_id"]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"users": 19}, "at least 20"),
        ({"users": 39, "design": "split"}, "at least 40"),
        ({"users": 40, "design": "split", "pre_days": 4}, "from 0 to 3 days"),
        ({"users": 40, "pre_days": 1}, "paired design has no pre-period"),
        ({"users": 40, "servers": True, "resume": True}, "nothing can be resumed"),
    ],
)
def test_wrong_settings_are_one_clear_error(
    tmp_path: Path, small_world_path: Path, arguments: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        run_ab_test(WORLD, buckets(small_world_path / "bundle"), tmp_path / "test", **arguments)
    assert not (tmp_path / "test").exists()
