from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.statistics import wilson
from edgerec.data.statistics.click_rates import POSITIONS, Rates, bucket, bucket_names, count_before
from edgerec.reports.statistics.rate_blocks import POSITION_RANGES


@pytest.mark.parametrize(
    ("clicks", "exposures", "low", "high"),
    [
        # These values are computed by hand or are in textbook tables of the score interval.
        (10, 100, 0.055229, 0.174366),
        (1, 10, 0.017876, 0.404150),
        (5, 10, 0.236593, 0.763407),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (0, 1, 0.0, 0.793451),
    ],
)
def test_the_wilson_interval_equals_known_values(clicks: int, exposures: int, low: float, high: float) -> None:
    assert wilson(clicks, exposures) == pytest.approx((low, high), abs=1e-6)


@given(exposures=st.integers(1, 10**9), share=st.floats(0, 1))
def test_the_wilson_interval_contains_the_rate(exposures: int, share: float) -> None:
    clicks = round(share * exposures)
    low, high = wilson(clicks, exposures)
    assert 0 <= low <= clicks / exposures <= high <= 1


def test_numbers_are_divided_into_buckets() -> None:
    assert bucket(np.array([0, 1, 2, 3, 4, 5, 9, 10, 99]), (0, 1, 3, 10)).tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3]
    assert bucket_names((0, 1, 3, 10)) == ["0", "1-2", "3-9", "10+"]


def test_the_sum_of_rates_has_the_counts_of_both() -> None:
    one = Rates.of(np.array([0, 2, 2]), np.array([True, False, True]), size=3)
    both = one + Rates.of(np.array([1]), np.array([True]), size=3)
    assert both.exposures.tolist() == [1, 1, 2]
    assert both.clicks.tolist() == [1, 1, 1]


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1), st.integers(0, 6)), max_size=25)


@given(asked=ROWS, events=ROWS, resets=ROWS | st.none())
def test_count_before_equals_a_loop(
    asked: list[tuple[int, int, int]], events: list[tuple[int, int, int]], resets: list[tuple[int, int, int]] | None
) -> None:
    def table(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema={"user_id": pl.Int64, "item_id": pl.Int64, "time": pl.Int64}, orient="row")

    expected = []
    for user, item, time in asked:
        last = max((t for u, i, t in resets or [] if (u, i) == (user, item) and t < time), default=-1)
        expected.append(sum((u, i) == (user, item) and last < t < time for u, i, t in events))
    counted = count_before(
        table(asked), table(events), ["user_id", "item_id"], resets=None if resets is None else table(resets)
    )
    assert counted.tolist() == expected


def test_rows_of_the_table_cover_all_positions() -> None:
    assert POSITION_RANGES[-1][1] == POSITIONS
