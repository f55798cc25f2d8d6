"""Times in whole seconds become milliseconds that keep the order within a second."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.known import Instants, known_before
from edgerec.data.whole_seconds import order_within_seconds


def test_rows_of_a_second_keep_the_order_of_the_arrays() -> None:
    times = order_within_seconds(np.array([1, 2, 1, 1, 1]), np.array([5, 5, 5, 6, 5]))
    assert times.tolist() == [5000, 5000, 5001, 6000, 5002]


def test_a_declared_order_comes_before_the_order_of_the_arrays() -> None:
    users, seconds = np.array([1, 1, 1, 2]), np.array([5, 5, 5, 5])
    assert order_within_seconds(users, seconds, np.array([9, 7, 7, 1])).tolist() == [5002, 5000, 5001, 5000]


def test_a_request_knows_the_behaviour_that_came_before_it_in_the_same_second() -> None:
    # A click (sequence number 3) starts a request (4). An exposure of the new list follows (5).
    behaviours = pl.DataFrame({"user": [1, 1], "second": [50, 50], "sequence": [3, 5]})
    requests = pl.DataFrame({"user": [1], "second": [50], "sequence": [4]})
    rows = pl.concat([behaviours, requests])
    times = order_within_seconds(*(rows[name].to_numpy() for name in ("user", "second", "sequence")))
    users = rows["user"].to_numpy()

    def known(times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
        return known_before(Instants(users[2:], times[2:]), Instants(users[:2], times[:2]), 10).ranges[0, 1:].tolist()

    assert known(times) == [0, 1]
    # Without the helper the request knows nothing of its second.
    assert known(rows["second"].to_numpy() * 1000) == [0, 0]


def test_no_rows_give_no_times() -> None:
    empty = np.empty(0, np.int64)
    assert order_within_seconds(empty, empty).tolist() == []


def test_faulty_arguments_are_refused() -> None:
    one = np.array([1])
    for arguments in ((one, np.array([1.5])), (one, np.array([1, 2])), (one, one, np.array([[1]]))):
        with pytest.raises(InputError, match="expected integers of one length"):
            order_within_seconds(*arguments)
    with pytest.raises(InputError, match=r"at most 1000 rows in a second; user 7 has more at 60: .*drop_repeats"):
        order_within_seconds(np.full(1001, 7), np.full(1001, 60))
