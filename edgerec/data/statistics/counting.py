"""Statistics of logs: counts of what users see and do. The counts of partitions can be added.

All counts are integers, so sums over partitions are exact and do not depend on their number or order. The
definitions are in docs/statistics.md. `document.py` computes figures from the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.data.columns import encode_series
from edgerec.data.logs import Logs, open_logs
from edgerec.data.page_openings import page_openings
from edgerec.data.partition import TARGET, map_partitions
from edgerec.data.schema import CATEGORY, ITEM_ID, KIND, OPENED_FROM, STORE_ID, TIME, TRIGGER, USER_ID
from edgerec.data.statistics.click_rates import (
    Rates,
    by_category_exposures,
    by_item_exposures,
    by_position,
    count_before,
    exposures_of,
    has_categories,
)
from edgerec.data.statistics.histograms import Counts, Numbers
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec

HOUR_MS = 3_600_000


@dataclass(frozen=True, eq=False)
class Statistics:
    """The counts of logs. If two logs have no users in common, their counts can be added.

    Attributes:
        requests: number of requests.
        pages: number of pages. A page is counted with its first request.
        users: number of users with a request.
        position: exposures and clicks by position in the page's list.
        item: exposures and clicks by earlier exposures of the item.
        category: exposures and clicks by earlier exposures of the item's category since the last page-view of that
            category; None if items have no category.
        uncategorised: number of exposures of items without a category.
        events: number of behaviours of each kind.
        known: for each kind, the number of requests by the number of earlier behaviours of the same user and store.
        values: for each kind and feature, the counts of missing values, of values not listed, and of each listed value.
        numbers: for each kind and column, the numbers that action features read.
        opened_from: number of page-views for each place where a page was opened; None if that is not logged.
        list_lengths: number of pages by number of candidates.
        activity: number of users with a request, by number of exposures.
        triggers: number of requests for each trigger (the event that starts a request).
        hours: (24,), number of requests in each hour of the day, in UTC.
    """

    requests: int
    pages: int
    users: int
    position: Rates
    item: Rates
    category: Rates | None
    uncategorised: int
    events: dict[BehaviourKind, int]
    known: dict[BehaviourKind, Counts]
    values: dict[BehaviourKind, dict[str, NDArray[np.int64]]]
    numbers: dict[BehaviourKind, dict[str, Numbers]]
    opened_from: dict[str, int] | None
    list_lengths: Counts
    activity: Counts
    triggers: dict[str, int]
    hours: NDArray[np.int64]

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of both partitions. They must have no user in common."""
        return Statistics(**{f.name: _sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})


@dataclass(frozen=True)
class LogsStatistics:
    """The statistics of a data set, with its name and its feature specification."""

    name: str
    spec: FeatureSpec
    statistics: Statistics


def count_logs(path: Path, *, processes: int = 1) -> LogsStatistics:
    """Count the logs in the folder `path`, one partition after the other.

    Args:
        path: the folder.
        processes: number of processes. The result does not depend on it.

    Raises:
        InputError: the logs have no request.
        FormatError, SpecificationError: see `edgerec.data.logs.open_logs`.
        LogsError, OutputError, ResourceError: see `edgerec.data.partition.map_partitions`.
    """
    logs = open_logs(path)
    # The catalogue is sent with every task, so only its columns that are read are kept.
    items = logs.items.select(ITEM_ID, *([CATEGORY] if has_categories(logs.items) else []))
    counted = list(map_partitions(statistics_of, replace(logs, items=items), target=TARGET, processes=processes))
    if not any(one.requests for one in counted):
        raise InputError(f"stats: {path} has no request: there is nothing to count")
    return LogsStatistics(logs.head.name, logs.spec, reduce(add, counted))


def statistics_of(logs: Logs) -> Statistics:
    """Count the logs of some users. `logs` must have all of their requests and events.

    Raises:
        LogsError: an optional column has another type than docs/formats.md states.
    """
    requests = logs.requests
    pages = page_openings(requests)
    exposures = exposures_of(pages)
    events = {kind: logs.events.filter(pl.col(KIND) == kind.name) for kind in BEHAVIOUR_KINDS}
    owner = [USER_ID, STORE_ID] if STORE_ID in requests.columns else [USER_ID]
    category, uncategorised = None, 0
    if has_categories(logs.items):
        category, uncategorised = by_category_exposures(exposures, logs.items, events[EXPOSURE], events[PAGE_VIEW])
    return Statistics(
        requests=len(requests),
        pages=len(pages),
        users=requests[USER_ID].n_unique(),
        position=by_position(exposures),
        item=by_item_exposures(exposures, events[EXPOSURE]),
        category=category,
        uncategorised=uncategorised,
        events={kind: len(rows) for kind, rows in events.items()},
        known={kind: Counts.of(count_before(requests, rows, owner)) for kind, rows in events.items()},
        values={kind: _value_counts(rows, logs.spec.actions(kind)) for kind, rows in events.items()},
        numbers={kind: _numbers(rows, logs.spec.actions(kind)) for kind, rows in events.items()},
        opened_from=_tally(events[PAGE_VIEW], OPENED_FROM) if OPENED_FROM in logs.events.columns else None,
        list_lengths=Counts.of(pages[ITEM_ID].list.len().cast(pl.Int64).to_numpy()),
        activity=_activity(requests, exposures),
        triggers=_tally(requests, TRIGGER),
        hours=np.bincount(requests[TIME].to_numpy() // HOUR_MS % 24, minlength=24).astype(np.int64),
    )


def _activity(requests: pl.DataFrame, exposures: pl.DataFrame) -> Counts:
    """Count users with a request by their number of exposures, which may be 0."""
    seen = exposures.group_by(USER_ID).len("exposures")
    users = requests.select(USER_ID).unique().join(seen, on=USER_ID, how="left")
    return Counts.of(users["exposures"].fill_null(0).cast(pl.Int64).to_numpy())


def _tally(table: pl.DataFrame, column: str) -> dict[str, int]:
    """Count how often each value occurs in `column`. A null is counted as ""."""
    counts = table.select(pl.col(column).cast(pl.String).fill_null("")).group_by(column).len().sort(column)
    return dict(counts.iter_rows())


def _value_counts(events: pl.DataFrame, features: Iterable[Feature]) -> dict[str, NDArray[np.int64]]:
    """For features that list their values, count missing values, values that are not listed, and each listed value."""
    counts: dict[str, NDArray[np.int64]] = {}
    for feature in features:
        if feature.listed:
            values = events[feature.source]
            codes = encode_series(feature, values)
            empty = values.is_null() if feature.reads != "strings" else values.cast(pl.String).fill_null("") == ""
            missing = int((empty.to_numpy() & (codes == 0)).sum())
            other, *listed = np.bincount(codes, minlength=feature.codes).tolist()
            counts[feature.name] = np.array([missing, other - missing, *listed], np.int64)
    return counts


def _numbers(events: pl.DataFrame, features: Iterable[Feature]) -> dict[str, Numbers]:
    """Count the numbers in each column that features read as numbers without listing its values."""
    sources = dict.fromkeys(one.source for one in features if one.reads == "numbers" and not one.listed)
    columns = {source: events[source].cast(pl.Float64) for source in sources}
    return {
        source: Numbers.of(values.drop_nulls().to_numpy(), missing=values.null_count())
        for source, values in columns.items()
    }


def _sum(one: Any, other: Any) -> Any:
    """Return ``one + other``. Mappings are added key by key. If one is None, the other is returned."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Mapping):
        return {key: _sum(one.get(key), other.get(key)) for key in (*one, *(set(other) - set(one)))}
    return one + other
