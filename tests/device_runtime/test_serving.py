"""A device that records, encodes and ranks computes what training computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgerec import load_device_model, open_tables
from edgerec.bundle.golden import run_case
from edgerec.data.samples import open_samples
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.split import split
from edgerec.model.runs import load_run
from tests.device_runtime.local_cloud import LocalCloud
from tests.device_runtime.replayed import catalogue, replay


def test_a_replayed_client_scores_as_the_cases_of_training(rich: Path, tmp_path: Path) -> None:
    model, tables = load_device_model(rich / "bundle"), open_tables(rich / "bundle" / "cloud")
    samples = open_samples(rich / "samples")
    dense = DenseRequests(samples, split(load_run(rich / "run")).tables, matching=True)
    expected = {}
    for name in samples.head.splits:
        for shard in samples.shards(name):
            for row in range(len(shard.requests)):
                case = dense.case(shard, row, np.zeros(1, np.float32))
                expected[int(shard.requests.request_id[row])] = run_case(model, case)
    compared = 0
    for user in range(3):
        cloud = LocalCloud(model.spec, tables, catalogue(rich / "logs"))
        with BehaviourStore(tmp_path / f"{user}.db", user_id=user, limits=model.limits) as store:
            for row in replay(rich / "logs", user, model.spec, cloud, store, model):
                assert row["outcome"] == "shadow"
                if row["request_id"] in expected:
                    scores = np.array(row["scores"], np.float32)
                    np.testing.assert_array_equal(scores, expected[row["request_id"]])
                    compared += len(scores)
    assert compared > 500
