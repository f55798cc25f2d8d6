"""Caps of pages that follow from shares: what earlier pages left over is carried on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.mixing.quota import fixed_shares, most_cards, share_caps
from edgerec.mixing.rules import MixRules

RULES = MixRules.model_validate({"page": 10, "kinds": {"product": {}, "ad": {"share": (0.1, 0.25)}}})
AD = 1


def seen(*ads: int, count: int) -> np.ndarray:
    kinds = np.zeros(count, np.int64)
    kinds[list(ads)] = AD
    return kinds


def test_the_caps_of_the_first_pages() -> None:
    caps = share_caps(RULES, seen(count=0), 20)
    assert caps == {(0, 0): (0, 10), (1, 0): (0, 10), (0, AD): (1, 2), (1, AD): (0, 3)}


def test_what_a_page_left_over_is_carried_on() -> None:
    assert share_caps(RULES, seen(count=10), 10)[1, AD] == (2, 5)
    assert share_caps(RULES, seen(3, 7, count=10), 10)[1, AD] == (0, 3)
    assert share_caps(RULES, seen(1, 3, 5, 7, 9, count=10), 10)[1, AD] == (0, 0)


def test_cards_on_the_present_page_stay_in_its_cap() -> None:
    """The cap is for the whole page, with the cards that stand there already."""
    assert share_caps(RULES, seen(3, 7, 12, count=15), 10)[1, AD] == (0, 3)


def test_a_target_replaces_the_largest_share() -> None:
    assert share_caps(RULES, seen(count=0), 10, targets={"ad": 0.05})[0, AD] == (0, 0)
    assert share_caps(RULES, seen(count=0), 10, targets={"ad": 0.4})[0, AD] == (1, 4)


@given(st.integers(1, 20), st.floats(0, 1), st.data())
def test_pages_that_use_their_caps_never_exceed_the_share(page: int, share: float, data: st.DataObject) -> None:
    rules = MixRules.model_validate({"page": page, "kinds": {"product": {}, "ad": {"share": (0, share)}}})
    kinds: list[int] = []
    for number in range(6):
        most = share_caps(rules, np.array(kinds, np.int64), page)[number, AD][1]
        ads = data.draw(st.integers(0, min(most, page)))
        kinds += [AD] * ads + [0] * (page - ads)
        assert kinds.count(AD) <= share * len(kinds) + 1e-6


def test_fixed_shares_are_targets_or_the_middle_of_the_band() -> None:
    assert fixed_shares(RULES) == pytest.approx([0.825, 0.175])
    assert fixed_shares(RULES, targets={"ad": 0.1}) == pytest.approx([0.9, 0.1])


def test_the_largest_number_of_cards_that_rules_allow() -> None:
    assert most_cards(RULES, 20) == [20, 5]
    assert most_cards(RULES, 20, targets={"ad": 0.5}) == [20, 10]
    tight = MixRules.model_validate({"page": 10, "kinds": {"product": {"gap": 3}, "ad": {"at_most": 1}}})
    assert most_cards(tight, 20) == [7, 3]
