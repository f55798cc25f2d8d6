"""The optimist's curse: a policy picks what it overestimates, so it predicts more than it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from edgerec.simulation.ab_test.paired import ratio_uplift
from edgerec.simulation.mix_test.recalibration import recalibrated
from edgerec.simulation.mix_test.sums import Array

ALL = "all"


def predicted_against_true(exposures: pl.DataFrame, kinds: Sequence[str]) -> dict[str, Any]:
    """Compare the value that the device predicted with the true value, over the shown cards that have a prediction.

    A second calibration by kind is fitted to the clicks of half of the users and applied to the other half, and the
    other way round. So no user's clicks change the user's own predictions.

    Args:
        exposures: the exposures of one policy.
        kinds: the kinds.

    Returns:
        By kind, and for all kinds together: `cards`, `predicted` and `true` (value for each card), `ratio` of both
        with `ci95`, and `refitted` and `refitted_ci95`: the same ratio after the second calibration.
    """
    found = exposures.filter(pl.col("predicted").is_not_null())
    ids = found.get_column("user_id").to_numpy()
    _, users = np.unique(ids, return_inverse=True)
    probability, predicted, worth, clicked = (
        found.get_column(name).cast(pl.Float64).to_numpy() for name in ("probability", "predicted", "worth", "clicked")
    )
    kind_of = found.get_column("kind").to_numpy()
    refitted = predicted.copy()
    for kind in kinds:
        own = kind_of == kind
        refitted[own] = recalibrated(predicted[own], clicked[own], ids[own] % 2)
    rows = {}
    for kind in (ALL, *kinds):
        own = np.ones(len(found), bool) if kind == ALL else kind_of == kind
        true, first, second = (
            np.bincount(users[own], (values * worth)[own], int(users.max(initial=-1)) + 1).astype(np.float64)
            for values in (probability, predicted, refitted)
        )
        cards = int(own.sum())
        ratio, interval = _ratio(true, first)
        again, again_interval = _ratio(true, second)
        rows[kind] = {
            "cards": cards,
            "predicted": float(first.sum()) / cards if cards else None,
            "true": float(true.sum()) / cards if cards else None,
            "ratio": ratio,
            "ci95": interval,
            "refitted": again,
            "refitted_ci95": again_interval,
        }
    return rows


def _ratio(true: Array, predicted: Array) -> tuple[float | None, tuple[float, float] | None]:
    """Return predicted divided by true value over all users, with the interval of the paired design."""
    ones = np.ones(len(true))
    found = ratio_uplift(true, ones, predicted, ones)
    interval = None if found.ci95 is None else (found.ci95[0] + 1, found.ci95[1] + 1)
    return None if found.mean is None else found.mean + 1, interval
