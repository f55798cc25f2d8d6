"""The field `as_of` of features: what a specification accepts, and that documents without it keep their bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgerec.core.errors import SpecificationError
from edgerec.features.spec import FeatureSpec, parse_spec, table1

PLAIN = {"name": "plain", "source": "plain", "kind": "raw"}
VIEWS = {"count": "page_view", "by": ["item_id"]}


def item(as_of: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    made = {"name": "views", "source": "views", "kind": "raw", "origin": "served", **fields}
    return made if as_of is None else {**made, "as_of": as_of}


def parsed(
    *items: dict[str, Any], exposure: dict[str, Any] | None = None, page_view: dict[str, Any] | None = None
) -> FeatureSpec:
    actions = {"ie_action": [exposure or PLAIN], "ipv_action": [page_view or PLAIN]}
    return parse_spec(json.dumps({"format": 1, "name": "test", **actions, "item": list(items)}), where="test")


def test_a_feature_without_as_of_has_no_such_field_in_json() -> None:
    assert "as_of" not in table1().model_dump_json()
    assert "as_of" not in str(table1().model_dump(mode="json"))


def test_as_of_has_only_the_fields_that_were_given() -> None:
    spec = parsed(item(VIEWS))
    assert spec.model_dump(mode="json")["item"][0]["as_of"] == VIEWS
    assert parse_spec(spec.model_dump_json(), where="test") == spec


def test_a_rate_names_a_fact_or_describes_it() -> None:
    rate = {**VIEWS, "per": "exposure", "prior": 0.1, "prior_weight": 2.0}
    share = {**rate, "per": {"count": "page_view", "by": []}}
    for as_of in (rate, share):
        assert parsed(item(as_of)).model_dump(mode="json")["item"][0]["as_of"] == as_of
    assert parsed(item({**rate, "per": {"count": "exposure"}})) == parsed(item(rate))


def test_several_features_may_read_one_column() -> None:
    parsed(item(VIEWS), item(None, name="log"), item(VIEWS, name="again"))
    with pytest.raises(SpecificationError, match="log: another feature computes the column 'views' in another way"):
        parsed(item(VIEWS), item({**VIEWS, "within_s": 60}, name="log"))


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        ({"by": ["item_id"]}, "exactly one of count, since_last and since_first; received none"),
        ({**VIEWS, "since_last": "page_view"}, "received count, since_last"),
        ({"count": "page_view", "by": []}, "by should not be empty"),
        ({"count": "page_view", "by": ["item_id", "item_id"]}, "by: columns should be unique"),
        ({"count": "click", "by": ["item_id"]}, "'exposure', 'page_view', 'behaviour' or 'listed'"),
        ({**VIEWS, "within_s": 60, "half_life_s": 60}, "within_s or half_life_s, not both"),
        ({**VIEWS, "within_s": 0}, "within_s"),
        ({**VIEWS, "per": "exposure"}, "a rate needs per, prior and prior_weight"),
        ({**VIEWS, "unit_s": 60}, "unit_s does not belong to count"),
        ({"since_last": "page_view", "by": ["item_id"], "within_s": 60}, "within_s does not belong to since_last"),
        ({"count": "listed", "by": ["item_id"], "where": "bought"}, "where is a column of events"),
        ({"count": "listed", "by": ["item_id"], "time": "shown_at"}, "time is a column of events"),
    ],
)
def test_fields_that_contradict_each_other_are_an_error(as_of: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        parsed(item(as_of))


def test_only_numbers_that_are_not_in_the_catalogue_can_be_computed() -> None:
    with pytest.raises(SpecificationError, match="views: as_of is for item features of origin 'served'"):
        parsed(item(VIEWS, origin="catalogue"))
    with pytest.raises(SpecificationError, match="views: as_of gives numbers, but one_hot reads strings"):
        parsed(item(VIEWS, kind="one_hot", values=["a"]))


def test_both_groups_of_actions_compute_a_column_that_they_share() -> None:
    decay = {"name": "decay", "source": "decay", "kind": "raw"}
    exposure, page_view = ({**decay, "as_of": {"since_last": k, "by": ["user_id"]}} for k in ("exposure", "page_view"))
    parsed(item(None), exposure=exposure, page_view=page_view)
    with pytest.raises(SpecificationError, match="the group ie_action computes the column 'decay'"):
        parsed(item(None), exposure=exposure, page_view=decay)
    with pytest.raises(SpecificationError, match="the group item computes the column 'views'"):
        parsed(item(VIEWS), exposure={**PLAIN, "source": "views"})
