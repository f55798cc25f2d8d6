from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.data.build_samples import write_samples
from edgerec.data.samples import SPLITS, TEST, TRAIN, Samples
from edgerec.features.behaviours import Limits
from edgerec.model import input_pipeline
from edgerec.model.batches import Shapes, make_batch
from edgerec.model.input_pipeline import AHEAD, Shuffling, ahead, epoch, groups, shard_batches
from tests.synthetic import build, flat, make_logs, whole


@pytest.fixture(scope="module")
def many(samples_path: Path, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Return the same samples with one shard for each user."""
    path = tmp_path_factory.mktemp("many") / "samples"
    limits = samples.head.limits.model_dump()
    return write_samples(samples_path.parent / "logs", path, limits=limits, target=1)


def rows_of(inputs: dict[str, np.ndarray], at: int) -> tuple[bytes, ...]:
    """Return the inputs of request `at` of a batch."""
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
    monkeypatch.setattr(input_pipeline, "MIX", mix)
    for split in SPLITS:
        expected = []
        for batch in epoch(samples, split, batch_size=16):
            expected += [rows_of(batch.inputs, at) for at in range(len(batch.rows))]
        found, numbers = [], []
        shuffling = None if seed is None else Shuffling(np.random.default_rng(seed))
        for batch in epoch(many, split, batch_size=16, shuffling=shuffling):
            assert 1 <= len(batch.rows) <= 16
            numbers += batch.rows.tolist()
            found += [rows_of(batch.inputs, at) for at in range(len(batch.rows))]
        assert sorted(found) == sorted(expected)
        assert sorted(numbers) == list(range(many.head.splits[split].requests))


def test_groups_of_shards_are_just_large_enough_to_mix_requests(many: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_pipeline, "MIX", 20)
    sizes = [len(shard.requests) for shard in groups(many, TRAIN, rng=np.random.default_rng(1))]
    assert sum(sizes) == many.head.splits[TRAIN].requests
    largest = max(entry.splits[TRAIN].requests for entry in many.head.shards)
    assert all(20 <= size < 20 + largest for size in sizes[:-1])
    monkeypatch.setattr(input_pipeline, "MIX", 10**6)
    (everything,) = groups(many, TEST)
    np.testing.assert_array_equal(everything.requests.request_id, whole(many, TEST).requests.request_id)


def test_the_same_seed_gives_the_same_epoch(many: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_pipeline, "MIX", 20)

    def drawn(seed: int) -> list[bytes]:
        found = epoch(many, TRAIN, batch_size=8, shuffling=Shuffling(np.random.default_rng(seed), candidates=True))
        return [batch.inputs["candidates"]["numbers"].tobytes() + batch.label.tobytes() for batch in found]

    assert drawn(1) == drawn(1) != drawn(2)


def test_each_epoch_reads_one_random_request_of_each_page(tmp_path: Path) -> None:
    logs = make_logs()
    page = pl.col("time").rank("ordinal").over("user_id").cast(pl.Int64) // 3
    samples = build(tmp_path, replace(logs, requests=logs.requests.with_columns(page_id=page)))
    requests = whole(samples, TRAIN).requests
    pages = set(zip(requests.user.tolist(), requests.page.tolist(), strict=True))
    assert 1 < len(pages) == samples.head.splits[TRAIN].pages < len(requests)

    def drawn(seed: int) -> list[int]:
        shuffling = Shuffling(np.random.default_rng(seed), one_per_page=True)
        batches = epoch(samples, TRAIN, batch_size=16, shuffling=shuffling)
        return [row for batch in batches for row in batch.rows.tolist()]

    first, second = drawn(1), drawn(2)
    for rows_drawn in (first, second):
        of = list(zip(requests.user[rows_drawn].tolist(), requests.page[rows_drawn].tolist(), strict=True))
        assert (len(of), set(of)) == (len(pages), pages)
    assert set(first) != set(second)
    assert len({row for seed in range(20) for row in drawn(seed)}) == len(requests)


def test_a_batch_contains_shared_behaviours_once(samples: Samples) -> None:
    shard = whole(samples, TRAIN)
    requests = shard.requests
    user = requests.user[0]
    rows = np.flatnonzero(requests.user == user)
    inputs = make_batch(shard, rows).inputs["exposures"]
    starts = np.unique(requests.exposures_start[rows][np.diff(requests.exposures[rows])[:, 0] > 0])
    assert len(inputs["row"]) == len(starts) < len(rows)
    for at, row in enumerate(rows):
        known = slice(*requests.exposures[row])
        index = inputs["index"][at, : inputs["length"][at]]
        np.testing.assert_array_equal(flat(inputs["row"])[index], shard.exposures.row[known])
        hours = (requests.time[row] - shard.exposures.time[known]) / 3_600_000
        np.testing.assert_allclose(inputs["age"][at, : len(hours)], hours, rtol=1e-6)
        assert (hours > 0).all()


def test_workers_read_different_parts_of_each_batch(many: Samples) -> None:
    def drawn(part: tuple[int, int]) -> list[list[int]]:
        shuffling = Shuffling(np.random.default_rng(3))
        return [batch.rows.tolist() for batch in epoch(many, TRAIN, batch_size=16, part=part, shuffling=shuffling)]

    whole_batches = drawn((0, 1))
    parts = [drawn((worker, 3)) for worker in range(3)]
    assert [list(itertools.chain(*rows)) for rows in zip(*parts, strict=True)] == whole_batches
    assert max(len(rows) for part in parts for rows in part) <= 6


@pytest.mark.parametrize("together", [1, 4])
def test_requests_of_a_user_share_a_batch_if_together_is_set(samples: Samples, together: int) -> None:
    requests = whole(samples, TRAIN).requests
    rng = np.random.default_rng(0)
    found = [
        len(np.unique(requests.user[rows])) / len(rows)
        for rows in shard_batches(requests, batch_size=8, rng=rng, together=together)
    ]
    assert (np.mean(found) < 0.6) == (together == 4)


@given(count=st.integers(1, 3000), longest=st.integers(0, 300), limit=st.integers(2, 300))
def test_shapes_are_large_enough_and_not_much_larger(count: int, longest: int, limit: int) -> None:
    shapes = Shapes(32, Limits(candidates=limit))
    for size in (shapes.time(longest, limit), shapes.candidates(longest)):
        assert longest <= size <= max(longest, limit)
    assert count <= shapes.segments(count) <= max(8, 1.5 * count)


def test_there_are_only_a_few_different_shapes() -> None:
    shapes = Shapes(32, Limits())
    assert len({shapes.time(longest, 100) for longest in range(1, 101)}) <= 9
    assert len({shapes.candidates(longest) for longest in range(1, 101)}) <= 12
    assert len({shapes.segments(count) for count in range(1, 513)}) <= 13


def test_ahead_yields_all_items_and_raises_errors_of_their_iterator() -> None:
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter(()))) == []

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    found = ahead(broken())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_the_thread_of_ahead_ends_when_the_reader_stops() -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            yield number

    reader = ahead(endless())
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    reader.close()
    count = len(made)
    assert count <= 3 + AHEAD + 2
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]
    assert len(made) == count
