"""Analyse the tables of an A/B test: all statistics of its document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from edgerec.simulation.ab_test.aa import SPLITS, aa_test
from edgerec.simulation.ab_test.activity import uplift_by_activity
from edgerec.simulation.ab_test.comparison import compare
from edgerec.simulation.ab_test.document import Analysis
from edgerec.simulation.ab_test.metrics import METRICS, PRIMARY, check_metric
from edgerec.simulation.ab_test.personal import personal_part
from edgerec.simulation.ab_test.positions import click_rates
from edgerec.simulation.ab_test.power import power_analysis
from edgerec.simulation.ab_test.sample_ratio import sample_ratio
from edgerec.simulation.ab_test.tables import analysed_exposures, analysed_users, check_buckets
from edgerec.simulation.ab_test.winsorising import check_quantile, winsorised


def analyse(
    users: pl.DataFrame,
    exposures: pl.DataFrame,
    *,
    buckets: Sequence[str],
    design: str,
    primary: str = PRIMARY,
    winsorise: float = 0.99,
    seed: int = 1,
    splits: int = SPLITS,
    personal: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Return the statistics of an A/B test: the keys of `Analysis` in the document of `edgerec abtest`.

    GMV is winsorised first, with one cap for all buckets. Then every bucket is compared with the control, and every
    further bucket with the treatment, too. A bucket with patches is also compared with the same one without
    them. The p-values of the secondary metrics are adjusted within each comparison; they are not adjusted for the
    number of comparisons.

    Args:
        users: one row for each user and bucket (`analysed_users` has the columns).
        exposures: one row for each exposure of the test period.
        buckets: names of the buckets: the control, the treatment, then others.
        design: `paired` (every user is in every bucket) or `split` (each user is in one, with a pre-period).
        primary: the primary metric, one of `METRICS`.
        winsorise: quantile of the cap of GMV, above 0 and at most 1. With 1, nothing is changed.
        seed: seed of the random splits of the A/A test.
        splits: number of splits of the A/A test. 1,000 take about half a minute.
        personal: for each bucket with personal patches, the bucket that differs only in having none, or None.

    Raises:
        ConfigurationError: an unknown metric or design, a wrong quantile, or wrong names of buckets.
        InputError: the tables are not valid, or do not belong together.
    """
    check_metric(primary, "primary")
    check_quantile(winsorise)
    check_buckets(buckets)
    users = analysed_users(users, buckets, design=design)
    control, treatment, *others = buckets
    exposures = analysed_exposures(exposures, users, buckets)
    capped, cap = winsorised(users, winsorise)
    groups = {bucket: capped.filter(pl.col("bucket") == bucket) for bucket in buckets}
    pairs = [(bucket, control) for bucket in buckets[1:]] + [(bucket, treatment) for bucket in others]
    personal = personal or {}
    pairs += [
        (bucket, shared) for bucket, shared in personal.items() if shared is not None and (bucket, shared) not in pairs
    ]
    comparisons: list[dict[str, Any]] = [
        {
            "bucket": bucket,
            "against": against,
            "uplift": compare(groups[against], groups[bucket], design=design, primary=primary),
        }
        for bucket, against in pairs
    ]
    main: dict[str, Any] = comparisons[0]["uplift"]
    split = design == "split"
    return Analysis.model_validate(
        {
            "primary": primary,
            "winsorised": {"quantile": winsorise, "cap": cap},
            "buckets": {bucket: _bucket(group) for bucket, group in groups.items()},
            "uplift": {metric.name: {**main[metric.name], "paper": metric.paper} for metric in METRICS},
            "comparisons": comparisons,
            "positions": click_rates(exposures, buckets),
            "activity": uplift_by_activity(groups[control], groups[treatment], design=design, primary=primary),
            "power": power_analysis(groups[control], cuped=split),
            "sample_ratio": sample_ratio(users, buckets) if split else None,
            "aa": aa_test(users.filter(pl.col("bucket") == control), splits=splits, seed=seed, winsorise=winsorise)
            if split
            else None,
            "personal": personal_part(users, exposures, shared=personal, design=design, seed=seed)
            if personal
            else None,
        }
    ).to_document()


def _bucket(users: pl.DataFrame) -> dict[str, Any]:
    columns = {"click": "clicks", **{name: name for name in ("sessions", "pv", "gmv", "orders", "pages", "deletes")}}
    exposures = float(users.get_column("pv").sum())
    return {
        "users": users.height,
        "ctr": float(users.get_column("clicks").sum()) / exposures if exposures else None,
        **{name: users.get_column(column).mean() for name, column in columns.items()},
    }
