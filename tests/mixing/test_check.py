from __future__ import annotations

from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.mixing.check import check_can_hold
from edgerec.mixing.rules import MixRules, parse_rules


def _rules(page: int, **kinds: dict[str, Any]) -> MixRules:
    return MixRules.model_validate({"page": page, "kinds": kinds})


@pytest.mark.parametrize(
    ("kinds", "without"),
    [
        ({"ad": {"gap": 3}, "video": {"gap": 3}}, "; without `gap` (kinds.ad, kinds.video) they can"),
        ({"ad": {"first": 2}, "video": {"first": 3}}, "; without `first` (kinds.ad, kinds.video) they can"),
        ({"ad": {"at_most": 2}, "video": {"at_most": 3}}, "; without `at_most` (kinds.ad, kinds.video) they can"),
        ({"ad": {"at_least": 2, "first": 6}, "video": {}}, "; without `at_least` (kinds.ad) they can"),
        (
            {"ad": {"first": 2, "gap": 3}, "video": {"first": 2, "gap": 3}},
            "; without `first` (kinds.ad, kinds.video) and `gap` (kinds.ad, kinds.video) they can",
        ),
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
    ad = {"gap": 4, "first": 4, "at_most": 1, "share": [0, 0.1]}
    assert check_can_hold(_rules(6, product={}, ad=ad), where="") == []
    low = {"gap": 4, "share": [0.3, 0.5]}
    assert check_can_hold(_rules(6, product={}, ad=low), where="") == [
        "kinds.ad: the smallest share (0.3) cannot be reached: gap and at_most allow 0.25"
    ]
    high = {"at_least": 3, "share": [0, 0.4]}
    assert check_can_hold(_rules(6, product={}, ad=high), where="") == [
        "kinds.ad: the largest share (0.4) cannot hold: at_least needs 0.5"
    ]


def test_a_gap_of_advertisers_without_their_column_is_a_warning() -> None:
    document = {"kinds": {"product": {}, "ad": {"advertiser_gap": 8}}}
    assert check_can_hold(MixRules.model_validate(document), where="") == [
        "kinds.ad: advertiser_gap (8) has no effect without advertiser_column: add it"
    ]
    assert check_can_hold(MixRules.model_validate({**document, "advertiser_column": "advertiser"}), where="") == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"page": "20", "kinds": {"a": {}}}, "page should be a whole number; received '20'"),
        ({"page": 20.0, "kinds": {"a": {}}}, "page should be a whole number; received 20.0"),
        ({"kinds": {"a": {"gap": True}}}, "kinds.a.gap should be a whole number; received True"),
        ({"kinds": {"a": {"share": ["0", 1]}}}, "kinds.a.share.0 should be a number; received '0'"),
        (
            {"kinds": {"a": {"share": [0, 0.1]}}},
            "the shares of all kinds should be able to sum to 1; the smallest sum to 0, the largest to 0.1",
        ),
        ({"kinds": {"a": {"at_least": 3, "at_most": 1}}}, "kinds.a: at_least (3) should be at most at_most (1)"),
        ({"kinds": {f"k{number}": {} for number in range(9)}}, "kinds should have at most 8 values"),
        ({"unknown": "b", "kinds": {"a": {}}}, "unknown should be one of a; received 'b'"),
    ],
)
def test_wrong_rules_are_one_line_without_the_document(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_rules(document, where="rules.toml")
    assert str(raised.value) == f"rules: rules.toml: {text} (docs/mixing.md)"
