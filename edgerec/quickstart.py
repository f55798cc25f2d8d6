"""`edgerec quickstart`: run all steps from simulated logs to a served and replayed bundle, at a small size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgerec.bench.plan import RERANK, STEP, Plan
from edgerec.bench.replay.replay import run_replay
from edgerec.bench.run import run_bench
from edgerec.bench.stages.stage import RUNTIME
from edgerec.bundle.guard import guarded
from edgerec.bundle.verify import verify_bundle
from edgerec.core.atomic import output_folder, write_json
from edgerec.core.console import log, stage
from edgerec.data.build_samples import write_samples
from edgerec.data.samples import TEST, Samples
from edgerec.export.bundle import export_bundle
from edgerec.model.config import TrainConfig, load_config
from edgerec.model.evaluation import evaluate
from edgerec.model.runs import Run
from edgerec.model.training import train
from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig
from edgerec.simulation.oracle import oracle
from edgerec.simulation.population import simulate

EPOCHS = 6
"""Maximum number of training epochs."""
CONFIG = TrainConfig(
    layers=3,
    batch_size=64,
    epochs=EPOCHS,
    decay_epochs=EPOCHS,
    patience=3,
    gain=1.0,
    listwise=1.0,
    unknown_rate=0.05,
    compiled=False,
)
"""The configuration of the training.

A batch has fewer requests than the 512 of the paper, because a few thousand pages would otherwise give only a few
steps. Compiling would take longer than it saves in so few steps.
"""
WORLD = SimulationConfig(
    users=1200,
    categories=8,
    brands_per_category=5,
    behaviour=BehaviourConfig(
        bias=-4.6,
        intent=5.0,
        intent_shift=0.3,
        intent_shift_action=0.04,
        intent_drift=0.01,
        category_fatigue=1.0,
        price_contrast=0.0,
        searches=1.0,
    ),
    cloud=CloudConfig(page=30, recall=80),
)
"""A simulated world that is simpler than the default: a few thousand requests are enough to learn users' interests."""
LIMITS = {"candidates": 100, "exposures": 100, "page_views": 50}
REPLAYED = 300
"""Number of requests that are replayed against a server."""
REPLAY = ("requests", "behaviours", "users", "parity_max_abs", "orders_equal", "samples_equal", "table3", "stages")
COUNTS = ("requests", "exposures", "clicks", "users")
PARTS = ("logs", "samples", "run", "bundle")


def run_quickstart(
    out: Path, *, users: int = WORLD.users, epochs: int = EPOCHS, seed: int = 1, force: bool = False
) -> dict[str, Any]:
    """Simulate logs, make samples, train, evaluate, export, verify, measure and replay. All results are in `out`.

    Args:
        out: the folder to write.
        users: number of users in the simulated world.
        epochs: maximum number of training epochs.
        seed: seed of the world and of the training.
        force: replace `out` if it exists.

    Returns:
        `version_id`, `gauc` of the model and of the base order, sizes, latencies, `paths`.

    Raises:
        OutputError: `out` exists and `force` is false.
        EdgeRecError: a step failed. Then nothing is left in `out`.
    """
    start = time.perf_counter()
    config = load_config(None, {**CONFIG.model_dump(), "seed": seed, "epochs": epochs})
    with output_folder(out, force=force, kind="quickstart") as folder:
        log(f"quickstart: all results are written to {out}")
        counts, samples, run = train_on_world(replace(WORLD, users=users), config, folder, out=out, limits=LIMITS)
        with stage("evaluate"):
            figures = evaluate(run, samples, oracle=oracle(samples, folder / "logs", split=TEST))
        with stage("export"):
            manifest = export_bundle(folder / "run", folder / "bundle", samples_path=folder / "samples").manifest
        with stage("verify"):
            verified = guarded(verify_bundle, folder / "bundle")
        with stage("bench"):
            latencies = {
                row.stage: {"p50_us": row.p50_us, "p90_us": row.p90_us, "p99_us": row.p99_us}
                for what in (STEP, RERANK)
                for row in run_bench(folder / "bundle", Plan(what, rounds=10)).results
                if row.name == RUNTIME
            }
        with stage("replay"):
            replayed = run_replay(folder / "bundle", folder / "logs", run=folder / "run", requests=REPLAYED, seed=seed)
        document = {
            "version_id": manifest.version_id,
            **{name: counts[name] for name in COUNTS},
            "gauc": figures["gauc"],
            "gauc_ci95": figures["gauc_ci95"],
            "gauc_base_order": figures["baselines"]["base_order"],
            "gauc_truth": figures["baselines"]["truth"],
            "device_bytes": verified["device_bytes"],
            "cloud_bytes": verified["cloud_bytes"],
            "parity_max_abs": manifest.parity.max_abs_error,
            "latency": latencies,
            "replay": {name: replayed[name] for name in REPLAY},
            "seconds": time.perf_counter() - start,
            "paths": {part: str(out / part) for part in PARTS},
        }
        write_json(folder / "quickstart.json", {"schema": 1, "kind": "quickstart", **document})
    return document


def train_on_world(
    world: SimulationConfig, config: TrainConfig, folder: Path, *, out: Path, limits: Mapping[str, int]
) -> tuple[dict[str, int], Samples, Run]:
    """Simulate a world, make samples of its logs, and train: write `logs`, `samples` and `run` into `folder`.

    Args:
        world: the simulated world.
        config: the configuration of the training. Its seed is that of the world, too.
        folder: an existing folder, which will become `out`.
        out: the final path. Samples and run store paths, which must not be the temporary ones.
        limits: the maximal lengths of what the model reads: `candidates`, `exposures` and `page_views`.

    Returns:
        The counts of the simulation, the samples, and the run.
    """
    with stage("simulate"):
        counts = simulate(world, folder / "logs", seed=config.seed)
    with stage("samples"):
        samples = write_samples(folder / "logs", folder / "samples", limits=limits, logs_path=out.resolve() / "logs")
    with stage("train"):
        run = train(samples, config, folder / "run", samples_path=out.resolve() / "samples")
    return counts, samples, run
