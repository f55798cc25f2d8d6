"""Batches as a device sends them, made from logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgerec.data.logs import Logs
from edgerec.paging.log_rows import LogBatch


def batches_of(logs: Logs, *, rows: int = 25) -> Iterator[LogBatch]:
    """Yield the rows of each user in batches. Each user has one store."""
    for user in sorted(set(logs.events["user_id"])):
        store = 1000 + user
        ordinals = {"exposure": 0, "page_view": 0}
        events: list[dict[str, Any]] = []
        for row in logs.events.filter(user_id=user).sort("time", maintain_order=True).to_dicts():
            events.append({**row, "store_id": store, "ordinal": ordinals[row["kind"]], "page_id": 7, "offered_at": 1})
            ordinals[row["kind"]] += 1
        requests = [
            {
                **row, "store_id": store, "page_id": row["request_id"], "outcome": "shadow", "duration_ms": 1.5,
                "exposures_end": 3, "page_views_end": 1, "positions": list(range(len(row["item_id"])))[::-1],
                "scores": [0.5] * len(row["item_id"]),
            }
            for row in logs.requests.filter(user_id=user).sort("time").to_dicts()
        ]  # fmt: skip
        every: list[tuple[str, dict[str, Any]]] = [("e", row) for row in events] + [("r", row) for row in requests]
        for number, start in enumerate(range(0, len(every), rows)):
            part = every[start : start + rows]
            yield LogBatch(
                user, store, number, [row for kind, row in part if kind == "e"], [r for kind, r in part if kind == "r"]
            )
