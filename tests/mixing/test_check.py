from __future__ import annotations

from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.mixing.check import check_can_hold
from edgerec.mixing.rules import MixRules


def _rules(page: int, **kinds: dict[str, Any]) -> MixRules:
    return MixRules.model_validate({"page": page, "kinds": kinds})


@pytest.mark.parametrize(
    ("kinds", "without"),
    [
        ({"ad": {"gap": 3}, "video": {"gap": 3}}, "without `gap` they can"),
        ({"ad": {"first": 2}, "video": {"first": 3}}, "without `first` they can"),
        ({"ad": {"at_most": 2}, "video": {"at_most": 3}}, "without `at_most` they can"),
        ({"ad": {"at_least": 2, "first": 6}, "video": {}}, "without `at_least` they can"),
        ({"ad": {"first": 2, "gap": 3}, "video": {"first": 2, "gap": 3}}, "they can without first, gap"),
    ],
)
def test_rules_that_no_list_follows_are_one_line(kinds: dict[str, Any], without: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_can_hold(_rules(6, **kinds), where="rules.toml")
    text = str(raised.value)
    assert text.startswith("rules: rules.toml: they contradict each other: even with enough cards of each kind")
    assert without in text
    assert "\n" not in text


def test_rules_that_hold_have_no_warning_and_impossible_shares_have_one() -> None:
    ad = {"gap": 4, "first": 4, "at_most": 1, "advertiser_gap": 8, "share": [0, 0.1]}
    assert check_can_hold(_rules(6, product={}, ad=ad), where="") == []
    low = {"gap": 4, "share": [0.3, 0.5]}
    assert check_can_hold(_rules(6, product={}, ad=low), where="") == [
        "kinds.ad: the smallest share (0.3) cannot be reached: gap and at_most allow 0.25"
    ]
    high = {"at_least": 3, "share": [0, 0.4]}
    assert check_can_hold(_rules(6, product={}, ad=high), where="") == [
        "kinds.ad: the largest share (0.4) cannot hold: at_least needs 0.5"
    ]
