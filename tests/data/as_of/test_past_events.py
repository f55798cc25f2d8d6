from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import InputError
from edgerec.data.as_of.past_events import PastEvents, pair_keys


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_only_strictly_earlier_events_are_counted() -> None:
    past = PastEvents(ints(7, 7, 9), ints(100, 200, 150))
    asked = past.at(ints(7, 7, 7, 9, 8, 9), ints(100, 101, 999, 150, 999, 0))
    assert asked.count().tolist() == [0, 1, 2, 0, 0, 0]


def test_a_window_includes_its_start_and_excludes_its_end() -> None:
    past = PastEvents(ints(7, 7, 9), ints(100, 200, 150))
    asked = past.at(ints(7, 7, 7, 7, 9), ints(200, 201, 301, 100, 152))
    assert asked.count(within=100).tolist() == [1, 1, 0, 0, 1]


def test_without_events_counts_and_ages_are_zero() -> None:
    asked = PastEvents(ints(), ints()).at(ints(1), ints(5))
    assert (asked.count().tolist(), asked.since_first().tolist()) == ([0], [0])
    assert (asked.decayed(5).tolist(), asked.since_last().tolist()) == ([0.0], [-1])


def test_times_since_the_first_and_the_last_event() -> None:
    asked = PastEvents(ints(3, 3, 5), ints(40, 20, 90)).at(ints(3, 3, 3, 3, 5, 4), ints(20, 25, 10, 50, 100, 50))
    assert asked.since_first().tolist() == [0, 5, 0, 30, 10, 0]
    assert asked.since_last().tolist() == [-1, 5, -1, 10, 10, -1]


def test_an_event_counts_half_after_a_half_life() -> None:
    asked = PastEvents(ints(3, 3, 5), ints(0, 10, 10)).at(ints(3, 3, 3, 5), ints(10, 20, 30, 20))
    assert asked.decayed(10).tolist() == [0.5, 0.75, 0.375, 0.5]


def test_weights_are_added() -> None:
    past = PastEvents(ints(3, 3, 3, 5), ints(0, 10, 20, 0), np.array([1.0, 2.0, 4.0, 8.0]))
    asked = past.at(ints(3, 3, 3, 5, 6), ints(20, 21, 0, 5, 5))
    assert asked.sum().tolist() == [3.0, 7.0, 0.0, 8.0, 0.0]
    assert asked.sum(within=11).tolist() == [2.0, 6.0, 0.0, 8.0, 0.0]
    assert asked.count().tolist() == [2, 3, 0, 1, 0]


def test_different_pairs_have_different_keys() -> None:
    assert len(set(pair_keys(ints(1, 2, 1), ints(2, 1, 1)).tolist())) == 3


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(-20, 20)), max_size=30)


@given(events=rows, queries=rows, window=st.integers(1, 50))
def test_counts_equal_a_loop(events: list[tuple[int, int]], queries: list[tuple[int, int]], window: int) -> None:
    def column(table: list[tuple[int, int]], index: int) -> np.ndarray:
        return np.array([row[index] for row in table], np.int64)

    keys, times = column(queries, 0), column(queries, 1)
    asked = PastEvents(column(events, 0), column(events, 1)).at(keys, times)
    ages = [[time - t for k, t in events if k == key and t < time] for key, time in queries]
    assert asked.count().tolist() == [len(each) for each in ages]
    assert asked.count(within=window).tolist() == [sum(age <= window for age in each) for each in ages]
    assert asked.since_last().tolist() == [min(each, default=-1) for each in ages]
    assert asked.since_first().tolist() == [max(each, default=0) for each in ages]
    np.testing.assert_allclose(asked.decayed(window), [sum(0.5 ** (age / window) for age in each) for each in ages])


def test_pairs_of_large_ids_are_an_error() -> None:
    """With large IDs, different pairs could have the same key."""
    assert pair_keys(ints(2**31 - 1), ints(2**31 - 1)).tolist() == [(2**31 - 1) * 2**32 + 2**31 - 1]
    for users, items, name in ((2**31, 1, "users"), (1, 2**40, "items"), (1, -1, "items")):
        with pytest.raises(InputError, match=rf"{name} should be from 0 to 2147483647; received .*number them first"):
            pair_keys(ints(users), ints(items))


def test_other_types_or_lengths_are_an_error() -> None:
    past = PastEvents(ints(1), ints(5))
    odd = np.array([1.0, np.nan])
    for call in (PastEvents, past.at, pair_keys):
        with pytest.raises(InputError, match="should be integers; received float64"):
            call(odd, ints(1, 2))
        with pytest.raises(InputError, match="should be integers; received float64"):
            call(ints(1, 2), odd)
        with pytest.raises(InputError, match=r"have the same length; received \(1,\) and \(2,\)"):
            call(ints(1), ints(1, 2))
    # Unsigned times are accepted, even if the window starts before time 0.
    assert past.at(ints(1), np.array([6], np.uint64)).count(within=100).tolist() == [1]
