"""Read the parameters of a simulated world from the logs that it wrote."""

from __future__ import annotations

from pathlib import Path

from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.config import SimulationConfig, parse_simulation_config
from edgerec.simulation.parameters import check_number
from edgerec.simulation.population import TRUTH

DEFAULT_SEED = 1


def read_world(logs: Path | None) -> LoopWorld:
    """Return the world of logs that `edgerec simulate` wrote; for None, the default world with seed 1.

    Raises:
        FormatError: the folder has no `truth/simulation.json`, or it cannot be read.
        ConfigurationError: a parameter in it is not valid.
    """
    if logs is None:
        return LoopWorld(SimulationConfig(), DEFAULT_SEED)
    path = logs / TRUTH / "simulation.json"
    document = read_object(path)
    if document is None or "config" not in document or "seed" not in document:
        raise FormatError(f"world: {path} is missing or damaged: give a folder that `edgerec simulate` wrote")
    check_number("seed", document["seed"], integer=True, low=0, high=2**63 - 1)
    return LoopWorld(parse_simulation_config(document["config"]), document["seed"])
