"""The RS in the same process: the service that the HTTP server runs, without HTTP and without logs on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.served_values import DefaultServedValues
from edgerec.cloud.service import FeedService
from edgerec.cloud.versions import Versions, open_version
from edgerec.core.errors import EdgeRecError, TransportError, first_line
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.spec import table1
from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.recall import DELETE_REASON, SimulatedRecall

_LEARNT = {USER_ID: pl.Int64, TIME: pl.Int64, KIND: pl.String, ITEM_ID: pl.Int64, DELETE_REASON: pl.String}


def open_feed_service(world: LoopWorld, bundles: Sequence[Path]) -> FeedService:
    """Return the RS of a simulated world, which serves the versions of `bundles`."""
    items = Catalogue(world.catalogue.table())
    served = [open_version(bundle) for bundle in bundles]
    versions = Versions(table1(), served, items)
    values = DefaultServedValues([version.spec for version in versions], items)
    return FeedService(items, versions, SimulatedRecall(world), values)


class LocalCloud:
    """Implements `Transport` with a service of this process. Log rows are learnt and then forgotten.

    Args:
        service: the RS.
    """

    def __init__(self, service: FeedService) -> None:
        self._service = service
        self._no_requests = pl.DataFrame()

    def page(self, request: PageRequest) -> Page:
        """Return the next items of a user's feed."""
        try:
            return self._service.page(request)
        except EdgeRecError as error:
            raise TransportError(first_line(error)) from error

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items in this order."""
        try:
            return self._service.items(version_id, item_ids)
        except EdgeRecError as error:
            raise TransportError(first_line(error)) from error

    def send(self, batch: LogBatch) -> None:
        """Let the RS learn from the behaviours of a batch."""
        columns = {name: [row.get(name) for row in batch.events] for name in _LEARNT}
        self._service.learn(pl.DataFrame(columns, schema=_LEARNT), self._no_requests)
