from __future__ import annotations

import math

import numpy as np
import pytest

from edgerec.core.statistics import bootstrap_weighted_mean, paired_ratio_test, percentiles


def test_percentiles_equal_values_computed_by_hand() -> None:
    # Percentiles are interpolated linearly: p99 of 0, 1, ..., 10 is 9.9.
    assert percentiles(np.arange(11.0)[::-1]) == pytest.approx({"p50": 5.0, "p90": 9.0, "p99": 9.9})
    assert percentiles(np.array([7.0])) == {"p50": 7.0, "p90": 7.0, "p99": 7.0}


def test_the_confidence_interval_of_equal_values_has_no_width() -> None:
    assert bootstrap_weighted_mean(np.full(9, 0.25), np.arange(1.0, 10.0), seed=1) == pytest.approx((0.25, 0.25))


def test_the_bootstrap_interval_is_close_to_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_weighted_mean(values, np.ones(2000), seed=1, resamples=2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_each_value_is_resampled_together_with_its_weight() -> None:
    # The weighted mean is 0.99. If values and weights were resampled independently, it would be 0.5.
    values, weights = np.tile([0.0, 1.0], 50), np.tile([1.0, 99.0], 50)
    low, high = bootstrap_weighted_mean(values, weights, seed=1)
    assert 0.98 < low < 0.99 < high < 1.0


def test_the_same_seed_gives_the_same_interval() -> None:
    values, weights = np.arange(20.0), np.ones(20)
    first = bootstrap_weighted_mean(values, weights, seed=3)
    assert bootstrap_weighted_mean(values, weights, seed=3) == first
    assert bootstrap_weighted_mean(values, weights, seed=4) != first


def test_the_paired_significance_test_equals_values_computed_by_hand() -> None:
    # Four users have one impression each. The mean is 0.25. The squared deviations from it are 0.0625 each.
    # The standard error is sqrt(their sum * 4 / 3) / 4.
    difference, p = paired_ratio_test(np.array([0.0, 0.0, 0.5, 0.5]), np.ones(4))
    assert difference == 0.25
    error = math.sqrt(4 * 0.0625 * 4 / 3) / 4
    assert p == pytest.approx(math.erfc(0.25 / error / math.sqrt(2)))
    assert paired_ratio_test(np.zeros(5), np.ones(5)) == (0.0, 1.0)
    assert paired_ratio_test(np.full(5, 0.1), np.ones(5))[1] < 1e-9


def test_without_a_difference_p_values_are_uniform() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 9, (2000, 60)).astype(float)
    p_values = [paired_ratio_test(rng.normal(size=60) * one, one)[1] for one in weights]
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.08
    assert 0.45 < np.mean(np.array(p_values) < 0.5) < 0.55
