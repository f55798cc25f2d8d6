"""The parts of the document of `edgerec loop` (docs/experiments.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgerec.data.samples import open_samples
from edgerec.model.run_head import read_run_head
from edgerec.simulation.closed_loop.bucket import CONTROL
from edgerec.simulation.closed_loop.loop_world import LoopWorld

LATEST, FIRST = "latest", "first"
"""The buckets of the newest model and of the first round's model."""
SIMULATED = "simulated logs"
"""What trains the first model: logs of `edgerec simulate`, which has the cloud's order alone."""


def model_document(run: Path, samples: Path | None, *, trained_on: str | None) -> dict[str, Any]:
    """Return what a round says of its model.

    Args:
        run: the run of the model.
        samples: the samples of its training; None if the run was given.
        trained_on: the bucket whose logs trained it, or `SIMULATED`; None if the run was given.
    """
    head = read_run_head(run)[0]
    counts = None if samples is None else open_samples(samples).head.splits["train"]
    return {
        "version_id": head.version_id,
        "trained_from": head.trained_from,
        "trained_on": {
            "bucket": trained_on,
            "requests": None if counts is None else counts.requests,
            "clicks": None if counts is None else counts.clicks,
        },
        "validation_gauc": head.validation_gauc,
    }


def round_document(number: int, model: dict[str, Any], tested: dict[str, Any], world: LoopWorld) -> dict[str, Any]:
    """Return the document of a round.

    Args:
        number: the round, from 1.
        model: the document of its model.
        tested: the document of its A/B test.
        world: the world.
    """
    first = world.first_day + number * world.config.days
    return {
        "round": number,
        **model,
        "users": tested["users"],
        "days": [first, first + world.config.days - 1],
        "uplift": _uplift(tested, LATEST, CONTROL),
        "against_first": _uplift(tested, LATEST, FIRST) if number > 1 else None,
        "first_uplift": _uplift(tested, FIRST if number > 1 else LATEST, CONTROL),
        "buckets": tested["buckets"],
        "seconds": tested["seconds"],
    }


def _uplift(tested: dict[str, Any], bucket: str, against: str) -> dict[str, Any] | None:
    for row in tested["comparisons"]:
        if (row["bucket"], row["against"]) == (bucket, against):
            return dict(row["uplift"])
    return None
