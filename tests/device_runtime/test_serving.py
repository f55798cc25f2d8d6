"""A device that records, encodes and ranks computes what training computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec import DeviceModel, Samples, load_device_model, load_logs, open_samples, write_logs, write_samples
from edgerec.bundle.golden import run_case
from edgerec.core.errors import SessionError, SpecificationError, TransportError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import Behaviour
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.real_requests import check_real
from edgerec.export.split import device_graphs, split
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.kv.npz import Table
from edgerec.model.runs import load_run
from tests.device_runtime.local_cloud import LocalCloud, read_tables
from tests.device_runtime.replayed import catalogue, replay
from tests.random_runs import of_model, on_device
from tests.synthetic import LIMITS


def expected_scores(
    model: DeviceModel, samples: Samples, tables: Mapping[str, Table], *, user: int
) -> dict[int, np.ndarray]:
    """Return the logits of every request of a user by ID, computed from the samples."""
    dense = DenseRequests(samples, tables, matching=model.ranker.identities > 0)
    found = {}
    for name in samples.head.splits:
        for shard in samples.shards(name):
            for row in np.flatnonzero(shard.requests.user == user):
                case = dense.case(shard, row, np.zeros(1, np.float32))
                found[int(shard.requests.request_id[row])] = run_case(model, case, dense.windows(shard, row))
    return found


@pytest.mark.parametrize("user", [0, 1])
def test_a_replayed_client_scores_as_the_cases_of_training(plus_path: Path, tmp_path: Path, user: int) -> None:
    model, tables = load_device_model(plus_path / "bundle"), read_tables(plus_path / "bundle")
    expected = expected_scores(model, open_samples(plus_path / "samples"), tables, user=user)
    cloud = LocalCloud(model.spec, model.version_id, tables, catalogue(plus_path / "logs"))
    with BehaviourStore(tmp_path / "user.db", user_id=user, limits=model.limits) as store:
        rows = {row["request_id"]: row for row in replay(plus_path / "logs", user, model.spec, cloud, store, model)}
        assert store.next_ordinal(EXPOSURE) > 15 * LIMITS["exposures"]
    assert len(expected) == 40
    for request_id, logits in expected.items():
        assert rows[request_id]["outcome"] == "shadow"
        np.testing.assert_array_equal(np.array(rows[request_id]["scores"], np.float32), logits)


@pytest.mark.slow
def test_lost_rows_of_the_logs_change_nothing_on_the_way_to_the_device(plus_path: Path, tmp_path: Path) -> None:
    """The ordinals of logs have gaps. Samples, Keras, the parity check and a client that skips them agree."""
    logs = load_logs(plus_path / "logs")
    ordinal = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id", "kind")
    kept = pl.Series(np.random.default_rng(0).random(len(logs.events)) < 0.7)
    events = logs.events.with_columns(ordinal=ordinal, store_id=pl.col("user_id")).filter(kept)
    requests = logs.requests.with_columns(store_id=pl.col("user_id"))
    write_logs(replace(logs, events=events, requests=requests), tmp_path / "logs")
    samples = write_samples(tmp_path / "logs", tmp_path / "samples", like=plus_path / "run")
    model, tables = load_device_model(plus_path / "bundle"), read_tables(plus_path / "bundle")
    parity = check_real(load_run(plus_path / "run").model, samples, tables, model, requests=60)
    assert parity.max_abs_error < 1e-5
    expected = expected_scores(model, samples, tables, user=1)
    cloud = LocalCloud(model.spec, model.version_id, tables, catalogue(plus_path / "logs"))
    with BehaviourStore(tmp_path / "user.db", user_id=1, limits=model.limits) as store:
        sent = replay(tmp_path / "logs", 1, model.spec, cloud, store, model)
    for row in sent:
        np.testing.assert_array_equal(np.array(row["scores"], np.float32), expected[row["request_id"]])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("dnn_rank", marks=pytest.mark.slow),
        pytest.param("crban_ipv", marks=pytest.mark.slow),
        "crban_din",
    ],
)
def test_other_models_are_served(plus_path: Path, tmp_path: Path, name: str) -> None:
    """A model may read one kind of behaviour or none, and its encoder may have no recurrence."""
    run = of_model(load_run(plus_path / "run"), name, anew=True)
    parts, limits = split(run), Limits(**LIMITS)
    model = replace(
        on_device(device_graphs(parts, limits), tmp_path), version_id="other", spec=run.head.spec, limits=limits
    )
    expected = expected_scores(model, open_samples(plus_path / "samples"), parts.tables, user=2)
    cloud = LocalCloud(model.spec, model.version_id, parts.tables, catalogue(plus_path / "logs"))
    with BehaviourStore(tmp_path / "user.db", user_id=2, limits=limits) as store:
        rows = {row["request_id"]: row for row in replay(plus_path / "logs", 2, model.spec, cloud, store, model)}
    assert len(expected) == 40
    for request_id, logits in expected.items():
        np.testing.assert_array_equal(np.array(rows[request_id]["scores"], np.float32), logits)


def straight(model: DeviceModel, kind: BehaviourKind, recorded: list[tuple[int, Behaviour]]) -> Encodings:
    """Return what a request reads now: all steps from the start of the recurrence, then the window."""
    stepper, limit = model.steppers[kind], model.limits.of(kind)
    first = window_start(recorded[-1][0] + 1, limit) if recorded else 0
    state, keys, values = stepper.initial_state(), [], []
    for ordinal, behaviour in recorded:
        if ordinal >= recurrence_start(first, limit):
            action = {feature.source: behaviour.action[feature.source] for feature in model.spec.actions(kind)}
            vector = RawEncoder(model.spec.actions(kind)).vector(action)
            key, value, state = stepper.step(vector, behaviour.item.vector, state)
            if ordinal >= first:
                keys.append(key)
                values.append(value)
    return Encodings(np.stack(keys), np.stack(values)) if keys else Encodings.empty(stepper.key_width, stepper.hidden)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_windows_equal_a_straight_computation(bundle_path: Path, tmp_path: Path, seed: int) -> None:
    """Ordinals have gaps of all lengths, the process ends at any point, and behaviours wait for encoding."""
    model, rng = load_device_model(bundle_path), np.random.default_rng(seed)
    items = PreparedItems(
        model.version_id,
        rng.normal(size=(5, model.items.width)).astype(np.float32),
        np.zeros((5, 0), np.int64),
        model.candidates.relations.items([{}] * 5),
    )
    recorded: dict[BehaviourKind, list[tuple[int, Behaviour]]] = {kind: [] for kind in BEHAVIOUR_KINDS}
    store = BehaviourStore(tmp_path / "user.db", user_id=1, limits=model.limits)
    serving = ModelServing(model, store)
    for time in range(250):
        kind = EXPOSURE if rng.random() < 0.7 else PAGE_VIEW
        columns = {feature.source for feature in model.spec.actions(kind)}
        action = {"duration_s": float(rng.exponential(3)), "reason": None, "bought": int(rng.integers(2))}
        action = {name: value for name, value in action.items() if name in columns}
        item = serving.items.stored(items, int(rng.integers(5)), kind, {}, action)
        behaviour = Behaviour(kind, time, 7, action, item=item)
        gap = int(rng.choice([0, 1, 5, 20], p=[0.9, 0.06, 0.03, 0.01]))
        ordinal = store.record(behaviour, ordinal=store.next_ordinal(kind) + gap)
        recorded[kind].append((ordinal, behaviour))
        serving.add(ordinal, behaviour, None)
        if rng.random() < 0.1:
            store.close()
            store = BehaviourStore(tmp_path / "user.db", user_id=1, limits=model.limits)
            serving = ModelServing(model, store)
        if rng.random() < 0.3:
            with pytest.raises(SessionError, match="behaviours are not encoded"):
                serving.score(items, context={}, time=1000)
            continue
        while serving.encode_next():
            pass
        encodings = {kind.plural: straight(model, kind, recorded[kind]) for kind in BEHAVIOUR_KINDS}
        expected = model.ranker.score(items.vectors, **encodings)
        np.testing.assert_array_equal(serving.score(items, context={}, time=1000), expected)
    assert all(rows[-1][0] > 6 * model.limits.of(kind) for kind, rows in recorded.items())
    store.close()


def test_a_new_model_version_encodes_the_history_anew(bundle_path: Path, samples_path: Path, tmp_path: Path) -> None:
    """Behaviours that were recorded without a model get their items from the cloud, with the served values of then."""
    model, tables = load_device_model(bundle_path), read_tables(bundle_path)
    logs = samples_path.parent / "logs"
    cloud = LocalCloud(model.spec, model.version_id, tables, catalogue(logs))
    with BehaviourStore(tmp_path / "user.db", user_id=0, limits=model.limits) as store:
        sent = replay(logs, 0, model.spec, cloud, store, None)
        assert {(row["outcome"], row["scores"]) for row in sent} == {("collected", None)}
        late = ModelServing(model, store)
        unknown = late.unknown_items(100)
        assert unknown
        assert not late.has_work
        late.supply(cloud.items(model.version_id, unknown))
        while late.encode_next():
            pass
        with BehaviourStore(tmp_path / "other.db", user_id=0, limits=model.limits) as other:
            replay(logs, 0, model.spec, cloud, other, model)
            early = ModelServing(model, other)
            page = late.items.prepare(cloud.items(model.version_id, list(catalogue(logs))[:10]))
            scores = [serving.score(page, context={}, time=10**12) for serving in (early, late)]
        np.testing.assert_array_equal(*scores)


def test_items_that_the_model_cannot_read_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    model, tables = load_device_model(bundle_path), read_tables(bundle_path)
    cloud = LocalCloud(model.spec, model.version_id, tables, {5: {"shop": 3, "level": 2}})
    with BehaviourStore(tmp_path / "user.db", user_id=0, limits=model.limits) as store:
        items = ModelServing(model, store).items
        batch = cloud.items(model.version_id, [5])
        assert len(items.prepare(batch)) == 1
        with pytest.raises(TransportError, match="items of model version None, but the device has version"):
            items.prepare(cloud.items("another", [5]))
        with pytest.raises(SpecificationError, match="absent key 'level'"):
            items.prepare(replace(batch, columns={}))
        with pytest.raises(SpecificationError, match="absent key 'shop'"):
            items.prepare(replace(batch, embeddings={}))
