"""A cloud in the process of the test that serves several model versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgerec import DeviceModel, load_device_model
from edgerec.core.errors import TransportError, UnservedVersionError
from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from tests.device_runtime.local_cloud import LocalCloud, read_tables

ITEMS = {item: {"shop": item % 7, "level": item % 3 + 1} for item in range(100, 400)}


class VersionCloud:
    """Implements `Transport` for several versions. A version that is not in `served` is unknown.

    Attributes:
        models: the device models by version.
        served: the versions that the cloud serves.
        requests: the versions of the requests for pages, in order.
        batches: the delivered log rows.
        on_page: is called before each page is sent, with the version.
        fault: if it is set, every call raises a TransportError with this text.
    """

    def __init__(self, *bundles: Path, catalogue: dict[int, dict[str, Any]] | None = None) -> None:
        self.models: dict[str, DeviceModel] = {}
        self._clouds: dict[str, LocalCloud] = {}
        for bundle in bundles:
            model = load_device_model(bundle)
            self.models[model.version_id] = model
            tables = read_tables(bundle)
            self._clouds[model.version_id] = LocalCloud(model.spec, model.version_id, tables, catalogue or ITEMS)
        self.served = set(self.models)
        self.requests: list[str | None] = []
        self.batches: list[LogBatch] = []
        self.item_requests: list[tuple[str | None, list[int]]] = []
        self.on_page: Callable[[str | None], None] = lambda version: None
        self.fault: str | None = None
        self._next = 0

    def of(self, version_id: str | None) -> LocalCloud:
        if self.fault is not None:
            raise TransportError(self.fault)
        if version_id is not None and version_id not in self.served:
            raise UnservedVersionError(f"version {version_id!r} is not served; the served versions are: none")
        return self._clouds[version_id or next(iter(self._clouds))]

    def page(self, request: PageRequest) -> Page:
        cloud = self.of(request.version_id)
        self.requests.append(request.version_id)
        self.on_page(request.version_id)
        ids = [item for item in list(ITEMS)[self._next :] if item not in request.held][: request.count]
        self._next = (self._next + len(ids)) % (len(ITEMS) - 20)
        cloud.complete = False
        cloud.lists = [(len(self.requests), ids, {"score": [item % 11 / 11 for item in ids]})]
        return cloud.page(request)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        self.item_requests.append((version_id, list(item_ids)))
        return self.of(version_id).items(version_id, item_ids)

    def send(self, batch: LogBatch) -> None:
        self.of(None)
        self.batches.append(batch)

    def sent(self, table: str) -> list[dict[str, Any]]:
        """Return the delivered rows of `events` or `requests`."""
        return [dict(row) for batch in self.batches for row in getattr(batch, table)]
