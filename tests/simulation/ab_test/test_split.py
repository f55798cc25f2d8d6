from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import tea_tasting
import tea_tasting.aggr
from scipy import stats

from edgerec.simulation.ab_test.adjustment import adjusted
from edgerec.simulation.ab_test.aggregates import COLUMNS, array_aggregates, columns_of, read_aggregates
from edgerec.simulation.ab_test.metrics import METRICS
from edgerec.simulation.ab_test.sample_ratio import sample_ratio
from edgerec.simulation.ab_test.split import aggregates_uplift, split_uplifts
from edgerec.simulation.ab_test.tables import analysed_users
from edgerec.simulation.ab_test.uplift import UNKNOWN
from tests.simulation.ab_test.tables import Planted, make_tables

CUPED = {
    "pv": tea_tasting.Mean("pv", "pre_pv"),
    "ctr": tea_tasting.RatioOfMeans("clicks", "pv", "pre_clicks", "pre_pv"),
    "click": tea_tasting.Mean("clicks", "pre_clicks"),
    "gmv": tea_tasting.Mean("gmv", "pre_gmv"),
}
PLAIN = {
    "pv": tea_tasting.Mean("pv"),
    "ctr": tea_tasting.RatioOfMeans("clicks", "pv"),
    "click": tea_tasting.Mean("clicks"),
    "gmv": tea_tasting.Mean("gmv"),
}


@pytest.fixture(scope="module")
def users() -> pl.DataFrame:
    planted = {"crban": Planted(pv=0.05, ctr=0.2)}
    return analysed_users(make_tables(2000, design="split", planted=planted)[0], ["cloud", "crban"], design="split")


