"""Personal patches in the analysis of an A/B test, on tables whose uplifts are planted."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from edgerec.simulation.ab_test.analyse import analyse
from edgerec.simulation.closed_loop.blocks import PATCH_COLUMNS
from tests.simulation.ab_test.tables import Planted, make_tables

BUCKETS = ("cloud", "other", "shared", "personal")


def analysed(planted: float, *, design: str = "paired", seed: int = 1) -> dict[str, Any]:
    more = {"shared": Planted(ctr=0.1), "personal": Planted(ctr=0.1 + planted)}
    users, exposures = make_tables(
        300 if design == "paired" else 80, buckets=BUCKETS, design=design, planted=more, seed=seed
    )
    counts = {name: pl.lit(index + 1).cast(kind) for index, (name, kind) in enumerate(PATCH_COLUMNS.items())}
    return analyse(
        users.with_columns(**counts),
        exposures,
        buckets=BUCKETS,
        design=design,
        splits=2,
        personal={"personal": "shared"},
    )


def test_a_bucket_with_patches_is_compared_with_the_same_one_without() -> None:
    found = analysed(0.2)
    pairs = [(one["bucket"], one["against"]) for one in found["comparisons"]]
    row = found["personal"]["personal"]

    assert pairs[-1] == ("personal", "shared")
    assert len(set(pairs)) == len(pairs) == 6
    assert row["against"] == "shared"
    low, high = found["comparisons"][-1]["uplift"]["click"]["ci95"]
    assert low < 1.3 / 1.1 - 1 < high
    assert sum(group["users"] for group in row["gain"]["activity"]) == found["buckets"]["personal"]["users"]
    whole = found["comparisons"][-1]["uplift"]["click"]
    early = row["gain"]["sessions"][0]["click"]
    assert abs(early["mean"] - whole["mean"]) < 0.2
    for group in row["gain"]["activity"]:
        assert group["click"]["ci95"][0] < 1.3 / 1.1 - 1 < group["click"]["ci95"][1]


def test_without_a_bucket_to_compare_with_there_are_only_counts() -> None:
    users, exposures = make_tables(60, buckets=BUCKETS)
    zeros = {name: pl.lit(0).cast(kind) for name, kind in PATCH_COLUMNS.items()}
    found = analyse(
        users.with_columns(**zeros), exposures, buckets=BUCKETS, design="paired", splits=2, personal={"personal": None}
    )

    row = found["personal"]["personal"]
    assert (row["against"], row["gain"], row["changed_share"]) == (None, None, None)
    assert row["patched_share"] == 0
    assert [(one["bucket"], one["against"]) for one in found["comparisons"]][-1] == ("personal", "other")


def test_a_split_test_has_counts_but_no_gain_of_the_same_users() -> None:
    found = analysed(0.2, design="split")

    assert found["personal"]["personal"]["gain"] is None
    assert found["personal"]["personal"]["patched_share"] == pytest.approx(5)
    assert found["personal"]["personal"]["changed_share"] == pytest.approx(7 / 6)
