"""Compute the as-of columns of tables in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.as_of.columns import AbsentColumns, dtype, values
from edgerec.data.as_of.facts import WEIGHT, Facts, all_facts
from edgerec.data.as_of.keys import ItemKeys, UserEvents
from edgerec.data.as_of.timeline import AsOfInstants, Integers, Timeline
from edgerec.data.schema import EVENTS, ITEM_ID, KIND, OFFERED_AT, PAGE_ID, TIME, USER_ID
from edgerec.features.as_of import AsOf

ROW = "number of the row"
"""A temporary column. Columns of the user have other names."""
BLOCK = 2**20
"""Number of instants that are worked on at a time. It limits the memory."""


@dataclass(frozen=True)
class _Asked:
    """Instants at which columns are computed. All arrays are (n,)."""

    users: Integers
    items: Integers
    times: Integers

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Asked:
        return cls(*(rows[name].to_numpy() for name in (USER_ID, ITEM_ID, TIME)))

    def block(self, begin: int) -> _Asked:
        return _Asked(*(each[begin : begin + BLOCK] for each in (self.users, self.items, self.times)))


class _Past:
    """All facts that columns need, ready for questions."""

    def __init__(
        self,
        events: pl.DataFrame,
        requests: pl.DataFrame,
        keys: ItemKeys,
        wanted: list[Facts],
        timelines: Mapping[Facts, Timeline],
    ) -> None:
        self._keys = keys
        self._timelines = dict(timelines)
        self._by_user: dict[Facts, UserEvents] = {}
        for facts in wanted:
            if facts in timelines:
                continue
            table = facts.rows(events, requests)
            rows, weights = _Asked.of(table), table[WEIGHT].to_numpy() if facts.weight is not None else None
            numbers = keys.of(facts.by, rows.items)
            if facts.by_user:
                self._by_user[facts] = UserEvents(rows.users, numbers, rows.times, weights)
            else:
                has = numbers >= 0
                weights = None if weights is None else weights[has]
                self._timelines[facts] = Timeline.of(numbers[has], rows.times[has], weights)

    def columns(self, wanted: Mapping[str, AsOf], asked: _Asked) -> list[pl.Series]:
        """Return the values of the columns `wanted` at the instants `asked`."""
        blocks = [self._block(wanted, asked.block(begin)) for begin in range(0, len(asked.times), BLOCK)]
        empty = [pl.Series(name, [], dtype=dtype(as_of)) for name, as_of in wanted.items()]
        return [pl.concat([none, *parts]) for none, *parts in zip(empty, *blocks, strict=True)]

    def _block(self, wanted: Mapping[str, AsOf], asked: _Asked) -> list[pl.Series]:
        known: dict[Facts, AsOfInstants] = {}

        def instants(facts: Facts) -> AsOfInstants:
            if facts not in known:
                numbers = self._keys.of(facts.by, asked.items)
                known[facts] = (
                    self._by_user[facts].at(asked.users, numbers, asked.times)
                    if facts.by_user
                    else self._timelines[facts].at(numbers, asked.times)
                )
            return known[facts]

        with np.errstate(all="ignore"):
            made = [values(as_of, instants).alias(name) for name, as_of in wanted.items()]
        for column in made:
            if not column.is_finite().all():
                raise LogsError(
                    f"logs: the computed column {column.name!r} has NaN or infinity: use smaller weights, or a larger "
                    "prior_weight if weights are negative"
                )
        return made


def fill_columns(
    events: pl.DataFrame,
    requests: pl.DataFrame,
    items: pl.DataFrame,
    absent: AbsentColumns,
    timelines: Mapping[Facts, Timeline] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return events and requests with the columns `absent`. The rows keep their order.

    A candidate has the value at the instant of its page: the request's time, or the time of the page's first request.
    An event has the value of the request that offered the item (`offered_at`), or null. An action has the value at its
    own time. Only what became known strictly before the instant counts.

    Args:
        events: checked events. If only some users' rows are given, all rows of these users are given.
        requests: checked requests of the same users.
        items: the checked catalogue.
        absent: the columns to compute.
        timelines: the facts of all users, for keys without a user; default: the facts of these tables.

    Raises:
        LogsError: a column that is counted by, or that says which events count, does not exist or has a wrong type; or
            a computed value is NaN or infinite.
    """
    if not absent:
        return events, requests
    past = _Past(events, requests, ItemKeys(items), all_facts(absent.computed), timelines or {})
    requests_at = requests.with_columns(_page_time(requests).alias("as of"))
    if absent.served:
        events = _fill_offered(events, _offered_at(events, requests_at), absent.served, past)
        requests = _fill_requests(requests, requests_at, absent.served, past)
    columns = {name: as_of for wanted in absent.actions.values() for name, as_of in wanted.items()}
    return _fill_actions(events, absent, columns, past), requests


