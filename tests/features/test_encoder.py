from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edgerec.core.errors import PluginError, SpecificationError
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import Feature
from edgerec.features.kinds.bucketize import Bucketize
from edgerec.features.kinds.raw import Raw
from edgerec.features.vocabulary import MISSING_ID, Vocabulary

NAN = float("nan")
parse: TypeAdapter[Feature] = TypeAdapter(Feature)


def feature(kind: str, **more: Any) -> Feature:
    return parse.validate_python({"name": more.pop("name", "f"), "source": "x", "kind": kind, **more})


def codes(one: Feature, values: list[Any], dtype: Any = np.float64) -> list[int]:
    return GroupEncoder([one]).encode({"x": np.array(values, dtype)}).codes[:, 0].tolist()


def test_bucketize_returns_the_number_of_the_bucket() -> None:
    one = feature("bucketize", boundaries=[1, 2.5])
    assert codes(one, [-9, 0.99, 1, 2.49, 2.5, 99, NAN]) == [1, 1, 2, 2, 3, 3, 0]
    assert codes(one, [0, 1, 3], np.int64) == [1, 2, 3]


def test_one_hot_returns_the_number_of_a_string() -> None:
    one = feature("one_hot", values=["a", "b"])
    assert codes(one, ["b", "a", "z", None, ""], object) == [2, 1, 0, 0, 0]
    assert codes(one, ["b", "a", ""], np.str_) == [2, 1, 0]


def test_one_hot_returns_the_number_of_an_integer() -> None:
    one = feature("one_hot", values=[5, -1])
    assert codes(one, [5, -1, 0], np.int64) == [1, 2, 0]
    assert codes(one, [5, NAN, -1, 4.5]) == [1, 0, 2, 0]


def test_binarize_compares_values_with_the_threshold() -> None:
    assert codes(feature("binarize"), [0, 0.1, 3, -1, NAN]) == [0, 1, 1, 0, 0]
    assert codes(feature("binarize", threshold=2), [2, 2.1]) == [0, 1]
    assert codes(feature("binarize"), [True, False], np.bool_) == [1, 0]


def test_embedding_returns_the_table_row_of_an_id() -> None:
    encoder = GroupEncoder([feature("embedding", dimension=2, vocabulary=9)], {"f": Vocabulary(np.array([4, 7]))})
    assert encoder.encode({"x": np.array([7, 4, 5, MISSING_ID])}).ids[:, 0].tolist() == [2, 1, 0, 0]


def test_raw_standardises_the_transformed_value() -> None:
    one = feature("raw", mean=2, scale=4)
    encoded = GroupEncoder([one]).encode({"x": np.array([2, 10, 0, NAN])})
    assert encoded.numbers[:, 0].tolist() == [0, 2, -0.5, 0]
    log = feature("raw", transform="log1p", mean=0, scale=2)
    assert GroupEncoder([log]).encode({"x": np.array([0, np.e - 1])}).numbers[:, 0].tolist() == [0, 0.5]


def test_raw_values_are_clipped_after_the_transform() -> None:
    values = np.array([-3, 0.5, 1e30, NAN])
    for bounds, expected in (
        ({"low": -1}, [-1, 0.5, np.float32(1e30), 0]),
        ({"high": 2}, [-3, 0.5, 2, 0]),
        ({"low": -1, "high": 2}, [-1, 0.5, 2, 0]),
    ):
        one = feature("raw", mean=0, scale=1, **bounds)
        assert GroupEncoder([one]).encode({"x": values}).numbers[:, 0].tolist() == expected
    log = feature("raw", transform="log1p", high=2, mean=1, scale=0.5)
    encoded = GroupEncoder([log]).encode({"x": np.array([0, np.e**1.5 - 1, 1e300])}).numbers[:, 0]
    assert encoded.tolist() == pytest.approx([-2, 1, 2])
    # Without the bound, the value would be too large for float32.
    huge = feature("raw", low=0, high=1, mean=0, scale=1)
    assert GroupEncoder([huge]).encode({"x": np.array([1e300])}).numbers.tolist() == [[1]]


@given(
    values=st.lists(st.floats(-50, 50) | st.just(NAN), max_size=30),
    boundaries=st.lists(st.integers(-40, 40), min_size=1, max_size=40, unique=True),
)
def test_codes_of_buckets_equal_a_loop_over_the_boundaries(values: list[float], boundaries: list[int]) -> None:
    one = feature("bucketize", boundaries=sorted(boundaries))
    expected = [0 if np.isnan(value) else 1 + sum(value >= low for low in boundaries) for value in values]
    assert codes(one, values) == expected


