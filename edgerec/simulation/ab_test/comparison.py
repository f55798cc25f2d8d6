"""Compare two buckets in all metrics."""

from __future__ import annotations

from typing import Any

import polars as pl

from edgerec.simulation.ab_test.adjustment import adjusted
from edgerec.simulation.ab_test.paired import paired_uplifts
from edgerec.simulation.ab_test.split import split_uplifts


def compare(control: pl.DataFrame, treatment: pl.DataFrame, *, design: str, primary: str) -> dict[str, Any]:
    """Return the uplift of `treatment` against `control` in each metric, as in the document.

    Args:
        control: users of the bucket of comparison, sorted by user.
        treatment: users of the other bucket, sorted by user.
        design: `paired` or `split`. The split design uses CUPED.
        primary: name of the primary metric. The p-values of the others are adjusted.
    """
    found = (paired_uplifts if design == "paired" else split_uplifts)(control, treatment)
    p_adjusted = adjusted({name: each.p for name, each in found.items()}, primary=primary)
    return {
        name: {"mean": each.mean, "ci95": each.ci95, "p": each.p, "p_adjusted": p_adjusted[name]}
        for name, each in found.items()
    }
