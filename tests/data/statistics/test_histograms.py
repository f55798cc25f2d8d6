from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgerec.data.statistics.histograms import (
    PRECISION,
    Counts,
    Numbers,
    common_edges,
    histogram,
    quantile,
    shares_by_tenth,
)

SHARES = st.sampled_from([0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0])
WHOLE = arrays.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 5000))
REAL = arrays.arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=False)
)


@given(numbers=WHOLE, share=SHARES)
def test_quantiles_of_counts_are_exact(numbers: np.ndarray, share: float) -> None:
    assert quantile(Counts.of(numbers), share) == np.quantile(numbers, share, method="inverted_cdf")
    assert Counts.of(numbers).mean == pytest.approx(numbers.mean())


@given(numbers=REAL, share=SHARES)
def test_quantiles_of_numbers_are_within_the_stated_precision(numbers: np.ndarray, share: float) -> None:
    exact = np.quantile(numbers, share, method="inverted_cdf")
    # The quantile is the middle of a bin. So its error is at most half a bin: PRECISION times the bin's lower edge.
    assert quantile(Numbers.of(numbers).middles(), share) == pytest.approx(exact, rel=PRECISION, abs=1e-300)


@given(numbers=arrays.arrays(np.float64, 40, elements=st.integers(-255, 255).map(float)), share=SHARES)
def test_small_whole_numbers_are_exact(numbers: np.ndarray, share: float) -> None:
    assert quantile(Numbers.of(numbers).middles(), share) == np.quantile(numbers, share, method="inverted_cdf")


@given(one=REAL, other=REAL)
def test_the_sum_of_two_parts_equals_the_whole(one: np.ndarray, other: np.ndarray) -> None:
    summed, whole = Numbers.of(one, missing=2) + Numbers.of(other), Numbers.of(np.concatenate([one, other]), missing=2)
    np.testing.assert_array_equal(summed.bins.values, whole.bins.values)
    np.testing.assert_array_equal(summed.bins.counts, whole.bins.counts)
    assert (summed.missing, summed.whole) == (whole.missing, whole.whole)


@given(numbers=WHOLE, limit=st.integers(1, 5000))
def test_capped_counts_equal_the_counts_of_capped_numbers(numbers: np.ndarray, limit: int) -> None:
    expected = Counts.of(np.minimum(numbers, limit))
    capped = Counts.of(numbers).capped(limit)
    assert capped.values.tolist() == expected.values.tolist()
    assert capped.counts.tolist() == expected.counts.tolist()


@given(parts=st.lists(REAL | WHOLE.map(lambda numbers: numbers.astype(np.float64)), min_size=1, max_size=2))
def test_histograms_count_all_numbers(parts: list[np.ndarray]) -> None:
    found = [Numbers.of(part) for part in parts]
    edges = common_edges([each.middles() for each in found], whole=all(each.whole for each in found))
    assert all(low < high for low, high in itertools.pairwise(edges))
    for each, part in zip(found, parts, strict=True):
        rows = histogram(each.middles(), edges)
        assert sum(row["count"] for row in rows) == len(part)
        assert len(rows) <= 400


def test_a_long_tail_has_a_logarithmic_scale() -> None:
    found = Counts.of(np.array([0] * 5 + [1] * 5 + [4] * 5 + [120]))
    edges = common_edges([found], whole=True)
    assert edges == [0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150]
    assert [row["count"] for row in histogram(found, edges)] == [5, 5, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert histogram(found, edges)[1] == {"from": 1, "to": 2, "count": 5}


def test_bins_have_equal_width_if_there_is_no_long_tail() -> None:
    found = Numbers.of(np.array([0.0, 40.0, 50.0, 60.0, 99.5])).middles()
    edges = common_edges([found], whole=False)
    assert edges == [5.0 * step for step in range(21)]
    assert common_edges([Counts.of(np.array([3]))], whole=True) == [3, 4]


def test_histograms_of_extreme_numbers_have_finite_bins() -> None:
    for wild in ([-1.7e308, 0.0, 1.7e308], [1.7e308], [1.7e308, 1.0, 1.0], [5e-324, 0.0]):
        found = Numbers.of(np.array(wild)).middles()
        rows = histogram(found, common_edges([found], whole=False))
        assert sum(row["count"] for row in rows) == len(wild)
        assert all(row["from"] < row["to"] for row in rows)
        assert np.isfinite([row[end] for row in rows for end in ("from", "to")]).all()


def test_without_numbers_all_figures_are_empty() -> None:
    nothing = Counts.of(np.empty(0, np.int64))
    assert (nothing.total, nothing.mean, quantile(nothing, 0.5)) == (0, None, None)
    assert common_edges([nothing], whole=True) == []
    assert histogram(nothing, []) == []
    assert shares_by_tenth(nothing) == []
    assert quantile(Numbers.of(np.empty(0)).middles(), 0.5) is None
    assert (nothing + nothing).total == nothing.capped(5).total == 0


def test_shares_of_the_sum_for_each_tenth_of_the_users() -> None:
    assert shares_by_tenth(Counts.of(np.arange(1, 11))) == pytest.approx(np.arange(1, 11) / 55)
    # If users with equal counts belong to several tenths, their sum is divided between these tenths. So with one
    # user, each tenth has a tenth of the sum.
    assert shares_by_tenth(Counts.of(np.array([7]))) == pytest.approx([0.1] * 10)
    assert shares_by_tenth(Counts.of(np.array([0, 0]))) == []
    assert shares_by_tenth(Counts.of(np.array([0] * 15 + [4] * 5))) == pytest.approx([0] * 7 + [0.2, 0.4, 0.4])
