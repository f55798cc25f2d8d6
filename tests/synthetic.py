"""Make small random logs with features of every kind, for tests that do not need realistic behaviour."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgerec.core.hashing import sha256_file
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import Logs, LogsHead, write_logs
from edgerec.data.samples import Samples, Shard, join_shards, open_samples
from edgerec.data.shard_files import split_counts
from edgerec.features.spec import FeatureSpec

SPEC = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "synthetic",
        "ie_action": [
            {"name": "duration", "source": "duration_s", "kind": "bucketize", "boundaries": [1, 5]},
            {"name": "reason", "source": "reason", "kind": "one_hot", "values": ["bad", "seen"]},
        ],
        "ipv_action": [
            {"name": "duration", "source": "duration_s", "kind": "raw", "transform": "log1p"},
            {"name": "bought", "source": "bought", "kind": "binarize"},
        ],
        "item": [
            {"name": "shop", "source": "shop", "origin": "catalogue", "kind": "embedding", "dimension": 4,
             "vocabulary": 30, "min_count": 2},
            {"name": "level", "source": "level", "origin": "catalogue", "kind": "one_hot", "values": [1, 2, 3]},
            {"name": "score", "source": "score", "origin": "served", "kind": "raw"},
        ],
    }
)  # fmt: skip

SPEC_WITH_RELATIONS = FeatureSpec.model_validate(
    {
        **SPEC.model_dump(mode="json"),
        "context": [
            {"name": "length", "source": "list_length", "origin": "derived", "kind": "raw"},
            {"name": "hour", "source": "hour_utc", "origin": "derived", "kind": "one_hot", "values": [0, 1, 2, 3]},
            {"name": "idle", "source": "seconds_since_exposure", "origin": "derived", "kind": "raw",
             "transform": "log1p"},
            {"name": "device", "source": "device", "origin": "request", "kind": "one_hot", "values": ["phone", "pad"]},
            {"name": "battery", "source": "battery", "origin": "request", "kind": "raw"},
        ],
        "relations": [
            {"name": "views_of_shop", "kind": "raw", "transform": "log1p",
             "relation": {"behaviours": "page_views", "same": "shop", "compute": "count"}},
            {"name": "seen", "kind": "binarize",
             "relation": {"behaviours": "exposures", "same": "item_id", "compute": "count"}},
            {"name": "age_of_shop", "kind": "bucketize", "boundaries": [60, 3600],
             "relation": {"behaviours": "exposures", "same": "shop", "compute": "seconds_since"}},
            {"name": "score_difference", "kind": "raw",
             "relation": {"behaviours": "page_views", "compute": "difference", "column": "score", "over": "mean"}},
            {"name": "level_ratio", "kind": "raw",
             "relation": {"behaviours": "exposures", "compute": "ratio", "column": "level", "latest": 3}},
            {"name": "dwell", "kind": "raw",
             "relation": {"behaviours": "page_views", "same": "level", "compute": "value", "column": "duration_s",
                          "over": "max", "within_s": 7200}},
        ],
    }
)  # fmt: skip
"""The features of `SPEC`, with a context and with relations of several forms."""

HOUR = 3_600_000
LIMITS = {"candidates": 10, "exposures": 8, "page_views": 4}
"""The limits of the shared samples. They are small, because many tests run recurrences over them step by step."""


def make_logs(*, users: int = 12, items: int = 40, requests: int = 10, seed: int = 0, longest: int = 8) -> Logs:
    """Make logs in which items with a higher score get more clicks. Each user has `requests` requests, one an hour."""
    rng = np.random.default_rng(seed)
    catalogue = pl.DataFrame(
        {
            "item_id": np.arange(100, 100 + items),
            "shop": rng.integers(1, 20, items),
            "level": [None if rng.random() < 0.1 else int(rng.integers(1, 4)) for _ in range(items)],
        },
        schema_overrides={"level": pl.Int64},
    )
    events, requests_table = [], []
    for user in range(users):
        for number in range(requests):
            time = HOUR * (number + 1) + user
            candidates = rng.choice(catalogue["item_id"].to_numpy(), rng.integers(3, longest + 1), replace=False)
            score = rng.normal(size=len(candidates))
            clicked = [
                int(draw < 1 / (1 + np.exp(1 - 2 * value)))
                for draw, value in zip(rng.random(len(candidates)), score, strict=True)
            ]
            shown = len(candidates) - int(rng.integers(0, 2))
            requests_table.append(
                {
                    "request_id": user * 1000 + number, "user_id": user, "time": time, "trigger": "page",
                    "model_version": None, "item_id": candidates.tolist(),
                    "clicked": clicked[:shown] + [None] * (len(candidates) - shown), "score": score.tolist(),
                }
            )  # fmt: skip
            for position in range(shown):
                common = {"user_id": user, "item_id": int(candidates[position]), "score": float(score[position])}
                reason = [None, "bad", "seen"][int(rng.integers(0, 3))]
                event = {"kind": "exposure", "time": time + 1000 * (position + 1), "reason": reason}
                events.append({**common, **event, "duration_s": float(rng.exponential(3)), "bought": None})
                if clicked[position]:
                    event = {"kind": "page_view", "time": time + 60_000 * (position + 1), "reason": None}
                    bought = int(rng.random() < 0.3)
                    events.append({**common, **event, "duration_s": float(rng.exponential(20)), "bought": bought})
    schema = {"reason": pl.String, "bought": pl.Int64}
    return Logs(
        head=LogsHead(name="synthetic"),
        spec=SPEC,
        items=catalogue,
        events=pl.DataFrame(events, schema_overrides=schema),
        requests=pl.DataFrame(
            requests_table, schema_overrides={"model_version": pl.String, "clicked": pl.List(pl.Int8)}
        ),
    )


def make_logs_with_context(**settings: Any) -> Logs:
    """Make the same logs with the columns of the context, and with `SPEC_WITH_RELATIONS`."""
    logs = make_logs(**settings)
    rng = np.random.default_rng(1)
    requests = logs.requests.with_columns(
        device=pl.Series([["phone", "pad", "tv", None][draw] for draw in rng.integers(0, 4, len(logs.requests))]),
        battery=pl.Series([None if draw < 0.2 else float(draw) for draw in rng.random(len(logs.requests))]),
    )
    return replace(logs, spec=SPEC_WITH_RELATIONS, requests=requests)


def build(folder: Path, logs: Logs, **settings: Any) -> Samples:
    """Write samples of `logs` to a new folder in `folder` and return them."""
    root = Path(tempfile.mkdtemp(dir=folder))
    write_logs(logs, root / "logs")
    return write_samples(root / "logs", root / "samples", **settings)


def whole(samples: Samples, split: str) -> Shard:
    """Load all shards of a split, and join them."""
    return join_shards(list(samples.shards(split)))


def restamp(folder: Path) -> None:
    """Update the hashes of the shards in the head of the samples."""
    head = json.loads((folder / "samples.json").read_text())
    for shard in head["shards"]:
        files = (folder / "shards" / shard["name"]).glob("*.parquet")
        shard["files"] = {file.stem: sha256_file(file) for file in files}
    (folder / "samples.json").write_text(json.dumps(head))


def relabelled(samples: Samples, folder: Path, split: str, change: Callable[[np.ndarray], np.ndarray]) -> Samples:
    """Copy samples of one shard to `folder` and change the labels of a split with `change`."""
    shutil.copytree(samples.path, folder)
    file = folder / "shards" / "00000" / f"{split}.parquet"
    table = pl.read_parquet(file)
    lengths = table["label"].list.len().to_numpy()
    label = change(table["label"].explode().to_numpy().copy()).astype(np.uint8)
    rows = pl.DataFrame({"row": np.repeat(np.arange(len(lengths)), lengths), "label": label})
    lists = rows.group_by("row", maintain_order=True).agg("label")
    table.with_columns(lists["label"]).write_parquet(file)
    restamp(folder)
    head = json.loads((folder / "samples.json").read_text())
    counts = split_counts(table["user"].to_numpy(), table["page"].to_numpy(), label).model_dump()
    head["splits"][split] = head["shards"][0]["splits"][split] = counts
    (folder / "samples.json").write_text(json.dumps(head))
    return open_samples(folder)


def stretch(behaviours: dict[str, Any], at: int, *, window: bool = False) -> slice:
    """Return the slice of steps that request `at` of a batch knows, counted over all segments in one row.

    Args:
        behaviours: the behaviours of one kind in the batch's inputs.
        at: index of the request in the batch.
        window: return only the steps that the attention reads.
    """
    length = int(behaviours["length"][at])
    if not length:
        return slice(0, 0)
    first, steps = int(behaviours["index"][at, 0]), behaviours["row"].shape[1]
    return slice(first if window else first // steps * steps, first + length)


def flat(array: np.ndarray) -> np.ndarray:
    """Put all segments into one row: (segments, steps, ...) becomes (segments * steps, ...)."""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def unstamp(folder: Path) -> None:
    """Remove the hashes of the tables from `logs.json`, as in logs that another program wrote."""
    head = json.loads((folder / "logs.json").read_text())
    del head["parts"]
    (folder / "logs.json").write_text(json.dumps(head))
