from __future__ import annotations

import numpy as np
import pytest

from edgerec.core.tolerance import Tolerance, apart

NAN, INF = float("nan"), float("inf")
HELD = Tolerance(1e-4, 5e-6)


def test_small_numbers_by_the_absolute_part_large_ones_by_the_relative_part() -> None:
    expected = np.array([0.0, 1.0, -39675.39, 1e7])
    assert HELD.allowed(expected) == pytest.approx([1e-4, 1.05e-4, 0.1985, 50.0], rel=1e-3)
    assert HELD.exceeded(expected + np.array([1e-4, -1e-4, 0.0078, -1.0]), expected) is None
    assert HELD.exceeded(expected + np.array([1e-4, 2e-4, 0.0078, -1.0]), expected) == 1
    assert HELD.exceeded(expected + np.array([0, 2e-4, 0.3, 0]), expected) == 2
    assert Tolerance(1e-4).exceeded(expected + np.array([0, 0, 0.0078, 0]), expected) == 2


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_what_is_no_number_is_never_within(odd: float) -> None:
    one, other = np.array([1.0, odd], np.float32), np.array([1.0, 1.0], np.float32)
    for tolerance in (HELD, Tolerance(float(np.finfo(np.float32).max), 1.0)):
        assert tolerance.exceeded(one, other) == 1
        assert tolerance.exceeded(other, one) == 1
        assert tolerance.exceeded(one, one) == 1
    assert apart(one, other).tolist() == [0, INF]
