"""The device turns raw values into the same bytes that training reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec import load_device_model, open_tables
from edgerec.core.errors import SessionError, SpecificationError
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.export.dense_requests import DenseRequests
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Embedding
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
                    item_vector = model.items.vector(values, embedded)
                    assert item_vector.tobytes() == item_row.tobytes()
                    assert behaviours.actions.vector(event).tobytes() == action_vector.tobytes()
                    step = behaviours.encode(event, item_vector, state)
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
    rows = [{"level": 1, "score": 0.5}, {"level": None, "score": -1.0}, {}]
    embedded = {"shop": np.arange(12, dtype=np.float32).reshape(3, 4)}
    together = model.items.vectors(rows, embedded)
    for index, values in enumerate(rows):
        assert together[index].tobytes() == model.items.vector(values, {"shop": embedded["shop"][index]}).tobytes()


def test_an_item_may_have_embeddings_only() -> None:
    encoder = RawEncoder([SHOP])
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert encoder.vectors([{}, {}], {"shop": rows}).tobytes() == rows.tobytes()


@pytest.mark.parametrize("rows", [np.zeros((1, 4), np.float32), np.zeros((3, 4), np.float32), np.float32(0), None])
def test_each_item_needs_its_embedding_row(rows: object) -> None:
    with pytest.raises(SpecificationError, match=r"embedding shop: expected an array of shape \(2, 4\)"):
        RawEncoder([SHOP]).vectors([{}, {}], {"shop": rows})  # type: ignore[dict-item]


def test_an_invalid_value_is_named_in_the_error(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    row = {"shop": np.zeros(4, np.float32)}
    for values, embedded, said in (
        ({"score": float("inf")}, row, "'score' contains an infinite value"),
        ({"score": "much"}, row, "column 'score' has the type"),
        ({}, {}, r"embedding shop: expected an array of shape \(4,\); received NoneType"),
        ({}, {"shop": np.zeros(5, np.float32)}, r"embedding shop: expected an array of shape \(4,\); received \(5,\)"),
    ):
        with pytest.raises(SpecificationError, match=said):
            model.items.vector(values, embedded)


def test_encoding_behaviours_that_the_ranker_does_not_read_is_an_error(bundle_path: Path) -> None:
    whole = load_device_model(bundle_path)
    without = DeviceModel(whole.version_id, whole.spec, whole.limits, {}, whole.ranker)
    with pytest.raises(SessionError, match="does not read page_views"):
        without.page_views  # noqa: B018