def _page_time(requests: pl.DataFrame) -> pl.Expr:
    return pl.col(TIME).min().over(USER_ID, PAGE_ID) if PAGE_ID in requests.columns else pl.col(TIME)


def _fill_requests(
    requests: pl.DataFrame, requests_at: pl.DataFrame, wanted: Mapping[str, AsOf], past: _Past
) -> pl.DataFrame:
    lengths = requests[ITEM_ID].list.len()
    candidates = requests_at.select(USER_ID, ITEM_ID, pl.col("as of").alias(TIME)).explode(ITEM_ID)
    flat = pl.DataFrame(past.columns(wanted, _Asked.of(candidates)))
    row = np.repeat(np.arange(len(requests)), lengths.to_numpy())
    lists = flat.with_columns(pl.Series(ROW, row)).group_by(ROW, maintain_order=True).agg(pl.all())
    return requests.hstack(lists.drop(ROW))


def _offered_at(events: pl.DataFrame, requests_at: pl.DataFrame) -> pl.Series:
    """Return when each event's item was offered, or null."""
    if OFFERED_AT in events.columns:
        late = events.filter(pl.col(OFFERED_AT) > pl.col(TIME))
        if len(late):
            raise LogsError(
                f"logs: {EVENTS}.{OFFERED_AT} should not be after the event's time; received {late[OFFERED_AT][0]} "
                f"for an event at {late[TIME][0]}"
            )
        return events[OFFERED_AT]
    # The latest request of the user that lists the item.
    listed = requests_at.select(USER_ID, ITEM_ID, TIME, "as of").explode(ITEM_ID).sort(TIME, "as of")
    rows = events.select(USER_ID, ITEM_ID, TIME).with_row_index(ROW).sort(TIME)
    found = rows.join_asof(listed, on=TIME, by=[USER_ID, ITEM_ID], strategy="backward", check_sortedness=False)
    return found.sort(ROW)["as of"]


def _fill_offered(events: pl.DataFrame, instants: pl.Series, wanted: Mapping[str, AsOf], past: _Past) -> pl.DataFrame:
    rows = events.select(USER_ID, ITEM_ID).with_columns(instants.alias(TIME)).with_row_index(ROW)
    rows = rows.drop_nulls(TIME)
    return events.hstack(_spread(rows[ROW], past.columns(wanted, _Asked.of(rows)), len(events)))


def _fill_actions(
    events: pl.DataFrame, absent: AbsentColumns, columns: Mapping[str, AsOf], past: _Past
) -> pl.DataFrame:
    rows = events.select(KIND, USER_ID, ITEM_ID, TIME).with_row_index(ROW)
    made: dict[str, pl.Series] = {}
    for kind, wanted in absent.actions.items():
        of_kind = rows.filter(pl.col(KIND) == kind)
        for series in _spread(of_kind[ROW], past.columns(wanted, _Asked.of(of_kind)), len(events)):
            other = made.get(series.name)
            made[series.name] = series if other is None else _either(other, series)
    return events.hstack([made[name] for name in columns])


def _spread(rows: pl.Series, columns: list[pl.Series], height: int) -> list[pl.Series]:
    """Return columns with `height` rows: the values at `rows`, null in all other rows."""
    index = np.full(height, -1, np.int64)
    index[rows.to_numpy()] = np.arange(len(rows))
    gather = pl.Series(index)
    gather = gather.set(gather < 0, None)
    return [column.gather(gather) for column in columns]


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    """Return the values of two columns that have values in different rows."""
    both = pl.DataFrame([one.alias("one"), other.alias("other")])
    return both.select(pl.coalesce("one", "other").alias(one.name)).to_series()