GROUP = (
    feature("embedding", name="id", dimension=2, vocabulary=9).model_copy(update={"source": "id"}),
    feature("bucketize", name="bucket", boundaries=[0, 1]).model_copy(update={"source": "number"}),
    feature("raw", name="raw", mean=1, scale=2).model_copy(update={"source": "number"}),
    feature("one_hot", name="word", values=["a", "b"]).model_copy(update={"source": "word"}),
    feature("binarize", name="flag").model_copy(update={"source": "flag"}),
)
ENCODER = GroupEncoder(GROUP, {"id": Vocabulary(np.array([4, 7]))})


def test_expand_concatenates_features_in_their_order() -> None:
    encoded = ENCODER.encode(
        {
            "id": np.array([7, 1]),
            "number": np.array([0.5, NAN]),
            "word": np.array(["b", None], object),
            "flag": np.array([1.0, NAN]),
        }
    )
    table = np.array([[0.25, 0.5], [9, 9], [-1, 1]])
    dense = ENCODER.expand(encoded, {"id": table[encoded.ids[:, 0]]})
    # The columns: embedding of the ID (2), one-hot bins (missing, below 0, below 1, larger), the raw number,
    # one-hot values (missing, a, b), the flag.
    assert dense.tolist() == [
        [-1, 1, 0, 0, 1, 0, -0.25, 0, 0, 1, 1],
        [0.25, 0.5, 1, 0, 0, 0, 0, 1, 0, 0, 0],
    ]
    assert (dense.dtype, ENCODER.width) == (np.float32, 11)
    assert (encoded.ids.dtype, encoded.codes.dtype, encoded.numbers.dtype) == (np.int32, np.uint8, np.float32)


def test_without_rows_the_dense_array_is_empty() -> None:
    nothing = {name: np.array([]) for name in ("number", "flag")}
    encoded = ENCODER.encode({"id": np.array([], np.int64), "word": np.array([], object), **nothing})
    assert ENCODER.expand(encoded, {"id": np.zeros((0, 2))}).shape == (0, 11)


@pytest.mark.parametrize(
    ("one", "column", "message"),
    [
        (feature("bucketize", boundaries=[1]), np.array(["a"]), "reads numbers; column 'x' has the type <U1"),
        (feature("bucketize", boundaries=[1]), np.array([np.inf]), "contains an infinite value"),
        (feature("bucketize", boundaries=[1]), np.array([[1.0]]), r"should have the shape \(1,\).*received \(1, 1\)"),
        (feature("one_hot", values=["a"]), np.array([1]), "lists strings; column 'x' has the type int64"),
        (feature("one_hot", values=["a"]), np.array([b"a"]), "lists strings; column 'x' has the type |S1"),
        (feature("one_hot", values=[1]), np.array(["a"]), "lists integers; column 'x' has the type <U1"),
        (feature("raw", transform="log1p", mean=0, scale=1), np.array([-1.0]), "log1p needs values above -1"),
        (feature("raw", mean=0, scale=1), np.array([1e39]), "too large for float32"),
        (feature("raw", mean=0, scale=1e-300), np.array([1e300]), "too large for float32"),
    ],
)
def test_a_column_of_a_wrong_type_or_value_is_an_error(one: Feature, column: np.ndarray, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        GroupEncoder([one]).encode({"x": column})


@pytest.mark.parametrize("value", [1.5, "a", 2**63, 2**70])
def test_a_value_that_is_not_an_id_is_an_error(value: Any) -> None:
    encoder = GroupEncoder([feature("embedding", dimension=2, vocabulary=9)], {"f": Vocabulary(np.array([4]))})
    with pytest.raises(SpecificationError, match="feature f"):
        encoder.encode({"x": np.array([value])})


def test_a_missing_column_or_another_length_is_an_error() -> None:
    with pytest.raises(SpecificationError, match="reads column 'x', which is missing; the columns are: y"):
        GroupEncoder([feature("binarize")]).encode({"y": np.zeros(1)})
    two = [feature("binarize"), feature("binarize", name="g").model_copy(update={"source": "y"})]
    with pytest.raises(SpecificationError, match=r"column 'y' should have the shape \(2,\)"):
        GroupEncoder(two).encode({"x": np.zeros(2), "y": np.zeros(3)})


def test_an_encoder_needs_vocabularies_and_fitted_features() -> None:
    with pytest.raises(SpecificationError, match="needs a vocabulary; received none"):
        GroupEncoder([feature("embedding", dimension=2, vocabulary=9)])
    with pytest.raises(SpecificationError, match="mean and scale are not fitted yet"):
        GroupEncoder([feature("raw", mean=1)])


@pytest.mark.parametrize("embedded", [None, {}, {"id": np.zeros((1, 3))}, {"id": np.zeros((2, 2))}])
def test_expand_needs_the_rows_of_embedding_tables(embedded: Any) -> None:
    missing = {"id": np.array([MISSING_ID]), "number": np.array([NAN]), "flag": np.array([NAN])}
    encoded = ENCODER.encode({**missing, "word": np.array([None], object)})
    with pytest.raises(SpecificationError, match=r"embedding id: expected table rows of shape \(1, 2\)"):
        ENCODER.expand(encoded, embedded)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (np.array([1.5, 2.5]), "array of 2 integers; received float64"),
        (np.array([1]), r"array of 2 integers; received int64 \(1,\)"),
        ([1, 2], "array of 2 integers; received list"),
    ],
)
def test_a_kind_of_another_package_that_encodes_to_something_else_is_an_error(returned: Any, said: str) -> None:
    class Odd(Bucketize):
        def encode(self, *_: Any) -> Any:
            return returned

    feature = Odd(name="x", source="x", kind="bucketize", boundaries=(1, 2))
    with pytest.raises(PluginError, match=rf"feature x: `tests\..*\.Odd\.encode` should return an {said}"):
        GroupEncoder([feature]).encode({"x": np.array([1.0, 2.0])})


