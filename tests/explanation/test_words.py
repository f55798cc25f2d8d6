"""Behaviours and positions in words."""

from __future__ import annotations

from typing import Any

import pytest

from edgerec.explanation.sentences import behaviour_sentence, candidate_sentences
from edgerec.explanation.words import actions_in_words, ago
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.spec import table1
from edgerec.reports.explanation.rows import explained_candidates


def test_only_what_happened_is_said() -> None:
    features = table1().ipv_action
    values = {feature.source: 0 for feature in features} | {"page_duration_s": 35.2, "read_comments": 1, "buy": None}
    assert actions_in_words(features, values) == ["stayed 35 s", "read comments"]
    shown = {"exposure_duration_s": 0.96, "exposure_count": 1, "scroll_count": 1, "delete_reason": "not_interested"}
    assert actions_in_words(table1().ie_action, shown) == [
        "on the screen for 0.96 s",
        "scrolled once",
        "deleted it (not interested)",
    ]
    brief = {"exposure_duration_s": 0.0094, "scroll_count": 0}
    assert actions_in_words(table1().ie_action, brief) == ["on the screen for 9.4 ms"]
    again = {"exposure_count": 3, "scroll_count": 2, "delete_reason": "none", "exposure_duration_s": float("nan")}
    assert actions_in_words(table1().ie_action, again) == ["saw it 3 times so far", "scrolled 2 times"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "less than 1 s ago"),
        (40, "40 s ago"),
        (119, "119 s ago"),
        (150, "2 min ago"),
        (7300, "2 h ago"),
        (6e5, "6 days ago"),
    ],
)
def test_a_time_before_the_request(seconds: float, text: str) -> None:
    assert ago(seconds) == text


BEHAVIOURS = [
    {"words": behaviour_sentence(EXPOSURE, "item 7 (category 4)", 90, [])},
    {"words": behaviour_sentence(PAGE_VIEW, "item 88 (category 4)", 40, ["stayed 35 s", "read comments"])},
    {"words": behaviour_sentence(EXPOSURE, "item 9 (category 5)", 30, [])},
]
GROUPS = [{"name": "category 4", "behaviours": [0, 1]}, {"name": "category 5", "behaviours": [2]}]


def candidate(**changes: Any) -> dict[str, Any]:
    return {
        "name": "item 123 (category 4)",
        "score": 0.0,
        "sent_at": 17,
        "rank": 2,
        "without_behaviours": {"rank": 11},
        "effects": [0.1, 0.4, -0.1],
        "ranks_without": [3, 9, 1],
        "groups": [{"effect": 0.6, "rank_without": 12}, {"effect": -0.1, "rank_without": 1}],
    } | changes


def sentence(**changes: Any) -> str:
    return candidate_sentences(candidate(**changes), BEHAVIOURS, GROUPS, candidates=50)


def test_clicked_candidates_are_explained_first() -> None:
    clicked = [False, None, True, False, True]
    document = {
        "candidates": [{"rank": rank, "clicked": each} for rank, each in enumerate(clicked)],
        "shown": [0, 1, 2, 4],
    }
    assert [one["rank"] for one in explained_candidates(document)] == [2, 4, 0, 1]


def test_a_sentence_says_where_the_candidate_would_be() -> None:
    assert sentence() == (
        "Item 123 (category 4) rose from position 17 to 2 of 50. Without the user's behaviours, it would be at 11. "
        "2 behaviours with category 4 raised it most: without them, it would be at 12. "
        "The strongest: the user opened item 88 (category 4) 40 s ago: stayed 35 s, read comments "
        "(+9.9 points of click probability; without this alone, it would be at 9)."
    )


def test_the_category_that_is_named_acts_in_the_direction_of_all_behaviours() -> None:
    assert sentence(without_behaviours={"rank": 1}).endswith(
        "1 behaviour with category 5 lowered it most: without it, it would be at 1. The user saw item 9 (category 5) "
        "30 s ago (-2.5 points of click probability)."
    )
    assert sentence(without_behaviours={"rank": 2}).endswith("Without the user's behaviours, it would be there, too.")
    still = [{"effect": 0.6, "rank_without": 2}] * 2
    assert sentence(groups=still, ranks_without=[2, 2, 2]).endswith("No single category or behaviour decides this.")
    assert "The user opened item 88" in sentence(groups=still)
    assert sentence(sent_at=2).startswith("Item 123 (category 4) stays at position 2 of 50.")
    assert sentence(sent_at=1).startswith("Item 123 (category 4) fell from position 1 to 2 of 50.")
