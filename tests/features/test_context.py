"""The derived values of a context."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.context import DERIVED, RequestFacts


@pytest.mark.parametrize("name", DERIVED)
def test_one_request_has_the_same_bits_as_many(name: str) -> None:
    rng = np.random.default_rng(0)
    time = rng.integers(0, 2_000_000_000_000, 50)
    candidates, counts = rng.integers(1, 100, 50), rng.integers(0, 3, (2, 50))
    ages = rng.integers(0, 10_000_000, (2, 50))
    behaviours, latest = (dict(zip(BEHAVIOUR_KINDS, rows, strict=True)) for rows in (counts, time - ages))
    many = DERIVED[name](RequestFacts(time, candidates, behaviours, latest))
    for row in range(50):
        of_row = ({kind: array[row] for kind, array in arrays.items()} for arrays in (behaviours, latest))
        one = DERIVED[name](RequestFacts(time[row], candidates[row], *of_row))
        assert (one.dtype, one.shape) == (np.float64, ())
        assert one.tobytes() == many[row].tobytes()
