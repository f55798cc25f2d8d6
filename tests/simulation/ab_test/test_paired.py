from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from edgerec.simulation.ab_test.paired import ratio_uplift
from edgerec.simulation.ab_test.uplift import UNKNOWN, Uplift

Array = NDArray[np.float64]


def paired_users(users: int, seed: int, *, pv: float = 0.0, ctr: float = 0.0) -> tuple[Array, Array, Array, Array]:
    """Clicks and exposures of users in both buckets. A user's activity and click rate are the same in both."""
    rng = np.random.default_rng(seed)
    activity, rate = rng.lognormal(3, 0.6, users), rng.beta(3, 30, users)
    d_a, more = rng.poisson(activity), rng.poisson(activity * pv)
    d_b = d_a + more
    n_a = rng.binomial(d_a, rate)
    n_b = n_a + rng.binomial(d_a - n_a, rate * ctr / (1 - rate)) + rng.binomial(more, rate * (1 + ctr))
    return tuple(np.asarray(each, np.float64) for each in (n_a, d_a, n_b, d_b))  # type: ignore[return-value]


def known(uplift: Uplift) -> tuple[float, float, float, float]:
    assert uplift.mean is not None
    assert uplift.ci95 is not None
    assert uplift.p is not None
    return uplift.mean, *uplift.ci95, uplift.p


def test_the_interval_equals_that_of_a_bootstrap_over_users() -> None:
    n_a, d_a, n_b, d_b = paired_users(400, 1, pv=0.05, ctr=0.1)
    rng, found = np.random.default_rng(2), np.empty(4000)
    for index in range(len(found)):
        drawn = rng.integers(0, 400, 400)
        found[index] = n_b[drawn].sum() / d_b[drawn].sum() / (n_a[drawn].sum() / d_a[drawn].sum()) - 1
    mean, low, high, _ = known(ratio_uplift(n_a, d_a, n_b, d_b))
    assert mean == pytest.approx(n_b.sum() / d_b.sum() / (n_a.sum() / d_a.sum()) - 1)
    # The bootstrap with 4,000 resamples has an error of about 2 % of the width of the interval.
    assert (low, high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.05 * (high - low))


def test_a_mean_is_tested_as_by_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    ones, n_b = np.ones(60), rng.normal(5.3, 1, 60)
    # All users have the same value in the control, so the relative uplift is linear in the differences.
    mean, low, high, p = known(ratio_uplift(np.full(60, 5.0), ones, n_b, ones))
    exact = stats.ttest_rel(n_b, np.full(60, 5.0))
    assert p == pytest.approx(exact.pvalue, rel=1e-9)
    interval = exact.confidence_interval(0.95)
    # On the logarithmic scale, the interval is symmetric, and its width is that of scipy's divided by the mean.
    assert (1 + low) * (1 + high) == pytest.approx((1 + mean) ** 2)
    assert math.log((1 + high) / (1 + low)) == pytest.approx((interval.high - interval.low) / n_b.mean())
    assert mean * 5 == pytest.approx(n_b.mean() - 5)
    # If the control varies, the tests agree near an uplift of 0.
    n_a = rng.normal(100, 20, 400)
    n_b = n_a + rng.normal(0.5, 5, 400)
    exact = stats.ttest_rel(n_b, n_a)
    assert known(ratio_uplift(n_a, np.ones(400), n_b, np.ones(400)))[3] == pytest.approx(exact.pvalue, rel=0.05)


def test_95_percent_of_the_intervals_contain_the_planted_uplift() -> None:
    hits = np.zeros(2)
    for seed in range(300):
        n_a, d_a, n_b, d_b = paired_users(150, seed, pv=0.05, ctr=0.1)
        ones = np.ones(150)
        for index, (uplift, truth) in enumerate(
            [(ratio_uplift(n_a, d_a, n_b, d_b), 0.1), (ratio_uplift(n_a, ones, n_b, ones), 1.05 * 1.1 - 1)]
        ):
            _, low, high, _ = known(uplift)
            hits[index] += low <= truth <= high
    # The standard deviation of a share of 0.95 over 300 intervals is 0.013.
    assert (hits / 300 > 0.91).all()
    assert (hits / 300 < 0.99).all()


def test_p_values_without_an_uplift_are_uniform() -> None:
    rng, p_values = np.random.default_rng(5), []
    for seed in range(300):
        n_a, d_a, _, _ = paired_users(150, seed)
        n_b = rng.binomial(d_a.astype(int), n_a.sum() / d_a.sum()).astype(np.float64)
        n_a = rng.binomial(d_a.astype(int), n_a.sum() / d_a.sum()).astype(np.float64)
        p_values.append(known(ratio_uplift(n_a, d_a, n_b, d_a))[3])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_what_both_buckets_share_cancels() -> None:
    n_a, d_a, n_b, d_b = paired_users(400, 7, pv=0.05, ctr=0.1)
    paired = known(ratio_uplift(n_a, d_a, n_b, d_b))
    shuffled = np.random.default_rng(1).permutation(400)
    unpaired = known(ratio_uplift(n_a, d_a, n_b[shuffled], d_b[shuffled]))
    assert unpaired[0] == pytest.approx(paired[0])
    assert unpaired[2] - unpaired[1] > 2 * (paired[2] - paired[1])


def test_a_figure_that_the_users_cannot_give_is_none() -> None:
    some, ones, none = np.array([1.0, 2.0, 4.0]), np.ones(3), np.zeros(3)
    assert ratio_uplift(none, ones, some, ones) == UNKNOWN
    assert ratio_uplift(some, none, some, ones) == ratio_uplift(some, ones, some, none) == UNKNOWN
    assert ratio_uplift(some[:1], ones[:1], some[:1], ones[:1]) == UNKNOWN
    assert ratio_uplift(some[:0], ones[:0], some[:0], ones[:0]) == UNKNOWN
    assert ratio_uplift(some, ones, none, ones) == Uplift(mean=-1.0)
    assert ratio_uplift(some, ones, some, ones) == Uplift(mean=0.0)
    uplift = ratio_uplift(some, ones, 1.1 * some, ones)
    assert uplift.mean == pytest.approx(0.1)
    assert uplift.ci95 is uplift.p is None


def test_the_order_of_users_does_not_matter() -> None:
    frame = pl.DataFrame(dict(zip("abcd", paired_users(50, 9, ctr=0.1), strict=True)))
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    one, other = (known(ratio_uplift(*(each[name].to_numpy() for name in "abcd"))) for each in (frame, mixed))
    assert one == pytest.approx(other)
