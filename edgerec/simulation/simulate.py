"""From a seed to logs with ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from edgerec.core.atomic import output_folder
from edgerec.data.logs import Logs, LogsHead, write_logs, write_table
from edgerec.features.spec import table1
from edgerec.simulation.config import SimulationConfig, check_number
from edgerec.simulation.recorder import Recorder
from edgerec.simulation.session import DAY_MS, UserLife
from edgerec.simulation.world import make_world

TRUTH = "truth"
"""Folder of the ground truth inside the folder of logs; no reader of logs looks into it."""


def simulate(config: SimulationConfig, *, seed: int) -> tuple[Logs, pl.DataFrame]:
    """Draw a world from `seed`, let its users live, and log what their apps see.

    Each user has a random stream of their own, so that results do not depend on the order of users. The same
    configuration and seed give the same tables.

    Args:
        config: sizes, cloud and behaviour.
        seed: not negative.

    Returns:
        Logs with all features of Table 1 and the last quarter of time as their test period; and the truth, one row a
        request in the same order: `request_id`, `probability` (of a click on each candidate, were it exposed at the
        request's instant) and `probability_exposed` (at the instant of its exposure; null where it was not exposed).

    Raises:
        ConfigurationError: the seed is not a whole number of at least 0.
    """
    check_number("seed", seed, whole=True, low=0, high=2**63 - 1)
    world = make_world(config, stream(seed, 0))
    recorder = Recorder()
    for user in range(config.users):
        UserLife(world, user, config, rng=stream(seed, 1, user), recorder=recorder).run()
    requests, truth = recorder.requests()
    head = LogsHead(name=f"simulated-{seed}", test_from=config.start_ms + config.days * DAY_MS * 3 // 4)
    logs = Logs(head=head, spec=table1(), items=world.catalogue.table(), events=recorder.events(), requests=requests)
    return logs, truth


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """The random stream of `seed` for one purpose: ``0`` the world, ``(1, user)`` the life of a user."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))


def write_simulation(logs: Logs, truth: pl.DataFrame, path: Path, *, force: bool = False) -> None:
    """Write `logs` as the folder `path` and `truth` as ``path/truth/requests.parquet``, whole or not at all.

    Raises:
        LogsError: a table breaks its schema.
        OutputError: `path` exists and `force` is false.
    """
    with output_folder(path, force=force, kind="logs") as folder:
        # Logs publish a folder of their own: made inside ours, so that both appear in one rename.
        inner = folder / "logs.partial"
        write_logs(logs, inner)
        for part in sorted(inner.iterdir()):
            part.rename(folder / part.name)
        inner.rmdir()
        (folder / TRUTH).mkdir()
        write_table(truth, folder / TRUTH / "requests.parquet")
