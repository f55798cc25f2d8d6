"""The table of all methods: means over seeds."""

from __future__ import annotations

from typing import Any

import pytest

from edgerec.model.personalization.table import _mean


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 1.0], [2.0, 4.0]], [1.0, 2.5]),
        ([[0.0, 1.0], None], None),
        ([None, [0.0, 1.0]], None),
        ([{"ci95": [0.0, 1.0], "users": 3}, {"ci95": None, "users": 4}], {"ci95": None, "users": 4}),
        ([{"ci95": [0.0, 1.0]}, None], None),
        ([1.5, None], None),
        (["prior", "prior"], "prior"),
    ],
)
def test_a_mean_over_seeds_is_missing_if_a_seed_has_no_value(values: list[Any], expected: Any) -> None:
    assert _mean(values) == expected
