"""Read all rows of logs once, file by file and slice by slice: find faults, and count what warnings are made from.

Rows keep their place in their file, so a finding can name it. Memory holds one slice, the IDs of the catalogue, and two
numbers for each request, as `edgerec samples` has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.data.catalogue import ItemIndex
from edgerec.data.check.columns import ColumnCounts, find_unreadable
from edgerec.data.check.findings import Findings
from edgerec.data.check.label_counts import LabelCounts
from edgerec.data.log_checks import (
    find_events,
    find_items,
    find_repeated_ids,
    find_repeated_requests,
    find_requests,
    find_unit,
)
from edgerec.data.log_faults import Fault, Found
from edgerec.data.parts import count_rows, reading, unreadable
from edgerec.data.schema import (
    CLICK_COUNT,
    CLICKED,
    EVENTS,
    ITEM_ID,
    ITEMS,
    KIND,
    REQUEST_ID,
    REQUESTS,
    TIME,
    USER_ID,
    columns_to_read,
    event_features,
    request_features,
)
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin

SLICE = {ITEMS: 300_000, EVENTS: 300_000, REQUESTS: 75_000}
"""Number of rows of each table that are in memory at a time."""

Known = Mapping[str, Collection[str]]
"""For each table, the columns with a fault that the schemas of its files show."""


@dataclass(frozen=True)
class Slice:
    """Consecutive rows of a file, without a cast. `first` is the index of the first row in the file."""

    file: Path
    first: int
    rows: pl.DataFrame


@dataclass
class Gathered:
    """A column of integers of all slices, and where its rows are.

    Attributes:
        slices: the file of each slice, and the index of its first row in the file.
        arrays: the values of each slice.
    """

    slices: list[tuple[Path, int]] = field(default_factory=list)
    arrays: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, part: Slice, values: pl.Series) -> None:
        """Add the values of a slice. Nulls have a finding already."""
        if not values.null_count():
            self.slices.append((part.file, part.first))
            self.arrays.append(values.to_numpy())

    def values(self) -> NDArray[np.int64]:
        """Return the values of all slices (n,)."""
        return np.concatenate([np.empty(0, np.int64), *self.arrays])

    def placed(self, fault: Fault) -> Fault:
        """Return a fault of `values` with its file, and with the index of its row in this file."""
        row = fault.row or 0
        for (file, first), array in zip(self.slices, self.arrays, strict=True):
            if row < len(array):
                return replace(fault, file=file, row=first + row)
            row -= len(array)
        return fault


@dataclass
class Counts:
    """What the scan counts.

    Attributes:
        rows: number of rows of each table.
        columns: the counts of features, by table and feature.
        labels: the counts of labels.
        longest: the number of candidates of the longest list.
        whole_seconds: for events and requests, whether all times that could be read are whole seconds.
        first: the smallest time of events and of requests; None if a table has none.
        offered: (items,), whether a request offers the item.
        behaviours: for each kind of behaviour, (items,), how many behaviours the item has.
        ids: the IDs of all requests.
        times: the times of all requests.
        users: for each file of events and requests, the number of rows and the smallest and largest user.
        items: the catalogue's IDs, ascending.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys((ITEMS, EVENTS, REQUESTS), 0))
    columns: dict[tuple[str, str], ColumnCounts] = field(default_factory=dict)
    labels: LabelCounts = field(default_factory=LabelCounts)
    longest: int = 0
    whole_seconds: dict[str, bool] = field(default_factory=lambda: {EVENTS: True, REQUESTS: True})
    first: dict[str, int] = field(default_factory=dict)
    offered: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    behaviours: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    ids: Gathered = field(default_factory=Gathered)
    times: Gathered = field(default_factory=Gathered)
    users: dict[Path, tuple[str, int, int, int]] = field(default_factory=dict)
    items: ItemIndex = field(default_factory=lambda: ItemIndex.of(np.empty(0, np.int64)))


