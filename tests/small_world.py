"""A very small simulated world for tests of the closed loop, and a bundle that was trained on its logs."""

from __future__ import annotations

from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig

CONFIG = SimulationConfig(
    users=60,
    items=120,
    days=4,
    categories=5,
    brands_per_category=3,
    sessions_per_user=1.3,
    pages=2,
    rerank_after=4,
    behaviour=BehaviourConfig(searches=1.0, leave=0.08),
    cloud=CloudConfig(page=12, recall=30),
)
SEED = 5
