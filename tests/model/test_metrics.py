from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.model.metrics import gauc, ndcg_sum, request_aucs


def _arrays(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    group, label, score = zip(*rows, strict=True)
    return np.array(group, np.int64), np.array(label, np.uint8), np.array(score, np.float64)


def _slow_auc(label: list[int], score: list[float]) -> float:
    pairs = [
        (p, n) for p, yes in zip(score, label, strict=True) if yes for n, no in zip(score, label, strict=True) if not no
    ]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def test_aucs_of_requests_equal_values_computed_by_hand() -> None:
    # Request 7 has three impressions, and one of its two pairs is in the right order: AUC 0.5. Request 9 has two
    # impressions with equal scores: AUC 0.5. Request 3 has no click and does not count.
    rows = [(7, 1, 0.5), (9, 0, 1.0), (7, 0, 0.9), (7, 0, 0.1), (9, 1, 1.0), (3, 0, 0.3)]
    aucs, impressions = request_aucs(*_arrays(rows))
    assert aucs.tolist() == [0.5, 0.5]
    assert impressions.tolist() == [3, 2]


def test_gauc_weighs_requests_by_their_impressions() -> None:
    rows = [(0, 1, 1.0), (0, 0, 0.0), (1, 1, 0.0), (1, 0, 1.0), (1, 0, 1.0), (1, 0, 1.0)]
    assert gauc(*_arrays(rows)) == pytest.approx((2 * 1.0 + 4 * 0.0) / 6)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.sampled_from([-1.5, 0.0, 0.25, 3.0])),
        min_size=1,
        max_size=40,
    )
)
def test_aucs_of_requests_equal_the_share_of_ordered_pairs(rows: list[tuple[int, int, float]]) -> None:
    aucs, impressions = request_aucs(*_arrays(rows))
    expected, sizes = [], []
    for number in sorted({row[0] for row in rows}):
        label = [row[1] for row in rows if row[0] == number]
        if 0 < sum(label) < len(label):
            expected.append(_slow_auc(label, [row[2] for row in rows if row[0] == number]))
            sizes.append(len(label))
    assert aucs.tolist() == pytest.approx(expected)
    assert impressions.tolist() == sizes


def test_ndcg_equals_values_computed_by_hand() -> None:
    # The first request has its click at position 2: its gain is 1 / log2(3). The click of the second request is at
    # position 3, so it counts only with `at=3`.
    rows = [(0, 0, 3.0), (0, 1, 2.0), (0, 0, 1.0), (1, 0, 3.0), (1, 0, 2.0), (1, 1, 1.0)]
    assert ndcg_sum(*_arrays(rows), at=2) == (pytest.approx(1 / math.log2(3)), 2)
    assert ndcg_sum(*_arrays(rows), at=3) == (pytest.approx(1 / math.log2(3) + 0.5), 2)


def test_ndcg_keeps_the_order_of_equal_scores() -> None:
    rows = [(0, 1, 0.0), (0, 0, 0.0)]
    assert ndcg_sum(*_arrays(rows), at=1) == (1.0, 1)
    assert ndcg_sum(*_arrays(rows[::-1]), at=1) == (0.0, 1)


def test_ndcg_of_many_clicks_is_at_most_one() -> None:
    rows = [(0, 1, float(-i)) for i in range(12)]
    assert ndcg_sum(*_arrays(rows), at=5) == (pytest.approx(1.0), 1)


def test_figures_have_no_value_if_there_is_nothing_to_rank() -> None:
    empty = (np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0))
    assert math.isnan(gauc(*empty))
    assert ndcg_sum(*empty, at=5) == (0.0, 0)
    assert math.isnan(gauc(*_arrays([(0, 1, 1.0)])))
