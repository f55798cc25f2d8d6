from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerec.data.build_samples import write_samples
from edgerec.data.samples import SPLITS, TEST, TRAIN, Samples
from edgerec.model import batches
from edgerec.model.batches import epoch, groups
from tests.synthetic import flat, whole


@pytest.fixture(scope="module")
def many(samples_path: Path, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """The same samples in a shard for each user."""
    path = tmp_path_factory.mktemp("many") / "samples"
    limits = samples.head.limits.model_dump()
    return write_samples(samples_path.parent / "logs", path, limits=limits, target=1)


def rows_of(inputs: dict[str, np.ndarray], at: int) -> tuple[bytes, ...]:
    """What the model is given of one request of a batch."""
    found = []
    for name in ("exposures", "page_views"):
        index = inputs[name]["index"][at, : inputs[name]["length"][at]]
        for part in ("action", "item"):
            found += [flat(array)[index].tobytes() for array in inputs[name][part].values()]
    length = inputs["candidate_length"][at]
    return (*found, *(array[at, :length].tobytes() for array in inputs["candidates"].values()))


@pytest.mark.parametrize("mix", [1, 25, 10**6])
@pytest.mark.parametrize("seed", [None, 0])
def test_an_epoch_has_every_request_once(
    samples: Samples, many: Samples, monkeypatch: pytest.MonkeyPatch, mix: int, seed: int | None
) -> None:
    monkeypatch.setattr(batches, "MIX", mix)
    for split in SPLITS:
        expected = []
        for batch in epoch(samples, split, batch_size=16):
            expected += [rows_of(batch.inputs, at) for at in range(len(batch.rows))]
        found, numbers = [], []
        for batch in epoch(many, split, batch_size=16, rng=None if seed is None else np.random.default_rng(seed)):
            assert 1 <= len(batch.rows) <= 16
            numbers += batch.rows.tolist()
            found += [rows_of(batch.inputs, at) for at in range(len(batch.rows))]
        assert sorted(found) == sorted(expected)
        assert sorted(numbers) == list(range(many.head.splits[split].requests))


def test_groups_are_no_larger_than_needed(many: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MIX", 20)
    sizes = [len(shard.requests) for shard in groups(many, TRAIN, rng=np.random.default_rng(1))]
    assert sum(sizes) == many.head.splits[TRAIN].requests
    largest = max(entry.splits[TRAIN].requests for entry in many.head.shards)
    assert all(20 <= size < 20 + largest for size in sizes[:-1])
    monkeypatch.setattr(batches, "MIX", 10**6)
    (everything,) = groups(many, TEST)
    np.testing.assert_array_equal(everything.requests.request_id, whole(many, TEST).requests.request_id)


def test_the_same_seed_draws_the_same_epoch(many: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MIX", 20)

    def drawn(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        found = epoch(many, TRAIN, batch_size=8, rng=rng, shuffle_candidates=True)
        return [batch.inputs["candidates"]["numbers"].tobytes() + batch.label.tobytes() for batch in found]

    assert drawn(1) == drawn(1) != drawn(2)
