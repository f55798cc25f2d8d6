"""The feed's service: pages, items, and what it learns from the logs. It knows nothing of HTTP."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.cloud.application import recalled, served_values
from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.mix_prices import MixPrices
from edgerec.cloud.recall import Recall
from edgerec.cloud.served_values import DefaultServedValues, ServedValues
from edgerec.cloud.versions import ServedVersion, Versions
from edgerec.core.errors import FormatError, InputError, StoreError
from edgerec.data.schema import ITEM_ID
from edgerec.paging.items import ItemBatch
from edgerec.paging.page import Page, PageRequest


class UnknownItemsError(InputError):
    """A device asked for items that are not in the catalogue."""


class FeedService:
    """Answers requests for pages and items. Threads may share an instance.

    Args:
        catalogue: the items.
        versions: the model versions that are served.
        recall: finds candidates.
        served: supplies the values of served columns.
        waits: whether embeddings are looked up in another process, so that a request may wait for it.
        prices: the prices of kinds of cards that devices of versions with rules get with a page; None: none.

    Attributes:
        catalogue, versions, waits: as given.
        look_up_failed: whether the last look-up of embeddings failed; False before the first one.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        versions: Versions,
        recall: Recall,
        served: ServedValues,
        *,
        waits: bool = False,
        prices: MixPrices | None = None,
    ) -> None:
        self.catalogue, self.versions, self.waits = catalogue, versions, waits
        self.look_up_failed = False
        self._recall, self._served, self._prices = recall, served, prices
        self._lock = threading.Lock()

    def admit(self, version: ServedVersion) -> None:
        """Check that one more version fits the catalogue and the served values, and load the columns that it reads.

        Raises:
            LogsError: the catalogue lacks a column.
            InputError: the default served values do not count an as-of column of the version.
        """
        if isinstance(self._served, DefaultServedValues):
            self._served.check(version.spec)
        version.prepare(self.catalogue)

    def page(self, request: PageRequest) -> Page:
        """Return the next items of a user's feed.

        Raises:
            UnknownVersionError: the device's version is not served.
            InputError: a method of the recall or of the served values failed.
            StoreError: the embeddings cannot be read now.
        """
        version = self.versions.get(request.version_id, user_id=request.user_id)
        with self._lock:
            rows, scores = recalled(self._recall, request, self.catalogue)
            served = self._served_values(version, request.user_id, rows, scores, request.time)
        # A look-up in Redis does not hold up the pages of other devices.
        items = self._batch(version, rows, served)
        return Page(
            page_id=secrets.randbits(63),
            offered_at=request.time,
            items=items,
            served=version.served_columns,
            context=self._context(version),
            complete=len(rows) < request.count,
        )

    def _context(self, version: ServedVersion) -> dict[str, float]:
        prices = self._prices
        return prices.values(version.version_id) if prices is not None and version.mixing_columns else {}

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items in this order. Their served columns have no values, because no page offers the items.

        Raises:
            UnknownVersionError: the version is not served.
            UnknownItemsError: an item is not in the catalogue.
            StoreError: the embeddings cannot be read now.
        """
        version = self.versions.get(version_id)
        rows = self.catalogue.rows(item_ids)
        unknown = [item for item, row in zip(item_ids, rows.tolist(), strict=True) if row < 0]
        if unknown:
            raise UnknownItemsError(f"the catalogue does not have {len(unknown)} of the items, such as {unknown[0]}")
        return self._batch(version, rows, {name: [None] * len(rows) for name in version.served_columns})

    def _batch(self, version: ServedVersion, rows: NDArray[np.int32], served: Mapping[str, Sequence[Any]]) -> ItemBatch:
        """Return items of the catalogue, and remember whether their embeddings were found."""
        try:
            items = version.batch(self.catalogue, rows, served)
        except (StoreError, FormatError):
            self.look_up_failed = True
            raise
        if items.embeddings and len(rows):
            self.look_up_failed = False
        return items

    def learn(self, events: pl.DataFrame, requests: pl.DataFrame, *, piece: int | None = None) -> None:
        """Let the recall and the served values learn from new rows of the logs.

        Events of items that the catalogue does not have are left out.

        Args:
            events, requests: the new rows.
            piece: number of events after which waiting pages are answered; None: they wait for all events.
        """
        known = self.catalogue.rows(events[ITEM_ID].to_numpy()) >= 0
        events = events.filter(pl.Series(known, dtype=pl.Boolean))
        pieces = [events] if piece is None or len(events) <= piece else list(events.iter_slices(piece))
        for part in pieces[:-1]:
            with self._lock:
                self._recall.learn(part)
                self._served.learn(part, requests.clear())
        with self._lock:
            self._recall.learn(pieces[-1])
            self._served.learn(pieces[-1], requests)

    def _served_values(
        self,
        version: ServedVersion,
        user_id: int,
        rows: NDArray[np.int32],
        scores: NDArray[np.float64],
        time: int,
    ) -> dict[str, Any]:
        items = self.catalogue.ids[rows]
        return served_values(self._served, version.served_reads, user_id, items, scores, time)
