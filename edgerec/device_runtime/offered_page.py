"""A page as the device keeps it: the items, their raw values, and what the model reads of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.features.relations.rule import ITEM_ID
from edgerec.paging.page import Page


@dataclass(frozen=True)
class OfferedPage:
    """Items that a page offered, or that it took over from the page before because the user has not seen them.

    Attributes:
        page_id: the ID of the page.
        item_ids: (n,) the items. Each is there once.
        offered_at: (n,) when each item was offered, in milliseconds since 1970: the time of the first request of the
            page that sent it.
        columns: raw values of the items by column, n for each.
        served: the names of the columns whose values hold for a page only.
        context: values of the request that the cloud knows.
        prepared: what the model reads of the items; None without a model, or if the model cannot read the page.
        fault: why the model cannot read the page; None if it can.
    """

    page_id: int
    item_ids: Sequence[int]
    offered_at: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    served: tuple[str, ...]
    context: Mapping[str, Any]
    prepared: PreparedItems | None
    fault: str | None = None

    @cached_property
    def row_of(self) -> dict[int, int]:
        """The row of each item, by item ID."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def values(self, row: int) -> dict[str, Any]:
        """Return the raw values of an item by column."""
        return {name: column[row] for name, column in self.columns.items()} | {ITEM_ID: self.item_ids[row]}

    def served_values(self, row: int) -> dict[str, Any]:
        """Return the values of an item that hold for its page only."""
        return {name: self.columns[name][row] for name in self.served}

    def served_lists(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """Return the served values of several items by column."""
        return {name: [self.columns[name][row] for row in rows] for name in self.served}

    def take(self, rows: Sequence[int]) -> OfferedPage:
        """Return the page with only the items at the indices `rows`, in this order."""
        return OfferedPage(
            self.page_id,
            [self.item_ids[row] for row in rows],
            [self.offered_at[row] for row in rows],
            {name: [column[row] for row in rows] for name, column in self.columns.items()},
            self.served,
            self.context,
            None if self.prepared is None else self.prepared.take(rows),
            self.fault,
        )

    def after(self, held: OfferedPage) -> OfferedPage:
        """Return this page with the items of `held` before its own. A column that a part lacks is missing there."""
        names = dict.fromkeys((*held.columns, *self.columns))
        nothing = [None] * len(held.item_ids), [None] * len(self.item_ids)
        columns = {name: [*held.columns.get(name, nothing[0]), *self.columns.get(name, nothing[1])] for name in names}
        fault = self.fault or held.fault
        prepared = None
        if held.prepared is not None and self.prepared is not None:
            prepared = held.prepared.append(self.prepared)
        return OfferedPage(
            self.page_id,
            [*held.item_ids, *self.item_ids],
            [*held.offered_at, *self.offered_at],
            columns,
            tuple(dict.fromkeys((*held.served, *self.served))),
            self.context,
            prepared,
            fault,
        )


def offered(page: Page, time: int, prepared: PreparedItems | None, fault: str | None) -> OfferedPage:
    """Return a page of the cloud as the device keeps it. `time` is the time of the page's first request."""
    ids = page.items.item_id.tolist()
    return OfferedPage(
        page.page_id, ids, [time] * len(ids), page.items.columns, page.served, page.context, prepared, fault
    )
