from __future__ import annotations

import numpy as np
import pytest

from edgerec.core.tolerance import Tolerance, absolute_difference

NAN, INF = float("nan"), float("inf")
TOLERANCE = Tolerance(1e-4, 5e-6)


def test_the_tolerance_is_absolute_for_small_numbers_and_relative_for_large_ones() -> None:
    expected = np.array([0.0, 1.0, -39675.39, 1e7])
    assert TOLERANCE.allowed(expected) == pytest.approx([1e-4, 1.05e-4, 0.1985, 50.0], rel=1e-3)
    assert TOLERANCE.worst_index(expected + np.array([1e-4, -1e-4, 0.0078, -1.0]), expected) is None
    assert TOLERANCE.worst_index(expected + np.array([1e-4, 2e-4, 0.0078, -1.0]), expected) == 1
    assert TOLERANCE.worst_index(expected + np.array([0, 2e-4, 0.3, 0]), expected) == 2
    assert Tolerance(1e-4).worst_index(expected + np.array([0, 0, 0.0078, 0]), expected) == 2


@pytest.mark.parametrize("not_finite", [NAN, INF, -INF])
def test_numbers_that_are_not_finite_always_exceed_the_tolerance(not_finite: float) -> None:
    actual, expected = np.array([1.0, not_finite], np.float32), np.array([1.0, 1.0], np.float32)
    for tolerance in (TOLERANCE, Tolerance(float(np.finfo(np.float32).max), 1.0)):
        assert tolerance.worst_index(actual, expected) == 1
        assert tolerance.worst_index(expected, actual) == 1
        assert tolerance.worst_index(actual, actual) == 1
    assert absolute_difference(actual, expected).tolist() == [0, INF]