class Scan:
    """Reads the tables of one folder. Call `read_items`, `read_events` and `read_requests` in this order."""

    def __init__(self, findings: Findings, spec: FeatureSpec, *, repeated_items: bool, known: Known) -> None:
        """Args:
        findings: where faults are added.
        spec: the feature specification.
        repeated_items: see `edgerec.data.logs.LogsHead`.
        known: the columns of each table with a fault that the schemas of its files show.
        """
        self.findings, self.spec, self.known = findings, spec, known
        self.repeated_items = repeated_items
        self.counts = Counts()

    def read_items(self, files: Sequence[Path]) -> None:
        """Read the catalogue."""
        ids = Gathered()
        for part in self._slices(ITEMS, files):
            items = self._take(find_items(part.rows, self.spec, file=part.file), ITEMS, part)
            self._columns(ITEMS, of_origin(self.spec.item, "catalogue"), items, part)
            if ITEM_ID in items.columns:
                ids.add(part, items[ITEM_ID])
        every = ids.values()
        for fault in find_repeated_ids(pl.DataFrame({ITEM_ID: every})):
            self.findings.error(ids.placed(fault), ITEMS)
        self.counts.items = ItemIndex.of(np.unique(every))
        size = len(self.counts.items.ids)
        self.counts.offered = np.zeros(size, np.bool_)
        self.counts.behaviours = {kind.name: np.zeros(size, np.int64) for kind in BEHAVIOUR_KINDS}

    def read_events(self, files: Sequence[Path]) -> Iterator[None]:
        """Read the events. Yield after each slice."""
        features, index = event_features(self.spec), self._index()
        for part in self._slices(EVENTS, files):
            found = find_events(part.rows, features, index, file=part.file)
            events = self._take(found, EVENTS, part)
            self._instants(EVENTS, events, part)
            if KIND in events.columns:
                for kind in BEHAVIOUR_KINDS:
                    of_kind = events[KIND] == kind.name
                    rows = events.filter(of_kind)
                    self._columns(EVENTS, self.spec.actions(kind), rows, part, of_kind.arg_true().to_numpy(), kind.name)
                    if index is not None and ITEM_ID in events.columns:
                        found_rows = index.rows(rows[ITEM_ID].drop_nulls().to_numpy())
                        size = len(index.ids)
                        self.counts.behaviours[kind.name] += np.bincount(found_rows[found_rows >= 0], minlength=size)
            yield
        self._unit(EVENTS)

    def read_requests(self, files: Sequence[Path]) -> Iterator[None]:
        """Read the requests. Yield after each slice."""
        features, index, counts = request_features(self.spec), self._index(), self.counts
        for part in self._slices(REQUESTS, files):
            found = find_requests(part.rows, features, index, repeated_items=self.repeated_items, file=part.file)
            requests = self._take(found, REQUESTS, part)
            self._instants(REQUESTS, requests, part)
            for name, gathered in ((REQUEST_ID, counts.ids), (TIME, counts.times)):
                if name in requests.columns:
                    gathered.add(part, requests[name])
            if ITEM_ID in requests.columns:
                lists = requests[ITEM_ID]
                counts.longest = max(counts.longest, int(lists.list.len().max() or 0))  # type: ignore[arg-type]
                if index is not None:
                    rows = index.rows(lists.explode().drop_nulls().to_numpy())
                    counts.offered[rows[rows >= 0]] = True
            if CLICKED in requests.columns:
                counts.labels.add(requests)
            self._columns(REQUESTS, of_origin(self.spec.context, "request"), requests, part)
            self._served(requests, part)
            yield
        self._unit(REQUESTS)
        for fault in find_repeated_requests(counts.ids.values()):
            self.findings.error(counts.ids.placed(fault), REQUESTS)

    def _index(self) -> ItemIndex | None:
        """Return the index of the catalogue. If IDs of items cannot be read, every item would seem to be unknown."""
        broken = [each for each in self.findings if each.severity == "error" and each.table == ITEMS]
        unread = any(each.column in ("", ITEM_ID) and each.expected != "unique IDs" for each in broken)
        return None if unread or not len(self.counts.items.ids) else self.counts.items

    def _slices(self, table: str, files: Sequence[Path]) -> Iterator[Slice]:
        # `click_count` is checked if it can be read, but no sample needs it.
        wanted = columns_to_read(table, self.spec) | ({CLICK_COUNT} if table == REQUESTS else set())
        for file in files:
            try:
                rows = count_rows(file)
                with reading(file):
                    schema = pl.scan_parquet(file, glob=False).collect_schema()
                self.counts.rows[table] += rows
                columns = [column for column in schema if column in wanted]
                for first in range(0, max(rows, 1), SLICE[table]):
                    with reading(file):
                        part = pl.scan_parquet(file, glob=False).slice(first, SLICE[table]).select(columns).collect()
                    # A file without rows may have other columns.
                    if len(part):
                        yield Slice(file, first, part)
            except LogsError as error:
                self.findings.error(unreadable(file, error), table)

    def _take(self, found: Found[pl.DataFrame], table: str, part: Slice) -> pl.DataFrame:
        return self.findings.take(found, table, file=part.file, first_row=part.first, known=self.known[table])

    def _instants(self, table: str, rows: pl.DataFrame, part: Slice) -> None:
        if TIME in rows.columns and rows[TIME].null_count() < len(rows):
            times = rows[TIME].drop_nulls()
            least = int(times.min())  # type: ignore[arg-type]
            self.counts.first[table] = min(self.counts.first.get(table, least), least)
            self.counts.whole_seconds[table] &= bool((times % 1000 == 0).all())
        if USER_ID in rows.columns and rows[USER_ID].null_count() < len(rows):
            users = rows[USER_ID]
            low, high = int(users.min()), int(users.max())  # type: ignore[arg-type]
            _, count, least, most = self.counts.users.get(part.file, (table, 0, low, high))
            self.counts.users[part.file] = table, count + len(rows), min(least, low), max(most, high)

    def _columns(
        self,
        table: str,
        features: Sequence[Feature],
        rows: pl.DataFrame,
        part: Slice,
        places: NDArray[np.int64] | None = None,
        group: str = "",
    ) -> None:
        """Count the columns of `features` in `rows`, whose indices in the slice are `places`; default: all rows."""
        places = np.arange(len(rows)) if places is None else places
        for feature in features:
            if not self._fits(table, feature, rows):
                continue
            values = rows[feature.source]
            for fault in find_unreadable(feature, values):
                row = part.first + int(places[fault.row or 0])
                self.findings.error(replace(fault, file=part.file, row=row), table)
            self._count(table, feature, group).add(values, part.file, part.first + places)

    def _served(self, requests: pl.DataFrame, part: Slice) -> None:
        for feature in of_origin(self.spec.item, "served"):
            if not self._fits(REQUESTS, feature, requests) or not isinstance(requests.schema[feature.source], pl.List):
                continue
            lists = requests[feature.source]
            lengths = lists.list.len()
            for fault in find_unreadable(feature, lists.explode(), lengths):
                row = part.first + (fault.row or 0)
                self.findings.error(replace(fault, file=part.file, row=row), REQUESTS)
            counted = self._count(REQUESTS, feature, "")
            rows = np.repeat(np.arange(len(lists)), np.maximum(lengths.fill_null(0).to_numpy(), 1))
            counted.add(lists.explode(), part.file, part.first + rows)
            if feature.reads == "numbers" and lists.dtype.inner != pl.Null:  # type: ignore[attr-defined]
                counted.add_lists(lists)

    def _fits(self, table: str, feature: Feature, rows: pl.DataFrame) -> bool:
        # Values with an error are not counted: they have their finding already, and could not be encoded.
        return feature.source in rows.columns and not self.findings.has_error(table, feature.source)

    def _count(self, table: str, feature: Feature, group: str) -> ColumnCounts:
        key = table, f"{group}.{feature.name}"
        if key not in self.counts.columns:
            self.counts.columns[key] = ColumnCounts(table, feature)
        return self.counts.columns[key]

    def _unit(self, table: str) -> None:
        if table in self.counts.first:
            self.findings.take(find_unit(table, self.counts.first[table]), table)
