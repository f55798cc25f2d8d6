from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import PluginError, SpecificationError
from edgerec.features.kinds.base import BaseFeature
from edgerec.features.spec import FeatureSpec, load_spec, parse_spec, table1

DOCUMENT: dict[str, Any] = {
    "format": 1,
    "name": "small",
    "ie_action": [{"name": "e1", "source": "duration", "kind": "bucketize", "boundaries": [1, 2.5]}],
    "ipv_action": [{"name": "d7", "source": "buy", "kind": "binarize"}],
    "item": [
        {
            "name": "p1",
            "source": "category",
            "origin": "catalogue",
            "kind": "embedding",
            "dimension": 3,
            "vocabulary": 9,
        },
        {"name": "p3", "source": "gender", "origin": "catalogue", "kind": "one_hot", "values": ["female", "male"]},
        {"name": "p7", "source": "score", "origin": "served", "kind": "raw", "high": 10},
    ],
}


def test_each_feature_has_the_width_of_its_dense_vector() -> None:
    spec = parse_spec(json.dumps(DOCUMENT), where="here")
    assert [feature.width for feature in (*spec.ie_action, *spec.ipv_action, *spec.item)] == [4, 1, 3, 3, 1]
    assert [feature.name for feature in spec.embeddings] == ["p1"]


def test_a_written_specification_is_read_without_change() -> None:
    for spec in (parse_spec(json.dumps(DOCUMENT), where="here"), table1()):
        assert parse_spec(json.dumps(spec.model_dump(mode="json", exclude_none=True)), where="again") == spec


def test_table1_has_the_papers_features() -> None:
    spec = table1()
    assert [f.name.split("_")[0] for f in spec.ie_action] == [f"e{i}" for i in range(1, 8)]
    assert [f.name.split("_")[0] for f in spec.ipv_action] == [f"d{i}" for i in range(1, 13)]
    assert [f.name.split("_")[0] for f in spec.item] == [f"p{i}" for i in range(1, 8)]


