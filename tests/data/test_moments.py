from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import SpecificationError
from edgerec.data.moments import Moments, moments

NAN = float("nan")
NUMBERS = st.lists(
    st.floats(-1e9, 1e9) | st.floats(-1e100, 1e100) | st.integers(-9, 9).map(float) | st.just(NAN), max_size=40
)


def exactly(values: list[float]) -> Moments:
    there = [Fraction(value) for value in values if value == value and abs(value) >= 2.0**-400]
    unit = 2**1200
    return Moments(
        sum(value == value for value in values), int(sum(there) * unit), int(sum(one**2 for one in there) * unit)
    )


@given(values=NUMBERS, cut=st.integers(0, 40))
def test_sums_are_exact_however_they_are_cut(values: list[float], cut: int) -> None:
    every = np.array(values, np.float64)
    found = moments(every)
    assert found == exactly(values)
    assert moments(every[:cut]) + moments(every[cut:]) == found
    assert moments(every[::-1]) == found


@given(values=NUMBERS, data=st.data())
def test_counted_values_are_values_that_often(values: list[float], data: st.DataObject) -> None:
    counts = np.array([data.draw(st.integers(0, 9)) for _ in values], np.int64)
    every = np.array(values, np.float64)
    assert moments(every, counts) == moments(np.repeat(every, counts))


def test_many_values_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 100_000) * np.exp(rng.normal(size=100_000))
    found = moments(values)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.spread == pytest.approx(values.std(), rel=1e-12)
    counts = np.full(100_000, 10**6)
    assert moments(values, counts).mean == pytest.approx(found.mean, rel=1e-15)
    # Far from zero, where sums of squares in doubles have lost every digit of the spread.
    assert moments(values + 1e9).spread == pytest.approx(values.std(), rel=1e-6)


def test_values_too_large_and_too_small() -> None:
    with pytest.raises(SpecificationError, match=r"cannot be fitted to 1e\+200"):
        moments(np.array([1.0, -1e200]))
    assert moments(np.array([1e-300, -5e-324, 1.0])) == Moments(3, 2**1200, 2**1200)
