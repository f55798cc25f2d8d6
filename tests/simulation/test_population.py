from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from edgerec.core.errors import FormatError, OutputError
from edgerec.core.hashing import sha256_file
from edgerec.data.logs import load_logs
from edgerec.features.spec import table1
from edgerec.simulation import population
from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig
from edgerec.simulation.population import blocks, simulate, simulate_block
from tests.stopped import stop_at


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def three_blocks(small: SimulationConfig, monkeypatch: pytest.MonkeyPatch) -> SimulationConfig:
    """Return a world with three blocks of users. In the tests that use it, blocks have at most three users."""
    monkeypatch.setattr(population, "BLOCK", 3)
    assert len(blocks(small)) == 3
    return small


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_processes(
    three_blocks: SimulationConfig, tmp_path: Path
) -> None:
    counts = [
        simulate(three_blocks, tmp_path / name, seed=seed, processes=processes)
        for name, seed, processes in (("one", 3, 1), ("two", 3, 2), ("other", 4, 1))
    ]
    one, two, other = (digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert counts[0] == counts[1]
    assert set(one) == set(other)
    assert all(one[name] != other[name] for name in one if name.endswith(".parquet"))


def test_a_killed_simulation_resumes_to_the_same_bytes(three_blocks: SimulationConfig, tmp_path: Path) -> None:
    simulate(three_blocks, tmp_path / "unbroken", seed=3)
    killed, note = tmp_path / "killed", tmp_path / ".killed.logs" / "parts" / "part-00000.json"
    code = (
        "from pathlib import Path; from edgerec.simulation.config import *; "
        "from edgerec.simulation import population; population.BLOCK = 3; "
        f"population.simulate({three_blocks!r}, Path({str(killed)!r}), seed=3)"
    )
    child = subprocess.Popen([sys.executable, "-c", stop_at(note) + code], cwd=Path(__file__).parents[2])
    while not note.exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not killed.exists()
    assert not (tmp_path / ".killed.logs" / "parts" / "part-00002.json").exists()
    with pytest.raises(OutputError, match="--resume"):
        simulate(three_blocks, killed, seed=3)
    with pytest.raises(FormatError, match="other settings"):
        simulate(three_blocks, killed, seed=4, resume=True)
    simulate(three_blocks, killed, seed=3, resume=True)
    assert digests(killed) == digests(tmp_path / "unbroken")
    assert sorted(os.listdir(tmp_path)) == ["killed", "unbroken"]


def test_resuming_simulates_only_unfinished_blocks(
    three_blocks: SimulationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated: list[int] = []

    def stop_at(number: int) -> None:
        def write(config: object, seed: int, work: object, block: population.Block) -> None:
            if block.number == number:
                raise KeyboardInterrupt
            simulated.append(block.number)
            original(config, seed, work, block)  # type: ignore[arg-type]

        monkeypatch.setattr(population, "write_block", write)

    original = population.write_block
    stop_at(1)
    with pytest.raises(KeyboardInterrupt):
        simulate(three_blocks, tmp_path / "logs", seed=1)
    stop_at(-1)
    simulate(three_blocks, tmp_path / "logs", seed=1, resume=True)
    assert simulated == [0, 1, 2]


def test_simulate_writes_valid_logs_and_the_truth(small: SimulationConfig, tmp_path: Path) -> None:
    counts = simulate(small, tmp_path / "logs", seed=3)
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "logs.json", "features.json", "items.parquet", "events", "requests", "truth",
    }  # fmt: skip
    logs = load_logs(tmp_path / "logs")
    assert logs.spec == table1()
    assert {name: counts[name] for name in logs.counts()} == logs.counts()
    assert counts["page_views"] == len(logs.events.filter(kind="page_view"))


def test_an_existing_folder_is_replaced_only_with_force(small: SimulationConfig, tmp_path: Path) -> None:
    target = tmp_path / "logs"
    target.mkdir()
    (target / "logs.json").write_text('{"format": 1, "kind": "logs", "name": "mine"}')
    with pytest.raises(OutputError, match="--force"):
        simulate(small, target, seed=3)
    assert [path.name for path in tmp_path.rglob("*")] == ["logs", "logs.json"]
    simulate(small, target, seed=3, force=True)
    assert (target / "logs.json").read_text() != '{"format": 1, "kind": "logs", "name": "mine"}'
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_no_table_of_the_logs_contains_hidden_state(small: SimulationConfig, tmp_path: Path) -> None:
    simulate(small, tmp_path / "logs", seed=3)
    spec = table1()
    catalogue = {feature.source for feature in spec.item if feature.origin == "catalogue"}
    actions = {feature.source for feature in (*spec.ie_action, *spec.ipv_action)}
    columns = {
        path.relative_to(tmp_path / "logs").parts[0]: set(pl.read_parquet_schema(path))
        for path in (tmp_path / "logs").rglob("*.parquet")
        if "truth" not in path.parts
    }
    assert columns == {
        "items.parquet": {"item_id", "price"} | catalogue,
        "events": {"user_id", "time", "kind", "item_id", "score", "opened_from"} | actions,
        "requests": {
            "request_id", "page_id", "user_id", "time", "trigger", "model_version", "item_id", "clicked", "score",
        },
    }  # fmt: skip


def test_each_user_is_in_exactly_one_block() -> None:
    # With many categories, blocks are smaller.
    assert len(blocks(SimulationConfig(users=300, categories=10_000))) == 3
    for users in (1, 9, 4096, 4097, 100_001):
        all_blocks = blocks(SimulationConfig(users=users))
        assert [block.first for block in all_blocks] == [0, *(block.first + block.count for block in all_blocks)][:-1]
        assert sum(block.count for block in all_blocks) == users
        assert max(block.count for block in all_blocks) - min(block.count for block in all_blocks) <= 1


def test_the_smallest_world_works(tmp_path: Path) -> None:
    config = SimulationConfig(
        users=1, items=1, categories=1, brands_per_category=1, cloud=CloudConfig(page=1, recall=1)
    )
    simulate(config, tmp_path / "logs", seed=0)
    logs = load_logs(tmp_path / "logs")
    assert logs.requests["item_id"].to_list() == [[1]] * len(logs.requests)


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_users_who_never_or_always_click_make_valid_logs(small: SimulationConfig, bias: float, tmp_path: Path) -> None:
    config = replace(small, behaviour=BehaviourConfig(bias=bias, intent=0))
    counts = simulate(config, tmp_path / "logs", seed=0)
    assert load_logs(tmp_path / "logs").counts()["clicks"] == (0 if bias < 0 else counts["exposures"])


def test_more_categories_than_items_are_allowed(small: SimulationConfig) -> None:
    config = replace(small, items=30, categories=200)
    tables = simulate_block(config, 5, blocks(config)[0])
    assert len(tables.requests)
