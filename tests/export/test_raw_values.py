"""The device turns raw values into the same bytes that training reads."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgerec import load_device_model, open_tables
from edgerec.core.errors import SessionError, SpecificationError
from edgerec.data.columns import to_array
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.export.dense_requests import DenseRequests
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import BaseFeature, Binarize, Bucketize, Embedding, OneHot, Raw
from edgerec.features.kinds.base import Reads
from edgerec.features.vocabulary import MISSING_ID
from edgerec.model.runs import load_run

SHOP = Embedding(kind="embedding", name="shop", source="shop", origin="catalogue", dimension=4, vocabulary=9)


def test_raw_values_give_the_bytes_that_training_reads(bundle_path: Path, run_path: Path, samples: Samples) -> None:
    model, tables = load_device_model(bundle_path), open_tables(bundle_path / "cloud").tables
    items = {row["item_id"]: row for row in pl.read_parquet(samples.path.parent / "logs" / "items.parquet").to_dicts()}
    events = pl.read_parquet(samples.path.parent / "logs" / "events" / "*.parquet").sort("time", maintain_order=True)
    dense = DenseRequests(samples, split_tables(run_path), matching=False)
    compared = 0
    for shard in samples.shards(TEST):
        requests = shard.requests
        for row in range(0, len(requests), 5):
            case = dense.case(shard, row, np.zeros(1, np.float32))
            known = events.filter((pl.col("user_id") == requests.user[row]) & (pl.col("time") < requests.time[row]))
            for kind in BEHAVIOUR_KINDS:
                behaviours = getattr(model, kind.plural)
                state = expected_state = behaviours.initial_state()
                action, item, _, _ = case.of(kind)
                raw = known.filter(pl.col("kind") == kind.name).tail(len(action)).to_dicts()
                assert len(raw) == len(action)
                for event, action_vector, item_row in zip(raw, action, item, strict=True):
                    values = {**items[event["item_id"]], **event}
                    embedded = {"shop": tables["shop"].get_many(np.array([values["shop"]])).rows[0]}
                    item_vector = model.items.vector({key: values[key] for key in ("level", "score")}, embedded)
                    assert item_vector.tobytes() == item_row.tobytes()
                    read = {feature.source: event[feature.source] for feature in model.spec.actions(kind)}
                    assert behaviours.actions.vector(read).tobytes() == action_vector.tobytes()
                    step = behaviours.encode(read, item_vector, state)
                    expected = behaviours.stepper.step(action_vector, item_row, expected_state)
                    assert [part.tobytes() for part in step] == [part.tobytes() for part in expected]
                    state, expected_state = step.state, expected.state
                    compared += 1
    assert compared > 50


def split_tables(run_path: Path) -> dict[str, object]:
    from edgerec.export.split import split

    return split(load_run(run_path)).tables  # type: ignore[return-value]


def test_vectors_of_many_rows_equal_vectors_of_single_rows(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    rows = [{"level": 1, "score": 0.5}, {"level": None, "score": -1.0}, {"level": None, "score": None}]
    embedded = {"shop": np.arange(12, dtype=np.float32).reshape(3, 4)}
    together = model.items.vectors(rows, embedded)
    for index, values in enumerate(rows):
        assert together[index].tobytes() == model.items.vector(values, {"shop": embedded["shop"][index]}).tobytes()


class LastDigit(BaseFeature):
    """A feature kind of another package that reads IDs and has no table."""

    kind: Literal["last_digit"] = "last_digit"

    @property
    def reads(self) -> Reads:
        return "identities"

    @property
    def codes(self) -> int:
        return 11

    def encode(self, column: np.ndarray, vocabulary: object = None) -> np.ndarray:
        assert column.dtype == np.int64
        return np.where(column == MISSING_ID, 0, 1 + column % 10).astype(np.uint8)


FEATURES: tuple[BaseFeature, ...] = (
    Bucketize(kind="bucketize", name="bucket", source="number", boundaries=(0, 1)),
    Raw(kind="raw", name="raw", source="number", mean=1, scale=2),
    OneHot(kind="one_hot", name="large", source="whole", values=(2**53, 4)),
    LastDigit(name="digit", source="whole"),
    OneHot(kind="one_hot", name="word", source="word", values=("a", "b")),
    Binarize(kind="binarize", name="flag", source="flag"),
)
RAW_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | st.floats(-1e6, 1e6) | st.integers(-9, 9),
            "whole": st.none() | st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([4, 2**53]),
            "word": st.none() | st.sampled_from(["a", "b", "", "c"]),
            "flag": st.none() | st.booleans() | st.floats(-1, 1),
        }
    ),
    max_size=8,
)


@given(rows=RAW_ROWS)
@example(rows=[{"number": 1, "whole": None, "word": "a", "flag": None}])
@example(rows=[{"number": 1, "whole": 2**53 + 1, "word": "a", "flag": None}])
@example(rows=[{"number": 2**70, "whole": 1, "word": "a", "flag": None}])
def test_the_device_reads_raw_values_as_training_reads_columns(rows: list[dict[str, Any]]) -> None:
    types = {"number": pl.Float64(), "whole": pl.Int64(), "word": pl.String(), "flag": pl.Float64()}
    table = {name: pl.Series([row[name] for row in rows], dtype=dtype, strict=False) for name, dtype in types.items()}
    training = GroupEncoder(FEATURES)
    columns = [to_array(table[feature.source], feature) for feature in FEATURES]
    expected = training.expand(training.encode_each(columns, len(rows)))
    device = RawEncoder(FEATURES)
    assert device.vectors(rows).tobytes() == expected.tobytes()
    assert b"".join(device.vector(row).tobytes() for row in rows) == expected.tobytes()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, np.uint64(2**63)])
def test_an_id_that_int64_cannot_represent_is_refused(value: int) -> None:
    with pytest.raises(SpecificationError, match="feature digit: column 'id' contains an ID that is too large for"):
        RawEncoder([LastDigit(name="digit", source="id")]).vector({"id": value})


def test_an_item_may_have_embeddings_only() -> None:
    encoder = RawEncoder([SHOP])
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert encoder.vectors([{}, {}], {"shop": rows}).tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((1, 4), np.float32),
        np.zeros((3, 4), np.float32),
        np.float32(0),
        None,
        [[0.0] * 4] * 2,
        np.zeros((2, 4), int),
        np.zeros((2, 4), complex),
        np.zeros((2, 4), object),
        np.full((2, 4), "1"),
        np.ma.masked_array(np.zeros((2, 4), np.float32), mask=True),
    ],
)
def test_each_item_needs_its_embedding_row(rows: object) -> None:
    with pytest.raises(
        SpecificationError, match=r"embedding shop: expected an array of floating-point numbers of shape \(2, 4\)"
    ):
        RawEncoder([SHOP]).vectors([{}, {}], {"shop": rows})  # type: ignore[dict-item]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300])
def test_embedding_rows_are_finite_in_float32(number: float) -> None:
    rows = np.zeros((2, 4))
    rows[1, 2] = number
    with pytest.raises(SpecificationError, match="embedding shop: expected finite numbers"):
        RawEncoder([SHOP]).vectors([{}, {}], {"shop": rows})  # type: ignore[dict-item]


def test_an_embedding_that_underflows_in_float32_becomes_zero() -> None:
    rows = np.full((2, 4), 1e-300)
    with np.errstate(all="raise"):
        vectors = RawEncoder([SHOP]).vectors([{}, {}], {"shop": rows})  # type: ignore[dict-item]
    assert not vectors.any()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_embedding_rows_are_converted_to_float32(dtype: str) -> None:
    rows = np.arange(8).reshape(2, 4)
    vectors = RawEncoder([SHOP]).vectors([{}, {}], {"shop": rows.astype(dtype)})  # type: ignore[dict-item]
    assert vectors.tobytes() == rows.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("embedded", "said"),
    [
        (None, "embeddings: absent key 'shop'; the known keys are: shop"),
        ({"shp": np.zeros((2, 4), np.float32)}, "embeddings: unknown key 'shp', absent key 'shop'"),
        ([], "embeddings: expected a mapping, such as a dict; received list"),
    ],
)
def test_embedding_rows_have_the_names_of_the_features(embedded: object, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        RawEncoder([SHOP]).vectors([{}, {}], embedded)  # type: ignore[arg-type]


ROW = {"level": 1, "score": 0.5}
SHOP_ROW = {"shop": np.zeros(4, np.float32)}


@pytest.mark.parametrize("score", [float("nan"), float("inf"), np.float32("-inf"), np.float64("nan"), 10**400])
def test_a_number_that_is_not_finite_is_refused(bundle_path: Path, score: float) -> None:
    with pytest.raises(SpecificationError, match="column 'score' contains NaN, an infinite value or a number that is"):
        load_device_model(bundle_path).items.vector({**ROW, "score": score}, SHOP_ROW)


@pytest.mark.parametrize(
    "score", ["much", b"1", 1j, [1.0], {}, np.zeros(1), np.timedelta64(1), np.timedelta64("NaT"), object()]
)
def test_a_feature_of_numbers_refuses_other_types(bundle_path: Path, score: object) -> None:
    said = rf"score \(raw\) reads numbers; a value of column 'score' has the type {type(score).__name__}"
    with pytest.raises(SpecificationError, match=said):
        load_device_model(bundle_path).items.vector({**ROW, "score": score}, SHOP_ROW)  # type: ignore[dict-item]


@pytest.mark.parametrize("reason", [3, b"seen", float("nan"), True, ["seen"], np.array("seen")])
def test_a_feature_of_strings_refuses_other_types(bundle_path: Path, reason: object) -> None:
    model = load_device_model(bundle_path)
    said = rf"reason \(one_hot\) reads strings; a value of column 'reason' has the type {type(reason).__name__}"
    with pytest.raises(SpecificationError, match=said):
        model.exposures.actions.vector({"duration_s": 1.0, "reason": reason})  # type: ignore[dict-item]


def test_numpy_scalars_are_raw_values(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    scalars = {"level": np.int64(1), "score": np.float64(0.5)}
    assert model.items.vector(scalars, SHOP_ROW).tobytes() == model.items.vector(ROW, SHOP_ROW).tobytes()
    names = {"duration_s": np.float32(2), "reason": np.str_("seen")}
    expected = model.exposures.actions.vector({"duration_s": 2, "reason": "seen"})
    assert model.exposures.actions.vector(names).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "absent key 'duration_s', absent key 'reason'; the known keys are: duration_s, reason"),
        ({"duration_s": 1}, "absent key 'reason'"),
        ({"duration_s": 1, "raeson": "seen"}, "unknown key 'raeson', absent key 'reason'"),
        ({"duration_s": 1, "reason": "seen", 1: 2}, "unknown key 1; the known keys"),
        (None, "expected a mapping, such as a dict; received NoneType"),
        ([1, "seen"], "expected a mapping, such as a dict; received list"),
    ],
)
def test_the_keys_of_an_action_are_the_columns_that_its_features_read(
    bundle_path: Path, values: object, said: str
) -> None:
    model = load_device_model(bundle_path)
    item = np.zeros(model.items.width, np.float32)
    with pytest.raises(SpecificationError, match=f"^raw values: {said}"):
        model.exposures.encode(values, item, model.exposures.initial_state())  # type: ignore[arg-type]
    with pytest.raises(SpecificationError, match=r"^raw values: .*the known keys are: duration_s, bought: give a miss"):
        model.page_views.encode({"reason": "seen"}, item, model.page_views.initial_state())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ROW, {"level": 1}], "raw values of row 1: absent key 'score'; the known keys are: level, score"),
        ([ROW, {**ROW, "shop": 3}], "raw values of row 1: unknown key 'shop'; the known keys are: level, score"),
        ([None], "raw values of row 0: expected a mapping, such as a dict; received NoneType"),
        ("ab", "raw values of row 0: expected a mapping, such as a dict; received str"),
        (None, "raw values: expected a list of rows; received NoneType"),
        (ROW, "raw values: expected a list of rows; received dict"),
    ],
)
def test_the_keys_of_items_are_the_columns_that_their_features_read(bundle_path: Path, rows: object, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        load_device_model(bundle_path).items.vectors(rows, {"shop": np.zeros((2, 4), np.float32)})  # type: ignore[arg-type]


def test_a_mapping_that_is_no_dict_is_read(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    rows = {"shop": np.zeros((1, 4), np.float32)}
    expected = model.items.vector(ROW, SHOP_ROW)
    assert model.items.vectors([MappingProxyType(ROW)], rows)[0].tobytes() == expected.tobytes()


def test_encoding_behaviours_that_the_ranker_does_not_read_is_an_error(bundle_path: Path) -> None:
    whole = load_device_model(bundle_path)
    without = DeviceModel(whole.version_id, whole.spec, whole.limits, {}, whole.ranker)
    with pytest.raises(SessionError, match="does not read page_views"):
        without.page_views  # noqa: B018
