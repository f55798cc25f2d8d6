"""Batches of logs as devices send them, made from the events of the workload."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.bench.cloud.workload import SEED, Workload
from edgerec.data.logs import open_logs
from edgerec.data.parts import read_parts
from edgerec.data.schema import (
    CLICKED,
    EVENTS,
    ITEM_ID,
    KIND,
    MODEL_VERSION,
    ORDINAL,
    PAGE_ID,
    REQUEST_ID,
    REQUESTS,
    TIME,
    TRIGGER,
    USER_ID,
)

BATCHES = 50
"""Number of different batches. The load sends them in turns, each time as those of a new store."""
MIXED_EVENTS, MIXED_REQUESTS, CANDIDATES = 96, 8, 50
"""A batch of a client that re-ranks after every twelfth behaviour: it has at most 8 requests."""


def batch_lines(workload: Workload, *, events: int, requests: int) -> list[str]:
    """Return batches as JSON without the opening brace and `store_id`: the load adds both.

    The ID of a request is `@` and its number. The load replaces `@` by the store, so that all IDs differ.

    Args:
        workload: what is served.
        events: number of behaviours of a batch.
        requests: number of requests of a batch.
    """
    logs = open_logs(workload.catalogue)
    table, items = read_parts(logs.events), logs.items[ITEM_ID].to_numpy()
    rng = np.random.default_rng(SEED)
    lines = []
    for start in range(0, BATCHES * events, events):
        rows = table.slice(start % max(len(table) - events, 1), events)
        document = {
            USER_ID: int(rows[USER_ID][0]),
            "number": 0,
            EVENTS: _events(rows),
            REQUESTS: [_request(rng, items, workload.version_id, number) for number in range(requests)],
        }
        lines.append(json.dumps(document, separators=(",", ":"))[1:].replace('"@', "@").replace('@"', ""))
    return lines


def _events(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows of events with times and ordinals that ascend, as those of one user."""
    columns = [name for name in rows.columns if name not in (USER_ID, TIME)]
    numbered = rows.select(columns).with_columns(rows[TIME].sort(), pl.int_range(pl.len()).over(KIND).alias(ORDINAL))
    return [{name: value for name, value in row.items() if value is not None} for row in numbered.to_dicts()]


def _request(rng: np.random.Generator, items: NDArray[np.int64], version_id: str, number: int) -> dict[str, Any]:
    chosen = rng.choice(items, min(CANDIDATES, len(items)), replace=False).tolist()
    return {
        REQUEST_ID: f"@{number}@",
        PAGE_ID: int(rng.integers(2**62)),
        TIME: 1_700_000_000_000,
        TRIGGER: "click",
        MODEL_VERSION: version_id,
        ITEM_ID: chosen,
        CLICKED: [0] * len(chosen),
        "positions": list(range(len(chosen))),
        "scores": rng.random(len(chosen)).round(6).tolist(),
        "outcome": "reordered",
        "duration_ms": 1.5,
        "exposures_end": 50,
        "page_views_end": 10,
    }