@given(st.integers(0, 5), st.data())
def test_raw_features_have_the_same_bits_together_and_alone(count: int, data: st.DataObject) -> None:
    features = [
        Raw(kind="raw", name="a", source="a", mean=0.3, scale=1.7),
        Raw(kind="raw", name="b", source="b", transform="log1p", low=0.1, high=3.0, mean=0.5, scale=0.2),
        Raw(kind="raw", name="c", source="c", transform="log1p", mean=1.0, scale=3.0),
        Raw(kind="raw", name="d", source="b", low=-1.0, mean=0.0, scale=1e-3),
        Raw(kind="raw", name="e", source="a", high=0.0, mean=0.0, scale=1.0),
        Raw(kind="raw", name="f", source="c", low=-0.0, mean=0.0, scale=1.0),
    ]
    number = st.one_of(st.sampled_from([np.nan, -0.0, 0.0]), st.floats(-0.9, 1e6), st.floats(-0.9, 3))
    columns = {name: np.array(data.draw(st.lists(number, min_size=count, max_size=count))) for name in "abc"}
    together = GroupEncoder(features).encode(columns).numbers
    for index, feature in enumerate(features):
        assert together[:, index].tobytes() == feature.encode(columns[feature.source]).tobytes()


@given(st.lists(st.floats(-0.9, 1e30) | st.floats(-0.9, 2)), st.data())
def test_a_raw_number_has_the_same_bits_alone_and_among_others(values: list[float], data: st.DataObject) -> None:
    bound = st.sampled_from([None, -0.0, 0.0, 0.5, 1.0])
    low, high = data.draw(bound), data.draw(bound)
    if low is not None and high is not None:
        low, high = sorted((low, high))
    mean, scale = data.draw(st.sampled_from([(0.0, 1.0), (0.3, 1.7)]))
    transform = data.draw(st.sampled_from(["none", "log1p"]))
    one = feature("raw", transform=transform, low=low, high=high, mean=mean, scale=scale)
    column = np.array([*values, NAN, -0.0, 0.0, 0.5, 1.0])
    alone = [one.encode(column[row : row + 1]) for row in range(len(column))]
    assert one.encode(column).tobytes() == np.concatenate(alone).tobytes()


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kinds", [("raw", "bucketize", "raw"), ("raw", "raw"), ("raw",), ("binarize", "one_hot"), ()])
def test_vectors_are_those_of_the_codes(kinds: tuple[str, ...], count: int) -> None:
    more: dict[str, dict[str, Any]] = {
        "raw": {"mean": 0.5, "scale": 2.0},
        "bucketize": {"boundaries": [1, 2]},
        "one_hot": {"values": [0, 1, 2]},
    }
    encoder = GroupEncoder([feature(kind, name=f"f{row}", **more.get(kind, {})) for row, kind in enumerate(kinds)])
    columns = [np.arange(count) + 0.0 for _ in kinds]
    vectors = np.zeros((count, encoder.width), np.float32)
    encoder.vectors(columns, vectors)
    assert vectors.tobytes() == encoder.expand(encoder.encode_each(columns, count)).tobytes()
