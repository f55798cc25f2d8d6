"""An embedding may read served values, for example a creative ID that differs from list to list."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.core.errors import FormatError, LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.data.samples import TRAIN, open_samples
from edgerec.features.spec import FeatureSpec
from tests.synthetic import build, make_logs, restamp, whole

CREATIVE = {
    "name": "creative", "source": "creative", "origin": "served", "kind": "embedding", "dimension": 3,
    "vocabulary": 500, "min_count": 2,
}  # fmt: skip


def with_creatives(*, users: int = 16) -> Logs:
    """Return synthetic logs whose candidates and behaviours have one of 600 creatives. Some have none."""
    logs = make_logs(users=users)
    document = logs.spec.model_dump(mode="json", exclude_none=True)
    # The served embedding comes before the catalogue's, so their order in `ids` matters.
    spec = FeatureSpec(**{**document, "item": [CREATIVE, *document["item"]]})
    rng = np.random.default_rng(3)

    def creatives(count: int) -> pl.Series:
        drawn = pl.Series(10**12 + rng.integers(0, 600, count) ** 2 // 600)
        return pl.select(pl.when(pl.Series(rng.random(count) < 0.9)).then(drawn)).to_series()

    lengths = logs.requests["item_id"].list.len()
    row = pl.Series(np.repeat(np.arange(len(lengths)), lengths))
    lists = (
        pl.DataFrame({"row": row, "creative": creatives(len(row))}).group_by("row", maintain_order=True).agg("creative")
    )
    return replace(
        logs,
        spec=spec,
        requests=logs.requests.with_columns(lists["creative"]),
        events=logs.events.with_columns(creative=creatives(len(logs.events))),
    )


def test_the_vocabulary_has_the_served_ids_of_the_training_period(tmp_path: Path) -> None:
    samples = build(tmp_path, with_creatives())
    logs = load_logs(samples.path.parent / "logs")
    before = pl.col("time") < samples.head.validation_from
    served = logs.requests.filter(before)["creative"].explode().to_list()
    seen = Counter([*served, *logs.events.filter(before)["creative"].to_list()])
    expected = sorted(key for key, count in seen.items() if key is not None and count >= 2)
    assert len(expected) > 254
    assert samples.vocabularies["creative"].keys.tolist() == expected


def test_requests_and_behaviours_have_the_table_rows_of_their_served_ids(tmp_path: Path) -> None:
    samples = build(tmp_path, with_creatives())
    logs = load_logs(samples.path.parent / "logs")
    keys = samples.vocabularies["creative"].keys.tolist()
    row = {key: number for number, key in enumerate(keys, start=1)}
    shard = whole(samples, TRAIN)
    lists = dict(zip(logs.requests["request_id"], logs.requests["creative"], strict=True))
    expected = [row.get(key, 0) for request in shard.requests.request_id.tolist() for key in lists[request]]
    assert shard.requests.item.ids[:, 0].tolist() == expected
    exposures = logs.events.filter(kind="exposure")
    assert shard.exposures.item.ids[:, 0].tolist() == [row.get(key, 0) for key in exposures["creative"]]
    # The catalogue's embedding is the second column.
    assert np.array_equal(shard.requests.item.ids[:, 1], samples.items.encoded.ids[shard.requests.row, 0])


def test_the_samples_do_not_depend_on_the_partition(tmp_path: Path) -> None:
    write_logs(with_creatives(), tmp_path / "logs")
    one = write_samples(tmp_path / "logs", tmp_path / "one")
    many = write_samples(tmp_path / "logs", tmp_path / "many", target=100)
    assert len(many.head.shards) > 2
    assert np.array_equal(one.vocabularies["creative"].keys, many.vocabularies["creative"].keys)
    found, expected = whole(many, TRAIN).requests, whole(one, TRAIN).requests
    order, wanted = np.argsort(found.request_id), np.argsort(expected.request_id)
    assert [found.item.ids[found.offsets[at] : found.offsets[at + 1]].tolist() for at in order] == [
        expected.item.ids[expected.offsets[at] : expected.offsets[at + 1]].tolist() for at in wanted
    ]


@pytest.mark.parametrize("name", ["train", "exposures"])
def test_a_row_outside_of_the_table_is_refused(tmp_path: Path, name: str) -> None:
    column = "served.creative"
    samples = build(tmp_path, with_creatives(users=3))
    file = samples.path / "shards" / "00000" / f"{name}.parquet"
    table = pl.read_parquet(file)
    beyond = pl.lit(len(samples.vocabularies["creative"].keys) + 1, pl.Int32)
    change = pl.col(column).list.eval(pl.element() * 0 + beyond) if name == "train" else beyond.alias(column)
    table.with_columns(change).write_parquet(file)
    restamp(samples.path)
    with pytest.raises(FormatError, match="values out of range"):
        open_samples(samples.path).shard(0, TRAIN)


def test_served_ids_that_are_strings_point_to_the_rule(tmp_path: Path) -> None:
    logs = with_creatives(users=2)
    text = replace(logs, events=logs.events.with_columns(pl.col("creative").cast(pl.String)))
    with pytest.raises(LogsError, match=r"events\.creative should .*String.*docs/your-logs\.md, .IDs."):
        write_logs(text, tmp_path / "logs")