def two_groups(users: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    control, treatment = (users.filter(pl.col("bucket") == name) for name in ("cloud", "crban"))
    return control, treatment


@pytest.mark.parametrize(("cuped", "metrics"), [(True, CUPED), (False, PLAIN)])
def test_uplifts_equal_those_of_an_experiment_of_tea_tasting(
    users: pl.DataFrame, cuped: bool, metrics: dict[str, Any]
) -> None:
    results = tea_tasting.Experiment(metrics, variant="bucket").analyze(users, control="cloud")
    for name, uplift in split_uplifts(*two_groups(users), cuped=cuped).items():
        expected = results[name]
        interval = (expected.rel_effect_size_ci_lower, expected.rel_effect_size_ci_upper)
        assert uplift.mean == pytest.approx(expected.rel_effect_size, rel=1e-9)
        assert uplift.ci95 == pytest.approx(interval, rel=1e-9)
        assert uplift.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_cuped_finds_the_planted_uplift_with_shorter_intervals(users: pl.DataFrame) -> None:
    planted = Planted(pv=0.05, ctr=0.2).uplift()
    with_cuped, without = (split_uplifts(*two_groups(users), cuped=cuped) for cuped in (True, False))
    for name in ("pv", "ctr", "click"):
        widths = []
        for uplift in (with_cuped[name], without[name]):
            assert uplift.ci95 is not None
            low, high = uplift.ci95
            assert low < planted[name] < high
            widths.append(high - low)
        assert widths[0] < 0.85 * widths[1]


def test_ctr_is_a_ratio_of_sums_and_not_clicks_of_a_user() -> None:
    # More exposures with the same click rate: CLICK rises, CTR does not.
    found, _ = make_tables(1500, design="split", planted={"crban": Planted(pv=0.5)}, seed=4)
    groups = two_groups(analysed_users(found, ["cloud", "crban"], design="split"))
    uplifts = split_uplifts(*groups)
    ctr, click = uplifts["ctr"].ci95, uplifts["click"].ci95
    assert ctr is not None
    assert click is not None
    assert ctr[0] < 0 < ctr[1] < 0.15
    assert 0.3 < click[0] < 0.5 < click[1]


def test_aggregates_equal_those_that_tea_tasting_reads(users: pl.DataFrame) -> None:
    pairs = [(left, right) for left in COLUMNS for right in COLUMNS if left < right]
    one, other = (
        read_aggregates(users),
        tea_tasting.aggr.read_aggregates(
            users, group_col=None, has_count=True, mean_cols=COLUMNS, var_cols=COLUMNS, cov_cols=pairs
        ),
    )
    assert one.count_ == other.count_
    for name in ("mean_", "var_", "cov_"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


def changed(users: pl.DataFrame, **columns: float | pl.Expr) -> pl.DataFrame:
    return users.with_columns(
        **{name: pl.lit(each) if isinstance(each, float) else each for name, each in columns.items()}
    )


def test_a_figure_that_the_users_cannot_give_is_none(users: pl.DataFrame) -> None:
    control, treatment = two_groups(users)
    nobody = dict.fromkeys(["pv", "ctr", "click", "gmv"], UNKNOWN)
    assert split_uplifts(changed(control, gmv=0.0), treatment)["gmv"] == UNKNOWN
    assert split_uplifts(changed(control, pv=0.0, clicks=0.0, gmv=0.0), treatment) == nobody
    assert split_uplifts(control[:1], treatment) == split_uplifts(control, treatment[:0]) == nobody
    constant = split_uplifts(changed(control, pv=10.1), changed(treatment, pv=10.1))["pv"]
    assert constant.mean == pytest.approx(0, abs=1e-12)
    assert constant.ci95 is constant.p is None
    nothing = split_uplifts(control, changed(treatment, gmv=0.0))["gmv"]
    assert nothing.mean == -1
    assert nothing.ci95 is None
    assert nothing.p is not None
    assert nothing.p < 0.05


@pytest.mark.parametrize(
    "pre",
    [
        {"pre_pv": 0.0, "pre_clicks": 0.0, "pre_gmv": 0.0},
        {"pre_pv": 3.3, "pre_clicks": 1.1, "pre_gmv": 0.1},
        {"pre_pv": 2 * pl.col("pv"), "pre_clicks": 3 * pl.col("clicks"), "pre_gmv": 0.3 * pl.col("gmv")},
    ],
    ids=["none", "constant", "proportional"],
)
def test_a_pre_period_that_says_nothing_is_left_out(users: pl.DataFrame, pre: dict[str, Any]) -> None:
    groups = two_groups(changed(users, **pre))
    assert split_uplifts(*groups) == split_uplifts(*groups, cuped=False)


def test_few_users_with_rare_purchases_give_no_error(users: pl.DataFrame) -> None:
    values, rng = columns_of(users), np.random.default_rng(1)
    for _ in range(20):
        control, treatment = (array_aggregates(values[:, rng.integers(0, users.height, 8)]) for _ in range(2))
        for metric in METRICS:
            uplift = aggregates_uplift(control, treatment, metric, cuped=True)
            assert uplift.p is None or 0 <= uplift.p <= 1
            assert uplift.ci95 is None or uplift.mean is not None


def test_holms_adjustment_equals_an_example_by_hand() -> None:
    # Three secondary metrics: 0.01 * 3, then 0.03 * 2, then 0.04 * 1, which may not be smaller than the one before.
    found = adjusted({"pv": 0.04, "ctr": 0.01, "click": 0.2, "gmv": 0.03}, primary="click")
    assert found == pytest.approx({"pv": 0.06, "ctr": 0.03, "click": 0.2, "gmv": 0.06})
    assert adjusted({"pv": 0.4, "ctr": None, "click": None, "gmv": 0.6}, primary="click") == pytest.approx(
        {"pv": 0.8, "ctr": None, "click": None, "gmv": 0.8}
    )
    assert adjusted({"pv": None, "ctr": 0.5}, primary="ctr") == {"pv": None, "ctr": 0.5}


def buckets_of(**counts: int) -> pl.DataFrame:
    return pl.DataFrame({"bucket": [name for name, count in counts.items() for _ in range(count)]})


def test_the_sample_ratio_check_finds_55_to_45_and_accepts_equal_shares() -> None:
    found = sample_ratio(buckets_of(cloud=1100, crban=900), ["cloud", "crban"])
    assert found["counts"] == {"cloud": 1100, "crban": 900}
    assert found["p"] == pytest.approx(stats.chi2.sf(2 * 100**2 / 1000, 1))
    assert found["p"] < 0.001
    assert sample_ratio(buckets_of(cloud=1010, crban=990, dlcm=1000), ["cloud", "crban", "dlcm"])["p"] > 0.5
    assert sample_ratio(buckets_of(cloud=100), ["cloud", "crban"])["p"] < 1e-9
    assert sample_ratio(buckets_of(), ["cloud", "crban"]) == {"counts": {"cloud": 0, "crban": 0}, "p": None}


def test_the_sample_ratio_check_of_two_buckets_equals_tea_tastings() -> None:
    check = tea_tasting.SampleRatio(method="norm", correction=False)
    users = buckets_of(cloud=1040, crban=960)
    expected = check.analyze(users, "cloud", "crban", variant="bucket").pvalue
    assert sample_ratio(users, ["cloud", "crban"])["p"] == pytest.approx(expected)
