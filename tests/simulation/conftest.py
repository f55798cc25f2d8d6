from __future__ import annotations

import polars as pl
import pytest

from edgerec.data.logs import Logs
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.simulate import simulate


@pytest.fixture(scope="session")
def demonstration() -> tuple[Logs, pl.DataFrame]:
    """Logs and truth at the default size: made once, a second or two."""
    return simulate(SimulationConfig(), seed=7)


@pytest.fixture
def small() -> SimulationConfig:
    return SimulationConfig(
        users=5, items=80, days=3, categories=6, brands_per_category=2, candidates=20, rerank_every=(3, 6)
    )
