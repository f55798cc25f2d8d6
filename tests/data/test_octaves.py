from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgerec.core.errors import SpecificationError
from edgerec.data.octaves import RARE, SMALLEST, Moments, Octaves, octaves
from edgerec.features.kinds.raw import Raw

NAN = float("nan")
NUMBERS = st.lists(
    st.floats(-1e9, 1e9) | st.floats(-1e100, 1e100) | st.integers(-9, 9).map(float) | st.just(NAN), max_size=40
)


def raw(**more: float | str) -> Raw:
    return Raw.model_validate({"name": "f", "source": "x", "kind": "raw", **more})


def exact_moments(values: NDArray[np.float64]) -> Moments:
    numbers = [Fraction(value) if abs(value) >= SMALLEST else Fraction() for value in values.tolist() if value == value]
    return Moments(len(numbers), sum(numbers, Fraction()), sum((one**2 for one in numbers), Fraction()))


@given(values=NUMBERS, cut=st.integers(0, 40))
def test_the_sum_of_octaves_does_not_depend_on_the_division_into_pieces(values: list[float], cut: int) -> None:
    every = np.array(values, np.float64)
    found = octaves(every)
    assert octaves(every[:cut]) + octaves(every[cut:]) == found
    assert octaves(every[::-1]) == found
    assert sum(found.moments.values(), Moments()) == exact_moments(every)


@given(values=NUMBERS, data=st.data())
def test_a_value_with_a_count_equals_repeated_values(values: list[float], data: st.DataObject) -> None:
    counts = np.array([data.draw(st.integers(0, 9)) for _ in values], np.int64)
    every = np.array(values, np.float64)
    assert octaves(every, counts) == octaves(np.repeat(every, counts))


@settings(max_examples=40)
@given(values=NUMBERS, often=st.sampled_from([1, 10 * RARE]))
def test_moments_equal_the_moments_of_clipped_values(values: list[float], often: int) -> None:
    """If the first value is far more frequent than the others, the others are outliers and are clipped."""
    every = np.array(values, np.float64)
    counts = np.array([often, *[1] * len(values)][: len(values)], np.int64)
    found = octaves(every, counts)
    low, high = found.bounds()
    assert found.clipped(low, high) == exact_moments(np.repeat(np.clip(every, low, high), counts))


@given(values=NUMBERS)
def test_octaves_are_written_and_read_without_change(values: list[float]) -> None:
    found = octaves(np.array(values, np.float64))
    assert Octaves.from_note(found.to_note()) == found
    assert Octaves.from_note(json.loads(json.dumps(found.to_note(), allow_nan=False))) == found


@given(values=NUMBERS)
def test_fewer_than_a_thousand_numbers_have_no_outlier(values: list[float]) -> None:
    """If there are fewer than a thousand numbers, all of them must be within the bounds."""
    low, high = octaves(np.array(values, np.float64)).bounds()
    numbers = [value for value in values if abs(value) >= SMALLEST]
    assert low <= high
    assert all(low <= value <= high for value in numbers)


def test_bounds_of_small_examples() -> None:
    assert octaves(np.array([1.0, 3.0, NAN])).bounds() == (-1.0, 5.0)
    assert octaves(np.array([-4.0, -3.0])).bounds() == (-5.0, -2.0)
    assert octaves(np.array([3.0, 3.0])).bounds() == (3.0, 3.0)
    assert octaves(np.array([NAN])).bounds() == octaves(np.array([])).bounds() == (0.0, 0.0)


def test_an_outlier_does_not_change_mean_and_scale() -> None:
    prices = np.random.default_rng(0).lognormal(3.0, 1.0, 50_000)
    usual, odd = raw().fit(octaves(prices)), raw().fit(octaves(np.append(prices, 1e7)))
    assert odd.mean == pytest.approx(usual.mean, rel=1e-2)
    assert odd.scale == pytest.approx(usual.scale, rel=1e-2)
    # Without clipping, the scale would be 44,700.
    assert usual.scale is not None
    assert usual.scale < 60
    assert odd.high is not None
    assert np.quantile(prices, 0.999) * 2 <= odd.high <= np.quantile(prices, 0.999) * 4


def test_few_values_of_a_long_tail_are_clipped() -> None:
    rng = np.random.default_rng(0)
    for numbers in (rng.normal(size=50_000), rng.exponential(size=50_000), rng.lognormal(size=50_000)):
        low, high = octaves(numbers).bounds()
        assert low <= numbers.min()
        assert (numbers >= high).mean() < 1e-4


def test_rare_values_are_not_outliers() -> None:
    """One in ten thousand numbers is 1, and the others are 0. The search for outliers ignores zeros."""
    flags = np.zeros(100_000)
    flags[::10_000] = 1
    assert octaves(flags).bounds() == (-1.0, 2.0)


def test_bounds_exclude_a_negative_outlier() -> None:
    numbers = np.concatenate([np.linspace(3, 100, 10_000), [-1e9]])
    assert octaves(numbers).bounds() == (-256.0, 256.0)
    assert octaves(np.append(numbers, -3.0)).bounds() == octaves(numbers).bounds()


def test_moments_of_many_numbers_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(3, 2, 100_000) * np.exp(rng.normal(size=100_000))
    found = sum(octaves(numbers).moments.values(), Moments())
    assert found.mean == pytest.approx(numbers.mean(), rel=1e-12)
    assert found.standard_deviation == pytest.approx(numbers.std(), rel=1e-12)
    counted = sum(octaves(numbers, np.full(100_000, 10**7)).moments.values(), Moments())
    assert (counted.mean, counted.standard_deviation) == (found.mean, found.standard_deviation)
    # These numbers are far from zero. Float64 sums of squares would give no correct digit of the standard deviation.
    far = sum(octaves(numbers + 1e9).moments.values(), Moments())
    assert far.standard_deviation == pytest.approx(numbers.std(), rel=1e-6)


def test_very_small_values_count_as_zeros() -> None:
    assert octaves(np.array([1e-300, -5e-324, 1.0])) == octaves(np.array([0.0, 0.0, 1.0]))


def test_values_that_are_too_large_are_an_error() -> None:
    with pytest.raises(SpecificationError, match=r"cannot be fitted to the value 1e\+200: set"):
        octaves(np.array([1.0, -1e200]))


def test_fit_raw_sets_only_missing_settings() -> None:
    known = octaves(np.array([1.0, 3.0, NAN]))
    for given_, expected in (
        ({}, (-1, 5, 2, 1)),
        ({"mean": 0}, (-1, 5, 0, 1)),
        ({"scale": 5}, (-1, 5, 2, 5)),
        ({"mean": 0, "scale": 5}, (-1, 5, 0, 5)),
        ({"low": 0}, (0, 5, 2, 1)),
        ({"low": -9, "high": 9}, (-9, 9, 2, 1)),
    ):
        fitted = raw(**given_).fit(known)
        assert (fitted.low, fitted.high, fitted.mean, fitted.scale) == expected
    nothing = octaves(np.array([]))
    assert (raw(low=5).fit(nothing).high, raw(high=-5).fit(nothing).low) == (5, -5)


@pytest.mark.parametrize("column", [[], [NAN, NAN], [3.0, 3.0], [0.1] * 1000])
def test_fit_raw_of_equal_numbers_has_scale_one(column: list[float]) -> None:
    fitted = raw().fit(octaves(np.array(column)))
    only = column[0] if column and column[0] == column[0] else 0.0
    assert (fitted.low, fitted.high, fitted.mean, fitted.scale) == (only, only, only, 1.0)