FAULTS = {
    "format 2": ((), "format", 2, "format 2, but this version of EdgeRec reads format 1"),
    "format true": ((), "format", True, "format True, but this version of EdgeRec reads format 1"),
    "extra": ((), "colour", "red", "colour is not a known key; the known keys are: format, name, ie_action"),
    "no features": ((), "item", [], "item should not be empty"),
    "kind": (("item", 0), "kind", "magic", "item.0"),
    "name": (("item", 0), "name", "a/b", "only letters, digits"),
    "source": (("item", 0), "source", "", "source"),
    "twice": (("item", 1), "name", "P1", "item: names should be unique; received p1 twice"),
    "origin": (("item", 1), "origin", None, "origin should be 'catalogue' or 'served'"),
    "origin of action": (("ie_action", 0), "origin", "served", "origin is for features of an item or of the context"),
    "descending": (("ie_action", 0), "boundaries", [2, 1], "strictly ascending"),
    "equal": (("ie_action", 0), "boundaries", [1, 1], "strictly ascending"),
    "no boundaries": (("ie_action", 0), "boundaries", [], "boundaries"),
    "too many": (("ie_action", 0), "boundaries", list(range(254)), "boundaries"),
    "infinite": (("ie_action", 0), "boundaries", [1, float("inf")], "finite"),
    "nan": (("ie_action", 0), "boundaries", [float("nan")], "finite"),
    "booleans": (("ie_action", 0), "boundaries", [False, True], "boundaries.0 should be a number; received False"),
    "mixed": (("item", 1), "values", ["a", 1], "all integers or all strings"),
    "repeated": (("item", 1), "values", ["a", "a"], "unique"),
    "huge": (("item", 1), "values", [2**60], r"item\.1\.values\.0 should be an integer up to 2\^53, or a string"),
    "misspelt": (("item", 1), "valeus", ["a"], r"item\.1\.valeus is not a known key \(did you mean values\?\)"),
    "dimension": (("item", 0), "dimension", 0, "dimension"),
    "vocabulary": (("item", 0), "vocabulary", 2**31, "vocabulary"),
    "scale": (("item", 2), "scale", 0, "scale"),
    "transform": (("item", 2), "transform", "sqrt", "transform"),
    "infinite bound": (("item", 2), "high", float("inf"), "finite"),
    "bounds": (("item", 2), "low", 1e9, "low should be at most high; received 1e.09 and 10"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_specification_is_an_error(fault: str) -> None:
    path, key, value, message = FAULTS[fault]
    document = copy.deepcopy(DOCUMENT)
    node: Any = document
    for step in path:
        node = node[step]
    node[key] = value
    with pytest.raises(SpecificationError, match=message) as caught:
        parse_spec(json.dumps(document), where="features.json")
    assert str(caught.value).startswith("feature specification: features.json")
    assert "\n" not in str(caught.value)


def test_only_item_features_may_be_embeddings() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["ie_action"] = [{"name": "e", "source": "x", "kind": "embedding", "dimension": 2, "vocabulary": 3}]
    with pytest.raises(SpecificationError, match="embeddings are for item features only"):
        parse_spec(json.dumps(document), where="here")


LAST_DURATION = {"behaviours": "exposures", "compute": "value", "column": "duration"}
"""A relation that reads a column of actions."""


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        ([None], "relations.0.source is missing"),
        ([{**LAST_DURATION, "compute": "difference"}], "a candidate has no value of 'duration'"),
        ([{"behaviours": "exposures", "compute": "count", "same": "score"}], "'score', which is a served value"),
        (
            [LAST_DURATION, {**LAST_DURATION, "behaviours": "page_views"}],
            "the column 'duration' is a column of actions",
        ),
        (
            [LAST_DURATION, {"behaviours": "page_views", "compute": "count", "same": "duration"}],
            "the column 'duration' is a column of actions in one relation and of items in another",
        ),
    ],
)
def test_a_relation_that_reads_a_wrong_column_is_an_error(relations: list[Any], message: str) -> None:
    made = [{"name": f"r{number}", "kind": "raw", "relation": rule} for number, rule in enumerate(relations)]
    with pytest.raises(SpecificationError, match=message):
        parse_spec(json.dumps({**DOCUMENT, "relations": made}), where="here")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_text_that_is_not_a_specification_is_an_error(text: bytes) -> None:
    with pytest.raises(SpecificationError):
        parse_spec(text, where="here")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="No such file"):
        load_spec(tmp_path / "features.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_in_a_field_is_accepted_or_a_specification_error(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    group = data.draw(st.sampled_from([None, "ie_action", "ipv_action", "item"]))
    node: Any = document if group is None else data.draw(st.sampled_from(document[group]))
    node[data.draw(st.sampled_from(sorted(node)) | st.text(max_size=8))] = data.draw(values)
    try:
        spec = parse_spec(json.dumps(document), where="here")
    except SpecificationError as error:
        assert "\n" not in str(error)  # noqa: PT017 - every message should be one line
    else:
        assert isinstance(spec, FeatureSpec)


@settings(max_examples=100, deadline=None)
@given(text=st.binary(max_size=200))
def test_random_bytes_are_a_specification_error(text: bytes) -> None:
    with pytest.raises(SpecificationError):
        parse_spec(text, where="here")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_change_of_bytes_is_accepted_or_a_specification_error(tmp_path: Path, data: st.DataObject) -> None:
    content = json.dumps(DOCUMENT, indent=1).encode()
    at = data.draw(st.integers(0, len(content)))
    piece = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"1e999", b"NaN", b"null", b"-", b'"', b"{", b"[" * 2000])
    )
    (tmp_path / "features.json").write_bytes(content[:at] + piece + content[at + data.draw(st.integers(0, 40)) :])
    try:
        spec = load_spec(tmp_path / "features.json")
    except SpecificationError as error:
        assert "\n" not in str(error)  # noqa: PT017 - every message should be one line
    else:
        assert isinstance(spec, FeatureSpec)


def test_a_feature_kind_without_its_methods_is_an_error_of_its_package() -> None:
    class Unfinished(BaseFeature):
        pass

    feature = Unfinished(name="a", source="a", kind="odd")
    with pytest.raises(PluginError, match="feature kind odd: Unfinished should define `encode`"):
        feature.encode(np.zeros(1))
    with pytest.raises(PluginError, match="should define `fit_vocabulary`"):
        feature.fit_vocabulary(np.zeros(1, np.int64), np.zeros(1, np.int64))
