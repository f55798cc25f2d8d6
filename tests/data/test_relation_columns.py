"""Relations read columns of the catalogue: columns of a wrong type are errors."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import LogsError
from edgerec.data.feature_columns import check_relations
from edgerec.data.relation_facts import catalogue_facts
from edgerec.features.relations.facts import key_of
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import MISSING_ID
from tests.synthetic import SPEC

COUNT = {"compute": "count", "same": "x"}
VALUE = {"compute": "value", "column": "x"}


def spec_of(*rules: dict[str, str]) -> FeatureSpec:
    relations = [
        {"name": f"r{number}", "kind": "raw", "relation": {"behaviours": "exposures", **rule}}
        for number, rule in enumerate(rules)
    ]
    return FeatureSpec.model_validate({**SPEC.model_dump(mode="json"), "relations": relations})


WRONG: list[tuple[list[dict[str, str]], Any, str]] = [
    ([COUNT], None, "table 'items' has no column 'x', which relation r0 reads"),
    ([COUNT], [1.5], r"items\.x should hold integers or strings \(relation r0\); received Float64"),
    ([COUNT], [True], "should hold integers or strings"),
    ([{**VALUE, "same": "x"}], [1.5], "should hold integers or strings"),
    ([VALUE, COUNT], [1.5], r"should hold integers or strings \(relation r1\)"),
    ([VALUE], ["a"], r"items\.x should hold numbers \(relation r0\); received String"),
    ([VALUE], [float("nan")], "holds NaN or infinity"),
    ([COUNT], pl.Series([2**63], dtype=pl.UInt64), "holds integers that are too large for int64"),
]


@pytest.mark.parametrize(("rules", "values", "message"), WRONG)
def test_a_column_of_a_wrong_type_is_an_error(rules: list[dict[str, str]], values: Any, message: str) -> None:
    columns = {} if values is None else {"x": values}
    with pytest.raises(LogsError, match=message):
        check_relations(pl.DataFrame({"item_id": [7], **columns}), spec_of(*rules))


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "", "b"],
        pl.Series(["a", None, "", "b"], dtype=pl.Categorical),
        [1, None, 2**63 - 1, -5],
        pl.Series([1, None, 2**63 - 1, 5], dtype=pl.UInt64),
        [None] * 4,
    ],
    ids=str,
)
def test_the_keys_of_a_column_are_those_of_its_values(values: Any) -> None:
    items = pl.DataFrame({"item_id": range(4), "x": values})
    spec = spec_of(COUNT)
    check_relations(items, spec)
    keys = catalogue_facts(items, spec).keys[:, 0].tolist()
    assert keys == [key_of(value) for value in items["x"].to_list()]
    assert keys[1] == MISSING_ID
