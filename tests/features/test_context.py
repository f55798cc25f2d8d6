"""The derived values of a context."""

from __future__ import annotations

from datetime import datetime, timezone

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


@pytest.mark.parametrize("day", [1, 2, 15, 31])
def test_hours_and_weekdays_are_those_of_the_calendar(day: int) -> None:
    at = datetime(2024, 3, day, (5 * day) % 24, 59, 59, tzinfo=timezone.utc)
    facts = RequestFacts(np.int64(at.timestamp() * 1000 + 999), np.int64(1), {}, {})
    assert (DERIVED["hour_utc"](facts), DERIVED["weekday_utc"](facts)) == (at.hour, at.weekday())


def test_seconds_since_a_behaviour_are_missing_without_one() -> None:
    counts, latest = (dict.fromkeys(BEHAVIOUR_KINDS, np.array(pair)) for pair in ([0, 2], [0, 7_500]))
    facts = RequestFacts(np.array([9_000, 9_000]), np.array([5, 6]), counts, latest)
    for kind in BEHAVIOUR_KINDS:
        np.testing.assert_array_equal(DERIVED[f"seconds_since_{kind.name}"](facts), [np.nan, 1.5])
        np.testing.assert_array_equal(DERIVED[kind.plural](facts), [0, 2])
    np.testing.assert_array_equal(DERIVED["list_length"](facts), [5, 6])
