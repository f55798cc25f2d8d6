"""What as-of columns count: rows of events, or lists, with a key."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import exact_cast
from edgerec.data.page_openings import page_openings
from edgerec.data.schema import EVENTS, ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.as_of import AsOf, Fact

COLUMNS = (USER_ID, ITEM_ID, TIME)
WEIGHT = "weight of the fact"


@dataclass(frozen=True)
class Facts:
    """A set of events, or of listed items, that several columns may share.

    Attributes:
        fact: what is counted.
        by: the columns of the key.
        where: the column of events that has to be above 0, or None.
        time: the column of events that says when an event became known.
        weight: the column of events with the weight of an event, or None.
    """

    fact: Fact
    by: tuple[str, ...]
    where: str | None
    time: str
    weight: str | None

    @classmethod
    def counted(cls, as_of: AsOf) -> Facts:
        """Return what the column counts."""
        return cls(as_of.fact, as_of.by, as_of.where, _time(as_of, as_of.fact), as_of.weight)

    @classmethod
    def total(cls, as_of: AsOf) -> Facts | None:
        """Return what a rate divides by; None if the column is no rate."""
        per = as_of.per
        if per is None:
            return None
        by = as_of.by if per.by is None else per.by
        return cls(per.count, by, per.where, _time(as_of, per.count), per.weight)

    @property
    def by_user(self) -> bool:
        """Whether the user is a part of the key."""
        return USER_ID in self.by

    def rows(self, events: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
        """Return a row for each fact in the checked tables, with the columns `COLUMNS`, and `WEIGHT` if there is one.

        Raises:
            LogsError: a column of events does not exist, has a wrong type, or has a weight that is NaN or infinite.
        """
        if self.fact == "listed":
            return page_openings(requests).select(COLUMNS).explode(ITEM_ID)
        if self.fact != "behaviour":
            events = events.filter(pl.col(KIND) == self.fact)
        if self.where is not None:
            events = events.filter(_numbers(events, self.where) > 0)
        if self.weight is not None:
            weights = _numbers(events, self.weight)
            if not weights.is_finite().all():
                raise LogsError(f"logs: {EVENTS}.{self.weight} holds NaN or infinity: write a missing value as null")
            events = events.with_columns(weights.alias(WEIGHT)).drop_nulls(WEIGHT)
        _check_column(events, self.time)
        rows = exact_cast(events, {self.time: pl.Int64()}, where=f"logs: {EVENTS}.")
        weight = [] if self.weight is None else [WEIGHT]
        return rows.select(USER_ID, ITEM_ID, pl.col(self.time).alias(TIME), *weight).drop_nulls(TIME)

    def columns(self) -> tuple[str, ...]:
        """Return the columns of events that `rows` reads."""
        optional = [name for name in (self.where, self.weight) if name is not None]
        return tuple(dict.fromkeys((USER_ID, ITEM_ID, KIND, self.time, *optional)))


def all_facts(columns: list[AsOf]) -> list[Facts]:
    """Return the different sets of facts that `columns` need."""
    needed = [facts for as_of in columns for facts in (Facts.counted(as_of), Facts.total(as_of))]
    return list(dict.fromkeys(facts for facts in needed if facts is not None))


def _time(as_of: AsOf, fact: Fact) -> str:
    return TIME if as_of.time is None or fact == "listed" else as_of.time


def _numbers(events: pl.DataFrame, column: str) -> pl.Series:
    _check_column(events, column)
    received = events.schema[column]
    if not (received.is_numeric() or received in (pl.Boolean, pl.Null)):
        raise LogsError(f"logs: {EVENTS}.{column} should hold numbers; received {received}")
    numbers: pl.Series = events[column].cast(pl.Float64)
    return numbers


def _check_column(events: pl.DataFrame, column: str) -> None:
    if column not in events.columns:
        raise LogsError(
            f"logs: table {EVENTS!r} has no column {column!r}, which as_of of the specification reads; its columns "
            f"are: {', '.join(events.columns)}. Add or rename it"
        )
