"""Plays logged behaviours through a client, in the logged order and at the logged times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.spec import FeatureSpec, of_origin
from tests.device_runtime.local_cloud import LocalCloud

CONFIG = ClientConfig(shadow=True, triggers=(), kept_pages=1000, send_interval_ms=10**12)


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def catalogue(logs: Path) -> dict[int, dict[str, Any]]:
    """Return the items of logs by ID."""
    return {row["item_id"]: row for row in pl.read_parquet(logs / "items.parquet").to_dicts()}


def rows_of(logs: Path, user: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the requests and events of a user in order of time, each with the table's name. Requests come first."""
    events = pl.read_parquet(logs / "events" / "*.parquet").filter(pl.col("user_id") == user)
    requests = pl.read_parquet(logs / "requests" / "*.parquet").filter(pl.col("user_id") == user)
    rows = [("request", row) for row in requests.sort("time", maintain_order=True).to_dicts()]
    rows += [("event", row) for row in events.sort("time", maintain_order=True).to_dicts()]
    yield from sorted(rows, key=lambda one: one[1]["time"])


def replay(
    logs: Path,
    user: int,
    spec: FeatureSpec,
    cloud: LocalCloud,
    store: BehaviourStore,
    model: DeviceModel | None,
    *,
    config: ClientConfig = CONFIG,
) -> list[dict[str, Any]]:
    """Play the logs of a user, and return the rows of requests that the device sent."""
    rows, clock = list(rows_of(logs, user)), Clock()
    ids = (row["request_id"] for table, row in rows if table == "request")
    client = Client(store, cloud, model, config=config, clock=clock, new_id=lambda: next(ids), spec=spec)
    actions = {kind.name: [feature.source for feature in spec.actions(kind)] for kind in BEHAVIOUR_KINDS}
    served = [feature.source for feature in of_origin(spec.item, "served")]
    context = [feature.source for feature in of_origin(spec.context, "request")]
    for table, row in rows:
        clock.now = row["time"]
        if table == "request":
            client.context.update({name: row[name] for name in context})
            cloud.lists.append((row["request_id"], row["item_id"], {name: row[name] for name in served}))
            client.refresh()
        else:
            values = {name: row[name] for name in dict.fromkeys(actions[row["kind"]])}
            ordinal = row.get("ordinal")
            if row["kind"] == "exposure":
                client.exposed(row["item_id"], values, ordinal=ordinal)
            else:
                client.clicked(row["item_id"])
                client.left_page(row["item_id"], values, ordinal=ordinal)
        done = client.run_pending()
        assert not done.errors, done.errors
    client.close()
    return cloud.sent("requests")


def shadowed(**settings: Any) -> ClientConfig:
    """Return the configuration of a replay with other settings."""
    return replace(CONFIG, **settings)
