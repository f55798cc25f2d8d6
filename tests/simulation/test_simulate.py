from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from edgerec.core.errors import OutputError
from edgerec.core.hashing import sha256_file
from edgerec.data.logs import Logs, read_logs
from edgerec.features.spec import table1
from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.recorder import Recorder
from edgerec.simulation.session import UserLife
from edgerec.simulation.simulate import simulate, stream, write_simulation
from edgerec.simulation.world import make_world

Simulated = tuple[Logs, pl.DataFrame]


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_same_seed_same_bytes_and_another_seed_others(small: SimulationConfig, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_simulation(*simulate(small, seed=seed), tmp_path / name)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert set(first) == set(other)
    assert all(first[name] != other[name] for name in first if name.endswith(".parquet"))


def test_what_is_written_reads_back_with_the_truth_beside_it(small: SimulationConfig, tmp_path: Path) -> None:
    logs, truth = simulate(small, seed=3)
    write_simulation(logs, truth, tmp_path / "logs")
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "logs.json", "features.json", "items.parquet", "events", "requests", "truth",
    }  # fmt: skip
    back = read_logs(tmp_path / "logs")
    assert back.head == logs.head
    assert back.spec == table1()
    for name in ("items", "events", "requests"):
        assert_frame_equal(getattr(back, name), getattr(logs, name))
    assert_frame_equal(pl.read_parquet(tmp_path / "logs" / "truth" / "requests.parquet"), truth)


def test_nothing_is_overwritten_without_force(small: SimulationConfig, tmp_path: Path) -> None:
    target = tmp_path / "logs"
    target.mkdir()
    (target / "logs.json").write_text('{"kind": "logs"}')
    with pytest.raises(OutputError, match="--force"):
        write_simulation(*simulate(small, seed=3), target)
    assert [path.name for path in tmp_path.rglob("*")] == ["logs", "logs.json"]
    write_simulation(*simulate(small, seed=3), target, force=True)
    assert (target / "logs.json").read_text() != '{"kind": "logs"}'
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_the_order_of_users_does_not_matter(small: SimulationConfig) -> None:
    logs, truth = simulate(small, seed=3)
    world, recorder = make_world(small, stream(3, 0)), Recorder()
    for user in reversed(range(small.users)):
        UserLife(world, user, small, rng=stream(3, 1, user), recorder=recorder).run()
    assert_frame_equal(recorder.events(), logs.events)
    for table, expected in zip(recorder.requests(), (logs.requests, truth), strict=True):
        assert_frame_equal(table, expected)


def test_the_hidden_state_is_in_no_table(demonstration: Simulated) -> None:
    logs, truth = demonstration
    spec = table1()
    catalogue = {feature.source for feature in spec.item if feature.origin == "catalogue"}
    actions = {feature.source for feature in (*spec.ie_action, *spec.ipv_action)}
    assert set(logs.items.columns) == {"item_id"} | catalogue
    assert set(logs.events.columns) == {"user_id", "time", "kind", "item_id", "score"} | actions
    assert set(logs.requests.columns) == {
        "request_id", "user_id", "time", "trigger", "model_version", "item_id", "clicked", "score",
    }  # fmt: skip
    assert set(truth.columns) == {"request_id", "probability", "probability_exposed"}


def test_an_item_identity_says_nothing_of_its_quality() -> None:
    items = make_world(SimulationConfig(), stream(1, 0)).catalogue
    for hidden in (items.quality, items.price, items.category.astype(np.float64)):
        assert abs(np.corrcoef(items.item_id, hidden)[0, 1]) < 0.1


def test_brands_belong_to_one_category_and_levels_are_even() -> None:
    config = SimulationConfig()
    items = make_world(config, stream(1, 0)).catalogue
    assert np.array_equal(items.brand // config.brands_per_category, items.category)
    sizes = np.bincount(items.price_level)[1:]
    assert len(sizes) == 7
    assert sizes.max() - sizes.min() <= 1


def test_the_smallest_world_works() -> None:
    logs, truth = simulate(
        SimulationConfig(users=1, items=1, candidates=1, categories=1, brands_per_category=1), seed=0
    )
    assert len(logs.requests) == len(truth) >= 1
    assert logs.requests["item_id"].to_list() == [[1]] * len(truth)


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_users_who_never_or_always_click_make_valid_logs(small: SimulationConfig, bias: float, tmp_path: Path) -> None:
    logs, truth = simulate(replace(small, behaviour=BehaviourConfig(bias=bias, intent=0)), seed=0)
    write_simulation(logs, truth, tmp_path / "logs")
    counts = read_logs(tmp_path / "logs").counts()
    assert counts["clicks"] == (0 if bias < 0 else counts["exposures"])
