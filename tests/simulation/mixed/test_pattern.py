"""Quotas of kinds, and the kinds of places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.simulation.mixed.config import AD, LIVE, PRODUCT, VIDEO
from edgerec.simulation.mixed.pattern import SLOTS, fixed_places, quotas, random_places

SHARES = [0.5, 0.18, 0.12, 0.2]


@given(count=st.integers(0, 200), parts=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_quotas_sum_to_the_count_and_differ_from_the_shares_by_less_than_one(count: int, parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    found = quotas(count, shares)
    assert sum(found) == count
    assert all(abs(one - count * share) < 1 for one, share in zip(found, shares, strict=True))


def test_quotas_of_a_page() -> None:
    assert quotas(50, SHARES) == [25, 9, 6, 10]
    assert quotas(100, SHARES) == [50, 18, 12, 20]


def test_fixed_places_repeat_the_cloud_s_mix_until_a_kind_has_no_cards() -> None:
    assert fixed_places([50, 18, 12, 20])[:20] == [*SLOTS, *SLOTS]
    assert SLOTS.count(AD), SLOTS.count(VIDEO) == (1, 2)
    # Without ads and live rooms, their places get the next kind.
    assert fixed_places([5, 2, 0, 0]) == [PRODUCT, VIDEO, PRODUCT, PRODUCT, PRODUCT, PRODUCT, VIDEO]
    assert sorted(fixed_places([3, 0, 1, 4])) == [PRODUCT] * 3 + [LIVE] + [AD] * 4


def test_random_places_have_the_frequencies_of_their_propensities() -> None:
    available = np.tile(np.array([25, 9, 6, 10]), (4000, 1))
    kinds, propensities = random_places(available, SHARES, np.random.default_rng(1))
    assert np.bincount(kinds[:, 0]) / len(kinds) == pytest.approx(SHARES, abs=0.03)
    assert [sorted(set(propensities[kinds[:, 0] == kind, 0].tolist())) for kind in range(4)] == [
        [np.float32(share)] for share in SHARES
    ]
    # Each card is shown once: the inverse propensities of a place sum to the number of kinds with cards, on average.
    for place in (10, 30):
        assert (1 / propensities[:, place]).mean() == pytest.approx(4, abs=0.3)


def test_random_places_show_each_card_once() -> None:
    rng = np.random.default_rng(2)
    available = rng.integers(0, 5, (50, 4))
    kinds, propensities = random_places(available, SHARES, rng)
    for row, counts in enumerate(available):
        shown = propensities[row] > 0
        assert shown.tolist() == [True] * counts.sum() + [False] * (kinds.shape[1] - counts.sum())
        assert np.bincount(kinds[row, shown], minlength=4).tolist() == counts.tolist()
        # The last card of a page is the only one that is left.
        assert not counts.sum() or propensities[row, counts.sum() - 1] == 1
