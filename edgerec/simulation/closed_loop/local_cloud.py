"""The RS in the same process: the service that the HTTP server runs, without HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.log_rows import LogTables
from edgerec.cloud.served_values import DefaultServedValues
from edgerec.cloud.service import FeedService
from edgerec.cloud.service_pages import ServicePages
from edgerec.cloud.versions import ServedVersion, Versions
from edgerec.core.errors import TransportError
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID
from edgerec.paging.log_rows import LogBatch
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.recall import DELETE_REASON, SimulatedRecall

_LEARNT = (USER_ID, TIME, KIND, ITEM_ID, DELETE_REASON)


class LocalCloud(ServicePages):
    """Implements `Transport` with a service of this process.

    Args:
        world: the simulated world.
        served: the versions that are served beside pass-through.
        keep: whether the log rows are kept for `take_logs`.
    """

    def __init__(self, world: LoopWorld, served: Sequence[ServedVersion], *, keep: bool = False) -> None:
        items = Catalogue(world.items)
        versions = Versions(world.spec, served, items)
        specs = [version.spec for version in versions]
        self._tables = LogTables(specs, items.ids) if keep else None
        self._recall = SimulatedRecall(world)
        super().__init__(FeedService(items, versions, self._recall, DefaultServedValues(specs, items)))
        self._batches: list[LogBatch] = []

    def send(self, batch: LogBatch) -> None:
        """Let the recall learn from the behaviours of a batch, without the tables that the server makes."""
        self._recall.learn_rows(tuple(row.get(name) for name in _LEARNT) for row in batch.events)  # type: ignore[misc]
        if self._tables is not None:
            self._batches.append(batch)

    def take_logs(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the events and requests of one store that were sent, and forget them.

        They are the tables that the server makes of them. The server makes them batch by batch.

        Raises:
            WrongRowsError: a row does not follow the schema of the logs.
        """
        batches, self._batches = self._batches, []
        if self._tables is None or not batches:
            raise TransportError("closed loop: no logs are kept, or none were sent")
        events = [row for batch in batches for row in batch.events]
        requests = [row for batch in batches for row in batch.requests]
        whole = LogBatch(batches[0].user_id, batches[0].store_id, 0, events, requests)
        rows = self._tables.of([whole])
        return rows.events, rows.requests
