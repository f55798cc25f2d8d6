"""The rank tests: equal to scipy's, exact on small samples, and their intervals agree with their p-values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bench.compare.rank_tests import holm, least_p, mann_whitney, signed_rank


@pytest.mark.slow  # scipy takes seconds to import
@pytest.mark.parametrize(("few", "many"), [(1, 1), (4, 4), (5, 9), (15, 15), (30, 60)])
def test_p_values_are_those_of_scipy(few: int, many: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(few)
    a, b = rng.normal(size=few), rng.normal(0.5, 1.0, size=many)
    assert mann_whitney(a, b).p == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)
    assert mann_whitney(b, a).p == pytest.approx(mann_whitney(a, b).p)
    assert signed_rank(b).p == pytest.approx(stats.wilcoxon(b, method="exact").pvalue)


@pytest.mark.slow
def test_the_p_value_of_large_samples_is_close_to_the_exact_one() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=60), rng.normal(0.3, 1.0, size=60)
    assert mann_whitney(a, b).p == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue, rel=0.02)
    differences = rng.normal(0.1, 1.0, size=310)
    assert signed_rank(differences).p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=0.1)


def test_known_values() -> None:
    pairs = signed_rank(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    assert (pairs.estimate, pairs.low, pairs.high, pairs.p) == (3.5, 1.0, 6.0, 2 / 64)
    apart = mann_whitney(np.array([1.0, 2.0, 3.0, 4.0]), np.array([11.0, 12.0, 13.0, 14.0]))
    assert (apart.estimate, apart.low, apart.high, apart.p) == (10.0, 7.0, 13.0, 2 / 70)
    assert signed_rank(np.array([1.0, 2.0])).high == math.inf
    assert mann_whitney(np.ones(6), np.ones(6)).p == 1.0


def test_the_smallest_possible_p_value() -> None:
    assert least_p(15) == signed_rank(np.arange(1.0, 16.0)).p == 2 / 2**15
    assert least_p(4, 5) == mann_whitney(np.arange(4.0), np.arange(10.0, 15.0)).p == 2 / math.comb(9, 4)
    assert least_p(1) == least_p(1, 1) == 1.0


@given(st.lists(st.integers(-8, 8), min_size=8, max_size=14))
@settings(max_examples=60)
def test_an_interval_without_zero_has_a_small_p_value(differences: list[int]) -> None:
    found = signed_rank(np.array(differences, float))
    assert found.low <= found.estimate <= found.high
    # With equal values the p-value is conservative, so the interval may leave out 0 first.
    if found.p <= 0.05:
        assert not found.low < 0 < found.high


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_tests() -> None:
    assert holm(np.array([0.04, 0.01, 0.03, 0.9])).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]
