from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from edgerec.simulation.config import CloudConfig, SimulationConfig
from edgerec.simulation.population import simulate
from tests.shared_folders import shared_folder


@dataclass(frozen=True)
class World:
    """The configuration of a simulation and the folder of its logs."""

    config: SimulationConfig
    path: Path

    def read(self, name: str) -> pl.DataFrame:
        """Read all parts of a table, in order."""
        files = sorted((self.path / name).glob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files])

    @property
    def items(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "items.parquet")

    @property
    def test_from(self) -> int:
        return self.config.start_ms + self.config.days * 86_400_000 * 3 // 4


@pytest.fixture(scope="session", params=["quarter", pytest.param("default", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the world of `edgerec simulate` without options, which has 1.2 million exposures, or a quarter of it.

    Tests that use this fixture run with the quarter. The run of the slow tests also runs them with the whole world.
    """
    default = SimulationConfig()
    config = default if request.param == "default" else replace(default, users=default.users // 4)

    def make(root: Path) -> None:
        simulate(config, root / "logs", seed=1, processes=2 if request.param == "default" else 1)

    for root in shared_folder(tmp_path_factory, f"world-{request.param}", make):
        yield World(config, root / "logs")


@pytest.fixture
def small() -> SimulationConfig:
    return SimulationConfig(
        users=9, items=80, days=3, categories=6, brands_per_category=2, rerank_after=4, cloud=CloudConfig(page=20)
    )
