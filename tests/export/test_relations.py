"""Relations and context: training and the device compute the same bytes, and exported models read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec import load_device_model, open_tables
from edgerec.core.errors import SessionError, SpecificationError
from edgerec.data.samples import TEST, Samples, open_samples
from edgerec.device_runtime.relations import History
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.split import split
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.relations.facts import Facts
from edgerec.model.ablation import trees
from edgerec.model.batches import make_batch
from edgerec.model.runs import load_run
from tests.bench.in_this_process import bench_here
from tests.synthetic import whole


@pytest.fixture
def rich(plus_path: Path) -> Samples:
    """Return samples with a context and with relations. Their logs are in the folder `logs` next to them."""
    return open_samples(plus_path / "samples")


@pytest.fixture
def exported(plus_path: Path) -> tuple[Path, Path]:
    return plus_path / "run", plus_path / "bundle"


def test_raw_values_give_the_candidate_vectors_that_training_reads(rich: Samples, exported: tuple[Path, Path]) -> None:
    run_path, bundle = exported
    model, tables = load_device_model(bundle), open_tables(bundle / "cloud").tables
    logs = rich.path.parent / "logs"
    items = {row["item_id"]: row for row in pl.read_parquet(logs / "items.parquet").to_dicts()}
    events = pl.read_parquet(logs / "events" / "*.parquet").sort("time", maintain_order=True)
    asked = {row["request_id"]: row for row in pl.read_parquet(logs / "requests" / "*.parquet").to_dicts()}
    dense = DenseRequests(rich, split(load_run(run_path)).tables, matching=True)
    relations = model.candidates.relations
    assert set(relations.item_columns) == {"item_id", "shop", "level", "score"}
    compared = 0
    for shard in rich.shards(TEST):
        for row in range(len(shard.requests)):
            expected = dense.case(shard, row, np.zeros(1, np.float32)).candidates
            request = asked[shard.requests.request_id[row]]
            known = events.filter((pl.col("user_id") == request["user_id"]) & (pl.col("time") < request["time"]))
            histories: dict = {}
            for kind in BEHAVIOUR_KINDS:
                history = relations.empty()
                for event in known.filter(pl.col("kind") == kind.name).to_dicts():
                    values = {**items[event["item_id"]], **event}
                    item = {name: values[name] for name in relations.item_columns}
                    history = history.append(relations.behaviour(kind, item, event), event["time"])
                histories[kind] = history
            rows = [
                {**items[item], "score": score}
                for item, score in zip(request["item_id"], request["score"], strict=True)
            ]
            shops = tables["shop"].get_many(np.array([each["shop"] for each in rows])).rows
            vectors = model.items.vectors(
                [{name: each[name] for name in ("level", "score")} for each in rows], {"shop": shops}
            )
            received = model.candidates.vectors(
                vectors,
                items=[{name: each[name] for name in relations.item_columns} for each in rows],
                histories=histories,
                context={name: request[name] for name in ("device", "battery")},
                time=request["time"],
            )
            assert received.tobytes() == expected.tobytes()
            compared += len(rows)
    assert compared > 100


def test_relations_change_with_the_history(rich: Samples, exported: tuple[Path, Path]) -> None:
    model = load_device_model(exported[1])
    relations = model.candidates.relations
    item = {"item_id": 5, "shop": 7, "level": 2, "score": 0.5}
    without = relations.vectors(relations.items([item]), {}, time=10_000)
    history = relations.empty().append(relations.behaviour(BEHAVIOUR_KINDS[0], item, {}), 4_000)
    assert (relations.vectors(relations.items([item]), {BEHAVIOUR_KINDS[0]: history}, time=10_000) != without).any()


def test_wrong_arguments_of_candidates_are_errors(exported: tuple[Path, Path]) -> None:
    model = load_device_model(exported[1])
    encoder, relations = model.candidates, model.candidates.relations
    item = {"item_id": 5, "shop": 7, "level": 2, "score": 0.5}
    vectors = np.zeros((1, model.items.width), np.float32)
    context = {"device": "phone", "battery": None}
    good = {"items": [item], "context": context, "time": 5}
    facts = relations.items([{**item, "level": 3}])
    assert encoder.vectors(vectors, **good).shape == (1, encoder.width)
    for faulty, error, message in (
        ({"time": None}, SessionError, "`time` should be milliseconds"),
        ({"time": 1.5}, SessionError, "`time` should be milliseconds"),
        ({"time": 2**63}, SessionError, "`time` should be milliseconds"),
        ({"items": None}, SpecificationError, "expected a list of rows; received NoneType"),
        ({"items": []}, SessionError, "as many rows"),
        ({"items": [{}]}, SpecificationError, "absent key 'shop'"),
        ({"items": [{**item, "score": "high"}]}, SpecificationError, "column 'score': expected finite numbers"),
        ({"items": [{**item, "shop": 1.5}]}, SpecificationError, "should be a whole number"),
        ({"context": {"device": "phone"}}, SpecificationError, "absent key 'battery'"),
        ({"context": {**context, "device": 3}}, SpecificationError, "reads strings"),
        ({"histories": {BEHAVIOUR_KINDS[0]: History(relations.empty().facts, [])}}, SessionError, "time"),
        ({"histories": {BEHAVIOUR_KINDS[0]: 3}}, SessionError, "History"),
        ({"histories": {"exposure": relations.empty()}}, SessionError, r"keys EXPOSURE and PAGE_VIEW .*'exposure'"),
        ({"histories": [relations.empty()]}, SessionError, r"keys EXPOSURE and PAGE_VIEW .*'list'"),
        ({"items": Facts(facts.keys.astype(float), facts.numbers)}, SessionError, "facts of this model"),
        ({"items": Facts(facts.keys, facts.numbers.astype(object))}, SessionError, "facts of this model"),
        ({"items": Facts(facts.keys[0, 0], facts.numbers)}, SessionError, "facts of this model"),
    ):
        with pytest.raises(error, match=message):
            encoder.vectors(vectors, **{**good, **faulty})
    with pytest.raises(SpecificationError, match="absent key 'duration_s'"):
        relations.behaviour(BEHAVIOUR_KINDS[1], item, {})


def test_samples_of_relations_open_again(rich: Samples) -> None:
    assert open_samples(rich.path).head.spec == rich.head.spec
    assert all(feature.mean is not None for feature in rich.head.spec.relations if feature.kind == "raw")


@pytest.mark.parametrize("group", ["relations", "context"])
@pytest.mark.parametrize("field", ["codes", "numbers"])
def test_boosted_trees_read_relations_and_context(rich: Samples, group: str, field: str) -> None:
    shard = whole(rich, TEST)
    batch = make_batch(shard, np.arange(len(shard.requests)))
    columns = trees._columns(batch)
    inputs = {**batch.inputs, group: {**batch.inputs[group], field: np.zeros_like(batch.inputs[group][field])}}
    assert (trees._columns(replace(batch, inputs=inputs)) != columns).any()


def test_facts_of_items_can_be_kept(exported: tuple[Path, Path]) -> None:
    model = load_device_model(exported[1])
    encoder, relations = model.candidates, model.candidates.relations
    rows = [{"item_id": item, "shop": 7, "level": 2, "score": 0.5} for item in range(5)]
    history = relations.empty().append(relations.behaviour(BEHAVIOUR_KINDS[0], rows[3], {}), 4_000)
    request = {"histories": {BEHAVIOUR_KINDS[0]: history}, "context": {"device": "pad", "battery": 1}, "time": 9_000}
    vectors = np.zeros((5, model.items.width), np.float32)
    kept = encoder.vectors(vectors, items=relations.items(rows), **request)
    np.testing.assert_array_equal(kept, encoder.vectors(vectors, items=rows, **request))
    with pytest.raises(SessionError, match="facts of this model's RelationEncoder"):
        encoder.vectors(vectors, items=Facts(np.zeros((5, 1), np.int64), np.zeros((5, 1))), **request)


def test_the_benchmark_of_a_re_rank_measures_candidate_vectors(exported: tuple[Path, Path]) -> None:
    document = bench_here("rerank", exported[1], rounds=1)
    assert [row["name"] for row in document["results"]] == ["mnn", "edgerec", "candidate_vectors"]
    assert not document["ratios"]
